import { closeSync, createReadStream, ftruncateSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { extract } from 'tar-stream';
import type { Header } from 'tar-stream';
import { UserError } from '../error.js';
import { writeError } from '../host/files.js';
import { streamFrom } from '../host/process.js';
import { SparseReader, sparseHeader } from './sparse.js';
import { normalPath, Tree } from './tree.js';
import type { Node } from './tree.js';

/** What tar-stream calls `{}`: the attributes of a pax header. */
type Pax = Readonly<Record<string, string>> | undefined;

/** The largest number that a user or a group can have: they are 32 bits (uid_t). */
const MAX_ID = 0xffff_ffff;

export interface UnpackOptions {
  /** What messages call the archive. */
  readonly where: string;
  /** Whether a path is wanted; what is not wanted is read past. */
  readonly keep: (path: string) => boolean;
  readonly signal: AbortSignal;
  /** Called after every entry. */
  readonly onEntry?: () => void;
}

/**
 * Unpacks a .txz into a folder, without being root: the folder gets the contents of files, owned by who runs this, and
 * the tree says what everything is to be (owners, modes, links). Symbolic links exist in the tree alone and no file
 * flag is restored, so nothing can be written outside the folder and all of it can be removed again.
 *
 * @param fd the open archive, read from its start
 * @returns the tree of what was kept
 * @throws UserError if the archive is damaged, or holds what no release set holds (devices, paths that climb, …).
 */
export async function unpack(fd: number, folder: string, options: UnpackOptions): Promise<Tree> {
  const tree = new Tree(options.where);
  /** Files whose contents were read past: a kept name may yet link to them. */
  const skipped = new Map<string, Node>();
  /** Kept names of files whose contents came under a name that is not kept. */
  const orphans = new Map<string, string>();

  await readArchive(fd, options, (header, path) => {
    const type = header.type;
    const attributes = { uid: header.uid, gid: header.gid, mode: header.mode & 0o7777 };
    if (![header.uid, header.gid].every((id) => Number.isInteger(id) && id >= 0 && id <= MAX_ID))
      throw new UserError(
        `${options.where} holds ${path}, owned by ${header.uid}:${header.gid}, which no system can have. The archive is damaged or hostile and is not used.`,
        'Fetch the release sets again, from a source that you trust.',
      );
    const size = sparseHeader(header.pax as Pax, options.where)?.size ?? header.size;
    if (!options.keep(path)) {
      if (type === 'file' || type === 'contiguous-file')
        skipped.set(path, { ...attributes, type: 'file', size });
      return undefined;
    }
    switch (type) {
      case 'directory':
        addFolder(tree, folder, path, { ...attributes, type: 'dir' });
        return undefined;
      case 'symlink':
        tree.add(path, { ...attributes, type: 'symlink', target: header.linkname });
        return undefined;
      case 'link': {
        const target = normalPath(header.linkname, options.where);
        const first = [...orphans].find(([, source]) => source === target)?.[0];
        if (first !== undefined) tree.add(path, { type: 'hardlink', target: first });
        else {
          const contents = skipped.get(target);
          if (contents) orphans.set(path, target);
          tree.add(path, contents ?? { type: 'hardlink', target });
        }
        return undefined;
      }
      case 'file':
      case 'contiguous-file':
        tree.add(path, { ...attributes, type: 'file', size });
        return openNew(folder, path);
      default:
        throw new UserError(
          `${options.where} holds ${path}, a ${type}, which no release set holds. The archive is damaged or hostile and is not used.`,
          'Fetch the release sets again, from a source that you trust.',
        );
    }
  });

  if (orphans.size > 0) await fetchOrphans(fd, folder, orphans, options);
  return tree;
}

/** Reads the archive once more for contents whose own name was not wanted. */
async function fetchOrphans(
  fd: number,
  folder: string,
  orphans: ReadonlyMap<string, string>,
  options: UnpackOptions,
): Promise<void> {
  const names = new Map([...orphans].map(([name, source]) => [source, name]));
  // From the start of the same open file, which has been read to its end.
  const again = createReadStream('', { fd, start: 0, autoClose: false });
  await readArchive(again, { where: options.where, signal: options.signal }, (header, path) => {
    const name = names.get(path);
    if (name === undefined || header.type !== 'file') return undefined;
    names.delete(path);
    return openNew(folder, name);
  });
}

function addFolder(tree: Tree, folder: string, path: string, node: Node): void {
  tree.add(path, node);
  mkdirSync(join(folder, path), { recursive: true });
}

/** Opens a file that must not be there yet; its folders are made by us alone and hold no links. */
function openNew(folder: string, path: string): number {
  const full = join(folder, path);
  try {
    return openSync(full, 'wx', 0o600);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw writeError(full, error);
    mkdirSync(dirname(full), { recursive: true });
    return openSync(full, 'wx', 0o600);
  }
}

/**
 * Reads a .txz through xz(1), entry by entry. `decide` gives the open file that an entry's contents go to, or
 * undefined to read past it.
 */
async function readArchive(
  input: number | Readable,
  options: Pick<UnpackOptions, 'where' | 'signal' | 'onEntry'>,
  decide: (header: Header, path: string) => number | undefined,
): Promise<void> {
  const { where, signal } = options;
  const xz = streamFrom(
    `Unpacking ${where}`,
    ['xz', '-dc', '-T0', '--memlimit-mt-decompress=1GiB'],
    input,
    signal,
  );
  const reader = extract();
  reader.on('entry', (header, stream, next) => {
    let file: number | undefined;
    stream.on('error', () => undefined); // the reader fails with the same error
    try {
      const sparse = sparseHeader(header.pax as Pax, where);
      file = decide(header, normalPath(sparse?.name ?? header.name, where));
      if (file === undefined) stream.resume();
      else {
        const target = file;
        let position = 0;
        const holes = sparse && new SparseReader(sparse.size, where);
        stream.on('data', (data: unknown) => {
          const chunk = data as Buffer;
          try {
            if (holes) holes.push(chunk, (bytes, at) => void writeAll(target, bytes, at));
            else position = writeAll(target, chunk, position);
          } catch (error) {
            reader.destroy(error as Error);
          }
        });
        stream.on('end', () => {
          try {
            holes?.finish();
            if (sparse) ftruncateSync(target, sparse.size);
          } catch (error) {
            reader.destroy(error as Error);
          }
        });
      }
      stream.on('close', () => {
        if (file !== undefined) closeSync(file);
      });
      stream.on('end', () => {
        options.onEntry?.();
        next();
      });
    } catch (error) {
      if (file !== undefined) closeSync(file);
      reader.destroy(error as Error);
    }
  });

  try {
    await pipeline(xz.stdout, reader as unknown as NodeJS.WritableStream);
    await xz.done;
  } catch (error) {
    xz.kill();
    const ending: unknown = await xz.done.catch((reason: unknown) => reason);
    signal.throwIfAborted();
    if (error instanceof UserError) throw error;
    // Where xz itself failed, its own words say more than the end of the stream that followed.
    if (ending instanceof UserError && !ending.message.includes('ended by a signal')) throw ending;
    const cause = writeError(where, error);
    if (cause instanceof UserError) throw cause;
    throw new UserError(
      `Unpacking ${where}: the archive is damaged: ${cause.message}.`,
      'Fetch the release sets again.',
      { cause: error },
    );
  }
}

function writeAll(file: number, chunk: Buffer, position: number): number {
  let written = 0;
  while (written < chunk.length)
    written += writeSync(file, chunk, written, chunk.length - written, position + written);
  return position + written;
}
