import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { sha256 } from '../../build/host/hash.js';
import { SECTOR } from '../../build/image/slot.js';
import { unpackOverlay } from '../../build/overlay/unpack.js';
import { writeLock } from '../../build/packages/lockfile.js';
import type { Lock } from '../../build/packages/lockfile.js';
import { cli } from '../helpers/cli.js';
import type { CliResult } from '../helpers/cli.js';
import { rsaKey, serveFolder, writeRepository } from '../helpers/repository.js';
import type { TestPackage } from '../helpers/repository.js';
import { makeFleet, writeSite } from '../helpers/site.js';
import { packTar } from '../helpers/tar.js';
import { tmp } from '../helpers/tmp.js';

const KEY = rsaKey();
const MIB = 1024 ** 2;

const PACKAGES: readonly TestPackage[] = [
  { name: 'pkg' },
  { name: 'tmux', deps: ['libevent'], more: { flatsize: 90 * MIB } },
  { name: 'libevent' },
  { name: 'git-lite', version: '2.0_1,1' },
];

interface Place {
  readonly folder: string;
  readonly repository: string;
  run(command: string, ...args: readonly string[]): Promise<CliResult>;
}

/** A folder with a build.cfg, release sets that trust the key, and a repository. */
async function place(more = ''): Promise<Place> {
  const folder = await tmp();
  const repository = join(folder, 'repository');
  await writeRepository(repository, PACKAGES, { key: KEY, sums: 'blake2' });
  const site = await writeSite(folder, KEY, `PACKAGES="tmux"\nPACKAGES_REPOSITORY=../repository\n${more}`);
  return {
    ...{ folder, repository },
    run: (command, ...args) =>
      cli([
        ...[command, '--config', join(site, 'build.cfg'), '--cache', join(folder, 'cache')],
        ...(command === 'iso' ? ['--out', join(folder, 'dist'), '--json'] : []),
        ...args,
      ]),
  };
}

const ran = ({ stdout }: CliResult): readonly (string | undefined)[] =>
  stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { readonly type: string; readonly stage?: string })
    .filter(({ type }) => type === 'done')
    .map(({ stage }) => stage);

/** Everything of an ISO, below a folder. */
function extracted(at: Place, name: string): string {
  const iso = join(at.folder, 'dist', name);
  const target = join(at.folder, `of-${name}`);
  execFileSync('xorriso', ['-osirrox', 'on', '-indev', iso, '-extract', '/', target], { stdio: 'ignore' });
  execFileSync('chmod', ['-R', 'u+w', target]);
  return target;
}

const files = (folder: string): readonly string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort();

const imageOf = (name: string): string => `${name}-15.1-RELEASE-amd64`;

async function overlayOf(folder: string): ReturnType<typeof unpackOverlay> {
  const slot = readFileSync(join(folder, 'overlay'));
  const length = Number(/^length (\d+)$/m.exec(slot.toString('latin1', 0, SECTOR))?.[1]);
  return unpackOverlay(slot.subarray(SECTOR, SECTOR + length));
}

/** Builds of whole images, on machines that do other things as well. */
const PATIENCE = 180_000;

