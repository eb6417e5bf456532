import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { sha256 } from '../../build/host/hash.js';
import { writeLock } from '../../build/packages/lockfile.js';
import type { Lock } from '../../build/packages/lockfile.js';
import { cutSets, nameOwners, writeBaseRepository } from '../helpers/base-packages.js';
import type { TestBasePackage } from '../helpers/base-packages.js';
import { cli } from '../helpers/cli.js';
import type { CliResult } from '../helpers/cli.js';
import { baseEntries, MADE, rsaKey, writeRepository } from '../helpers/repository.js';
import { writeSets } from '../helpers/sets.js';
import { addToTxz } from '../helpers/tar.js';
import { tmp } from '../helpers/tmp.js';

const KEY = rsaKey();

interface Place {
  readonly folder: string;
  readonly repository: string;
  readonly lockFile: string;
  /** The packages that the sets of `sets/` were cut into. */
  readonly packages: readonly TestBasePackage[];
  run(...args: readonly string[]): Promise<CliResult>;
  lock(): Lock;
  configure(...lines: readonly string[]): void;
}

/** A build.cfg beside a base repository, and one beside the sets that it was cut from. */
async function place(...lines: readonly string[]): Promise<Place> {
  const folder = await tmp();
  const own = await writeSets(folder, async (sets) => {
    await nameOwners(sets);
    await addToTxz(join(sets, 'base.txz'), baseEntries([KEY.fingerprint]));
  });
  const common = `SSH_AUTHORIZED_KEYS=${/SSH_AUTHORIZED_KEYS=(.*)/.exec(own)?.[1] ?? ''}\nHTTP=no\nHTTPS=no\nJAILS=\n`;
  mkdirSync(join(folder, 'of-sets'));
  writeFileSync(join(folder, 'of-sets/build.cfg'), `${own}HTTP=no\nHTTPS=no\nJAILS=\n`);
  const site = join(folder, 'site');
  mkdirSync(site);
  writeFileSync(join(site, 'base.pub'), KEY.pem);
  const configure = (...more: readonly string[]): void => {
    writeFileSync(
      join(site, 'build.cfg'),
      `FREEBSD_DIST=pkgbase:../repository\nFREEBSD_KEY_FILE=base.pub\n${common}${more.join('\n')}\n`,
    );
  };
  configure(...lines);
  const packages = await cutSets(join(folder, 'sets'));
  const repository = join(folder, 'repository');
  await writeBaseRepository(repository, packages, KEY);
  const lockFile = join(site, 'clawdie.lock.json');
  return {
    ...{ folder, repository, lockFile, packages, configure },
    run: (command = '', ...args) =>
      cli([
        ...[command, '--config', join(site, 'build.cfg'), '--cache', join(folder, 'cache')],
        ...(command === 'iso' ? ['--out', join(folder, 'dist')] : []),
        ...args,
      ]),
    lock: () => JSON.parse(readFileSync(lockFile, 'utf8')) as Lock,
  };
}

const isoIn = (folder: string): Buffer => {
  const name = readdirSync(folder).find((each) => each.endsWith('.iso')) ?? '';
  return readFileSync(join(folder, name));
};

