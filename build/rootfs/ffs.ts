import type { Attributes } from './tree.js';

/**
 * UFS2 as FreeBSD has it on disk: struct fs and struct cg of sys/ufs/ffs/fs.h, struct ufs2_dinode of
 * sys/ufs/ufs/dinode.h, struct direct of sys/ufs/ufs/dir.h; what newfs(8) makes of them, and what the kernel's
 * validate_sblock() (sys/ufs/ffs/ffs_subr.c) wants of them. Offsets in bytes; little-endian.
 */

/** bytes of a block, of the fragments that the ends of files are kept in, and how many of these make a block */
export const BLOCK = 16384;
export const FRAGMENT = 2048;
export const FRAGMENTS = BLOCK / FRAGMENT;
/** UFS_NDADDR: blocks that the inode itself points to. */
export const DIRECT = 12;
/** fs_nindir: pointers of 8 bytes in a block. */
export const POINTERS = BLOCK / 8;
const INODE = 256;
export const INODES_PER_BLOCK = BLOCK / INODE;
/** UFS_ROOTINO: the root's inode; those before it are nobody's. */
export const ROOT_INODE = 2;
/** fs_maxsymlinklen: a shorter target is kept in the inode. */
export const INLINE_LINK = 120;
/** SBLOCK_UFS2 and SBLOCKSIZE: where the superblock is, and the room it has. */
const SUPERBLOCK_AT = 65536;
const SUPERBLOCK_ROOM = 8192;
const SUPERBLOCK_SIZE = 1376;
const SECTOR = 512;
/** The block of a group at which its copy of the superblock is (fs_sblkno, rounded up to a block). */
export const META_AT = Math.ceil((SUPERBLOCK_AT + SUPERBLOCK_ROOM) / BLOCK);
/** Blocks that are read or written together (fs_maxcontig): 128 KiB, what the loader and every driver take. */
const CLUSTER = 8;
/** DIRBLKSIZ: no entry of a folder crosses a multiple of it. */
const FOLDER_BLOCK = 512;
const MAGIC_UFS2 = 0x19540119;
const MAGIC_CG = 0x090255;
const CG_SIZE = 168;
/** IFDIR, IFREG and IFLNK, and DT_DIR, DT_REG and DT_LNK. */
const MODE = { dir: 0o040000, file: 0o100000, symlink: 0o120000 } as const;
const ENTRY_TYPE = { dir: 4, file: 8, symlink: 10 } as const;

/** A name in a folder. */
export interface Entry {
  readonly name: string;
  readonly inode: number;
  readonly type: keyof typeof MODE;
}

/** The shape of a file system; sizes in blocks of 16 KiB, the last group as large as the others. */
export interface Geometry {
  readonly groups: number;
  readonly blocksPerGroup: number;
  readonly inodesPerGroup: number;
}

/** One inode: what it is, and where its contents are. */
export interface Placed {
  readonly inode: number;
  /** Its path, or the first of them. */
  readonly path: string;
  readonly type: 'dir' | 'file' | 'symlink';
  readonly attributes: Attributes;
  /** bytes */
  readonly size: number;
  readonly links: number;
  /** Folders between it and the root. */
  readonly depth: number;
  /** Addresses of its blocks in order, in fragments; the last one may be a part of a block. */
  readonly data: readonly number[];
  /** Addresses of its blocks of pointers, in fragments: the single one, the double one and what that points to. */
  readonly pointers: readonly number[];
  /** fragments that data and pointers take */
  readonly fragments: number;
  /** Of a folder: what is in it. */
  readonly entries: readonly Entry[];
  /** Of a symbolic link: where it leads. */
  readonly target: string;
}

export interface Layout {
  readonly geometry: Geometry;
  readonly inodes: readonly Placed[];
}

/** Bytes to write into the image; what nothing is written to is zero. */
export interface Piece {
  /** bytes from the start of the image */
  readonly position: number;
  readonly bytes: Buffer;
}

/**
 * Fragments that a block of contents takes: all, but for the last block of what the inode itself points to, which alone
 * can end in the middle (blksize(), fs.h).
 */
