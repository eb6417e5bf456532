import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { removeTree } from '../host/files.js';
import { sha256 } from '../host/hash.js';
import type { Work } from '../pipeline/base.js';
import { obtainRelease } from '../pipeline/release.js';
import type { Release } from '../release/source.js';
import type { Profile } from '../rootfs/prune.js';
import { readBase } from './base.js';
import type { BaseFactsForPackages } from './base.js';

/** What the base system says, from the cache where it was read before. */
export async function baseFacts(release: Release, work: Work): Promise<BaseFactsForPackages> {
  const { cache, signal } = work;
  const key = sha256(JSON.stringify(['base facts 1', release.id]));
  const present = await cache.get<BaseFactsForPackages>('keys', key);
  if (present) return present.facts;
  const sets = await obtainRelease(release, work);
  const folder = await cache.workFolder();
  try {
    const entry = join(folder, 'entry');
    const read = join(folder, 'read');
    await mkdir(entry);
    await mkdir(read);
    const facts = await readBase(
      sets.sources.filter(({ part }) => part === 'world'),
      read,
      signal,
    );
    return (await cache.put('keys', key, entry, facts, true, signal)).facts;
  } finally {
    await sets.close();
    await removeTree(folder);
  }
}

/** Libraries that images of all these profiles have. */
export function commonLibraries(
  { libraries }: BaseFactsForPackages,
  profiles: readonly Profile[],
): ReadonlySet<string> {
  const sets = profiles.map((profile) => new Set(libraries[profile]));
  const [first = new Set<string>(), ...rest] = sets;
  return new Set([...first].filter((name) => rest.every((set) => set.has(name))));
}
