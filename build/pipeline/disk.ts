import { createReadStream } from 'node:fs';
import { chmod, mkdir, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import type { DiskFormat } from '../config/keys/disk.js';
import { UserError } from '../error.js';
import { compressAround, decompress, writeCompressed } from '../disk/compress.js';
import type { Pieces } from '../disk/compress.js';
import { convert } from '../disk/convert.js';
import { diskSize, installInQemu } from '../disk/install.js';
import { checkInstalled } from '../disk/packages.js';
import type { DiskPackages, Installed } from '../disk/packages.js';
import { exists, removeTree, writeError } from '../host/files.js';
import { sha256File } from '../host/hash.js';
import { writeHashed } from '../host/write-hashed.js';
import type { Written } from '../host/write-hashed.js';
import { installSlot, SLOT_SIZE } from '../image/slot.js';
import { packOverlay } from '../overlay/pack.js';
import { stamp } from '../image/stamp.js';
import type { Extent } from '../image/iso9660.js';
import { releaseOf, stage } from './base.js';
import type { BaseRequest, Stored, Work } from './base.js';
import type { CacheEntry } from './cache.js';
import type { ReadyBase } from './deploy.js';
import { underLock } from './stage.js';

export type DiskFs = 'ufs' | 'zfs';

/** A disk that images are made of: its base image, and the file system of its root. */
export interface DiskRequest {
  readonly request: BaseRequest;
  readonly fs: DiskFs;
  /** What is installed on it, where there is a lock. */
  readonly packages: DiskPackages | undefined;
  /** Its cache key. */
  readonly key: string;
}

/** What is known of a base disk: a disk with an empty slot, compressed in pieces. */
export interface DiskFacts {
  /** Size of the disk in bytes. */
  readonly size: number;
  readonly fs: DiskFs;
  readonly slot: Extent;
  /** What is before and behind the slot, compressed; see {@link compressAround}. */
  readonly pieces: Pieces;
  /** What pkg(8) has on it: what the lock says. */
  readonly packages?: readonly Installed[] | undefined;
}

export type BaseDisk = CacheEntry<DiskFacts>;

/** Name of the file in a `disk` entry. */
export const BASE_DISK = 'disk.zst';

/**
 * The base disk of a base image, undamaged: from the cache, or made by the installer itself in QEMU.
 *
 * @throws UserError if it cannot be made.
 */
export async function readyDisk(wanted: DiskRequest, base: ReadyBase, work: Work): Promise<BaseDisk> {
  const { cache, signal, emit } = work;
  const { key } = wanted;
  const standing = await cache.get<DiskFacts>('disk', key);
  if (standing && (await cache.verify('disk', key, signal))) return standing;
  return underLock(work, key, 'makes the same base disk', async () => {
    const present = await cache.get<DiskFacts>('disk', key);
    if (present && (await cache.verify('disk', key, signal))) return present;
    if (present) {
      emit({
        type: 'warning',
        text: `The base disk in the cache (${present.folder}) is damaged; it is made again.`,
      });
      await cache.remove('disk', key);
    }
    const stored = work.stored?.disks.get(key);
    return await stage(work, 'disk', () =>
      stored ? fetchDisk(key, stored, work) : makeDisk(wanted, base, work),
    );
  });
}

/** Brings a base disk that was made elsewhere into the cache. */
async function fetchDisk(key: string, stored: Stored<DiskFacts>, work: Work): Promise<BaseDisk> {
  const { cache, signal } = work;
  const folder = await cache.workFolder();
  try {
    const out = join(folder, 'entry');
    await mkdir(out);
    const file = join(out, BASE_DISK);
    await stored.fetch(file, join(folder, 'fetched'));
    await chmod(file, 0o644);
    if ((await sha256File(file, { signal })) !== stored.facts.pieces.sha256)
      throw new UserError(
        `The base disk of ${stored.from} is not the one that its description tells of.`,
        'Push it again.',
      );
    return await cache.put('disk', key, out, stored.facts, true, signal);
  } catch (error) {
    throw writeError(folder, error);
  } finally {
    await removeTree(folder);
  }
}

async function makeDisk(
  { request, fs, packages, key }: DiskRequest,
  base: ReadyBase,
  work: Work,
): Promise<BaseDisk> {
  const { cache, signal, emit } = work;
  const { kernelModules, imageBytes } = base.facts.root;
  if (fs === 'zfs' && !kernelModules.includes('zfs.ko'))
    throw new UserError('INSTALL_FS is "zfs", but the release holds no ZFS.', 'Set INSTALL_FS="ufs".');
  const folder = await cache.workFolder();
  try {
    await checkRoom(folder, imageBytes);
    const image = join(folder, 'install.iso');
    const disk = join(folder, 'disk');
    const medium = request.packages?.medium;
    const packed = medium?.packages.reduce((sum, each) => sum + each.size, 0) ?? 0;
    const size = diskSize(imageBytes, packed + (medium?.hostBytes ?? 0));
    const archive = packages && (await packOverlay(packages.entries, request.time));
    await stamp(base.checked, installSlot(releaseOf(request), fs, archive), image, 0o600);
    const { slot, packages: installed } = await installInQemu({
      ...{ image, as: 'image', disk, size, accel: 'auto', signal },
      memory: Math.max(2048, Math.ceil(imageBytes / 1024 ** 2) + 1024),
      onProgress: (label, done) => {
        emit({ type: 'progress', stage: 'disk', label, done, total: 100, unit: 'percent' });
      },
      warn: (text) => {
        emit({ type: 'warning', text });
      },
    });
    checkInstalled(installed, packages?.locked ?? []);
    const out = join(folder, 'entry');
    await mkdir(out);
    const pieces = await compressAround(disk, slot, size, join(out, BASE_DISK), signal);
    const facts = { size, fs, slot, pieces, ...(packages && { packages: installed }) };
    return await cache.put('disk', key, out, facts, true, signal);
  } catch (error) {
    throw writeError(folder, error);
  } finally {
    await removeTree(folder);
  }
}

/** Bytes that a disk takes beside its root, and again compressed. */
const BESIDE = 256 * 1024 ** 2;

/** @throws UserError if a disk with such a root would fill the file system: in the guest that looks like a broken disk. */
async function checkRoom(folder: string, rootBytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(folder);
  const [free, needed] = [bavail * bsize, 2 * rootBytes + BESIDE];
  if (free < needed)
    throw new UserError(
      `Making a base disk needs ${Math.ceil(needed / 1e6)} MB in ${folder}, which has ${Math.floor(free / 1e6)} MB.`,
      'Free some space on that file system, or choose another cache: CLAWDIE_CACHE, --cache.',
    );
}

/** A disk image to be written. */
export interface DiskTarget {
  readonly format: DiskFormat;
  /** Where it is made, and the name that it will have. */
  readonly part: string;
  readonly name: string;
}

/**
 * Writes the disk images of one deployment.
 *
 * @param slot as far as it is not zero
 * @param mode of the images
 * @param time for formats that have a date of their own, in seconds since the epoch
 * @returns what each came to, by its name
 * @throws UserError if one cannot be written; some may then stand half-made under their temporary names.
 */
export async function writeDisks(
  disk: BaseDisk,
  slot: Buffer,
  targets: readonly DiskTarget[],
  mode: number,
  time: number,
  { cache, signal }: Pick<Work, 'cache' | 'signal'>,
): Promise<ReadonlyMap<string, Written>> {
  const folder = await cache.workFolder();
  try {
    const compressed = targets.find(({ format }) => format === 'img')?.part ?? join(folder, 'img.zst');
    const pieces = join(disk.folder, BASE_DISK);
    const whole = Buffer.concat([slot], SLOT_SIZE);
    const img = await writeCompressed(pieces, disk.facts.pieces.cut, whole, compressed, mode, signal);
    const raw = join(folder, 'disk');
    const id = Buffer.from(img.sha256, 'hex');
    const results = new Map<string, Written>();
    for (const { format, part, name } of targets) {
      if (format === 'img') {
        results.set(name, img);
        continue;
      }
      if (!(await exists(raw))) await decompress(compressed, raw, signal);
      // Some formats hold the name that they were made under.
      const made = join(folder, name);
      await convert(raw, made, format, id, time, signal);
      const copy = createReadStream(made, { highWaterMark: 1 << 20, signal });
      results.set(name, await writeHashed(part, mode, copy));
      await rm(made);
    }
    return results;
  } finally {
    await removeTree(folder);
  }
}
