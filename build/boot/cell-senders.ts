import type { Tenant } from '../config/tenants.js';
import { bare } from '../pf/address.js';
import type { Evaluator, Packet } from '../pf/evaluate.js';
import { addresses as addressSet } from '../pf/ranges.js';
import type { Addresses } from '../pf/ranges.js';
import { ITSELF, or, without } from '../policy/address-sets.js';
import { isIn } from '../policy/row.js';
import type { Sample, Sender } from '../policy/samples.js';
import { externalName, ip, jailAddress } from '../policy/world.js';
import type { Situation } from '../policy/world.js';

/** What stands in the proof for a card that no rule names. */
export const OTHER_CARD = 'any other';

/**
 * Where a packet of a cell comes from: the internet; a second card; a machine (a tap) or a VNET jail on a bridge of the instance;
 * a plain jail, whose packets leave by the host's own stack; the host.
 */
export type Origin = 'internet' | 'card' | 'bridge' | 'vnet' | 'plain' | 'host';

/** How a packet of a cell is sent, or why it cannot be. */
export type Sending = { readonly from: Origin; readonly bridge?: string } | { readonly why: string };

/** Who sends packets of cells. */
export interface CellSender extends Sender {
  /** How it sends one; undefined where that is another's. */
  readonly sends: (sample: Sample) => Sending | undefined;
}

/** What the instance has. */
export interface Grounds {
  readonly situation: Situation;
  readonly evaluator: Evaluator;
  /** Addresses of the cards, with their prefixes, by their names in the proof. */
  readonly cards: Readonly<Record<string, readonly string[]>>;
}

/** The last octet of what a tenant's plain jail has, which the world of the proof gives to the loopback. */
export const PLAIN = 200;
/** The last octet of a VNET jail's address, and the bits of its prefix: the gateway is beside it, and all else behind that. */
export const VNET = 2;
export const VNET_PREFIX = 30;
/** The last octet of a jail that is not there. */
const SOMEBODY = 150;
/** Where 127.0.0.1 is, the only address of 127.0.0.0/8 that FreeBSD has a route to. */
const HOST_LOOPBACK = 'lo0';

/** Whoever can send packets on the instance, those from outside first. */
export function sendersOf(grounds: Grounds): readonly CellSender[] {
  const plain = grounds.situation.view.tenants.map((tenant) => plainJail(grounds, tenant));
  return [machines(grounds), vnetJails(grounds), ...plain, hostItself(grounds)];
}

/** The internet, a second card, and machines on the bridges: whatever is put on a wire. */
function machines(grounds: Grounds): CellSender {
  const { situation, cards } = grounds;
  const { view } = situation;
  const external = externalName(view);
  const bridges = view.tenants.map(({ bridge }) => bridge);
  const originOf = (entry: string): Sending | undefined => {
    if (entry === external) return { from: 'internet' };
    if (entry === OTHER_CARD && view.external === null) return { from: 'card' };
    return bridges.includes(entry) ? { from: 'bridge', bridge: entry } : undefined;
  };
  return {
    ...{ src: [], dst: behind(situation), own: false },
    sends(sample) {
      const { packet } = sample;
      const entry = entryOf(packet);
      if (entry === undefined || loopbacksOf(situation).includes(packet.interface)) return undefined;
      const origin = originOf(entry);
      const outgoing = packet.direction === 'out';
      if (!origin || (outgoing && ![external, ...bridges].includes(packet.interface)))
        return { why: 'the instance has no such interface' };
      if (outgoing && packet.fragment === true)
        return { why: 'fragments are put together where they come in' };
      if (outgoing && wayOut(grounds, packet) !== packet.interface)
        return { why: 'their way out is another' };
      if (outgoing && !passesAsIs(grounds.evaluator, { ...packet, ...inOn(entry) }))
        return { why: 'they are stopped where they come in' };
      if (packet.af === 'inet6' && ('bridge' in origin || !hasIPv6(cards[entry])))
        return { why: 'IPv6 is off on the interface' };
      return origin;
    },
  };
}

/** VNET jails: what machines on the bridges send, as root in a jail does by a raw socket. */
function vnetJails(grounds: Grounds): CellSender {
  const wire = machines(grounds);
  const { tenants } = grounds.situation.view;
  const own = tenants.map(({ net }) => jailAddress(net, VNET));
  const gateways = addressSet(...tenants.map(({ gateway }) => gateway));
  // What its own stack keeps: the few beside it but for the gateway, its loopback, and what has no source at all.
  const beside = addressSet(...own.map((address) => `${address}/${VNET_PREFIX}`));
  const held = or(without(beside, gateways), addressSet('127.0.0.0/8', '0.0.0.0'));
  return {
    ...{ src: own, dst: wire.dst, own: false },
    sends(sample) {
      const sending = wire.sends(sample);
      if (!sending || !('bridge' in sending)) return undefined;
      const { src, dst } = sample.packet;
      const kept = isIn(held, dst) || isIn(without(held, beside), src);
      return kept ? undefined : { ...sending, from: 'vnet' };
    },
  };
}

