import { setTimeout as sleep } from 'node:timers/promises';
import { toText } from '../config/net.js';
import { tcp, TCP } from './frames.js';
import type { Carrier } from './link.js';
import { GUEST_MAC, PEER_MAC } from './peer.js';

/** A flood of connections that nobody completes: how long, in seconds, how many a second, and from how many addresses. */
export const SYN_FLOOD = { seconds: 60, perSecond: 2000, sources: 50_000 } as const;

/** The network that they claim to come from: that of benchmarks (RFC 2544, appendix C.2.2), 131,072 addresses. */
const FIRST_SOURCE = 198 * 2 ** 24 + 18 * 2 ** 16;

/** What was sent, and within how many seconds. */
export interface Flooded {
  readonly sent: number;
  readonly seconds: number;
}

/** Seconds between two bursts. */
const TICK = 0.01;

/**
 * Sends SYNs to a port of the guest as fast as {@link SYN_FLOOD} says, from addresses that nobody has.
 *
 * @param done ends it early
 */
export async function floodSyns(
  carrier: Carrier,
  target: string,
  port: number,
  done: AbortSignal,
): Promise<Flooded> {
  const ends = { from: PEER_MAC, to: GUEST_MAC };
  const began = carrier.seconds();
  const elapsed = (): number => carrier.seconds() - began;
  let sent = 0;
  while (elapsed() < SYN_FLOOD.seconds && !done.aborted) {
    const due = Math.floor(elapsed() * SYN_FLOOD.perSecond);
    for (; sent < due; sent++) {
      const source = FIRST_SOURCE + 1 + (sent % SYN_FLOOD.sources);
      carrier.send(
        tcp(ends, toText(source), target, {
          ...{ srcPort: 1024 + (sent % 60_000), dstPort: port, flags: TCP.syn },
          sequence: (sent * 64_007) >>> 0,
        }),
      );
    }
    await sleep(TICK * 1000);
  }
  return { sent, seconds: elapsed() };
}
