import type { Packet } from '../../build/pf/evaluate.js';
import { PROTO } from '../../build/pf/names.js';
import type { Ip } from '../../build/pf/ranges.js';

/** The Internet checksum (RFC 1071). */
function checksum(bytes: Buffer): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2)
    sum += bytes.readUInt8(at) * 256 + (at + 1 < bytes.length ? bytes.readUInt8(at + 1) : 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** An address as its bytes in hexadecimal. */
export function hexOf(ip: Ip): string {
  return typeof ip === 'bigint' ? ip.toString(16).padStart(32, '0') : ip.toString(16).padStart(8, '0');
}

/** A packet from its IP header on (RFC 791, RFC 8200), with a payload of its protocol. */
export function bytesOf(packet: Packet, number: number): Buffer {
  const ends = Buffer.from(hexOf(packet.src) + hexOf(packet.dst), 'hex');
  const body = bodyOf(packet, ends);
  if (packet.af === 'inet6') {
    const header = Buffer.alloc(8);
    header.writeUInt32BE((0x60000000 | number) >>> 0, 0);
    header.writeUInt16BE(body.length, 4);
    header.writeUInt8(packet.proto, 6);
    // What is not 255 is no neighbour discovery.
    header.writeUInt8(255, 7);
    return Buffer.concat([header, ends, body]);
  }
  const header = Buffer.alloc(12);
  header.writeUInt8(0x45, 0);
  header.writeUInt16BE(20 + body.length, 2);
  header.writeUInt16BE(number, 4);
  // A middle fragment: more follow, and it begins at byte 800.
  header.writeUInt16BE(packet.fragment === true ? 0x2000 | 100 : 0, 6);
  header.writeUInt8(64, 8);
  header.writeUInt8(packet.proto, 9);
  header.writeUInt16BE(checksum(Buffer.concat([header, ends])), 10);
  return Buffer.concat([header, ends, body]);
}

function bodyOf(packet: Packet, ends: Buffer): Buffer {
  const { af, proto, fragment, srcPort, dstPort } = packet;
  if (fragment === true) {
    if (af === 'inet') return Buffer.alloc(16);
    // The rest of a TCP segment; more follow, and it begins at byte 800.
    const header = Buffer.alloc(8 + 16);
    header.writeUInt8(PROTO.tcp, 0);
    header.writeUInt16BE((100 << 3) | 1, 2);
    return header;
  }
  const ports = (length: number): Buffer => {
    const header = Buffer.alloc(length);
    header.writeUInt16BE(srcPort, 0);
    header.writeUInt16BE(dstPort, 2);
    return header;
  };
  switch (proto) {
    case PROTO.tcp: {
      const header = ports(20);
      header.writeUInt16BE(0x5000 | (packet.flags ?? 2), 12);
      header.writeUInt16BE(65535, 14);
      return summed(header, 16, ends, proto);
    }
    case PROTO.udp: {
      const header = ports(8);
      header.writeUInt16BE(8, 4);
      return summed(header, 6, ends, proto);
    }
    case PROTO.sctp: {
      // A common header and an INIT chunk (RFC 9260).
      const header = ports(12 + 20);
      header.writeUInt32BE(0x01000014, 12);
      header.writeUInt32BE(1, 16);
      header.writeUInt32BE(0x10000, 20);
      header.writeUInt32BE(0x00010001, 24);
      header.writeUInt32BE(1, 28);
      return header;
    }
    case PROTO.icmp:
    case PROTO.icmp6: {
      // Behind eight bytes there is room for the packet that an error is about, or a neighbour's address.
      const header = Buffer.alloc(8 + 48);
      header.writeUInt8(packet.icmpType, 0);
      header.writeUInt8(packet.icmpCode, 1);
      header.writeUInt16BE(7, 4);
      if (proto === PROTO.icmp6) return summed(header, 2, ends, proto);
      header.writeUInt16BE(checksum(header), 2);
      return header;
    }
    default:
      return Buffer.alloc(16);
  }
}

/** With the checksum over the pseudo header. */
function summed(header: Buffer, at: number, ends: Buffer, proto: number): Buffer {
  const pseudo = Buffer.alloc(4);
  pseudo.writeUInt16BE(proto, 0);
  pseudo.writeUInt16BE(header.length, 2);
  header.writeUInt16BE(checksum(Buffer.concat([ends, pseudo, header])), at);
  return header;
}
