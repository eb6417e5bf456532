import { decideCells } from '../pf/cells.js';
import type { Conditions, Diagram } from '../pf/cells.js';
import { FIELD } from '../pf/lines.js';
import type { Line, Place } from '../pf/lines.js';
import { afterTranslation, candidates, possible } from '../pf/translate.js';
import type { Variant } from '../pf/translate.js';
import type { Rule } from '../pf/types.js';
import { isIn } from './row.js';
import type { Row, RowLine } from './row.js';
import { stationAt } from './station.js';
import type { Rules, Station } from './station.js';
import type { Addresses } from '../pf/ranges.js';

/** What is so for a box of packets: the row that is about them, what decides, and what is wrong, if anything is. */
export interface Outcome {
  /** None where the policy says nothing. */
  readonly row?: Row;
  /** The rule that decided; none where the default did, or where all that could decide do the same. */
  readonly rule?: Rule;
  readonly problem?: string;
}

/** A place, and all that decides there. */
export interface Matter extends Rules {
  readonly place: Place;
  readonly rows: readonly RowLine[];
  /** The addresses that what leaves has to have. */
  readonly host: Addresses;
}

/**
 * Decides about all packets of a place, once for each translation: what their rows want, and what the rules do.
 *
 * @param named whether each box is to be told with the rule that decides; without, there are fewer of them
 */
export function decidePlace(matter: Matter, named: boolean): readonly Diagram<Outcome>[] {
  if (matter.rows.length === 0) return [];
  const station = stationAt(matter, matter.place);
  return station.variants.map((variant) => decideVariant(matter, station, variant, named));
}

function decideVariant(
  { world: { defaultDrop }, host, fields, place, rows }: Matter,
  { translations, filters, skipped, fragments }: Station,
  variant: Variant,
  named: boolean,
): Diagram<Outcome> {
  const seen = filters.flatMap((line): readonly Line[] => {
    const conditions = afterTranslation(line.conditions, variant);
    return conditions ? [{ ...line, conditions }] : [];
  });
  const first = translations.length;
  const second = first + seen.length;
  const lines: readonly Conditions[] = [
    ...translations.map(({ conditions }) => conditions),
    ...seen.map(({ conditions }) => conditions),
    ...rows.map(({ conditions }) => conditions),
  ];
  const order = new Map(rows.map((row, index) => [row, index]));
  const passes = skipped || variant.natPass;
  const nothing = { key: '', value: (): Outcome => ({}) };
  const decideEnd = (row: RowLine, alive: readonly Line[]) => {
    if (row.verdict === 'either') return nothing;
    const decided = passes
      ? { action: 'pass' as const, rule: undefined }
      : decideLines(alive, row.verdict === 'block' ? 'open' : 'closed', defaultDrop);
    const problem = problemOf(row, decided, variant, host);
    return {
      key: `${order.get(row)} ${problem === undefined && !named ? '' : seen.findIndex(({ rule }) => rule === decided.rule)} ${problem ?? ''}`,
      value: (): Outcome => ({
        row: row.row,
        ...(decided.rule && (problem !== undefined || named) && { rule: decided.rule }),
        ...(problem !== undefined && { problem }),
      }),
    };
  };
  const spans = fragments
    ? fields.spans
    : fields.spans.map((span, field) => (field === FIELD.fragment ? ([0, 0] as const) : span));
  return decideCells<Outcome>({
    spans,
    lines,
    narrow: (alive, certain) => {
      // Rows: up to the first that is certain.
      let rowAt = alive.length;
      while (rowAt > 0 && (alive[rowAt - 1] ?? 0) >= second) rowAt--;
      const theirs = alive.slice(rowAt);
      const settled = theirs.findIndex(certain);
      const wanted = settled < 0 ? theirs : theirs.slice(0, settled + 1);
      const row = rows[(wanted[0] ?? -1) - second];
      if (!row) return nothing;
      const sure = settled === 0;
      if (sure && row.verdict === 'either') return nothing;
      // Translations: up to the first that is certain; it, or none, is the one that is looked at.
      let at = 0;
      while (at < rowAt && (alive[at] ?? first) < first) at++;
      const { moving, sure: moved } = candidates(
        alive.slice(0, at),
        (index) => translations[index],
        certain,
        place,
      );
      if (!possible(variant, moving, moved)) return nothing;
      const kept = narrowRules(alive.slice(at, rowAt), (index) => seen[index - first], certain);
      if (!named && sure && moving.length === 0 && !passes) {
        const last = seen[(kept.at(-1) ?? -1) - first];
        const may = (action: 'pass' | 'block'): boolean =>
          kept.some((index) => seen[index - first]?.rule.action === action);
        if (row.verdict === 'block' && defaultDrop && !may('pass'))
          return { key: `${order.get(row)}  `, value: () => ({ row: row.row }) };
        if (
          row.verdict === 'pass' &&
          row.row.translated !== true &&
          row.row.leadsTo === undefined &&
          !may('block') &&
          kept.every((index) => {
            const line = seen[index - first];
            return !line || (!endsAlone(line) && lacks(row, line.rule) === undefined);
          }) &&
          last?.rule.action === 'pass' &&
          !last.unknown &&
          last.tagged.length === 0 &&
          certain(kept.at(-1) ?? -1)
        )
          return { key: `${order.get(row)}  `, value: () => ({ row: row.row }) };
      }
      return [...moving, ...kept, ...wanted];
    },
    end: (alive) => {
      const row = rows[(alive.find((index) => index >= second) ?? -1) - second];
      if (!row) return nothing;
      return decideEnd(
        row,
        alive.flatMap((index) => (index >= first && index < second ? (seen[index - first] ?? []) : [])),
      );
    },
  });
}

