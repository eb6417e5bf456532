import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { UserError } from '../error.js';
import { openFile } from '../host/files.js';
import { scratchFolder } from '../host/scratch.js';
import type { CheckedRelease, ObtainContext, Release } from '../release/source.js';
import type { Source } from '../rootfs/release-tree.js';
import { unpack } from '../rootfs/unpack.js';
import { ACCOUNT_FILES, packageAdapter, parseAccounts } from './base-package.js';
import type { Accounts } from './base-package.js';
import { baseId } from './base-section.js';
import type { BaseSection } from './base-section.js';
import type { LockedPackage } from './locked.js';
import { expectedOf, GONE_FOR_IMAGES, packageFile } from './package-file.js';
import type { Repository } from './repository.js';
import { fetching, PackageStore } from './store.js';

/**
 * The release that the base packages of a lock are. Its bytes are those that the lock says.
 *
 * @param repository where packages come from that are not in the cache; asked for when it is needed
 */
export function baseRelease(
  section: BaseSection,
  own: boolean,
  repository: (context: ObtainContext) => Repository,
): Release {
  return {
    id: baseId(section),
    sample: false,
    from: section.catalogue.url,
    trust: own ? 'FREEBSD_KEY_FILE' : 'keys of FreeBSD-base',
    packaged: true,
    async obtain(context) {
      const store = new PackageStore(context.folder);
      const files = section.packages.map((each) => packageFile(each, repository(context), GONE_FOR_IMAGES));
      const missing = await store.missing(files);
      if (missing.length > 0) context.doing(`${fetching(missing, files.length)} of ${section.catalogue.url}`);
      await store.ensure(files, {
        signal: context.signal,
        onProgress: (done, total, label) => {
          context.progress(label, done, total);
        },
      });
      return checked(section, store, context);
    },
  };
}

async function checked(
  { packages }: BaseSection,
  store: PackageStore,
  context: ObtainContext,
): Promise<CheckedRelease> {
  const source = (each: LockedPackage, accounts: Accounts | undefined): Source => {
    const where = `${each.name} ${each.version}`;
    return {
      where,
      part: each.name.includes('-kernel-') ? 'kernel' : 'world',
      // Opened one by one: there are hundreds. What is read is summed up on its way.
      async use(run) {
        const file = await openFile(store.path(expectedOf(each)));
        try {
          return await run({ fd: file.fd, sha256: each.sha256, size: each.size });
        } finally {
          await file.close();
        }
      },
      adapter: () => packageAdapter(each, accounts, where),
    };
  };
  const accounts = await readAccounts(
    packages.map((each) => source(each, undefined)),
    context,
  );
  return {
    sums: Object.fromEntries(packages.map(({ path, sha256 }) => [path, sha256] as const)),
    sources: packages.map((each) => source(each, accounts)),
    close: () => Promise.resolve(),
  };
}

/** Largest file of users or groups, in bytes: those of FreeBSD have some two thousand. */
const MOST_ACCOUNTS = 1024 ** 2;

/** Reads which numbers the names of owners have, out of the package that has them: FreeBSD's is FreeBSD-runtime. */
async function readAccounts(all: readonly Source[], { folder, signal }: ObtainContext): Promise<Accounts> {
  const isRuntime = ({ where }: Source): boolean => where.startsWith('FreeBSD-runtime ');
  const order = [...all.filter(isRuntime), ...all.filter((each) => !isRuntime(each))];
  const scratch = await scratchFolder(folder);
  const files: Partial<Record<keyof Accounts, string>> = {};
  try {
    for (const { where, use, adapter } of order) {
      const found = await use((archive) =>
        unpack(archive, scratch.path, {
          ...{ where, signal, adapter },
          keep: (path) => path === ACCOUNT_FILES.users || path === ACCOUNT_FILES.groups,
        }),
      );
      for (const kind of ['users', 'groups'] as const) {
        const path = ACCOUNT_FILES[kind];
        const node = found.get(path);
        if (node?.type !== 'file') continue;
        if (node.size > MOST_ACCOUNTS)
          throw new UserError(
            `/${path} of ${where} has ${node.size} bytes, and at most ${MOST_ACCOUNTS} are read. The package is damaged or hostile and is not used.`,
            'Do not use this base repository until you know why.',
          );
        files[kind] = await readFile(join(scratch.path, path), 'utf8');
      }
      if (files.users !== undefined && files.groups !== undefined)
        return parseAccounts({ users: files.users, groups: files.groups });
    }
  } finally {
    await scratch.remove();
  }
  throw new UserError(
    `The base packages hold no ${Object.values(ACCOUNT_FILES).join(' and ')}: they are not those of a complete FreeBSD.`,
    'Check FREEBSD_BASE_PACKAGES.',
  );
}
