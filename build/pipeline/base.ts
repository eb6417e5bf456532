import { chmod, copyFile, link, mkdir, readdir, utimes, writeFile } from 'node:fs/promises';
import { isDeepStrictEqual } from 'node:util';
import { dirname, join } from 'node:path';
import { UserError } from '../error.js';
import { removeTree, writeError } from '../host/files.js';
import { makeEsp } from '../image/esp.js';
import { makeIso } from '../image/iso.js';
import { emptySlot } from '../image/slot.js';
import { measureBase } from '../image/stamp.js';
import type { BaseSums, CheckedBase } from '../image/stamp.js';
import type { RcScript } from '../rc/headers.js';
import type { Release } from '../release/source.js';
import type { Profile } from '../rootfs/prune.js';
import type { FileSet } from '../rootfs/rootfs.js';
import type { CacheEntry } from './cache.js';
import type { PackageStore } from '../packages/store.js';
import { misplaced, obtainPackages, placePackages } from './packages.js';
import type { PackagesRequest } from './packages.js';
import type { DiskFacts } from './disk.js';
import type { BaseKeys } from './plan.js';
import { releaseOf } from './release.js';
import { makeRoot, ROOT_IMAGE } from './root.js';
import { stage, throttled, underLock } from './stage.js';
import type { Holding } from './stage.js';

export { releaseOf, stage, throttled };

export interface BaseRequest {
  readonly release: Release;
  readonly version: string;
  readonly arch: string;
  readonly profile: Profile;
  readonly time: number;
  readonly baseOverlay: FileSet;
  readonly isoOverlay: FileSet;
  /** Where there is a lock. */
  readonly packages?: PackagesRequest | undefined;
  readonly keys: BaseKeys;
}

/** A base image or a base disk that was made elsewhere. */
export interface Stored<T> {
  readonly facts: T;
  /** Where it is, for people. */
  readonly from: string;
  /** Brings it into a file; `work` is a folder of its own that is not there yet. */
  readonly fetch: (file: string, work: string) => Promise<void>;
}

export interface Work extends Holding {
  /** Hears of a base image once it is whole, before its bytes are looked at. */
  readonly onBase?: (path: string) => void;
  /** What need not be made, by cache key. */
  readonly stored?: {
    readonly bases: ReadonlyMap<string, Stored<BaseFacts>>;
    readonly disks: ReadonlyMap<string, Stored<DiskFacts>>;
  };
}

/** What the root file system of a base image holds, for the build record. */
export interface RootFacts {
  readonly release: {
    readonly id: string;
    readonly from: string;
    readonly trust: string;
    readonly sums: Readonly<Record<string, string>>;
  };
  readonly root: {
    readonly files: number;
    readonly folders: number;
    readonly symlinks: number;
    /** of file contents, in bytes; hard links count once */
    readonly bytes: number;
    /** of the UFS image and its compressed form, in bytes */
    readonly imageBytes: number;
    readonly compressedBytes: number;
    /** Files that run with another's rights: `mode uid:gid path`. */
    readonly setuid: readonly string[];
    readonly kernelModules: readonly string[];
    /** Headers of the rc.d scripts, for their order. */
    readonly rc: readonly RcScript[];
    /** Files of the release that were left out, by reason. */
    readonly pruned: Readonly<Record<string, number>>;
  };
}

export type BaseFacts = RootFacts & { readonly sums: BaseSums };

/** A base image of the cache, and what was seen of its bytes where it was just made. */
export type BaseEntry = CacheEntry<BaseFacts> & { readonly checked?: CheckedBase };

/** The base image: from the cache where it seems to stand there undamaged, otherwise made. */
export async function obtainBase(request: BaseRequest, work: Work): Promise<BaseEntry> {
  const { cache } = work;
  const present = await cache.get<BaseFacts>('base', request.keys.base);
  if (present) return present;
  return underLock(work, request.keys.base, 'makes the same base image', async () => {
    const made = await cache.get<BaseFacts>('base', request.keys.base);
    if (made) return made;
    const stored = work.stored?.bases.get(request.keys.base);
    if (stored) return await fetchBase(request.keys.base, stored, work);
    const root = await undamagedRoot(request, work);
    return await makeBase(request, root, work);
  });
}

/**
 * The root of a release as images have it, undamaged: from the cache, or made.
 *
 * @throws UserError if it cannot be made.
 */
export function obtainRoot(request: BaseRequest, work: Work): Promise<CacheEntry<RootFacts>> {
  return underLock(work, request.keys.base, 'makes the same base image', () => undamagedRoot(request, work));
}

async function undamagedRoot(request: BaseRequest, work: Work): Promise<CacheEntry<RootFacts>> {
  const { cache, signal } = work;
  const root = await cache.get<RootFacts>('root', request.keys.root);
  if (!root) return makeRoot(request, work);
  if (await cache.verify('root', request.keys.root, signal)) return root;
  work.emit({
    type: 'warning',
    text: `The root file system in the cache (${root.folder}) is damaged; it is made again.`,
  });
  await cache.remove('root', request.keys.root);
  return makeRoot(request, work);
}

