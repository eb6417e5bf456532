import { formatIp } from '../pf/address.js';
import { addressBoundaries, concerns, Evaluator } from '../pf/evaluate.js';
import { allRules } from '../pf/expand.js';
import type { Ip, Packet, Verdict } from '../pf/evaluate.js';
import { PROTO, PROTOCOL_NAMES, icmpTypeName } from '../pf/names.js';
import { printRule } from '../pf/print.js';
import type { Af, Comparison, Host, Rule, Ruleset } from '../pf/types.js';
import { policyRows } from './rows.js';
import type { Crossing, Row } from './rows.js';
import { externalName, ip, jailAddress, makeWorld, PARTIES, TAILSCALE } from './world.js';
import type { Situation } from './world.js';

/** A packet that the rules treat otherwise than the policy wants. */
export interface Violation {
  readonly row: Row;
  readonly packet: Packet;
  readonly rule: Rule | undefined;
  readonly message: string;
}

export interface Proof {
  readonly packets: number;
  readonly violations: readonly Violation[];
  /** How many packets each row was tried with. */
  readonly rows: ReadonlyMap<string, number>;
}

/** A service: protocol, destination port, or ICMP type and code. */
interface Service {
  readonly proto: number;
  readonly port: number;
  readonly type: number;
  readonly code: number;
}

const tcp = (port: number): Service => ({ proto: PROTO.tcp, port, type: 0, code: 0 });
const udp = (port: number): Service => ({ proto: PROTO.udp, port, type: 0, code: 0 });
const icmp = (af: Af, type: number, code = 0): Service => ({
  proto: af === 'inet' ? PROTO.icmp : PROTO.icmp6,
  port: 0,
  type,
  code,
});
/** What says that a path is narrower: the one message from the internet that any address may get. */
const pathMtu = (af: Af): Service => (af === 'inet' ? icmp(af, 3, 4) : icmp(af, 2));
const other = (proto: number): Service => ({ proto, port: 0, type: 0, code: 0 });

/** The values around every bound of a comparison. */
function around(comparison: Comparison | undefined, least: number, most: number): number[] {
  if (!comparison) return [];
  const ends =
    comparison.op === ':' || comparison.op === '<>' || comparison.op === '><'
      ? [comparison.low, comparison.high]
      : [comparison.low];
  return ends.flatMap((end) => [end - 1, end, end + 1]).filter((value) => value >= least && value <= most);
}

function unique<T>(values: readonly T[]): T[] {
  return [...new Set(values)];
}

