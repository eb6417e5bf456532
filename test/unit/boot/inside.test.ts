import { describe, expect, it } from 'vitest';
import { inspection, judgeInside, scriptsRun } from '../../../build/boot/inside.js';
import type { Inspected } from '../../../build/boot/inside.js';
import { JAIL_CHECKS } from '../../../build/boot/jails/checks.js';
import type { OverlayEntry } from '../../../build/overlay/render.js';
import { allRules } from '../../../build/pf/expand.js';
import { printRule } from '../../../build/pf/print.js';
import { readRules } from '../../../build/policy/image.js';
import { configOf } from '../../helpers/config.js';
import { bodyOf, overlayOf } from '../../helpers/deployment.js';

const entries = overlayOf(configOf());
const overlay: readonly OverlayEntry[] = entries.filter(({ type }) => type === 'file');
const files = {
  pf: bodyOf(entries, 'etc/pf.conf'),
  fallback: bodyOf(entries, 'etc/pf-fallback.conf'),
  operator: bodyOf(entries, 'etc/pf.conf.d/operator.conf'),
};
const rules = allRules(readRules(files, { fallback: false, tailscaleActive: false }).ruleset.rules).map(
  printRule,
);

const netcheck = (change: (name: string) => string = () => 'ok'): string =>
  JSON.stringify({
    checks: [
      'access.firewall',
      'access.rules',
      'access.inforce',
      'access.sshd',
      'host.route',
      'host.forwarding',
      'host.outbound',
      'plain.jail',
      'vnet.jail',
    ].map((name) => {
      const [stage, check] = name.split('.');
      return { stage, check, state: change(name), detail: 'because' };
    }),
  });

/** The order in which the scripts of the chain run. */
const RAN = [
  'clawdie_install',
  'clawdie_lockdown',
  'clawdie_cards',
  'netif',
  'routing',
  'clawdie_egress',
  'pf',
  'clawdie_firstboot',
  'LOGIN',
  'sshd',
  'clawdie_listen',
];
const JAILS = ['plain', 'own'].flatMap((jail) => [
  `${jail} internet yes`,
  ...['metadata', 'bridge', 'outer', 'private', 'tailnet'].map((what) => `${jail} ${what} no`),
]);

/** Lines as clawdie_inspect says them. */
const marked = (body: string): string => body.replace(/^/gm, '| ');

/** What an instance says, section by section. */
function told(change: Readonly<Record<string, string>> = {}): string {
  const { order = RAN.join(' '), ...others } = change;
  const sections: Readonly<Record<string, string>> = {
    jails: JAILS.join('\n'),
    netcheck: netcheck(),
    rules: rules.filter((rule) => !/^(?:no nat|nat|rdr)/.test(rule)).join('\n'),
    nat: rules.filter((rule) => /^(?:no nat|nat|rdr)/.test(rule)).join('\n'),
    info: 'Status: Enabled for 0 days 00:00:09           Debug: Urgent\n  memory   0   0.0/s',
    egress: 'vtnet0',
    wardens: 'warden0',
    sockets:
      'root sshd 800 4 tcp4 203.0.113.15:22 *:*\nroot sshd 800 3 tcp6 [2001:db8::15]:22 *:*\nroot dhclient 500 6 udp4 *:68 *:*\nunbound local-unbound 640 5 udp4 192.168.100.1:53 *:*',
    files: overlay
      .filter(({ path }) => path !== 'firstboot')
      .map(({ path, mode, uid, gid }) => `0${mode.toString(8)} ${uid}:${gid} /${path}`)
      .join('\n'),
    ...others,
  };
  const text = Object.entries(sections).map(([name, body]) => `===inspect ${name}\n${marked(body)}\n`);
  const traced = order
    .split(' ')
    .map((name) => `@ 1767225600 [2026-01-01 00:00:00 UTC] /etc/rc.d/${name} start\n`);
  return `${traced.join('')}Starting sshd.\n${text.join('')}===inspect end\nlogin: `;
}

/** What an instance told, and sent. */
const inspected = (console: string, more: Partial<Inspected> = {}): Inspected => ({
  console,
  overlay,
  sent: new Set(['tcp 203.0.113.15 198.51.100.80 80', 'udp 0.0.0.0 255.255.255.255 67', 'icmp6 :: ff02::16']),
  own: ['203.0.113.15'],
  offenders: [],
  seconds: 1,
  bastille: false,
  ...more,
});

