import { readFile, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { readBastille } from '../boot/bastille.js';
import type { Bastille } from '../boot/bastille.js';
import { judgeCells } from '../boot/cell-judge.js';
import type { CellsSeen } from '../boot/cell-judge.js';
import type { CellPlan } from '../boot/cell-plan.js';
import { sendCells } from '../boot/cell-send.js';
import { cellFiles, cellSteps } from '../boot/cell-steps.js';
import { HOSTS } from '../boot/checks.js';
import type { CheckName, CheckResult } from '../boot/checks.js';
import { deployedOf } from '../boot/deployed.js';
import { operate } from '../boot/operate.js';
import { blocksOf, blockSteps, DOCUMENTS } from '../boot/documents.js';
import type { Block } from '../boot/documents.js';
import { waysInOf } from '../boot/expected.js';
import { hostKeys, inspectionFiles, judgeInside, SAME_PLACES, WATCHED } from '../boot/inside.js';
import type { OnDisk } from '../boot/inside.js';
import { jailSteps, restartSteps } from '../boot/jails.js';
import { castOf } from '../boot/jails/cast.js';
import type { Login } from '../boot/jails/floods.js';
import { judgeJails, notLookedAt } from '../boot/jails/judge.js';
import type { Passage } from '../boot/jails/ways.js';
import { makeKey } from '../boot/login.js';
import type { Start } from '../boot/machine.js';
import { INTERNET, SECOND_MAC, SECOND_NETWORK } from '../boot/peer.js';
import type { StartReport } from '../boot/report.js';
import { bootOnce } from '../boot/session.js';
import { copyWithSlot, withFiles } from '../boot/slot-copy.js';
import { plain } from '../boot/stages.js';
import { progressOn, secondsOf, stepFiles, STEPS_AGAIN, STEPS_ENDED, STEPS_FIRST } from '../boot/steps.js';
import type { Step } from '../boot/steps.js';
import { headerOf } from '../image/slot.js';
import type { OverlayEntry } from '../overlay/render.js';
import { cellsOf } from './cells.js';
import { PROJECT } from './configuration.js';
import { startOf } from './boot-run.js';
import type { Run } from './boot-run.js';

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
  /** What is typed there, where Bastille is. */
  readonly typed?: TypedThere;
  /** Packets that are sent at the first boot, one of each cell of the proof, and what is typed for them. */
  readonly cells?: { readonly plan: CellPlan; readonly steps: readonly Step[] };
}

/** What is typed at the first boot and at later ones. */
interface TypedThere {
  readonly version: string;
  readonly first: readonly Step[];
  readonly again: readonly Step[];
  /** Blocks of the documents that cannot be typed there. */
  readonly left: readonly Block[];
}

async function makeTold(run: Run): Promise<Told> {
  const { options, subject, session, work } = run;
  const image = join(work, 'inside');
  const offences = OFFENDERS.filter(([check]) => options.checks.includes(check));
  const offenders = offences.map(([, host]) => host);
  const script = await readFile(join(PROJECT, 'overlays', 'inspect', 'clawdie_inspect'), 'utf8');
  const bastille =
    options.bastille === undefined || !options.checks.includes('inside')
      ? undefined
      : await readBastille(options.bastille);
  const key = bastille && (await makeKey(work, session.stop.signal));
  const blocks = bastille ? await documentBlocks() : [];
  let overlay: readonly OverlayEntry[] = [];
  let typed: TypedThere | undefined;
  let cells: Told['cells'];
  await copyWithSlot(subject.raw, image, (slot) =>
    withFiles(
      slot,
      (path, text) => (path === KEYS && key !== undefined ? `${text.trimEnd()}\n${key}\n` : text),
      (files) => {
        overlay = files;
        if (options.checks.includes('cells')) {
          const plan = cellsOf(run.recorded, files, session.network);
          cells = { plan, steps: cellSteps(plan, session.network.guest4) };
        }
        if (bastille) typed = typedThere(run, bastille, overlay, headerOf(slot, 'release'), blocks);
        return [
          ...inspectionFiles(script, files, offenders.length, !options.checks.includes('inside')),
          ...[...(session.accel === 'tcg' ? [SAME_PLACES] : []), ...(bastille?.files ?? [])].filter(
            ({ path }) => !files.some((file) => file.path === path),
          ),
          ...(cells ? cellFiles(cells.plan) : []),
          ...stepFiles(STEPS_FIRST, [...(cells?.steps ?? []), ...(typed?.first ?? [])]),
          ...stepFiles(STEPS_AGAIN, typed?.again ?? []),
          ...(key === undefined || files.some(({ path }) => path === KEYS)
            ? []
            : [{ path: KEYS, mode: 0o600, body: `${key}\n` }]),
        ];
      },
    ),
  );
  return {
    ...{ image, overlay, checks: offences.map(([check]) => check), offenders },
    ...(typed && { typed }),
    ...(cells && { cells }),
  };
}

