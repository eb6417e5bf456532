import { describe, expect, it } from 'vitest';
import { inspection, judgeInside } from '../../../build/boot/inside.js';
import type { OverlayFile } from '../../../build/boot/inside.js';
import { allRules } from '../../../build/pf/expand.js';
import { printRule } from '../../../build/pf/print.js';
import { readRules } from '../../../build/policy/image.js';
import { configOf } from '../../helpers/config.js';
import { bodyOf, overlayOf } from '../../helpers/deployment.js';

const entries = overlayOf(configOf());
const overlay: readonly OverlayFile[] = entries.filter(({ type }) => type === 'file');
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
    ].map((name) => {
      const [stage, check] = name.split('.');
      return { stage, check, state: change(name), detail: 'because' };
    }),
  });

/** What an instance says, section by section. */
function told(change: Readonly<Record<string, string>> = {}): string {
  const sections: Readonly<Record<string, string>> = {
    netcheck: netcheck(),
    rules: rules.filter((rule) => !/^(?:no nat|nat|rdr)/.test(rule)).join('\n'),
    nat: rules.filter((rule) => /^(?:no nat|nat|rdr)/.test(rule)).join('\n'),
    info: 'Status: Enabled',
    egress: 'vtnet0',
    wardens: 'warden0',
    sockets:
      'root sshd 800 4 tcp4 *:22 *:*\nroot sshd 800 3 tcp6 *:22 *:*\nroot dhclient 500 6 udp4 *:68 *:*',
    files: overlay
      .filter(({ path }) => path !== 'firstboot')
      .map(({ path, mode, uid, gid }) => `0${mode.toString(8)} ${uid}:${gid} /${path}`)
      .join('\n'),
    ...change,
  };
  const text = Object.entries(sections).map(([name, body]) => `===inspect ${name}\n${body}\n`);
  return `Starting sshd.\n${text.join('')}===inspect end\nlogin: `;
}

const states = (text: string): Readonly<Record<string, string>> =>
  Object.fromEntries(judgeInside(text, overlay, 1).map(({ id, state }) => [id, state]));
const packetsOf = (text: string): string =>
  judgeInside(text, overlay, 1)
    .flatMap(({ packets }) => packets)
    .join('\n');

describe('an instance from inside', () => {
  it('holds where all is as the overlay says', () => {
    expect(packetsOf(told())).toBe('');
    expect(states(told())).toEqual({
      netcheck: 'held',
      rules: 'held',
      groups: 'held',
      sockets: 'held',
      files: 'held',
    });
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
      'missing: block drop in quick from <bruteforce>',
    ],
    [
      'there is a rule more',
      {
        nat: `${rules.filter((rule) => /^(?:no nat|nat|rdr)/.test(rule)).join('\n')}\nrdr pass on egress inet proto tcp from any to any port = 1 -> 192.168.100.20`,
      },
      'rules',
      'unknown: rdr pass',
    ],
    ['nothing is egress', { egress: '' }, 'groups', 'egress: '],
    ['two are egress', { egress: 'vtnet0\nvtnet1' }, 'groups', 'egress: vtnet0 vtnet1'],
    ['a service listens', { sockets: 'root rpcbind 700 8 tcp4 *:111 *:*' }, 'sockets', 'rpcbind'],
    ['sshd listens elsewhere', { sockets: 'root sshd 700 8 tcp4 *:2222 *:*' }, 'sockets', '2222'],
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
});