describe('an image with a lock', { timeout: PATIENCE }, () => {
  it('carries the packages as a repository, and what an instance holds them against; another one costs a stamp', async () => {
    const at = await place();
    const unlocked = await at.run('packages');
    expect(unlocked.code).toBe(2);
    expect(unlocked.stderr).toContain('has no locked packages: there is nothing to bring.');
    expect(await at.run('lock')).toMatchObject({ code: 0, stderr: '' });
    // The cache has them: nobody is asked.
    rmSync(at.repository, { recursive: true });
    const made = await at.run('iso');
    expect(made.stderr).toBe('');
    expect(made.code).toBe(0);
    expect(ran(made)).toContain('packages');
    const folder = extracted(at, `${imageOf('clawdie')}.iso`);
    expect(files(join(folder, 'packages'))).toEqual([
      'All/libevent-1.0.pkg',
      'All/pkg-1.0.pkg',
      'All/tmux-1.0.pkg',
      'Latest/pkg.pkg',
      'data.pkg',
      'meta.conf',
    ]);
    const { entries } = await overlayOf(folder);
    const list = entries.find(({ path }) => path === 'var/db/clawdie/packages.list');
    expect(list).toMatchObject({ mode: 0o600, uid: 0 });
    const lines = (list?.body ?? '').split('\n').filter((line) => line !== '' && !line.startsWith('#'));
    expect(lines.map((line) => line.split(' ')[4]).sort()).toEqual(files(join(folder, 'packages')));
    for (const line of lines) {
      const [, sum, size, , file = ''] = line.split(' ');
      const bytes = readFileSync(join(folder, 'packages', file));
      expect([file, sha256(bytes), String(bytes.length)]).toEqual([file, sum, size]);
    }
    // It holds no secret: everybody may read the image.
    expect(statSync(join(at.folder, 'dist', `${imageOf('clawdie')}.iso`)).mode & 0o777).toBe(0o644);
    const record = JSON.parse(
      readFileSync(join(at.folder, 'dist', `${imageOf('clawdie')}.json`), 'utf8'),
    ) as { readonly packages: readonly { readonly name: string; readonly sha256: string }[] };
    expect(record.packages.map(({ name }) => name)).toEqual(['libevent', 'pkg', 'tmux']);
    // The bill of materials has each once, and none among the files that boot.
    const bill = JSON.parse(
      readFileSync(join(at.folder, 'dist', `${imageOf('clawdie')}.cdx.json`), 'utf8'),
    ) as { readonly components: readonly { readonly 'bom-ref': string }[] };
    const refs = bill.components.map((component) => component['bom-ref']);
    expect(refs).toContain('boot:/boot/cdboot');
    expect(refs.filter((ref) => /^boot:\/packages|^boot:.*\.pkg/.test(ref))).toEqual([]);
    // What the configuration renders without an image is the same.
    const config = join(at.folder, 'site', 'build.cfg');
    const image = join(at.folder, 'dist', `${imageOf('clawdie')}.iso`);
    expect(await cli(['overlay', '--config', config, '--diff', image])).toEqual({
      ...{ code: 0, stderr: '' },
      stdout: 'The overlays are the same.\n',
    });
    // What `clawdie-iso packages` writes for an instance that runs is the same folder.
    const brought = await at.run('packages', '--out', join(at.folder, 'out'));
    expect(brought.code).toBe(0);
    const unpacked = join(at.folder, 'unpacked');
    mkdirSync(unpacked);
    const archive = join(at.folder, 'out', `${imageOf('clawdie')}.packages.tar`);
    execFileSync('tar', ['-xf', archive, '-C', unpacked]);
    expect(files(unpacked)).toEqual(files(join(folder, 'packages')));
    // pkg(8) says of a catalogue of 1970 that it is up to date, and reads none.
    expect(statSync(join(unpacked, 'data.pkg')).mtime.getFullYear()).toBeGreaterThan(2000);
    for (const file of files(unpacked))
      expect(readFileSync(join(unpacked, file))).toEqual(readFileSync(join(folder, 'packages', file)));
    const again = await at.run('packages', '--out', join(at.folder, 'again'), '--set', 'HOSTNAME=natasha');
    expect(again.code).toBe(0);
    expect(
      readFileSync(archive).equals(
        readFileSync(join(at.folder, 'again', `${imageOf('clawdie')}.packages.tar`)),
      ),
    ).toBe(true);
    const second = await at.run('iso', '--set', 'ASSISTANT_NAME=natasha', '--set', 'HOSTNAME=natasha');
    expect(second).toMatchObject({ code: 0, stderr: '' });
    expect(ran(second)).toEqual(['overlay', 'stamp']);
  });

  it('has the same bytes wherever it is made, and no room in its root where it goes onto a disk at once', async () => {
    const at = await place();
    await at.run('lock');
    const sum = (): string => sha256(readFileSync(join(at.folder, 'dist', `${imageOf('clawdie')}.iso`)));
    const rootBytes = (): number => {
      const text = readFileSync(join(at.folder, 'dist', `${imageOf('clawdie')}.json`), 'utf8');
      return (JSON.parse(text) as { readonly root: { readonly imageBytes: number } }).root.imageBytes;
    };
    await at.run('iso');
    const first = sum();
    rmSync(join(at.folder, 'cache'), { recursive: true });
    rmSync(join(at.folder, 'dist'), { recursive: true });
    // The files come from the folder of the repository, since no cache has them.
    expect(await at.run('iso')).toMatchObject({ code: 0, stderr: '' });
    expect(sum()).toBe(first);
    const live = rootBytes();
    expect(await at.run('iso', '--set', 'INSTALL=auto')).toMatchObject({ code: 0, stderr: '' });
    // 90 MB, and what comes with them.
    expect(live - rootBytes()).toBeGreaterThan(127 * MIB);
  });

  it('is made again where a package of the cache has other bytes, which get into no image', async () => {
    const at = await place();
    await at.run('lock');
    await at.run('iso');
    const image = join(at.folder, 'dist', `${imageOf('clawdie')}.iso`);
    const first = sha256(readFileSync(image));
    const store = join(at.folder, 'cache/packages');
    const name = readdirSync(store).find((each) => each.startsWith('blake2')) ?? '';
    const bytes = readFileSync(join(store, name));
    bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
    writeFileSync(join(store, name), bytes);
    rmSync(join(at.folder, 'cache/base'), { recursive: true });
    const again = await at.run('iso');
    expect(again.code).toBe(0);
    expect(again.stdout).toMatch(/In the base image packages\/\S+ has the sum .* It is made again\./);
    expect(sha256(readFileSync(image))).toBe(first);
    // Where there is nobody to bring it, there is no image.
    writeFileSync(join(store, name), bytes);
    rmSync(join(at.folder, 'cache/base'), { recursive: true });
    rmSync(at.repository, { recursive: true });
    rmSync(image);
    expect((await at.run('iso')).code).toBe(1);
    expect(files(join(at.folder, 'dist')).filter((each) => /iso$|part$/.test(each))).toEqual([]);
  });

  it('is refused where a package cannot be had as it was locked, with what to do', async () => {
    const at = await place();
    await at.run('lock');
    rmSync(join(at.folder, 'cache'), { recursive: true });
    const all = join(at.repository, 'All/Hashed');
    const tmux = readdirSync(all).find((name) => name.startsWith('tmux')) ?? '';
    const bytes = readFileSync(join(all, tmux));
    bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
    writeFileSync(join(all, tmux), bytes);
    const altered = await at.run('iso');
    expect(altered.code).toBe(1);
    expect(altered.stderr).toContain('It was altered or damaged, and is not used.');
    rmSync(join(all, tmux));
    const gone = await at.run('iso');
    expect(gone.code).toBe(1);
    expect(gone.stderr).toMatch(/tmux 1\.0, which is locked, is no longer in .*lock --vendor FOLDER/s);
    expect(readdirSync(join(at.folder, 'dist')).filter((name) => name.endsWith('.iso'))).toEqual([]);
  });

  it('is refused where it needs more than MEMORY', async () => {
    const at = await place('MEMORY=256M');
    await at.run('lock');
    const refused = await at.run('iso', '--dry-run');
    expect(refused.code).toBe(2);
    expect(refused.stderr).toMatch(/needs \d+ MiB of memory, and MEMORY is 256:[^]* 90 MiB +tmux 1\.0/);
    expect(await at.run('iso', '--dry-run', '--set', 'INSTALL=auto')).toMatchObject({ code: 0 });
  });

  it('has nothing of it where nothing is installed', async () => {
    const at = await place();
    await at.run('lock');
    expect(await at.run('iso', '--set', 'PACKAGES=')).toMatchObject({ code: 0 });
    const folder = extracted(at, `${imageOf('clawdie')}.iso`);
    expect(files(folder).join('\n')).not.toContain('packages');
    const { entries } = await overlayOf(folder);
    expect(entries.map(({ path }) => path)).not.toContain('var/db/clawdie/packages.list');
  });
});

