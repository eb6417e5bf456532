import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { sha256 } from '../../build/host/hash.js';
import { cli, isoArgs } from '../helpers/cli.js';
import { writeSets } from '../helpers/sets.js';
import { addToTxz } from '../helpers/tar.js';
import type { TestEntry } from '../helpers/tar.js';
import { tmp } from '../helpers/tmp.js';

const ISO = 'clawdie-15.1-RELEASE-amd64.iso';

/** Writes a deployment on the sample's sets with more entries, and gives the arguments for its image. */
async function withEntries(folder: string, ...entries: readonly TestEntry[]): Promise<string[]> {
  mkdirSync(folder, { recursive: true });
  const config = await writeSets(folder, (sets) => addToTxz(join(sets, 'base.txz'), entries));
  writeFileSync(join(folder, 'build.cfg'), config.replace(/^FREEBSD_DIST=.*/, 'FREEBSD_DIST=sets'));
  return isoArgs(folder);
}

/** What an ISO holds, by path. */
function filesOf(iso: string): string[] {
  return execFileSync('xorriso', ['-indev', iso, '-find', '/', '-type', 'f'], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  })
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.replace(/^'|'$/g, ''));
}

describe('names of a release set', () => {
  it('are names and nothing else: none leads out of the work folder, or becomes another file of the ISO', async () => {
    const outer = await tmp();
    const folder = join(outer, 'a', 'b');
    const args = await withEntries(
      folder,
      { name: './boot/lua/x+..+..+..+..+..+..+..+evil.lua', body: 'climbs' },
      { name: './boot/lua/x+..+..+..+overlay', body: 'the slot' },
      { name: './boot/lua/x+..+..+loader.conf', body: 'the loader’s' },
      { name: './boot/lua/a+b.lua', body: 'one' },
      { name: './boot/lua/a/b.lua', body: 'other' },
    );
    expect(await cli(args)).toMatchObject({ code: 0, stderr: '' });
    expect(readdirSync(outer)).toEqual(['a']);
    expect(readdirSync(join(outer, 'a'))).toEqual(['b']);
    expect(readdirSync(folder).sort()).toEqual(['build.cfg', 'cache', 'dist', 'sets']);
    expect(existsSync('/evil.lua')).toBe(false);
    const iso = join(folder, 'dist', ISO);
    expect(
      filesOf(iso)
        .filter((path) => path.startsWith('/boot/lua/'))
        .sort(),
    ).toEqual([
      '/boot/lua/a+b.lua',
      '/boot/lua/a/b.lua',
      '/boot/lua/loader.lua',
      '/boot/lua/x+..+..+..+..+..+..+..+evil.lua',
      '/boot/lua/x+..+..+..+overlay',
      '/boot/lua/x+..+..+loader.conf',
    ]);
    const held = (path: string): string =>
      execFileSync(
        'sh',
        [
          '-c',
          `xorriso -indev "$1" -osirrox on -extract "$2" "$3" >&2 && cat "$3"`,
          'sh',
          iso,
          path,
          join(outer, path.replaceAll('/', '_')),
        ],
        { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] },
      );
    expect([held('/boot/lua/a+b.lua'), held('/boot/lua/a/b.lua')]).toEqual(['one', 'other']);
    expect(held('/boot/loader.conf')).toContain('net.pf.default_to_drop="1"');
  });
});

describe('a cache that was meddled with', () => {
  it('adds nothing to an image', async () => {
    const folder = await tmp();
    const args = await withEntries(folder);
    await cli(args);
    const good = sha256(readFileSync(join(folder, 'dist', ISO)));
    const entry = (kind: string): string =>
      join(folder, 'cache', kind, readdirSync(join(folder, 'cache', kind))[0] ?? '');
    for (const name of ['boot/extra.lua', 'boot+extra.lua', 'overlay'])
      writeFileSync(join(entry('root'), name), 'not ours');
    rmSync(entry('base'), { recursive: true });
    expect(await cli(args)).toMatchObject({ code: 0, stderr: '' });
    expect(sha256(readFileSync(join(folder, 'dist', ISO)))).toBe(good);
    // What a receipt says goes into the build record.
    for (const kind of ['root', 'base']) {
      const receipt = join(entry(kind), 'entry.json');
      writeFileSync(receipt, readFileSync(receipt, 'utf8').replaceAll('/usr/bin/su"', '/usr/bin/xx"'));
    }
    expect(await cli(args)).toMatchObject({ code: 0, stderr: '' });
    const record = readFileSync(join(folder, 'dist', ISO.replace(/iso$/, 'json')), 'utf8');
    expect(record).toContain('4555 0:0 /usr/bin/su"');
    expect(sha256(readFileSync(join(folder, 'dist', ISO)))).toBe(good);
  });
});

describe('paths of the host', () => {
  it('are names to every tool, whatever stands in them', async () => {
    const outer = await tmp();
    const folder = join(
      outer,
      'a b `touch evil` $(touch evil) $HOME & ; \' " \\ * [x] ~ # % @@1M , = -o : ü',
    );
    const args = await withEntries(folder);
    expect(await cli(args, { cwd: outer })).toMatchObject({ code: 0, stderr: '' });
    expect(readdirSync(outer)).toHaveLength(1);
    const plain = await tmp();
    expect(await cli(await withEntries(plain))).toMatchObject({ code: 0, stderr: '' });
    const sum = (at: string): string => sha256(readFileSync(join(at, 'dist', ISO)));
    expect(sum(folder)).toBe(sum(plain));
  });
});
