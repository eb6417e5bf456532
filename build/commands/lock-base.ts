import type { Config } from '../config/keys.js';
import { abiOf } from '../packages/base.js';
import { keepBase, lockBase } from '../packages/base-locking.js';
import { baseMisfits } from '../packages/base-section.js';
import type { BaseSection } from '../packages/base-section.js';
import type { Lock } from '../packages/lockfile.js';
import { openRepository } from '../packages/repository.js';
import type { Work } from '../pipeline/base.js';
import { toldOf } from '../pipeline/stage.js';
import { resolveRelease } from '../release/source.js';
import type { Release } from '../release/source.js';
import { baseSubject, readRepositoryKey, releaseOfBase, trustedBaseKeys } from './release.js';

/** The release of a configuration before there is a lock: base packages are not known yet. */
export function unlockedRelease(config: Config, folder: string): Promise<Release> {
  const subject = baseSubject(config);
  return Promise.resolve(
    subject
      ? {
          ...{ id: 'pkgbase:not locked', sample: false, packaged: true },
          ...{ from: subject.url, trust: 'keys of FreeBSD-base' },
          obtain: () => Promise.reject(new Error('base packages are locked before they are obtained')),
        }
      : resolveRelease(config, folder),
  );
}

export interface BaseOptions {
  readonly before: Lock | undefined;
  /** Whether it is brought up to date. */
  readonly update: boolean;
  readonly older: boolean;
  readonly vendor: string | undefined;
}

/** A base system that is locked. */
export interface LockedBase {
  readonly section: BaseSection;
  readonly release: Release;
  /** The lock that there was, as one of this base system: what it has of other packages stays. */
  readonly moved: Lock | undefined;
}

/**
 * Locks the base packages of a configuration, or keeps those that are locked.
 *
 * @returns undefined where it is made of release sets
 * @throws UserError if anything of it does not hold.
 */
export async function baseOf(
  config: Config,
  folder: string,
  { before, update, older, vendor }: BaseOptions,
  work: Work,
): Promise<LockedBase | undefined> {
  const subject = baseSubject(config);
  if (!subject) return undefined;
  const { url, version, asked } = subject;
  const repository = openRepository(url, folder, toldOf(work), 'FREEBSD_DIST');
  const old = before?.base;
  const keys = await trustedBaseKeys(config, folder);
  const keeps = old !== undefined && !update && baseMisfits(old, subject, keys).length === 0;
  const section = keeps
    ? old
    : await lockBase(
        {
          ...{ repository, version, asked, before: old, older, vendor },
          abi: abiOf(version, config.ARCH),
          key: await readRepositoryKey('FREEBSD_KEY_FILE', config, folder),
        },
        work,
      );
  if (keeps && vendor !== undefined) await keepBase(section, repository, vendor, work);
  const release = releaseOfBase(section, config, folder);
  const same = before?.release.version === version && before.release.arch === config.ARCH;
  const moved =
    before && old && same ? { ...before, release: { ...before.release, id: release.id } } : before;
  return { section, release, moved };
}
