import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { IMAGE_NAMESPACE, SLOT_NAMESPACE } from '../../build/overlay/signers.js';
import { configOf } from '../helpers/config.js';
import { overlayOf } from '../helpers/deployment.js';
import { INIT } from '../helpers/instance.js';
import { cutAtEach, settle } from '../helpers/power.js';
import { PoolInstance, rootFileOf, rootTree } from '../helpers/pool.js';
import type { RootChange, RootTree } from '../helpers/pool.js';
import type { ScriptResult } from '../helpers/shell.js';
import { makeKey, signedSlot } from '../helpers/signing.js';
import type { KeyPair } from '../helpers/signing.js';
import { tmp } from '../helpers/tmp.js';

const UPDATE = 'overlays/firstboot/usr/local/sbin/clawdie-update';
const TRIAL = 'overlays/base/sbin/clawdie-trial';
const LOGIN = { SSH_CONNECTION: '198.51.100.20 40001 203.0.113.10 22' };
const OLD = '15.1-RELEASE-p1';
const NEW = '15.1-RELEASE-p2';

let instance: PoolInstance;
let ours: KeyPair;

const newRoot = (tree: RootTree = rootTree(NEW), change: RootChange = {}): Promise<Buffer> =>
  rootFileOf(tree, { key: ours, ...change });
const update = (...args: readonly string[]): ScriptResult => instance.fake.run(UPDATE, args, LOGIN);
const offer = (bytes: Buffer, ...more: readonly string[]): ScriptResult => {
  writeFileSync(join(instance.fake.root, '../new.root'), bytes);
  return update('release', join(instance.fake.root, '../new.root'), ...more);
};
const says = (name: string): string | undefined =>
  new RegExp(`^${name.replace('.', '\\.')} (.*)$`, 'm').exec(
    instance.fake.run(TRIAL, ['status']).stdout,
  )?.[1];
const waits = (): boolean => instance.fake.run(TRIAL, ['waits']).code === 0;
/** Which root runs, and whether it is whole and has its overlay. */
const runs = (): unknown => ({
  version: /"(.*)"/.exec(instance.fake.read('bin/freebsd-version'))?.[1],
  environment: instance.property('running'),
  boots: instance.property('boots'),
  overlay: instance.fake.has('etc/clawdie/applied') && instance.fake.has('etc/pf.conf'),
  own: instance.fake.has('root/own') && instance.fake.read('root/own'),
  waits: waits(),
});
const OLD_RUNS = {
  ...{ version: OLD, environment: 'default', boots: 'default', overlay: true },
  ...{ own: 'of the operator', waits: false },
};

beforeEach(async () => {
  ours = makeKey(await tmp(), 'ours');
  instance = await PoolInstance.make(OLD);
  const entries = overlayOf(configOf({ ASSISTANT_NAME: 'natasha', INSTALL_FS: 'zfs', PROFILE: 'standard' }), {
    signKey: ours.line,
  });
  instance.fake.file(
    'dev/gpt/clawdie-slot',
    await signedSlot(entries, { deployment: 'natasha', serial: 10 }, ours),
  );
  const booted = instance.boot();
  expect(booted.stdout).toContain('applied.');
  expect(booted.code).toBe(0);
  instance.fake.file('root/own', 'of the operator');
});