/** Where the key of this run is put, so that it can log in. */
const KEYS = 'root/.ssh/authorized_keys';

async function documentBlocks(): Promise<readonly Block[]> {
  const read = DOCUMENTS.map(async (name) =>
    blocksOf(name, await readFile(join(PROJECT, 'docs', `${name}.md`), 'utf8')),
  );
  return (await Promise.all(read)).flat();
}

function typedThere(
  { recorded, session, subject }: Run,
  { version }: Bastille,
  overlay: readonly OverlayEntry[],
  release: string,
  blocks: readonly Block[],
): TypedThere {
  const deployed = deployedOf(overlay, release);
  const cast = castOf(deployed);
  if (!cast) return { version, first: [], again: [], left: [] };
  const { steps, left } = blockSteps(
    blocks,
    new Set([
      `release-${deployed.release}`,
      ...deployed.jails.map(({ name }) => `jail-${name}`),
      ...deployed.tenants.flatMap(({ name, net }, index) => [
        `tenant-${name}`,
        // The net of the assistant, whose bridge is warden0.
        ...(index === 0 ? [`net-${net}`] : []),
      ]),
      ...(subject.disk ? ['disk'] : []),
    ]),
  );
  const surroundings = {
    deployed,
    ways: waysInOf(recorded),
    hostPorts: recorded('JAIL_HOST_PORTS', '').split(/\s+/).filter(Boolean),
    outer: session.network.guest4,
    internet: INTERNET,
  };
  return {
    ...{ version, left },
    first: jailSteps(surroundings, cast, steps),
    again: restartSteps(deployed, cast),
  };
}

