import { open, readFile, rm, stat } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join, resolve as resolvePath } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { InputError, messageOf } from '../error.js';
import { parseFleetRecord, parseJournal } from '../fleet/record.js';
import type { FleetEntry, FleetRecord } from '../fleet/record.js';
import { parseShard, select } from '../fleet/select.js';
import { writeError, writeFileAtomic } from '../host/files.js';
import { withChecksums } from '../image/checksum.js';
import { bytes, duration } from '../monitor/format.js';
import { holdsSecret } from '../overlay/render.js';
import type { ImageProof } from '../policy/image.js';
import { stage } from '../pipeline/base.js';
import type { StoredBase, Work } from '../pipeline/base.js';
import { Cache, cacheFolder } from '../pipeline/cache.js';
import { CHECKSUM, packedOverlay, readyBase, writeImage } from '../pipeline/deploy.js';
import type { ReadyBase } from '../pipeline/deploy.js';
import type { BuildEvent, PlannedStage } from '../pipeline/events.js';
import { planStages } from '../pipeline/plan.js';
import { buildRecord } from '../pipeline/record.js';
import { loadFleet, proveAll, render } from './deployments.js';
import type { Deployment, Fleet } from './deployments.js';
import type { IsoContext } from './iso.js';
import { buildInto, needTools } from './output.js';
import { imageTime } from './request.js';
import { requestsOf, storedBases } from './store.js';

export interface FleetOptions {
  /** Folder of the deployments. */
  readonly deployments: string;
  readonly out: string;
  readonly set: readonly string[];
  readonly only: readonly string[];
  readonly shard?: string;
  /** A fleet record: deployments whose inputs are in it are left alone, wherever their images are. */
  readonly changedSince?: string;
  readonly cache?: string;
  readonly installTools: boolean;
  /** References of base images in a registry, with blanks or commas between. */
  readonly bases?: string;
  readonly insecure: boolean;
  /** seconds that one transfer from a registry may take */
  readonly storeTimeout: number;
  readonly wait: boolean;
  readonly json: boolean;
}

/** The fleet record in an output folder. */
export const FLEET_RECORD = 'fleet.json';
/** What a run has made so far: a line for each image, for the run that comes after a kill. */
const JOURNAL = '.fleet.journal';

/** `clawdie-iso fleet`: one image for each deployment of a folder. */
export async function fleet(options: FleetOptions, context: IsoContext): Promise<void> {
  const started = new Date();
  const all = await loadFleet(
    options.deployments,
    options.set,
    context.environment,
    imageTime(context.environment),
  );
  const chosen = chooseFrom(all, options);
  const since = options.changedSince === undefined ? undefined : await readRecord(options.changedSince);
  const cache = new Cache(options.cache ?? cacheFolder(context.environment));
  const out = resolvePath(options.out);
  const monitor = context.makeMonitor();
  const emit = (event: BuildEvent): void => {
    monitor.emit(event);
  };
  const work: Work = { cache, signal: context.signal, emit };
  let record: FleetRecord;
  try {
    for (const text of all.warnings) emit({ type: 'warning', text });
    record = await buildInto(out, options, work, () =>
      bring(chosen, all, out, since, options, { ...work, started, version: context.version }),
    );
  } finally {
    await monitor.close();
  }
  if (options.json)
    context.print(JSON.stringify({ type: 'fleet', record: join(out, FLEET_RECORD), made: record.made }));
  else for (const line of summary(record, chosen, out)) context.print(line);
}

/** The deployments that --only and --shard leave. */
export function chooseFrom(
  { deployments }: Fleet,
  { only, shard }: Pick<FleetOptions, 'only' | 'shard'>,
): readonly Deployment[] {
  const names = select(
    deployments.map(({ name }) => name),
    only,
    shard === undefined ? undefined : parseShard(shard),
  );
  const byName = new Map(deployments.map((deployment) => [deployment.name, deployment]));
  return names.flatMap((name) => byName.get(name) ?? []);
}

