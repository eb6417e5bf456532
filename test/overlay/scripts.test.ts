import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import {
  archiveIn,
  emptySlot,
  filledSlot,
  headerOf,
  installSlot,
  SLOT_SIZE,
} from '../../build/image/slot.js';
import { packOverlay } from '../../build/overlay/pack.js';
import type { OverlayEntry } from '../../build/overlay/render.js';
import { configOf } from '../helpers/config.js';
import { bodyOf, overlayOf } from '../helpers/deployment.js';
import { file, INIT, liveInstance, RELEASE, whole } from '../helpers/instance.js';
import { FakeRoot } from '../helpers/shell.js';
import type { ScriptResult } from '../helpers/shell.js';

const scripts = readdirSync('overlays', { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) => join(entry.parentPath, entry.name))
  .filter((path) => readFileSync(path, 'utf8').startsWith('#!/bin/sh'));

describe('every script', () => {
  it.each(scripts)('%s passes sh -n and shellcheck', (path) => {
    execFileSync('sh', ['-n', path]);
    execFileSync('shellcheck', ['-s', 'sh', path], { encoding: 'utf8' });
  });
});

const MODULES = 'overlays/firstboot/usr/local/libexec/clawdie';

describe('clawdie-init', () => {
  let fake: FakeRoot;

  const archive = (...more: readonly (readonly [path: string, body: string])[]): Promise<Buffer> =>
    packOverlay(
      [
        { path: '', type: 'dir', uid: 0, gid: 0, mode: 0o755, body: '' },
        { path: 'etc', type: 'dir', uid: 0, gid: 0, mode: 0o755, body: '' },
        { path: 'etc/rc.conf', type: 'file', uid: 0, gid: 0, mode: 0o640, body: 'hostname="agent"\n' },
        ...more.map(([path, body]) => ({ path, type: 'file', uid: 0, gid: 0, mode: 0o600, body }) as const),
      ],
      0,
    );

  /** A slot as a disk has it: whole. */
  const slotWith = (content: Buffer, release: string): Buffer => whole(filledSlot(content, release));

  beforeEach(async () => {
    fake = await liveInstance();
  });

  it('has what a base system of packages comes without made first, for itself and for the release of jails', async () => {
    const derive = 'overlays/base/sbin/clawdie-derive';
    const jails = 'usr/local/bastille/releases/15.1-RELEASE';
    const made = '[ -e "$4/spwd.db" ] || touch "$4/spwd.db"';
    fake
      .stub('pwd_mkdb', made)
      .stub('cap_mkdb')
      .stub('certctl')
      .file('sbin/clawdie-derive', readFileSync(derive), 0o755)
      .file('dev/md0', slotWith(await archive(), RELEASE));
    for (const place of ['', `${jails}/`])
      fake
        .file(`${place}etc/master.passwd`, 'root::0:0::0:0::/root:/bin/sh\n')
        .file(`${place}etc/login.conf`, '')
        .file(`${place}usr/share/certs/trusted/a.pem`, '');
    const programs = (root: string): readonly string[] => [
      `certctl -D ${root}/ rehash`,
      `cap_mkdb ${root}/etc/login.conf`,
      `pwd_mkdb -i -p -d ${root}/etc ${root}/etc/master.passwd`,
    ];
    const first = fake.run(INIT);
    expect(first.code).toBe(0);
    const calls = first.calls.map((call) => call.replaceAll(fake.root, ''));
    expect(calls.slice(0, 7)).toEqual(['mount -u -w /', ...programs(''), ...programs(`/${jails}`)]);
    // What has them keeps them, as release sets have.
    expect(fake.run(derive)).toMatchObject({ code: 0, calls: [] });
    // A release of jails that is not complete is said, and keeps nothing else from its own.
    const next = 'usr/local/bastille/releases/15.2-RELEASE';
    fake.file(`${next}/etc/master.passwd`, 'root::0:0::0:0::/root:/bin/sh\n');
    rmSync(join(fake.root, jails, 'etc/spwd.db'));
    rmSync(join(fake.root, 'etc/spwd.db'));
    fake.stub('pwd_mkdb', `case "$4" in *15.1*) exit 1 ;; esac; ${made}`);
    expect(fake.run(derive)).toMatchObject({
      code: 0,
      stderr: `clawdie-derive: ${fake.root}/${jails} is not complete\n`,
    });
    expect(fake.has('etc/spwd.db')).toBe(true);
    expect(fake.has(`${next}/etc/spwd.db`)).toBe(true);
    // Without them nobody could be looked up: no boot goes on.
    rmSync(join(fake.root, 'etc/spwd.db'));
    fake.stub('cap_mkdb', 'exit 1');
    expect(fake.run(derive).code).toBe(1);
    const closed = fake.run(INIT);
    expect(closed.code).toBe(1);
    expect(closed.stdout).toContain('the databases of the base system cannot be made');
  });

  it('applies the overlay, whichever disk it is on, and locks root', async () => {
    fake.file('dev/md0', slotWith(await archive(), RELEASE));
    const result = fake.run(INIT);
    expect(result).toMatchObject({ code: 0, stderr: '' });
    expect(result.stdout).toMatch(
      /^clawdie-init: this instance has no signers: .*\nclawdie-init: overlay [0-9a-f]{64} applied\.\n$/,
    );
    expect(fake.read('etc/rc.conf')).toBe('hostname="agent"\n');
    expect(statSync(join(fake.root, 'etc/rc.conf')).mode & 0o777).toBe(0o640);
    expect(result.calls.map((call) => call.replaceAll(fake.root, ''))).toEqual([
      'mount -u -w /',
      'sha256 -q',
      'fsync /etc/clawdie/applied',
      'sync ',
      'pw usermod -n root -h -',
      'kenv -u init_script',
    ]);
    expect(fake.read('etc/clawdie/applied')).toMatch(/^[0-9a-f]{64}\n$/);
  });

  it('has single-user mode ask for the password that the deployment names, and for none where it names none', async () => {
    const got = join(fake.root, 'got');
    fake.stub('pw', `[ "$*" != 'usermod -n root -H 0' ] || cat > '${got}'`);
    const ttys = (secure: string): string =>
      `#\nconsole\tnone\t\t\t\tunknown\toff ${secure}\n#\nttyv0\t"/usr/libexec/getty Pc"\t\txterm\tonifexists secure\n`;
    fake.file('etc/ttys', ttys('secure'));
    const apply = async (...files: readonly (readonly [string, string])[]): Promise<void> => {
      fake.file('dev/md0', slotWith(await archive(...files), RELEASE));
      expect(fake.run(INIT)).toMatchObject({ code: 0, stderr: '' });
    };
    await apply(['var/db/clawdie/root.hash', '$6$salt$hash\n']);
    expect(fake.read('etc/ttys')).toBe(ttys('insecure'));
    expect(fake.read('got')).toBe('$6$salt$hash\n');
    expect(statSync(join(fake.root, 'etc/ttys')).mode & 0o777).toBe(0o644);
    // What the first boot does with it.
    rmSync(join(fake.root, 'var/db/clawdie/root.hash'));
    await apply();
    expect(fake.read('etc/ttys')).toBe(ttys('secure'));
  });

  const stays = (message: string): void => {
    const result = fake.run(INIT);
    expect(result.code).toBe(1);
    expect(result.stdout).toContain(`clawdie-init: ${message}`);
    expect(result.stdout).toContain('this instance stays closed');
    expect(fake.has('etc/clawdie/applied')).toBe(false);
    expect(result.calls.some((call) => call.startsWith('kenv'))).toBe(false);
  };

  it('stays closed if the slot is empty', () => {
    fake.file('dev/md0', emptySlot(RELEASE));
    stays('the overlay slot is empty');
    expect(fake.has('etc/rc.conf')).toBe(false);
  });

  it('stays closed if there is no overlay, or its first sector is damaged', async () => {
    stays('there is no overlay');
    const slot = slotWith(await archive(), RELEASE);
    slot.write('x', 0);
    fake.file('dev/md0', slot);
    stays('there is no overlay');
  });

  it('stays closed if a byte of the overlay is not what it was', async () => {
    const slot = slotWith(await archive(), RELEASE);
    for (const position of [512, 700, 512 + 1500]) {
      const damaged = Buffer.from(slot);
      damaged.writeUInt8(damaged.readUInt8(position) ^ 1, position);
      fake.file('dev/md0', damaged);
      stays('the overlay is damaged: its SHA-256 is');
      expect(fake.has('etc/rc.conf')).toBe(false);
    }
  });

  it('stays closed if the overlay is of another release, or there are two', async () => {
    fake.file('dev/md0', slotWith(await archive(), '14.3-RELEASE-amd64'));
    stays('the overlay is for release "14.3-RELEASE-amd64", this is 15.1-RELEASE-amd64');
    const slot = slotWith(await archive(), RELEASE);
    fake.file('dev/md0', slot).file('dev/md2', slot);
    stays('there is more than one overlay');
  });

  it('stays closed if the header claims too much', async () => {
    for (const [from, to, message] of [
      [/length \d+/, 'length 99999999999', "the overlay's length is damaged"],
      [/length \d+/, 'length -1', "the overlay's length is damaged"],
      [/length \d+/, `length ${SLOT_SIZE * 2}`, 'the overlay is damaged'],
      [/sha256 \w+/, 'sha256 abc', "the overlay's checksum is damaged"],
      [/sha256 \w+/, 'sha256 $(reboot)', "the overlay's checksum is damaged"],
    ] as const) {
      const slot = slotWith(await archive(), RELEASE);
      const head = slot.toString('latin1', 0, 512).replace(/\0+$/, '').replace(from, to);
      const changed = Buffer.concat([Buffer.from(head.padEnd(512, '\0'), 'latin1'), slot.subarray(512)]);
      fake.file('dev/md0', changed);
      stays(message);
    }
  });

  it.each([
    ['mount', 'the root file system cannot be made writable'],
    ['tar', 'the overlay cannot be listed'],
    ['pw', 'the root account cannot be locked'],
    ['sha256', 'the overlay cannot be summed up'],
  ])('stays closed if %s fails', async (command, message) => {
    fake.file('dev/md0', slotWith(await archive(), RELEASE)).stub(command, 'exit 1');
    stays(message);
  });

  describe('where another overlay comes', () => {
    const LIST = 'var/db/clawdie/overlay.files';
    const slotOf = async (...entries: readonly OverlayEntry[]): Promise<Buffer> =>
      slotWith(await packOverlay(entries, 0), RELEASE);
    /** An installed instance, whose boots find what is in its slot. */
    const boot = async (...entries: readonly OverlayEntry[]): Promise<ScriptResult> => {
      fake
        .stub('mount', '[ "$1" != -p ] || echo "/dev/gpt/clawdie-root / ufs ro 1 1"')
        .file('etc/clawdie/installed', '')
        .file('dev/gpt/clawdie-slot', await slotOf(...entries));
      return fake.run(INIT);
    };
    const conf = file('etc/rc.conf');

    it('removes what that does not bring: keys, cron jobs, hooks, scripts; and nothing else', async () => {
      await boot(
        conf,
        file('root/.ssh/authorized_keys'),
        file('etc/cron.d/old'),
        file('etc/rc.d/old'),
        file('etc/hook'),
      );
      fake.file('etc/mine', 'mine').file('etc/rc.d/old', 'changed since').removeFile('etc/hook');
      const result = await boot(conf, file('etc/cron.d/new'));
      expect(result.code).toBe(0);
      expect(result.stdout).toContain(
        'the overlay has no /root/.ssh/authorized_keys any more: it is removed.\n',
      );
      for (const path of ['root/.ssh/authorized_keys', 'etc/cron.d/old', 'etc/rc.d/old'])
        expect([path, fake.has(path)]).toEqual([path, false]);
      for (const path of ['etc/mine', 'etc/rc.conf', 'etc/cron.d/new'])
        expect([path, fake.has(path)]).toEqual([path, true]);
      expect(fake.read(LIST)).toBe('etc/cron.d/new\netc/rc.conf\n');
      expect(statSync(join(fake.root, LIST)).mode & 0o777).toBe(0o600);
      expect(readdirSync(join(fake.root, 'var/db/clawdie'))).toEqual(['overlay.files']);
    });

    it('removes links themselves, and nothing through a link', async () => {
      await boot(conf, file('etc/a/one'), file('etc/b'), file('etc/c/deep/two'));
      fake
        .file('kept/one', '')
        .file('kept/two', '')
        .removeFile('etc/a/one')
        .removeFile('etc/b')
        .removeFile('etc/c/deep/two');
      rmdirSync(join(fake.root, 'etc/a'));
      rmdirSync(join(fake.root, 'etc/c/deep'));
      symlinkSync(join(fake.root, 'kept'), join(fake.root, 'etc/a'));
      symlinkSync(join(fake.root, 'kept/one'), join(fake.root, 'etc/b'));
      symlinkSync('../../kept', join(fake.root, 'etc/c/deep'));
      await boot(conf);
      expect([fake.has('kept/one'), fake.has('kept/two')]).toEqual([true, true]);
      expect(readdirSync(join(fake.root, 'etc')).includes('b')).toBe(false);
    });

    it('believes no list that leads out of the root, or that the overlay has brought', async () => {
      const outside = `${fake.root}.outside`;
      writeFileSync(outside, '');
      fake
        .file('etc/folder/file', '')
        .file(
          LIST,
          `../${basename(outside)}\n/etc/folder/file\netc/../../${basename(outside)}\netc/folder\n./etc/folder/\n-rf\n*\n`,
        );
      expect((await boot(conf)).code).toBe(0);
      expect([existsSync(outside), fake.has('etc/folder/file')]).toEqual([true, true]);
      await boot(conf, file(LIST, 'etc/folder/file\n'));
      expect(fake.read(LIST)).toBe(`etc/rc.conf\n${LIST}\n`);
      await boot(conf);
      expect(fake.has('etc/folder/file')).toBe(true);
    });

    it('forgets none where the power fails in between, whatever comes after', async () => {
      await boot(conf, file('etc/old'));
      fake.stub('tar', 'case $1 in -tf) exec /usr/bin/tar "$@" ;; esac; /usr/bin/tar "$@"; exit 1');
      expect((await boot(conf, file('etc/half'))).code).toBe(1);
      expect([fake.has('etc/old'), fake.has('etc/half')]).toEqual([false, true]);
      fake.remove('tar');
      expect((await boot(conf)).code).toBe(0);
      expect(fake.has('etc/half')).toBe(false);
      expect(fake.read(LIST)).toBe('etc/rc.conf\n');
    });

    it('says why it stays closed where nothing can be written', async () => {
      await boot(conf);
      fake.removeFile('etc/clawdie/applied');
      mkdirSync(join(fake.root, 'etc/clawdie/applied'));
      const result = await boot(conf, file('etc/new'));
      expect(result.code).toBe(1);
      expect(result.stdout).toContain('the root file system cannot be written');
      expect(fake.has('etc/new')).toBe(false);
    });

    it('leaves all as it is where that one is damaged', async () => {
      await boot(conf, file('etc/old'));
      const slot = await slotOf(conf);
      slot.writeUInt8(1, 700);
      fake.file('dev/gpt/clawdie-slot', slot);
      expect(fake.run(INIT).stdout).toContain('it is not applied');
      expect(fake.has('etc/old')).toBe(true);
    });
  });

  describe('told to make a disk image', () => {
    const told = (fs: string): Buffer => Buffer.concat([installSlot(RELEASE, fs as 'ufs')], SLOT_SIZE);
    const acts = (result: ScriptResult): readonly string[] =>
      result.calls.filter((call) => !call.startsWith('mount -p'));
    beforeEach(() => {
      fake
        .stub('halt')
        .file('usr/local/sbin/clawdie-install', '#!/bin/sh\necho "put on a disk: $*"\n', 0o755);
    });

    it('puts itself onto the disk, and is gone before anything else runs', () => {
      fake.file('dev/md0', told('zfs'));
      const result = fake.run(INIT);
      expect(result.stdout).toBe('put on a disk: --image --gauge --fs zfs\n');
      expect(acts(result)).toEqual(['mount -u -w /', 'halt -p -q']);
      expect(result.code).toBe(1);
    });

    it('hands on what installs its packages, if that is whole', () => {
      const archived = Buffer.from('the archive');
      const slot = Buffer.concat([installSlot(RELEASE, 'ufs', archived)], SLOT_SIZE);
      fake
        .file('dev/md0', slot)
        .file('usr/local/sbin/clawdie-install', '#!/bin/sh\nshift 5; cat "$1"\n', 0o755);
      expect(fake.run(INIT).stdout).toBe('the archive');
      slot.writeUInt8(1, 512);
      fake.file('dev/md0', slot);
      stays('what installs the packages is damaged');
    });

    it('stays closed where that fails', () => {
      fake.file('dev/md0', told('ufs')).file('usr/local/sbin/clawdie-install', '#!/bin/sh\nexit 1\n', 0o755);
      stays('no disk image was made');
    });

    it('does not, beside an overlay, or where an instance is installed', async () => {
      fake.file('dev/md0', told('ufs')).file('dev/md2', slotWith(await archive(), RELEASE));
      expect(fake.run(INIT).stdout).toMatch(/overlay [0-9a-f]{64} applied/);
      fake.removeFile('dev/md2').file('etc/clawdie/installed', '').removeFile('etc/clawdie/applied');
      fake.file('dev/gpt/clawdie-slot', told('ufs'));
      stays('there is no overlay');
    });
  });

  describe('of an installed instance', () => {
    const APPLIED = 'a'.repeat(64);
    beforeEach(() => {
      fake
        .stub('mount', '[ "$1" != -p ] || echo "/dev/gpt/clawdie-root / ufs ro 1 1"')
        .file('etc/clawdie/installed', '')
        .file('etc/clawdie/applied', `${APPLIED}\n`);
    });
    const calls = (result: ScriptResult): readonly string[] =>
      result.calls.map((call) => call.replaceAll(fake.root, ''));

    it('leaves alone what it has applied, and looks at no memory disk', async () => {
      const slot = slotWith(await archive(), RELEASE);
      const sum = /sha256 (\w+)/.exec(slot.toString('latin1', 0, 512))?.[1] ?? '';
      fake.file('dev/gpt/clawdie-slot', slot).file('etc/clawdie/applied', `${sum}\n`);
      fake.file('dev/md0', slotWith(Buffer.from('something else'), RELEASE));
      const result = fake.run(INIT);
      expect(result).toMatchObject({ code: 0, stdout: `clawdie-init: overlay ${sum} stands.\n` });
      // Nothing is written, not even mounted.
      expect(calls(result)).toEqual(['sysctl -q debug.softdep.flushcache=1', 'kenv -u init_script']);
      expect(fake.has('etc/rc.conf')).toBe(false);
    });

    it('applies another overlay, after the file system was looked at', async () => {
      fake.file('dev/gpt/clawdie-slot', slotWith(await archive(), RELEASE));
      const result = fake.run(INIT);
      expect(result.code).toBe(0);
      // All is on the disk before the mark is (read-only, once); and rc.d/fsck refuses a root that somebody could write to.
      expect(calls(result).filter((call) => /^(?:fsck|mount -u)/.test(call))).toEqual([
        'fsck -p /',
        'mount -u -w /',
        'mount -u -o ro /',
        'mount -u -w /',
        'mount -u -o ro /',
      ]);
      expect(fake.read('etc/rc.conf')).toBe('hostname="agent"\n');
      expect(fake.read('etc/clawdie/applied')).not.toContain(APPLIED);
    });

    it('waits for the partition of the slot, bounded', async () => {
      fake.stub(
        'sleep',
        'mv "$CLAWDIE_TEST_ROOT/dev/late" "$CLAWDIE_TEST_ROOT/dev/gpt/clawdie-slot" 2> /dev/null',
      );
      fake.file('dev/gpt/x', '').file('dev/late', slotWith(await archive(), RELEASE));
      expect(fake.run(INIT).stdout).toMatch(/overlay [0-9a-f]{64} applied/);
      fake.removeFile('dev/gpt/clawdie-slot').file('etc/clawdie/applied', `${APPLIED}\n`);
      const result = fake.run(INIT);
      expect(result.calls.filter((call) => call === 'sleep 1')).toHaveLength(30);
      expect(result.stdout).toMatch(/it is not applied\.\nclawdie-init: overlay a{64} stands/);
    });

    it('applies it to a pool, which needs no looking after', async () => {
      fake.stub('mount', 'echo "clawdie/ROOT/default / zfs ro,noatime 0 0"');
      fake.file('dev/gpt/clawdie-slot', slotWith(await archive(), RELEASE));
      const result = fake.run(INIT);
      expect(result.code).toBe(0);
      expect(calls(result).filter((call) => /^(?:fsck|mount -u)/.test(call))).toEqual(['mount -u -w /']);
    });

    it.each([
      ['the slot is empty', () => emptySlot(RELEASE)],
      ['its first sector is damaged', () => Buffer.alloc(SLOT_SIZE, 1)],
      ['of another release', async () => slotWith(await archive(), '14.3-RELEASE-amd64')],
      [
        'a byte is not what it was',
        async () => {
          const slot = slotWith(await archive(), RELEASE);
          slot.writeUInt8(slot.readUInt8(700) ^ 1, 700);
          return slot;
        },
      ],
    ])('keeps what it has where %s, and says so', async (_, slot) => {
      fake.file('dev/gpt/clawdie-slot', await slot());
      const result = fake.run(INIT);
      expect(result.code).toBe(0);
      expect(result.stdout).toMatch(/: it is not applied\.\nclawdie-init: overlay a{64} stands\.\n$/);
      const mounts = calls(result).filter((call) => call.startsWith('mount -u'));
      expect(mounts).toEqual(mounts.length === 0 ? [] : ['mount -u -w /', 'mount -u -o ro /']);
      expect(fake.read('etc/clawdie/applied')).toBe(`${APPLIED}\n`);
      expect(fake.has('etc/rc.conf')).toBe(false);
    });

    it('says that it has it once all is on the disk, and that it has none before anything changes', async () => {
      const mark = join(fake.root, 'etc/clawdie/applied');
      // What a power cut right then would leave of the mark, and of the overlay.
      const now = `echo "$(cat '${mark}' 2> /dev/null | wc -c) $(cat '${fake.root}/etc/rc.conf' 2> /dev/null)" >> '${fake.root}/seen'`;
      fake
        .stub('mount', `[ "$1" != -p ] || echo "/dev/gpt/clawdie-root / ufs ro 1 1"\n[ "$1" = -p ] || ${now}`)
        .stub('fsync', now)
        .file('dev/gpt/clawdie-slot', slotWith(await archive(), RELEASE));
      expect(fake.run(INIT).code).toBe(0);
      const rendered = 'hostname="agent"';
      expect(fake.read('seen').split('\n')).toEqual([
        '65 ', // writable
        '0 ', // no overlay
        `0 ${rendered}`, // read-only: all of it is on the disk
        `0 ${rendered}`,
        `65 ${rendered}`,
        '',
      ]);
    });

    it('has all of a file system looked at where it cannot be unpacked, and tries again, once', async () => {
      fake
        .file('dev/gpt/clawdie-slot', slotWith(await archive(), RELEASE))
        .stub('tar', 'exit 1')
        .stub('reboot');
      const first = fake.run(INIT);
      expect(first.code).toBe(1);
      expect(first.stdout).toContain(
        'the overlay cannot be listed\nclawdie-init: all of the file system is looked at',
      );
      expect(calls(first).slice(-3)).toEqual(['mount -u -o ro /', 'fsck -fy /', 'reboot -q']);
      const second = fake.run(INIT);
      expect(second.code).toBe(1);
      expect(second.stdout).toContain('this instance stays closed');
      expect(calls(second)).not.toContain('reboot -q');
      expect(fake.has('etc/clawdie/applied')).toBe(false);
      expect(fake.remove('tar').run(INIT).code).toBe(0);
      expect(fake.has('etc/clawdie/applied')).toBe(true);
      // So that it is done again should it be needed again.
      fake.file('etc/clawdie/applied', `${APPLIED}\n`).stub('tar', 'exit 1');
      expect(calls(fake.run(INIT))).toContain('fsck -fy /');
    });

    it('stays closed where that is no help: a pool has nothing to be looked at', async () => {
      fake
        .file('dev/gpt/clawdie-slot', slotWith(await archive(), RELEASE))
        .stub('tar', 'exit 1')
        .stub('reboot');
      fake.stub('mount', 'echo "clawdie/ROOT/default / zfs ro,noatime 0 0"');
      const result = fake.run(INIT);
      expect(result.code).toBe(1);
      expect(result.stdout).toContain('this instance stays closed');
      expect(calls(result).filter((call) => /^(?:fsck|reboot)/.test(call))).toEqual([]);
      expect(fake.remove('tar').run(INIT).code).toBe(0);
    });

    it('that never had an overlay stays closed', () => {
      fake.removeFile('etc/clawdie/applied').file('dev/gpt/clawdie-slot', emptySlot(RELEASE));
      const result = fake.run(INIT);
      expect(result.code).toBe(1);
      expect(result.stdout).toContain('the overlay slot is empty');
    });
  });
});