/** A plain jail, which has one address of the host's stack. */
function plainJail(grounds: Grounds, { bridge, net }: Tenant): CellSender {
  const own = jailAddress(net, PLAIN);
  return {
    ...{ src: [own], dst: reachedFrom(grounds), own: true },
    sends({ packet }) {
      if (packet.src !== ip(own)) return undefined;
      return notByStack(grounds, packet) ?? { from: 'plain', bridge };
    },
  };
}

/** The host, which claims what address it likes, but for those of jails that send themselves. */
function hostItself(grounds: Grounds): CellSender {
  const { tenants } = grounds.situation.view;
  const hosts = hostAddresses(grounds);
  const jails = without(addressSet(...tenants.map(({ net }) => net)), addressSet(...hosts));
  return {
    ...{ src: [...hosts, '127.0.0.1'], dst: reachedFrom(grounds), own: true },
    sends({ packet }) {
      return notByStack(grounds, packet) ?? (isIn(jails, packet.src) ? undefined : { from: 'host' });
    },
  };
}

/** Where the host's stack delivers to itself, by the loopback; else who could be behind. */
function reachedFrom(grounds: Grounds): Sender['dst'] {
  const { situation } = grounds;
  const { tenants, loopback } = situation.view;
  const jails = tenants.map(({ net }) => jailAddress(net, PLAIN));
  return (at) => {
    if (at === loopback) return jails;
    return at === HOST_LOOPBACK ? [...hostAddresses(grounds), '127.0.0.1'] : behind(situation)(at);
  };
}

/** Why the host's stack does not send a packet that way, or that it comes from elsewhere; undefined where it does. */
function notByStack(grounds: Grounds, packet: Packet): Sending | undefined {
  const loops = loopbacksOf(grounds.situation).includes(packet.interface);
  const incoming = packet.direction === 'in';
  if (packet.receivedOn !== undefined || (incoming && !loops)) return { why: ELSEWHERE };
  if (packet.af === 'inet6') return { why: 'FreeBSD lets nobody write a header of IPv6' };
  if (wayOut(grounds, packet) !== packet.interface) return { why: 'their way out is another' };
  if (incoming && packet.fragment === true) return { why: 'fragments are put together where they come in' };
  if (incoming && !passesAsIs(grounds.evaluator, { ...packet, direction: 'out' }))
    return { why: 'they are stopped where they go out' };
  return undefined;
}

const ELSEWHERE = 'they come from elsewhere';

/** Who could be behind a bridge. */
const behind =
  ({ view }: Situation): Sender['dst'] =>
  (at) =>
    view.tenants.flatMap(({ bridge, net }) => (bridge === at ? [jailAddress(net, SOMEBODY)] : []));

/** The interface that a packet comes in on; none where the host or a plain jail sends it. */
export function entryOf({ direction, interface: at, receivedOn }: Packet): string | undefined {
  return direction === 'in' ? at : receivedOn;
}

/** The crossing in on an interface. */
export function inOn(entry: string): Pick<Packet, 'interface' | 'direction' | 'receivedOn'> {
  return { interface: entry, direction: 'in', receivedOn: undefined };
}

/** Loopbacks of an instance: the host's, and that of its plain jails. */
export function loopbacksOf({ view }: Situation): readonly string[] {
  return [HOST_LOOPBACK, view.loopback];
}

/** The host's own addresses of IPv4, without those of its loopbacks and plain jails. */
function hostAddresses({ situation: { view }, cards }: Grounds): readonly string[] {
  const found = Object.values(cards).flatMap((all) => all.filter((text) => !text.includes(':')).map(bare));
  return [...found, ...view.tenants.map(({ gateway }) => gateway)];
}

/** The interface of the route to where a packet goes, as FreeBSD has them: one to each address of its own, by the loopback that it is on. */
function wayOut(grounds: Grounds, { dst }: Packet): string {
  const { situation, cards } = grounds;
  const { view } = situation;
  const within = (...texts: readonly string[]): boolean => isIn(addressSet(...texts), dst);
  if (within(...view.tenants.map(({ net }) => jailAddress(net, PLAIN)))) return view.loopback;
  if (isIn(ITSELF, dst)) return within('127.0.0.1', '::1') ? HOST_LOOPBACK : externalName(view);
  if (within(...hostAddresses(grounds))) return HOST_LOOPBACK;
  const beside = [
    ...view.tenants.map(({ bridge, net }): [string, Addresses] => [bridge, addressSet(net)]),
    ...Object.entries(cards).map(([name, all]): [string, Addresses] => [
      name,
      addressSet(...all.filter((text) => !text.startsWith('fe80:'))),
    ]),
  ];
  return beside.find(([, net]) => isIn(net, dst))?.[0] ?? externalName(view);
}

/** Whether a packet passes a crossing, and is the same behind it. */
function passesAsIs(evaluator: Evaluator, packet: Packet): boolean {
  const { action, src, dst, dstPort } = evaluator.decide(packet);
  return action === 'pass' && src === packet.src && dst === packet.dst && dstPort === packet.dstPort;
}

function hasIPv6(addresses: readonly string[] | undefined): boolean {
  return addresses?.some((address) => address.includes(':')) === true;
}
