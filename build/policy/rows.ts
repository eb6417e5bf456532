import type { Place } from '../pf/lines.js';
import { PROTO, PROXY_PORTS } from '../pf/names.js';
import { addresses, each, intersect, others, subtract, union } from '../pf/ranges.js';
import type { Addresses, Ranges } from '../pf/ranges.js';
import type { World } from '../pf/resolve.js';
import type { Rule } from '../pf/types.js';
import type { Row, RowBox } from './row.js';
import { another, externalName, jailAddress, ip, makeWorld, PARTIES, TAILSCALE } from './world.js';
import type { Situation } from './world.js';

/**
 * What no jail reaches: this host, private networks, special addresses (RFC 6890), and the metadata services of clouds:
 * 169.254.169.254, Azure's 168.63.129.16, 100.100.100.200, 192.0.0.192.
 */
const PRIVATE = addresses(
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
);
const TAILNET = addresses('100.64.0.0/10', 'fd7a:115c:a1e0::/48');
const IMPOSSIBLE = addresses('127.0.0.0/8', '169.254.0.0/16', '::1/128');
const ITSELF = addresses('127.0.0.0/8', '::1/128');
const NOBODY = addresses();

/** What a state may have that limits nobody. */
const HARMLESS = new Set(['lock', 'noSync', 'sourceTrack']);

/** The state options of a rule that limit who gets through, but for those that are wanted. */
function limitsOf(rule: Rule | undefined, wanted: readonly string[]): string | undefined {
  const found = Object.keys(rule?.options.state ?? {}).find(
    (name) => !HARMLESS.has(name) && !wanted.includes(name),
  );
  return found === undefined
    ? undefined
    : `limits its states ("${found}"): strangers could use up what it allows`;
}

/** Connections that jails or strangers make have their share of the table of states, and no more. */
const share =
  (most: number) =>
  (rule: Rule | undefined): string | undefined =>
    rule?.options.state.max === most ? limitsOf(rule, ['max']) : `has not "max ${most}"`;

const unlimited = (rule: Rule | undefined): string | undefined => limitsOf(rule, []);

/** The limits of SSH as they are documented: 5 at once, 3 in 60 seconds, then into <bruteforce> with every state of the host. */
function rateLimited(rule: Rule | undefined): string | undefined {
  const state = rule?.options.state;
  if (state?.maxSrcConn !== 5) return 'has not "max-src-conn 5"';
  if (state.maxSrcConnRate?.limit !== 3 || state.maxSrcConnRate.seconds !== 60)
    return 'has not "max-src-conn-rate 3/60"';
  if (state.overload?.table !== 'bruteforce' || !state.overload.global)
    return 'has not "overload <bruteforce> flush global"';
  return soonForgotten(rule) ?? limitsOf(rule, ['maxSrcConn', 'maxSrcConnRate', 'overload', 'timeouts']);
}

/** A connection to SSH that nobody completes is forgotten before a flood of them fills the table. */
function soonForgotten(rule: Rule | undefined): string | undefined {
  const timeouts = rule?.options.state.timeouts ?? {};
  const only = Object.keys(timeouts).length === 2;
  return only && timeouts['tcp.first'] === 10 && timeouts['tcp.opening'] === 10
    ? undefined
    : 'has not "tcp.first 10, tcp.opening 10"';
}

/** What SSH_ALLOW names has no other limit. */
const allowed = (rule: Rule | undefined): string | undefined =>
  soonForgotten(rule) ?? limitsOf(rule, ['timeouts']);

/** Echo requests that are answered at once. */
const ECHOES = 1000;

const one = (value: number): Ranges => [[value, value]];
const not = (values: Ranges): Ranges => subtract([[0, 255]], values);
/** A service. */
type Service = Required<Pick<RowBox, 'protos' | 'dstPort'>>;
const port = (proto: number, value: number): Service => ({ protos: one(proto), dstPort: one(value) });
/** Where tailscaled listens for the tunnel. */
const TUNNEL = port(PROTO.udp, 41641);
const bare = (address: string): string => address.replace(/\/.*/, '');
const and = (left: Addresses, right: Addresses): Addresses => each(intersect, left, right);
const or = (left: Addresses, right: Addresses): Addresses => each(union, left, right);
const without = (left: Addresses, right: Addresses): Addresses => each(subtract, left, right);

