import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { UserError } from '../error.js';
import { pruneReason } from '../rootfs/prune.js';
import type { Profile } from '../rootfs/prune.js';
import { unpack } from '../rootfs/unpack.js';
import type { Source } from '../rootfs/release-tree.js';
import { parseFingerprint } from './signature.js';

/** What packages have to know of the base system that they go onto. */
export interface BaseFactsForPackages {
  /** Fingerprints of the keys that may sign catalogues of ports, and of those that may no longer. */
  readonly trusted: readonly string[];
  readonly revoked: readonly string[];
  /** Shared libraries in an image of each profile. */
  readonly libraries: Readonly<Record<Profile, readonly string[]>>;
  /** `__FreeBSD_version`; none where there is no sys/param.h. */
  readonly osversion?: number;
}

/** Where the base system keeps the keys of FreeBSD's repository of ports (/etc/pkg/FreeBSD.conf). */
const KEYS = 'usr/share/keys/pkg';
const PARAM = 'usr/include/sys/param.h';
const PROFILES: readonly Profile[] = ['minimal', 'standard', 'full'];

/** What scan_system_shlibs() of libpkg/pkgbase.c takes for a shared library of the system. */
const LIBRARY = /^(?:usr\/)?lib\/(lib[^/]*\.so(?:\.[0-9.]+)?)$/;

/**
 * Reads the keys and the names of shared libraries out of a base system, whose sums are known.
 *
 * @param folder an empty folder, for the few files that are read
 * @throws UserError if an archive is damaged, or a fingerprint is none.
 */
export async function readBase(
  sources: readonly Source[],
  folder: string,
  signal: AbortSignal,
): Promise<BaseFactsForPackages> {
  const libraries: Record<Profile, Set<string>> = {
    minimal: new Set(),
    standard: new Set(),
    full: new Set(),
  };
  const keep = (path: string): boolean => {
    const library = LIBRARY.exec(path)?.[1];
    if (library !== undefined)
      for (const profile of PROFILES)
        if (pruneReason(profile, path) === undefined) libraries[profile].add(library);
    return path === PARAM || /^usr\/share\/keys\/pkg\/(?:trusted|revoked)\/[^/]+$/.test(path);
  };
  for (const { where, use, adapter } of sources)
    await use((archive) => unpack(archive, folder, { where, signal, keep, adapter }));
  const fingerprints = async (kind: string): Promise<readonly string[]> => {
    const files = await readdir(join(folder, KEYS, kind)).catch(() => []);
    const found: string[] = [];
    for (const file of files.sort()) {
      const where = `the base system: ${KEYS}/${kind}/${file}`;
      found.push(parseFingerprint(await readFile(join(folder, KEYS, kind, file), 'utf8'), where));
    }
    return found;
  };
  const param = await readFile(join(folder, PARAM), 'utf8').catch(() => '');
  const osversion = /^#define\s+__FreeBSD_version\s+([1-9][0-9]{5,7})\b/m.exec(param)?.[1];
  return {
    trusted: await fingerprints('trusted'),
    revoked: await fingerprints('revoked'),
    libraries: {
      minimal: [...libraries.minimal].sort(),
      standard: [...libraries.standard].sort(),
      full: [...libraries.full].sort(),
    },
    ...(osversion !== undefined && { osversion: Number(osversion) }),
  };
}

/** The ABI of a release, as pkg(8) has it. @throws UserError if the version is none. */
export function abiOf(version: string, arch: string): string {
  const major = /^([1-9][0-9]?)\./.exec(version)?.[1];
  if (major === undefined) throw new UserError(`${version} is no version of FreeBSD.`);
  return `FreeBSD:${major}:${arch === 'arm64' ? 'aarch64' : arch}`;
}
