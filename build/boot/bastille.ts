import { lstat, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { InputError } from '../error.js';
import type { Extra } from './steps.js';

/** Bastille as it is put beside an overlay. */
export interface Bastille {
  readonly version: string;
  readonly files: readonly Extra[];
}

/** What of its tree the program is; manual pages and its own tests are left where they are. */
const PARTS = [
  'usr/local/bin/bastille',
  'usr/local/share/bastille',
  'usr/local/etc/bastille/bastille.conf.sample',
  'usr/local/etc/rc.d/bastille',
] as const;

/** Bytes that all of it may have: the slot of an image holds 4 MiB. */
const LIMIT = 2 * 1024 * 1024;

/**
 * Reads Bastille's own files, to put them into a copy of an image as its package would: root's, what can be executed 0555,
 * everything else 0444.
 *
 * @param folder a tree with usr/local/bin/bastille, usr/local/share/bastille and usr/local/etc: its source, or a package that
 * was unpacked
 * @throws InputError if something of it is not there, or is no plain file of text.
 */
export async function readBastille(folder: string): Promise<Bastille> {
  const wrong = (what: string): InputError =>
    new InputError(
      `Reading Bastille from ${folder}: ${what}.`,
      'Name a folder that holds usr/local/bin/bastille, usr/local/share/bastille and usr/local/etc as its source or package has them.',
    );
  const files: Extra[] = [];
  let bytes = 0;
  const take = async (path: string): Promise<void> => {
    const found = await lstat(join(folder, path)).catch(() => undefined);
    if (!found) throw wrong(`there is no ${path}`);
    if (found.isDirectory()) {
      for (const name of (await readdir(join(folder, path))).sort()) await take(`${path}/${name}`);
      return;
    }
    if (!found.isFile()) throw wrong(`${path} is neither a file nor a folder`);
    bytes += found.size;
    if (bytes > LIMIT) throw wrong(`it is larger than ${LIMIT} bytes`);
    const content = await readFile(join(folder, path));
    const body = content.toString('utf8');
    if (!Buffer.from(body, 'utf8').equals(content) || body.includes('\0')) throw wrong(`${path} is no text`);
    files.push({ path, mode: (found.mode & 0o100) === 0 ? 0o444 : 0o555, body });
  };
  for (const part of PARTS) await take(part);
  const version = /^export BASTILLE_VERSION=(\S+)$/m.exec(
    files.find(({ path }) => path === PARTS[0])?.body ?? '',
  )?.[1];
  if (version === undefined) throw wrong(`${PARTS[0]} does not say which version it is`);
  return { version, files };
}
