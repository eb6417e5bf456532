import { parseCount } from './reading.js';
import type { Reading } from './reading.js';

/** What a jail may take of the machine. */
export interface JailLimits {
  /** Bytes, or a share of the machine's memory. */
  readonly memory: Amount;
  /** Processes at once. */
  readonly processes: number;
  /** Per cent of one processor. */
  readonly cpu: number;
  /** Bytes of its file system. */
  readonly disk: number;
}

/** A number of bytes, or per cent of what the machine has. */
export type Amount = { readonly bytes: number } | { readonly percent: number };

const UNITS: Readonly<Record<string, number>> = { K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 };

/** Reads `512M`, `2G`: bytes; undefined if it is none. */
export function parseBytes(text: string): number | undefined {
  const [, digits = '', unit = ''] = /^([1-9][0-9]{0,5})([KMGT])$/.exec(text) ?? [];
  const factor = UNITS[unit];
  return factor === undefined ? undefined : Number(digits) * factor;
}

/** Reads bytes, or `25%` of what the machine has; undefined if it is neither. */
function parseAmount(text: string): Amount | undefined {
  const percent = /^([1-9][0-9]?|100)%$/.exec(text)?.[1];
  if (percent !== undefined) return { percent: Number(percent) };
  const bytes = parseBytes(text);
  return bytes === undefined ? undefined : { bytes };
}

/** An amount as scripts of the instance read it: bytes, or per cent with a `%`. */
export function formatAmount(amount: Amount): string {
  return 'bytes' in amount ? String(amount.bytes) : `${amount.percent}%`;
}

/** What a limit is called in a line of JAILS, how it is read, and the rule that it follows. */
export const LIMITS = {
  memory: {
    read: parseAmount,
    rule: 'must be a size or a share of the memory',
    sample: 'memory=512M or memory=25%',
  },
  processes: {
    read: (text: string) => parseCount(text, 10, 100_000),
    rule: 'must be a number of processes from 10 to 100000',
    sample: 'processes=200',
  },
  cpu: {
    read: (text: string) => parseCount(text, 1, 10_000),
    rule: 'must be per cent of one processor, 1 or more',
    sample: 'cpu=50',
  },
  disk: {
    // A thin jail begins with some 5 MB.
    read: (text: string) => {
      const bytes = parseBytes(text);
      return bytes !== undefined && bytes >= 16 * 2 ** 20 ? bytes : undefined;
    },
    rule: 'must be a size of 16M or more',
    sample: 'disk=1G',
  },
} as const;

/** Reads a limit by its name; says which rule the text breaks, and how a value is written (in a key of its own: without the name). */
export function readLimit<K extends keyof JailLimits>(name: K, text: string): Reading<JailLimits[K]> {
  const { read, rule, sample } = LIMITS[name];
  const value = read(text) as JailLimits[K] | undefined;
  return value === undefined
    ? { message: `${rule}, not "${text}"`, fix: `write it as ${sample.replaceAll(`${name}=`, '')}` }
    : { value };
}
