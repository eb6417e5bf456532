import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execFileSync } from 'node:child_process';
import { setTimeout as pause } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from 'vitest';
import { push } from '../../build/commands/push.js';
import type { PushContext, PushOptions } from '../../build/commands/push.js';
import { UserError } from '../../build/error.js';
import { allowedSigners } from '../../build/overlay/signers.js';
import { withTailscale } from '../../build/policy/image.js';
import { configOf, PUBLIC_KEY } from '../helpers/config.js';
import { bodyOf, overlayOf } from '../helpers/deployment.js';
import { bootWith, INIT, installedInstance } from '../helpers/instance.js';
import type { FakeRoot, ScriptResult } from '../helpers/shell.js';
import { makeKey, signedSlot } from '../helpers/signing.js';
import type { KeyPair } from '../helpers/signing.js';
import { tmp } from '../helpers/tmp.js';

const UPDATE = 'overlays/firstboot/usr/local/sbin/clawdie-update';
const TRIAL = 'overlays/base/sbin/clawdie-trial';

let folder: string;
let ours: KeyPair;
let others: KeyPair;

/** An instance in a folder, which ssh(1) of this test reaches by its name. */
class Instance {
  /** Whether somebody gets in, by what is in force: gets the text of /etc/pf.conf. */
  lets: (rules: string) => boolean = () => true;

  private constructor(
    readonly name: string,
    readonly fake: FakeRoot,
  ) {}

  static async make(name: string): Promise<Instance> {
    const fake = await installedInstance();
    const instance = new Instance(name, fake);
    for (const each of ['logger', 'sleep', 'tailscale.none', 'sysrc', 'chown']) fake.stub(each);
    fake
      .stub('id', 'echo 0')
      // Who watches counts turns then: seconds are those of this machine, which sleeps for none.
      .stub('ps', 'exit 1')
      .stub('daemon', `case "$*" in *"shutdown -r now"*) : > '${fake.root}/restart' ;; esac`)
      .stub('nc', 'exit 1')
      .stub('shutdown', `: > '${fake.root}/restart'`)
      .stub('reboot', `: > '${fake.root}/restart'`)
      .stub('jls', '[ "$1" != -j ] || exit 1')
      .stub('sockstat', 'echo "root sshd 7 4 tcp4 203.0.113.10:22 *:*"')
      .stub(
        'pfctl',
        'case "$*" in "-s info") echo "Status: Enabled" ;; *"-s rules" | "-n -v -f "*) echo "anchor \\"bastille/*\\" all" ;; esac',
      )
      .stub('ifconfig', '[ "$1" != -g ] || echo vtnet0')
      .stub('route', 'echo "  interface: vtnet0"');
    const entries = overlayOf(configOf({ ASSISTANT_NAME: name }), { signKey: ours.line });
    expect(bodyOf(entries, 'etc/clawdie/allowed_signers')).toBe(allowedSigners([ours.line]));
    expect(bootWith(fake, await signedSlot(entries, { deployment: name, serial: 10 }, ours)).code).toBe(0);
    fake.run(UPDATE, ['--help']);
    mkdirSync(join(folder, 'hosts'), { recursive: true });
    instance.link();
    return instance;
  }

  /** What ssh(1) finds of it. */
  link(): void {
    const open = this.lets(this.fake.read('etc/pf.conf'));
    writeFileSync(
      join(folder, 'hosts', this.name),
      `root='${this.fake.root}'\nbin='${this.fake.bin}'\nopen=${open ? 'yes' : 'no'}\n`,
    );
  }

  update(...args: readonly string[]): ScriptResult {
    return this.fake.run(UPDATE, args, { SSH_CONNECTION: '198.51.100.20 40001 203.0.113.10 22' });
  }

  /** What happens while somebody waits: restarts that were asked for, and the end of what nobody confirms. */
  pass(): void {
    if (this.fake.has('restart')) {
      rmSync(join(this.fake.root, 'restart'));
      this.fake.run(INIT);
      this.fake.run(TRIAL, ['start']);
    } else if (!this.lets(this.fake.read('etc/pf.conf'))) {
      const token = /^token (.*)$/m.exec(this.fake.read('var/db/clawdie/trial/pending'))?.[1] ?? '';
      this.fake.run(TRIAL, ['watch', token]);
    }
    this.link();
  }

