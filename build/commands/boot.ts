import { mkdir, mkdtemp, readFile, stat, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HOSTS } from '../boot/checks.js';
import type { CheckName } from '../boot/checks.js';
import { expectedOf, networkOf } from '../boot/expected.js';
import type { RecordedValues } from '../boot/expected.js';
import { FAULTS, faultyImage } from '../boot/faults.js';
import type { Fault, FaultName } from '../boot/faults.js';
import { hostKeys, inspectionFiles, judgeInside, WATCHED } from '../boot/inside.js';
import type { OnDisk } from '../boot/inside.js';
import type { OverlayEntry } from '../overlay/render.js';
import { makeKey, openLogin } from '../boot/login.js';
import type { Firmware, Media, Start } from '../boot/machine.js';
import type { Accelerator } from '../host/qemu.js';
import { junit, startHeld, table } from '../boot/report.js';
import type { BootReport, StartReport } from '../boot/report.js';
import { bootOnce, stopBy } from '../boot/session.js';
import type { Session } from '../boot/session.js';
import { copyDisk, copyWithSlot, withFiles } from '../boot/slot-copy.js';
import { InputError, UserError } from '../error.js';
import { removeTree, writeFileAtomic } from '../host/files.js';
import { sha256File } from '../host/hash.js';
import { stemOf } from '../image/formats.js';
import { PROJECT } from './configuration.js';
import { findSubject } from './subject.js';
import type { Subject } from './subject.js';
import { parseJson } from '../json.js';

