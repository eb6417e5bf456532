import { formatIp } from '../pf/address.js';
import { Evaluator } from '../pf/evaluate.js';
import type { Packet } from '../pf/evaluate.js';
import { addresses as addressSet } from '../pf/ranges.js';
import type { Ruleset } from '../pf/types.js';
import { subjectOf } from '../policy/prove.js';
import type { Subject } from '../policy/prove.js';
import { isIn } from '../policy/row.js';
import { samplesOf } from '../policy/samples.js';
import type { Sample } from '../policy/samples.js';
import { externalName } from '../policy/world.js';
import type { Situation } from '../policy/world.js';
import { packetFrame } from './packet-frame.js';
import { GUEST_MAC, PEER_MAC, SECOND_MAC, SECOND_NETWORK } from './peer.js';
import type { Network } from './peer.js';

/** What stands in the proof for a card that no rule names. */
export const OTHER_CARD = 'any other';

/** A packet of a cell, ready to be sent. */
export interface CellPacket {
  readonly sample: Sample;
  /** Where it comes from: the internet, a second card, or a machine on a bridge of the instance. */
  readonly from: 'internet' | 'card' | 'bridge';
  /** The interface of the proof that it comes in on. */
  readonly entry: string;
  readonly frame: Buffer;
}

/** Packets of the cells, and those of which there are none. */
export interface CellPlan {
  readonly subject: Subject;
  readonly packets: readonly CellPacket[];
  /** How many cells the proof has at the interfaces that the instance has. */
  readonly cells: number;
  /** Why cells are not tried, and how many. */
  readonly left: ReadonlyMap<string, number>;
  /** Addresses that are put into <bruteforce> meanwhile. */
  readonly offenders: readonly string[];
  /** Bridges that the instance has. */
  readonly bridges: readonly string[];
  /** Addresses that the cards have to have, for the proof to be about them, by their names in it. */
  readonly addresses: Readonly<Record<string, readonly string[]>>;
}

/** Who the machines on the bridges are. */
const MACHINE_MAC = '02:00:5e:00:53:02';
/** In the place of a bridge's address, which the instance knows. */
const UNKNOWN_MAC = '00:00:00:00:00:00';

/**
 * One packet of every cell of the proof that can be put on a wire: from the internet, from a second card whose network gives
 * out addresses, and from a machine on each bridge. Pure.
 *
 * @param network what the first card finds
 */
export function planCells(ruleset: Ruleset, situation: Situation, network: Network): CellPlan {
  const { view } = situation;
  const external = externalName(view);
  const addresses = {
    [external]: ownAddresses(network, GUEST_MAC, view.ipv6, view.slaac),
    // A deployment that names its card leaves all others alone.
    [OTHER_CARD]:
      view.external === null ? ownAddresses(SECOND_NETWORK, SECOND_MAC, view.slaac, view.slaac) : [],
  };
  const subject = subjectOf(ruleset, situation, addresses);
  const evaluator = new Evaluator(ruleset, subject.world);
  const bridges = view.tenants.map(({ bridge }) => bridge);
  const present = [external, OTHER_CARD, 'lo0', view.loopback, ...bridges];
  const { samples, open, shared } = samplesOf(subject, (name) => present.includes(name));
  const left = new Map<string, number>();
  const leave = (why: string, count = 1): void => {
    if (count > 0) left.set(why, (left.get(why) ?? 0) + count);
  };
  leave('the policy leaves them open', open);
  leave('an offender would be somebody else, too', shared);
  const sourceOf = (entry: string): CellPacket['from'] | undefined => {
    if (entry === external) return 'internet';
    if (entry === OTHER_CARD) return view.external === null ? 'card' : undefined;
    return bridges.includes(entry) ? 'bridge' : undefined;
  };
  const nets = view.tenants.map(({ bridge, net }) => ({ bridge, net: addressSet(net) }));
  const wayOut = ({ dst }: Packet): string => nets.find(({ net }) => isIn(net, dst))?.bridge ?? external;
  const packets = samples.flatMap((sample): readonly CellPacket[] => {
    const { packet, number } = sample;
    const entry = packet.direction === 'in' ? packet.interface : packet.receivedOn;
    const loops = ['lo0', view.loopback].includes(packet.interface);
    const from = entry === undefined ? undefined : sourceOf(entry);
    if (loops || entry === undefined) leave('the host or a plain jail sends them itself');
    else if (!from || (packet.direction === 'out' && ![external, ...bridges].includes(packet.interface)))
      leave('the instance has no such interface');
    else if (packet.direction === 'out' && packet.fragment === true)
      leave('fragments are put together where they come in');
    else if (packet.direction === 'out' && wayOut(packet) !== packet.interface)
      leave('their way out is another');
    else if (packet.direction === 'out' && !comesIn(evaluator, sample, entry))
      leave('they are stopped where they come in');
    else if (packet.af === 'inet6' && (from === 'bridge' || !hasIPv6(addresses[entry])))
      leave('IPv6 is off on the interface');
    else {
      const to = from === 'internet' ? GUEST_MAC : from === 'card' ? SECOND_MAC : UNKNOWN_MAC;
      const ends = { from: from === 'bridge' ? MACHINE_MAC : PEER_MAC, to };
      return [{ sample, from, entry, frame: packetFrame(packet, ends, number) }];
    }
    return [];
  });
  const offenders = packets.flatMap(({ sample: { offender, packet } }) =>
    offender ? [formatIp(packet.af, BigInt(packet.src))] : [],
  );
  return {
    ...{ subject, packets, left, bridges, addresses },
    cells: samples.length + open + shared,
    offenders: [...new Set(offenders)],
  };
}

/** Whether a packet that is to be seen going out gets in first, as it is. */
function comesIn(evaluator: Evaluator, { packet }: Sample, entry: string): boolean {
  const { action, src, dst, dstPort } = evaluator.decide({
    ...{ ...packet, interface: entry, direction: 'in', receivedOn: undefined },
  });
  return action === 'pass' && src === packet.src && dst === packet.dst && dstPort === packet.dstPort;
}

function hasIPv6(addresses: readonly string[] | undefined): boolean {
  return addresses?.some((address) => address.includes(':')) === true;
}

/** The addresses that a card takes: its own of IPv4, of IPv6 those that it makes of its MAC (RFC 4862), or the one that is named. */
function ownAddresses(network: Network, mac: string, ipv6: boolean, slaac: boolean): readonly string[] {
  const { guest4, guest6, prefix6 } = network;
  const suffix = interfaceId(mac);
  return [`${guest4}/24`, ...(ipv6 ? [`${guest6 ?? prefix6 + suffix}/64`, `fe80::${suffix}/64`] : [])].filter(
    (address) => slaac || guest6 !== undefined || !address.startsWith(prefix6),
  );
}

/** The lower half of an address that is made of a MAC (RFC 4291, appendix A). */
function interfaceId(mac: string): string {
  const bytes = mac.split(':').map((byte) => parseInt(byte, 16));
  const [first = 0, second = 0, third = 0, ...rest] = bytes;
  return [first ^ 2, second, third, 0xff, 0xfe, ...rest]
    .map((byte) => byte.toString(16).padStart(2, '0'))
    .join('')
    .replace(/(.{4})(?=.)/g, '$1:')
    .replace(/(^|:)0+(?=[0-9a-f])/g, '$1');
}
