import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from 'vitest';
import { FakeRoot } from '../helpers/shell.js';
import type { ScriptResult } from '../helpers/shell.js';

const TEMPLATES = 'overlays/firstboot/usr/local/bastille/templates/clawdie';

let fake: FakeRoot;

beforeEach(async () => {
  fake = await FakeRoot.make();
});

const calls = (result: ScriptResult): readonly string[] =>
  result.calls.map((call) => call.replaceAll(fake.root, ''));

describe('templates of Bastille', () => {
  const read = (name: string): string => readFileSync(join(TEMPLATES, name, 'Bastillefile'), 'utf8');

  it('use hooks that Bastille has, and leave nothing for the shell of the host to read', () => {
    for (const name of ['worker', 'vnet-worker', 'pi-worker', 'tailscale']) {
      const lines = read(name)
        .split('\n')
        .filter((line) => line !== '' && !line.startsWith('#'));
      for (const line of lines) {
        expect([name, line]).toEqual([
          name,
          expect.stringMatching(/^(?:ARG|CMD|CONFIG|CP|INCLUDE|PKG|RESTART|SYSRC)(?: |$)/),
        ]);
        expect([name, line]).toEqual([name, expect.not.stringMatching(/[;&|<>`]|\$\(/)]);
      }
    }
  });

  it('give a worker no service that listens, and Tailscale alone the ruleset with tun(4)', () => {
    expect(read('worker')).toContain('SYSRC sshd_enable=NO\n');
    expect(read('pi-worker')).toContain('INCLUDE clawdie/worker\n');
    expect(read('vnet-worker')).toContain('INCLUDE clawdie/worker\n');
    expect(read('tailscale')).toContain('CONFIG set devfs_ruleset 14\n');
    for (const name of ['worker', 'vnet-worker', 'pi-worker'])
      expect(read(name)).not.toContain('devfs_ruleset');
  });

  it('worker: makes the user of turns, without a password, once', () => {
    const script = join(TEMPLATES, 'worker/usr/local/libexec/clawdie-worker.sh');
    fake.stub('chmod').stub('pw', '[ "$1" != usershow ]');
    expect(calls(fake.run(script))).toEqual([
      'pw usershow worker',
      'pw useradd worker -c Jailed turns -m -M 0700 -s /bin/sh -w no',
      'chmod 0700 /root',
    ]);
    fake.stub('pw');
    expect(calls(fake.run(script))).toEqual(['pw usershow worker', 'chmod 0700 /root']);
    fake.stub('pw', 'exit 1');
    expect(fake.run(script).code).not.toBe(0);
  });

  it('pi: installs the version that is asked for, without scripts of packages, once', () => {
    const script = join(TEMPLATES, 'pi-worker/usr/local/libexec/clawdie-pi.sh');
    const installed = join(fake.root, 'installed');
    fake.stub('npm', `: > '${installed}'`).stub('pi', `[ -e '${installed}' ] && echo 1.5.2`);
    const first = fake.run(script, ['1.5.2']);
    expect(first).toMatchObject({ code: 0, stdout: '1.5.2\n' });
    expect(calls(first)).toContain(
      'npm install --global --ignore-scripts --no-audit --no-fund @earendil-works/pi-coding-agent@1.5.2',
    );
    expect(calls(fake.run(script, ['1.5.2'])).filter((call) => call.startsWith('npm'))).toEqual([]);
    fake.stub('npm', 'exit 1').stub('pi', 'exit 1');
    expect(fake.run(script, ['1.5.2']).code).not.toBe(0);
  });

  it('pi: is installed without a network from the archives of the lock, where it is of that version', () => {
    const script = join(TEMPLATES, 'pi-worker/usr/local/libexec/clawdie-pi.sh');
    const locked = 'var/cache/clawdie-packages/npm';
    fake
      .file(`${locked}/package.json`, '{ "dependencies": {\n "@earendil-works/pi-coding-agent": "1.5.2"\n} }')
      .file(`${locked}/pi.tgz`, 'an archive')
      .stub('npm', 'case $1 in ci) [ -s pi.tgz ] && pwd ;; esac')
      .stub('pi', `[ -L '${join(fake.root, 'usr/local/bin/pi')}' ] && echo 1.5.2`);
    const result = fake.run(script, ['1.5.2']);
    const home = join(fake.root, 'usr/local/lib/clawdie-npm');
    expect(result).toMatchObject({ code: 0, stdout: `${home}\n1.5.2\n` });
    expect(calls(result).filter((call) => call.startsWith('npm'))).toEqual([
      'npm ci --offline --ignore-scripts --no-audit --no-fund --cache /usr/local/lib/clawdie-npm/.cache',
    ]);
    expect(fake.has('usr/local/lib/clawdie-npm/pi.tgz')).toBe(false);
    // Another version than the lock's is asked of npm.
    fake.stub('pi', 'echo 1.5.2');
    expect(calls(fake.run(script, ['1.6.0']))).toContain(
      'npm install --global --ignore-scripts --no-audit --no-fund @earendil-works/pi-coding-agent@1.6.0',
    );
  });

  it.each(['', '--global', '1.0; reboot', 'git+ssh://x'])('pi: refuses the version %j', (version) => {
    fake.stub('npm').stub('pi', 'exit 1');
    const result = fake.run(join(TEMPLATES, 'pi-worker/usr/local/libexec/clawdie-pi.sh'), [version]);
    expect(result).toMatchObject({ code: 2, calls: [] });
  });
});

describe('clawdie_browser', () => {
  const SCRIPT = 'overlays/firstboot/usr/local/etc/rc.d/clawdie_browser';
  const start = (): ScriptResult =>
    fake.run(SCRIPT, ['start'], { clawdie_browser_vmm: join(fake.root, 'vmm') });

  beforeEach(() => {
    fake
      .withRcSubr()
      .stub('kldload')
      .stub('daemon')
      .stub('bhyvectl')
      .stub('ifconfig', '[ "$*" != tapbrowser ]')
      .file('usr/local/clawdie/browser.img', 'disk')
      .file('usr/local/share/uefi-firmware/BHYVE_UEFI.fd', 'firmware');
  });

  it('is off unless rc.conf says otherwise', () => {
    expect(readFileSync(SCRIPT, 'utf8')).toContain(': ${clawdie_browser_enable:="NO"}');
    expect(readFileSync('overlays/firstboot/etc/rc.conf.hbs', 'utf8')).not.toContain('clawdie_browser');
  });

  it('starts one machine on a tap of the bridge, where the firewall is', () => {
    const result = start();
    expect(result).toMatchObject({
      code: 0,
      stdout: 'The machine for browser work runs on warden0.\n',
      stderr: '',
    });
    expect(calls(result).slice(0, -1)).toEqual([
      'ifconfig warden0',
      'kldload -n vmm',
      'ifconfig tapbrowser',
      'ifconfig tap create name tapbrowser',
      'ifconfig tapbrowser inet6 ifdisabled up',
      'ifconfig warden0 addm tapbrowser',
    ]);
    expect(calls(result).at(-1)).toMatch(
      /^daemon -f -p \/var\/run\/clawdie_browser\.pid sh \/usr\/local\/libexec\/clawdie\/browser\.sh -A .* -s 4,virtio-net,tapbrowser .* -s 31,lpc$/,
    );
  });

  it('starts no second one', () => {
    fake.file('vmm', '');
    expect(start()).toMatchObject({ code: 0, stdout: 'The machine runs already.\n' });
    expect(calls(start())).toEqual(['ifconfig warden0']);
  });

  it.each<[string, () => unknown, string]>([
    ['the disk', () => fake.removeFile('usr/local/clawdie/browser.img'), 'browser.img is not there'],
    [
      'the firmware',
      () => fake.removeFile('usr/local/share/uefi-firmware/BHYVE_UEFI.fd'),
      'BHYVE_UEFI.fd is not there',
    ],
    ['the bridge', () => fake.stub('ifconfig', 'exit 1'), 'there is no warden0'],
  ])('starts nothing without %s, and says so', (_, prepare, message) => {
    prepare();
    const result = start();
    expect(result.code).toBe(1);
    expect(result.stderr).toContain(message);
    expect(calls(result).some((call) => call.startsWith('daemon'))).toBe(false);
  });

  describe('once it runs', () => {
    const VMM = 'vmm';
    const environment = (wait = '5'): Readonly<Record<string, string>> => ({
      clawdie_browser_vmm: join(fake.root, VMM),
      clawdie_browser_pidfile: join(fake.root, 'pid'),
      clawdie_browser_wait: wait,
    });
    const ends = (result: ScriptResult): readonly string[] =>
      calls(result).filter((call) => !call.startsWith('sleep'));

    /** What keeps the machine, with a bhyve that does what the test says; `start` counts from 1. */
    const keep = async (bhyve: string): Promise<ChildProcess> => {
      fake
        .stub('logger')
        .stub('bhyvectl', `rm -f '${join(fake.root, VMM)}'`)
        .stub(
          'bhyve',
          `echo . >> '${join(fake.root, 'starts')}'; start=$(wc -l < '${join(fake.root, 'starts')}'); : > '${join(fake.root, VMM)}'\n${bhyve}`,
        );
      fake.run(SCRIPT, ['status'], environment());
      const keeper = readFileSync('overlays/firstboot/usr/local/libexec/clawdie/browser.sh', 'utf8');
      fake.file('browser.sh', keeper.replace(/^PATH=.*$/m, `PATH='${fake.bin}':/usr/bin:/bin`));
      // As daemon(8) does it.
      const child = spawn(
        'sh',
        [
          '-c',
          'sh "$1/browser.sh" -c 2 & echo $! > "$1/pid"; wait $!; code=$?; rm "$1/pid"; exit $code',
          'sh',
          fake.root,
        ],
        { stdio: 'ignore' },
      );
      for (let left = 100; left > 0 && !fake.has('starts'); left--) await sleep(50);
      return child;
    };
    const end = (child: ChildProcess): Promise<number | null> =>
      new Promise((resolve) => {
        if (child.exitCode !== null) resolve(child.exitCode);
        else child.once('close', resolve);
      });
    const starts = (): number => fake.read('starts').length / 2;

    it.each([
      ['it has powered off', 'exit 1', 1, 0],
      ['it has restarted twice, and powered off then', '[ "$start" -lt 3 ] || exit 1', 3, 0],
      ['it has failed', 'exit 4', 1, 1],
      ['it has restarted, and failed then', '[ "$start" -lt 2 ] || exit 3', 2, 1],
    ])('runs until %s', async (_, bhyve, count, code) => {
      fake.stub('sleep');
      expect(await end(await keep(bhyve))).toBe(code);
      expect(starts()).toBe(count);
      expect(fake.has(VMM)).toBe(false);
    });

    it('shuts down by the power button, and does not start again', async () => {
      // A guest that takes a moment, and says that it restarts.
      const child = await keep(
        `trap 'sleep 1; : > "${join(fake.root, 'shut')}"; exit 0' TERM; while :; do sleep 0.1; done`,
      );
      const result = fake.run(SCRIPT, ['stop'], environment('20'));
      expect(result).toMatchObject({ code: 0, stderr: '' });
      expect(fake.has('shut')).toBe(true);
      expect(await end(child)).toBe(0);
      expect(starts()).toBe(1);
      expect(ends(result).at(-1)).toBe('ifconfig tapbrowser destroy');
    });

    it('has its power cut where it does not hear, and that is said', async () => {
      const child = await keep(`trap '' TERM; exec sleep 20.25`);
      const result = fake.run(SCRIPT, ['stop'], environment('1'));
      expect(result.stderr).toContain('has not shut down within 1 s');
      // What watches it may say that it has ended meanwhile.
      expect(ends(result).filter((call) => !call.startsWith('logger '))).toEqual([
        'bhyvectl --destroy --vm=browser',
        'ifconfig tapbrowser destroy',
      ]);
      await end(child);
      expect(spawnSync('pgrep', ['-f', '^sleep 20.25$']).status).toBe(1);
      expect(starts()).toBe(1);
    });

    it('runs between two starts as well', () => {
      fake.file('pid', `${process.pid}\n`);
      expect(fake.run(SCRIPT, ['start'], environment()).stdout).toBe('The machine runs already.\n');
      expect(fake.run(SCRIPT, ['status'], environment())).toMatchObject({ code: 0 });
      fake.removeFile('pid');
      expect(fake.run(SCRIPT, ['status'], environment())).toMatchObject({ code: 1 });
    });
  });
});
