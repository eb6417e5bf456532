import { describe, expect, it } from 'vitest';
import { Evaluator } from '../../../build/pf/evaluate.js';
import type { Packet, World } from '../../../build/pf/evaluate.js';
import { parsePf } from '../../../build/pf/parse.js';
import { ip } from '../../../build/policy/world.js';

const world: World = {
  interfaces: [{ name: 'em0', groups: [], addresses: ['192.0.2.1/24'] }],
  tables: {},
  defaultDrop: true,
};
const packet = (proto: number): Packet => ({
  interface: 'em0',
  direction: 'in',
  af: 'inet',
  proto,
  src: ip('198.51.100.1'),
  dst: ip('192.0.2.1'),
  srcPort: 40000,
  dstPort: 22,
  icmpType: 0,
  icmpCode: 0,
});

describe('a rule about TCP flags that a SYN does not have', () => {
  const { ruleset } = parsePf('block\npass in flags A/A keep state', 'pf.conf', () => undefined);

  it.each([
    ['UDP first', [17, 6, 17]],
    ['TCP first', [6, 17, 6]],
  ])('stops TCP and is nothing to UDP, whatever was asked before: %s', (_, protos) => {
    const evaluator = new Evaluator(ruleset, world);
    for (const proto of protos)
      expect([proto, evaluator.decide(packet(proto)).action]).toEqual([
        proto,
        proto === 6 ? 'block' : 'pass',
      ]);
  });
});
