import { link, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { sha256 } from '../host/hash.js';
import { BOOTSTRAP, MEDIUM_FOLDER } from '../packages/medium.js';
import type { Medium } from '../packages/medium.js';
import { npmFile } from '../packages/npm.js';
import { expectedOf, GONE_FOR_IMAGES, packageFile } from '../packages/package-file.js';
import { repositoryAt } from '../packages/repository.js';
import { PackageStore } from '../packages/store.js';
import type { WantedFile } from '../packages/store.js';
import { PACKAGES_FOLDER } from './release.js';
import type { StageName } from './events.js';
import { stage, throttled, underLock } from './stage.js';
import type { Holding } from './stage.js';

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
  work: Holding,
): Promise<PackageStore> {
  const repository = repositoryAt(value, abi, folder, { signal: work.signal });
  const files = [
    ...medium.packages.map((each) => packageFile(each, repository, GONE_FOR_IMAGES)),
    ...medium.npm.map((each) => npmFile(each, { signal: work.signal })),
  ];
  return stage(work, 'packages', () =>
    withPackages(work, async (store) => {
      await ensureFiles(store, files, work);
      return store;
    }),
  );
}

/** Uses the store of packages of a cache while nobody else changes it. */
export function withPackages<T>(work: Holding, use: (store: PackageStore) => Promise<T>): Promise<T> {
  const store = new PackageStore(join(work.cache.folder, PACKAGES_FOLDER));
  return underLock(work, sha256(PACKAGES_FOLDER), 'obtains packages', () => use(store));
}

/** As PackageStore.ensure() does, with the progress of a stage. */
export async function ensureFiles(
  store: PackageStore,
  files: readonly WantedFile[],
  { emit, signal }: Holding,
  kept?: string,
  name: StageName = 'packages',
): Promise<readonly string[]> {
  return store.ensure(files, {
    ...{ kept, signal },
    onProgress: throttled((done: number, total: number, label: string) => {
      emit({ type: 'progress', stage: name, label, done, total, unit: 'bytes' });
    }),
  });
}

/**
 * Has the files of a lock in the cache, and where a folder keeps them there too, with the catalogue that they are of. Says so where
 * the cache does not have that any more.
 *
 * @param digest SHA-256 of what was signed of the catalogue
 * @returns the SHA-256 of each file, in hexadecimal, in their order
 * @throws UserError if one cannot be had.
 */
export async function bringLocked(
  store: PackageStore,
  files: readonly WantedFile[],
  {
    digest,
    of,
    vendor,
  }: { readonly digest: string; readonly of: string; readonly vendor: string | undefined },
  work: Holding,
  name: StageName,
): Promise<readonly string[]> {
  const sums = await ensureFiles(store, files, work, vendor, name);
  if (vendor === undefined) return sums;
  await store.keep(files, vendor, work.signal);
  if (!(await store.keepCatalogue(digest, vendor)))
    work.emit({
      type: 'note',
      text: `The catalogue of ${of} is not in the cache any more: ${vendor} has the packages, and no catalogue.`,
    });
  return sums;
}

/** Puts the repository of locked packages, whose files are in the cache, into the folder that an ISO is made of. */
export async function placePackages(medium: Medium, store: PackageStore, iso: string): Promise<void> {
  const folder = join(iso, MEDIUM_FOLDER);
  await mkdir(folder);
  for (const [name, bytes] of [...medium.catalogue, ...medium.npmProject]) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), bytes);
  }
  for (const each of medium.npm) await link(store.path(npmFile(each, {}).expected), join(folder, each.file));
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
