import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { beforeAll, describe, expect, it } from 'vitest';
import { parseLock, writeLock } from '../../../build/packages/lockfile.js';
import type { Lock } from '../../../build/packages/lockfile.js';
import { mediumList, mediumOf } from '../../../build/packages/medium.js';
import { readNpmLock, unpackedSize } from '../../../build/packages/npm.js';
import { npmArchive, npmProject } from '../../../build/packages/npm-tree.js';
import { lockOf } from '../../helpers/lock.js';
import { packTar } from '../../helpers/tar.js';
import { never, tmp } from '../../helpers/tmp.js';

interface TestModule {
  readonly name: string;
  readonly version: string;
  readonly manifest?: Readonly<Record<string, unknown>>;
  readonly files?: Readonly<Record<string, string>>;
}

const PI = '@earendil-works/pi-coding-agent';
const MODULES: readonly TestModule[] = [
  {
    name: PI,
    version: '1.5.2',
    manifest: {
      bin: { pi: 'cli.js' },
      dependencies: { dep: '^2.0.0', inside: '1.x' },
      bundleDependencies: ['inside'],
      optionalDependencies: { windows: '1.0.0' },
      scripts: { install: 'touch /tmp/a-script-of-npm-ran; exit 1' },
    },
    files: {
      'cli.js': '#!/usr/bin/env node\nconsole.log("1.5.2", require("dep"), require("inside"));\n',
      'node_modules/inside/package.json': '{"name":"inside","version":"1.3.0"}',
      'node_modules/inside/index.js': 'module.exports = "inside";',
    },
  },
  {
    name: 'dep',
    version: '2.4.0',
    manifest: { dependencies: { deep: '~1.0.0' } },
    files: { 'index.js': 'module.exports = require("deep");' },
  },
  { name: 'deep', version: '1.0.7', files: { 'index.js': 'module.exports = "deep";' } },
  // For others of its own, one that is older.
  { name: 'deep', version: '0.9.0' },
];

/** Archives as npm's registry has them, by their SHA-512. */
const archives = new Map<
  string,
  { readonly module: TestModule; readonly bytes: Buffer; readonly integrity: string }
>();
let lock: Lock;

beforeAll(async () => {
  for (const module of MODULES) {
    const { name, version, manifest, files } = module;
    const bytes = gzipSync(
      await packTar([
        { name: 'package/package.json', body: JSON.stringify({ name, version, ...manifest }) },
        ...Object.entries(files ?? {}).map(([path, body]) => ({ name: `package/${path}`, body })),
      ]),
    );
    const integrity = `sha512-${createHash('sha512').update(bytes).digest('base64')}`;
    archives.set(`${name}@${version}`, { module, bytes, integrity });
  }
  const entry = (key: string): object => {
    const { module, integrity } = archives.get(key) ?? { module: undefined, integrity: '' };
    const { bin, dependencies, bundleDependencies, optionalDependencies } = module?.manifest ?? {};
    return {
      ...{ version: module?.version, integrity, resolved: `https://registry.example/${key}.tgz` },
      ...{ bin, dependencies, bundleDependencies, optionalDependencies, hasInstallScript: true },
    };
  };
  const found = readNpmLock(
    JSON.stringify({
      lockfileVersion: 3,
      packages: {
        '': { dependencies: { [PI]: '1.5.2' } },
        [`node_modules/${PI}`]: entry(`${PI}@1.5.2`),
        [`node_modules/${PI}/node_modules/inside`]: { version: '1.3.0', inBundle: true },
        'node_modules/dep': entry('dep@2.4.0'),
        'node_modules/deep': entry('deep@1.0.7'),
        'node_modules/windows': {
          ...{ version: '1.0.0', optional: true, os: ['win32'], integrity: 'x' },
          resolved: 'https://registry.example/windows.tgz',
        },
      },
    }),
    [{ name: `${PI}@1.5.2`, by: ['clawdie/pi-worker'] }],
    'amd64',
  );
  const { lock: made } = await lockOf([{ name: 'pkg', asked: ['pkg(8)'] }]);
  lock = { ...made, ...found, asked: { 'build.cfg': { npm: [`${PI}@1.5.2`], packages: ['pkg'] } } };
});

