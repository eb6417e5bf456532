import { randomBytes } from 'node:crypto';
import { chmodSync, closeSync, ftruncateSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { BOOTME, SLOT_TYPE } from '../../build/image/gpt.js';
import { emptySlot } from '../../build/image/slot.js';

export interface Row {
  readonly type: string;
  readonly label: string;
  /** in sectors of 512 bytes */
  readonly first: number;
  readonly count: number;
  readonly attributes?: bigint;
}

const guidBytes = (text: string): Buffer => {
  const hex = text.replaceAll('-', '');
  const order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
  return Buffer.from(order.map((at) => parseInt(hex.slice(2 * at, 2 * at + 2), 16)));
};

/** The first 34 sectors of a disk with a GPT, as UEFI 2.10, 5.3 has it. */
export function gpt(rows: readonly Row[], sectors: number): Buffer {
  const head = Buffer.alloc(34 * 512);
  rows.forEach(({ type, label, first, count, attributes }, index) => {
    const at = 1024 + index * 128;
    guidBytes(type).copy(head, at);
    randomBytes(16).copy(head, at + 16);
    head.writeBigUInt64LE(BigInt(first), at + 32);
    head.writeBigUInt64LE(BigInt(first + count - 1), at + 40);
    head.writeBigUInt64LE(attributes ?? 0n, at + 48);
    head.write(label, at + 56, 72, 'utf16le');
  });
  const header = head.subarray(512, 1024);
  header.write('EFI PART', 'latin1');
  header.writeUInt32LE(0x10000, 8);
  header.writeUInt32LE(92, 12);
  header.writeBigUInt64LE(1n, 24);
  header.writeBigUInt64LE(BigInt(sectors - 1), 32);
  header.writeBigUInt64LE(34n, 40);
  header.writeBigUInt64LE(BigInt(sectors - 34), 48);
  header.writeBigUInt64LE(2n, 72);
  header.writeUInt32LE(128, 80);
  header.writeUInt32LE(128, 84);
  header.writeUInt32LE(crc32(head.subarray(1024)), 88);
  header.writeUInt32LE(crc32(header.subarray(0, 92)), 16);
  return head;
}

const FREEBSD = (last: string): string => `516e7cb${last}-6ecf-11d6-8ff8-00022d09712b`;

const ROOT_AT = 536576;

/** Where the slot lies on a disk image, in sectors. */
export const SLOT_AT = 266240;

/** The partitions that clawdie-install makes on a disk image of so many sectors. */
export const installed = (sectors: number): readonly Row[] => [
  { type: '83bd6b9d-7f41-11dc-be0b-001560b84f0f', label: 'clawdie-boot', first: 40, count: 1024 },
  { type: '83bd6b9d-7f41-11dc-be0b-001560b84f0f', label: 'clawdie-boot-b', first: 1064, count: 1024 },
  { type: 'c12a7328-f81f-11d2-ba4b-00a0c93ec93b', label: 'clawdie-efi', first: 4096, count: 131072 },
  { type: 'c12a7328-f81f-11d2-ba4b-00a0c93ec93b', label: 'clawdie-efi-b', first: 135168, count: 131072 },
  { type: SLOT_TYPE, label: 'clawdie-slot', first: SLOT_AT, count: 8192 },
  { type: FREEBSD('5'), label: 'clawdie-swap', first: 274432, count: 262144 },
  {
    ...{ type: FREEBSD('6'), label: 'clawdie-root', first: ROOT_AT, count: sectors - ROOT_AT - 34 },
    attributes: BOOTME,
  },
];

/** An ISO by its volume descriptor, with nothing on it. */
export function blankIso(): Buffer {
  const iso = Buffer.alloc(1024 * 1024);
  iso.write('\u0001CD001', 16 * 2048, 'latin1');
  return iso;
}

/** Writes a disk, mostly nothing, as the installer leaves one; `change` makes another of it. */
export function writeDisk(
  path: string,
  bytes: number,
  release: string,
  change: (rows: readonly Row[]) => readonly Row[] = (rows) => rows,
): void {
  const sectors = bytes / 512;
  const file = openSync(path, 'w');
  ftruncateSync(file, bytes);
  const put = (sector: number, data: Buffer): void => {
    writeSync(file, data, 0, data.length, sector * 512);
  };
  put(0, gpt(change(installed(sectors)), sectors));
  put(4096, Buffer.from('an EFI system partition'));
  put(SLOT_AT, emptySlot(release));
  put(ROOT_AT, Buffer.from('a root file system'.repeat(5000)));
  put(sectors - 40, Buffer.from('its end'));
  closeSync(file);
}

/**
 * A qemu-system-x86_64 that puts a finished disk where it is told to, as the installer in it does. Returns the folder
 * for PATH; `calls` there has a line for each start.
 */
export function stubMachine(folder: string, disk: string, body = 'complete'): string {
  const bin = join(folder, 'bin');
  mkdirSync(bin, { recursive: true });
  const path = join(bin, 'qemu-system-x86_64');
  writeFileSync(
    path,
    `#!/bin/sh
echo "$*" >> '${bin}/calls'
complete() {
  target=$(echo "$*" | sed -n 's/.*if=virtio,[^ ]*file=\\([^ ]*\\).*/\\1/p')
  cp --sparse=always '${disk}' "$target"
  printf 'XXX\\n40\\ncopying the system ...\\nXXX\\n'
  echo 'clawdie-install: the disk image is complete.'
}
${body === 'complete' ? 'complete "$@"' : body}
`,
  );
  chmodSync(path, 0o755);
  return bin;
}
