import { closeSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as breathe } from 'node:timers/promises';
import { BLOCK, FRAGMENT, imageBytes, metadata } from './ffs.js';
import type { Piece, Placed } from './ffs.js';
import { plan } from './layout.js';
import type { Tree } from './tree.js';

/** Label of the root file system: the loader is told to mount /dev/ufs/<label>. */
export const ROOT_LABEL = 'clawdieroot';

/** Room for what the running instance writes to its root. The bytes cost as much memory. */
const SPARE = { bytes: 96 * 1024 * 1024, inodes: 8192 };

/** Packages have more small files than a log: so many bytes of their room have an inode. */
const BYTES_OF_AN_INODE = 12 * 1024;

/** Bytes that are read and written together. */
const CHUNK = 1024 * 1024;

/** Bytes between two looks at whether to stop, and what opening a file counts for. */
const BYTES_AT_ONCE = 32 * 1024 * 1024;
const BYTES_OF_A_FILE = BYTES_AT_ONCE / 64;

/**
 * Makes the UFS2 image of a tree whose contents are in a folder: the same bytes for the same tree, on every machine.
 *
 * @param time seconds since the epoch, for every file and the file system itself
 * @param room bytes that are free beside what is free in every image
 * @throws UserError if the image cannot be written; Error if a file is not as long as the tree says.
 */
export async function makeUfs(
  tree: Tree,
  folder: string,
  image: string,
  time: number,
  signal: AbortSignal,
  room = 0,
): Promise<void> {
  const layout = plan(tree, {
    bytes: SPARE.bytes + room,
    inodes: SPARE.inodes + Math.ceil(room / BYTES_OF_AN_INODE),
  });
  const output = openSync(image, 'wx', 0o600);
  try {
    ftruncateSync(output, imageBytes(layout.geometry));
    for (const piece of metadata(layout, ROOT_LABEL, time)) write(output, piece);
    const buffer = Buffer.allocUnsafe(CHUNK);
    const files = layout.inodes.filter(({ type }) => type === 'file');
    let since = 0;
    const pause = async (bytes: number): Promise<void> => {
      since += bytes;
      if (since < BYTES_AT_ONCE) return;
      since = 0;
      await breathe();
      signal.throwIfAborted();
    };
    for (const file of files) {
      await pause(BYTES_OF_A_FILE);
      await copyContents(file, folder, output, buffer, pause);
    }
  } finally {
    closeSync(output);
  }
}

async function copyContents(
  { path, size, data }: Placed,
  folder: string,
  output: number,
  buffer: Buffer,
  pause: (bytes: number) => Promise<void>,
): Promise<void> {
  if (size === 0) return;
  const input = openSync(join(folder, path), 'r');
  try {
    let done = 0;
    for (const [start, blocks] of runs(data)) {
      const end = Math.min(size, done + blocks * BLOCK);
      for (let at = start * FRAGMENT; done < end;) {
        const length = readSync(input, buffer, 0, Math.min(buffer.length, end - done), done);
        if (length === 0) throw new Error(`${path} has ${done} bytes where ${size} were unpacked`);
        write(output, { position: at, bytes: buffer.subarray(0, length) });
        at += length;
        done += length;
        await pause(length);
      }
    }
  } finally {
    closeSync(input);
  }
}

/** Blocks that lie one behind the other: the address of the first, in fragments, and how many they are. */
function runs(data: readonly number[]): readonly (readonly [start: number, blocks: number])[] {
  const found: [number, number][] = [];
  for (const address of data) {
    const last = found.at(-1);
    if (last && last[0] + (last[1] * BLOCK) / FRAGMENT === address) last[1]++;
    else found.push([address, 1]);
  }
  return found;
}

function write(output: number, { position, bytes }: Piece): void {
  for (let done = 0; done < bytes.length;)
    done += writeSync(output, bytes, done, bytes.length - done, position + done);
}
