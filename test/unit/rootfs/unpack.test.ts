import { execFileSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { unpack } from '../../../build/rootfs/unpack.js';
import type { Tree } from '../../../build/rootfs/tree.js';
import { writeTxz } from '../../helpers/tar.js';
import type { TestEntry } from '../../helpers/tar.js';
import { never, tmp } from '../../helpers/tmp.js';

async function run(
  entries: readonly TestEntry[],
  keep: (path: string) => boolean = () => true,
): Promise<{ tree: Tree; folder: string; outer: string }> {
  const outer = await tmp();
  const folder = join(outer, 'root');
  mkdirSync(folder);
  const archive = join(outer, 'base.txz');
  await writeTxz(archive, entries);
  return { tree: await unpackFile(archive, folder, keep), folder, outer };
}

async function unpackFile(
  archive: string,
  folder: string,
  keep: (path: string) => boolean = () => true,
): Promise<Tree> {
  const fd = openSync(archive, 'r');
  try {
    return await unpack(fd, folder, { where: 'base.txz', keep, signal: never });
  } finally {
    closeSync(fd);
  }
}

describe('unpack', () => {
  it('puts contents into the folder, and owners, modes and links into the tree', async () => {
    const { tree, folder } = await run([
      { name: './', type: 'directory', mode: 0o755 },
      { name: './bin/', type: 'directory', mode: 0o755 },
      { name: './bin/test', mode: 0o4555, gid: 5, body: 'program' },
      { name: './bin/[', type: 'link', linkname: './bin/test' },
      { name: './lib', type: 'symlink', linkname: 'usr/lib' },
      { name: './tmp', type: 'directory', mode: 0o1777 },
    ]);
    expect(tree.get('bin/test')).toEqual({ type: 'file', mode: 0o4555, uid: 0, gid: 5, size: 7 });
    expect(tree.get('bin/[')).toEqual({ type: 'hardlink', target: 'bin/test' });
    expect(tree.get('lib')).toMatchObject({ type: 'symlink', target: 'usr/lib' });
    expect(tree.get('tmp')).toMatchObject({ type: 'dir', mode: 0o1777 });
    expect(readdirSync(folder).sort()).toEqual(['bin', 'tmp']);
    expect(statSync(join(folder, 'bin/test')).mode & 0o7777).toBe(0o600);
  });

  it('refuses an owner that no system can have', async () => {
    const outer = await tmp();
    writeFileSync(join(outer, 'a'), 'x');
    const tar = execFileSync('tar', ['--format=ustar', '-C', outer, '-cf', '-', 'a']);
    // uid in base 256, as GNU tar has it: 2^32; then the sum of the header's bytes, itself as blanks
    Buffer.from([0x80, 0, 0, 1, 0, 0, 0, 0]).copy(tar, 108);
    tar.fill(' ', 148, 156);
    const sum = tar.subarray(0, 512).reduce((total, byte) => total + byte, 0);
    tar.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
    writeFileSync(join(outer, 'base.txz'), execFileSync('xz', ['-0', '-c'], { input: tar }));
    await expect(unpackFile(join(outer, 'base.txz'), outer)).rejects.toThrow('a, owned by 4294967296:');
  });

  it('reads past what is not wanted, and still has the contents of a wanted name of it', async () => {
    const { tree, folder } = await run(
      [
        { name: './a', body: 'shared', mode: 0o755 },
        { name: './b', type: 'link', linkname: './a' },
        { name: './c', type: 'link', linkname: './a' },
        { name: './d', body: 'gone' },
      ],
      (path) => path !== 'a' && path !== 'd',
    );
    expect(tree.get('a')).toBeUndefined();
    expect(tree.get('b')).toEqual({ type: 'file', mode: 0o755, uid: 0, gid: 0, size: 6 });
    expect(tree.get('c')).toEqual({ type: 'hardlink', target: 'b' });
    expect(readFileSync(join(folder, 'b'), 'utf8')).toBe('shared');
    expect(readdirSync(folder)).toEqual(['b']);
  });

  it('unpacks sparse files of bsdtar', async () => {
    const map = Buffer.alloc(512);
    map.write('2\n1024\n4\n4096\n0\n');
    const { tree, folder } = await run([
      {
        name: './GNUSparseFile.0/hole',
        body: Buffer.concat([map, Buffer.from('data')]),
        pax: {
          'GNU.sparse.major': '1',
          'GNU.sparse.minor': '0',
          'GNU.sparse.name': './hole',
          'GNU.sparse.realsize': '4096',
        },
      },
    ]);
    expect(tree.get('hole')).toMatchObject({ type: 'file', size: 4096 });
    const content = readFileSync(join(folder, 'hole'));
    expect(content.length).toBe(4096);
    expect(content.toString('latin1', 1024, 1028)).toBe('data');
    expect(content.subarray(0, 1024).every((byte) => byte === 0)).toBe(true);
  });

  it.each<[string, TestEntry[], string]>([
    ['an absolute path', [{ name: '/etc/passwd', body: 'x' }], 'is an absolute path'],
    ['a path that climbs', [{ name: './a/../../evil', body: 'x' }], 'leads out of the tree with ".."'],
    [
      'a hard link that climbs',
      [{ name: './x', type: 'link', linkname: '../../../etc/passwd' }],
      'leads out of the tree',
    ],
    [
      'a hard link to nothing',
      [{ name: './x', type: 'link', linkname: './nothing' }],
      'which is no file before it',
    ],
    [
      'a file behind a symbolic link',
      [
        { name: './e', type: 'symlink', linkname: '/etc' },
        { name: './e/evil', body: 'x' },
      ],
      'would stand behind e, which is a symlink',
    ],
    [
      'a folder behind a symbolic link',
      [
        { name: './e', type: 'symlink', linkname: '..' },
        { name: './e/d/', type: 'directory' },
      ],
      'would stand behind e, which is a symlink',
    ],
    [
      'a file behind a file',
      [
        { name: './f', body: 'x' },
        { name: './f/g', body: 'x' },
      ],
      'would stand behind f, which is a file',
    ],
    [
      'a file twice',
      [
        { name: './f', body: 'x' },
        { name: './f', body: 'y' },
      ],
      'is there twice',
    ],
    [
      'a link in place of a file',
      [
        { name: './f', body: 'x' },
        { name: './f', type: 'symlink', linkname: '/etc/passwd' },
      ],
      'is there twice',
    ],
    [
      'a device',
      [{ name: './dev/null', type: 'character-device' }],
      'a character-device, which no release set holds',
    ],
    ['a fifo', [{ name: './pipe', type: 'fifo' }], 'a fifo, which no release set holds'],
    ['a control character', [{ name: './a\nb', body: 'x' }], 'holds a control character'],
    [
      'a sparse map that leads out of the file',
      [
        {
          name: './s',
          body: Buffer.concat([Buffer.from('1\n4000\n500\n'.padEnd(512, '\0')), Buffer.alloc(500)]),
          pax: {
            'GNU.sparse.major': '1',
            'GNU.sparse.minor': '0',
            'GNU.sparse.name': './s',
            'GNU.sparse.realsize': '4096',
          },
        },
      ],
      'sparse file whose map is damaged',
    ],
  ])('refuses %s, and writes nothing outside its folder', async (_, entries, message) => {
    const outer = await tmp();
    const folder = join(outer, 'a', 'root');
    mkdirSync(folder, { recursive: true });
    const archive = join(outer, 'base.txz');
    await writeTxz(archive, entries);
    await expect(unpackFile(archive, folder)).rejects.toThrow(message);
    expect(readdirSync(outer).sort()).toEqual(['a', 'base.txz']);
    expect(readdirSync(join(outer, 'a'))).toEqual(['root']);
    expect(existsSync('/etc/evil')).toBe(false);
  });

  it.each([
    ['is cut short', (bytes: Buffer) => bytes.subarray(0, bytes.length >> 1)],
    [
      'is altered',
      (bytes: Buffer) =>
        Buffer.concat([bytes.subarray(0, 60), Buffer.from([1, 2, 3, 4]), bytes.subarray(64)]),
    ],
    ['is no archive', () => Buffer.from('hello')],
  ])('says so if the archive %s', async (_, damage) => {
    const outer = await tmp();
    const archive = join(outer, 'base.txz');
    await writeTxz(archive, [
      {
        name: './f',
        body: Buffer.from(Array.from({ length: 50_000 }, (_value, index) => (index * 7919) % 251)),
      },
    ]);
    writeFileSync(archive, damage(readFileSync(archive)));
    mkdirSync(join(outer, 'root'));
    await expect(unpackFile(archive, join(outer, 'root'))).rejects.toThrow(/Unpacking base.txz/);
  });
});
