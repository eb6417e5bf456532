import { mkdir, open, rename, rm } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { openFile, partialName, writeError, writeFully } from '../host/files.js';
import { hashRange } from '../host/hash.js';
import type { Sums } from '../host/hash.js';
import { sumsFor, wrongSum } from '../release/download.js';
import type { Expected } from '../release/download.js';

/** SHA-256 of a file whose size and sums are right, in hexadecimal; or what it has that it should not, as the end of a sentence. */
export type Checked = { readonly sha256: string } | { readonly wrong: string };

/** Holds a file against what it has to be: reads it once. @throws the system's error if it cannot be read. */
export async function checkFile(
  path: string,
  expected: Expected,
  size: number | undefined,
  signal?: AbortSignal,
): Promise<Checked> {
  const file = await openFile(path);
  try {
    return await check(file, expected, size, (sums, length) => hashRange(sums, file, 0, length, signal));
  } finally {
    await file.close();
  }
}

/**
 * Copies a file to a path, where it appears only if it is what it has to be. What is summed up is what is written: the file is
 * read once.
 *
 * @throws UserError if it cannot be written; the system's error if it cannot be read.
 */
export async function copyChecked(
  file: FileHandle,
  to: string,
  expected: Expected,
  size: number | undefined,
  signal?: AbortSignal,
): Promise<Checked> {
  const part = partialName(to);
  try {
    await mkdir(dirname(to), { recursive: true });
    const checked = await check(file, expected, size, (sums, length) =>
      copySummed(file, part, length, sums, signal),
    );
    if ('sha256' in checked) await rename(part, to);
    return checked;
  } catch (error) {
    throw writeError(to, error);
  } finally {
    await rm(part, { force: true });
  }
}

async function check(
  file: FileHandle,
  expected: Expected,
  size: number | undefined,
  read: (sums: Sums, length: number) => Promise<unknown>,
): Promise<Checked> {
  const found = (await file.stat()).size;
  if (size !== undefined && found !== size) return { wrong: `has ${found} bytes, not ${size}` };
  const sums = sumsFor(expected);
  await read(sums, found);
  const digests = sums.digests();
  const wrong = wrongSum(expected, digests);
  if (wrong) return { wrong: `has the sum ${wrong.found} (${wrong.algorithm}), not ${wrong.hex}` };
  return { sha256: digests.get('sha256') ?? '' };
}

/** Bytes that are read at once. */
const PIECE = 1024 * 1024;

/** Copies the bytes of a file to a new one: the system writes one piece while the next is read and summed up. */
async function copySummed(
  from: FileHandle,
  to: string,
  length: number,
  sums: Sums,
  signal?: AbortSignal,
): Promise<void> {
  const output = await open(to, 'wx', 0o600);
  try {
    let [reading, resting] = [0, 1].map(() => Buffer.allocUnsafe(Math.min(PIECE, length))) as [
      Buffer,
      Buffer,
    ];
    let written: Promise<void> = Promise.resolve();
    for (let at = 0; at < length;) {
      signal?.throwIfAborted();
      const { bytesRead } = await from.read(reading, 0, Math.min(reading.length, length - at), at);
      await written;
      if (bytesRead === 0) break;
      const piece = reading.subarray(0, bytesRead);
      written = writeFully(output, piece, at);
      // It is waited for, if only after what comes now.
      written.catch(() => undefined);
      sums.update(piece);
      at += bytesRead;
      [reading, resting] = [resting, reading];
    }
    await written;
  } finally {
    await output.close();
  }
}
