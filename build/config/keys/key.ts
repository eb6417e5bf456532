import type { z } from 'zod';

/** What a key of build.cfg is: its documentation, its default, and how its text becomes a value. */
export interface Key<T = unknown> {
  /** The section of build.cfg.example that it stands in. */
  readonly group: string;
  /** The documentation, as lines for build.cfg.example; the first is a sentence of its own. */
  readonly doc: readonly string[];
  /** The text that stands for the key where nobody sets it. */
  readonly fallback: string;
  readonly schema: z.ZodType<T, string>;
}

/** What makes the keys of one section: of their default, how their text is read, and their documentation. */
export function keysOf(
  group: string,
): <T>(fallback: string, schema: z.ZodType<T, string>, ...doc: readonly string[]) => Key<T> {
  return (fallback, schema, ...doc) => ({ group, fallback, schema, doc });
}