export interface BootOptions {
  readonly image: string;
  readonly firmware: readonly Firmware[];
  readonly media: readonly Media[];
  /** Whether the ISO is installed onto a blank disk first, and started from there. */
  readonly installed: boolean;
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
  readonly subject: Subject;
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
  try {
    const subject = await findSubject(options, work, tell, signal);
    const run: Run = { options, subject, session, work, tell };
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
    for (const media of run.subject.media) {
      run.tell(`Starting ${options.image}: ${firmware}, ${media} …`);
      const start = startOf(run, { firmware, media });
      const log = join(options.out, `${firmware}-${media}.log`);
      starts.push((await bootOnce(start, undefined, run.session, log)).report);
    }
  const [first] = starts;
  if (options.checks.includes('inside') && first?.stopped === undefined && first?.reached !== 'sample')
    starts.push(...(run.subject.disk ? await liveOnDisk(run) : await lookInside(run)));
  return starts;
}

/** A start of the image in the first way that is asked for, but for what is given. */
function startOf({ options, subject }: Run, given: Partial<Start>): Start {
  const { memory, card, firmware } = options;
  const { image, format, media } = subject;
  return {
    ...{ image, memory, card, cards: 1 },
    // What is named is a copy of the raw image.
    format: given.image === undefined ? format : 'raw',
    firmware: firmware[0] ?? 'bios',
    media: media[0] ?? 'cd',
    ...given,
  };
}

async function withFault(name: FaultName, run: Run): Promise<StartReport> {
  const { options, subject, session, work, tell } = run;
  const fault: Fault = FAULTS[name];
  // A disk keeps what a boot writes; a CD does not.
  const media = fault.before || subject.disk ? 'disk' : 'cd';
  tell(`Starting ${options.image}: bios, ${media}, ${fault.what} …`);
  const image = fault.slot || fault.before ? join(work, name) : undefined;
  if (image !== undefined) {
    if (fault.slot) await faultyImage(subject.raw, image, fault);
    else await copyDisk(subject.raw, image);
  }
  const usual = startOf(run, {
    ...(image !== undefined && { image }),
    ...{ firmware: 'bios', media, kept: fault.before !== undefined },
  });
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

/** A copy of the image that tells how it looks from inside. */
interface Told {
  readonly image: string;
  /** Its overlay. */
  readonly overlay: readonly OverlayEntry[];
  /** Checks that make its firewall block somebody, and whom. */
  readonly checks: readonly CheckName[];
  readonly offenders: readonly string[];
}

async function makeTold({ options, subject, work }: Run): Promise<Told> {
  const image = join(work, 'inside');
  const offences = OFFENDERS.filter(([check]) => options.checks.includes(check));
  const offenders = offences.map(([, host]) => host);
  let overlay: readonly OverlayEntry[] = [];
  const script = await readFile(join(PROJECT, 'overlays', 'inspect', 'clawdie_inspect'), 'utf8');
  await copyWithSlot(subject.raw, image, (slot) =>
    withFiles(
      slot,
      (_, text) => text,
      (files) => inspectionFiles(script, (overlay = files), offenders.length),
    ),
  );
  return { image, overlay, checks: offences.map(([check]) => check), offenders };
}

/** Starts such a copy once, and judges what it tells. */
async function inspect(
  run: Run,
  told: Told,
  start: Start,
  name: string,
  offend: boolean,
  disk?: OnDisk,
): Promise<{ readonly report: StartReport; readonly text: string }> {
  const { options, session, tell } = run;
  tell(`Starting ${options.image}: a copy that tells how it looks from inside (${name}) …`);
  let sent: ReadonlySet<string> = new Set();
  let own: readonly string[] = [];
  const { report, text } = await bootOnce(
    start,
    undefined,
    { ...session, checks: offend ? told.checks : [] },
    join(options.out, `${name}.log`),
    async ({ machine, guest: { peer }, waitFor }) => {
      if (offend && told.offenders.length > 0) await waitFor(WATCHED, 30);
      sent = peer.seen;
      own = [peer.network.guest4, ...(peer.guest6 === undefined ? [] : [peer.guest6])];
      // It restarts by itself, in order; what it has not written by then is lost.
      if (disk) await Promise.race([machine.ended, waitFor(/^Rebooting\.\.\./m, RESTART)]);
    },
  );
  const seconds = report.stages.at(-1)?.seconds ?? 0;
  const judged = judgeInside({
    ...{ console: text, overlay: told.overlay, sent, own, seconds },
    offenders: offend ? told.offenders : [],
    ...(disk && { disk }),
  });
  return { report: { ...report, fault: name, checks: [...report.checks, ...judged] }, text };
}

/** Seconds that an instance may take to restart. */
const RESTART = 180;

/**
 * Starts a copy of the image that tells how it looks from inside, once its services run and again once somebody
 * outside was blocked; then the same disk a second time.
 */
async function lookInside(run: Run): Promise<readonly StartReport[]> {
  const told = await makeTold(run);
  // A disk keeps what the first boot writes.
  const media = run.subject.media.includes('disk') ? 'disk' : 'cd';
  const start = startOf(run, { image: told.image, media, kept: media === 'disk' });
  return [
    (await inspect(run, told, start, 'inside', true)).report,
    (await inspect(run, told, start, 'inside-again', false)).report,
  ];
}

/** How often an instance on a disk is restarted. */
const RESTARTS = 3;

/**
 * Starts a copy of a disk, enlarged, that tells how it looks from inside; and again after each of its restarts, which have to
 * leave it as it was.
 */
async function liveOnDisk(run: Run): Promise<readonly StartReport[]> {
  const told = await makeTold(run);
  const { size } = await stat(told.image);
  await truncate(told.image, size + 1024 ** 3);
  const start = startOf(run, { image: told.image, kept: true });
  const reports: StartReport[] = [];
  let keys: readonly string[] | undefined;
  for (let boot = 1; boot <= 1 + RESTARTS; boot++) {
    const name = boot === 1 ? 'inside' : `restart-${boot - 1}`;
    const { report, text } = await inspect(run, told, start, name, boot === 1, { boot, grown: size, keys });
    keys ??= hostKeys(text);
    reports.push(report);
  }
  return reports;
}

/** Starts a copy that takes a key of this run, says how to log in, and waits until somebody ends it. */
async function keepRunning(run: Run, print: (line: string) => void): Promise<StartReport> {
  const { options, session, work, tell } = run;
  const { signal } = session.stop;
  const image = join(work, 'image.iso');
  const key = await makeKey(work, signal);
  await copyWithSlot(run.subject.raw, image, (slot) =>
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
  const path = `${stemOf(image)}.json`;
  const text = await readFile(path, 'utf8').catch(() => '{}');
  const record = parseJson(text) as RecordedConfig | null | undefined;
  if (record === undefined)
    throw new UserError(
      `${path} is no build record: it cannot be read as JSON.`,
      'Remove it, or build the image again.',
    );
  return (key, fallback) => {
    const found = record?.configuration?.[key]?.value;
    return typeof found === 'string' && found !== '' ? found : fallback;
  };
}
