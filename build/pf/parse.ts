import { RELEASE_HOSTS } from './hosts-file.js';
import type { HostNames } from './hosts-file.js';
import { Cursor } from './read/cursor.js';
import type { ReadFile } from './read/cursor.js';
import { readText } from './read/statements.js';
import type { PfFlaw, Ruleset } from './types.js';

export type { ReadFile } from './read/cursor.js';

export interface ParseResult {
  readonly ruleset: Ruleset;
  readonly flaws: readonly PfFlaw[];
}

/**
 * Reads a rule file as pfctl(8) of FreeBSD 15 does (pf.conf(5), GRAMMAR; sbin/pfctl/parse.y), with its lists expanded
 * in pfctl's order. What is not known is a flaw with its place; reading goes on at the next line, so that all are found.
 * Never throws.
 *
 * @param file what places call the file
 * @param hosts names of /etc/hosts; those of a release where none are given
 */
export function parsePf(
  text: string,
  file: string,
  readFile: ReadFile = () => undefined,
  hosts: HostNames = RELEASE_HOSTS,
): ParseResult {
  const cursor = new Cursor(readFile, hosts);
  readText(cursor, text, file);
  return { ruleset: cursor.out, flaws: cursor.flaws };
}
