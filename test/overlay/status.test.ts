import { readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, expect, it } from 'vitest';
import { configOf } from '../helpers/config.js';
import { bodyOf, overlayOf } from '../helpers/deployment.js';
import { TRIAL_FILES } from '../helpers/instance.js';
import { FakeRoot } from '../helpers/shell.js';
import type { ScriptResult } from '../helpers/shell.js';

const STATUS = 'overlays/firstboot/usr/local/sbin/clawdie-status';
const PF_CONF = bodyOf(overlayOf(configOf()), 'etc/pf.conf');
const SUM = 'ab'.repeat(32);

let fake: FakeRoot;
const status = (...args: readonly string[]): ScriptResult => fake.run(STATUS, args);
const json = (): Record<string, unknown> => JSON.parse(status('--json').stdout) as Record<string, unknown>;
/** Values by what a line of the exposition format has before it; every line has to be one. */
const metrics = (): ReadonlyMap<string, number> => {
  const values = new Map<string, number>();
  const types = new Set<string>();
  for (const line of status('--prometheus').stdout.trimEnd().split('\n')) {
    const type = /^# TYPE (\w+) gauge$/.exec(line)?.[1];
    if (type !== undefined) {
      expect(types.has(type)).toBe(false);
      types.add(type);
    } else if (!line.startsWith('# HELP ')) {
      const match =
        /^((\w+)(?:\{\w+="(?:[^"\\\n]|\\["\\n])*"(?:,\w+="(?:[^"\\\n]|\\["\\n])*")*\})?) (\d+)$/.exec(line);
      expect([line, types.has(match?.[2] ?? '')]).toEqual([line, true]);
      values.set(match?.[1] ?? '', Number(match?.[3]));
    }
  }
  return values;
};

beforeEach(async () => {
  fake = (await FakeRoot.make())
    .configure()
    .stub('id', 'echo 0')
    .stub('freebsd-version', 'echo 15.1-RELEASE-p1')
    .stub('uname', 'echo 15.1-RELEASE-p1')
    // "-j -u -f FORMAT TIME +%s" of FreeBSD reads a time.
    .stub(
      'date',
      'case $* in +%s) echo 1767400000 ;; "-j -u "*) exec /usr/bin/date -u -d "$(echo "$5" | tr / -)" +%s ;; *) exec /usr/bin/date "$@" ;; esac',
    )
    .stub('service')
    .stub('ntpq', 'echo "*192.0.2.1  .GPS."')
    .stub('mount', 'echo "/dev/gpt/clawdie-root / ufs rw 1 1"')
    .stub(
      'sysctl',
      'case $2 in kern.boottime) echo "{ sec = 1767225600, usec = 1 } Thu Jan  1" ;; hw.physmem) echo 1073741824 ;; esac',
    )
    .stub(
      'pfctl',
      [
        'case "$*" in',
        '"-s info") printf "Status: Enabled for 0 days\\n\\nState Table   Total\\n  current entries      12\\n" ;;',
        '"-s memory") echo "states        hard limit   100000" ;;',
        '"-q -s rules" | "-n -v -f "*) printf "block drop all\\nanchor \\"bastille/*\\" all\\n" ;;',
        '*"-T show") printf "   198.51.100.66\\n   198.51.100.67\\n" ;;',
        'esac',
      ].join('\n'),
    )
    .stub('sockstat', 'echo "root sshd 7 4 tcp4 203.0.113.10:22 *:*"')
    .stub('ifconfig', '[ "$1" != -g ] || echo vtnet0')
    .stub('route', 'echo "  interface: vtnet0"')
    .stub('jls', '[ "$2" = worker ]')
    .stub('rctl', 'printf "cputime=1\\nmemoryuse=52428800\\nmaxproc=5\\npcpu=12\\n"')
    .stub(
      'df',
      'echo "Filesystem 1K-blocks Used Avail Capacity Mounted on"; case "$1 $2" in "-i "*) echo "/dev/x 4 1 3 25% 100 900 10% /" ;; *jails/*/root) echo "/dev/md5 65536 20480 45056 31% /x" ;; *) echo "/dev/gpt/clawdie-root 4000000 1000000 3000000 25% /" ;; esac',
    )
    .stub('sha256', `sha256sum | cut -d ' ' -f 1`)
    .file('etc/pf.conf', PF_CONF)
    .file('etc/clawdie/applied', `${SUM}\n`)
    .file('sbin/clawdie-trust', readFileSync('overlays/base/sbin/clawdie-trust'), 0o755)
    .files(TRIAL_FILES)
    .file(
      'dev/gpt/clawdie-slot',
      `clawdie-overlay 1\nrelease x\nlength 5\nsha256 ${SUM}\ndeployment natasha\nserial 12\n`.padEnd(
        1024,
        '\0',
      ),
    )
    .file('var/db/clawdie/trust/signers', 'clawdie ssh-ed25519 AAAA\n')
    .file(
      'usr/local/sbin/clawdie-blocked',
      '#!/bin/sh\nprintf "%s\\n" "40 packets of 7 hosts, the first 3 h ago, the last 12 s ago" "2 hosts tried SSH too often: clawdie-unblock --list" " packets     last  on          who and at what" "      30     12 s  vtnet0      198.51.100.20  tcp 23"\n',
      0o755,
    )
    .file('etc/clawdie/released', '1765000000\n')
    .file('etc/clawdie/installed', 'installed\n')
    .file('etc/clawdie/jails', 'worker natasha plain 127.0.1.2 clawdie/worker 15% 100 50 67108864\n');
});