describe('an image with pi in its jail', { timeout: PATIENCE }, () => {
  it('carries the archives of npm, from which npm installs pi without a network', async () => {
    const at = await place('MEMORY=8G');
    const config = join(at.folder, 'site', 'build.cfg');
    const jails = 'JAILS="one template=clawdie/pi-worker"';
    writeFileSync(config, readFileSync(config, 'utf8').replace('JAILS=\n', `${jails}\n`));
    const names = ['pkg', 'tmux', 'libevent', 'bastille', 'node24', 'npm-node24', 'git-lite'];
    rmSync(at.repository, { recursive: true });
    await writeRepository(
      at.repository,
      names.map((name) => ({ name, ...(name === 'tmux' && { deps: ['libevent'] }) })),
      { key: KEY },
    );
    const registry = await npmRegistry(join(at.folder, 'registry'));
    const env = { npm_config_registry: registry, npm_config_cache: join(at.folder, 'npm-cache') };
    const lock = ['lock', '--config', config, '--cache', join(at.folder, 'cache')];
    const vendor = join(at.folder, 'vendor');
    expect(await cli([...lock, '--vendor', vendor], { env })).toMatchObject({ code: 0, stderr: '' });
    const lockFile = join(at.folder, 'site/clawdie.lock.json');
    const locked = JSON.parse(readFileSync(lockFile, 'utf8')) as Lock;

    expect(locked.npm.every(({ flatsize = 0 }) => flatsize > 1024)).toBe(true);
    // A lock from before it had that.
    const { checksum, ...rest } = locked;
    expect(checksum).toMatch(/^[0-9a-f]{64}$/);
    writeFileSync(
      lockFile,
      writeLock({ ...rest, npm: locked.npm.map((each) => ({ ...each, flatsize: undefined })) }),
    );
    expect((await at.run('iso', '--dry-run')).stdout).toContain(
      'does not say how much packages of npm take in one: MEMORY is counted without them.',
    );

    // Neither mirror nor registry, nor the cache: the folder alone has all.
    const forget = (): void =>
      [at.repository, join(at.folder, 'registry'), join(at.folder, 'cache')].forEach((path) =>
        rmSync(path, { recursive: true, force: true }),
      );
    forget();
    writeFileSync(
      config,
      readFileSync(config, 'utf8').replace(/^PACKAGES_REPOSITORY=.*$/m, 'PACKAGES_REPOSITORY=../vendor'),
    );
    const archive = join(vendor, 'npm/dep-2.0.1.tgz');
    const bytes = readFileSync(archive);
    writeFileSync(archive, 'altered');
    expect(await cli(lock)).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/dep-2\.0\.1\.tgz has the sum .* It was altered or damaged/) as string,
    });
    writeFileSync(archive, bytes);
    expect(await cli(lock)).toMatchObject({ code: 0, stderr: '' });
    const { npm: same, npmTree, catalogue } = JSON.parse(readFileSync(lockFile, 'utf8')) as Lock;
    expect({ same, npmTree }).toEqual({ same: locked.npm, npmTree: locked.npmTree });
    expect(catalogue?.url).toBe('../vendor');
    forget();
    const made = await at.run('iso');
    expect(made).toMatchObject({ code: 0, stderr: '' });
    const folder = extracted(at, `${imageOf('clawdie')}.iso`);
    const { entries } = await overlayOf(folder);
    const list = entries.find(({ path }) => path === 'var/db/clawdie/packages.list')?.body ?? '';
    const npm = list.split('\n').filter((line) => line.startsWith('npm '));
    expect(npm.map((line) => line.split(' ')[4])).toEqual([
      'npm/package.json',
      'npm/package-lock.json',
      'npm/earendil-works+pi-coding-agent-1.5.2.tgz',
      'npm/dep-2.0.1.tgz',
    ]);
    for (const line of npm) {
      const [, sum = '', , , file = ''] = line.split(' ');
      const hash = createHash(sum.length === 128 ? 'sha512' : 'sha256');
      expect(hash.update(readFileSync(join(folder, 'packages', file))).digest('hex')).toBe(sum);
    }
    // As clawdie-pi.sh does in the jail.
    execFileSync('npm', ['ci', '--offline', '--ignore-scripts', '--cache', join(at.folder, 'empty-cache')], {
      cwd: join(folder, 'packages/npm'),
      stdio: 'pipe',
    });
    const pi = join(folder, 'packages/npm/node_modules/.bin/pi');
    expect(execFileSync(pi, { encoding: 'utf8' })).toBe('pi and dep\n');
  });
});

