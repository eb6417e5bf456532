import { createHash } from 'node:crypto';
import { open, readdir, readFile, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { plain } from '../boot/stages.js';
import { codeOf, InputError, UserError, whyOf } from '../error.js';
import { exists, readAt, readText } from '../host/files.js';
import { hashRange, sha256 } from '../host/hash.js';
import { verify as verifySignature } from '../host/ssh-sign.js';
import { readChecksums } from '../image/checksum.js';
import { stemOf } from '../image/formats.js';
import { fillOf, readRootHeader } from '../image/root-file.js';
import { archiveIn, headerOf, headerText, SECTOR, SIGNATURE_SIZE, signatureIn } from '../image/slot.js';
import { asSigners, noSigners, IMAGE_NAMESPACE, SLOT_NAMESPACE } from '../overlay/signers.js';
import { CHECKSUM, CHECKSUM_SIGNATURE } from '../pipeline/deploy.js';
import { isListedPaper, isProvenance, paperNames } from '../report/names.js';
import { imagesOfStatement, MOST_PAPER, readStatement } from '../report/read-papers.js';
import { readOr } from './configuration.js';
import { readSlot } from './image-slot.js';

export interface VerifyOptions {
  /** A folder of images, one image or paper in it, a slot, or the root of a release. */
  readonly subject: string;
  /** File with those who may have signed: allowed_signers of ssh-keygen(1), or public keys. */
  readonly signers?: string;
  readonly json: boolean;
}

/** One thing that was looked at. */
interface Finding {
  readonly what: string;
  readonly holds: boolean;
  /** Who signed it and what it says, or what is wrong. */
  readonly detail: string;
}

/**
 * `clawdie-iso verify`: whether images are what one of the signers has signed: the list of their sums, the sums, the overlay in
 * each, and their papers: bill of materials and provenance; of a folder the roots of releases as well. Needs no network.
 *
 * @returns whether all holds
 * @throws InputError if there is nothing to verify, or the signers cannot be read.
 */
export async function verify(options: VerifyOptions, print: (line: string) => void): Promise<boolean> {
  const named =
    'Name a file of public keys (id_ed25519.pub), or one as ssh-keygen(1) reads it (ALLOWED SIGNERS).';
  if (options.signers === undefined)
    throw new InputError(
      'verify has to know who may have signed: --signers.',
      `${named} Of images that nobody signed (SIGN_KEY), \`sha256sum -c ${CHECKSUM}\` in their folder compares the sums.`,
    );
  const text = await readOr(options.signers, (why) => [
    `The signers ${options.signers} cannot be read: ${why}.`,
    named,
  ]);
  const nobody = noSigners(text);
  if (nobody !== undefined) throw new InputError(`--signers: ${options.signers} ${nobody}.`, named);
  const signers = asSigners(text);
  const info = await stat(options.subject).catch((error: unknown) => {
    throw new InputError(
      `${options.subject} cannot be read: ${whyOf(error)}.`,
      'Name a folder of images, an image, a paper, a root or a slot.',
    );
  });
  const findings = info.isDirectory()
    ? await ofFolder(options.subject, undefined, signers)
    : await ofFile(options.subject, signers);
  if (options.json) print(JSON.stringify({ holds: findings.every(({ holds }) => holds), findings }, null, 2));
  else
    for (const { what, holds, detail } of findings)
      print(plain(`${holds ? 'holds ' : 'BROKEN'}  ${what}: ${detail}`));
  return findings.every(({ holds }) => holds);
}

async function ofFile(path: string, signers: string): Promise<readonly Finding[]> {
  const folder = dirname(path);
  const name = basename(path);
  const listed = (await list(folder))?.sums.has(name) ?? false;
  // A paper is signed by the list or not at all.
  if (listed || isListedPaper(name)) return ofFolder(folder, name, signers);
  const root = await ofRoot(path, name, signers);
  if (root) return [root];
  const slot = await ofSlot(path, name, signers);
  // Of a slot by itself the signature covers all; of an image it covers the overlay alone.
  const bare = (await stat(path)).size === (await readSlot(path)).length;
  return bare
    ? [slot]
    : [{ what: name, holds: false, detail: `there is no ${CHECKSUM} beside it that lists it` }, slot];
}

/** The list of sums of a folder; undefined if there is none. */
async function list(
  folder: string,
): Promise<{ readonly text: string; readonly sums: ReadonlyMap<string, string> } | undefined> {
  const text = await readFile(join(folder, CHECKSUM), 'utf8').catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw new InputError(`${join(folder, CHECKSUM)} cannot be read: ${whyOf(error)}.`);
  });
  if (text === undefined) return undefined;
  return { text, sums: readChecksums(text) };
}

