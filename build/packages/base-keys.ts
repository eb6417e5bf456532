import { InputError } from '../error.js';

/**
 * Fingerprints of the keys that may sign the base repository of a release, by its major version: the SHA-256 of the bytes of a
 * key. From share/keys/pkgbase-15/trusted/ of FreeBSD's source: `awskms-15`, `backup-signing-15`.
 */
const TRUSTED: Readonly<Record<string, readonly string[]>> = {
  '15': [
    '1d7b45d20fa8d6ed26f9b4a13ac81a6b5df860b9fe644d07b87e92298ba72595',
    '56a77bdcb6c3cf7984729c6138bd5617c24aa0d466b3b604c96205b2c5629f3c',
  ],
};

/** Fingerprints that base repositories of a version are believed by; none where the project knows none. */
export function baseKeysOf(version: string): readonly string[] {
  return TRUSTED[version.split('.')[0] ?? ''] ?? [];
}

/** What FREEBSD_DIST begins with where it means a base repository. */
export const PKGBASE = 'pkgbase';

/** Whether FREEBSD_DIST means a base repository: `pkgbase`, or `pkgbase:` and a URL or a folder. */
export function meansPackages(dist: string): boolean {
  return dist === PKGBASE || dist.startsWith(`${PKGBASE}:`);
}

/**
 * The base repository that FREEBSD_DIST means, as a lock names it. FreeBSD's own has a place for each minor version
 * (usr.sbin/pkg/FreeBSD.conf.quarterly-release).
 *
 * @throws InputError for a version that has no such place.
 */
export function baseRepositoryUrl(dist: string, version: string, abi: string): string {
  const named = dist.slice(PKGBASE.length + 1);
  if (named !== '') return named.replaceAll('${ABI}', abi).replace(/\/+$/, '');
  const minor = /^[0-9]+\.([0-9]+)-(?:RELEASE|RC|BETA)/.exec(version)?.[1];
  if (minor === undefined)
    throw new InputError(
      `FREEBSD_DIST is "${PKGBASE}", and FreeBSD's base repositories are those of releases: ${version} is none.`,
      `Name a repository, FREEBSD_DIST="${PKGBASE}:https://…", and its key, FREEBSD_KEY_FILE.`,
    );
  return `https://pkg.FreeBSD.org/${abi}/base_release_${minor}`;
}
