import { allRules } from '../../build/pf/expand.js';
import type { Packet } from '../../build/pf/evaluate.js';
import { PROTO } from '../../build/pf/names.js';
import { SPAN, step } from '../../build/pf/ranges.js';
import type { Ip } from '../../build/pf/ranges.js';
import { Resolver } from '../../build/pf/resolve.js';
import type { World } from '../../build/pf/resolve.js';
import type { Af, Ruleset } from '../../build/pf/types.js';
import type { Chance } from './chance.js';
import { address, canCome, FEEDS, OUTSIDE, wayOut } from './world.js';

/** A packet, and how the referee sends it. */
export interface Sent {
  readonly packet: Packet;
  /** An interface that it comes in on, or "host". */
  readonly way: string;
}

const USUAL = [
  ...['192.0.2.1', '192.0.2.130', '192.0.2.77', '192.0.2.255', '198.51.100.1', '203.0.113.9', '10.1.0.1'],
  ...['10.1.2.3', '10.2.0.1', '172.16.5.1', '172.16.5.2', '172.31.255.255', '192.168.1.1', '8.8.8.8'],
  ...['224.0.0.1', '255.255.255.255', '2001:db8::1', '2001:db8::77', '2001:db8:1::1', '2001:db8:1::9'],
  ...['2001:db8:2::2', '2001:db8:ffff::1', 'fd00::1', 'fe80::1', 'fe80::99', 'ff02::1', '2a00::1'],
].map(address);

/** What pf takes of TCP: others it drops before it asks a rule (pf_normalize_tcp() of pf_norm.c). */
const FLAGS = [0x02, 0x02, 0x02, 0x12, 0x10, 0x18, 0x11, 0x04, 0x14, 0xc2, 0x30, 0x42, 0x90, 0x19, 0x3a];

/**
 * Packets whose fields lie at the bounds of what rules speak of: the last value that is within and the first that is not.
 *
 * @param count how many are tried: what the host never hands to pf is left out
 */
export function packetsFor(ruleset: Ruleset, world: World, chance: Chance, count: number): readonly Sent[] {
  const fields = boundsOf(ruleset, world);
  const sent: Sent[] = [];
  while (sent.length < count) {
    const one = draw(fields, chance);
    if (one) sent.push(one);
  }
  return sent;
}

interface Bounds {
  readonly addresses: Readonly<Record<Af, readonly Ip[]>>;
  readonly ports: readonly number[];
  readonly types: Readonly<Record<Af, readonly (readonly [type: number, code: number])[]>>;
  readonly protos: readonly number[];
}

function boundsOf(ruleset: Ruleset, world: World): Bounds {
  const resolver = new Resolver(ruleset, world);
  const found = { inet: new Set<Ip>(), inet6: new Set<Ip>() };
  const ports = new Set([1, 22, 53, 80, 1024, 40000, 65535]);
  const protos = new Set<number>([PROTO.tcp, PROTO.udp, 47]);
  const types: Record<Af, (readonly [number, number])[]> = {
    inet: [0, 3, 8, 11].map((type) => [type, 0]),
    inet6: [1, 2, 128, 129].map((type) => [type, 0]),
  };
  const tables = ruleset.tables.flatMap(({ hosts }) => hosts);
  const rules = allRules(ruleset.rules);
  const pools = rules.flatMap(({ pool }) => pool?.hosts ?? []);
  const peers = rules.flatMap(({ from, to }) => [from, to]);
  for (const { address: wanted } of [...peers, ...tables, ...pools])
    for (const af of ['inet', 'inet6'] as const)
      for (const [low, high] of resolver.ranges(wanted, af) ?? []) {
        const [least, most] = SPAN[af];
        found[af].add(low).add(high);
        if (low > least) found[af].add(step(low, -1));
        if (high < most) found[af].add(step(high, 1));
      }
  for (const { fromPort, toPort, pool, proto, icmp } of rules) {
    for (const comparison of [fromPort, toPort])
      for (const port of comparison ? [comparison.low, comparison.high] : [])
        for (const near of [port - 1, port, port + 1]) if (near > 0 && near < 65536) ports.add(near);
    if (pool?.port) ports.add(pool.port.low);
    if (proto !== undefined) protos.add(proto);
    if (icmp) types[icmp.family].push([icmp.type, icmp.code ?? 0], [icmp.type, (icmp.code ?? 0) + 1]);
  }
  return {
    addresses: { inet: [...found.inet], inet6: [...found.inet6] },
    ports: [...ports],
    types,
    protos: [...protos],
  };
}

function draw(fields: Bounds, chance: Chance): Sent | undefined {
  const af = chance.pick(['inet', 'inet', 'inet6'] as const);
  const known = fields.addresses[af];
  const usual = USUAL.filter((one) => one.af === af).map(({ ip }) => ip);
  const ip = (): Ip => chance.pick(known.length > 0 && chance.is(0.6) ? known : usual);
  const port = (): number => (chance.is(0.8) ? chance.pick(fields.ports) : chance.between(1, 65535));
  const [src, dst] = [ip(), ip()];
  const icmp = af === 'inet' ? PROTO.icmp : PROTO.icmp6;
  const other = af === 'inet' ? PROTO.icmp6 : PROTO.icmp;
  // A protocol of the other family is damage to pf; ah, fragments and options are no protocols to it.
  const protos = fields.protos.filter((proto) => ![other, 0, 43, 44, 51, 60].includes(proto));
  const drawn = chance.is(0.2) ? icmp : chance.pick(protos);
  const fragment = chance.is(0.08);
  // To pf, all but the first fragment of IPv6 are of the protocol "ipv6-frag" (pf_walk_header6() of pf.c).
  const proto = fragment && af === 'inet6' ? 44 : drawn;
  const [icmpType, icmpCode] = chance.pick(fields.types[af]);
  const host = af === 'inet' && chance.is(0.3);
  const going = chance.is(0.4);
  const out = going ? wayOut(af, src, dst) : undefined;
  if (going ? out === undefined : !canCome(af, src, dst)) return undefined;
  // Neighbour discovery crosses no router (pf_setup_pdesc() of pf.c); listeners' reports are of a link.
  if (af === 'inet6' && proto === PROTO.icmp6) {
    if (icmpType >= 130 && icmpType <= (out === undefined ? 132 : 137)) return undefined;
    if (icmpType === 143) return undefined;
  }
  const receivedOn = host ? undefined : chance.pick(FEEDS);
  const where =
    out === undefined
      ? { interface: chance.pick(OUTSIDE), direction: 'in' as const }
      : { interface: out, direction: 'out' as const, receivedOn };
  return {
    packet: {
      ...where,
      af,
      proto,
      src,
      dst,
      srcPort: port(),
      dstPort: port(),
      icmpType,
      icmpCode,
      flags: chance.pick(FLAGS),
      fragment,
    },
    way: out === undefined ? where.interface : (receivedOn ?? 'host'),
  };
}
