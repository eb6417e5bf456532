import { dirname, join, resolve as resolvePath } from 'node:path';
import { codeOf, InputError, messageOf, UserError, whyOf } from '../error.js';
import { isFolder, readBytes, readText, writeFileAtomic } from '../host/files.js';
import { open } from '../packages/archive.js';
import { AUDIT_FILE, auditLock, parseAudit } from '../packages/audit.js';
import { baseParts } from '../packages/audit-base.js';
import type { AuditFile } from '../packages/audit.js';
import { LOCK_FILE } from '../packages/lockfile.js';
import type { Lock } from '../packages/lockfile.js';
import { parseVuxml } from '../packages/vuxml.js';
import { downloadBytes } from '../release/download.js';
import { shownPath } from './configuration.js';
import { readLock } from './lock-file.js';

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
  /** Whether what was found is kept beside the lock, where reports of images find it. */
  readonly save: boolean;
  readonly json: boolean;
}

/**
 * `clawdie-iso audit`: compares the packages of a lock, and its base system, with VuXML.
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
    throw new InputError(
      `There is no lock ${shownPath(path)}.`,
      'Run `clawdie-iso lock`, or name the lock. A configuration that installs nothing, of release sets, has none: nothing is known of it here.',
    );
  if ('flaw' in found.parsed)
    throw new InputError(
      `${shownPath(path)} cannot be used: ${found.parsed.flaw}.`,
      'Run `clawdie-iso lock`.',
    );
  const { lock } = found.parsed;
  const { packages } = lock;
  const vulnerabilities = parseVuxml(await readVuxml(options.vuxml, signal), options.vuxml);
  const result = auditLock(lock, vulnerabilities, options.vuxml, new Date());
  const { known } = result;
  const kept = join(dirname(path), AUDIT_FILE);
  if (options.save) await writeFileAtomic(kept, `${JSON.stringify(result, null, 2)}\n`, 0o644);
  if (options.json) {
    print(JSON.stringify({ type: 'audit', packages: packages.length, base: baseParts(lock), known }));
    return known.length === 0;
  }
  for (const { name, version, vulnerabilities: all } of known) {
    print(`${name} ${version} is vulnerable:`);
    for (const { id, topic, cves } of all) {
      print(`  ${topic}${cves.length > 0 ? ` (${cves.join(', ')})` : ''}`);
      print(`  https://vuxml.freebsd.org/freebsd/${encodeURIComponent(id)}.html`);
    }
  }
  const flawed = known.filter(({ base }) => base !== true).length;
  const of = `of the ${packages.length} packages of ${shownPath(path)}`;
  print(
    flawed === 0
      ? `Nothing is known ${of}; ${vulnerabilities.length} vulnerabilities were looked at.`
      : `${flawed} ${of} are known to be vulnerable. Run \`clawdie-iso lock --update\` once the repository has others.`,
  );
  print(aboutBase(lock, flawed < known.length));
  if (options.save) print(`Kept in ${shownPath(kept)}: reports of images show it.`);
  return known.length === 0;
}

/** A sentence about the base system of a lock, and what to do where something is known of it. */
function aboutBase(lock: Lock, vulnerable: boolean): string {
  const { base, release } = lock;
  const parts = baseParts(lock)
    .map(({ name, version }) => `${name} ${version}`)
    .join(', ');
  const packaged = base ? `${base.packages.length} base packages` : 'release sets';
  if (parts === '')
    return `Of the base system, ${release.version} (${packaged}), VuXML has nothing to say: it knows releases.`;
  const what = `the base system, ${parts} (${packaged})`;
  if (!vulnerable) return `Nothing is known of ${what}.`;
  return base
    ? `Something is known of ${what}. Run \`clawdie-iso lock --update\` once its repository has a newer patch level.`
    : `Something is known of ${what}. FREEBSD_DIST="pkgbase" has the newest patch level; where your sets are of another one than FREEBSD_VERSION says, name it there: "${release.version.replace(/-p[0-9]+$/, '')}-p1".`;
}

/** Largest result that is read, in bytes. */
const MOST_KEPT = 32 * 1024 ** 2;

/**
 * What was found of a lock, as it was kept.
 *
 * @throws UserError whose message is a sentence, if it cannot be used; the system's error if it cannot be read.
 */
export async function readAudit(path: string, checksum: string | undefined): Promise<AuditFile> {
  const audit = parseAudit(await readText(path, MOST_KEPT));
  if ('flaw' in audit) throw new UserError(`${shownPath(path)} is not shown: ${audit.flaw}.`);
  if (audit.lock !== checksum) throw new UserError(`${shownPath(path)} is not shown: it is of another lock.`);
  return audit;
}

/**
 * What was found the last time of the lock in a folder, for reports: they do without what cannot be used.
 *
 * @param warn hears why it cannot be
 */
export async function auditBeside(
  folder: string,
  lock: Lock | undefined,
  warn: (text: string) => void,
): Promise<AuditFile | undefined> {
  if (!lock) return undefined;
  const path = join(folder, AUDIT_FILE);
  try {
    return await readAudit(path, lock.checksum);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    const why =
      codeOf(error) === '' ? messageOf(error) : `${shownPath(path)} cannot be read: ${whyOf(error)}.`;
    warn(`${why} Run \`clawdie-iso audit --save\`.`);
    return undefined;
  }
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
      `--vuxml ${path} cannot be read: ${whyOf(error)}.`,
      'Name a file, or an http(s) URL.',
    );
  }
}
