import { decideCells } from '../pf/cells.js';
import type { Conditions, Diagram } from '../pf/cells.js';
import { both, FIELD, linesAt, seesFragments } from '../pf/lines.js';
import type { Fields, Line, Place } from '../pf/lines.js';
import { inside } from '../pf/ranges.js';
import type { Ip, Ranges } from '../pf/ranges.js';
import { isCalled } from '../pf/resolve.js';
import type { Resolver, World } from '../pf/resolve.js';
import { afterTranslation, possible, variantsOf } from '../pf/translate.js';
import type { Variant } from '../pf/translate.js';
import type { Rule, Ruleset } from '../pf/types.js';
import { decideLines, narrowRules } from './decide.js';
import type { Crossing, Way } from './paths.js';
import { rowLines } from './row.js';
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

/** What decides about journeys. */
export interface Country {
  readonly ruleset: Ruleset;
  readonly world: World;
  readonly resolver: Resolver;
  readonly fields: Fields;
  readonly rows: readonly Row[];
  /** What was found at places before. */
  readonly places: Map<string, Station>;
}

/** A place with what decides there. */
interface Station {
  readonly translations: readonly Line[];
  readonly filters: readonly Line[];
  readonly rows: readonly RowLine[];
  readonly variants: readonly Variant[];
  readonly skipped: boolean;
  readonly fragments: boolean;
}

function stationOf(country: Country, { interface: name, direction }: Crossing): Station {
  const { ruleset, world, resolver, fields, places } = country;
  const place: Place = { interface: name, direction, af: fields.af };
  const key = `${name} ${direction}`;
  const known = places.get(key);
  if (known) return known;
  const device = world.interfaces.find((candidate) => candidate.name === name);
  const skipped = device !== undefined && ruleset.skip.some((group) => isCalled(device, group));
  const lines = skipped
    ? { translations: [], filters: [] }
    : linesAt(ruleset, world, resolver, fields, place);
  const station = {
    ...lines,
    rows: rowLines(country.rows, fields, place),
    variants: variantsOf(lines.translations, resolver, place),
    skipped,
    fragments: seesFragments(ruleset, world, place),
  };
  places.set(key, station);
  return station;
}

/** A packet's new addresses, as far as translations have changed them. */
type Moved = Pick<Variant, 'src' | 'dst' | 'dstPort'>;

/** A packet between two crossings. */
interface Traveller {
  readonly moved: Moved;
  /** Whether its fragments were put together on the way: rules then see the ports of the whole. */
  readonly whole: boolean;
}

/** A crossing under one translation, with its lines as conditions on the packet as it was sent. */
interface Leg {
  readonly crossing: Crossing;
  readonly station: Station;
  readonly variant: Variant;
  readonly translations: readonly (Conditions | undefined)[];
  readonly filters: readonly { readonly line: Line; readonly conditions: Conditions }[];
  readonly rows: readonly { readonly line: RowLine; readonly conditions: Conditions }[];
}

/** The journeys of packets that meet the same translations. */
export interface Decision {
  /** Boxes that no packet of the way is in have no value. */
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

/** Makes the legs for packets of a domain; undefined where nobody asks for names and nothing passes one of them. */
type MakeLegs = (domain: Conditions, named: boolean) => readonly Leg[] | undefined;

/** Each combination of translations that packets of a way may meet. */
function combinations(
  country: Country,
  crossings: readonly Crossing[],
  arriving: Traveller,
): readonly { readonly legs: MakeLegs; readonly moved: Moved }[] {
  const [crossing, ...rest] = crossings;
  if (!crossing) return [{ legs: () => [], moved: arriving.moved }];
  const station = stationOf(country, crossing);
  const whole = arriving.whole || !station.fragments;
  const before: Traveller = { moved: arriving.moved, whole };
  return station.variants.flatMap((variant) => {
    const { src = before.moved.src, dst = before.moved.dst, dstPort = before.moved.dstPort } = variant;
    const moved: Moved = {
      ...(src !== undefined && { src }),
      ...(dst !== undefined && { dst }),
      ...(dstPort !== undefined && { dstPort }),
    };
    return combinations(country, rest, { moved, whole }).map((further) => ({
      moved: further.moved,
      legs: (domain: Conditions, named: boolean) => {
        const after: Traveller = { moved, whole };
        const wanted = translator(country, crossing, domain);
        if (!named && !mayPass(country, station, variant, (line) => wanted(line.conditions, after)))
          return undefined;
        const others = further.legs(domain, named);
        return others && [legOf(crossing, station, variant, before, after, wanted, named), ...others];
      },
    }));
  });
}

/** What a line of a crossing wants of the packet as it was sent; undefined where no packet of the way has it. */
type Wanted = (conditions: Conditions, traveller: Traveller) => Conditions | undefined;

function translator({ fields }: Country, crossing: Crossing, domain: Conditions): Wanted {
  const came = fields.receivedOn([crossing.receivedOn])[0]?.[0] ?? 0;
  return (conditions, { moved, whole }) => {
    const received = conditions[FIELD.receivedOn];
    if (received && crossing.direction === 'out' && !inside(received, came)) return undefined;
    const fragment = conditions[FIELD.fragment];
    if (whole && fragment && !inside(fragment, 0)) return undefined;
    const earlier = afterTranslation(conditions, { lines: [], unchanged: true, natPass: false, ...moved });
    if (!earlier) return undefined;
    const bare = [...earlier];
    bare[FIELD.receivedOn] = undefined;
    if (whole) bare[FIELD.fragment] = undefined;
    return within(bare, domain);
  };
}

function legOf(
  crossing: Crossing,
  station: Station,
  variant: Variant,
  before: Traveller,
  after: Traveller,
  wanted: Wanted,
  named: boolean,
): Leg {
  const met = <L extends { readonly conditions: Conditions }>(lines: readonly L[], traveller: Traveller) =>
    lines.flatMap((line) => {
      const conditions = wanted(line.conditions, traveller);
      return conditions ? [{ line, conditions }] : [];
    });
  return {
    crossing,
    station,
    variant,
    translations: station.translations.map(({ conditions }) => wanted(conditions, before)),
    filters: station.skipped || variant.natPass ? [] : met(station.filters, after),
    rows: named ? met(station.rows, before) : [],
  };
}

/** Whether a crossing lets anything through at all. */
function mayPass(
  { world: { defaultDrop } }: Country,
  station: Station,
  variant: Variant,
  meets: (line: Line) => unknown,
): boolean {
  if (station.skipped || variant.natPass || !defaultDrop) return true;
  return station.filters.some((line) => line.rule.action === 'pass' && meets(line) !== undefined);
}

/** Conditions for packets of a domain: those that all of them meet are none; undefined where no packet meets one. */
function within(conditions: Conditions, domain: Conditions): Conditions | undefined {
  const met = both(conditions, domain);
  if (!met) return undefined;
  const result = [...met];
  for (const [field, all] of domain.entries()) if (all && same(result[field], all)) result[field] = undefined;
  return result;
}

function same(left: Ranges | undefined, right: Ranges): boolean {
  return (
    left?.length === right.length &&
    left.every(([low, high], index) => low === right[index]?.[0] && high === right[index][1])
  );
}

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
      const moving: number[] = [];
      let sure = false;
      for (const index of own) {
        if (parts[index]?.kind !== 'translation' || sure) continue;
        moving.push(index);
        sure = certain(index);
      }
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
