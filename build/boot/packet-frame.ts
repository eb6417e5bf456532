import { formatIp } from '../pf/address.js';
import type { Packet } from '../pf/evaluate.js';
import { PROTO } from '../pf/names.js';
import { checksum, icmp, ip, tcp, TCP, udp } from './frames.js';
import type { Ends } from './frames.js';

/** Bytes of the Ethernet header. */
const ETHERNET = 14;
/** In the place of a fragment's offset: it is the last one, of 1,480 bytes more (RFC 791). */
const LAST = 185;
/** Types of ICMP that quote the packet that they are about (RFC 792). */
const QUOTING = new Set([3, 4, 5, 11, 12]);
/** Neighbour discovery (RFC 4861), which comes from the same link: its hop limit is 255. */
const DISCOVERY = new Set([133, 134, 135, 136, 137]);

/**
 * A packet of the proof as it is sent.
 *
 * @param mark tells it from others wherever it is seen: the identification of IPv4 (16 bits), the flow label of IPv6 (20 bits)
 */
export function packetFrame(packet: Packet, ends: Ends, mark: number): Buffer {
  const frame = frameOf(packet, ends, mark);
  if (packet.af === 'inet6') frame.writeUInt32BE((0x60000000 | mark) >>> 0, ETHERNET);
  else {
    frame.writeUInt16BE(mark, ETHERNET + 4);
    if (packet.fragment === true) frame.writeUInt16BE(LAST, ETHERNET + 6);
    frame.writeUInt16BE(0, ETHERNET + 10);
    frame.writeUInt16BE(checksum(frame.subarray(ETHERNET, ETHERNET + 20)), ETHERNET + 10);
  }
  return frame;
}

function frameOf(packet: Packet, ends: Ends, mark: number): Buffer {
  const { af, proto, srcPort, dstPort, flags = TCP.syn, icmpType: type } = packet;
  const [src, dst] = [packet.src, packet.dst].map((value) => formatIp(af, BigInt(value)));
  if (src === undefined || dst === undefined) throw new Error('a packet has two addresses');
  const ports = { srcPort, dstPort };
  const acknowledged = (flags & TCP.ack) === 0 ? 0 : 1;
  switch (proto) {
    case PROTO.tcp:
      return tcp(ends, src, dst, { ...ports, flags, sequence: mark * 1000, acknowledged });
    case PROTO.udp:
      return udp(ends, src, dst, srcPort, dstPort);
    case PROTO.icmp:
    case PROTO.icmp6: {
      const six = proto === PROTO.icmp6;
      const quotes = six ? type < 128 : QUOTING.has(type);
      // A segment that its receiver would have sent.
      const quoted = tcp(ends, dst, src, { ...ports, flags: TCP.syn, sequence: mark }).subarray(ETHERNET);
      const head = Buffer.from([mark >> 8, mark & 255, 0, 1]);
      const body = quotes
        ? Buffer.concat([Buffer.alloc(4), quoted])
        : Buffer.concat([head, Buffer.alloc(40)]);
      // Of the protocols of the other family, an IP packet that carries them.
      if (six !== (af === 'inet6')) return ip(ends, src, dst, proto, () => body);
      return icmp(ends, src, dst, type, packet.icmpCode, body, six && DISCOVERY.has(type) ? 255 : 64);
    }
    default:
      return ip(ends, src, dst, proto, () => Buffer.alloc(16));
  }
}