/** Services at the bounds of every rule, and those that the policy names. */
function services(
  rules: readonly Rule[],
  af: Af,
  hostPorts: readonly { readonly port: string; readonly proto: string }[],
): { readonly all: Service[]; readonly key: Service[] } {
  const ports = new Map<number, Set<number>>([
    [PROTO.tcp, new Set([1, 21, 22, 23, 80, 443, 5900, 41641, 65535])],
    [PROTO.udp, new Set([1, 22, 53, 67, 443, 41640, 41641, 41642, 65535])],
  ]);
  const types = new Set<string>();
  const protos = new Set<number>([2, 47, 132]);
  for (const { port, proto } of hostPorts)
    ports.get(proto === 'tcp' ? PROTO.tcp : PROTO.udp)?.add(Number(port));
  for (const rule of rules) {
    for (const proto of rule.proto === undefined ? [PROTO.tcp, PROTO.udp] : [rule.proto]) {
      for (const port of around(rule.toPort, 0, 65535)) ports.get(proto)?.add(port);
    }
    if (rule.proto !== undefined)
      for (const proto of [rule.proto - 1, rule.proto, rule.proto + 1])
        if (proto > 0 && proto < 256) protos.add(proto);
    if (rule.icmp?.family === af) {
      for (const type of [rule.icmp.type - 1, rule.icmp.type, rule.icmp.type + 1]) {
        if (type >= 0 && type < 256) types.add(`${type} ${rule.icmp.code ?? 0}`);
      }
      if (rule.icmp.code !== undefined)
        for (const code of [rule.icmp.code - 1, rule.icmp.code + 1])
          if (code >= 0) types.add(`${rule.icmp.type} ${code}`);
    }
  }
  for (const type of af === 'inet'
    ? ['0 0', '3 3', '3 4', '5 0', '8 0', '13 0']
    : ['1 0', '2 0', '3 0', '128 0', '129 0', '133 0', '134 0', '135 0', '136 0', '137 0'])
    types.add(type);
  const known = new Set<number>([PROTO.tcp, PROTO.udp, PROTO.icmp, PROTO.icmp6]);
  const all = [
    ...[...(ports.get(PROTO.tcp) ?? [])].map(tcp),
    ...[...(ports.get(PROTO.udp) ?? [])].map(udp),
    ...[...types].map((text) => {
      const [type = 0, code = 0] = text.split(' ').map(Number);
      return icmp(af, type, code);
    }),
    ...[...protos].filter((proto) => !known.has(proto)).map(other),
    ...(af === 'inet' ? [icmp('inet6', 135)] : [icmp('inet', 8)]),
  ];
  const key = [tcp(22), tcp(443), udp(41641), icmp(af, af === 'inet' ? 8 : 135), other(47)];
  const [first] = hostPorts;
  if (first) key.push(first.proto === 'tcp' ? tcp(Number(first.port)) : udp(Number(first.port)));
  return { all, key };
}

/** The boundaries of the addresses that a host of a rule stands for; none where it stands for any, or for an interface. */
function hostBoundaries(host: Host, ruleset: Ruleset, af: Af): Ip[] {
  const { address } = host;
  const table =
    address.kind === 'table' ? ruleset.tables.find(({ name }) => name === address.name) : undefined;
  return unique(addressBoundaries(table ? table.hosts : [host], af));
}

/** The services at the boundaries of one rule; of one that is about any, two: between the parties all are tried. */
function ruleServices(rule: Rule, af: Af): readonly Service[] {
  if (rule.icmp)
    return unique([rule.icmp.type - 1, rule.icmp.type, rule.icmp.type + 1])
      .filter((type) => type >= 0)
      .map((type) => icmp(af, type, rule.icmp?.code ?? 0));
  if (rule.toPort)
    return around(rule.toPort, 0, 65535).map((port) => (rule.proto === PROTO.udp ? udp(port) : tcp(port)));
  if (rule.proto === PROTO.tcp) return [tcp(22), tcp(65535)];
  if (rule.proto === PROTO.udp) return [udp(53), udp(65535)];
  return rule.proto === undefined ? [tcp(22), pathMtu(af)] : [other(rule.proto)];
}

/** Where packets are looked at, and who talks to whom there. */
interface Conversation extends Crossing {
  readonly from: readonly string[];
  readonly to: readonly string[];
  /** Where packets that go out came in; none stands for the host itself. */
  readonly receivedOn?: string | undefined;
  /** A bridge that no tenant has yet: tried at the boundaries of its rules, and with few services beside. */
  readonly spare?: boolean;
}