/** Neighbour discovery (RFC 4861): advertisements and solicitations of neighbours, and those of routers by direction. */
const DISCOVERY: Readonly<Record<Place['direction'], Ranges>> = {
  in: [[134, 136]],
  out: [
    [133, 133],
    [135, 136],
  ],
};
const ANY_DISCOVERY: Ranges = [[133, 136]];

/** Everything but neighbour discovery. */
function otherThan(types: Ranges, { af }: Place): readonly RowBox[] {
  const icmp = one(PROTO.icmp6);
  return af === 'inet' ? [{}] : [{ protos: not(icmp) }, { protos: icmp, type: not(types) }];
}

/**
 * The policy as data: the first row that is about a packet says what has to happen to it. A packet that no row is about
 * is not the policy's.
 *
 * @param world the host as the rules meet it, with what interfaces it may have besides
 */
export function policyRows(situation: Situation, world = makeWorld(situation)): readonly Row[] {
  const rows: Row[] = [];
  const row: Add = (id, from, to, why, verdict, at, more = {}) =>
    void rows.push({ id, from, to, why, verdict, at, rule: unlimited, ...more });
  const parties = partiesOf(situation, world);
  fromInternet(row, situation, parties);
  toInternet(row, situation, parties);
  fromJails(row, situation, parties);
  onLoopback(row, situation, parties);
  toJails(row, situation, parties);
  withTailnet(row, situation, parties);
  elsewhere(row, situation, parties);
  return rows;
}

type Add = (
  id: string,
  from: string,
  to: string,
  why: string,
  verdict: Row['verdict'],
  at: Row['at'],
  more?: Pick<Row, 'rule' | 'translated' | 'leadsTo'>,
) => void;

/** The parties of the policy, as addresses and interfaces. */
interface Parties {
  readonly jails: Addresses;
  readonly gateways: Addresses;
  readonly broadcasts: Addresses;
  /** The host's own addresses on what faces the internet; nobody knows them before that is known. */
  readonly host: Addresses;
  /** Those of all its interfaces, but for loopbacks, where plain jails are, and bridges. */
  readonly own: Addresses;
  readonly tailnetHost: Addresses;
  readonly nets: readonly Addresses[];
  readonly bridges: ReadonlyMap<string, { readonly net: Addresses; readonly gateway: Addresses }>;
  readonly external: readonly string[];
  readonly loopbacks: readonly string[];
  /** Whether tailscale0 is there. */
  readonly tailnet: boolean;
  /** Services of the host in JAIL_HOST_PORTS. */
  readonly hostPorts: readonly Service[];
}

function partiesOf(
  { view, tailscaleActive, fallback, egressKnown }: Situation,
  { interfaces }: World,
): Parties {
  const { host4, host6, hostLocal6, tailnetHost4, tailnetHost6 } = PARTIES;
  const nets = view.bridges.map(({ net }) => addresses(net));
  const outer = addresses(...[host4, host6, hostLocal6].map(bare));
  return {
    jails: addresses(view.supernet),
    gateways: addresses(...view.bridges.map(({ gateway }) => gateway)),
    broadcasts: addresses(...view.bridges.map(({ net }) => jailAddress(net, 255))),
    host: egressKnown ? outer : NOBODY,
    own: addresses(
      ...interfaces
        .filter(({ groups }) => !groups.includes('lo') && !groups.includes('wardens'))
        .flatMap((device) => device.addresses.map(bare)),
    ),
    tailnetHost: addresses(...[tailnetHost4, tailnetHost6].map(bare)),
    nets,
    bridges: new Map(
      view.bridges.map(({ bridge, net, gateway }) => [
        bridge,
        { net: addresses(net), gateway: addresses(gateway) },
      ]),
    ),
    external: [externalName(view), another('egress')],
    loopbacks: ['lo0', view.loopback, another('lo')],
    tailnet: tailscaleActive || fallback,
    hostPorts: fallback
      ? []
      : view.hostPorts.map(({ port: number, proto }) =>
          port(proto === 'tcp' ? PROTO.tcp : PROTO.udp, Number(number)),
        ),
  };
}

