import { isIPv4, isIPv6 } from 'node:net';
import ipaddr from 'ipaddr.js';
import { PROTO } from '../pf/names.js';

/**
 * Ethernet frames as far as the peer speaks: ARP (RFC 826), IPv4 (RFC 791), IPv6 (RFC 8200), TCP (RFC 9293), UDP (RFC 768),
 * ICMP (RFC 792), ICMPv6 with neighbour discovery (RFC 4443, RFC 4861), DHCP (RFC 2131). Addresses are text.
 */

const ETHERTYPE = { ipv4: 0x0800, arp: 0x0806, ipv6: 0x86dd } as const;
export const TCP = { fin: 1, syn: 2, rst: 4, psh: 8, ack: 16 } as const;

/** What a frame says, as far as it is understood; `undefined` where it is damaged or of another kind. */
export type Frame = ArpFrame | IpFrame;

/** Who sends a frame to whom. */
export interface Ends {
  /** MAC addresses, as `52:54:00:12:34:56`. */
  readonly from: string;
  readonly to: string;
}

export interface ArpFrame extends Ends {
  readonly kind: 'arp';
  readonly operation: number;
  readonly senderMac: string;
  readonly senderIp: string;
  readonly targetIp: string;
}

export interface IpFrame extends Ends {
  readonly kind: 'ip';
  readonly src: string;
  readonly dst: string;
  readonly proto: number;
  /** Of TCP and UDP; 0 otherwise. */
  readonly srcPort: number;
  readonly dstPort: number;
  /** Of TCP. */
  readonly flags: number;
  readonly sequence: number;
  readonly acknowledged: number;
  /** Of ICMP. */
  readonly type: number;
  readonly code: number;
  /** What is behind the header of TCP, UDP or ICMP. */
  readonly body: Buffer;
}

/** Reads a frame. Lengths are checked before anything is read; checksums are the receiver's kernel's business. */
export function parseFrame(bytes: Buffer): Frame | undefined {
  if (bytes.length < 14) return undefined;
  const ends = { to: macText(bytes, 0), from: macText(bytes, 6) };
  const payload = bytes.subarray(14);
  switch (bytes.readUInt16BE(12)) {
    case ETHERTYPE.arp:
      return parseArp(payload, ends);
    case ETHERTYPE.ipv4:
      return parseIp4(payload, ends);
    case ETHERTYPE.ipv6:
      return parseIp6(payload, ends);
    default:
      return undefined;
  }
}

function parseArp(bytes: Buffer, ends: Ends): ArpFrame | undefined {
  if (bytes.length < 28 || bytes.readUInt32BE(0) !== 0x00010800 || bytes.readUInt16BE(4) !== 0x0604)
    return undefined;
  return {
    kind: 'arp',
    ...ends,
    operation: bytes.readUInt16BE(6),
    senderMac: macText(bytes, 8),
    senderIp: addressText(bytes.subarray(14, 18)),
    targetIp: addressText(bytes.subarray(24, 28)),
  };
}

function parseIp4(bytes: Buffer, ends: Ends): IpFrame | undefined {
  if (bytes.length < 20 || bytes.readUInt8(0) >> 4 !== 4) return undefined;
  const header = (bytes.readUInt8(0) & 15) * 4;
  const total = bytes.readUInt16BE(2);
  // Of fragments only the first says what it is; nothing that is looked for here is sent in fragments.
  if (header < 20 || total < header || total > bytes.length || (bytes.readUInt16BE(6) & 0x1fff) !== 0)
    return undefined;
  return parseUpper(bytes.subarray(header, total), bytes.readUInt8(9), {
    ...ends,
    src: addressText(bytes.subarray(12, 16)),
    dst: addressText(bytes.subarray(16, 20)),
  });
}

function parseIp6(bytes: Buffer, ends: Ends): IpFrame | undefined {
  if (bytes.length < 40 || bytes.readUInt8(0) >> 4 !== 6) return undefined;
  const length = bytes.readUInt16BE(4);
  if (40 + length > bytes.length) return undefined;
  let next = bytes.readUInt8(6);
  let body = bytes.subarray(40, 40 + length);
  // Hop-by-hop options stand before multicast listener reports.
  while (next === 0) {
    const size = body.length < 2 ? undefined : (body.readUInt8(1) + 1) * 8;
    if (size === undefined || size > body.length) return undefined;
    next = body.readUInt8(0);
    body = body.subarray(size);
  }
  return parseUpper(body, next, {
    ...ends,
    src: addressText(bytes.subarray(8, 24)),
    dst: addressText(bytes.subarray(24, 40)),
  });
}