describe('clawdie_lockdown', () => {
  const SCRIPT = 'overlays/base/etc/rc.d/clawdie_lockdown';
  let fake: FakeRoot;

  beforeEach(async () => {
    fake = (await FakeRoot.make())
      .withRcSubr()
      .stub('kldstat')
      .stub('kldload')
      .stub('sysctl', 'echo 1')
      .stub('pfctl', `case "$*" in "-s info") echo "Status: Enabled for 0 days" ;; *) exit 0 ;; esac`)
      .file('etc/clawdie/applied', 'sum\n')
      .file('etc/pf.conf', '')
      .file('etc/pf-fallback.conf', '');
  });
  const calls = (result: { readonly calls: readonly string[] }): string[] =>
    result.calls.map((call) => call.replaceAll(fake.root, ''));

  it('loads the rules, then enables pf', () => {
    const result = fake.run(SCRIPT, ['start']);
    expect(result).toMatchObject({ code: 0, stderr: '' });
    expect(result.stdout.replaceAll(fake.root, '')).toBe(
      'Firewall up before the network, rules from /etc/pf.conf.\n',
    );
    expect(calls(result)).toEqual([
      'kldstat -q -m pf',
      'pfctl -q -f /etc/pf.conf',
      'pfctl -q -e',
      'pfctl -s info',
    ]);
  });

  it('loads the fallback if the rules do not load', () => {
    fake.stub('pfctl', `case "$*" in *pf.conf) exit 1 ;; "-s info") echo "Status: Enabled" ;; esac`);
    const result = fake.run(SCRIPT, ['start']);
    expect(result.code).toBe(0);
    expect(calls(result)).toContain('pfctl -q -f /etc/pf-fallback.conf');
    expect(result.stderr).toContain('pf.conf does not load');
  });

  it('drops everything if nothing loads, by the default of the kernel or by a rule', () => {
    fake.stub(
      'pfctl',
      `case "$*" in *.conf) exit 1 ;; "-s info") echo "Status: Enabled" ;; "-q -f -") cat >> '${join(fake.root, 'loaded')}' ;; esac`,
    );
    expect(fake.run(SCRIPT, ['start'])).toMatchObject({ code: 0 });
    expect(fake.has('loaded')).toBe(false);
    fake.stub('sysctl', 'echo 0');
    expect(fake.run(SCRIPT, ['start'])).toMatchObject({ code: 0 });
    expect(fake.read('loaded')).toBe('block drop all\n');
  });

  it.each([
    ['no overlay was applied', (root: FakeRoot) => root.file('etc/clawdie/applied', '')],
    [
      'pf is not in the kernel and cannot be loaded',
      (root: FakeRoot) => root.stub('kldstat', 'exit 1').stub('kldload', 'exit 1'),
    ],
    [
      'pf cannot be enabled',
      (root: FakeRoot) => root.stub('pfctl', '[ "$*" != "-s info" ] || echo "Status: Disabled"'),
    ],
    ['no rule can be loaded', (root: FakeRoot) => root.stub('sysctl', 'echo 0').stub('pfctl', 'exit 1')],
  ])('stops the boot if %s', (message, change) => {
    change(fake);
    const result = fake.run(SCRIPT, ['start']);
    expect(result.code).toBe(1);
    expect(result.stdout).toBe('STOP BOOT true\n');
    expect(result.stderr).toContain(message);
  });
});

