import { execFileSync, spawn } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from 'vitest';
import { configOf } from '../helpers/config.js';
import { overlayOf } from '../helpers/deployment.js';
import { bootWith, installedInstance, slotOf } from '../helpers/instance.js';
import type { FakeRoot, ScriptResult } from '../helpers/shell.js';

const TOOL = 'overlays/firstboot/usr/local/sbin/clawdie-state';
const JAILS = 'usr/local/bastille/jails';
const NAMES = { ASSISTANT_NAME: 'natasha', AGENT_NET: '192.168.100.0/24', JAILS: 'worker\nvworker vnet' };
const RELEASE = '/usr/local/bastille/releases/15.1-RELEASE';

let fake: FakeRoot;
const state = (args: readonly string[], root = fake): ScriptResult => root.run(TOOL, args);
const unix = (...command: readonly [string, ...string[]]): string =>
  execFileSync(command[0], command.slice(1), { encoding: 'utf8' });

/** An installed instance of the deployment, with what Bastille and FreeBSD do of jails; no jail is there. */
async function instance(values: Readonly<Record<string, string>> = {}): Promise<FakeRoot> {
  const made = (await installedInstance())
    .stub('id', 'if [ $# -eq 1 ]; then echo 0; else echo 1001; fi')
    .stub('pfctl')
    .stub('service', 'exit 1')
    .stub('sysrc')
    .stub('ifconfig')
    .stub('chown')
    .stub('logger')
    .withTurns()
    .stub('lockf', '[ "$2" != -k ] || exit 0\n[ "$1" = -k ] || exec flock -w "$3" "$4"\nshift 2\nexec "$@"')
    .stub('sysctl', 'echo 1073741824')
    .stub('df', 'echo x; echo "/dev/x 9000 1000 8000 12% /"')
    .stub('mdconfig', 'case "$1" in -a) echo md7 ;; esac')
    .stub('newfs')
    .stub('fsck_ffs')
    .stub('rctl');
  // dd(1) is of clawdie-init, too: only what would fill a disk is left out.
  made.stub(
    'dd',
    'case "$*" in *if=/dev/zero*) for word; do case ${word} in of=*) : > "${word#of=}" ;; esac; done ;; *) exec /usr/bin/dd "$@" ;; esac',
  );
  made.stub('jls', `[ -e '${made.root}'/running."$2" ]`);
  made.stub(
    'bastille',
    [
      'case $1 in',
      `start) : > '${made.root}'/running."$2"; umask > '${made.root}'/umask ;;`,
      `stop) rm -f '${made.root}'/running."$2" ;;`,
      `destroy) rm -rf '${made.root}/${JAILS}'/"$3" ;;`,
      'esac',
    ].join('\n'),
  );
  // The tar that FreeBSD has; this machine's takes other things.
  if (existsSync('/usr/bin/bsdtar')) symlinkSync('/usr/bin/bsdtar', join(made.bin, 'tar'));
  expect(bootWith(made, await slotOf(overlayOf(configOf({ ...NAMES, ...values })))).code).toBe(0);
  return made;
}

/** A jail as Bastille has made it, with a file. */
function jail(root: FakeRoot, name: string): string {
  root
    .file(`${JAILS}/${name}/jail.conf`, `${name} {\n  path = /${JAILS}/${name}/root;\n}\n`)
    .file(`${JAILS}/${name}/fstab`, `${RELEASE} /${JAILS}/${name}/root/.bastille nullfs ro 0 0\n`)
    .file(`${JAILS}/${name}/settings.conf`, 'boot="on"\n')
    .file(`${JAILS}/${name}/root/etc/motd`, `this is ${name}\n`)
    .file(`running.${name}`, '');
  return join(root.root, JAILS, name, 'root');
}

/** The files of an export, by their names. */
const members = (file: string): readonly string[] => unix('tar', '-tf', file).trimEnd().split('\n');

beforeEach(async () => {
  fake = await instance();
});

