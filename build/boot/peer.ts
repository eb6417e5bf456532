import { isIPv6 } from 'node:net';
import { PROTO } from '../pf/names.js';
import {
  arp,
  dhcpAnswer,
  neighbourAdvertisement,
  neighbourTarget,
  parseDhcp,
  parseFrame,
  routerAdvertisement,
  udp,
} from './frames.js';
import type { Frame, IpFrame } from './frames.js';

/** MAC addresses of the two ends; locally administered. */
export const GUEST_MAC = '52:54:00:12:34:56';
export const PEER_MAC = '02:00:5e:00:53:01';

/** What the guest gets from its network: documentation addresses (RFC 5737, RFC 3849). */
export const NETWORK = {
  guest4: '203.0.113.15',
  router4: '203.0.113.1',
  router6: 'fe80::5eff:fe00:5301',
  prefix6: '2001:db8:0:1::',
} as const;

export interface PeerOptions {
  /** Whether the guest's DHCP requests are answered. */
  readonly dhcp: boolean;
}

/**
 * The internet as a guest meets it, on the other end of its network card: a router that gives out addresses and answers
 * for every host there is. Frames in, frames out; no socket.
 */
export class Peer {
  /** Global IPv6 address of the guest, once it was seen. */
  guest6: string | undefined;
  /** Whether the guest was given its IPv4 address. */
  leased = false;
  private readonly listeners = new Set<(frame: IpFrame) => void>();
  private readonly waiting = new Set<() => void>();

  constructor(private readonly options: PeerOptions = { dhcp: true }) {}

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
    if (!frame || frame.from !== GUEST_MAC) return [];
    const isLinkAnswer =
      frame.kind === 'arp' ? frame.operation === 2 : frame.proto === PROTO.icmp6 && frame.type === 136;
    if (isLinkAnswer) for (const answered of [...this.waiting]) answered();
    if (frame.kind === 'ip') {
      this.learn(frame);
      for (const use of this.listeners) use(frame);
    }
    return this.answer(frame);
  }

  private answer(frame: Frame): readonly Buffer[] {
    const back = { from: PEER_MAC, to: GUEST_MAC };
    if (frame.kind === 'arp') {
      // A question about the guest's own address asks whether somebody else has it.
      if (frame.operation !== 1 || frame.targetIp === NETWORK.guest4 || frame.senderIp === '0.0.0.0')
        return [];
      return [arp(back, 2, frame.targetIp, frame.senderMac, frame.senderIp)];
    }
    if (frame.proto === PROTO.udp && frame.dstPort === 67 && this.options.dhcp) {
      const question = parseDhcp(frame.body);
      if (question?.type !== 1 && question?.type !== 3) return [];
      if (question.type === 3) this.leased = true;
      const body = dhcpAnswer(question, question.type === 1 ? 2 : 5, {
        address: NETWORK.guest4,
        server: NETWORK.router4,
      });
      return [udp(back, NETWORK.router4, '255.255.255.255', 67, 68, body)];
    }
    if (frame.proto !== PROTO.icmp6) return [];
    if (frame.type === 133) return [routerAdvertisement(back, NETWORK.router6, NETWORK.prefix6)];
    // Of a solicitation without a source the guest asks whether somebody else has its address.
    const target = frame.type === 135 && frame.src !== '::' ? neighbourTarget(frame.body) : undefined;
    return target === undefined
      ? []
      : [neighbourAdvertisement(back, target, frame.src, target === NETWORK.router6)];
  }

  /** The guest's IPv6 address: what it asks about before it takes it, or sends from. */
  private learn(frame: IpFrame): void {
    if (!isIPv6(frame.src)) return;
    const asked =
      frame.src === '::' && frame.proto === PROTO.icmp6 && frame.type === 135
        ? neighbourTarget(frame.body)
        : frame.src;
    if (asked?.startsWith('2001:db8:0:1:') === true) this.guest6 = asked;
  }
}
