import type { Conditions } from '../pf/cells.js';
import { FIELD } from '../pf/lines.js';
import type { Line, Place } from '../pf/lines.js';
import { inside, intersect } from '../pf/ranges.js';
import type { Ranges } from '../pf/ranges.js';
import { afterTranslation } from '../pf/translate.js';
import type { Variant } from '../pf/translate.js';
import type { Crossing } from './paths.js';
import { rowLines } from './row.js';
import type { Row, RowLine } from './row.js';
import { stationAt } from './station.js';
import type { Rules, Station } from './station.js';

/** What decides about journeys. */
export interface Country extends Rules {
  readonly rows: readonly Row[];
  /** What was found at places before. */
  readonly places: Map<string, Stop>;
  /** What conditions and the packets of ways have in common, as far as it was asked. */
  readonly met: Map<Ranges, Map<Ranges, Ranges>>;
}

/** What decides at a place, and the rows that are about it. */
interface Stop extends Station {
  readonly rows: () => readonly RowLine[];
}

function stopAt(country: Country, { interface: name, direction }: Crossing): Stop {
  const { fields, places } = country;
  const place: Place = { interface: name, direction, af: fields.af };
  const key = `${name} ${direction}`;
  const known = places.get(key);
  if (known) return known;
  let rows: readonly RowLine[] | undefined;
  const stop = {
    ...stationAt(country, place),
    rows: (): readonly RowLine[] => (rows ??= rowLines(country.rows, fields, place)),
  };
  places.set(key, stop);
  return stop;
}

/** A packet's new addresses, as far as translations have changed them. */
export type Moved = Pick<Variant, 'src' | 'dst' | 'dstPort' | 'srcPort'>;

/** A packet between two crossings. */
interface Traveller {
  readonly moved: Moved;
  /** Whether its fragments were put together on the way: rules then see the ports of the whole. */
  readonly whole: boolean;
}

/** A crossing under one translation, with its lines as conditions on the packet as it was sent. */
export interface Leg {
  readonly crossing: Crossing;
  readonly station: Station;
  readonly variant: Variant;
  readonly translations: readonly (Conditions | undefined)[];
  readonly filters: readonly { readonly line: Line; readonly conditions: Conditions }[];
  readonly rows: readonly { readonly line: RowLine; readonly conditions: Conditions }[];
}

/** Makes the legs for packets of a domain; undefined where nobody asks for names and nothing passes one of them. */
export type MakeLegs = (domain: Conditions, named: boolean) => readonly Leg[] | undefined;

/** Each combination of translations that packets of a way may meet. */
export function combinations(
  country: Country,
  crossings: readonly Crossing[],
  arriving: Traveller,
): readonly { readonly legs: MakeLegs; readonly moved: Moved }[] {
  const [crossing, ...rest] = crossings;
  if (!crossing) return [{ legs: () => [], moved: arriving.moved }];
  const station = stopAt(country, crossing);
  const whole = arriving.whole || !station.fragments;
  const before: Traveller = { moved: arriving.moved, whole };
  return station.variants.flatMap((variant) => {
    const { src, dst, dstPort, srcPort } = { ...before.moved, ...variant };
    const moved: Moved = {
      ...(src !== undefined && { src }),
      ...(dst !== undefined && { dst }),
      ...(dstPort !== undefined && { dstPort }),
      ...(srcPort !== undefined && { srcPort }),
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

function translator(country: Country, crossing: Crossing, domain: Conditions): Wanted {
  const came = country.fields.receivedOn([crossing.receivedOn])[0]?.[0] ?? 0;
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
    return within(country, bare, domain);
  };
}

function legOf(
  crossing: Crossing,
  station: Stop,
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
    rows: named ? met(station.rows(), before) : [],
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
function within({ met }: Country, conditions: Conditions, domain: Conditions): Conditions | undefined {
  const result = [...conditions];
  for (const [field, wanted] of conditions.entries()) {
    const all = domain[field];
    if (!wanted || !all) continue;
    let known = met.get(all);
    if (!known) met.set(all, (known = new Map<Ranges, Ranges>()));
    let ranges = known.get(wanted);
    if (!ranges) known.set(wanted, (ranges = intersect(wanted, all)));
    if (ranges.length === 0) return undefined;
    result[field] = same(ranges, all) ? undefined : ranges;
  }
  return result;
}

function same(left: Ranges, right: Ranges): boolean {
  return (
    left.length === right.length &&
    left.every(([low, high], index) => low === right[index]?.[0] && high === right[index][1])
  );
}
