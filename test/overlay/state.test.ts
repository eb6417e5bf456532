import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  lstatSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { withTailscale } from '../../build/policy/image.js';
import { configOf } from '../helpers/config.js';
import { bodyOf, overlayOf } from '../helpers/deployment.js';
import { bootWith, INIT, installedInstance, slotOf } from '../helpers/instance.js';
import type { FakeRoot, ScriptResult } from '../helpers/shell.js';

const SBIN = 'overlays/firstboot/usr/local/sbin';
const STATE = 'var/db/clawdie/state';
const NAMES = { ASSISTANT_NAME: 'natasha', AGENT_NET: '192.168.100.0/24' };

let fake: FakeRoot;
/** A boot with the overlay of a configuration. */
const boot = async (values: Readonly<Record<string, string>> = {}, other = fake): Promise<ScriptResult> =>
  bootWith(other, await slotOf(overlayOf(configOf({ ...NAMES, ...values }))));
const pfOf = (values: Readonly<Record<string, string>> = {}): string =>
  bodyOf(overlayOf(configOf({ ...NAMES, ...values })), 'etc/pf.conf');

/** sysrc(8) as far as clawdie-tenant and people use it: sets a variable in rc.conf, in its place or at the end. */
const SYSRC = `
rc="$CLAWDIE_ROOT/etc/rc.conf"
[ "$1" != -q ] || shift
if [ "$1" = -n ]; then sed -n "s/^$2=['\\"]\\(.*\\)['\\"]$/\\1/p" "$rc"; exit; fi
if [ "$1" = -x ]; then shift; for name; do sed -i "/^$name=/d" "$rc"; done; exit; fi
for pair; do
  name=\${pair%%=*}
  if grep -q "^$name=" "$rc"; then sed -i "s|^$name=.*|$name=\\"\${pair#*=}\\"|" "$rc"
  else echo "$name=\\"\${pair#*=}\\"" >> "$rc"; fi
done`;

const withPrograms = (root: FakeRoot): FakeRoot =>
  root
    .stub('id', 'if [ $# -eq 1 ]; then echo 0; else echo 1001; fi')
    .stub('sysrc', SYSRC)
    .stub('ifconfig')
    .stub('service', 'exit 1')
    .stub('pfctl')
    .stub('logger')
    .stub('lockf', '[ "$1" = -k ] || exit 0\nshift 2\nexec "$@"')
    .stub('chown');

const sysrc = (...pairs: readonly string[]): void => {
  execFileSync(join(fake.bin, 'sysrc'), pairs, {
    env: { PATH: process.env['PATH'] ?? '', CLAWDIE_ROOT: fake.root },
  });
};
/** Variables of rc.conf as rc(8) sees them. */
const rc = (...names: readonly string[]): readonly string[] =>
  execFileSync(
    'sh',
    [
      '-c',
      `. '${join(fake.root, 'etc/rc.conf')}'; for name; do eval "echo \\"\\\${$name-}\\""; done`,
      'sh',
      ...names,
    ],
    { encoding: 'utf8' },
  )
    .replace(/\n$/, '')
    .split('\n');

beforeEach(async () => {
  fake = withPrograms(await installedInstance());
});