async function ofFolder(
  folder: string,
  only: string | undefined,
  signers: string,
): Promise<readonly Finding[]> {
  const found = await list(folder);
  if (!found || found.sums.size === 0)
    throw new InputError(
      `${folder} has no ${CHECKSUM} with images.`,
      'Name a folder that `make iso` has filled, or the file itself: an image, a slot, a root.',
    );
  const signature = await readFile(join(folder, CHECKSUM_SIGNATURE), 'utf8').catch(() => undefined);
  const findings = [await signed(CHECKSUM, signers, IMAGE_NAMESPACE, found.text, signature)];
  const wanted = only === undefined ? undefined : withPapers(only);
  for (const [name, sum] of found.sums) {
    if (wanted?.has(name) === false) continue;
    const path = join(folder, name);
    const whole = await ofSum(path, name, sum);
    findings.push(whole);
    if (!isListedPaper(name)) findings.push(await ofSlot(path, `the overlay of ${name}`, signers));
    else if (isProvenance(name) && whole.holds) findings.push(await ofProvenance(path, name, found.sums));
  }
  const broken = (what: string, detail: string): Finding => ({ what, holds: false, detail });
  for (const name of wanted ?? (await readdir(folder)).sort())
    if (isSigned(name) && !found.sums.has(name) && (await exists(join(folder, name))))
      findings.push(broken(name, `${CHECKSUM} does not list it`));
    // Roots of releases are in no list: each has a signature of its own.
    else if (name.endsWith('.root'))
      findings.push(
        (await ofRoot(join(folder, name), name, signers)) ?? broken(name, 'it is no root of a release'),
      );
  return findings;
}

/** An image with its papers, or one of these. */
function withPapers(name: string): ReadonlySet<string> {
  const { sbom, provenance } = paperNames(stemOf(name));
  return new Set(isListedPaper(name) ? [name] : [name, sbom, provenance]);
}

/** Whether a file of this name is to be in the list of sums. */
function isSigned(name: string): boolean {
  return /\.(?:iso|img\.zst|qcow2|vmdk|vhd)$/.test(name) || isListedPaper(name);
}

/** Whether no image that a statement tells of is listed with another sum. */
async function ofProvenance(path: string, name: string, sums: ReadonlyMap<string, string>): Promise<Finding> {
  const what = `what ${name} is about`;
  const statement = readStatement(await readText(path, MOST_PAPER).catch(() => ''));
  if (!statement) return { what, holds: false, detail: 'it is no provenance of clawdie-iso' };
  const images = imagesOfStatement(statement);
  const other = images.find((image) => (sums.get(image.name) ?? image.sha256) !== image.sha256);
  return other
    ? { what, holds: false, detail: `it tells of another ${other.name} than ${CHECKSUM} lists` }
    : { what, holds: true, detail: images.map((image) => image.name).join(', ') };
}

async function signed(
  what: string,
  signers: string,
  namespace: string,
  data: string,
  signature: string | undefined,
): Promise<Finding> {
  if (signature === undefined) return { what, holds: false, detail: 'it is not signed' };
  const who = await verifySignature(signers, namespace, data, signature);
  return who === undefined
    ? { what, holds: false, detail: 'it is signed by none of the signers, or was changed since' }
    : { what, holds: true, detail: `signed by ${who}` };
}

/** Whether a file is the one that the list of sums has. */
async function ofSum(path: string, what: string, sum: string): Promise<Finding> {
  const file = await open(path, 'r').catch(() => undefined);
  if (!file) return { what, holds: false, detail: 'it is listed, but cannot be read' };
  try {
    const hash = await hashRange(createHash('sha256'), file, 0, (await file.stat()).size);
    const actual = hash.digest('hex');
    return actual === sum
      ? { what, holds: true, detail: `SHA-256 ${sum}` }
      : { what, holds: false, detail: `its SHA-256 is ${actual}, not ${sum}` };
  } finally {
    await file.close();
  }
}

/** The root of a release (`clawdie-iso root`); undefined if a file is none. */
async function ofRoot(path: string, what: string, signers: string): Promise<Finding | undefined> {
  const file = await open(path, 'r');
  try {
    const head = await readAt(file, 0, SECTOR);
    const root = readRootHeader(head);
    if (!root) return undefined;
    const end = SECTOR + root.kernelBytes + root.rootBytes;
    const hash = await hashRange(createHash('sha256'), file, SECTOR, end);
    if (hash.digest('hex') !== root.sha256) return { what, holds: false, detail: 'it is damaged' };
    const signature = (await readAt(file, end + fillOf(root), SIGNATURE_SIZE)).toString('latin1');
    const finding = await signed(
      what,
      signers,
      IMAGE_NAMESPACE,
      headerText(head),
      signature === '' ? undefined : signature,
    );
    return finding.holds
      ? { ...finding, detail: `root of ${root.release}, serial ${root.serial ?? '-'}, ${finding.detail}` }
      : finding;
  } finally {
    await file.close();
  }
}

async function ofSlot(path: string, what: string, signers: string): Promise<Finding> {
  try {
    const slot = await readSlot(path);
    const sum = headerOf(slot, 'sha256');
    if (sha256(archiveIn(slot)) !== sum) return { what, holds: false, detail: 'it is damaged' };
    const finding = await signed(what, signers, SLOT_NAMESPACE, headerText(slot), signatureIn(slot));
    if (!finding.holds) return finding;
    const [deployment, serial] = [headerOf(slot, 'deployment'), headerOf(slot, 'serial')];
    return { ...finding, detail: `deployment ${deployment}, serial ${serial}, ${finding.detail}` };
  } catch (error) {
    if (error instanceof UserError) return { what, holds: false, detail: error.message };
    throw error;
  }
}
