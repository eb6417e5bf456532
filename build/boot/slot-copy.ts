import { constants } from 'node:fs';
import { copyFile, open, stat } from 'node:fs/promises';
import { run } from '../host/process.js';
import { readAt } from '../host/files.js';
import { findSlot } from '../image/slot-place.js';
import { archiveIn, filledSlot, headerOf, SECTOR } from '../image/slot.js';
import { packOverlay } from '../overlay/pack.js';
import type { OverlayEntry } from '../overlay/render.js';
import { unpackOverlay } from '../overlay/unpack.js';

/**
 * Copies an image, most of which may be nothing: where it is zero, the copy takes no room.
 *
 * @throws UserError if it cannot be written.
 */
export async function copyDisk(image: string, copy: string): Promise<void> {
  const { size, blocks } = await stat(image);
  if (blocks * 512 >= size) await copyFile(image, copy, constants.COPYFILE_FICLONE);
  else await run('Copying the disk image', ['qemu-img', 'convert', '-f', 'raw', '-O', 'raw', image, copy]);
}

/**
 * Writes a copy of an image with another slot.
 *
 * @param change gives the bytes of the new slot; may change those it gets
 * @throws UserError if the image has no overlay to change.
 */
export async function copyWithSlot(
  image: string,
  copy: string,
  change: (slot: Buffer) => Buffer | Promise<Buffer>,
): Promise<void> {
  await copyDisk(image, copy);
  const file = await open(copy, 'r+');
  try {
    const slot = await findSlot(file, image);
    const changed = await change(await readAt(file, slot.offset, slot.length));
    const whole = Buffer.concat([changed], slot.length);
    await file.write(whole, 0, whole.length, slot.offset);
  } finally {
    await file.close();
  }
}

/** The slot with one value of its header changed; the rest of it stays. */
export function withHeader(slot: Buffer, name: string, value: string): Buffer {
  const head = slot.toString('latin1', 0, SECTOR).replace(/\0+$/, '');
  headerOf(slot, name);
  const sector = Buffer.alloc(SECTOR);
  sector.write(head.replace(new RegExp(`^${name} .*$`, 'm'), `${name} ${value}`), 'latin1');
  return Buffer.concat([sector, slot.subarray(SECTOR)]);
}

/**
 * The slot with another overlay, which is whole: every file as `change` gives it, and more files behind them.
 *
 * @param more is told of every file of the overlay, once all are known
 */
export async function withFiles(
  slot: Buffer,
  change: (path: string, text: string) => string,
  more: (
    files: readonly OverlayEntry[],
  ) => readonly Pick<OverlayEntry, 'path' | 'mode' | 'body'>[] = () => [],
): Promise<Buffer> {
  const { entries, time } = await unpackOverlay(archiveIn(slot));
  const changed = entries.map((entry) =>
    entry.type === 'file' ? { ...entry, body: change(entry.path, entry.body) } : entry,
  );
  const added = more(changed.filter(({ type }) => type === 'file')).map((file): OverlayEntry => ({
    type: 'file',
    uid: 0,
    gid: 0,
    ...file,
  }));
  return filledSlot(await packOverlay([...changed, ...added], time), headerOf(slot, 'release'));
}