/**
 * Reads the record of an earlier run.
 *
 * @throws InputError if it is none.
 */
export async function readRecord(path: string): Promise<FleetRecord> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw new InputError(`The fleet record ${path} cannot be read: ${messageOf(error)}.`);
  });
  const record = parseFleetRecord(text);
  if ('flaw' in record)
    throw new InputError(
      `${path} cannot be used as a fleet record: ${record.flaw}.`,
      'Name the fleet.json of a run.',
    );
  return record;
}

interface Surroundings extends Work {
  readonly started: Date;
  readonly version: string;
}

/** Deployments from which on memory counts for more than a tenth of the time. */
const MANY = 100;

/** Brings an output folder to what the deployments say: makes what is missing or changed, keeps the rest. */
async function bring(
  chosen: readonly Deployment[],
  all: Fleet,
  out: string,
  since: FleetRecord | undefined,
  options: FleetOptions,
  work: Surroundings,
): Promise<FleetRecord> {
  const { emit, signal, cache } = work;
  const known = await standing(out);
  const earlier = new Map(since?.deployments.map((entry) => [entry.name, entry]));
  const current = (deployment: Deployment): FleetEntry | undefined =>
    [known.get(deployment.name), earlier.get(deployment.name)].find(
      (entry) => entry?.inputs === deployment.inputs && entry.image === deployment.image,
    );
  const toMake = chosen.filter((deployment) => current(deployment) === undefined);
  const requests = requestsOf(toMake);
  const present = await Promise.all(
    [...requests.values()].map(async ({ keys }) => ({
      root: await cache.has('root', keys.root),
      base: await cache.has('base', keys.base),
    })),
  );
  const plan = planStages({
    root: present.every(({ root }) => root),
    base: present.every(({ base }) => base),
  });
  const entries = new Map(known);
  for (const deployment of chosen) {
    const entry = current(deployment);
    if (entry) entries.set(deployment.name, entry);
  }
  // V8 would rather take memory than collect what hundreds of deployments leave behind; a few are made faster so.
  if (toMake.length > MANY) setFlagsFromString('--optimize-for-size');
  if (toMake.length > 0) {
    emit({ type: 'plan', stages: plan });
    const proofs = await stage(work, 'overlay', () =>
      proveAll(toMake, all.sources, signal, (done) => {
        emit({
          type: 'progress',
          stage: 'overlay',
          label: 'proving',
          done,
          total: toMake.length,
          unit: 'deployments',
        });
      }),
    );
    warnOfExceptions(proofs, emit);
    const bases = new Map<string, ReadyBase>();
    const stored = await fromRegistry(options, requests, work);
    for (const [key, request] of requests) bases.set(key, await readyBase(request, { ...work, stored }));
    // No sum of what is about to be replaced, and none of what is gone.
    const replaced = new Set(toMake.map(({ image }) => image));
    await writeSums(out, new Map(), (name) => !replaced.has(name));
    await stage(work, 'stamp', async () => {
      const made = await makeAll(toMake, all, bases, proofs, plan, out, work);
      for (const entry of made) entries.set(entry.name, entry);
    });
  }
  await writeSums(
    out,
    new Map([...entries.values()].map(({ image, sha256 }) => [image, sha256])),
    () => true,
  );
  const record: FleetRecord = {
    format: 'clawdie-iso fleet record 1',
    project: `clawdie-iso ${work.version}`,
    started: work.started.toISOString(),
    finished: new Date().toISOString(),
    bases: [...requestsOf(chosen)].map(([key, request]) => ({
      key,
      release: `${request.version}-${request.arch}`,
      from: request.release.from,
      trust: request.release.trust,
    })),
    deployments: [...entries.values()].sort((a, b) => (a.name < b.name ? -1 : 1)),
    made: toMake.map(({ name }) => name),
  };
  await writeFileAtomic(join(out, FLEET_RECORD), `${JSON.stringify(record, null, 1)}\n`, 0o644);
  await rm(join(out, JOURNAL), { force: true });
  return record;
}

