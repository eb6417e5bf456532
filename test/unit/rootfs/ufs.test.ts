import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BLOCK, FRAGMENT, metadata } from '../../../build/rootfs/ffs.js';
import { plan } from '../../../build/rootfs/layout.js';
import { Tree } from '../../../build/rootfs/tree.js';
import { makeUfs, ROOT_LABEL } from '../../../build/rootfs/ufs.js';
import { readUfs } from '../../helpers/ufs.js';
import { never, tmp } from '../../helpers/tmp.js';

const TIME = 1_700_000_000;
const OWNER = { uid: 0, gid: 0 };

function sample(folder: string): Tree {
  const root = join(folder, 'root');
  mkdirSync(join(root, 'bin'), { recursive: true });
  writeFileSync(join(root, 'bin/su'), 'program');
  writeFileSync(join(root, 'bin/not listed'), 'x');
  const tree = new Tree('x');
  tree.add('bin', { type: 'dir', ...OWNER, mode: 0o755 });
  tree.add('bin/su', { type: 'file', uid: 3, gid: 5, mode: 0o4555, size: 7 });
  tree.add('bin/[su', { type: 'hardlink', target: 'bin/su' });
  tree.add('etc', { type: 'dir', ...OWNER, mode: 0o1777 });
  tree.add('etc/short', { type: 'symlink', ...OWNER, mode: 0o755, target: '../bin/a b' });
  tree.add('etc/long', { type: 'symlink', ...OWNER, mode: 0o755, target: `/${'d/'.repeat(60)}x` });
  return tree;
}

/** Adds a file whose contents tell every place in them apart. */
function addFile(tree: Tree, root: string, path: string, size: number): Buffer {
  const content = Buffer.alloc(size);
  for (let at = 0; at + 4 <= size; at += 4) content.writeUInt32LE((at + path.length) >>> 0, at);
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), content);
  tree.add(path, { type: 'file', ...OWNER, mode: 0o644, size });
  return content;
}

