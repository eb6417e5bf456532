import { intersect, subtract, union } from './ranges.js';
import type { Range, Ranges } from './ranges.js';
import type { Comparison, Options } from './types.js';

/** pf_match() of sys/netpfil/pf/pf.c. */
export function compare({ op, low, high }: Comparison, value: number): boolean {
  switch (op) {
    case '=':
      return value === low;
    case '!=':
      return value !== low;
    case '<':
      return value < low;
    case '<=':
      return value <= low;
    case '>':
      return value > low;
    case '>=':
      return value >= low;
    case '><':
      return value > low && value < high;
    case '<>':
      return value < low || value > high;
    default:
      return value >= low && value <= high;
  }
}

const PORTS = new WeakMap<Comparison, Ranges>();

/** The values that a comparison allows (pf_match() of pf.c). */
export function portRanges(comparison: Comparison): Ranges {
  const known = PORTS.get(comparison);
  if (known) return known;
  const ranges = compared(comparison);
  PORTS.set(comparison, ranges);
  return ranges;
}

function compared({ op, low, high }: Comparison): Ranges {
  const all: Ranges = [[0, 65535]];
  const between = (from: number, to: number): Ranges => intersect(from <= to ? [[from, to]] : [], all);
  switch (op) {
    case '=':
      return between(low, low);
    case '!=':
      return subtract(all, [[low, low]]);
    case '<':
      return between(0, low - 1);
    case '<=':
      return between(0, low);
    case '>':
      return between(low + 1, 65535);
    case '>=':
      return between(low, 65535);
    case '><':
      return between(low + 1, high - 1);
    case '<>':
      return union(between(0, low - 1), between(high + 1, 65535));
    default:
      return between(low, high);
  }
}

const FLAGS = new Map<string, Ranges>();

/** The flags that a rule matches, as the values of a byte. */
export function flagRanges({ set, of }: NonNullable<Options['flags']>): Ranges {
  const key = `${set}/${of}`;
  const known = FLAGS.get(key);
  if (known) return known;
  const ranges = allFlags(set, of);
  FLAGS.set(key, ranges);
  return ranges;
}

function allFlags(set: number, of: number): Ranges {
  return union(
    Array.from({ length: 256 }, (_, value): readonly Range[] =>
      (value & of) === set ? [[value, value]] : [],
    ).flat(),
  );
}