  get serial(): string {
    return this.fake.read('var/db/clawdie/trust/serial').trim();
  }
}

/** `clawdie-iso push` with an ssh(1) that runs the real script of an instance. */
async function pushing(
  options: Partial<PushOptions>,
  instances: readonly Instance[],
  environment: NodeJS.ProcessEnv = {},
  sleep?: PushContext['sleep'],
): Promise<{ readonly all: boolean; readonly text: string }> {
  const lines: string[] = [];
  const all = await push(
    { set: [], parallel: 1, wait: 400, ...options },
    {
      environment,
      signal: new AbortController().signal,
      print: (line) => void lines.push(line),
      sleep:
        sleep ??
        (() => {
          for (const each of instances) each.pass();
          return Promise.resolve();
        }),
    },
  );
  return { all, text: lines.join('\n') };
}

/** Three instances, and the folder of what their deployments are to become. */
async function makeFleet(): Promise<{ readonly all: readonly Instance[]; readonly deployments: string }> {
  const all = [await Instance.make('anna'), await Instance.make('boris'), await Instance.make('clara')];
  const deployments = await tmp();
  writeFileSync(
    join(deployments, 'common.cfg'),
    `SSH_AUTHORIZED_KEYS="${PUBLIC_KEY}"\nSIGN_KEY="${ours.path}"\nSERIAL="11"\nPACKAGES=""\nHTTP="no"\n`,
  );
  for (const { name } of all)
    writeFileSync(join(deployments, `${name}.cfg`), `ASSISTANT_NAME="${name}"\nPUSH_TO="root@${name}"\n`);
  return { all, deployments };
}

const cfg = (name: string, text = '', key = ours): string => {
  const path = join(folder, `${name}.cfg`);
  writeFileSync(
    path,
    `ASSISTANT_NAME="${name}"\nSSH_AUTHORIZED_KEYS="${PUBLIC_KEY}"\nSIGN_KEY="${key.path}"\nSIGNERS="${ours.line}"\nPACKAGES=""\n${text}`,
  );
  return path;
};

beforeEach(async () => {
  folder = await tmp();
  [ours, others] = [makeKey(folder, 'ours'), makeKey(folder, 'others')];
  const bin = join(folder, 'bin');
  mkdirSync(bin);
  writeFileSync(
    join(bin, 'ssh'),
    `#!/bin/sh
echo "$*" >> '${folder}/asked'
while [ "$1" != -- ]; do shift; done
host=\${2#*@}
[ -f '${folder}/hosts/'"$host" ] || { echo "ssh: connect to host $host port 22: Connection refused" >&2; exit 255; }
. '${folder}/hosts/'"$host"
[ "$open" = yes ] || { echo "ssh: connect to host $host port 22: Connection timed out" >&2; exit 255; }
export PATH="$bin:/usr/bin:/bin" CLAWDIE_ROOT="$root" CLAWDIE_TEST_ROOT="$root"
export SSH_CONNECTION="198.51.100.20 $$ 203.0.113.10 22"
case $3 in
"/usr/local/sbin/clawdie-update "*) exec sh "$root/.run/clawdie-update" \${3#* } ;;
"/usr/local/sbin/clawdie-pf "*) exec sh "$root/.run/clawdie-pf" \${3#* } ;;
esac
exit 127
`,
  );
  chmodSync(join(bin, 'ssh'), 0o755);
  process.env['PATH'] = `${bin}:${process.env['PATH'] ?? ''}`;
});