/** A registry of npm with pi and what it needs, on the loopback until the test is over. */
async function npmRegistry(folder: string): Promise<string> {
  const { url } = await serveFolder(folder);
  const module = async (name: string, version: string, manifest: object, main: string): Promise<void> => {
    const about = { name, version, ...manifest };
    const bytes = gzipSync(
      await packTar([
        { name: 'package/package.json', body: JSON.stringify(about) },
        { name: 'package/index.js', body: main },
      ]),
    );
    const file = `archives/${name.replace('/', '-')}.tgz`;
    const dist = {
      tarball: `${url}/${file}`,
      integrity: `sha512-${createHash('sha512').update(bytes).digest('base64')}`,
    };
    const packument = {
      ...{ name, 'dist-tags': { latest: version }, versions: { [version]: { ...about, dist } } },
    };
    for (const path of [file, name]) mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, file), bytes);
    writeFileSync(join(folder, name), JSON.stringify(packument));
  };
  await module(
    '@earendil-works/pi-coding-agent',
    '1.5.2',
    { bin: { pi: 'index.js' }, dependencies: { dep: '^2.0.0' }, scripts: { postinstall: 'exit 1' } },
    '#!/usr/bin/env node\nconsole.log(`pi and ${require("dep")}`);\n',
  );
  await module('dep', '2.0.1', {}, 'module.exports = "dep";\n');
  return url;
}

