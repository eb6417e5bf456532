import { join, resolve as resolvePath } from 'node:path';
import { InputError, messageOf } from '../error.js';
import { isFolder, readBytes, writeFileAtomic } from '../host/files.js';
import { bytes } from '../monitor/format.js';
import { abiOf } from '../packages/base.js';
import { changeLine, changesOf } from '../packages/changes.js';
import { LOCK_FILE, writeLock } from '../packages/lockfile.js';
import type { Lock } from '../packages/lockfile.js';
import { makeLock } from '../packages/locking.js';
import type { MadeLock } from '../packages/locking.js';
import { repositoryAt } from '../packages/repository.js';
import type { Work } from '../pipeline/base.js';
import { Cache, cacheFolder } from '../pipeline/cache.js';
import { resolveRelease } from '../release/source.js';
import type { Release } from '../release/source.js';
import { loadConfig, shownPath } from './configuration.js';
import type { ConfigOptions, LoadedConfig } from './configuration.js';
import { loadFleet } from './deployments.js';
import type { IsoContext } from './iso.js';
import { readLock, subjectOf } from './lock-subject.js';

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
  const { release } = first;
  for (const other of all) checkSame(first, other);
  const subjects = all
    .map(({ loaded }) => subjectOf(loaded, release))
    .filter(({ wanted }) => wanted.packages.length + wanted.npm.length > 0);
  const path = join(folder, LOCK_FILE);
  const found = await readLock(path);
  const print = (line: string): void => {
    if (!options.json) context.print(line);
  };
  if (subjects.length === 0) {
    print(`Nothing is installed: no lock is needed.${found ? ` ${shownPath(path)} can be removed.` : ''}`);
    return;
  }
  if (release.sample)
    throw new InputError(
      'The release is the sample: it holds no FreeBSD that packages could be installed on.',
      first.loaded.example
        ? 'Copy build.cfg.example to build.cfg.'
        : 'Set FREEBSD_DIST to "mirror", or to a folder of release sets.',
    );
  const { config } = first.loaded;
  const abi = abiOf(config.FREEBSD_VERSION, config.ARCH);
  const options_ = { signal: context.signal };
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
    for (const note of new Set(subjects.flatMap(({ wanted }) => wanted.notes)))
      work.emit({ type: 'warning', text: note });
    await cache.prepare();
    work.emit({
      type: 'plan',
      stages: (['release', 'catalogue', 'packages'] as const).map((stage) => ({ stage, action: 'run' })),
    });
    made = await makeLock(
      {
        ...{ subjects, release, abi, before, older: options.older, download: options_ },
        repository: repositoryAt(config.PACKAGES_REPOSITORY, abi, folder, options_),
        key: await readKey(config.PACKAGES_KEY_FILE, folder),
        update: updateOf(options.update, before),
        vendor: options.vendor === undefined ? undefined : resolvePath(options.vendor),
      },
      work,
    );
  } finally {
    await cache.close();
    await monitor.close();
  }
  const text = writeLock(made);
  const changed = text !== found?.text;
  if (changed) await writeFileAtomic(path, text, 0o644);
  tell(made, before, { path, changed, json: options.json }, context);
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
      all: [{ loaded, release: resolveRelease(loaded.config, loaded.folder) }],
    };
  }
  if (options.config !== undefined)
    throw new InputError('A folder of deployments and --config are both named.', 'Name one of them.');
  if (!(await isFolder(options.deployments)))
    throw new InputError(
      `${options.deployments} is no folder of deployments.`,
      'Name one, or one configuration with --config. Packages are named behind --update.',
    );
  const fleet = await loadFleet(options.deployments, options.set, environment);
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
    ].join(', ');
  if (of(one) === of(other)) return;
  throw new InputError(
    `${shownPath(one.loaded.path)} is of ${of(one)}; ${shownPath(other.loaded.path)} of ${of(other)}. One lock is of one release and one repository.`,
    'Put deployments of another release into a folder of their own.',
  );
}

function updateOf(update: LockOptions['update'], before: Lock | undefined): 'all' | readonly string[] {
  if (update === true) return 'all';
  if (update === false) return [];
  if (!before)
    throw new InputError(
      `--update ${update.join(' ')}: there is no lock yet.`,
      'Leave --update out: all is resolved.',
    );
  return [...new Set(update)];
}

/** Largest key of a repository, in bytes. */
const MOST_KEY = 64 * 1024;

/** The key of a repository of one's own, as bytes: its fingerprint is of them. */
async function readKey(file: string | undefined, folder: string): Promise<Buffer | undefined> {
  if (file === undefined) return undefined;
  const path = resolvePath(folder, file);
  try {
    return await readBytes(path, MOST_KEY);
  } catch (error) {
    throw new InputError(
      `PACKAGES_KEY_FILE: ${path} cannot be read: ${messageOf(error)}.`,
      'Check the path; relative ones begin at the folder of the configuration.',
    );
  }
}

function tell(
  made: MadeLock,
  before: Lock | undefined,
  { path, changed, json }: { readonly path: string; readonly changed: boolean; readonly json: boolean },
  { print }: IsoContext,
): void {
  const changes = changesOf(before, made);
  const { catalogue, packages, npm } = made;
  if (json) {
    print(
      JSON.stringify({ type: 'lock', path, changed, changes, packages: packages.length, npm: npm.length }),
    );
    return;
  }
  for (const change of changes) print(changeLine(change));
  const sum = (of: 'size' | 'flatsize'): string =>
    bytes(packages.reduce((total, each) => total + each[of], 0));
  print(
    `${shownPath(path)}${changed ? '' : ' is as it was'}: ${packages.length} packages (${sum('size')}, ${sum('flatsize')} installed)${npm.length > 0 ? `, ${npm.length} of npm` : ''}`,
  );
  print(`Catalogue of ${catalogue.time}: ${catalogue.url}, signed by ${catalogue.key}`);
}
