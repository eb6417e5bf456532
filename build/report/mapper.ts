import { Worker } from 'node:worker_threads';
import type { View } from '../overlay/view.js';
import type { RuleFiles } from '../policy/image.js';
import type { ReportMap } from './facts.js';
import { mapsOf } from './maps.js';

interface Job {
  readonly files: RuleFiles;
  readonly view: View;
  readonly done: (maps: readonly ReportMap[]) => void;
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

  /** @param most threads at once; 0 makes maps in this one, where nobody waits for another */
  constructor(private readonly most: number) {}

  /** The maps of an image. Whoever does not wait for them leaves no error behind. */
  maps(files: RuleFiles, view: View): Promise<readonly ReportMap[]> {
    const made =
      // Sources that were not compiled, as in unit tests, cannot be started as a thread.
      this.most === 0 || import.meta.url.endsWith('.ts')
        ? Promise.resolve().then(() => mapsOf(files, view))
        : new Promise<readonly ReportMap[]>((done, failed) => {
            this.queue.push({ files, view, done, failed });
            this.next();
          });
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
    const worker = this.idle.pop() ?? (this.busy.size < this.most ? this.start() : undefined);
    const job = worker && this.queue.shift();
    if (!job) return;
    this.busy.set(worker, job);
    worker.postMessage({ files: job.files, view: job.view });
  }

  private start(): Worker {
    const worker = new Worker(new URL('./map-worker.js', import.meta.url));
    const end = (): Job | undefined => {
      const job = this.busy.get(worker);
      this.busy.delete(worker);
      return job;
    };
    worker.on('message', ({ maps, error }: { maps?: readonly ReportMap[]; error?: unknown }) => {
      const job = end();
      this.idle.push(worker);
      if (maps) job?.done(maps);
      else job?.failed(error);
      this.next();
    });
    worker.on('error', (error) => {
      end()?.failed(error);
      this.next();
    });
    return worker;
  }
}
