import type { MapStep, Opening, RuleRef, ZoneMap } from '../policy/map.js';
import type { Row } from '../policy/row.js';
import type { ReportMap, ReportStep } from './facts.js';

/** A zone map as a build record has it: what a person asks of a pair, with each rule once. Pure. */
export function compactMap(map: ZoneMap, rows: readonly Row[], situation: string): ReportMap {
  const rules: RuleRef[] = [];
  const known = new Map<string, number>();
  const index = (rule: RuleRef | null): number | null => {
    if (!rule) return null;
    const key = `${rule.file}\0${rule.line}\0${rule.text}`;
    const found = known.get(key);
    if (found !== undefined) return found;
    known.set(key, rules.length);
    return rules.push(rule) - 1;
  };
  const step = ({ interface: name, direction, verdict, rule, translation, row, assumed }: MapStep) => ({
    ...{ interface: name, direction, verdict, row, assumed },
    rule: index(rule),
    translation: index(translation),
  });
  const passing = (opening: Opening): ReportMap['pairs'][number]['passes'][number] => ({
    family: opening.family,
    services: opening.services.map(({ text }) => text),
    sources: opening.sources && [...opening.sources],
    destinations: opening.destinations && [...opening.destinations],
    arrivesWith: opening.arrivesWith,
    steps: opening.steps.map(step),
  });
  const pairs = map.pairs.map((pair) => ({
    ...{ from: pair.from, to: pair.to, verdict: pair.verdict, mustBeClosed: pair.mustBeClosed },
    services: [...pair.services],
    passes: pair.openings.map(passing),
    blocks: distinct(
      pair.closings.flatMap(({ steps }) => {
        const last = steps.at(-1);
        return last ? [step(last)] : [];
      }),
    ),
    redirects: pair.redirects.map(passing),
  }));
  const named = new Set(
    pairs.flatMap(({ passes, blocks, redirects }) =>
      [...passes, ...redirects, { steps: blocks }].flatMap(({ steps }) => steps.map(({ row }) => row)),
    ),
  );
  return {
    situation,
    zones: map.zones.map(({ id, kind, name, tenant, interfaces }) => ({
      ...{ id, kind, name, tenant },
      interfaces: [...interfaces],
    })),
    rules,
    rows: rows
      .filter(({ id }) => named.has(id))
      .map(({ id, from, to, verdict, why }) => ({ id, from, to, verdict, why })),
    pairs,
    ways: map.ways,
    cells: map.cells,
  };
}

function distinct(steps: readonly ReportStep[]): ReportStep[] {
  return [...new Map(steps.map((step) => [JSON.stringify(step), step])).values()];
}
