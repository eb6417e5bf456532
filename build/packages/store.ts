import { copyFile, mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { UserError } from '../error.js';
import { exists, openFile, partialName, writeError } from '../host/files.js';
import type { Expected, OnProgress } from '../release/download.js';
import { AGAIN } from './archive.js';
import { checkFile, copyChecked } from './checked-file.js';

/** A file that is wanted: what it is called, what it has to be, and where it comes from. */
export interface WantedFile {
  readonly label: string;
  readonly expected: Expected;
  /** In bytes, where it is known. */
  readonly size: number | undefined;
  /** Where it goes in a folder that keeps files for who has no mirror. */
  readonly kept: string;
  /** Brings it to a path, verified; gives its SHA-256, in hexadecimal. */
  readonly bring: (to: string, onProgress: OnProgress) => Promise<string>;
}

/** What is fetched, for people. */
export function fetching(missing: readonly WantedFile[], all: number): string {
  const size = missing.reduce((sum, each) => sum + (each.size ?? 0), 0);
  return `Fetching ${missing.length} of ${all} packages (${Math.ceil(size / 1e6)} MB)`;
}

/** Transfers at once. */
const AT_ONCE = 6;

/** Files under their sums; what is not what its name says is as good as not there. */
export class PackageStore {
  constructor(readonly folder: string) {}

  /** Where the file of a sum is. */
  path({ sums: [sum] }: Expected): string {
    if (!sum || !/^[a-z0-9]+$/.test(sum.algorithm) || !/^[0-9a-f]{64,128}$/.test(sum.hex))
      throw new Error('a file is kept by its sum');
    return join(this.folder, `${sum.algorithm}-${sum.hex}`);
  }

  /**
   * Sees to it that files are there, each with every byte that it has to have; those that are not are brought, some at once.
   *
   * @param kept a folder that may have them, too
   * @returns the SHA-256 of each, in hexadecimal, in their order
   * @throws UserError of the first that cannot be had; the other transfers end with it.
   */
  async ensure(
    files: readonly WantedFile[],
    options: {
      readonly kept?: string | undefined;
      readonly signal: AbortSignal;
      readonly onProgress: (done: number, total: number, label: string) => void;
    },
  ): Promise<readonly string[]> {
    await mkdir(this.folder, { recursive: true });
    const { onProgress } = options;
    const stop = new AbortController();
    const signal = AbortSignal.any([options.signal, stop.signal]);
    const done = files.map(() => 0);
    const sums: string[] = [];
    const total = files.reduce((sum, { size }) => sum + (size ?? 0), 0);
    let next = 0;
    const worker = async (): Promise<void> => {
      for (let index = next++; index < files.length; index = next++) {
        const file = files[index];
        if (!file) break;
        const tell = (bytes: number): void => {
          done[index] = bytes;
          onProgress(
            done.reduce((sum, each) => sum + each, 0),
            total,
            file.label,
          );
        };
        signal.throwIfAborted();
        sums[index] = await this.one(file, options.kept, tell, signal);
        tell(file.size ?? 0);
      }
    };
    const workers = Array.from({ length: AT_ONCE }, () =>
      worker().catch((error: unknown) => {
        stop.abort(error);
        throw error;
      }),
    );
    // Nobody is to be writing any more when the first reason is told.
    await Promise.allSettled(workers);
    signal.throwIfAborted();
    return sums;
  }

  /** Gives its SHA-256. */
  private async one(
    file: WantedFile,
    kept: string | undefined,
    tell: (bytes: number) => void,
    signal: AbortSignal,
  ): Promise<string> {
    const path = this.path(file.expected);
    if (await exists(path)) {
      const checked = await checkFile(path, file.expected, file.size, signal);
      if ('sha256' in checked) return checked.sha256;
      await rm(path, { force: true });
    }
    if (kept !== undefined) {
      const sum = await takeKept(join(kept, file.kept), path, file, signal);
      if (sum !== undefined) return sum;
    }
    const sum = await file.bring(path, (bytes) => tell(bytes));
    // Its sums were those of what was brought; what a server calls whole need not have the size that was signed.
    const { size } = await stat(path);
    if (file.size === undefined || size === file.size) return sum;
    await rm(path, { force: true });
    throw new UserError(
      `${file.label} has ${size} bytes, not ${file.size}. The catalogue and the file contradict each other; it is not used.`,
      AGAIN,
    );
  }

  /** Those of some files that are not there, by their sizes: who uses the others looks at their bytes. */
  async missing(files: readonly WantedFile[]): Promise<readonly WantedFile[]> {
    const there = await Promise.all(
      files.map(async ({ expected, size }) => {
        const info = await stat(this.path(expected)).catch(() => undefined);
        return info?.isFile() === true && (size === undefined || info.size === size);
      }),
    );
    return files.filter((_, index) => there[index] !== true);
  }

  /** Where a file of a catalogue is kept, by the SHA-256 of what was signed. */
  catalogueFile(digest: string, name: string): string {
    return join(this.folder, `catalogue-${digest}`, name);
  }

  /** Copies the files of a catalogue to a folder, which then is a repository. @returns whether they were there */
  async keepCatalogue(digest: string, folder: string): Promise<boolean> {
    const files = await readdir(this.catalogueFile(digest, '')).catch(() => []);
    for (const name of files) await copyWhole(this.catalogueFile(digest, name), join(folder, name));
    return files.length > 0;
  }

  /** Copies files to a folder that keeps them, under the names that the repository has for them. */
  async keep(files: readonly WantedFile[], folder: string, signal: AbortSignal): Promise<number> {
    let copied = 0;
    for (const file of files) {
      signal.throwIfAborted();
      const target = join(folder, file.kept);
      const there = await checkFile(target, file.expected, file.size, signal).catch(() => undefined);
      if (there !== undefined && 'sha256' in there) continue;
      await copyWhole(this.path(file.expected), target);
      copied++;
    }
    return copied;
  }
}

/** Takes a file of a folder that keeps some, where it is there and is what it has to be; gives its SHA-256 then. */
async function takeKept(
  from: string,
  to: string,
  { expected, size }: WantedFile,
  signal: AbortSignal,
): Promise<string | undefined> {
  const file = await openFile(from).catch(() => undefined);
  if (!file) return undefined;
  try {
    const copied = await copyChecked(file, to, expected, size, signal);
    return 'sha256' in copied ? copied.sha256 : undefined;
  } finally {
    await file.close();
  }
}

/** Copies a file, which appears whole or not at all. */
async function copyWhole(from: string, to: string): Promise<void> {
  const part = partialName(to);
  try {
    await mkdir(dirname(to), { recursive: true });
    await copyFile(from, part);
    await rename(part, to);
  } catch (error) {
    await rm(part, { force: true });
    throw writeError(to, error);
  }
}
