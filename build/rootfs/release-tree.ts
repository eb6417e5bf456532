import { mkdir, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Tree } from './tree.js';
import { unpack } from './unpack.js';
import type { Adapter, Archive } from './unpack.js';

/** An archive of a release: a set, or a package of the base system. */
export interface Source {
  /** What messages call it. */
  readonly where: string;
  readonly part: 'world' | 'kernel';
  /** Has it open while `run` reads it. */
  readonly use: <T>(run: (archive: Archive) => Promise<T>) => Promise<T>;
  /** How its entries are read, where it is no release set. */
  readonly adapter?: () => Adapter;
}

export interface UnpackAllOptions {
  readonly keep: (path: string) => boolean;
  readonly signal: AbortSignal;
  readonly onEntry?: (mtime: number) => void;
}

/** Archives that are unpacked at once. */
const AT_ONCE = 2;

/**
 * Unpacks the archives of a release into one folder, side by side, and gives what all of them have. Where one fails, the others
 * stop, and have stopped before it is told.
 *
 * @param folder an empty folder for the contents; `beside` another one on the same file system, to work in
 * @throws UserError if one is damaged or hostile, or two have the same file.
 */
export async function unpackAll(
  sources: readonly Source[],
  folder: string,
  beside: string,
  options: UnpackAllOptions,
): Promise<Tree> {
  const failed = new AbortController();
  const signal = AbortSignal.any([options.signal, failed.signal]);
  const trees = new Map<Source, Tree>();
  const place = (index: number): string => join(beside, String(index));
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let index = next++; index < sources.length; index = next++) {
      const source = sources[index];
      if (!source) break;
      const { where, adapter } = source;
      await mkdir(place(index));
      const tree = await source.use((archive) =>
        unpack(archive, place(index), { ...options, signal, where, adapter }),
      );
      trees.set(source, tree);
    }
  };
  const workers = Array.from({ length: AT_ONCE }, () =>
    worker().catch((error: unknown) => {
      failed.abort(error);
      throw error;
    }),
  );
  await Promise.allSettled(workers);
  await Promise.all(workers);

  const all = new Tree('the release');
  for (const [index, source] of sources.entries()) {
    const tree = trees.get(source);
    if (!tree) continue;
    all.merge(tree, source.where);
    for (const [path, node] of tree.entries()) {
      if (node.type !== 'file') continue;
      await mkdir(dirname(join(folder, path)), { recursive: true });
      await rename(join(place(index), path), join(folder, path));
    }
  }
  return all;
}
