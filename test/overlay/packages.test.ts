import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { sha256 } from '../../build/host/hash.js';
import { mediumList, mediumOf } from '../../build/packages/medium.js';
import { zstd } from '../helpers/repository.js';
import { lockOf } from '../helpers/lock.js';
import { folderOf, PKG, skipWithout } from '../helpers/real.js';
import { FakeRoot } from '../helpers/shell.js';
import type { ScriptResult } from '../helpers/shell.js';
import { packTar } from '../helpers/tar.js';

const LIBRARY = 'overlays/firstboot/usr/local/libexec/clawdie';
const FOLDER = 'var/db/clawdie/packages';
const LIST = 'var/db/clawdie/packages.list';

let fake: FakeRoot;

/** pkg(8) as a stub: what it has is in a file, `name version` a line. */
const STUB = `
db="$CLAWDIE_ROOT/db"
[ "$1" != -N ] || shift
[ "$1" != -R ] || { grep -q 'url: "file://' "$2/clawdie.conf" || exit 70; shift 2; }
case $1 in
info) grep -q "^$3 " "$db" ;;
query) [ "$2" != 'has %n %v' ] || { sed 's/^/has /' "$db"; exit 0; }; sed -n "s/^$3 //p" "$db" ;;
version) [ "$3" = "$4" ] || { [ "$(printf '%s\\n' "$3" "$4" | sort -V | head -n 1)" = "$3" ] && echo '<' || echo '>'; } ;;
update) echo "up to date" ;;
install) shift 5; for name; do
	[ "$name" != tmux ] || set -- libevent tmux
	for one; do sed -i "/^$one /d" "$db"; echo "$one \${VERSION-1.0}" >> "$db"; done
done ;;
check) [ ! -e "$CLAWDIE_ROOT/altered" ] || echo "tmux-1.0: checksum mismatch for /usr/local/bin/tmux" >&2 ;;
esac`;

/** An installed instance with packages in a folder, and a lock that names them. */
beforeEach(async () => {
  const { lock, files } = await lockOf([
    { name: 'pkg', asked: ['pkg(8)'] },
    { name: 'libevent', more: { shlibs_provided: ['libevent.so.2'] } },
    { name: 'tmux', deps: ['libevent'], asked: ['PACKAGES'] },
    { name: 'node24', asked: ['clawdie/pi-worker'] },
  ]);
  const medium = await mediumOf(lock);
  fake = await FakeRoot.make();
  for (const [name, bytes] of medium.catalogue) fake.file(`${FOLDER}/${name}`, bytes);
  for (const { name, file } of medium.packages)
    fake.file(`${FOLDER}/${file}`, files.get(name) ?? Buffer.alloc(0));
  fake
    .file(`${FOLDER}/Latest/pkg.pkg`, files.get('pkg') ?? Buffer.alloc(0))
    .file(LIST, mediumList(medium, ['tmux', 'pkg']), 0o600)
    .file('etc/clawdie/installed', 'installed\n')
    .file(
      'etc/pkg/FreeBSD.conf',
      'FreeBSD-ports: {\n  enabled: yes\n}\nFreeBSD-ports-kmods: {\n}\nFreeBSD-base: {\n}\n',
    )
    .file('db', '')
    .configure({ PACKAGES: "'tmux'" })
    .stub('sha256', '[ "$1" = -q ] && sha256sum "$2" | cut -d " " -f 1')
    .stub('df', 'echo head; echo "/dev/x 200000 1 100000 1% /"')
    .stub('timeout', '[ "$1" != -k ] || shift 2; shift; exec "$@"')
    .stub('pkg', STUB)
    .stub('tar', `printf '%s\\n' '#!/bin/sh' 'exec pkg "$@"'`);
});

/** The packages as `clawdie-iso packages` writes them, each in this version. */
async function another(version: string): Promise<{ readonly list: string; readonly tar: Buffer }> {
  const { lock, files } = await lockOf([
    { name: 'pkg', asked: ['pkg(8)'] },
    { name: 'libevent', version },
    { name: 'tmux', version, deps: ['libevent'], asked: ['PACKAGES'] },
  ]);
  const medium = await mediumOf(lock);
  const of = (name: string): Buffer => files.get(name) ?? Buffer.alloc(0);
  return {
    list: mediumList(medium, ['tmux', 'pkg']),
    tar: await packTar([
      ...[...medium.catalogue].map(([name, body]) => ({ name, body })),
      ...medium.packages.map(({ name, file }) => ({ name: file, body: of(name) })),
      { name: 'Latest/pkg.pkg', body: of('pkg') },
    ]),
  };
}

