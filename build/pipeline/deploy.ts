import { readFile, rename, rm } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { partialName, sweepPartial, writeError, writeFileAtomic } from '../host/files.js';
import { acquire } from '../host/lock.js';
import type { Lock } from '../host/lock.js';
import { readChecksums, withChecksums } from '../image/checksum.js';
import { filledSlot, headerText, withSignature } from '../image/slot.js';
import type { SlotIdentity } from '../image/slot.js';
import { checkBase, DamagedBase, stamp } from '../image/stamp.js';
import type { CheckedBase } from '../image/stamp.js';
import type { CopyAhead } from '../image/ahead.js';
import { imageName, isDisk } from '../image/formats.js';
import type { ImageFormat } from '../config/keys/disk.js';
import type { Written } from '../host/write-hashed.js';
import { packOverlay } from '../overlay/pack.js';
import { IMAGE_NAMESPACE, SLOT_NAMESPACE } from '../overlay/signers.js';
import { renderOverlay } from '../overlay/render.js';
import type { OverlayEntry, RenderInput } from '../overlay/render.js';
import { checkOrder } from '../rc/check.js';
import { checkOwn } from '../rc/own.js';
import { parseHeader, RC_FOLDERS } from '../rc/headers.js';
import type { RcScript } from '../rc/headers.js';
import { InputError, UserError } from '../error.js';
import { BASE_IMAGE, obtainBase } from './base.js';
import type { BaseFacts, BaseRequest, Work } from './base.js';
import type { CacheEntry } from './cache.js';
import { writeDisks } from './disk.js';
import type { BaseDisk } from './disk.js';

/** A rendered deployment: the overlay's entries and the slot that holds them. */
export interface Overlay {
  readonly entries: readonly OverlayEntry[];
  readonly slot: Buffer;
}

/** How what a deployment makes is signed (SIGN_KEY). */
export interface Signing {
  readonly identity: SlotIdentity;
  /** Gives the signature as text. */
  readonly sign: (namespace: string, data: string) => Promise<string>;
  /** Whether a signature is this key's. */
  readonly holds: (namespace: string, data: string, signature: string) => Promise<boolean>;
}

/** Renders and packs the overlay of a deployment; it stays in memory, since it may hold secrets. */
export function makeOverlay(
  input: RenderInput,
  release: string,
  time: number,
  signing?: Signing,
): Promise<Overlay> {
  return packedOverlay(renderOverlay(input), release, time, signing);
}

/** The overlay of entries that were rendered. @throws UserError if it does not fit, or cannot be signed. */
export async function packedOverlay(
  entries: readonly OverlayEntry[],
  release: string,
  time: number,
  signing?: Signing,
): Promise<Overlay> {
  const slot = filledSlot(await packOverlay(entries, time), release, signing?.identity);
  if (!signing) return { entries, slot };
  return { entries, slot: withSignature(slot, await signing.sign(SLOT_NAMESPACE, headerText(slot))) };
}

/** A base image that stands in the cache, and whose bytes were looked at. */
export interface ReadyBase {
  readonly facts: BaseFacts;
  readonly checked: CheckedBase;
}

/**
 * Looks at the bytes of a base image that the cache has, beside what has to be done before it is needed. Undefined where it has
 * none, or not as it was made: readyBase() says so, and makes it.
 */
export async function presentBase(
  request: BaseRequest,
  work: Pick<Work, 'cache' | 'signal' | 'onBase'>,
): Promise<ReadyBase | undefined> {
  try {
    const present = await work.cache.get<BaseFacts>('base', request.keys.base);
    return present && (await checkEntry(present, work));
  } catch {
    return undefined;
  }
}

async function checkEntry(
  { folder, facts }: CacheEntry<BaseFacts>,
  { onBase, signal }: Pick<Work, 'onBase' | 'signal'>,
): Promise<ReadyBase> {
  const path = join(folder, BASE_IMAGE);
  onBase?.(path);
  return { facts, checked: await checkBase(path, facts.sums, signal) };
}

/**
 * The base image of a request, undamaged: from the cache, or made; one that turns out to be damaged is made again, once.
 *
 * @throws UserError if it cannot be made.
 */
