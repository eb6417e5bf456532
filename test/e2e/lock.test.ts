import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { cli } from '../helpers/cli.js';
import type { CliResult } from '../helpers/cli.js';
import { MADE, rsaKey, serveFolder, writeRepository } from '../helpers/repository.js';
import type { RepositoryOptions, Served, TestPackage } from '../helpers/repository.js';
import { makeFleet, writeSite } from '../helpers/site.js';
import { xz } from '../helpers/tar.js';
import { writeLock } from '../../build/packages/lockfile.js';
import type { Lock } from '../../build/packages/lockfile.js';
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
  const site = await writeSite(folder, KEY, `PACKAGES_REPOSITORY=${served.url}\n${lines}`);
  const lockFile = join(site, 'clawdie.lock.json');
  return {
    ...{ folder, served, repository, lockFile, again },
    run: (command = '', ...args) =>
      cli([
        command,
        ...(command === 'audit' ? [] : ['--config', join(site, 'build.cfg')]),
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

  it('keeps what is locked, adds what is asked for, and shows what --update changes', async () => {
    const at = await place('PACKAGES="tmux"');
    await at.run('lock');
    await at.again([
      { name: 'pkg', version: '2.0' },
      { name: 'tmux', version: '1.1', deps: ['libevent'] },
      { name: 'libevent', version: '1.1', more: { shlibs_provided: ['libevent.so.2'] } },
      { name: 'git-lite' },
    ]);
    const more = await at.run('lock', '--set', 'PACKAGES=tmux git-lite');
    expect(more.stdout).toContain('+ git-lite 1.0');
    expect(more.stdout).not.toContain('→');
    const versions = (): string =>
      at
        .lock()
        .packages.map(({ name, version }) => `${name} ${version}`)
        .join(', ');
    expect(versions()).toBe('fast 1.0, git-lite 1.0, libevent 1.0, pkg 1.0, tmux 1.0');

    const one = await at.run('lock', '--set', 'PACKAGES=tmux git-lite', '--update', 'tmux');
    expect(one.stdout).toContain('  tmux 1.0 → 1.1');
    expect(versions()).toBe('fast 1.0, git-lite 1.0, libevent 1.0, pkg 1.0, tmux 1.1');
    const stranger = await at.run('lock', '--update', 'emacs');
    expect(stranger).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('--update emacs: the lock has no such package') as string,
    });

    const all = await at.run('lock', '--update');
    expect(all.stdout).toContain('- fast 1.0\n- git-lite 1.0\n  libevent 1.0 → 1.1\n  pkg 1.0 → 2.0\n');
    expect(versions()).toBe('libevent 1.1, pkg 2.0, tmux 1.1');
  });

  it('keeps the files in a folder, which then is a repository that needs no mirror', async () => {
    const at = await place();
    const vendor = join(at.folder, 'vendor');
    expect((await at.run('lock', '--vendor', vendor)).code).toBe(0);
    const lock = readFileSync(at.lockFile, 'utf8');
    expect(readdirSync(vendor).sort()).toEqual(['All', 'data.pkg', 'meta.conf']);
    expect(readdirSync(join(vendor, 'All'))).toHaveLength(5);
    // The mirror has forgotten all, and the cache is gone.
    rmSync(at.repository, { recursive: true });
    rmSync(join(at.folder, 'cache'), { recursive: true });
    const gone = await at.run('lock');
    expect(gone.stderr).toMatch(/, which is locked, is no longer in http.*lock --update/s);
    expect((await at.run('lock', '--vendor', vendor)).code).toBe(0);
    expect(readFileSync(at.lockFile, 'utf8')).toBe(lock);
    rmSync(at.lockFile);
    const own = await at.run('lock', '--set', `PACKAGES_REPOSITORY=${vendor}`);
    expect(own.code).toBe(0);
    expect(JSON.parse(readFileSync(at.lockFile, 'utf8'))).toMatchObject({
      packages: (JSON.parse(lock) as LockText).packages,
    });
  });

  it('refuses two packages of one host, or of the jails of one template, that have the same file', async () => {
    const at = await place('PACKAGES="git-lite"', [
      { name: 'pkg' },
      { name: 'git-lite', files: ['/usr/local/bin/git', '/usr/local/bin/git-lite'] },
      { name: 'git', files: ['/usr/local/bin/git'], deps: ['perl'] },
      { name: 'perl', files: ['/usr/local/bin/perl'] },
      { name: 'tailscale', files: ['/usr/local/bin/perl', '/usr/local/bin/git-lite'] },
    ]);
    const both = await at.run('lock', '--set', 'PACKAGES=git-lite git');
    expect(both.code).toBe(1);
    expect(both.stderr).toContain(
      'git and git-lite both have /usr/local/bin/git, and are both for the host of build.cfg.\n',
    );
    expect(both.stderr).toContain('Nothing was written. Leave one of them out');
    expect(existsSync(at.lockFile)).toBe(false);
    // What one of them needs counts; what jails install is beside the host.
    const needed = await at.run('lock', '--set', 'PACKAGES=git tailscale');
    expect(needed.stderr).toContain('perl and tailscale both have /usr/local/bin/perl');
    expect(await at.run('lock', '--set', 'TAILSCALE=jail')).toMatchObject({ code: 0, stderr: '' });
  });

  it('goes on with a transfer that was cut off, and does not fetch what is in the cache', async () => {
    const at = await place('PACKAGES="tmux"', PACKAGES, { sums: 'blake2' });
    const { path } = (await lockedBy(at)).packages.find(({ name }) => name === 'tmux') ?? { path: '' };
    expect(path).toMatch(/^All\/Hashed\/tmux-1\.0~2\$[a-z0-9]{8}\.pkg$/);
    const store = join(at.folder, 'cache', 'packages');
    const bytes = readFileSync(join(at.repository, path));
    const name = readdirSync(store).find((file) => readFileSync(join(store, file)).equals(bytes)) ?? '';
    expect(name).toMatch(/^blake2b512-/);
    rmSync(join(store, name));
    writeFileSync(join(store, `${name}.part`), bytes.subarray(0, 100));
    at.served.requests.length = 0;
    expect((await at.run('lock')).code).toBe(0);
    expect(at.served.requests).toEqual([path]);
    expect(readFileSync(join(store, name))).toEqual(bytes);
    // A file of the cache that was written to is fetched again.
    writeFileSync(join(store, name), 'x');
    expect((await at.run('lock')).code).toBe(0);
    expect(readFileSync(join(store, name))).toEqual(bytes);
  });

  it('is one for the folder of a fleet, and of a repository with a key of its own', async () => {
    const at = await place('PACKAGES="tmux"');
    const site = join(at.folder, 'site');
    makeFleet(site);
    const fleet = await cli(['lock', site, '--cache', join(at.folder, 'cache')]);
    expect(fleet.stderr).toBe('');
    expect(JSON.parse(readFileSync(at.lockFile, 'utf8'))).toMatchObject({
      asked: { 'a.cfg': { packages: ['pkg', 'tmux'] }, 'b.cfg': { packages: ['git-lite', 'pkg'] } },
    });
    expect(at.lock().packages).toHaveLength(5);
  });

  it('takes the key that build.cfg names for a repository of one’s own', async () => {
    const own = rsaKey();
    const at = await place('PACKAGES="tmux"\nPACKAGES_KEY_FILE=own.pub', PACKAGES, {
      key: own,
      signature: 'pubkey',
    });
    writeFileSync(join(at.folder, 'site', 'own.pub'), own.pem);
    expect(await at.run('lock')).toMatchObject({ code: 0, stderr: '' });
    expect(at.lock().catalogue.key).toBe(own.fingerprint);
  });

  it('is not needed where nothing is installed, and not made for the sample', async () => {
    const at = await place('');
    expect(await at.run('lock')).toMatchObject({
      code: 0,
      stdout: 'Nothing is installed: no lock is needed.\n',
    });
    expect(existsSync(at.lockFile)).toBe(false);
    expect(await at.run('lock', '--set', 'PACKAGES=tmux', '--set', 'FREEBSD_DIST=sample')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('The release is the sample') as string,
    });
  });
});