describe('an overlay on an instance that is reached over the tailnet alone', () => {
  const confirmed = (wanted: 'on' | 'off'): ScriptResult =>
    fake
      // It is well, and its tailnet is up.
      .stub(
        'pfctl',
        'case "$*" in "-s info") echo "Status: Enabled" ;; *"-s rules") echo "anchor \\"bastille/*\\" all" ;; esac',
      )
      .stub('sockstat', 'echo "root sshd 7 4 tcp4 203.0.113.10:22 *:*"')
      .stub('ifconfig', '[ "$1" != -g ] || echo vtnet0')
      .stub('route', 'echo "  interface: vtnet0"')
      .stub('tailscale')
      .file(
        'var/db/clawdie/trial/pending',
        `kind rules\nwhat the Tailscale block ${wanted}, cut no\ntoken 1\nphase new\n`,
      )
      .file('var/db/clawdie/trial/rules', wanted === 'on' ? withTailscale(pfOf()) : pfOf())
      .run(join(SBIN, 'clawdie-tailscale'), ['confirm', '--console']);

  it('leaves it so: the block is in force before anything reads the rules', async () => {
    expect((await boot()).code).toBe(0);
    expect(fake.read('etc/pf.conf')).toBe(pfOf());
    expect(confirmed('on')).toMatchObject({ code: 0, stderr: '' });
    const result = await boot({ OPEN_PORTS: '8443/tcp' });
    expect(result).toMatchObject({ code: 0, stderr: '' });
    expect(result.stdout).toContain('SSH stays with the tailnet alone');
    expect(fake.read('etc/pf.conf')).toBe(withTailscale(pfOf({ OPEN_PORTS: '8443/tcp' })));
    expect(statSync(join(fake.root, 'etc/pf.conf')).mode & 0o777).toBe(0o600);
    expect(statSync(join(fake.root, STATE)).mode & 0o777).toBe(0o700);
  });

  it('has the rules on the disk before they get their name: a power cut leaves no empty file', async () => {
    await boot();
    confirmed('on');
    // What a file has when it is handed to the disk, whose name is not that of another one yet.
    fake.stub(
      'fsync',
      `[ ! -s "$1" ] || echo "written $1 $(wc -l < "$1" | tr -d ' ')" >> '${fake.root}/written'`,
    );
    await boot({ OPEN_PORTS: '8443/tcp' });
    const lines = withTailscale(pfOf({ OPEN_PORTS: '8443/tcp' })).split('\n').length - 1;
    expect(fake.read('written')).toMatch(new RegExp(`^written \\S+/etc/pf\\.conf\\.\\w{6} ${lines}$`, 'm'));
  });

  it('opens it again once that was confirmed', async () => {
    await boot();
    confirmed('on');
    confirmed('off');
    await boot({ OPEN_PORTS: '8443/tcp' });
    expect(fake.read('etc/pf.conf')).toBe(pfOf({ OPEN_PORTS: '8443/tcp' }));
  });

  it('keeps it where the # were taken off by hand, and the instance has booted since', async () => {
    await boot();
    fake.file('etc/pf.conf', withTailscale(pfOf()));
    fake.run('overlays/firstboot/usr/local/libexec/clawdie/state-back.sh');
    expect(fake.read(`${STATE}/tailnet`)).toBe('on\n');
    await boot({ OPEN_PORTS: '8443/tcp' });
    expect(fake.read('etc/pf.conf')).toContain('\nblock in quick on $ext_if proto tcp to port 22 ');
  });

  it('is not applied at all where it has no such rules: the instance stays closed, and says why', async () => {
    await boot();
    confirmed('on');
    const entries = overlayOf(configOf({ ...NAMES, OPEN_PORTS: '8443/tcp' })).map((entry) =>
      entry.path === 'etc/pf.conf' ? { ...entry, body: 'pass all\n' } : entry,
    );
    const result = bootWith(fake, await slotOf(entries));
    expect(result.code).toBe(1);
    expect(result.stdout).toContain('has no Tailscale block');
    expect(result.stdout).toContain('this instance stays closed');
    expect(fake.has('etc/clawdie/applied')).toBe(false);
  });

  it('is closed at every moment at which the power may fail', async () => {
    await boot();
    confirmed('on');
    for (const command of ['tar', 'pw', 'sync', 'comm', 'awk', 'cmp', 'mv']) {
      // What fails here has done half of its work, and the next boot takes it up.
      const original = ['/usr/bin', '/bin'].map((folder) => join(folder, command));
      const path = original.find((each) => readdirSync(join(each, '..')).includes(command));
      const kept = command === 'awk' ? path : undefined;
      fake.remove(command).stub(command, 'kill -9 $PPID; exit 1');
      const next = { OPEN_PORTS: `${8000 + command.length}/${command === 'mv' ? 'udp' : 'tcp'}` };
      await boot(next);
      expect([
        command,
        fake.has('etc/clawdie/applied') &&
          !fake.read('etc/pf.conf').includes('\nblock in quick on $ext_if proto tcp to port 22 '),
      ]).toEqual([command, false]);
      fake.remove(command);
      if (kept !== undefined) symlinkSync(kept, join(fake.bin, command));
      if (['pw', 'sync'].includes(command)) fake.stub(command);
      expect((await boot(next)).code).toBe(0);
      expect(fake.read('etc/pf.conf')).toBe(withTailscale(pfOf(next)));
    }
  });
});

