import { z } from 'zod';
import { sha256 } from '../host/hash.js';
import { NAME } from './catalogue.js';
import { CATALOGUE, PACKAGE, packagesFlaw } from './locked.js';

/** What a lock has of a base system that is made of packages. */
export const BASE = z.strictObject({
  /** Names of the packages that the root is made of, without what they need. */
  asked: z.array(z.string().regex(NAME)),
  catalogue: CATALOGUE,
  packages: z.array(PACKAGE).min(1),
});

export type BaseSection = z.infer<typeof BASE>;

/** What in it contradicts the rest of it, as the end of a sentence; undefined where nothing does. */
export function baseFlaw({ asked, packages }: BaseSection): string | undefined {
  const flaw = packagesFlaw(packages);
  if (flaw !== undefined) return `of the base system, ${flaw}`;
  const missing = asked.find((name) => !packages.some((each) => each.name === name));
  return missing === undefined ? undefined : `the base system is made of ${missing}, which is not in it`;
}

/** Stands for the bytes of a base system: two locks with one id make the same root. */
export function baseId({ packages }: Pick<BaseSection, 'packages'>): string {
  const all = packages.map(({ name, version, sha256: sum }) => [name, version, sum]);
  return `pkgbase:${sha256(JSON.stringify(all))}`;
}

/** What a base system is to be of. */
export interface BaseSubject {
  readonly url: string;
  readonly asked: readonly string[];
  readonly version: string;
}

/**
 * In what the base system of a lock does not fit a configuration: sentences; none where it fits.
 *
 * @param keys fingerprints of the keys that its repository is believed by now
 */
export function baseMisfits(
  { asked, catalogue, packages }: BaseSection,
  subject: BaseSubject,
  keys: readonly string[],
): readonly string[] {
  const found: string[] = [];
  if (catalogue.url !== subject.url)
    found.push(`Its base system is from ${catalogue.url}, and FREEBSD_DIST means ${subject.url}.`);
  if ([...asked].sort().join(' ') !== [...subject.asked].sort().join(' '))
    found.push(
      `Its base system is made of ${asked.join(' ')}, and FREEBSD_BASE_PACKAGES is ${subject.asked.join(' ')}.`,
    );
  if (!keys.includes(catalogue.key))
    found.push(
      `Its base system is signed with the key ${catalogue.key}, which is none of those that are trusted (FREEBSD_KEY_FILE, or else FreeBSD's own): ${keys.join(', ') || 'none'}.`,
    );
  const other = packages.find(({ version }) => !isOfRelease(version, subject.version));
  if (other)
    found.push(
      `Its base system has ${other.name} ${other.version}, and FREEBSD_VERSION is ${subject.version}.`,
    );
  return found;
}

/**
 * Whether a base package is of a release: its version is that of the release, with what tells of the patch level or of a
 * snapshot behind it (PKG_VERSION of Makefile.inc1): `15.1`, `15.1p2`, `15.1.snap20260101`.
 */
export function isOfRelease(version: string, release: string): boolean {
  const number = /^[0-9]+\.[0-9]+/.exec(release)?.[0];
  return number !== undefined && version.startsWith(number) && !/^[0-9]/.test(version.slice(number.length));
}

/** The patch level that the version of a base package tells of: 0 where it tells of none. */
export function patchLevelOf(version: string): number {
  return Number(/^[0-9]+\.[0-9]+p([0-9]{1,4})(?![0-9])/.exec(version)?.[1] ?? 0);
}