describe('clawdie-update release', () => {
  it('makes a boot environment of the new root and of what is somebody’s own, which boots once', async () => {
    instance.fake
      .file('etc/rc.conf', `${instance.fake.read('etc/rc.conf')}own_flags="-4"\n`)
      .file('etc/rc.conf.local', 'zfs_enable="YES"\n')
      .file('etc/crontab', 'changed here\n')
      .file('etc/ssh/ssh_host_ed25519_key', 'a host key', 0o600)
      .file('etc/ssl/certs/00000000.0', 'no longer trusted')
      .file('etc/ssl/cert.pem', 'no longer trusted')
      .file('etc/ssl/openssl.cnf', 'changed here\n')
      .file('etc/login.conf.db', 'of before')
      .file(
        'etc/master.passwd',
        'root:x:0:0::0:0::/root:/bin/sh\nigor:*:1001:1001::0:0::/home/igor:/bin/sh\n',
      )
      .file('usr/local/bin/tmux', 'a package', 0o755)
      .file('usr/bin/own-program', 'x', 0o755)
      .file('boot/modules/own.ko', 'x')
      .file('boot/device.hints', 'changed here')
      .file('bin/sh', 'a program of the release, patched here', 0o755)
      .file('usr/local/bastille/releases/15.1-RELEASE/bin/sh', 'patched here')
      .file('var/db/clawdie/work.old/x', 'x')
      .file('usr/local/bastille/releases/14.3-RELEASE/bin/sh', 'another release of jails');
    const odd = 'srv/a name\twith "quotes", $(touch it)\nand lines\\n -rf @x é';
    mkdirSync(join(instance.fake.root, 'srv'));
    writeFileSync(join(instance.fake.root, odd), 'odd');
    writeFileSync(join(instance.fake.root, 'srv/-rf'), 'option');
    symlinkSync('/etc/passwd', join(instance.fake.root, 'srv/link'));
    const tree = rootTree(NEW, {
      'etc/master.passwd': 'root::0:0::0:0::/root:/bin/sh\nnewuser:*:99:99::0:0::/:/usr/sbin/nologin\n',
    });
    const result = offer(await newRoot(tree));
    expect(result).toMatchObject({ code: 0, stderr: '' });
    expect(result.stdout).toContain(`FreeBSD ${OLD} becomes ${NEW}; `);
    expect(result.stdout).toContain(
      'stay behind, in default:\n    /boot/device.hints\n    /boot/modules/own.ko\n    /usr/bin/own-program\nThe instance',
    );
    expect(result.calls).toContain(`daemon -f sh -c sleep 2; shutdown -r now || reboot`);
    expect(runs()).toMatchObject({ version: OLD, environment: 'default', waits: true });
    const name = instance.property('once') ?? 'none';
    expect(name).toMatch(/^15\.1-RELEASE-amd64-[0-9a-f]{8}$/);
    const read = (path: string): string => readFileSync(join(instance.pool, name, path), 'utf8');
    const has = (path: string): boolean => existsSync(join(instance.pool, name, path));
    expect(read('boot/kernel/kernel')).toBe('a kernel');
    expect(read('boot/loader.conf.local')).toContain(`vfs.root.mountfrom="zfs:clawdie/ROOT/${name}"`);
    // What config.loadelf() returns is false where a module is missing: then it boots all the same.
    expect(read('boot/lua/local.lua')).toContain('if loader.getenv("kernelname") == nil then');
    expect(read('bin/sh')).toBe(`sh of ${NEW}`);
    expect(read('usr/local/bastille/releases/15.1-RELEASE/bin/sh')).toBe(NEW);
    expect(read('etc/login.conf')).toBe(`login.conf of ${NEW}\n`);
    expect(read('etc/login.conf.db')).toBe(`of login.conf of ${NEW}\n`);
    expect(read('etc/ssl/cert.pem')).toBe(`trusted by ${NEW}\n`);
    expect(statSync(join(instance.pool, name, 'etc/ssl/cert.pem')).mode & 0o777).toBe(0o644);
    expect(has('etc/ssl/certs/00000000.0')).toBe(false);
    expect(read('etc/ssl/openssl.cnf')).toBe('changed here\n');
    expect(read('etc/crontab')).toBe('changed here\n');
    expect(read('etc/rc.conf.local')).toBe('zfs_enable="YES"\n');
    expect(read('etc/ssh/ssh_host_ed25519_key')).toBe('a host key');
    expect(read('usr/local/bin/tmux')).toBe('a package');
    expect(read('usr/local/bastille/releases/14.3-RELEASE/bin/sh')).toBe('another release of jails');
    expect(read('etc/master.passwd')).toBe(
      'root:x:0:0::0:0::/root:/bin/sh\nigor:*:1001:1001::0:0::/home/igor:/bin/sh\nnewuser:*:99:99::0:0::/:/usr/sbin/nologin\n',
    );
    expect(read(odd)).toBe('odd');
    expect(read('srv/-rf')).toBe('option');
    expect(has('srv/it') || existsSync('it')).toBe(false);
    expect(read('var/db/clawdie/state/rc.conf')).toBe('own_flags="-4"\n');
    // The overlay comes again by itself; what tells of the environment before does not come.
    for (const path of [
      'etc/pf.conf',
      'etc/clawdie/applied',
      'var/db/clawdie/overlay.files',
      'var/db/clawdie/work.old',
    ])
      expect([path, has(path)]).toEqual([path, false]);
    expect(instance.snapshots).toEqual([`${name}@base`, 'default@base'].sort());
    expect(instance.fake.has('var/run/clawdie-release/new/bin')).toBe(false);
  });

  it('stays if somebody confirms it in a login of its boot, and keeps the one before', async () => {
    expect(offer(await newRoot()).code).toBe(0);
    expect(update('confirm')).toMatchObject({ code: 75 });
    const booted = instance.boot();
    expect(booted.stdout).toContain('applied.');
    expect(booted.stdout).toContain('a release is on trial');
    expect(booted.calls).toContainEqual(
      expect.stringMatching(/^daemon -f sh .*clawdie-trial deadman [0-9.]+$/),
    );
    expect(runs()).toMatchObject({
      version: NEW,
      boots: 'default',
      overlay: true,
      own: 'of the operator',
      waits: true,
    });
    well();
    const confirmed = update('confirm');
    expect(confirmed).toMatchObject({ code: 0, stderr: '' });
    expect(confirmed.stdout).toMatch(
      /It stays\. In force: the overlay [0-9a-f]{12}, serial 10\. FreeBSD 15\.1-RELEASE-p2, in the boot environment 15\.1-RELEASE-amd64-[0-9a-f]{8}\.\n$/,
    );
    const name = instance.property('running');
    expect(runs()).toMatchObject({ version: NEW, boots: name, waits: false });
    expect(instance.fake.has('boot/lua/local.lua')).toBe(false);
    instance.boot();
    expect(runs()).toMatchObject({ version: NEW, environment: name, waits: false });
    expect(instance.environments).toEqual([name, 'default']);
    // Two are kept: the next one takes the place of the one before. Somebody's own stay.
    mkdirSync(join(instance.pool, 'a name'));
    // What somebody has made an environment of (bectl create) cannot go, and is in nobody's way.
    writeFileSync(join(instance.pool, 'default.clones'), 'clawdie/ROOT/a name');
    const kept = offer(await newRoot(rootTree('15.1-RELEASE'), { serial: 21 }));
    expect(kept.stderr).toContain('Nothing was changed.');
    expect([...instance.environments].sort()).toEqual([name, 'a name', 'default'].sort());
    rmSync(join(instance.pool, 'default.clones'));
    const broken = offer(await newRoot(rootTree('15.1-RELEASE'), { serial: 21 }));
    expect(broken.stderr).toContain('The boot environment default is gone; nothing else was changed.');
    expect(instance.environments).toEqual([name, 'a name']);
    expect(offer(await newRoot(rootTree('15.1-RELEASE-p3'), { serial: 22 })).code).toBe(0);
    const later = instance.property('once');
    expect([...instance.environments].sort()).toEqual([name, later, 'a name'].sort());
    expect(update('back').code).toBe(0);
    // One that was made and never booted is no one's way back.
    expect(offer(await newRoot(rootTree('15.1-RELEASE-p4'), { serial: 23 })).code).toBe(0);
    expect(instance.environments).toHaveLength(3);
    expect(instance.environments).not.toContain(later);
  });

  it('comes back by any restart that nobody confirmed before, and says why', async () => {
    const bytes = await newRoot();
    offer(bytes);
    instance.boot();
    const token =
      says('phase') === 'tried' &&
      /^token (.*)$/m.exec(instance.fake.read('var/db/clawdie/trial/pending'))?.[1];
    instance.fake.stub('sockstat', 'echo "root sshd 7 4 tcp4 203.0.113.10:22"');
    expect(instance.fake.run(TRIAL, ['watch', String(token)]).calls).toContain('shutdown -r now');
    const back = instance.boot();
    expect(back.stdout).toContain(
      'the release on trial is taken back: nobody has logged in to confirm it within 60 s.',
    );
    expect(runs()).toEqual(OLD_RUNS);
    expect(update('confirm').stderr).toContain('it was taken back: nobody has logged in');
    // The same again, once what was wrong is mended.
    expect(offer(bytes).code).toBe(0);
    instance.boot();
    instance.boot();
    expect(runs()).toEqual(OLD_RUNS);
    expect(says('last.why')).toBe('it did not boot, or was restarted before it was confirmed');
  });

  it('comes back from a boot that stops: clawdie-init restarts, and so does who waits for its end', async () => {
    offer(await newRoot());
    instance.fake.stub('pw', 'exit 1');
    const result = instance.boot();
    expect(result).toMatchObject({ code: 1 });
    expect(result.calls).toContain('reboot -q');
    instance.fake.stub('pw');
    instance.boot();
    expect(runs()).toEqual(OLD_RUNS);
    offer(await newRoot());
    instance.boot();
    const token = /^token (.*)$/m.exec(instance.fake.read('var/db/clawdie/trial/pending'))?.[1] ?? '';
    expect(instance.fake.run(TRIAL, ['deadman', 'another']).calls).not.toContain('reboot -q');
    const dead = instance.fake.run(TRIAL, ['deadman', token]);
    expect(dead.calls.filter((call) => /^(?:sleep|sync|reboot)/.test(call))).toEqual([
      'sleep 480',
      'sync ',
      'reboot -q',
    ]);
    instance.boot();
    expect(says('last.why')).toBe('its boot did not come to an end within 480 s');
    expect(runs()).toEqual(OLD_RUNS);
    // What is known already says more.
    offer(await newRoot());
    instance.boot();
    const again = /^token (.*)$/m.exec(instance.fake.read('var/db/clawdie/trial/pending'))?.[1] ?? '';
    instance.fake.file('var/db/clawdie/trial/why', 'tailnet: it is not up\n').run(TRIAL, ['deadman', again]);
    instance.boot();
    expect(says('last.why')).toBe('tailnet: it is not up');
  });

  it('stays where somebody has it boot by other means, and says so where the one before is chosen again', async () => {
    offer(await newRoot());
    instance.boot();
    const name = instance.property('running') ?? '';
    writeFileSync(join(instance.pool, '.boots'), name);
    expect(instance.boot().code).toBe(0);
    expect(runs()).toMatchObject({ version: NEW, boots: name, waits: false });
    expect(says('last.result')).toBe('kept');
    expect(instance.fake.has('boot/lua/local.lua')).toBe(false);
    writeFileSync(join(instance.pool, '.boots'), 'default');
    expect(instance.boot().stdout).toContain('it was confirmed, and this one was chosen again later');
    expect(runs()).toEqual(OLD_RUNS);
  });

  it('goes back when it is asked to, before and after its restart', async () => {
    offer(await newRoot());
    expect(update('back')).toMatchObject({ code: 0 });
    expect([instance.property('once'), runs()]).toEqual([undefined, OLD_RUNS]);
    offer(await newRoot());
    instance.boot();
    expect(update('back').calls).toContain('shutdown -r now');
    instance.boot();
    expect(runs()).toEqual(OLD_RUNS);
    expect(says('last.why')).toBe('somebody wanted it');
  });

  it('is not tried later on where a loader did not try it', async () => {
    offer(await newRoot());
    expect(instance.property('once')).toBeDefined();
    expect(instance.fake.run(INIT).stdout).toContain('the release on trial is taken back: it did not boot');
    expect(instance.fake.run(TRIAL, ['start']).code).toBe(0);
    expect([instance.property('once'), runs()]).toEqual([undefined, OLD_RUNS]);
  });

  it('comes back where it cannot be made what boots', async () => {
    offer(await newRoot());
    instance.boot();
    well();
    instance.fake.stub('bectl', 'exit 1');
    expect(update('confirm').stderr).toContain('could not be made the boot environment that boots');
    instance.boot();
    expect(runs()).toEqual(OLD_RUNS);
  });

  it('is of another release with a slot for it, and takes that back as well', async () => {
    const release = '15.2-RELEASE-amd64';
    const tree = rootTree('15.2-RELEASE', {
      'etc/clawdie/release': `${release}\n`,
      'usr/local/bastille/releases/15.2-RELEASE/bin/sh': 'x',
    });
    const bytes = await newRoot(tree, { release });
    expect(offer(bytes).stderr).toContain('Give a slot for it as well');
    const old = readFileSync(join(instance.fake.root, 'dev/gpt/clawdie-slot'));
    const slot = join(instance.fake.root, '../slot');
    const entries = overlayOf(configOf({ ASSISTANT_NAME: 'natasha', HTTP: 'no' }), { signKey: ours.line });
    writeFileSync(slot, await signedSlot(entries, { deployment: 'natasha', serial: 11 }, ours));
    expect(offer(bytes, slot).stderr).toContain('it is for release "15.1-RELEASE-amd64"');
    writeFileSync(
      slot,
      await signedSlot(entries, { deployment: 'natasha', serial: 11 }, ours, SLOT_NAMESPACE, release),
    );
    expect(offer(bytes, slot)).toMatchObject({ code: 0, stderr: '' });
    instance.boot();
    expect(runs()).toMatchObject({ version: '15.2-RELEASE', overlay: true, waits: true });
    expect(instance.fake.read('var/db/clawdie/trust/serial')).toBe('11\n');
    instance.boot();
    expect(runs()).toEqual(OLD_RUNS);
    expect(readFileSync(join(instance.fake.root, 'dev/gpt/clawdie-slot')).equals(old)).toBe(true);
    expect(instance.fake.read('var/db/clawdie/trust/serial')).toBe('10\n');
  });
});

