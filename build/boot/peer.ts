import { isIPv6 } from 'node:net';
import { PROTO } from '../pf/names.js';
import {
  arp,
  dhcpAnswer,
  dnsAnswer,
  neighbourAdvertisement,
  neighbourTarget,
  parseDhcp,
  parseFrame,
  routerAdvertisement,
  tcp,
  TCP,
  udp,
} from './frames.js';
import type { Ends, Frame, IpFrame } from './frames.js';

/** MAC addresses of the two ends; locally administered. */
export const GUEST_MAC = '52:54:00:12:34:56';
export const PEER_MAC = '02:00:5e:00:53:01';
/** Of a second card. */
export const SECOND_MAC = '52:54:00:12:35:00';

/** Addresses on the link between the guest and its router. */
export interface Network {
  readonly guest4: string;
  readonly router4: string;
  readonly router6: string;
  /** What the router advertises; the guest's address is seen when it uses one. */
  readonly prefix6: string;
  /** The guest's own IPv6 address, where the deployment names one. */
  readonly guest6?: string;
  /** On whose behalf somebody logs in while the guest is kept running: the peer does not answer for this address. */
  readonly login4: string;
}

/** What a guest gets that asks for its addresses: documentation addresses (RFC 5737, RFC 3849). */
export const NETWORK: Network = {
  guest4: '203.0.113.15',
  router4: '203.0.113.1',
  router6: 'fe80::5eff:fe00:5301',
  prefix6: '2001:db8:0:1:',
  login4: '203.0.113.3',
};

/** The network of a second card, which is not the internet's and would like to be: it answers DHCP and advertises a router. */
export const SECOND_NETWORK: Network = {
  guest4: '192.0.2.15',
  router4: '192.0.2.1',
  router6: 'fe80::5eff:fe00:5302',
  prefix6: '2001:db8:0:2:',
  login4: '192.0.2.3',
};

/** Ports on which every host of the internet takes connections of the guest; all others are refused. */
const OPEN_PORTS: readonly number[] = [80, 443];

/** Whom every name stands for, and who takes the guest's connections. */
export const INTERNET = '198.51.100.80';

export interface PeerOptions {
  /** Whether the guest's DHCP requests are answered. */
  readonly dhcp?: boolean;
  /** How many of them are first answered by a packet whose UDP header claims a length of zero. */
  readonly odd?: number;
  readonly network?: Network;
  /** The guest's card; the first if none is given. */
  readonly card?: string;
}

/**
 * The internet as a guest meets it, on the other end of its network card: a router that gives out addresses and answers
 * for every host there is. Frames in, frames out; no socket.
 */
export class Peer {
  /** Global IPv6 address of the guest, once it was seen. */
  guest6: string | undefined;
  readonly network: Network;
  /** Of what is sent to the guest. */
  readonly ends: Ends;
  /** Every kind of packet that the guest sent: `tcp 203.0.113.15 198.51.100.80 80`. */
  readonly seen = new Set<string>();
  private readonly listeners = new Set<(frame: IpFrame) => void>();
  private readonly waiting = new Set<() => void>();

  constructor(private readonly options: PeerOptions = {}) {
    this.network = options.network ?? NETWORK;
    this.guest6 = this.network.guest6;
    this.ends = { from: PEER_MAC, to: options.card ?? GUEST_MAC };
  }

  /** Tells of every IP packet that the guest sends. @returns what ends it */
  listen(use: (frame: IpFrame) => void): () => void {
    this.listeners.add(use);
    return () => this.listeners.delete(use);
  }

  /** Whether the guest answers a question about its own address (ARP reply, neighbour advertisement) within the time. */
  nextLinkAnswer(milliseconds: number): Promise<boolean> {
    return new Promise((resolve) => {
      const answered = (): void => {
        clearTimeout(timer);
        this.waiting.delete(answered);
        resolve(true);
      };
      const timer = setTimeout(() => {
        this.waiting.delete(answered);
        resolve(false);
      }, milliseconds);
      this.waiting.add(answered);
    });
  }

  /** What is answered to a frame of the guest. */
  receive(bytes: Buffer): readonly Buffer[] {
    const frame = parseFrame(bytes);
    if (!frame || frame.from !== this.ends.to) return [];
    const isLinkAnswer =
      frame.kind === 'arp' ? frame.operation === 2 : frame.proto === PROTO.icmp6 && frame.type === 136;
    if (isLinkAnswer) for (const answered of [...this.waiting]) answered();
    if (frame.kind === 'ip') {
      this.learn(frame);
      this.seen.add(nameOf(frame));
      for (const use of this.listeners) use(frame);
    }
    return this.answer(frame);
  }

