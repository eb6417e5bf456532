import { codeOf, InputError, whyOf } from '../error.js';
import { readText } from '../host/files.js';
import { parseLock } from '../packages/lockfile.js';
import { shownPath } from './configuration.js';

/** Largest lock, in bytes: a package takes some thousand. */
const MOST_LOCK = 32 * 1024 ** 2;

/**
 * Reads a lock.
 *
 * @returns undefined if there is none
 * @throws InputError if it cannot be read.
 */
export async function readLock(
  path: string,
): Promise<
  { readonly path: string; readonly text: string; readonly parsed: ReturnType<typeof parseLock> } | undefined
> {
  try {
    const text = await readText(path, MOST_LOCK);
    return { path, text, parsed: parseLock(text) };
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw new InputError(
      `${shownPath(path)} cannot be read: ${whyOf(error)}.`,
      'Remove it, and run `make lock`.',
    );
  }
}

/** What to do where a lock is missing or does not fit. */
export const MAKE_LOCK =
  'Run `make lock` with the same CONFIG= or DEPLOYMENTS= (clawdie-iso lock), look at what it changes, and commit it.';
