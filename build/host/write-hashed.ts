import { createHash } from 'node:crypto';
import { open, rename, rm } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { partialName, writeError } from './files.js';

/** What a file came to. */
export interface Written {
  readonly sha256: string;
  /** Size of the file. */
  readonly bytes: number;
}

/**
 * Writes chunks to a new file, and sums them up while they pass.
 *
 * @param mode of the file, set before anything is in it, whatever the umask
 */
export async function writeHashed(
  target: string,
  mode: number,
  chunks: AsyncIterable<Buffer>,
): Promise<Written> {
  const output = await open(target, 'wx', mode & 0o600);
  try {
    await output.chmod(mode);
    const hash = createHash('sha256');
    let bytes = 0;
    for await (const chunk of chunks) {
      hash.update(chunk);
      await writeAll(output, chunk);
      bytes += chunk.length;
    }
    return { sha256: hash.digest('hex'), bytes };
  } finally {
    await output.close();
  }
}

/**
 * The same, whole or not at all: nothing half-written stands under the name.
 *
 * @throws UserError, see writeError(), if it cannot be written
 */
export async function writeWhole(
  path: string,
  mode: number,
  chunks: AsyncIterable<Buffer>,
): Promise<Written> {
  const part = partialName(path);
  try {
    const written = await writeHashed(part, mode, chunks);
    await rename(part, path);
    return written;
  } catch (error) {
    throw writeError(path, error);
  } finally {
    await rm(part, { force: true });
  }
}

async function writeAll(file: FileHandle, chunk: Buffer): Promise<void> {
  for (let done = 0; done < chunk.length;) done += (await file.write(chunk, done)).bytesWritten;
}
