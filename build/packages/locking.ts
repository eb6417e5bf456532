import { InputError, UserError } from '../error.js';
import { removeTree } from '../host/files.js';
import { sha256 } from '../host/hash.js';
import { stage, throttled } from '../pipeline/base.js';
import type { Work } from '../pipeline/base.js';
import { bringLocked, withPackages } from '../pipeline/packages.js';
import type { DownloadOptions } from '../release/download.js';
import type { Release } from '../release/source.js';
import type { Profile } from '../rootfs/prune.js';
import { baseFacts, commonLibraries } from './base-facts.js';
import type { BaseFactsForPackages } from './base.js';
import { Catalogue } from './catalogue.js';
import type { Package } from './catalogue.js';
import { signsOfAge, timeText } from './changes.js';
import { fileConflicts, packageFiles } from './files.js';
import type { Together } from './files.js';
import { keepCatalogue, olderCatalogue } from './keep.js';
import { lockPackage, misfits, unlocked } from './lockfile.js';
import type { Lock, LockedPackage, LockSubject } from './lockfile.js';
import { closure } from './medium.js';
import { npmExpected, npmFile, resolveNpm, unpackedSize } from './npm.js';
import type { NpmResolution } from './npm.js';
import { expectedOf, GONE_FOR_LOCKS, packageFile } from './package-file.js';
import { fetchCatalogue } from './repository.js';
import type { Repository } from './repository.js';
import type { Trust } from './signature.js';
import { resolvePackages } from './solver.js';
import type { Resolution, Universe, Wanted } from './solver.js';
import type { PackageStore } from './store.js';
import type { WantedOf } from './wanted.js';

/** A configuration whose packages are locked. */
export interface Subject {
  readonly subject: LockSubject;
  readonly wanted: WantedOf;
}

export interface Locking {
  /** One at least, all of one release. */
  readonly subjects: readonly Subject[];
  readonly release: Release;
  readonly abi: string;
  readonly repository: Repository;
  /** The key of a repository of one's own. */
  readonly key: Buffer | undefined;
  /** The lock that there is. */
  readonly before: Lock | undefined;
  /** What is to be brought up to date: all, or these. What is locked stays as it is otherwise. */
  readonly update: 'all' | readonly string[];
  /** Whether a catalogue may be older than the one of the lock. */
  readonly older: boolean;
  /** A folder that keeps the files. */
  readonly vendor: string | undefined;
  readonly download?: DownloadOptions;
}

/** A lock before it is written. */
export type MadeLock = Omit<Lock, 'checksum' | 'format'>;

/** What it has of what instances install: all but the base system. */
export type MadePackages = Omit<MadeLock, 'base'>;

/**
 * Makes a lock: verifies the catalogue, resolves, and has every file in the cache, verified. Writes nothing but the cache and the
 * folder that keeps the files.
 *
 * @throws UserError if anything of it does not hold.
 */
export async function makeLock(input: Locking, work: Work): Promise<MadePackages> {
  const { subjects, before, update, release } = input;
  const base = await baseFacts(release, work);
  const fits =
    before !== undefined &&
    update.length === 0 &&
    subjects.length === Object.keys(before.asked).length &&
    subjects.every(({ subject }) => misfits(before, subject).length === 0);
  return withPackages(work, async (store) => {
    const plan = await stage(work, 'catalogue', () => resolveAll(input, base, fits, store, work));
    return stage(work, 'packages', () => bringAll(input, plan, store, work));
  });
}

/** What was resolved, before the files are there. */
interface Plan {
  readonly resolution: Resolution;
  readonly catalogue: NonNullable<Lock['catalogue']>;
  readonly npm: NpmResolution;
  /** SHA-256 of files that are locked already, by the name of the package. */
  readonly known: ReadonlyMap<string, string>;
}

