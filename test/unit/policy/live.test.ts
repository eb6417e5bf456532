import { describe, expect, it } from 'vitest';
import { makeView } from '../../../build/overlay/view.js';
import { printRule } from '../../../build/pf/print.js';
import type { Rule } from '../../../build/pf/types.js';
import { readRules } from '../../../build/policy/image.js';
import { readLive } from '../../../build/policy/live.js';
import { mapZones } from '../../../build/policy/matrix.js';
import { prove, subjectOf } from '../../../build/policy/prove.js';
import type { Situation } from '../../../build/policy/world.js';
import { configOf } from '../../helpers/config.js';
import { bodyOf, overlayOf } from '../../helpers/deployment.js';

const config = configOf({ TENANTS: 'igor', JAIL_HOST_PORTS: '8080/tcp' });
const entries = overlayOf(config);
const situation: Situation = {
  view: makeView(config),
  egressKnown: true,
  tailscaleActive: false,
  fallback: false,
};
const { ruleset: image } = readRules(
  {
    pf: bodyOf(entries, 'etc/pf.conf'),
    fallback: bodyOf(entries, 'etc/pf-fallback.conf'),
    operator: bodyOf(entries, 'etc/pf.conf.d/operator.conf'),
  },
  situation,
);

const isTranslation = ({ action }: Rule): boolean => /nat|rdr/.test(action);
const print = (rules: readonly Rule[]): readonly string[] => rules.map(printRule);
/** What pfctl prints of the image's rules: `-sn`, `-sr`, `-sA`. */
const NAT = print(image.rules.filter(isTranslation));
const FILTER = print(image.rules.filter((rule) => !isTranslation(rule)));
const ANCHORS = ['  bastille', '  rdr', '  tailscale'];

const read = (lines: readonly string[]) => readLive(`${lines.join('\n')}\n`, 'pfctl.txt', image);
const verdicts = (lines: readonly string[]): readonly string[] => {
  const { ruleset, flaws } = read(lines);
  expect(flaws).toEqual([]);
  return mapZones(subjectOf(ruleset, situation)).pairs.map(
    ({ from, to, verdict, services }) => `${from} → ${to}: ${verdict} ${services.join('; ')}`,
  );
};
const ofImage = mapZones(subjectOf(image, situation)).pairs.map(
  ({ from, to, verdict, services }) => `${from} → ${to}: ${verdict} ${services.join('; ')}`,
);

describe('the rules of a running instance', () => {
  it.each([
    ['-sr -sn -sA', [...FILTER, ...NAT, ...ANCHORS]],
    ['-sn -sr', [...NAT, ...FILTER]],
    [
      '-vv',
      [...NAT, ...FILTER].flatMap((line, index) => [
        `@${index} ${line}`,
        '  [ Evaluations: 212       Packets: 0         Bytes: 0           States: 0     ]',
        '  [ Inserted: uid 0 pid 714 State Creations: 0     ]',
        '  [ Last Active Time: N/A ]',
      ]),
    ],
    [
      '-s all',
      [
        'TRANSLATION RULES:',
        ...NAT,
        '',
        'FILTER RULES:',
        ...FILTER,
        '',
        'STATES:',
        'vtnet0 tcp 203.0.113.10:22 <- 198.51.100.20:50000       ESTABLISHED:ESTABLISHED',
        '',
        'INFO:',
        'Status: Enabled for 0 days 00:10:01           Debug: Urgent',
        '',
        'LIMITS:',
        'states        hard limit   100000',
        '',
        'TABLES:',
        'bruteforce',
      ],
    ],
  ])('are read as pfctl %s prints them, and mean what those of the image mean', (_, lines) => {
    expect(verdicts(lines)).toEqual(ofImage);
    expect(prove(subjectOf(read(lines).ruleset, situation)).violations).toEqual([]);
  });

  it('keep their own lines', () => {
    const { ruleset } = read(['', ...NAT, '', ...FILTER]);
    expect(ruleset.rules.find(({ action }) => action === 'no nat')?.place).toMatchObject({
      file: 'pfctl.txt',
      line: 2,
    });
  });

  it('are held against the policy: what somebody has opened is found', () => {
    const rule =
      'pass in quick on egress inet proto tcp from any to any port = 8080 flags S/SA keep state (if-bound)';
    const lines = [...NAT, ...FILTER, rule];
    const { violations } = prove(subjectOf(read(lines).ruleset, situation));
    expect(violations.map(({ row }) => row.id)).toContain('closed');
    expect(violations[0]?.rule?.place).toMatchObject({ file: 'pfctl.txt', line: lines.length });
  });

  it('have the redirects in them that anchors were filled with', () => {
    const redirect =
      'rdr pass on egress inet proto tcp from any to any port = 8080 -> 192.168.101.200 port 80';
    for (const lines of [
      [...NAT, redirect, ...FILTER],
      [
        ...NAT.filter((line) => !line.startsWith('rdr-anchor')),
        'rdr-anchor "rdr/*" all {',
        '  rdr-anchor "web" all {',
        `    ${redirect}`,
        '  }',
        '}',
        ...FILTER,
      ],
    ])
      expect(verdicts(lines).filter((line) => !ofImage.includes(line))).toEqual([
        'internet → plain:igor: services icmp unreach code needfrag; tcp 8080 (IPv4)',
        'internet → vnet:igor: services icmp unreach code needfrag; tcp 8080 (IPv4)',
      ]);
  });

  it('have the rules of filter anchors in them, as pfctl -a "*" -sr prints them', () => {
    const lines = [
      ...NAT,
      ...FILTER.filter((line) => !line.includes('"bastille/*"')),
      'anchor "bastille/*" all {',
      '  anchor "web" all {',
      '    pass in quick on egress inet proto tcp from any to 192.168.101.200 port = http flags S/SA keep state (if-bound)',
      '  }',
      '}',
    ];
    expect(verdicts(lines).filter((line) => !ofImage.includes(line))).toEqual([
      'internet → plain:igor: services icmp unreach code needfrag; tcp 80 (IPv4)',
      'internet → vnet:igor: services icmp unreach code needfrag; tcp 80 (IPv4)',
    ]);
  });

  it('tell what is not in them', () => {
    expect(read([...NAT, ...FILTER, ...ANCHORS, '  rdr/web', '  mine']).assumed.join('\n')).toMatch(
      /tables have[\s\S]*options[\s\S]*anchor rdr\/web[\s\S]*`pfctl -a mine -sn`/,
    );
  });

  it.each([
    [['hello there'], '"hello there" is no rule as pfctl prints them'],
    [['Status: Disabled for 0 days', ...FILTER], 'pf is off'],
    [[], 'there is no rule in it'],
    [['pass in on egress from nowhere! to any'], ''],
  ])('are refused where they are none (%#)', (lines, message) => {
    const { flaws } = read(lines);
    expect(flaws.length).toBeGreaterThan(0);
    expect(flaws.map((flaw) => flaw.message).join('\n')).toContain(message);
  });
});
