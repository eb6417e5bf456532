import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  arp,
  checksum,
  dhcpAnswer,
  dnsAnswer,
  icmp,
  neighbourTarget,
  parseDhcp,
  parseFrame,
  tcp,
  TCP,
  udp,
} from '../../../build/boot/frames.js';
import type { IpFrame } from '../../../build/boot/frames.js';
import { GUEST_MAC, NETWORK, Peer, PEER_MAC } from '../../../build/boot/peer.js';

const ends = { from: PEER_MAC, to: GUEST_MAC };
const back = { from: GUEST_MAC, to: PEER_MAC };
const hex = (...parts: readonly string[]): Buffer => Buffer.from(parts.join('').replace(/\s/g, ''), 'hex');

describe('frames', () => {
  it('are the bytes that are on the wire: an ARP request, written by hand', () => {
    expect(arp(ends, 1, '203.0.113.1', '00:00:00:00:00:00', '203.0.113.15')).toEqual(
      hex(
        '525400123456 02005e005301 0806',
        '0001 0800 06 04 0001 02005e005301 cb007101 000000000000 cb00710f',
      ),
    );
  });

  it('are the bytes that are on the wire: a SYN, its sums done by hand', () => {
    const bytes = tcp(ends, '198.51.100.20', '203.0.113.15', {
      srcPort: 40000,
      dstPort: 22,
      flags: 2,
      sequence: 7,
    });
    expect(bytes.subarray(14, 34)).toEqual(hex('45000028 00000000 4006 1479 c6336414 cb00710f'));
    expect(checksum(bytes.subarray(14, 34))).toBe(0);
    const pseudo = hex('c6336414 cb00710f 0006 0014');
    expect(checksum(pseudo, bytes.subarray(34))).toBe(0);
  });

  it.each([
    ['198.51.100.20', '203.0.113.15', 12, 20],
    ['2001:db8::20', '2001:db8::10', 40, 40],
  ])('have right sums: UDP and ICMP from %s', (src, dst, _, header) => {
    for (const body of ['', 'x', 'even', 'uneven!'].map((text) => Buffer.from(text))) {
      const datagram = udp(ends, src, dst, 1, 2, body).subarray(14);
      const six = header === 40;
      const pseudo = six
        ? Buffer.concat([datagram.subarray(8, 40), Buffer.from([0, 0, 0, 8 + body.length, 0, 0, 0, 17])])
        : Buffer.concat([datagram.subarray(12, 20), Buffer.from([0, 17, 0, 8 + body.length])]);
      expect(checksum(pseudo, datagram.subarray(header))).toBe(0);
      const message = icmp(ends, src, dst, six ? 128 : 8, 0, body).subarray(14);
      const before = six
        ? Buffer.concat([message.subarray(8, 40), Buffer.from([0, 0, 0, 4 + body.length, 0, 0, 0, 58])])
        : Buffer.alloc(0);
      expect(checksum(before, message.subarray(header))).toBe(0);
    }
  });

  const address4 = fc.ipV4();
  const port = fc.nat(65535);
  it('are read as they were written', () => {
    fc.assert(
      fc.property(
        address4,
        address4,
        port,
        port,
        fc.nat(63),
        fc.nat(0xffff_ffff),
        (src, dst, from, to, flags, sequence) => {
          const read = parseFrame(tcp(ends, src, dst, { srcPort: from, dstPort: to, flags, sequence }));
          expect(read).toMatchObject({
            kind: 'ip',
            src,
            dst,
            proto: 6,
            srcPort: from,
            dstPort: to,
            flags,
            sequence,
          });
        },
      ),
    );
    fc.assert(
      fc.property(port, port, fc.uint8Array({ maxLength: 300 }), (from, to, body) => {
        const read = parseFrame(udp(ends, '2001:db8::1', 'fe80::2', from, to, Buffer.from(body)));
        expect(read).toMatchObject({
          src: '2001:db8::1',
          dst: 'fe80::2',
          proto: 17,
          srcPort: from,
          dstPort: to,
        });
        expect(read?.kind === 'ip' && read.body.equals(Buffer.from(body))).toBe(true);
      }),
    );
  });

  it('of any bytes, cut or changed anywhere, are read or refused, never more', () => {
    const peer = new Peer();
    const good = [
      tcp(back, '203.0.113.15', '198.51.100.1', { srcPort: 22, dstPort: 1, flags: 18, sequence: 1 }),
      udp(back, '0.0.0.0', '255.255.255.255', 68, 67, Buffer.alloc(300)),
      icmp(back, 'fe80::1', 'ff02::1', 135, 0, Buffer.alloc(20), 255),
      arp(back, 1, '203.0.113.15', '00:00:00:00:00:00', '203.0.113.1'),
    ];
    fc.assert(
      fc.property(
        fc.constantFrom(...good),
        fc.nat(400),
        fc.array(fc.tuple(fc.nat(399), fc.nat(255)), { maxLength: 8 }),
        (frame, length, changes) => {
          const bytes = Buffer.from(frame.subarray(0, length));
          for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
          expect(() => peer.receive(bytes)).not.toThrow();
        },
      ),
      { numRuns: 3000 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(() => parseFrame(Buffer.from(bytes))).not.toThrow();
        expect(() => parseDhcp(Buffer.from(bytes))).not.toThrow();
        expect(() => neighbourTarget(Buffer.from(bytes))).not.toThrow();
      }),
      { numRuns: 2000 },
    );
  });
});