async function resolveAll(
  input: Locking,
  base: BaseFactsForPackages,
  fits: boolean,
  store: PackageStore,
  work: Work,
): Promise<Plan> {
  const { subjects, before, update, abi, repository } = input;
  const wanted = merged(subjects.map((each) => each.wanted.packages));
  const libraries = commonLibraries(
    base,
    subjects.map(({ subject }) => subject.profile as Profile),
  );
  const kept = keptOf(input);
  const npm = await npmOf(input, work);
  const locked = new Map(
    (kept?.packages ?? []).map((each) => [each.name, unlocked(each, each.needs)] as const),
  );
  const known = new Map((kept?.packages ?? []).map((each) => [each.name, each.sha256] as const));
  if (fits && before?.catalogue) {
    // Who can edit a lock can make its checksum: what it says has to hold together all the same.
    const resolution = resolvePackages(wanted, universeOf(locked, undefined), libraries);
    const shape = (all: readonly (readonly [string, readonly string[]])[]): string => JSON.stringify(all);
    const found = resolution.packages.map(({ name }) => [name, resolution.needs.get(name) ?? []] as const);
    if (shape(found) !== shape(before.packages.map(({ name, needs }) => [name, needs] as const)))
      throw new UserError(
        'The lock does not have the packages that its own dependencies ask for, in their order: it was changed by hand.',
        'Nothing was written. Take the lock back from your repository, or run `clawdie-iso lock --update`.',
      );
    return { resolution, catalogue: before.catalogue, npm, known };
  }
  work.emit({ type: 'doing', text: `Fetching the catalogue of ${repository.url}` });
  const verified = await fetchCatalogue(
    repository,
    trustOf(base, input),
    work.signal,
    throttled((done: number, total: number | undefined) => {
      const of = total === undefined ? {} : { total };
      work.emit({ type: 'progress', stage: 'catalogue', label: 'downloading', done, ...of, unit: 'bytes' });
    }),
  );
  const digest = sha256(verified.body);
  const release = { abi, osversion: base.osversion };
  const catalogue = new Catalogue(verified.body, verified.lines, repository.url, release);
  if (before?.catalogue?.url === repository.url && !input.older) {
    const signs = signsOfAge(
      { packages: before.packages, catalogue: before.catalogue },
      catalogue,
      digest,
      verified.time,
    );
    if (signs.length > 0) throw olderCatalogue(repository.url, signs);
  }
  const names = update === 'all' ? [] : update;
  const resolution = resolvePackages(wanted, universeOf(locked, catalogue), libraries);
  const unknown = names.find((name) => !resolution.packages.some((each) => each.name === name));
  if (unknown !== undefined && !npm.npm.some(({ name }) => name === unknown))
    throw new InputError(`--update ${unknown}: nothing needs that package any more.`, 'Leave it out.');
  await keepCatalogue(verified, digest, store);
  const { key, time } = verified;
  return {
    resolution,
    catalogue: { key, sha256: digest, time: timeText(time), url: repository.url },
    npm,
    known,
  };
}

/** The lock, where it is of this release, and not all of it is to be brought up to date. */
function sameRelease({ before, update, subjects }: Locking): Lock | undefined {
  const [first] = subjects;
  if (!before || update === 'all' || !first) return undefined;
  const { release } = before;
  const { version, arch, releaseId } = first.subject;
  return release.version === version && release.arch === arch && release.id === releaseId
    ? before
    : undefined;
}

/** What of the packages of the lock stays: nothing where they are of another release or repository. */
function keptOf(input: Locking): Lock | undefined {
  const { update, repository } = input;
  const before = sameRelease(input);
  if (!before || update === 'all' || before.catalogue?.url !== repository.url) return undefined;
  const stranger = update.find(
    (name) => ![...before.packages, ...before.npm].some((each) => each.name === name),
  );
  if (stranger !== undefined)
    throw new InputError(
      `--update ${stranger}: the lock has no such package.`,
      'Name packages of the lock, or none for all.',
    );
  return { ...before, packages: before.packages.filter(({ name }) => !update.includes(name)) };
}

/** Packages that are locked stay as they are; all others are those of the catalogue. */
function universeOf(locked: ReadonlyMap<string, Package>, catalogue: Catalogue | undefined): Universe {
  return {
    get: (name) => locked.get(name) ?? catalogue?.get(name),
    providersOf: (kind, what) => [
      ...[...locked.values()].filter((each) => each[kind].has.includes(what)).map(({ name }) => name),
      ...(catalogue?.providersOf(kind, what) ?? []).filter((name) => !locked.has(name)),
    ],
  };
}

/** Packages of npm of the lock stay where the same ones are asked for: PACKAGES_REPOSITORY has nothing to say there. */
async function npmOf(input: Locking, work: Work): Promise<NpmResolution> {
  const { subjects, update } = input;
  const before = sameRelease(input);
  const wanted = merged(subjects.map((each) => each.wanted.npm));
  const locked = new Set(Object.values(before?.asked ?? {}).flatMap(({ npm }) => npm));
  const same = locked.size === wanted.length && wanted.every(({ name }) => locked.has(name));
  const stays = update !== 'all' && !before?.npm.some(({ name }) => update.includes(name));
  if (same && stays && before) return before;
  const folder = await work.cache.workFolder();
  try {
    return await resolveNpm(wanted, subjects[0]?.subject.arch ?? '', folder, work.signal);
  } finally {
    await removeTree(folder);
  }
}

function trustOf({ trusted, revoked }: BaseFactsForPackages, { key, release }: Locking): Trust {
  if (key) return { trusted: [], revoked, key, from: 'PACKAGES_KEY_FILE' };
  if (trusted.length === 0)
    throw new UserError(
      `The base system of ${release.from} has no keys of repositories (usr/share/keys/pkg/trusted), so nothing could tell whether packages are genuine.`,
      'Use a complete release, or name the key of your repository: PACKAGES_KEY_FILE.',
    );
  return { trusted, revoked, from: 'the base system' };
}

