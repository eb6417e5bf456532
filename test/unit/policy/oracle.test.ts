import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Evaluator } from '../../../build/pf/evaluate.js';
import type { Packet } from '../../../build/pf/evaluate.js';
import type { Node } from '../../../build/pf/cells.js';
import { dynamicTables, Fields, seesFragments } from '../../../build/pf/lines.js';
import { parsePf } from '../../../build/pf/parse.js';
import { inside } from '../../../build/pf/ranges.js';
import { Resolver } from '../../../build/pf/resolve.js';
import type { World } from '../../../build/pf/resolve.js';
import { decidePlace } from '../../../build/policy/decide.js';
import type { Outcome } from '../../../build/policy/decide.js';
import { packetValues } from '../../../build/policy/row.js';
import type { Row, RowLine } from '../../../build/policy/row.js';
import { ip, PARTIES } from '../../../build/policy/world.js';

/*
 * Two ways to decide: rule by rule, for one packet; and by classes of every field, for all of them. They have nothing in
 * common but the reading of rules and the addresses that names stand for.
 */

const world: World = {
  interfaces: [
    { name: 'em0', groups: ['egress'], addresses: ['192.0.2.1/24', '2001:db8::1/64'] },
    { name: 'lan0', groups: ['inner'], addresses: ['10.0.0.1/8', 'fd00::1/64'] },
    { name: 'lan1', groups: ['inner'], addresses: ['10.1.0.1/16'] },
  ],
  tables: { bruteforce: [PARTIES.offender4, PARTIES.offender6] },
  defaultDrop: true,
};

const FOUR = [
  '192.0.2.1',
  '192.0.2.0/24',
  '10.0.0.0/8',
  '10.1.2.3',
  '198.51.100.64/30',
  '10.0.0.9 - 10.1.2.2',
];
const SIX = ['2001:db8::/32', '2001:db8::1', 'fd00::/8', '2001:db8:ffff::66'];
const SYMBOLS = ['<bruteforce>', '<office>', '(egress)', '(inner)', '(em0:network)', '(em0:0)', 'no-route'];

const maybe = (text: fc.Arbitrary<string>, freq = 2): fc.Arbitrary<string> =>
  fc.oneof({ arbitrary: text, weight: 1 }, { arbitrary: fc.constant(''), weight: freq });
const host = (v6: boolean): fc.Arbitrary<string> =>
  fc
    .tuple(fc.constantFrom('', '', '! '), fc.constantFrom(...(v6 ? SIX : FOUR), ...SYMBOLS))
    .map(([not, text]) => (text === 'no-route' ? text : not + text));
const ports = fc.constantFrom(
  ...['port 22', 'port != 22', 'port 20:30', 'port 20 >< 30', 'port 20 <> 30', 'port > 1023', 'port <= 443'],
);

/** A rule of the grammar that is modelled: its words in pf.conf(5)'s order. */
const filter = fc
  .record({
    v6: fc.boolean(),
    named: fc.boolean(),
    action: fc.constantFrom('pass', 'pass', 'block', 'match'),
    direction: fc.constantFrom('', 'in', 'out'),
    quick: fc.constantFrom('', '', 'quick'),
    on: maybe(fc.constantFrom('on em0', 'on egress', 'on ! inner', 'on lan1', 'on inner')),
    kind: fc.constantFrom('none', 'ports', 'icmp', 'proto', 'flags'),
    proto: fc.constantFrom('tcp', 'udp'),
    fromPort: maybe(ports, 4),
    toPort: maybe(ports, 1),
    type: fc.constantFrom('echoreq', 'unreach', 'unreach code 4'),
    type6: fc.constantFrom('echoreq', 'toobig', 'neighbrsol'),
    flags: fc.constantFrom('flags any', 'flags A/A', 'flags S/SAFR', 'no state'),
    more: maybe(
      fc.constantFrom('received-on lan0', '! received-on egress', 'fragment', 'probability 50%', 'user root'),
      4,
    ),
    tag: maybe(fc.constantFrom('tag ONE', 'tagged ONE', '! tagged ONE'), 5),
  })
  .chain((parts) =>
    fc
      .tuple(maybe(host(parts.v6), 1), maybe(host(parts.v6), 1))
      .map(([from, to]) => ruleText({ ...parts, from, to })),
  );

