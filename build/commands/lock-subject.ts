import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { InputError } from '../error.js';
import { abiOf } from '../packages/base.js';
import { LOCK_FILE, LOCK_REQUIRED, misfits } from '../packages/lockfile.js';
import type { Lock } from '../packages/lockfile.js';
import type { Subject } from '../packages/locking.js';
import { repositoryUrl } from '../packages/repository.js';
import { wantedOf } from '../packages/wanted.js';
import type { Release } from '../release/source.js';
import { PROJECT, shownPath } from './configuration.js';
import type { LoadedConfig } from './configuration.js';
import { MAKE_LOCK, readLock } from './lock-file.js';

const TEMPLATES = join(PROJECT, 'overlays/firstboot/usr/local/bastille/templates');

/** The Bastillefile of a template of this project. */
export function readTemplate(name: string): string | undefined {
  if (!/^[A-Za-z0-9_-]+\/[A-Za-z0-9_-]+$/.test(name)) return undefined;
  try {
    return readFileSync(join(TEMPLATES, name, 'Bastillefile'), 'utf8');
  } catch {
    return undefined;
  }
}

/** What of a configuration a lock is about. */
export function subjectOf(
  { config, path }: Pick<LoadedConfig, 'config' | 'path'>,
  release: Release,
): Subject {
  const wanted = wantedOf(config, readTemplate);
  const { FREEBSD_VERSION: version, ARCH: arch, PROFILE: profile } = config;
  return {
    wanted,
    subject: {
      ...{ file: basename(path), version, arch, profile, releaseId: release.id },
      url: repositoryUrl(config.PACKAGES_REPOSITORY, abiOf(version, arch)),
      asked: {
        npm: wanted.npm.map(({ name }) => name),
        packages: wanted.packages.map(({ name }) => name),
      },
    },
  };
}

/**
 * Checks the lock of deployments that lie in one folder, without a network: the sample release and those that install nothing need
 * none.
 *
 * @returns the lock where there is one, and what is to be told where there is none
 * @throws InputError if it does not fit, with what has changed.
 */
export async function checkLock(
  folder: string,
  deployments: readonly {
    readonly loaded: Pick<LoadedConfig, 'config' | 'path'>;
    readonly release: Release;
  }[],
): Promise<{ readonly lock?: Lock; readonly warning?: string }> {
  const subjects = deployments
    .filter(({ release }) => !release.sample)
    .map(({ loaded, release }) => subjectOf(loaded, release))
    .filter(({ wanted }) => wanted.packages.length + wanted.npm.length > 0);
  if (subjects.length === 0) return {};
  const found = await readLock(join(folder, LOCK_FILE));
  if (!found) {
    const [first] = subjects;
    const names = first?.wanted.packages.map(({ name }) => name) ?? [];
    const text = `There is no ${LOCK_FILE} beside ${first?.subject.file ?? ''}: nothing says which versions of ${names.slice(0, 5).join(', ')}${names.length > 5 ? ', …' : ''} an instance gets.`;
    if (LOCK_REQUIRED) throw new InputError(text, MAKE_LOCK);
    return { warning: `${text} ${MAKE_LOCK}` };
  }
  const shown = shownPath(found.path);
  if ('flaw' in found.parsed)
    throw new InputError(`${shown} cannot be used: ${found.parsed.flaw}.`, MAKE_LOCK);
  const { lock } = found.parsed;
  const lines = new Set(subjects.flatMap(({ subject }) => misfits(lock, subject)));
  if (lines.size > 0)
    throw new InputError(
      `${shown} does not fit:\n${[...lines]
        .slice(0, 20)
        .map((line) => `  ${line}`)
        .join('\n')}`,
      MAKE_LOCK,
    );
  return { lock };
}