it('is one screen, which says that nothing needs a person', () => {
  expect(status()).toMatchObject({
    code: 0,
    stderr: '',
    stdout: [
      'natasha     FreeBSD 15.1-RELEASE-p1, 27 d old, up 2 d',
      'overlay     abababababab, serial 12; signers: 1',
      'update      none on trial so far',
      'firewall    on, 2 rules, 12 of 100000 states',
      'SSH         public, rate-limited; 2 hosts are shut out',
      'knocked     40 packets of 7 hosts, the first 3 h ago, the last 12 s ago',
      '                  30     12 s  vtnet0      198.51.100.20  tcp 23',
      'disk        976 of 3906 MB used, 2929 MB free',
      'jails       worker        natasha       plain   up    memory 50 of 153 MB, processes 5 of 100, CPU 12 of 50%, disk 20 of 64 MB',
      'needs you   nothing',
      '',
    ].join('\n'),
  });
});

it('says the same as JSON', () => {
  expect(json()).toEqual({
    ...{
      name: 'natasha',
      release: '15.1-RELEASE-p1',
      kernel: '15.1-RELEASE-p1',
      boot: 1767225600,
      released: 1765000000,
    },
    ...{ overlay: SUM, serial: 12, signers: 1, trial: { state: 'none', what: '' }, last: null },
    ...{
      firewall: 'on',
      rules: 2,
      states: { now: 12, limit: 100000 },
      banned: 2,
      ssh: 'public, rate-limited',
    },
    ...{ knocked: { packets: 40, hosts: 7 }, disk: { kilobytes: 4000000, used: 1000000, free: 3000000 } },
    jails: [
      {
        ...{ name: 'worker', tenant: 'natasha', network: 'plain', up: true },
        ...{ memory: 52428800, memoryLimit: 161061270, processes: 5, processLimit: 100 },
        ...{ cpu: 12, cpuLimit: 50, disk: 20971520, diskLimit: 67108864 },
      },
    ],
    ...{ certificate: null, lease: null, needs: [] },
  });
});

it('says it as metrics', () => {
  const found = metrics();
  expect(
    found.get(
      `clawdie_info{name="natasha",release="15.1-RELEASE-p1",kernel="15.1-RELEASE-p1",overlay="${SUM}",serial="12"}`,
    ),
  ).toBe(1);
  expect(found.get('clawdie_firewall_on')).toBe(1);
  expect(found.get('clawdie_blocked_packets')).toBe(40);
  expect(found.get('clawdie_disk_used_bytes')).toBe(1024000000);
  expect(found.get('clawdie_jail_memory_bytes{jail="worker",tenant="natasha",network="plain"}')).toBe(
    52428800,
  );
  expect(found.get('clawdie_jail_cpu_percent{jail="worker",tenant="natasha",network="plain"}')).toBe(12);
  expect(found.get('clawdie_jail_cpu_limit_percent{jail="worker",tenant="natasha",network="plain"}')).toBe(
    50,
  );
  expect(found.get('clawdie_release_time_seconds')).toBe(1765000000);
  expect(found.get('clawdie_needs_person')).toBe(0);
});

