import { parseNet, bounds } from '../pf/address.js';
import type { Ip, Packet } from '../pf/evaluate.js';
import { PROTO } from '../pf/names.js';
import type { Rule } from '../pf/types.js';
import { externalName, ip, jailAddress, PARTIES, TAILSCALE } from './world.js';
import type { Situation } from './world.js';

/** Where a packet is looked at. */
export type Crossing = Pick<Packet, 'interface' | 'direction'>;

/** A row of the policy: whom it is about, and what has to happen to their packets. */
export interface Row {
  readonly id: string;
  readonly from: string;
  readonly to: string;
  readonly why: string;
  readonly verdict: 'pass' | 'block';
  /** Where the packets are that the row is about; `applies` then looks at the packet itself. */
  readonly where: (packet: Crossing) => boolean;
  readonly applies: (packet: Packet) => boolean;
  /** What the rule that passes has to have beyond passing; gives what it lacks. */
  readonly rule?: (rule: Rule | undefined) => string | undefined;
  /** The packet goes on through the host and has to pass there as well, with the host's address. */
  readonly translated?: boolean;
}

type Test = (address: Ip) => boolean;

function within(...nets: readonly string[]): Test {
  const four: (readonly [number, number])[] = [];
  const six: (readonly [bigint, bigint])[] = [];
  for (const text of nets) {
    const net = parseNet(text);
    if (!net) throw new Error(`no network: ${text}`);
    const [low, high] = bounds(net.af, net.base, net.prefix);
    if (net.af === 'inet') four.push([Number(low), Number(high)]);
    else six.push([low, high]);
  }
  return (address) => {
    if (typeof address === 'number') {
      for (const [low, high] of four) if (address >= low && address <= high) return true;
      return false;
    }
    for (const [low, high] of six) if (address >= low && address <= high) return true;
    return false;
  };
}

/**
 * What no jail reaches: this host, private networks, special addresses (RFC 6890), and the metadata services of clouds:
 * 169.254.169.254, Azure's 168.63.129.16, 100.100.100.200, 192.0.0.192.
 */
const PRIVATE = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '168.63.129.16/32',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '224.0.0.0/3',
];

/** The limits of SSH as they are documented: 5 at once, 3 in 60 seconds, then into <bruteforce> with every state of the host. */
function rateLimited(rule: Rule | undefined): string | undefined {
  const state = rule?.options.state;
  if (state?.maxSrcConn !== 5) return 'has not "max-src-conn 5"';
  if (state.maxSrcConnRate?.limit !== 3 || state.maxSrcConnRate.seconds !== 60)
    return 'has not "max-src-conn-rate 3/60"';
  if (state.overload?.table !== 'bruteforce' || !state.overload.global)
    return 'has not "overload <bruteforce> flush global"';
  return undefined;
}

/** Where tailscaled listens for the tunnel, UDP. */
const WIREGUARD = 41641;

/** Neighbour discovery: router and neighbour advertisements, neighbour solicitations (RFC 4861). */
const DISCOVERY = new Set([134, 135, 136]);

/**
 * The policy as data: the first row that applies to a packet says what has to happen to it. A packet that no row
 * applies to is not the policy's.
 */
