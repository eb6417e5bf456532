import { makeFolder, writeError } from '../host/files.js';
import type { Purpose } from '../host/tool-list.js';
import { ensureTools } from '../host/tools.js';
import type { Work } from '../pipeline/base.js';
import { lockOutput } from '../pipeline/deploy.js';
import type { ImageProof } from '../policy/image.js';

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
 * Says which rows of the policy do not hold, as the configuration asks.
 *
 * @param name of the deployment, where there are many
 */
export function warnOfExceptions({ exceptions }: ImageProof, emit: Work['emit'], name?: string): void {
  const of = name === undefined ? '' : `${name}: `;
  for (const { row, example } of exceptions)
    emit({ type: 'warning', text: `${of}POLICY_EXCEPTIONS: the row ${row} does not hold: ${example}.` });
}

/**
 * Builds into a folder: with the tools and the cache ready, and the folder locked.
 *
 * @throws UserError if the tools are not there, or the folder cannot be written to; whatever `build` throws.
 */
export async function buildInto<T>(
  out: string,
  options: {
    readonly installTools: boolean;
    readonly wait: boolean;
    readonly disks: boolean;
    /** Whether a base system is made of packages. */
    readonly packaged: boolean;
  },
  work: Work,
  build: () => Promise<T>,
): Promise<T> {
  await needTools('build', options.installTools, work);
  if (options.packaged) await needTools('pkgbase', options.installTools, work);
  if (options.disks) await needTools('disk', options.installTools, work);
  await work.cache.prepare();
  try {
    await makeFolder(out).catch((error: unknown) => {
      throw writeError(out, error);
    });
    const lock = await lockOutput(out, options.wait, work);
    try {
      return await build();
    } finally {
      await lock.release();
    }
  } finally {
    await work.cache.close();
  }
}