function fromInternet(
  row: Add,
  { view, tailscaleActive, fallback, egressKnown }: Situation,
  { external, jails, host }: Parties,
): void {
  const incoming =
    (...boxes: readonly RowBox[]): Row['at'] =>
    (place) =>
      place.direction === 'in' && external.includes(place.interface) ? boxes : [];
  const discovery: Row['at'] = (place) =>
    place.af === 'inet6' ? incoming({ protos: one(PROTO.icmp6), type: DISCOVERY.in })(place) : [];
  const discoveryRow = (): void => {
    row(
      'discovery',
      'internet',
      'host, neighbour discovery',
      'IPv6 does not work without',
      'pass',
      discovery,
    );
  };
  const offenderRow = (): void => {
    row(
      'offender',
      'internet, a host in <bruteforce>',
      'anything',
      'it tried too often',
      'block',
      incoming({ offender: true }),
    );
  };
  if (!egressKnown) {
    offenderRow();
    discoveryRow();
    row(
      'before-egress',
      'anywhere',
      'anything, before it is known what faces the internet',
      'the boot is not done',
      'block',
      incoming({}),
    );
    return;
  }
  row(
    'spoofed',
    'internet, claiming a jail’s, a tailnet or the host’s own address',
    'anything',
    'nobody outside has these addresses',
    'block',
    incoming({ src: or(or(jails, TAILNET), or(IMPOSSIBLE, host)) }),
  );
  if (view.sshAllow !== null)
    row(
      'ssh-allowed',
      'internet, SSH_ALLOW',
      'host tcp 22',
      'SSH without a limit, and without a ban',
      'pass',
      incoming({ src: addresses(...view.sshAllow.split(', ')), dst: host, ...port(PROTO.tcp, 22) }),
      { rule: allowed },
    );
  offenderRow();
  discoveryRow();
  const open = !fallback;
  const proto = (tcp: boolean): number => (tcp ? PROTO.tcp : PROTO.udp);
  // What a redirect lets in goes to a jail, whose ports are no ports of the host.
  for (const { port: number, proto: name, tcp, address, to } of open ? view.forwards : []) {
    const id = `forward-${number}-${name}`;
    const bounded = { rule: share(view.states.service) };
    row(
      id,
      'internet',
      `host ${name} ${number}`,
      `FORWARD_PORTS: to ${address}, port ${to}`,
      'pass',
      incoming({ dst: { inet: host.inet, inet6: [] }, ...port(proto(tcp), number) }),
      { ...bounded, leadsTo: { address: ip(address), port: to } },
    );
    row(
      `${id}-behind`,
      'internet',
      `${address} ${name} ${to}`,
      'FORWARD_PORTS: whoever sends there without the redirect gets the same',
      'pass',
      incoming({ dst: addresses(address), ...port(proto(tcp), to) }),
      bounded,
    );
  }
  if (tailscaleActive && open)
    row(
      'ssh-closed',
      'internet',
      'host tcp 22',
      'SSH is over the tailnet only, now that Tailscale is active',
      'block',
      incoming(port(PROTO.tcp, 22)),
    );
  else
    row(
      'ssh',
      'internet',
      'host tcp 22',
      'SSH, 5 at once, 3 in 60 s',
      'pass',
      incoming({ dst: host, ...port(PROTO.tcp, 22) }),
      { rule: rateLimited },
    );
  const service = (id: string, number: number, why: string): void => {
    row(
      id,
      'internet',
      `host tcp ${number}`,
      why,
      'pass',
      incoming({ dst: host, ...port(PROTO.tcp, number) }),
      { rule: share(view.states.service) },
    );
  };
  if (view.http && open) service('http', 80, 'certificate renewals');
  if (view.https && open) service('https', 443, 'agent UI');
  for (const { port: number, proto: name, tcp } of open ? view.openPorts : [])
    row(
      `open-${number}-${name}`,
      'internet',
      `host ${name} ${number}`,
      'OPEN_PORTS',
      'pass',
      incoming({ dst: host, ...port(proto(tcp), number) }),
      { rule: share(view.states.service) },
    );
  if (tailscaleActive && open)
    row(
      'wireguard',
      'internet',
      'host udp 41641',
      'Tailscale’s tunnel',
      'pass',
      incoming({ dst: host, ...TUNNEL }),
    );
  row(
    'path-mtu',
    'internet',
    'path-MTU messages',
    'connections would hang on a narrower path',
    'pass',
    (place) =>
      incoming(
        place.af === 'inet'
          ? { protos: one(PROTO.icmp), type: one(3), code: one(4) }
          : { protos: one(PROTO.icmp6), type: one(2) },
      )(place),
  );
  if (view.icmpEcho && open)
    row(
      'echo',
      'internet',
      'host, echo requests',
      'ICMP_ECHO is "yes"',
      'pass',
      (place) =>
        incoming(
          place.af === 'inet'
            ? { dst: host, protos: one(PROTO.icmp), type: one(8) }
            : { dst: host, protos: one(PROTO.icmp6), type: one(128) },
        )(place),
      { rule: share(ECHOES) },
    );
  row(
    'jails-closed',
    'internet',
    'jail addresses',
    'only a redirect leads there',
    'block',
    incoming({ dst: jails }),
  );
  row('closed', 'internet', 'everything else, tcp 5900 among it', 'not listed', 'block', incoming({}));
}

