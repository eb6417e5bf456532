import { decideCells } from '../pf/cells.js';
import type { Conditions, Diagram } from '../pf/cells.js';
import { FIELD } from '../pf/lines.js';
import type { Line } from '../pf/lines.js';
import { inside } from '../pf/ranges.js';
import type { Ip, Ranges } from '../pf/ranges.js';
import { candidates, possible } from '../pf/translate.js';
import type { Rule } from '../pf/types.js';
import { decideLines, narrowRules } from './decide.js';
import { combinations } from './legs.js';
import type { Country, Leg, Moved } from './legs.js';
import type { Crossing, Way } from './paths.js';
import type { Row, RowLine } from './row.js';

/** What happens to a box of packets where they cross an interface. */
export interface Step {
  readonly crossing: Crossing;
  readonly passes: boolean;
  /** The rule that decides; none where the default does, where the interface is skipped, or where nobody asked. */
  readonly rule?: Rule;
  /** The translation that the packets meet before the rules. */
  readonly translation?: Rule;
  /** The row of the policy that is about the packets there. */
  readonly row?: Row;
}

/** What happens to a box of packets on a way: the crossings up to the one that blocks them, or all of them. */
export interface Journey {
  readonly open: boolean;
  readonly steps: readonly Step[];
  /** What the packets have as their source in the end; undefined where it is still their own. */
  readonly source?: Ip;
}

/** The journeys of packets that meet the same translations. */
export interface Decision {
  /** Boxes that no packet of the way is in have no value; those that have one may have other packets in them, too. */
  readonly diagram: Diagram<Journey | undefined>;
  /** The packets that the way is about. */
  readonly domain: Conditions;
}

/**
 * Decides about all packets that take a way: at each crossing translation first, then the rules, for the packet as it is
 * by then. Exact: every packet of the way is in one box.
 *
 * @param named whether each box is to be told with the rules and rows that decide; without, there are fewer of them, and
 *   none at all of a way that no rule lets anybody through
 * @param among what else packets have to have to be decided about
 */
export function decideWay(
  country: Country,
  way: Way,
  named: boolean,
  among: Conditions = [],
): readonly Decision[] {
  const { fields } = country;
  const sources = way.sources[fields.af];
  const goal = way.addresses[fields.af];
  if (sources.length === 0 || goal.length === 0) return [];
  return combinations(country, way.crossings, { moved: {}, whole: false }).flatMap(
    ({ legs: make, moved }) => {
      const domain: (Ranges | undefined)[] = [...among];
      domain[FIELD.src] = sources;
      if (moved.dst === undefined) domain[FIELD.dst] = goal;
      else if (!inside(goal, moved.dst)) return [];
      if (way.anchor) domain[FIELD.proto] = REDIRECTED;
      const legs = make(domain, named);
      return legs ? [{ diagram: explore(country, legs, domain, moved, named), domain }] : [];
    },
  );
}

/** What `bastille rdr` redirects: tcp and udp. */
const REDIRECTED: Ranges = [
  [6, 6],
  [17, 17],
];

/** What a line of the question is. */
type Part =
  | { readonly kind: 'domain' }
  | { readonly kind: 'translation'; readonly leg: number; readonly index: number }
  | { readonly kind: 'rule'; readonly leg: number; readonly line: Line }
  | { readonly kind: 'row'; readonly leg: number; readonly line: RowLine };