export function blockFragments(size: number, index: number): number {
  if (Math.ceil(size / BLOCK) > DIRECT) return FRAGMENTS;
  return Math.ceil(Math.min(BLOCK, size - index * BLOCK) / FRAGMENT);
}

type GroupShape = Pick<Geometry, 'blocksPerGroup' | 'inodesPerGroup'>;

/** Bytes of the block that describes a group of this shape (CGSIZE, fs.h). */
export function groupBytes({ blocksPerGroup, inodesPerGroup }: GroupShape): number {
  const maps = inodesPerGroup / 8 + blocksPerGroup * (FRAGMENTS / 8) + Math.ceil(blocksPerGroup / 8);
  return CG_SIZE + maps + 4 + CLUSTER * 4;
}

/** Bytes of the whole file system. */
export function imageBytes({ groups, blocksPerGroup }: Geometry): number {
  return groups * blocksPerGroup * BLOCK;
}

/** Blocks of the first group that no other has: boot blocks, and the summary of the groups. */
export const FIRST_BLOCKS = META_AT + 1;

/** Blocks that a group's superblock, its description and its inodes take. */
export function metaBlocks({ inodesPerGroup }: Pick<Geometry, 'inodesPerGroup'>): number {
  return 2 + inodesPerGroup / INODES_PER_BLOCK;
}

/** The first block behind a group's inodes, from the start of the group. */
export function dataBlock(geometry: Pick<Geometry, 'inodesPerGroup'>): number {
  return META_AT + metaBlocks(geometry);
}

/** Where the maps of a group are (initcg(), newfs). */
function groupMaps({ blocksPerGroup, inodesPerGroup }: GroupShape): {
  readonly inodes: number;
  readonly fragments: number;
  readonly sums: number;
  readonly clusters: number;
  readonly end: number;
} {
  const inodes = CG_SIZE;
  const fragments = inodes + inodesPerGroup / 8;
  // Sums of clusters are counted from 1, so that the first of them may lie in the map before.
  const sums = Math.ceil((fragments + blocksPerGroup * (FRAGMENTS / 8) - 4) / 4) * 4;
  const clusters = sums + (CLUSTER + 1) * 4;
  return { inodes, fragments, sums, clusters, end: clusters + Math.ceil(blocksPerGroup / 8) };
}

/** struct csum: what of a group is in use or free. */
interface Counts {
  folders: number;
  blocks: number;
  inodes: number;
  fragments: number;
}

/**
 * All of a file system but the contents of files: superblocks, groups, inodes, folders, links, pointers.
 *
 * @param label at most 31 bytes of letters, digits, `-` and `_`: /dev/ufs/<label> (geom_label(4))
 * @param time seconds since the epoch, of every file and of the file system
 */
export function* metadata(layout: Layout, label: string, time: number): Generator<Piece> {
  if (!/^[A-Za-z0-9_-]{1,31}$/.test(label)) throw new Error(`not a volume label: ${label}`);
  const { geometry, inodes } = layout;
  const groupSize = geometry.blocksPerGroup * BLOCK;
  const counts: Counts[] = [];
  for (let group = 0; group < geometry.groups; group++) {
    const { bytes, counted } = describeGroup(layout, group, time);
    counts.push(counted);
    yield { position: group * groupSize + (META_AT + 1) * BLOCK, bytes };
  }

  const summary = Buffer.alloc(summaryBytes(geometry));
  for (const [group, counted] of counts.entries()) writeCounts(summary, group * 16, counted);
  yield { position: dataBlock(geometry) * BLOCK, bytes: summary };

  const superblock = describeAll(geometry, counts, label, time);
  yield { position: SUPERBLOCK_AT, bytes: superblock };
  for (let group = 0; group < geometry.groups; group++)
    yield { position: group * groupSize + META_AT * BLOCK, bytes: superblock };

  for (const placed of inodes) {
    const { inode, data } = placed;
    const group = Math.floor(inode / geometry.inodesPerGroup);
    const within = inode % geometry.inodesPerGroup;
    yield {
      position: group * groupSize + (META_AT + 2) * BLOCK + within * INODE,
      bytes: describeInode(placed, time),
    };
    yield* pointerBlocks(placed);
    if (placed.type === 'file') continue;
    const content = placed.type === 'dir' ? writeFolder(placed.entries) : Buffer.from(placed.target);
    for (const [index, address] of data.entries()) {
      yield {
        position: address * FRAGMENT,
        bytes: content.subarray(index * BLOCK, (index + 1) * BLOCK),
      };
    }
  }
}