it('says until when the certificate and the lease are good', () => {
  fake
    .configure({ HTTPS: 'YES' })
    .file('usr/local/etc/clawdie/tls/cert.pem', 'x')
    .stub('openssl', 'echo "notAfter=2026-03-01 00:00:00Z"')
    .file(
      'var/db/dhclient.leases.vtnet0',
      'lease {\n  expire 5 2026/01/02 10:00:00;\n}\nlease {\n  expire 6 2026/01/04 00:26:40;\n}\n',
    );
  expect(status().stdout).toContain('ends        certificate in 56 d, lease in 24 h');
  expect(json()).toMatchObject({ certificate: 1772323200, lease: 1767486400 });
  expect(metrics().get('clawdie_certificate_end_seconds')).toBe(1772323200);
  expect(metrics().get('clawdie_lease_end_seconds')).toBe(1767486400);
});

it('says what needs a person alone, for programs', () => {
  expect(status('--needs')).toMatchObject({ code: 0, stdout: '' });
  fake.stub('jls', 'exit 1').stub('service', 'exit 1');
  const { code, stdout } = status('--needs');
  expect(code).toBe(1);
  expect(stdout).toContain('jails.worker\tworker is not there');
  expect(
    stdout
      .trimEnd()
      .split('\n')
      .every((line) => /^[a-z]+\.[\w-]+\t.+$/.test(line)),
  ).toBe(true);
});

