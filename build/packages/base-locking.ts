import { UserError } from '../error.js';
import { sha256 } from '../host/hash.js';
import { stage, throttled } from '../pipeline/stage.js';
import type { Holding } from '../pipeline/stage.js';
import { bringLocked, withPackages } from '../pipeline/packages.js';
import { baseKeysOf } from './base-keys.js';
import { isOfRelease } from './base-section.js';
import type { BaseSection } from './base-section.js';
import { Catalogue } from './catalogue.js';
import { signsOfAge, timeText } from './changes.js';
import { keepCatalogue, olderCatalogue } from './keep.js';
import { lockPackage } from './lockfile.js';
import { GONE_FOR_LOCKS, packageFile } from './package-file.js';
import { fetchCatalogue } from './repository.js';
import type { Repository } from './repository.js';
import type { Trust } from './signature.js';
import { resolvePackages } from './solver.js';
import type { PackageStore, WantedFile } from './store.js';

export interface BaseLocking {
  readonly repository: Repository;
  /** The key of a repository of one's own. */
  readonly key: Buffer | undefined;
  readonly version: string;
  readonly abi: string;
  /** FREEBSD_BASE_PACKAGES. */
  readonly asked: readonly string[];
  /** The base system of the lock that there is. */
  readonly before: BaseSection | undefined;
  /** Whether a catalogue may be older than the one of the lock. */
  readonly older: boolean;
  /** A folder that keeps the files. */
  readonly vendor: string | undefined;
}

/**
 * Locks a base system as its repository has it now: verifies the catalogue, resolves, and has every file in the cache, verified.
 * All of it is of one catalogue: a base system is updated whole.
 *
 * @throws UserError if anything of it does not hold.
 */
export async function lockBase(input: BaseLocking, work: Holding): Promise<BaseSection> {
  const { repository, abi, version, before, asked } = input;
  return withPackages(work, (store) =>
    stage(work, 'base-lock', async () => {
      work.emit({ type: 'doing', text: `Fetching the catalogue of ${repository.url}` });
      const verified = await fetchCatalogue(
        repository,
        trustOf(input),
        work.signal,
        throttled((done: number, total: number | undefined) => {
          const of = total === undefined ? {} : { total };
          work.emit({ type: 'progress', stage: 'base-lock', label: 'catalogue', done, ...of, unit: 'bytes' });
        }),
      );
      const digest = sha256(verified.body);
      const catalogue = new Catalogue(verified.body, verified.lines, repository.url, { abi });
      if (before?.catalogue.url === repository.url && !input.older) {
        const signs = signsOfAge(before, catalogue, digest, verified.time);
        if (signs.length > 0) throw olderCatalogue(repository.url, signs);
      }
      const { packages, needs } = resolvePackages(
        asked.map((name) => ({ name, by: ['FREEBSD_BASE_PACKAGES'] })),
        catalogue,
        new Set(),
        {
          ...{ names: 'FREEBSD_BASE_PACKAGES', repository: 'FREEBSD_DIST' },
          lacking: (text) => {
            work.emit({ type: 'warning', text });
          },
        },
      );
      const stranger = packages.find((each) => !isOfRelease(each.version, version));
      if (stranger)
        throw new UserError(
          `${repository.url} has ${stranger.name} ${stranger.version}, and FREEBSD_VERSION is ${version}: that is no package of this release.`,
          'Check FREEBSD_VERSION and FREEBSD_DIST.',
        );
      await keepCatalogue(verified, digest, store);
      const files = packages.map((each) => packageFile(each, repository, GONE_FOR_LOCKS));
      const sums = await bring(files, digest, input.vendor, store, work);
      const { key, time } = verified;
      return {
        asked: [...asked],
        catalogue: { key, sha256: digest, time: timeText(time), url: repository.url },
        packages: packages.map((each, index) =>
          lockPackage(
            each,
            needs.get(each.name) ?? [],
            asked.includes(each.name) ? ['FREEBSD_BASE_PACKAGES'] : [],
            sums[index] ?? '',
          ),
        ),
      };
    }),
  );
}

/** Has the files of a locked base system in a folder that keeps them. @throws UserError if one cannot be had. */
export function keepBase(
  { packages, catalogue }: BaseSection,
  repository: Repository,
  vendor: string,
  work: Holding,
): Promise<void> {
  const files = packages.map((each) => packageFile(each, repository, GONE_FOR_LOCKS));
  return withPackages(work, (store) =>
    stage(work, 'base-lock', async () => {
      await bring(files, catalogue.sha256, vendor, store, work);
    }),
  );
}

function bring(
  files: readonly WantedFile[],
  digest: string,
  vendor: string | undefined,
  store: PackageStore,
  work: Holding,
): Promise<readonly string[]> {
  return bringLocked(store, files, { digest, of: 'the base system', vendor }, work, 'base-lock');
}

function trustOf({ key, version }: BaseLocking): Trust {
  const own = 'FREEBSD_KEY_FILE';
  if (key) return { trusted: [], revoked: [], key, from: own, own };
  const trusted = baseKeysOf(version);
  if (trusted.length === 0)
    throw new UserError(
      `The keys that sign the base repository of FreeBSD ${version} are not known to this project, so nothing could tell whether its packages are genuine.`,
      'Name the key of the repository: FREEBSD_KEY_FILE.',
    );
  return { trusted, revoked: [], from: 'FreeBSD (share/keys/pkgbase)', own };
}
