import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { sha256 } from '../../build/host/hash.js';
import { cli, isoArgs, MAIN, sampleArgs } from '../helpers/cli.js';
import { writeSets } from '../helpers/sets.js';
import { addToTxz } from '../helpers/tar.js';
import type { TestEntry } from '../helpers/tar.js';
import { mountSmall, tmp } from '../helpers/tmp.js';

const SAMPLE = 'clawdie-sample-amd64';
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

/** What a stack trace looks like: a line that names a place in the program. */
const TRACE = /^\s+at .*:\d+:\d+\)?$/m;

describe('what a build needs', () => {
  it('may go away: a reader of its events, or of its complaints, ends nothing', async () => {
    const folder = await tmp();
    const args = sampleArgs(folder, '--json');
    const command = `exec 2>"$0/err"; { ${args.map((word) => `'${word}'`).reduce((all, word) => `${all} ${word}`, `'${process.execPath}' '${MAIN}'`)}; echo $? > "$0/code"; } | head -1`;
    const first = execFileSync('sh', ['-c', command, folder], { encoding: 'utf8' });
    expect(first.trim().split('\n')).toHaveLength(1);
    expect(readFileSync(join(folder, 'code'), 'utf8')).toBe('0\n');
    expect(readFileSync(join(folder, 'err'), 'utf8')).toBe('');
    expect(readdirSync(join(folder, 'dist')).sort()).toEqual([
      'CHECKSUM.SHA256',
      ...['cdx.json', 'html', 'iso', 'json', 'provenance.json'].map((ending) => `${SAMPLE}.${ending}`),
    ]);
  });

  it('may be a folder where a file goes, or a file where a folder goes: that is said in a sentence', async () => {
    const folder = await tmp();
    expect((await cli(sampleArgs(folder))).code).toBe(0);
    const dist = join(folder, 'dist');
    for (const name of [
      `${SAMPLE}.iso`,
      `${SAMPLE}.json`,
      'CHECKSUM.SHA256',
      '.clawdie-iso.lock',
      '../cache/locks',
    ]) {
      rmSync(dist, { recursive: true });
      const path = join(dist, name);
      if (name.startsWith('..')) {
        rmSync(path, { recursive: true });
        writeFileSync(path, '');
      } else mkdirSync(join(path, 'in'), { recursive: true });
      const result = await cli(sampleArgs(folder));
      expect([name, result.code, result.stderr]).toEqual([
        name,
        1,
        expect.stringMatching(/^Writing .* failed: [a-z ]+\.$/m) as string,
      ]);
      expect(result.stderr).not.toMatch(TRACE);
    }
  });

  it('may not take the papers of another image: no sum of the one before stands beside it', async () => {
    const folder = await tmp();
    expect((await cli(sampleArgs(folder))).code).toBe(0);
    const dist = join(folder, 'dist');
    const list = readFileSync(join(dist, 'CHECKSUM.SHA256'), 'utf8');
    rmSync(join(dist, `${SAMPLE}.json`));
    mkdirSync(join(dist, `${SAMPLE}.json`, 'in'), { recursive: true });
    // The same image: what its list says still holds.
    expect((await cli(sampleArgs(folder))).code).toBe(1);
    expect(readFileSync(join(dist, 'CHECKSUM.SHA256'), 'utf8')).toBe(list);
    expect((await cli(sampleArgs(folder, '--set', 'TIMEZONE=Europe/Ljubljana'))).code).toBe(1);
    expect(readFileSync(join(dist, 'CHECKSUM.SHA256'), 'utf8')).toBe('');
  });

  it('may be damaged: the sample release in the cache is made again', async () => {
    const folder = await tmp();
    await cli(sampleArgs(folder));
    const good = sha256(readFileSync(join(folder, 'dist', `${SAMPLE}.iso`)));
    const releases = join(folder, 'cache', 'releases');
    const sample = join(releases, readdirSync(releases)[0] ?? '');
    const damages: (() => void)[] = [
      () => {
        writeFileSync(join(sample, 'base.txz'), 'damaged');
      },
      () => {
        rmSync(join(sample, 'MANIFEST'));
      },
      () => {
        rmSync(sample, { recursive: true });
        writeFileSync(sample, 'a file');
      },
    ];
    for (const damage of damages) {
      for (const kind of ['root', 'base']) rmSync(join(folder, 'cache', kind), { recursive: true });
      damage();
      expect(await cli(sampleArgs(folder))).toMatchObject({ code: 0, stderr: '' });
      expect(sha256(readFileSync(join(folder, 'dist', `${SAMPLE}.iso`)))).toBe(good);
    }
  });

  it('may be few: open files, a home, a place for the cache', async () => {
    const folder = await tmp();
    expect(await cli(sampleArgs(folder), { before: 'ulimit -n 128' })).toMatchObject({ code: 0, stderr: '' });
    const args = ['iso', '--out', join(folder, 'dist')];
    expect(await cli([...args, '--cache', ''], { cwd: folder })).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/^--cache is empty\./) as string,
    });
    const homeless = await cli(args, { cwd: folder, env: { HOME: '' } });
    expect(homeless).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/^There is no home folder/) as string,
    });
    expect(await cli(['packet', '--from', '__proto__', '--to', 'host:22/tcp'])).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/^"__proto__" is neither an address nor one of /) as string,
    });
  });

  it('may be read-only: a complete cache is used, and an incomplete one refused', async (context) => {
    const folder = await tmp();
    mountSmall(join(folder, 'cache'), 'size=64m', context);
    expect((await cli(sampleArgs(folder))).code).toBe(0);
    execFileSync('mount', ['-o', 'remount,ro', join(folder, 'cache')]);
    rmSync(join(folder, 'dist'), { recursive: true });
    expect(await cli(sampleArgs(folder))).toMatchObject({ code: 0, stderr: '' });
    expect(await cli(sampleArgs(folder, '--set', 'PROFILE=minimal'))).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(
        /^The cache .* is mounted read-only, and what this build needs is not in it/,
      ) as string,
    });
  });

  it.each([
    ['a FIFO', ['mkfifo'], 'it is a FIFO, not a file'],
    ['a device', ['ln', '-s', '/dev/zero'], 'it is a device, not a file'],
    ['too large', ['sh', '-c', 'head -c 2M /dev/zero > "$0"'], 'it is larger than 1 MiB'],
  ])('may be %s where a file is meant: that is said at once', async (_, command, message) => {
    const folder = await tmp();
    const path = join(folder, 'file');
    execFileSync(command[0] ?? '', [...command.slice(1), path]);
    const config = (text: string): string => {
      writeFileSync(join(folder, 'build.cfg'), `FREEBSD_DIST=sample\n${text}\n`);
      return join(folder, 'build.cfg');
    };
    const runs = [
      ['config', '--config', path],
      ['config', '--config', config(`SSH_AUTHORIZED_KEYS="@${path}"`)],
      ['iso', '--dry-run', '--config', config(`PF_RULES_FILE=${path}`)],
      ['iso', '--dry-run', '--config', config(`TAILSCALE=host\nTAILSCALE_AUTHKEY_FILE=${path}`)],
    ];
    for (const [index, run] of runs.entries()) {
      if (index > 0)
        config(
          [
            '',
            `SSH_AUTHORIZED_KEYS="@${path}"`,
            `PF_RULES_FILE=${path}`,
            `TAILSCALE=host\nTAILSCALE_AUTHKEY_FILE=${path}`,
          ][index] ?? '',
        );
      const result = await cli(run, { cwd: folder });
      expect([run, result.code, result.stderr]).toEqual([run, 2, expect.stringContaining(message) as string]);
    }
  });

  it('may hold what terminals obey: that is shown, not obeyed', async () => {
    const folder = await tmp();
    writeFileSync(join(folder, 'keys'), 'ssh-ed25519 \u001b]0;owned\u0007\0 x\n');
    writeFileSync(join(folder, 'build.cfg'), 'HTTP="\u009b2J"\nSSH_AUTHORIZED_KEYS=@keys\nDNS=\u202ex\n');
    const result = await cli(['config', '--config', join(folder, 'build.cfg')]);
    expect(result.code).toBe(2);
    expect(result.stderr).not.toMatch(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202e]/);
  });
});

