import { closest } from 'fastest-levenshtein';
import { InputError } from '../error.js';

/** One of so many parts of a fleet, counted from 1. */
export interface Shard {
  readonly part: number;
  readonly of: number;
}

/**
 * Reads `K/N`.
 *
 * @throws InputError if it is none, or K is not from 1 to N.
 */
export function parseShard(text: string): Shard {
  const [part = NaN, of = NaN] = /^(\d{1,4})\/(\d{1,4})$/.exec(text)?.slice(1).map(Number) ?? [];
  if (!(part >= 1 && part <= of))
    throw new InputError(`--shard ${text} is not K/N with K from 1 to N.`, 'Write the first of four as 1/4.');
  return { part, of };
}

/**
 * The deployments that a run is about. A shard takes every Nth name in the order of names, so that all shards of the
 * same fleet, wherever they run, take every deployment once and differ by one at most in size. Pure.
 *
 * @param names of all deployments
 * @param only names, or patterns with `*`; none means all
 * @throws InputError if a name or pattern is that of no deployment.
 */
export function select(
  names: readonly string[],
  only: readonly string[],
  shard: Shard | undefined,
): readonly string[] {
  const matches = (pattern: string, name: string): boolean => {
    const parts = pattern.split('*').map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'));
    return new RegExp(`^${parts.join('.*')}$`).test(name);
  };
  for (const pattern of only)
    if (!names.some((name) => matches(pattern, name)))
      throw new InputError(
        `There is no deployment ${pattern}.`,
        names.length > 0 ? `Did you mean ${closest(pattern, [...names])}?` : 'The folder has none.',
      );
  return [...names]
    .sort()
    .filter((name) => only.length === 0 || only.some((pattern) => matches(pattern, name)))
    .filter((_, index) => shard === undefined || index % shard.of === shard.part - 1);
}