/** Starts such a copy once, and judges what it tells. */
async function inspect(
  run: Run,
  told: Told,
  start: Start,
  { name, first, disk }: { readonly name: string; readonly first: boolean; readonly disk?: OnDisk },
): Promise<{ readonly report: StartReport; readonly text: string }> {
  const { options, session, tell } = run;
  const cells = first ? told.cells : undefined;
  const later = told.typed === undefined ? [] : first ? told.typed.first : disk ? told.typed.again : [];
  const steps = [...(cells?.steps ?? []), ...later];
  tell(
    `Starting ${options.image}: a copy that tells how it looks from inside (${name}${cells ? `, ${cells.plan.packets.length} packets` : ''}${later.length > 0 ? `, ${later.length} steps with Bastille ${told.typed?.version ?? ''}` : ''}) …`,
  );
  let sent: ReadonlySet<string> = new Set();
  let own: readonly string[] = [];
  const logins: Login[] = [];
  const passages: Passage[] = [];
  let seen: CellsSeen | undefined;
  const { report, text } = await bootOnce(
    {
      ...start,
      ...(first && later.length > 0 && { control: join(run.work, 'control') }),
      ...(cells && { cards: 2, second: { network: SECOND_NETWORK, card: SECOND_MAC } }),
    },
    undefined,
    { ...session, checks: first ? told.checks : [] },
    join(options.out, `${name}.log`),
    async (running) => {
      const { machine, guest, waitFor } = running;
      const { peer } = guest;
      if (first && told.offenders.length > 0) await waitFor(WATCHED, 30);
      if (steps.length > 0) {
        const done = new AbortController();
        const sending = cells
          ? sendCells(cells.plan, running, done.signal).then((found) => void (seen = found))
          : Promise.resolve();
        const watching =
          first && later.length > 0
            ? operate(
                { session, work: run.work, ways: waysInOf(run.recorded), tell },
                running,
                { logins, passages },
                done.signal,
              )
            : Promise.resolve();
        // It is waited for below; what interrupts it interrupts that, too.
        watching.catch(() => undefined);
        sending.catch(() => undefined);
        let shown = 0;
        const progress = setInterval(() => {
          const lines = progressOn(plain(guest.console.text));
          for (const line of lines.slice(shown)) tell(`  ${++shown}/${steps.length} ${line}`);
        }, 2000);
        const limit = waitFor(STEPS_ENDED, secondsOf(steps));
        try {
          await Promise.race([machine.ended, limit, session.stop.interrupted]);
          done.abort();
          await watching;
          await sending;
        } finally {
          clearInterval(progress);
        }
      }
      sent = peer.seen;
      own = [peer.network.guest4, ...(peer.guest6 === undefined ? [] : [peer.guest6])];
      // It restarts by itself, in order; what it has not written by then is lost.
      if (disk) await Promise.race([machine.ended, waitFor(/^Rebooting\.\.\./m, RESTART)]);
    },
  );
  if (report.reached === 'sample') return { report: { ...report, fault: name, checks: SAMPLE }, text };
  const seconds = report.stages.at(-1)?.seconds ?? 0;
  const judged = options.checks.includes('inside')
    ? judgeInside({
        ...{ console: text, overlay: told.overlay, sent, own, seconds, bastille: told.typed !== undefined },
        offenders: first ? told.offenders : [],
        ...(disk && { disk }),
      })
    : [];
  const jails =
    told.typed === undefined || (!first && !disk)
      ? []
      : later.length === 0
        ? notLookedAt('the firewall of this image has no bridge for a second tenant')
        : judgeJails({
            ...{ console: text, steps: later, logins, passages },
            ...{ left: first ? told.typed.left : [], emulated: report.accelerator === 'tcg' },
          });
  const checks = [
    ...report.checks,
    ...judged,
    ...(cells ? [judgeCells(cells.plan, cells.steps, seen, text)] : []),
    ...jails,
  ];
  return { report: { ...report, fault: name, checks }, text };
}

const SAMPLE: readonly CheckResult[] = [
  {
    ...{ id: 'inside', state: 'not applicable', detail: 'the sample image holds no FreeBSD' },
    ...{ seconds: 0, packets: [] },
  },
];

/** Seconds that an instance may take to restart. */
const RESTART = 180;

/**
 * Starts a copy of the image that tells how it looks from inside, once its services run and again once somebody outside was
 * blocked, with what is typed there; then the same disk again: of an instance on a disk, which is enlarged before, after
 * each of its restarts, which have to leave it as it was.
 *
 * @throws InputError if Bastille is not where it is said to be.
 */
export async function lookInside(run: Run): Promise<readonly StartReport[]> {
  const { options, subject } = run;
  const told = await makeTold(run);
  if (!subject.disk) {
    // A disk keeps what the first boot writes.
    const media = subject.media.includes('disk') ? 'disk' : 'cd';
    const start = startOf(run, { image: told.image, media, kept: media === 'disk' });
    const { report } = await inspect(run, told, start, { name: 'inside', first: true });
    if (report.reached === 'sample' || !options.checks.includes('inside')) return [report];
    return [report, (await inspect(run, told, start, { name: 'inside-again', first: false })).report];
  }
  const { size } = await stat(told.image);
  await truncate(told.image, size + 1024 ** 3);
  const start = startOf(run, { image: told.image, kept: true });
  const reports: StartReport[] = [];
  let keys: readonly string[] | undefined;
  const restarts = options.checks.includes('inside') ? options.restarts : 0;
  for (let boot = 1; boot <= 1 + restarts; boot++) {
    const name = boot === 1 ? 'inside' : `restart-${boot - 1}`;
    const { report, text } = await inspect(run, told, start, {
      ...{ name, first: boot === 1, disk: { boot, grown: size, keys } },
    });
    keys ??= hostKeys(text);
    reports.push(report);
  }
  return reports;
}