async function lockedBy(at: Place): Promise<LockText> {
  const result = await at.run('lock');
  expect(result.stderr).toBe('');
  return at.lock();
}

describe('an image with packages', () => {
  const dry = ['--dry-run'];
  it('tells where there is no lock, and asks for nothing where one fits', async () => {
    const at = await place();
    const without = await at.run('iso', ...dry);
    expect(without.code).toBe(0);
    expect(without.stdout).toMatch(
      /^Warning: There is no clawdie\.lock\.json beside build\.cfg: nothing says which versions of git-lite, pkg, tmux/m,
    );
    await at.run('lock');
    at.served.requests.length = 0;
    const fits = await at.run('iso', ...dry);
    expect(fits).toMatchObject({ code: 0, stderr: '' });
    expect(fits.stdout).not.toContain('Warning');
    expect(at.served.requests).toEqual([]);
  });

  it('is refused where the lock does not fit, with what has changed', async () => {
    const at = await place();
    await at.run('lock');
    const refused = async (...set: readonly string[]): Promise<string> => {
      const { code, stderr } = await at.run('iso', ...dry, ...set.flatMap((each) => ['--set', each]));
      expect(code).toBe(2);
      expect(stderr).toContain('Run `make lock`');
      return stderr;
    };
    expect(await refused('PACKAGES=tmux emacs')).toMatch(
      /Not in it, and asked for now: emacs\.\n.*In it, and no longer asked for: git-lite\./,
    );
    expect(await refused('HTTP=yes')).toContain('asked for now: nginx.');
    expect(await refused('FREEBSD_VERSION=15.2-RELEASE')).toContain(
      'It is of FreeBSD 15.1-RELEASE amd64, and the image of 15.2-RELEASE amd64.',
    );
    expect(await refused('PROFILE=full')).toContain('It is for PROFILE standard, and the image is full.');
    expect(await refused('PACKAGES_REPOSITORY=latest')).toContain(
      'and PACKAGES_REPOSITORY is https://pkg.FreeBSD.org/FreeBSD:15:amd64/latest.',
    );
  });

  it('is refused where somebody has changed the lock by hand', async () => {
    const at = await place();
    await at.run('lock');
    const text = readFileSync(at.lockFile, 'utf8');
    const tries: Readonly<Record<string, string>> = {
      [text.replace('"tmux",\n      "needs"', '"tmuy",\n      "needs"')]: 'clawdie.lock.json cannot be used',
      [text.replace(/"version": "1\.0"/, '"version": "0.9"')]: 'it was changed since it was written',
      [text.replace(/"sha256": "./, '"sha256": "0')]: 'it was changed since it was written',
      [text.replace('All/tmux', '../tmux')]: 'is no path below a repository',
      [text.replace('"clawdie lock 1"', '"clawdie lock 2"')]: 'it is of the format "clawdie lock 2"',
      [text.slice(0, -20)]: 'it is not JSON',
      '{}': 'it is of the format "nothing"',
      [text.replace('"npm": []', '"extra": 1, "npm": []')]: 'Unrecognized key',
    };
    for (const [altered, message] of Object.entries(tries)) {
      expect(altered).not.toBe(text);
      writeFileSync(at.lockFile, altered);
      const { code, stderr } = await at.run('iso', ...dry);
      expect(stderr).toContain(message);
      expect(code).toBe(2);
    }
  });

  it('gets a lock whose checksum was made to fit no further than its files', async () => {
    const at = await place();
    await at.run('lock');
    const lock = JSON.parse(readFileSync(at.lockFile, 'utf8')) as Lock;
    const remade = (change: (packages: Lock['packages']) => Lock['packages']): string => {
      const { checksum, ...rest } = lock;
      expect(checksum).toMatch(/^[0-9a-f]{64}$/);
      return writeLock({ ...rest, packages: change(lock.packages.map((each) => ({ ...each }))) });
    };
    const tries: readonly (readonly [text: string, message: string, iso: boolean])[] = [
      [
        remade((all) => all.filter(({ name }) => name !== 'libevent')),
        'tmux needs libevent, which is not in it',
        true,
      ],
      [
        remade((all) => all.map((each) => ({ ...each, sha256: 'a'.repeat(64) }))),
        'has two sums that differ',
        true,
      ],
      [
        remade((all) => all.map((each) => (each.name === 'tmux' ? { ...each, needs: [] } : each))),
        'it was changed by hand',
        false,
      ],
      [remade((all) => [...all].reverse()), 'it was changed by hand', false],
      [
        remade((all) => all.map((each) => (each.name === 'tmux' ? { ...each, size: each.size + 1 } : each))),
        'The catalogue and the file contradict each other',
        false,
      ],
    ];
    for (const [text, message, iso] of tries) {
      writeFileSync(at.lockFile, text);
      const { code, stderr } = await at.run(iso ? 'iso' : 'lock', ...(iso ? dry : []));
      expect(stderr).toContain(message);
      expect(code).toBe(iso ? 2 : 1);
      expect(readFileSync(at.lockFile, 'utf8')).toBe(text);
    }
  });
});

describe('hostile repositories', () => {
  /** What lies in the cache's store, and the lock. */
  const traces = (at: Place): string => {
    const store = join(at.folder, 'cache', 'packages');
    return JSON.stringify([
      existsSync(at.lockFile) ? readFileSync(at.lockFile, 'utf8') : undefined,
      existsSync(store) ? readdirSync(store, { recursive: true }).sort() : [],
    ]);
  };

  const refusals: readonly (readonly [
    what: string,
    packages: readonly TestPackage[],
    options: Partial<RepositoryOptions>,
    message: string,
  ])[] = [
    ['another key', PACKAGES, { key: rsaKey() }, 'which is not one of the base system'],
    [
      'no signature',
      PACKAGES,
      { members: (all) => all.filter(({ name }) => name === 'data') },
      'is not signed',
    ],
    [
      'a signature of something else',
      PACKAGES,
      { key: { ...KEY, sign: () => KEY.sign(Buffer.from('x')) } },
      'has a signature that is wrong: it was altered',
    ],
    [
      'a path that climbs',
      [{ name: 'pkg' }, { name: 'tmux', more: { path: '../../../x.pkg' } }],
      {},
      'is no path below the repository',
    ],
    [
      'a name that a shell would run',
      [{ name: 'pkg' }, { name: 'tmux', deps: ['$(id)'] }],
      {},
      'is no name of a package',
    ],
    [
      'a size that is too small',
      [{ name: 'pkg' }, { name: 'tmux', more: { pkgsize: 10 } }],
      {},
      'the server sends more than the 10 bytes that it is to have',
    ],
    [
      'a size that is too large',
      [{ name: 'pkg' }, { name: 'tmux', more: { pkgsize: 100_000 } }],
      {},
      'The catalogue and the file contradict each other',
    ],
    [
      'another package’s sum',
      [{ name: 'pkg' }, { name: 'tmux', more: { sum: 'b'.repeat(64) } }],
      {},
      `not ${'b'.repeat(64)}. It was altered or damaged`,
    ],
    [
      'a dependency that is not there',
      [{ name: 'pkg' }, { name: 'tmux', deps: ['gone'] }],
      {},
      '(PACKAGES) tmux → gone: the repository has no package gone',
    ],
    ['no pkg', [{ name: 'tmux' }], {}, '(pkg(8)) pkg: the repository has no package pkg'],
    [
      'packages of another release',
      [{ name: 'pkg' }, { name: 'tmux', more: { abi: 'FreeBSD:14:amd64' } }],
      {},
      'and the image is FreeBSD:15:amd64',
    ],
  ];
  it.each(refusals)('are refused with %s, and leave nothing', async (_, packages, options, message) => {
    const at = await place('PACKAGES="tmux"', packages, options);
    const before = traces(at);
    const { code, stderr, stdout } = await at.run('lock');
    expect(stderr).toContain(message);
    expect(stderr).not.toMatch(/^\s+at /m);
    expect(code).toBe(1);
    expect(stdout).not.toContain('clawdie.lock.json');
    expect(existsSync(at.lockFile)).toBe(false);
    // Files that are what their sums say may lie in the cache; what was refused does not.
    for (const name of (JSON.parse(traces(at)) as [unknown, string[]])[1])
      expect(name).toMatch(
        /^(?:sha256-[0-9a-f]{64}|catalogue-[0-9a-f]{64}(?:\/(?:data\.pkg|meta\.conf))?)(?:\.part)?$/,
      );
    expect(before).toContain('null');
  });

  it('do not bring back what is older, unless the operator says so', async () => {
    const at = await place('PACKAGES="tmux"');
    await at.again([{ name: 'pkg' }, { name: 'tmux', version: '1.1' }]);
    await at.run('lock');
    const lock = readFileSync(at.lockFile, 'utf8');
    const refusedWith = async (message: string): Promise<void> => {
      const { code, stderr } = await at.run('lock', '--update');
      expect(stderr).toContain(message);
      expect(code).toBe(1);
      expect(readFileSync(at.lockFile, 'utf8')).toBe(lock);
    };
    await at.again([{ name: 'pkg' }, { name: 'tmux', version: '1.0_9' }], { time: MADE + 1 });
    await refusedWith('it has tmux 1.0_9, and 1.1 is locked');
    await at.again([{ name: 'pkg' }, { name: 'tmux', version: '1.2' }], { time: MADE - 1 });
    await refusedWith('it was made at ');
    expect((await at.run('lock', '--update', '--older')).stdout).toContain('tmux 1.1 → 1.2');
  });

  it('are noticed while a mirror serves other bytes than it did', async () => {
    const at = await place('PACKAGES="tmux"');
    const file = readFileSync(join(at.repository, 'All/tmux-1.0.pkg'));
    for (const index of [0, 10, file.length - 1]) {
      const altered = Buffer.from(file);
      altered[index] = (altered[index] ?? 0) ^ 1;
      at.served.instead.set('All/tmux-1.0.pkg', altered);
      const { code, stderr } = await at.run('lock');
      expect(stderr).toContain('It was altered or damaged and has been removed');
      expect(code).toBe(1);
    }
    at.served.instead.set('All/tmux-1.0.pkg', 404);
    expect((await at.run('lock')).stderr).toContain('All/tmux-1.0.pkg: the server answered 404');
    at.served.instead.clear();
    expect((await at.run('lock')).code).toBe(0);
  });
});

describe('clawdie-iso audit', () => {
  const vuxml = (version: string): string =>
    `<?xml version="1.0"?><vuxml xmlns="http://www.vuxml.org/apps/vuxml-1"><vuln vid="1-2"><topic>tmux -- bad</topic><affects><package><name>tmux</name><range><lt>${version}</lt></range></package></affects><references><cvename>CVE-2026-7</cvename></references></vuln></vuxml>`;

  it('ends with 1 where something is known, from a file and from a server', async () => {
    const at = await place('PACKAGES="tmux"');
    await at.run('lock');
    const site = join(at.folder, 'site');
    const list = join(at.folder, 'vuln.xml');
    writeFileSync(list, vuxml('1.0_1'));
    const known = await at.run('audit', site, '--vuxml', list);
    expect(known.code).toBe(1);
    expect(known.stdout).toMatch(
      /^tmux 1\.0 is vulnerable:\n {2}tmux -- bad \(CVE-2026-7\)\n {2}https:\/\/vuxml\.freebsd\.org\/freebsd\/1-2\.html\n1 of the 4 packages[^\n]*\nNothing is known of the base system, FreeBSD 15\.1, FreeBSD-kernel 15\.1 \(release sets\)\.\n$/,
    );
    // A base system that is known to be vulnerable is as good a reason as a package.
    writeFileSync(list, vuxml('15.1_1').replace('>tmux<', '>FreeBSD-kernel<'));
    const base = await at.run('audit', site, '--vuxml', list);
    expect(base.code).toBe(1);
    expect(base.stdout).toContain('FreeBSD-kernel 15.1 is vulnerable:');
    expect(base.stdout).toContain('Nothing is known of the 4 packages');
    expect(base.stdout).toMatch(/Something is known of the base system.*FREEBSD_DIST="pkgbase"/);
    writeFileSync(list, vuxml('1.0_1'));
    writeFileSync(join(at.repository, 'vuln.xml.xz'), xz(Buffer.from(vuxml('1.0'))));
    const clean = await at.run('audit', at.lockFile, '--vuxml', `${at.served.url}/vuln.xml.xz`);
    expect(clean).toMatchObject({ code: 0, stderr: '' });
    expect(clean.stdout).toContain('Nothing is known of the 4 packages');
    expect(existsSync(join(site, 'clawdie.audit.json'))).toBe(false);
    expect((await at.run('audit', site, '--vuxml', `${at.served.url}/gone`)).code).toBe(1);
    expect((await at.run('audit', at.folder, '--vuxml', list)).code).toBe(2);
  });

  it('is in the papers of images where it is kept, with licences, and only of the lock that it is of', async () => {
    const at = await place('PACKAGES="tmux"', [
      { name: 'pkg', more: { licenses: ['BSD2CLAUSE'], licenselogic: 'single' } },
      { name: 'tmux', more: { licenses: ['ISCL', 'MIT'], licenselogic: 'or' } },
      { name: 'git-lite' },
    ]);
    const [site, list] = [join(at.folder, 'site'), join(at.folder, 'vuln.xml')];
    const kept = join(site, 'clawdie.audit.json');
    writeFileSync(list, vuxml('2'));
    expect((await at.run('lock')).code).toBe(0);
    expect((await at.run('audit', site, '--vuxml', list, '--save')).stdout).toContain(
      'reports of images show it',
    );
    expect(await at.run('iso')).toMatchObject({ code: 0, stderr: '' });
    const stem = join(at.folder, 'dist', 'clawdie-15.1-RELEASE-amd64');
    const page = (): string => readFileSync(`${stem}.html`, 'utf8');
    expect(page()).toContain('<td>ISCL or MIT</td>');
    expect(page()).toContain('<td>tmux -- bad</td>');
    expect(readFileSync(`${stem}.cdx.json`, 'utf8')).toContain('"name": "ISCL or MIT"');

    // What was found since is shown by `report`; of another lock nothing is.
    writeFileSync(list, vuxml('1'));
    expect((await at.run('audit', site, '--vuxml', list, '--save')).code).toBe(0);
    expect(await cli(['report', `${stem}.json`, '--audit', kept])).toMatchObject({ code: 0, stderr: '' });
    expect(page()).toContain('none is known of these packages');
    expect(page()).toContain('FreeBSD 15.1 and FreeBSD-kernel 15.1 too, and not for packages of npm');
    const more = ['--set', 'PACKAGES=tmux git-lite'];
    expect((await at.run('lock', ...more)).code).toBe(0);
    // Licences of what stays locked stay.
    expect(readFileSync(at.lockFile, 'utf8')).toContain('"license": "ISCL or MIT"');
    const again = await at.run('iso', ...more);
    expect(again.code).toBe(0);
    expect(again.stdout).toContain('is not shown: it is of another lock');
    expect(page()).toContain('was not asked');
    const other = await cli(['report', `${stem}.json`, '--audit', kept]);
    expect(other).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('it is of another lock') as string,
    });
    writeFileSync(kept, '{}');
    expect((await at.run('iso', ...more)).stdout).toContain(
      'it is not what `clawdie-iso audit --save` writes',
    );
  }, 180_000);
});
