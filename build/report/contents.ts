import type { Lock, LockedNpm, LockedPackage } from '../packages/lockfile.js';
import { closure } from '../packages/medium.js';
import type { Content } from './facts.js';

/** What of a lock is of one deployment. */
export interface LockedFor {
  readonly packages: readonly LockedPackage[];
  readonly npm: readonly LockedNpm[];
}

/**
 * What one configuration installs: what it asks for, and all that this needs. npm's packages are one tree for all who ask for
 * any, and a lock does not say which is for which. Pure.
 */
export function lockedFor(lock: Lock, file: string): LockedFor {
  const asked = Object.hasOwn(lock.asked, file) ? lock.asked[file] : undefined;
  if (!asked) return { packages: [], npm: [] };
  const found = closure(lock, asked.packages);
  return {
    packages: lock.packages.filter(({ name }) => found.has(name)),
    npm: asked.npm.length > 0 ? lock.npm : [],
  };
}

/** The same for people. */
export function contentsOf(lock: Lock, file: string): readonly Content[] {
  const { packages, npm } = lockedFor(lock, file);
  return [
    ...packages.map(({ name, version, flatsize, license, asked }): Content => ({
      ...{ kind: 'package', name, version, bytes: flatsize },
      ...(license !== undefined && { license }),
      asked: [...asked],
    })),
    ...npm.map(({ name, version, license, asked }): Content => ({
      ...{ kind: 'npm', name, version },
      ...(license !== undefined && { license }),
      asked: [...asked],
    })),
  ];
}