describe('a fleet with a lock', { timeout: PATIENCE }, () => {
  it('has one base image of it, each deployment with a list of its own', async () => {
    const at = await place();
    const site = join(at.folder, 'site');
    makeFleet(site);
    const run = (command: string, ...args: readonly string[]): Promise<CliResult> =>
      cli([command, site, '--cache', join(at.folder, 'cache'), ...args]);
    expect(await run('lock')).toMatchObject({ code: 0, stderr: '' });
    const out = join(at.folder, 'dist');
    const made = await run('fleet', '--out', out);
    expect(made.code).toBe(0);
    const record = JSON.parse(readFileSync(join(out, 'fleet.json'), 'utf8')) as { readonly bases: unknown[] };
    expect(record.bases).toHaveLength(1);
    const kinds = async (name: string): Promise<string> => {
      const { entries } = await overlayOf(extracted(at, `${imageOf(name)}.iso`));
      return (entries.find(({ path }) => path === 'var/db/clawdie/packages.list')?.body ?? '')
        .split('\n')
        .filter((line) => line.includes('All/'))
        .map((line) => `${line.split(' ')[0]} ${line.split(' ')[5]}`)
        .join(', ');
    };
    expect(await kinds('a')).toBe('other git-lite, needed libevent, asked pkg, asked tmux');
    expect(await kinds('b')).toBe('asked git-lite, other libevent, asked pkg, other tmux');
    const again = await run('fleet', '--out', out, '--json');
    expect(again.stdout).toContain('"made":[]');
  });

  it('of twenty in two folders with a lock each has two base images, and a stamp for each deployment', async () => {
    const at = await place();
    const site = join(at.folder, 'site');
    const other = join(at.folder, 'other');
    const names = 'abcdefghijklmnopqrst';
    renameSync(join(site, 'build.cfg'), join(site, 'common.cfg'));
    mkdirSync(other);
    writeFileSync(
      join(other, 'common.cfg'),
      readFileSync(join(site, 'common.cfg'), 'utf8').replace('PACKAGES="tmux"', 'PACKAGES="git-lite"'),
    );
    const bases = new Set<string>();
    for (const [folder, first, packages] of [
      [site, 0, 'libevent pkg tmux'],
      [other, 10, 'git-lite pkg'],
    ] as const) {
      for (let n = first; n < first + 10; n++)
        writeFileSync(
          join(folder, `${names[n]}.cfg`),
          `ASSISTANT_NAME=host${names[n]}\nHOSTNAME=host${names[n]}\nAGENT_NET=192.168.${n + 10}.0/24\n`,
        );
      const run = (command: string, ...args: readonly string[]): Promise<CliResult> =>
        cli([command, folder, '--cache', join(at.folder, 'cache'), ...args]);
      expect(await run('lock')).toMatchObject({ code: 0, stderr: '' });
      const out = join(at.folder, `dist-${first}`);
      const made = await run('fleet', '--out', out, '--json');
      expect(made).toMatchObject({ code: 0, stderr: '' });
      expect(ran(made).filter((stage) => stage === 'packages')).toHaveLength(1);
      expect(readdirSync(out).filter((name) => name.endsWith('.iso'))).toHaveLength(10);
      const record = JSON.parse(readFileSync(join(out, 'fleet.json'), 'utf8')) as {
        readonly bases: readonly { readonly key: string }[];
      };
      expect(record.bases).toHaveLength(1);
      for (const { key } of record.bases) bases.add(key);
      const image = JSON.parse(
        readFileSync(join(out, `${imageOf(names[first + 9] ?? '')}.json`), 'utf8'),
      ) as {
        readonly packages: readonly { readonly name: string }[];
      };
      expect(image.packages.map(({ name }) => name).join(' ')).toBe(packages);
    }
    expect(bases.size).toBe(2);
  });
});