describe('a root is refused, and nothing is changed,', () => {
  const refused = async (bytes: Buffer, why: string): Promise<void> => {
    const result = offer(bytes);
    expect(result.stderr.replaceAll('\n', ' ')).toContain(why);
    expect(result).toMatchObject({ code: 1 });
    expect([runs(), instance.environments, instance.snapshots]).toEqual([
      OLD_RUNS,
      ['default'],
      ['default@base'],
    ]);
    expect(
      readdirSync(join(instance.fake.root, 'var/db/clawdie')).filter((name) => name.startsWith('work')),
    ).toEqual([]);
    await Promise.resolve();
  };

  it('that nobody signed, or another one, or as something else', async () => {
    await refused(await newRoot(undefined, { key: undefined }), 'it is refused: it is not signed');
    const others = makeKey(await tmp(), 'others');
    await refused(await newRoot(undefined, { key: others }), 'it is signed by none of the signers');
    await refused(
      await newRoot(undefined, { namespace: SLOT_NAMESPACE }),
      'it is signed by none of the signers',
    );
    const forged = await newRoot();
    forged.write(forged.toString('latin1', 0, 512).replace('serial 20', 'serial 99'), 'latin1');
    await refused(forged, 'it is signed by none of the signers');
    await refused(readFileSync(join(instance.fake.root, 'dev/gpt/clawdie-slot')), 'there is no root in');
    expect(IMAGE_NAMESPACE).toBe('clawdie-image');
  });

  it('that is damaged, or cut off', async () => {
    const bytes = await newRoot();
    await refused(bytes.subarray(0, bytes.length - 2000), 'it is damaged');
    const damaged = Buffer.from(bytes);
    damaged.writeUInt8(damaged.readUInt8(9000) ^ 1, 9000);
    await refused(damaged, 'it is damaged');
    await refused(Buffer.alloc(0), 'there is no root in');
  });

  it('that is older, of another architecture, or of another major release', async () => {
    for (const [release, why] of [
      ['15.0-RELEASE-amd64', 'it is an older release'],
      ['14.3-RELEASE-amd64', 'it is another major release'],
      ['16.0-RELEASE-amd64', 'it is another major release'],
      ['15.1-RELEASE-aarch64', 'it is for aarch64, this is amd64'],
      ['nonsense', 'cannot be compared'],
    ] as const)
      await refused(await newRoot(undefined, { release }), why);
    await refused(await newRoot(rootTree('15.1-RELEASE')), 'it is an older patch level');
    instance.fake.file('var/db/clawdie/trust/root', '30\n');
    await refused(await newRoot(), 'it is older (serial 20) than the last one (30)');
  });

  it('whose root lacks what would take it back', async () => {
    await refused(
      await newRoot(rootTree(NEW, { 'sbin/clawdie-trial': '' })),
      'its root has no /sbin/clawdie-trial',
    );
  });

  it('where the pool is too small, or fills up in any step', async () => {
    const bytes = await newRoot();
    writeFileSync(join(instance.pool, '.available'), '1000');
    await refused(bytes, 'the pool has 0 MB, and this takes');
    writeFileSync(join(instance.pool, '.available'), '1000000000');
    for (const step of ['create', 'snapshot', 'diff']) {
      writeFileSync(join(instance.pool, '.broken'), step);
      await refused(bytes, 'Nothing was changed.');
    }
    rmSync(join(instance.pool, '.broken'));
    for (const name of ['tar', 'gunzip', 'mdconfig', 'pwd_mkdb', 'certctl', 'cap_mkdb', 'install', 'find']) {
      const old = existsSync(join(instance.fake.bin, name))
        ? readFileSync(join(instance.fake.bin, name), 'utf8')
        : undefined;
      instance.fake.stub(name, 'cat > /dev/null; exit 1');
      await refused(bytes, 'Nothing was changed.');
      if (old === undefined) instance.fake.remove(name);
      else writeFileSync(join(instance.fake.bin, name), old);
    }
    instance.fake.stub('tar', `case $1 in -xpUf) cat > /dev/null; exit 1 ;; esac\nexec /usr/bin/tar "$@"`);
    await refused(bytes, 'what is of this instance cannot be brought along');
  });

  it('while another one is made ready, or waits', async () => {
    const bytes = await newRoot();
    instance.fake.stub('mdconfig', `sh "$0.second" >&2; exit 1`);
    writeFileSync(join(instance.fake.bin, 'mdconfig.second'), SECOND);
    await refused(bytes, 'clawdie-update: another release is being made ready here. ');
    await refused(bytes, 'its root cannot be unpacked');
  });

  it('that is cut off by the end of its connection', async () => {
    instance.fake.stub('mdconfig', 'kill -HUP "$PPID"; sleep 0.1; exit 1');
    await refused(await newRoot(), '');
  });

  it('whose overlay would be tried by another boot environment', async () => {
    const entries = overlayOf(configOf({ ASSISTANT_NAME: 'natasha', HTTP: 'no' }), { signKey: ours.line });
    const slot = join(instance.fake.root, '../slot');
    writeFileSync(slot, await signedSlot(entries, { deployment: 'natasha', serial: 11 }, ours));
    writeFileSync(join(instance.pool, '.boots'), 'another');
    expect(update('overlay', slot).stderr).toContain('another boot environment boots next: bectl list.');
    writeFileSync(join(instance.pool, '.boots'), 'default');
    expect(runs()).toEqual(OLD_RUNS);
    expect(update('overlay', slot)).toMatchObject({ code: 0, stderr: '' });
  });

  it('whose boot environment is not mounted', async () => {
    const empty = await tmp();
    const result = instance.fake.run(TRIAL, ['release', 'another release', 'none', empty]);
    expect(result).toMatchObject({ code: 1, stdout: 'the new boot environment is not mounted\n' });
    expect([runs(), readdirSync(empty)]).toEqual([OLD_RUNS, []]);
  });

  it('where there is no pool, or it was installed before there were updates', async () => {
    const bytes = await newRoot();
    instance.fake.stub('mount', 'echo "/dev/gpt/clawdie-root / ufs rw 1 1"');
    expect(offer(bytes).stderr).toContain('was installed with one root');
    instance.fake.stub('mount', 'echo "clawdie/ROOT/default / zfs rw 0 0"');
    rmSync(join(instance.pool, 'default@base'), { recursive: true });
    expect(offer(bytes).stderr).toContain('was installed by an older image');
    instance.fake.removeFile('sbin/clawdie-environment');
    expect(offer(bytes).stderr).toContain('has no updates of its release');
  });
});

