import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { makeView } from '../../../build/overlay/view.js';
import type { Node } from '../../../build/pf/cells.js';
import { Evaluator } from '../../../build/pf/evaluate.js';
import type { Packet } from '../../../build/pf/evaluate.js';
import { inside } from '../../../build/pf/ranges.js';
import { Resolver } from '../../../build/pf/resolve.js';
import { readRules } from '../../../build/policy/image.js';
import { decideWay } from '../../../build/policy/journey.js';
import type { Journey } from '../../../build/policy/journey.js';
import { bridgeNets, countryOf } from '../../../build/policy/matrix.js';
import { waysOf } from '../../../build/policy/paths.js';
import type { Way } from '../../../build/policy/paths.js';
import { subjectOf } from '../../../build/policy/prove.js';
import { packetValues } from '../../../build/policy/row.js';
import { ip } from '../../../build/policy/world.js';
import type { Situation } from '../../../build/policy/world.js';
import { zonesOf } from '../../../build/policy/zones.js';
import { configOf } from '../../helpers/config.js';
import { bodyOf, overlayOf } from '../../helpers/deployment.js';

/*
 * Ways are decided for all packets at once; the evaluator follows one packet, crossing by crossing. They have the reading
 * of rules in common, and the table of ways.
 */

const config = configOf({ TENANTS: 'igor', TAILSCALE: 'subnet', JAIL_HOST_PORTS: '8080/tcp' });
const entries = overlayOf(config);

/** Rules that change what gets from where to where. */
const operator = fc.constantFrom(
  '',
  'pass in quick on egress proto tcp to (egress) port 8443\n',
  'pass in on egress inet proto tcp to any port 80\n',
  'pass out quick on warden0 inet proto tcp from 192.168.101.0/24 to any port 80\n',
  'pass quick on em1 inet proto udp\n',
  'block in quick on warden1 inet proto tcp to any port 443\n',
  'pass in on warden0 inet6\npass out on egress inet6\n',
);
const translation = fc.constantFrom(
  '',
  'rdr on egress inet proto tcp from any to (egress) port 80 -> 192.168.101.20 port 443\n',
  'rdr pass on egress inet proto tcp from ! 198.51.100.64/30 to any port 8080 -> 192.168.100.200 port 80\n',
  'no rdr on egress inet proto tcp from 198.51.100.64/30 to any\nrdr on egress inet proto { tcp, udp } from any to any port 53 -> 192.168.101.20\n',
  'nat on warden0 inet from 192.168.101.0/24 to any -> (warden0:0)\n',
  'binat on egress inet from 192.168.100.20 to any -> 203.0.113.10\n',
);

const FOUR = [
  ...['198.51.100.20', '198.51.100.66', '203.0.113.10', '127.0.0.1', '100.100.100.20', '100.100.100.10'],
  ...['192.168.100.20', '192.168.100.200', '192.168.101.20', '192.168.101.200', '192.168.100.1'],
  ...['192.168.100.255', '10.1.2.3', '8.8.8.8'],
].map(ip);
const SIX = ['2001:db8:ffff::20', '2001:db8:0:1::10', 'fe80::1', '::1', 'fd7a:115c:a1e0::20'].map(ip);

const header = fc.boolean().chain((v6) =>
  fc.record({
    af: fc.constant(v6 ? ('inet6' as const) : ('inet' as const)),
    src: fc.constantFrom(...(v6 ? SIX : FOUR)),
    dst: fc.constantFrom(...(v6 ? SIX : FOUR)),
    proto: fc.constantFrom(6, 6, 17, v6 ? 58 : 1, 47),
    srcPort: fc.constantFrom(40000, 53, 8080),
    dstPort: fc.constantFrom(22, 53, 80, 443, 8080, 8443, 41641),
    icmpType: fc.constantFrom(2, 3, 8, 128, 135),
    icmpCode: fc.constantFrom(0, 4),
    flags: fc.constantFrom(2, 2, 16),
  }),
);

