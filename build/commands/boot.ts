import { mkdir, mkdtemp, readFile, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  CHECK_NAMES,
  judgeClosed,
  judgeFallback,
  judgeSilence,
  judgeUnreachable,
  probeThroughout,
  runCheck,
} from '../boot/checks.js';
import type { CheckName, CheckResult, Expected, Guest } from '../boot/checks.js';
import { FAULTS, faultyImage } from '../boot/faults.js';
import { filesToLookAt, judgeInside } from '../boot/inside.js';
import type { OverlayFile } from '../boot/inside.js';
import type { Fault, FaultName } from '../boot/faults.js';
import { Link } from '../boot/link.js';
import { startMachine } from '../boot/machine.js';
import type { Firmware, Machine, Media, Start } from '../boot/machine.js';
import { Peer } from '../boot/peer.js';
import { copyWithSlot, withFiles } from '../boot/slot-copy.js';
import { junit, startHeld, table } from '../boot/report.js';
import type { BootReport, StartReport } from '../boot/report.js';
import { plain } from '../boot/stages.js';
import { InputError, UserError } from '../error.js';
import { PROJECT } from './configuration.js';
import { removeTree, writeFileAtomic } from '../host/files.js';
import { sha256File } from '../host/hash.js';

export interface BootOptions {
  readonly image: string;
  readonly firmware: readonly Firmware[];
  readonly media: readonly Media[];
  readonly memory: string;
  readonly card: string;
  readonly checks: readonly CheckName[];
  /** Faults that are tried, each with one start (BIOS, CD), instead of the usual starts. */
  readonly faults: readonly FaultName[];
  readonly accel: 'auto' | 'kvm' | 'tcg';
  /** seconds that a boot may take */
  readonly timeout: number;
  readonly out: string;
  readonly json: boolean;
}

export interface BootSurroundings {
  readonly signal: AbortSignal;
  readonly print: (line: string) => void;
  readonly columns: number;
}

/**
 * `clawdie-iso boot`: starts an image in every way that is asked for, plays the internet to it, and checks from outside
 * what it lets in.
 *
 * @returns whether all of it held
 * @throws InputError if there is no such image.
 */
export async function boot(
  options: BootOptions,
  { signal, print, columns }: BootSurroundings,
): Promise<boolean> {
  const found = await stat(options.image).catch(() => undefined);
  if (found?.isFile() !== true)
    throw new InputError(`There is no image ${options.image}.`, 'Build one with `make iso`, and name it.');
  const expected = await expectations(options.image);
  const stop = stopBy(signal);
  const out = options.out;
  await mkdir(out, { recursive: true });
  const starts: StartReport[] = [];
  const inside = options.checks.includes('inside') && options.faults.length === 0;
  const tried: readonly (Pick<Start, 'firmware' | 'media'> & { readonly fault?: FaultName })[] =
    options.faults.length > 0
      ? options.faults.map((fault) => ({ firmware: 'bios', media: 'cd', fault }))
      : options.firmware.flatMap((firmware) => options.media.map((media) => ({ firmware, media })));
  for (const { firmware, media, fault } of tried) {
    const name = [firmware, media, ...(fault === undefined ? [] : [fault])].join('-');
    if (!options.json)
      print(
        `Starting ${options.image}: ${firmware}, ${media}${fault === undefined ? '' : `, ${FAULTS[fault].what}`} …`,
      );
    const work = await mkdtemp(join(tmpdir(), 'clawdie-boot-'));
    try {
      const wrong: Fault | undefined = fault === undefined ? undefined : FAULTS[fault];
      let { image } = options;
      if (wrong?.slot) {
        image = join(work, 'image.iso');
        await faultyImage(options.image, image, wrong);
      }
      const { memory, card } = options;
      const start: Start = { image, firmware, media, memory, card, cards: 1, ...wrong?.start };
      const { report } = await bootOnce(start, wrong, expected, options, join(out, `${name}.log`), stop);
      starts.push(fault === undefined ? report : { ...report, fault });
    } finally {
      await removeTree(work);
    }
  }
  const [first] = starts;
  if (inside && first?.stopped === undefined && first?.reached !== 'sample')
    starts.push(await lookInside(options, expected, join(out, 'inside.log'), stop, print));
  const report: BootReport = {
    image: options.image,
    sha256: await sha256File(options.image, { signal }),
    ok: starts.every(startHeld),
    starts,
  };
  await writeFileAtomic(join(out, 'report.json'), `${JSON.stringify(report, null, 2)}\n`, 0o644);
  await writeFileAtomic(join(out, 'report.xml'), junit(report), 0o644);
  if (options.json) print(JSON.stringify(report));
  else {
    for (const line of table(report, columns)) print(line);
    print(`Report: ${join(out, 'report.json')}, ${join(out, 'report.xml')}`);
  }
  return report.ok;
}

/** Somebody's interruption: as a signal, and as a promise that rejects with it, since some checks wait for long. */
interface Stop {
  readonly signal: AbortSignal;
  readonly interrupted: Promise<never>;
}

function stopBy(signal: AbortSignal): Stop {
  const interrupted = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => {
      reject(signal.reason as Error);
    });
  });
  interrupted.catch(() => undefined); // nobody may be waiting for it
  return { signal, interrupted };
}

