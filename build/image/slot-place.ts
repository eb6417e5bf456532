import type { FileHandle } from 'node:fs/promises';
import { UserError } from '../error.js';
import { readAt } from '../host/files.js';
import { readGpt, SLOT_TYPE } from './gpt.js';
import { findInRoot, isIso } from './iso9660.js';
import type { Extent } from './iso9660.js';
import { SLOT_SIZE } from './slot.js';

/**
 * Where the overlay slot of an image is: on an ISO the file /overlay, on a disk a partition of its own.
 *
 * @throws UserError if the image has none, or more than one.
 */
export async function findSlot(file: FileHandle, path: string): Promise<Extent> {
  const read = (offset: number, length: number): Promise<Buffer> => readAt(file, offset, length);
  const slot = (await isIso(read)) ? await findInRoot(read, 'overlay', path) : await onDisk(read, file, path);
  if (slot.length !== SLOT_SIZE)
    throw new UserError(
      `The overlay slot of ${path} has ${slot.length} bytes instead of ${SLOT_SIZE}.`,
      'Build it again.',
    );
  return slot;
}

async function onDisk(
  read: (offset: number, length: number) => Promise<Buffer>,
  file: FileHandle,
  path: string,
): Promise<Extent> {
  const partitions = await readGpt(read, (await file.stat()).size, path);
  const [slot, other] = partitions.filter(({ type }) => type === SLOT_TYPE);
  if (!slot || other)
    throw new UserError(
      `${path} has ${other ? 'more than one' : 'no'} partition for the overlay.`,
      'Name an image that this project made.',
    );
  return slot.extent;
}