export async function readyBase(request: BaseRequest, work: Work): Promise<ReadyBase> {
  for (let again = false; ; again = true) {
    const entry = await obtainBase(request, work);
    try {
      return entry.checked ? { facts: entry.facts, checked: entry.checked } : await checkEntry(entry, work);
    } catch (error) {
      if (!(error instanceof DamagedBase) || again) throw error;
      work.emit({ type: 'warning', text: `${error.message} It is made again.` });
      await work.cache.remove('base', request.keys.base);
    }
  }
}

/** Refuses an image whose scripts rc(8) could run in an order that leaves a door open. */
function checkRcOrder(base: readonly RcScript[], entries: readonly OverlayEntry[]): void {
  const scripts = new Map(base.map((script) => [script.path, script]));
  const own: (readonly [path: string, script: RcScript | undefined])[] = [];
  for (const entry of entries) {
    if (entry.type !== 'file' || !RC_FOLDERS.some((folder) => folder === dirname(entry.path))) continue;
    const header = parseHeader(entry.path, entry.body);
    if (entry.own) own.push([entry.path, header]);
    else if (header) scripts.set(entry.path, header);
  }
  const image = [...scripts.values()];
  const refused = checkOwn(image, own);
  if (refused.length > 0)
    throw new UserError(
      `EXTRA_FILES has rc.d scripts that cannot be in an image:\n  ${refused.join('\n  ')}`,
      'Change their headers (rc.d(8)), or their names.',
    );
  const problems = checkOrder([...image, ...own.flatMap(([, script]) => script ?? [])]);
  if (problems.length > 0)
    throw new UserError(
      `The rc.d scripts of the image are not in an order that is safe:\n  ${problems.join('\n  ')}`,
      'A release whose rc.d scripts differ from those of FreeBSD 15 cannot be used.',
    );
}

/** What images are made of. */
export interface Made {
  readonly base: ReadyBase;
  /** Where disk images are asked for. */
  readonly disk: BaseDisk | undefined;
  readonly overlay: Overlay;
  /** Whether the overlay holds a secret: images are then their owner's alone. */
  readonly secret: boolean;
  /** Of everything in the images, in seconds since the epoch. */
  readonly time: number;
}

/** An image that stands in an output folder. */
export interface ImageFile extends Written {
  readonly format: ImageFormat;
  readonly name: string;
}

/**
 * Makes the images of a deployment: under temporary names, renamed when all of them are whole.
 *
 * @param stem their names without what tells the format
 * @param ahead the copy that the ISO is made of, where one was begun
 * @returns what they came to, in the order of the formats
 * @throws UserError if they cannot be written, or the rc.d scripts are in no safe order; what stood under the names stands.
 */
export async function writeImages(
  { base, disk, overlay, secret, time }: Made,
  formats: readonly ImageFormat[],
  out: string,
  stem: string,
  work: Pick<Work, 'cache' | 'signal'>,
  ahead?: CopyAhead,
): Promise<readonly ImageFile[]> {
  checkRcOrder(base.facts.root.rc, overlay.entries);
  const mode = secret ? 0o600 : 0o644;
  const targets = formats.map((format) => {
    const name = imageName(stem, format);
    const part = ahead && !isDisk(format) ? ahead.path : partialName(join(out, name));
    return { format, name, part };
  });
  try {
    const written = new Map<string, Written>();
    for (const { format, name, part } of targets) {
      if (isDisk(format)) continue;
      const sha256 = await stamp(base.checked, overlay.slot, part, mode, await ahead?.copied());
      written.set(name, { sha256, bytes: base.facts.sums.size });
    }
    const disks = targets.flatMap(({ format, ...rest }) => (isDisk(format) ? [{ format, ...rest }] : []));
    if (disks.length > 0) {
      if (!disk) throw new Error(`the base disk of ${stem} was not prepared`);
      for (const [name, sums] of await writeDisks(disk, overlay.slot, disks, mode, time, work))
        written.set(name, sums);
    }
    // No sum of what is about to be replaced, if what comes after this fails.
    const listed = readChecksums(await readFile(join(out, CHECKSUM), 'utf8').catch(() => ''));
    if ([...written].some(([name, { sha256 }]) => (listed.get(name) ?? sha256) !== sha256))
      await writeChecksums(out, [], (name) => !name.startsWith(`${stem}.`));
    for (const { name, part } of targets) await rename(part, join(out, name));
    return targets.flatMap(({ format, name }) => {
      const sums = written.get(name);
      return sums ? [{ format, name, ...sums }] : [];
    });
  } catch (error) {
    throw writeError(join(out, stem), error);
  } finally {
    for (const { part } of targets) await rm(part, { force: true });
  }
}

