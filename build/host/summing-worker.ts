import { createHash } from 'node:crypto';
import type { Hash } from 'node:crypto';
import { readSync, writeSync } from 'node:fs';
import { parentPort } from 'node:worker_threads';
import type { SummingAnswer, SummingJob } from './summing-thread.js';

/* The thread of summing-thread.ts. */

const known = new Map<number, readonly Hash[]>();
/** What fits into the cache of a processor is summed up, and written, faster than more at once. */
const buffer = Buffer.allocUnsafe(256 * 1024);

function sum({ key, pieces, file, from, to, algorithms, copy, stop }: SummingJob): Map<string, string> {
  const before = key === undefined ? undefined : known.get(key);
  const hashes = before ? before.map((hash) => hash.copy()) : algorithms.map((name) => createHash(name));
  const update = (bytes: Uint8Array): void => {
    for (const hash of hashes) hash.update(bytes);
  };
  for (const piece of pieces ?? []) update(piece);
  for (let at = from; at < to;) {
    if (Atomics.load(stop, 0) !== 0) throw new Error('it was stopped');
    const count = readSync(file, buffer, 0, Math.min(buffer.length, to - at), at);
    if (count === 0) break;
    update(buffer.subarray(0, count));
    if (copy !== undefined)
      for (let done = 0; done < count;) done += writeSync(copy, buffer, done, count - done, at - from + done);
    at += count;
  }
  if (key !== undefined && !pieces)
    known.set(
      key,
      hashes.map((hash) => hash.copy()),
    );
  return new Map(hashes.map((hash, index) => [algorithms[index] ?? '', hash.digest('hex')]));
}

parentPort?.on('message', (job: SummingJob) => {
  let answer: SummingAnswer;
  try {
    answer = { id: job.id, sums: sum(job) };
  } catch (error) {
    answer = { id: job.id, error, code: (error as NodeJS.ErrnoException).code };
  }
  parentPort?.postMessage(answer);
});
