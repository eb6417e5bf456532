import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import type { DiskFormat } from '../config/keys/disk.js';
import { UserError } from '../error.js';
import { readAt } from '../host/files.js';
import { run } from '../host/process.js';

/** How qemu-img(1) writes a format: compressed where the format has it. */
const OPTIONS: Readonly<Record<Exclude<DiskFormat, 'img'>, readonly string[]>> = {
  qcow2: ['-O', 'qcow2', '-c'],
  // What VMware imports, and what an OVA holds.
  vmdk: ['-O', 'vmdk', '-o', 'subformat=streamOptimized'],
  // The size as it is, instead of what a geometry of cylinders comes to.
  vhd: ['-O', 'vpc', '-o', 'subformat=dynamic,force_size=on'],
};

/**
 * Converts a raw disk image, to the same bytes for the same image.
 *
 * @param id 16 bytes that stand where the format wants something unique
 * @param time seconds since the epoch, for the format's own date
 * @throws UserError if qemu-img fails.
 */
export async function convert(
  raw: string,
  target: string,
  format: Exclude<DiskFormat, 'img'>,
  id: Buffer,
  time: number,
  signal: AbortSignal,
): Promise<void> {
  const command = ['qemu-img', 'convert', '-f', 'raw', ...OPTIONS[format], raw, target];
  await run(`Making the ${format} image`, command, { signal });
  const file = await open(target, 'r+');
  try {
    if (format === 'vmdk') await settleVmdk(file, id);
    else if (format === 'vhd') await settleVhd(file, id, time);
  } finally {
    await file.close();
  }
}

/** The content id of a VMDK's descriptor, text in its second sector on, is drawn by chance. Virtual Disk Format 5.0. */
async function settleVmdk(file: FileHandle, id: Buffer): Promise<void> {
  const head = await readAt(file, 0, 64 * 1024);
  const at = head.indexOf('\nCID=');
  if (at < 0) throw new UserError('qemu-img made a VMDK without a content id.', 'Report its version.');
  await file.write(id.toString('hex', 0, 4), at + '\nCID='.length, 'latin1');
}

/** Seconds between 1970 and 2000, where a VHD's time begins. */
const VHD_EPOCH = 946684800;

/**
 * The footer of a VHD, at its end and again at its beginning, has the time of the clock and an id that is drawn by chance,
 * and sums itself up. Virtual Hard Disk Image Format Specification 1.0, "Hard Disk Footer Format".
 */
async function settleVhd(file: FileHandle, id: Buffer, time: number): Promise<void> {
  const { size } = await file.stat();
  const footer = await readAt(file, size - 512, 512);
  if (footer.toString('latin1', 0, 8) !== 'conectix')
    throw new UserError('qemu-img made a VHD without a footer.', 'Report its version.');
  footer.writeUInt32BE(Math.max(0, time - VHD_EPOCH), 24);
  id.copy(footer, 68, 0, 16);
  footer.writeUInt32BE(0, 64);
  const sum = footer.reduce((total, byte) => total + byte, 0);
  footer.writeUInt32BE(~sum >>> 0, 64);
  await file.write(footer, 0, 512, 0);
  await file.write(footer, 0, 512, size - 512);
}

/** Formats that a file can be told by, from its first bytes. */
const MAGIC: readonly (readonly [string, string])[] = [
  ['514649fb', 'qcow2'],
  ['4b444d56', 'vmdk'],
  ['636f6e65', 'vpc'],
  ['28b52ffd', 'zstd'],
];

/** Which form a disk image has: as QEMU calls it, or `zstd`; `raw` if it is none that is known. */
export async function formOf(path: string): Promise<string> {
  const file = await open(path, 'r');
  try {
    const head = (await readAt(file, 0, 4)).toString('hex');
    return MAGIC.find(([magic]) => magic === head)?.[1] ?? 'raw';
  } finally {
    await file.close();
  }
}

/** Turns a disk image of a known form into a raw one. @throws UserError if it is damaged. */
export async function toRaw(path: string, form: string, target: string, signal?: AbortSignal): Promise<void> {
  await run('Reading the disk image', ['qemu-img', 'convert', '-f', form, '-O', 'raw', path, target], {
    ...(signal && { signal }),
  });
}
