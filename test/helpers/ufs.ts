import { closeSync, openSync, readSync } from 'node:fs';

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
  /** Contents of files up to twelve blocks, and targets of symbolic links. */
  readonly content: Buffer;
}

export interface Ufs {
  readonly label: string;
  readonly entries: ReadonlyMap<string, UfsEntry>;
}

/**
 * Reads a UFS1 image: struct fs, struct ufs1_dinode and struct direct of FreeBSD's sys/ufs. Independent of the code
 * that makes images: what makefs and the patches left is what counts.
 */
export function readUfs(path: string): Ufs {
  const file = openSync(path, 'r');
  try {
    const read = (position: number, length: number): Buffer => {
      const buffer = Buffer.alloc(length);
      readSync(file, buffer, 0, length, position);
      return buffer;
    };
    const sb = read(8192, 1376);
    if (sb.readInt32LE(1372) !== 0x011954) throw new Error('no UFS1 superblock');
    const fragment = sb.readInt32LE(52);
    const block = sb.readInt32LE(48);
    const perGroup = sb.readInt32LE(184);
    const groupSize = sb.readInt32LE(188);
    const inodeAt = (inode: number): Buffer => {
      const group = Math.floor(inode / perGroup);
      const start =
        group * groupSize + sb.readInt32LE(24) * (group & ~sb.readInt32LE(28)) + sb.readInt32LE(16);
      return read(start * fragment + (inode % perGroup) * 128, 128);
    };
    const entries = new Map<string, UfsEntry>();
    const visit = (inode: number, name: string): void => {
      const raw = inodeAt(inode);
      const mode = raw.readUInt16LE(0);
      const size = Number(raw.readBigUInt64LE(8));
      const type = mode & 0o170000;
      let content: Buffer;
      if (type === 0o120000 && size < 60) content = raw.subarray(40, 40 + size);
      else {
        const parts: Buffer[] = [];
        for (let index = 0; index < 12 && index * block < size; index++) {
          parts.push(read(raw.readInt32LE(40 + index * 4) * fragment, Math.min(block, size - index * block)));
        }
        content = Buffer.concat(parts);
      }
      entries.set(name, {
        mode,
        uid: raw.readUInt32LE(112),
        gid: raw.readUInt32LE(116),
        size,
        mtime: raw.readInt32LE(24),
        inode,
        links: raw.readInt16LE(2),
        flags: raw.readUInt32LE(100),
        content,
      });
      if (type !== 0o040000) return;
      for (let at = 0; at < content.length;) {
        const child = content.readUInt32LE(at);
        const length = content.readUInt16LE(at + 4);
        const childName = content.toString('utf8', at + 8, at + 8 + content.readUInt8(at + 7));
        if (child !== 0 && childName !== '.' && childName !== '..')
          visit(child, name === '' ? childName : `${name}/${childName}`);
        if (length === 0) break;
        at += length;
      }
    };
    visit(2, '');
    return { label: sb.toString('latin1', 680, 712).replace(/\0.*$/, ''), entries };
  } finally {
    closeSync(file);
  }
}
