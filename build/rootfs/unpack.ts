import { createHash } from 'node:crypto';
import type { Hash } from 'node:crypto';
import { closeSync, ftruncateSync, mkdirSync, openSync, read, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { UserError } from '../error.js';
import { writeError } from '../host/files.js';
import { MAGIC_BYTES, unpackCommand } from '../host/packers.js';
import { streamFrom } from '../host/process.js';
import { SparseReader, sparseHeader } from './sparse.js';
import type { SparseHeader } from './sparse.js';
import { refuse, TarReader } from './tar.js';
import type { TarEntry } from './tar.js';
import { normalPath, Tree } from './tree.js';

/** An open archive whose bytes are known. */
export interface Archive {
  /** Number of the open file; it is read from its start, wherever it stands. */
  readonly fd: number;
  /** What all of it sums up to. */
  readonly sha256: string;
  /** Its size in bytes. */
  readonly size: number;
}

/** How the entries of an archive are read that are not those of a release set: an archive, an instance. */
export interface Adapter {
  /**
   * The entry as a release set would have it; undefined for what tells of the archive itself.
   *
   * @param contents all its bytes; may be asked for where it is no part of the tree
   */
  entry(entry: TarEntry, contents: () => Promise<Buffer>): Promise<TarEntry | undefined>;
  /** Called once all entries have passed. @throws UserError if something is missing. */
  end(): void;
}

export interface UnpackOptions {
  /** What messages call the archive. */
  readonly where: string;
  /** How its entries are read, where it is no release set; made anew for each reading. */
  readonly adapter?: (() => Adapter) | undefined;
  /** Whether a path is wanted; what is not wanted is read past. */
  readonly keep: (path: string) => boolean;
  readonly signal: AbortSignal;
  /** Called after every entry, with the time that it has, in seconds since 1970. */
  readonly onEntry?: (mtime: number) => void;
}

/**
 * What an archive may come to, by its own size: FreeBSD's unpack to six times as much. More is a few bytes that would fill
 * the disk.
 */
const EXPANSION = 32;
const SMALL_BYTES = 64 * 1024 ** 2;
const MOST_BYTES = 8 * 1024 ** 3;
/** What unpacking may take. */
const MEMORY = '1024MiB';
/** FreeBSD's base.txz has some 30,000 entries. */
const MOST_ENTRIES = 250_000;

/**
 * Unpacks a .txz, or another archive by its adapter, into a folder, without being root: the folder gets the contents of files, owned by who runs this, and
 * the tree says what everything is to be (owners, modes, links). Symbolic links exist in the tree alone and no file
 * flag is restored, so nothing can be written outside the folder and all of it can be removed again.
 *
 * @param archive what is unpacked is summed up on its way, and has to be what is known of it
 * @param folder an empty folder
 * @returns the tree of what was kept
 * @throws UserError if the archive is damaged, is another than the one that is known, holds what no release set holds
 *   (devices, paths that climb, …), or comes to more than its size lets expect.
 */
export async function unpack(archive: Archive, folder: string, options: UnpackOptions): Promise<Tree> {
  const { where, keep } = options;
  const tree = new Tree(where);
  /** What was read past, by its path: a kept name may yet link to it. */
  const skipped = new Map<string, Skipped>();
  /** Kept names of files whose contents came under a name that is not kept, by that name. */
  const orphans = new Map<string, string>();

  await readArchive(archive, options, ({ type, target, uid, gid, mode }, path, size) => {
    const attributes = { uid, gid, mode };
    if (!['directory', 'symlink', 'link', 'file'].includes(type))
      throw refuse(where, `holds ${path}, a ${type}, which no release set holds`);
    if (type === 'symlink') checkTarget(target, path, where);
    if (!keep(path)) {
      if (skipped.has(path) && type !== 'directory')
        throw refuse(where, `holds an entry ${JSON.stringify(path)}, which is there twice`);
      if (type === 'file') skipped.set(path, { ...attributes, type, size });
      if (type === 'symlink') skipped.set(path, { type });
      if (type === 'link') skipped.set(path, { type, target: linkTarget(target, path, where) });
      return undefined;
    }
    switch (type) {
      case 'directory':
        tree.add(path, { ...attributes, type: 'dir' });
        mkdirSync(join(folder, path), { recursive: true });
        return undefined;
      case 'symlink':
        tree.add(path, { ...attributes, type, target });
        return undefined;
      case 'link': {
        const named = linkTarget(target, path, where);
        const other = skipped.get(named);
        const source = other?.type === 'link' ? other.target : named;
        const contents = skipped.get(source);
        const first = orphans.get(source);
        if (contents?.type === 'file' && first === undefined) {
          tree.add(path, contents);
          orphans.set(source, path);
        } else tree.add(path, { type: 'hardlink', target: first ?? source });
        return undefined;
      }
      default:
        tree.add(path, { ...attributes, type: 'file', size });
        return openNew(folder, path);
    }
  });

  if (orphans.size > 0)
    // Once more, for contents whose own name was not wanted.
    await readArchive(archive, { where, signal: options.signal, adapter: options.adapter }, (_, path) => {
      const name = orphans.get(path);
      return name === undefined ? undefined : openNew(folder, name);
    });
  return tree;
}

type Skipped =
  | {
      readonly type: 'file';
      readonly uid: number;
      readonly gid: number;
      readonly mode: number;
      readonly size: number;
    }
  | { readonly type: 'symlink' }
  | { readonly type: 'link'; readonly target: string };

/** The path that a hard link means. */
function linkTarget(target: string, path: string, where: string): string {
  if (target === '') throw refuse(where, `holds ${JSON.stringify(path)}, a hard link to nothing`);
  return normalPath(target, where);
}

/** Longest target of a symbolic link in bytes, the byte that ends it included (PATH_MAX, sys/syslimits.h). */
const PATH_MAX = 1024;

function checkTarget(target: string, path: string, where: string): void {
  const flaw =
    target === ''
      ? 'which leads nowhere'
      : Buffer.byteLength(target) >= PATH_MAX
        ? 'which is too long'
        : /[\u0000-\u001f\u007f]/.test(target)
          ? 'which holds a control character'
          : undefined;
  if (flaw !== undefined) throw refuse(where, `holds ${JSON.stringify(path)}, a symbolic link ${flaw}`);
}

/** Opens a file that must not be there yet; its folders are made by us alone and hold no links. */
function openNew(folder: string, path: string): number {
  const full = join(folder, path);
  mkdirSync(dirname(full), { recursive: true });
  return openSync(full, 'wx', 0o600);
}

/**
 * Reads an archive through xz(1) or zstd(1), entry by entry. `decide` gives the open file that an entry's contents go to, which are of
 * that size with their holes, or undefined to read past it.
 */
async function readArchive(
  { fd, sha256, size: packed }: Archive,
  options: Pick<UnpackOptions, 'where' | 'signal' | 'onEntry' | 'adapter'>,
  decide: (entry: TarEntry, path: string, size: number) => number | undefined,
): Promise<void> {
  const { where, signal } = options;
  const hash = createHash('sha256');
  const begins = Buffer.alloc(MAGIC_BYTES);
  await promisify(read)(fd, begins, 0, MAGIC_BYTES, 0);
  // Whatever is neither is for xz to refuse.
  const command = unpackCommand(begins, where, MEMORY) ?? [
    ...(['xz', '-dcq', '--format=xz'] as const),
    `--memlimit-decompress=${MEMORY}`,
  ];
  const unpacking = streamFrom(`Unpacking ${where}`, command, Readable.from(summedUp(fd, hash)), signal);
  const adapter = options.adapter?.();
  const most = Math.min(MOST_BYTES, SMALL_BYTES + EXPANSION * packed);
  let bytes = 0;
  const account = (more: number): void => {
    bytes += more;
    if (bytes > most)
      throw refuse(where, `has ${packed} bytes and unpacks to more than ${most}, as no release set does`);
  };
  try {
    const reader = new TarReader(
      unpacking.stdout[Symbol.asyncIterator]() as AsyncIterator<Buffer>,
      where,
      account,
    );
    for (let count = 1; ; count++) {
      const found = await reader.next();
      if (!found) break;
      if (count > MOST_ENTRIES)
        throw refuse(where, `holds more than ${MOST_ENTRIES} entries, as no release set does`);
      const entry = adapter ? await adapter.entry(found, () => reader.whole()) : found;
      if (!entry) continue;
      const sparse = entry.type === 'file' ? sparseHeader(entry.pax, where) : undefined;
      if (sparse) account(sparse.size);
      const path = normalPath(sparse?.name ?? entry.name, where);
      const file = decide(entry, path, sparse?.size ?? entry.size);
      if (file !== undefined) await writeContents(reader, file, sparse, where);
      options.onEntry?.(entry.mtime());
      // Entries without contents come in thousands of one chunk: signals have their turn between.
      if (count % 1000 === 0) await new Promise(setImmediate);
      signal.throwIfAborted();
    }
    adapter?.end();
    await unpacking.done;
  } catch (error) {
    unpacking.kill();
    unpacking.stdout.destroy();
    const ending: unknown = await unpacking.done.catch((reason: unknown) => reason);
    signal.throwIfAborted();
    // Where what unpacks it failed, its own words say more than the end of the stream that followed.
    if (ending instanceof UserError && !ending.message.includes('ended by a signal')) throw ending;
    throw writeError(where, error);
  }
  if (hash.digest('hex') !== sha256)
    throw refuse(where, 'has changed while it was unpacked: it no longer has the sum that was checked');
}

/** The bytes of an open file, from its start, which are summed up as they pass. */
async function* summedUp(fd: number, hash: Hash): AsyncGenerator<Buffer, void> {
  for (let at = 0; ;) {
    const { bytesRead, buffer } = await promisify(read)(fd, Buffer.allocUnsafe(1 << 20), 0, 1 << 20, at);
    if (bytesRead === 0) return;
    const piece = buffer.subarray(0, bytesRead);
    hash.update(piece);
    at += bytesRead;
    yield piece;
  }
}

/** Writes the contents of the current entry to an open file, and closes it. */
async function writeContents(
  reader: TarReader,
  file: number,
  sparse: SparseHeader | undefined,
  where: string,
): Promise<void> {
  try {
    let position = 0;
    const holes = sparse && new SparseReader(sparse.size, where);
    for await (const chunk of reader.data()) {
      if (holes) holes.push(chunk, (bytes, at) => void writeAll(file, bytes, at));
      else position = writeAll(file, chunk, position);
    }
    holes?.finish();
    if (sparse) ftruncateSync(file, sparse.size);
  } finally {
    closeSync(file);
  }
}

function writeAll(file: number, chunk: Buffer, position: number): number {
  let written = 0;
  while (written < chunk.length)
    written += writeSync(file, chunk, written, chunk.length - written, position + written);
  return position + written;
}
