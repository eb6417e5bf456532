import { existsSync, mkdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { configOf } from '../helpers/config.js';
import { overlayOf } from '../helpers/deployment.js';
import { rootFileOf } from '../helpers/pool.js';
import type { RootChange } from '../helpers/pool.js';
import { cutAtEach, settle } from '../helpers/power.js';
import { RootsInstance, rootsTree } from '../helpers/roots.js';
import type { ScriptResult } from '../helpers/shell.js';
import { makeKey, signedSlot } from '../helpers/signing.js';
import type { KeyPair } from '../helpers/signing.js';
import { tmp } from '../helpers/tmp.js';

const UPDATE = 'overlays/firstboot/usr/local/sbin/clawdie-update';
const TRIAL = 'overlays/base/sbin/clawdie-trial';
const ENVIRONMENT = 'overlays/base/sbin/clawdie-environment';
const LOGIN = { SSH_CONNECTION: '198.51.100.20 40001 203.0.113.10 22' };
const OLD = '15.1-RELEASE-p1';
const NEW = '15.1-RELEASE-p2';

/** FreeBSD's tar(1), whose mtree(5) says what of a root is its release's. */
const BSDTAR = process.platform === 'freebsd' || existsSync('/usr/bin/bsdtar');

let instance: RootsInstance;
let ours: KeyPair;

const newRoot = (version = NEW, change: RootChange = {}): Promise<Buffer> =>
  rootFileOf(rootsTree(version), { key: ours, ...change });
const update = (...args: readonly string[]): ScriptResult => instance.fake.run(UPDATE, args, LOGIN);
const offer = (bytes: Buffer): ScriptResult => {
  writeFileSync(join(instance.fake.root, '../new.root'), bytes);
  return update('release', join(instance.fake.root, '../new.root'));
};
const says = (name: string): string | undefined =>
  new RegExp(`^${name.replace('.', '\\.')} (.*)$`, 'm').exec(
    instance.fake.run(TRIAL, ['status']).stdout,
  )?.[1];
const waits = (): boolean => instance.fake.run(TRIAL, ['waits']).code === 0;
/** Which root runs, and whether it is whole, has its overlay, and boots again. */
const runs = (): unknown => ({
  version: /"(.*)"/.exec(instance.fake.read('bin/freebsd-version'))?.[1],
  root: instance.running,
  boots: instance.fake.run(ENVIRONMENT, ['boots', instance.running]).code === 0,
  overlay: instance.fake.has('etc/clawdie/applied') && instance.fake.has('etc/pf.conf'),
  own: instance.fake.has('root/own') && instance.fake.read('root/own'),
  data: instance.fake.read('data/home/igor/own'),
  waits: waits(),
});
const WHOLE = { boots: true, overlay: true, own: 'of the operator', data: 'of igor', waits: false };
const OLD_RUNS = { ...WHOLE, version: OLD, root: 'a' };

/** Confirms what is on trial as clawdie-update does. */
const confirm = (): void => {
  for (const words of [['login'], ['keep'], ['end']])
    expect(instance.fake.run(TRIAL, words, LOGIN)).toMatchObject({ code: 0 });
};

describe.skipIf(!BSDTAR)('clawdie-update release, with two roots', () => {
  beforeEach(async () => {
    ours = makeKey(await tmp(), 'ours');
    instance = await RootsInstance.make(OLD);
    const entries = overlayOf(configOf({ ASSISTANT_NAME: 'natasha' }), { signKey: ours.line });
    instance.fake.file(
      'dev/gpt/clawdie-slot',
      await signedSlot(entries, { deployment: 'natasha', serial: 10 }, ours),
    );
    expect(instance.boot()).toMatchObject({ code: 0, stderr: '' });
    instance.fake.file('root/own', 'of the operator');
  });

  it('fills the other root with the new one and with what is somebody’s own; it boots once', async () => {
    const odd = 'srv/a name\twith "quotes", $(touch it)\nand lines\\n -rf @x é';
    mkdirSync(join(instance.fake.root, 'srv'));
    writeFileSync(join(instance.fake.root, odd), 'odd');
    instance.fake
      .file('etc/crontab', 'changed here\n')
      .file('etc/ssh/ssh_host_ed25519_key', 'a host key', 0o600)
      .file('usr/local/bin/tmux', 'a package', 0o755)
      .file('usr/bin/own-program', 'x', 0o755)
      .file('boot/modules/own.ko', 'x')
      .file('boot/device.hints', 'changed here')
      .file('bin/sh', 'a program of the release, patched here', 0o755);
    const result = offer(await newRoot());
    expect(result.code).toBe(0);
    expect(result.stdout).toContain(`FreeBSD ${OLD} becomes ${NEW}; `);
    expect(result.stdout).toContain(
      'stay behind, in a:\n    /boot/device.hints\n    /boot/modules/own.ko\n    /usr/bin/own-program\nThe instance',
    );
    expect(instance.attributes).toEqual({ a: ['bootme'], b: ['bootme', 'bootonce'] });
    // All of it is on the disk before the loader may take it.
    const steps = result.calls.filter((call) => /^mount -u|^gpart set/.test(call));
    expect(steps).toEqual([
      expect.stringMatching(/^mount -u -o ro \S*\/new$/),
      expect.stringMatching(/^gpart set -a bootonce /),
    ]);
    const read = (path: string): string => readFileSync(join(instance.disk, 'b', path), 'utf8');
    expect(read('bin/sh')).toBe(`sh of ${NEW}`);
    expect(read('boot/kernel/kernel')).toBe('a kernel');
    expect(read('etc/fstab')).toMatch(/^\/dev\/gpt\/clawdie-root-b\t\/\tufs/m);
    expect(read('etc/fstab')).not.toMatch(/^\/dev\/gpt\/clawdie-root\t/m);
    expect(read('boot/loader.conf.local')).toBe('vfs.root.mountfrom="ufs:/dev/gpt/clawdie-root-b"\n');
    expect(read('boot/lua/local.lua')).toContain('loader.perform("reboot")');
    expect(read('etc/crontab')).toBe('changed here\n');
    expect(read('etc/ssh/ssh_host_ed25519_key')).toBe('a host key');
    expect(statSync(join(instance.disk, 'b/etc/ssh/ssh_host_ed25519_key')).mode & 0o777).toBe(0o600);
    expect(read('usr/local/bin/tmux')).toBe('a package');
    expect(read(odd)).toBe('odd');
    for (const path of ['data/home', 'etc/pf.conf', 'etc/clawdie/applied', 'usr/bin/own-program'])
      expect([path, existsSync(join(instance.disk, 'b', path))]).toEqual([path, false]);
    // Where file systems of both are mounted.
    for (const path of ['data', 'home'])
      expect([path, existsSync(join(instance.disk, 'b', path))]).toEqual([path, true]);
    expect(runs()).toMatchObject({ version: OLD, root: 'a', waits: true });
  });

  it('stays once it is confirmed, and the next one takes the place of the one before', async () => {
    const bytes = await newRoot();
    offer(bytes);
    const booted = instance.boot();
    expect(booted.stdout).toContain('a release is on trial');
    expect(runs()).toMatchObject({ version: NEW, root: 'b', boots: false, waits: true });
    confirm();
    expect(instance.attributes).toEqual({ a: [], b: ['bootme'] });
    expect(runs()).toEqual({ ...WHOLE, version: NEW, root: 'b' });
    expect(instance.fake.has('boot/lua/local.lua')).toBe(false);
    instance.boot();
    expect(runs()).toEqual({ ...WHOLE, version: NEW, root: 'b' });
    expect(update('status').stdout).toContain(`FreeBSD ${NEW}, in the root b.`);
    expect(offer(bytes)).toMatchObject({ code: 3, stdout: 'It is in force already.\n' });
    instance.fake.file('etc/crontab', 'changed in b\n');
    expect(offer(await newRoot('15.1-RELEASE-p3', { serial: 21 }))).toMatchObject({ code: 0, stderr: '' });
    instance.boot();
    confirm();
    expect(instance.attributes).toEqual({ a: ['bootme'], b: [] });
    expect(runs()).toEqual({ ...WHOLE, version: '15.1-RELEASE-p3', root: 'a' });
    expect(instance.fake.read('etc/crontab')).toBe('changed in b\n');
    expect(instance.fake.read('etc/fstab')).toMatch(/^\/dev\/gpt\/clawdie-root\t\/\tufs/m);
  });

  it('gives way to the one before with any restart, and with one of the loader, and says why', async () => {
    const bytes = await newRoot();
    offer(bytes);
    // The loader of the new one found no kernel.
    expect(instance.load()).toBe('b');
    const back = instance.boot();
    expect(back.stdout).toContain(
      'the release on trial is taken back: it did not boot, or was restarted before it was confirmed.',
    );
    expect(runs()).toEqual(OLD_RUNS);
    expect(instance.attributes).toEqual({ a: ['bootme'], b: [] });
    expect(offer(bytes).code).toBe(0);
    instance.boot();
    const token = /^token (.*)$/m.exec(instance.fake.read('var/db/clawdie/trial/pending'))?.[1] ?? '';
    instance.fake.stub('sockstat', 'echo "root sshd 7 4 tcp4 203.0.113.10:22"');
    expect(instance.fake.run(TRIAL, ['watch', token]).calls).toContain('shutdown -r now');
    instance.boot();
    expect(says('last.why')).toBe('nobody has logged in to confirm it within 60 s');
    expect(runs()).toEqual(OLD_RUNS);
    // Taken back before its boot: nothing was booted, and nothing will.
    expect(offer(bytes).code).toBe(0);
    expect(update('back').code).toBe(0);
    expect(instance.attributes).toEqual({ a: ['bootme'], b: [] });
    instance.boot();
    expect(runs()).toEqual(OLD_RUNS);
  });

  it('says so where the table cannot be told that the new one is taken back, and it is with the second restart', async () => {
    expect(offer(await newRoot()).code).toBe(0);
    const gpart = readFileSync(join(instance.fake.bin, 'gpart'), 'utf8');
    instance.fake.stub('gpart', `[ "$1" != unset ] || exit 1\n${gpart}`);
    const result = update('back');
    expect(result.code).toBe(1);
    expect(result.stdout).toContain('nothing keeps the new one from its next boot: do not confirm it');
    writeFileSync(join(instance.fake.bin, 'gpart'), gpart);
    instance.boot();
    expect(runs()).toMatchObject({ version: NEW, root: 'b', boots: false, waits: true });
    instance.boot();
    expect(runs()).toEqual(OLD_RUNS);
    expect(says('last.result')).toBe('back');
  });

  it('gives way to the one before where its root is full, and says why all the same', async () => {
    const bytes = await newRoot();
    expect(offer(bytes).code).toBe(0);
    // Not even that its boot has begun can be noted.
    instance.fake.stub(
      'mv',
      `case "$(cat '${instance.disk}/.running') $*" in b*/pending.new\\ *) exit 1 ;; esac\nexec /bin/mv "$@"`,
    );
    expect(instance.boot().calls).toContain('reboot -q');
    instance.boot();
    expect(runs()).toEqual(OLD_RUNS);
    instance.fake.stub('mv', 'exec /bin/mv "$@"');
    expect(offer(bytes).code).toBe(0);
    instance.boot();
    const token = /^token (.*)$/m.exec(instance.fake.read('var/db/clawdie/trial/pending'))?.[1] ?? '';
    // What cannot be written here is told the other root.
    symlinkSync('/nonexistent/why', join(instance.fake.root, 'var/db/clawdie/trial/why'));
    instance.fake.stub('sockstat', 'echo "root sshd 7 4 tcp4 203.0.113.10:22"');
    instance.fake.run(TRIAL, ['watch', token]);
    instance.boot();
    expect(says('last.why')).toBe('nobody has logged in to confirm it within 60 s');
    expect(runs()).toEqual(OLD_RUNS);
  });

  it('gives way to the one before where its boot stops before anything is mounted, and says why all the same', async () => {
    expect(offer(await newRoot()).code).toBe(0);
    expect(instance.init().stdout).toContain('clawdie-init: overlay');
    const trial = join(instance.fake.root, 'var/db/clawdie/trial');
    const token = /^token (.*)$/m.exec(readFileSync(join(trial, 'pending'), 'utf8'))?.[1] ?? '';
    // Its root takes nothing either.
    symlinkSync('/nonexistent/why', join(trial, 'why'));
    expect(instance.fake.run(TRIAL, ['deadman', token]).calls).toContain('reboot -q');
    expect(existsSync(join(instance.disk, '.mounted'))).toBe(false);
    instance.boot();
    expect(says('last.why')).toBe('its boot did not come to an end within 480 s');
    expect(runs()).toEqual(OLD_RUNS);
  });

  it('changes nothing where it cannot be made', async () => {
    const bytes = await newRoot();
    const refused = (why: string): void => {
      const result = offer(bytes);
      expect([why, result.code, result.stderr]).toEqual([why, 1, expect.stringContaining(why)]);
      expect([why, instance.attributes]).toEqual([why, { a: ['bootme'], b: [] }]);
      expect([why, runs()]).toEqual([why, OLD_RUNS]);
    };
    for (const [name, body, why] of [
      ['diskinfo', 'echo "$1 512 1000000"', 'the root b has 0 MB, and this takes'],
      ['df', 'echo head; echo "/dev/gpt/x 4000000 100000 0 3% /"', '/data has 0 MB, and this takes'],
      ['newfs', 'exit 1', 'the root b cannot be made. The root b, which did not run, is empty'],
      ['mdconfig', 'exit 1', 'its root cannot be unpacked'],
      ['certctl', 'exit 1', 'what is of this instance cannot be brought along'],
    ] as const) {
      const old = readFileSync(join(instance.fake.bin, name), 'utf8');
      instance.fake.stub(name, body);
      refused(why);
      writeFileSync(join(instance.fake.bin, name), old);
    }
    instance.fake.removeFile('var/db/clawdie/base.mtree.gz');
    refused('was installed by an older image');
    instance.fake.removeFile('dev/gpt/clawdie-root-b');
    expect(offer(bytes).stderr).toContain('clawdie-state export');
  });

  it('takes the roots of no second disk for its own', () => {
    const table = instance.fake.run('overlays/base/sbin/clawdie-environment', ['list']);
    expect(table).toMatchObject({ code: 0, stdout: 'a\nb\n' });
    const gpart = readFileSync(join(instance.fake.bin, 'gpart'), 'utf8');
    instance.fake.stub(
      'gpart',
      `(\n${gpart}\n)\necho "=> 40 9 vtbd1 GPT (8G)"; echo "  100 200 5 clawdie-root [bootme] (2G)"`,
    );
    for (const words of [['once', 'b'], ['keep', 'b'], ['never'], ['boots', 'a']])
      expect([words, instance.fake.run(ENVIRONMENT, words).code]).toEqual([words, 1]);
    expect(instance.attributes).toEqual({ a: ['bootme'], b: [] });
  });

  it('is told by the table where the root takes no file', () => {
    rmSync(join(instance.fake.root, 'var/db/clawdie'), { recursive: true });
    instance.fake.file('var/db/clawdie', '');
    expect(instance.fake.run(ENVIRONMENT, ['once', 'b']).code).toBe(0);
    expect(instance.attributes).toEqual({ a: ['bootme'], b: ['bootme', 'bootonce'] });
    expect(instance.fake.run(ENVIRONMENT, ['never']).code).toBe(0);
    expect(instance.attributes).toEqual({ a: ['bootme'], b: [] });
  });

  describe('a power cut', () => {
    const PROGRAMS = ['gpart', 'newfs'];
    const wake = (): void => {
      settle(() => instance.boot(), waits);
    };

    it('at every moment while it is made and tried ends with the one before, whole', async () => {
      const bytes = await newRoot();
      const n = cutAtEach(
        instance,
        PROGRAMS,
        7,
        () => offer(bytes),
        (n) => {
          wake();
          expect([n, runs()]).toEqual([n, OLD_RUNS]);
        },
      );
      expect(n).toBeGreaterThan(30);
    }, 900_000);

    it('at every moment of its boot ends with the one before, whole', async () => {
      offer(await newRoot());
      const n = cutAtEach(
        instance,
        PROGRAMS,
        3,
        () => instance.boot(),
        (n) => {
          wake();
          expect([n, runs()]).toEqual([n, OLD_RUNS]);
        },
      );
      expect(n).toBeGreaterThan(12);
    }, 900_000);

    it('at every moment of taking back one that waits for its boot in the first root leaves that of before', async () => {
      offer(await newRoot());
      instance.boot();
      confirm();
      expect(offer(await newRoot('15.1-RELEASE-p3', { serial: 21 })).code).toBe(0);
      expect(instance.attributes).toEqual({ a: ['bootme', 'bootonce'], b: ['bootme'] });
      cutAtEach(
        instance,
        PROGRAMS,
        1,
        () => instance.fake.run(TRIAL, ['back']),
        (n) => {
          wake();
          expect([n, runs()]).toEqual([n, { ...WHOLE, version: NEW, root: 'b' }]);
          expect([n, says('last.result')]).toEqual([n, 'back']);
        },
      );
    }, 900_000);

    it('at every moment of the confirmation ends with one of the two, whole, and says which', async () => {
      offer(await newRoot());
      instance.boot();
      instance.fake.run(TRIAL, ['login'], LOGIN);
      const seen = new Set<string>();
      cutAtEach(
        instance,
        PROGRAMS,
        1,
        () => instance.fake.run(TRIAL, ['keep']),
        (n) => {
          wake();
          const { version } = runs() as Record<string, string>;
          expect([n, runs()]).toEqual([n, { ...WHOLE, version, root: version === NEW ? 'b' : 'a' }]);
          expect([n, version, says('last.result')]).toEqual([n, version, version === NEW ? 'kept' : 'back']);
          seen.add(version ?? '');
        },
      );
      expect([...seen].sort()).toEqual([OLD, NEW]);
    }, 900_000);
  });
});
