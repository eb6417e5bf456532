import { describe, expect, it } from 'vitest';
import { makeView } from '../../../build/overlay/view.js';
import { Evaluator } from '../../../build/pf/evaluate.js';
import { printRule } from '../../../build/pf/print.js';
import { ruleFiles } from '../../../build/commands/rules.js';
import { describePacket } from '../../../build/policy/describe.js';
import { readRules } from '../../../build/policy/image.js';
import { decidePolicy, subjectOf } from '../../../build/policy/prove.js';
import type { Subject } from '../../../build/policy/prove.js';
import { samplesOf } from '../../../build/policy/samples.js';
import type { Sender } from '../../../build/policy/samples.js';
import { ip } from '../../../build/policy/world.js';
import type { Situation } from '../../../build/policy/world.js';
import { formatIp } from '../../../build/pf/address.js';
import { configOf } from '../../helpers/config.js';
import { overlayOf } from '../../helpers/deployment.js';

function subjectFor(
  values: Readonly<Record<string, string>>,
  found: Readonly<Record<string, readonly string[]>> = {},
): Subject {
  const config = configOf(values);
  const situation: Situation = {
    ...{ view: makeView(config), tailscaleActive: false, fallback: false, egressKnown: true },
  };
  const { ruleset } = readRules(ruleFiles(overlayOf(config)), situation);
  return subjectOf(ruleset, situation, found);
}

/** Whoever there is, and the host itself, which would rather be somebody and speak to somebody. */
const ANYBODY: Sender = { src: [], dst: () => [], own: false };
const HOST: Sender = {
  src: ['192.168.100.200'],
  dst: (at) => (at === 'lo0' ? ['192.168.100.1'] : []),
  own: true,
};

const DEPLOYMENTS: readonly (readonly [string, Readonly<Record<string, string>>])[] = [
  ['as it is by default', {}],
  [
    'with every way in',
    {
      TENANTS: 'igor',
      JAILS: 'worker\nigor/other vnet',
      ICMP_ECHO: 'yes',
      SSH_ALLOW: '198.51.100.7',
      OPEN_PORTS: '8443/tcp, 3478/udp',
      FORWARD_PORTS: '2222/tcp=worker:22',
      JAIL_HOST_PORTS: '8053/tcp',
    },
  ],
];

describe('one packet of every cell', () => {
  it.each(DEPLOYMENTS)('is decided as its cell by who looks at single packets: %s', (_, values) => {
    const subject = subjectFor(values);
    const { cells } = samplesOf(subject, () => true, [ANYBODY, HOST]);
    const samples = cells.flat();
    const offenders = samples
      .filter(({ offender }) => offender)
      .map(({ packet }) => formatIp(packet.af, BigInt(packet.src)));
    const evaluator = new Evaluator(subject.ruleset, {
      ...subject.world,
      tables: { ...subject.world.tables, bruteforce: offenders },
    });
    const wrong = samples.flatMap(({ packet, verdict, rule }) => {
      const decided = evaluator.decide(packet, verdict === 'block' ? 'open' : 'closed');
      return decided.action === verdict && decided.rule === rule
        ? []
        : [
            `${describePacket(packet)}: ${decided.action} ${decided.rule ? printRule(decided.rule) : ''} instead of ${verdict} ${rule ? printRule(rule) : ''}`,
          ];
    });
    expect(wrong).toEqual([]);
    expect(samples.length).toBeGreaterThan(1000);
  });

  it('leaves out none but those that the policy leaves open, and offenders who are nobody', () => {
    const subject = subjectFor({});
    const { cells: tried, open, shared } = samplesOf(subject, (name) => name === 'vtnet0', [ANYBODY]);
    const samples = tried.flat();
    let cells = 0;
    for (const { place, diagrams } of decidePolicy(subject, true))
      if (place.interface === 'vtnet0') for (const diagram of diagrams) cells += diagram.cells;
    expect(samples.length + open + shared).toBe(cells);
    expect(samples.length).toBeGreaterThan(200);
    expect(new Set(samples.map(({ packet }) => packet.interface))).toEqual(new Set(['vtnet0']));
  });

  it('has the addresses that interfaces were found to have', () => {
    const subject = subjectFor({}, { vtnet0: ['192.0.2.9/24'] });
    const { cells } = samplesOf(subject, (name) => name === 'vtnet0', [ANYBODY]);
    const ssh = cells.flat().filter(({ row, packet }) => row.id === 'ssh' && packet.direction === 'in');
    expect(ssh.map(({ packet }) => formatIp(packet.af, BigInt(packet.dst)))).toContain('192.0.2.9');
    expect(ssh.every(({ packet }) => packet.af === 'inet')).toBe(true);
  });

  it('has offenders whose addresses nobody else has', () => {
    const samples = samplesOf(subjectFor({}), () => true, [ANYBODY, HOST]).cells.flat();
    const [banned, others] = [true, false].map(
      (wanted) =>
        new Set(samples.flatMap(({ offender, packet }) => (offender === wanted ? [packet.src] : []))),
    );
    expect(banned?.size).toBeGreaterThan(10);
    expect([...(banned ?? [])].filter((src) => others?.has(src))).toEqual([]);
  });

  it('has of each sender a packet of its own, with what that rather has where the cell lets it', () => {
    const { cells } = samplesOf(subjectFor({}), (name) => name === 'lo0', [ANYBODY, HOST]);
    const samples = cells.flat();
    expect(new Set(samples.map(({ number }) => number)).size).toBe(samples.length);
    const hosts = samples.filter(({ by }) => by === HOST);
    const [jail, gateway] = [ip('192.168.100.200'), ip('192.168.100.1')];
    const asked = hosts.filter(({ packet, row }) => row.id === 'plain-host' && packet.src === jail);
    expect(asked.length).toBeGreaterThan(0);
    expect(asked.every(({ packet }) => packet.dst === gateway)).toBe(true);
    expect(hosts.filter(({ packet }) => packet.receivedOn !== undefined)).toEqual([]);
    expect(samples.some(({ by, packet }) => by === ANYBODY && packet.receivedOn !== undefined)).toBe(true);
  });
});
