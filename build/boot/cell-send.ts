import { setTimeout as sleep } from 'node:timers/promises';
import { formatIp } from '../pf/address.js';
import { PROTO } from '../pf/names.js';
import type { CellsSeen } from './cell-judge.js';
import type { CellPlan } from './cell-plan.js';
import { CELLS_SEND, markerOf } from './cell-steps.js';
import { arp } from './frames.js';
import { Link } from './link.js';
import type { Carrier } from './link.js';
import type { Running } from './session.js';
import { stepBegun, STEPS_ENDED } from './steps.js';

/** Seconds that answers may take. */
const LATE = 1;

/**
 * Sends the packets of the cells that come from outside, once the instance waits for them.
 *
 * @returns undefined if it never did
 */
export async function sendCells(
  plan: CellPlan,
  { machine, guest, second }: Running,
  over: AbortSignal,
): Promise<CellsSeen | undefined> {
  const { peer, link, console } = guest;
  while (!console.shows(stepBegun(CELLS_SEND))) {
    if (over.aborted || console.shows(STEPS_ENDED)) return undefined;
    await sleep(200);
  }
  const ports = ({ src, dst }: { src: string; dst: string }, from: number, to: number): string =>
    [src, from, dst, to].join(' ');
  const asked = new Map(
    plan.packets.flatMap(({ from, sample: { packet, number } }): readonly [string, number][] => {
      if (from !== 'internet' || packet.proto !== PROTO.tcp) return [];
      const [src = '', dst = ''] = [packet.src, packet.dst].map((ip) => formatIp(packet.af, BigInt(ip)));
      return [[ports({ src, dst }, packet.srcPort, packet.dstPort), number]];
    }),
  );
  const answered = new Set<number>();
  const stop = peer.listen(({ proto, src, dst, srcPort, dstPort }) => {
    const number =
      proto === PROTO.tcp ? asked.get(ports({ src: dst, dst: src }, dstPort, srcPort)) : undefined;
    if (number !== undefined) answered.add(number);
  });
  const framesFrom = (where: 'internet' | 'card'): readonly Buffer[] =>
    plan.packets.flatMap(({ from, frame }) => (from === where ? [frame] : []));
  try {
    let arrived = await link.sendAll(framesFrom('internet'));
    const others = framesFrom('card');
    if (second && others.length > 0) {
      const wire: Carrier = {
        send: (frame) => {
          machine.sendToSecond(frame);
        },
        seconds: () => machine.seconds(),
      };
      const its = new Link(wire, second);
      arrived = (await its.sendAll(others)) && arrived;
      its.close();
    }
    await sleep(LATE * 1000);
    const { guest4 } = peer.network;
    machine.send(arp(peer.ends, 1, markerOf(guest4), '00:00:00:00:00:00', guest4));
    return { arrived, answered };
  } finally {
    stop();
  }
}
