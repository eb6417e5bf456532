import { join, resolve as resolvePath } from 'node:path';
import { InputError } from '../error.js';
import { isFolder, writeFileAtomic } from '../host/files.js';
import { bytes } from '../monitor/format.js';
import { abiOf } from '../packages/base.js';
import { changeLine, changesOf } from '../packages/changes.js';
import { LOCK_FILE, writeLock } from '../packages/lockfile.js';
import type { Lock } from '../packages/lockfile.js';
import { makeLock } from '../packages/locking.js';
import type { MadeLock } from '../packages/locking.js';
import { repositoryAt } from '../packages/repository.js';
import { compareVersions } from '../packages/version.js';
import type { Work } from '../pipeline/base.js';
import { Cache, cacheFolder } from '../pipeline/cache.js';
import { toldOf } from '../pipeline/stage.js';
import type { Release } from '../release/source.js';
import { loadConfig, shownPath } from './configuration.js';
import type { ConfigOptions, LoadedConfig } from './configuration.js';
import { loadFleet } from './deployments.js';
import type { IsoContext } from './iso.js';
import { baseOf, unlockedRelease } from './lock-base.js';
import { readLock } from './lock-file.js';
import { subjectOf } from './lock-subject.js';
import { baseSubject, readRepositoryKey } from './release.js';

export interface LockOptions extends ConfigOptions {
  /** Folder of a fleet, instead of one configuration. */
  readonly deployments: string | undefined;
  /** Nothing, everything (true), or these. */
  readonly update: boolean | readonly string[];
  readonly vendor?: string;
  readonly older: boolean;
  readonly cache?: string;
  readonly json: boolean;
}

/** `clawdie-iso lock`: resolves what an instance installs, verified, and writes clawdie.lock.json. */
export async function lock(options: LockOptions, context: IsoContext): Promise<void> {
  const { folder, all } = await loadAll(options, context);
  const [first] = all;
  if (!first) throw new Error('there is a configuration');
  for (const other of all) checkSame(first, other);
  const path = join(folder, LOCK_FILE);
  const found = await readLock(path);
  const wanting = all.filter(({ loaded, release }) => {
    const { packages, npm } = subjectOf(loaded, release).wanted;
    return packages.length + npm.length > 0;
  });
  const { config } = first.loaded;
  if (wanting.length === 0 && !baseSubject(config)) {
    if (!options.json)
      context.print(
        `Nothing is installed: no lock is needed.${found ? ` ${shownPath(path)} can be removed.` : ''}`,
      );
    return;
  }
  if (first.release.sample)
    throw new InputError(
      'The release is the sample: it holds no FreeBSD that packages could be installed on.',
      first.loaded.example
        ? 'Copy build.cfg.example to build.cfg.'
        : 'Set FREEBSD_DIST to "mirror", or to a folder of release sets.',
    );
  const cache = new Cache(cacheFolder(context.environment, options.cache));
  const monitor = context.makeMonitor();
  const work: Work = {
    cache,
    signal: context.signal,
    emit: (event) => {
      monitor.emit(event);
    },
  };
  const before = found && 'lock' in found.parsed ? found.parsed.lock : undefined;
  let made: MadeLock;
  try {
    if (found && 'flaw' in found.parsed)
      work.emit({
        type: 'warning',
        text: `${shownPath(path)} is not used: ${found.parsed.flaw}. It is made anew.`,
      });
    await cache.prepare();
    made = await make({ first, all, wanting, before, folder, options }, work);
  } finally {
    await cache.close();
    await monitor.close();
  }
  const text = writeLock(made);
  const changed = text !== found?.text;
  if (changed) await writeFileAtomic(path, text, 0o644);
  tell(made, before, { path, changed, json: options.json }, context);
}

interface Making {
  readonly first: Loaded;
  readonly all: readonly Loaded[];
  /** Those that install something. */
  readonly wanting: readonly Loaded[];
  readonly before: Lock | undefined;
  readonly folder: string;
  readonly options: LockOptions;
}

async function make(
  { first, all, wanting, before: old, folder, options }: Making,
  work: Work,
): Promise<MadeLock> {
  const { config } = first.loaded;
  const download = toldOf(work);
  const abi = abiOf(config.FREEBSD_VERSION, config.ARCH);
  const { older } = options;
  const vendor = options.vendor === undefined ? undefined : resolvePath(options.vendor);
  const { ofBase, ofPackages } = updateOf(options.update, old);
  const installs = wanting.length > 0;
  const stages = [
    ...(baseSubject(config) ? (['base-lock'] as const) : []),
    ...(installs ? (['release', 'catalogue', 'packages'] as const) : []),
  ];
  work.emit({ type: 'plan', stages: stages.map((stage) => ({ stage, action: 'run' })) });
  // Two repositories, of a catalogue each.
  const kept = vendor === undefined ? undefined : join(vendor, 'base');
  const based = await baseOf(config, folder, { before: old, update: ofBase, older, vendor: kept }, work);
  const release = based?.release ?? first.release;
  const before = based?.moved ?? old;
  const subjects = wanting.map(({ loaded }) => subjectOf(loaded, release));
  for (const note of new Set(subjects.flatMap(({ wanted }) => wanted.notes)))
    work.emit({ type: 'warning', text: note });
  const of = {
    ...{ abi, arch: config.ARCH, id: release.id, version: config.FREEBSD_VERSION },
    profiles: [...new Set(all.map(({ loaded }) => loaded.config.PROFILE))].sort(),
  };
  const packages = installs
    ? await makeLock(
        {
          ...{ subjects, release, abi, before, older, download, vendor, update: ofPackages },
          repository: repositoryAt(config.PACKAGES_REPOSITORY, abi, folder, download),
          key: await readRepositoryKey('PACKAGES_KEY_FILE', config, folder),
        },
        work,
      )
    : { asked: {}, npm: [], packages: [], release: of };
  return { ...packages, ...(based && { base: based.section }) };
}

