import { Worker } from 'node:worker_threads';
import { makeMaps } from './map-store.js';
import type { DrawnMap, MapInput } from './map-store.js';

interface Job {
  readonly input: MapInput;
  readonly done: (maps: readonly DrawnMap[]) => void;
  readonly failed: (error: unknown) => void;
}

/**
 * Makes maps beside the build: a thread of its own decides who reaches whom while this one proves, copies and sums up.
 */
export class Mapper {
  private readonly idle: Worker[] = [];
  private readonly busy = new Map<Worker, Job>();
  private readonly queue: Job[] = [];
  private closed = false;
  /** Whether threads can be had. */
  private threads = true;

  /** @param most threads at once */
  constructor(private readonly most: number) {}

  /** Starts a thread, which loads what it needs while there is nothing for it to do. */
  warm(): void {
    if (COMPILED) this.idle.push(this.start());
  }

  /** The maps of an image. Whoever does not wait for them leaves no error behind. */
  maps(input: MapInput): Promise<readonly DrawnMap[]> {
    const made = COMPILED
      ? new Promise<readonly DrawnMap[]>((done, failed) => {
          this.queue.push({ input, done, failed });
          this.next();
        })
      : makeMaps(input);
    made.catch(() => undefined);
    return made;
  }

  /** Ends the threads. What is not made by then is refused. */
  async close(): Promise<void> {
    this.closed = true;
    const workers = [...this.idle, ...this.busy.keys()];
    for (const { failed } of [...this.queue, ...this.busy.values()]) failed(new Error('the build has ended'));
    this.queue.length = 0;
    this.busy.clear();
    await Promise.all(workers.map((worker) => worker.terminate()));
  }

  private next(): void {
    if (this.closed || this.queue.length === 0) return;
    if (!this.threads) {
      for (const { input, done, failed } of this.queue.splice(0)) void makeMaps(input).then(done, failed);
      return;
    }
    const worker = this.idle.pop() ?? (this.busy.size < this.most ? this.start() : undefined);
    const job = worker && this.queue.shift();
    if (!job) return;
    this.busy.set(worker, job);
    worker.postMessage(job.input);
  }

  private start(): Worker {
    const worker = new Worker(new URL('./map-worker.js', import.meta.url));
    const end = (): Job | undefined => {
      const job = this.busy.get(worker);
      this.busy.delete(worker);
      return job;
    };
    // A thread that cannot be had (no open files to spare, no memory) takes nothing with it: its work is done here.
    const gone = (): void => {
      this.threads = false;
      const at = this.idle.indexOf(worker);
      if (at >= 0) this.idle.splice(at, 1);
      const job = end();
      if (job) void makeMaps(job.input).then(job.done, job.failed);
      this.next();
    };
    worker.on('message', ({ maps, error }: { maps?: readonly DrawnMap[]; error?: unknown }) => {
      const job = end();
      this.idle.push(worker);
      if (maps) job?.done(maps);
      else job?.failed(error);
      this.next();
    });
    worker.on('error', gone);
    worker.on('exit', () => {
      if (!this.closed) gone();
    });
    return worker;
  }
}

/** Sources that were not compiled, as in unit tests, cannot be started as a thread. */
const COMPILED = !import.meta.url.endsWith('.ts');
