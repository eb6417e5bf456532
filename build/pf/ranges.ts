import { bounds, parseNet } from './address.js';
import type { Af } from './types.js';

/** An address as a number: an ordinary one for IPv4, a bigint for IPv6. */
export type Ip = number | bigint;

/** An inclusive range. */
export type Range = readonly [Ip, Ip];

/** Ranges in order that do not meet. All are of one kind of number. */
export type Ranges = readonly Range[];

/** The values that fields with numbers of their own have: what is no range of it is nothing. */
export const SPAN = {
  inet: [0, 2 ** 32 - 1],
  inet6: [0n, (1n << 128n) - 1n],
} as const satisfies Readonly<Record<Af, Range>>;

/** Addresses of both families. */
export type Addresses = Readonly<Record<Af, Ranges>>;

/** The number before or after another. */
export function step(ip: Ip, by: 1 | -1): Ip {
  return typeof ip === 'bigint' ? ip + BigInt(by) : ip + by;
}

/** Whether a value is in one of the ranges. */
export function inside(ranges: readonly Range[], value: Ip): boolean {
  for (const [low, high] of ranges) if (value >= low && value <= high) return true;
  return false;
}

/** The same values, in order, with those joined that meet. */
export function union(...lists: readonly (readonly Range[])[]): Ranges {
  const sorted = lists.flat().sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  const joined: [Ip, Ip][] = [];
  for (const [low, high] of sorted) {
    const last = joined.at(-1);
    if (last && low <= step(last[1], 1)) {
      if (high > last[1]) last[1] = high;
    } else joined.push([low, high]);
  }
  return joined;
}

/** Ranges without the values of others. */
export function subtract(ranges: readonly Range[], holes: readonly Range[]): Ranges {
  let rest: Range[] = [...ranges];
  for (const [low, high] of holes) {
    rest = rest.flatMap(([from, to]): Range[] => {
      if (high < from || low > to) return [[from, to]];
      const parts: Range[] = [];
      if (from < low) parts.push([from, step(low, -1)]);
      if (to > high) parts.push([step(high, 1), to]);
      return parts;
    });
  }
  return rest;
}

/** The values that are in both. */
export function intersect(left: readonly Range[], right: readonly Range[]): Ranges {
  return left.flatMap(([from, to]) =>
    right.flatMap(([low, high]): Range[] => {
      const first = from > low ? from : low;
      const last = to < high ? to : high;
      return first <= last ? [[first, last]] : [];
    }),
  );
}

/** The addresses of a family that a network has, as a range. */
export function toRange(af: Af, low: bigint, high: bigint): Range {
  return af === 'inet' ? [Number(low), Number(high)] : [low, high];
}

/** A network of its text as a range, where it is of the family. */
export function netRange(text: string, af: Af): Range[] {
  const net = parseNet(text);
  return net?.af === af ? [toRange(af, ...bounds(af, net.base, net.prefix))] : [];
}

/** The addresses of networks, `address/prefix` or addresses. */
export function addresses(...nets: readonly string[]): Addresses {
  for (const text of nets) if (!parseNet(text)) throw new Error(`no network: ${text}`);
  const of = (af: Af): Ranges => union(nets.flatMap((text) => netRange(text, af)));
  return { inet: of('inet'), inet6: of('inet6') };
}

/** Both families at once: union, subtract or intersect. */
export function each(
  combine: (left: readonly Range[], right: readonly Range[]) => Ranges,
  left: Addresses,
  right: Addresses,
): Addresses {
  return { inet: combine(left.inet, right.inet), inet6: combine(left.inet6, right.inet6) };
}

/** Every address but these. */
export function others(than: Addresses): Addresses {
  return each(subtract, { inet: [SPAN.inet], inet6: [SPAN.inet6] }, than);
}