/** Whether a packet gets along a way, by the evaluator; undefined where it does not go there. */
function follow(
  evaluator: Evaluator,
  way: Way,
  packet: Omit<Packet, 'interface' | 'direction'>,
): boolean | undefined {
  if (!inside(way.sources[packet.af], packet.src)) return undefined;
  let { src, dst, dstPort } = packet;
  for (const crossing of way.crossings) {
    const verdict = evaluator.decide({ ...packet, ...crossing, src, dst, dstPort }, 'open');
    ({ src, dst, dstPort } = verdict);
    // Where it goes then may be another zone: it is only asked what is blocked on the way.
    if (verdict.action === 'block')
      return inside(way.addresses[packet.af], finalOf(evaluator, way, packet)) ? false : undefined;
  }
  return inside(way.addresses[packet.af], dst) ? true : undefined;
}

/** The destination after every translation of a way, whatever is blocked. */
function finalOf(
  evaluator: Evaluator,
  way: Way,
  packet: Omit<Packet, 'interface' | 'direction'>,
): Packet['dst'] {
  let { src, dst, dstPort } = packet;
  for (const crossing of way.crossings)
    ({ src, dst, dstPort } = evaluator.decide({ ...packet, ...crossing, src, dst, dstPort }, 'open'));
  return dst;
}

describe('ways that are decided for all packets, and the evaluator that follows one', () => {
  it('agree about every packet', { timeout: 300_000 }, () => {
    let compared = 0;
    let open = 0;
    fc.assert(
      fc.property(
        operator,
        translation,
        fc.boolean(),
        fc.array(header, { minLength: 40, maxLength: 40 }),
        (rules, moving, tailscaleActive, headers) => {
          const situation: Situation = {
            view: makeView(config),
            tailscaleActive,
            fallback: false,
            egressKnown: true,
          };
          const { ruleset, flaws } = readRules(
            {
              pf: bodyOf(entries, 'etc/pf.conf').replace('rdr-anchor', `${moving}rdr-anchor`),
              fallback: bodyOf(entries, 'etc/pf-fallback.conf'),
              operator: rules,
            },
            situation,
          );
          expect(flaws).toEqual([]);
          const subject = subjectOf(ruleset, situation);
          const all = zonesOf(situation, subject.world);
          const evaluator = new Evaluator(ruleset, subject.world);
          const resolver = new Resolver(ruleset, subject.world);
          const countries = {
            inet: countryOf(subject, 'inet', resolver),
            inet6: countryOf(subject, 'inet6', resolver),
          };
          const [first, second] = [headers.slice(0, 20), headers.slice(20)];
          for (const [index, from] of all.zones.entries())
            for (const to of all.zones) {
              const [way] = waysOf(all, from, to, bridgeNets(subject));
              if (!way) continue;
              const decisions = {
                inet: decideWay(countries.inet, way, true),
                inet6: decideWay(countries.inet6, way, true),
              };
              for (const packet of index % 2 === 0 ? first : second) {
                const expected = follow(evaluator, way, packet);
                const { fields } = countries[packet.af];
                const values = packetValues({ ...packet, interface: '', direction: 'in' }, fields);
                const found = decisions[packet.af].flatMap(({ diagram: { root, classes } }) => {
                  let node: Node<Journey | undefined> = root;
                  while (!('value' in node)) {
                    const { field, groups }: Exclude<typeof node, { value: unknown }> = node;
                    const at =
                      classes[field]?.findIndex((range) => inside([range], values[field] ?? 0)) ?? -1;
                    const group = groups.find((candidate) => candidate.classes.includes(at));
                    if (!group) throw new Error(`no class of field ${field}`);
                    node = group.child;
                  }
                  return node.value ? [node.value.open] : [];
                });
                // Boxes may have packets of other ways in them, too: nobody asks of these.
                if (expected === undefined) continue;
                // What is blocked before a translation is so with each that there may be.
                expect([from.id, to.id, packet, [...new Set(found)]]).toEqual([
                  from.id,
                  to.id,
                  packet,
                  [expected],
                ]);
                compared++;
                if (expected) open++;
              }
            }
        },
      ),
      { numRuns: 40, seed: 17, endOnFailure: true },
    );
    expect(compared).toBeGreaterThan(5000);
    expect(open).toBeGreaterThan(300);
  });
});
