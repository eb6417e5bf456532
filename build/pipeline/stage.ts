import type { BuildEvent, StageName } from './events.js';

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
