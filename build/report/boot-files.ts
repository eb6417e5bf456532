import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { readAt } from '../host/files.js';
import { hashRange } from '../host/hash.js';
import { listFiles } from '../image/iso9660.js';
import type { BootFile } from './sbom.js';

const known = new Map<string, Promise<readonly BootFile[]>>();

/**
 * The files that boot a base image, with their sums: all of the ISO but the root file system, the slot and the packages, which
 * are summed up elsewhere. A base image is looked at once in a run.
 *
 * @param key of the base image
 * @throws UserError if it is no ISO.
 */
export function bootFiles(path: string, key: string): Promise<readonly BootFile[]> {
  const found = known.get(key) ?? read(path);
  known.set(key, found);
  return found;
}

async function read(path: string): Promise<readonly BootFile[]> {
  const file = await open(path, 'r');
  try {
    const files: BootFile[] = [];
    for (const [name, { offset, length }] of await listFiles((at, size) => readAt(file, at, size), path)) {
      const plain = name.toLowerCase().replace(/\.?;1$/, '');
      if (plain === '/overlay' || /^\/(?:mfsroot|packages\/)/.test(plain)) continue;
      const hash = await hashRange(createHash('sha256'), file, offset, offset + length);
      files.push({ path: plain, bytes: length, sha256: hash.digest('hex') });
    }
    return files.sort((a, b) => (a.path < b.path ? -1 : 1));
  } finally {
    await file.close();
  }
}
