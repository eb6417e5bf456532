import { closeSync, openSync, readSync, statSync } from 'node:fs';

/** What the inode of a path says. */
export interface UfsEntry {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtime: number;
  readonly inode: number;
  readonly links: number;
  readonly flags: number;
  /** Contents of files, and targets of symbolic links. */
  readonly content: Buffer;
}

export interface Ufs {
  readonly label: string;
  readonly entries: ReadonlyMap<string, UfsEntry>;
  /** What fsck_ffs(8) would find: maps and counts that do not say what the inodes say. */
  readonly flaws: readonly string[];
}

const FOLDER = 0o040000;
const LINK = 0o120000;

/**
 * Reads a UFS2 image and checks it: struct fs, struct cg, struct ufs2_dinode and struct direct of FreeBSD's sys/ufs.
 * Independent of the code that makes images: it shares nothing with it.
 */
export function readUfs(path: string): Ufs {
  const file = openSync(path, 'r');
  try {
    const read = (position: number, length: number): Buffer => {
      const buffer = Buffer.alloc(length);
      const got = readSync(file, buffer, 0, length, position);
      if (got !== length) throw new Error(`${length} bytes at ${position} are beyond the end`);
      return buffer;
    };
    const sb = read(65536, 1376);
    if (sb.readInt32LE(1372) !== 0x19540119) throw new Error('no UFS2 superblock');
    const field = (at: number): number => sb.readInt32LE(at);
    const long = (at: number): number => Number(sb.readBigInt64LE(at));
    const [block, fragment, perBlock] = [field(48), field(52), field(56)];
    const [groups, inodesPerGroup, groupSize] = [field(44), field(184), field(188)];
    const flaws: string[] = [];
    const expectSame = (what: string, found: unknown, wanted: unknown): void => {
      if (JSON.stringify(found) !== JSON.stringify(wanted))
        flaws.push(`${what}: ${JSON.stringify(found)} instead of ${JSON.stringify(wanted)}`);
    };
    expectSame('size of the image', statSync(path).size, long(1080) * fragment);

    const used = new Map<number, string>();
    const take = (address: number, count: number, owner: string): void => {
      for (let at = address; at < address + count; at++) {
        const other = used.get(at);
        if (other !== undefined) flaws.push(`fragment ${at} is ${other}'s and ${owner}'s`);
        used.set(at, owner);
      }
      if (count > perBlock - (address % perBlock)) flaws.push(`${owner} crosses a block at ${address}`);
    };
    take(0, perBlock, 'boot');
    for (let at = perBlock; at < field(8); at += perBlock) take(at, perBlock, 'boot');
    for (let group = 0; group < groups; group++)
      for (let at = field(8); at < field(20); at += perBlock)
        take(group * groupSize + at, perBlock, `group ${group}`);
    take(long(1096), field(156) / fragment, 'summary');

    /** Addresses of an inode's blocks, those of pointers counted as used. */
    const addresses = (raw: Buffer, count: number, owner: string): number[] => {
      const found: number[] = [];
      const pointers = (at: number): readonly number[] => {
        take(at, perBlock, owner);
        const bytes = read(at * fragment, block);
        return Array.from({ length: block / 8 }, (_, index) => Number(bytes.readBigInt64LE(index * 8)));
      };
      for (let index = 0; index < 12; index++) found.push(Number(raw.readBigInt64LE(112 + index * 8)));
      const [single, double] = [Number(raw.readBigInt64LE(208)), Number(raw.readBigInt64LE(216))];
      if (single !== 0) found.push(...pointers(single));
      if (double !== 0) for (const next of pointers(double)) if (next !== 0) found.push(...pointers(next));
      const extra = found.slice(count).filter((address) => address !== 0);
      if (extra.length > 0) flaws.push(`${owner} has blocks beyond its end`);
      return found.slice(0, count);
    };

    const links = new Map<number, number>();
    const inodes = new Map<number, boolean>();
    const entries = new Map<string, UfsEntry>();
    const visit = (inode: number, name: string, parent: number): void => {
      links.set(inode, (links.get(inode) ?? 0) + 1);
      const start = Math.floor(inode / inodesPerGroup) * groupSize + field(16);
      const raw = read(start * fragment + (inode % inodesPerGroup) * 256, 256);
      const mode = raw.readUInt16LE(0);
      const size = Number(raw.readBigUInt64LE(16));
      const type = mode & 0o170000;
      const known = [...entries.values()].find((entry) => entry.inode === inode);
      let content = known?.content ?? Buffer.alloc(0);
      if (known === undefined) {
        inodes.set(inode, type === FOLDER);
        const before = used.size;
        if (type === LINK && size < 120) content = raw.subarray(112, 112 + size);
        else {
          const count = Math.ceil(size / block);
          content = Buffer.concat(
            addresses(raw, count, name).map((address, index) => {
              const bytes = Math.min(block, size - index * block);
              take(address, count > 12 ? perBlock : Math.ceil(bytes / fragment), name);
              return read(address * fragment, bytes);
            }),
          );
        }
        expectSame(
          `blocks of ${name}`,
          Number(raw.readBigUInt64LE(24)),
          ((used.size - before) * fragment) / 512,
        );
      }
      entries.set(name, {
        mode,
        uid: raw.readUInt32LE(4),
        gid: raw.readUInt32LE(8),
        size,
        mtime: Number(raw.readBigInt64LE(40)),
        inode,
        links: raw.readUInt16LE(2),
        flags: raw.readUInt32LE(88),
        content,
      });
      if (type !== FOLDER) return;
      expectSame(`size of ${name}`, size % 512, 0);
      const names: string[] = [];
      for (let at = 0; at < content.length;) {
        const child = content.readUInt32LE(at);
        const length = content.readUInt16LE(at + 4);
        const childName = content.toString('utf8', at + 8, at + 8 + content.readUInt8(at + 7));
        if (length === 0 || Math.floor(at / 512) !== Math.floor((at + length - 1) / 512))
          throw new Error(`an entry of ${length} bytes at ${at} of ${name}`);
        names.push(childName);
        if (childName === '.') expectSame(`. of ${name}`, child, inode);
        else if (childName === '..') {
          expectSame(`.. of ${name}`, child, parent);
          links.set(parent, (links.get(parent) ?? 0) + 1);
        } else visit(child, name === '' ? childName : `${name}/${childName}`, inode);
        at += length;
      }
      expectSame(`first names of ${name}`, names.slice(0, 2), ['.', '..']);
      links.set(inode, (links.get(inode) ?? 0) + 1);
    };
    visit(2, '', 2);
    // The root stands in no folder but itself.
    links.set(2, (links.get(2) ?? 0) - 1);
    for (const [name, entry] of entries) expectSame(`links of ${name}`, entry.links, links.get(entry.inode));

    const total = [0, 0, 0, 0];
    for (let group = 0; group < groups; group++) {
      const start = group * groupSize;
      expectSame(`superblock of group ${group}`, read((start + field(8)) * fragment, 1376).equals(sb), true);
      const cg = read((start + field(12)) * fragment, block);
      if (cg.readInt32LE(4) !== 0x090255 || cg.readUInt32LE(12) !== group)
        throw new Error(`no group ${group}`);
      const bit = (map: number, at: number): boolean => ((cg[map + (at >> 3)] ?? 0) >> (at & 7)) % 2 === 1;
      const [inodeMap, fragmentMap, sums, clusterMap] = [92, 96, 104, 108].map((at) => cg.readUInt32LE(at));
      const counts = [0, 0, 0, 0];
      for (let index = 0; index < inodesPerGroup; index++) {
        const inode = group * inodesPerGroup + index;
        const isUsed = inodes.has(inode) || inode < 2;
        if (bit(inodeMap ?? 0, index) !== isUsed) flaws.push(`inode ${inode} is marked wrongly`);
        if (inodes.get(inode) === true) counts[0] = (counts[0] ?? 0) + 1;
        if (!isUsed) counts[2] = (counts[2] ?? 0) + 1;
      }
      const clusters = Array.from({ length: field(1316) + 1 }, () => 0);
      const freeRuns = Array.from({ length: 8 }, () => 0);
      let run = 0;
      const count = (list: number[], at: number, by = 1): void => {
        list[at] = (list[at] ?? 0) + by;
      };
      for (let index = 0; index <= groupSize / perBlock; index++) {
        const last = index === groupSize / perBlock;
        const free = Array.from({ length: perBlock }, (_, at) => !used.has(start + index * perBlock + at));
        const whole = !last && free.every(Boolean);
        if (whole) run++;
        else if (run > 0) {
          count(clusters, Math.min(run, field(1316)));
          run = 0;
        }
        if (last) break;
        for (const [at, isFree] of free.entries())
          if (bit(fragmentMap ?? 0, index * perBlock + at) !== isFree)
            flaws.push(`fragment ${start + index * perBlock + at} is marked wrongly`);
        if (bit(clusterMap ?? 0, index) !== whole)
          flaws.push(`block ${index} of group ${group} is marked wrongly`);
        if (whole) count(counts, 1);
        else {
          count(counts, 3, free.filter(Boolean).length);
          let length = 0;
          for (const isFree of [...free, false]) {
            if (isFree) length++;
            else {
              if (length > 0) count(freeRuns, length);
              length = 0;
            }
          }
        }
      }
      const words = (bytes: Buffer, at: number, many: number): number[] =>
        Array.from({ length: many }, (_, index) => bytes.readInt32LE(at + index * 4));
      expectSame(`counts of group ${group}`, words(cg, 24, 4), counts);
      expectSame(`free runs of group ${group}`, words(cg, 52, 8), freeRuns);
      expectSame(`clusters of group ${group}`, words(cg, (sums ?? 0) + 4, field(1316)), clusters.slice(1));
      expectSame(
        `summary of group ${group}`,
        words(read(long(1096) * fragment + group * 16, 16), 0, 4),
        counts,
      );
      for (const [index, value] of counts.entries()) count(total, index, value);
    }
    expectSame('totals', [1008, 1016, 1024, 1032].map(long), total);
    return { label: sb.toString('latin1', 680, 712).replace(/\0.*$/, ''), entries, flaws };
  } finally {
    closeSync(file);
  }
}