function describeInode(placed: Placed, time: number): Buffer {
  const { type, attributes, size, data, pointers } = placed;
  const bytes = Buffer.alloc(INODE);
  bytes.writeUInt16LE(MODE[type] | attributes.mode, 0);
  bytes.writeUInt16LE(placed.links, 2);
  bytes.writeUInt32LE(attributes.uid, 4);
  bytes.writeUInt32LE(attributes.gid, 8);
  bytes.writeUInt32LE(BLOCK, 12);
  bytes.writeBigUInt64LE(BigInt(size), 16);
  bytes.writeBigUInt64LE(BigInt((placed.fragments * FRAGMENT) / SECTOR), 24);
  for (const at of [32, 40, 48, 56]) bytes.writeBigInt64LE(BigInt(time), at);
  // di_gen tells file handles apart; a new number is the kernel's to choose when an inode is used again.
  bytes.writeUInt32LE(placed.inode, 80);
  if (type === 'symlink' && data.length === 0) bytes.write(placed.target, 112);
  for (const [index, address] of data.slice(0, DIRECT).entries())
    writeAddress(bytes, 112 + index * 8, address);
  for (const [index, address] of pointers.slice(0, 2).entries())
    writeAddress(bytes, 208 + index * 8, address);
  if (type === 'dir') bytes.writeUInt32LE(placed.depth, 240);
  return bytes;
}

/** The blocks of pointers of a large file: up to 32 MiB one; beyond that a second one that points to further ones. */
function* pointerBlocks({ data, pointers, path }: Placed): Generator<Piece> {
  const [single, double, ...further] = pointers;
  const block = (at: number, addresses: readonly number[]): Piece => {
    const bytes = Buffer.alloc(BLOCK);
    for (const [index, address] of addresses.entries()) writeAddress(bytes, index * 8, address);
    return { position: at * FRAGMENT, bytes };
  };
  if (single === undefined) return;
  yield block(single, data.slice(DIRECT, DIRECT + POINTERS));
  if (double === undefined) return;
  if (further.length > POINTERS) throw new Error(`${path} is too large`);
  yield block(double, further);
  for (const [index, at] of further.entries()) {
    const first = DIRECT + POINTERS * (index + 1);
    yield block(at, data.slice(first, first + POINTERS));
  }
}

function writeAddress(bytes: Buffer, at: number, address: number): void {
  bytes.writeBigInt64LE(BigInt(address), at);
}

/** Bytes that a folder takes. */
export function directorySize(entries: readonly Entry[]): number {
  let at = 0;
  for (const entry of entries) at = entryStart(at, entry) + entryBytes(entry);
  return Math.ceil(at / FOLDER_BLOCK) * FOLDER_BLOCK;
}

/** DIRSIZ: the name ends with a zero and is filled up to 4 bytes. */
function entryBytes({ name }: Entry): number {
  return 8 + Math.ceil((Buffer.byteLength(name) + 1) / 4) * 4;
}

function entryStart(at: number, entry: Entry): number {
  const room = FOLDER_BLOCK - (at % FOLDER_BLOCK);
  return entryBytes(entry) > room ? at + room : at;
}

function writeFolder(entries: readonly Entry[]): Buffer {
  const bytes = Buffer.alloc(directorySize(entries));
  const starts: number[] = [];
  let end = 0;
  for (const entry of entries) {
    const at = entryStart(end, entry);
    starts.push(at);
    bytes.writeUInt32LE(entry.inode, at);
    bytes.writeUInt8(ENTRY_TYPE[entry.type], at + 6);
    bytes.writeUInt8(bytes.write(entry.name, at + 8), at + 7);
    end = at + entryBytes(entry);
  }
  // An entry reaches up to the next one, the last of 512 bytes to their end.
  for (const [index, at] of starts.entries()) {
    const limit = Math.floor(at / FOLDER_BLOCK + 1) * FOLDER_BLOCK;
    bytes.writeUInt16LE(Math.min(starts[index + 1] ?? limit, limit) - at, at + 4);
  }
  return bytes;
}