/** Sums of the images in a folder and of their papers, and their signature, as ssh-keygen(1) calls it. */
export const CHECKSUM = 'CHECKSUM.SHA256';
export const CHECKSUM_SIGNATURE = `${CHECKSUM}.sig`;

/**
 * Puts sums of images and papers into CHECKSUM.SHA256 of their folder; those of files that are gone are dropped.
 *
 * @param keep whether the line of another file stays
 * @param signing signs the list; without, a signature that no longer fits is removed
 */
export async function writeChecksums(
  folder: string,
  files: readonly { readonly name: string; readonly sha256: string }[],
  keep: (name: string) => boolean = () => true,
  signing?: Signing,
): Promise<void> {
  const path = join(folder, CHECKSUM);
  const text = await readFile(path, 'utf8').catch(() => '');
  const there = (name: string): boolean => existsSync(join(folder, name));
  const sums = new Map(files.flatMap(({ name, sha256 }) => (there(name) ? [[name, sha256] as const] : [])));
  const next = withChecksums(text, sums, (name) => keep(name) && there(name));
  const signature = join(folder, CHECKSUM_SIGNATURE);
  // Nobody touches a token for a list that is signed already.
  const signed = await readFile(signature, 'utf8').catch(() => undefined);
  if (
    signing &&
    next === text &&
    signed !== undefined &&
    (await signing.holds(IMAGE_NAMESPACE, text, signed))
  )
    return;
  // In this order no list stands beside the signature of another one.
  await rm(signature, { force: true });
  if (next !== text) await writeFileAtomic(path, next, 0o644);
  if (signing) await writeFileAtomic(signature, await signing.sign(IMAGE_NAMESPACE, next), 0o644);
}

/**
 * Sees to it that no list of sums loses its signature: what else is in it would then be nobody's.
 *
 * @param own whether a file is one of those that are made now
 * @throws InputError if the list has others, and is signed by another key than will sign it.
 */
export async function keepSigner(
  folder: string,
  own: (name: string) => boolean,
  signing: Signing | undefined,
): Promise<void> {
  const text = await readFile(join(folder, CHECKSUM), 'utf8').catch(() => '');
  const signed = await readFile(join(folder, CHECKSUM_SIGNATURE), 'utf8').catch(() => undefined);
  const others = [...readChecksums(text).keys()].filter(
    (name) => !own(name) && existsSync(join(folder, name)),
  );
  if (signed === undefined || others.length === 0) return;
  if (signing && (await signing.holds(IMAGE_NAMESPACE, text, signed))) return;
  throw new InputError(
    `${folder} has ${others[0] ?? ''}, and the list of its sums, ${CHECKSUM}, is signed ${signing ? 'by another key than SIGN_KEY, or was changed since' : 'where this configuration has no SIGN_KEY'}: one list has one signer.`,
    'Choose another folder (--out) or the same SIGN_KEY, or take away what is not needed of the images there.',
  );
}

/** Takes the lock of an output folder, one build at a time writes there; and removes what killed ones have left. */
export async function lockOutput(
  folder: string,
  wait: boolean,
  work: Pick<Work, 'signal' | 'emit'>,
): Promise<Lock> {
  const lock = await acquire(join(folder, '.clawdie-iso.lock'), {
    wait,
    onWait: (holder) => {
      work.emit({
        type: 'note',
        text: `Waiting for ${holder}, which is building into ${folder}; with --no-wait this would end instead.`,
      });
    },
    signal: work.signal,
  });
  try {
    await sweepPartial(folder);
    return lock;
  } catch (error) {
    await lock.release();
    throw writeError(folder, error);
  }
}