describe('an export with jails', () => {
  it('brings them back on another disk, as they were', async () => {
    const root = jail(fake, 'worker');
    jail(fake, 'vworker');
    writeFileSync(join(root, 'su'), 'x');
    chmodSync(join(root, 'su'), 0o4755);
    linkSync(join(root, 'su'), join(root, 'other-name'));
    symlinkSync('/etc/master.passwd', join(root, 'passwd'));
    symlinkSync('..', join(root, 'etc/up'));
    mkdirSync(join(root, 'with\nnewline and "\\ blank'));
    writeFileSync(join(root, 'with\nnewline and "\\ blank', '-rf'), 'odd');
    unix('mkfifo', join(root, 'fifo'));
    // Names are bytes: of UTF-8, and of none.
    const bytes = (folder: string): Buffer =>
      Buffer.concat([Buffer.from(join(folder, 'é-')), Buffer.from([0xff])]);
    writeFileSync(bytes(root), 'odd');

    const file = join(fake.root, 'export');
    const result = state(['export', '--jails', file]);
    expect(result).toMatchObject({ code: 0, stderr: '' });
    expect(statSync(file).mode & 0o777).toBe(0o600);
    // One after the other, and both run again, with the umask that jails are started with.
    const bastille = result.calls.filter((call) => call.startsWith('bastille '));
    expect(bastille).toEqual([
      'bastille stop worker',
      'bastille start worker',
      'bastille stop vworker',
      'bastille start vworker',
    ]);
    expect(fake.read('umask').trim()).toMatch(/^0*22$/);
    expect(readdirSync(fake.root).filter((name) => name.startsWith('.clawdie'))).toEqual([]);

    const other = await instance();
    expect(state(['import', file], other)).toMatchObject({ code: 0, stderr: '' });
    const there = join(other.root, JAILS, 'worker/root');
    expect(readFileSync(join(there, 'etc/motd'), 'utf8')).toBe('this is worker\n');
    expect(other.read(`${JAILS}/vworker/root/etc/motd`)).toBe('this is vworker\n');
    expect(statSync(join(there, 'su')).mode & 0o7777).toBe(0o4755);
    expect(statSync(join(there, 'su')).ino).toBe(statSync(join(there, 'other-name')).ino);
    expect(readlinkSync(join(there, 'passwd'))).toBe('/etc/master.passwd');
    expect(readFileSync(join(there, 'with\nnewline and "\\ blank', '-rf'), 'utf8')).toBe('odd');
    expect(lstatSync(join(there, 'fifo')).isFIFO()).toBe(true);
    expect(readFileSync(bytes(there), 'utf8')).toBe('odd');
    for (const name of ['fstab', 'settings.conf'])
      expect(other.read(`${JAILS}/worker/${name}`)).toBe(fake.read(`${JAILS}/worker/${name}`));
    // A backup may be older than what begins and ends jails.
    const guards = ['prestart +=', 'poststart +=', 'prestop +='].map(
      (when, index) =>
        `  exec.${when} "/usr/local/libexec/clawdie/${['devfs-guard', 'jail-rc start', 'jail-rc stop'][index] ?? ''}";\n`,
    );
    expect(other.read(`${JAILS}/worker/jail.conf`)).toBe(
      fake.read(`${JAILS}/worker/jail.conf`).replace('}\n', `  persist;\n${guards.join('')}}\n`),
    );
    expect(statSync(join(other.root, JAILS, 'worker')).mode & 0o777).toBe(0o700);
    expect(readdirSync(join(other.root, JAILS)).sort()).toEqual(['vworker', 'worker']);
    expect(readdirSync(join(other.root, 'var/db/clawdie/jaildisks')).sort()).toEqual([
      'vworker.img',
      'worker.img',
    ]);
    // Both are of the overlay: nothing says that they were made by hand.
    expect(other.has('var/db/clawdie/jails.added')).toBe(false);
  });

  it('brings a jail that was made on the instance, and says which of them could not be there', async () => {
    jail(fake, 'first');
    fake.file(
      'var/db/clawdie/jails.added',
      'first natasha plain 192.168.100.50 clawdie/worker 15% 100 100 67108864\n',
    );
    const file = join(fake.root, 'export');
    expect(state(['export', '--jails', file]).stdout).toContain('worker is not there, and not in the file');
    const other = await instance({ JAILS: '' });
    expect(state(['import', file], other)).toMatchObject({ code: 0, stderr: '' });
    expect(other.read('var/db/clawdie/jails.added')).toContain('first natasha plain 192.168.100.50');
    expect(other.has(`${JAILS}/first/jail.conf`)).toBe(true);
  });

  it('replaces a jail only if that is asked for, and one that was taken away there is wanted again', async () => {
    jail(fake, 'worker');
    const file = join(fake.root, 'export');
    state(['export', '--jails', file]);
    const other = await instance();
    other.file(
      'usr/local/sbin/clawdie-jail',
      `#!/bin/sh\n[ "$1" = destroy ] && rm -rf '${other.root}/${JAILS}/'"$2" && echo "$2" > '${other.root}/var/db/clawdie/jails.gone'\n`,
      0o755,
    );
    jail(other, 'worker');
    other.file(`${JAILS}/worker/root/mine`, 'x').file('etc/ssh/ssh_host_rsa_key', 'OWN', 0o600);
    const refused = state(['import', file], other);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain('there is a jail worker here, which would be lost; nothing was changed');
    expect(other.has(`${JAILS}/worker/root/mine`)).toBe(true);
    expect(state(['import', '--replace', file], other)).toMatchObject({ code: 0, stderr: '' });
    expect(other.has(`${JAILS}/worker/root/mine`)).toBe(false);
    expect(other.read(`${JAILS}/worker/root/etc/motd`)).toBe('this is worker\n');
    expect(other.read('var/db/clawdie/jails.gone').trim()).toBe('');
  });

  it('of an instance without jails needs no Bastille where it is brought', async () => {
    const [file, withJail] = [join(fake.root, 'export'), join(fake.root, 'with-jail')];
    expect(state(['export', '--jails', file]).code).toBe(0);
    jail(fake, 'worker');
    expect(state(['export', '--jails', withJail]).code).toBe(0);
    const other = (await instance()).remove('bastille');
    expect(state(['import', '--replace', file], other)).toMatchObject({ code: 0, stderr: '' });
    expect(state(['import', '--replace', withJail], other).stderr).toContain(
      'bastille is not installed; nothing',
    );
  });

  it('is without jails where they are not asked for', () => {
    jail(fake, 'worker');
    const file = join(fake.root, 'export');
    const result = state(['export', file]);
    expect(result.calls.filter((call) => call.startsWith('bastille'))).toEqual([]);
    expect(members(file).filter((name) => name.startsWith('jails/'))).toEqual([]);
  });
});

