import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import type { DiskFormat } from '../config/keys/disk.js';
import { UserError } from '../error.js';
import { readAt, writeFully } from '../host/files.js';
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

/** What the content id of a VMDK is in its descriptor: QEMU prints it without leading zeros. */
const CID = /^CID=[0-9a-f]{1,8}$/m;

/**
 * The content id of a VMDK's descriptor is drawn by chance. The header says, in sectors, where that text lies and how long it may
 * be; zeros follow it. Virtual Disk Format 5.0, "Hosted Sparse Extent Header".
 */
async function settleVmdk(file: FileHandle, id: Buffer): Promise<void> {
  const header = await readAt(file, 0, 512);
  const [at, room] = [28, 36].map((field) => Number(header.readBigUInt64LE(field)) * 512) as [number, number];
  const text = (await readAt(file, at, room)).toString('latin1').replace(/\0+$/, '');
  const settled = Buffer.from(text.replace(CID, `CID=${id.toString('hex', 0, 4)}`), 'latin1');
  if (!CID.test(text) || settled.length > room)
    throw new UserError('qemu-img made a VMDK without a content id.', 'Report its version.');
  await writeFully(file, Buffer.concat([settled], room), at);
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
