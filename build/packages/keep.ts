import { UserError } from '../error.js';
import { writeFileAtomic } from '../host/files.js';
import type { VerifiedCatalogue } from './repository.js';
import type { PackageStore } from './store.js';

/** Keeps the files of a catalogue, by the SHA-256 of what was signed. */
export async function keepCatalogue(
  { files }: VerifiedCatalogue,
  digest: string,
  store: PackageStore,
): Promise<void> {
  for (const { name, bytes } of files) await writeFileAtomic(store.catalogueFile(digest, name), bytes, 0o600);
}

/** What a catalogue is to who locks that has signs of being older than the lock's (signsOfAge()). */
export function olderCatalogue(url: string, signs: readonly string[]): UserError {
  return new UserError(
    `The catalogue of ${url} is older than the one that the lock was made of: ${signs.slice(0, 5).join('; ')}${signs.length > 5 ? '; …' : ''}. A mirror that is behind, or somebody who wants old flaws back, serves such.`,
    'Nothing was written. Try again later or another mirror; if FreeBSD took something back, say --older.',
  );
}
