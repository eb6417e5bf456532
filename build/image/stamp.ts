import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import type { BigIntStats } from 'node:fs';
import { copyFile, open, rm } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { UserError } from '../error.js';
import { readAt, writeError, writeFully } from '../host/files.js';
import { hashRange } from '../host/hash.js';
import { sumBeginning } from '../host/summing.js';
import type { Summed } from '../host/summing.js';
import { findSlot } from './slot-place.js';
import type { Extent } from './iso9660.js';
import { SECTOR, slotRelease, ZEROS } from './slot.js';

/** What is known of a base image: enough to tell, while it is copied, that it is undamaged. */
export interface BaseSums {
  readonly size: number;
  readonly slot: Extent;
  /** SHA-256 of all before the slot, and of all behind it. */
  readonly before: string;
  readonly behind: string;
}

/** A base image whose bytes are not those that were built. */
export class DamagedBase extends UserError {}

/** A base image whose bytes were looked at: images are made of it without looking at them again. */
export interface CheckedBase {
  readonly path: string;
  readonly known: BaseSums;
  /** What the bytes before the slot sum up to so far: they are the same in every image. */
  readonly before: Summed;
  /** The file that was looked at; another one under its name is not it. */
  readonly identity: string;
}

/**
 * Finds the slot of a base image that was just made, and sums up what is around it.
 *
 * @throws UserError if the image has no empty slot.
 */
export async function measureBase(path: string, signal: AbortSignal): Promise<CheckedBase> {
  const file = await open(path, 'r');
  try {
    const info = await file.stat({ bigint: true });
    const size = Number(info.size);
    const slot = await findSlot(file, path);
    if (slotRelease(await readAt(file, slot.offset, SECTOR)) === undefined || !(await isEmpty(file, slot)))
      throw new UserError(`${path} has no empty overlay slot.`, 'Build the base image again.');
    const before = await sumBeginning(file, slot.offset, signal);
    const behind = await sumBehind(file, slot, size, signal);
    return { path, known: { size, slot, before: before.hex, behind }, before, identity: identityOf(info) };
  } finally {
    await file.close();
  }
}

/** Whether all of a slot but its first sector is zero. */
async function isEmpty(file: FileHandle, { offset, length }: Extent): Promise<boolean> {
  const slot = await readAt(file, offset, length);
  return slot.subarray(SECTOR).equals(ZEROS.subarray(SECTOR, length));
}

/** SHA-256 of all behind the slot. */
async function sumBehind(
  file: FileHandle,
  { offset, length }: Extent,
  size: number,
  signal: AbortSignal,
): Promise<string> {
  return (await hashRange(createHash('sha256'), file, offset + length, size, signal)).digest('hex');
}

/**
 * Reads a base image once, and tells whether it is what was built.
 *
 * @throws DamagedBase if it is not.
 */
export async function checkBase(path: string, known: BaseSums, signal: AbortSignal): Promise<CheckedBase> {
  const damaged = (what: string): DamagedBase =>
    new DamagedBase(`The base image ${path} is damaged: ${what}.`);
  const file = await open(path, 'r').catch((error: unknown) => {
    throw new DamagedBase(`The base image ${path} cannot be read: ${(error as Error).message}.`);
  });
  try {
    const info = await file.stat({ bigint: true });
    if (Number(info.size) !== known.size) throw damaged('its size has changed');
    const before = await sumBeginning(file, known.slot.offset, signal);
    if (before.hex !== known.before) throw damaged('the part before the overlay slot has changed');
    if ((await sumBehind(file, known.slot, known.size, signal)) !== known.behind)
      throw damaged('the part behind the overlay slot has changed');
    if (!(await isEmpty(file, known.slot))) throw damaged('its overlay slot is not empty');
    return { path, known, before, identity: identityOf(info) };
  } finally {
    await file.close();
  }
}

/**
 * Copies a base image: the file system does (reflink where it can, else copy_file_range(2)).
 *
 * @param image nothing may stand there
 * @returns which file was copied, as CheckedBase has it; undefined where that changed meanwhile
 * @throws the system's error.
 */
export async function copyBase(base: string, image: string): Promise<string | undefined> {
  const file = await open(base, 'r');
  try {
    const before = identityOf(await file.stat({ bigint: true }));
    await copyFile(base, image, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
    // It may have another name by now, but not other bytes.
    return before === identityOf(await file.stat({ bigint: true })) ? before : undefined;
  } finally {
    await file.close();
  }
}

function identityOf({ dev, ino, size, mtimeNs }: BigIntStats): string {
  return [dev, ino, size, mtimeNs].join(' ');
}

/**
 * Makes the image of one deployment: a copy of the base image with the slot filled. Summed up are the slot and what is behind it,
 * since all before is known.
 *
 * @param image where it is made; nothing may stand there, but for a copy that was made ahead. Left behind half-made if this throws
 * @param mode of the image, set before the slot is in it
 * @param ahead which file was copied there before, if one was
 * @returns SHA-256 of the image
 * @throws DamagedBase if the base image has changed since it was looked at; UserError if it cannot be written.
 */
export async function stamp(
  base: CheckedBase,
  slot: Buffer,
  image: string,
  mode: number,
  ahead?: string,
): Promise<string> {
  const { known } = base;
  const input = await open(base.path, 'r').catch((error: unknown) => {
    throw new DamagedBase(`The base image ${base.path} cannot be read: ${(error as Error).message}.`);
  });
  try {
    if (ahead !== base.identity) {
      if (ahead !== undefined) await rm(image);
      await copyBase(base.path, image);
    }
    const output = await open(image, 'r+');
    try {
      await output.chmod(mode);
      await writeFully(output, slot, known.slot.offset);
      // Of an empty slot all but its first sector is zero already.
      const filled = [slot, ZEROS.subarray(slot.length, known.slot.length)];
      const behind = known.slot.offset + known.slot.length;
      const sum = await base.before.followedBy(filled, input, behind, known.size);
      const [now, copied] = [await input.stat({ bigint: true }), await output.stat()];
      if (identityOf(now) !== base.identity || copied.size !== known.size)
        throw new DamagedBase(`The base image ${base.path} has changed while images were made of it.`);
      return sum;
    } finally {
      await output.close();
    }
  } catch (error) {
    throw writeError(image, error);
  } finally {
    await input.close();
  }
}