const run = (...args: readonly string[]): ScriptResult => fake.run(join(LIBRARY, 'shell-packages.sh'), args);
const installs = ({ calls }: ScriptResult): readonly string[] =>
  calls.filter((call) => /^pkg .*install/.test(call)).map((call) => call.replaceAll(fake.root, ''));

describe('packages of the lock', () => {
  it('are installed from the folder, by the pkg-static of the lock, once', () => {
    expect(run('--missing').code).toBe(0);
    const result = run();
    expect(result).toMatchObject({ code: 0, stderr: '' });
    expect(installs(result)).toEqual([
      'pkg -R /var/run/clawdie-pkg/repos install -y -U -r FreeBSD-ports pkg tmux',
    ]);
    expect(result.calls.findIndex((call) => call.startsWith('sha256'))).toBeLessThan(
      result.calls.findIndex((call) => call.startsWith('tar')),
    );
    // What is not of this host is not looked at.
    expect(result.calls.some((call) => call.startsWith('sha256') && call.includes('node24'))).toBe(false);
    expect(fake.has('var/run/clawdie-pkg')).toBe(false);
    expect(run('--missing').code).toBe(1);
    expect(installs(run())).toEqual([]);
  });

  it('are installed again where somebody has taken away what others need', () => {
    run();
    fake.file('db', fake.read('db').replace(/^libevent .*\n/m, ''));
    expect(run('--missing').code).toBe(0);
    expect(installs(run())).toEqual([
      'pkg -R /var/run/clawdie-pkg/repos install -y -U -r FreeBSD-ports libevent',
    ]);
    expect(run('--missing').code).toBe(1);
  });

  const flip = (path: string): void => {
    const full = join(fake.root, FOLDER, path);
    const bytes = readFileSync(full);
    bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
    writeFileSync(full, bytes);
  };
  it.each<readonly [what: string, how: () => void, says: string]>([
    ['a package was altered', () => flip('All/tmux-1.0.pkg'), 'All/tmux-1.0.pkg has not the sum of the lock'],
    ['what it needs was', () => flip('All/libevent-1.0.pkg'), 'All/libevent-1.0.pkg has not the sum'],
    ['pkg itself was', () => flip('All/pkg-1.0.pkg'), 'All/pkg-1.0.pkg has not the sum'],
    ['the catalogue was', () => flip('data.pkg'), 'data.pkg has not the sum'],
    ['meta.conf was', () => flip('meta.conf'), 'meta.conf has not the sum'],
    [
      'a package is longer',
      () => fake.file(`${FOLDER}/All/tmux-1.0.pkg`, 'x'.repeat(99_999)),
      'All/tmux-1.0.pkg has not the',
    ],
    [
      'a package is missing',
      () => fake.removeFile(`${FOLDER}/All/tmux-1.0.pkg`),
      'All/tmux-1.0.pkg is not there',
    ],
    [
      'there are none',
      () => renameSync(join(fake.root, FOLDER), join(fake.root, 'gone')),
      'has no meta.conf',
    ],
    [
      'there is no room',
      () => fake.stub('df', 'echo head; echo "/dev/x 9 8 1 99% /"'),
      'nothing is installed',
    ],
    ['pkg has no pkg-static', () => fake.stub('tar', 'exit 1'), 'All/pkg-1.0.pkg has no pkg-static'],
  ])('are not seen by pkg where %s', (_, how, says) => {
    how();
    const result = run();
    expect(result.code).not.toBe(0);
    expect(result.stdout).toContain(says);
    expect(installs(result)).toEqual([]);
    expect(fake.read('db')).toBe('');
  });

  it('are there only when pkg says so, whatever it ends with', () => {
    fake.stub('pkg', STUB.replace('install) ', 'install) exit 0;'));
    expect(run()).toMatchObject({
      code: 1,
      stdout: expect.stringContaining('tmux is there in version none, and the lock has 1.0') as string,
    });
    fake.stub('pkg', `VERSION=0.9\n${STUB}`);
    expect(run().stdout).toContain('tmux is there in version 0.9, and the lock has 1.0');
    fake.file('db', '').stub('pkg', STUB).file('altered', '');
    const altered = run();
    expect(altered.code).toBe(1);
    expect(altered.stdout).toContain('pkg check: tmux-1.0: checksum mismatch for /usr/local/bin/tmux');
  });

  it('lie on the medium of a live image, which is mounted once for all', () => {
    renameSync(join(fake.root, FOLDER), join(fake.root, 'medium'));
    fake.removeFile('etc/clawdie/installed');
    fake.stub('mount', `[ "$1" = -p ] || { cp -R '${join(fake.root, 'medium')}' "$6/packages"; }`);
    const first = run();
    expect(first).toMatchObject({ code: 0, stderr: '' });
    expect(first.calls.filter((call) => call.startsWith('mount -t'))).toEqual([
      `mount -t cd9660 -o ro /dev/iso9660/CLAWDIE ${fake.root}/var/run/clawdie-medium`,
    ]);
    fake
      .file('db', '')
      .stub('mount', `echo "/dev/iso9660/CLAWDIE ${fake.root}/var/run/clawdie-medium cd9660 ro 0 0"`);
    expect(run().code).toBe(0);
    fake.file('db', '').stub('mount', '[ "$1" = -p ]');
    const gone = run();
    expect(gone.code).toBe(1);
    expect(gone.stdout).toContain('attach the ISO that this instance was booted from');
    expect(installs(gone)).toEqual([]);
  });

  it('are those of the real pkg(8), in a root', async ({ skip }) => {
    skipWithout([PKG], skip);
    if (!existsSync('/usr/bin/bsdtar')) skip('no bsdtar(1)');
    // What pkg-static is on the instance is here the pkg of this machine, for the root of the test.
    const real = `#!/bin/sh
exec '${folderOf(PKG)}/pkg' -o ABI=FreeBSD:15:amd64 -o OSVERSION=1501000 -o PKG_DBDIR='${fake.root}/var/db/pkg' -o RUN_SCRIPTS=no -r '${fake.root}' "$@"
`;
    const about = {
      name: 'pkg',
      origin: 'test/pkg',
      version: '1.0',
      comment: 'x',
      maintainer: 'x',
      www: 'x',
    };
    const manifest = JSON.stringify({
      ...{ ...about, abi: 'FreeBSD:15:amd64', arch: 'freebsd:15:x86:64', prefix: '/usr/local' },
      ...{ flatsize: 1, desc: 'x', categories: ['test'] },
    });
    const file = zstd(
      await packTar([
        { name: '+COMPACT_MANIFEST', body: manifest },
        { name: '+MANIFEST', body: manifest },
        { name: '/usr/local/sbin/pkg-static', body: real },
      ]),
    );
    const sum = sha256(file);
    const lay = async (version: string): Promise<void> => {
      const { lock, files } = await lockOf([
        { name: 'pkg', asked: ['pkg(8)'] },
        { name: 'libevent', version },
        { name: 'tmux', version, deps: ['libevent'], asked: ['PACKAGES'] },
      ]);
      const [own, ...others] = lock.packages;
      if (!own) throw new Error('there is a pkg');
      const medium = await mediumOf({
        ...lock,
        packages: [{ ...own, size: file.length, sha256: sum, sum }, ...others],
      });
      for (const [name, bytes] of medium.catalogue) fake.file(`${FOLDER}/${name}`, bytes);
      for (const { name, file: path } of medium.packages)
        fake.file(`${FOLDER}/${path}`, name === 'pkg' ? file : (files.get(name) ?? Buffer.alloc(0)));
      fake.file(`${FOLDER}/Latest/pkg.pkg`, file).file(LIST, mediumList(medium, ['tmux', 'pkg']));
    };
    const had = (): string => execFileSync(join(fake.bin, 'pkg'), ['query', '%n %v'], { encoding: 'utf8' });
    fake
      .stub('pkg', `[ "$1" != -N ] || shift\n${real.replace('#!/bin/sh\n', '')}`)
      .stub('tar', 'exec bsdtar "$@"');
    await lay('1.0');
    const result = run();
    expect(result.stdout).toContain('FreeBSD-ports repository update completed. 3 packages processed.');
    expect(result.code).toBe(0);
    expect(had()).toBe('libevent 1.0\npkg 1.0\ntmux 1.0\n');
    expect(run('--missing').code).toBe(1);
    expect(fake.has('var/db/pkg/repos/FreeBSD-ports')).toBe(false);
    // Those of a later lock, and what they need, take the place of the older ones; those of an earlier one do not.
    await lay('1.1');
    expect(run('--missing').code, 'no boot does it').toBe(1);
    expect(run().code).toBe(0);
    expect(had()).toBe('libevent 1.1\npkg 1.0\ntmux 1.1\n');
    await lay('1.0.9');
    expect(run().code).toBe(0);
    expect(had()).toBe('libevent 1.1\npkg 1.0\ntmux 1.1\n');
  });
});