describe('make', () => {
  it.each(['make', 'bmake'])('%s takes a path as it is, whatever is in it', async (make) => {
    const folder = await tmp();
    const out = join(folder, `it's \`touch evil\` "x"; touch evil`);
    mkdirSync(join(folder, "o'config"));
    writeFileSync(join(folder, "o'config", 'a.cfg'), 'FREEBSD_DIST=sample\n');
    const env = { PATH: process.env['PATH'] ?? '', HOME: folder, OUT: 'not asked for' };
    const said = execFileSync(make, ['plan', `OUT=${out}`, `CONFIG=${join(folder, "o'config", 'a.cfg')}`], {
      encoding: 'utf8',
      env,
    });
    expect(said).toContain(`image    ${out}/`);
    expect(execFileSync(make, ['plan'], { encoding: 'utf8', env })).toContain(
      `image    ${join(process.cwd(), 'dist')}/`,
    );
    expect(existsSync('evil')).toBe(false);
  });
});

describe('diff', () => {
  it('says what differs of a slot beside its files', async () => {
    const folder = await tmp();
    await cli(sampleArgs(folder));
    const image = readFileSync(join(folder, 'dist', `${SAMPLE}.iso`));
    const record = JSON.parse(readFileSync(join(folder, 'dist', `${SAMPLE}.json`), 'utf8')) as {
      baseImage: { slot: { offset: number; length: number } };
    };
    const { offset, length } = record.baseImage.slot;
    const changed = async (
      change: (bytes: Buffer) => void,
    ): Promise<{ code: number | null; slot: unknown }> => {
      const bytes = Buffer.from(image);
      change(bytes);
      writeFileSync(join(folder, 'other.iso'), bytes);
      const paths = [join(folder, 'dist', `${SAMPLE}.iso`), join(folder, 'other.iso')];
      const result = await cli(['diff', ...paths, '--json']);
      return { code: result.code, slot: (JSON.parse(result.stdout) as { slot: unknown }).slot };
    };
    const within = (text: string): number => image.indexOf(text, offset);
    expect(await changed(() => undefined)).toEqual({ code: 0, slot: [] });
    expect(await changed((bytes) => bytes.write('9', within('15.1-RELEASE')))).toEqual({
      code: 1,
      slot: ['header'],
    });
    expect(await changed((bytes) => bytes.write('x', offset + 500))).toEqual({ code: 1, slot: ['header'] });
    const other = await changed((bytes) => bytes.write('0000', within('sha256 ') + 7));
    expect(other).toEqual({ code: 1, slot: ['header'] });
    expect(await changed((bytes) => bytes.write('x', offset + length - 1))).toEqual({
      code: 1,
      slot: ['what is behind the archive'],
    });
  });
});