describe('a push of rules', () => {
  const OWN = 'etc/pf.conf.d/operator.conf';
  const PF = 'overlays/firstboot/usr/local/sbin/clawdie-pf';
  const mine = 'block in quick on egress proto udp to port 5353\n';
  const rules = (text: string): string => {
    writeFileSync(join(folder, 'mine.conf'), text);
    return join(folder, 'mine.conf');
  };
  /** An instance that runs what this configuration renders. */
  const running = async (): Promise<{ natasha: Instance; one: { config: string; address: string } }> => {
    const natasha = await Instance.make('natasha');
    const one = { config: cfg('natasha', 'SERIAL="11"'), address: 'natasha' };
    expect((await pushing({ one }, [natasha])).all).toBe(true);
    natasha.fake.run(PF, ['--help']);
    natasha.fake.stub('sleep', 'exec /bin/sleep 0.1');
    return { natasha, one };
  };
  /** Until the rules are on trial there, or nobody is there any more who puts them on. */
  const onTrial = (natasha: Instance) => async (): Promise<void> => {
    const end = Date.now() + 10_000;
    const file = 'var/db/clawdie/trial/pending';
    const waits = (): boolean => natasha.fake.has(file) && natasha.fake.read(file).includes('phase new');
    while (Date.now() < end && !waits()) await pause(20);
  };

  it('has them on trial in the place of those of the overlay, and confirms them', async () => {
    const { natasha, one } = await running();
    const { all, text } = await pushing({ one, rules: rules(mine) }, [natasha], {}, onTrial(natasha));
    expect(text).toMatch(
      /natasha {2}natasha {2}[0-9a-f]{12} {2}has these rules in force: clawdie-pf: the rules stay/,
    );
    expect(all).toBe(true);
    expect(natasha.fake.read(OWN)).toBe(mine);
  });

  it('is refused by an instance that runs another overlay than the one they were proved with', async () => {
    const { natasha } = await running();
    const one = { config: cfg('natasha', 'SERIAL="11"\nHTTP="no"'), address: 'natasha' };
    const before = natasha.fake.read(OWN);
    const { all, text } = await pushing({ one, rules: rules(mine) }, [natasha], {}, (_, until) =>
      pause(60_000, undefined, { ...(until && { signal: until }) }),
    );
    expect(all).toBe(false);
    expect(text).toMatch(
      /has the rules of before: clawdie-pf: another overlay than [0-9a-f]{64} is in force here/,
    );
    expect(natasha.fake.read(OWN)).toBe(before);
  });

  it('asks no instance anything where they are not proved', async () => {
    const { natasha, one } = await running();
    rmSync(join(folder, 'asked'));
    await expect(
      pushing({ one, rules: rules('pass in quick on egress proto tcp to port 5900\n') }, [natasha]),
    ).rejects.toThrow(UserError);
    expect(existsSync(join(folder, 'asked'))).toBe(false);
  });
});