/** A group: its maps of inodes, fragments and blocks, and what it counts. */
function describeGroup(
  { geometry, inodes }: Layout,
  group: number,
  time: number,
): { bytes: Buffer; counted: Counts } {
  const { blocksPerGroup, inodesPerGroup } = geometry;
  const maps = groupMaps(geometry);
  const bytes = Buffer.alloc(BLOCK);
  const set = (map: number, bit: number): void => {
    const at = map + (bit >> 3);
    bytes.writeUInt8(bytes.readUInt8(at) | (1 << (bit & 7)), at);
  };

  const mine = inodes.filter(({ inode }) => Math.floor(inode / inodesPerGroup) === group);
  const reserved = group === 0 ? ROOT_INODE : 0;
  for (let inode = 0; inode < reserved; inode++) set(maps.inodes, inode);
  for (const { inode } of mine) set(maps.inodes, inode % inodesPerGroup);

  const used = usedFragments({ geometry, inodes }, group);
  const counted: Counts = {
    folders: mine.filter(({ type }) => type === 'dir').length,
    blocks: 0,
    inodes: inodesPerGroup - mine.length - reserved,
    fragments: 0,
  };
  let run = 0;
  const endRun = (): void => {
    if (run > 0) increment(bytes, maps.sums + Math.min(run, CLUSTER) * 4);
    run = 0;
  };
  for (let block = 0; block < blocksPerGroup; block++) {
    const free = Array.from({ length: FRAGMENTS }, (_, index) => used[block * FRAGMENTS + index] === 0);
    for (const [index, isFree] of free.entries()) if (isFree) set(maps.fragments, block * FRAGMENTS + index);
    if (free.every(Boolean)) {
      set(maps.clusters, block);
      counted.blocks++;
      run++;
      continue;
    }
    endRun();
    counted.fragments += free.filter(Boolean).length;
    // cg_frsum: how often so many fragments in a row are free in a block that is in use
    for (const { length } of free
      .map((isFree) => (isFree ? 'f' : ' '))
      .join('')
      .match(/f+/g) ?? [])
      increment(bytes, 52 + length * 4);
  }
  endRun();

  bytes.writeInt32LE(MAGIC_CG, 4);
  bytes.writeUInt32LE(group, 12);
  bytes.writeUInt32LE(blocksPerGroup * FRAGMENTS, 20);
  writeCounts(bytes, 24, counted);
  bytes.writeUInt32LE(maps.inodes, 92);
  bytes.writeUInt32LE(maps.fragments, 96);
  bytes.writeUInt32LE(maps.end, 100);
  bytes.writeUInt32LE(maps.sums, 104);
  bytes.writeUInt32LE(maps.clusters, 108);
  bytes.writeUInt32LE(blocksPerGroup, 112);
  bytes.writeUInt32LE(inodesPerGroup, 116);
  bytes.writeUInt32LE(inodesPerGroup, 120); // cg_initediblk: all inodes are there, as zeroes
  bytes.writeBigInt64LE(BigInt(time), 136);
  return { bytes, counted };
}

/** Which fragments of a group are in use: 1, or 0. */
function usedFragments({ geometry, inodes }: Layout, group: number): Uint8Array {
  const size = geometry.blocksPerGroup * FRAGMENTS;
  const start = group * size;
  const used = new Uint8Array(size);
  const data = dataBlock(geometry) * FRAGMENTS;
  used.fill(1, group === 0 ? 0 : META_AT * FRAGMENTS, data);
  if (group === 0) used.fill(1, data, data + summaryBytes(geometry) / FRAGMENT);
  const take = (address: number, count: number): void => {
    if (address >= start && address < start + size) used.fill(1, address - start, address - start + count);
  };
  for (const { data: blocks, pointers, size: bytes } of inodes) {
    for (const [index, address] of blocks.entries()) take(address, blockFragments(bytes, index));
    for (const address of pointers) take(address, FRAGMENTS);
  }
  return used;
}

/** fs_cssize: 16 bytes a group, in whole fragments. */
function summaryBytes({ groups }: Geometry): number {
  return Math.ceil((groups * 16) / FRAGMENT) * FRAGMENT;
}

