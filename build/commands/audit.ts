import { join, resolve as resolvePath } from 'node:path';
import { InputError, messageOf, UserError } from '../error.js';
import { isFolder, readBytes } from '../host/files.js';
import { open } from '../packages/archive.js';
import { LOCK_FILE } from '../packages/lockfile.js';
import { auditPackages, parseVuxml } from '../packages/vuxml.js';
import { downloadBytes } from '../release/download.js';
import { shownPath } from './configuration.js';
import { readLock } from './lock-subject.js';

/** FreeBSD's list of vulnerabilities of packages. */
export const VUXML = 'https://vuxml.freebsd.org/freebsd/vuln.xml.xz';

/** What it may have, packed and not, in bytes (libpkg/pkg_audit.c). */
const MOST_PACKED = 64 * 1024 ** 2;
const MOST = 256 * 1024 ** 2;

export interface AuditOptions {
  /** A lock, or the folder that it is in. */
  readonly lock: string;
  /** URL or file. */
  readonly vuxml: string;
  readonly json: boolean;
}

/**
 * `clawdie-iso audit`: compares the packages of a lock with VuXML.
 *
 * @returns whether nothing is known of any
 */
export async function audit(
  options: AuditOptions,
  { signal, print }: { readonly signal: AbortSignal; readonly print: (line: string) => void },
): Promise<boolean> {
  const given = resolvePath(options.lock);
  const path = (await isFolder(given)) ? join(given, LOCK_FILE) : given;
  const found = await readLock(path);
  if (!found)
    throw new InputError(`There is no lock ${shownPath(path)}.`, 'Run `clawdie-iso lock`, or name the lock.');
  if ('flaw' in found.parsed)
    throw new InputError(
      `${shownPath(path)} cannot be used: ${found.parsed.flaw}.`,
      'Run `clawdie-iso lock`.',
    );
  const { packages } = found.parsed.lock;
  const vulnerabilities = parseVuxml(await readVuxml(options.vuxml, signal), options.vuxml);
  const known = auditPackages(packages, vulnerabilities);
  if (options.json) {
    const lines = known.map(({ of: { name, version }, vulnerabilities: all }) => ({
      ...{ name, version },
      vulnerabilities: all.map(({ id, topic, cves }) => ({ id, topic, cves })),
    }));
    print(JSON.stringify({ type: 'audit', packages: packages.length, known: lines }));
    return known.length === 0;
  }
  for (const { of: each, vulnerabilities: all } of known) {
    print(`${each.name} ${each.version} is vulnerable:`);
    for (const { id, topic, cves } of all) {
      print(`  ${topic}${cves.length > 0 ? ` (${cves.join(', ')})` : ''}`);
      print(`  https://vuxml.freebsd.org/freebsd/${encodeURIComponent(id)}.html`);
    }
  }
  print(
    known.length === 0
      ? `Nothing is known of the ${packages.length} packages of ${shownPath(path)}; ${vulnerabilities.length} vulnerabilities were looked at.`
      : `${known.length} of the ${packages.length} packages of ${shownPath(path)} are known to be vulnerable. Run \`clawdie-iso lock --update\` once the repository has others.`,
  );
  return known.length === 0;
}

async function readVuxml(from: string, signal: AbortSignal): Promise<string> {
  const packed = /^https?:\/\//i.test(from)
    ? await downloadBytes(from, { signal, most: MOST_PACKED, key: '--vuxml' })
    : await readFile(from);
  const plain = open(packed, from, signal);
  const pieces: Buffer[] = [];
  let size = 0;
  try {
    for await (const piece of plain.stream as AsyncIterable<Buffer>) {
      size += piece.length;
      if (size > MOST) throw new UserError(`${from} unpacks to more than ${MOST} bytes.`, 'Check --vuxml.');
      pieces.push(piece);
    }
    await plain.done;
  } catch (error) {
    plain.kill();
    signal.throwIfAborted();
    if (error instanceof UserError) throw error;
    throw new UserError(`${from} cannot be unpacked: ${messageOf(error)}.`, 'Check --vuxml.');
  }
  return Buffer.concat(pieces).toString('utf8');
}

async function readFile(path: string): Promise<Buffer> {
  try {
    return await readBytes(path, MOST);
  } catch (error) {
    throw new InputError(
      `--vuxml ${path} cannot be read: ${messageOf(error)}.`,
      'Name a file, or an http(s) URL.',
    );
  }
}