describe('a push', () => {
  it('has the instance try what was rendered, and confirms it in a new login', async () => {
    const natasha = await Instance.make('natasha');
    const result = await pushing(
      { one: { config: cfg('natasha', 'SERIAL="11"\nOPEN_PORTS="8443/tcp"'), address: 'root@natasha' } },
      [natasha],
    );
    expect(result.all).toBe(true);
    expect(result.text).toContain('natasha:     changed  /etc/pf.conf');
    expect(result.text).toMatch(
      /natasha {2}root@natasha {2}[0-9a-f]{12} {2}runs it: It stays\. In force: the overlay [0-9a-f]{12}, serial 11\.$/,
    );
    expect(natasha.serial).toBe('11');
    expect(natasha.fake.read('etc/pf.conf')).toContain('8443');
    // A connection that is shared would say nothing of who still gets in.
    for (const line of readFileSync(join(folder, 'asked'), 'utf8').trimEnd().split('\n'))
      expect(line).toContain('-o ControlPath=none');
    const again = await pushing(
      { one: { config: cfg('natasha', 'SERIAL="11"\nOPEN_PORTS="8443/tcp"'), address: 'root@natasha' } },
      [natasha],
    );
    expect(again).toMatchObject({ all: true });
    expect(again.text).toContain('It was in force already.');
  });

  it('says that the overlay before runs where the new one lets nobody in', async () => {
    const natasha = await Instance.make('natasha');
    natasha.lets = (rules) => !rules.includes('8443');
    const result = await pushing(
      { one: { config: cfg('natasha', 'SERIAL="11"\nOPEN_PORTS="8443/tcp"'), address: 'root@natasha' } },
      [natasha],
    );
    expect(result.all).toBe(false);
    expect(result.text.replaceAll('\n', ' ')).toMatch(
      /runs the overlay before: clawdie-update: it was taken back: nobody has logged in to confirm it within 60 s\. In force: the overlay [0-9a-f]{12}, serial 10\./,
    );
    expect(natasha.serial).toBe('10');
    expect(natasha.fake.read('etc/pf.conf')).not.toContain('8443');
  });

  it('waits for an instance that is not well, and keeps nothing that does not get well', async () => {
    const natasha = await Instance.make('natasha');
    natasha.fake.stub('route', '[ ! -e "$CLAWDIE_ROOT/mended" ] || echo "  interface: vtnet0"');
    natasha.fake.stub('sleep', '[ "$1" != 3 ] || : > "$CLAWDIE_ROOT/mended"');
    const result = await pushing(
      { one: { config: cfg('natasha', 'SERIAL="11"\nHTTP="no"'), address: 'natasha' } },
      [natasha],
    );
    expect(result.text).toContain('not yet: route: there is no default route');
    expect(result).toMatchObject({ all: true });
  });

  it('waits for a tailnet that was up before, whatever its rules say, unless the overlay turns it off', async () => {
    const natasha = await Instance.make('natasha');
    const { fake } = natasha;
    fake.stub('tailscale').stub('sysrc', 'echo YES');
    const push = async (serial: number): Promise<string> => {
      const entries = overlayOf(configOf({ ASSISTANT_NAME: 'natasha', HTTP: 'no', DNS: `9.9.9.${serial}` }), {
        signKey: ours.line,
      });
      const slot = join(folder, 'slot');
      writeFileSync(slot, await signedSlot(entries, { deployment: 'natasha', serial }, ours));
      natasha.update('overlay', slot);
      rmSync(join(fake.root, 'up'), { force: true });
      fake
        .stub('tailscale', `[ -e '${fake.root}/up' ]`)
        .stub('sleep', `[ "$1" != 3 ] || : > '${fake.root}/up'`);
      natasha.pass();
      return natasha.update('confirm').stdout;
    };
    const told = await push(11);
    expect(told).toContain('not yet: tailscale: it was up before, and is not now');
    expect(told).toContain('It stays.');
    fake.stub('sysrc', 'exit 1');
    expect(await push(12)).toMatch(/^It stays\. /);
    fake.stub('sysrc', 'echo YES').stub('tailscale', 'exit 1');
    expect(await push(13)).toMatch(/^It stays\. /);
  });

  it('waits for rules that are those of /etc/pf.conf', async () => {
    const natasha = await Instance.make('natasha');
    natasha.fake
      .stub(
        'pfctl',
        'case "$*" in "-s info") echo "Status: Enabled" ;; *"-s rules") echo "anchor \\"bastille/*\\" all" ;; "-n -v -f "*) echo "anchor \\"bastille/*\\" all"; [ -e "$CLAWDIE_ROOT/mended" ] || echo "block drop all" ;; esac',
      )
      .stub('sleep', '[ "$1" != 3 ] || : > "$CLAWDIE_ROOT/mended"');
    const result = await pushing(
      { one: { config: cfg('natasha', 'SERIAL="11"\nHTTP="no"'), address: 'natasha' } },
      [natasha],
    );
    expect(result.text).toContain('not yet: inforce: other rules are in force than /etc/pf.conf has now');
    expect(result).toMatchObject({ all: true });
  });

  it.each([
    ['another signer', 'natasha', 'SERIAL="11"', 'it is signed by none of the signers'],
    ['an older serial', 'natasha', 'SERIAL="9"', 'it is older (serial 9) than the last one (10)'],
    ['another deployment', 'igor', 'SERIAL="11"', 'it is of the deployment "igor", this is natasha'],
  ])('is refused with %s, and nothing is changed', async (what, name, text, why) => {
    const natasha = await Instance.make('natasha');
    const before = natasha.fake.read('etc/pf.conf');
    const config = cfg(name, `${text}\nHTTP="no"`, what === 'another signer' ? others : ours);
    const result = await pushing({ one: { config, address: 'natasha' } }, [natasha]);
    expect(result.all).toBe(false);
    expect(result.text).toContain(why);
    expect(result.text).toContain('runs the overlay before');
    expect([natasha.fake.read('etc/pf.conf'), natasha.fake.has('restart'), natasha.serial]).toEqual([
      before,
      false,
      '10',
    ]);
  });

  it('of a fleet stops at the first that fails, and says what runs on each', async () => {
    const { all, deployments } = await makeFleet();
    const boris = all[1];
    if (boris) boris.lets = (rules) => rules.includes('port 80 ');
    const result = await pushing({ all: deployments }, all);
    expect(result.all).toBe(false);
    expect(result.text).toContain('anna: runs it.\n');
    const [anna, failed, clara] = result.text.split('\n').slice(-3);
    expect(anna).toMatch(/^anna .* runs it: /);
    expect(failed).toMatch(/^boris .* runs the overlay before: /);
    expect(clara).toMatch(/^clara .* not begun after the first that failed/);
    expect(all.map(({ serial }) => serial)).toEqual(['11', '10', '10']);
    const further = await pushing({ all: deployments, keepGoing: true }, all);
    expect(further.all).toBe(false);
    expect(further.text.split('\n').slice(-3)).toEqual([
      expect.stringMatching(/^anna .* runs it: It was in force already\.$/),
      expect.stringMatching(/^boris .* runs the overlay before: /),
      expect.stringMatching(/^clara .* runs it: It stays\./),
    ]);
    expect(all.map(({ serial }) => serial)).toEqual(['11', '10', '11']);
    writeFileSync(join(deployments, 'clara.cfg'), 'ASSISTANT_NAME="clara"\n');
    await expect(pushing({ all: deployments }, all)).rejects.toThrow('There is no PUSH_TO in clara.cfg');
  });

  it('says so where nobody answers, or there is nothing that takes it', async () => {
    const config = cfg('natasha', 'SERIAL="11"');
    const silent = await pushing({ one: { config, address: 'root@nowhere' } }, []);
    expect(silent.text).toContain(
      'was not reached and got nothing: ssh: connect to host nowhere port 22: Connection refused. Look at the address',
    );
    await expect(pushing({ one: { config, address: '-oProxyCommand=x' } }, [])).rejects.toThrow(
      'is no destination of ssh(1)',
    );
  });
});

