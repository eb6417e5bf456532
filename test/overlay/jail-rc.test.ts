import { symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { FakeRoot } from '../helpers/shell.js';
import type { ScriptResult } from '../helpers/shell.js';

const TOOL = 'overlays/firstboot/usr/local/libexec/clawdie/jail-rc';

let fake: FakeRoot;

/** What root in the jail runs as rc(8) and rc.shutdown(8): sh, on this machine. */
const jail = (body: string): void => void fake.stub('jexec', body);
const run = (stage: string, name = 'w1'): ScriptResult =>
  fake.run(TOOL, [stage], { JNAME: name, FAKE: fake.root });
const calls = (result: ScriptResult): readonly string[] =>
  result.calls.map((call) => call.replaceAll(fake.root, ''));
const log = (): string => fake.read('var/log/bastille/w1/console.log');

beforeEach(async () => {
  fake = (await FakeRoot.make())
    .stub('rctl')
    .stub('sleep')
    .stub('daemon', 'shift; "$@"')
    // With a terminal of its own, as script(1) of FreeBSD gives it.
    .stub('script', 'shift 2; exec setsid -w "$@"')
    .file(
      'usr/local/bastille/jails/w1/rctl.conf',
      'jail:w1:maxproc:deny=100/jail\njail:w1:pcpu:deny=50/jail\n',
    );
  jail('exit 0');
});

describe('jail-rc', () => {
  it('has the limits of a jail in force before anything of it runs', () => {
    const result = run('start');
    expect(result).toMatchObject({ code: 0, stdout: '', stderr: '' });
    expect(calls(result).map((call) => call.replace(/^script .* jexec/, 'script … jexec'))).toEqual([
      'rctl -a jail:w1:maxproc:deny=100/jail',
      'rctl -a jail:w1:pcpu:deny=50/jail',
      expect.stringMatching(/^daemon -f .*jail-rc rc$/),
      'script … jexec w1 /bin/sh /etc/rc',
      'jexec w1 /bin/sh /etc/rc',
    ]);
  });

  it('starts no jail that cannot be bounded', () => {
    fake.stub('rctl', 'exit 1');
    const result = run('start');
    expect(result.code).toBe(1);
    expect(calls(result)).toEqual(['rctl -a jail:w1:maxproc:deny=100/jail']);
  });

  it('does not wait for one that never ends, and says that it runs', () => {
    fake.stub('daemon');
    const result = run('start');
    expect(result.code).toBe(0);
    expect(calls(result).filter((call) => call === 'sleep 0.2')).toHaveLength(300);
  });

  it.each(['start', 'stop'])('%s: what the jail says of its end decides nothing', (stage) => {
    jail('exit 7');
    expect(run(stage).code).toBe(0);
  });

  it('ends rc.shutdown(8) that does not end, for its jail to be stopped', () => {
    expect(calls(run('stop'))[0]).toMatch(/^script .* jexec w1 \/bin\/sh \/etc\/rc\.shutdown$/);
    fake.stub('timeout', 'echo "$*" > "$FAKE/timed"');
    run('stop');
    expect(fake.read('timed')).toMatch(/^--foreground -k 5 30 script -q \/dev\/null /);
  });

  it('keeps what it says, of that 64 KB, and nothing that a terminal would obey', () => {
    jail('printf "Starting \\033[2Jcron.\\r\\n\\233H\\n"');
    run('start');
    expect(log()).toBe('Starting [2Jcron.\nH\n');
    jail('head -c 1000000 /dev/zero | tr "\\000" x');
    run('start');
    expect(log()).toHaveLength(65536);
  });

  it('gives script(1), and so the jail, no file of the host to write to', () => {
    jail('out=$(readlink /proc/$$/fd/1) err=$(readlink /proc/$$/fd/2)\necho "$out $err" > "$FAKE/fds"');
    run('start');
    expect(fake.read('fds')).toMatch(/^pipe:\[\d+\] pipe:\[\d+\]\n$/);
  });

  it('does nothing where jail(8) does not say for whom', () => {
    expect(run('stop', '')).toMatchObject({ code: 0, calls: [] });
  });
});

describe('what a jail can write', () => {
  const CREATE = 'overlays/firstboot/usr/local/sbin/clawdie-jail';
  const RC = 'usr/local/bastille/jails/hand/root/etc/rc.conf';
  const create = (): ScriptResult =>
    fake.run(CREATE, ['create', 'two', '--tenant', 'igor'], { CLAWDIE_JAILS_ALONE: 'yes' });

  beforeEach(() => {
    fake
      .configure({ JAIL_LIMITS: "'25% 200 50 1073741824'", TENANT_LIMITS: "'- - - -'" })
      .stub('id', 'echo 0')
      .stub('bastille', 'exit 1')
      .stub('mount')
      .stub('umount')
      .stub('mdconfig')
      .stub('sysctl', 'echo 1073741824')
      .stub('ifconfig')
      .stub('jls', 'exit 1')
      .file('usr/local/bastille/releases/15.1-RELEASE/bin/sh', '', 0o755)
      .file('usr/local/libexec/clawdie/devfs-guard', '#!/bin/sh\nexit 0\n', 0o755)
      .file('usr/local/bastille/jails/w1/jail.conf', 'w1 {\n}\n')
      .file('etc/clawdie/jails', 'w1 natasha plain 192.168.100.10 none 25% 200 50 1073741824\n');
  });
  const made = (): readonly string[] => calls(create()).filter((call) => call.startsWith('bastille create'));
  const every = Array.from({ length: 245 }, (_, at) => `a="192.168.101.${at + 10}"\n`).join('');

  it('takes no address from other tenants: what a jail of the plan says is not read', () => {
    fake.file('usr/local/bastille/jails/w1/root/etc/rc.conf', every);
    expect(made()).toEqual(['bastille create -n 192.168.101.1 two 15.1-RELEASE 192.168.101.10']);
  });

  it('is read of jails that Bastille alone has made, and no more than a few addresses', () => {
    fake.file('usr/local/bastille/jails/hand/jail.conf', 'hand {\n}\n');
    fake.file(RC, `ifconfig_vnet0="inet 192.168.101.10/24"\n${every}`);
    expect(made()).toEqual(['bastille create -n 192.168.101.1 two 15.1-RELEASE 192.168.101.11']);
  });

  it('leads to no file of the host', () => {
    const host = join(fake.root, 'host');
    writeFileSync(host, 'ifconfig_x="192.168.101.10"\n');
    fake.file('usr/local/bastille/jails/hand/jail.conf', 'hand {\n}\n').file(`${RC}.d/x`, '');
    symlinkSync(host, join(fake.root, RC));
    expect(made()).toEqual(['bastille create -n 192.168.101.1 two 15.1-RELEASE 192.168.101.10']);
  });
});
