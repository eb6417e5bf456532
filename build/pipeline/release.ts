import { join } from 'node:path';
import { sha256 } from '../host/hash.js';
import type { CheckedRelease, Release } from '../release/source.js';
import { stage, throttled, underLock } from './stage.js';
import type { Holding } from './stage.js';

/** The release that images are of, as their slots name it. */
export function releaseOf({ version, arch }: { readonly version: string; readonly arch: string }): string {
  return `${version}-${arch}`;
}

/** Where a cache keeps packages; who changes something there holds the lock of that name. */
export const PACKAGES_FOLDER = 'packages';

/** Obtains a release, every byte of it checked, as a stage. Whoever gets them closes them. */
export function obtainRelease(release: Release, work: Holding): Promise<CheckedRelease> {
  const { cache, signal, emit } = work;
  const [folder, lock] =
    release.packaged === true
      ? [join(cache.folder, PACKAGES_FOLDER), sha256(PACKAGES_FOLDER)]
      : [cache.downloads, sha256(release.id)];
  return stage(work, 'release', () =>
    // Base images of several kinds are made of one release, and its downloads are in one place.
    underLock(work, lock, 'obtains the same release', () =>
      release.obtain({
        folder,
        signal,
        note: (text) => {
          emit({ type: 'note', text });
        },
        doing: (text) => {
          emit({ type: 'doing', text });
        },
        progress: throttled((label: string, done: number, total: number | undefined) => {
          const of = total === undefined ? {} : { total };
          emit({ type: 'progress', stage: 'release', label, done, ...of, unit: 'bytes' });
        }),
      }),
    ),
  );
}
