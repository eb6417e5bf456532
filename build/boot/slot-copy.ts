import { copyFile, open } from 'node:fs/promises';
import { extract, pack } from 'tar-stream';
import type { Header } from 'tar-stream';
import { UserError } from '../error.js';
import { readAt } from '../host/files.js';
import { findInRoot } from '../image/iso9660.js';
import { filledSlot, SECTOR } from '../image/slot.js';
import type { OverlayFile } from './inside.js';

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
    await file.write(changed, 0, changed.length, slot.offset);
  } finally {
    await file.close();
  }
}

/** A value of a slot's header. */
export function headerOf(slot: Buffer, name: string): string {
  const value = new RegExp(`^${name} (\\S+)$`, 'm').exec(slot.toString('latin1', 0, SECTOR))?.[1];
  if (value === undefined)
    throw new UserError(
      `The image’s slot has no "${name}": it holds no overlay.`,
      'Name an image that `make iso` made.',
    );
  return value;
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
  more: (files: readonly OverlayFile[]) => readonly Omit<OverlayFile, 'uid' | 'gid'>[] = () => [],
): Promise<Buffer> {
  const archive = slot.subarray(SECTOR, SECTOR + Number(headerOf(slot, 'length')));
  const [reader, writer] = [extract(), pack()];
  const chunks: Buffer[] = [];
  const files: OverlayFile[] = [];
  let last: Header | undefined;
  const done = new Promise<void>((resolve, reject) => {
    writer.on('data', (chunk: unknown) => chunks.push(chunk as Buffer));
    writer.on('end', resolve);
    writer.on('error', reject);
    reader.on('error', reject);
  });
  reader.on('entry', (header, stream, next) => {
    const parts: Buffer[] = [];
    stream.on('data', (part: unknown) => parts.push(part as Buffer));
    stream.on('end', () => {
      const path = header.name.replace(/^\.\//, '').replace(/\/$/, '');
      const text = Buffer.concat(parts).toString();
      const body = header.type === 'file' ? change(path, text) : text;
      if (header.type === 'file')
        files.push({ path, mode: header.mode, uid: header.uid, gid: header.gid, body });
      last = header;
      writer.entry({ ...header, size: Buffer.byteLength(body) }, body);
      next();
    });
  });
  reader.on('finish', () => {
    for (const { path, mode, body } of more(files))
      writer.entry(
        { name: `./${path}`, mode, uid: 0, gid: 0, type: 'file', ...(last && { mtime: last.mtime }) },
        body,
      );
    writer.finalize();
  });
  reader.end(archive);
  await done;
  return filledSlot(Buffer.concat(chunks), headerOf(slot, 'release'));
}