function parseUpper(
  bytes: Buffer,
  proto: number,
  ends: Ends & { readonly src: string; readonly dst: string },
): IpFrame | undefined {
  const nothing = { srcPort: 0, dstPort: 0, flags: 0, sequence: 0, acknowledged: 0, type: 0, code: 0 };
  const common = { kind: 'ip', ...ends, proto, ...nothing } as const;
  switch (proto) {
    case PROTO.tcp: {
      if (bytes.length < 20) return undefined;
      const offset = (bytes.readUInt8(12) >> 4) * 4;
      if (offset < 20 || offset > bytes.length) return undefined;
      return {
        ...common,
        srcPort: bytes.readUInt16BE(0),
        dstPort: bytes.readUInt16BE(2),
        sequence: bytes.readUInt32BE(4),
        acknowledged: bytes.readUInt32BE(8),
        flags: bytes.readUInt8(13),
        body: bytes.subarray(offset),
      };
    }
    case PROTO.udp:
      if (bytes.length < 8) return undefined;
      return {
        ...common,
        srcPort: bytes.readUInt16BE(0),
        dstPort: bytes.readUInt16BE(2),
        body: bytes.subarray(8),
      };
    case PROTO.icmp:
    case PROTO.icmp6:
      if (bytes.length < 4) return undefined;
      return { ...common, type: bytes.readUInt8(0), code: bytes.readUInt8(1), body: bytes.subarray(4) };
    default:
      return { ...common, body: bytes };
  }
}

function macText(bytes: Buffer, at: number): string {
  return bytes.toString('hex', at, at + 6).replace(/(..)(?=.)/g, '$1:');
}

function macBytes(mac: string): Buffer {
  return Buffer.from(mac.replaceAll(':', ''), 'hex');
}

/** An address of 4 or 16 bytes as text. */
export function addressText(bytes: Buffer): string {
  return ipaddr.fromByteArray([...bytes]).toString();
}

/** The bytes of an address: 4 or 16. */
export function addressBytes(address: string): Buffer {
  return Buffer.from(ipaddr.parse(address).toByteArray());
}