describe('clawdie_egress', () => {
  const SCRIPT = 'overlays/firstboot/etc/rc.d/clawdie_egress';
  const route = (v4: string, v6: string): string =>
    `case "$*" in *-inet6*) i='${v6}' ;; *) i='${v4}' ;; esac; [ -n "$i" ] || exit 1; printf '   route to: default\\n  interface: %s\\n      flags: <UP>\\n' "$i"`;
  let fake: FakeRoot;

  beforeEach(async () => {
    fake = (await FakeRoot.make())
      .withRcSubr()
      .stub('sleep')
      .stub('route', route('vtnet0', 'vtnet0'))
      .file('etc/clawdie/clawdie.conf', 'EXT_IF=auto\nWAN_IPV6=slaac\n')
      .file('usr/local/libexec/clawdie/cards.sh', '#!/bin/sh\n[ "$*" = list ] && echo vtnet0\n', 0o755);
    group('');
  });
  const group = (members: string): void => {
    fake
      .file('group', members)
      .stub('ifconfig', `case "$*" in "-g egress") cat '${join(fake.root, 'group')}' ;; esac`);
  };
  const changes = (result: { readonly calls: readonly string[] }): string[] =>
    result.calls.filter((call) => call.startsWith('ifconfig') && !call.includes('-g egress'));

  it('puts the interface of the default route into the group', () => {
    const result = fake.run(SCRIPT, ['start']);
    expect(result).toMatchObject({ code: 0, stdout: 'Facing the internet: vtnet0.\n' });
    expect(changes(result)).toEqual(['ifconfig vtnet0 group egress']);
  });

  it('takes both where IPv4 and IPv6 leave by different ones', () => {
    fake.stub('route', route('em0', 'gif0'));
    expect(changes(fake.run(SCRIPT, ['start']))).toEqual([
      'ifconfig em0 group egress',
      'ifconfig gif0 group egress',
    ]);
  });

  it('does not take another card on whose network somebody advertises a router', () => {
    fake
      .stub('route', route('vtnet0', 'vtnet1'))
      .file('usr/local/libexec/clawdie/cards.sh', '#!/bin/sh\nprintf "vtnet0\\nvtnet1\\n"\n', 0o755);
    expect(changes(fake.run(SCRIPT, ['start']))).toEqual(['ifconfig vtnet0 group egress']);
    group('vtnet0\nvtnet1\n');
    expect(changes(fake.run(SCRIPT, ['start']))).toEqual(['ifconfig vtnet1 -group egress']);
    // Where there is no IPv4, that of IPv6 is the only way there is.
    group('');
    fake.stub('route', route('', 'vtnet1'));
    expect(changes(fake.run(SCRIPT, ['start']))).toEqual(['ifconfig vtnet1 group egress']);
  });

  it('changes nothing the second time', () => {
    group('vtnet0\n');
    expect(changes(fake.run(SCRIPT, ['start']))).toEqual([]);
  });

  it('takes out what no longer faces the internet', () => {
    group('em0\n');
    expect(changes(fake.run(SCRIPT, ['start']))).toEqual([
      'ifconfig em0 -group egress',
      'ifconfig vtnet0 group egress',
    ]);
  });

  it('takes the interface that build.cfg names, and asks no routing table', () => {
    fake.file('etc/clawdie/clawdie.conf', 'EXT_IF=igb1\n');
    const result = fake.run(SCRIPT, ['start']);
    expect(changes(result)).toEqual(['ifconfig igb1 group egress']);
    expect(result.calls.some((call) => call.startsWith('route'))).toBe(false);
  });

  describe('where the address comes by DHCP', () => {
    /** A card with a link, whose dhclient runs from its nth start on, and has an address after so many looks. */
    const card = (runsFrom: number, status = 'active', looks = 0): FakeRoot =>
      fake
        .file('etc/clawdie/clawdie.conf', 'EXT_IF=auto\nWAN_IPV4=dhcp\nWAN_IPV6=slaac\n')
        .file('starts', '')
        .stub(
          'ifconfig',
          `case "$*" in *"-l "*) echo "vtnet0 e0a_v1 warden0" ;; -*) ;; *) echo "status: ${status}"
echo >> "$CLAWDIE_TEST_ROOT/looks"
[ "$(wc -l < "$CLAWDIE_TEST_ROOT/looks")" -le ${looks} ] || echo "	inet 203.0.113.7 netmask 0xffffff00" ;; esac`,
        )
        .file('looks', '')
        .stub(
          'service',
          `starts="$CLAWDIE_TEST_ROOT/starts"; case $2 in quietstart) echo start >> "$starts" ;; quietstatus) [ "$(wc -l < "$starts")" -ge ${runsFrom} ] ;; esac`,
        );
    const started = (result: { readonly calls: readonly string[] }): number =>
      result.calls.filter((call) => call === 'service dhclient quietstart vtnet0').length;

    it.each([
      [0, 0],
      [1, 1],
      [3, 3],
      [100, 8],
    ])('starts dhclient again that has ended, until it runs (%i), at most eight times', (from, starts) => {
      const result = card(from).run(SCRIPT, ['start']);
      expect(started(result)).toBe(starts);
      expect(result.calls.filter((call) => /^service dhclient (?!.* vtnet0$)/.test(call))).toEqual([]);
      // IPv6 may be there all the same.
      expect(result.stdout).toContain('Facing the internet: vtnet0.');
    });

    it('waits a little for an answer, which may end dhclient, on each card', () => {
      const waited = (): number =>
        fake.run(SCRIPT, ['ask']).calls.filter((call) => call === 'sleep 1').length;
      card(0, 'active', 3);
      expect(waited()).toBe(2);
      card(0, 'active', 1000);
      expect(waited()).toBe(5);
    });

    it('asks on no card without a link, and never with a static address', () => {
      expect(started(card(100, 'no carrier').run(SCRIPT, ['start']))).toBe(0);
      card(100).file('etc/clawdie/clawdie.conf', 'EXT_IF=auto\nWAN_IPV4=static\nWAN_IPV6=slaac\n');
      expect(started(fake.run(SCRIPT, ['start']))).toBe(0);
    });
  });

  it('waits for a default route, bounded, and then says what to do', () => {
    fake.stub('route', 'exit 1');
    const result = fake.run(SCRIPT, ['start']);
    expect(result.code).toBe(1);
    expect(result.calls.filter((call) => call === 'sleep 1')).toHaveLength(15);
    expect(result.stderr).toContain('no default route: nothing faces the internet');
    expect(changes(result)).toEqual([]);
  });
});

