import { UserError } from '../error.js';
import { NotThere } from '../release/download.js';
import type { Expected } from '../release/download.js';
import type { Package } from './catalogue.js';
import type { Repository } from './repository.js';
import type { WantedFile } from './store.js';
import { parseSum } from './sums.js';

/** A package of a catalogue, and of a lock where that has its SHA-256. */
export type PackageFile = Pick<Package, 'name' | 'version' | 'path' | 'size' | 'sum'> & {
  readonly sha256?: string | undefined;
};

/** What the file of a package has to be: its sum in the catalogue comes first, as its file is called by that. */
export function expectedOf({ name, sum, sha256 }: PackageFile): Expected {
  const parsed = parseSum(sum);
  if (!parsed) throw new Error(`${name} has no sum`); // the catalogue and the lock were asked
  return {
    sums: [
      { algorithm: parsed.algorithm, hex: parsed.hex },
      ...(sha256 !== undefined && parsed.algorithm !== 'sha256'
        ? [{ algorithm: 'sha256', hex: sha256 }]
        : []),
    ],
  };
}

/** Where else a package of a lock was looked for that its repository no longer has, and what to do. */
export interface Gone {
  readonly looked: string;
  readonly fix: string;
}

/** For images: their packages come from the cache and the repository. */
export const GONE_FOR_IMAGES: Gone = {
  looked: 'not in the cache',
  fix: 'Bring it back into the cache from a folder that keeps it (`clawdie-iso lock --vendor FOLDER`), or lock what there is now: `clawdie-iso lock --update`.',
};

/** For locks, which look into the folder of --vendor as well. */
export const GONE_FOR_LOCKS: Gone = {
  looked: 'neither in the cache nor in a folder that keeps it (--vendor)',
  fix: 'Run `clawdie-iso lock --update` for the versions that there are now.',
};

/**
 * The file of a package, as a repository has it.
 *
 * @param gone where else it was looked for, and what to do where a repository no longer has what is locked
 */
export function packageFile(each: PackageFile, repository: Repository, gone: Gone): WantedFile {
  const expected = expectedOf(each);
  const label = `${each.name} ${each.version}`;
  return {
    ...{ label, expected, size: each.size, kept: each.path },
    bring: async (to, onProgress) => {
      try {
        return await repository.bring(each.path, to, expected, each.size, onProgress);
      } catch (error) {
        if (!(error instanceof NotThere) || each.sha256 === undefined) throw error;
        throw new UserError(
          `${label}, which is locked, is no longer in ${repository.url}, and ${gone.looked}: ${error.message}`,
          gone.fix,
        );
      }
    },
  };
}