/** Protocols with ports that nat changes. */
const PORTED: Ranges = [PROTO.tcp, PROTO.udp].flatMap(one);
/** Ports that nat gives to connections of jails, and that the host does not use for its own (sysctl.conf). */
const TRANSLATED: Ranges = [[PROXY_PORTS.low, PROXY_PORTS.high]];

function toInternet(
  row: Add,
  { view, fallback, egressKnown }: Situation,
  { external, jails, host }: Parties,
): void {
  const outgoing =
    (...boxes: readonly RowBox[]): Row['at'] =>
    (place) =>
      place.direction === 'out' && external.includes(place.interface) ? boxes : [];
  if (egressKnown && !fallback)
    row(
      'translated-out',
      'host, by a port that nat gives to jails',
      'anywhere',
      'jails have their share of connections',
      'pass',
      outgoing({ src: { inet: host.inet, inet6: [] }, protos: PORTED, srcPort: TRANSLATED }),
      { rule: share(view.states.out) },
    );
  if (egressKnown) row('host-out', 'host', 'anywhere', 'with state', 'pass', outgoing({ src: host }));
  if (fallback)
    row(
      'jail-leak',
      'jail',
      'internet',
      'jails reach nothing while the fallback is in force',
      'block',
      outgoing({ src: jails }),
    );
  else if (egressKnown) {
    row(
      'jail-private',
      'jail',
      'other tenants, private networks, 169.254.0.0/16',
      'not theirs',
      'block',
      outgoing({ src: jails, dst: PRIVATE }),
    );
    row(
      'jail-out',
      'jail, plain or not',
      'internet',
      'with the host’s address',
      'pass',
      outgoing({ src: jails, protos: PORTED }),
      { translated: true, rule: share(view.states.out) },
    );
    row(
      'jail-out-other',
      'jail',
      'internet, neither TCP nor UDP',
      'with the host’s address',
      'pass',
      outgoing({ src: jails, protos: not(PORTED) }),
      { translated: true },
    );
  }
  row('out-closed', 'anybody else', 'internet', 'nobody has another address', 'block', (place) =>
    outgoing(...otherThan(DISCOVERY.out, place))(place),
  );
}

