import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { fileConflicts, packageFiles } from '../../../build/packages/files.js';
import { makePackage, PACKERS } from '../../helpers/repository.js';
import { packTar } from '../../helpers/tar.js';
import type { TestEntry } from '../../helpers/tar.js';
import { never, tmp } from '../../helpers/tmp.js';

const written = async (bytes: Buffer): Promise<string> => {
  const path = join(await tmp(), 'x.pkg');
  writeFileSync(path, bytes);
  return path;
};
const filesOf = async (bytes: Buffer): Promise<readonly string[]> =>
  packageFiles(await written(bytes), 'x 1.0', never);

describe('the files of a package', () => {
  it('are those of its manifest, however it is packed, and no more than that is read', async () => {
    const { file } = await makePackage({ name: 'x', files: ['/usr/local/bin/x', '/usr/local/a%20b'] });
    expect(await filesOf(file)).toEqual(['/usr/local/bin/x', '/usr/local/a b']);
    expect(await filesOf((await makePackage({ name: 'x' })).file)).toEqual([]);
    const body = JSON.stringify({ files: { '/a': '1$00' } });
    const plain = await packTar([
      { name: '+COMPACT_MANIFEST', body },
      { name: '+MANIFEST', body },
      { name: '/a', body: Buffer.alloc(4 * 1024 ** 2, 1) },
    ]);
    for (const pack of Object.values(PACKERS)) expect(await filesOf(pack(plain))).toEqual(['/a']);
    // What comes behind is not looked at.
    expect(await filesOf(plain.subarray(0, 3000))).toEqual(['/a']);
  });

  const odd: readonly (readonly [what: string, entries: readonly TestEntry[], says: string])[] = [
    ['another file first', [{ name: 'x' }], 'x 1.0 does not begin with its manifest.'],
    ['nothing', [], 'x 1.0 does not begin with its manifest.'],
    ['a manifest that is none', [{ name: '+MANIFEST', body: 'x: y' }], 'x 1.0 has a manifest that is none.'],
  ];
  it.each(odd)('are not known of one that holds %s', async (_, entries, says) => {
    await expect(filesOf(await packTar(entries))).rejects.toThrow(says);
  });

  it('are not known of what is no archive', async () => {
    await expect(filesOf(Buffer.from('no archive'))).rejects.toThrow('x 1.0');
    await expect(filesOf(Buffer.from('28b52ffd00000000', 'hex'))).rejects.toThrow('x 1.0');
  });
});

describe('packages with the same file', () => {
  it('are told, each two of them once, where both are for one system', () => {
    const files = new Map([
      ['a', ['/bin/x', '/bin/y']],
      ['b', ['/bin/x', '/bin/y', '/bin/z']],
      ['c', ['/bin/z']],
      ['d', ['/bin/d']],
    ]);
    const host = { where: 'the host of build.cfg', names: new Set(['a', 'b', 'd']) };
    const jail = { where: 'jails of clawdie/x', names: new Set(['a', 'c']) };
    expect(fileConflicts(files, [host, jail])).toEqual([
      'a and b both have /bin/x, and are both for the host of build.cfg.',
    ]);
    expect(fileConflicts(files, [{ ...jail, names: new Set(['b', 'c']) }])).toEqual([
      'b and c both have /bin/z, and are both for jails of clawdie/x.',
    ]);
  });
});