function conversations(situation: Situation): Conversation[] {
  const { view, tailscaleActive, egressKnown } = situation;
  const {
    host4,
    host6,
    stranger4,
    stranger6,
    offender4,
    offender6,
    tailnetPeer4,
    tailnetPeer6,
    tailnetHost4,
    tailnetHost6,
  } = PARTIES;
  const external = externalName(view);
  const jail = jailAddress(view.agentNet, 200);
  const incoming: Conversation = {
    interface: external,
    direction: 'in',
    from: [stranger4, stranger6, offender4, offender6, jail, tailnetPeer4, tailnetPeer6],
    to: [host4, host6, jail],
  };
  if (!egressKnown) return [incoming];
  const [first, second] = view.bridges;
  // Bridges of tenants that are yet to come have their rules already, and so have to hold as those of today's.
  const inside = view.bridges.map((bridge, index): Conversation => {
    const another = jailAddress((index === 0 ? second : first)?.net ?? view.agentNet, 20);
    const common = { interface: bridge.bridge, direction: 'in' as const };
    return index < view.tenants.length
      ? {
          ...common,
          from: [jailAddress(bridge.net, 20), another, host6],
          to: [
            stranger4,
            bridge.gateway,
            jailAddress(bridge.net, 200),
            host4,
            another,
            '169.254.169.254',
            stranger6,
          ],
        }
      : {
          ...common,
          from: [jailAddress(bridge.net, 20), another],
          to: [stranger4, bridge.gateway, jailAddress(bridge.net, 200), another],
          spare: true,
        };
  });
  return [
    incoming,
    {
      interface: external,
      direction: 'out',
      from: [host4, host6, jail],
      to: [stranger4, stranger6, '169.254.169.254'],
    },
    ...inside,
    ...view.bridges.flatMap(({ bridge, gateway, net }, index): readonly Conversation[] => {
      const another = (index === 0 ? second : first) ?? { bridge: 'bridge0', net: view.agentNet };
      const came = [undefined, external, bridge, another.bridge, ...(tailscaleActive ? [TAILSCALE] : [])];
      const jails = [jailAddress(net, 200), jailAddress(another.net, 200)];
      return came.map((receivedOn) => ({
        interface: bridge,
        direction: 'out',
        from: [gateway, ...jails, host4, stranger4, tailnetPeer4, stranger6],
        to: [jailAddress(net, 20), stranger6],
        receivedOn,
        spare: index >= view.tenants.length,
      }));
    }),
    ...(['in', 'out'] as const).map((direction): Conversation => ({
      interface: 'lo0',
      direction,
      from: [jail, '127.0.0.1', '::1'],
      to: [view.gateway, '127.0.0.1', '::1', host4, jail, jailAddress(second?.net ?? view.agentNet, 200)],
    })),
    ...(tailscaleActive
      ? [
          {
            interface: TAILSCALE,
            direction: 'in' as const,
            from: [tailnetPeer4, tailnetPeer6],
            to: [tailnetHost4, tailnetHost6, jail],
          },
          {
            interface: TAILSCALE,
            direction: 'out' as const,
            from: [tailnetHost4, tailnetHost6],
            to: [tailnetPeer4, tailnetPeer6],
          },
        ]
      : []),
  ];
}

/** Addresses that a policy has to say something about, whether a rule names them or not. */
const NOTABLE: Readonly<Record<Af, readonly string[]>> = {
  inet: [
    '8.8.8.8',
    '168.63.129.16',
    '169.254.169.254',
    '10.0.0.1',
    '172.16.0.1',
    '192.168.1.1',
    '224.0.0.1',
    '255.255.255.255',
    '0.0.0.0',
  ],
  inet6: ['2001:4860::8888', 'fe80::20', 'ff02::1', '::'],
};

/**
 * The packets to try, for every conversation: each rule that is about it with the boundaries of its addresses, ports
 * and types; every service at a boundary of any rule, between the parties; and every notable address.
 *
 * @param wanted whether packets of a crossing are to be tried
 */
