import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { InputError } from '../../../build/error.js';
import { sha256 } from '../../../build/host/hash.js';
import type { Lock } from '../../../build/packages/lockfile.js';
import { checkMemory, roomFor, runsFromMemory } from '../../../build/packages/memory.js';
import { closure, mediumList, mediumOf } from '../../../build/packages/medium.js';
import { configOf } from '../../helpers/config.js';
import { lockOf } from '../../helpers/lock.js';
import { PKG as REAL_PKG, skipWithout } from '../../helpers/real.js';
import { tmp } from '../../helpers/tmp.js';

const PKG = join(REAL_PKG.folder ?? '', 'pkg');
const MIB = 1024 ** 2;

const lock = async (): Promise<{ readonly lock: Lock; readonly files: ReadonlyMap<string, Buffer> }> =>
  lockOf([
    { name: 'pkg', asked: ['pkg(8)'] },
    { name: 'libevent', more: { shlibs_provided: ['libevent.so.2'] } },
    { name: 'tmux', deps: ['libevent'], asked: ['PACKAGES'], more: { shlibs_required: ['libevent.so.2'] } },
    { name: 'node24', version: '2.0_1,1', asked: ['clawdie/pi-worker'] },
  ]);

describe('the packages of a medium', () => {
  it('are listed with what an instance holds them against, and what they are to this host', async () => {
    const { lock: made } = await lock();
    const medium = await mediumOf(made);
    const lines = mediumList(medium, ['tmux', 'pkg'])
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'))
      .map((line) => line.split(' '));
    expect(lines.every((words) => words.length === 7)).toBe(true);
    expect(lines.map(([kind, , , , file]) => `${kind} ${file}`)).toEqual([
      'catalogue data.pkg',
      'catalogue meta.conf',
      'catalogue Latest/pkg.pkg',
      'asked All/pkg-1.0.pkg',
      'needed All/libevent-1.0.pkg',
      'asked All/tmux-1.0.pkg',
      'other All/node24-2.0_1,1.pkg',
    ]);
    const data = medium.catalogue.get('data.pkg') ?? Buffer.alloc(0);
    expect(lines[0]).toEqual(['catalogue', sha256(data), String(data.length), '0', 'data.pkg', '-', '-']);
    expect(lines.at(-1)?.slice(1, 4)).toEqual([
      made.packages.at(-1)?.sha256,
      String(made.packages.at(-1)?.size),
      '1000',
    ]);
    // Those of templates are installed in jails.
    expect(medium.hostBytes).toBe(3000);
    expect([...closure(made, ['tmux'])].sort()).toEqual(['libevent', 'tmux']);
    expect(closure(made, ['none']).size).toBe(0);
  });

  it('are the same bytes of the same lock, and others of another', async () => {
    const { lock: made } = await lock();
    const [one, other] = [await mediumOf(made), await mediumOf(structuredClone(made))];
    expect(other).toEqual(one);
    const [first] = made.packages;
    const changed = {
      ...made,
      packages: [{ ...(first as NonNullable<typeof first>), sha256: 'a'.repeat(64) }],
    };
    expect((await mediumOf(changed)).digest).not.toBe(one.digest);
  });

  it('make a repository that the real pkg(8) reads and resolves', async ({ skip }) => {
    skipWithout([REAL_PKG], skip);
    const { lock: made, files } = await lock();
    const medium = await mediumOf(made);
    const folder = await tmp();
    for (const [name, bytes] of [
      ...medium.catalogue,
      ...medium.packages.map(({ file, name }) => [file, files.get(name) ?? Buffer.alloc(0)] as const),
    ]) {
      mkdirSync(dirname(join(folder, 'medium', name)), { recursive: true });
      writeFileSync(join(folder, 'medium', name), bytes);
    }
    mkdirSync(join(folder, 'repos'));
    writeFileSync(
      join(folder, 'repos/x.conf'),
      `FreeBSD-ports: { url: "file://${join(folder, 'medium')}", mirror_type: "none", signature_type: "none" }\n`,
    );
    const settings = { ABI: 'FreeBSD:15:amd64', OSVERSION: '1501000', PKG_DBDIR: join(folder, 'db') };
    const pkg = (...args: readonly string[]): string =>
      execFileSync(
        PKG,
        [
          ...Object.entries(settings).flatMap(([key, value]) => ['-o', `${key}=${value}`]),
          ...['-R', join(folder, 'repos'), '-r', join(folder, 'root')],
          ...args,
        ],
        {
          encoding: 'utf8',
          stdio: ['ignore', 'pipe', 'ignore'],
          env: { ...process.env, ASSUME_ALWAYS_YES: 'yes' },
        },
      );
    mkdirSync(join(folder, 'root'));
    mkdirSync(join(folder, 'db'));
    expect(pkg('update', '-f', '-r', 'FreeBSD-ports')).toContain('4 packages processed');
    expect(pkg('rquery', '-U', '%n %v %o %sb').trim().split('\n').sort()).toEqual([
      'libevent 1.0 test/libevent 1000',
      'node24 2.0_1,1 test/node24 1000',
      'pkg 1.0 test/pkg 1000',
      'tmux 1.0 test/tmux 1000',
    ]);
    pkg('install', '-y', '-U', '-I', '-r', 'FreeBSD-ports', 'pkg', 'tmux');
    expect(pkg('query', '%n %v %a').trim().split('\n').sort()).toEqual([
      'libevent 1.0 1',
      'pkg 1.0 0',
      'tmux 1.0 0',
    ]);
  });
});

