import { lstat, mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join, resolve as resolvePath } from 'node:path';
import { codeOf, InputError, UserError } from '../error.js';
import { makePrivateFolder, removeTree, writeError } from '../host/files.js';
import { sha256, sha256File } from '../host/hash.js';
import { acquire, ownFolder, sweepFolders } from '../host/lock.js';
import type { Lock, OwnFolder } from '../host/lock.js';
import { sweepScratch } from '../host/scratch.js';
import { compareBytes } from '../rootfs/tree.js';

/**
 * Where the cache is: what is named, CLAWDIE_CACHE, or clawdie-iso in the user's cache folder (XDG Base Directory
 * Specification).
 *
 * @param named what the command line says, if anything
 * @throws InputError if it says nothing that is a folder, or nobody says where the user's home is.
 */
export function cacheFolder(environment: NodeJS.ProcessEnv, named?: string): string {
  if (named === '') throw new InputError('--cache is empty.', 'Name a folder, or leave --cache out.');
  const wanted = named ?? environment['CLAWDIE_CACHE'] ?? '';
  if (wanted !== '') return resolvePath(wanted);
  const xdg = environment['XDG_CACHE_HOME'];
  return join(xdg?.startsWith('/') === true ? xdg : join(home(environment), '.cache'), 'clawdie-iso');
}

function home(environment: NodeJS.ProcessEnv): string {
  const path = environment['HOME'] ?? systemHome();
  if (path.startsWith('/')) return path;
  throw new InputError(
    'There is no home folder (HOME) in which the cache could be.',
    'Name the folder of the cache: --cache, or CLAWDIE_CACHE.',
  );
}

/** What the system has as this user's home; nothing where it does not know the user. */
function systemHome(): string {
  try {
    return homedir();
  } catch {
    return '';
  }
}

const RECEIPT = 'entry.json';

/** What folders for work in progress begin with where they cannot be in the cache. */
const OUTSIDE = 'clawdie-iso-work-';

/** What an entry says of itself: which it is, what belongs to it, and what is known of it. */
interface Receipt {
  readonly kind: string;
  readonly key: string;
  /** By path below the entry's folder; what is not listed does not belong to it. */
  readonly files: Readonly<Record<string, { readonly size: number; readonly sha256?: string }>>;
  readonly facts: unknown;
}

/** A result that stands in the cache. */
export interface CacheEntry<T> {
  readonly folder: string;
  readonly facts: T;
  /** Paths of its files below the folder; whatever else lies there is none of it. */
  readonly files: readonly string[];
}

/**
 * Results of stages under the hash of their inputs. An entry appears whole or not at all (made beside, then renamed),
 * and says which files it has, how large they are and what they sum up to; what it says is summed up itself.
 */