describe('clawdie_state, before the firewall has its rules', () => {
  const start = (): ScriptResult =>
    fake.withRcSubr().run('overlays/firstboot/etc/rc.d/clawdie_state', ['start']);

  it('does the same for an overlay that an older base image has put in place', async () => {
    await boot();
    fake.file('etc/pf.conf', pfOf()).file(`${STATE}/tailnet`, 'on\n');
    expect(start()).toMatchObject({ code: 0, stderr: '' });
    expect(fake.read('etc/pf.conf')).toBe(withTailscale(pfOf()));
  });

  it('takes away what a power cut has left of work: slots of 4 MB, with secrets', async () => {
    await boot();
    fake.file('var/db/clawdie/work.a1B2c3/slot', 'x').file('var/db/clawdie/trial.4711', 'kind overlay\n');
    fake.file('data/work.d4E5f6/root', 'x').file('data/home/natasha/own', 'x');
    fake.file('var/db/clawdie/notify/.work.g7H8i9/url', 'x').file('var/db/clawdie/notify/told', 'x');
    fake.file('var/db/clawdie/trial/last', 'result kept\n');
    expect(start()).toMatchObject({ code: 0, stderr: '' });
    const left = readdirSync(join(fake.root, 'var/db/clawdie'));
    expect(left.filter((name) => /^(work|trial)/.test(name))).toEqual(['trial']);
    expect(fake.has('var/db/clawdie/trial/last')).toBe(true);
    expect(readdirSync(join(fake.root, 'data'))).toEqual(['home']);
    expect(readdirSync(join(fake.root, 'var/db/clawdie/notify'))).toEqual(['told']);
  });

  it('takes away what an import had in work: host keys', async () => {
    await boot();
    fake.file('var/db/clawdie/.import.a1B2c3/new/etc/ssh/ssh_host_rsa_key', 'x');
    fake.file('var/db/clawdie/jaildisks/.import.img', 'x').file('var/db/clawdie/jaildisks/worker.img', 'x');
    expect(start()).toMatchObject({ code: 0, stderr: '' });
    expect(fake.has('var/db/clawdie/.import.a1B2c3')).toBe(false);
    expect(readdirSync(join(fake.root, 'var/db/clawdie/jaildisks'))).toEqual(['worker.img']);
  });

  it('stops the boot where it cannot', async () => {
    await boot();
    fake.file('etc/pf.conf', pfOf()).file(`${STATE}/tailnet`, 'on\n').stub('mktemp', 'exit 1');
    expect(start().stdout).toContain('STOP BOOT true');
  });

  it('lets somebody have rules of his own', async () => {
    await boot();
    fake.file('etc/pf.conf', 'block all\n').file(`${STATE}/tailnet`, 'on\n');
    const result = start();
    expect(result).toMatchObject({ code: 0 });
    expect(result.stderr).toContain('is not in force');
    expect(fake.read('etc/pf.conf')).toBe('block all\n');
  });
});

