import type { Cache } from './cache.js';
import type { BuildEvent, StageName } from './events.js';

/** A cache that is worked in, and who hears of it. */
export interface Holding {
  readonly cache: Cache;
  readonly signal: AbortSignal;
  readonly emit: (event: BuildEvent) => void;
}

/** Runs a stage, and tells when it begins, ends and how long it took. */
export async function stage<T>(
  work: { readonly emit: (event: BuildEvent) => void },
  name: StageName,
  run: () => Promise<T>,
): Promise<T> {
  const start = performance.now();
  work.emit({ type: 'start', stage: name });
  try {
    const result = await run();
    work.emit({ type: 'done', stage: name, seconds: (performance.now() - start) / 1000 });
    return result;
  } catch (error) {
    work.emit({ type: 'failed', stage: name });
    throw error;
  }
}

/** How downloads of such work are made: they end with it, and what goes wrong with them is told. */
export function toldOf({ emit, signal }: Pick<Holding, 'emit' | 'signal'>): {
  readonly signal: AbortSignal;
  readonly onRetry: (text: string) => void;
} {
  return {
    signal,
    onRetry: (text) => {
      emit({ type: 'doing', text });
    },
  };
}

/**
 * Runs under a lock of the cache, and tells whom it waits for.
 *
 * @param doing what its holder does, as in "makes the same base image"
 * @throws UserError if nothing can be put into the cache, or as `run` does.
 */
export async function underLock<T>(
  { cache, emit, signal }: Holding,
  key: string,
  doing: string,
  run: () => Promise<T>,
): Promise<T> {
  const lock = await cache.lock(
    key,
    (holder) => {
      emit({ type: 'doing', text: `Waiting for ${holder}, which ${doing}` });
    },
    signal,
  );
  try {
    return await run();
  } finally {
    await lock.release();
  }
}

/** Passes calls on at most ten times a second. */
export function throttled<A extends readonly unknown[]>(call: (...args: A) => void): (...args: A) => void {
  let last = 0;
  return (...args) => {
    const now = performance.now();
    if (now - last < 100) return;
    last = now;
    call(...args);
  };
}
