import { copyFile, mkdir, mkdtemp, readFile, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HOSTS } from '../boot/checks.js';
import type { CheckName } from '../boot/checks.js';
import { expectedOf, networkOf } from '../boot/expected.js';
import type { RecordedValues } from '../boot/expected.js';
import { FAULTS, faultyImage } from '../boot/faults.js';
import type { Fault, FaultName } from '../boot/faults.js';
import { inspectionFiles, judgeInside, WATCHED } from '../boot/inside.js';
import type { OverlayEntry } from '../overlay/render.js';
import { makeKey, openLogin } from '../boot/login.js';
import type { Accelerator, Firmware, Media, Start } from '../boot/machine.js';
import { junit, startHeld, table } from '../boot/report.js';
import type { BootReport, StartReport } from '../boot/report.js';
import { bootOnce, stopBy } from '../boot/session.js';
import type { Session } from '../boot/session.js';
import { copyWithSlot, withFiles } from '../boot/slot-copy.js';
import { InputError, UserError } from '../error.js';
import { removeTree, writeFileAtomic } from '../host/files.js';
import { sha256File } from '../host/hash.js';
import { PROJECT } from './configuration.js';

export interface BootOptions {
  readonly image: string;
  readonly firmware: readonly Firmware[];
  readonly media: readonly Media[];
  readonly memory: string;
  readonly card: string;
  readonly checks: readonly CheckName[];
  /** Faults that are tried, each with one start (BIOS, CD), instead of the usual starts. */
  readonly faults: readonly FaultName[];
  /** Whether a copy is left running for somebody to log in, instead of the usual starts. */
  readonly keep: boolean;
  readonly accel: 'auto' | Accelerator;
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

/** What all starts of one run have at hand. */
interface Run {
  readonly options: BootOptions;
  readonly session: Session;
  /** Folder of this run, removed with it. */
  readonly work: string;
  readonly tell: (line: string) => void;
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
  const recorded = await readRecorded(options.image);
  const session: Session = {
    expected: expectedOf(recorded),
    network: networkOf(recorded),
    checks: options.checks,
    accel: options.accel,
    timeout: options.timeout,
    stop: stopBy(signal),
  };
  await mkdir(options.out, { recursive: true });
  const work = await mkdtemp(join(tmpdir(), 'clawdie-boot-'));
  const tell = options.json ? () => undefined : print;
  const run: Run = { options, session, work, tell };
  try {
    const starts = await allStarts(run, print);
    const report: BootReport = {
      image: options.image,
      sha256: await sha256File(options.image),
      ok: starts.every(startHeld),
      starts,
    };
    await writeFileAtomic(join(options.out, 'report.json'), `${JSON.stringify(report, null, 2)}\n`, 0o644);
    await writeFileAtomic(join(options.out, 'report.xml'), junit(report), 0o644);
    if (options.json) print(JSON.stringify(report));
    else {
      for (const line of table(report, columns)) print(line);
      print(`Report: ${join(options.out, 'report.json')}, ${join(options.out, 'report.xml')}`);
    }
    return report.ok;
  } finally {
    await removeTree(work);
  }
}

async function allStarts(run: Run, print: (line: string) => void): Promise<readonly StartReport[]> {
  const { options } = run;
  if (options.keep) return [await keepRunning(run, print)];
  const starts: StartReport[] = [];
  for (const fault of options.faults) starts.push(await withFault(fault, run));
  if (options.faults.length > 0) return starts;
  for (const firmware of options.firmware)
    for (const media of options.media) {
      run.tell(`Starting ${options.image}: ${firmware}, ${media} …`);
      const start = startOf(run, { firmware, media });
      const log = join(options.out, `${firmware}-${media}.log`);
      starts.push((await bootOnce(start, undefined, run.session, log)).report);
    }
  const [first] = starts;
  if (options.checks.includes('inside') && first?.stopped === undefined && first?.reached !== 'sample')
    starts.push(...(await lookInside(run)));
  return starts;
}

/** A start of the image in the first way that is asked for, but for what is given. */
function startOf({ options }: Run, given: Partial<Start>): Start {
  const { image, memory, card, firmware, media } = options;
  return {
    image,
    memory,
    card,
    cards: 1,
    firmware: firmware[0] ?? 'bios',
    media: media[0] ?? 'cd',
    ...given,
  };
}

async function withFault(name: FaultName, run: Run): Promise<StartReport> {
  const { options, session, work, tell } = run;
  const fault: Fault = FAULTS[name];
  tell(`Starting ${options.image}: bios, cd, ${fault.what} …`);
  const image = fault.slot || fault.before ? join(work, `${name}.iso`) : options.image;
  if (fault.slot) await faultyImage(options.image, image, fault);
  else if (fault.before) await copyFile(options.image, image);
  // A disk keeps what a boot writes; a CD does not.
  const media = fault.before ? 'disk' : 'cd';
  const usual = startOf(run, { image, firmware: 'bios', media, kept: fault.before !== undefined });
  const log = (stage: string): string => join(options.out, `${stage}.log`);
  if (fault.before) {
    const before = { ...usual, ...fault.before };
    const { report } = await bootOnce(before, undefined, { ...session, checks: [] }, log(`${name}-before`));
    if (report.stopped !== undefined) return { ...report, fault: `${name}, before` };
  }
  const { report } = await bootOnce(
    { ...usual, ...fault.start },
    fault,
    session,
    log(`bios-${media}-${name}`),
  );
  return { ...report, fault: name };
}

/** Checks that make the firewall block somebody, and whom. */
const OFFENDERS = [
  ['rate', HOSTS.hasty],
  ['at-once', HOSTS.greedy],
] as const satisfies readonly (readonly [CheckName, string])[];

/**
 * Starts a copy of the image that tells how it looks from inside, once its services run and again once somebody
 * outside was blocked; then the same disk a second time.
 */
async function lookInside(run: Run): Promise<readonly StartReport[]> {
  const { options, session, work, tell } = run;
  const image = join(work, 'inside.iso');
  const offences = OFFENDERS.filter(([check]) => options.checks.includes(check));
  const checks = offences.map(([check]) => check);
  const offenders = offences.map(([, host]) => host);
  let overlay: readonly OverlayEntry[] = [];
  const script = await readFile(join(PROJECT, 'overlays', 'inspect', 'clawdie_inspect'), 'utf8');
  await copyWithSlot(options.image, image, (slot) =>
    withFiles(
      slot,
      (_, text) => text,
      (files) => inspectionFiles(script, (overlay = files), offenders.length),
    ),
  );
  // A disk keeps what the first boot writes.
  const media = options.media.includes('disk') ? 'disk' : 'cd';
  const start = startOf(run, { image, media, kept: media === 'disk' });
  const reports: StartReport[] = [];
  for (const [name, asked] of [
    ['inside', checks],
    ['inside-again', []],
  ] as const) {
    tell(
      `Starting ${options.image}: a copy that tells how it looks from inside${name === 'inside' ? '' : ', the second time'} …`,
    );
    let sent: ReadonlySet<string> = new Set();
    let own: readonly string[] = [];
    const { report, text } = await bootOnce(
      start,
      undefined,
      { ...session, checks: asked },
      join(options.out, `${name}.log`),
      async ({ guest: { peer }, waitFor }) => {
        if (asked.length > 0) await waitFor(WATCHED, 30);
        sent = peer.seen;
        own = [peer.network.guest4, ...(peer.guest6 === undefined ? [] : [peer.guest6])];
      },
    );
    const seconds = report.stages.at(-1)?.seconds ?? 0;
    const judged = judgeInside({
      console: text,
      overlay,
      sent,
      own,
      offenders: asked.length > 0 ? offenders : [],
      seconds,
    });
    reports.push({ ...report, fault: name, checks: [...report.checks, ...judged] });
  }
  return reports;
}

/** Starts a copy that takes a key of this run, says how to log in, and waits until somebody ends it. */
async function keepRunning(run: Run, print: (line: string) => void): Promise<StartReport> {
  const { options, session, work, tell } = run;
  const { signal } = session.stop;
  const image = join(work, 'image.iso');
  const key = await makeKey(work, signal);
  await copyWithSlot(options.image, image, (slot) =>
    withFiles(slot, (path, text) =>
      path === 'root/.ssh/authorized_keys' ? `${text.trimEnd()}\n${key}\n` : text,
    ),
  );
  const start = startOf(run, { image, control: join(work, 'control') });
  tell(`Starting ${options.image}: ${start.firmware}, ${start.media}, to log in …`);
  const { report } = await bootOnce(
    start,
    undefined,
    session,
    join(options.out, 'keep.log'),
    async ({ machine }) => {
      const login = await openLogin(machine, session.network, work);
      print('It runs. To log in:');
      for (const line of login.lines) print(`  ${line}`);
      print('It is a copy, to whose keys that one was added. Ctrl-C ends it.');
      await Promise.race([
        machine.ended,
        new Promise((resolve) => {
          signal.addEventListener('abort', resolve, { once: true });
        }),
      ]);
      login.close();
    },
  );
  return report;
}

interface RecordedConfig {
  readonly configuration?: Readonly<Record<string, { readonly value?: unknown } | undefined>>;
}

/** The configuration of the image, as the build record beside it says; what an image has by default, without one. */
async function readRecorded(image: string): Promise<RecordedValues> {
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
  return (key, fallback) => {
    const found = record.configuration?.[key]?.value;
    return typeof found === 'string' && found !== '' ? found : fallback;
  };
}
