import { basename } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { UserError } from '../error.js';
import { writeFileAtomic } from '../host/files.js';
import {
  CHECK_NAMES,
  isWithin,
  judgeClosed,
  judgeFallback,
  judgeSilence,
  judgeUnreachable,
  probeThroughout,
  runCheck,
} from './checks.js';
import type { CheckName, CheckResult, Expected, Guest } from './checks.js';
import type { Fault } from './faults.js';
import { Link } from './link.js';
import { startMachine } from './machine.js';
import type { Accelerator } from '../host/qemu.js';
import type { Machine, Start } from './machine.js';
import { watchScreen } from './screen.js';
import { Peer } from './peer.js';
import type { Network } from './peer.js';
import type { StartReport } from './report.js';
import { plain } from './stages.js';

/** What every start of an image has in common. */
export interface Session {
  readonly expected: Expected;
  readonly network: Network;
  readonly checks: readonly CheckName[];
  readonly accel: Accelerator;
  /** seconds that a boot may take */
  readonly timeout: number;
  readonly stop: Stop;
}

/** Somebody's interruption: as a signal, and as a promise that rejects with it, since some checks wait for long. */
export interface Stop {
  readonly signal: AbortSignal;
  readonly interrupted: Promise<never>;
}

export function stopBy(signal: AbortSignal): Stop {
  const interrupted = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => {
      reject(signal.reason as Error);
    });
  });
  interrupted.catch(() => undefined); // nobody may be waiting for it
  return { signal, interrupted };
}

/** A start that came to its end, or stopped, while its machine still runs. */
export interface Running {
  readonly machine: Machine;
  readonly guest: Guest;
  /** Who is on the second card, if somebody is. */
  readonly second: Peer | undefined;
  /** Waits until the console shows this, at most so many seconds. @throws whatever interrupted it */
  readonly waitFor: (says: RegExp, seconds: number) => Promise<void>;
}

/** What one start came to. */
export interface Outcome {
  readonly report: StartReport;
  /** The console, without control sequences. */
  readonly text: string;
}

/**
 * Starts an image once, asks it questions all through its boot, and runs the checks that apply.
 *
 * @param log file for the console; pictures of the screen lie beside it
 * @param after what is done while the machine still runs, after the checks, if the boot came to its end
 * @throws UserError if QEMU cannot start it; whatever interrupted it.
 */
export async function bootOnce(
  start: Start,
  fault: Fault | undefined,
  session: Session,
  log: string,
  after?: (running: Running) => Promise<void>,
): Promise<Outcome> {
  const { stop, timeout } = session;
  const { signal } = stop;
  const peer = new Peer({ ...fault?.peer, network: session.network });
  const second = start.second && new Peer(start.second);
  const machine = await startMachine(start, peer, session.accel, signal, second);
  const link = new Link(machine, peer);
  const { console } = machine;
  const frames =
    start.screen === undefined
      ? undefined
      : watchScreen(machine, start.screen, async (at, png) => {
          const path = log.replace(/(?:\.log)?$/, `-${at}.png`);
          await writeFileAtomic(path, png, 0o644);
          return basename(path);
        });
  // The fallback lets SSH in, and nothing else.
  const expected =
    fault?.ends === 'fallback' ? { ...session.expected, ports: [22], icmpEcho: false } : session.expected;
  const guest: Guest = { link, peer, console, expected, seconds: () => machine.seconds() };
  try {
    const going = (): boolean =>
      !console.finished && !machine.over && machine.seconds() < timeout && !signal.aborted;
    while (going() && machine.firstFrame === undefined) await sleep(50);
    const sent = await probeThroughout(guest, going);
    signal.throwIfAborted();
    const { firstFrame } = machine;
    const stopped = whyStopped(machine, timeout);
    const checks: CheckResult[] = [];
    if (fault?.ends === 'closed') checks.push(judgeClosed(guest, firstFrame));
    else if (fault?.ends === 'fallback') checks.push(judgeFallback(guest));
    for (const name of fault?.ends === 'closed' ? [] : CHECK_NAMES) {
      // What a copy tells is a start of its own.
      if (!session.checks.includes(name) || (isWithin(name) && !console.sample)) continue;
      const skip = (state: 'failed' | 'not applicable', detail: string): CheckResult => ({
        id: name,
        state,
        detail,
        seconds: 0,
        packets: [],
      });
      if (console.sample) checks.push(skip('not applicable', 'the sample image holds no FreeBSD'));
      else if (name === 'silence') checks.push(judgeSilence(guest, sent, firstFrame));
      else if (stopped !== undefined) checks.push(skip('failed', 'the boot did not come to its end'));
      else if (fault?.ends === 'unreachable')
        checks.push(skip('not applicable', 'the guest has no IPv4 address'));
      else if (!isWithin(name)) checks.push(await Promise.race([runCheck(name, guest), stop.interrupted]));
      signal.throwIfAborted();
    }
    if (fault?.ends === 'unreachable') checks.push(await judgeUnreachable(guest));
    if (after && stopped === undefined && !console.sample) {
      const waitFor = async (says: RegExp, seconds: number): Promise<void> => {
        const until = machine.seconds() + seconds;
        while (!console.shows(says) && !machine.over && machine.seconds() < until && !signal.aborted)
          await sleep(200);
        signal.throwIfAborted();
      };
      await after({ machine, guest, second, waitFor });
    }
    const report: StartReport = {
      firmware: start.firmware,
      media: start.media,
      accelerator: machine.accelerator,
      memory: start.memory,
      card: start.card,
      reached: console.sample ? 'sample' : (console.last ?? 'nothing'),
      ...(stopped !== undefined && { stopped }),
      stages: console.reached,
      ...(firstFrame !== undefined && { firstFrame }),
      probes: link.sent,
      checks,
      ...(frames && { frames: await frames() }),
      console: stopped === undefined ? [] : console.tail(),
      log,
    };
    return { report, text: plain(console.text) };
  } finally {
    link.close();
    await machine.stop();
    await frames?.().catch(() => undefined);
    await writeFileAtomic(log, plain(console.text), 0o644);
  }
}

/** Why a boot went no further; undefined if it came to its end. */
function whyStopped({ console, failure, over, accelerator }: Machine, timeout: number): string | undefined {
  if (failure !== undefined)
    throw new UserError(
      `QEMU ended by itself: ${failure}.`,
      accelerator === 'kvm'
        ? 'Try it without hardware virtualisation: --accel tcg.'
        : 'See whether this QEMU is 7.2 or newer.',
    );
  if (console.ended !== undefined) return console.ended;
  if (console.finished) return undefined;
  if (over) return 'the machine turned itself off or restarted';
  const hint =
    accelerator === 'kvm' && console.text === ''
      ? ': hardware virtualisation may not do all that it needs here; try --accel tcg'
      : '';
  return `nothing more came within ${timeout} s${hint}`;
}