it('says what an interrupted push leaves behind', async () => {
  const natasha = await Instance.make('natasha');
  const interruption = new AbortController();
  const reason = new UserError('Interrupted by SIGTERM.');
  const pushed = push(
    {
      one: { config: cfg('natasha', 'SERIAL="11"\nHTTP="no"'), address: 'root@natasha' },
      ...{ set: [], parallel: 1, wait: 400 },
    },
    {
      ...{ environment: {}, signal: interruption.signal, print: () => undefined },
      sleep: () => {
        interruption.abort(reason);
        return Promise.reject(reason);
      },
    },
  );
  await expect(pushed).rejects.toMatchObject({
    message: 'Interrupted by SIGTERM. What was pushed may be on trial on natasha (root@natasha).',
    fix: expect.stringContaining('`clawdie-update status` there says what runs') as string,
    cause: reason,
  });
  expect(natasha.fake.has('restart')).toBe(true);
});

it('says of an interrupted fleet what runs on those that were done', async () => {
  const { all, deployments } = await makeFleet();
  const interruption = new AbortController();
  const reason = new UserError('Interrupted by SIGTERM.');
  const lines: string[] = [];
  const pushed = push(
    { all: deployments, set: [], parallel: 1, wait: 400 },
    {
      ...{ environment: {}, signal: interruption.signal, print: (line) => void lines.push(line) },
      sleep: () => {
        for (const each of all) each.pass();
        if (!lines.some((line) => line.startsWith('boris: Overlay '))) return Promise.resolve();
        interruption.abort(reason);
        return Promise.reject(reason);
      },
    },
  );
  await expect(pushed).rejects.toThrow('What was pushed may be on trial on boris (root@boris).');
  expect(lines.slice(-2)).toEqual([
    expect.stringMatching(/^anna {2}root@anna {2}[0-9a-f]{12} {2}runs it: It stays\./),
    expect.stringMatching(/^clara {2}root@clara {2}[0-9a-f]{12} {2}not begun$/),
  ]);
});

