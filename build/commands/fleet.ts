import { open, readFile, rm, stat } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { basename, join, resolve as resolvePath } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { InputError } from '../error.js';
import { FLEET_FORMAT, parseFleetRecord, parseJournal } from '../fleet/record.js';
import type { FleetEntry, FleetRecord } from '../fleet/record.js';
import { parseShard, select } from '../fleet/select.js';
import { writeError, writeFileAtomic } from '../host/files.js';
import { imageName, isDisk } from '../image/formats.js';
import { bytes, duration } from '../monitor/format.js';
import { holdsSecret } from '../overlay/render.js';
import { makeView } from '../overlay/view.js';
import type { Audit } from '../packages/audit.js';
import type { Lock } from '../packages/lockfile.js';
import type { ImageProof } from '../policy/image.js';
import { releaseOf, stage } from '../pipeline/base.js';
import type { Work } from '../pipeline/base.js';
import { Cache, cacheFolder } from '../pipeline/cache.js';
import { keepSigner, packedOverlay, readyBase, writeChecksums, writeImages } from '../pipeline/deploy.js';
import type { Signing } from '../pipeline/deploy.js';
import type { ReadyBase } from '../pipeline/deploy.js';
import { readyDisk } from '../pipeline/disk.js';
import type { BaseDisk } from '../pipeline/disk.js';
import type { BuildEvent, PlannedStage } from '../pipeline/events.js';
import type { IndexFacts } from '../report/index-page.js';
import { Mapper } from '../report/mapper.js';
import { paperNames } from '../report/names.js';
import { auditBeside } from './audit.js';
import { readOr } from './configuration.js';
import { loadFleet, proveAll, render } from './deployments.js';
import type { Deployment, Fleet } from './deployments.js';
import { indexFacts, writeIndex } from './fleet-index.js';
import type { IsoContext } from './iso.js';
import { checkLock } from './lock-subject.js';
import { checkRoom } from './medium.js';
import { buildInto, needTools, warnOfExceptions } from './output.js';
import { writePapers } from './papers.js';
import { diskOf, planFor, zstdVersion } from './request.js';
import { ruleFiles } from './rules.js';
import { needPrivateHalf } from './signing.js';
import { disksOf, requestsOf, storedParts } from './store.js';

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
  /** Whether reports have maps: deciding all pairs costs half a second of a processor for each deployment. */
  readonly maps: boolean;
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
  const all = await loadFleet(options.deployments, options.set, context.environment);
  const chosen = chooseFrom(all, options);
  const { lock, warning: unlocked } = await checkLock(
    resolvePath(options.deployments),
    chosen.map(({ loaded, request: { release } }) => ({ loaded, release })),
  );
  const warnings = [
    ...all.warnings,
    unlocked,
    ...chosen.map(({ loaded, request }) => checkRoom(loaded.config, request.packages)),
  ].filter((text) => text !== undefined);
  const since = options.changedSince === undefined ? undefined : await readRecord(options.changedSince);
  const cache = new Cache(cacheFolder(context.environment, options.cache));
  const out = resolvePath(options.out);
  const monitor = context.makeMonitor();
  const emit = (event: BuildEvent): void => {
    monitor.emit(event);
  };
  const work: Work = { cache, signal: context.signal, emit };
  let record: FleetRecord;
  try {
    const warn = (text: string): void => {
      emit({ type: 'warning', text });
    };
    for (const text of new Set(warnings)) warn(text);
    const audit = await auditBeside(resolvePath(options.deployments), lock, warn);
    const disks = chosen.some(({ loaded }) => loaded.config.FORMATS.some(isDisk));
    const packaged = chosen.some(({ request: { release } }) => release.packaged === true);
    record = await buildInto(out, { ...options, disks, packaged }, work, () =>
      bring(chosen, all, out, since, options, { ...work, started, lock, audit, version: context.version }),
    );
  } finally {
    await monitor.close();
  }
  if (options.json)
    context.print(JSON.stringify({ type: 'fleet', record: join(out, FLEET_RECORD), made: record.made }));
  else for (const line of summary(record, chosen, out)) context.print(line);
}

