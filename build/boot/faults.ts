import { emptySlot, headerOf, SECTOR } from '../image/slot.js';
import { copyWithSlot, withFiles, withHeader } from './slot-copy.js';
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
  /** How the same disk was started before. */
  readonly before?: Partial<Pick<Start, 'card'>>;
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
    slot: (slot) =>
      withFiles(slot, (path, text) => (path === 'etc/pf.conf' ? `${text}\npass in this is no rule\n` : text)),
  },
  'no-dhcp': { what: 'nobody answers DHCP', ends: 'unreachable', peer: { dhcp: false } },
  'odd-dhcp': {
    what: 'odd packets before the first answers to DHCP, which end dhclient(8)',
    ends: 'usual',
    peer: { odd: 8 },
  },
  'two-cards': { what: 'a second network card, with nobody on it', ends: 'usual', start: { cards: 2 } },
  e1000: { what: 'a network card of another driver', ends: 'usual', start: { card: 'e1000' } },
  'card-changes': {
    what: 'another network card than when the same disk was started before',
    ends: 'usual',
    before: { card: 'virtio-net-pci' },
    start: { card: 'e1000' },
  },
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
  await copyWithSlot(image, copy, (slot) => fault.slot?.(slot) ?? slot);
}
