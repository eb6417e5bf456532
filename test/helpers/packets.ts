import fc from 'fast-check';
import type { Packet } from '../../build/pf/evaluate.js';
import { ip, makeWorld, PARTIES } from '../../build/policy/world.js';
import type { Situation } from '../../build/policy/world.js';

/** Packets drawn at random, near what the policy speaks of: not those that the proof chooses. */
export function randomPackets(situation: Situation, count: number): readonly Packet[] {
  const { view } = situation;
  const four = [
    ...[PARTIES.host4, PARTIES.stranger4, PARTIES.offender4, PARTIES.tailnetHost4, PARTIES.tailnetPeer4],
    ...[
      '127.0.0.1',
      '169.254.169.254',
      '10.9.8.7',
      '192.168.77.1',
      '100.64.1.1',
      '8.8.8.8',
      '255.255.255.255',
      '224.0.0.1',
    ],
    ...view.bridges
      .slice(0, 3)
      .flatMap(({ net }) => [1, 20, 21, 200, 255].map((last) => net.replace(/0\/24$/, String(last)))),
  ].map((text) => ip(text));
  const six = [
    PARTIES.host6,
    PARTIES.hostLocal6,
    PARTIES.stranger6,
    PARTIES.offender6,
    PARTIES.tailnetHost6,
    PARTIES.tailnetPeer6,
    'fe80::99',
    'ff02::1',
    'ff02::1:ff00:10',
    'fd00::1',
    '::1',
  ].map((text) => ip(text));
  const port = fc.oneof(
    fc.constantFrom(22, 53, 67, 68, 80, 123, 443, 546, 547, 5900, 41641),
    fc.integer({ min: 0, max: 65535 }),
  );
  const devices = [...makeWorld(situation).interfaces.map(({ name }) => name), 'any other'];
  return fc.sample(
    fc.boolean().chain((v6) => {
      const address = fc.constantFrom(...(v6 ? six : four));
      const where = fc.oneof(
        fc.record({ interface: fc.constantFrom(...devices), direction: fc.constant('in' as const) }),
        fc.record({
          interface: fc.constantFrom(...devices),
          direction: fc.constant('out' as const),
          receivedOn: fc.constantFrom(undefined, ...devices),
        }),
      );
      const rest = fc.record({
        af: fc.constant(v6 ? ('inet6' as const) : ('inet' as const)),
        proto: fc.constantFrom(6, 17, v6 ? 58 : 1, 47),
        src: address,
        dst: address,
        srcPort: fc.oneof(fc.constantFrom(53, 67, 68, 546, 547), fc.integer({ min: 1024, max: 65535 })),
        dstPort: port,
        icmpType: v6
          ? fc.constantFrom(1, 2, 3, 128, 129, 133, 134, 135, 136)
          : fc.constantFrom(0, 3, 8, 11, 13),
        icmpCode: fc.constantFrom(0, 1, 3, 4),
        flags: fc.constantFrom(2, 2, 2, 16, 18, 0),
        fragment: fc.constantFrom(false, false, false, true),
      });
      return fc.tuple(where, rest).map(([crossing, header]): Packet => ({ ...crossing, ...header }));
    }),
    { numRuns: count, seed: 15 },
  );
}