/** Starts a copy of the image that tells how it looks from inside, once its services run. */
async function lookInside(
  options: BootOptions,
  expected: Expected,
  log: string,
  stop: Stop,
  print: (line: string) => void,
): Promise<StartReport> {
  if (!options.json) print(`Starting ${options.image}: a copy that tells how it looks from inside …`);
  const work = await mkdtemp(join(tmpdir(), 'clawdie-boot-'));
  try {
    const image = join(work, 'image.iso');
    let overlay: readonly OverlayFile[] = [];
    const script = await readFile(join(PROJECT, 'overlays', 'inspect', 'clawdie_inspect'), 'utf8');
    await copyWithSlot(options.image, image, (slot) =>
      withFiles(
        slot,
        (_, text) => text,
        (files) => {
          overlay = files;
          const paths = filesToLookAt(files).map(({ path }) => `/${path}\n`);
          return [
            { path: 'etc/rc.d/clawdie_inspect', mode: 0o555, body: script },
            { path: 'etc/clawdie/inspect.files', mode: 0o444, body: paths.join('') },
          ];
        },
      ),
    );
    const start: Start = {
      image,
      firmware: options.firmware[0] ?? 'bios',
      media: options.media[0] ?? 'cd',
      memory: options.memory,
      card: options.card,
      cards: 1,
    };
    const { report, text } = await bootOnce(
      start,
      undefined,
      expected,
      { ...options, checks: [] },
      log,
      stop,
    );
    const checks = judgeInside(text, overlay, report.stages.at(-1)?.seconds ?? 0);
    return { ...report, fault: 'inside', checks };
  } finally {
    await removeTree(work);
  }
}

async function bootOnce(
  start: Start,
  fault: Fault | undefined,
  expected: Expected,
  options: BootOptions,
  log: string,
  stop: Stop,
): Promise<{ readonly report: StartReport; readonly text: string }> {
  const { signal } = stop;
  const peer = new Peer(fault?.peer);
  const machine = await startMachine(start, peer, options.accel, signal);
  const link = new Link(machine, peer);
  const { console } = machine;
  // The fallback lets SSH in, and nothing else.
  const lets = fault?.ends === 'fallback' ? { ...expected, ports: [22], icmpEcho: false } : expected;
  const guest: Guest = { link, peer, console, expected: lets, seconds: () => machine.seconds() };
  try {
    const going = (): boolean =>
      !console.finished &&
      machine.failure === undefined &&
      machine.seconds() < options.timeout &&
      !signal.aborted;
    while (going() && machine.firstFrame === undefined) await sleep(50);
    const sent = await probeThroughout(guest, going);
    signal.throwIfAborted();
    const { firstFrame } = machine;
    const stopped = whyStopped(machine, options.timeout);
    const checks: CheckResult[] = [];
    if (fault?.ends === 'closed') checks.push(judgeClosed(guest, firstFrame));
    else if (fault?.ends === 'fallback') checks.push(judgeFallback(guest));
    for (const name of fault?.ends === 'closed' ? [] : CHECK_NAMES) {
      if (!options.checks.includes(name)) continue;
      const skip = (state: 'failed' | 'not applicable', detail: string): CheckResult => ({
        id: name,
        state,
        detail,
        seconds: 0,
        packets: [],
      });
      if (console.sample) checks.push(skip('not applicable', 'the sample image holds no FreeBSD'));
      // That is a start of its own.
      else if (name === 'inside') continue;
      else if (name === 'silence') checks.push(judgeSilence(guest, sent, firstFrame));
      else if (stopped !== undefined) checks.push(skip('failed', 'the boot did not come to its end'));
      else if (fault?.ends === 'unreachable')
        checks.push(skip('not applicable', 'the guest has no IPv4 address'));
      else checks.push(await Promise.race([runCheck(name, guest), stop.interrupted]));
      signal.throwIfAborted();
    }
    if (fault?.ends === 'unreachable') checks.push(await judgeUnreachable(guest));
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
      console: stopped === undefined ? [] : console.tail(),
      log,
    };
    return { report, text: plain(console.text) };
  } finally {
    link.close();
    await machine.stop();
    await writeFileAtomic(log, plain(console.text), 0o644);
  }
}

/** Why a boot went no further; undefined if it came to its end. */
function whyStopped({ console, failure, accelerator }: Machine, timeout: number): string | undefined {
  if (failure !== undefined)
    throw new UserError(
      `QEMU ended by itself: ${failure}.`,
      accelerator === 'kvm'
        ? 'Try it without hardware virtualisation: --accel tcg.'
        : 'See whether this QEMU is 7.2 or newer.',
    );
  if (console.ended !== undefined) return console.ended;
  return console.finished ? undefined : `nothing more came within ${timeout} s`;
}

interface RecordedConfig {
  readonly configuration?: Readonly<Record<string, { readonly value?: unknown } | undefined>>;
}

/** What the image lets in, as the build record beside it says; what an image has by default, without one. */
async function expectations(image: string): Promise<Expected> {
  const path = image.replace(/(?:\.iso)?$/, '.json');
  const text = await readFile(path, 'utf8').catch(() => '{}');
  let record: RecordedConfig;
  try {
    record = JSON.parse(text) as RecordedConfig;
  } catch {
    throw new UserError(
      `${path} is no build record: it cannot be read as JSON.`,
      'Remove it, or build the image again.',
    );
  }
  const value = (key: string, fallback: string): string => {
    const found = record.configuration?.[key]?.value;
    return typeof found === 'string' && found !== '' ? found : fallback;
  };
  return {
    ports: [
      22,
      ...(value('HTTP', 'yes') === 'yes' ? [80] : []),
      ...(value('HTTPS', 'yes') === 'yes' ? [443] : []),
    ],
    icmpEcho: value('ICMP_ECHO', 'no') === 'yes',
    agentNet: value('AGENT_NET', '192.168.100.0/24'),
  };
}
