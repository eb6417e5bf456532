import { join, resolve as resolvePath } from 'node:path';
import type { Config } from '../config/keys.js';
import { InputError, whyOf } from '../error.js';
import { readBytes } from '../host/files.js';
import { abiOf } from '../packages/base.js';
import { baseKeysOf, baseRepositoryUrl, meansPackages } from '../packages/base-keys.js';
import { baseRelease } from '../packages/base-release.js';
import { baseMisfits } from '../packages/base-section.js';
import type { BaseSection, BaseSubject } from '../packages/base-section.js';
import { LOCK_FILE } from '../packages/lockfile.js';
import { openRepository } from '../packages/repository.js';
import { fingerprintOf } from '../packages/signature.js';
import { resolveRelease } from '../release/source.js';
import type { Release } from '../release/source.js';
import { shownPath } from './configuration.js';
import { MAKE_LOCK, readLock } from './lock-file.js';

/** What the base system of a configuration is to be of; undefined where it is made of release sets. */
export function baseSubject(config: Config): BaseSubject | undefined {
  const { FREEBSD_DIST: dist, FREEBSD_VERSION: version, ARCH, FREEBSD_BASE_PACKAGES: asked } = config;
  if (!meansPackages(dist)) return undefined;
  return { url: baseRepositoryUrl(dist, version, abiOf(version, ARCH)), asked, version };
}

/**
 * Finds out which release a configuration means: release sets, or the base packages of the lock beside it. No network.
 *
 * @param folder that of the configuration
 * @throws InputError as resolveRelease() does, or if there is no lock of base packages that fits, signed with a key that is
 *   trusted.
 */
export async function releaseOfConfig(config: Config, folder: string): Promise<Release> {
  const subject = baseSubject(config);
  if (!subject) return resolveRelease(config, folder);
  const path = join(folder, LOCK_FILE);
  const shown = shownPath(path);
  const found = await readLock(path);
  if (found && 'flaw' in found.parsed)
    throw new InputError(`${shown} cannot be used: ${found.parsed.flaw}.`, MAKE_LOCK);
  const base = found && 'lock' in found.parsed ? found.parsed.lock.base : undefined;
  if (!base)
    throw new InputError(
      `FREEBSD_DIST is "${config.FREEBSD_DIST}", and ${found ? `${shown} has no base packages` : `there is no ${shown}`}: nothing says which packages the base system is made of.`,
      MAKE_LOCK,
    );
  const lines = baseMisfits(base, subject, await trustedBaseKeys(config, folder));
  if (lines.length > 0)
    throw new InputError(`${shown} does not fit:\n${lines.map((line) => `  ${line}`).join('\n')}`, MAKE_LOCK);
  return releaseOfBase(base, config, folder);
}

/**
 * Fingerprints of the keys that the base repository of a configuration is believed by.
 *
 * @throws InputError if FREEBSD_KEY_FILE cannot be read.
 */
export async function trustedBaseKeys(config: Config, folder: string): Promise<readonly string[]> {
  const own = await readRepositoryKey('FREEBSD_KEY_FILE', config, folder);
  return own ? [fingerprintOf(own)] : baseKeysOf(config.FREEBSD_VERSION);
}

/** The release that base packages are. */
export function releaseOfBase(base: BaseSection, config: Config, folder: string): Release {
  return baseRelease(base, config.FREEBSD_KEY_FILE !== undefined, ({ signal, download, doing }) =>
    openRepository(base.catalogue.url, folder, { ...download, signal, onRetry: doing }, 'FREEBSD_DIST'),
  );
}

/** Largest key of a repository, in bytes. */
const MOST_KEY = 64 * 1024;

/**
 * The key of a repository of one's own, as bytes: its fingerprint is of them.
 *
 * @param setting which key of the configuration names its file
 * @throws InputError if it cannot be read.
 */
export async function readRepositoryKey(
  setting: 'PACKAGES_KEY_FILE' | 'FREEBSD_KEY_FILE',
  config: Config,
  folder: string,
): Promise<Buffer | undefined> {
  const file = config[setting];
  if (file === undefined) return undefined;
  const path = resolvePath(folder, file);
  try {
    return await readBytes(path, MOST_KEY);
  } catch (error) {
    throw new InputError(
      `${setting}: ${path} cannot be read: ${whyOf(error)}.`,
      'Check the path; relative ones begin at the folder of the configuration.',
    );
  }
}
