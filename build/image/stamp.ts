import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { UserError } from '../error.js';
import { readAt, writeError } from '../host/files.js';
import { findInRoot } from './iso9660.js';
import type { Extent } from './iso9660.js';
import { SECTOR, SLOT_SIZE, slotRelease } from './slot.js';

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

const CHUNK = 1024 * 1024;

/**
 * Finds the slot of a base image and sums up what is around it.
 *
 * @throws UserError if the image has no empty slot.
 */
export async function measureBase(path: string, signal: AbortSignal): Promise<BaseSums> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    const slot = await findInRoot((offset, length) => readAt(file, offset, length), 'overlay', path);
    const head = await readAt(file, slot.offset, SECTOR);
    if (slot.length !== SLOT_SIZE || slotRelease(head) === undefined) {
      throw new UserError(`${path} has no empty overlay slot.`, 'Build the base image again.');
    }
    const sum = async (from: number, to: number): Promise<string> => {
      const hash = createHash('sha256');
      await eachChunk(file, from, to, signal, (chunk) => {
        hash.update(chunk);
      });
      return hash.digest('hex');
    };
    return {
      size,
      slot,
      before: await sum(0, slot.offset),
      behind: await sum(slot.offset + slot.length, size),
    };
  } finally {
    await file.close();
  }
}

/**
 * Writes the image of one deployment: the base image with the slot filled. The bytes are read once: copied, compared
 * with what is known of the base, and summed up.
 *
 * @param output open, empty file
 * @returns SHA-256 of the image
 * @throws DamagedBase if the base image is not what was built; the output is then of no use.
 */
export async function stamp(
  base: string,
  known: BaseSums,
  slot: Buffer,
  output: FileHandle,
  options: { readonly signal: AbortSignal; readonly onBytes?: (count: number) => void },
): Promise<string> {
  const input = await open(base, 'r').catch((error: unknown) => {
    throw new DamagedBase(`The base image ${base} cannot be read: ${(error as Error).message}.`);
  });
  try {
    const damaged = (what: string): DamagedBase =>
      new DamagedBase(`The base image ${base} is damaged: ${what}.`);
    if ((await input.stat()).size !== known.size) throw damaged('its size has changed');
    const image = createHash('sha256');
    const copy = async (chunk: Buffer, position: number): Promise<void> => {
      image.update(chunk);
      await writeFully(output, chunk, position);
      options.onBytes?.(chunk.length);
    };
    await eachChunk(input, 0, known.slot.offset, options.signal, copy);
    if (image.copy().digest('hex') !== known.before)
      throw damaged('the part before the overlay slot has changed');
    await copy(slot, known.slot.offset);
    const behind = createHash('sha256');
    await eachChunk(
      input,
      known.slot.offset + known.slot.length,
      known.size,
      options.signal,
      async (chunk, position) => {
        behind.update(chunk);
        await copy(chunk, position);
      },
    );
    if (behind.digest('hex') !== known.behind) throw damaged('the part behind the overlay slot has changed');
    return image.digest('hex');
  } finally {
    await input.close();
  }
}

async function eachChunk(
  file: FileHandle,
  from: number,
  to: number,
  signal: AbortSignal,
  use: (chunk: Buffer, position: number) => void | Promise<void>,
): Promise<void> {
  const buffer = Buffer.allocUnsafe(CHUNK);
  for (let at = from; at < to;) {
    signal.throwIfAborted();
    const { bytesRead } = await file.read(buffer, 0, Math.min(CHUNK, to - at), at);
    if (bytesRead === 0) return;
    await use(buffer.subarray(0, bytesRead), at);
    at += bytesRead;
  }
}

async function writeFully(file: FileHandle, chunk: Buffer, position: number): Promise<void> {
  for (let done = 0; done < chunk.length;) {
    try {
      done += (await file.write(chunk, done, chunk.length - done, position + done)).bytesWritten;
    } catch (error) {
      throw writeError('the image', error);
    }
  }
}
