import { readFileSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { sha256 } from '../../../build/host/hash.js';
import { baseRelease } from '../../../build/packages/base-release.js';
import type { BaseSection } from '../../../build/packages/base-section.js';
import { openRepository } from '../../../build/packages/repository.js';
import { unpackAll } from '../../../build/rootfs/release-tree.js';
import type { Tree } from '../../../build/rootfs/tree.js';
import { ACCOUNTS, makeBasePackage, writeBaseRepository } from '../../helpers/base-packages.js';
import type { TestBasePackage } from '../../helpers/base-packages.js';
import { rsaKey } from '../../helpers/repository.js';
import type { TestEntry } from '../../helpers/tar.js';
import { never, tmp } from '../../helpers/tmp.js';

const RUNTIME: TestBasePackage = { name: 'FreeBSD-runtime', entries: ACCOUNTS };

/** Unpacks packages as a lock of them has it done. */
async function unpacked(
  packages: readonly TestBasePackage[],
  spoil: (repository: string) => void = () => undefined,
): Promise<{ readonly tree: Tree; readonly read: (path: string) => string }> {
  const folder = await tmp();
  const repository = join(folder, 'repository');
  await writeBaseRepository(repository, packages, rsaKey());
  spoil(repository);
  const made = await Promise.all(packages.map(makeBasePackage));
  const section: BaseSection = {
    asked: [],
    catalogue: { key: '', sha256: '', time: '', url: 'the test' },
    packages: made.map(({ file, manifest }) => ({
      ...{ abi: 'FreeBSD:15:amd64', asked: [], needs: [], flatsize: 1, size: file.length },
      ...{ name: String(manifest['name']), version: String(manifest['version']), origin: 'base/x' },
      ...{ path: String(manifest['path']), sha256: sha256(file), sum: sha256(file) },
    })),
  };
  const context = {
    ...{ folder: join(folder, 'cache'), signal: never },
    ...{ note: () => undefined, doing: () => undefined, progress: () => undefined },
  };
  const release = baseRelease(section, false, () => openRepository(repository, '/', {}, 'FREEBSD_DIST'));
  const checked = await release.obtain(context);
  const [root, beside] = [join(folder, 'root'), join(folder, 'beside')];
  await mkdir(root);
  await mkdir(beside);
  const tree = await unpackAll(checked.sources, root, beside, { keep: () => true, signal: never });
  await checked.close();
  return { tree, read: (path) => readFileSync(join(root, path), 'utf8') };
}

const tool = (more: Partial<TestBasePackage> = {}, ...entries: readonly TestEntry[]): TestBasePackage => ({
  name: 'FreeBSD-tool',
  entries: [{ name: './bin/tool', mode: 0o555, body: 'tool' }, ...entries],
  ...more,
});

describe('base packages', () => {
  it('have owners by the names that the base system itself has, in whatever order they come', async () => {
    const { tree, read } = await unpacked([
      tool({}, { name: './dev/tty%41', gid: 4, mode: 0o620, body: 'x' }),
      { name: 'FreeBSD-accounts', entries: ACCOUNTS },
    ]);
    expect(tree.get('dev/tty%41')).toMatchObject({ type: 'file', uid: 0, gid: 4, mode: 0o620 });
    expect(tree.get('bin/tool')).toMatchObject({ uid: 0, gid: 0, mode: 0o555 });
    expect(read('bin/tool')).toBe('tool');
  });

  it('say of a folder what it is, whichever of them only has something in it', async () => {
    const folders = {
      name: 'FreeBSD-zz',
      entries: [{ name: './bin/', type: 'directory', mode: 0o711 }],
    } as const;
    for (const packages of [
      [RUNTIME, tool(), folders],
      [RUNTIME, folders, tool()],
    ])
      expect((await unpacked(packages)).tree.get('bin')).toMatchObject({ mode: 0o711 });
  });

  it('keep hard links within a package', async () => {
    const { tree } = await unpacked([
      RUNTIME,
      tool({}, { name: './bin/[', type: 'link', linkname: './bin/tool' }),
    ]);
    expect(tree.get('bin/[')).toEqual({ type: 'hardlink', target: 'bin/tool' });
  });

  it('may have the scripts whose results the first start makes, and no others', async () => {
    const known = {
      'post-install': 'pwd_mkdb -i -p -d  ${PKG_ROOTDIR}/etc ${PKG_ROOTDIR}/etc/master.passwd\n',
      'post-deinstall': 'rm -rf /',
    };
    await unpacked([{ ...RUNTIME, scripts: known }]);
    await unpacked([
      RUNTIME,
      tool({
        scripts: {
          'post-install': '/usr/sbin/certctl -D${PKG_ROOTDIR}/ ${PKG_METALOG:+-U -M $PKG_METALOG} rehash',
        },
      }),
    ]);
    for (const script of ['ln -s a b', 'certctl rehash; reboot', 'certctl $(id)', 'x%20\npwd_mkdb'])
      await expect(unpacked([RUNTIME, tool({ scripts: { 'post-install': script } })])).rejects.toThrow(
        /^FreeBSD-tool 15\.1p1 has a script post-install that runs/,
      );
  });

  const entry = (name: string, more: Partial<TestEntry> = {}) => ({
    name,
    body: 'x',
    uname: 'root',
    gname: 'wheel',
    ...more,
  });
  const listed = (path: string) => (all: readonly TestEntry[]) =>
    all.map((each) =>
      each.name === '+MANIFEST'
        ? {
            ...each,
            body: JSON.stringify({
              name: 'FreeBSD-tool',
              version: '15.1p1',
              files: { '/bin/tool': 1, [path]: 1 },
            }),
          }
        : each,
    );
  /** A file that is one byte behind a hole, whose name is another than that of its entry. */
  const sparse = (name: string): Partial<TestEntry> => ({
    body: `${'1\n8\n1\n'.padEnd(512, '\0')}x`,
    pax: {
      ...{ 'GNU.sparse.major': '1', 'GNU.sparse.minor': '0' },
      ...{ 'GNU.sparse.name': name, 'GNU.sparse.realsize': '9' },
    },
  });
  it('may have sparse files, under the names that these get', async () => {
    const { tree, read } = await unpacked([
      RUNTIME,
      tool({ change: (all) => [...listed('/x')(all), entry('/GNUSparseFile.1/x', sparse('/x'))] }),
    ]);
    expect(tree.get('x')).toMatchObject({ type: 'file', size: 9 });
    expect(read('x')).toBe(`${'\0'.repeat(8)}x`);
  });

  it.each<
    readonly [what: string, change: (all: readonly TestEntry[]) => readonly TestEntry[], sentence: RegExp]
  >([
    [
      'a file that its manifest lacks',
      (all) => [...all, entry('/bin/other')],
      /which its manifest does not have/,
    ],
    [
      'a sparse file that its manifest lacks, under the name of one that it has',
      (all) => [...all.slice(0, 2), entry('/bin/tool', sparse('/etc/rc.conf'))],
      /holds "\/etc\/rc\.conf", which its manifest does not have/,
    ],
    [
      'a path that climbs',
      (all) => [...listed('/../../etc/passwd')(all), entry('/../../etc/passwd')],
      /leads out of the tree/,
    ],
    ['two slashes', (all) => [...listed('//etc/x')(all), entry('//etc/x')], /is an absolute path/],
    [
      'a path that is not absolute',
      (all) => [...listed('etc/x')(all), entry('etc/x')],
      /which is no absolute path/,
    ],
    ['a second manifest', (all) => [...all, entry('+MANIFEST')], /which is no absolute path/],
    ['no manifest', (all) => all.slice(2), /holds "\/bin\/tool" before its manifest/],
    ['nothing at all', () => [], /has no manifest/],
    ['less than its manifest says', (all) => all.slice(0, 2), /lacks "\/bin\/tool", which its manifest has/],
    [
      'a device',
      (all) => [...listed('/dev/x')(all), entry('/dev/x', { type: 'fifo', body: '' })],
      /a fifo, which no release set holds/,
    ],
    [
      'an owner that nobody knows',
      (all) => [...listed('/x')(all), entry('/x', { uname: 'mallory' })],
      /whose owner is "mallory", which \/etc\/master\.passwd does not have/,
    ],
    [
      'no name of a group',
      (all) => [...listed('/x')(all), entry('/x', { gname: '' })],
      /whose group is "", which \/etc\/group does not have/,
    ],
    [
      'a link to a file outside of it',
      (all) => [...listed('/x')(all), entry('/x', { type: 'link', linkname: '/etc/group', body: '' })],
      /hard link to etc\/group, which is no file before it/,
    ],
    [
      'the manifest of another',
      (all) =>
        all.map((each) =>
          each.name === '+MANIFEST' ? { ...each, body: '{"name":"FreeBSD-evil","version":"15.1p1"}' } : each,
        ),
      /says that it is FreeBSD-evil 15\.1p1, and not FreeBSD-tool 15\.1p1/,
    ],
    [
      'a manifest that is none',
      (all) => all.map((each) => (each.name === '+MANIFEST' ? { ...each, body: '{' } : each)),
      /has a manifest that is none/,
    ],
  ])('are refused with %s', async (_, change, sentence) => {
    await expect(unpacked([RUNTIME, tool({ change })])).rejects.toThrow(sentence);
  });

  it('are refused where two have the same file, and where nobody says who the owners are', async () => {
    await expect(unpacked([RUNTIME, tool(), tool({ name: 'FreeBSD-zz' })])).rejects.toThrow(
      /FreeBSD-zz 15\.1p1 holds an entry "bin\/tool", which is there twice/,
    );
    await expect(unpacked([tool()])).rejects.toThrow('hold no etc/master.passwd and etc/group');
  });

  it('are refused where the file of owners is larger than any is', async () => {
    const entries = ACCOUNTS.map((each) =>
      each.name === './etc/group' ? { ...each, body: String(each.body).padEnd(1024 ** 2 + 1, '\n') } : each,
    );
    await expect(unpacked([{ ...RUNTIME, entries }, tool()])).rejects.toThrow(
      '/etc/group of FreeBSD-runtime 15.1p1 has 1048577 bytes, and at most 1048576 are read',
    );
  });

  it('are refused with another byte or another size than the lock has, and nothing of them is kept', async () => {
    const path = (repository: string): string => join(repository, 'All/FreeBSD-tool-15.1p1.pkg');
    const spoil = (change: (bytes: Buffer) => Buffer) => (repository: string) => {
      writeFileSync(path(repository), change(readFileSync(path(repository))));
    };
    const flip = (bytes: Buffer): Buffer => {
      bytes.writeUInt8(bytes.readUInt8(bytes.length >> 1) ^ 1, bytes.length >> 1);
      return bytes;
    };
    await expect(unpacked([RUNTIME, tool()], spoil(flip))).rejects.toThrow(
      /has the sum .* It was altered or damaged/,
    );
    const longer = (bytes: Buffer): Buffer => Buffer.concat([bytes, Buffer.from('x')]);
    await expect(unpacked([RUNTIME, tool()], spoil(longer))).rejects.toThrow(/has \d+ bytes, not \d+/);
  });
});
