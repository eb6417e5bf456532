import { TRANSLATIONS } from './expand.js';
import { FIELD } from './fields.js';
import type { Place } from './fields.js';
import type { Line } from './lines.js';
import type { Conditions } from './cells.js';
import { inside } from './ranges.js';
import type { Ip, Ranges } from './ranges.js';
import { PROXY_PORTS } from './names.js';
import type { Resolver } from './resolve.js';
import type { Pool } from './types.js';

/** A translation, or that there is none: its rule, and what becomes of the packet. */
export interface Variant {
  /** Translation lines that mean this one, by their index; an empty list stands for none. */
  readonly lines: readonly number[];
  readonly unchanged: boolean;
  readonly natPass: boolean;
  readonly src?: Ip;
  readonly dst?: Ip;
  readonly dstPort?: number;
  /** A port that nat gives to TCP and UDP. */
  readonly srcPort?: number;
}

/** Whether a translation, or none, may still be what the first line that matches makes. */
export function possible({ lines, unchanged }: Variant, alive: readonly number[], certain: boolean): boolean {
  if (alive.some((index) => lines.includes(index))) {
    // The last one is certain where one is: what stands before it may still not match.
    return !(certain && alive.length === 1) || lines.includes(alive[0] ?? -1);
  }
  return unchanged && !certain;
}

/**
 * Translation lines that may be the one that counts, by their numbers, and whether the last of them is certain to match if no
 * other does. A rule with `no` ends its own list alone: the other one is asked all the same (pf_get_translation() of pf_lb.c).
 */
export function candidates(
  alive: readonly number[],
  lineOf: (index: number) => Line | undefined,
  certain: (index: number) => boolean,
  { direction }: Pick<Place, 'direction'>,
): { readonly moving: readonly number[]; readonly sure: boolean } {
  const moving: number[] = [];
  let ended = false;
  for (const index of alive) {
    const action = lineOf(index)?.rule.action ?? '';
    const early = action.endsWith(TRANSLATIONS[direction][0]);
    if (ended && early) continue;
    if (early && action.startsWith('no ') && certain(index)) {
      ended = true;
      continue;
    }
    moving.push(index);
    if (certain(index)) return { moving, sure: true };
  }
  return { moving, sure: false };
}

/** Every translation that packets of a place may meet, with each address that it may give. */
export function variantsOf(
  translations: readonly Line[],
  filters: readonly Line[],
  resolver: Resolver,
  { af, direction }: Place,
): readonly Variant[] {
  const none: number[] = [];
  const variants: Variant[] = [{ lines: none, unchanged: true, natPass: false }];
  for (const [index, { rule }] of translations.entries()) {
    if (rule.action.startsWith('no ') || !rule.pool) {
      if (!rule.action.endsWith(TRANSLATIONS[direction][0])) none.push(index);
      continue;
    }
    const source = rule.action === 'nat' || (rule.action === 'binat' && rule.direction !== 'in');
    const ports = rule.action === 'nat' ? portsOf(rule.pool, filters) : [undefined];
    for (const address of poolOf(rule.pool, resolver, af))
      for (const srcPort of ports)
        variants.push({
          lines: [index],
          unchanged: false,
          natPass: rule.natPass === true,
          ...(address !== undefined && (source ? { src: address } : { dst: address })),
          ...(srcPort !== undefined && { srcPort }),
          ...(rule.action === 'rdr' && rule.pool.port && { dstPort: rule.pool.port.low }),
        });
  }
  return variants;
}

/** One of each class of ports that a nat rule gives and that filter rules tell apart; none where it leaves them as they are. */
function portsOf({ port, staticPort }: Pool, filters: readonly Line[]): readonly (number | undefined)[] {
  if (staticPort === true) return [undefined];
  const { low } = port ?? PROXY_PORTS;
  const high = typeof port?.high === 'number' && port.high > 0 ? port.high : port ? low : PROXY_PORTS.high;
  const cuts = filters.flatMap(({ conditions }) =>
    (conditions[FIELD.srcPort] ?? []).flatMap(([first, last]) => [Number(first), Number(last) + 1]),
  );
  return [...new Set([low, ...cuts.filter((cut) => cut > low && cut <= high)])];
}

/** The ends of what a pool has; undefined where it is not known. */
function poolOf({ hosts }: Pool, resolver: Resolver, af: Place['af']): readonly (Ip | undefined)[] {
  const ends = hosts.flatMap(({ address }) => (resolver.ranges(address, af) ?? []).flat());
  return ends.length > 0 ? [...new Set(ends)] : [undefined];
}

/** What a line wants of the packet as it was, where the rules see another one; undefined where they never match. */
export function afterTranslation(
  conditions: Conditions,
  { src, dst, dstPort, srcPort }: Variant,
): Conditions | undefined {
  const changed: (Ranges | undefined)[] = [...conditions];
  for (const [field, value] of [
    [FIELD.src, src],
    [FIELD.dst, dst],
    [FIELD.dstPort, dstPort],
    [FIELD.srcPort, srcPort],
  ] as const) {
    const wanted = changed[field];
    if (value === undefined || !wanted) continue;
    if (!inside(wanted, value)) return undefined;
    changed[field] = undefined;
  }
  return changed;
}