describe('packages of npm in a lock', () => {
  it('are installed by npm itself from the archives, without a network, and none of their scripts runs', async () => {
    const folder = await tmp();
    const project = npmProject(lock) ?? new Map<string, string>();
    for (const [name, text] of project) writeFileSync(join(folder, name), text);
    for (const each of lock.npm)
      writeFileSync(
        join(folder, npmArchive(each)),
        archives.get(`${each.name}@${each.version}`)?.bytes ?? '',
      );
    execFileSync(
      'npm',
      ['ci', '--offline', '--ignore-scripts', '--no-audit', '--no-fund', '--cache', join(folder, '.cache')],
      // A registry that would answer nobody.
      { cwd: folder, stdio: 'pipe', env: { ...process.env, npm_config_registry: 'http://127.0.0.1:9/' } },
    );
    expect(execFileSync(join(folder, 'node_modules/.bin/pi'), { encoding: 'utf8' })).toBe(
      '1.5.2 deep inside\n',
    );
    expect(existsSync('/tmp/a-script-of-npm-ran')).toBe(false);
    expect(
      readdirSync(join(folder, 'node_modules'))
        .filter((name) => !name.startsWith('.'))
        .sort(),
    ).toEqual(['@earendil-works', 'deep', 'dep']);
    // Another file under that name is not what was locked.
    const [first] = lock.npm;
    if (!first) throw new Error('there is one');
    writeFileSync(join(folder, npmArchive(first)), archives.get('deep@0.9.0')?.bytes ?? '');
    expect(() =>
      execFileSync('npm', ['ci', '--offline', '--ignore-scripts', '--cache', join(folder, '.cache2')], {
        cwd: folder,
        stdio: 'pipe',
      }),
    ).toThrow('EINTEGRITY');
  });

  it('lie on the medium, and each is held against its SHA-512', async () => {
    const medium = await mediumOf(lock);
    const lines = mediumList(medium, ['pkg'])
      .split('\n')
      .filter((line) => line.startsWith('npm '))
      .map((line) => line.split(' '));
    expect(lines.every((words) => words.length === 7)).toBe(true);
    expect(lines.map(([, sum = '', size, , file]) => [sum.length, size === '-', file])).toEqual([
      [64, false, 'npm/package.json'],
      [64, false, 'npm/package-lock.json'],
      [128, true, 'npm/earendil-works+pi-coding-agent-1.5.2.tgz'],
      [128, true, 'npm/deep-1.0.7.tgz'],
      [128, true, 'npm/dep-2.4.0.tgz'],
    ]);
    const dep = archives.get('dep@2.4.0')?.bytes ?? Buffer.alloc(0);
    expect(lines.at(-1)?.[1]).toBe(createHash('sha512').update(dep).digest('hex'));
    // A lock from before its dependencies were in it: they are fetched, as before.
    const older = await mediumOf({ ...lock, npmTree: undefined });
    expect(older.npm).toEqual([]);
    expect(older.digest).not.toBe(medium.digest);
  });

  it('take what their archives unpack to', async () => {
    const path = join(await tmp(), 'x.tgz');
    const plain = await packTar([{ name: 'package/index.js', body: 'x'.repeat(2000) }]);
    const of = (most?: number): Promise<number> =>
      unpackedSize({ name: 'x', version: '1.0.0' }, path, never, most);
    writeFileSync(path, gzipSync(plain));
    expect(await of()).toBe(plain.length);
    await expect(of(1000)).rejects.toThrow('The archive of x 1.0.0 of npm unpacks to more than 1000 bytes.');
    writeFileSync(path, gzipSync(plain).subarray(0, 40));
    await expect(of()).rejects.toThrow('The archive of x 1.0.0 of npm cannot be unpacked: ');
  });

  it('hang together, or the lock is refused', () => {
    const flaw = (change: Partial<Lock>): string | undefined => {
      const { asked, catalogue, npm, npmTree, packages, release } = { ...lock, ...change };
      const read = parseLock(writeLock({ asked, catalogue, npm, npmTree, packages, release }));
      return 'flaw' in read ? read.flaw : undefined;
    };
    expect(flaw({})).toBeUndefined();
    expect(flaw({ npmTree: undefined })).toBeUndefined();
    expect(flaw({ npmTree: { ...lock.npmTree, 'node_modules/evil': {} } })).toBe(
      'it has node_modules/evil of npm, and no archive of it',
    );
    const rest = Object.fromEntries(
      Object.entries(lock.npmTree ?? {}).filter(([place]) => place !== 'node_modules/dep'),
    );
    expect(flaw({ npmTree: rest })).toBe(
      'it has an archive for node_modules/dep of npm, which nothing asks for',
    );
  });
});