/** Brings what is not in the cache, verifies all of it, and says what the lock is. */
async function bringAll(input: Locking, plan: Plan, store: PackageStore, work: Work): Promise<MadePackages> {
  const { subjects, abi, release } = input;
  const files = [
    ...plan.resolution.packages.map((each) =>
      packageFile({ ...each, sha256: plan.known.get(each.name) }, input.repository, GONE_FOR_LOCKS),
    ),
    ...plan.npm.npm.map((each) => npmFile(each, input.repository, input.download ?? {})),
  ];
  const kept = { digest: plan.catalogue.sha256, of: 'the lock', vendor: input.vendor };
  const sums = await bringLocked(store, files, kept, work, 'packages');
  const npm: Lock['npm'] = [];
  for (const each of plan.npm.npm)
    npm.push({ ...each, flatsize: await unpackedSize(each, store.path(npmExpected(each)), work.signal) });
  const asked = new Map(
    merged(subjects.map((each) => each.wanted.packages)).map(({ name, by }) => [name, by]),
  );
  const packages = plan.resolution.packages.map((each, index) =>
    lockPackage(
      each,
      plan.resolution.needs.get(each.name) ?? [],
      asked.get(each.name) ?? [],
      sums[index] ?? '',
    ),
  );
  await refuseConflicts(packages, subjects, store, work);
  const [first] = subjects;
  return {
    asked: Object.fromEntries(subjects.map(({ subject }) => [subject.file, subject.asked])),
    catalogue: plan.catalogue,
    npm: npm.sort((a, b) => compare(`${a.name}@${a.version}`, `${b.name}@${b.version}`)),
    npmTree: plan.npm.npmTree,
    packages,
    release: {
      abi,
      arch: first?.subject.arch ?? '',
      id: release.id,
      profiles: [...new Set(subjects.map(({ subject }) => subject.profile))].sort(),
      version: first?.subject.version ?? '',
    },
  };
}

/** Packages whose manifests are read at once. */
const AT_ONCE = 4;

/** Refuses packages of one system that have the same file: pkg(8) would install one of them. */
async function refuseConflicts(
  packages: readonly LockedPackage[],
  subjects: readonly Subject[],
  store: PackageStore,
  { signal }: Work,
): Promise<void> {
  const files = new Map<string, readonly string[]>();
  for (let at = 0; at < packages.length; at += AT_ONCE) {
    // Nobody is to be reading any more when the first reason is told.
    const read = await Promise.allSettled(
      packages
        .slice(at, at + AT_ONCE)
        .map((each) => packageFiles(store.path(expectedOf(each)), `${each.name} ${each.version}`, signal)),
    );
    for (const [index, each] of read.entries()) {
      if (each.status === 'rejected') throw each.reason;
      files.set(packages[at + index]?.name ?? '', each.value);
    }
  }
  const found = fileConflicts(files, togetherOf(packages, subjects));
  if (found.length === 0) return;
  throw new UserError(
    `The packages cannot be locked, since pkg(8) installs no two that have the same file:\n${found
      .slice(0, 20)
      .map((line) => `  ${line}`)
      .join('\n')}`,
    'Nothing was written. Leave one of them out (PACKAGES, or the keys and templates that ask for it), or try another PACKAGES_REPOSITORY.',
  );
}

/** What is installed into one system: the host of each configuration, and a jail by each template. */
function togetherOf(packages: readonly LockedPackage[], subjects: readonly Subject[]): readonly Together[] {
  const isTemplate = (by: string): boolean => by.includes('/');
  return subjects.flatMap(({ subject, wanted }) => {
    const names = (is: (by: string) => boolean): ReadonlySet<string> =>
      closure({ packages }, [
        'pkg',
        ...wanted.packages.flatMap(({ name, by }) => (by.some(is) ? [name] : [])),
      ]);
    const templates = new Set(wanted.packages.flatMap(({ by }) => by.filter(isTemplate)));
    return [
      { where: `the host of ${subject.file}`, names: names((by) => !isTemplate(by)) },
      ...[...templates].map((each) => ({ where: `jails of ${each}`, names: names((by) => by === each) })),
    ];
  });
}

/** What several configurations want, each once, with all that ask for it. */
function merged(lists: readonly (readonly Wanted[])[]): readonly Wanted[] {
  const found = new Map<string, Set<string>>();
  for (const { name, by } of lists.flat()) found.set(name, new Set([...(found.get(name) ?? []), ...by]));
  return [...found]
    .map(([name, by]) => ({ name, by: [...by].sort() }))
    .sort((a, b) => compare(a.name, b.name));
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