describe('an image of base packages', () => {
  it('has the bytes of one of the release sets that they were cut from, and says what it is made of', async () => {
    const at = await place();
    const early = await at.run('iso');
    expect(early.code).toBe(2);
    expect(early.stderr).toContain('nothing says which packages the base system is made of');

    const locked = await at.run('lock');
    expect(locked.stderr).toBe('');
    expect(locked.stdout).toContain('+ FreeBSD-runtime 15.1p1');
    expect(locked.stdout).toContain('Base system 15.1p1: 6 packages');
    expect(at.lock().base?.catalogue.key).toBe(KEY.fingerprint);
    expect(at.lock().catalogue).toBeUndefined();
    expect((await at.run('lock')).stdout).toContain('is as it was');

    const built = await at.run('iso');
    expect(built.stderr).toBe('');
    expect(built.code).toBe(0);
    const other = join(at.folder, 'dist-of-sets');
    const sets = await cli([
      ...['iso', '--config', join(at.folder, 'of-sets/build.cfg'), '--out', other],
      ...['--cache', join(at.folder, 'other-cache')],
    ]);
    expect(sets.code).toBe(0);
    expect(sha256(isoIn(join(at.folder, 'dist')))).toBe(sha256(isoIn(other)));
    const record = readdirSync(join(at.folder, 'dist')).find((name) => /amd64\.json$/.test(name)) ?? '';
    const { release } = JSON.parse(readFileSync(join(at.folder, 'dist', record), 'utf8')) as {
      readonly release: { readonly trust: string; readonly sums: Readonly<Record<string, string>> };
    };
    expect(release.trust).toBe('FREEBSD_KEY_FILE');
    expect(release.sums['All/FreeBSD-runtime-15.1p1.pkg']).toBe(
      at.lock().base?.packages.find(({ name }) => name === 'FreeBSD-runtime')?.sha256,
    );

    // Its root for instances that have one, too.
    expect((await at.run('root', '--out', join(at.folder, 'roots'))).code).toBe(0);
    expect(readdirSync(join(at.folder, 'roots')).filter((name) => name.endsWith('.root'))).toHaveLength(1);

    // Without the repository: all of it is in the cache.
    rmSync(at.repository, { recursive: true });
    rmSync(join(at.folder, 'cache/root'), { recursive: true });
    rmSync(join(at.folder, 'cache/base'), { recursive: true });
    expect((await at.run('iso')).code).toBe(0);
  });

  it('needs zstd(1), and says so before it begins', async () => {
    const at = await place();
    expect((await at.run('lock')).code).toBe(0);
    const bin = join(at.folder, 'bin');
    mkdirSync(bin);
    for (const tool of ['/usr/sbin', '/usr/bin', '/bin'].flatMap((each) =>
      readdirSync(each).map((name) => join(each, name)),
    ))
      if (basename(tool) !== 'zstd' && !existsSync(join(bin, basename(tool))))
        symlinkSync(tool, join(bin, basename(tool)));
    const args = [
      ...['iso', '--config', join(at.folder, 'site/build.cfg'), '--cache', join(at.folder, 'cache')],
      ...['--out', join(at.folder, 'dist')],
    ];
    const env = { PATH: bin };
    expect((await cli([...args, '--dry-run'], { env })).stdout).toContain('tools    missing: zstd\n');
    const { code, stderr } = await cli(args, { env });
    expect(code).not.toBe(0);
    expect(stderr).toContain('zstd is not on this machine.');
    expect(stderr).toMatch(/Run: .*install.* zstd/);
  });

  it('has its files kept beside those of what is installed, as a repository of its own', async () => {
    const at = await place('PACKAGES="tmux"', 'PACKAGES_REPOSITORY=../ports');
    await writeRepository(join(at.folder, 'ports'), [{ name: 'pkg' }, { name: 'tmux' }], { key: KEY });
    const kept = join(at.folder, 'kept');
    for (const round of ['made', 'there already']) {
      rmSync(kept, { recursive: true, force: true });
      expect([round, (await at.run('lock', '--vendor', kept)).code]).toEqual([round, 0]);
      for (const [folder, from] of [
        ['base', 'repository'],
        ['', 'ports'],
      ] as const)
        expect(readFileSync(join(kept, folder, 'data.pkg'))).toEqual(
          readFileSync(join(at.folder, from, 'data.pkg')),
        );
    }
    // Where the cache has the catalogues no longer, both say so; a package that is nowhere is named, with what to do.
    const cached = join(at.folder, 'cache/packages');
    for (const name of readdirSync(cached).filter((each) => each.startsWith('catalogue-')))
      rmSync(join(cached, name), { recursive: true });
    const bare = await at.run('lock', '--vendor', join(at.folder, 'bare'));
    expect(bare.code).toBe(0);
    for (const of of ['the base system', 'the lock'])
      expect(bare.stdout).toContain(`The catalogue of ${of} is not in the cache any more`);
    rmSync(cached, { recursive: true });
    const from = join(at.folder, 'repository/All');
    renameSync(from, `${from}.away`);
    const gone = await at.run('lock', '--vendor', join(at.folder, 'other'));
    expect(gone.code).toBe(1);
    expect(gone.stderr).toMatch(
      /, which is locked, is no longer in .*repository, and neither in the cache nor in a folder that keeps it \(--vendor\)/,
    );
    // The folder that keeps them is as good as the repository.
    expect((await at.run('lock', '--vendor', kept)).code).toBe(0);
    renameSync(`${from}.away`, from);
    rmSync(at.lockFile);
    writeFileSync(
      join(at.folder, 'site/build.cfg'),
      readFileSync(join(at.folder, 'site/build.cfg'), 'utf8')
        .replace('pkgbase:../repository', 'pkgbase:../kept/base')
        .replace('PACKAGES_REPOSITORY=../ports', 'PACKAGES_REPOSITORY=../kept'),
    );
    rmSync(join(at.folder, 'cache'), { recursive: true });
    const again = await at.run('lock');
    expect(again.stderr).toBe('');
    expect(again.code).toBe(0);
  }, 240_000);

  it('is of the patch level of the lock, until it is brought up to date, and never of an older one', async () => {
    const at = await place('PACKAGES="tmux"', 'PACKAGES_REPOSITORY=../ports');
    const ports = join(at.folder, 'ports');
    await writeRepository(ports, [{ name: 'pkg' }, { name: 'tmux' }], { key: KEY });
    expect((await at.run('lock')).code).toBe(0);
    const first = at.lock();
    await writeRepository(ports, [{ name: 'pkg' }, { name: 'tmux', version: '2.0' }], { key: KEY });
    const patched = at.packages.map((each) =>
      each.name === 'FreeBSD-rc' ? { ...each, version: '15.1p2' } : each,
    );
    await writeBaseRepository(at.repository, patched, KEY, MADE + 1);
    expect((await at.run('lock')).stdout).toContain('is as it was');

    const updated = await at.run('lock', '--update', 'FreeBSD-rc');
    expect(updated.stderr).toBe('');
    expect(updated.stdout).toContain('FreeBSD-rc 15.1p1 → 15.1p2');
    expect(updated.stdout).toContain('Base system 15.1p2');
    const second = at.lock();
    expect(second.release.id).not.toBe(first.release.id);
    // What is installed beside it stays.
    expect(second.packages).toEqual(first.packages);
    expect((await at.run('iso', '--dry-run')).code).toBe(0);

    const text = readFileSync(at.lockFile, 'utf8');
    await writeBaseRepository(at.repository, at.packages, KEY, MADE + 2);
    const older = await at.run('lock', '--update');
    expect(older.code).not.toBe(0);
    expect(older.stderr).toContain('it has FreeBSD-rc 15.1p1, and 15.1p2 is locked');
    expect(readFileSync(at.lockFile, 'utf8')).toBe(text);
  });

  it('is one of a fleet, whose folder has one lock', async () => {
    const at = await place();
    const fleet = join(at.folder, 'fleet');
    mkdirSync(fleet);
    writeFileSync(
      join(fleet, 'common.cfg'),
      readFileSync(join(at.folder, 'site/build.cfg'), 'utf8').replace('base.pub', '../site/base.pub'),
    );
    writeFileSync(join(fleet, 'a.cfg'), 'ASSISTANT_NAME=anna\n');
    writeFileSync(join(fleet, 'b.cfg'), 'ASSISTANT_NAME=boris\nAGENT_NET=192.168.7.0/24\n');
    const run = (...args: readonly string[]): Promise<CliResult> =>
      cli([...args, '--cache', join(at.folder, 'cache')]);
    const out = join(at.folder, 'images');
    const early = await run('fleet', fleet, '--out', out);
    expect(early.code).toBe(2);
    expect(early.stderr).toMatch(/a\.cfg: FREEBSD_DIST is .*there is no .*clawdie\.lock\.json/);
    expect((await run('lock', fleet)).stdout).toContain('Base system 15.1p1: 6 packages');
    const made = await run('fleet', fleet, '--out', out);
    expect(made.stdout).toContain('2 deployments, 1 base image: 2 made');
    // All are of one base system.
    writeFileSync(join(fleet, 'b.cfg'), 'ASSISTANT_NAME=boris\nFREEBSD_BASE_PACKAGES=FreeBSD-runtime\n');
    const { code, stderr } = await run('lock', fleet);
    expect(code).toBe(2);
    expect(stderr).toContain('One lock is of one release and one repository');
  });

  it('is refused where the lock is not of what build.cfg asks for, or was changed by hand', async () => {
    const at = await place();
    await at.run('lock');
    const good = readFileSync(at.lockFile, 'utf8');
    at.configure('FREEBSD_BASE_PACKAGES="FreeBSD-runtime"');
    const other = await at.run('iso', '--dry-run');
    expect(other.stderr).toContain(
      'Its base system is made of FreeBSD-set-base FreeBSD-kernel-generic, and FREEBSD_BASE_PACKAGES is FreeBSD-runtime.',
    );
    at.configure();
    writeFileSync(at.lockFile, good.replace('"15.1p1"', '"15.1p9"'));
    expect((await at.run('iso', '--dry-run')).stderr).toContain('it was changed since it was written');
    // Whoever writes the checksum, too, still has to say which base system the rest is of.
    const { base, checksum, ...rest } = at.lock();
    expect(checksum).toMatch(/^[0-9a-f]{64}$/);
    const [package_, ...more] = base?.packages ?? [];
    if (!base || !package_) throw new Error('there are base packages');
    const edited = {
      ...base,
      packages: [{ ...package_, sha256: '0'.repeat(64), sum: '0'.repeat(64) }, ...more],
    };
    writeFileSync(at.lockFile, writeLock({ ...rest, base: edited }));
    expect((await at.run('iso', '--dry-run')).stderr).toContain('it is of another base system than it has');
  });

  it.each<readonly [string, (at: Place) => Promise<void>, string]>([
    [
      'a set that names what is not there',
      (at) =>
        writeBaseRepository(at.repository, [...at.packages.filter(({ name }) => name !== 'FreeBSD-rc')], KEY),
      '(FREEBSD_BASE_PACKAGES) FreeBSD-set-base → FreeBSD-rc: the repository has no package FreeBSD-rc',
    ],
    [
      'a catalogue that somebody else has signed',
      (at) => writeBaseRepository(at.repository, at.packages, rsaKey()),
      'which is not one of FREEBSD_KEY_FILE',
    ],
    [
      'packages of another release',
      (at) =>
        writeBaseRepository(
          at.repository,
          at.packages.map((each) => ({ ...each, version: '15.0p9' })),
          KEY,
        ),
      'that is no package of this release',
    ],
    [
      'a size that lies',
      (at) =>
        writeBaseRepository(
          at.repository,
          at.packages.map((each) => (each.name === 'FreeBSD-rc' ? { ...each, more: { pkgsize: 7 } } : each)),
          KEY,
        ),
      'not 7',
    ],
    [
      'a path that climbs',
      (at) =>
        writeBaseRepository(
          at.repository,
          at.packages.map((each) =>
            each.name === 'FreeBSD-rc' ? { ...each, more: { path: '../../x.pkg' } } : each,
          ),
          KEY,
        ),
      'is no path below the repository',
    ],
  ])('is locked from no repository with %s', async (_, spoil, sentence) => {
    const at = await place();
    await spoil(at);
    const { code, stderr } = await at.run('lock');
    expect(code).not.toBe(0);
    expect(stderr).toContain(sentence);
    expect(readdirSync(join(at.folder, 'site'))).not.toContain('clawdie.lock.json');
  });

  it('believes FreeBSD’s own keys alone where no other is named', async () => {
    const at = await place();
    writeFileSync(
      join(at.folder, 'site/build.cfg'),
      readFileSync(join(at.folder, 'site/build.cfg'), 'utf8').replace(/FREEBSD_KEY_FILE=.*\n/, ''),
    );
    const { stderr } = await at.run('lock');
    // share/keys/pkgbase-15/trusted/awskms-15 of FreeBSD's source
    expect(stderr).toContain(
      `is signed with the key ${KEY.fingerprint}, which is not one of FreeBSD (share/keys/pkgbase): 1d7b45d20fa8d6ed26f9b4a13ac81a6b5df860b9fe644d07b87e92298ba72595, 56a77bdcb6c3cf7984729c6138bd5617c24aa0d466b3b604c96205b2c5629f3c`,
    );
  });

  it('is made of no lock whose key is not trusted any more', async () => {
    const at = await place();
    expect((await at.run('lock')).code).toBe(0);
    const own = readFileSync(join(at.folder, 'site/build.cfg'), 'utf8');
    const of = `signed with the key ${KEY.fingerprint}, which is none of those that are trusted`;
    writeFileSync(join(at.folder, 'site/build.cfg'), own.replace(/FREEBSD_KEY_FILE=.*\n/, ''));
    const without = await at.run('iso', '--dry-run');
    expect(without.code).toBe(2);
    expect(without.stderr).toContain(`${of} (FREEBSD_KEY_FILE, or else FreeBSD's own): 1d7b45d2`);
    // Nor does a lock keep it.
    expect((await at.run('lock')).stderr).toContain('which is not one of FreeBSD');
    writeFileSync(join(at.folder, 'site/build.cfg'), own);
    expect((await at.run('iso', '--dry-run')).code).toBe(0);
    const other = rsaKey();
    writeFileSync(join(at.folder, 'site/base.pub'), other.pem);
    const changed = await at.run('iso', '--dry-run');
    expect(changed.code).toBe(2);
    expect(changed.stderr).toContain(`${of} (FREEBSD_KEY_FILE, or else FreeBSD's own): ${other.fingerprint}`);
  });

  it('is locked from no catalogue of which a byte was changed: neither of it nor of its signature', async () => {
    const at = await place();
    const path = join(at.repository, 'data.pkg');
    const good = readFileSync(path);
    for (const share of [0.02, 0.3, 0.6, 0.95]) {
      const bytes = Buffer.from(good);
      const where = Math.floor(bytes.length * share);
      bytes.writeUInt8(bytes.readUInt8(where) ^ 0x10, where);
      writeFileSync(path, bytes);
      const { code, stderr } = await at.run('lock');
      expect([share, code]).toEqual([share, 1]);
      expect(stderr).toMatch(/is not used|It is not used/);
    }
  });
});
