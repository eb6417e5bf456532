import { link, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { openFile, readAt } from '../host/files.js';
import { sha256 } from '../host/hash.js';
import { listFiles } from '../image/iso9660.js';
import { checkPart } from '../packages/checked-file.js';
import { BOOTSTRAP, MEDIUM_FOLDER } from '../packages/medium.js';
import type { Medium } from '../packages/medium.js';
import { npmExpected, npmFile } from '../packages/npm.js';
import { expectedOf, GONE_FOR_IMAGES, packageFile } from '../packages/package-file.js';
import { repositoryAt } from '../packages/repository.js';
import { fetching, PackageStore } from '../packages/store.js';
import type { WantedFile } from '../packages/store.js';
import { PACKAGES_FOLDER } from './release.js';
import type { StageName } from './events.js';
import { stage, throttled, toldOf, underLock } from './stage.js';
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
 * @param unread whether the bytes of those that are there are left unread: misplaced() looks at them
 * @throws UserError if one cannot be had.
 */
export async function obtainPackages(
  { medium, repository: { value, abi, folder } }: PackagesRequest,
  work: Holding,
  unread: boolean,
): Promise<PackageStore> {
  const download = toldOf(work);
  const repository = repositoryAt(value, abi, folder, download);
  const files = [
    ...medium.packages.map((each) => packageFile(each, repository, GONE_FOR_IMAGES)),
    ...medium.npm.map((each) => npmFile(each, repository, download)),
  ];
  return stage(work, 'packages', () =>
    withPackages(work, async (store) => {
      await ensureFiles(store, unread ? await store.missing(files) : files, work);
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
  const missing = await store.missing(files);
  if (missing.length > 0) emit({ type: 'doing', text: fetching(missing, files.length) });
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

/** A file of the folder of packages: its bytes, or where the cache has it. */
export type MediumFile = { readonly path: string } & ({ readonly bytes: Buffer } | { readonly from: string });

/** The repository of locked packages as images carry it, whose files are in the cache. */
export function mediumFiles(medium: Medium, store: PackageStore): readonly MediumFile[] {
  return [
    ...[...medium.catalogue, ...medium.npmProject].map(([path, bytes]) => ({ path, bytes })),
    ...medium.npm.map((each) => ({ path: each.file, from: store.path(npmExpected(each)) })),
    ...medium.packages.flatMap((each) =>
      [each.file, ...(each.name === 'pkg' ? [BOOTSTRAP] : [])].map((path) => ({
        ...{ path, from: store.path(expectedOf(each)) },
      })),
    ),
  ];
}

/** Puts it into the folder that an ISO is made of. */
export async function placePackages(medium: Medium, store: PackageStore, iso: string): Promise<void> {
  for (const file of mediumFiles(medium, store)) {
    const target = join(iso, MEDIUM_FOLDER, file.path);
    await mkdir(dirname(target), { recursive: true });
    // The same file under two names: it is only read.
    if ('from' in file) await link(file.from, target);
    else await writeFile(target, file.bytes);
  }
}

/**
 * Holds the packages in an image that was made of a folder with them against the lock: what was read to make it need not be
 * what was there before.
 *
 * @returns a sentence about the first that is not what was locked; undefined where all are
 * @throws UserError if the image cannot be read.
 */
export async function misplaced(
  { catalogue, npm, npmProject, packages }: Medium,
  image: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  const file = await openFile(image);
  try {
    const found = await listFiles((offset, length) => readAt(file, offset, length), image, 'posix');
    const wanted = [
      ...[...catalogue, ...npmProject].map(([path, bytes]) => ({
        ...{ path, size: bytes.length },
        expected: { sums: [{ algorithm: 'sha256', hex: sha256(bytes) }] },
      })),
      ...packages.flatMap((each) =>
        [each.file, ...(each.name === 'pkg' ? [BOOTSTRAP] : [])].map((path) => ({
          ...{ path, expected: expectedOf(each), size: each.size },
        })),
      ),
      ...npm.map((each) => ({ path: each.file, expected: npmExpected(each), size: undefined })),
    ];
    // Nobody is to be reading any more when the file is closed.
    const looked = await Promise.allSettled(
      wanted.map(async ({ path, expected, size }) => {
        const extent = found.get(`/${MEDIUM_FOLDER}/${path}`);
        const checked = extent
          ? await checkPart(file, extent, expected, size, undefined, signal)
          : { wrong: 'is not there' };
        return 'wrong' in checked ? `${MEDIUM_FOLDER}/${path} ${checked.wrong}` : undefined;
      }),
    );
    for (const each of looked) {
      if (each.status === 'rejected') throw each.reason;
      if (each.value !== undefined) return each.value;
    }
    return undefined;
  } finally {
    await file.close();
  }
}