/** Largest fleet record in bytes: a deployment takes some 600. */
const MOST_RECORD = 64 * 1024 ** 2;

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
  const text = await readOr(path, (why) => [`The fleet record ${path} cannot be read: ${why}.`], MOST_RECORD);
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
  /** Where there is one. */
  readonly lock: Lock | undefined;
  readonly audit: Audit | undefined;
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
  const signing = commonSigning(chosen);
  const known = await standing(out);
  const earlier = new Map(since?.deployments.map((entry) => [entry.name, entry]));
  const current = new Map(
    chosen.flatMap((deployment) => {
      const entry = [known.get(deployment.name), earlier.get(deployment.name)].find(
        (each) =>
          each?.inputs === deployment.inputs &&
          each.images.map(({ name }) => name).join() === namesOf(deployment).join(),
      );
      return entry ? [[deployment.name, entry] as const] : [];
    }),
  );
  const toMake = chosen.filter(({ name }) => !current.has(name));
  const [first] = toMake;
  if (first?.signKey !== undefined)
    await needPrivateHalf(first.loaded.config, first.loaded.folder, first.signKey);
  await keepSigner(out, (name) => chosen.some(({ stem }) => name.startsWith(`${stem}.`)), signing);
  const requests = requestsOf(toMake);
  const zstd = await zstdVersion();
  const wanted = disksOf(toMake, zstd);
  const plan = await planFor([...requests.values()], [...wanted.values()], cache);
  const entries = new Map([...known, ...current]);
  const told: Parts['told'] = new Map();
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
    for (const [name, proof] of proofs) warnOfExceptions(proof, emit, name);
    const bases = new Map<string, ReadyBase>();
    const stored = await fromRegistry(options, requests, wanted, work);
    const supplied: Work = { ...work, ...(stored && { stored }) };
    for (const [key, request] of requests) bases.set(key, await readyBase(request, supplied));
    for (const { loaded, request } of toMake) {
      const base = bases.get(request.keys.base);
      if (base) checkRoom(loaded.config, request.packages, base.facts.root.imageBytes);
    }
    const disks = new Map<string, BaseDisk>();
    for (const [key, disk] of wanted) {
      const base = bases.get(disk.request.keys.base);
      if (base) disks.set(key, await readyDisk(disk, base, supplied));
    }
    // No sum of what is about to be replaced, and none of what is gone.
    const replaced = new Set(toMake.flatMap((each) => [...namesOf(each), ...listedNames(each)]));
    await writeChecksums(out, [], (name) => !replaced.has(name));
    await stage(work, 'stamp', async () => {
      const mapper = options.maps ? new Mapper(Math.min(toMake.length, AT_ONCE)) : undefined;
      const parts = { sources: all.sources, tools: all.tools, zstd, bases, disks, proofs, plan, out };
      try {
        const made = await makeAll(toMake, { ...parts, mapper, told }, work);
        for (const entry of made) entries.set(entry.name, entry);
      } finally {
        await mapper?.close();
      }
    });
  }
  await writeChecksums(
    out,
    [...entries.values()].flatMap(({ images, papers }) => [...images, ...(papers ?? [])]),
    undefined,
    signing,
  );
  const record: FleetRecord = {
    format: FLEET_FORMAT,
    project: `clawdie-iso ${work.version}`,
    started: work.started.toISOString(),
    finished: new Date().toISOString(),
    bases: [...requestsOf(chosen)].map(([key, request]) => ({
      key,
      release: releaseOf(request),
      from: request.release.from,
      trust: request.release.trust,
    })),
    deployments: [...entries.values()].sort((a, b) => (a.name < b.name ? -1 : 1)),
    made: toMake.map(({ name }) => name),
  };
  await writeFileAtomic(join(out, FLEET_RECORD), `${JSON.stringify(record, null, 1)}\n`, 0o644);
  await writeIndex(out, record, told);
  await rm(join(out, JOURNAL), { force: true });
  return record;
}

/**
 * Who signs the sums of a folder: those of its images, which are in one list.
 *
 * @throws InputError if deployments are signed with different keys.
 */
function commonSigning(chosen: readonly Deployment[]): Signing | undefined {
  const [first] = chosen;
  const other = chosen.find(({ signKey }) => signKey !== first?.signKey);
  if (other)
    throw new InputError(
      `${first?.name ?? ''} and ${other.name} have not one SIGN_KEY; the images of a folder have one list of sums, which one key signs.`,
      'Set SIGN_KEY in common.cfg, or build them into two folders: --only, --out.',
    );
  return first?.signing;
}

async function fromRegistry(
  { bases, insecure, storeTimeout, installTools }: FleetOptions,
  requests: ReturnType<typeof requestsOf>,
  disks: ReturnType<typeof disksOf>,
  work: Work,
): Promise<Work['stored']> {
  if (bases === undefined) return undefined;
  await needTools('store', installTools, work);
  const { cache, signal } = work;
  return storedParts(bases, requests, disks, cache, { insecure, timeout: storeTimeout, signal });
}

/** File names of the images of a deployment. */
function namesOf({ stem, loaded }: Deployment): readonly string[] {
  return loaded.config.FORMATS.map((format) => imageName(stem, format));
}

/** File names of its papers whose sums are listed. */
function listedNames({ stem }: Deployment): readonly string[] {
  const { sbom, provenance } = paperNames(stem);
  return [sbom, provenance];
}

