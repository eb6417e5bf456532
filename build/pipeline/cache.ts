import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { UserError } from '../error.js';
import { makePrivateFolder, removeTree, writeError } from '../host/files.js';
import { sha256File } from '../host/hash.js';
import { acquire } from '../host/lock.js';
import type { Lock } from '../host/lock.js';
import { sweepScratch } from '../host/scratch.js';

/** Where the cache is: CLAWDIE_CACHE, or clawdie-iso in the user's cache folder (XDG Base Directory Specification). */
export function cacheFolder(environment: NodeJS.ProcessEnv): string {
  const named = environment['CLAWDIE_CACHE'];
  if (named !== undefined && named !== '') return named;
  const xdg = environment['XDG_CACHE_HOME'];
  return join(xdg !== undefined && xdg.startsWith('/') ? xdg : join(homedir(), '.cache'), 'clawdie-iso');
}

const RECEIPT = 'entry.json';

interface Receipt<T> {
  readonly files: Readonly<Record<string, { readonly size: number; readonly sha256?: string }>>;
  readonly facts: T;
}

/** A result that stands in the cache. */
export interface CacheEntry<T> {
  readonly folder: string;
  readonly facts: T;
}

/**
 * Results of stages under the hash of their inputs. An entry appears whole or not at all (made beside, then renamed),
 * and says how large its files are and what they sum up to.
 */
export class Cache {
  constructor(readonly folder: string) {}

  get downloads(): string {
    return join(this.folder, 'releases');
  }

  /** Makes the folders, and removes what builds that were killed have left. */
  async prepare(): Promise<void> {
    try {
      await makePrivateFolder(this.folder);
      await mkdir(join(this.folder, 'locks'), { recursive: true });
      await mkdir(join(this.folder, 'work'), { recursive: true });
      for (const name of await readdir(join(this.folder, 'work'))) {
        const pid = Number(/^(\d+)-/.exec(name)?.[1]);
        if (pid !== process.pid && !running(pid)) await removeTree(join(this.folder, 'work', name));
      }
      await sweepScratch(running);
    } catch (error) {
      throw writeError(this.folder, error);
    }
  }

  /** A new folder for work in progress, on the file system of the cache. */
  async workFolder(): Promise<string> {
    const folder = join(
      this.folder,
      'work',
      `${process.pid}-${Date.now().toString(36)}${Math.random().toString(36).slice(2, 8)}`,
    );
    await mkdir(folder, { mode: 0o700 });
    return folder;
  }

  /** Whether an entry seems to be there, by its receipt and the sizes of its files. */
  async has(kind: string, key: string): Promise<boolean> {
    return (await this.get(kind, key)) !== undefined;
  }

  /** An entry whose files have their sizes; undefined if there is none, or if it is damaged. */
  async get<T>(kind: string, key: string): Promise<CacheEntry<T> | undefined> {
    const folder = this.path(kind, key);
    try {
      const receipt = JSON.parse(await readFile(join(folder, RECEIPT), 'utf8')) as Receipt<T>;
      for (const [name, { size }] of Object.entries(receipt.files)) {
        if ((await stat(join(folder, name))).size !== size) return undefined;
      }
      return { folder, facts: receipt.facts };
    } catch {
      return undefined;
    }
  }

  /** Whether the bytes of an entry's files are what they were when it was made. */
  async verify(kind: string, key: string, signal: AbortSignal): Promise<boolean> {
    const folder = this.path(kind, key);
    try {
      const receipt = JSON.parse(await readFile(join(folder, RECEIPT), 'utf8')) as Receipt<unknown>;
      for (const [name, { sha256 }] of Object.entries(receipt.files)) {
        if (sha256 !== undefined && (await sha256File(join(folder, name), { signal })) !== sha256)
          return false;
      }
      return true;
    } catch {
      signal.throwIfAborted();
      return false;
    }
  }

  /**
   * Puts a finished folder into the cache.
   *
   * @param sums names of files whose SHA-256 the receipt is to have; others are checked by who uses them
   */
  async put<T>(
    kind: string,
    key: string,
    work: string,
    facts: T,
    sums: readonly string[],
    signal: AbortSignal,
  ): Promise<CacheEntry<T>> {
    const files: Record<string, { size: number; sha256?: string }> = {};
    for (const name of await readdir(work)) {
      const info = await stat(join(work, name));
      if (!info.isFile()) throw new Error(`a cache entry holds files alone: ${name}`);
      files[name] = {
        size: info.size,
        ...(sums.includes(name) && { sha256: await sha256File(join(work, name), { signal }) }),
      };
    }
    const receipt: Receipt<T> = { files, facts };
    await writeFile(join(work, RECEIPT), JSON.stringify(receipt));
    const folder = this.path(kind, key);
    await mkdir(join(this.folder, kind), { recursive: true });
    await removeTree(folder);
    await rename(work, folder);
    return { folder, facts };
  }

  async remove(kind: string, key: string): Promise<void> {
    await rm(this.path(kind, key), { recursive: true, force: true });
  }

  /** Takes the lock under which an entry is made, so that two builds at once make it once. */
  lock(key: string, onWait: (pid: number) => void, signal: AbortSignal): Promise<Lock> {
    return acquire(join(this.folder, 'locks', key), { wait: true, onWait, signal });
  }

  private path(kind: string, key: string): string {
    if (!/^[a-z]+$/.test(kind) || !/^[0-9a-f]+$/.test(key))
      throw new UserError(`${kind}/${key} is no cache entry.`);
    return join(this.folder, kind, key);
  }
}

function running(pid: number): boolean {
  if (!Number.isSafeInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
