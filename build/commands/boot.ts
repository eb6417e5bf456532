import { mkdir, mkdtemp, readFile, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isWithin } from '../boot/checks.js';
import { expectedOf, networkOf } from '../boot/expected.js';
import type { RecordedValues } from '../boot/expected.js';
import { FAULTS, faultyImage } from '../boot/faults.js';
import type { Fault, FaultName } from '../boot/faults.js';
import { makeKey, openLogin } from '../boot/login.js';
import { chooseAccelerator } from '../host/qemu.js';
import { junit, startHeld, table } from '../boot/report.js';
import type { BootReport, StartReport } from '../boot/report.js';
import { bootOnce, stopBy } from '../boot/session.js';
import type { Session } from '../boot/session.js';
import { copyDisk, copyWithSlot, withFiles } from '../boot/slot-copy.js';
import { InputError, UserError } from '../error.js';
import { removeTree, writeFileAtomic } from '../host/files.js';
import { sha256File } from '../host/hash.js';
import { stemOf } from '../image/formats.js';
import { parseJson } from '../json.js';
import { startOf } from './boot-run.js';
import type { BootOptions, Run } from './boot-run.js';
import { lookInside } from './inside.js';
import { findSubject } from './subject.js';

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
  wanted: BootOptions,
  { signal, print, columns }: BootSurroundings,
): Promise<boolean> {
  const found = await stat(wanted.image).catch(() => undefined);
  if (found?.isFile() !== true)
    throw new InputError(`There is no image ${wanted.image}.`, 'Build one with `make iso`, and name it.');
  const tell = wanted.json ? () => undefined : print;
  const chosen = wanted.accel === 'auto' ? await chooseAccelerator() : { accel: wanted.accel };
  if ('why' in chosen) tell(`Hardware virtualisation does not work (${chosen.why}); doing without.`);
  const options = { ...wanted, accel: chosen.accel };
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
  try {
    const subject = await findSubject(options, work, tell, signal);
    const run: Run = { options, subject, session, recorded, work, tell };
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
  // What a copy tells is starts of its own.
  const usual = options.checks.some((check) => !isWithin(check));
  for (const firmware of usual ? options.firmware : [])
    for (const media of run.subject.media) {
      run.tell(`Starting ${options.image}: ${firmware}, ${media} …`);
      const start = startOf(run, { firmware, media });
      const log = join(options.out, `${firmware}-${media}.log`);
      starts.push((await bootOnce(start, undefined, run.session, log)).report);
    }
  const [first] = starts;
  if (options.checks.some(isWithin) && first?.stopped === undefined && first?.reached !== 'sample')
    starts.push(...(await lookInside(run)));
  return starts;
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
