import { UserError } from '../error.js';

/** One release set as MANIFEST lists it. */
export interface SetEntry {
  readonly file: string;
  /** SHA-256 of the archive, 64 hexadecimal digits in lower case. */
  readonly sha256: string;
  /** How many files the archive holds. */
  readonly count: number;
}

/** Sets that an image is made of. */
export const SETS = ['base.txz', 'kernel.txz'] as const;
export type SetName = (typeof SETS)[number];

/** The sums of the sets that an image is made of. */
export type Sums = Readonly<Record<SetName, string>>;

/**
 * Reads the MANIFEST of a FreeBSD release: file, SHA-256, count, name, "description", on|off, separated by tabs
 * (release/scripts/make-manifest.sh). `where` is what messages call it.
 *
 * @throws UserError if a line is not of that form, names a path instead of a file, or lists a file twice.
 */
export function parseManifest(text: string, where: string): ReadonlyMap<string, SetEntry> {
  const entries = new Map<string, SetEntry>();
  const fail = (line: number, what: string): never => {
    throw new UserError(
      `${where}, line ${line}: ${what}.`,
      'Take the MANIFEST that belongs to the release; it is a table separated by tabs.',
    );
  };
  for (const [index, line] of text.split('\n').entries()) {
    if (line === '') continue;
    const [file = '', sha256 = '', count = ''] = line.split('\t');
    if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(file))
      fail(index + 1, 'the first column is not the plain name of a file');
    if (!/^[0-9a-f]{64}$/.test(sha256))
      fail(index + 1, `${file} has no SHA-256 sum of 64 hexadecimal digits`);
    if (!/^[0-9]{1,9}$/.test(count)) fail(index + 1, `${file} has no count of files`);
    if (entries.has(file)) fail(index + 1, `${file} is listed twice`);
    entries.set(file, { file, sha256, count: Number(count) });
  }
  return entries;
}

/**
 * The sums of the sets that an image needs.
 *
 * @throws UserError if MANIFEST lacks one.
 */
export function sumsOf(manifest: ReadonlyMap<string, SetEntry>, where: string): Sums {
  const sum = (set: SetName): string => {
    const entry = manifest.get(set);
    if (!entry)
      throw new UserError(`${where} does not list ${set}.`, 'Use the MANIFEST of a complete release.');
    return entry.sha256;
  };
  return { 'base.txz': sum('base.txz'), 'kernel.txz': sum('kernel.txz') };
}
