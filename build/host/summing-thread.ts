import { Worker } from 'node:worker_threads';

/** What a thread is to sum up: a part of an open file, behind these bytes, behind what it has under the key. */
export interface SummingJob {
  readonly id: number;
  readonly key?: number;
  /** Under a key: none where it is what comes first, and is remembered. */
  readonly pieces?: readonly Uint8Array[];
  readonly file: number;
  readonly from: number;
  readonly to: number;
  readonly algorithms: readonly string[];
  /** An open file that gets the same bytes, from its beginning. */
  readonly copy?: number;
  /** Not 0 once nobody waits for it any more. */
  readonly stop: Int32Array;
}

export type SummingAnswer = { readonly id: number } & (
  | { readonly sums: ReadonlyMap<string, string> }
  // Of an error that is sent to another thread the message alone arrives.
  | { readonly error: unknown; readonly code: string | undefined }
);

/** Sources that were not compiled, as in unit tests, cannot be started as a thread. */
const COMPILED = !import.meta.url.endsWith('.ts');

/** A thread that sums up, one job after the other: started with its first one, and no reason for the program to live on. */
export class SummingThread {
  private worker: Worker | undefined;
  private possible = COMPILED;
  private ids = 0;
  private readonly waiting = new Map<number, (answer: SummingAnswer | undefined) => void>();
  private last: Promise<unknown> = Promise.resolve();
  private jobs = 0;

  /** How many jobs it has. */
  get busy(): number {
    return this.jobs;
  }

  /**
   * Gives the sums of a job, in hexadecimal, by algorithm; undefined where there is no thread to be had, or it is gone with what
   * it knew.
   *
   * @throws the system's error; the signal's reason.
   */
  run(
    job: Omit<SummingJob, 'id' | 'stop'>,
    signal?: AbortSignal,
  ): Promise<ReadonlyMap<string, string> | undefined> {
    this.jobs++;
    // One listens to the signal at a time: hundreds of jobs may have the same.
    const result = this.last
      .then(() => this.next(job, signal))
      .finally(() => {
        this.jobs--;
      });
    this.last = result.catch(() => undefined);
    return result;
  }

  private async next(
    job: Omit<SummingJob, 'id' | 'stop'>,
    signal?: AbortSignal,
  ): Promise<ReadonlyMap<string, string> | undefined> {
    signal?.throwIfAborted();
    if (!this.possible) return undefined;
    const worker = (this.worker ??= this.start());
    const id = ++this.ids;
    const stop = new Int32Array(new SharedArrayBuffer(4));
    const abort = (): void => void Atomics.store(stop, 0, 1);
    signal?.addEventListener('abort', abort);
    worker.ref();
    // Who asked may close the file only once the thread is done with it.
    const answer = await new Promise<SummingAnswer | undefined>((resolve) => {
      this.waiting.set(id, resolve);
      worker.postMessage({ ...job, id, stop } satisfies SummingJob);
    });
    signal?.removeEventListener('abort', abort);
    if (this.waiting.size === 0) worker.unref();
    signal?.throwIfAborted();
    if (!answer) return undefined;
    if ('sums' in answer) return answer.sums;
    throw answer.error instanceof Error ? Object.assign(answer.error, { code: answer.code }) : answer.error;
  }

  private start(): Worker {
    const worker = new Worker(new URL('./summing-worker.js', import.meta.url));
    // A thread that cannot be had (no memory, no open files to spare) takes nothing with it: its work is done elsewhere.
    const gone = (): void => {
      this.possible = false;
      for (const [id, resolve] of this.waiting) {
        this.waiting.delete(id);
        resolve(undefined);
      }
    };
    worker.on('message', (answer: SummingAnswer) => {
      const resolve = this.waiting.get(answer.id);
      this.waiting.delete(answer.id);
      resolve?.(answer);
    });
    worker.on('error', gone);
    worker.on('exit', gone);
    return worker;
  }
}