async function fromRegistry(
  { bases, insecure, storeTimeout, installTools }: FleetOptions,
  requests: ReturnType<typeof requestsOf>,
  work: Work,
): Promise<ReadonlyMap<string, StoredBase>> {
  if (bases === undefined) return new Map();
  await needTools('store', installTools, work);
  const { cache, signal } = work;
  return storedBases(bases, requests, cache, { insecure, timeout: storeTimeout, signal });
}

function warnOfExceptions(proofs: ReadonlyMap<string, ImageProof>, emit: Work['emit']): void {
  for (const [name, { exceptions }] of proofs)
    for (const { row, example } of exceptions)
      emit({
        type: 'warning',
        text: `${name}: POLICY_EXCEPTIONS: the row ${row} does not hold: ${example}.`,
      });
}

/** Images that stand in a folder as a run before this one, or one that was killed, has left them. */
async function standing(out: string): Promise<ReadonlyMap<string, FleetEntry>> {
  const text = async (name: string): Promise<string> => readFile(join(out, name), 'utf8').catch(() => '');
  const record = parseFleetRecord(await text(FLEET_RECORD));
  const entries = [...('flaw' in record ? [] : record.deployments), ...parseJournal(await text(JOURNAL))];
  const found = new Map<string, FleetEntry>();
  for (const entry of new Map(entries.map((each) => [each.name, each])).values()) {
    const written = await writtenAt(join(out, entry.image));
    if (written?.bytes === entry.bytes && written.time === entry.written) found.set(entry.name, entry);
  }
  return found;
}

/** When a file was written, in nanoseconds since the epoch, and its size in bytes; undefined if there is none. */
async function writtenAt(
  path: string,
): Promise<{ readonly time: string; readonly bytes: number } | undefined> {
  const info = await stat(path, { bigint: true }).catch(() => undefined);
  return info?.isFile() === true ? { time: String(info.mtimeNs), bytes: Number(info.size) } : undefined;
}

/** Puts sums into CHECKSUM.SHA256; lines of files that are gone, or that are not to be kept, go. */
async function writeSums(
  out: string,
  sums: ReadonlyMap<string, string>,
  keep: (name: string) => boolean,
): Promise<void> {
  const path = join(out, CHECKSUM);
  const text = await readFile(path, 'utf8').catch(() => '');
  const present = new Set<string>();
  for (const line of text.split('\n')) {
    const name = /^SHA256 \((.+)\) = /.exec(line)?.[1];
    if (name !== undefined && keep(name) && (await writtenAt(join(out, name)))) present.add(name);
  }
  const standingSums = new Map<string, string>();
  for (const [name, sum] of sums) if (await writtenAt(join(out, name))) standingSums.set(name, sum);
  const next = withChecksums(text, standingSums, (name) => present.has(name));
  if (next !== text) await writeFileAtomic(path, next, 0o644);
}

/** Stamps so many images at once: copying waits for the disk, the rest is one processor's. */
const AT_ONCE = Math.min(4, availableParallelism());

