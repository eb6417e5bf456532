import { createReadStream } from 'node:fs';
import { z } from 'zod';
import { messageOf, UserError } from '../error.js';
import { openFile, readAt } from '../host/files.js';
import { MAGIC_BYTES } from '../host/packers.js';
import { parseJson } from '../json.js';
import { TarReader } from '../rootfs/tar.js';
import { AGAIN, unpack } from './archive.js';
import { manifestPaths, MOST_MANIFEST } from './base-package.js';

const MANIFEST = z.looseObject({ files: manifestPaths });

/**
 * The files that a package has, by its `+MANIFEST`, which stands with `+COMPACT_MANIFEST` at the beginning of its archive
 * (libpkg/pkg_create.c): no more than that is unpacked.
 *
 * @param path of the archive, whose sum is right
 * @param where what messages call it
 * @returns absolute paths
 * @throws UserError if the archive does not begin as one of pkg(8) does.
 */
export async function packageFiles(
  path: string,
  where: string,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const refused = (what: string): UserError =>
    new UserError(`${where} ${what}. It is no package of pkg(8), or a damaged one, and is not used.`, AGAIN);
  const unpacking = unpack(await beginningOf(path), createReadStream(path), where, signal);
  try {
    const reader = new TarReader(unpacking.stream[Symbol.asyncIterator]() as AsyncIterator<Buffer>, where);
    for (;;) {
      const entry = await reader.next();
      if (!entry || !/^\+(?:COMPACT_)?MANIFEST$/.test(entry.name) || entry.size > MOST_MANIFEST)
        throw refused('does not begin with its manifest');
      if (entry.name !== '+MANIFEST') continue;
      const parsed = MANIFEST.safeParse(parseJson((await reader.whole()).toString('utf8')));
      if (!parsed.success) throw refused('has a manifest that is none');
      return [...parsed.data.files];
    }
  } catch (error) {
    signal.throwIfAborted();
    throw error instanceof UserError
      ? new UserError(error.message, AGAIN)
      : refused(`cannot be unpacked: ${messageOf(error)}`);
  } finally {
    unpacking.kill();
  }
}

async function beginningOf(path: string): Promise<Buffer> {
  const file = await openFile(path);
  try {
    return await readAt(file, 0, MAGIC_BYTES);
  } finally {
    await file.close();
  }
}

/** Packages that are installed into one system. */
export interface Together {
  /** For people, as in `the host of build.cfg`. */
  readonly where: string;
  readonly names: ReadonlySet<string>;
}

/**
 * Packages of which pkg(8) installs one alone, since both have a file (pkg_conflicts_need_conflict() of
 * libpkg/pkg_jobs_conflicts.c: whatever is in it). Pure.
 *
 * @param files of each package, by its name
 * @returns a sentence for each two of them
 */
export function fileConflicts(
  files: ReadonlyMap<string, readonly string[]>,
  together: readonly Together[],
): readonly string[] {
  const owners = new Map<string, string[]>();
  for (const [name, paths] of files)
    for (const path of new Set(paths)) {
      const all = owners.get(path);
      if (all) all.push(name);
      else owners.set(path, [name]);
    }
  const found = new Map<string, string>();
  for (const [path, names] of owners)
    for (const [index, one] of names.entries())
      for (const other of names.slice(index + 1)) {
        const set = together.find((each) => each.names.has(one) && each.names.has(other));
        const pair = `${one} and ${other}`;
        if (set && !found.has(pair))
          found.set(pair, `${pair} both have ${path}, and are both for ${set.where}.`);
      }
  return [...found.values()];
}
