import { createHash } from 'node:crypto';
import type { Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { writeFully } from './files.js';

/** SHA-256 of text or bytes, in hexadecimal. */
export function sha256(data: string | Uint8Array): string {
  return createHash('sha256').update(data).digest('hex');
}

/** SHA-256 of a file, in hexadecimal; `onBytes` hears how many bytes were read since the last call. */
export async function sha256File(
  path: string,
  options: { readonly onBytes?: (count: number) => void; readonly signal?: AbortSignal } = {},
): Promise<string> {
  const hash = createHash('sha256');
  const stream = createReadStream(path, {
    highWaterMark: 1024 * 1024,
    ...(options.signal && { signal: options.signal }),
  });
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    hash.update(chunk);
    options.onBytes?.(chunk.length);
  }
  return hash.digest('hex');
}

/** Sums of the same bytes, each of another kind, which are read once for all of them. */
export class Sums {
  private readonly hashes: ReadonlyMap<string, Hash>;

  /** @param algorithms names of hashes as Node.js has them */
  constructor(algorithms: readonly string[]) {
    this.hashes = new Map(algorithms.map((algorithm) => [algorithm, createHash(algorithm)]));
  }

  update(bytes: Uint8Array): void {
    for (const hash of this.hashes.values()) hash.update(bytes);
  }

  /** In hexadecimal, by algorithm; asked for once. */
  digests(): ReadonlyMap<string, string> {
    return new Map([...this.hashes].map(([algorithm, hash]) => [algorithm, hash.digest('hex')]));
  }
}

/**
 * Feeds a piece of an open file to a hash, or to several, bit by bit.
 *
 * @param to byte behind the last one; where the file ends before, there is less
 * @param copy an open file that the same bytes are written to, from its beginning
 * @returns the hash
 */
export async function hashRange<T extends { update(bytes: Uint8Array): unknown }>(
  hash: T,
  file: FileHandle,
  from: number,
  to: number,
  signal?: AbortSignal,
  copy?: FileHandle,
): Promise<T> {
  const buffer = Buffer.allocUnsafe(1024 * 1024);
  for (let at = from; at < to;) {
    signal?.throwIfAborted();
    const { bytesRead } = await file.read(buffer, 0, Math.min(buffer.length, to - at), at);
    if (bytesRead === 0) break;
    const piece = buffer.subarray(0, bytesRead);
    hash.update(piece);
    if (copy) await writeFully(copy, piece, at - from);
    at += bytesRead;
  }
  return hash;
}
