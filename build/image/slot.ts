import { UserError } from '../error.js';
import { sha256 } from '../host/hash.js';

/**
 * The overlay slot: the file /overlay of an image, which the loader hands to the kernel as a memory disk. Its first
 * sector says what follows, as lines of text that /sbin/clawdie-init reads with dd(1) and sh(1); the tar archive of
 * the overlay begins at the second sector. The rest is zero.
 *
 *     clawdie-overlay 1          or   clawdie-slot 1      (empty: the instance stays closed)
 *     release 15.1-RELEASE
 *     length 123904                   bytes of the archive
 *     sha256 <hex>                    of the archive
 *
 * A signed one has two lines more, and in the first sector behind the archive the signature of the header's text, as
 * ssh-keygen(1) writes it (/sbin/clawdie-trust reads it):
 *
 *     deployment natasha
 *     serial 1767225600
 *
 * A slot that has a system make a disk image of itself begins with `clawdie-install 1`, and says `fs ufs` or `fs zfs`; the archive
 * behind it, where there is one, is what installs packages there.
 */
export const SECTOR = 512;

/** Size of the slot in bytes: what one deployment's overlay may take, header included. */
export const SLOT_SIZE = 4 * 1024 * 1024;

export const SLOT_MAGIC = 'clawdie-slot 1';
export const OVERLAY_MAGIC = 'clawdie-overlay 1';
const INSTALL_MAGIC = 'clawdie-install 1';

/** Lines of text in a sector of their own, which the rest of it fills with zeros. */
export function sector(lines: readonly string[]): Buffer {
  const buffer = Buffer.alloc(SECTOR);
  const written = buffer.write(`${lines.join('\n')}\n`, 'latin1');
  if (written >= SECTOR) throw new Error('the slot header does not fit its sector');
  return buffer;
}

/** A slot with nothing in it. */
export function emptySlot(release: string): Buffer {
  return Buffer.concat([sector([SLOT_MAGIC, `release ${release}`])], SLOT_SIZE);
}

/**
 * A slot that has a base image put itself onto a blank disk, for a disk image.
 *
 * @param fs file system of the root there
 * @param archive what installs packages there (clawdie-install --packages)
 */
export function installSlot(release: string, fs: 'ufs' | 'zfs', archive?: Buffer): Buffer {
  const lines = [INSTALL_MAGIC, `release ${release}`, `fs ${fs}`];
  if (!archive) return sector(lines);
  return Buffer.concat([sector([...lines, ...archiveLines(archive)]), archive]);
}

/** What a header says of the archive behind it. @throws UserError if it does not fit the slot. */
function archiveLines(archive: Buffer): readonly string[] {
  const room = SLOT_SIZE - SECTOR;
  if (archive.length > room) {
    throw new UserError(
      `The overlay has ${archive.length} bytes, the slot takes ${room}.`,
      'Make it smaller: fewer keys, or fewer files of your own.',
    );
  }
  return [`length ${archive.length}`, `sha256 ${sha256(archive)}`];
}

/** What a signed slot says of itself. */
export interface SlotIdentity {
  /** Letters, digits and `._-`. */
  readonly deployment: string;
  /** Whole number of at most ten digits: an instance takes none that is lower than its last. */
  readonly serial: number;
}

/**
 * A slot with an overlay in it, as far as it is not zero: what is behind is the slot's size less its own.
 *
 * @throws UserError if the archive does not fit.
 */
export function filledSlot(archive: Buffer, release: string, identity?: SlotIdentity): Buffer {
  const header = sector([
    OVERLAY_MAGIC,
    `release ${release}`,
    ...archiveLines(archive),
    ...(identity ? [`deployment ${identity.deployment}`, `serial ${identity.serial}`] : []),
  ]);
  return Buffer.concat([header, archive]);
}

/** The text of a slot's header: what is signed. */
export function headerText(slot: Buffer): string {
  return slot.toString('latin1', 0, SECTOR).replaceAll('\0', '');
}

/** Where the signature of a slot begins. @throws UserError if it holds no overlay. */
function signaturePlace(slot: Buffer): number {
  return SECTOR + Math.ceil(Number(headerOf(slot, 'length')) / SECTOR) * SECTOR;
}

/** Longest signature that an instance reads, in bytes. */
export const SIGNATURE_SIZE = 32 * SECTOR;

/**
 * A slot of filledSlot() with the signature of its header.
 *
 * @throws UserError if there is no room for it.
 */
export function withSignature(slot: Buffer, signature: string): Buffer {
  const place = signaturePlace(slot);
  const bytes = Buffer.from(signature, 'latin1');
  if (bytes.length > SIGNATURE_SIZE || place + bytes.length > SLOT_SIZE)
    throw new UserError(
      `The overlay has ${headerOf(slot, 'length')} bytes, which leaves no room for its signature in the slot.`,
      'Make it smaller: fewer keys, or fewer files of your own.',
    );
  return Buffer.concat([slot.subarray(0, place), Buffer.alloc(Math.max(0, place - slot.length)), bytes]);
}

/** The signature of a slot; undefined if it has none. */
export function signatureIn(slot: Buffer): string | undefined {
  const place = signaturePlace(slot);
  const text = slot.toString('latin1', place, place + SIGNATURE_SIZE).replaceAll('\0', '');
  return text.startsWith('-----BEGIN SSH SIGNATURE-----\n') ? text : undefined;
}

/** Nothing, for the rest of a slot. */
export const ZEROS: Buffer = Buffer.alloc(SLOT_SIZE);

/** The release that a base image's empty slot is for; undefined if the bytes are no empty slot. */
export function slotRelease(head: Buffer): string | undefined {
  const text = head.toString('latin1', 0, Math.max(0, head.subarray(0, SECTOR).indexOf(0)));
  const [magic, release] = text.split('\n');
  return magic === SLOT_MAGIC ? /^release (\S+)$/.exec(release ?? '')?.[1] : undefined;
}

/**
 * A value of a slot's header.
 *
 * @throws UserError if it has none of that name.
 */
export function headerOf(slot: Buffer, name: string): string {
  const value = new RegExp(`^${name} (\\S+)$`, 'm').exec(slot.toString('latin1', 0, SECTOR))?.[1];
  if (value === undefined)
    throw new UserError(
      `The image’s slot has no "${name}": it holds no overlay.`,
      'Name an image that `make iso` made.',
    );
  return value;
}

/** The archive of a slot. @throws UserError if the slot has none. */
export function archiveIn(slot: Buffer): Buffer {
  return slot.subarray(SECTOR, SECTOR + Number(headerOf(slot, 'length')));
}