export class Cache {
  /** This build's own folder below `work`, once it needs one, and how many it has made in it. */
  private own: Promise<OwnFolder> | undefined;
  private folders = 0;
  private readOnly = false;

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
      await sweepFolders(join(this.folder, 'work'), '');
      await sweepScratch();
    } catch (error) {
      if (codeOf(error) !== 'EROFS') throw writeError(this.folder, error);
      // What is in it can be used all the same.
      this.readOnly = true;
      await sweepFolders(tmpdir(), OUTSIDE);
    }
  }

  /** A new folder for work in progress, on the file system of the cache; close() removes all of them. */
  async workFolder(): Promise<string> {
    this.own ??= this.readOnly ? ownFolder(tmpdir(), OUTSIDE) : ownFolder(join(this.folder, 'work'), '');
    const folder = join((await this.own).path, String(++this.folders));
    await mkdir(folder, { mode: 0o700 });
    return folder;
  }

  /** Gives back what a build holds of the cache. */
  async close(): Promise<void> {
    const own = this.own;
    this.own = undefined;
    if (own) await (await own).remove();
  }

  /** Whether an entry seems to be there, by its receipt and the sizes of its files. */
  async has(kind: string, key: string): Promise<boolean> {
    return (await this.get(kind, key)) !== undefined;
  }

  /**
   * An entry whose receipt is the one that was written and whose files have their sizes; undefined if there is none, or
   * if it is damaged.
   */
  async get<T>(kind: string, key: string): Promise<CacheEntry<T> | undefined> {
    const folder = this.path(kind, key);
    const receipt = await this.receipt(kind, key);
    if (!receipt) return undefined;
    for (const [name, { size }] of Object.entries(receipt.files)) {
      const found = await lstat(join(folder, name)).catch(() => undefined);
      if (found?.isFile() !== true || found.size !== size) return undefined;
    }
    return { folder, facts: receipt.facts as T, files: Object.keys(receipt.files) };
  }

  /** Whether the bytes of an entry's files are what they were when it was made. */
  async verify(kind: string, key: string, signal: AbortSignal): Promise<boolean> {
    const folder = this.path(kind, key);
    const receipt = await this.receipt(kind, key);
    if (!receipt) return false;
    try {
      for (const [name, { sha256: sum }] of Object.entries(receipt.files)) {
        if (sum !== undefined && (await sha256File(join(folder, name), { signal })) !== sum) return false;
      }
      return true;
    } catch {
      signal.throwIfAborted();
      return false;
    }
  }

  /** What an entry says of itself; undefined if it is not what was written of this very entry. */
  private async receipt(kind: string, key: string): Promise<Receipt | undefined> {
    const text = await readFile(join(this.path(kind, key), RECEIPT), 'utf8').catch(() => '');
    const [sum, body = ''] = text.split('\n', 2);
    if (sum !== sha256(body)) return undefined;
    const receipt = JSON.parse(body) as Receipt;
    return receipt.kind === kind && receipt.key === key ? receipt : undefined;
  }

  /**
   * Puts a finished folder into the cache.
   *
   * @param summed whether the receipt is to have the SHA-256 of each file; otherwise who uses them checks them
   */
  async put<T>(
    kind: string,
    key: string,
    work: string,
    facts: T,
    summed: boolean,
    signal: AbortSignal,
  ): Promise<CacheEntry<T>> {
    const files: Record<string, { size: number; sha256?: string }> = {};
    const found = await readdir(work, { recursive: true, withFileTypes: true });
    const paths = found.filter((each) => !each.isDirectory()).map((each) => join(each.parentPath, each.name));
    for (const path of paths.sort(compareBytes)) {
      const info = await lstat(path);
      if (!info.isFile()) throw new Error(`a cache entry holds files alone: ${path}`);
      files[path.slice(work.length + 1)] = {
        size: info.size,
        ...(summed && { sha256: await sha256File(path, { signal }) }),
      };
    }
    const receipt: Receipt = { kind, key, files, facts };
    const body = JSON.stringify(receipt);
    await writeFile(join(work, RECEIPT), `${sha256(body)}\n${body}\n`);
    const folder = this.path(kind, key);
    await mkdir(join(this.folder, kind), { recursive: true });
    await removeTree(folder);
    await rename(work, folder);
    return { folder, facts, files: Object.keys(files) };
  }

  async remove(kind: string, key: string): Promise<void> {
    const path = this.path(kind, key);
    await removeTree(path).catch((error: unknown) => {
      throw writeError(path, error);
    });
  }

  /**
   * Takes the lock under which an entry is made, so that two builds at once make it once.
   *
   * @throws UserError if nothing can be put into the cache.
   */
  async lock(key: string, onWait: (holder: string) => void, signal: AbortSignal): Promise<Lock> {
    if (this.readOnly)
      throw new UserError(
        `The cache ${this.folder} is mounted read-only, and what this build needs is not in it.`,
        'Choose another cache: CLAWDIE_CACHE, --cache.',
      );
    return acquire(join(this.folder, 'locks', key), { wait: true, onWait, signal });
  }

  private path(kind: string, key: string): string {
    if (!/^[a-z]+$/.test(kind) || !/^[0-9a-f]+$/.test(key))
      throw new UserError(`${kind}/${key} is no cache entry.`);
    return join(this.folder, kind, key);
  }
}
