import { mkdir } from 'node:fs/promises';
import { writeError } from '../host/files.js';
import { ensureTools } from '../host/tools.js';
import type { Purpose } from '../host/tools.js';
import type { Work } from '../pipeline/base.js';
import { lockOutput } from '../pipeline/deploy.js';

/** Sees to it that the host tools are there; what is installed is told as a note. @throws UserError if they are not. */
export function needTools(
  purpose: Purpose,
  install: boolean,
  { emit, signal }: Pick<Work, 'emit' | 'signal'>,
): Promise<void> {
  const note = (text: string): void => {
    emit({ type: 'note', text });
  };
  return ensureTools(purpose, { install, note, signal });
}

/**
 * Builds into a folder: with the tools and the cache ready, and the folder locked.
 *
 * @throws UserError if the tools are not there, or the folder cannot be written to; whatever `build` throws.
 */
export async function buildInto<T>(
  out: string,
  options: { readonly installTools: boolean; readonly wait: boolean },
  work: Work,
  build: () => Promise<T>,
): Promise<T> {
  await needTools('build', options.installTools, work);
  await work.cache.prepare();
  await mkdir(out, { recursive: true }).catch((error: unknown) => {
    throw writeError(out, error);
  });
  const lock = await lockOutput(out, options.wait, work);
  try {
    return await build();
  } finally {
    await lock.release();
  }
}