describe('what was set on the instance', () => {
  it('by sysrc outlives an overlay, as far as that does not set it', async () => {
    await boot();
    sysrc('postgresql_enable=YES', 'sshd_enable=NO', 'tailscaled_enable=YES', 'motto=two words');
    await boot({ OPEN_PORTS: '8443/tcp' });
    expect(rc('postgresql_enable', 'sshd_enable', 'tailscaled_enable', 'motto')).toEqual([
      'YES',
      'YES',
      'YES',
      'two words',
    ]);
    // Taken back, it stays away; and what the overlay begins to set is the overlay's.
    sysrc('-x', 'postgresql_enable');
    await boot({ TAILSCALE: 'host' });
    expect(rc('postgresql_enable', 'motto')).toEqual(['', 'two words']);
    expect(fake.read('etc/rc.conf').match(/^tailscaled_enable=/gm)).toHaveLength(1);
    expect(fake.read(`${STATE}/rc.conf`)).toBe('motto="two words"\n');
  });

  it('is as before where an overlay on trial has set the same, and is taken back', async () => {
    const trial = (...args: readonly string[]): ScriptResult =>
      fake.run('overlays/base/sbin/clawdie-trial', args);
    for (const each of ['daemon', 'jls', 'reboot']) fake.stub(each);
    await boot();
    sysrc('tailscaled_enable=YES', 'motto=two words');
    fake.file('new', await slotOf(overlayOf(configOf({ ...NAMES, TAILSCALE: 'host' }))));
    expect(trial('overlay', 'x', join(fake.root, 'new'))).toMatchObject({ code: 0, stdout: '' });
    expect(fake.run(INIT).stdout).toContain(' applied.');
    expect(fake.read(`${STATE}/rc.conf`)).toBe('motto="two words"\n');
    expect(fake.run(INIT).stdout).toContain('the overlay on trial is taken back');
    trial('start');
    expect(trial('status').stdout).toContain('last.result back');
    expect(rc('tailscaled_enable', 'motto')).toEqual(['YES', 'two words']);
    expect(fake.read('etc/rc.conf').match(/^tailscaled_enable=/gm)).toHaveLength(1);
    expect(fake.has('var/db/clawdie/trial/settings')).toBe(false);
  });

  it('does not take what is no setting', async () => {
    await boot();
    fake.file('etc/rc.conf', `${fake.read('etc/rc.conf')}evil="$(reboot)"\nfor x in y; do\n\tz="1"\ndone\n`);
    await boot({ OPEN_PORTS: '8443/tcp' });
    expect(fake.read('etc/rc.conf')).not.toMatch(/evil|for x/);
  });

  it('and files of the operator are left alone, whatever comes and goes', async () => {
    await boot({ GLASSPANE: 'yes', TAILSCALE: 'host' });
    fake.file('etc/rc.conf.local', 'mine\n').file('etc/pf.conf.d/local.conf', 'mine\n');
    await boot();
    expect([fake.read('etc/rc.conf.local'), fake.read('etc/pf.conf.d/local.conf')]).toEqual([
      'mine\n',
      'mine\n',
    ]);
  });
});

describe('a folder of the operator’s that is a link, where an overlay has one', () => {
  const templates = 'usr/local/bastille/templates/clawdie/worker/Bastillefile';

  it.each(['usr/local/bastille', 'usr/local'])('is left: the overlay before stands: %s', async (name) => {
    await boot();
    const disk = join(fake.root, 'disk2');
    renameSync(join(fake.root, name), disk);
    symlinkSync(disk, join(fake.root, name));
    const before = fake.read('etc/pf.conf');
    const result = await boot({ OPEN_PORTS: '8443/tcp' });
    expect(result.code).toBe(0);
    expect(result.stdout).toContain(
      `clawdie-init: the overlay has a folder /${name}, which is a link here; mount there what it leads to (mount_nullfs(8), fstab(5)): it is not applied.\n`,
    );
    expect(result.stdout).toMatch(/^clawdie-init: overlay [0-9a-f]{64} stands\.$/m);
    expect(lstatSync(join(fake.root, name)).isSymbolicLink()).toBe(true);
    expect(fake.has(templates)).toBe(true);
    expect(fake.read('etc/pf.conf')).toBe(before);
    // A mount is no link.
    rmSync(join(fake.root, name));
    renameSync(disk, join(fake.root, name));
    await boot({ OPEN_PORTS: '8443/tcp' });
    expect(fake.read('etc/pf.conf')).not.toBe(before);
  });
});