const states = (text: string, more?: Partial<Inspected>): Readonly<Record<string, string>> =>
  Object.fromEntries(judgeInside(inspected(text, more)).map(({ id, state }) => [id, state]));
const packetsOf = (text: string, more?: Partial<Inspected>): string =>
  judgeInside(inspected(text, more))
    .flatMap(({ packets }) => packets)
    .join('\n');

describe('an instance from inside', () => {
  it('holds where all is as the overlay says', () => {
    expect(packetsOf(told())).toBe('');
    const looked = Object.entries(states(told())).filter(([, state]) => state !== 'not looked at');
    expect(Object.fromEntries(looked)).toEqual({
      order: 'held',
      outbound: 'held',
      info: 'held',
      netcheck: 'held',
      rules: 'held',
      groups: 'held',
      sockets: 'held',
      files: 'held',
    });
  });

  it('passes over what syslogd(8) and rc.subr(8) write between its lines', () => {
    const noise =
      'Nov 27 00:59:33 clawdie clawdie_packages[46212]: packages failed; see /var/log/clawdie-firstboot.log\n' +
      '@ 1767225600 [2026-01-01 00:00:00 UTC] /etc/rc.d/motd start\n';
    expect(packetsOf(told().replace(/^(?=\| )/gm, noise))).toBe('');
  });

  it('looks at no jail without Bastille, and says so; with it jails are what is typed', () => {
    const without = judgeInside(inspected(told()));
    expect(without.filter(({ id }) => id in JAIL_CHECKS)).toHaveLength(Object.keys(JAIL_CHECKS).length);
    for (const { id, state, detail } of without.filter(({ id }) => id in JAIL_CHECKS))
      expect([id, state, detail]).toEqual([
        id,
        'not looked at',
        expect.stringContaining('--bastille') as string,
      ]);
    const netchecked = netcheck((name) => (/^(?:plain|vnet)/.test(name) ? 'fail' : 'ok'));
    const with_ = told({ jails: '', netcheck: netchecked });
    expect(packetsOf(with_, { bastille: true })).toBe('');
    expect(states(with_, { bastille: true })).not.toHaveProperty('plan');
    const foreign = new Set(['tcp 192.168.100.20 198.51.100.80 80']);
    expect(states(with_, { bastille: true, sent: foreign })['outbound']).toBe('failed');
  });

  it('on a disk: has to have grown, and to keep what it was given over its restarts', () => {
    const disk = { boot: 1, grown: 2 * 1024 ** 3, keys: undefined };
    const first = told({ boots: '1', root: String(2.7 * 1024 ** 2), keys: 'ssh-ed25519 AAAA', changed: '' });
    expect(packetsOf(first, { disk })).toBe('');
    expect(states(first, { disk })['kept']).toBe('held');
    const small = told({ boots: '1', root: String(1.8 * 1024 ** 2), keys: 'ssh-ed25519 AAAA' });
    expect(packetsOf(small, { disk })).toContain('it did not grow with its disk');
    expect(packetsOf(told({ boots: '1', root: '9999999' }), { disk })).toContain(
      'there are no SSH host keys',
    );

    const later = { ...disk, boot: 3, keys: ['ssh-ed25519 AAAA'] };
    const order = RAN.filter((name) => name !== 'clawdie_firstboot').join(' ');
    const kept = { boots: '3', root: '9999999', keys: 'ssh-ed25519 AAAA', changed: '   192.0.2.77', order };
    expect(packetsOf(told(kept), { disk: later })).toBe('');
    expect(packetsOf(told({ ...kept, boots: '1' }), { disk: later })).toContain('every boot adds to: 1 of 3');
    expect(packetsOf(told({ ...kept, keys: 'ssh-ed25519 BBBB' }), { disk: later })).toContain(
      'keys are others',
    );
    expect(packetsOf(told({ ...kept, changed: '' }), { disk: later })).toContain('a change of pf.conf');
  });

  it('fails where it does not tell, or not to the end', () => {
    expect(states('login: ')).toEqual({ inside: 'failed' });
    expect(inspection(told().replace('===inspect end', ''))).toBeUndefined();
  });

  it.each<[string, Readonly<Record<string, string>>, string, string]>([
    [
      'pf is off',
      { netcheck: netcheck((name) => (name === 'access.firewall' ? 'fail' : 'ok')) },
      'netcheck',
      'access.firewall: because',
    ],
    ['netcheck says nothing', { netcheck: 'sh: not found' }, 'netcheck', 'is no JSON'],
    [
      'a rule is missing',
      {
        rules: rules
          .filter((rule) => !rule.includes('bruteforce') && !/^(?:no nat|nat|rdr)/.test(rule))
          .join('\n'),
      },
      'rules',
      'missing: block drop in log quick from <bruteforce>',
    ],
    [
      'there is a rule more',
      {
        nat: `${rules.filter((rule) => /^(?:no nat|nat|rdr)/.test(rule)).join('\n')}\nrdr pass on egress inet proto tcp from any to any port = 1 -> 192.168.100.20`,
      },
      'rules',
      'unknown: rdr pass',
    ],
    ['pf counts no memory', { info: 'Status: Enabled' }, 'info', 'not told'],
    ['pf is disabled', { info: 'Status: Disabled\n  memory 0 0.0/s' }, 'info', 'Status: Disabled'],
    [
      'pf dropped packets for want of memory',
      { info: 'Status: Enabled for 1\n  memory   12   0.0/s' },
      'info',
      'dropped for want of memory: 12',
    ],
    [
      'a jail does not reach the internet',
      { jails: JAILS.join('\n').replace('own internet yes', 'own internet no') },
      'outbound',
      'VNET jail, internet: no instead of yes',
    ],
    [
      'a jail reaches the metadata service',
      { jails: JAILS.join('\n').replace('plain metadata no', 'plain metadata yes') },
      'outbound',
      'plain jail, metadata: yes instead of no',
    ],
    ['no jail was made', { jails: '' }, 'outbound', 'plain jail, internet: not tried'],
    [
      'netif runs before the lockdown',
      { order: ['netif', ...RAN.filter((name) => name !== 'netif')].join(' ') },
      'order',
      'netif ran before clawdie_lockdown: an interface would be up',
    ],
    ['pf does not run', { order: RAN.filter((name) => name !== 'pf').join(' ') }, 'order', 'pf did not run'],
    ['nothing is egress', { egress: '' }, 'groups', 'egress: '],
    ['two are egress', { egress: 'vtnet0\nvtnet1' }, 'groups', 'egress: vtnet0 vtnet1'],
    ['a service listens', { sockets: 'root rpcbind 700 8 tcp4 *:111 *:*' }, 'sockets', 'rpcbind'],
    ['sshd listens on the wildcard', { sockets: 'root sshd 700 8 tcp4 *:22 *:*' }, 'sockets', '*:22'],
    ['sshd listens elsewhere', { sockets: 'root sshd 700 8 tcp4 203.0.113.15:2222 *:*' }, 'sockets', '2222'],
    [
      'a file may be read by all',
      { files: '0644 0:0 /etc/pf.conf' },
      'files',
      '/etc/pf.conf: 644 0:0 instead of 600 0:0',
    ],
    ['a file is not there', { files: '' }, 'files', '/etc/rc.conf: not there'],
  ])('fails where %s', (_, change, id, packet) => {
    expect(states(told(change))[id]).toBe('failed');
    expect(packetsOf(told(change))).toContain(packet);
  });

  it('looks for whom the firewall had to block, and for nobody else', () => {
    const with_ = (...hosts: string[]): string =>
      `${told()}\n===inspect blocked\n${hosts.map((host) => `|    ${host}\n`).join('')}===inspect watched\n`;
    const offenders = ['198.51.100.77', '198.51.100.99'];
    expect(states(with_(...offenders), { offenders })).toMatchObject({ blocked: 'held', files: 'held' });
    expect(packetsOf(with_('198.51.100.77'), { offenders })).toBe('198.51.100.99 is not in <bruteforce>');
    expect(packetsOf(with_(...offenders, '198.51.100.88'), { offenders })).toBe(
      '198.51.100.88 is in <bruteforce>',
    );
    expect(states(told(), { offenders })['blocked']).toBe('failed');
  });

  it.each(['tcp 192.168.100.250 198.51.100.80 80', 'tcp 203.0.113.15 169.254.169.254 80'])(
    'fails where this left the host: %s',
    (packet) => {
      expect(packetsOf(told(), { sent: new Set([packet]) })).toBe(`left the host: ${packet}`);
    },
  );

  it('knows the order of scripts from what rc tells, between the lines of others', () => {
    const text =
      '@ 1 [2026-01-01 00:00:00 UTC] /etc/rc.d/netif start\nlo0: up\n@ 2 [x] /usr/local/etc/rc.d/pf_reload start\n@ 3 [x] /etc/rc.d/netif start\n';
    expect(scriptsRun(text)).toEqual(['netif', 'pf_reload']);
  });
});
