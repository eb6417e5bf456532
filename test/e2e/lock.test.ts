import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { cli } from '../helpers/cli.js';
import type { CliResult } from '../helpers/cli.js';
import { baseEntries, MADE, rsaKey, serveFolder, writeRepository } from '../helpers/repository.js';
import type { RepositoryOptions, Served, TestPackage } from '../helpers/repository.js';
import { writeSets } from '../helpers/sets.js';
import { addToTxz } from '../helpers/tar.js';
import { tmp } from '../helpers/tmp.js';

const KEY = rsaKey();

const PACKAGES: readonly TestPackage[] = [
  { name: 'pkg' },
  { name: 'tmux', deps: ['libevent'], more: { shlibs_required: ['libc.so.7', 'libevent.so.2'] } },
  {
    name: 'libevent',
    more: { shlibs_provided: ['libevent.so.2'], shlibs_required: ['libc.so.7', 'libfast.so.1'] },
  },
  { name: 'fast', more: { shlibs_provided: ['libfast.so.1'] } },
  { name: 'git-lite', version: '2.0_1,1' },
  { name: 'unrelated' },
];

interface Place {
  readonly folder: string;
  readonly served: Served;
  readonly repository: string;
  readonly lockFile: string;
  run(...args: readonly string[]): Promise<CliResult>;
  lock(): LockText;
  again(packages: readonly TestPackage[], options?: Partial<RepositoryOptions>): Promise<void>;
}

interface LockText {
  readonly catalogue: { readonly key: string; readonly time: string };
  readonly packages: readonly {
    readonly name: string;
    readonly version: string;
    readonly needs: readonly string[];
    readonly asked: readonly string[];
    readonly sha256: string;
    readonly path: string;
  }[];
}

/** A folder with a build.cfg, release sets that trust the key, and a repository on the loopback. */
async function place(
  lines = 'PACKAGES="tmux git-lite"',
  packages = PACKAGES,
  options: Partial<RepositoryOptions> = {},
): Promise<Place> {
  const folder = await tmp();
  const repository = join(folder, 'repository');
  const again = async (all: readonly TestPackage[], more: Partial<RepositoryOptions> = {}): Promise<void> => {
    await writeRepository(repository, all, { key: KEY, ...more });
  };
  await again(packages, options);
  const served = await serveFolder(repository);
  const sets = await writeSets(folder, (path) =>
    addToTxz(join(path, 'base.txz'), baseEntries([KEY.fingerprint])),
  );
  mkdirSync(join(folder, 'site'));
  writeFileSync(
    join(folder, 'site', 'build.cfg'),
    `${sets}HTTP=no\nHTTPS=no\nJAILS=\nPACKAGES_REPOSITORY=${served.url}\n${lines}\n`,
  );
  const lockFile = join(folder, 'site', 'clawdie.lock.json');
  return {
    ...{ folder, served, repository, lockFile, again },
    run: (command = '', ...args) =>
      cli([
        command,
        ...(command === 'audit' ? [] : ['--config', join(folder, 'site', 'build.cfg')]),
        ...(command === 'audit' ? [] : ['--cache', join(folder, 'cache')]),
        ...(command === 'iso' ? ['--out', join(folder, 'dist')] : []),
        ...args,
      ]),
    lock: () => JSON.parse(readFileSync(lockFile, 'utf8')) as LockText,
  };
}

describe('clawdie-iso lock', () => {
  it('locks what is asked for with all that it needs, in order of installation, and does it the same way again', async () => {
    const at = await place();
    const first = await at.run('lock');
    expect(first.stderr).toBe('');
    expect(first.code).toBe(0);
    expect(first.stdout).toContain('+ libevent 1.0');
    const lock = at.lock();
    expect(lock.packages.map(({ name }) => name)).toEqual(['fast', 'git-lite', 'libevent', 'pkg', 'tmux']);
    expect(lock.packages.find(({ name }) => name === 'libevent')).toMatchObject({
      needs: ['fast'],
      asked: [],
    });
    expect(lock.packages.find(({ name }) => name === 'tmux')).toMatchObject({
      needs: ['libevent'],
      asked: ['PACKAGES'],
    });
    expect(lock.catalogue).toMatchObject({
      key: KEY.fingerprint,
      time: new Date(MADE * 1000).toISOString().replace('.000', ''),
    });
    const text = readFileSync(at.lockFile, 'utf8');
    expect(statSync(at.lockFile).mode & 0o777).toBe(0o644);

    // What fits asks nobody.
    at.served.requests.length = 0;
    const second = await at.run('lock');
    expect(second.code).toBe(0);
    expect(second.stdout).toContain('is as it was');
    expect(at.served.requests).toEqual([]);
    // From nothing, it is the same bytes.
    rmSync(at.lockFile);
    expect((await at.run('lock')).code).toBe(0);
    expect(readFileSync(at.lockFile, 'utf8')).toBe(text);
  });
});