function ruleText(parts: {
  v6: boolean;
  named: boolean;
  action: string;
  direction: string;
  quick: string;
  on: string;
  kind: string;
  proto: string;
  fromPort: string;
  toPort: string;
  type: string;
  type6: string;
  flags: string;
  more: string;
  tag: string;
  from: string;
  to: string;
}): string {
  const { kind, v6 } = parts;
  const af = kind === 'icmp' || parts.named ? (v6 ? 'inet6' : 'inet') : '';
  const proto =
    kind === 'ports'
      ? `proto ${parts.proto}`
      : kind === 'icmp'
        ? `proto ${v6 ? 'ipv6-icmp' : 'icmp'}`
        : kind === 'proto'
          ? 'proto 47'
          : '';
  const from = `from ${parts.from === '' ? 'any' : parts.from}${kind === 'ports' ? ` ${parts.fromPort}` : ''}`;
  const to = `to ${parts.to === '' ? 'any' : parts.to}${kind === 'ports' ? ` ${parts.toPort}` : ''}`;
  const icmp = kind === 'icmp' ? (v6 ? `icmp6-type ${parts.type6}` : `icmp-type ${parts.type}`) : '';
  const flags = parts.action === 'pass' && (kind === 'flags' || kind === 'none') ? parts.flags : '';
  const more =
    (parts.more === 'fragment' && (kind === 'ports' || kind === 'icmp')) ||
    (parts.more === 'user root' && kind !== 'ports')
      ? ''
      : parts.more;
  return [
    parts.action,
    parts.direction,
    parts.quick,
    parts.on,
    af,
    proto,
    from,
    to,
    icmp,
    flags,
    more,
    parts.tag,
  ]
    .filter((word) => word !== '')
    .join(' ');
}

const anchored = fc
  .tuple(
    fc.constantFrom('', 'in', 'out'),
    fc.constantFrom('', 'quick'),
    fc.constantFrom('', 'on egress', 'proto tcp', 'inet from 10.0.0.0/8'),
    fc.array(filter, { minLength: 1, maxLength: 3 }),
  )
  .map(([direction, quick, match, rules]) =>
    [`anchor "a" ${direction} ${quick} ${match} {`, ...rules, '}'].join('\n'),
  );
const translation = fc.constantFrom(
  'nat on em0 inet from 10.0.0.0/8 to any -> 192.0.2.1',
  'no nat on em0 inet from 10.1.0.0/16 to 192.0.2.0/24',
  'nat on lan0 inet from any to 10.0.0.0/8 -> (lan0:0)',
  'rdr on em0 inet proto tcp from any to (em0) port 22 -> 10.1.2.3 port 25',
  'rdr on em0 inet proto tcp from ! 10.0.0.0/8 to any port 20:30 -> 10.0.0.9',
  'no rdr on em0 inet proto tcp from 198.51.100.64/30 to any',
  'nat pass on em0 inet from 10.1.0.0/16 to any -> 192.0.2.1',
  'nat on em0 inet proto tcp from any port < 30 to any -> 192.0.2.1',
  'binat on em0 inet from 10.1.2.3 to any -> 192.0.2.2',
  'no binat on em0 inet proto tcp from any to any',
  'no rdr on em0 inet proto tcp from any to 192.0.2.2',
);
const scrub = fc.constantFrom(
  '',
  'scrub in all fragment reassemble\n',
  'scrub in on em0 all fragment reassemble\n',
);

const file = fc
  .record({
    scrub,
    translations: fc.array(translation, { maxLength: 3 }),
    filters: fc.array(fc.oneof({ arbitrary: filter, weight: 6 }, { arbitrary: anchored, weight: 1 }), {
      minLength: 1,
      maxLength: 14,
    }),
  })
  .map(
    ({ scrub: first, translations, filters }) =>
      `table <bruteforce> persist\ntable <office> const { 10.1.0.0/16, !10.1.2.3, 2001:db8:1::/48 }\n${first}${[...translations, ...filters].join('\n')}\n`,
  );