describe('pf_reload', () => {
  const SCRIPT = 'overlays/firstboot/usr/local/etc/rc.d/pf_reload';
  let fake: FakeRoot;

  beforeEach(async () => {
    fake = (await FakeRoot.make())
      .withRcSubr()
      .stub('sleep')
      .stub('ifconfig')
      .stub('pfctl')
      .file('etc/pf.conf', '');
    fake.file('usr/local/bin/tailscaled', '#!/bin/sh\n', 0o755);
  });
  const enabled = { tailscaled_enable: 'YES' };

  it('checks the rules, then loads them', () => {
    const result = fake.run(SCRIPT, ['start'], enabled);
    expect(result).toMatchObject({ code: 0, stdout: 'Firewall rules loaded again.\n' });
    expect(result.calls.map((call) => call.replaceAll(fake.root, ''))).toEqual([
      'ifconfig tailscale0',
      'pfctl -q -n -f /etc/pf.conf',
      'pfctl -q -f /etc/pf.conf',
    ]);
  });

  it('waits for tailscale0, bounded', () => {
    fake.stub('ifconfig', 'exit 1');
    const result = fake.run(SCRIPT, ['start'], enabled);
    expect(result.calls.filter((call) => call === 'sleep 1')).toHaveLength(20);
    expect(result.calls.at(-1)).toMatch(/^pfctl -q -f/);
  });

  it('leaves the rules in force if the new ones do not load', () => {
    fake.stub('pfctl', 'case "$*" in *-n*) exit 1 ;; esac');
    const result = fake.run(SCRIPT, ['start'], enabled);
    expect(result.code).toBe(1);
    expect(result.calls.filter((call) => call.startsWith('pfctl'))).toHaveLength(1);
  });

  it('loads nothing over rules that are on trial: who confirms them has to be let in by them', () => {
    fake.file('sbin/clawdie-trial', '#!/bin/sh\nprintf "state pending\\nkind rules\\n"\n', 0o755);
    const result = fake.run(SCRIPT, ['start'], {
      ...enabled,
      pf_reload_trial: join(fake.root, 'sbin/clawdie-trial'),
    });
    expect(result).toMatchObject({ code: 0, stdout: 'Firewall rules are on trial, and stay in force.\n' });
    expect(result.calls.filter((call) => call.startsWith('pfctl -q -f'))).toEqual([]);
  });

  it('does nothing without Tailscale', () => {
    expect(fake.run(SCRIPT, ['start'])).toMatchObject({ code: 0, calls: [], stdout: '', stderr: '' });
  });
});