export function policyRows(situation: Situation): readonly Row[] {
  const { view, tailscaleActive, fallback, egressKnown } = situation;
  const external = externalName(view);
  const bridges = new Map(view.bridges.map((bridge) => [bridge.bridge, bridge]));
  const inJails = within(view.supernet);
  const inTailnet = within('100.64.0.0/10', 'fd7a:115c:a1e0::/48');
  const hostAddress = within(
    PARTIES.host4.replace(/\/.*/, ''),
    PARTIES.host6.replace(/\/.*/, ''),
    PARTIES.hostLocal6.replace(/\/.*/, ''),
  );
  const offender = within(PARTIES.offender4, PARTIES.offender6);
  const impossible = within('127.0.0.0/8', '169.254.0.0/16', '::1/128');
  const gateways = within(...view.bridges.map(({ gateway }) => gateway));
  // A socket on the wildcard gets what is sent to the broadcast address.
  const broadcasts = within(...view.bridges.map(({ net }) => jailAddress(net, 255)));
  const notForJails = within(...PRIVATE);
  const tailnetHost = within(PARTIES.tailnetHost4, PARTIES.tailnetHost6.replace(/\/.*/, ''));

  const incoming = (packet: Crossing): boolean => packet.interface === external && packet.direction === 'in';
  const outgoing = (packet: Crossing): boolean => packet.interface === external && packet.direction === 'out';
  const fromJail = (packet: Crossing): boolean => packet.direction === 'in' && bridges.has(packet.interface);
  const onLoopback = (packet: Crossing): boolean =>
    packet.interface === 'lo0' || packet.interface === view.loopback;
  const fromTailnet = (packet: Crossing): boolean =>
    packet.interface === TAILSCALE && packet.direction === 'in';
  const toJail = (packet: Crossing): boolean => packet.direction === 'out' && bridges.has(packet.interface);
  const toTailnet = (packet: Crossing): boolean =>
    packet.interface === TAILSCALE && packet.direction === 'out';
  const tcpTo = (packet: Packet, ...ports: readonly number[]): boolean =>
    packet.proto === PROTO.tcp && ports.includes(packet.dstPort);
  const discovery = (packet: Packet): boolean =>
    packet.af === 'inet6' && packet.proto === PROTO.icmp6 && DISCOVERY.has(packet.icmpType);
  const hostPort = (packet: Packet): boolean =>
    view.hostPorts.some(
      ({ port, proto }) =>
        packet.proto === (proto === 'tcp' ? PROTO.tcp : PROTO.udp) && packet.dstPort === Number(port),
    );
  const nets = new Map(view.bridges.map(({ bridge, net }) => [bridge, within(net)]));
  const nobody: Test = () => false;
  const tenantNet = (packet: Packet): Test => nets.get(packet.interface) ?? nobody;
  const everyNet = [...nets.values()];
  const sameTenant = (packet: Packet): boolean => everyNet.some((net) => net(packet.src) && net(packet.dst));
  const gatewayOf = new Map(view.bridges.map(({ bridge, gateway }) => [bridge, ip(gateway)]));
  /** What tailscaled binds, on the wildcard. */
  const tunnel = (packet: Packet): boolean => packet.proto === PROTO.udp && packet.dstPort === WIREGUARD;
  const itself = within('127.0.0.0/8', '::1/128');

  const rows: Row[] = [];
  const row = (
    id: string,
    from: string,
    to: string,
    why: string,
    verdict: Row['verdict'],
    where: Row['where'],
    applies: Row['applies'],
    more: Pick<Row, 'rule' | 'translated'> = {},
  ): void => void rows.push({ id, from, to, why, verdict, where, applies, ...more });

  // From the internet
  row(
    'spoofed',
    'internet, claiming a jail’s, a tailnet or the host’s own address',
    'anything',
    'nobody outside has these addresses',
    'block',
    incoming,
    (p) =>
      (inJails(p.src) || inTailnet(p.src) || impossible(p.src) || (egressKnown && hostAddress(p.src))) &&
      !(discovery(p) && !egressKnown),
  );
  row(
    'offender',
    'internet, a host in <bruteforce>',
    'anything',
    'it tried too often',
    'block',
    incoming,
    (p) => offender(p.src),
  );
  row(
    'discovery',
    'internet',
    'host, neighbour discovery',
    'IPv6 does not work without',
    'pass',
    incoming,
    (p) => discovery(p),
  );
  if (!egressKnown) {
    row(
      'before-egress',
      'anywhere',
      'anything, before it is known what faces the internet',
      'the boot is not done',
      'block',
      incoming,
      () => true,
    );
    return rows;
  }
  if (tailscaleActive && !fallback)
    row(
      'ssh-closed',
      'internet',
      'host tcp 22',
      'SSH is over the tailnet only, now that Tailscale is active',
      'block',
      incoming,
      (p) => tcpTo(p, 22),
    );
  else
    row(
      'ssh',
      'internet',
      'host tcp 22',
      'SSH, 5 at once, 3 in 60 s',
      'pass',
      incoming,
      (p) => hostAddress(p.dst) && tcpTo(p, 22),
      { rule: rateLimited },
    );
  for (const [id, port, open] of [
    ['http', 80, view.http],
    ['https', 443, view.https],
  ] as const) {
    if (open && !fallback)
      row(
        id,
        'internet',
        `host tcp ${port}`,
        id === 'http' ? 'certificate renewals' : 'agent UI',
        'pass',
        incoming,
        (p) => hostAddress(p.dst) && tcpTo(p, port),
      );
  }
  if (tailscaleActive && !fallback)
    row(
      'wireguard',
      'internet',
      'host udp 41641',
      'Tailscale’s tunnel',
      'pass',
      incoming,
      (p) => hostAddress(p.dst) && tunnel(p),
    );
  row(
    'path-mtu',
    'internet',
    'path-MTU messages',
    'connections would hang on a narrower path',
    'pass',
    incoming,
    (p) =>
      (p.af === 'inet6' && p.proto === PROTO.icmp6 && p.icmpType === 2) ||
      (p.af === 'inet' && p.proto === PROTO.icmp && p.icmpType === 3 && p.icmpCode === 4),
  );
  if (view.icmpEcho && !fallback) {
    row(
      'echo',
      'internet',
      'host, echo requests',
      'ICMP_ECHO is "yes"',
      'pass',
      incoming,
      (p) =>
        hostAddress(p.dst) &&
        ((p.af === 'inet' && p.proto === PROTO.icmp && p.icmpType === 8) ||
          (p.af === 'inet6' && p.proto === PROTO.icmp6 && p.icmpType === 128)),
    );
  }
  row('jails-closed', 'internet', 'jail addresses', 'only a redirect leads there', 'block', incoming, (p) =>
    inJails(p.dst),
  );
  row(
    'closed',
    'internet',
    'everything else, tcp 5900 among it',
    'not listed',
    'block',
    incoming,
    () => true,
  );

  // From the host, and from jails through it
  row('host-out', 'host', 'anywhere', 'with state', 'pass', outgoing, (p) => hostAddress(p.src));
  if (fallback)
    row(
      'jail-leak',
      'jail',
      'internet',
      'jails reach nothing while the fallback is in force',
      'block',
      outgoing,
      (p) => inJails(p.src),
    );
  else {
    row(
      'jail-private',
      'jail',
      'other tenants, private networks, 169.254.0.0/16',
      'not theirs',
      'block',
      outgoing,
      (p) => inJails(p.src) && notForJails(p.dst),
    );
    row(
      'jail-out',
      'plain jail',
      'internet',
      'with the host’s address',
      'pass',
      outgoing,
      (p) => p.af === 'inet' && inJails(p.src),
      { translated: true },
    );
  }

  // From jails with a network stack of their own, where they come in
  row(
    'jail-spoofed',
    'jail, claiming another’s address',
    'anything',
    'it is not its own',
    'block',
    fromJail,
    (p) => p.af === 'inet' && !tenantNet(p)(p.src),
  );
  row('jail-v6', 'jail', 'anything, IPv6', 'jails have no IPv6', 'block', fromJail, (p) => p.af === 'inet6');
  if (fallback)
    row(
      'jail-nothing',
      'jail',
      'anything',
      'jails reach nothing while the fallback is in force',
      'block',
      fromJail,
      () => true,
    );
  else {
    if (view.hostPorts.length > 0)
      row(
        'jail-host-port',
        'jail',
        'host services in JAIL_HOST_PORTS',
        'listed',
        'pass',
        fromJail,
        (p) => gatewayOf.get(p.interface) === p.dst && hostPort(p),
      );
    row(
      'jail-host',
      'jail',
      'host services',
      'not listed in JAIL_HOST_PORTS',
      'block',
      fromJail,
      (p) => gateways(p.dst) || broadcasts(p.dst) || hostAddress(p.dst) || tailnetHost(p.dst),
    );
    row(
      'jail-tunnel',
      'jail',
      'jails of its tenant, udp 41641',
      'the host’s tailscaled would answer for a plain jail',
      'block',
      fromJail,
      (p) => tenantNet(p)(p.dst) && tunnel(p),
    );
    row(
      'jail-tenant',
      'jail',
      'jails of its tenant',
      'one tenant’s jails are one another’s',
      'pass',
      fromJail,
      (p) => tenantNet(p)(p.dst),
    );
    row(
      'jail-other',
      'jail',
      'other tenants, private networks, 169.254.0.0/16',
      'not theirs',
      'block',
      fromJail,
      (p) => notForJails(p.dst),
    );
    row(
      'jail-internet',
      'jail',
      'internet',
      'with the host’s address',
      'pass',
      fromJail,
      (p) => !notForJails(p.dst),
      { translated: true },
    );
  }

  // Plain jails, whose packets to this host take the loopback
  if (!fallback && view.hostPorts.length > 0) {
    row(
      'plain-host-port',
      'plain jail',
      'host services in JAIL_HOST_PORTS',
      'listed',
      'pass',
      onLoopback,
      (p) => inJails(p.src) && !gateways(p.src) && gateways(p.dst) && hostPort(p),
    );
  }
  row(
    'plain-host',
    'plain jail',
    'host services, other tenants',
    'not listed, not theirs',
    'block',
    onLoopback,
    (p) => p.af === 'inet' && inJails(p.src) && !gateways(p.src) && (gateways(p.dst) || !sameTenant(p)),
  );
  if (!fallback) {
    row(
      'plain-tunnel',
      'plain jail',
      'plain jails, udp 41641',
      'the host’s tailscaled would answer for them',
      'block',
      onLoopback,
      (p) => sameTenant(p) && !gateways(p.src) && tunnel(p),
    );
    row(
      'plain-tenant',
      'plain jail',
      'plain jails of its tenant',
      'one tenant’s jails are one another’s',
      'pass',
      onLoopback,
      (p) => sameTenant(p) && !gateways(p.src),
    );
  }
  row(
    'loopback',
    'host',
    'itself',
    'its own services',
    'pass',
    onLoopback,
    (p) => itself(p.src) && itself(p.dst),
  );

  // Towards jails with a network stack of their own, where it leaves the host
  if (!fallback) {
    const host = (packet: Packet): boolean => packet.receivedOn === undefined;
    const four = (packet: Packet): boolean => packet.af === 'inet' && tenantNet(packet)(packet.dst);
    row(
      'host-jail',
      'host',
      'jails',
      'with state',
      'pass',
      toJail,
      (p) => four(p) && host(p) && gateways(p.src) && tenantNet(p)(p.src),
    );
    row(
      'tenant-jail',
      'plain jail, jail',
      'jails of its tenant',
      'one tenant’s jails are one another’s',
      'pass',
      toJail,
      (p) => four(p) && tenantNet(p)(p.src) && (host(p) || p.receivedOn === p.interface),
    );
    row(
      'redirected',
      'internet, through a redirect',
      'jails',
      'it was let in there',
      'pass',
      toJail,
      (p) => four(p) && p.receivedOn === external && !inJails(p.src) && !offender(p.src),
    );
    if (tailscaleActive && view.tailnetToJails) {
      const agent = within(view.agentNet);
      row(
        'tailnet-jail',
        'tailnet',
        'jails, out of the host',
        'TAILSCALE is "subnet"',
        'pass',
        toJail,
        (p) => four(p) && agent(p.dst) && p.receivedOn === TAILSCALE && inTailnet(p.src),
      );
    }
    row(
      'tenant-other',
      'plain jail, jail',
      'jails of other tenants',
      'not theirs',
      'block',
      toJail,
      (p) => p.af === 'inet' && inJails(p.src) && !tenantNet(p)(p.src),
    );
  }
  row(
    'to-jail-closed',
    'everything else',
    'jails',
    'not listed',
    'block',
    toJail,
    // An address of its own that came from elsewhere, and a host in <bruteforce>, were refused where they came in.
    (p) =>
      p.af === 'inet6' ||
      fallback ||
      !tenantNet(p)(p.dst) ||
      (!tenantNet(p)(p.src) && !(p.receivedOn === external && offender(p.src))),
  );

  // From the tailnet
  if (tailscaleActive) {
    row(
      'tailnet-ssh',
      'tailnet',
      'host tcp 22',
      'operators',
      'pass',
      fromTailnet,
      (p) => tailnetHost(p.dst) && tcpTo(p, 22) && !offender(p.src),
    );
    if (view.glasspane && !fallback)
      row(
        'tailnet-vnc',
        'tailnet',
        'host tcp 5900',
        'glasspane',
        'pass',
        fromTailnet,
        (p) => tailnetHost(p.dst) && tcpTo(p, 5900) && !offender(p.src),
      );
    if (view.tailnetToJails && !fallback) {
      const agent = within(view.agentNet);
      row(
        'tailnet-jails',
        'tailnet',
        'jails',
        'TAILSCALE is "subnet"',
        'pass',
        fromTailnet,
        (p) => p.af === 'inet' && agent(p.dst) && !gateways(p.dst) && inTailnet(p.src) && !offender(p.src),
      );
    }
    row(
      'tailnet-closed',
      'tailnet',
      'everything else',
      'not listed',
      'block',
      fromTailnet,
      (p) => !discovery(p),
    );
    row('host-tailnet', 'host', 'tailnet', 'with state', 'pass', toTailnet, (p) => tailnetHost(p.src));
  }
  return rows;
}