function increment(bytes: Buffer, at: number): void {
  bytes.writeUInt32LE(bytes.readUInt32LE(at) + 1, at);
}

function writeCounts(bytes: Buffer, at: number, { folders, blocks, inodes, fragments }: Counts): void {
  for (const [index, value] of [folders, blocks, inodes, fragments].entries())
    bytes.writeInt32LE(value, at + index * 4);
}

/** The superblock. Fields of UFS1 (fs_old_…) and of check hashes stay zero, as newfs -O 2 leaves them. */
function describeAll(geometry: Geometry, counts: readonly Counts[], label: string, time: number): Buffer {
  const { groups, blocksPerGroup, inodesPerGroup } = geometry;
  const fragments = groups * blocksPerGroup * FRAGMENTS;
  const data = dataBlock(geometry) * FRAGMENTS;
  const meta = META_AT * FRAGMENTS;
  const bytes = Buffer.alloc(SUPERBLOCK_SIZE);
  const int32: readonly (readonly [at: number, value: number])[] = [
    [8, meta], // fs_sblkno, fs_cblkno, fs_iblkno, fs_dblkno
    [12, meta + FRAGMENTS],
    [16, meta + 2 * FRAGMENTS],
    [20, data],
    [28, -1], // fs_old_cgmask
    [44, groups],
    [48, BLOCK],
    [52, FRAGMENT],
    [56, FRAGMENTS],
    [60, 0], // fs_minfree: nothing is kept back from others than root
    [72, -BLOCK], // fs_bmask, fs_fmask, fs_bshift, fs_fshift
    [76, -FRAGMENT],
    [80, Math.log2(BLOCK)],
    [84, Math.log2(FRAGMENT)],
    [88, CLUSTER],
    [92, POINTERS], // fs_maxbpg, MAXBLKPG of newfs
    [96, Math.log2(FRAGMENTS)],
    [100, Math.log2(FRAGMENT / SECTOR)],
    [104, FRAGMENT], // fs_sbsize
    [116, POINTERS],
    [120, INODES_PER_BLOCK],
    [128, 1], // fs_optim: FS_OPTSPACE
    [144, time], // fs_id
    [148, 0x0c1a_3d1e],
    [156, summaryBytes(geometry)],
    [160, Math.ceil(groupBytes(geometry) / FRAGMENT) * FRAGMENT],
    [184, inodesPerGroup],
    [188, blocksPerGroup * FRAGMENTS],
    [860, BLOCK], // fs_maxbsize
    [1196, 16384], // fs_avgfilesize, fs_avgfpdir: newfs' defaults
    [1200, 64],
    [1316, CLUSTER], // fs_contigsumsize
    [1320, INLINE_LINK],
    [1324, 2], // FS_44INODEFMT
    [1372, MAGIC_UFS2],
  ];
  for (const [at, value] of int32) bytes.writeInt32LE(value, at);
  bytes.writeUInt8(1, 209); // fs_clean
  bytes.writeUInt8(0x80, 211); // fs_old_flags: FS_FLAGS_UPDATED
  bytes.write(label, 680, 'latin1');
  const sum = (key: keyof Counts): number => counts.reduce((total, counted) => total + counted[key], 0);
  const int64: readonly (readonly [at: number, value: number])[] = [
    [872, fragments], // fs_providersize
    [992, SUPERBLOCK_AT],
    [1000, SUPERBLOCK_AT],
    [1008, sum('folders')],
    [1016, sum('blocks')],
    [1024, sum('inodes')],
    [1032, sum('fragments')],
    [1072, time],
    [1080, fragments],
    [1088, fragments - meta - groups * (data - meta) - summaryBytes(geometry) / FRAGMENT], // fs_dsize
    [1096, data],
    [1208, time],
    // fs_maxfilesize
    [1328, BLOCK * (DIRECT + POINTERS + POINTERS ** 2 + POINTERS ** 3) - 1],
    [1336, BLOCK - 1], // fs_qbmask, fs_qfmask
    [1344, FRAGMENT - 1],
  ];
  for (const [at, value] of int64) bytes.writeBigInt64LE(BigInt(value), at);
  return bytes;
}
