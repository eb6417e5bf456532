import { copyFile, open } from 'node:fs/promises';
import { readAt } from '../host/files.js';
import { findInRoot } from '../image/iso9660.js';
import { archiveIn, filledSlot, headerOf, SECTOR } from '../image/slot.js';
import { packOverlay } from '../overlay/pack.js';
import type { OverlayEntry } from '../overlay/render.js';
import { unpackOverlay } from '../overlay/unpack.js';

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
  await copyFile(image, copy);
  const file = await open(copy, 'r+');
  try {
    const slot = await findInRoot((offset, length) => readAt(file, offset, length), 'overlay', image);
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