describe('clawdie-update', () => {
  it('says what a slot would change, and no secret of it', async () => {
    const natasha = await Instance.make('natasha');
    const entries = overlayOf(configOf({ ASSISTANT_NAME: 'natasha', HTTP: 'no', DNS: '9.9.9.9' }), {
      signKey: ours.line,
    });
    const slot = join(folder, 'slot');
    writeFileSync(slot, await signedSlot(entries, { deployment: 'natasha', serial: 12 }, ours));
    const result = natasha.update('show', slot);
    expect(result).toMatchObject({ code: 0, stderr: '' });
    expect(result.stdout).toMatch(/^Overlay [0-9a-f]{12} for 15\.1-RELEASE-amd64, serial 12\.\n/);
    expect(result.stdout).toContain('    new      /etc/resolv.conf\n');
    expect(result.stdout).toContain('    changed  /etc/pf.conf\n');
    expect(result.stdout).not.toContain('/etc/hosts\n');
    expect(natasha.serial).toBe('10');
    expect(natasha.update('confirm').stderr).toContain('there is nothing to confirm');
    expect(natasha.update('back').stderr).toContain('no overlay is on trial');
    natasha.fake.stub('daemon', 'exit 1');
    expect(natasha.update('overlay', slot)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('the instance cannot restart by itself') as string,
    });
  });

  it('names files of the overlay that were changed here, and that the next one replaces or takes away', async () => {
    const natasha = await Instance.make('natasha');
    const { fake } = natasha;
    const show = async (values: Readonly<Record<string, string>> = {}): Promise<readonly string[]> => {
      const entries = overlayOf(configOf({ ASSISTANT_NAME: 'natasha', ...values }), { signKey: ours.line });
      const slot = join(folder, 'slot');
      writeFileSync(slot, await signedSlot(entries, { deployment: 'natasha', serial: 12 }, ours));
      const { code, stdout, stderr } = natasha.update('show', slot);
      expect([code, stderr]).toEqual([0, '']);
      return stdout.split('\n').filter((line) => line.startsWith('changed here'));
    };
    const tenants = (): string =>
      /^BRIDGES='?\S+ (\S+)/m.exec(fake.read('etc/clawdie/clawdie.conf'))?.[1] ?? '';
    // What is of the instance comes back: SSH over the tailnet alone, tenants, settings.
    fake
      .file('var/db/clawdie/state/tenants', `lab:${tenants()}\n`)
      .file('etc/pf.conf', withTailscale(fake.read('etc/pf.conf')))
      .file('etc/rc.conf', `${fake.read('etc/rc.conf')}syncthing_enable="YES"\n`);
    const state = join(fake.root, 'usr/local/libexec/clawdie/state-back.sh');
    execFileSync('sh', [state], { env: { PATH: `${fake.bin}:/usr/bin:/bin`, CLAWDIE_ROOT: fake.root } });
    expect(fake.read('etc/clawdie/clawdie.conf')).toContain('lab:');
    fake.file('etc/rc.conf', `${fake.read('etc/rc.conf')}other_enable="YES"\n`);
    expect(await show({ HTTP: 'no' })).toEqual([]);
    // And this does not.
    fake
      .file('etc/pf.conf.d/operator.conf', 'pass in proto tcp to port 8080\n')
      .file('root/.ssh/authorized_keys', 'ssh-ed25519 AAAA another\n')
      .file('etc/rc.conf', fake.read('etc/rc.conf').replace(/^sshd_enable=.*$/m, 'sshd_enable="NO"'));
    expect(fake.read('etc/rc.conf')).toContain('sshd_enable="NO"');
    expect(await show({ HTTP: 'no' })).toEqual([
      'changed here, and replaced: /etc/pf.conf.d/operator.conf',
      'changed here, and replaced: /etc/rc.conf',
      'changed here, and replaced: /root/.ssh/authorized_keys',
    ]);
    expect(fake.read('etc/pf.conf.d/operator.conf')).toContain('8080');
  });

  it.each([
    [
      'while it waits',
      '[ ! -e "$CLAWDIE_ROOT/mended" ] || echo "  interface: vtnet0"',
      '[ "$1" != 3 ] || { : > "$CLAWDIE_ROOT/mended"; sh "$CLAWDIE_ROOT/.run/clawdie-update" confirm; }',
    ],
    [
      'when it does the same',
      '[ -e "$CLAWDIE_ROOT/ill" ] || { : > "$CLAWDIE_ROOT/ill"; exit; }\n' +
        '[ -e "$CLAWDIE_ROOT/twice" ] || { : > "$CLAWDIE_ROOT/twice"; sh "$CLAWDIE_ROOT/.run/clawdie-update" confirm > /dev/null; }\necho "  interface: vtnet0"',
      '',
    ],
  ])('is told what another login has decided %s', async (_, route, sleep) => {
    const natasha = await Instance.make('natasha');
    const entries = overlayOf(configOf({ ASSISTANT_NAME: 'natasha', HTTP: 'no' }), { signKey: ours.line });
    const slot = join(folder, 'slot');
    writeFileSync(slot, await signedSlot(entries, { deployment: 'natasha', serial: 12 }, ours));
    natasha.update('overlay', slot);
    natasha.pass();
    natasha.fake.stub('route', route).stub('sleep', sleep);
    const result = natasha.update('confirm');
    expect(result).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^It was confirmed\. /m) as string,
    });
    expect(result.stderr).toBe('');
    natasha.fake.file('var/db/clawdie/trial/kept', 'kind overlay\nwhat x\ntoken x\nphase tried\n');
    expect(natasha.update('confirm')).toMatchObject({
      code: 75,
      stdout: 'Somebody else is confirming it.\n',
    });
  });

  it('takes no part of a slot: what a cut connection left', async () => {
    const natasha = await Instance.make('natasha');
    const entries = overlayOf(configOf({ ASSISTANT_NAME: 'natasha', HTTP: 'no' }), { signKey: ours.line });
    const slot = await signedSlot(entries, { deployment: 'natasha', serial: 12 }, ours);
    const half = join(folder, 'half');
    writeFileSync(half, slot.subarray(0, 1_000_000));
    const result = natasha.update('overlay', half);
    expect(result.code).toBe(1);
    expect(result.stderr).toContain('it has 1000000 bytes, a slot has 4194304. Nothing was changed.');
    expect(natasha.fake.has('var/db/clawdie/trial')).toBe(false);
    expect(natasha.fake.has('restart')).toBe(false);
  });

  it('begins nothing on a disk that is full', async () => {
    const natasha = await Instance.make('natasha');
    natasha.fake.stub(
      'df',
      'printf "Filesystem 1024-blocks Used Avail\\n/dev/gpt/x 3000000 3200000 -200000\\n"',
    );
    const result = await pushing(
      { one: { config: cfg('natasha', 'SERIAL="11"\nHTTP="no"'), address: 'natasha' } },
      [natasha],
    );
    expect(result.all).toBe(false);
    expect(result.text).toContain(
      'the root file system has 0 MB free, and this takes 32. Nothing was changed.',
    );
    expect(readdirSync(join(natasha.fake.root, 'var/db/clawdie'))).not.toContain('trial');
    expect([natasha.fake.has('restart'), natasha.serial]).toEqual([false, '10']);
  });

  it('goes back when it is asked to, before and after the restart', async () => {
    const natasha = await Instance.make('natasha');
    const entries = overlayOf(configOf({ ASSISTANT_NAME: 'natasha', HTTP: 'no' }), { signKey: ours.line });
    const slot = join(folder, 'slot');
    writeFileSync(slot, await signedSlot(entries, { deployment: 'natasha', serial: 12 }, ours));
    expect(natasha.update('overlay', slot).code).toBe(0);
    expect(natasha.update('confirm')).toMatchObject({ code: 75 });
    expect(natasha.update('back').stdout).toMatch(/In force: the overlay [0-9a-f]{12}, serial 10\.\n$/);
    natasha.update('overlay', slot);
    natasha.pass();
    expect(natasha.serial).toBe('12');
    natasha.update('back');
    natasha.pass();
    expect(natasha.serial).toBe('10');
    expect(natasha.update('confirm').stderr).toContain('it was taken back: somebody wanted it.');
  });
});
