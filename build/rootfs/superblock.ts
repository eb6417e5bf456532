import { UserError } from '../error.js';

/**
 * The UFS1 superblock and cylinder groups, as far as they are read and changed here: struct fs and struct cg of
 * FreeBSD's sys/ufs/ffs/fs.h. Offsets in bytes.
 */
const SUPERBLOCK_AT = 8192; // SBLOCK_UFS1
const SUPERBLOCK_SIZE = 1376;
const MAGIC_UFS1 = 0x011954;
const MAGIC_CG = 0x090255;
const FS = {
  sblkno: 8,
  cblkno: 12,
  cgoffset: 24,
  cgmask: 28,
  oldTime: 32,
  ncg: 44,
  fsize: 52,
  id: 144,
  fpg: 188,
  volname: 680,
  pointers: 728,
  pointersEnd: 856,
  time: 1072,
  mtime: 1208,
  metackhash: 1308,
  magic: 1372,
} as const;
const CG = { magic: 4, oldTime: 8, time: 136 } as const;
const VOLNAME_SIZE = 32;

/** Reads bytes of the image. */
export type ReadAt = (position: number, length: number) => Buffer;

/** Bytes to write into the image. */
export interface Patch {
  readonly position: number;
  readonly bytes: Buffer;
}

/**
 * What has to change in a UFS1 image that makefs made, so that it has a label and is the same bytes every time: the
 * volume name, the times, the file system id, and the memory addresses that makefs leaves in the superblock, in the
 * superblock, its copy in every cylinder group, and the cylinder groups themselves.
 *
 * @param label at most 31 bytes of letters, digits, `-` and `_` (geom_label takes the name from the superblock)
 * @param time seconds since the epoch
 * @throws UserError if the image is not the UFS1 that was expected.
 */
export function normalise(read: ReadAt, label: string, time: number): readonly Patch[] {
  if (!/^[A-Za-z0-9_-]{1,31}$/.test(label)) throw new Error(`not a volume label: ${label}`);
  const superblock = read(SUPERBLOCK_AT, SUPERBLOCK_SIZE);
  if (superblock.length < SUPERBLOCK_SIZE || superblock.readInt32LE(FS.magic) !== MAGIC_UFS1) {
    throw unexpected('has no UFS1 superblock');
  }
  if (superblock.readUInt32LE(FS.metackhash) !== 0) throw unexpected('has check hashes, which UFS1 has not');
  const field = (at: number): number => superblock.readInt32LE(at);
  const size = field(FS.fsize);

  const patches: Patch[] = superblockPatches(SUPERBLOCK_AT, label, time);
  for (let group = 0; group < field(FS.ncg); group++) {
    // cgstart(fs, c), fs.h
    const start = group * field(FS.fpg) + field(FS.cgoffset) * (group & ~field(FS.cgmask));
    const copy = (start + field(FS.sblkno)) * size;
    const header = (start + field(FS.cblkno)) * size;
    if (read(copy, SUPERBLOCK_SIZE).readInt32LE(FS.magic) !== MAGIC_UFS1)
      throw unexpected(`has no copy of the superblock in cylinder group ${group}`);
    if (read(header, 512).readInt32LE(CG.magic) !== MAGIC_CG)
      throw unexpected(`has no cylinder group ${group}`);
    patches.push(...superblockPatches(copy, label, time));
    patches.push(
      { position: header + CG.oldTime, bytes: int32(time) },
      { position: header + CG.time, bytes: int64(time) },
    );
  }
  return patches;
}

function superblockPatches(at: number, label: string, time: number): Patch[] {
  const volname = Buffer.alloc(VOLNAME_SIZE);
  volname.write(label, 'latin1');
  return [
    { position: at + FS.oldTime, bytes: int32(time) },
    { position: at + FS.id, bytes: Buffer.concat([int32(time), int32(0x0c1a_3d1e)]) },
    { position: at + FS.volname, bytes: volname },
    { position: at + FS.pointers, bytes: Buffer.alloc(FS.pointersEnd - FS.pointers) },
    { position: at + FS.time, bytes: int64(time) },
    { position: at + FS.mtime, bytes: int64(time) },
  ];
}

function unexpected(what: string): UserError {
  return new UserError(
    `The image that makefs made ${what}.`,
    'Report the version of makefs that `clawdie-iso doctor` shows.',
  );
}

function int32(value: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeInt32LE(value);
  return buffer;
}

function int64(value: number): Buffer {
  const buffer = Buffer.alloc(8);
  buffer.writeBigInt64LE(BigInt(value));
  return buffer;
}