describe('an interface that appears, or whose link comes up', () => {
  const SCRIPT = join(MODULES, 'interface-back.sh');
  let fake: FakeRoot;
  const calls = (name: string): readonly string[] => fake.run(SCRIPT, [name]).calls;
  /** Whether hardware brought it, as cards.sh says. */
  const card = (yes: boolean): void => void fake.stub('sysctl', yes ? 'echo x' : 'exit 1');

  beforeEach(async () => {
    fake = (await FakeRoot.make())
      .configure()
      .stub('service')
      .stub('sleep')
      .stub('lockf', 'shift 5; exec "$@"')
      .file('etc/rc.d/x', '')
      .stub(
        'ifconfig',
        'case "$1" in -C) echo "epair tap" ;; -D) echo "\tdrivername: $2" ;; *) echo "em1: flags=8802<BROADCAST>" ;; esac',
      );
    card(true);
  });
  const acts = (name: string): readonly string[] =>
    calls(name).filter((call) => !/^(?:sysctl|ifconfig|lockf|sleep)/.test(call));

  it('gets its address and routes if it is a network card', () => {
    expect(acts('em1')).toEqual(['service netif quietstart em1', 'service routing quietstart']);
    expect(fake.read('var/run/clawdie/cards')).toBe('em1 em1\n');
  });

  it('keeps what it has if it is up, and is nothing if it is gone', () => {
    fake.stub(
      'ifconfig',
      'case "$1" in -C) ;; -D) echo "\tdrivername: $2" ;; *) echo "em1: flags=8843<UP,BROADCAST>" ;; esac',
    );
    // dhclient(8) ends where a link is away for long; it is nobody's where the address is static.
    expect(acts('em1')).toEqual(['service dhclient quietstart em1']);
    fake.stub('ifconfig', 'exit 1');
    expect(fake.run(SCRIPT, ['em1'])).toMatchObject({ code: 0 });
    expect(acts('em1')).toEqual([]);
  });

  it('gets nothing if it is of a jail', () => {
    expect(acts('epair0a')).toEqual([]);
    card(false);
    expect(acts('em1')).toEqual([]);
  });

  it.each(['x}$(touch y)', '../x', '.x', '-x', '--asked', 'a type=RENAME name='])(
    'does not stay under a name that is more than a name, as %s: rc(8) would run it',
    (name) => {
      expect(calls(name)).toEqual([`ifconfig ${name} destroy`]);
    },
  );

  it('has one that is at work do it, however many come: a jail can have devd say so without end', () => {
    fake.stub('lockf', 'exit 75');
    for (let each = 0; each < 3; each++) expect(acts('em1')).toEqual([]);
    expect(readdirSync(join(fake.root, 'var/run/clawdie/interfaces'))).toEqual(['em1']);
    // What came while the one before was about to end is done by whoever looks next.
    fake.stub('lockf', 'shift 5; exec "$@"');
    expect(acts('em2')).toEqual([
      'service netif quietstart em1',
      'service routing quietstart',
      'service netif quietstart em2',
      'service routing quietstart',
    ]);
    expect(readdirSync(join(fake.root, 'var/run/clawdie/interfaces'))).toEqual([]);
  });

  it('is what devd runs, which runs only what the overlay has, and nothing of its own beside it', () => {
    const text = bodyOf(overlayOf(configOf()), 'usr/local/etc/devd/clawdie.conf');
    expect([...text.matchAll(/(\/usr\/local\S+) /g)].map(([, program]) => program)).toEqual([
      '/usr/local/libexec/clawdie/interface-back.sh',
      '/usr/local/libexec/clawdie/tailnet-back.sh',
      '/usr/local/libexec/clawdie/plain-arp',
    ]);
    expect(text).toContain('match "subsystem"\t"clawdie0";');
    for (const [, program = ''] of text.matchAll(/\/usr\/local\/libexec\/clawdie\/(\S+) /g))
      expect(readdirSync(MODULES)).toContain(program);
    // A rule that asks for an address is FreeBSD's at priority 0, for types that a rule of ours has as well.
    expect(text).toMatch(
      /notify 10 \{\n\tmatch "system"\t+"IFNET";\n\tmatch "type"\t+"\(ATTACH\|LINK_UP\)";\n\t# .*\n\tmatch "name"\t+"!\.\+";\n\taction/,
    );
  });
});

describe('clawdie_firstboot', () => {
  const SCRIPT = 'overlays/firstboot/etc/rc.d/clawdie_firstboot';

  it('runs every module in order, goes on after one that fails, and says which', async () => {
    const fake = (await FakeRoot.make()).withRcSubr().file('var/log/x', '');
    for (const name of ['users', 'console', 'env', 'pf', 'jail']) {
      fake.file(
        `usr/local/libexec/clawdie/shell-${name}.sh`,
        `echo "${name} ran"; ${name === 'jail' ? 'exit 1' : 'exit 0'}\n`,
      );
    }
    const result = fake.run(SCRIPT, ['start']);
    expect(result.code).toBe(1);
    expect(result.stderr).toContain('first boot: jail failed; see');
    expect(
      fake
        .read('var/log/clawdie-firstboot.log')
        .split('\n')
        .filter((line) => line.endsWith(' ran')),
    ).toEqual(['users', 'console', 'env', 'pf', 'jail'].map((name) => `${name} ran`));
    expect(statSync(join(fake.root, 'var/log/clawdie-firstboot.log')).mode & 0o777).toBe(0o600);
  });

  it('has every module that it names', () => {
    const named = /modules:="([^"]*)"/.exec(readFileSync(SCRIPT, 'utf8'))?.[1]?.split(' ') ?? [];
    // Those of clawdie_packages, which needs a mirror.
    named.push('packages', 'tailscale');
    expect(named.map((name) => `shell-${name}.sh`).sort()).toEqual(
      readdirSync(MODULES)
        .filter((name) => name.startsWith('shell-'))
        .sort(),
    );
  });
});

