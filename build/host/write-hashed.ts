import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';

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

async function writeAll(file: FileHandle, chunk: Buffer): Promise<void> {
  for (let done = 0; done < chunk.length;) done += (await file.write(chunk, done)).bytesWritten;
}