export function* boundaryPackets(
  ruleset: Ruleset,
  situation: Situation,
  wanted: (crossing: Crossing & Pick<Packet, 'receivedOn'>, af: Af) => boolean,
): Generator<Packet> {
  const rules = allRules(ruleset.rules);
  const world = makeWorld(situation);
  const sourcePorts = unique(rules.flatMap((rule) => around(rule.fromPort, 0, 65535)));
  for (const af of ['inet', 'inet6'] as const) {
    const { all, key } = services(rules, af, situation.view.hostPorts);
    const family = (text: string): boolean => text.includes(':') === (af === 'inet6');
    const notable = unique(
      [...world.interfaces.flatMap((device) => device.addresses), ...NOTABLE[af]].filter(family).map(ip),
    );
    for (const conversation of conversations(situation)) {
      const { interface: name, direction } = conversation;
      if (!wanted(conversation, af)) continue;
      const from = conversation.from.filter(family).map(ip);
      const to = conversation.to.filter(family).map(ip);
      const packet = (src: Ip, dst: Ip, service: Service, srcPort = 40000): Packet => ({
        receivedOn: conversation.receivedOn,
        interface: name,
        direction,
        af,
        proto: service.proto,
        src,
        dst,
        srcPort,
        dstPort: service.port,
        icmpType: service.type,
        icmpCode: service.code,
      });
      const device = world.interfaces.find((candidate) => candidate.name === name) ?? {
        name,
        groups: [],
        addresses: [],
      };
      const tried = new Set<string>();
      for (const rule of rules) {
        if (!concerns(rule, device, direction, af)) continue;
        // Rules of the group are tried on the bridges that tenants have.
        if (conversation.spare === true && rule.interface?.name !== name) continue;
        const sources = hostBoundaries(rule.from, ruleset, af);
        const targets = hostBoundaries(rule.to, ruleset, af);
        const offered = ruleServices(rule, af);
        // Rules that differ in what they do alone have the same boundaries.
        const same = `${sources.join()} ${targets.join()} ${offered.map(({ proto, port, type, code }) => [proto, port, type, code].join()).join(';')}`;
        if (tried.has(same)) continue;
        tried.add(same);
        for (const service of offered) {
          for (const src of sources) for (const dst of [...targets, ...to]) yield packet(src, dst, service);
          // Between the parties every service is tried below.
          for (const dst of targets) for (const src of from) yield packet(src, dst, service);
          if (conversation.spare === true)
            for (const src of from) for (const dst of to) yield packet(src, dst, service);
        }
      }
      for (const service of conversation.spare === true ? key : all)
        for (const src of from) for (const dst of to) yield packet(src, dst, service);
      for (const service of key.slice(0, conversation.spare === true ? 1 : 3)) {
        for (const src of notable) for (const dst of to) yield packet(src, dst, service);
        for (const dst of notable) for (const src of from) yield packet(src, dst, service);
      }
      if (conversation.spare === true) continue;
      for (const port of sourcePorts)
        for (const service of key)
          for (const src of from) for (const dst of to) yield packet(src, dst, service, port);
    }
  }
}

/**
 * Compares a rule set with the policy, packet by packet. Of the violations of one row by one rule, one is kept.
 *
 * @param atFirst whether to stop at the first violation
 * @param settled what was tried before, of this image: crossings at which the same rules and the same rows decide are
 * not tried again; those tried now are added
 */
export function prove(
  ruleset: Ruleset,
  situation: Situation,
  { atFirst = false, settled = new Set<string>() }: { atFirst?: boolean; settled?: Set<string> } = {},
): Proof {
  const evaluator = new Evaluator(ruleset, makeWorld(situation));
  const rowsAt = rowsByCrossing(policyRows(situation));
  const counts = new Map<string, number>();
  const violations: Violation[] = [];
  const known = new Set<string>();
  let packets = 0;
  const external = { interface: externalName(situation.view), direction: 'out' } as const;
  const wanted = (crossing: Crossing & Pick<Packet, 'receivedOn'>, af: Af): boolean => {
    const key = [
      `${crossing.interface} ${crossing.direction} ${af} ${crossing.receivedOn ?? ''}`,
      ...rowsAt(crossing).map(({ id, verdict }) => `${id} ${verdict}`),
      evaluator.signature({ ...crossing, af }),
      // What comes from a jail leaves there, and is looked at once more.
      evaluator.signature({ ...external, af }),
    ].join('\n');
    if (settled.has(key)) return false;
    settled.add(key);
    return true;
  };
  for (const packet of boundaryPackets(ruleset, situation, wanted)) {
    const row = rowsAt(packet).find(({ applies }) => applies(packet));
    if (!row) continue;
    packets++;
    counts.set(row.id, (counts.get(row.id) ?? 0) + 1);
    const violation = check(evaluator, row, packet, situation);
    if (!violation) continue;
    const key = `${row.id} ${violation.rule?.place.file ?? ''}:${violation.rule?.place.line ?? 0}`;
    if (!known.has(key)) violations.push(violation);
    known.add(key);
    if (atFirst) break;
  }
  return { packets, violations, rows: counts };
}