interface Loaded {
  readonly loaded: LoadedConfig;
  readonly release: Release;
}

async function loadAll(
  options: LockOptions,
  { environment }: IsoContext,
): Promise<{ readonly folder: string; readonly all: readonly Loaded[] }> {
  if (options.deployments === undefined) {
    const loaded = await loadConfig(options, environment);
    return {
      // Without a build.cfg, what stands in lies in the project; a lock is never written there.
      folder: loaded.example ? process.cwd() : loaded.folder,
      all: [{ loaded, release: await unlockedRelease(loaded.config, loaded.folder) }],
    };
  }
  if (options.config !== undefined)
    throw new InputError('A folder of deployments and --config are both named.', 'Name one of them.');
  if (!(await isFolder(options.deployments)))
    throw new InputError(
      `${options.deployments} is no folder of deployments.`,
      'Name one, or one configuration with --config. Packages are named behind --update.',
    );
  const fleet = await loadFleet(options.deployments, options.set, environment, unlockedRelease);
  return {
    folder: resolvePath(options.deployments),
    all: fleet.deployments.map(({ loaded, request }) => ({ loaded, release: request.release })),
  };
}

/** A lock is of one release and one repository. */
function checkSame(one: Loaded, other: Loaded): void {
  const of = ({ loaded: { config }, release }: Loaded): string =>
    [
      `FreeBSD ${config.FREEBSD_VERSION} ${config.ARCH} (${release.id.slice(0, 40)})`,
      `PACKAGES_REPOSITORY ${config.PACKAGES_REPOSITORY}`,
      `PACKAGES_KEY_FILE ${config.PACKAGES_KEY_FILE ?? 'none'}`,
      ...(baseSubject(config)
        ? [
            `FREEBSD_BASE_PACKAGES ${config.FREEBSD_BASE_PACKAGES.join(' ')}`,
            `FREEBSD_KEY_FILE ${config.FREEBSD_KEY_FILE ?? 'none'}`,
          ]
        : []),
    ].join(', ');
  if (of(one) === of(other)) return;
  throw new InputError(
    `${shownPath(one.loaded.path)} is of ${of(one)}; ${shownPath(other.loaded.path)} of ${of(other)}. One lock is of one release and one repository.`,
    'Put deployments of another release into a folder of their own.',
  );
}

/** What of a lock is brought up to date: a base system whole, whichever of its packages is named. */
function updateOf(
  update: LockOptions['update'],
  before: Lock | undefined,
): { readonly ofBase: boolean; readonly ofPackages: 'all' | readonly string[] } {
  if (update === true) return { ofBase: true, ofPackages: 'all' };
  if (update === false) return { ofBase: false, ofPackages: [] };
  if (!before)
    throw new InputError(
      `--update ${update.join(' ')}: there is no lock yet.`,
      'Leave --update out: all is resolved.',
    );
  const names = [...new Set(update)];
  const isOfBase = (name: string): boolean =>
    before.base?.packages.some((each) => each.name === name) ?? false;
  return { ofBase: names.some(isOfBase), ofPackages: names.filter((name) => !isOfBase(name)) };
}

function tell(
  made: MadeLock,
  before: Lock | undefined,
  { path, changed, json }: { readonly path: string; readonly changed: boolean; readonly json: boolean },
  { print }: IsoContext,
): void {
  const changes = changesOf(withBase(before), withBase(made) ?? made);
  const { catalogue, packages, npm, base } = made;
  if (json) {
    print(
      JSON.stringify({
        ...{ type: 'lock', path, changed, changes, packages: packages.length, npm: npm.length },
        ...(base && { base: base.packages.length }),
      }),
    );
    return;
  }
  for (const change of changes) print(changeLine(change));
  const sum = (list: Lock['packages'], of: 'size' | 'flatsize'): string =>
    bytes(list.reduce((total, each) => total + each[of], 0));
  const installed =
    packages.length + npm.length === 0
      ? 'nothing is installed beside the base system'
      : `${packages.length} packages (${sum(packages, 'size')}, ${sum(packages, 'flatsize')} installed)${npm.length > 0 ? `, ${npm.length} of npm` : ''}`;
  print(`${shownPath(path)}${changed ? '' : ' is as it was'}: ${installed}`);
  if (catalogue) print(`Catalogue of ${catalogue.time}: ${catalogue.url}, signed by ${catalogue.key}`);
  if (!base) return;
  const newest =
    base.packages
      .map(({ version }) => version)
      .sort(compareVersions)
      .at(-1) ?? '';
  print(
    `Base system ${newest}: ${base.packages.length} packages (${sum(base.packages, 'size')}, ${sum(base.packages, 'flatsize')} installed)`,
  );
  const { time, url, key } = base.catalogue;
  print(`Its catalogue of ${time}: ${url}, signed by ${key}`);
}

/** A lock as one list of packages, those of the base system first. */
function withBase(lock: MadeLock | undefined): MadeLock | undefined {
  return lock && { ...lock, packages: [...(lock.base?.packages ?? []), ...lock.packages] };
}