describe('clawdie_packages', () => {
  const SCRIPT = 'overlays/firstboot/etc/rc.d/clawdie_packages';
  const MODULES = 'usr/local/libexec/clawdie';
  const LOG = 'var/log/clawdie-firstboot.log';
  const SCRIPTS = 'usr/local/etc/rc.d';
  let fake: FakeRoot;

  beforeEach(async () => {
    fake = (await FakeRoot.make())
      .withRcSubr()
      .stub('daemon')
      .stub('logger')
      .stub('lockf', 'shift 2; exec "$@"')
      .stub('rcorder', 'shift 4; ls -r "$@"')
      .file(LOG, '')
      .file(`${SCRIPTS}/pf_reload`, '', 0o755)
      .file('var/run/x', '')
      .file(`${MODULES}/shell-tailscale.sh`, '[ "${1-}" != --pending ] || exit 1\necho tailscale ran\n')
      .file(`${MODULES}/shell-packages.sh`, 'echo "packages $*"\n');
  });

  it('goes on in the background, and only where something is missing', () => {
    const start = fake.run(SCRIPT, ['start']);
    expect(start.code).toBe(0);
    expect(start.calls).toEqual(['daemon -f /usr/sbin/service clawdie_packages install']);
    fake.file(`${MODULES}/shell-packages.sh`, '[ "$1" != --missing ]\n');
    expect(fake.run(SCRIPT, ['start'])).toMatchObject({ code: 0, stdout: '', calls: [] });
    // They came with the disk, and the key with the overlay.
    fake.file(`${MODULES}/shell-tailscale.sh`, '[ "$1" = --pending ]\n');
    expect(fake.run(SCRIPT, ['start']).calls).toEqual([
      'daemon -f /usr/sbin/service clawdie_packages install',
    ]);
  });

  it('starts what came with the packages, in the order of rc(8), and what was there before does not', () => {
    fake.run(SCRIPT, ['start']);
    const bring = (name: string): string =>
      `: > '${join(fake.root, SCRIPTS)}/${name}'; chmod 755 '${join(fake.root, SCRIPTS)}/${name}'; `;
    fake.file(`${MODULES}/shell-packages.sh`, `${['ticker', 'greeter', 'bastille'].map(bring).join('')}\n`);
    const started = ({ calls }: ScriptResult): readonly string[] =>
      calls.filter((call) => call.includes('does not start')).map((call) => call.split(' ')[5] ?? '');
    // There is no service(8) here: each that is started is told.
    expect(started(fake.run(SCRIPT, ['install']))).toEqual([
      'ticker',
      'greeter',
      'clawdie_web',
      'clawdie_glasspane',
      'clawdie_jails',
    ]);
    // Once.
    expect(started(fake.run(SCRIPT, ['install']))).not.toContain('ticker');
    fake.file(`${MODULES}/shell-packages.sh`, `${bring('late')} exit 1\n`);
    expect(started(fake.run(SCRIPT, ['install']))).toEqual([]);
  });

  it('are what jails wait for that have no Bastille yet, where it is to come', () => {
    const JAILS = 'overlays/firstboot/etc/rc.d/clawdie_jails';
    fake.file('etc/clawdie/jails', 'worker natasha plain 192.168.100.10 none\n');
    expect(fake.run(JAILS, ['start'])).toMatchObject({
      ...{ code: 0, stderr: '', calls: [] },
      stdout: 'Jails of the deployment are made once its packages are there (clawdie_packages).\n',
    });
    fake.file(`${MODULES}/shell-packages.sh`, 'exit 1\n');
    expect(fake.run(JAILS, ['start']).stderr).toContain('bastille is not installed');
    fake.file('usr/local/bin/bastille', '', 0o755);
    expect(fake.run(JAILS, ['start']).calls).toEqual(['daemon -f /usr/sbin/service clawdie_jails make']);
  });

  it('joins the tailnet once the packages are there, Tailscale among them; where they fail as well', () => {
    fake.run(SCRIPT, ['install']);
    expect(fake.read(LOG)).toMatch(/^packages \ntailscale ran\n/);
    fake.file(`${MODULES}/shell-packages.sh`, 'exit 1\n').file(LOG, '');
    const failed = fake.run(SCRIPT, ['install']);
    expect(failed.code).toBe(1);
    expect(fake.read(LOG)).toBe('tailscale ran\n');
    expect(failed.calls.join('\n')).toContain('packages failed; see');
  });
});