/** Brings a base image that was made elsewhere into the cache. */
function fetchBase(key: string, stored: Stored<BaseFacts>, work: Work): Promise<BaseEntry> {
  return keepBase(key, work, {
    write: (image, folder) => {
      work.emit({ type: 'doing', text: `Fetching the base image from ${stored.from}` });
      return stored.fetch(image, join(folder, 'fetched'));
    },
    factsOf: (sums) => {
      if (!isDeepStrictEqual(sums, stored.facts.sums))
        throw new UserError(
          `The base image of ${stored.from} is not the one that its description tells of.`,
          'Push it again.',
        );
      return stored.facts;
    },
  });
}

/** How a base image comes into the cache. */
interface BaseSource {
  /** Writes it; `folder` is one to work in. */
  readonly write: (image: string, folder: string) => Promise<void>;
  /** Says what is wrong with one that is whole, beside its sums; undefined if nothing is. */
  readonly wrong?: (image: string) => Promise<string | undefined>;
  /** What there is to know of it, by its sums. */
  readonly factsOf: (sums: BaseSums) => BaseFacts;
}

/** Puts a base image into the cache, as a stage. @throws Misplaced if it is wrong; UserError. */
async function keepBase(key: string, work: Work, { write, wrong, factsOf }: BaseSource): Promise<BaseEntry> {
  const { cache, signal } = work;
  const folder = await cache.workFolder();
  try {
    return await stage(work, 'base', async () => {
      const out = join(folder, 'entry');
      await mkdir(out);
      const image = join(out, BASE_IMAGE);
      await write(image, folder);
      await chmod(image, 0o644);
      work.onBase?.(image);
      const [checked, flaw] = await Promise.all([measureBase(image, signal), wrong?.(image)]);
      if (flaw !== undefined) throw new Misplaced(flaw);
      const entry = await cache.put('base', key, out, factsOf(checked.known), false, signal);
      // It was looked at before it came there, and is the same file.
      return { ...entry, checked: { ...checked, path: join(entry.folder, BASE_IMAGE) } };
    });
  } catch (error) {
    throw error instanceof Misplaced ? error : writeError(folder, error);
  } finally {
    await removeTree(folder);
  }
}

/** Name of the file in a `base` entry. */
export const BASE_IMAGE = 'base.iso';

/** Volume label of the ISO. */
const VOLUME = 'CLAWDIE';

/** Files of a `root` entry that are in no folder of the ISO, or get there in another way. */
const OUTSIDE: readonly string[] = [ROOT_IMAGE, 'boot/pmbr', 'boot/isoboot', 'boot/loader.efi'];

/** Makes the base image; its packages are held against the lock in the image itself, beside the rest of it. */
async function makeBase(request: BaseRequest, root: CacheEntry<RootFacts>, work: Work): Promise<BaseEntry> {
  const { cache, signal } = work;
  const { packages } = request;
  for (let again = false; ; again = true) {
    // What lies in the cache is read once, on its way into the image; a second time where that was not what it should be.
    const store = packages && (await obtainPackages(packages, work, !again));
    try {
      return await keepBase(request.keys.base, work, {
        write: (image, folder) => writeBase(request, root, store, { folder, image }, signal),
        ...(packages && { wrong: (image) => misplaced(packages.medium, image, signal) }),
        factsOf: (sums) => ({ ...root.facts, sums }),
      });
    } catch (error) {
      if (!(error instanceof Misplaced)) throw error;
      if (again)
        throw new UserError(
          `The base image is not kept: ${error.message}, although the file was right a moment before.`,
          `Something changes files in ${cache.folder} while images are made, or its disk fails; look at it, then run the same command again.`,
        );
      work.emit({ type: 'warning', text: `In the base image ${error.message}. It is made again.` });
    }
  }
}

/** A package in a base image that is not the one that was locked. */
class Misplaced extends Error {}

/** Writes the image of a base: a folder of all that is in it, and of that the ISO. */
async function writeBase(
  request: BaseRequest,
  root: CacheEntry<RootFacts>,
  store: PackageStore | undefined,
  { folder, image }: { readonly folder: string; readonly image: string },
  signal: AbortSignal,
): Promise<void> {
  const { packages } = request;
  const iso = join(folder, 'iso');
  await mkdir(join(iso, 'boot'), { recursive: true });
  const part = (path: string): string => join(root.folder, path);
  for (const path of root.files) {
    if (OUTSIDE.includes(path)) continue;
    const target = join(iso, path);
    await mkdir(dirname(target), { recursive: true });
    await copyFile(part(path), target);
  }
  for (const file of request.isoOverlay.files) {
    await mkdir(dirname(join(iso, file)), { recursive: true });
    await copyFile(join(request.isoOverlay.folder, file), join(iso, file));
  }
  // The same file under two names: it is only read, and is the larger part of the image.
  await link(part(ROOT_IMAGE), join(iso, ROOT_IMAGE));
  if (packages && store) await placePackages(packages.medium, store, iso);
  await writeFile(join(iso, 'overlay'), emptySlot(releaseOf(request)));
  await settle(iso, request.time);
  const esp = await makeEsp(part('boot/loader.efi'), join(folder, 'esp'), request.time, signal);
  await makeIso(
    { folder: iso, pmbr: part('boot/pmbr'), isoboot: part('boot/isoboot'), esp },
    image,
    VOLUME,
    request.time,
    signal,
  );
}

/** Gives every file of a tree one time and a mode that does not depend on the umask. */
async function settle(folder: string, time: number): Promise<void> {
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    await chmod(path, entry.isDirectory() ? 0o755 : 0o444);
    await utimes(path, time, time);
  }
  await chmod(folder, 0o755);
  await utimes(folder, time, time);
}
