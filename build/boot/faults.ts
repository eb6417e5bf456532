import { copyFile, open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { extract, pack } from 'tar-stream';
import { UserError } from '../error.js';
import { findInRoot } from '../image/iso9660.js';
import { emptySlot, filledSlot, SECTOR } from '../image/slot.js';
import type { Start } from './machine.js';
import type { PeerOptions } from './peer.js';

/** Something that goes wrong, or is otherwise than usual, and how a boot has to end with it. */
export interface Fault {
  readonly what: string;
  /**
   * `closed`: the boot stops, and no frame is ever sent. `fallback`: the rules of pf-fallback.conf are in force.
   * `unreachable`: nothing answers over IPv4. `usual`: all checks hold.
   */
  readonly ends: 'closed' | 'fallback' | 'unreachable' | 'usual';
  /** Changes a copy of the image's slot. */
  readonly slot?: (slot: Buffer) => Buffer | Promise<Buffer>;
  readonly start?: Partial<Pick<Start, 'memory' | 'card' | 'cards'>>;
  readonly peer?: PeerOptions;
}

export const FAULTS = {
  'slot-damaged': {
    what: 'one byte of the overlay is another',
    ends: 'closed',
    slot: (slot) => {
      const at = SECTOR + 1000;
      slot.writeUInt8(slot.readUInt8(at) ^ 1, at);
      return slot;
    },
  },
  'slot-empty': {
    what: 'the overlay slot is empty',
    ends: 'closed',
    slot: (slot) => emptySlot(headerOf(slot, 'release')),
  },
  'slot-oversized': {
    what: 'the overlay claims to be larger than its slot',
    ends: 'closed',
    slot: (slot) => withHeader(slot, 'length', String(slot.length * 4)),
  },
  'slot-release': {
    what: 'the overlay is of another release',
    ends: 'closed',
    slot: (slot) => withHeader(slot, 'release', '1.0-RELEASE-amd64'),
  },
  'pf-broken': {
    what: 'pf.conf does not load',
    ends: 'fallback',
    slot: (slot) => withFile(slot, 'etc/pf.conf', (text) => `${text}\npass in this is no rule\n`),
  },
  'no-dhcp': { what: 'nobody answers DHCP', ends: 'unreachable', peer: { dhcp: false } },
  'two-cards': { what: 'a second network card, with nobody on it', ends: 'usual', start: { cards: 2 } },
  e1000: { what: 'a network card of another driver', ends: 'usual', start: { card: 'e1000' } },
  'little-memory': { what: '512 MB of memory', ends: 'usual', start: { memory: '512M' } },
} as const satisfies Readonly<Record<string, Fault>>;
export type FaultName = keyof typeof FAULTS;
export const FAULT_NAMES = Object.keys(FAULTS) as readonly FaultName[];

/**
 * Writes a copy of an image whose slot a fault has changed.
 *
 * @throws UserError if the image has no overlay to change.
 */
export async function faultyImage(image: string, copy: string, fault: Fault): Promise<void> {
  await copyFile(image, copy);
  const file = await open(copy, 'r+');
  try {
    const slot = await findInRoot((offset, length) => readAt(file, offset, length), 'overlay', image);
    const bytes = await readAt(file, slot.offset, slot.length);
    const changed = (await fault.slot?.(bytes)) ?? bytes;
    await file.write(changed, 0, changed.length, slot.offset);
  } finally {
    await file.close();
  }
}

async function readAt(file: FileHandle, offset: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length);
  const { bytesRead } = await file.read(buffer, 0, length, offset);
  return buffer.subarray(0, bytesRead);
}

function headerOf(slot: Buffer, name: string): string {
  const value = new RegExp(`^${name} (\\S+)$`, 'm').exec(slot.toString('latin1', 0, SECTOR))?.[1];
  if (value === undefined)
    throw new UserError(
      `The image’s slot has no "${name}": it holds no overlay.`,
      'Name an image that `make iso` made.',
    );
  return value;
}

/** The slot with one value of its header changed; the rest of it stays. */
function withHeader(slot: Buffer, name: string, value: string): Buffer {
  const head = slot.toString('latin1', 0, SECTOR).replace(/\0+$/, '');
  headerOf(slot, name);
  const sector = Buffer.alloc(SECTOR);
  sector.write(head.replace(new RegExp(`^${name} .*$`, 'm'), `${name} ${value}`), 'latin1');
  return Buffer.concat([sector, slot.subarray(SECTOR)]);
}

/** The slot with one file of the overlay changed: an overlay that is whole, and wrong. */
async function withFile(slot: Buffer, path: string, change: (text: string) => string): Promise<Buffer> {
  const archive = slot.subarray(SECTOR, SECTOR + Number(headerOf(slot, 'length')));
  const [reader, writer] = [extract(), pack()];
  const chunks: Buffer[] = [];
  const done = new Promise<void>((resolve, reject) => {
    writer.on('data', (chunk: unknown) => chunks.push(chunk as Buffer));
    writer.on('end', resolve);
    writer.on('error', reject);
    reader.on('error', reject);
  });
  reader.on('entry', (header, stream, next) => {
    const parts: Buffer[] = [];
    stream.on('data', (part: unknown) => parts.push(part as Buffer));
    stream.on('end', () => {
      const body = Buffer.concat(parts);
      const name = header.name.replace(/^\.\//, '');
      const changed = name === path ? Buffer.from(change(body.toString())) : body;
      writer.entry({ ...header, size: changed.length }, changed);
      next();
    });
  });
  reader.on('finish', () => {
    writer.finalize();
  });
  reader.end(archive);
  await done;
  return filledSlot(Buffer.concat(chunks), headerOf(slot, 'release'));
}