const address = (v6: boolean): fc.Arbitrary<Packet['src']> =>
  fc
    .constantFrom(
      ...(v6
        ? ['2001:db8::1', '2001:db8::2', 'fd00::1', '2001:db9::', PARTIES.offender6, '::', '2001:db8:1::5']
        : [
            ...[
              '192.0.2.1',
              '192.0.2.2',
              '10.0.0.1',
              '10.0.0.9',
              '10.1.2.2',
              '10.1.2.3',
              '10.1.2.4',
              '11.0.0.0',
            ],
            ...[PARTIES.offender4, '198.51.100.63', '0.0.0.0', '255.255.255.255'],
          ]),
    )
    .map(ip);
const packets = fc.boolean().chain((v6) =>
  fc
    .record({
      interface: fc.constantFrom('em0', 'lan0', 'lan1', 'wg0'),
      direction: fc.constantFrom('in' as const, 'out' as const),
      proto: fc.constantFrom(6, 17, v6 ? 58 : 1, 47),
      src: address(v6),
      dst: address(v6),
      srcPort: fc.constantFrom(0, 20, 22, 30, 443, 1024, 65535),
      dstPort: fc.constantFrom(0, 20, 21, 22, 25, 30, 31, 443, 444, 1023, 1024, 65535),
      icmpType: fc.constantFrom(0, 2, 3, 8, 128, 135),
      icmpCode: fc.constantFrom(0, 3, 4),
      flags: fc.constantFrom(0, 2, 16, 18, 3),
      fragment: fc.constantFrom(false, false, true),
      receivedOn: fc.constantFrom(undefined, 'em0', 'lan0', 'lan1'),
    })
    .map(({ receivedOn, ...rest }): Packet => ({
      ...rest,
      af: v6 ? 'inet6' : 'inet',
      ...(rest.direction === 'out' && { receivedOn }),
    })),
);

const row: Row = { id: 'x', from: '', to: '', why: '', verdict: 'block', at: () => [] };
const everything = (verdict: 'pass' | 'block'): readonly RowLine[] => [
  { row: { ...row, verdict }, verdict, conditions: [] },
];

describe('the proof and the evaluator', () => {
  it('decide alike about every packet, by the same rule', () => {
    let compared = 0;
    fc.assert(
      fc.property(file, fc.array(packets, { minLength: 25, maxLength: 25 }), (text, tried) => {
        const { ruleset, flaws } = parsePf(text, 'pf.conf');
        // What pfctl refuses decides nothing.
        fc.pre(flaws.length === 0);
        const evaluator = new Evaluator(ruleset, world);
        const resolver = new Resolver(ruleset, world);
        for (const packet of tried) {
          const fields = new Fields(packet.af, world, dynamicTables(ruleset));
          const place = { interface: packet.interface, direction: packet.direction, af: packet.af };
          const values = packetValues(packet, fields);
          if (packet.fragment === true && !seesFragments(ruleset, world, place)) continue; // there are none
          for (const verdict of ['pass', 'block'] as const) {
            const diagrams = decidePlace(
              {
                ruleset,
                world,
                resolver,
                fields,
                place,
                rows: everything(verdict),
                host: { inet: [], inet6: [] },
              },
              true,
            );
            const outcomes = diagrams.flatMap(({ root, classes }) => {
              let node: Node<Outcome> = root;
              while (!('value' in node)) {
                const { field, groups }: Exclude<Node<Outcome>, { value: Outcome }> = node;
                const at = classes[field]?.findIndex((range) => inside([range], values[field] ?? 0)) ?? -1;
                const group = groups.find((candidate) => candidate.classes.includes(at));
                if (!group) throw new Error(`no class of field ${field} has ${String(values[field])}`);
                node = group.child;
              }
              return node.value.row ? [node.value] : [];
            });
            const decided = evaluator.decide(packet, verdict === 'block' ? 'open' : 'closed');
            expect(
              outcomes.map((outcome) => ({
                as: outcome.problem === undefined ? verdict : verdict === 'pass' ? 'block' : 'pass',
                line: outcome.rule?.place.line,
              })),
            ).toEqual([{ as: decided.action, line: decided.rule?.place.line }]);
            compared++;
          }
        }
      }),
      { numRuns: 400, seed: 11 },
    );
    expect(compared).toBeGreaterThan(10_000);
  }, 240_000);
});
