import { formatIp } from '../pf/address.js';
import { Evaluator } from '../pf/evaluate.js';
import type { Ruleset } from '../pf/types.js';
import { subjectOf } from '../policy/prove.js';
import type { Subject } from '../policy/prove.js';
import { samplesOf } from '../policy/samples.js';
import type { Sample } from '../policy/samples.js';
import type { View } from '../overlay/view.js';
import { externalName } from '../policy/world.js';
import type { Situation } from '../policy/world.js';
import { entryOf, loopbacksOf, OTHER_CARD, sendersOf } from './cell-senders.js';
import type { Origin } from './cell-senders.js';
import { packetFrame } from './packet-frame.js';
import { GUEST_MAC, PEER_MAC, SECOND_MAC, SECOND_NETWORK } from './peer.js';
import type { Network } from './peer.js';

/** A packet of a cell, ready to be sent. */
export interface CellPacket {
  readonly sample: Sample;
  readonly from: Origin;
  /** The bridge whose machine or jail sends it. */
  readonly bridge?: string;
  /** The interface of the proof that it comes in on; none where the host or a plain jail sends it. */
  readonly entry: string | undefined;
  readonly frame: Buffer;
}

/** Packets of the cells, and those of which there are none. */
export interface CellPlan {
  readonly subject: Subject;
  readonly packets: readonly CellPacket[];
  /** How many cells the proof has at the interfaces that the instance has, and of how many there are packets. */
  readonly cells: number;
  readonly tried: number;
  /** Why cells are not tried, and how many. */
  readonly left: ReadonlyMap<string, number>;
  /** Addresses that are put into <bruteforce> meanwhile. */
  readonly offenders: readonly string[];
  /** Addresses that the cards have to have, for the proof to be about them, by their names in it. */
  readonly addresses: Readonly<Record<string, readonly string[]>>;
}

/** Who the machines on the bridges are. */
const MACHINE_MAC = '02:00:5e:00:53:02';
/** In the place of a bridge's address, which the instance knows. */
const UNKNOWN_MAC = '00:00:00:00:00:00';

/**
 * One packet of every cell of the proof that can be sent: from the internet, from a second card whose network gives out addresses,
 * from a machine and a VNET jail on each bridge, from a plain jail of each tenant, and from the host. Pure.
 *
 * @param network what the first card finds
 */
export function planCells(
  ruleset: Ruleset,
  situation: Situation & { readonly view: Pick<View, 'ipv6' | 'slaac'> },
  network: Network,
): CellPlan {
  const { view } = situation;
  const external = externalName(view);
  const cards = {
    [external]: ownAddresses(network, GUEST_MAC, view.ipv6, view.slaac),
    // A deployment that names its card leaves all others alone.
    [OTHER_CARD]:
      view.external === null ? ownAddresses(SECOND_NETWORK, SECOND_MAC, view.slaac, view.slaac) : [],
  };
  const subject = subjectOf(ruleset, situation, cards);
  const senders = sendersOf({ situation, cards, evaluator: new Evaluator(ruleset, subject.world) });
  const bridges = view.tenants.map(({ bridge }) => bridge);
  const present = [external, OTHER_CARD, ...loopbacksOf(situation), ...bridges];
  const { cells, open, shared } = samplesOf(subject, (name) => present.includes(name), senders);
  const left = new Map<string, number>();
  const leave = (why: string, count = 1): void => {
    if (count > 0) left.set(why, (left.get(why) ?? 0) + count);
  };
  leave('the policy leaves them open', open);
  leave('an offender would be somebody else, too', shared);
  let tried = 0;
  const packets = cells.flatMap((samples): readonly CellPacket[] => {
    const sendings = samples.flatMap((sample) => {
      const sending = sample.by.sends(sample);
      return sending ? [{ sample, sending }] : [];
    });
    const sent = sendings.flatMap(({ sample, sending }) =>
      'why' in sending ? [] : [{ sample, ...sending, ...framed(sample, sending.from) }],
    );
    const [first] = sendings;
    if (sent.length > 0) tried++;
    else leave(first && 'why' in first.sending ? first.sending.why : 'nobody there sends them');
    return sent;
  });
  const offenders = packets.flatMap(({ sample: { offender, packet } }) =>
    offender ? [formatIp(packet.af, BigInt(packet.src))] : [],
  );
  return {
    ...{ subject, packets, tried, left, addresses: cards },
    cells: cells.length + open + shared,
    offenders: [...new Set(offenders)],
  };
}

/** The frame of a packet; where it is sent by a raw socket, what is behind the Ethernet header counts. */
function framed({ packet, number }: Sample, from: Origin): Pick<CellPacket, 'entry' | 'frame'> {
  const to = from === 'internet' ? GUEST_MAC : from === 'card' ? SECOND_MAC : UNKNOWN_MAC;
  const ends = { from: from === 'bridge' ? MACHINE_MAC : PEER_MAC, to };
  return { entry: entryOf(packet), frame: packetFrame(packet, ends, number) };
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