/**
 * Rules that still matter, by their numbers: none behind a quick one that is certain, none before another one that is. A quick
 * anchor or match rule leaves it to the last one before it, if it matches.
 */
export function narrowRules(
  alive: readonly number[],
  lineOf: (index: number) => Line | undefined,
  certain: (index: number) => boolean,
): readonly number[] {
  const settled: number[] = [];
  let deciding: number[] = [];
  for (const index of alive) {
    const line = lineOf(index);
    if (!line) continue;
    deciding.push(index);
    const sure = certain(index) && !line.unknown && line.tagged.length === 0;
    if (sure && line.quick) break;
    if (endsAlone(line)) {
      settled.push(...deciding);
      deciding = [];
    } else if (sure && line.rule.action !== 'match') {
      deciding = deciding.filter((before) => {
        const earlier = lineOf(before);
        return before === index || earlier?.quick === true || earlier?.rule.options.tag !== undefined;
      });
    }
  }
  return [...settled, ...deciding];
}

/** Whether a line ends it where it matches, and decides nothing. */
function endsAlone({ rule: { action }, quick }: Line): boolean {
  return quick && (action === 'match' || action === 'anchor');
}

/** What a rule that passes packets of a row lacks. */
function lacks({ row }: RowLine, rule: Rule | undefined): string | undefined {
  return rule?.action === 'pass' || !rule ? row.rule?.(rule) : undefined;
}

/** What is wrong with what the rules do to packets of a row. */
function problemOf(
  line: RowLine,
  { action, rule }: { readonly action: 'pass' | 'block'; readonly rule: Rule | undefined },
  variant: Variant,
  host: Addresses,
): string | undefined {
  const { row, verdict } = line;
  if (action !== verdict)
    return verdict === 'block' ? 'has to be blocked, but passes' : 'has to pass, but is blocked';
  if (verdict === 'block') return undefined;
  const lack = lacks(line, rule);
  if (lack !== undefined) return `passes, but the rule ${lack}`;
  if (row.translated === true && (variant.src === undefined || !isIn(host, variant.src)))
    return 'leaves with an address of its own';
  const { leadsTo } = row;
  if (leadsTo && (variant.dst !== leadsTo.address || variant.dstPort !== leadsTo.port))
    return 'passes, but is not sent to where it has to go';
  return undefined;
}

/** What lines that all match do, as pf does: the last decides, or the first quick one. */
export function decideLines(
  lines: readonly Line[],
  leaning: 'open' | 'closed',
  defaultDrop: boolean,
): { readonly action: 'pass' | 'block'; readonly rule: Rule | undefined } {
  let last: Rule | undefined;
  let tag: string | undefined;
  for (const { rule, quick, unknown, tagged } of lines) {
    // A pass rule that may match lets more through if it does; a block rule if it does not.
    if (unknown && (rule.action === 'block') !== (leaning === 'closed')) continue;
    if (tagged.some(({ name, not }) => (name === tag) === not)) continue;
    if (rule.options.tag !== undefined) tag = rule.options.tag;
    if (rule.action !== 'match' && rule.action !== 'anchor') last = rule;
    if (quick) break;
  }
  const action = last ? last.action : defaultDrop ? 'block' : 'pass';
  return { action: action === 'pass' ? 'pass' : 'block', rule: last };
}
