import { isAbsolute, join, resolve as resolvePath } from 'node:path';
import { codeOf, InputError, UserError, whyOf } from '../error.js';
import { openFile, readBytes } from '../host/files.js';
import { download, downloadBytes, NotThere } from '../release/download.js';
import type { DownloadOptions, Expected, OnProgress } from '../release/download.js';
import { LIMITS, readCatalogueArchive } from './archive.js';
import { parseMeta } from './catalogue.js';
import { copyChecked } from './checked-file.js';
import { verifyCatalogue } from './signature.js';
import type { Trust } from './signature.js';

/** The key of a configuration that names a repository, for messages. */
export type RepositoryKey = 'PACKAGES_REPOSITORY' | 'FREEBSD_DIST';

/** Where packages come from: a server, or a folder like the one that `pkg repo` makes. */
export interface Repository {
  /** For people, and for the lock. */
  readonly url: string;
  readonly key: RepositoryKey;
  /** Whether it is a folder, which may keep packages of npm as well (`lock --vendor`). */
  readonly isFolder: boolean;
  /** A small file; undefined if there is none. */
  small(name: string, most: number, onProgress?: OnProgress): Promise<Buffer | undefined>;
  /** Brings a file to a path, which appears only once its bytes are the expected ones; gives its SHA-256, in hexadecimal. */
  bring(
    path: string,
    to: string,
    expected: Expected,
    size: number | undefined,
    onProgress?: OnProgress,
  ): Promise<string>;
}

/**
 * The repository that PACKAGES_REPOSITORY means: `quarterly` and `latest` are FreeBSD's.
 *
 * @param folder where a relative path begins
 * @throws InputError if it is no URL and no path.
 */
export function repositoryAt(
  value: string,
  abi: string,
  folder: string,
  options: DownloadOptions,
): Repository {
  return openRepository(repositoryUrl(value, abi), folder, options, 'PACKAGES_REPOSITORY');
}

/**
 * A repository by its URL, or by the path of its folder.
 *
 * @param folder where a relative path begins
 */
export function openRepository(
  url: string,
  folder: string,
  options: DownloadOptions,
  key: RepositoryKey,
): Repository {
  if (/^https?:\/\//i.test(url)) return onServer(url, options, key);
  return inFolder(url, isAbsolute(url) ? url : resolvePath(folder, url), options, key);
}

/** What PACKAGES_REPOSITORY means, as a lock names it. */
export function repositoryUrl(value: string, abi: string): string {
  const named = value === 'quarterly' || value === 'latest';
  return (named ? `https://pkg.FreeBSD.org/\${ABI}/${value}` : value)
    .replaceAll('${ABI}', abi)
    .replace(/\/+$/, '');
}

function onServer(url: string, options: DownloadOptions, key: RepositoryKey): Repository {
  const with_ = (onProgress?: OnProgress): DownloadOptions => ({
    ...{ ...options, key },
    ...(onProgress && { onProgress }),
  });
  return {
    ...{ url, key, isFolder: false },
    async small(name, most, onProgress) {
      try {
        return await downloadBytes(`${url}/${name}`, { ...with_(onProgress), most });
      } catch (error) {
        if (error instanceof NotThere) return undefined;
        throw error;
      }
    },
    bring: (path, to, expected, size, onProgress) =>
      download(`${url}/${path}`, to, expected, {
        ...with_(onProgress),
        ...(size !== undefined && { most: size }),
      }),
  };
}

function inFolder(url: string, folder: string, { signal }: DownloadOptions, key: RepositoryKey): Repository {
  const found = async <T>(name: string, read: (path: string) => Promise<T>): Promise<T | undefined> => {
    try {
      return await read(join(folder, name));
    } catch (error) {
      if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return undefined;
      throw new UserError(`${join(folder, name)} cannot be read: ${whyOf(error)}.`, `Check ${key}.`);
    }
  };
  return {
    ...{ url, key, isFolder: true },
    small: (name, most) => found(name, (path) => readBytes(path, most)),
    async bring(path, to, expected, size) {
      const source = join(folder, path);
      const file = await found(path, openFile);
      if (!file) throw new NotThere(`${source} is not there.`, `Check ${key}.`);
      try {
        const copied = await copyChecked(file, to, expected, size, signal);
        if ('sha256' in copied) return copied.sha256;
        throw new UserError(
          `${source} ${copied.wrong}. It was altered or damaged, and is not used.`,
          `Check ${key}.`,
        );
      } finally {
        await file.close();
      }
    },
  };
}

/** A catalogue that somebody who is trusted has signed. */
export interface VerifiedCatalogue {
  readonly body: Buffer;
  /** Whether it has an object a line (packagesite.yaml). */
  readonly lines: boolean;
  /** Fingerprint of the key that has signed it. */
  readonly key: string;
  /** When it was made, in seconds since 1970: the archive's word, which is not signed. */
  readonly time: number;
  /** Files of the repository that it was read from, for who keeps them. */
  readonly files: readonly { readonly name: string; readonly bytes: Buffer }[];
}

/**
 * Fetches the catalogue of a repository and verifies its signature, before anything of it is read.
 *
 * @throws UserError if it is not there, not signed by who is trusted, damaged or hostile.
 */
export async function fetchCatalogue(
  repository: Repository,
  trust: Trust,
  signal: AbortSignal,
  onProgress?: OnProgress,
): Promise<VerifiedCatalogue> {
  const metaBytes = await repository.small('meta.conf', 1024 ** 2);
  if (!metaBytes)
    throw new InputError(
      `${repository.url} has no meta.conf: there is no repository of packages.`,
      `Check ${repository.key}, and that the release (FREEBSD_VERSION) has packages there.`,
    );
  const { catalogues } = parseMeta(metaBytes.toString('utf8'), `${repository.url}/meta.conf`);
  for (const { file, member, lines } of catalogues) {
    const packed = await repository.small(file, LIMITS.packed, onProgress);
    if (!packed) continue;
    const where = `${repository.url}/${file}`;
    const { body, time, signatures } = await readCatalogueArchive(packed, member, where, signal);
    const key = verifyCatalogue(body, signatures, trust, where);
    const files = [
      { name: 'meta.conf', bytes: metaBytes },
      { name: file, bytes: packed },
    ];
    return { body, lines, key, time, files };
  }
  throw new UserError(
    `${repository.url} has no catalogue: neither ${catalogues.map(({ file }) => file).join(' nor ')} is there.`,
    `Check ${repository.key}.`,
  );
}
