import { wrap } from '../wrap.js';
import type { Pair, ZoneMap } from './map.js';

/** A cell of the chart is as wide as this. */
const CELL = 4;
/** What is open, and has to be closed. */
const LEAK = '!!!';

/** The zones of a map as a matrix for people, and what its letters stand for; no line is wider than asked for, from 60 on. */
export function drawChart(map: ZoneMap, columns: number): readonly string[] {
  const { zones } = map;
  const digits = String(zones.length).length;
  const names = zones.map(({ name }, index) => `${String(index + 1).padStart(digits)} ${name}`);
  const label = Math.min(Math.max(...names.map((name) => name.length)) + 1, Math.max(20, columns - 4 * CELL));
  const across = Math.max(1, Math.floor((columns - label) / CELL));
  const letters = new Map<string, string>();
  const cells = new Map(map.pairs.map((pair) => [`${pair.from} ${pair.to}`, cellOf(pair, letters)]));
  const lines: string[] = [];
  for (let first = 0; first < zones.length; first += across) {
    const part = zones.slice(first, first + across);
    if (first > 0) lines.push('');
    lines.push(
      `${'to'.padStart(label - 1)} ${part.map((_, index) => String(first + index + 1).padEnd(CELL)).join('')}`.trimEnd(),
    );
    for (const [index, from] of zones.entries()) {
      const row = part.map((to) => (cells.get(`${from.id} ${to.id}`) ?? '?').padEnd(CELL)).join('');
      lines.push(`${shorten(names[index] ?? '', label - 1).padEnd(label)}${row}`.trimEnd());
    }
  }
  const shown = [...cells.values()].join(' ');
  const legend = [
    ...(/\ball\b/.test(shown) ? ['all  every service'] : []),
    ...(shown.includes('.') ? ['.    nothing'] : []),
    ...(shown.includes('~') ? ['~    neighbour discovery and path-MTU messages alone'] : []),
    ...[...letters].map(([services, letter]) => `${letter.padEnd(5)}${services}`),
    ...(shown.includes('+') ? ['+    and what somebody redirects on the instance (rdr/*)'] : []),
    ...(shown.includes(LEAK) ? [`${LEAK.padEnd(5)}HAS TO BE CLOSED, AND IS NOT`] : []),
  ];
  return [...lines, '', ...legend.flatMap((line) => wrap(line, columns, 5))];
}

function cellOf(pair: Pair, letters: Map<string, string>): string {
  if (isLeak(pair)) return LEAK;
  const marks = pair.redirects.length > 0 ? '+' : '';
  switch (pair.verdict) {
    case 'open':
      return `all${marks}`;
    case 'closed':
      return `.${marks}`;
    case 'signals':
      return `~${marks}`;
    default: {
      const services = pair.services.join('; ');
      let letter = letters.get(services);
      if (letter === undefined) letters.set(services, (letter = letterOf(letters.size)));
      return `${letter}${marks}`;
    }
  }
}

/** Whether something gets through where the design wants nothing to. */
export function isLeak({ mustBeClosed, verdict }: Pair): boolean {
  return mustBeClosed && verdict !== 'closed' && verdict !== 'signals';
}

/** a to z, then aa, ab and so on. */
function letterOf(index: number): string {
  const letter = String.fromCharCode(97 + (index % 26));
  return index < 26 ? letter : letterOf(Math.floor(index / 26) - 1) + letter;
}

function shorten(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, most - 1)}…`;
}
