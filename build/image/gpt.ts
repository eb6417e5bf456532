import { crc32 } from 'node:zlib';
import { UserError } from '../error.js';
import type { Extent } from './iso9660.js';

/** Size of a sector of a disk image, in bytes: what every provider's virtual disks have. */
const SECTOR = 512;

/** A partition of a GPT (UEFI 2.10, 5.3.3). */
export interface Partition {
  /** from 1, as gpart(8) counts */
  readonly index: number;
  /** GUID of the type, in lower case. */
  readonly type: string;
  readonly label: string;
  /** Bits 48 to 63 are the type's own; 59 is FreeBSD's `bootme` (sys/sys/disk/gpt.h). */
  readonly attributes: bigint;
  /** in bytes */
  readonly extent: Extent;
}

/** FreeBSD's attribute for the partition that gptboot(8) starts (GPT_ENT_ATTR_BOOTME, sys/sys/disk/gpt.h). */
export const BOOTME = 1n << 59n;

/** GUID of the type of the slot's partition on a disk: nobody else's. clawdie-install has it too. */
export const SLOT_TYPE = '5d1f7a4e-0c6b-4b7a-9a53-2f1c6e0d9c11';

/**
 * Reads the partitions of a disk from the first copy of its GPT (UEFI 2.10, 5.3.2 header, 5.3.3 entries), sums checked.
 *
 * @param read gives bytes of the disk
 * @param size of the disk, in bytes
 * @throws UserError if there is no GPT, it is damaged, or a partition is not within the disk.
 */
export async function readGpt(
  read: (offset: number, length: number) => Promise<Buffer>,
  size: number,
  name: string,
): Promise<readonly Partition[]> {
  const damaged = (what: string): UserError =>
    new UserError(`${name} is no disk image of this project: ${what}.`, 'Build it again.');
  const header = await read(SECTOR, SECTOR);
  if (header.length < SECTOR || header.toString('latin1', 0, 8) !== 'EFI PART')
    throw new UserError(
      `${name} is no disk image of this project: it has no partition table (GPT).`,
      'Name an image or a slot that this project made.',
    );
  const length = header.readUInt32LE(12);
  if (length < 92 || length > SECTOR) throw damaged('the header of its partition table is damaged');
  const summed = Buffer.from(header.subarray(0, length));
  summed.writeUInt32LE(0, 16);
  if (crc32(summed) !== header.readUInt32LE(16))
    throw damaged('the header of its partition table is damaged');
  const [count, each] = [header.readUInt32LE(80), header.readUInt32LE(84)];
  if (count > 1024 || each < 128 || each > 4096) throw damaged('its partition table is of no known form');
  const at = Number(header.readBigUInt64LE(72)) * SECTOR;
  const table = at + count * each <= size ? await read(at, count * each) : Buffer.alloc(0);
  if (table.length < count * each || crc32(table) !== header.readUInt32LE(88))
    throw damaged('its partition table is damaged');
  return Array.from({ length: count }, (_, index) => {
    const entry = table.subarray(index * each, (index + 1) * each);
    const [first, last] = [entry.readBigUInt64LE(32), entry.readBigUInt64LE(40)];
    const type = guid(entry);
    if (type === UNUSED) return [];
    if (last < first || Number(last + 1n) * SECTOR > size)
      throw damaged(`its partition ${index + 1} is not within it`);
    const label = entry.toString('utf16le', 56, 128).replace(/\0.*$/s, '');
    const extent = { offset: Number(first) * SECTOR, length: Number(last - first + 1n) * SECTOR };
    return [{ index: index + 1, type, label, attributes: entry.readBigUInt64LE(48), extent }];
  }).flat();
}

const UNUSED = '00000000-0000-0000-0000-000000000000';

/** A GUID at the beginning of a buffer: its first three groups are little-endian (UEFI 2.10, appendix A). */
function guid(bytes: Buffer): string {
  const hex = (from: number, to: number): string => bytes.toString('hex', from, to);
  const swapped = [3, 2, 1, 0, 5, 4, 7, 6].map((index) => hex(index, index + 1)).join('');
  return [swapped.slice(0, 8), swapped.slice(8, 12), swapped.slice(12), hex(8, 10), hex(10, 16)].join('-');
}