describe('clawdie-update packages', () => {
  const UPDATE = 'overlays/firstboot/usr/local/sbin/clawdie-update';
  const at = (): string => join(fake.root, 'packages.tar');
  const bring = (): ScriptResult => fake.run(UPDATE, ['packages', at()]);
  let newer: Awaited<ReturnType<typeof another>>;

  beforeEach(async () => {
    newer = await another('2.0');
    run();
    expect(fake.read('db')).toBe('pkg 1.0\nlibevent 1.0\ntmux 1.0\n');
    const script = join(fake.root, '.run/shell-packages.sh');
    fake
      .stub('id', 'echo 0')
      .stub('sync')
      .stub('mount')
      .stub(
        'tar',
        `[ "$1" != -xOf ] || { printf '%s\\n' '#!/bin/sh' 'exec pkg "$@"'; exit; }
# Not known to the tar(1) of this machine.
for each; do shift; [ "$each" = --no-fflags ] || set -- "$@" "$each"; done
exec /usr/bin/tar "$@"`,
      )
      .stub('lockf')
      .stub('daemon', 'shift; exec "$@"')
      .stub('pkg', `VERSION=2.0\n${STUB}`)
      .stub('service', `sh '${script}'`)
      // The overlay of another lock is in force by now.
      .file(LIST, newer.list, 0o600)
      .file('packages.tar', newer.tar);
    fake.run(UPDATE, ['--help']);
  });

  it('brings those of the lock in force, and installs what is older', () => {
    expect(run('--missing').code, 'nothing of another lock is installed').toBe(1);
    const result = bring();
    expect(result).toMatchObject({ code: 0, stderr: '' });
    expect(result.stdout).toContain('The packages are as the lock has them, or newer.');
    expect(fake.read('db')).toBe('pkg 1.0\nlibevent 2.0\ntmux 2.0\n');
    expect(installs(result)).toEqual([
      'pkg -R /var/run/clawdie-pkg/repos install -y -U -r FreeBSD-ports libevent tmux',
    ]);
    expect(fake.has(`${FOLDER}.new`) || fake.has(`${FOLDER}.old`)).toBe(false);
    expect(fake.has(`${FOLDER}/All/tmux-1.0.pkg`)).toBe(false);
    // Once more changes nothing.
    expect(installs(bring())).toEqual([]);
  });

  it('leaves what pkg(8) has brought of newer versions since', () => {
    fake.file('db', 'pkg 1.0\nlibevent 3.0\ntmux 1.0\n');
    expect(bring().code).toBe(0);
    expect(installs(bring())).toEqual([]);
    expect(fake.read('db')).toContain('tmux 2.0');
  });

  it.each<readonly [what: string, how: () => Promise<void> | void, says: string]>([
    [
      'the overlay in force has another lock',
      async () => void fake.file('packages.tar', (await another('3.0')).tar),
      'what came is not what the overlay in force has in its lock. Nothing was changed.',
    ],
    [
      'the archive was cut off',
      () => void fake.file('packages.tar', newer.tar.subarray(0, newer.tar.length - 9000)),
      'what came is not what the overlay in force has',
    ],
    [
      'a byte was changed',
      () => {
        const bytes = Buffer.from(newer.tar);
        const where = bytes.indexOf('All/tmux-2.0.pkg') + 512 + 20;
        bytes[where] = (bytes[where] ?? 0) ^ 1;
        fake.file('packages.tar', bytes);
      },
      'what came is not what the overlay in force has',
    ],
    ['it is no archive', () => void fake.file('packages.tar', 'x'), 'what came is not what the overlay'],
    ['there is none', () => fake.removeFile('packages.tar'), 'is no file'],
    ['there is no lock', () => fake.removeFile(LIST), 'the overlay in force has no lock'],
    ['it runs from memory', () => fake.removeFile('etc/clawdie/installed'), 'this instance runs from memory'],
    [
      'there is no room',
      () => void fake.stub('df', 'echo head; echo "/dev/x 9 8 1 99% /"'),
      'and 0 are free. Nothing was changed.',
    ],
    [
      'something is on trial',
      () => void fake.file('sbin/clawdie-trial', 'echo "state pending"\n', 0o755),
      'something is on trial',
    ],
    [
      'packages are being installed',
      () => void fake.file('var/run/clawdie-packages.lock', '').stub('lockf', 'exit 75'),
      'Packages are being installed just now: ask again.',
    ],
  ])('changes nothing where %s', async (_, how, says) => {
    await how();
    const result = bring();
    expect(result.code, result.stdout).toBe(says.endsWith('ask again.') ? 75 : 1);
    expect(result.stdout + result.stderr).toContain(says);
    expect(installs(result)).toEqual([]);
    expect(fake.read('db')).toBe('pkg 1.0\nlibevent 1.0\ntmux 1.0\n');
    expect(fake.has(`${FOLDER}/All/tmux-1.0.pkg`)).toBe(true);
    expect(fake.has(`${FOLDER}.new`)).toBe(false);
  });

  it('writes nothing but what the lock names, and follows no link', async () => {
    const evil = await packTar([
      { name: '../outside', body: 'x' },
      { name: '/absolute', body: 'x' },
      { name: 'All/more.pkg', body: 'x' },
      { name: 'data.pkg', type: 'symlink', linkname: '/etc/passwd' },
    ]);
    fake.file('packages.tar', evil);
    const result = bring();
    expect(result.code).toBe(1);
    expect(result.stdout).toContain('data.pkg is not there');
    expect(fake.has('var/db/clawdie/outside') || fake.has('absolute')).toBe(false);
    expect(fake.has(`${FOLDER}.new`)).toBe(false);
  });

  it('goes on from what a power cut has left between two names', () => {
    renameSync(join(fake.root, FOLDER), join(fake.root, `${FOLDER}.old`));
    fake.file(`${FOLDER}.new/All/half`, 'x');
    expect(bring().code).toBe(0);
    expect(fake.has(`${FOLDER}.new`) || fake.has(`${FOLDER}.old`)).toBe(false);
    expect(fake.read('db')).toContain('tmux 2.0');
  });

  it('waits for a jail that is given packages, and for another one that brings some', () => {
    fake.stub('mount', `echo "${fake.root}/${FOLDER} /jail/var/cache/clawdie-packages nullfs ro 0 0"`);
    expect(bring()).toMatchObject({ code: 75, stdout: 'A jail is given packages just now: ask again.\n' });
    fake.stub('mount').stub('lockf', 'exit 75');
    expect(bring()).toMatchObject({ code: 75, stdout: 'Packages are being brought just now: ask again.\n' });
    expect(fake.has(`${FOLDER}/All/tmux-1.0.pkg`)).toBe(true);
  });

  it('says so where what is installed is not as it was', () => {
    fake.file('altered', '');
    const result = bring();
    expect(result.code).toBe(1);
    expect(result.stderr).toContain(
      'files of packages are not as they were installed: tmux-1.0: checksum mismatch',
    );
  });

  it('says so where pkg(8) does not have them afterwards', () => {
    fake.stub('pkg', STUB.replace('install) ', 'install) exit 0;'));
    const result = bring();
    expect(result.code).toBe(1);
    expect(result.stderr).toContain('not as the lock has them: libevent 1.0 2.0,tmux 1.0 2.0');
  });
});
