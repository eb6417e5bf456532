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
import { sha256 } from '../../../build/host/hash.js';
import { unpack } from '../../../build/rootfs/unpack.js';
import type { Tree } from '../../../build/rootfs/tree.js';
import { UserError } from '../../../build/error.js';
import { blocks, rawHeader, rawPax, writeTxz, xz } from '../../helpers/tar.js';
import type { TestEntry } from '../../helpers/tar.js';
import { cpuTime, never, tmp } from '../../helpers/tmp.js';

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
    const bytes = readFileSync(archive);
    const known = { fd, sha256: sha256(bytes), size: bytes.length };
    return await unpack(known, folder, { where: 'base.txz', keep, signal: never });
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
    await expect(unpackFile(join(outer, 'base.txz'), outer)).rejects.toThrow('"a", owned by 4294967296:');
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
    [
      'is packed with another format of xz',
      (bytes) => {
        const input = execFileSync('xz', ['-dc'], { input: bytes });
        return execFileSync('xz', ['--format=lzma', '-0c'], { input });
      },
    ],
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

describe('an archive that is not exactly one', () => {
  const END = Buffer.alloc(1024);
  const file = (name: string | Buffer, body = 'x'): Buffer =>
    Buffer.concat([rawHeader({ name, size: body.length.toString(8) }), blocks(body)]);
  const sparse = (size: string, name = 's'): Buffer =>
    Buffer.concat([
      rawPax({
        'GNU.sparse.major': '1',
        'GNU.sparse.minor': '0',
        'GNU.sparse.name': name,
        'GNU.sparse.realsize': size,
      }),
      file('GNUSparseFile.0/s', '0\n'.padEnd(512, '\0')),
    ]);

  it.each<[string, Buffer[], string]>([
    ['has no end', [file('a')], 'ends in the middle'],
    ['has half an end', [file('a'), Buffer.alloc(512)], 'ends in the middle'],
    ['goes on behind its end', [file('a'), END, file('b'), END], 'goes on behind its end'],
    ['goes on a block behind', [file('a'), Buffer.alloc(512), file('b'), END], 'goes on behind its end'],
    [
      'ends within contents',
      [rawHeader({ name: 'a', size: '2000' }), Buffer.alloc(512)],
      'ends in the middle',
    ],
    ['has a wrong sum', [file('a').fill('b', 0, 1), END], 'has a header whose sum is wrong'],
    [
      'is of an old kind',
      [rawHeader({ name: 'a', magic: '' }), END],
      'a kind of tar archive that is not known',
    ],
    ['has a number that is none', [rawHeader({ name: 'a', size: '12x' }), END], 'a number that is none'],
    [
      'has a name that is not UTF-8',
      [file(Buffer.from([0x61, 0xff])), END],
      'a name that is not UTF-8 ("a?")',
    ],
    [
      'has such a name in a pax header',
      [rawPax({ path: Buffer.from([0xc3, 0x28]) }), file('a'), END],
      'not UTF-8',
    ],
    [
      'has a link to such a name',
      [rawHeader({ name: 'a', flag: '2', link: Buffer.from([0xff]) }), END],
      'not UTF-8',
    ],
    [
      'has a link to nothing',
      [rawHeader({ name: 'a', flag: '2' }), END],
      'a symbolic link which leads nowhere',
    ],
    ['has a hard link to nothing', [rawHeader({ name: 'a', flag: '1' }), END], 'a hard link to nothing'],
    [
      'has a link with contents',
      [rawHeader({ name: 'a', flag: '2', link: 'b', size: '1' }), blocks('x'), END],
      'with contents',
    ],
    [
      'has a link with an escape sequence',
      [rawHeader({ name: 'a', flag: '2', link: '\u001b[2J' }), END],
      'a control character',
    ],
    [
      'has an owner that is no number',
      [rawPax({ uid: '-1' }), file('a'), END],
      '"a", whose uid is no number',
    ],
    [
      'has an owner that is too large',
      [rawPax({ gid: '4294967295' }), file('a'), END],
      'owned by 0:4294967295',
    ],
    [
      'has attributes for all entries',
      [rawHeader({ name: 'g', flag: 'g' }), file('a'), END],
      'a thing of the kind "g"',
    ],
    ['announces an entry that does not come', [rawPax({ path: 'b' }), END], 'announces an entry'],
    [
      'has a damaged pax header',
      [rawHeader({ name: 'p', flag: 'x', size: '5' }), blocks('99 a='), file('a'), END],
      'a pax header that is damaged',
    ],
    [
      'has a huge pax header',
      [rawHeader({ name: 'p', flag: 'x', size: '77777777' }), END],
      'more than 64 KiB',
    ],
    ['has a sparse file of 1 TB', [sparse('1099511627776'), END], 'unpacks to more than'],
    ['has a sparse file of 9 PB', [sparse('9007199254740991'), END], 'a sparse file in a format'],
    ['has a file of 8 GB', [rawHeader({ name: 'a', size: '77777777777' }), END], 'unpacks to more than'],
    [
      'has many sparse files',
      Array.from({ length: 40 }, (_value, index) => sparse('8388608', `s${index}`)),
      'unpacks to more than',
    ],
  ])('is refused if it %s', async (_, parts, message) => {
    const outer = await tmp();
    mkdirSync(join(outer, 'root'));
    writeFileSync(join(outer, 'base.txz'), xz(Buffer.concat(parts)));
    const started = cpuTime();
    const result = unpackFile(join(outer, 'base.txz'), join(outer, 'root'));
    await expect(result).rejects.toThrow(message);
    await expect(result).rejects.toBeInstanceOf(UserError);
    expect(cpuTime() - started).toBeLessThan(5000);
  });

  it('is refused if a few bytes unpack to gigabytes', async () => {
    const outer = await tmp();
    mkdirSync(join(outer, 'root'));
    const body = Buffer.alloc(96 * 1024 ** 2);
    writeFileSync(
      join(outer, 'base.txz'),
      xz(Buffer.concat([rawHeader({ name: 'a', size: body.length.toString(8) }), body, END])),
    );
    await expect(unpackFile(join(outer, 'base.txz'), join(outer, 'root'))).rejects.toThrow(
      /base\.txz has \d+ bytes and unpacks to more than \d+, as no release set does/,
    );
    expect(readdirSync(join(outer, 'root'))).toEqual([]);
  });

  it('is refused if it has changed since it was summed up', async () => {
    const outer = await tmp();
    mkdirSync(join(outer, 'root'));
    const [one, other] = ['good', 'evil'].map((body) => xz(Buffer.concat([file('a', body), END])));
    const path = join(outer, 'base.txz');
    writeFileSync(path, other ?? '');
    const fd = openSync(path, 'r');
    const known = { fd, sha256: sha256(one ?? ''), size: one?.length ?? 0 };
    const options = { where: 'base.txz', keep: () => true, signal: never };
    await expect(unpack(known, join(outer, 'root'), options)).rejects.toThrow(
      'has changed while it was unpacked',
    );
    closeSync(fd);
  });

  it.each<[string, Buffer[]]>([
    [
      'of what was left out, and there twice',
      [
        file('usr/tests/a', 'long one'),
        file('usr/tests/a', 'x'),
        rawHeader({ name: 'b', flag: '1', link: 'usr/tests/a' }),
        END,
      ],
    ],
    ['of itself', [rawHeader({ name: 'b', flag: '1', link: 'b' }), END]],
    [
      'of a folder that was left out',
      [
        rawHeader({ name: 'usr/tests/a/', flag: '5' }),
        rawHeader({ name: 'b', flag: '1', link: 'usr/tests/a' }),
        END,
      ],
    ],
  ])('is refused with a sentence if it has a hard link %s', async (_, parts) => {
    const outer = await tmp();
    mkdirSync(join(outer, 'root'));
    writeFileSync(join(outer, 'base.txz'), xz(Buffer.concat(parts)));
    const keep = (path: string): boolean => !path.startsWith('usr/tests');
    await expect(unpackFile(join(outer, 'base.txz'), join(outer, 'root'), keep)).rejects.toBeInstanceOf(
      UserError,
    );
  });

  it('is taken with owners of a pax header, long names of GNU tar, and hard links to what was left out of any kind', async () => {
    const outer = await tmp();
    mkdirSync(join(outer, 'root'));
    const long = 'd/'.repeat(60) + 'file';
    const parts = [
      rawPax({ uid: '70000', gid: '4294967294' }),
      file('owned'),
      rawHeader({ name: '././@LongLink', flag: 'L', size: (long.length + 1).toString(8), magic: 'ustar  ' }),
      blocks(`${long}\0`),
      file('short', 'long'),
      rawHeader({ name: 'out/contiguous', flag: '7', size: '4' }),
      blocks('body'),
      rawHeader({ name: 'out/also', flag: '1', link: './out/contiguous' }),
      rawHeader({ name: 'kept', flag: '1', link: 'out/also' }),
      rawHeader({ name: 'again', flag: '1', link: 'out/contiguous' }),
      END,
      Buffer.alloc(9 * 1024),
    ];
    writeFileSync(join(outer, 'base.txz'), xz(Buffer.concat(parts)));
    const tree = await unpackFile(
      join(outer, 'base.txz'),
      join(outer, 'root'),
      (path) => !path.startsWith('out'),
    );
    expect(tree.get('owned')).toMatchObject({ uid: 70000, gid: 4294967294 });
    expect(tree.get(long)).toMatchObject({ type: 'file', size: 4 });
    expect(tree.get('kept')).toMatchObject({ type: 'file', size: 4 });
    expect(tree.get('again')).toEqual({ type: 'hardlink', target: 'kept' });
    expect(readFileSync(join(outer, 'root', 'kept'), 'utf8')).toBe('body');
  });
});
