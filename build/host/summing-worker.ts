import { createHash } from 'node:crypto';
import type { Hash } from 'node:crypto';
import { readSync } from 'node:fs';
import { parentPort } from 'node:worker_threads';
import type { SummingAnswer, SummingJob } from './summing.js';

/* The thread of summing.ts. */

const known = new Map<number, Hash>();
const buffer = Buffer.allocUnsafe(1024 * 1024);

function sum({ key, pieces, file, from, to, stop }: SummingJob): string {
  const hash = known.get(key)?.copy() ?? createHash('sha256');
  for (const piece of pieces ?? []) hash.update(piece);
  for (let at = from; at < to;) {
    if (Atomics.load(stop, 0) !== 0) throw new Error('it was stopped');
    const count = readSync(file, buffer, 0, Math.min(buffer.length, to - at), at);
    if (count === 0) break;
    hash.update(buffer.subarray(0, count));
    at += count;
  }
  if (!pieces) known.set(key, hash.copy());
  return hash.digest('hex');
}

parentPort?.on('message', (job: SummingJob) => {
  let answer: SummingAnswer;
  try {
    answer = { id: job.id, hex: sum(job) };
  } catch (error) {
    answer = { id: job.id, error };
  }
  parentPort?.postMessage(answer);
});