describe('a power cut', () => {
  const PROGRAMS = ['zfs', 'bectl'];
  /** The power is back: nothing is mounted any more. */
  const wake = (): void => {
    rmSync(join(instance.fake.root, 'var/run/clawdie-release'), { recursive: true, force: true });
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
        // And it can be done then.
        if (n % 3 === 0) expect(offer(bytes)).toMatchObject({ code: 0, stderr: '' });
      },
    );
    expect(n).toBeGreaterThan(30);
  }, 900_000);

  it('at every moment while another overlay is put on trial with it leaves the slot and its signers', async () => {
    expect(offer(await newRoot()).code).toBe(0);
    expect(update('back').code).toBe(0);
    const name = instance.environments.find((each) => each !== 'default') ?? 'none';
    const [slot, next] = [
      join(instance.fake.root, 'dev/gpt/clawdie-slot'),
      join(instance.fake.root, '../slot'),
    ];
    const old = readFileSync(slot);
    const signers = instance.fake.read('var/db/clawdie/trust/signers');
    const entries = overlayOf(configOf({ ASSISTANT_NAME: 'natasha', HTTP: 'no' }), { signKey: ours.line });
    writeFileSync(next, await signedSlot(entries, { deployment: 'natasha', serial: 11 }, ours));
    const n = cutAtEach(
      instance,
      PROGRAMS,
      1,
      () => instance.fake.run(TRIAL, ['release', 'another release', name, join(instance.pool, name), next]),
      (n) => {
        wake();
        expect([n, runs(), readFileSync(slot).equals(old)]).toEqual([n, OLD_RUNS, true]);
        expect([n, instance.fake.read('var/db/clawdie/trust/signers')]).toEqual([n, signers]);
      },
    );
    expect(n).toBeGreaterThan(12);
  }, 900_000);

  it('at every moment of its boot ends with the one before, whole', async () => {
    offer(await newRoot());
    const n = cutAtEach(
      instance,
      PROGRAMS,
      2,
      () => instance.boot(),
      (n) => {
        wake();
        expect([n, runs()]).toEqual([n, OLD_RUNS]);
      },
    );
    expect(n).toBeGreaterThan(12);
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
        const { version, boots, environment } = runs() as Record<string, string>;
        expect([n, boots === environment, runs()]).toEqual([
          n,
          true,
          expect.objectContaining({ overlay: true, waits: false }),
        ]);
        expect([n, version, says('last.result')]).toEqual([n, version, version === NEW ? 'kept' : 'back']);
        seen.add(version ?? '');
      },
    );
    expect([...seen].sort()).toEqual([OLD, NEW]);
  }, 900_000);
});

/** Another update, while one is at work; what it says goes where that of the first one does. */
const SECOND = 'sh "$CLAWDIE_TEST_ROOT/.run/clawdie-update" release "$CLAWDIE_TEST_ROOT/../new.root"';

/** As a boot that went well leaves it. */
function well(): void {
  instance.fake
    .stub('sockstat', 'echo "root sshd 7 4 tcp4 203.0.113.10:22 *:*"')
    .stub(
      'pfctl',
      'case "$*" in "-s info") echo "Status: Enabled" ;; *"-s rules" | "-n -v -f "*) echo "anchor \\"bastille/*\\" all" ;; esac',
    )
    .stub('ifconfig', '[ "$1" != -g ] || echo vtnet0')
    .stub('route', 'echo "  interface: vtnet0"')
    .stub('jls', '[ "$1" != -j ] || exit 1');
}
