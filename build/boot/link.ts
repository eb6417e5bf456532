import { setTimeout as sleep } from 'node:timers/promises';
import { isIPv6 } from 'node:net';
import { PROTO } from '../pf/names.js';
import { arp, icmp, neighbourSolicitation, tcp, TCP, udp } from './frames.js';
import type { Ends, IpFrame } from './frames.js';
import type { Peer } from './peer.js';

/** A packet that is sent to see what comes back. */
export interface Probe {
  readonly src: string;
  readonly dst: string;
  readonly proto: 'tcp' | 'udp' | 'icmp';
  readonly port: number;
}

/** What came back to a probe: an IP packet to its source. */
export interface Answer {
  readonly probe: Probe;
  /** `open` (SYN and ACK), `closed` (RST), or what else it was. */
  readonly kind: string;
  readonly seconds: number;
}

/** What carries frames to the guest: a machine, or in tests somebody who plays one. */
export interface Carrier {
  send(frame: Buffer): void;
  seconds(): number;
}

const SOURCE_PORT = 40000;

/**
 * The peer's end of the link, for whoever asks questions of the guest: sends probes, and knows which frames are answers
 * to them. Probes are sent in batches, each followed by a question that no firewall stops (ARP, or neighbour
 * solicitation for the guest's own address): its answer says that the batch has arrived, and keeps the pace.
 */
export class Link {
  /** Frames that were sent as probes. */
  sent = 0;
  private readonly answers: Answer[] = [];
  private readonly open = new Map<string, Probe>();
  private readonly stopListening: () => void;

  constructor(
    private readonly carrier: Carrier,
    private readonly peer: Peer,
  ) {
    this.stopListening = peer.listen((frame) => {
      this.hear(frame);
    });
  }

  close(): void {
    this.stopListening();
  }

  /** Sends a probe; what comes back is among the answers. */
  probe(probe: Probe): void {
    this.open.set(keyOf(probe), probe);
    this.sent++;
    this.carrier.send(frameOf(probe, this.peer.ends));
  }

  /** All answers so far. Those that came back to one source: to what was asked from there. */
  answersTo(src?: string): readonly Answer[] {
    return src === undefined ? this.answers : this.answers.filter(({ probe }) => probe.src === src);
  }

  /**
   * Sends many probes, as fast as the guest takes them. A batch with all its answers has to fit into the 208 KB that
   * sockets have by default on Linux, at some 770 bytes a frame: what does not is lost.
   *
   * @returns whether the guest answered for every batch: otherwise nothing is known of what did not come back
   */
  async probeAll(probes: Iterable<Probe>, batch = 64): Promise<boolean> {
    let count = 0;
    for (const probe of probes) {
      this.probe(probe);
      if (++count % batch === 0 && !(await this.reached(probe.dst))) return false;
    }
    return this.reached(this.peer.network.guest4);
  }

  /**
   * Sends frames, as fast as the guest takes them; what comes back is for others to hear.
   *
   * @returns whether the guest answered for every batch
   */
  async sendAll(frames: readonly Buffer[], batch = 64): Promise<boolean> {
    for (const [index, frame] of frames.entries()) {
      this.sent++;
      this.carrier.send(frame);
      if ((index + 1) % batch === 0 && !(await this.reached(this.peer.network.guest4))) return false;
    }
    return this.reached(this.peer.network.guest4);
  }

  /** Whether the guest still takes frames: it answers a question about its own address, three tries of 2 s. */
  async reached(dst: string): Promise<boolean> {
    for (let attempt = 0; attempt < 3; attempt++) {
      const answered = this.peer.nextLinkAnswer(2000);
      this.carrier.send(
        isIPv6(dst)
          ? neighbourSolicitation(this.peer.ends, this.peer.network.router6, dst)
          : arp(this.peer.ends, 1, this.peer.network.router4, '00:00:00:00:00:00', this.peer.network.guest4),
      );
      if (await answered) return true;
    }
    return false;
  }

