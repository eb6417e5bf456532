import { link, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { UserError } from '../error.js';
import { sha256 } from '../host/hash.js';
import { BOOTSTRAP, MEDIUM_FOLDER } from '../packages/medium.js';
import type { Medium, MediumPackage } from '../packages/medium.js';
import { repositoryAt } from '../packages/repository.js';
import type { Repository } from '../packages/repository.js';
import { PackageStore } from '../packages/store.js';
import type { WantedFile } from '../packages/store.js';
import { parseSum } from '../packages/sums.js';
import { NotThere } from '../release/download.js';
import type { Cache } from './cache.js';
import type { BuildEvent } from './events.js';
import { stage, throttled } from './stage.js';

/** The packages that lie on a base image, and where those come from that are not in the cache. */
export interface PackagesRequest {
  readonly medium: Medium;
  /** PACKAGES_REPOSITORY, and where a relative path in it begins. */
  readonly repository: { readonly value: string; readonly abi: string; readonly folder: string };
  /** Bytes that the root has for them beside what every root has. */
  readonly room: number;
}

/**
 * Sees to it that the files of locked packages are in the cache, each with the size and the sums of the lock, as a stage.
 *
 * @throws UserError if one cannot be had.
 */
export async function obtainPackages(
  { medium, repository: { value, abi, folder } }: PackagesRequest,
  work: {
    readonly cache: Cache;
    readonly signal: AbortSignal;
    readonly emit: (event: BuildEvent) => void;
  },
): Promise<PackageStore> {
  const { cache, emit, signal } = work;
  const store = new PackageStore(join(cache.folder, 'packages'));
  const repository = repositoryAt(value, abi, folder, { signal });
  return stage(work, 'packages', async () => {
    const lock = await cache.lock(
      sha256('packages'),
      (holder) => {
        emit({ type: 'note', text: `Waiting for ${holder}, which obtains packages.` });
      },
      signal,
    );
    const stop = new AbortController();
    const onAbort = (): void => {
      stop.abort(signal.reason);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      await store.ensure(
        medium.packages.map((each) => wantedFile(each, repository)),
        {
          stop,
          onProgress: throttled((done: number, total: number, label: string) => {
            emit({ type: 'progress', stage: 'packages', label, done, total, unit: 'bytes' });
          }),
        },
      );
      return store;
    } finally {
      signal.removeEventListener('abort', onAbort);
      await lock.release();
    }
  });
}

/** Puts the repository of locked packages, whose files are in the cache, into the folder that an ISO is made of. */
export async function placePackages(medium: Medium, store: PackageStore, iso: string): Promise<void> {
  const folder = join(iso, MEDIUM_FOLDER);
  await mkdir(folder);
  for (const [name, bytes] of medium.catalogue) await writeFile(join(folder, name), bytes);
  for (const each of medium.packages) {
    const target = join(folder, each.file);
    await mkdir(dirname(target), { recursive: true });
    // The same file under two names: it is only read.
    await link(store.path(expectedOf(each)), target);
    if (each.name !== 'pkg') continue;
    await mkdir(dirname(join(folder, BOOTSTRAP)));
    await link(target, join(folder, BOOTSTRAP));
  }
}

function expectedOf({ sum, sha256: own }: MediumPackage): WantedFile['expected'] {
  const parsed = parseSum(sum);
  if (!parsed) throw new Error('a lock has sums');
  return {
    sums: [
      { algorithm: parsed.algorithm, hex: parsed.hex },
      ...(parsed.algorithm === 'sha256' ? [] : [{ algorithm: 'sha256', hex: own }]),
    ],
  };
}

function wantedFile(each: MediumPackage, repository: Repository): WantedFile {
  const expected = expectedOf(each);
  const label = `${each.name} ${each.version}`;
  return {
    ...{ label, expected, size: each.size, kept: each.path },
    bring: async (to, onProgress) => {
      try {
        await repository.bring(each.path, to, expected, each.size, onProgress);
      } catch (error) {
        if (!(error instanceof NotThere)) throw error;
        throw new UserError(
          `${label}, which is locked, is no longer in ${repository.url}, and not in the cache: ${error.message}`,
          'Bring it back into the cache from a folder that keeps it (`clawdie-iso lock --vendor FOLDER`), or lock what there is now: `clawdie-iso lock --update`.',
        );
      }
    },
  };
}