describe('tenants that were added on the instance', () => {
  const tenant = (...args: readonly string[]): ScriptResult => fake.run(join(SBIN, 'clawdie-tenant'), args);
  const listed = (): string => tenant('list').stdout.replaceAll('\t', ' ');
  const OLGA = 'olga warden1 192.168.101.0/24 192.168.101.1';

  it('are there after the next overlay, with their bridges', async () => {
    await boot();
    expect(tenant('add', 'olga')).toMatchObject({ code: 0, stderr: '' });
    const before = listed();
    expect(before).toContain(OLGA);
    const result = await boot({ OPEN_PORTS: '8443/tcp' });
    expect(result.stdout).toContain('the tenant olga is there as before, on warden1');
    expect(listed()).toBe(before);
    expect(rc('cloned_interfaces', 'ifconfig_bridge1_name', 'ifconfig_warden1')).toEqual([
      'lo1 bridge0 bridge1',
      'warden1',
      'inet 192.168.101.1/24 group wardens up',
    ]);
    // Once more changes nothing, and one that was taken away stays away.
    const conf = fake.read('etc/rc.conf');
    fake.run('overlays/firstboot/usr/local/libexec/clawdie/state-back.sh');
    expect(fake.read('etc/rc.conf')).toBe(conf);
    fake.stub('ifconfig', 'exit 1');
    expect(tenant('remove', 'olga')).toMatchObject({ code: 0, stderr: '' });
    await boot({ OPEN_PORTS: '8444/tcp' });
    expect(listed()).not.toContain('olga');
    expect(rc('cloned_interfaces', 'ifconfig_warden1')).toEqual(['lo1 bridge0', '']);
  });

  it('give way to what the overlay says, aloud', async () => {
    await boot();
    tenant('add', 'olga');
    expect((await boot({ TENANTS: 'boris' })).stdout).toContain(
      'the tenant olga was added here on warden1, which the overlay gives to another one: it stays out',
    );
    expect(listed()).not.toContain('olga');
    expect((await boot({ TENANTS: 'olga=192.168.7.0/24' })).stdout).toContain(
      'in another place than it had here',
    );
    expect((await boot({ JAIL_SUPERNET: '192.168.0.0/16', AGENT_NET: '192.168.0.0/24' })).stdout).toContain(
      'for which the overlay has no rules',
    );
    await boot();
    expect(listed()).toContain(OLGA);
  });
});

describe('hosts that were shut out', () => {
  it('are so again after a restart', () => {
    const script = 'overlays/firstboot/etc/rc.d/clawdie_bans';
    fake.withRcSubr().stub('pfctl', 'case "$*" in *show) echo "   198.51.100.66" ;; esac');
    expect(fake.run(script, ['start']).calls).toEqual([]);
    expect(fake.run(script, ['stop']).code).toBe(0);
    expect(fake.read(`${STATE}/bruteforce`)).toBe('   198.51.100.66\n');
    // A power cut asks no script: cron(8) does, before.
    rmSync(join(fake.root, STATE, 'bruteforce'));
    expect(fake.run(script, ['save']).code).toBe(0);
    expect(fake.read(`${STATE}/bruteforce`)).toBe('   198.51.100.66\n');
    expect(statSync(join(fake.root, STATE, 'bruteforce')).mode & 0o777).toBe(0o600);
    expect(fake.run(script, ['start']).calls.map((call) => call.replaceAll(fake.root, ''))).toEqual([
      `pfctl -q -t bruteforce -T add -f /${STATE}/bruteforce`,
    ]);
  });
});