/** The rows that are about packets of a crossing. */
export function rowsByCrossing(rows: readonly Row[]): (crossing: Crossing) => readonly Row[] {
  let last: (Crossing & { readonly rows: readonly Row[] }) | undefined;
  return (crossing) => {
    if (last?.interface !== crossing.interface || last.direction !== crossing.direction) {
      last = {
        interface: crossing.interface,
        direction: crossing.direction,
        rows: rows.filter(({ where }) => where(crossing)),
      };
    }
    return last.rows;
  };
}

/** Whether a packet is treated as its row wants; what is wrong, otherwise. */
export function check(
  evaluator: Evaluator,
  row: Row,
  packet: Packet,
  situation: Situation,
): Violation | undefined {
  // What cannot be known is taken for what would be worse.
  const verdict = evaluator.decide(packet, row.verdict === 'block' ? 'open' : 'closed');
  const fail = (decided: Verdict, what: string): Violation => ({
    row,
    packet,
    rule: decided.rule,
    message: `${row.from} → ${row.to}: ${what}: ${describePacket(packet)}; ${decidedBy(decided)}`,
  });
  if (verdict.action !== row.verdict)
    return fail(
      verdict,
      row.verdict === 'block' ? 'has to be blocked, but passes' : 'has to pass, but is blocked',
    );
  if (row.verdict === 'block') return undefined;
  const lack = row.rule?.(verdict.rule);
  if (lack !== undefined) return fail(verdict, `passes, but the rule ${lack}`);
  if (row.translated !== true) return undefined;
  let last = verdict;
  const external = externalName(situation.view);
  if (packet.interface !== external) {
    last = evaluator.decide(
      { ...packet, interface: external, direction: 'out', receivedOn: packet.interface },
      'closed',
    );
    if (last.action !== 'pass') return fail(last, 'comes in, but does not get out');
  }
  if (last.src !== ip(PARTIES.host4)) return fail(last, 'leaves with an address of its own');
  return undefined;
}

/** A packet for people. */
export function describePacket(packet: Packet): string {
  const { af } = packet;
  const address = (value: Ip): string => formatIp(af, BigInt(value));
  const ported = packet.proto === PROTO.tcp || packet.proto === PROTO.udp;
  const name = PROTOCOL_NAMES.get(packet.proto) ?? `protocol ${packet.proto}`;
  const isIcmp = packet.proto === PROTO.icmp || packet.proto === PROTO.icmp6;
  const type = isIcmp
    ? ` ${icmpTypeName(packet.proto === PROTO.icmp ? 'inet' : 'inet6', packet.icmpType) ?? String(packet.icmpType)}${packet.icmpCode === 0 ? '' : ` code ${packet.icmpCode}`}`
    : '';
  const came = packet.receivedOn === undefined ? '' : `, received on ${packet.receivedOn}`;
  return `${packet.direction} on ${packet.interface}${came}, ${name}${type} from ${address(packet.src)}${ported ? ` port ${packet.srcPort}` : ''} to ${address(packet.dst)}${ported ? ` port ${packet.dstPort}` : ''}`;
}

/** What decided about a packet, with the place. */
export function decidedBy(verdict: Verdict): string {
  if (!verdict.rule) return 'decided by the default: no rule matches';
  const { place } = verdict.rule;
  return `decided by ${place.file}:${place.line}: ${printRule(verdict.rule)}`;
}
