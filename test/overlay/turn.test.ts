import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { openSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { makeView } from '../../build/overlay/view.js';
import { configOf } from '../helpers/config.js';
import { FakeRoot } from '../helpers/shell.js';
import type { ScriptResult } from '../helpers/shell.js';

const LIBRARY = 'overlays/firstboot/usr/local/libexec/clawdie';

let fake: FakeRoot;

/** A jail that is this machine: users and jails are what the test says, terminals and descriptors are real. */
const JEXEC = [
  'case "$*" in *" id -u worker") echo 1001; exit ;; *" id -u root") echo 0; exit ;; *" id -u "*) exit 1 ;; esac',
  '[ "$1 $2 $3" = "-l -U worker" ] || exit 98',
  'shift 4',
  'exec "$@"',
].join('\n');

beforeEach(async () => {
  fake = (await FakeRoot.make())
    .configure()
    .stub('id', 'case "$*" in -un) echo natasha ;; "-u root") echo 0 ;; -u) echo 0 ;; *) echo 1001 ;; esac')
    .stub('jls', '[ "$2" != stopped ]')
    .stub('jexec', JEXEC)
    .stub('logger')
    .withTurns();
});

const calls = (result: ScriptResult, of = ''): readonly string[] =>
  result.calls.map((call) => call.replaceAll(fake.root, '')).filter((call) => call.startsWith(of));
const turn = (...args: readonly string[]): ScriptResult => fake.run(join(LIBRARY, 'turn.sh'), args);
const said = (input: string, ...args: readonly string[]): ScriptResult =>
  fake.run(join(LIBRARY, 'turn.sh'), args, {}, input);
const shell = (script: string, ...options: readonly string[]): ScriptResult =>
  turn('w1', ...options, '--', 'sh', '-c', script);

/** A line of the plan of jails. */
const planned = (jail: string, tenant: string): string =>
  `${jail} ${tenant} plain 192.168.100.10 none 25% 200 50 1073741824\n`;

describe('a turn', () => {
  it('has the streams of its caller, whole, and ends as the command ends', () => {
    const result = said('in\0put', 'w1', '--', 'sh', '-c', 'cat; echo wrong >&2; exit 7');
    expect(result).toMatchObject({ code: 7, stdout: 'in\0put', stderr: 'wrong\n' });
    expect(shell('kill -KILL $$').code).toBe(137);
    expect(turn('w1', '--', 'printf', '<%s>', 'a b', '', "'$(id)", '-l').stdout).toBe("<a b><><'$(id)><-l>");
  });

  it('gives the command pipes and nothing else of the caller’s', () => {
    const result = shell('for n in 0 1 2; do [ -p /dev/fd/$n ] || echo no pipe $n; done; ls /proc/self/fd');
    // As any program here has them; one is ls's own.
    if (process.platform === 'linux')
      expect(result.stdout).toBe(execFileSync('ls', ['/proc/self/fd'], { encoding: 'utf8' }));
  });

  it('refuses where the command would inherit a descriptor, a folder of the host for instance', () => {
    expect(turn('w1', '--', 'true').code).toBe(0);
    const folder = openSync('/', 'r');
    // Descriptor 11: sh(1) cannot close what has two digits.
    const result = spawnSync('sh', [join(fake.root, '.run/turn.sh'), 'w1', '--', 'true'], {
      encoding: 'utf8',
      env: { PATH: `${fake.bin}:/usr/bin:/bin`, CLAWDIE_ROOT: fake.root },
      stdio: ['pipe', 'pipe', 'pipe', folder, ...Array<'ignore'>(7).fill('ignore'), folder],
    });
    expect(result.status).toBe(125);
    expect(result.stderr).toContain('the jail would inherit descriptors of the caller');
    fake.stub('procstat', 'exit 1');
    expect(turn('w1', '--', 'true').stderr).toContain('nobody can say which descriptors are open');
  });

  it('has a terminal of its own, and never the caller’s', () => {
    expect(turn('w1', '--', 'true').code).toBe(0);
    const inside = `sh '${join(fake.root, '.run/turn.sh')}' w1 -- sh -c 'ps -o tty= -p $$; sh -c ": < /dev/tty" && echo a terminal'`;
    writeFileSync(join(fake.root, 'typed'), `ps -o tty= -p $$\n${inside}\n`);
    const line = `sh '${join(fake.root, 'typed')}'`;
    const result = spawnSync(
      '/usr/bin/script',
      process.platform === 'freebsd' ? ['-q', '/dev/null', 'sh', '-c', line] : ['-qec', line, '/dev/null'],
      {
        encoding: 'utf8',
        env: { PATH: `${fake.bin}:/usr/bin:/bin`, CLAWDIE_ROOT: fake.root },
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
    const [callers, own, terminal] = result.stdout.split(/\s*\n/);
    expect(callers).toMatch(/^pts\/\d+$/);
    expect(own).toMatch(/^pts\/\d+$/);
    expect(own).not.toBe(callers);
    expect(terminal).toBe('a terminal');
  });

  it('passes on so much output and no more, says so, and ends', () => {
    const exact = shell('head -c 1000 /dev/zero; head -c 1000 /dev/zero >&2', '--output', '1000');
    expect(exact).toMatchObject({ code: 0 });
    expect([exact.stdout.length, exact.stderr.length]).toEqual([1000, 1000]);
    const more = shell('trap "" PIPE; head -c 1001 /dev/zero; while :; do sleep 1; done', '--output', '1000');
    expect(more.code).toBe(123);
    expect(more.stdout).toHaveLength(1000);
    expect(more.stderr).toBe(
      'clawdie-jail: there was more output than 1000 bytes: it was cut, and the turn ended\n',
    );
    const wrong = shell('head -c 1001 /dev/zero >&2', '--output', '1000');
    expect(wrong.code).toBe(123);
    expect(wrong.stderr).toHaveLength(1000 + more.stderr.length);
  });

  it('passes output on while the command runs', async () => {
    turn('w1', '--', 'true');
    const child = spawn('sh', [join(fake.root, '.run/turn.sh'), 'w1', '--', 'sh', '-c', 'echo early; cat'], {
      env: { PATH: `${fake.bin}:/usr/bin:/bin`, CLAWDIE_ROOT: fake.root },
    });
    const data = await new Promise((resolve) => child.stdout.once('data', resolve));
    expect(String(data)).toBe('early\n');
    child.stdin.end();
    expect(await new Promise((resolve) => child.once('close', resolve))).toBe(0);
  });

  it('ends after its time, with what the command has started', () => {
    const mark = `${process.pid}.5`;
    const result = shell(`sleep ${mark} & sleep ${mark}`, '--timeout', '1');
    expect(result.code).toBe(124);
    expect(result.stderr).toContain('clawdie-jail: the turn took longer than 1 s and was ended');
    expect(spawnSync('pgrep', ['-f', `sleep ${mark}`]).status).toBe(1);
  });

  it('does not wait for its caller to close its input, or for what the command left in the background', () => {
    const begin = Date.now();
    expect(shell('sleep 60 & echo done')).toMatchObject({ code: 0, stdout: 'done\n' });
    expect(Date.now() - begin).toBeLessThan(20_000);
  });

  it('ends where nothing can be written any longer of its end', () => {
    const begin = Date.now();
    expect(shell(`rm -rf ${fake.root}/var/run/clawdie/work.*`)).toMatchObject({
      code: 125,
      stderr: 'clawdie-jail: the turn broke off\n',
    });
    expect(Date.now() - begin).toBeLessThan(40_000);
  });

  it('ends what it leaves behind by the reaper that timeout(1) is', () => {
    const result = shell('exit 3');
    expect(result.code).toBe(3);
    expect(calls(result, 'timeout')).toEqual([]);
    fake.stub('timeout', `shift 3; "$@" & wait $!; echo "ended $?" > '${join(fake.root, 'ended')}'`);
    fake.stub('kill');
    // Without --foreground: then FreeBSD's is a reaper, and a signal to it reaches all that descends from it.
    expect(calls(shell('exit 3'), 'timeout')[0]).toMatch(
      /^timeout -k 5 600 sh \/\.run\/turn-inside\.sh session \/var\/run\/clawdie\/work\.\w+ w1 worker sh -c exit 3$/,
    );
  });

  it('is one at a time in one jail', () => {
    fake.stub('lockf', 'exit 75');
    const result = turn('w1', '--', 'true');
    expect(result.code).toBe(75);
    expect(result.stderr).toContain('a turn is going on in w1');
    expect(calls(result, 'jexec')).toEqual([]);
  });

  it('starts a jail that does not run, out of reach of the caller’s terminal, and says so where it cannot', () => {
    fake
      .stub('jls', `[ -e '${join(fake.root, 'started')}' ]`)
      .stub('bastille', `: > '${join(fake.root, 'started')}'`);
    const result = turn('w1', '--', 'true');
    expect(result.code).toBe(0);
    expect(calls(result, 'bastille')).toEqual(['bastille start w1']);
    if (process.platform === 'linux')
      expect(calls(result, 'script')[0]).toBe('script -q /dev/null bastille start w1');
    fake.stub('jls', 'exit 1');
    expect(turn('w1', '--', 'true')).toMatchObject({ code: 125 });
    expect(turn('w1', '--', 'true').stderr).toContain('does not run, and cannot be started');
  });

  it.each([
    ['root', 'a turn does not run as root'],
    ['nobody', 'has no user nobody'],
  ])('does not run as %s', (user, message) => {
    const result = turn('w1', '--user', user, '--', 'echo', 'ran');
    expect(result).toMatchObject({ code: 125, stdout: '' });
    expect(result.stderr).toContain(message);
  });

  it.each(['0x0', '00', '-1', '1001 1002', '$(id)'])(
    'does not run as a user whom the jail calls %j',
    (uid) => {
      fake.stub('jexec', `case "$*" in *" id -u "*) echo '${uid}' ;; *) echo ran ;; esac`);
      expect(turn('w1', '--', 'true')).toMatchObject({ code: 125, stdout: '' });
    },
  );

  it('leaves a line in the log, without arguments, and nothing else', () => {
    const result = turn('w1', '--', '/bin/echo', 'a secret');
    expect(calls(result, 'logger').map((call) => call.replace(/\d+ s,/, 'N s,'))).toEqual([
      'logger -t clawdie-turn -p auth.info -- root w1 worker: echo, N s, exit 0, out 9, err 0 bytes',
    ]);
    expect(execFileSync('ls', ['-A', join(fake.root, 'var/run/clawdie')], { encoding: 'utf8' })).toBe(
      'turn.w1\n',
    );
    expect(statSync(join(fake.root, 'var/run/clawdie')).mode & 0o777).toBe(0o700);
  });

  it.each([
    [['--', 'true']],
    [['../etc', '--', 'true']],
    [['a b', '--', 'true']],
    [['1', '--', 'true']],
    [['w1']],
    [['w1', '--']],
    [['w1', '--timeout', '0', '--', 'true']],
    [['w1', '--timeout', '5;', '--', 'true']],
    [['w1', '--output', '99999999999', '--', 'true']],
    [['w1', '--user', '-x', '--', 'true']],
    [['w1', 'true']],
  ])('refuses %j', (args) => {
    expect(turn(...args)).toMatchObject({ code: 2, calls: [] });
  });

  it('is for root', () => {
    fake.stub('id', 'echo 1001');
    expect(turn('w1', '--', 'true')).toMatchObject({ code: 125, calls: ['id -u'] });
  });
});

describe('the gate of an account', () => {
  const gate = (request: string): ScriptResult =>
    fake.run(join(LIBRARY, 'turn-gate.sh'), ['natasha'], { SSH_ORIGINAL_COMMAND: request });
  const word = (text: string): string => (text === '' ? '-' : Buffer.from(text).toString('base64'));

  beforeEach(() => {
    fake
      .file('etc/clawdie/jails', planned('w1', 'natasha') + planned('w2', 'igor'))
      .file(
        'usr/local/sbin/clawdie-jail',
        '#!/bin/sh\necho "$CLAWDIE_ACCOUNT"; printf "<%s>" "$@"; env | grep -c SSH_ORIGINAL\n',
        0o755,
      );
  });

  it('takes a turn in a jail of the account, its arguments as they were', () => {
    const words = ['sh', '-c', 'echo "$1"; $(reboot) `x`\n\n', '', '*', '-', 'ž'];
    expect(gate(`turn w1 60 1000 ${words.map(word).join(' ')}`)).toMatchObject({
      code: 1,
      stdout: `natasha\n<turn><w1><--timeout><60><--output><1000><-->${words.map((text) => `<${text}>`).join('')}0\n`,
      stderr: '',
    });
  });

  it('goes by the line of the plan: what was made or taken away on the instance counts', () => {
    const refused = { code: 125, stdout: '', stderr: 'clawdie-turn: natasha has no jail of that name.\n' };
    fake.file('var/db/clawdie/jails.added', planned('w1', 'igor') + planned('w2', 'natasha'));
    expect(gate('turn w1 60 1000 dHJ1ZQ==')).toMatchObject(refused);
    expect(gate('turn w2 60 1000 dHJ1ZQ==').stdout).toContain('<turn><w2>');
    fake.file('var/db/clawdie/jails.added', '').file('var/db/clawdie/jails.gone', 'w1\n');
    expect(gate('turn w1 60 1000 dHJ1ZQ==')).toMatchObject(refused);
  });

  it.each([
    ['nothing', '', 'no request'],
    ['a shell', 'sh', 'no request'],
    ['no command', 'turn w1 60 1000', 'no request'],
    ['a substitution', 'turn w1 60 1000 $(reboot)', 'no request'],
    ['a second command', 'turn w1 60 1000 dHJ1ZQ==; reboot', 'no request'],
    ['a second line', 'turn w1 60 1000 dHJ1ZQ==\nreboot', 'no request'],
    ['a jail of another tenant', 'turn w2 60 1000 dHJ1ZQ==', 'natasha has no jail of that name'],
    ['the beginning of a name', 'turn w 60 1000 dHJ1ZQ==', 'natasha has no jail of that name'],
    ['an option for a jail', 'turn -x 60 1000 dHJ1ZQ==', 'natasha has no jail of that name'],
    ['an option for a time', 'turn w1 --user 1000 dHJ1ZQ==', 'the time limit is no number'],
    ['a long time', 'turn w1 86401 1000 dHJ1ZQ==', 'the time limit is 86400 at most'],
    ['much output', 'turn w1 60 999999999 dHJ1ZQ==', 'the output limit is 268435456 at most'],
    ['no output', 'turn w1 60 0 dHJ1ZQ==', 'the output limit is no number'],
    ['base64 that is cut off', 'turn w1 60 1000 dHJ1ZQ', 'an argument is damaged'],
    ['zero bytes', 'turn w1 60 1000 AAAA', 'an argument is damaged'],
    ['no base64', 'turn w1 60 1000 ====', 'an argument is damaged'],
    ['a long command', `turn w1 60 1000 ${'A'.repeat(100_000)}`, 'the command is too long'],
  ])('refuses %s', (_, request, message) => {
    const result = gate(request);
    expect(result).toMatchObject({ code: 125, stdout: '' });
    expect(result.stderr).toContain(message);
    expect(calls(result, 'logger')[0]).toContain('natasha: refused:');
  });
});

describe('accounts of tenants', () => {
  const users = (): ScriptResult => fake.run(join(LIBRARY, 'shell-users.sh'));
  const keys = (): string => fake.read('etc/clawdie/keys/root');

  beforeEach(() => {
    fake.stub('pw', '[ "$1" != usershow ]').stub('chown');
  });

  it('are made without a password, with a key that opens the gate and nothing else', () => {
    const result = users();
    expect(result).toMatchObject({ code: 0, stderr: '' });
    expect(calls(result, 'pw')).toEqual(
      ['natasha', 'igor'].flatMap((name) => [
        `pw usershow -n ${name}`,
        `pw useradd -n ${name} -c Runtime of ${name} -m -M 0700 -s /bin/sh -w no`,
      ]),
    );
    expect(calls(result, 'chown')).toEqual([
      'chown natasha /etc/clawdie/turn/.new',
      'chown igor /etc/clawdie/turn/.new',
    ]);
    expect(statSync(join(fake.root, 'etc/clawdie/turn/natasha')).mode & 0o777).toBe(0o400);
    expect(keys().replace(/AAAA[A-Za-z0-9+/]+/g, 'KEY')).toBe(
      ['natasha', 'igor']
        .map(
          (name) =>
            `restrict,from="127.0.0.1",command="/usr/local/libexec/clawdie/turn-gate.sh ${name}" ssh-ed25519 KEY ${name}\n`,
        )
        .join(''),
    );
    expect(statSync(join(fake.root, 'etc/clawdie/keys/root')).mode & 0o777).toBe(0o600);
  });

  it('stay as they are, and lose their key with their tenant', () => {
    users();
    const before = keys();
    fake.stub('pw');
    expect(users()).toMatchObject({ code: 0, stdout: '' });
    expect(keys()).toBe(before);
    fake.configure({ TENANTS: "'natasha:warden0:192.168.100.0/24:192.168.100.1'" });
    expect(users().code).toBe(0);
    expect(keys()).toBe(`${before.split('\n')[0] ?? ''}\n`);
    expect(fake.has('etc/clawdie/turn/natasha')).toBe(true);
    expect(fake.has('etc/clawdie/turn/igor')).toBe(false);
    expect(fake.has('etc/clawdie/turn/igor.pub')).toBe(false);
  });

  it('are none of the system’s', () => {
    fake.stub('pw').stub('id', '[ "$2" = igor ] && echo 53 || echo 1001');
    const result = users();
    expect(result.code).not.toBe(0);
    expect(result.stdout).toContain('igor is an account of the system');
    expect(keys()).toContain('natasha');
    expect(keys()).not.toContain('igor');
  });
});

describe('clawdie-turn', () => {
  const COMMAND = 'overlays/firstboot/usr/local/bin/clawdie-turn';

  it('explains itself, and refuses what it does not understand', () => {
    expect(fake.run(COMMAND, ['--help']).stdout).toMatch(/^usage: clawdie-turn /);
    for (const args of [
      [],
      ['w1'],
      ['w1', '--'],
      ['w1', '--user', 'root', '--', 'true'],
      ['a b', '--', 'true'],
    ])
      expect([args, fake.run(COMMAND, args).code]).toEqual([args, 2]);
    expect(fake.run(COMMAND, ['w1', '--', 'true'])).toMatchObject({
      code: 125,
      stderr: expect.stringContaining('natasha has no key for turns') as string,
    });
  });

  const port = (): Promise<number> =>
    new Promise((resolve) => {
      const server = createServer().listen(0, '127.0.0.1', () => {
        const { port: free } = server.address() as AddressInfo;
        server.close(() => resolve(free));
      });
    });

  /** A real sshd with the flags of an instance, its paths those of the fake root. */
  async function startSshd(): Promise<number> {
    const free = await port();
    fake.run(join(LIBRARY, 'turn-gate.sh'), ['natasha']);
    // As it is now: what is run next is copied over it.
    for (const name of ['turn-gate.sh', 'jails.sh'])
      fake.file(`gate/${name}`, fake.read(`.run/${name}`), 0o755);
    turn('w1', '--', 'true');
    fake
      .file('etc/clawdie/jails', planned('w1', 'natasha'))
      .file(
        'usr/local/sbin/clawdie-jail',
        `#!/bin/sh\nshift\nexport CLAWDIE_ROOT='${fake.root}'\nexec sh '${join(fake.root, '.run/turn.sh')}' "$@"\n`,
        0o755,
      )
      .file('etc/ssh/x', '')
      .file(
        'etc/clawdie/keys/root',
        fake.read('etc/clawdie/keys/root').replaceAll('/usr/local/libexec/clawdie/', `${fake.root}/gate/`),
        0o600,
      );
    const hostKey = join(fake.root, 'etc/ssh/ssh_host_ed25519_key');
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', hostKey]);
    const { sshdFlags } = makeView(configOf());
    const flags = sshdFlags
      .replace('/etc/clawdie/keys/', `${fake.root}/etc/clawdie/keys/`)
      // OpenSSH before 9.8 has no penalties.
      .replace(/-o PerSourcePenaltyExemptList=\S+/, '');
    // As rc.subr(8) does it.
    const server = spawn(
      'sh',
      [
        '-c',
        `mkdir -p /run/sshd; eval exec "/usr/sbin/sshd $1" -D -e -f /dev/null -h "$2" -p "$3" -o ListenAddress=127.0.0.1 -o StrictModes=no -o PidFile=none -o "SetEnv=CLAWDIE_ROOT=$4"`,
        'sh',
        flags,
        hostKey,
        String(free),
        fake.root,
      ],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    );
    onTestFinished(() => void server.kill());
    await new Promise((resolve) => {
      server.stderr.on('data', (data) => {
        if (String(data).includes('Server listening')) resolve(undefined);
      });
    });
    return free;
  }

  it('takes a turn by a real sshd, and has its streams and its code', async (context) => {
    if (process.getuid?.() !== 0) {
      console.warn(`NOT CHECKED: ${context.task.name} (sshd for root needs root)`);
      context.skip();
    }
    fake.stub('pw').stub('chown');
    expect(fake.run(join(LIBRARY, 'shell-users.sh')).code).toBe(0);
    const environment = { CLAWDIE_TURN_PORT: String(await startSshd()) };
    const ask = (args: readonly string[], input = ''): ScriptResult =>
      fake.run(COMMAND, args, environment, input);

    const script = 'printf "<%s>" "$@"; cat; echo wrong >&2; exit 42';
    expect(ask(['w1', '--', 'sh', '-c', script, 'x', 'a b', '', "'$(id)\n."], 'in')).toMatchObject({
      code: 42,
      stdout: "<a b><><'$(id)\n.>in",
      stderr: 'wrong\n',
    });
    expect(ask(['w1', '--timeout', '1', '--', 'sleep', '60']).code).toBe(124);
    expect(ask(['w1', '--output', '5', '--', 'echo', 'too much'])).toMatchObject({
      code: 123,
      stdout: 'too m',
    });
    expect(ask(['w2', '--', 'true'])).toMatchObject({
      code: 125,
      stderr: 'clawdie-turn: natasha has no jail of that name.\n',
    });

    // The key opens nothing else: no shell, no forwarding, no file transfer.
    const key = join(fake.root, 'etc/clawdie/turn/natasha');
    const ssh = (...args: readonly string[]) =>
      spawnSync(
        'ssh',
        [
          '-F',
          '/dev/null',
          '-i',
          key,
          '-p',
          environment.CLAWDIE_TURN_PORT,
          '-o',
          'BatchMode=yes',
          '-o',
          'IdentitiesOnly=yes',
          '-o',
          'StrictHostKeyChecking=no',
          '-o',
          'UserKnownHostsFile=/dev/null',
          '-q',
          ...args,
        ],
        { encoding: 'utf8', input: 'id\n' },
      );
    expect(ssh('root@127.0.0.1', 'id')).toMatchObject({ status: 125, stdout: '' });
    expect(ssh('-tt', 'root@127.0.0.1')).toMatchObject({ stdout: '' });
    expect(ssh('-s', 'root@127.0.0.1', 'sftp').status).not.toBe(0);
    expect(ssh('-W', '127.0.0.1:22', 'root@127.0.0.1').status).not.toBe(0);

    // Another host key is another host.
    const other = join(fake.root, 'other');
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', other]);
    fake.file('etc/ssh/ssh_host_ed25519_key.pub', readFileSync(`${other}.pub`));
    expect(ask(['w1', '--', 'true']).code).toBe(255);
  });

  it('ends the turn with the caller that goes away', async (context) => {
    if (process.getuid?.() !== 0) {
      console.warn(`NOT CHECKED: ${context.task.name} (sshd for root needs root)`);
      context.skip();
    }
    fake.stub('pw').stub('chown');
    fake.run(join(LIBRARY, 'shell-users.sh'));
    const CLAWDIE_TURN_PORT = String(await startSshd());
    fake.run(COMMAND, ['--help']);
    const mark = `${process.pid}.25`;
    const child = spawn('sh', [join(fake.root, '.run/clawdie-turn'), 'w1', '--', 'sleep', mark], {
      env: { PATH: `${fake.bin}:/usr/bin:/bin`, CLAWDIE_ROOT: fake.root, CLAWDIE_TURN_PORT },
      stdio: 'ignore',
    });
    const runs = (): boolean => spawnSync('pgrep', ['-f', `^sleep ${mark}`]).status === 0;
    for (let left = 600; left > 0 && !runs(); left--) await sleep(100);
    expect(runs()).toBe(true);
    child.kill('SIGKILL');
    for (let left = 600; left > 0 && runs(); left--) await sleep(100);
    expect(runs()).toBe(false);
  });
});