/** Jails with a network stack of their own, and guests, where they come in. */
function fromJails(
  row: Add,
  { view, fallback }: Situation,
  { bridges, gateways, broadcasts, own, hostPorts }: Parties,
): void {
  type Bridge = NonNullable<ReturnType<typeof bridges.get>>;
  const inward =
    (boxes: (bridge: Bridge, place: Place) => readonly RowBox[]): Row['at'] =>
    (place) => {
      const bridge = place.direction === 'in' ? bridges.get(place.interface) : undefined;
      return bridge ? boxes(bridge, place) : [];
    };
  row(
    'jail-spoofed',
    'jail, claiming another’s address',
    'anything',
    'it is not its own',
    'block',
    inward(({ net }, { af }) => (af === 'inet' ? [{ src: others(net) }] : [])),
  );
  row(
    'jail-v6',
    'jail',
    'anything, IPv6',
    'jails have no IPv6',
    'block',
    inward((_, { af }) => (af === 'inet6' ? [{}] : [])),
  );
  if (fallback) {
    row(
      'jail-nothing',
      'jail',
      'anything',
      'jails reach nothing while the fallback is in force',
      'block',
      inward(() => [{}]),
    );
    return;
  }
  if (hostPorts.length > 0)
    row(
      'jail-host-port',
      'jail',
      'host services in JAIL_HOST_PORTS',
      'listed',
      'pass',
      inward(({ gateway }) => hostPorts.map((box) => ({ ...box, dst: gateway, offender: false }))),
      { rule: share(view.states.bridge) },
    );
  const hosts = [gateways, broadcasts, own].reduce(or);
  row(
    'jail-host',
    'jail',
    'host services',
    'not listed in JAIL_HOST_PORTS',
    'block',
    inward(() => [{ dst: hosts }]),
  );
  row(
    'jail-tunnel',
    'jail',
    'jails of its tenant, udp 41641',
    'the host’s tailscaled would answer for a plain jail',
    'block',
    inward(({ net }) => [{ dst: net, ...TUNNEL }]),
  );
  row(
    'jail-tenant',
    'jail',
    'jails of its tenant',
    'one tenant’s jails are one another’s',
    'pass',
    inward(({ net }) => [{ dst: net, offender: false }]),
    { rule: share(view.states.bridge) },
  );
  row(
    'jail-other',
    'jail',
    'other tenants, private networks, 169.254.0.0/16',
    'not theirs',
    'block',
    inward(({ net }) => [{ dst: without(PRIVATE, net) }]),
  );
  row(
    'jail-internet',
    'jail',
    'internet',
    'with the host’s address, see jail-out',
    'pass',
    inward(({ net }) => [{ dst: others(or(PRIVATE, net)), offender: false }]),
    { rule: share(view.states.bridge) },
  );
}

/** Plain jails, whose packets to this host take the loopback, and the host itself. */
function onLoopback(row: Add, _: Situation, { loopbacks, jails, gateways, nets, hostPorts }: Parties): void {
  const plain = without(jails, gateways);
  const looped =
    (...boxes: readonly RowBox[]): Row['at'] =>
    (place) =>
      loopbacks.includes(place.interface) ? boxes : [];
  // What is blocked where it comes in again is blocked: there fragments are put together.
  const arriving =
    (...boxes: readonly RowBox[]): Row['at'] =>
    (place) =>
      looped(...(place.direction === 'in' ? boxes : boxes.map((box) => ({ ...box, whole: true }))))(place);
  const tenants = (more: RowBox): readonly RowBox[] =>
    nets.map((net) => ({ src: and(net, plain), dst: net, ...more }));
  const stateless = true;
  if (hostPorts.length > 0)
    row(
      'plain-host-port',
      'plain jail',
      'host services in JAIL_HOST_PORTS',
      'listed',
      'pass',
      looped(...hostPorts.map((box) => ({ ...box, src: plain, dst: gateways, stateless }))),
    );
  if (hostPorts.length > 0)
    row(
      'plain-host-answer',
      'host services in JAIL_HOST_PORTS',
      'plain jail',
      'the answer comes by another loopback than the question',
      'pass',
      looped(
        ...hostPorts.map(({ protos, dstPort }) => ({
          ...{ protos, srcPort: dstPort, src: gateways, dst: plain, stateless },
        })),
      ),
    );
  row(
    'plain-host',
    'plain jail',
    'host services',
    'not listed in JAIL_HOST_PORTS',
    'block',
    arriving({ src: plain, dst: gateways }),
  );
  if (!_.fallback) {
    row(
      'plain-tunnel',
      'plain jail',
      'plain jails, udp 41641',
      'the host’s tailscaled would answer for them',
      'block',
      arriving(...tenants(TUNNEL)),
    );
    row(
      'plain-tenant',
      'plain jail',
      'plain jails of its tenant',
      'one tenant’s jails are one another’s',
      'pass',
      looped(...tenants({ stateless })),
    );
  }
  row(
    'plain-other',
    'plain jail',
    'anybody else on this host',
    'not theirs',
    'block',
    arriving({ src: plain }),
  );
  row(
    'loopback',
    'host',
    'itself',
    'its own services',
    'pass',
    looped({ src: ITSELF, dst: ITSELF, stateless }),
  );
}