function explore(
  { world: { defaultDrop }, fields }: Country,
  legs: readonly Leg[],
  domain: Conditions,
  moved: Moved,
  named: boolean,
): Diagram<Journey | undefined> {
  const parts: Part[] = [{ kind: 'domain' }];
  const lines: Conditions[] = [domain];
  for (const [leg, { translations, filters, rows }] of legs.entries()) {
    for (const [index, conditions] of translations.entries()) {
      if (!conditions) continue;
      parts.push({ kind: 'translation', leg, index });
      lines.push(conditions);
    }
    for (const { line, conditions } of filters) {
      parts.push({ kind: 'rule', leg, line });
      lines.push(conditions);
    }
    for (const { line, conditions } of rows) {
      parts.push({ kind: 'row', leg, line });
      lines.push(conditions);
    }
  }
  const ruleOf = (index: number): Line | undefined => {
    const part = parts[index];
    return part?.kind === 'rule' ? part.line : undefined;
  };
  // A rule may be several lines.
  const numbers = new Map<Rule, number>();
  const numberOf = (rule: Rule): number => {
    const number = numbers.get(rule) ?? numbers.size;
    numbers.set(rule, number);
    return number;
  };
  const outside = { key: '', value: (): undefined => undefined };
  const { src: source } = moved;
  const ended = (open: boolean, steps: readonly Step[], key: string) => ({
    key: `${open ? 'open' : 'closed'} ${key}`,
    value: (): Journey => ({ open, steps, ...(open && source !== undefined && { source }) }),
  });
  /** What a leg does, where all that is alive of it matches. */
  const stepOf = (leg: Leg, alive: readonly number[]): { readonly step: Step; readonly key: string } => {
    const decided =
      leg.station.skipped || leg.variant.natPass
        ? { action: 'pass' as const, rule: undefined }
        : decideLines(
            alive.flatMap((index) => ruleOf(index) ?? []),
            'open',
            defaultDrop,
          );
    const rowAt = alive.find((index) => parts[index]?.kind === 'row');
    const part = rowAt === undefined ? undefined : parts[rowAt];
    const row = part?.kind === 'row' ? part.line.row : undefined;
    const translation = leg.station.translations[leg.variant.lines[0] ?? -1]?.rule;
    const moves = leg.variant.unchanged ? undefined : translation;
    const by = decided.rule ?? (leg.variant.natPass ? moves : undefined);
    return {
      key: `${decided.rule ? numberOf(decided.rule) : ''} ${row?.id ?? ''}`,
      step: {
        crossing: leg.crossing,
        passes: decided.action === 'pass',
        ...(by && { rule: by }),
        ...(moves && { translation: moves }),
        ...(row && { row }),
      },
    };
  };
  const narrow = (
    alive: readonly number[],
    certain: (index: number) => boolean,
  ): readonly number[] | ReturnType<typeof ended> | typeof outside => {
    if (alive[0] !== 0) return outside;
    const kept: number[] = [0];
    const steps: Step[] = [];
    let key = '';
    /** Whether all before is settled, whatever follows. */
    let settled = true;
    let at = 1;
    for (const [number, leg] of legs.entries()) {
      const start = at;
      while (at < alive.length) {
        const part = parts[alive[at] ?? 0];
        if (!part || part.kind === 'domain' || part.leg !== number) break;
        at++;
      }
      const own = alive.slice(start, at);
      const { moving, sure } = candidates(
        own.filter((index) => parts[index]?.kind === 'translation'),
        (index) => {
          const part = parts[index];
          return part?.kind === 'translation' ? leg.station.translations[part.index] : undefined;
        },
        certain,
        leg.crossing,
      );
      const numbers = moving.map((index) => {
        const part = parts[index];
        return part?.kind === 'translation' ? part.index : -1;
      });
      if (!possible(leg.variant, numbers, sure)) return outside;
      const rules = narrowRules(
        own.filter((index) => parts[index]?.kind === 'rule'),
        ruleOf,
        certain,
      );
      const rows: number[] = [];
      for (const index of own) {
        if (parts[index]?.kind !== 'row') continue;
        rows.push(index);
        if (certain(index)) break;
      }
      const passing =
        leg.station.skipped ||
        leg.variant.natPass ||
        !defaultDrop ||
        rules.some((index) => ruleOf(index)?.rule.action === 'pass');
      // Where nothing lets them through here, nothing else matters, if nobody asks what keeps them out.
      if (!named && !passing && settled && moving.every(certain)) return ended(false, [], '');
      settled &&= [...moving, ...rules, ...rows.slice(0, 1)].every(certain);
      kept.push(...moving, ...rules, ...rows);
      if (!settled) continue;
      const { step, key: ofStep } = stepOf(leg, [...rules, ...rows]);
      steps.push(step);
      key += ` ${number}: ${ofStep}`;
      if (!step.passes) return named ? ended(false, steps, key) : ended(false, [], '');
    }
    if (!settled) return kept;
    return named ? ended(true, steps, key) : ended(true, [], '');
  };
  return decideCells<Journey | undefined>({
    spans: fields.spans,
    lines,
    narrow,
    end: (alive) => {
      const result = narrow(alive, () => true);
      if ('key' in result) return result;
      throw new Error('a way that is certain is decided');
    },
  });
}
