import type { Catalogue } from './catalogue.js';
import type { Lock } from './lockfile.js';
import { compareVersions } from './version.js';
import { UserError } from '../error.js';

/** What two locks differ in, for people. */
export interface Change {
  readonly name: string;
  readonly before: string | undefined;
  readonly after: string | undefined;
}

type Named = Pick<Lock, 'packages' | 'npm'>;

/** Packages that came, went, or have another version, by name. */
export function changesOf(before: Named | undefined, after: Named): readonly Change[] {
  const versions = (lock: Named | undefined): ReadonlyMap<string, string> =>
    new Map([
      ...(lock?.packages ?? []).map(({ name, version }) => [name, version] as const),
      ...npmVersions(lock),
    ]);
  const [old, now] = [versions(before), versions(after)];
  return [...new Set([...old.keys(), ...now.keys()])].sort().flatMap((name) => {
    const change = { name, before: old.get(name), after: now.get(name) };
    return change.before === change.after ? [] : [change];
  });
}

/** A tree of npm may have several versions of one package. */
function npmVersions(lock: Named | undefined): ReadonlyMap<string, string> {
  const found = new Map<string, string[]>();
  for (const { name, version } of lock?.npm ?? []) {
    const key = `npm:${name}`;
    found.set(key, [...(found.get(key) ?? []), version]);
  }
  return new Map([...found].map(([name, all]) => [name, all.sort(compareVersions).join(', ')]));
}

/** A change as a line: `+ new 1.0`, `- gone 1.0`, `  other 1.0 → 1.1`. */
export function changeLine({ name, before, after }: Change): string {
  if (before === undefined) return `+ ${name} ${after ?? ''}`;
  if (after === undefined) return `- ${name} ${before}`;
  return `  ${name} ${before} → ${after}`;
}

/**
 * What tells that a catalogue is older than the one that a lock was made of. Catalogues carry no time and no number that is signed,
 * so that a mirror can serve an old one: versions that go back show it, and what the archive says of its time.
 *
 * @param time of the catalogue, in seconds since 1970
 * @returns sentences; none where nothing tells of it
 */
export function signsOfAge(
  before: Pick<Lock, 'packages'> & { readonly catalogue: NonNullable<Lock['catalogue']> },
  catalogue: Catalogue,
  sha256: string,
  time: number,
): readonly string[] {
  if (before.catalogue.sha256 === sha256) return [];
  const found: string[] = [];
  const then = Date.parse(before.catalogue.time) / 1000;
  if (time < then)
    found.push(`it was made at ${timeText(time)}, and the locked one at ${before.catalogue.time}`);
  for (const { name, version } of before.packages) {
    let now: string | undefined;
    try {
      now = catalogue.get(name)?.version;
    } catch (error) {
      // Whether it can be used is asked where it is.
      if (!(error instanceof UserError)) throw error;
    }
    if (now !== undefined && compareVersions(now, version) < 0)
      found.push(`it has ${name} ${now}, and ${version} is locked`);
  }
  return found;
}

/** Seconds since 1970 as locks have times. */
export function timeText(seconds: number): string {
  const bounded = Math.min(Math.max(seconds, 0), 253_402_300_799);
  return new Date(bounded * 1000).toISOString().replace(/\.\d+Z$/, 'Z');
}