/** Images that stand in a folder as a run before this one, or one that was killed, has left them. */
async function standing(out: string): Promise<ReadonlyMap<string, FleetEntry>> {
  const text = async (name: string): Promise<string> => readFile(join(out, name), 'utf8').catch(() => '');
  const record = parseFleetRecord(await text(FLEET_RECORD));
  const entries = [...('flaw' in record ? [] : record.deployments), ...parseJournal(await text(JOURNAL))];
  const found = new Map<string, FleetEntry>();
  for (const entry of new Map(entries.map((each) => [each.name, each])).values()) {
    const stand = await Promise.all(
      entry.images.map(async ({ name, bytes: size, written }) => {
        const there = await writtenAt(join(out, name));
        return there?.bytes === size && there.time === written;
      }),
    );
    if (stand.every(Boolean)) found.set(entry.name, entry);
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

/** Stamps so many images at once: copying waits for the disk, the rest is one processor's. */
const AT_ONCE = Math.min(4, availableParallelism());

/** What all images of a run are made of. */
interface Parts {
  readonly sources: Fleet['sources'];
  readonly tools: Fleet['tools'];
  readonly zstd: string;
  readonly bases: ReadonlyMap<string, ReadyBase>;
  readonly disks: ReadonlyMap<string, BaseDisk>;
  readonly proofs: ReadonlyMap<string, ImageProof>;
  readonly plan: readonly PlannedStage[];
  readonly out: string;
  /** None where reports have no maps. */
  readonly mapper: Mapper | undefined;
  /** What the index says of those that are made. */
  readonly told: Map<string, Omit<IndexFacts, 'report'>>;
}

async function makeAll(
  toMake: readonly Deployment[],
  parts: Parts,
  work: Surroundings,
): Promise<readonly FleetEntry[]> {
  const { out } = parts;
  const made: FleetEntry[] = [];
  const journal = await open(join(out, JOURNAL), 'a', 0o644).catch((error: unknown) => {
    throw writeError(join(out, JOURNAL), error);
  });
  try {
    const queue = toMake.values();
    const worker = async (): Promise<void> => {
      for (const deployment of queue) {
        work.signal.throwIfAborted();
        const entry = await makeOne(deployment, parts, work);
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

async function makeOne(deployment: Deployment, parts: Parts, work: Surroundings): Promise<FleetEntry> {
  const { name, loaded, request, stem } = deployment;
  const { config, settings } = loaded;
  const { sources, tools, zstd, plan, out } = parts;
  const base = parts.bases.get(request.keys.base);
  const policy = parts.proofs.get(name);
  if (!base || !policy) throw new Error(`${name} was not prepared`);
  const wanted = diskOf(request, config, zstd);
  const disk = wanted && parts.disks.get(wanted.key);
  const started = new Date();
  const entries = render(deployment, sources);
  const overlay = await packedOverlay(entries, releaseOf(request), request.time, deployment.signing);
  const made = { base, disk, overlay, secret: holdsSecret(overlay.entries), time: request.time };
  const images = await writeImages(made, config.FORMATS, out, stem, work);
  const { facts, listed } = await writePapers({
    record: {
      project: `clawdie-iso ${work.version}`,
      ...{ resolved: loaded, request, images, base: base.facts, disk: disk?.facts },
      ...{ overlay: entries, policy, plan, started },
      tools: disk ? { ...tools, zstd } : tools,
      seconds: { stamp: (Date.now() - started.getTime()) / 1000 },
    },
    maps: parts.mapper?.maps({ files: ruleFiles(entries), view: makeView(config) }) ?? Promise.resolve([]),
    ...{ lock: work.lock, audit: work.audit },
    ...{ base: base.checked.path, file: basename(loaded.path), out, stem },
  });
  parts.told.set(name, indexFacts(facts));
  return {
    ...{ name, inputs: deployment.inputs, base: request.keys.base },
    assistant: config.ASSISTANT_NAME,
    host: config.HOST,
    agentNet: settings.AGENT_NET.value,
    papers: [...listed],
    images: await Promise.all(
      images.map(async (image) => ({
        ...image,
        written: (await writtenAt(join(out, image.name)))?.time ?? '',
      })),
    ),
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
  const written = rows
    .filter(({ name }) => made.has(name))
    .flatMap(({ images }) => images)
    .reduce((sum, image) => sum + image.bytes, 0);
  return [
    ...shown.flatMap(({ name, images }) =>
      images.map(
        (image) =>
          `${made.has(name) ? 'made' : 'kept'}  ${name.padEnd(width)}  ${image.sha256.slice(0, 12)}  ${image.name}`,
      ),
    ),
    ...(shown.length < rows.length ? [`…     and ${rows.length - shown.length} more`] : []),
    `${rows.length} deployments, ${record.bases.length} base ${record.bases.length === 1 ? 'image' : 'images'}: ${made.size} made (${bytes(written)}), ${rows.length - made.size} kept, in ${duration(seconds)}.`,
    `Record: ${join(out, FLEET_RECORD)}`,
  ];
}