describe('the memory of a live image', () => {
  const read = (name: string): string | undefined =>
    name === 'clawdie/pi-worker' ? '# lock: pkg node24\n' : name === 'clawdie/worker' ? '' : undefined;
  const heavy = async (tmux: number, node: number) =>
    mediumOf(
      (
        await lockOf([
          { name: 'pkg', asked: ['pkg(8)'] },
          { name: 'tmux', asked: ['PACKAGES'], more: { flatsize: tmux * MIB } },
          { name: 'node24', asked: ['clawdie/pi-worker'], more: { flatsize: node * MIB } },
        ])
      ).lock,
    );

  it('has room for what packages install, in steps that locks share', () => {
    expect(roomFor(0)).toBe(64 * MIB);
    expect(roomFor(300 * MIB)).toBe(384 * MIB);
    expect(roomFor(301 * MIB)).toBe(384 * MIB);
  });

  it('is refused beyond MEMORY, with what takes how much, and what to do', async () => {
    const medium = await heavy(600, 100);
    const config = configOf({ PACKAGES: 'tmux', HTTP: 'no', HTTPS: 'no', JAILS: '' });
    expect(() => {
      checkMemory(config, medium, read, undefined);
    }).not.toThrow();
    let error: unknown;
    try {
      checkMemory(config, medium, read, 900 * MIB);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(InputError);
    expect(String(error)).toContain('needs 1092 MiB of memory, and MEMORY is 1024:');
    expect(String(error)).toMatch(/\n +900 MiB {2}the root, .*\n +600 MiB +tmux 1\.0\n +1 MiB +pkg 1\.0/);
    expect((error as InputError).fix).toContain('INSTALL="auto"');
    for (const other of [{ MEMORY: '2G' }, { INSTALL: 'auto' }, { FORMATS: 'qcow2' }] as readonly Readonly<
      Record<string, string>
    >[])
      expect(() => {
        const values = { PACKAGES: 'tmux', HTTP: 'no', HTTPS: 'no', JAILS: '', ...other };
        checkMemory(configOf(values), medium, read, 900 * MIB);
      }).not.toThrow();
  });

  it('counts what templates install in each jail', async () => {
    const medium = await heavy(100, 400);
    const jails = 'a template=clawdie/pi-worker\nb template=clawdie/pi-worker\nc template=clawdie/worker';
    const config = configOf({ PACKAGES: 'tmux', HTTP: 'no', HTTPS: 'no', JAILS: jails });
    expect(() => {
      checkMemory(config, medium, read, undefined);
    }).toThrow(/401 MiB {2}packages in the jail a, among them\n +400 MiB +node24 1\.0/);
  });

  it('counts packages of npm in each jail, and says so where the lock does not have what they take', async () => {
    const template = (name: string): string | undefined =>
      name === 'clawdie/pi-worker' ? '# lock: pkg node24\n# lock: npm pi@1.0.0\n' : read(name);
    const { lock: made } = await lockOf([
      { name: 'pkg', asked: ['pkg(8)'] },
      { name: 'node24', asked: ['clawdie/pi-worker'], more: { flatsize: 100 * MIB } },
    ]);
    const module = (name: string, places: number): Lock['npm'][number] => ({
      ...{ name, version: '1.0.0', asked: [], url: 'https://registry.example/x.tgz' },
      integrity: `sha512-${Buffer.alloc(64, 1).toString('base64')}`,
      places: Array.from({ length: places }, (_, index) => `node_modules/${name}${index}`),
    });
    const check = async (sizes: readonly (number | undefined)[], memory: string): Promise<string> => {
      const npm = sizes.map((size, index) => ({
        ...module(`m${index}`, index + 1),
        ...(size !== undefined && { flatsize: size * MIB }),
      }));
      const jails = 'a template=clawdie/pi-worker\nb template=clawdie/pi-worker\nc template=clawdie/worker';
      const config = configOf({ HTTP: 'no', HTTPS: 'no', JAILS: jails, MEMORY: memory });
      try {
        return checkMemory(config, await mediumOf({ ...made, npm }), template, undefined) ?? '';
      } catch (error) {
        return String(error);
      }
    };
    // 192, 64 for the root, and in each of two jails a bit more than 100 of packages and 50 + 2 × 100 of npm.
    expect(await check([50, 100], '957M')).toBe('');
    const refused = await check([50, 100], '956M');
    expect(refused).toContain('needs 957 MiB of memory');
    expect(refused.match(/ 250 MiB {2}packages of npm in the jail [ab]$/gm)).toHaveLength(2);
    expect(await check([50, undefined], '512M')).toBe(
      'The lock was made by an earlier version and does not say how much packages of npm take in a, b: MEMORY is counted without them. Run `make lock` (clawdie-iso lock): it adds that.',
    );
    expect(await check([50, undefined], '400M')).toMatch(
      / \? MiB {2}packages of npm in the jail a, not counted: the lock does not say it/,
    );
  });

  it('is asked for by live images alone', () => {
    expect(runsFromMemory({ FORMATS: ['iso'], INSTALL: 'never' })).toBe(true);
    expect(runsFromMemory({ FORMATS: ['iso', 'img'], INSTALL: 'ask' })).toBe(true);
    expect(runsFromMemory({ FORMATS: ['iso'], INSTALL: 'auto' })).toBe(false);
    expect(runsFromMemory({ FORMATS: ['img'], INSTALL: 'never' })).toBe(false);
  });
});
