import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';

/** Something that is not of this project, and that tests use where it is. */
export type Real =
  | { readonly folder: string; readonly skipped?: undefined }
  | { readonly skipped: string; readonly folder?: undefined };

/** The folder of the cache, as the program finds it. */
function cache(): string {
  const { CLAWDIE_CACHE = '', XDG_CACHE_HOME = '' } = process.env;
  if (CLAWDIE_CACHE !== '') return CLAWDIE_CACHE;
  return join(XDG_CACHE_HOME === '' ? join(homedir(), '.cache') : XDG_CACHE_HOME, 'clawdie-iso');
}

function find(variable: string, name: string, what: string, needs: readonly string[]): Real {
  const named = process.env[variable] ?? '';
  const folder = named === '' ? join(cache(), name) : resolve(named);
  const missing = needs.find((path) => !existsSync(join(folder, path)));
  if (missing === undefined) return { folder };
  // Who names a folder means it: nothing is left out in silence then.
  if (named !== '') throw new Error(`${variable} is ${folder}, which has no ${missing}`);
  return { skipped: `no ${what}: neither ${variable} nor ${folder}` };
}

/** Bastille's own tree: CLAWDIE_TEST_BASTILLE, or `test-bastille` in the cache. */
export const BASTILLE = find('CLAWDIE_TEST_BASTILLE', 'test-bastille', 'Bastille', [
  'usr/local/bin/bastille',
  'usr/local/share/bastille/common.sh',
  'usr/local/etc/bastille/bastille.conf.sample',
]);

/** Real release sets: CLAWDIE_TEST_SETS, or `test-sets` in the cache. */
export const SETS = find('CLAWDIE_TEST_SETS', 'test-sets', 'release sets of FreeBSD', [
  'MANIFEST',
  'base.txz',
  'kernel.txz',
]);

/** FreeBSD's own cases for the parser of pfctl(8): CLAWDIE_TEST_PFCTL, or `test-pfctl` in the cache. */
export const PFCTL = find('CLAWDIE_TEST_PFCTL', 'test-pfctl', 'parser cases of pfctl', [
  'pf0001.in',
  'pf0001.ok',
]);

/** The real pkg(8), which builds on Linux: the folder of CLAWDIE_TEST_PKG, which has the program `pkg`, or `test-pkg` in the cache. */
export const PKG = find('CLAWDIE_TEST_PKG', 'test-pkg', 'pkg(8)', ['pkg']);

/** The folder, in a test that has been skipped where there is none. */
export function folderOf({ folder, skipped }: Real): string {
  if (folder === undefined) throw new Error(skipped);
  return folder;
}

/** Skips a test that needs what is not there, and says so. */
export function skipWithout(needed: readonly Real[], skip: (why: string) => void): void {
  const missing = needed.flatMap(({ skipped }) => skipped ?? []);
  if (missing.length > 0) skip(missing.join('; '));
}
