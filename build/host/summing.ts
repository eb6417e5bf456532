import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { hashRange, Sums } from './hash.js';
import { SummingThread } from './summing-thread.js';

/** What the beginning of a file sums up to. */
export interface Summed {
  /** SHA-256, in hexadecimal. */
  readonly hex: string;
  /**
   * SHA-256 of what was summed up and, behind it, of these bytes and of a part of a file.
   *
   * @param file the one that was summed up, or one of the same bytes
   * @param from first byte of the part
   * @param to byte behind the last one
   */
  followedBy(pieces: readonly Uint8Array[], file: FileHandle, from: number, to: number): Promise<string>;
}

/**
 * Sums up the beginning of an open file, in a thread of its own: this one goes on with what else there is to do.
 *
 * @param to byte behind the last one
 * @throws the system's error if it cannot be read; the signal's reason.
 */
export async function sumBeginning(file: FileHandle, to: number, signal?: AbortSignal): Promise<Summed> {
  signal?.throwIfAborted();
  const key = ++keys;
  const sums = await beginnings.run({ key, file: file.fd, from: 0, to, algorithms: ['sha256'] }, signal);
  const hex = sums?.get('sha256');
  if (hex === undefined) return summedHere(file, to, signal);
  return {
    hex,
    followedBy: async (pieces, other, from, end) => {
      const job = { key, pieces, file: other.fd, from, to: end, algorithms: ['sha256'] };
      const more = (await beginnings.run(job))?.get('sha256');
      return more ?? (await summedHere(other, to)).followedBy(pieces, other, from, end);
    },
  };
}

async function summedHere(file: FileHandle, to: number, signal?: AbortSignal): Promise<Summed> {
  const hash = await hashRange(createHash('sha256'), file, 0, to, signal);
  return {
    hex: hash.copy().digest('hex'),
    followedBy: async (pieces, other, from, end) => {
      const more = hash.copy();
      for (const piece of pieces) more.update(piece);
      return (await hashRange(more, other, from, end)).digest('hex');
    },
  };
}

/**
 * Sums up a part of an open file, beside other parts and other files: as many at once as there are processors.
 *
 * @param to byte behind the last one; where the file ends before, there is less
 * @param algorithms names of hashes as Node.js has them
 * @param copy an open file that the same bytes are written to, from its beginning: what is summed up is what was written
 * @returns the sums, in hexadecimal, by algorithm
 * @throws the system's error if it cannot be read, or written to; the signal's reason.
 */
export async function sumsOf(
  file: FileHandle,
  { from, to }: { readonly from: number; readonly to: number },
  algorithms: readonly string[],
  copy?: FileHandle,
  signal?: AbortSignal,
): Promise<ReadonlyMap<string, string>> {
  signal?.throwIfAborted();
  const thread = parts.reduce((idle, each) => (each.busy < idle.busy ? each : idle));
  const job = { file: file.fd, from, to, algorithms, ...(copy && { copy: copy.fd }) };
  const sums = await thread.run(job, signal);
  return sums ?? (await hashRange(new Sums(algorithms), file, from, to, signal, copy)).digests();
}

let keys = 0;
const beginnings = new SummingThread();
/** Threads beyond what a disk can serve gain nothing. */
const parts = Array.from({ length: Math.min(availableParallelism(), 4) }, () => new SummingThread());
