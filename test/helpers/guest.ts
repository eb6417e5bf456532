import { createSocket } from 'node:dgram';
import type { Socket } from 'node:dgram';
import {
  arp,
  icmp,
  neighbourAdvertisement,
  neighbourTarget,
  parseFrame,
  tcp,
  TCP,
  udp,
} from '../../build/boot/frames.js';
import type { IpFrame } from '../../build/boot/frames.js';
import { PROTO } from '../../build/pf/names.js';
import { GUEST_MAC, NETWORK, PEER_MAC } from '../../build/boot/peer.js';
import type { Carrier } from '../../build/boot/link.js';

/** What a played guest does with packets: the answer, or nothing. */
export type Behaviour = (frame: IpFrame, guest: FakeGuest) => 'open' | 'closed' | 'silent';

export const GUEST6 = '2001:db8:0:1:5054:ff:fe12:3456';
const ENDS = { from: GUEST_MAC, to: PEER_MAC } as const;

/** A guest that is played: answers questions about its addresses as every host does, and packets as it is told. */
export class FakeGuest implements Carrier {
  private readonly began = performance.now();
  /** Completed handshakes by source. */
  readonly handshakes = new Map<string, number>();

  /** @param deliver takes its frames to the peer */
  constructor(
    private readonly deliver: (frame: Buffer) => void,
    private readonly behaviour: Behaviour,
  ) {}

  seconds(): number {
    return (performance.now() - this.began) / 1000;
  }

  send(bytes: Buffer): void {
    const frame = parseFrame(bytes);
    if (!frame) throw new Error('the peer sends damaged frames');
    setImmediate(() => {
      const answer =
        frame.kind === 'arp' ? arp(ENDS, 2, NETWORK.guest4, PEER_MAC, frame.senderIp) : this.answer(frame);
      if (answer) this.deliver(answer);
    });
  }

  private answer(frame: IpFrame): Buffer | undefined {
    if (frame.proto === PROTO.icmp6 && frame.type === 135) {
      const target = neighbourTarget(frame.body);
      return target === undefined ? undefined : neighbourAdvertisement(ENDS, target, frame.src, false);
    }
    if (frame.proto === PROTO.tcp && frame.flags === TCP.ack)
      this.handshakes.set(frame.src, (this.handshakes.get(frame.src) ?? 0) + 1);
    const decided = this.behaviour(frame, this);
    if (decided === 'silent') return undefined;
    if (frame.proto === PROTO.udp)
      return decided === 'open'
        ? udp(ENDS, frame.dst, frame.src, frame.dstPort, frame.srcPort)
        : icmp(ENDS, frame.dst, frame.src, 3, 3, Buffer.concat([Buffer.alloc(4), quote(frame)]));
    if (frame.proto !== PROTO.tcp)
      return icmp(ENDS, frame.dst, frame.src, frame.type === 128 ? 129 : 0, 0, frame.body);
    const ports = { srcPort: frame.dstPort, dstPort: frame.srcPort };
    if (frame.flags === TCP.syn)
      return tcp(ENDS, frame.dst, frame.src, {
        ...ports,
        flags: decided === 'open' ? TCP.syn | TCP.ack : TCP.rst | TCP.ack,
        sequence: 99,
        acknowledged: frame.sequence + 1,
      });
    if (frame.flags !== TCP.ack) return undefined;
    const greeting = tcp(ENDS, frame.dst, frame.src, { ...ports, flags: TCP.ack | TCP.psh, sequence: 100 });
    return longer(greeting, Buffer.from('SSH-2.0-played\r\n'));
  }
}

/** A guest that is played on the other end of a datagram socket, as QEMU’s is. */
export class DatagramGuest {
  private constructor(private readonly socket: Socket) {}

  /** @param port of the peer, on the loopback */
  static async start(port: number, behaviour: Behaviour): Promise<DatagramGuest> {
    const socket = createSocket('udp4');
    const deliver = (frame: Buffer): void => {
      socket.send(frame, port, '127.0.0.1', () => undefined);
    };
    const guest = new FakeGuest(deliver, behaviour);
    socket.on('message', (frame) => {
      guest.send(frame);
    });
    await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
    // The first frame that a host sends: it asks whether somebody has the address that it takes.
    const taken = Buffer.from('20010db800000001505400fffe123456', 'hex');
    deliver(icmp(ENDS, '::', 'ff02::1:ff12:3456', 135, 0, Buffer.concat([Buffer.alloc(4), taken]), 255));
    return new DatagramGuest(socket);
  }

  stop(): void {
    this.socket.close();
  }
}

/** The beginning of a packet, as ICMP errors quote it: a header, then the ports. */
function quote(frame: IpFrame): Buffer {
  const bytes = Buffer.alloc(28);
  bytes.writeUInt8(0x45, 0);
  bytes.writeUInt8(frame.proto, 9);
  bytes.writeUInt16BE(frame.srcPort, 20);
  bytes.writeUInt16BE(frame.dstPort, 22);
  return bytes;
}

/** An IPv4 frame with more behind it; sums are not looked at. */
function longer(frame: Buffer, more: Buffer): Buffer {
  const all = Buffer.concat([frame, more]);
  if (all.readUInt16BE(12) === 0x0800) all.writeUInt16BE(all.length - 14, 16);
  else all.writeUInt16BE(all.length - 54, 18);
  return all;
}

/** A host that does as the policy says. */
export const good: Behaviour = (frame, guest) => {
  const impossible = /^(?:192\.168\.|100\.100\.|127\.|169\.254\.|203\.0\.113\.15$|fd7a:|::1$)/;
  if (impossible.test(frame.src) || (guest.handshakes.get(frame.src) ?? 0) >= 4) return 'silent';
  if (frame.dst !== NETWORK.guest4 && frame.dst !== GUEST6) return 'silent';
  return frame.proto === PROTO.tcp && frame.dstPort === 22 ? 'open' : 'silent';
};