/** Towards jails with a network stack of their own, where it leaves the host. */
function toJails(
  row: Add,
  { view, fallback, tailscaleActive, egressKnown }: Situation,
  { bridges, external, jails, gateways }: Parties,
): void {
  type Bridge = NonNullable<ReturnType<typeof bridges.get>>;
  const outward =
    (boxes: (bridge: Bridge, place: Place) => readonly RowBox[]): Row['at'] =>
    (place) => {
      const bridge = place.direction === 'out' ? bridges.get(place.interface) : undefined;
      return bridge ? boxes(bridge, place) : [];
    };
  if (!fallback) {
    row(
      'host-jail',
      'host',
      'jails',
      'with state',
      'pass',
      outward(({ net, gateway }) => [{ src: gateway, dst: net, receivedOn: [undefined] }]),
    );
    row(
      'tenant-jail',
      'plain jail, jail',
      'jails of its tenant',
      'one tenant’s jails are one another’s',
      'pass',
      outward(({ net }, place) => [{ src: net, dst: net, receivedOn: [undefined, place.interface] }]),
    );
    if (egressKnown)
      row(
        'redirected',
        'internet, through a redirect',
        'jails',
        'it was let in there',
        'pass',
        outward(({ net }) => [{ src: others(jails), dst: net, receivedOn: external }]),
      );
    if (tailscaleActive && view.tailnetToJails) {
      const agent = addresses(view.agentNet);
      row(
        'tailnet-jail',
        'tailnet',
        'jails, out of the host',
        'TAILSCALE is "subnet"',
        'pass',
        outward(({ net }) => [{ src: TAILNET, dst: and(net, agent), receivedOn: [TAILSCALE] }]),
      );
    }
    row(
      'tenant-other',
      'plain jail, jail',
      'jails of other tenants',
      'not theirs',
      'block',
      outward(({ net }) => [{ src: without(jails, or(net, gateways)) }]),
    );
  }
  row(
    'to-jail-closed',
    'everything else',
    'jails',
    'not listed',
    'block',
    // An address of its own that came from elsewhere was refused where it came in.
    outward(({ net }) => (fallback ? [{}] : [{ src: others(net) }, { dst: others(net) }])),
  );
}

function withTailnet(
  row: Add,
  { view, fallback, tailscaleActive }: Situation,
  { tailnet, tailnetHost, gateways }: Parties,
): void {
  if (!tailnet) return;
  const at =
    (direction: Place['direction'], ...boxes: readonly RowBox[]): Row['at'] =>
    (place) =>
      place.direction === direction && place.interface === TAILSCALE ? boxes : [];
  const host = (number: number): Row['at'] =>
    at('in', { dst: tailnetHost, ...port(PROTO.tcp, number), offender: false });
  row('tailnet-ssh', 'tailnet', 'host tcp 22', 'operators', 'pass', host(22));
  if (view.glasspane && tailscaleActive && !fallback)
    row('tailnet-vnc', 'tailnet', 'host tcp 5900', 'glasspane', 'pass', host(5900));
  if (view.tailnetToJails && tailscaleActive && !fallback)
    row(
      'tailnet-jails',
      'tailnet',
      'jails',
      'TAILSCALE is "subnet"',
      'pass',
      at('in', { src: TAILNET, dst: without(addresses(view.agentNet), gateways), offender: false }),
    );
  row('tailnet-closed', 'tailnet', 'everything else', 'not listed', 'block', (place) =>
    at('in', ...otherThan(DISCOVERY.in, place))(place),
  );
  row('host-tailnet', 'host', 'tailnet', 'with state', 'pass', at('out', { src: tailnetHost }));
  row('to-tailnet-closed', 'anybody else', 'tailnet', 'not listed', 'block', (place) =>
    at('out', ...otherThan(DISCOVERY.out, place))(place),
  );
}

/** Interfaces that are none of these: a second card, a tunnel, a bridge without a tenant, whatever it is called. */
function elsewhere(row: Add, _: Situation, { external, loopbacks, bridges, tailnet }: Parties): void {
  const known = new Set([...external, ...loopbacks, ...bridges.keys(), ...(tailnet ? [TAILSCALE] : [])]);
  row('other-closed', 'any other interface', 'anything, both ways', 'nobody is there', 'block', (place) =>
    known.has(place.interface) ? [] : otherThan(ANY_DISCOVERY, place),
  );
}
