import { isIPv4 } from 'node:net';
import ipaddr from 'ipaddr.js';

/** struct pfloghdr of FreeBSD 15 (sys/net/if_pflog.h): what pf(4) says of a packet that it logs. */
export function pflogHeader(
  v6: boolean,
  on: string,
  rule: number,
  action: number,
  sub?: [string, number],
): Buffer {
  const header = Buffer.alloc(72);
  header.writeUInt8(69, 0);
  header.writeUInt8(v6 ? 28 : 2, 1);
  header.writeUInt8(action, 2);
  header.write(on, 4);
  header.write(sub?.[0] ?? '', 20);
  header.writeUInt32BE(rule, 36);
  header.writeUInt32BE(sub?.[1] ?? 0xffffffff, 40);
  // Nobody's socket.
  header.writeUInt32LE(0xffffffff, 44);
  header.writeUInt8(1, 60);
  return header;
}

function ip(src: string, dst: string, proto: number, payload: Buffer, fragment = 0): Buffer {
  const bytes = (address: string): Buffer => Buffer.from(ipaddr.parse(address).toByteArray());
  if (!isIPv4(src)) {
    const header = Buffer.alloc(8);
    header.writeUInt8(0x60, 0);
    header.writeUInt16BE(payload.length, 4);
    header.writeUInt8(proto, 6);
    header.writeUInt8(64, 7);
    return Buffer.concat([header, bytes(src), bytes(dst), payload]);
  }
  const header = Buffer.alloc(12);
  header.writeUInt8(0x45, 0);
  header.writeUInt16BE(20 + payload.length, 2);
  header.writeUInt16BE(fragment, 6);
  header.writeUInt8(64, 8);
  header.writeUInt8(proto, 9);
  return Buffer.concat([header, bytes(src), bytes(dst), payload]);
}

function tcp(from: number, to: number): Buffer {
  const header = Buffer.alloc(20);
  header.writeUInt16BE(from, 0);
  header.writeUInt16BE(to, 2);
  header.writeUInt16BE(0x5002, 12);
  return header;
}

function udp(from: number, to: number, length: number): Buffer {
  const header = Buffer.alloc(8 + length);
  header.writeUInt16BE(from, 0);
  header.writeUInt16BE(to, 2);
  header.writeUInt16BE(8 + length, 4);
  return header;
}

/** An echo request of ICMP or ICMP6. */
function echo(type: number, length: number): Buffer {
  return Buffer.concat([Buffer.from([type, 0, 0, 0, 0, 1, 0, 1]), Buffer.alloc(length)]);
}

/** A file as tcpdump(1) writes them of pflog0, with one packet of every kind that clawdie-blocked is to understand. */
export function pflogFile(): Buffer {
  const [host, host6, jail] = ['203.0.113.10', '2001:db8::10', '192.168.100.7'];
  const packets: readonly (readonly [seconds: number, header: Buffer, packet: Buffer])[] = [
    [0, pflogHeader(false, 'vtnet0', 0, 1), ip('198.51.100.20', host, 6, tcp(4242, 23))],
    [10, pflogHeader(false, 'vtnet0', 0, 1), ip('198.51.100.20', host, 6, tcp(4243, 23))],
    [20, pflogHeader(false, 'vtnet0', 3, 1), ip('198.51.100.20', host, 17, udp(5353, 161, 40))],
    [30, pflogHeader(false, 'vtnet0', 3, 1), ip('198.51.100.21', host, 1, echo(8, 8))],
    [
      40,
      pflogHeader(false, 'vtnet0', 3, 1),
      ip('198.51.100.22', host, 47, Buffer.concat([Buffer.from([0, 0, 8, 0]), Buffer.alloc(8, 'x')])),
    ],
    [50, pflogHeader(false, 'vtnet0', 3, 1), ip('198.51.100.23', host, 17, Buffer.alloc(8), 100)],
    [60, pflogHeader(true, 'vtnet0', 3, 1), ip('2001:db8::7', host6, 6, tcp(999, 443))],
    [80, pflogHeader(true, 'vtnet0', 3, 1), ip('2001:db8::7', host6, 58, echo(128, 0))],
    [
      90,
      pflogHeader(false, 'warden0', 5, 1, ['bastille/x', 2]),
      ip(jail, '169.254.169.254', 6, tcp(1025, 80)),
    ],
    [100, pflogHeader(false, 'warden0', 5, 1), ip(jail, '169.254.169.254', 6, tcp(1025, 80).subarray(0, 6))],
    [110, pflogHeader(false, 'warden0', 5, 0), ip('192.168.100.8', '10.0.0.1', 6, tcp(1025, 2))],
  ];
  return capture(packets);
}

/** What tcpdump(1) writes of packets that pf(4) has logged, with the second of each. */
export function capture(
  packets: readonly (readonly [seconds: number, header: Buffer, packet: Buffer])[],
): Buffer {
  const head = Buffer.alloc(24);
  head.writeUInt32LE(0xa1b2c3d4, 0);
  head.writeUInt16LE(2, 4);
  head.writeUInt16LE(4, 6);
  head.writeUInt32LE(160, 16);
  // LINKTYPE_PFLOG
  head.writeUInt32LE(117, 20);
  return Buffer.concat([
    head,
    ...packets.flatMap(([seconds, header, packet]) => {
      const record = Buffer.alloc(16);
      record.writeUInt32LE(1767225600 + seconds, 0);
      record.writeUInt32LE(123, 4);
      record.writeUInt32LE(header.length + packet.length, 8);
      record.writeUInt32LE(header.length + packet.length, 12);
      return [record, header, packet];
    }),
  ]);
}
