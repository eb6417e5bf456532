import { describe, expect, it } from 'vitest';
import { makeView } from '../../../build/overlay/view.js';
import { proveImage } from '../../../build/policy/image.js';
import { configOf } from '../../helpers/config.js';
import { bodyOf, overlayOf } from '../../helpers/deployment.js';

const config = configOf({ TENANTS: 'igor' });
const entries = overlayOf(config);
const prove = (operator: string): unknown =>
  proveImage(
    {
      pf: bodyOf(entries, 'etc/pf.conf'),
      fallback: bodyOf(entries, 'etc/pf-fallback.conf'),
      hosts: bodyOf(entries, 'etc/hosts'),
      operator,
    },
    makeView(config),
    [],
  );

describe('rules of an operator', () => {
  it('may use the names of /etc/hosts that the image has, and no others', () => {
    expect(() =>
      prove('block in quick on egress proto tcp from any to { localhost, warden0.host } port 8080\n'),
    ).not.toThrow();
    expect(() => prove('block in quick on egress from any to warden9.example\n')).toThrow(
      /operator\.conf:1:\d+: "warden9\.example" is a host name/,
    );
  });

  it('are said not to load where one is misspelt, and not to break the policy', () => {
    expect(() => prove('pass in quikc all\n')).toThrow(
      expect.objectContaining({
        message: expect.stringMatching(
          /^The rules of this image do not load:\n {2}\/etc\/pf\.conf\.d\/operator\.conf:1:9: /,
        ) as string,
        fix: 'operator.conf is the file that PF_RULES_FILE names: mend it there.',
      }),
    );
  });

  // Of each the proof alone would say that it is closed, and something is open where FreeBSD leaves out the other rule.
  const tcp = 'on egress inet proto tcp';
  it.each<[string, readonly string[], number]>([
    [
      'are equal',
      [`block in ${tcp} to port 2222`, `pass in ${tcp} to port 2222`, `block in ${tcp} to port 2222`],
      3,
    ],
    [
      'have labels that are one text together',
      [
        `block in ${tcp} to port 2222 label "ab"`,
        `pass in ${tcp} to port 2222`,
        `block in ${tcp} to port 2222 label "a" label "b"`,
      ],
      3,
    ],
    [
      'have interfaces that are one text together',
      [
        'block out on warden0 to 192.0.2.1',
        'pass out to 192.0.2.1',
        'block out to 192.0.2.1 received-on warden0',
      ],
      3,
    ],
    [
      'have another mask of an interface',
      ['block in from (warden0)/16', 'pass in from 192.0.2.1', 'block in from (warden0)/24'],
      3,
    ],
    ['have a number that is none', ['block in from 192.0.2.1', 'block in from 192.0.2.1 ridentifier 0'], 2],
  ])('are refused where FreeBSD may take two for one: those that %s', (_, lines, at) => {
    expect(() => prove(`${lines.join('\n')}\n`)).toThrow(
      new RegExp(
        `operator\\.conf:${at}:\\d+: FreeBSD may take it for the rule of \\S+operator\\.conf:1, and leave one of them out: block `,
      ),
    );
  });

  it('are seen where one name stands for two ports', () => {
    const lines = [
      `pass in ${tcp} to port 2`,
      `block in ${tcp} to port { 2, 3 }`,
      `pass in ${tcp} to port 3`,
    ];
    expect(() => prove(`${lines.join('\n')}\n`)).toThrow(/operator\.conf:3/);
  });

  it('have no table with counters: where a later file takes them away, the kernel may stop', () => {
    const rule = 'block in quick on egress inet proto tcp from <own> to any port 8080\n';
    expect(() => prove(`table <own> { 198.51.100.0/24 }\n${rule}`)).not.toThrow();
    expect(() => prove(`table <own> counters { 198.51.100.0/24 }\n${rule}`)).toThrow(
      /operator\.conf:1:\d+: the table <own> has counters/,
    );
  });

  it('are bounded where lists multiply, with the line', () => {
    const list = (prefix: string): string =>
      `{ ${Array.from({ length: 20 }, (_, index) => `${prefix}${index + 1}`).join(' ')} }`;
    expect(() =>
      prove(`# many\nblock in proto tcp from ${list('10.0.0.')} to ${list('10.0.1.')} port ${list('10')}\n`),
    ).toThrow(/operator\.conf:2:1: the lists of this rule make 8000 rules of it, with \d+ before it/);
  });
});
