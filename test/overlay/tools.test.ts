import { execFileSync, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { sha256 } from '../../build/host/hash.js';
import { withTailscale } from '../../build/policy/image.js';
import { configOf } from '../helpers/config.js';
import { bodyOf, overlayOf } from '../helpers/deployment.js';
import { pflogFile } from '../helpers/pflog.js';
import { TRIAL_FILES } from '../helpers/instance.js';
import { FakeRoot } from '../helpers/shell.js';
import { tmp } from '../helpers/tmp.js';
import type { ScriptResult } from '../helpers/shell.js';

const TOOLS = 'overlays/firstboot/usr/local/sbin';
const NAMES = [
  'clawdie-glasspane',
  'clawdie-blocked',
  'clawdie-jail',
  'clawdie-netcheck',
  'clawdie-pf',
  'clawdie-state',
  'clawdie-status',
  'clawdie-tailscale',
  'clawdie-tenant',
  'clawdie-unblock',
  'clawdie-update',
];
const PF_CONF = bodyOf(overlayOf(configOf()), 'etc/pf.conf');

let fake: FakeRoot;

beforeEach(async () => {
  fake = (await FakeRoot.make()).configure().stub('id', 'echo 0').file('etc/pf.conf', PF_CONF, 0o600);
});

const run = (
  tool: string,
  args: readonly string[] = [],
  environment: Readonly<Record<string, string>> = {},
): ScriptResult => fake.run(join(TOOLS, tool), args, environment);

const calls = (result: ScriptResult, of = ''): readonly string[] =>
  result.calls.map((call) => call.replaceAll(fake.root, '')).filter((call) => call.startsWith(of));

describe('every tool', () => {
  it.each(NAMES)('%s explains itself, and refuses what it does not understand', (tool) => {
    expect(run(tool, ['--help'])).toMatchObject({ code: 0, stderr: '' });
    expect(run(tool, ['--help']).stdout).toMatch(new RegExp(`^usage: ${tool} `));
    const wrong = run(tool, ['--nonsense']);
    expect(wrong.code).toBe(2);
    expect(wrong.stderr).toContain('usage:');
  });

  it.each([
    ['clawdie-blocked', []],
    ['clawdie-glasspane', []],
    ['clawdie-netcheck', []],
    ['clawdie-pf', ['back']],
    ['clawdie-state', ['show']],
    ['clawdie-tailscale', ['enable']],
    ['clawdie-tenant', ['add', 'olga']],
    ['clawdie-unblock', ['--all']],
    ['clawdie-update', ['status']],
  ] as const)('%s is for root', (tool, args) => {
    fake.stub('id', 'echo 1001');
    const result = run(tool, args);
    expect(result).toMatchObject({ code: 1, calls: ['id -u'] });
    expect(result.stderr).toContain('only root may do this');
  });
});

describe('who is banned by an address of IPv6', () => {
  it.each([
    ['2001:db8::66', '2001:db8:0:0::/64'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:DB8:0:0a::1', '2001:db8:0:a::/64'],
    ['::1:2:3:4:5:6:7', '0:1:2:3::/64'],
    ['2001:db8:1:2::', '2001:db8:1:2::/64'],
    ['::1:0:0:0:0', '0:0:0:1::/64'],
  ])('%s is of %s', (address, net) => {
    const result = fake
      .stub('pfctl', `case "$*" in *"-T show") echo "   ${address}" ;; esac`)
      .run('overlays/firstboot/usr/local/libexec/clawdie/ban-prefixes', []);
    expect(result).toMatchObject({ code: 0, stderr: '' });
    expect(calls(result, 'pfctl').slice(1)).toEqual([
      `pfctl -q -t bruteforce -T add ${net}`,
      `pfctl -q -k ${net}`,
    ]);
  });

  it('is banned with its /64 once, and others are left alone', () => {
    const table =
      '198.51.100.66 198.51.100.0/24 2001:db8::1 2001:db8::/64 2001:db8:5::/48 fe80::1%em0 ::ffff:192.0.2.1';
    const result = fake
      .stub('pfctl', `case "$*" in *"-T show") printf "   %s\\n" ${table} ;; esac`)
      .run('overlays/firstboot/usr/local/libexec/clawdie/ban-prefixes', []);
    expect(result.stderr).toBe('');
    expect(calls(result, 'pfctl')).toHaveLength(1);
  });
});

/** Whom the firewall has blocked: the last is of the net before it. */
const BANNED = ['198.51.100.66', '2001:db8::66', '2001:db8:0:7::/64', '2001:db8:0:7::5'];

describe('clawdie-unblock', () => {
  beforeEach(() => {
    // A table that forgets what is deleted; one of the nets covers the address that is of it.
    fake.file('var/db/bruteforce', BANNED.map((entry) => `${entry}\n`).join('')).stub(
      'pfctl',
      `table="${fake.root}/var/db/bruteforce"
for last in "$@"; do :; done
case "$*" in
*"-T show") sed "s/^/   /" "$table" ;;
*"-T test 2001:db8:0:7::"*) grep -qF 2001:db8:0:7::/64 "$table" ;;
*"-T test"*) grep -qxF "$last" "$table" ;;
*"-T delete"*) grep -vxF "$(echo "$last" | sed "s/:0:0::/::/")" "$table" > "$table.new"; mv "$table.new" "$table" ;;
*"-T add"*) echo "$last" >> "$table" ;;
esac`,
    );
  });

  it('takes a host out of the table, and what pf has counted of it', () => {
    const result = run('clawdie-unblock', ['198.51.100.66']);
    expect(result).toMatchObject({
      code: 0,
      stdout: 'clawdie-unblock: 198.51.100.66 may try again\n',
      stderr: '',
    });
    expect(calls(result, 'pfctl')).toEqual([
      'pfctl -q -t bruteforce -T test 198.51.100.66',
      'pfctl -q -t bruteforce -T delete 198.51.100.66',
      'pfctl -q -t bruteforce -T test 198.51.100.66',
      'pfctl -q -K 198.51.100.66',
    ]);
  });

  it('takes the /64 out that a host of IPv6 is banned with', () => {
    const result = run('clawdie-unblock', ['2001:db8:0:7::9']);
    expect(result).toMatchObject({ code: 0, stderr: '' });
    // Nor does anybody else of it bring that back.
    expect(fake.read('var/db/bruteforce')).toBe('198.51.100.66\n2001:db8::66\n');
  });

  it('changes nothing for one that is not blocked', () => {
    const result = run('clawdie-unblock', ['192.0.2.1']);
    expect(result).toMatchObject({ code: 0, stdout: 'clawdie-unblock: 192.0.2.1 is not blocked\n' });
    expect(calls(result, 'pfctl')).toHaveLength(1);
  });

  it('takes all of them out, and lists them', () => {
    expect(run('clawdie-unblock', ['--list']).stdout).toBe(BANNED.map((entry) => `${entry}\n`).join(''));
    expect(run('clawdie-unblock', ['--all']).stdout).toBe(
      BANNED.map(
        // The last one goes with its net.
        (entry, index) => `clawdie-unblock: ${entry} ${index < 3 ? 'may try again' : 'is not blocked'}\n`,
      ).join(''),
    );
    fake.stub('pfctl');
    expect(run('clawdie-unblock', ['--all'])).toMatchObject({
      code: 0,
      stdout: 'clawdie-unblock: nobody is blocked\n',
    });
  });

  it.each(['nonsense', '1.2.3.4; reboot', '-F', '/', '$(reboot)'])('refuses %j', (address) => {
    const result = run('clawdie-unblock', ['198.51.100.66', address]);
    expect(result.code).toBe(2);
    expect(calls(result, 'pfctl')).toEqual([]);
  });

  it('says so if pf does not let it go', () => {
    fake.stub('pfctl', 'case "$*" in *delete*) exit 1 ;; esac');
    expect(run('clawdie-unblock', ['1.2.3.4'])).toMatchObject({ code: 1 });
  });
});

describe('clawdie-blocked', () => {
  /** What tcpdump 4.99 prints of pflog(4) with -n -e -q -tt. */
  const HEADERS = [
    '1767225600.000123 rule 0/0(match): block in on vtnet0: 198.51.100.20.4242 > 203.0.113.10.23: tcp 0',
    '1767225610.000123 rule 0/0(match): block in on vtnet0: 198.51.100.20.4243 > 203.0.113.10.23: tcp 0',
    '1767225620.000123 rule 3/0(match): block in on vtnet0: 198.51.100.20.5353 > 203.0.113.10.161: UDP, length 40',
    '1767225630.000123 rule 3/0(match): block in on vtnet0: 198.51.100.21 > 203.0.113.10: ICMP echo request, id 1, seq 1, length 16',
    '1767225640.000123 rule 3/0(match): block in on vtnet0: 198.51.100.22 > 203.0.113.10: GREv0, proto IPv4 (0x0800), length 12: IP7 (invalid)',
    '1767225650.000123 rule 3/0(match): block in on vtnet0: 198.51.100.23 > 203.0.113.10: ip-proto-17',
    '1767225660.000123 rule 3/0(match): block in on vtnet0: 2001:db8::7.999 > 2001:db8::10.443: tcp 0',
    '1767225680.000123 rule 3/0(match): block in on vtnet0: 2001:db8::7 > 2001:db8::10: ICMP6, echo request, id 1, seq 1, length 8',
    '1767225690.000123 rule 5.bastille/x.2/0(match): block in on warden0: 192.168.100.7.1025 > 169.254.169.254.80: tcp 0',
    '1767225700.000123 rule 5/0(match): block in on warden0: 192.168.100.7.1025 > 169.254.169.254.80:  [|tcp]',
    '1767225710.000123 rule 5/0(match): pass in on warden0: 192.168.100.8.1025 > 10.0.0.1.2: tcp 0',
    'tcpdump: pcap_loop: truncated dump file',
  ];
  const headers = (lines: readonly string[]): void =>
    void fake
      .file('headers', `${lines.join('\n')}\n`)
      .stub('tcpdump', `case "$*" in *packets1) ;; *) cat '${join(fake.root, 'headers')}' ;; esac`);

  /** What stands for the tcpdump that writes: it takes the signal. */
  let writer: ChildProcess;
  afterEach(() => writer.kill('SIGKILL'));
  beforeEach(async () => {
    writer = spawn('sh', ['-c', "trap 'echo told' USR2; echo ready; while :; do sleep 0.1; done"]);
    await once(writer.stdout ?? writer, 'data');
    fake
      .stub('sleep')
      .stub('pfctl', 'echo "   198.51.100.99"')
      .stub('date', 'echo 1767225720')
      .file('var/log/clawdie-blocked/packets0', 'x')
      .file('var/log/clawdie-blocked/packets1', 'x')
      .file('var/run/clawdie/pflog.child', `${writer.pid ?? ''}\n`);
    headers(HEADERS);
  });

  it('shows who knocked, at what, how often and when last, those who did most first', async () => {
    const told = once(writer.stdout ?? writer, 'data');
    const result = run('clawdie-blocked');
    expect(result).toMatchObject({ code: 0, stderr: '' });
    expect(String(await told)).toBe('told\n');
    expect(result.stdout.split('\n')).toEqual([
      '10 packets of 6 hosts, the first 2 min ago, the last 20 s ago',
      '1 hosts tried SSH too often: clawdie-unblock --list',
      ' packets     last  on          who and at what',
      '       3    100 s  vtnet0      198.51.100.20  tcp 23, udp 161',
      '       2     20 s  warden0     192.168.100.7  tcp 80',
      '       2     40 s  vtnet0      2001:db8::7  tcp 443, ping',
      '       1     90 s  vtnet0      198.51.100.21  ping',
      '       1     80 s  vtnet0      198.51.100.22  grev0',
      '       1     70 s  vtnet0      198.51.100.23  ip-proto-17',
      '',
    ]);
  });

  it('is told so by tcpdump itself', async () => {
    const folder = await tmp();
    writeFileSync(join(folder, 'packets'), pflogFile());
    const shown = execFileSync('tcpdump', ['-n', '-e', '-q', '-tt', '-r', join(folder, 'packets')], {
      encoding: 'utf8',
      env: { PATH: `${process.env['PATH'] ?? ''}:/usr/sbin` },
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    expect(shown.trimEnd().split('\n')).toEqual(HEADERS.slice(0, -1));
  });

  it('shows what one host knocked at', () => {
    expect(run('clawdie-blocked', ['--host', '198.51.100.20']).stdout.split('\n')).toEqual([
      '198.51.100.20: 3 packets at 2 ports, the first 2 min ago, the last 100 s ago',
      ' packets     last  on          who and at what',
      '       2    110 s  vtnet0      tcp 23',
      '       1    100 s  vtnet0      udp 161',
      '',
    ]);
  });

  it('fits one screen, whoever scans', () => {
    headers(
      Array.from(
        { length: 5000 },
        (_, port) =>
          `1767225600.000123 rule 0/0(match): block in on vtnet0: 198.51.${Math.floor(port / 60)}.20.4242 > 203.0.113.10.${port + 1}: tcp 0`,
      ),
    );
    const lines = run('clawdie-blocked').stdout.trimEnd().split('\n');
    expect(lines).toHaveLength(21);
    expect(lines[3]).toMatch(
      /^ {6}60 +2 min +vtnet0 +198\.51\.\d+\.20 {2}tcp \d+, tcp \d+, tcp \d+, tcp \d+ and 56 more$/,
    );
    expect(run('clawdie-blocked', ['--lines', '3']).stdout.trimEnd().split('\n')).toHaveLength(6);
  });

  it('says so where nothing is on record, and where nothing is logged', () => {
    headers([]);
    expect(run('clawdie-blocked')).toMatchObject({
      code: 0,
      stdout: 'clawdie-blocked: nothing that was blocked is on record\n',
    });
    for (const pid of ['', '0', '1', '-1', 'x']) {
      fake.file('var/run/clawdie/pflog.child', `${pid}\n`);
      expect(run('clawdie-blocked').stderr).toContain('service clawdie_pflog start');
    }
    fake.removeFile('var/run/clawdie/pflog.child');
    expect(run('clawdie-blocked').stderr).toContain('service clawdie_pflog start');
  });

  it('shows nothing that a packet or an interface could have written into a line', () => {
    headers([
      '1767225600.000123 rule 0/0(match): block in on vtnet0: \u001b[2J.1 > x.2: tcp 0',
      '1767225600.000123 rule 0/0(match): block in on vtnet0: 198.51.100.20 > x: \u001b[2J',
    ]);
    expect(run('clawdie-blocked').stdout).toContain('198.51.100.20  other');
    expect(run('clawdie-blocked').stdout).not.toContain('\u001b');
  });

  it.each([[['--lines', '0']], [['--lines', 'x']], [['--host', 'reboot']], [['x']]])('refuses %j', (args) => {
    expect(run('clawdie-blocked', args)).toMatchObject({ code: 2, calls: [] });
  });
});

/** What a well instance answers: who confirms a change asks. */
const WELL =
  '"-s info") echo "Status: Enabled" ;; *"-s rules") echo "anchor \\"bastille/*\\" all" ;; "-n "* | *" -n "*)';
const LISTENS = 'echo "root sshd 7 4 tcp4 203.0.113.10:22 *:*"';
const well = (): void =>
  void fake
    .stub('route', 'echo "  interface: vtnet0"')
    .stub('timeout', 'shift; exec "$@"')
    .stub('nc')
    .stub('jls', 'exit 1');

/** fsync(1) that tells what of a confirmed change it was given, and what was in that. */
const synced = (trial: string): string =>
  `for f; do [ ! -e '${fake.root}/${trial}/kept' ] || { echo "$f $(cat "$f")"; } >> '${fake.root}/synced'; done`;

describe('clawdie-pf', () => {
  const NEW = { SSH_CONNECTION: '198.51.100.20 40001 203.0.113.10 22' };
  const OWN = 'etc/pf.conf.d/operator.conf';
  const mine = 'pass in proto tcp to port 8080\n';
  const self = (): string => join(fake.root, '.run/clawdie-pf');
  const wait = (script: string): void =>
    void fake.stub(
      'sleep',
      `[ -e '${join(fake.root, 'slept')}' ] || { : > '${join(fake.root, 'slept')}'; ${script}; }`,
    );

  beforeEach(() => {
    well();
    fake
      .stub('daemon')
      .stub('fsync')
      .stub('logger')
      .stub('sockstat', LISTENS)
      .stub('ifconfig', '[ "$1" != -g ] || echo vtnet0')
      .stub(
        'pfctl',
        `case "$*" in ${WELL} for f; do :; done; ! grep -q nonsense "$f" ;; *"-f "*) for f; do :; done; cp "$f" '${join(fake.root, 'loaded')}' ;; esac`,
      )
      .files(TRIAL_FILES)
      .file(OWN, '# nothing\n', 0o600)
      .file('mine', mine);
  });

  it('has rules of the operator in the place of their file, and keeps them once they are confirmed', () => {
    wait(
      `SSH_CONNECTION='${NEW.SSH_CONNECTION}' sh '${self()}' confirm; cp '${join(fake.root, 'loaded')}' '${join(fake.root, 'after')}'`,
    );
    const result = run('clawdie-pf', ['try', join(fake.root, 'mine')]);
    expect(result).toMatchObject({ code: 0, stderr: '' });
    expect(calls(result, 'pfctl -q').filter((call) => call.includes(' -f '))).toEqual([
      'pfctl -q -n -f /var/db/clawdie/trial/rules',
      'pfctl -q -f /var/db/clawdie/trial/rules',
      'pfctl -q -f /etc/pf.conf',
    ]);
    expect(fake.read(OWN)).toBe(mine);
    expect(statSync(join(fake.root, OWN)).mode & 0o777).toBe(0o600);
    expect(fake.read('etc/pf.conf')).toBe(PF_CONF);
    expect(readdirSync(join(fake.root, 'var/db/clawdie'))).toEqual(['trial']);
  });

  it('has them on the disk under their name before it says that they stay', () => {
    wait(':');
    run('clawdie-pf', ['try', join(fake.root, 'mine')]);
    fake.stub('fsync', synced('var/db/clawdie/trial'));
    expect(run('clawdie-pf', ['confirm'], NEW)).toMatchObject({ code: 0, stderr: '' });
    expect(fake.read('synced')).toContain(`${join(fake.root, OWN)} ${mine}`);
  });

  it('loads all of pf.conf with them, in their place', () => {
    wait(`cp '${join(fake.root, 'loaded')}' '${join(fake.root, 'during')}'; sh '${self()}' back`);
    const result = run('clawdie-pf', ['try', join(fake.root, 'mine')]);
    expect(result.code).toBe(1);
    expect(result.stderr).toContain('the old rules are in force again: somebody wanted it.');
    expect(fake.read('during')).toBe(PF_CONF.replace('include "/etc/pf.conf.d/operator.conf"\n', mine));
    expect(fake.read('loaded')).toBe(PF_CONF);
    expect(fake.read(OWN)).toBe('# nothing\n');
  });

  it('changes nothing where they do not load', () => {
    fake.file('mine', 'nonsense\n');
    const result = run('clawdie-pf', ['try', join(fake.root, 'mine')]);
    expect(result.code).toBe(1);
    expect(result.stderr).toContain('the rules do not load; nothing was changed');
    expect(fake.has('loaded')).toBe(false);
    expect(run('clawdie-pf', ['confirm'], NEW).stderr).toContain('there is nothing to confirm');
  });

  it('takes them from standard input, of those who know which overlay is in force', () => {
    fake.file('etc/clawdie/applied', 'abc\n');
    const other = fake.run(join(TOOLS, 'clawdie-pf'), ['try', '--overlay', 'abd', '-'], {}, mine);
    expect(other).toMatchObject({ code: 1, calls: ['id -u'] });
    expect(other.stderr).toContain('another overlay than abd is in force here; nothing was changed.');
    wait(`SSH_CONNECTION='${NEW.SSH_CONNECTION}' sh '${self()}' confirm`);
    expect(fake.run(join(TOOLS, 'clawdie-pf'), ['try', '--overlay', 'abc', '-'], {}, mine).code).toBe(0);
    expect(fake.read(OWN)).toBe(mine);
    expect(run('clawdie-pf', ['try', '--over', 'abc', '-']).code).toBe(2);
    // Something of it was overwritten since it came.
    fake.file('etc/clawdie/applied', 'abd\n').file('var/db/clawdie/overlay.came', 'abd abc\n');
    fake.removeFile('slept');
    expect(fake.run(join(TOOLS, 'clawdie-pf'), ['try', '--overlay', 'abc', '-'], {}, mine).code).toBe(0);
  });

  it('is confirmed by no login that other rules have let in, and by the console', () => {
    const loaded = join(fake.root, 'loaded');
    fake.stub(
      'pfctl',
      `case "$*" in ${WELL} ;; "-v -s info") echo "Checksum: 0x$(cksum < '${loaded}' | cut -d ' ' -f 1)" ;; *"-f "*) for f; do :; done; cp "$f" '${loaded}' ;; esac`,
    );
    wait(`pfctl -q -f '${join(fake.root, 'etc/pf.conf')}'`);
    expect(run('clawdie-pf', ['try', join(fake.root, 'mine')]).code).toBe(1);
    const result = run('clawdie-pf', ['confirm'], NEW);
    expect(result.code).toBe(1);
    expect(result.stderr).toContain('somebody has loaded other rules since, so this proves nothing');
    expect(fake.read(OWN)).toBe('# nothing\n');
    expect(run('clawdie-pf', ['confirm', '--console']).code).toBe(0);
    expect([fake.read(OWN), fake.read('loaded')]).toEqual([mine, PF_CONF]);
  });

  it('is confirmed by no connection that came while the rules were loaded, nor before they were', () => {
    const came = join(fake.root, 'came');
    fake
      .stub('pfctl', `case "$*" in ${WELL} ;; *"-f "*trial/rules) : > '${came}' ;; esac`)
      .stub(
        'sockstat',
        `${LISTENS}; [ ! -e '${came}' ] || echo "root sshd 7 4 tcp4 203.0.113.10:22 198.51.100.20:40001"`,
      );
    wait(':');
    run('clawdie-pf', ['try', join(fake.root, 'mine')]);
    expect(run('clawdie-pf', ['confirm'], NEW).stderr).toContain('older than the change');
    fake.removeFile('var/db/clawdie/trial/connections');
    expect(run('clawdie-pf', ['confirm'], NEW)).toMatchObject({
      code: 75,
      stdout: 'the rules are not in force yet: ask again.\n',
    });
  });

  it('is confirmed by no connection over IPv6 that was there before', () => {
    // As sockstat(1) writes an address of IPv6.
    fake.stub('sockstat', `${LISTENS}; echo "root sshd 7 4 tcp6 [2001:db8::10]:22 [2001:db8::20]:40001"`);
    wait(':');
    run('clawdie-pf', ['try', join(fake.root, 'mine')]);
    const from = (port: number): ScriptResult =>
      run('clawdie-pf', ['confirm'], { SSH_CONNECTION: `2001:db8::20 ${port} 2001:db8::10 22` });
    expect(from(40001).stderr).toContain('older than the change');
    expect(from(40002).code).toBe(0);
  });

  it('is taken back where it cannot be made to last, and stays where the disk has become full meanwhile', () => {
    wait(':');
    const put = (): ScriptResult => run('clawdie-pf', ['try', join(fake.root, 'mine')]);
    put();
    fake.stub('mv', `case "$*" in *trial/file\\ *) exit 1 ;; esac\nexec /bin/mv "$@"`);
    const result = run('clawdie-pf', ['confirm'], NEW);
    expect(result.code).toBe(1);
    expect(result.stderr).toContain('it cannot be made to last: the rules before are in force again.');
    expect([fake.read(OWN), fake.read('loaded')]).toEqual(['# nothing\n', PF_CONF]);
    expect(fake.read('var/db/clawdie/trial/last')).toContain('result back');
    fake.remove('mv');
    put();
    fake.stub('mktemp', 'exit 1');
    expect(run('clawdie-pf', ['confirm'], NEW)).toMatchObject({ code: 0, stderr: '' });
    expect(fake.read(OWN)).toBe(mine);
    expect(fake.read('var/db/clawdie/trial/last')).toContain('result kept');
  });

  it('loads the rules before once more where somebody else loads some right then, and says where none load', () => {
    wait(':');
    const state = 'var/db/clawdie/trial';
    const pfctl = (fails: number): void => {
      fake
        .file('busy', '')
        .stub(
          'pfctl',
          `case "$*" in ${WELL} ;; *trial/rules) cp "$3" '${join(fake.root, 'loaded')}' ;; *"-f "*) echo >> '${fake.root}/busy'; [ "$(wc -l < '${fake.root}/busy')" -gt ${fails} ] && cp "$3" '${join(fake.root, 'loaded')}' ;; esac`,
        );
    };
    fake.file('etc/pf-fallback.conf', '# fallback\n');
    pfctl(1);
    run('clawdie-pf', ['try', join(fake.root, 'mine')]);
    expect(run('clawdie-pf', ['back']).code).toBe(0);
    expect(fake.read('loaded')).toBe(PF_CONF);
    pfctl(9);
    run('clawdie-pf', ['try', join(fake.root, 'mine')]);
    const result = run('clawdie-pf', ['back']);
    expect(result.code).toBe(1);
    expect(result.stderr).toContain('neither /etc/pf.conf nor /etc/pf-fallback.conf loads');
    expect(fake.has(`${state}/back`)).toBe(true);
  });

  it.each([
    ['the internet', 'nc', 'exit 1', 'outbound: pkg.FreeBSD.org:443 answered before, and does not now'],
    ['the route', 'route', '', 'route: there is no default route'],
    ['pf itself', 'pfctl', '', 'firewall: pf is off; turn it on: service pf start'],
  ])(
    'are not confirmed while they keep %s away, by no login and not by the console',
    (_, name, body, why) => {
      wait(':');
      run('clawdie-pf', ['try', join(fake.root, 'mine')]);
      fake.stub(name, body);
      for (const [args, environment] of [
        [['confirm'], NEW],
        [['confirm', '--console'], {}],
      ] as const) {
        const result = run('clawdie-pf', args, environment);
        expect(result).toMatchObject({ code: 75, stderr: '' });
        expect(result.stdout).toContain(`not yet: ${why}\n`);
        expect(fake.read(OWN)).toBe('# nothing\n');
      }
      const token = /^token (.*)$/m.exec(fake.read('var/db/clawdie/trial/pending'))?.[1] ?? '';
      fake.run('overlays/base/sbin/clawdie-trial', ['watch', token]);
      expect(fake.read('var/db/clawdie/trial/last')).toContain(`result back\n`);
      expect(fake.read('var/db/clawdie/trial/last')).toContain(`why ${why}\n`);
    },
  );

  it('are confirmed once it is well again, and where the internet did not answer before either', () => {
    wait(':');
    run('clawdie-pf', ['try', join(fake.root, 'mine')]);
    fake.stub('route');
    expect(run('clawdie-pf', ['confirm'], NEW).code).toBe(75);
    well();
    expect(run('clawdie-pf', ['confirm'], NEW)).toMatchObject({ code: 0, stderr: '' });
    expect(fake.read(OWN)).toBe(mine);
    fake.stub('nc', 'exit 1').file(OWN, '# nothing\n');
    run('clawdie-pf', ['try', join(fake.root, 'mine')]);
    expect(run('clawdie-pf', ['confirm'], NEW).code).toBe(0);
    expect(fake.read(OWN)).toBe(mine);
  });

  it('are what is looked at, not a file that does not load: they may mend it', () => {
    wait(':');
    run('clawdie-pf', ['try', join(fake.root, 'mine')]);
    fake.stub('pfctl', `case "$*" in "-n -f "*/etc/pf.conf) exit 1 ;; ${WELL} ;; esac`);
    expect(run('clawdie-pf', ['confirm', '--console'])).toMatchObject({ code: 0, stderr: '' });
  });

  it('confirms nothing of another tool', () => {
    fake.file(
      'var/db/clawdie/trial/pending',
      'kind rules\nwhat the Tailscale block on, cut no\ntoken x\nphase new\n',
    );
    expect(run('clawdie-pf', ['confirm'], NEW).stderr).toContain(
      'what is on trial is the Tailscale block on',
    );
  });
});

describe('clawdie-tailscale', () => {
  const STATE = 'var/db/clawdie/trial';
  const TRIAL = 'sbin/clawdie-trial';
  /** What waits for its confirmation, as clawdie-trial has it. */
  const pending = (wanted: 'on' | 'off'): void =>
    void fake
      .file(
        `${STATE}/pending`,
        `kind rules\nwhat the Tailscale block ${wanted}, cut no\ntoken x\nphase new\n`,
      )
      .file(`${STATE}/connections`, '198.51.100.20:40000\n')
      .file(`${STATE}/rules`, wanted === 'on' ? active : PF_CONF);
  /** pfctl that tells what it was given to load. */
  const pfctl = (also = ''): void =>
    void fake.stub(
      'pfctl',
      `case "$*" in ${WELL} ;; *"-f "*) for f; do :; done; cp "$f" '${join(fake.root, 'loaded')}' ;; esac\n${also}`,
    );
  /** What the operator does while enable waits: with the first sleep. */
  const meanwhile = (script: string): void =>
    void fake.stub(
      'sleep',
      `[ -e '${join(fake.root, 'slept')}' ] || { : > '${join(fake.root, 'slept')}'; ${script}; }`,
    );
  const self = (): string => join(fake.root, '.run/clawdie-tailscale');
  const OLD = '198.51.100.20 40000 203.0.113.10 22';
  const NEW = '100.100.100.20 40001 100.100.100.10 22';
  const active = withTailscale(PF_CONF);

  beforeEach(() => {
    well();
    fake
      .stub('tailscale')
      .stub('service')
      .stub('sysrc')
      .stub('logger')
      .stub('daemon')
      .stub('fsync')
      .files(TRIAL_FILES)
      .stub('hostname', 'echo agent')
      .stub(
        'ifconfig',
        'if [ "$1" = -g ]; then echo vtnet0; else printf "tailscale0: flags=1\\n\\tinet 100.100.100.10 --> 100.100.100.10\\n"; fi',
      )
      .stub('sockstat', `${LISTENS}; echo "root sshd 7 4 tcp4 203.0.113.10:22 198.51.100.20:40000"`);
    pfctl();
  });

  it('changes the rules in the block alone, to those that were proved', () => {
    meanwhile(`SSH_CONNECTION='${NEW}' sh '${self()}' confirm`);
    const result = run('clawdie-tailscale', ['enable'], { SSH_CONNECTION: OLD });
    expect(result).toMatchObject({ code: 0, stderr: '' });
    expect(fake.read('etc/pf.conf')).toBe(active);
    expect(fake.read('loaded')).toBe(active);
    expect(run('clawdie-tailscale', ['enable'])).toMatchObject({
      code: 0,
      stdout: 'clawdie-tailscale: the Tailscale block is on already\n',
    });
  });

  it('does the documented steps in an order that locks nobody out: what takes it back stands first', () => {
    meanwhile(`SSH_CONNECTION='${NEW}' sh '${self()}' confirm`);
    const result = run('clawdie-tailscale', ['enable'], { SSH_CONNECTION: OLD });
    const order = calls(result).filter((call) => /^(?:sysrc|service|daemon|pfctl -q.* -f)/.test(call));
    expect(order.map((call) => call.replace(/watch .*/, 'watch TOKEN'))).toEqual([
      'sysrc -q tailscaled_enable=YES',
      'service tailscaled status',
      'pfctl -q -n -f /var/db/clawdie/trial/rules',
      'daemon -f /sbin/clawdie-trial watch TOKEN',
      'pfctl -q -f /var/db/clawdie/trial/rules',
      'pfctl -q -f /etc/pf.conf',
    ]);
  });

  it('installs Tailscale and joins the tailnet where that is not done yet; the key is in no argument', () => {
    fake
      .stub('pkg', `ln -s tailscale.kept '${join(fake.root, '../bin/tailscale')}'`)
      .stub(
        'tailscale.kept',
        `[ "$1" != up ] || : > '${join(fake.root, 'joined')}'; [ -e '${join(fake.root, 'joined')}' ]`,
      )
      .file('var/db/clawdie/tailscale.key', 'tskey-auth-secret\n', 0o600);
    fake.remove('tailscale');
    meanwhile(`SSH_CONNECTION='${NEW}' sh '${self()}' confirm`);
    const result = run('clawdie-tailscale', ['enable'], { SSH_CONNECTION: OLD });
    expect(result.code).toBe(0);
    expect(calls(result, 'pkg')).toEqual(['pkg install -y tailscale']);
    expect(calls(result, 'tailscale.kept up')).toEqual([
      'tailscale.kept up --hostname=agent --authkey=file:/var/db/clawdie/tailscale.key --timeout=60s',
    ]);
    expect(result.calls.join() + result.stdout).not.toContain('tskey');
    expect(fake.has('var/db/clawdie/tailscale.key')).toBe(false);
  });

  it('leaves /etc/pf.conf alone until it is confirmed, and brings the old rules back if nobody does', () => {
    let during = '';
    fake.stub(
      'sleep',
      `[ -e '${join(fake.root, 'slept')}' ] || { : > '${join(fake.root, 'slept')}'; cp '${join(fake.root, 'etc/pf.conf')}' '${join(fake.root, 'during')}'; cp '${join(fake.root, 'loaded')}' '${join(fake.root, 'trial')}'; token=$(sed -n 's/^token //p' '${join(fake.root, STATE, 'pending')}'); sh '${join(fake.root, TRIAL)}' watch "$token"; }`,
    );
    const result = run('clawdie-tailscale', ['enable'], { SSH_CONNECTION: OLD });
    during = fake.read('during');
    expect(during).toBe(PF_CONF);
    expect(fake.read('trial')).toBe(active);
    expect(result.code).toBe(1);
    expect(result.stderr).toContain('the old rules are in force again: it was not confirmed within 60 s');
    expect(fake.read('etc/pf.conf')).toBe(PF_CONF);
    expect(fake.read('loaded')).toBe(PF_CONF);
    expect(calls(result, 'logger')[0]).toContain('not confirmed within 60 s');
    expect(calls(result, 'sleep')).toContain('sleep 60');
    expect(fake.has(`${STATE}/pending`)).toBe(false);
    const late = run('clawdie-tailscale', ['confirm'], { SSH_CONNECTION: NEW });
    expect(late.code).toBe(1);
    expect(late.stderr).toContain('there is nothing to confirm');
  });

  it.each([
    ['no SSH connection', {}, 'this is no SSH connection'],
    ['a connection that was there before', { SSH_CONNECTION: OLD }, 'older than the change'],
    [
      'a new one that is not over the tailnet',
      { SSH_CONNECTION: '198.51.100.20 40009 203.0.113.10 22' },
      'not in the tailnet',
    ],
    [
      'an address beside the tailnet',
      { SSH_CONNECTION: '100.128.0.1 40009 203.0.113.10 22' },
      'not in the tailnet',
    ],
  ])('is not confirmed by %s', (_, environment, message) => {
    meanwhile(':');
    pending('on');
    const result = run('clawdie-tailscale', ['confirm'], environment);
    expect(result.code).toBe(1);
    expect(result.stderr).toContain(message);
    expect(fake.has(`${STATE}/pending`)).toBe(true);
    expect(fake.read('etc/pf.conf')).toBe(PF_CONF);
  });

  it('takes IPv6 of the tailnet and the console for a confirmation', () => {
    for (const [args, environment] of [
      [['confirm'], { SSH_CONNECTION: 'fd7a:115c:a1e0::20 40001 fd7a:115c:a1e0::10 22' }],
      [['confirm', '--console'], {}],
    ] as const) {
      fake.file('etc/pf.conf', PF_CONF);
      pending('on');
      expect(run('clawdie-tailscale', args, environment)).toMatchObject({ code: 0 });
      expect(fake.read('etc/pf.conf')).toBe(active);
    }
  });

  it('opens public SSH again on the console where the tailnet is down, and closes it for no tailnet that is', () => {
    fake.stub('tailscale', 'exit 1').file('etc/pf.conf', active);
    pending('off');
    expect(run('clawdie-tailscale', ['confirm', '--console'])).toMatchObject({ code: 0, stderr: '' });
    expect(fake.read('etc/pf.conf')).toBe(PF_CONF);
    pending('on');
    const result = run('clawdie-tailscale', ['confirm'], { SSH_CONNECTION: NEW });
    expect([result.code, fake.read('etc/pf.conf')]).toEqual([75, PF_CONF]);
    expect(result.stdout).toContain('not yet: tailscale: not up, and public SSH is closed');
  });

  it('is in pf.conf and in the state once it is confirmed, on a disk that has become full as well', () => {
    meanwhile(':');
    run('clawdie-tailscale', ['enable'], { SSH_CONNECTION: OLD });
    fake.stub('mktemp', 'exit 1');
    expect(run('clawdie-tailscale', ['confirm'], { SSH_CONNECTION: NEW }).code).toBe(0);
    expect([fake.read('etc/pf.conf'), fake.read('var/db/clawdie/state/tailnet')]).toEqual([active, 'on\n']);
    for (const file of ['etc/pf.conf', 'var/db/clawdie/state/tailnet'])
      expect(statSync(join(fake.root, file)).mode & 0o777).toBe(0o600);
  });

  it.each([
    ['on', active],
    ['off', PF_CONF],
  ] as const)('is on the disk before it is said to stay: %s', (wanted, rules) => {
    meanwhile(':');
    pending(wanted);
    fake.stub('fsync', synced(STATE));
    expect(run('clawdie-tailscale', ['confirm', '--console'])).toMatchObject({ code: 0, stderr: '' });
    const parts = [
      `${join(fake.root, 'etc/pf.conf')} ${rules}`,
      `${join(fake.root, 'var/db/clawdie/state/tailnet')} ${wanted}\n`,
    ];
    // What opens comes with the rules: a power cut in between is told by them, and leaves closed what was.
    expect(fake.read('synced')).toContain((wanted === 'on' ? parts : parts.reverse()).join(''));
  });

  it('ends the connections of the old way when asked, once it is confirmed', () => {
    meanwhile(`SSH_CONNECTION='${NEW}' sh '${self()}' confirm`);
    const result = run('clawdie-tailscale', ['enable', '--cut'], { SSH_CONNECTION: OLD });
    expect(result.code).toBe(0);
    expect(calls(result).at(-1)).toMatch(/^(?:pfctl -q -k label -k public-ssh|awk|sleep)/);
    expect(calls(result, 'pfctl').at(-1)).toBe('pfctl -q -k label -k public-ssh');
    expect(PF_CONF).toContain('label "public-ssh"');
  });

  it('opens public SSH again, confirmed from outside of the tailnet', () => {
    fake.file('etc/pf.conf', active);
    meanwhile(
      `SSH_CONNECTION='${NEW}' sh '${self()}' confirm || SSH_CONNECTION='198.51.100.7 9 203.0.113.10 22' sh '${self()}' confirm`,
    );
    const result = run('clawdie-tailscale', ['disable', '--cut'], { SSH_CONNECTION: NEW });
    expect(result.code).toBe(0);
    expect(result.stderr).toContain('over the tailnet, which is about to be closed');
    expect(fake.read('etc/pf.conf')).toBe(PF_CONF);
    expect(calls(result, 'pfctl').at(-1)).toBe('pfctl -q -k label -k tailnet-ssh');
  });

  it.each([
    [
      'the new rules do not load',
      (): unknown => fake.stub('pfctl', 'case "$*" in *" -n "*) exit 1 ;; esac'),
      'do not load; nothing was changed',
    ],
    ['there is nothing to take it back', (): unknown => fake.stub('daemon', 'exit 1'), 'nothing was changed'],
    [
      'the tailnet cannot be joined',
      (): unknown => fake.stub('tailscale', 'exit 1'),
      'the tailnet cannot be joined',
    ],
    [
      'tailscale0 has no address',
      (): unknown => fake.stub('ifconfig', 'exit 1'),
      'tailscale0 has no address',
    ],
    ['tailscaled does not start', (): unknown => fake.stub('service', 'exit 1'), 'tailscaled does not start'],
    [
      'pf.conf has no block',
      (): unknown => fake.file('etc/pf.conf', 'block all\n'),
      'has no Tailscale block',
    ],
    [
      'another change waits',
      (): unknown => fake.file(`${STATE}/pending`, 'kind rules\n'),
      'a change waits for its confirmation',
    ],
    [
      'each jail is a node',
      (): unknown => fake.configure({ TAILSCALE: 'jail' }),
      'jails are nodes of their own',
    ],
  ])('changes nothing if %s', (_, prepare, message) => {
    meanwhile(':');
    prepare();
    const before = fake.read('etc/pf.conf');
    const result = run('clawdie-tailscale', ['enable'], { SSH_CONNECTION: OLD });
    expect(result.code).toBe(1);
    expect(result.stderr).toContain(message);
    expect(fake.read('etc/pf.conf')).toBe(before);
    expect(fake.has('loaded')).toBe(false);
  });

  it('brings the old rules back if the new ones are refused when they are loaded', () => {
    fake.stub('pfctl', 'case "$*" in *" -n "*) ;; *trial/rules) exit 1 ;; esac');
    const result = run('clawdie-tailscale', ['enable'], { SSH_CONNECTION: OLD });
    expect(result.code).toBe(1);
    expect(calls(result, 'pfctl').at(-1)).toBe('pfctl -q -f /etc/pf.conf');
    expect(fake.has(`${STATE}/pending`)).toBe(false);
  });

  it('has no trials where the base image has none, and changes nothing then', () => {
    fake.removeFile(TRIAL);
    const result = run('clawdie-tailscale', ['enable'], { SSH_CONNECTION: OLD });
    expect(result.code).toBe(1);
    expect(result.stderr).toContain('has no trials of changes');
    expect(fake.has('loaded')).toBe(false);
  });

  it('says what is in force', () => {
    expect(run('clawdie-tailscale', ['status']).stdout).toBe(
      'tailscale   up\ntailscale0  100.100.100.10\nSSH         public, rate-limited\n',
    );
    fake.file('etc/pf.conf', active).stub('tailscale', 'exit 1').stub('ifconfig', 'exit 1');
    expect(run('clawdie-tailscale', ['status']).stdout).toBe(
      'tailscale   installed, not up\ntailscale0  no address\nSSH         over the tailnet only\n',
    );
  });
});

describe('clawdie-tenant', () => {
  beforeEach(() => {
    fake
      .stub('sysrc', '[ "$*" != "-n cloned_interfaces" ] || echo "lo1 bridge0 bridge1"')
      .stub('ifconfig', '[ "$*" != warden2 ]')
      .stub('lockf', '[ "$1" = -k ] || exit 0\nshift && exec flock -o "$@"')
      .file('var/run/x', '')
      .stub('pfctl')
      .stub('service')
      .file(
        'usr/local/libexec/clawdie/shell-env.sh',
        readFileSync('overlays/firstboot/usr/local/libexec/clawdie/shell-env.sh'),
      )
      .file('usr/local/libexec/clawdie/shell-users.sh', 'echo "accounts are set"\n')
      .file(
        'usr/local/libexec/clawdie/common.sh',
        readFileSync('overlays/firstboot/usr/local/libexec/clawdie/common.sh'),
      );
  });

  it('gives the next bridge and net, in the group that the firewall knows, and touches no rules', () => {
    const result = run('clawdie-tenant', ['add', 'olga']);
    expect(result).toMatchObject({ code: 0, stderr: '' });
    expect(result.stdout).toContain('olga has warden2, 192.168.102.0/24, gateway 192.168.102.1');
    expect(calls(result)).toEqual([
      'id -u',
      // One after the other: two at once would have one bridge.
      'lockf -s -k -t 0 /var/run/clawdie-jails.lock true',
      'lockf -k /var/run/clawdie-jails.lock /.run/clawdie-tenant add olga',
      'id -u',
      'sysrc -n cloned_interfaces',
      'sysrc -q cloned_interfaces=lo1 bridge0 bridge1 bridge2',
      'sysrc -q ifconfig_bridge2_name=warden2 ifconfig_warden2=inet 192.168.102.1/24 group wardens up ifconfig_warden2_ipv6=inet6 ifdisabled',
      'ifconfig warden2',
      'ifconfig bridge create name warden2',
      'ifconfig warden2 group wardens',
      'ifconfig warden2 inet6 ifdisabled',
      'ifconfig warden2 inet 192.168.102.1/24 up',
      'service clawdie_dns refresh',
    ]);
    expect(fake.read('etc/clawdie/clawdie.conf')).toContain(
      "TENANTS='natasha:warden0:192.168.100.0/24:192.168.100.1 igor:warden1:192.168.101.0/24:192.168.101.1 olga:warden2:192.168.102.0/24:192.168.102.1'\n",
    );
    expect(fake.read('etc/clawdie/warden.env')).toContain("WARDEN2_NAME='olga'\nWARDEN2_BRIDGE='warden2'\n");
    expect(run('clawdie-tenant', ['list']).stdout).toContain(
      'olga\twarden2\t192.168.102.0/24\t192.168.102.1\n',
    );
  });

  it('takes the last one away, with its bridge, and nobody who has jails', () => {
    fake.stub('ifconfig', 'exit 1');
    fake.file('etc/clawdie/jails', 'w igor plain 192.168.101.10 none 25% 20 50 1073741824\n');
    expect(run('clawdie-tenant', ['remove', 'igor']).stderr).toContain('igor has jails: w.');
    fake.file('etc/clawdie/jails', '');
    expect(run('clawdie-tenant', ['remove', 'natasha']).stderr).toContain('natasha is not the last tenant');
    const result = run('clawdie-tenant', ['remove', 'igor']);
    expect(result).toMatchObject({ code: 0, stderr: '' });
    expect(calls(result, 'sysrc -q')).toEqual([
      'sysrc -q cloned_interfaces=lo1 bridge0',
      'sysrc -q -x ifconfig_bridge1_name ifconfig_warden1 ifconfig_warden1_ipv6',
    ]);
    expect(calls(result, 'ifconfig')).toContain('ifconfig warden1 destroy');
    expect(run('clawdie-tenant', ['list']).stdout).toBe(
      'natasha\twarden0\t192.168.100.0/24\t192.168.100.1\n',
    );
    expect(run('clawdie-tenant', ['remove', 'natasha']).stderr).toContain('is the assistant itself');
  });

  it('changes nothing for one that is there', () => {
    const result = run('clawdie-tenant', ['add', 'igor']);
    expect(result).toMatchObject({ code: 0 });
    expect(calls(result)).toEqual(['id -u']);
  });

  it('says so when the rules have no further bridge', () => {
    run('clawdie-tenant', ['add', 'olga']);
    const result = run('clawdie-tenant', ['add', 'vera']);
    expect(result.code).toBe(1);
    expect(result.stderr).toContain('there are 3 tenants');
    expect(fake.read('etc/clawdie/clawdie.conf')).not.toContain('vera');
  });

  it.each(['Olga', '0x', 'x0', 'a b', "a'; reboot; '", 'averylongtenantname', ''])(
    'refuses the name %j',
    (name) => {
      expect(run('clawdie-tenant', ['add', name])).toMatchObject({ code: 2, calls: ['id -u'] });
    },
  );

  it('keeps the list of tenants if the bridge cannot be made', () => {
    fake.stub('ifconfig', 'exit 1');
    expect(run('clawdie-tenant', ['add', 'olga']).code).toBe(1);
    expect(fake.read('etc/clawdie/clawdie.conf')).not.toContain('olga');
  });
});

describe('clawdie-jail', () => {
  it('hands a turn on, word by word', () => {
    fake.file('usr/local/libexec/clawdie/turn.sh', 'printf "<%s>" "$@"; exit 7\n');
    expect(run('clawdie-jail', ['turn', 'w1', '--', 'a b', ''])).toMatchObject({
      code: 7,
      stdout: '<w1><--><a b><>',
    });
  });
});

describe('clawdie-netcheck', () => {
  interface Report {
    readonly ok: boolean;
    readonly first: string | null;
    readonly checks: readonly { stage: string; check: string; state: string; detail: string }[];
  }
  const json = (...args: readonly string[]): { readonly code: number | null; readonly report: Report } => {
    const result = run('clawdie-netcheck', ['--json', ...args], {
      SSH_CONNECTION: '198.51.100.20 4 203.0.113.10 22',
    });
    return { code: result.code, report: JSON.parse(result.stdout) as Report };
  };
  const state = ({ report }: { readonly report: Report }, name: string): string =>
    report.checks.find(({ stage, check }) => `${stage}.${check}` === name)?.state ?? 'absent';
  const detail = ({ report }: { readonly report: Report }, name: string): string =>
    report.checks.find(({ stage, check }) => `${stage}.${check}` === name)?.detail ?? 'absent';
  const pfctl = (more = ''): void =>
    void fake.stub(
      'pfctl',
      `case "$*" in ${more} "-s info") echo "Status: Enabled for 0 days" ;; *"-s rules" | "-n -v -f "*) echo 'anchor "bastille/*" all' ;; *"-T test"*) exit 2 ;; esac`,
    );

  beforeEach(() => {
    fake
      .stub('sockstat', `cat '${join(fake.root, 'sockets')}'`)
      .stub('service')
      .stub('ntpq', 'printf " remote refid\\n*192.0.2.7 .GPS. 1\\n"')
      .stub(
        'rctl',
        'echo "jail:worker:memoryuse:deny=536870912"; echo "jail:worker:maxproc:deny=200"; echo "jail:worker:pcpu:deny=50"',
      )
      .stub('bastille')
      .file(
        'usr/local/libexec/clawdie/cards.sh',
        '#!/bin/sh\n[ "$1" != list ] || echo vtnet0\n[ "$*" != "has e0a_box" ]\n',
        0o755,
      )
      .file('usr/local/libexec/clawdie/devfs-guard', '#!/bin/sh\n', 0o755)
      .file('usr/local/bastille/jails/worker/jail.conf', '')
      .file('usr/local/bastille/jails/worker/root/dev/null', '')
      .file(
        'etc/clawdie/jails',
        '# name tenant …\nworker natasha plain 192.168.100.10 clawdie/worker 536870912 200 50 1073741824\n',
      )
      .stub('route', 'echo "  interface: vtnet0"')
      .stub(
        'ifconfig',
        'case "$*" in "-g egress") echo vtnet0 ;; warden0) printf "\\tinet 192.168.100.1 netmask\\n" ;; esac',
      )
      .stub('sysctl', 'echo 1')
      .stub('getaddrinfo')
      .stub('nc')
      .stub(
        'jls',
        'case "$*" in name) printf "worker\\nbox\\n" ;; "-j worker vnet") echo inherit ;; "-j box vnet") echo new ;; "-j worker devfs_ruleset") echo 4 ;; esac',
      )
      .stub('script', 'shift 2; exec "$@"')
      .stub('jexec', 'shift; exec "$@"')
      .stub('node')
      .stub('pi', 'echo 1.5.2')
      .file('usr/local/sbin/clawdie-jail', '#!/bin/sh\necho 1.5.2\n', 0o755);
    pfctl();
    listening('sshd tcp4 203.0.113.10:22', 'sshd tcp6 [::1]:22');
  });
  /** Sockets of the host: COMMAND PROTOCOL ADDRESS:PORT. */
  const listening = (...sockets: readonly string[]): void =>
    void fake.file(
      'sockets',
      sockets
        .map((socket) => {
          const [command = '', proto = '', local = ''] = socket.split(' ');
          return `root     ${command}   700   7  ${proto}   ${local}   *:*\n`;
        })
        .join(''),
    );
  const planned = (line: string): void => void fake.file('etc/clawdie/jails', `${line}\n`);

  it('finds that all holds', () => {
    const result = json();
    expect(result.report.checks.filter((check) => check.state === 'fail')).toEqual([]);
    expect(result).toMatchObject({ code: 0, report: { ok: true, first: null } });
    for (const name of [
      'host.outbound',
      'host.cards',
      'services.sockets',
      'services.time',
      'services.blocked',
      'plain.worker',
      'plain.jail',
      'pi.agent',
      'turn.command',
      'vnet.bridge',
      'vnet.jail',
    ])
      expect([name, state(result, name)]).toEqual([name, 'ok']);
  });

  it('says of a jail on UFS that its disk is smaller than planned, which is no fault', () => {
    fake.file('var/db/clawdie/jaildisks/worker.img', Buffer.alloc(3 * 1024 ** 2));
    const result = json();
    expect(state(result, 'plain.worker')).toBe('ok');
    expect(detail(result, 'plain.worker')).toContain(
      'its disk has the 3 MB that it was made with, and 1024 are planned',
    );
  });

  it('names jails that run and that no plan has, which are not broken for that', () => {
    expect(state(json(), 'plain.unplanned')).toBe('absent');
    fake.file('usr/local/bastille/jails/box/jail.conf', '');
    const result = json();
    expect(result.code).toBe(0);
    expect(state(result, 'plain.unplanned')).toBe('none');
    expect(detail(result, 'plain.unplanned')).toContain('in no plan, and run: box; ');
    expect(detail(result, 'plain.unplanned')).toContain('clawdie-jail destroy NAME');
  });

  it('takes rules for those of the file whatever pfctl(8) orders, names or prints otherwise', () => {
    // As pfctl -nv writes them, and as it shows those in force (inside.ts).
    pfctl(
      [
        `"-n -v -f "*) printf '%s\\n' 'ext_if = "egress"' 'table <bruteforce> persist' 'set limit states 100' \\`,
        `  'scrub in all fragment reassemble' 'nat on egress inet from 192.168.0.0/16 to any -> (egress:0) round-robin' \\`,
        `  'pass in on egress proto tcp from <__automatic_1a2b_0> to any port = ssh flags S/SA keep state (tcp.first 10, tcp.opening 10)' \\`,
        `  'pass in on egress proto tcp all flags S/SA keep state (max 5, if-bound, tcp.first 10)' \\`,
        `  'anchor "mine" all {' '  pass all flags S/SA keep state' '}' 'anchor "bastille/*" all' 'anchor "bastille/*" all' ;;`,
        `"-q -s nat") echo 'nat on egress inet from 192.168.0.0/16 to any -> (egress:0) round-robin' ;;`,
        `"-q -s rules") printf '%s\\n' 'scrub in all fragment reassemble' 'anchor "bastille/*" all' 'anchor "mine" all' \\`,
        `  'pass in on egress proto tcp all flags S/SA keep state (max 5, if-bound)' \\`,
        `  'pass in on egress proto tcp from <__automatic_77_3> to any port = ssh flags S/SA keep state' ;;`,
      ].join('\n'),
    );
    expect(detail(json(), 'access.inforce')).toBe('the rules of /etc/pf.conf are in force');
    fake
      .file('var/db/clawdie/trial/pending', 'kind rules\nwhat x\ntoken x\nphase new\n')
      .file('var/db/clawdie/trial/rules', PF_CONF);
    expect(detail(json(), 'access.inforce')).toBe('rules on trial are in force: clawdie-trial status');
  });

  it('says what differs from the lock, and that nothing is locked where no lock came', () => {
    expect(state(json(), 'services.packages')).toBe('none');
    const line = (name: string): string => `needed ${'a'.repeat(64)} 1 1 All/${name}-1.0.pkg ${name} 1.0\n`;
    fake
      .file(
        'var/db/clawdie/packages.list',
        `# list\n${line('tmux')}${line('git')}${line('x').replace('needed', 'other')}`,
      )
      .stub('pkg', 'printf "has %s 1.0\\n" tmux git other');
    expect(state(json(), 'services.packages')).toBe('ok');
    expect(detail(json(), 'services.packages')).toBe('2 packages, as the lock has them');
    fake.stub('pkg', 'echo "has tmux 1.1"; echo "has git 1.0"');
    const newer = json();
    expect(newer.code).toBe(0);
    expect(detail(newer, 'services.packages')).toBe("in another version than the lock's: tmux 1.1 (1.0)");
    const older = '[ "$2" != version ] || { echo "<"; exit 0; }; echo "has tmux 0.9"; echo "has git 1.0"';
    fake.stub('pkg', older);
    expect(state(json(), 'services.packages')).toBe('fail');
    expect(detail(json(), 'services.packages')).toContain('of the lock, older than locked: tmux 0.9 (1.0); ');
    fake.stub('pkg', 'exit 1');
    const missing = json();
    expect(missing.report.first).toBe('services');
    expect(detail(missing, 'services.packages')).toContain(
      'not there: tmux,git; see /var/log/clawdie-firstboot.log, then: service clawdie_packages install',
    );
  });

  describe('where packages of the lock are not there', () => {
    const FOLDER = 'var/db/clawdie/packages';
    beforeEach(() => {
      const line = (name: string): string => `asked ${'a'.repeat(64)} 1 1 All/${name}-1.0.pkg ${name} 1.0\n`;
      fake
        .configure({ HTTP: 'YES', HTTPS: 'YES' })
        .file(
          'var/db/clawdie/packages.list',
          `catalogue ${sha256('data')} 4 0 data.pkg - -\n${line('nginx')}${line('bastille')}`,
        )
        .file(`${FOLDER}/data.pkg`, 'data')
        .remove('bastille')
        .stub('sha256', '[ "$1" = -q ] && sha256sum "$2" | cut -d " " -f 1')
        .stub('mount')
        .stub('pkg', 'exit 1');
    });
    const details = (): readonly string[] => {
      const result = json();
      return ['services.packages', 'services.web', 'plain.plan'].map(
        (name) => `${state(result, name)}: ${detail(result, name)}`,
      );
    };

    it('names what installs them from the lock', () => {
      expect(details()).toEqual([
        'fail: of the lock, not there: nginx,bastille; see /var/log/clawdie-firstboot.log, then: service clawdie_packages install',
        'fail: nginx is not installed, and ports 80 443 are open: service clawdie_packages install',
        'fail: bastille is not installed, and jails are asked for: service clawdie_packages install',
      ]);
      // What the lock does not have is not installed from it.
      fake.file('var/db/clawdie/packages.list', '# a lock\n');
      expect(details().slice(1)).toEqual([
        'fail: nginx is not installed, and ports 80 443 are open: pkg install nginx; service clawdie_web start',
        'fail: bastille is not installed, and jails are asked for: pkg install bastille; service clawdie_jails start',
      ]);
    });

    it('says that they are being installed while they are', () => {
      fake.file('var/run/clawdie-packages.lock', '').stub('lockf', 'exit 75');
      expect(details()).toEqual([
        'none: of the lock, not there: nginx,bastille; they are being installed; see /var/log/clawdie-firstboot.log',
        'none: not looked at: packages are being installed',
        'none: not looked at: packages are being installed',
      ]);
      // The file of the lock stays; nobody holds it.
      fake.stub('lockf');
      expect(details()[0]).toContain('then: service clawdie_packages install');
    });

    it('says that those which are here are of another lock, on a disk or on the medium', () => {
      const other = (at: string, how: string): readonly string[] => [
        `fail: of the lock, not there: nginx,bastille; what lies in ${at} is of another lock than this overlay, or damaged, and is not installed: ${how}, or pkg install nginx bastille`,
        'fail: nginx is not installed, and ports 80 443 are open: pkg install nginx; service clawdie_web start',
        'fail: bastille is not installed, and jails are asked for: pkg install bastille; service clawdie_jails start',
      ];
      fake.file(`${FOLDER}/data.pkg`, 'another').file('etc/clawdie/installed', 'installed\n');
      expect(details()).toEqual(
        other(`/${FOLDER}`, 'bring those of the lock (clawdie-iso packages; clawdie-update packages)'),
      );
      fake.removeFile(`${FOLDER}/data.pkg`);
      expect(details()[0]).toBe(
        'fail: of the lock, not there: nginx,bastille; bring those of the lock (clawdie-iso packages; clawdie-update packages), or pkg install nginx bastille',
      );
      fake.removeFile('etc/clawdie/installed').file(`${FOLDER}/data.pkg`, 'another');
      fake.removeFile(`${FOLDER}/data.pkg`);
      expect(details()[0]).toContain('then: service clawdie_packages install');
      fake
        .file('medium/packages/data.pkg', 'another')
        .stub('mount', `echo "/dev/iso9660/CLAWDIE ${fake.root}/medium cd9660 ro 0 0"`);
      expect(details()).toEqual(other('/medium/packages', 'boot an image of that lock'));
    });
  });

  it.each<[string, () => unknown, string, string]>([
    [
      'pf is off',
      () => pfctl('"-s info") echo "Status: Disabled" ;;'),
      'access.firewall',
      'service pf start',
    ],
    [
      'pf.conf does not load',
      () => pfctl('"-n -f"*) echo "/etc/pf.conf:3: syntax error \\"x\\"" >&2; exit 1 ;;'),
      'access.rules',
      '/etc/pf.conf:3: syntax error "x"',
    ],
    [
      'the fallback is in force',
      () => pfctl('*"-s rules") echo "block all" ;;'),
      'access.inforce',
      'fallback',
    ],
    [
      'pf has other rules than the file has by now',
      () => pfctl(`"-n -v -f "*) printf 'anchor "bastille/*" all\\nblock drop quick all\\n' ;;`),
      'access.inforce',
      'other rules are in force than /etc/pf.conf has now; load those: service pf reload',
    ],
    [
      'what is translated is not what the file has by now',
      () =>
        pfctl(`"-q -s nat") echo 'nat on egress inet from 10.0.0.0/8 to any -> (egress:0) round-robin' ;;`),
      'access.inforce',
      'service pf reload',
    ],
    ['no rules are in force', () => pfctl('*"-s rules") ;;'), 'access.inforce', 'no rules'],
    [
      'the operator is blocked',
      () => pfctl('*"-T test 198.51.100.20") ;;'),
      'access.bruteforce',
      'clawdie-unblock 198.51.100.20',
    ],
    ['sshd does not listen', () => listening(), 'access.sshd', 'service sshd start'],
    [
      'SSH is closed to the internet and the tailnet is down',
      () => fake.stub('tailscale', 'exit 1').file('etc/pf.conf', withTailscale(PF_CONF)),
      'access.tailscale',
      'clawdie-tailscale disable',
    ],
    [
      'tailscale0 is not there',
      () =>
        fake
          .stub('tailscale')
          .stub('ifconfig', 'case "$*" in "-g egress") echo vtnet0 ;; tailscale0) exit 1 ;; esac'),
      'access.tailscale',
      'service tailscaled restart',
    ],
    ['there is no default route', () => fake.stub('route', 'exit 1'), 'host.route', 'no default route'],
    [
      'egress is another interface',
      () => fake.stub('route', 'echo "  interface: em0"'),
      'host.route',
      'service clawdie_egress start',
    ],
    ['nothing is forwarded', () => fake.stub('sysctl', 'echo 0'), 'host.forwarding', 'routing'],
    ['names are not resolved', () => fake.stub('getaddrinfo', 'exit 2'), 'host.dns', '/etc/resolv.conf'],
    ['the internet does not answer', () => fake.stub('nc', 'exit 1'), 'host.outbound', 'does not answer'],
    [
      'there is no plain jail',
      () => {
        fake.stub('jls');
        planned('');
      },
      'plain.jail',
      'clawdie-jail create NAME --network plain',
    ],
    [
      'sshd listens on the wildcard',
      () => listening('sshd tcp4 203.0.113.10:22', 'sshd tcp4 *:22'),
      'services.sockets',
      'sshd tcp4 *:22',
    ],
    [
      'another service does, on IPv6',
      () => listening('sshd tcp4 203.0.113.10:22', 'ntpd udp6 *:123'),
      'services.sockets',
      'ntpd udp6 *:123',
    ],
    [
      'somebody else has the port of tailscaled',
      () => listening('sshd tcp4 203.0.113.10:22', 'nc udp4 *:41641'),
      'services.sockets',
      'nc udp4 *:41641',
    ],
    [
      'advertisements are believed on an interface of a jail',
      () =>
        fake.stub(
          'ifconfig',
          'case "$*" in "-g egress") echo vtnet0 ;; -l) echo "vtnet0 e0a_box" ;; *) echo "nd6 options=23<PERFORMNUD,ACCEPT_RTADV>" ;; esac',
        ),
      'host.cards',
      'believed on e0a_box',
    ],
    [
      'there is no card',
      () => fake.stub('x').file('usr/local/libexec/clawdie/cards.sh', '#!/bin/sh\nexit 1\n', 0o755),
      'host.cards',
      'no network card',
    ],
    [
      'ntpd does not run',
      () => fake.stub('service', '[ "$1" != ntpd ]'),
      'services.time',
      'service ntpd start',
    ],
    [
      'nothing is on record',
      () => fake.stub('service', '[ "$1" != clawdie_pflog ]'),
      'services.blocked',
      'service clawdie_pflog start',
    ],
    [
      'the host for logs cannot be reached',
      () => fake.configure({ SYSLOG_HOST: 'log.example.org' }),
      'services.logs',
      'nothing goes to log.example.org',
    ],
    [
      'nginx is not installed',
      () => fake.configure({ HTTP: 'YES', HTTPS: 'YES' }),
      'services.web',
      'ports 80 443 are open: pkg install nginx',
    ],
    [
      'nobody listens on a port that is open',
      () => {
        fake.configure({ HTTP: 'YES', HTTPS: 'YES' }).file('usr/local/sbin/nginx', '', 0o755);
        listening('sshd tcp4 203.0.113.10:22', 'nginx tcp4 203.0.113.10:80');
      },
      'services.web',
      'nobody listens on 443',
    ],
    [
      'the glasspane does not run',
      () =>
        fake
          .configure({ GLASSPANE: 'YES' })
          .stub('service', 'case "$1" in clawdie_glasspane) echo "it waits"; exit 1 ;; esac'),
      'services.glasspane',
      'it waits',
    ],
    [
      'a jail of the plan is not there',
      () => planned('other natasha plain 192.168.100.11 clawdie/worker 536870912 200 50 1073741824'),
      'plain.other',
      'is not there',
    ],
    [
      'it does not run',
      () => {
        fake.file('usr/local/bastille/jails/other/jail.conf', '').stub('jls', 'exit 1');
        planned('other natasha vnet 192.168.100.11 clawdie/worker 536870912 200 50 1073741824');
      },
      'vnet.other',
      'does not run: bastille start other',
    ],
    [
      'it is of another kind',
      () => planned('worker natasha vnet 192.168.100.10 clawdie/worker 536870912 200 50 1073741824'),
      'vnet.worker',
      'is no vnet jail',
    ],
    [
      'it has not the limits of the plan',
      () => planned('worker natasha plain 192.168.100.10 clawdie/worker 536870912 100 50 1073741824'),
      'plain.worker',
      'has not its limit of maxproc',
    ],
    [
      "it sees the host's memory and disks",
      () =>
        fake
          .file('usr/local/bastille/jails/worker/root/dev/mem', '')
          .file('usr/local/bastille/jails/worker/root/dev/md1', ''),
      'plain.worker',
      'sees mem md1 of the host',
    ],
    [
      'it has no rules for /dev',
      () =>
        fake.stub(
          'jls',
          'case "$*" in name) printf "worker\\n" ;; "-j worker vnet") echo inherit ;; "-j worker devfs_ruleset") echo 0 ;; esac',
        ),
      'plain.worker',
      'has no rules for /dev',
    ],
    [
      'the rules for /dev are not in force',
      () =>
        fake.file(
          'usr/local/libexec/clawdie/devfs-guard',
          '#!/bin/sh\necho "The rules are not in force" >&2; exit 1\n',
          0o755,
        ),
      'plain.plan',
      'not in force',
    ],
    ['bastille is not installed', () => fake.remove('bastille'), 'plain.plan', 'pkg install bastille'],
    [
      'the plain jail does not get out',
      () => fake.stub('jexec', 'case "$*" in "worker nc"*) exit 1 ;; esac; shift; exec "$@"'),
      'plain.jail',
      'worker does not reach',
    ],
    ['pi is not in the jail', () => fake.remove('pi'), 'pi.agent', 'clawdie/pi-worker'],
    [
      'a turn fails',
      () => fake.file('usr/local/sbin/clawdie-jail', '#!/bin/sh\necho "no such user"; exit 1\n', 0o755),
      'turn.command',
      'no such user',
    ],
    [
      'the VNET jail does not get out',
      () => fake.stub('jexec', 'case "$*" in "box nc"*) exit 1 ;; esac; shift; exec "$@"'),
      'vnet.jail',
      "its gateway has to be the host's",
    ],
  ])('says what to do if %s', (_, prepare, name, what) => {
    prepare();
    const result = json();
    expect([name, state(result, name)]).toEqual([name, 'fail']);
    expect(detail(result, name)).toContain(what);
    expect(result).toMatchObject({ code: 1, report: { ok: false } });
  });

  it('lets pass what cannot be told where to listen, and what only asks; and names the first', () => {
    listening(
      'sshd tcp4 203.0.113.10:22',
      'tailscaled udp4 *:41641',
      'local-unbound udp4 *:51234',
      'dhclient udp4 *:68',
    );
    const result = json();
    expect([state(result, 'services.sockets'), detail(result, 'services.sockets')]).toEqual([
      'ok',
      'nothing listens on the wildcard but tailscaled (41641/udp), which pf keeps from jails',
    ]);
    listening('sshd tcp4 203.0.113.10:22', 'local-unbound udp4 *:53');
    expect(state(json(), 'services.sockets')).toBe('fail');
  });

  it('asks jails on a terminal of their own, and shows nothing of what they say that a terminal would obey', () => {
    fake
      .stub('script', 'shift 2; CLAWDIE_TERMINAL=own exec "$@"')
      .stub('jexec', '[ "${CLAWDIE_TERMINAL-}" = own ] || exit 1; shift; exec "$@"')
      .file(
        'usr/local/sbin/clawdie-jail',
        '#!/bin/sh\nprintf "\\033[2J\\033[1;1Hall is well\\007\\233\\n"; exit 1\n',
        0o755,
      );
    const { stdout, code } = run('clawdie-netcheck');
    expect(code).toBe(1);
    expect(stdout).toContain('  ok    jail        worker reaches');
    expect(stdout).toMatch(/FAIL +command +one turn in worker failed: {2}\[2J \[1;1Hall is well/);
    expect(stdout).toMatch(/^[ -~\n]*$/);
  });

  it('asks for no plain jail where the plan has none, and looks for PI in what there is', () => {
    planned('box natasha vnet 192.168.100.11 clawdie/vnet-worker 536870912 200 50 1073741824');
    fake
      .file('usr/local/bastille/jails/box/jail.conf', '')
      .stub(
        'rctl',
        'for rule in memoryuse:deny=536870912 maxproc:deny=200 pcpu:deny=50; do echo "jail:box:$rule/jail"; done',
      )
      .stub(
        'jls',
        'case "$*" in name) printf "box\\n" ;; "-j box vnet") echo new ;; "-j box devfs_ruleset") echo 13 ;; esac',
      );
    const result = json();
    expect(result.report.checks.filter((check) => check.state === 'fail')).toEqual([]);
    expect(state(result, 'plain.jail')).toBe('none');
    for (const name of ['pi.agent', 'turn.command', 'vnet.box', 'vnet.jail'])
      expect([name, state(result, name)]).toEqual([name, 'ok']);
  });

  it('names the first stage that does not hold, and does not guess how far jails would get', () => {
    fake.stub('nc', 'exit 1');
    const result = json();
    expect(result.report.first).toBe('host');
    for (const [name, jail] of [
      ['plain.jail', 'worker'],
      ['vnet.jail', 'box'],
    ] as const)
      expect([state(result, name), detail(result, name)]).toEqual([
        'none',
        `not looked at: whether ${jail} reaches pkg.FreeBSD.org:443, as long as the host does not hold`,
      ]);
  });

  it('looks without a network at what needs none, and says what it cannot look at and why', () => {
    fake
      .stub('route', 'exit 1')
      .stub('nc', 'exit 1')
      .stub('getaddrinfo', 'exit 2')
      .file('usr/local/libexec/clawdie/cards.sh', '#!/bin/sh\nexit 1\n', 0o755);
    const result = json();
    expect(result.code).toBe(1);
    expect(result.report.checks.filter((check) => check.state === 'fail').map((each) => each.check)).toEqual([
      'route',
      'cards',
    ]);
    for (const name of ['host.dns', 'host.outbound', 'plain.jail', 'vnet.jail'])
      expect([name, state(result, name), detail(result, name)]).toEqual([
        name,
        'none',
        expect.stringMatching(/^not looked at: /) as string,
      ]);
    for (const name of ['pi.agent', 'turn.command', 'plain.worker'])
      expect([name, state(result, name)]).toEqual([name, 'ok']);
    fake.remove('pi');
    const without = json();
    expect([state(without, 'pi.agent'), detail(without, 'turn.command')]).toEqual([
      'fail',
      'not looked at: there is no pi in worker that a turn could run',
    ]);
    fake.stub('jls', 'exit 1');
    expect([detail(json(), 'pi.agent'), detail(json(), 'turn.command')]).toEqual([
      'not looked at: no jail runs',
      'not looked at: no jail runs',
    ]);
  });

  it('is a table for people', () => {
    fake.stub('getaddrinfo', 'exit 2');
    const { stdout, code } = run('clawdie-netcheck');
    expect(code).toBe(1);
    expect(stdout).toContain('Getting in\n  ok    firewall    pf is on\n');
    expect(stdout).toContain('  FAIL  dns         pkg.FreeBSD.org has no address; see /etc/resolv.conf\n');
    expect(stdout).toContain('The first that does not hold: host.\n');
  });

  it.each([
    ['--target', 'x'],
    ['--target', '-h:1'],
    ['--target', '$(reboot):1'],
    ['--address', 'me'],
  ])('refuses %s %s', (...args) => {
    expect(run('clawdie-netcheck', args)).toMatchObject({ code: 2, calls: [] });
  });
});