describe('the peer', () => {
  /** A DHCP request as dhclient(8) sends it. */
  const request = (type: number): Buffer => {
    const body = Buffer.alloc(300);
    body.writeUInt8(1, 0);
    body.writeUInt32BE(0x1234abcd, 4);
    hex('525400123456').copy(body, 28);
    hex('63825363', '3501', type.toString(16).padStart(2, '0'), '0c03616263', 'ff').copy(body, 236);
    return udp(back, '0.0.0.0', '255.255.255.255', 68, 67, body);
  };

  it('gives out an address, and says so', () => {
    const peer = new Peer();
    const [offer] = peer.receive(request(1));
    const read = offer && parseFrame(offer);
    expect(read).toMatchObject({ src: NETWORK.router4, dst: '255.255.255.255', srcPort: 67, dstPort: 68 });
    if (read?.kind !== 'ip') throw new Error('no offer');
    expect(read.body.subarray(4, 8)).toEqual(hex('1234abcd'));
    expect(read.body.subarray(16, 20)).toEqual(hex('cb00710f'));
    expect(read.body.subarray(240)).toEqual(
      hex('350102', '3604cb007101', '330400015180', '0104ffffff00', '0304cb007101', '0604cb007101', 'ff'),
    );
    const [ack] = peer.receive(request(3));
    expect(ack && parseFrame(ack)).toMatchObject({ srcPort: 67 });
  });

  it('gives odd answers first where it is told so', () => {
    const peer = new Peer({ odd: 2 });
    const lengths = [1, 1, 1].map(() => peer.receive(request(1))[0]?.readUInt16BE(14 + 20 + 4));
    expect(lengths[0]).toBe(0);
    expect(lengths[1]).toBe(0);
    expect(lengths[2]).toBeGreaterThan(240);
  });

  it('gives nothing out where it is told so, and to nobody but the guest', () => {
    expect(new Peer({ dhcp: false }).receive(request(1))).toEqual([]);
    const other = request(1);
    hex('02aaaaaaaaaa').copy(other, 6);
    expect(new Peer().receive(other)).toEqual([]);
    expect(
      parseDhcp(
        dhcpAnswer({ type: 1, transaction: Buffer.alloc(4), hardware: Buffer.alloc(16) }, 2, {
          address: '1.2.3.4',
          server: '1.2.3.1',
        }),
      ),
    ).toBeUndefined();
  });

  it('is every host but the guest: answers ARP for all of them, and leaves the guest its own address', () => {
    const peer = new Peer();
    const [answer] = peer.receive(arp(back, 1, '203.0.113.15', '00:00:00:00:00:00', '203.0.113.77'));
    expect(answer && parseFrame(answer)).toMatchObject({
      operation: 2,
      senderIp: '203.0.113.77',
      senderMac: PEER_MAC,
    });
    expect(peer.receive(arp(back, 1, '203.0.113.15', '00:00:00:00:00:00', '203.0.113.15'))).toEqual([]);
    expect(peer.receive(arp(back, 1, '0.0.0.0', '00:00:00:00:00:00', '203.0.113.15'))).toEqual([]);
  });

  it('is a router for IPv6 that says that it is one, and learns the address that the guest takes', () => {
    const peer = new Peer();
    const [advertisement] = peer.receive(icmp(back, 'fe80::15', 'ff02::2', 133, 0, Buffer.alloc(4), 255));
    expect(advertisement && parseFrame(advertisement)).toMatchObject({
      type: 134,
      src: NETWORK.router6,
      dst: 'ff02::1',
    });
    const asked = (target: string, src: string): readonly Buffer[] => {
      const body = Buffer.concat([Buffer.alloc(4), hex(target)]);
      return peer.receive(icmp(back, src, 'ff02::1:ff00:1', 135, 0, body, 255));
    };
    expect(asked('20010db8000000010000000000000015', '::')).toEqual([]);
    expect(peer.guest6).toBe('2001:db8:0:1::15');
    const [router] = asked(
      'fe800000000000005eff00fffe005301'.replace('5eff00fffe', '00005efffe'),
      'fe80::15',
    );
    const read = router && parseFrame(router);
    if (read?.kind !== 'ip') throw new Error('no answer');
    // A router whose flag is missing is taken out of the routes (RFC 4861, 7.2.5).
    expect(read.body[0]).toBe(0xe0);
    const [host] = asked('20010db80000000100000000000000aa', '2001:db8:0:1::15');
    const other = host && parseFrame(host);
    expect(other?.kind === 'ip' && other.body[0]).toBe(0x60);
  });
});

