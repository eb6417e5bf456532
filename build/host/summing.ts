import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { Worker } from 'node:worker_threads';
import { hashRange } from './hash.js';

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

/** What the thread is to sum up: a part of an open file, behind these bytes, behind what it has under the key. */
export interface SummingJob {
  readonly id: number;
  readonly key: number;
  /** None where it is what comes first, and is remembered under the key. */
  readonly pieces?: readonly Uint8Array[];
  readonly file: number;
  readonly from: number;
  readonly to: number;
  /** Not 0 once nobody waits for it any more. */
  readonly stop: Int32Array;
}

export type SummingAnswer = { readonly id: number } & (
  { readonly hex: string } | { readonly error: unknown }
);

/**
 * Sums up the beginning of an open file, in a thread of its own: this one goes on with what else there is to do.
 *
 * @param to byte behind the last one
 * @throws the system's error if it cannot be read; the signal's reason.
 */
export async function sumBeginning(file: FileHandle, to: number, signal?: AbortSignal): Promise<Summed> {
  signal?.throwIfAborted();
  const key = ++keys;
  const hex = await inThread({ key, file: file.fd, from: 0, to }, signal);
  if (hex === undefined) return summedHere(file, to, signal);
  return {
    hex,
    followedBy: async (pieces, other, from, end) =>
      (await inThread({ key, pieces, file: other.fd, from, to: end })) ??
      (await summedHere(other, to)).followedBy(pieces, other, from, end),
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

let keys = 0;
let ids = 0;
let thread: Worker | undefined;
/** Sources that were not compiled, as in unit tests, cannot be started as a thread. */
let possible = !import.meta.url.endsWith('.ts');
const waiting = new Map<number, (answer: SummingAnswer | undefined) => void>();

/** Undefined where there is no thread to be had, or it is gone with what it knew. */
async function inThread(
  job: Omit<SummingJob, 'id' | 'stop'>,
  signal?: AbortSignal,
): Promise<string | undefined> {
  if (!possible) return undefined;
  const worker = (thread ??= start());
  const id = ++ids;
  const stop = new Int32Array(new SharedArrayBuffer(4));
  const abort = (): void => void Atomics.store(stop, 0, 1);
  signal?.addEventListener('abort', abort);
  worker.ref();
  // Who asked may close the file only once the thread is done with it.
  const answer = await new Promise<SummingAnswer | undefined>((resolve) => {
    waiting.set(id, resolve);
    worker.postMessage({ ...job, id, stop } satisfies SummingJob);
  });
  signal?.removeEventListener('abort', abort);
  if (waiting.size === 0) worker.unref();
  signal?.throwIfAborted();
  if (answer && 'error' in answer) throw answer.error;
  return answer?.hex;
}

function start(): Worker {
  const worker = new Worker(new URL('./summing-worker.js', import.meta.url));
  // A thread that cannot be had (no memory, no open files to spare) takes nothing with it: its work is done here.
  const gone = (): void => {
    possible = false;
    for (const [id, resolve] of waiting) {
      waiting.delete(id);
      resolve(undefined);
    }
  };
  worker.on('message', (answer: SummingAnswer) => {
    const resolve = waiting.get(answer.id);
    waiting.delete(answer.id);
    resolve?.(answer);
  });
  worker.on('error', gone);
  worker.on('exit', gone);
  return worker;
}