  private answer(frame: Frame): readonly Buffer[] {
    const back = this.ends;
    const { guest4, router4, router6, prefix6, login4 } = this.network;
    if (frame.kind === 'arp') {
      // A question about the guest's own address asks whether somebody else has it.
      if (frame.operation !== 1 || [guest4, login4].includes(frame.targetIp) || frame.senderIp === '0.0.0.0')
        return [];
      return [arp(back, 2, frame.targetIp, frame.senderMac, frame.senderIp)];
    }
    if (frame.proto === PROTO.udp && frame.dstPort === 67 && this.options.dhcp !== false) {
      const question = parseDhcp(frame.body);
      if (question?.type !== 1 && question?.type !== 3) return [];
      if (this.odd < (this.options.odd ?? 0)) {
        this.odd++;
        return [oddAnswer(udp(back, router4, '255.255.255.255', 67, 68))];
      }
      const body = dhcpAnswer(question, question.type === 1 ? 2 : 5, {
        address: guest4,
        server: router4,
      });
      return [udp(back, router4, '255.255.255.255', 67, 68, body)];
    }
    if (frame.proto === PROTO.udp && frame.dstPort === 53) {
      const body = isIPv6(frame.src) ? undefined : dnsAnswer(frame.body, INTERNET);
      return body ? [udp(back, frame.dst, frame.src, 53, frame.srcPort, body)] : [];
    }
    if (frame.proto === PROTO.tcp && frame.dst !== login4) return serve(frame, back);
    if (frame.proto !== PROTO.icmp6) return [];
    if (frame.type === 133) return [routerAdvertisement(back, router6, `${prefix6}:`)];
    // Of a solicitation without a source the guest asks whether somebody else has its address.
    const target = frame.type === 135 && frame.src !== '::' ? neighbourTarget(frame.body) : undefined;
    return target === undefined ? [] : [neighbourAdvertisement(back, target, frame.src, target === router6)];
  }

  /** Odd answers that were given. */
  private odd = 0;

  /** The guest's IPv6 address: what it asks about before it takes it, or sends from. */
  private learn(frame: IpFrame): void {
    if (!isIPv6(frame.src)) return;
    const asked =
      frame.src === '::' && frame.proto === PROTO.icmp6 && frame.type === 135
        ? neighbourTarget(frame.body)
        : frame.src;
    if (asked?.startsWith(this.network.prefix6) === true) this.guest6 ??= asked;
  }
}

const PROTO_NAMES = new Map<number, string>([
  [PROTO.tcp, 'tcp'],
  [PROTO.udp, 'udp'],
  [PROTO.icmp, 'icmp'],
  [PROTO.icmp6, 'icmp6'],
]);

/** What kind of packet a frame carries. Ports of the guest's own answers are left out: there are as many as questions. */
function nameOf({ proto, src, dst, dstPort, flags }: IpFrame): string {
  const name = PROTO_NAMES.get(proto) ?? String(proto);
  const asks = proto === PROTO.tcp ? flags === TCP.syn : proto === PROTO.udp;
  return [name, src, dst, ...(asks ? [dstPort] : [])].join(' ');
}

/**
 * The other end of a connection of the guest's (RFC 9293): takes it and ends it when the guest does; whoever asks something
 * gets no answer but that the connection is gone. What is no question of the guest's is left to others.
 */
function serve(
  { src, dst, srcPort, dstPort, flags, sequence, acknowledged, body }: IpFrame,
  back: Ends,
): readonly Buffer[] {
  const segment = (answer: number, from: number): readonly Buffer[] => [
    tcp(back, dst, src, {
      srcPort: dstPort,
      dstPort: srcPort,
      flags: answer,
      sequence: from,
      acknowledged: (sequence + 1) >>> 0,
    }),
  ];
  if (flags === TCP.syn)
    return OPEN_PORTS.includes(dstPort) ? segment(TCP.syn | TCP.ack, 1) : segment(TCP.rst | TCP.ack, 0);
  if (!OPEN_PORTS.includes(dstPort)) return [];
  if ((flags & TCP.fin) !== 0) return segment(TCP.fin | TCP.ack, acknowledged);
  return body.length > 0 && (flags & TCP.rst) === 0 ? segment(TCP.rst | TCP.ack, acknowledged) : [];
}

/** A UDP packet over IPv4 whose header claims a length of zero, less than its own. RFC 768. */
function oddAnswer(frame: Buffer): Buffer {
  const odd = Buffer.from(frame);
  odd.writeUInt16BE(0, 14 + 20 + 4);
  return odd;
}