describe('clawdie-state', () => {
  const state = (args: readonly string[], root = fake): ScriptResult =>
    root.run(join(SBIN, 'clawdie-state'), args);

  it('moves an instance to a new disk, as one file that root alone reads', async () => {
    await boot();
    fake
      .file(`${STATE}/tailnet`, 'on\n')
      .file('etc/ssh/ssh_host_ed25519_key', 'PRIVATE', 0o600)
      .file('etc/ssh/ssh_host_ed25519_key.pub', 'public')
      .file('var/db/tailscale/tailscaled.state', 'NODE', 0o600)
      .file('var/db/clawdie/jails.added', 'first natasha plain\n')
      .file('var/db/clawdie/trust/serial', '7\n')
      .file('var/db/clawdie/trust/root', '5\n')
      .file('etc/rc.conf.local', 'mine\n');
    sysrc('postgresql_enable=YES');
    fake.run(join(SBIN, 'clawdie-tenant'), ['add', 'olga']);
    const file = join(fake.root, 'export');
    const exported = state(['export', file]);
    expect(exported).toMatchObject({ code: 0, stderr: '' });
    expect(exported.stdout).toContain('/etc/rc.conf.local, which is yours, is not in it');
    fake.file('etc/rc.conf.local', 'zfs_enable="YES"\n');
    expect(state(['export', `${file}.2`]).stdout).not.toContain('rc.conf.local');
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(state(['export', file]).stderr).toContain('is there already');

    const old = fake;
    fake = withPrograms(await installedInstance());
    await boot({ OPEN_PORTS: '8443/tcp' });
    fake
      .file('etc/ssh/ssh_host_ed25519_key', 'NEW', 0o600)
      .file('var/db/clawdie/trust/serial', '8\n')
      .file('var/db/clawdie/trust/root', '4\n');
    const result = state(['import', join(old.root, 'export')]);
    expect(result).toMatchObject({ code: 0, stderr: '' });
    expect(result.stdout).toContain('SSH will be over the tailnet only');
    expect(fake.read('etc/pf.conf')).toBe(withTailscale(pfOf({ OPEN_PORTS: '8443/tcp' })));
    expect(fake.read('etc/ssh/ssh_host_ed25519_key')).toBe('PRIVATE');
    expect(statSync(join(fake.root, 'etc/ssh/ssh_host_ed25519_key')).mode & 0o777).toBe(0o600);
    expect(fake.read('var/db/tailscale/tailscaled.state')).toBe('NODE');
    expect(fake.read('var/db/clawdie/jails.added')).toBe('first natasha plain\n');
    expect(fake.read('etc/clawdie/clawdie.conf')).toContain('olga:warden1:');
    expect(rc('postgresql_enable')).toEqual(['YES']);
    expect(fake.has('etc/rc.conf.local')).toBe(false);
    // What was refused there, or would have been here, is refused.
    expect(fake.read('var/db/clawdie/trust/serial')).toBe('8\n');
    expect(fake.read('var/db/clawdie/trust/root')).toBe('5\n');
    expect(readdirSync(join(fake.root, 'var/db/clawdie')).filter((name) => name.startsWith('.'))).toEqual([]);
    expect(state(['show']).stdout).toContain(
      'SSH        over the tailnet only\ntenants    olga \njails      first \n',
    );
  });

  it('takes nothing else: no other assistant, no damaged file, nothing that lies elsewhere', async () => {
    await boot();
    const other = withPrograms(await installedInstance());
    await boot({ ASSISTANT_NAME: 'igor' }, other);
    const file = join(other.root, 'export');
    expect(state(['export', file], other).code).toBe(0);
    expect(state(['import', file]).stderr).toContain(
      'is of igor; this instance is natasha. Nothing was changed.',
    );
    writeFileSync(file, 'x'.repeat(2000));
    expect(state(['import', file]).stderr).toContain('is damaged, or no export');
    for (const name of ['etc/master.passwd', 'etc/ssh/sshd_config', 'var/db/tailscale/../../../etc/passwd']) {
      other
        .file(`${STATE}/export`, 'clawdie-state 1\nassistant natasha\n')
        .file('etc/ssh/sshd_config', 'x')
        .file('etc/master.passwd', 'x')
        .file('etc/passwd', 'x')
        .file('var/db/tailscale/x', 'x');
      execFileSync('tar', ['-Pcf', file, '-C', other.root, `${STATE}/export`, name]);
      expect(state(['import', file]).stderr).toContain('is no part of a state; nothing was changed');
    }
    symlinkSync('/etc/passwd', join(other.root, 'var/db/tailscale/link'));
    execFileSync('tar', ['-cf', file, '-C', other.root, `${STATE}/export`, 'var/db/tailscale/link']);
    expect(state(['import', file]).stderr).toContain('holds what is no file');
    chmodSync(file, 0o600);
  });

  it('knows whose a file is', async () => {
    await boot();
    fake.file(`${STATE}/tailnet`, 'on\n').file('etc/mine', '');
    expect(
      state(['owner', '/etc/pf.conf', '/etc/rc.conf.local', `/${STATE}/tailnet`, '/etc/mine']).stdout,
    ).toBe(
      `/etc/pf.conf\tthe overlay's\n/etc/rc.conf.local\tthe operator's\n/${STATE}/tailnet\tthe instance's\n/etc/mine\tthe operator's, or the base system's\n`,
    );
  });
});