describe('frames of a real boot', () => {
  // What FreeBSD 15.1 sent (<) while it booted, and what it was answered (>).
  const recorded = readFileSync('test/fixtures/frames/boot.txt', 'utf8')
    .trim()
    .split('\n')
    .map((line) => ({ fromGuest: line.startsWith('<'), bytes: hex(line.slice(2)) }));

  it('are all understood', () => {
    for (const { bytes } of recorded) expect(parseFrame(bytes)).toBeDefined();
    const kinds = recorded
      .filter(({ fromGuest }) => fromGuest)
      .map(({ bytes }) => {
        const frame = parseFrame(bytes);
        return frame?.kind === 'ip' ? `${frame.proto}/${frame.type}/${frame.dstPort}` : frame?.kind;
      });
    // Solicitations of neighbours and routers, DHCP twice, and the question whether its address is taken.
    expect(kinds.filter((kind) => kind?.startsWith('58/135'))).toHaveLength(2);
    expect(kinds.filter((kind) => kind?.startsWith('58/133'))).toHaveLength(2);
    expect(kinds.filter((kind) => kind?.startsWith('17/') && kind.endsWith('/67'))).toHaveLength(2);
    expect(kinds).toContain('arp');
  });

  it('are answered again as they were, and tell the address that the guest takes', () => {
    const peer = new Peer();
    let expected: string[] = [];
    let answered: string[] = [];
    for (const { fromGuest, bytes } of recorded) {
      if (!fromGuest) {
        expected.push(bytes.toString('hex'));
        continue;
      }
      expect(answered).toEqual(expected);
      expected = [];
      answered = peer.receive(bytes).map((answer) => answer.toString('hex'));
    }
    expect(answered).toEqual(expected);
    expect(peer.guest6).toBe('2001:db8:0:1:5054:ff:fe12:3456');
    expect([...peer.seen]).toContain('udp 0.0.0.0 255.255.255.255 67');
  });
});

describe('a host of the internet', () => {
  const asked = (flags: number, sequence: number): IpFrame | undefined => {
    const [answer] = new Peer().receive(
      tcp(back, NETWORK.guest4, '198.51.100.80', {
        ...{ srcPort: 50123, dstPort: 80, flags, sequence, acknowledged: 2 },
      }),
    );
    const frame = answer && parseFrame(answer);
    return frame?.kind === 'ip' ? frame : undefined;
  };

  it('takes a connection of the guest, and ends it with the guest', () => {
    expect(asked(TCP.syn, 0xffffffff)).toMatchObject({
      ...{ src: '198.51.100.80', dst: NETWORK.guest4, srcPort: 80, dstPort: 50123 },
      ...{ flags: TCP.syn | TCP.ack, acknowledged: 0 },
    });
    expect(asked(TCP.ack, 8)).toBeUndefined();
    expect(asked(TCP.fin | TCP.ack, 8)).toMatchObject({
      flags: TCP.fin | TCP.ack,
      acknowledged: 9,
      sequence: 2,
    });
  });

  it('refuses what it does not have, and gives no answer to what it is asked', () => {
    const to = (dstPort: number, flags: number, dst = '198.51.100.80'): readonly Buffer[] =>
      new Peer().receive(
        tcp(back, NETWORK.guest4, dst, { srcPort: 50123, dstPort, flags, sequence: 7, acknowledged: 2 }),
      );
    const kind = (frames: readonly Buffer[]): unknown => frames.map((frame) => parseFrame(frame));
    expect(kind(to(443, TCP.syn))).toMatchObject([{ flags: TCP.syn | TCP.ack }]);
    expect(kind(to(25, TCP.syn))).toMatchObject([{ flags: TCP.rst | TCP.ack, acknowledged: 8 }]);
    // Answers of the guest's own services are nobody's questions.
    expect(to(40000, TCP.syn | TCP.ack)).toEqual([]);
    expect(to(40000, TCP.rst)).toEqual([]);
    expect(to(22, TCP.syn, NETWORK.login4)).toEqual([]);
  });

  it('knows one address for every name, and none of another kind', () => {
    const question = (type: string): Buffer =>
      hex(`1234 0100 0001 0000 0000 0000 03 706b67 07 46726565425344 03 6f7267 00 ${type} 0001`);
    const answer = dnsAnswer(question('0001'), '198.51.100.80');
    expect(answer).toEqual(
      hex(
        '1234 8180 0001 0001 0000 0000 03 706b67 07 46726565425344 03 6f7267 00 0001 0001',
        'c00c 0001 0001 0000003c 0004 c6336450',
      ),
    );
    expect(dnsAnswer(question('001c'), '198.51.100.80')?.readUInt16BE(6)).toBe(0);
    const [frame] = new Peer().receive(
      udp(back, NETWORK.guest4, NETWORK.router4, 50123, 53, question('0001')),
    );
    expect(frame && parseFrame(frame)).toMatchObject({ src: NETWORK.router4, srcPort: 53, dstPort: 50123 });
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        const given = dnsAnswer(Buffer.from(bytes), '198.51.100.80');
        return given === undefined || given.length >= 17;
      }),
    );
  });
});
