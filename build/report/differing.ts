/** One thing in which two of a kind differ, for people. */
export interface Difference {
  readonly what: string;
  readonly before: string;
  readonly now: string;
}

/** What stands for a value where there is none. */
export const GONE = 'not there';

/** What differs between two sets of named values, by name. Pure. */
export function differing(
  prefix: string,
  before: ReadonlyMap<string, string>,
  now: ReadonlyMap<string, string>,
): Difference[] {
  return [...new Set([...before.keys(), ...now.keys()])].sort().flatMap((name) => {
    const [old, next] = [before.get(name), now.get(name)];
    return old === next ? [] : [{ what: `${prefix}${name}`, before: old ?? GONE, now: next ?? GONE }];
  });
}
