import { patchLevelOf } from './base-section.js';
import type { Lock } from './lockfile.js';

/** A part of the base system as VuXML has it. */
export interface BasePart {
  readonly name: 'FreeBSD' | 'FreeBSD-kernel';
  /** `15.1_2` stands for 15.1-RELEASE-p2. */
  readonly version: string;
}

/**
 * The base system of a lock by the names and versions that VuXML has for it (scripts/periodic/405.pkg-base-audit.in of pkg(8)):
 * `FreeBSD` is what freebsd-version(1) says of userland, and not its packages, of which a patch level brings some. A kernel is as
 * old as the oldest there is. Of release sets nothing is known but what FREEBSD_VERSION calls them. Pure.
 *
 * @returns nothing for what is no release, as VuXML has none of those
 */
export function baseParts({ base, release }: Pick<Lock, 'base' | 'release'>): readonly BasePart[] {
  const [, number, level = '0'] = /^([0-9]+\.[0-9]+)-RELEASE(?:-p([0-9]+))?$/.exec(release.version) ?? [];
  if (number === undefined) return [];
  const part = (name: BasePart['name'], patch: number): BasePart => ({
    name,
    version: patch === 0 ? number : `${number}_${patch}`,
  });
  if (!base) return [part('FreeBSD', Number(level)), part('FreeBSD-kernel', Number(level))];
  const levels = (kernels: boolean): readonly number[] =>
    base.packages
      .filter(({ name }) => name.startsWith('FreeBSD-kernel-') === kernels)
      .map(({ version }) => patchLevelOf(version));
  const [userland, kernels] = [levels(false), levels(true)];
  return [
    ...(userland.length === 0 ? [] : [part('FreeBSD', Math.max(...userland))]),
    ...(kernels.length === 0 ? [] : [part('FreeBSD-kernel', Math.min(...kernels))]),
  ];
}