describe('modules of the first boot', () => {
  let fake: FakeRoot;
  const configure = (values: Readonly<Record<string, string>> = {}): void => void fake.configure(values);
  const run = (name: string) => fake.run(join(MODULES, `shell-${name}.sh`));

  beforeEach(async () => {
    fake = await FakeRoot.make();
    configure();
  });

  it('env: writes what the runtime looks up; the bridge is warden0 whatever the assistant is called', () => {
    expect(run('env')).toMatchObject({
      code: 0,
      stdout: 'shell-env.sh: wrote /etc/clawdie/warden.env\n',
      stderr: '',
    });
    expect(fake.read('etc/clawdie/warden.env')).toBe(
      [
        '# Written by shell-env.sh from /etc/clawdie/clawdie.conf.',
        "WARDEN_NAME='natasha'",
        "WARDEN_BRIDGE='warden0'",
        "WARDEN_NET='192.168.100.0/24'",
        "WARDEN_GATEWAY='192.168.100.1'",
        "WARDEN1_NAME='igor'",
        "WARDEN1_BRIDGE='warden1'",
        "WARDEN1_NET='192.168.101.0/24'",
        "WARDEN1_GATEWAY='192.168.101.1'",
        'WARDEN_TENANTS=2',
        "WARDEN_LOOPBACK='natasha0'",
        "ASSISTANT_NAME='natasha'",
        '',
      ].join('\n'),
    );
    expect(run('env')).toMatchObject({ code: 0, stdout: '' });
  });

  describe('users', () => {
    beforeEach(() => {
      fake
        .stub('id', 'echo 1001')
        .stub('chown')
        .stub('ssh-keygen', 'for last; do :; done; touch "$last" "$last.pub"');
    });

    it('sets the hash through a file descriptor, once, and forgets it', () => {
      fake
        .stub('pw', `[ "$1" != usermod ] || cat > '${join(fake.root, 'got')}'`)
        .file('var/db/clawdie/root.hash', '$6$salt$hash\n', 0o600);
      const result = run('users');
      expect(result.code).toBe(0);
      expect(result.calls).toContain('pw usermod -n root -H 0');
      expect(fake.read('got')).toBe('$6$salt$hash\n');
      expect(fake.has('var/db/clawdie/root.hash')).toBe(false);
      expect(run('users').calls.filter((call) => call.startsWith('pw usermod'))).toEqual([]);
    });

    it('keeps the hash if it cannot be set', () => {
      fake.stub('pw', 'exit 1').file('var/db/clawdie/root.hash', 'hash\n');
      expect(run('users').code).not.toBe(0);
      expect(fake.has('var/db/clawdie/root.hash')).toBe(true);
    });
  });

  it.each([
    ['serial', 'on', 'off'],
    ['video', 'off', 'on'],
    ['both', 'on', 'on'],
  ])('console: %s', (mode, serial, video) => {
    configure({ CONSOLE: mode });
    fake.file(
      'etc/ttys',
      '# comment\nconsole none\t\t\t\tunknown\toff secure\nttyv0\t"/usr/libexec/getty Pc"\t\txterm\tonifexists secure\nttyv1\t"/usr/libexec/getty Pc"\t\txterm\tonifexists secure\nttyu0\t"/usr/libexec/getty 3wire"\tvt100\tonifconsole secure\nttyu1\t"/usr/libexec/getty 3wire"\tvt100\tonifconsole secure\n',
    );
    expect(run('console').code).toBe(0);
    expect(fake.read('etc/ttys')).toBe(
      `# comment\nconsole none\t\t\t\tunknown\toff secure\nttyv0\t"/usr/libexec/getty Pc"\t\txterm\t${video} secure\nttyv1\t"/usr/libexec/getty Pc"\t\txterm\toff secure\nttyu0\t"/usr/libexec/getty 3wire"\tvt100\t${serial} secure\nttyu1\t"/usr/libexec/getty 3wire"\tvt100\tonifconsole secure\n`,
    );
    expect(run('console')).toMatchObject({ code: 0, stdout: '' });
  });

  it('pf: checks the rules, loads them, and sees that pf is on', () => {
    fake
      .stub('route', 'echo "  interface: vtnet0"')
      .stub('pfctl', '[ "$*" != "-s info" ] || echo "Status: Enabled for 1"')
      .file('etc/pf.conf', '');
    const result = run('pf');
    expect(result).toMatchObject({
      code: 0,
      stdout: 'shell-pf.sh: the internet is at vtnet0\nshell-pf.sh: pf is enabled\n',
    });
    expect(result.calls.map((call) => call.replaceAll(fake.root, ''))).toEqual([
      'route -n get default',
      'pfctl -q -n -f /etc/pf.conf',
      'pfctl -q -f /etc/pf.conf',
      'pfctl -s info',
      'pfctl -s info',
    ]);
  });

  it('pf: leaves the rules in force if pf.conf does not load', () => {
    fake.stub('route', 'exit 1').stub('pfctl', 'case "$*" in *-n*) exit 1 ;; esac');
    const result = run('pf');
    expect(result.code).toBe(1);
    expect(result.calls.filter((call) => call.startsWith('pfctl'))).toHaveLength(1);
  });

  it('jail: makes the folders of Bastille, closed to others', () => {
    fake.stub('mount', 'echo "/dev/gpt/clawdie-root / ufs rw 1 1"').stub('zfs');
    const result = run('jail');
    expect(result).toMatchObject({ code: 0, stdout: '' });
    expect(result.calls.some((call) => call.startsWith('zfs'))).toBe(false);
    expect(statSync(join(fake.root, 'usr/local/bastille')).mode & 0o777).toBe(0o750);
    for (const name of ['jails', 'releases', 'templates'])
      expect(fake.has(`usr/local/bastille/${name}`)).toBe(true);
  });

  it('jail: makes the dataset of jails on the pool of an installed instance, once', () => {
    fake
      .file('etc/clawdie/installed', '')
      .stub('mount', 'echo "clawdie/ROOT/default / zfs rw 0 0"')
      .stub(
        'zfs',
        `[ "$1" != list ] || [ -e '${fake.root}/made' ] || exit 1; [ "$5" != clawdie/bastille/jails ] || : > '${fake.root}/made'`,
      );
    expect(run('jail').calls.filter((call) => call.startsWith('zfs create'))).toEqual([
      'zfs create -o mountpoint=none clawdie/bastille',
      `zfs create -o mountpoint=${fake.root}/usr/local/bastille/jails clawdie/bastille/jails`,
    ]);
  });

  describe('the key of the tailnet', () => {
    const INIT = 'overlays/base/sbin/clawdie-init';
    const KEY = 'tskey-auth-secret\n';
    const entry = (path: string, body: string): OverlayEntry => ({
      path,
      type: 'file',
      uid: 0,
      gid: 0,
      mode: 0o600,
      body,
    });
    const entries = [
      { path: 'etc', type: 'dir', uid: 0, gid: 0, mode: 0o755, body: '' } as const,
      // What looks like the key's place in an archive, and is none.
      entry('etc/decoy', './var/db/clawdie/tailscale.key\0'.padEnd(1024, '\0')),
      entry('etc/pf.conf', 'rules\n'),
      entry('etc/link', 'x'.repeat(1500)),
      entry('var/db/clawdie/tailscale.key', KEY),
      entry('var/db/zoneinfo', 'UTC\n'),
    ];
    const slotNow = (): Buffer => readFileSync(join(fake.root, slotPath));
    let slotPath: string;

    /** An instance whose overlay was applied, and its other parts: on a disk, or from memory. */
    const prepare = async (installed: boolean): Promise<Buffer> => {
      slotPath = installed ? 'dev/gpt/clawdie-slot' : 'dev/md1';
      const slot = Buffer.concat(
        [filledSlot(await packOverlay(entries, 0), '15.1-RELEASE-amd64')],
        SLOT_SIZE,
      );
      configure({ TAILSCALE: 'host' });
      for (const name of ['mount', 'fsck', 'fsync', 'sync', 'sysctl', 'kenv', 'pw', 'tailscale', 'service'])
        fake.stub(name);
      fake
        .stub('hostname', 'echo agent')
        .stub('sha256', `sha256sum | cut -d ' ' -f 1`)
        .file('etc/clawdie/release', '15.1-RELEASE-amd64\n')
        .file('dev/md0', 'a root file system')
        .file(slotPath, slot);
      if (installed) fake.file('etc/clawdie/installed', '');
      expect(fake.run(INIT)).toMatchObject({ code: 0 });
      expect(fake.read('var/db/clawdie/tailscale.key')).toBe(KEY);
      return slot;
    };
    const applied = (): string => fake.read('etc/clawdie/applied').trim();
    const sumOf = (slot: Buffer): string => createHash('sha256').update(archiveIn(slot)).digest('hex');

    it.each([
      ['installed', true],
      ['live', false],
    ])('is used once and then gone, from the slot as well (%s)', async (_, installed) => {
      const before = await prepare(installed);
      expect(run('tailscale').code).toBe(0);
      const after = slotNow();
      expect(after.includes('tskey')).toBe(false);
      expect(fake.has('var/db/clawdie/tailscale.key')).toBe(false);
      // Nothing else has changed, and the slot is as good as before.
      expect(sumOf(after)).toBe(headerOf(after, 'sha256'));
      expect(applied()).toBe(headerOf(after, 'sha256'));
      const place = before.indexOf(KEY);
      const expected = Buffer.from(before);
      expected.fill('#', place, place + KEY.length);
      after.copy(expected, 0, 0, 512);
      expect(after.equals(expected)).toBe(true);
      if (installed) expect(fake.run(INIT).stdout).toMatch(/overlay [0-9a-f]{64} stands/);
      // Who made it knows it by the sum of before.
      expect(fake.read('var/db/clawdie/overlay.came')).toBe(`${sumOf(after)} ${sumOf(before)}\n`);
    });

    it('leaves no instance with other rules than it had, wherever the power fails', async () => {
      for (const survives of [0, 1, 2, 3]) {
        const before = await prepare(true);
        fake.file('etc/pf.conf', 'rules that were confirmed\n');
        fake.file('writes', '');
        // Of the writes (contents, applied, header) so many; the module ends there.
        fake.stub(
          'dd',
          `case "$*" in *"of="*) echo . >> "$CLAWDIE_ROOT/writes"; [ "$(wc -l < "$CLAWDIE_ROOT/writes")" -le ${survives} ] || { cat > /dev/null; kill -KILL $PPID; exit 1; } ;; esac; exec /bin/dd "$@"`,
        );
        run('tailscale');
        fake.remove('dd');
        expect(fake.run(INIT).stdout).toMatch(/overlay [0-9a-f]{64} stands/);
        expect(fake.read('etc/pf.conf')).toBe('rules that were confirmed\n');
        // The next run does what is left.
        expect(run('tailscale').code).toBe(0);
        expect(slotNow().includes('tskey')).toBe(false);
        expect(fake.run(INIT).stdout).toBe(`clawdie-init: overlay ${sumOf(slotNow())} stands.\n`);
        expect(fake.read('var/db/clawdie/overlay.came')).toBe(`${sumOf(slotNow())} ${sumOf(before)}\n`);
        expect(fake.has('var/db/clawdie/tailscale.key')).toBe(false);
      }
    });

    it('of an overlay that waits for the next boot is left alone', async () => {
      await prepare(true);
      const other = Buffer.concat(
        [filledSlot(await packOverlay([...entries, entry('etc/z', 'new')], 0), '15.1-RELEASE-amd64')],
        SLOT_SIZE,
      );
      fake.file(slotPath, other);
      expect(run('tailscale').code).toBe(0);
      expect(slotNow().equals(other)).toBe(true);
      expect(fake.has('var/db/clawdie/tailscale.key')).toBe(false);
    });

    it('that was overwritten is none', async () => {
      await prepare(true);
      run('tailscale');
      fake.removeFile('etc/clawdie/applied');
      expect(fake.run(INIT)).toMatchObject({ code: 0 });
      expect(fake.read('var/db/clawdie/tailscale.key')).toMatch(/^#+$/);
      const result = run('tailscale');
      expect(result.stdout).toContain('there is no auth key');
      expect(result.calls.some((call) => call.startsWith('tailscale up'))).toBe(false);
    });

    it('is forgotten all the same where the slot cannot be written, and that is said', async () => {
      await prepare(true);
      fake.stub('dd', 'case "$*" in *of=*clawdie-slot*) exit 1 ;; esac; exec /bin/dd "$@"');
      const result = run('tailscale');
      expect(result.code).not.toBe(0);
      expect(result.stdout).toContain('it is still there');
      expect(fake.has('var/db/clawdie/tailscale.key')).toBe(false);
    });
  });

  it('tailscale: off does nothing; otherwise the key is read from its file, never from the command line', () => {
    expect(run('tailscale')).toMatchObject({ code: 0, calls: [] });
    configure({ TAILSCALE: 'subnet' });
    expect(run('tailscale')).toMatchObject({
      code: 0,
      stdout: 'shell-tailscale.sh: tailscale is not installed; put it into PACKAGES\n',
    });
    fake
      .stub('tailscale')
      .stub('service')
      .stub('hostname', 'echo agent')
      .file('etc/clawdie/applied', 'sum\n')
      .file('var/db/clawdie/tailscale.key', 'tskey-auth-secret\n', 0o600);
    const result = run('tailscale');
    expect(result.code).toBe(0);
    expect(result.calls.find((call) => call.startsWith('tailscale'))?.replaceAll(fake.root, '')).toBe(
      'tailscale up --hostname=agent --authkey=file:/var/db/clawdie/tailscale.key --timeout=60s --advertise-routes=192.168.100.0/24',
    );
    expect(result.calls.join('\n') + result.stdout).not.toContain('tskey');
    expect(fake.has('var/db/clawdie/tailscale.key')).toBe(false);
  });

  it('tailscale: keeps the key if it could not join', () => {
    configure({ TAILSCALE: 'host' });
    fake
      .stub('tailscale', 'exit 1')
      .stub('service')
      .stub('hostname', 'echo agent')
      .file('var/db/clawdie/tailscale.key', 'key\n');
    expect(run('tailscale').code).not.toBe(0);
    expect(fake.has('var/db/clawdie/tailscale.key')).toBe(true);
  });

  it('packages: installs what is missing, bounded in time', () => {
    configure({ PACKAGES: "'bastille node22'" });
    fake
      .stub('pkg', 'case "$*" in *"-e bastille") exit 0 ;; *"-e "*) exit 1 ;; esac')
      .stub('timeout', 'shift; "$@"');
    const result = run('packages');
    expect(result.code).toBe(0);
    expect(result.calls).toEqual([
      'pkg -N info -e bastille',
      'pkg -N info -e node22',
      'timeout 900 pkg install -y node22',
      'pkg install -y node22',
    ]);
    configure();
    expect(run('packages')).toMatchObject({ code: 0, calls: [] });
  });
});