/** The internet checksum (RFC 1071) of some bytes. */
export function checksum(...parts: readonly Buffer[]): number {
  let sum = 0;
  const bytes = Buffer.concat(parts);
  for (let at = 0; at + 1 < bytes.length; at += 2) sum += bytes.readUInt16BE(at);
  if (bytes.length % 2 === 1) sum += (bytes[bytes.length - 1] ?? 0) << 8;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

function ethernet(ends: Ends, type: number, payload: Buffer): Buffer {
  const head = Buffer.concat([macBytes(ends.to), macBytes(ends.from), Buffer.alloc(2)]);
  head.writeUInt16BE(type, 12);
  return Buffer.concat([head, payload]);
}

/** An ARP request (1) or reply (2). */
export function arp(
  ends: Ends,
  operation: 1 | 2,
  senderIp: string,
  targetMac: string,
  targetIp: string,
): Buffer {
  const head = Buffer.from('0001080006040000', 'hex');
  head.writeUInt16BE(operation, 6);
  return ethernet(
    ends,
    ETHERTYPE.arp,
    Buffer.concat([
      head,
      macBytes(ends.from),
      addressBytes(senderIp),
      macBytes(targetMac),
      addressBytes(targetIp),
    ]),
  );
}

/**
 * An IP packet between two addresses of one family.
 *
 * @param upper what it carries, given what a sum is taken over beside it
 * @param hops 255 for neighbour discovery (RFC 4861)
 */
export function ip(
  ends: Ends,
  src: string,
  dst: string,
  proto: number,
  upper: (pseudo: Buffer) => Buffer,
  hops = 64,
): Buffer {
  const [from, to] = [addressBytes(src), addressBytes(dst)];
  const draft = upper(Buffer.alloc(0));
  const pseudo = Buffer.alloc(from.length === 4 ? 12 : 40);
  from.copy(pseudo, 0);
  to.copy(pseudo, from.length);
  if (from.length === 4) {
    pseudo.writeUInt8(proto, 9);
    pseudo.writeUInt16BE(draft.length, 10);
  } else {
    pseudo.writeUInt32BE(draft.length, 32);
    pseudo.writeUInt8(proto, 39);
  }
  const body = upper(pseudo);
  if (isIPv6(src)) {
    const head = Buffer.alloc(8);
    head.writeUInt8(0x60, 0);
    head.writeUInt16BE(body.length, 4);
    head.writeUInt8(proto, 6);
    head.writeUInt8(hops, 7);
    return ethernet(ends, ETHERTYPE.ipv6, Buffer.concat([head, from, to, body]));
  }
  if (!isIPv4(src)) throw new Error(`no address: ${src}`);
  const head = Buffer.alloc(12);
  head.writeUInt8(0x45, 0);
  head.writeUInt16BE(20 + body.length, 2);
  head.writeUInt8(hops, 8);
  head.writeUInt8(proto, 9);
  head.writeUInt16BE(checksum(head, from, to), 10);
  return ethernet(ends, ETHERTYPE.ipv4, Buffer.concat([head, from, to, body]));
}

/** A TCP segment without options. */
export function tcp(
  ends: Ends,
  src: string,
  dst: string,
  segment: {
    readonly srcPort: number;
    readonly dstPort: number;
    readonly flags: number;
    readonly sequence: number;
    readonly acknowledged?: number;
  },
): Buffer {
  return ip(ends, src, dst, PROTO.tcp, (pseudo) => {
    const head = Buffer.alloc(20);
    head.writeUInt16BE(segment.srcPort, 0);
    head.writeUInt16BE(segment.dstPort, 2);
    head.writeUInt32BE(segment.sequence, 4);
    head.writeUInt32BE(segment.acknowledged ?? 0, 8);
    head.writeUInt8(0x50, 12);
    head.writeUInt8(segment.flags, 13);
    head.writeUInt16BE(65535, 14);
    head.writeUInt16BE(checksum(pseudo, head), 16);
    return head;
  });
}

/** A UDP datagram. */
export function udp(
  ends: Ends,
  src: string,
  dst: string,
  srcPort: number,
  dstPort: number,
  body: Buffer = Buffer.alloc(0),
): Buffer {
  return ip(ends, src, dst, PROTO.udp, (pseudo) => {
    const bytes = Buffer.concat([Buffer.alloc(8), body]);
    bytes.writeUInt16BE(srcPort, 0);
    bytes.writeUInt16BE(dstPort, 2);
    bytes.writeUInt16BE(bytes.length, 4);
    // A sum of zero would say that there is none.
    bytes.writeUInt16BE(checksum(pseudo, bytes) || 0xffff, 6);
    return bytes;
  });
}

/** An ICMP or ICMPv6 message, by the family of its addresses. */
export function icmp(
  ends: Ends,
  src: string,
  dst: string,
  type: number,
  code: number,
  body: Buffer,
  hops = 64,
): Buffer {
  const six = isIPv6(src);
  return ip(
    ends,
    src,
    dst,
    six ? PROTO.icmp6 : PROTO.icmp,
    (pseudo) => {
      const bytes = Buffer.concat([Buffer.alloc(4), body]);
      bytes.writeUInt8(type, 0);
      bytes.writeUInt8(code, 1);
      bytes.writeUInt16BE(six ? checksum(pseudo, bytes) : checksum(bytes), 2);
      return bytes;
    },
    hops,
  );
}

/** What a DHCP client asks (RFC 2131): discover is 1, request is 3. */
export interface DhcpQuestion {
  readonly type: number;
  /** The transaction and the client's MAC, as they are to be sent back. */
  readonly transaction: Buffer;
  readonly hardware: Buffer;
}

const DHCP_COOKIE = 0x63825363;

/** Reads the body of a datagram to port 67; undefined if it is no DHCP request. */
export function parseDhcp(body: Buffer): DhcpQuestion | undefined {
  if (body.length < 241 || body.readUInt8(0) !== 1 || body.readUInt32BE(236) !== DHCP_COOKIE)
    return undefined;
  for (let at = 240; at + 1 < body.length;) {
    const code = body.readUInt8(at);
    if (code === 255) break;
    if (code === 0) {
      at++;
      continue;
    }
    const length = body.readUInt8(at + 1);
    if (at + 2 + length > body.length) return undefined;
    if (code === 53 && length === 1)
      return {
        type: body.readUInt8(at + 2),
        transaction: body.subarray(4, 8),
        hardware: body.subarray(28, 44),
      };
    at += 2 + length;
  }
  return undefined;
}

/** The body of an answer: an offer (2) or an acknowledgement (5) of an address in a /24, for a day. */
export function dhcpAnswer(
  question: DhcpQuestion,
  type: 2 | 5,
  lease: { readonly address: string; readonly server: string },
): Buffer {
  const head = Buffer.alloc(240);
  head.writeUInt8(2, 0);
  head.writeUInt8(1, 1);
  head.writeUInt8(6, 2);
  question.transaction.copy(head, 4);
  addressBytes(lease.address).copy(head, 16);
  addressBytes(lease.server).copy(head, 20);
  question.hardware.copy(head, 28);
  head.writeUInt32BE(DHCP_COOKIE, 236);
  const server = addressBytes(lease.server);
  const option = (code: number, value: Buffer): Buffer =>
    Buffer.concat([Buffer.from([code, value.length]), value]);
  return Buffer.concat([
    head,
    option(53, Buffer.from([type])),
    option(54, server),
    option(51, Buffer.from([0, 1, 0x51, 0x80])),
    option(1, Buffer.from([255, 255, 255, 0])),
    option(3, server),
    option(6, server),
    Buffer.from([255]),
  ]);
}

/**
 * The body of an answer to a question about a name (RFC 1035): every name has that IPv4 address, and nothing else.
 *
 * @returns undefined if the body is no question
 */
export function dnsAnswer(body: Buffer, address: string): Buffer | undefined {
  if (body.length < 17 || (body.readUInt16BE(2) & 0xf800) !== 0 || body.readUInt16BE(4) !== 1)
    return undefined;
  let at = 12;
  while (at < body.length && body.readUInt8(at) !== 0) at += 1 + body.readUInt8(at);
  if (at + 5 > body.length) return undefined;
  const wanted = body.readUInt16BE(at + 1) === 1;
  const head = Buffer.from(body.subarray(0, 12));
  // An answer, with recursion, without an error; of one question, and of one record or none.
  head.writeUInt16BE(0x8180, 2);
  head.writeUInt16BE(wanted ? 1 : 0, 6);
  head.writeUInt32BE(0, 8);
  // The name is where the question has it; type A, class IN, a minute, four bytes.
  const record = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
  return Buffer.concat([head, body.subarray(12, at + 5), ...(wanted ? [record, addressBytes(address)] : [])]);
}

/** A router advertisement (RFC 4861) of a /64 in which hosts make their own addresses. */
export function routerAdvertisement(ends: Ends, router: string, prefix: string): Buffer {
  const body = Buffer.alloc(12);
  body.writeUInt8(64, 0);
  body.writeUInt16BE(1800, 2);
  const info = Buffer.alloc(32);
  info.writeUInt8(3, 0);
  info.writeUInt8(4, 1);
  info.writeUInt8(64, 2);
  info.writeUInt8(0xc0, 3); // on-link, autonomous
  info.writeUInt32BE(86400, 4);
  info.writeUInt32BE(14400, 8);
  addressBytes(prefix).copy(info, 16);
  const link = Buffer.concat([Buffer.from([1, 1]), macBytes(ends.from)]);
  return icmp(ends, router, 'ff02::1', 134, 0, Buffer.concat([body, info, link]), 255);
}

/**
 * A neighbour advertisement (RFC 4861): `address` is at the sender's MAC. A router that does not say that it is one is
 * dropped from the routes of who asked.
 */
export function neighbourAdvertisement(ends: Ends, address: string, to: string, router: boolean): Buffer {
  const body = Buffer.concat([
    Buffer.from([router ? 0xe0 : 0x60, 0, 0, 0]), // (router,) solicited, override
    addressBytes(address),
    Buffer.from([2, 1]),
    macBytes(ends.from),
  ]);
  return icmp(ends, address, to, 136, 0, body, 255);
}

/** A neighbour solicitation (RFC 4861) for an address, sent to the host itself. */
export function neighbourSolicitation(ends: Ends, from: string, address: string): Buffer {
  const body = Buffer.concat([
    Buffer.alloc(4),
    addressBytes(address),
    Buffer.from([1, 1]),
    macBytes(ends.from),
  ]);
  return icmp(ends, from, address, 135, 0, body, 255);
}

/** The address that a neighbour message is about; undefined if it is too short for one. */
export function neighbourTarget(body: Buffer): string | undefined {
  return body.length < 20 ? undefined : addressText(body.subarray(4, 20));
}
