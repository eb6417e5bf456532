import type { Config } from '../config/keys.js';
import { makeView } from '../overlay/view.js';
import { abiOf } from '../packages/base.js';
import type { Lock } from '../packages/lockfile.js';
import { checkMemory, roomFor, runsFromMemory } from '../packages/memory.js';
import { mediumList, mediumOf } from '../packages/medium.js';
import type { Medium } from '../packages/medium.js';
import type { PackagesRequest } from '../pipeline/packages.js';
import type { Release } from '../release/source.js';
import type { LoadedConfig } from './configuration.js';
import { readTemplate, subjectOf } from './lock-subject.js';

/** Deployments of a fleet have one lock. */
const made = new WeakMap<Lock, Promise<Medium>>();

/**
 * The packages that the base image of a deployment carries: all of its lock, so that deployments of one lock have one base image;
 * none where there is no lock, or nothing is installed.
 */
export async function packagesOf(
  loaded: Pick<LoadedConfig, 'config' | 'path' | 'folder'>,
  release: Release,
  lock: Lock | undefined,
): Promise<PackagesRequest | undefined> {
  if (!lock || release.sample) return undefined;
  const { config, folder } = loaded;
  const { packages, npm } = subjectOf(loaded, release).wanted;
  if (packages.length + npm.length === 0) return undefined;
  const known = made.get(lock) ?? mediumOf(lock);
  made.set(lock, known);
  const medium = await known;
  return {
    medium,
    repository: {
      ...{ value: config.PACKAGES_REPOSITORY, folder },
      abi: abiOf(config.FREEBSD_VERSION, config.ARCH),
    },
    room: runsFromMemory(config) ? roomFor(medium.hostBytes) : 0,
  };
}

/** What the host of a deployment asks for, where there is a lock: pkg(8) is one of them. */
export function hostPackages(config: Config): readonly string[] {
  return [
    ...makeView(config)
      .packages.split(' ')
      .filter((name) => name !== ''),
    'pkg',
  ];
}

/** The list of them that the overlay of a deployment has. */
export function listOf(config: Config, packages: PackagesRequest | undefined): string | undefined {
  return packages && mediumList(packages.medium, hostPackages(config));
}

/**
 * Refuses a deployment whose live image needs more memory than MEMORY.
 *
 * @param rootBytes of the root file system, as soon as it is known
 * @returns a sentence about what could not be counted; undefined where all was
 * @throws InputError with what takes how much.
 */
export function checkRoom(
  config: Config,
  packages: PackagesRequest | undefined,
  rootBytes?: number,
): string | undefined {
  return packages && checkMemory(config, packages.medium, readTemplate, rootBytes);
}