describe('what goes wrong', () => {
  const exported = (): string => {
    const file = join(fake.root, 'export');
    expect(state(['export', '--jails', file]).code).toBe(0);
    return file;
  };

  it('while it is copied: the jail runs again, and no half file is left', () => {
    jail(fake, 'worker');
    const file = join(fake.root, 'export');
    rmSync(join(fake.bin, 'tar'), { force: true });
    fake.stub('tar', 'case "$*" in *--zstd*) exit 1 ;; esac; exec /usr/bin/tar "$@"');
    const result = state(['export', '--jails', file]);
    expect(result.code).toBe(1);
    expect(result.stderr).toContain('worker cannot be copied; nothing was written');
    expect(fake.has('running.worker')).toBe(true);
    expect(existsSync(file)).toBe(false);
    // Started by somebody meanwhile: it may have led tar(1) out of its root.
    fake.stub(
      'tar',
      `case "$*" in *--zstd*) : > '${fake.root}/running.worker' ;; esac; exec /usr/bin/tar "$@"`,
    );
    expect(state(['export', '--jails', file]).stderr).toContain('was started while it was copied');
    expect(existsSync(file)).toBe(false);
    fake.stub('bastille', 'exit 1');
    expect(state(['export', '--jails', file]).stderr).toContain('worker does not stop; nothing was written');
  });

  it('that somebody wants a turn meanwhile: there is none until the jail runs again', () => {
    jail(fake, 'worker');
    rmSync(join(fake.bin, 'tar'), { force: true });
    const turn = `sh '${fake.root}/.run/turn.sh' worker -- true 2>> '${fake.root}/turns'; echo $? >> '${fake.root}/turns'`;
    fake.stub('tar', `case "$*" in *--zstd*) ${turn} ;; esac; exec /usr/bin/tar "$@"`);
    expect(state(['export', '--jails', join(fake.root, 'export')])).toMatchObject({ code: 0, stderr: '' });
    expect(fake.read('turns')).toBe(
      'clawdie-jail: a turn is going on in worker, or it is copied or given a template\n75\n',
    );
    expect(fake.has('running.worker')).toBe(true);
  });

  it('that a turn goes on: it ends with the jail, and another one does not start that again', async () => {
    jail(fake, 'worker');
    // Has the lock of turns until the jail is stopped, and a moment longer.
    fake.file('var/run/clawdie/turn.worker', '');
    const holder = spawn(
      'flock',
      [
        join(fake.root, 'var/run/clawdie/turn.worker'),
        'sh',
        '-c',
        `: > '${fake.root}/held'; while [ -e '${fake.root}/running.worker' ]; do sleep 0.1; done; sleep 1`,
      ],
      { stdio: 'ignore' },
    );
    const ended = new Promise((resolve) => holder.once('close', resolve));
    while (!fake.has('held')) await sleep(50);
    expect(state(['export', '--jails', join(fake.root, 'export')])).toMatchObject({ code: 0, stderr: '' });
    await ended;
    expect(fake.has('running.worker')).toBe(true);
  });

  it('in a connection that is cut while it is copied: the jail runs again, and no host keys are left', () => {
    jail(fake, 'worker');
    rmSync(join(fake.bin, 'tar'), { force: true });
    fake.stub('tar', 'case "$*" in *--zstd*) kill -HUP 0 ;; esac; exec /usr/bin/tar "$@"');
    fake.through = ['setsid', '-w'];
    expect(state(['export', '--jails', join(fake.root, 'export')]).code).toBe(1);
    expect(fake.has('running.worker')).toBe(true);
    expect(readdirSync(fake.root).filter((name) => /export|clawdie-state/.test(name))).toEqual([]);
  });

  it('on the way: a file that was cut off, and one that was changed', async () => {
    jail(fake, 'worker');
    const file = exported();
    const other = await instance();
    const bytes = readFileSync(file);
    // Without its end: the sums.
    unix('tar', '--delete', '-f', file, 'jails/sums');
    expect(state(['import', file], other).stderr).toContain('ends before its end; nothing was changed');
    const changed = Buffer.from(bytes);
    changed[changed.indexOf('boot="on"') + 6] = 0x66;
    writeFileSync(file, changed);
    expect(state(['import', file], other).stderr).toContain(
      'is damaged (jails/worker/settings.conf); nothing',
    );
    writeFileSync(file, bytes);
    writeFileSync(join(fake.root, 'rdr.conf'), 'x');
    mkdirSync(join(fake.root, 'more/jails/worker'), { recursive: true });
    writeFileSync(join(fake.root, 'more/jails/worker/rdr.conf'), 'x');
    unix('tar', '-rf', file, '-C', join(fake.root, 'more'), 'jails/worker/rdr.conf');
    expect(state(['import', file], other).stderr).toContain('holds other files than its sums');
    expect(other.has(JAILS) && readdirSync(join(other.root, JAILS)).length > 0).toBe(false);
  });

  it('in a power cut while it comes: there is no jail without its file system', async () => {
    jail(fake, 'worker');
    const file = exported();
    const other = await instance();
    // The power fails with the second of two that bring it under its name.
    other.stub(
      'mv',
      `case "$*" in *.import*jails/worker | *.import.img*worker.img) echo >> '${other.root}/moved'; [ "$(wc -l < '${other.root}/moved')" -lt 2 ] || exit 1 ;; esac; exec /usr/bin/mv "$@"`,
    );
    expect(state(['import', file], other).code).toBe(1);
    expect(other.read('moved')).toBe('\n\n');
    expect([
      other.has(`${JAILS}/worker/jail.conf`),
      other.has('var/db/clawdie/jaildisks/worker.img'),
    ]).toEqual([false, true]);
    other.remove('mv');
    expect(state(['import', file], other)).toMatchObject({ code: 0, stderr: '' });
    expect(other.read(`${JAILS}/worker/root/etc/motd`)).toBe('this is worker\n');
  });

  it('on the other disk: another release, no room for one, a live image', async () => {
    jail(fake, 'worker');
    const file = exported();
    const other = await instance();
    const conf = other.read('etc/clawdie/clawdie.conf');
    other.file('etc/clawdie/clawdie.conf', conf.replace(/^JAIL_RELEASE=.*$/m, 'JAIL_RELEASE=15.2-RELEASE'));
    expect(state(['import', file], other).stderr).toContain(
      'worker is made of 15.1-RELEASE, and jails of this instance of 15.2-RELEASE',
    );
    other.file('etc/clawdie/clawdie.conf', conf).stub('df', 'echo x; echo "/dev/x 9000 1000 100 12% /"');
    expect(state(['import', file], other).stderr).toContain('worker cannot be brought back');
    expect(other.has(`${JAILS}/worker`)).toBe(false);
    other.removeFile('etc/clawdie/installed');
    expect(state(['import', file], other).stderr).toContain('this is a live image');
  });

  it('in a file that somebody has made: nothing is written outside of the jail', async () => {
    jail(fake, 'worker');
    const file = exported();
    const evil = join(fake.root, 'evil');
    mkdirSync(join(evil, 'jails/worker'), { recursive: true });
    unix('tar', '-xf', file, '-C', evil);
    const other = await instance();
    const outside = join(other.root, 'outside');
    mkdirSync(outside);
    // A link that leads out, and a file that would go through it.
    const inner = join(evil, 'inner');
    mkdirSync(join(inner, 'a'), { recursive: true });
    symlinkSync(outside, join(inner, 'link'));
    const root = join(evil, 'jails/worker/root');
    unix('tar', '-cf', join(evil, 'one'), '-C', inner, 'link');
    mkdirSync(join(evil, 'inner2/link'), { recursive: true });
    writeFileSync(join(evil, 'inner2/link/through'), 'x');
    writeFileSync(join(evil, 'inner2/up'), 'x');
    unix('tar', '-rf', join(evil, 'one'), '-C', join(evil, 'inner2'), 'link/through');
    unix(
      'tar',
      '-rPf',
      join(evil, 'one'),
      '-C',
      join(evil, 'inner2'),
      '--transform',
      's|^up|../../../up|',
      'up',
    );
    unix('zstd', '-qf', join(evil, 'one'), '-o', root);
    const sums = members(file)
      .filter((name) => name.startsWith('jails/worker/'))
      .map((name) => `${unix('sha256sum', join(evil, name)).slice(0, 64)} ${name}\n`);
    writeFileSync(join(evil, 'jails/sums'), sums.join(''));
    unix('tar', '-cf', file, '-C', evil, ...members(file));
    const result = state(['import', file], other);
    expect(readdirSync(outside)).toEqual([]);
    expect(other.has('usr/local/bastille/up') || other.has('usr/local/up')).toBe(false);
    expect([result.code, result.stderr]).toEqual([1, expect.stringContaining('cannot be brought back')]);
    expect(other.has(`${JAILS}/worker`)).toBe(false);
  });
});
