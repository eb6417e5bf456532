import { open, writeFile } from 'node:fs/promises';
import { openSync, readSync, closeSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../host/process.js';
import { formatMtree } from './mtree.js';
import { normalise } from './superblock.js';
import type { Tree } from './tree.js';

/** Label of the root file system: the loader is told to mount /dev/ufs/<label>. */
export const ROOT_LABEL = 'clawdieroot';

/** Room for what the running instance writes to its root, in bytes. It costs as much memory. */
const FREE_BYTES = 96 * 1024 * 1024;
const FREE_FILES = 8192;

/**
 * Makes the UFS image of a tree whose contents are in a folder. UFS1, which Debian's makefs and FreeBSD's both write
 * and FreeBSD mounts (-x: only what the tree knows); blocks of 16 KiB, fragments of 2 KiB; the same bytes for the same tree.
 *
 * @param time seconds since the epoch, for every file and the file system itself
 * @throws UserError if makefs fails.
 */
export async function makeUfs(
  tree: Tree,
  folder: string,
  image: string,
  time: number,
  signal: AbortSignal,
): Promise<void> {
  const spec = join(folder, '..', 'root.mtree');
  await writeFile(spec, formatMtree(tree, time));
  await run(
    'Making the UFS root image',
    [
      'makefs',
      '-t',
      'ffs',
      '-o',
      'version=1,bsize=16384,fsize=2048,minfree=0,optimization=space',
      '-T',
      String(time),
      '-b',
      String(FREE_BYTES),
      '-f',
      String(FREE_FILES),
      '-x',
      '-F',
      spec,
      image,
      folder,
    ],
    { signal },
  );
  const file = openSync(image, 'r');
  let patches;
  try {
    patches = normalise(
      (position, length) => {
        const buffer = Buffer.alloc(length);
        return buffer.subarray(0, readSync(file, buffer, 0, length, position));
      },
      ROOT_LABEL,
      time,
    );
  } finally {
    closeSync(file);
  }
  const output = await open(image, 'r+');
  try {
    for (const { position, bytes } of patches) await output.write(bytes, 0, bytes.length, position);
  } finally {
    await output.close();
  }
}