it.each([
  ['the firewall is off', (): unknown => fake.stub('pfctl'), 'firewall', 'pf is off'],
  [
    'a jail of the plan does not run',
    (): unknown => fake.stub('jls', 'exit 1').file('usr/local/bastille/jails/worker/jail.conf', ''),
    'worker',
    'bastille start worker',
  ],
  ['a jail is not there', (): unknown => fake.stub('jls', 'exit 1'), 'worker', 'service clawdie_jails start'],
  [
    'the disk is nearly full',
    (): unknown => fake.stub('df', 'echo x; echo "/dev/x 1000 950 50 95% /"'),
    'disk',
    'is 95% full',
  ],
  [
    'the partition of data is nearly full',
    (): unknown =>
      fake
        .stub(
          'mount',
          'echo "/dev/gpt/clawdie-root / ufs rw 1 1"; echo "/dev/gpt/clawdie-data /data ufs rw 2 2"',
        )
        .stub(
          'df',
          'echo x; case "$*" in -i*) echo "/dev/x 4 1 3 25% 1 9 10% /" ;; *root/data) echo "/dev/x 1000 950 50 95% /data" ;; *) echo "/dev/x 1000 100 900 10% /" ;; esac',
        ),
    'data',
    'the file system of /data is 95% full',
  ],
  [
    'the release is old',
    (): unknown => fake.file('etc/clawdie/released', '1751000000\n'),
    'release',
    'FreeBSD 15.1-RELEASE-p1 is 189 days old',
  ],
  [
    'a jail has another base than the host',
    (): unknown =>
      fake.file(
        'usr/local/bastille/jails/worker/fstab',
        '/usr/local/bastille/releases/14.3-RELEASE /usr/local/bastille/jails/worker/root/.bastille nullfs ro 0 0\n',
      ),
    'worker-base',
    'worker is made of 14.3-RELEASE, the host of 15.1-RELEASE',
  ],
  ['ntpd has ended', (): unknown => fake.stub('service', '[ $1 != ntpd ]'), 'time', 'service ntpd start'],
  [
    'nothing is logged',
    (): unknown => fake.stub('service', '[ $1 != syslogd ]'),
    'syslogd',
    'nothing is logged',
  ],
  [
    'the certificate ends',
    (): unknown =>
      fake
        .configure({ HTTPS: 'YES' })
        .file('usr/local/etc/clawdie/tls/cert.pem', 'x')
        .stub('openssl', 'echo "notAfter=2026-01-10 00:00:00Z"'),
    'certificate',
    'is good until 2026-01-10 00:00:00 alone',
  ],
  [
    'the lease has ended',
    (): unknown =>
      fake.file('var/db/dhclient.leases.vtnet0', 'lease {\n  expire 4 2026/01/01 10:00:00;\n}\n'),
    'lease',
    'the lease of the address has ended',
  ],
  [
    'there is no room for files',
    (): unknown =>
      fake.stub(
        'df',
        'echo x; case $1 in -i) echo "/dev/x 4 1 3 25% 950 50 95% /" ;; *) echo "/dev/x 1000 100 900 10% /" ;; esac',
      ),
    'files',
    'has room for few files more, 95% are taken',
  ],
  [
    'a jail is full',
    (): unknown =>
      fake.stub(
        'df',
        'echo x; case "$*" in *jails/*) echo "/dev/md5 65536 63000 2000 97% /x" ;; "-i "*) echo "/dev/x 4 1 3 25% 1 9 10% /" ;; *) echo "/dev/x 1000 100 900 10% /" ;; esac',
      ),
    'worker-disk',
    'worker has used 90% or more of its disk',
  ],
  [
    'a jail has filled a disk that was made smaller than planned',
    (): unknown =>
      fake
        .file('var/db/clawdie/jaildisks/worker.img', Buffer.alloc(4 * 1024 ** 2))
        .stub(
          'df',
          'echo x; case "$*" in *jails/*) echo "/dev/md5 4096 3800 200 95% /x" ;; "-i "*) echo "/dev/x 4 1 3 25% 1 9 10% /" ;; *) echo "/dev/x 1000 100 900 10% /" ;; esac',
        ),
    'worker-disk',
    'worker has used 90% or more of its disk',
  ],
  [
    'nobody can be told',
    (): unknown => fake.file('var/db/clawdie/notify/error.webhook', 'it answers 404\n'),
    'webhook',
    'nobody is told by webhook: it answers 404',
  ],
  [
    'a change was taken back',
    (): unknown =>
      fake.file(
        'var/db/clawdie/trial/last',
        'result back\nkind overlay\nwhat another overlay, serial 13\nat 2026-01-02T00:00:00Z\nwhy nobody "came"\n',
      ),
    'last',
    'another overlay, serial 13 was taken back at 2026-01-02T00:00:00Z: nobody "came"',
  ],
  [
    'a change waits',
    (): unknown => fake.file('var/db/clawdie/trial/pending', 'kind rules\nwhat rules\ntoken 1\nphase new\n'),
    'trial',
    'rules waits for its confirmation',
  ],
  [
    'who confirmed was killed before it had ended',
    (): unknown => fake.file('var/db/clawdie/trial/kept', 'kind rules\nwhat rules\ntoken 1\nphase new\n'),
    'trial',
    'rules was confirmed, and nothing else can be tried before that has ended: a restart ends it',
  ],
] as const)('says what to do if %s', (_, prepare, check, what) => {
  prepare();
  const screen = status();
  expect(screen.code).toBe(1);
  expect(screen.stdout).toContain(what);
  expect(json()['needs']).toContainEqual({ check, what: expect.stringContaining(what) as unknown });
  expect(metrics().get('clawdie_needs_person')).toBeGreaterThan(0);
  expect(status('--prometheus').code).toBe(0);
});

it('takes a base whose name is a link for what it is: jails of before another version have it so', () => {
  const releases = 'usr/local/bastille/releases';
  fake
    .file(`${releases}/15.1-RELEASE/bin/sh`, '')
    .file(
      'usr/local/bastille/jails/worker/fstab',
      `/${releases}/14.3-RELEASE /usr/local/bastille/jails/worker/root/.bastille nullfs ro 0 0\n`,
    );
  symlinkSync('15.0-RELEASE', join(fake.root, releases, '14.3-RELEASE'));
  symlinkSync('15.1-RELEASE', join(fake.root, releases, '15.0-RELEASE'));
  expect(status('--needs')).toMatchObject({ code: 0, stdout: '' });
});

it('is for root, and says what it does', () => {
  expect(status('--help').stdout).toMatch(/^usage: clawdie-status /);
  expect(status('--port').code).toBe(2);
  fake.stub('id', 'echo 1001');
  expect(status()).toMatchObject({ code: 1, calls: ['id -u'] });
});
