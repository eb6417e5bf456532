import { linkSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { Tree } from '../../../build/rootfs/tree.js';
import { makeUfs, ROOT_LABEL } from '../../../build/rootfs/ufs.js';
import { normalise } from '../../../build/rootfs/superblock.js';
import { readUfs } from '../../helpers/ufs.js';
import { never, tmp } from '../../helpers/tmp.js';

const TIME = 1_700_000_000;

function sample(folder: string): Tree {
  const root = join(folder, 'root');
  mkdirSync(join(root, 'bin'), { recursive: true });
  writeFileSync(join(root, 'bin/su'), 'program');
  writeFileSync(join(root, 'bin/not listed'), 'x');
  linkSync(join(root, 'bin/su'), join(root, 'bin/[su'));
  const tree = new Tree('x');
  tree.add('bin', { type: 'dir', uid: 0, gid: 0, mode: 0o755 });
  tree.add('bin/su', { type: 'file', uid: 3, gid: 5, mode: 0o4555, size: 7 });
  tree.add('bin/[su', { type: 'hardlink', target: 'bin/su' });
  tree.add('etc', { type: 'dir', uid: 0, gid: 0, mode: 0o1777 });
  tree.add('etc/short', { type: 'symlink', uid: 0, gid: 0, mode: 0o755, target: '../bin/a b' });
  tree.add('etc/long', { type: 'symlink', uid: 0, gid: 0, mode: 0o755, target: `/${'d/'.repeat(60)}x` });
  return tree;
}

describe('makeUfs', () => {
  it('gives every entry its owner, mode, time and links, whoever runs it, and sets no flags', async () => {
    const folder = await tmp();
    const image = join(folder, 'image');
    await makeUfs(sample(folder), join(folder, 'root'), image, TIME, never);
    const { label, entries } = readUfs(image);
    expect(label).toBe(ROOT_LABEL);
    expect([...entries.keys()].sort()).toEqual([
      '',
      'bin',
      'bin/[su',
      'bin/su',
      'etc',
      'etc/long',
      'etc/short',
    ]);
    expect(entries.get('bin/su')).toMatchObject({
      mode: 0o104555,
      uid: 3,
      gid: 5,
      links: 2,
      content: Buffer.from('program'),
    });
    expect(entries.get('bin/[su')?.inode).toBe(entries.get('bin/su')?.inode);
    expect(entries.get('etc')).toMatchObject({ mode: 0o041777, uid: 0 });
    expect(entries.get('etc/short')?.content.toString()).toBe('../bin/a b');
    expect(entries.get('etc/long')?.content.toString()).toBe(`/${'d/'.repeat(60)}x`);
    for (const [path, entry] of entries) {
      expect([path, entry.mtime]).toEqual([path, TIME]);
      expect([path, entry.flags]).toEqual([path, 0]);
    }
  });

  it('makes the same bytes at another time, in another folder', async () => {
    const [a, b] = [await tmp(), await tmp()];
    await makeUfs(sample(a), join(a, 'root'), join(a, 'image'), TIME, never);
    await sleep(1100);
    await makeUfs(sample(b), join(b, 'root'), join(b, 'image'), TIME, never);
    expect(readFileSync(join(a, 'image')).equals(readFileSync(join(b, 'image')))).toBe(true);
  });

  it('refuses an image that is not what it expects, and labels that FreeBSD would not take', () => {
    expect(() => normalise(() => Buffer.alloc(1376), 'label', 0)).toThrow('has no UFS1 superblock');
    expect(() => normalise(() => Buffer.alloc(1376), 'a/b', 0)).toThrow('not a volume label');
  });
});