describe('makeUfs', () => {
  it('gives every entry its owner, mode, time and links, whoever runs it, and sets no flags', async () => {
    const folder = await tmp();
    const image = join(folder, 'image');
    await makeUfs(sample(folder), join(folder, 'root'), image, TIME, never);
    const { label, entries, flaws } = readUfs(image);
    expect(flaws).toEqual([]);
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

  it('makes the same bytes in another folder, whose files were made in another order', async () => {
    const names = Array.from({ length: 300 }, (_, index) => `lib/${String(index * 7919)}.so`);
    const make = async (order: readonly string[]): Promise<Buffer> => {
      const folder = await tmp();
      const tree = sample(folder);
      for (const name of order) addFile(tree, join(folder, 'root'), name, name.length * 1000);
      await makeUfs(tree, join(folder, 'root'), join(folder, 'image'), TIME, never);
      return readFileSync(join(folder, 'image'));
    };
    const [a, b] = [await make(names), await make(names.toReversed())];
    expect(a.equals(b)).toBe(true);
  });

  it('keeps files of every size whole: ends of files, and up to two blocks of pointers on the way', async () => {
    const folder = await tmp();
    const root = join(folder, 'root');
    const tree = sample(folder);
    const direct = 12 * BLOCK;
    const indirect = direct + 2048 * BLOCK;
    const sizes = [
      0,
      1,
      FRAGMENT - 1,
      FRAGMENT,
      FRAGMENT + 1,
      BLOCK - 1,
      BLOCK,
      BLOCK + 1,
      direct - 1,
    ].concat([
      direct,
      direct + 1,
      direct + FRAGMENT,
      indirect - 1,
      indirect,
      indirect + 1,
      indirect + 3 * BLOCK,
    ]);
    const contents = sizes.map((size) => addFile(tree, root, `sizes/${size}`, size));
    const image = join(folder, 'image');
    await makeUfs(tree, root, image, TIME, never);
    const { entries, flaws } = readUfs(image);
    expect(flaws).toEqual([]);
    for (const [index, content] of contents.entries()) {
      const name = `sizes/${sizes[index] ?? 0}`;
      expect([name, entries.get(name)?.content.equals(content)]).toEqual([name, true]);
    }
  });

  it('spreads over several groups what one cannot hold', async () => {
    const folder = await tmp();
    const root = join(folder, 'root');
    const tree = sample(folder);
    const content = addFile(tree, root, 'large', 150 * 1024 * 1024);
    const image = join(folder, 'image');
    await makeUfs(tree, root, image, TIME, never);
    expect(readFileSync(image).readInt32LE(65536 + 44)).toBe(2);
    const { entries, flaws } = readUfs(image);
    expect(flaws).toEqual([]);
    expect(entries.get('large')?.content.equals(content)).toBe(true);
  });

  it('makes of any tree a file system without flaws that holds that tree', async () => {
    const folder = await tmp();
    const root = join(folder, 'root');
    const name = fc
      .string({ minLength: 1, maxLength: 40 })
      .filter((text) => !/[/\u0000-\u001f\u007f]/.test(text) && text !== '.' && text !== '..');
    const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/'));
    const entry = fc.record({
      path,
      kind: fc.constantFrom('file', 'dir', 'symlink', 'hardlink' as const),
      size: fc.oneof(fc.nat(FRAGMENT * 3), fc.nat(BLOCK * 15)),
      mode: fc.nat(0o7777),
      uid: fc.nat(0xffff_ffff),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(entry, { maxLength: 60 }), async (list) => {
        rmSync(root, { recursive: true, force: true });
        mkdirSync(root);
        const tree = new Tree('x');
        const contents = new Map<string, Buffer>();
        for (const { path, kind, size, mode, uid } of list) {
          const attributes = { uid, gid: 0, mode };
          const [first] = contents.keys();
          try {
            if (kind === 'dir') tree.add(path, { type: 'dir', ...attributes });
            else if (kind === 'symlink')
              tree.add(path, { type: 'symlink', ...attributes, target: 'x'.repeat(1 + (size % 300)) });
            else if (kind === 'hardlink' && first !== undefined)
              tree.add(path, { type: 'hardlink', target: first });
            else contents.set(path, addFile(tree, root, path, size));
          } catch {
            continue; // there already, or behind what is no folder
          }
        }
        const image = join(folder, 'image');
        rmSync(image, { force: true });
        await makeUfs(tree, root, image, TIME, never);
        const { entries, flaws } = readUfs(image);
        expect(flaws).toEqual([]);
        expect([...entries.keys()].sort()).toEqual(
          tree
            .entries()
            .map(([name]) => name)
            .sort(),
        );
        for (const [path, content] of contents) expect(entries.get(path)?.content.equals(content)).toBe(true);
        for (const [path, node] of tree.entries()) {
          if (node.type === 'hardlink')
            expect(entries.get(path)?.inode).toBe(entries.get(node.target)?.inode);
          else expect(entries.get(path)).toMatchObject({ uid: node.uid });
          if (node.type === 'symlink') expect(entries.get(path)?.content.toString()).toBe(node.target);
        }
      }),
      { numRuns: 25 },
    );
  }, 60_000);

  it('leaves the room that a running instance needs', async () => {
    const folder = await tmp();
    const image = join(folder, 'image');
    await makeUfs(sample(folder), join(folder, 'root'), image, TIME, never);
    const superblock = readFileSync(image).subarray(65536);
    expect(Number(superblock.readBigInt64LE(1016)) * BLOCK).toBeGreaterThanOrEqual(96 * 1024 * 1024);
    expect(Number(superblock.readBigInt64LE(1024))).toBeGreaterThanOrEqual(8192);
    expect(statSync(image).size).toBeLessThan(110 * 1024 * 1024);
  });

  it('refuses a file that is shorter than the tree says, and labels that FreeBSD would not take', async () => {
    const folder = await tmp();
    const tree = sample(folder);
    tree.add('bin/cut', { type: 'file', ...OWNER, mode: 0o644, size: 100 });
    writeFileSync(join(folder, 'root/bin/cut'), 'short');
    await expect(makeUfs(tree, join(folder, 'root'), join(folder, 'image'), TIME, never)).rejects.toThrow(
      'bin/cut has 5 bytes where 100 were unpacked',
    );
    const empty = plan(new Tree('x'), { bytes: 0, inodes: 0 });
    expect(() => [...metadata(empty, 'a/b', 0)]).toThrow('not a volume label');
  });
});
