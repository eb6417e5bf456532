import { mkdir, open, rename, rm } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { codeOf } from '../error.js';
import { openFile, partialName, writeError } from '../host/files.js';
import { sumsOf } from '../host/summing.js';
import { algorithmsOf, wrongSum } from '../release/download.js';
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
    const { size: length } = await file.stat();
    return await checkPart(file, { offset: 0, length }, expected, size, undefined, signal);
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
    const output = await openNew(part);
    let checked: Checked;
    try {
      const { size: length } = await file.stat();
      checked = await checkPart(file, { offset: 0, length }, expected, size, output, signal);
    } finally {
      await output.close();
    }
    await ('sha256' in checked ? rename(part, to) : rm(part));
    return checked;
  } catch (error) {
    await rm(part, { force: true });
    throw writeError(to, error);
  }
}

/** Opens a new file for writing; makes its folder where there is none. */
async function openNew(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'wx', 0o600);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
    await mkdir(dirname(path), { recursive: true });
    return open(path, 'wx', 0o600);
  }
}

/**
 * Holds a part of an open file against what it has to be: reads it once.
 *
 * @param size that it has to have, in bytes, where that is known
 * @param copy an open file that the same bytes are written to
 * @throws the system's error if it cannot be read, or written to.
 */
export async function checkPart(
  file: FileHandle,
  { offset, length }: { readonly offset: number; readonly length: number },
  expected: Expected,
  size: number | undefined,
  copy?: FileHandle,
  signal?: AbortSignal,
): Promise<Checked> {
  if (size !== undefined && length !== size) return { wrong: `has ${length} bytes, not ${size}` };
  const part = { from: offset, to: offset + length };
  const digests = await sumsOf(file, part, algorithmsOf(expected), copy, signal);
  const wrong = wrongSum(expected, digests);
  if (wrong) return { wrong: `has the sum ${wrong.found} (${wrong.algorithm}), not ${wrong.hex}` };
  return { sha256: digests.get('sha256') ?? '' };
}