  /**
   * Opens a TCP connection, as a client does.
   *
   * @returns what the server said first, or undefined if there was no connection within the time
   */
  async connect(
    src: string,
    srcPort: number,
    dst: string,
    port: number,
    milliseconds = 5000,
  ): Promise<Connection | undefined> {
    const sequence = 1000 + srcPort;
    const heard: { server?: IpFrame; banner: string; reset: boolean } = { banner: '', reset: false };
    const stop = this.peer.listen((frame) => {
      if (
        frame.proto !== PROTO.tcp ||
        frame.dst !== src ||
        frame.dstPort !== srcPort ||
        frame.srcPort !== port
      )
        return;
      if ((frame.flags & TCP.rst) !== 0) heard.reset = true;
      if ((frame.flags & (TCP.syn | TCP.ack)) === (TCP.syn | TCP.ack)) heard.server ??= frame;
      heard.banner += frame.body.toString('latin1');
    });
    const segment = (flags: number, next: number, acknowledged?: number): void => {
      this.sent++;
      this.carrier.send(
        tcp(this.peer.ends, src, dst, {
          srcPort,
          dstPort: port,
          flags,
          sequence: next,
          ...(acknowledged !== undefined && { acknowledged }),
        }),
      );
    };
    segment(TCP.syn, sequence);
    for (let waited = 0; waited < milliseconds && !heard.server && !heard.reset; waited += 50)
      await sleep(50);
    if (!heard.server || heard.reset) {
      stop();
      return undefined;
    }
    const acknowledged = (heard.server.sequence + 1) >>> 0;
    segment(TCP.ack, sequence + 1, acknowledged);
    return {
      banner: () => heard.banner,
      close: () => {
        stop();
        segment(TCP.rst, sequence + 1);
      },
    };
  }

  private hear(frame: IpFrame): void {
    const probe = this.open.get(answerKey(frame)) ?? this.complaint(frame);
    if (!probe) return;
    const kind =
      frame.proto === PROTO.tcp
        ? (frame.flags & TCP.rst) !== 0
          ? 'closed'
          : 'open'
        : frame.proto === PROTO.udp
          ? 'open'
          : `icmp ${frame.type} code ${frame.code}`;
    this.answers.push({ probe, kind, seconds: this.carrier.seconds() });
    // So that the guest keeps no half-open connection.
    if (kind === 'open' && frame.proto === PROTO.tcp)
      this.carrier.send(
        tcp(this.peer.ends, probe.src, probe.dst, {
          srcPort: SOURCE_PORT,
          dstPort: probe.port,
          flags: TCP.rst,
          sequence: frame.acknowledged,
        }),
      );
  }

  /** The probe that an ICMP error is about: it quotes the packet's beginning. */
  private complaint(frame: IpFrame): Probe | undefined {
    const six = isIPv6(frame.src);
    const isError = six
      ? frame.proto === PROTO.icmp6 && frame.type < 128
      : frame.proto === PROTO.icmp && frame.type === 3;
    if (!isError) return undefined;
    const upper = 4 + (six ? 40 : 20);
    if (frame.body.length < upper + 4) return undefined;
    const port = frame.body.readUInt16BE(upper + 2);
    const proto = frame.body.readUInt8(4 + (six ? 6 : 9)) === PROTO.tcp ? 'tcp' : 'udp';
    return [...this.open.values()].find(
      (probe) => probe.src === frame.dst && probe.port === port && probe.proto === proto,
    );
  }
}

/** A TCP connection that stands. */
export interface Connection {
  /** What the server has said so far. */
  banner(): string;
  close(): void;
}

function keyOf({ src, dst, proto, port }: Probe): string {
  return [proto, src, dst, proto === 'icmp' ? 0 : port].join(' ');
}

function answerKey(frame: IpFrame): string {
  const proto = frame.proto === PROTO.tcp ? 'tcp' : frame.proto === PROTO.udp ? 'udp' : 'icmp';
  // Only an echo reply answers an echo request.
  if (proto === 'icmp' && frame.type !== 0 && frame.type !== 129) return '';
  return [proto, frame.dst, frame.src, proto === 'icmp' ? 0 : frame.srcPort].join(' ');
}

function frameOf({ src, dst, proto, port }: Probe, ends: Ends): Buffer {
  switch (proto) {
    case 'tcp':
      return tcp(ends, src, dst, { srcPort: SOURCE_PORT, dstPort: port, flags: TCP.syn, sequence: 7 });
    case 'udp':
      return udp(ends, src, dst, SOURCE_PORT, port);
    case 'icmp':
      return icmp(ends, src, dst, isIPv6(src) ? 128 : 8, 0, Buffer.from([0, 1, 0, 1]));
  }
}