async function makeAll(
  toMake: readonly Deployment[],
  all: Fleet,
  bases: ReadonlyMap<string, ReadyBase>,
  proofs: ReadonlyMap<string, ImageProof>,
  plan: readonly PlannedStage[],
  out: string,
  work: Surroundings,
): Promise<readonly FleetEntry[]> {
  const made: FleetEntry[] = [];
  const journal = await open(join(out, JOURNAL), 'a', 0o644).catch((error: unknown) => {
    throw writeError(join(out, JOURNAL), error);
  });
  try {
    const queue = toMake.values();
    const worker = async (): Promise<void> => {
      for (const deployment of queue) {
        work.signal.throwIfAborted();
        const base = bases.get(deployment.request.keys.base);
        const policy = proofs.get(deployment.name);
        if (!base || !policy) throw new Error(`${deployment.name} was not prepared`);
        const entry = await makeOne(deployment, all, base, policy, plan, out, work);
        await journal.appendFile(`${JSON.stringify(entry)}\n`).catch((error: unknown) => {
          throw writeError(join(out, JOURNAL), error);
        });
        made.push(entry);
        work.emit({
          ...{ type: 'progress', stage: 'stamp', label: 'writing' },
          ...{ done: made.length, total: toMake.length, unit: 'images' },
        });
      }
    };
    const results = await Promise.allSettled(Array.from({ length: AT_ONCE }, worker));
    // All have ended before one is told of: nothing is written behind a message that says that it failed.
    for (const result of results) if (result.status === 'rejected') throw result.reason;
    return made;
  } finally {
    await journal.close();
  }
}

async function makeOne(
  deployment: Deployment,
  all: Fleet,
  base: ReadyBase,
  policy: ImageProof,
  plan: readonly PlannedStage[],
  out: string,
  work: Surroundings,
): Promise<FleetEntry> {
  const { name, loaded, request, image } = deployment;
  const { config, settings } = loaded;
  const started = new Date();
  const entries = render(deployment, all.sources);
  const overlay = await packedOverlay(entries, `${request.version}-${request.arch}`, request.time);
  const path = join(out, image);
  const sha256 = await writeImage(base, overlay, path, holdsSecret(config));
  const size = base.facts.sums.size;
  await writeFileAtomic(
    path.replace(/\.iso$/, '.json'),
    buildRecord({
      project: `clawdie-iso ${work.version}`,
      resolved: loaded,
      image: { name: image, sha256, bytes: size },
      base: base.facts,
      keys: request.keys,
      overlay: entries,
      policy,
      overlayDigests: { base: request.baseOverlay.digest, iso: request.isoOverlay.digest },
      tools: all.tools,
      plan,
      seconds: { stamp: (Date.now() - started.getTime()) / 1000 },
      started,
      finished: new Date(),
    }),
    0o644,
  );
  const written = await writtenAt(path);
  return {
    ...{ name, image, sha256, bytes: size, inputs: deployment.inputs, base: request.keys.base },
    assistant: config.ASSISTANT_NAME,
    host: config.HOST,
    agentNet: settings.AGENT_NET.value,
    written: written?.time ?? '',
  };
}

/** What people want to know of a run: each image of a small fleet, totals of a large one. */
function summary(record: FleetRecord, chosen: readonly Deployment[], out: string): readonly string[] {
  const names = new Set(chosen.map(({ name }) => name));
  const made = new Set(record.made);
  const rows = record.deployments.filter(({ name }) => names.has(name));
  const shown = rows.length <= 40 ? rows : rows.filter(({ name }) => made.has(name)).slice(0, 40);
  const width = Math.max(0, ...shown.map(({ name }) => name.length));
  const seconds = (Date.parse(record.finished) - Date.parse(record.started)) / 1000;
  const written = rows.filter(({ name }) => made.has(name)).reduce((sum, entry) => sum + entry.bytes, 0);
  return [
    ...shown.map(
      ({ name, sha256, image }) =>
        `${made.has(name) ? 'made' : 'kept'}  ${name.padEnd(width)}  ${sha256.slice(0, 12)}  ${image}`,
    ),
    ...(shown.length < rows.length ? [`…     and ${rows.length - shown.length} more`] : []),
    `${rows.length} deployments, ${record.bases.length} base ${record.bases.length === 1 ? 'image' : 'images'}: ${made.size} made (${bytes(written)}), ${rows.length - made.size} kept, in ${duration(seconds)}.`,
    `Record: ${join(out, FLEET_RECORD)}`,
  ];
}
