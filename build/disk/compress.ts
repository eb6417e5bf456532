import { createReadStream } from 'node:fs';
import { Readable } from 'node:stream';
import type { Extent } from '../image/iso9660.js';
import { run, streamFrom } from '../host/process.js';
import { writeHashed } from '../host/write-hashed.js';
import type { Written } from '../host/write-hashed.js';

// A disk image is compressed in three pieces, one zstd frame (RFC 8878) or more each: before, in and behind the slot.
// Frames one behind the other are one file to zstd(1), so that a deployment costs a copy and the compression of its slot.

const CHUNK = 1024 * 1024;

/** Level of compression: a base disk is compressed once, and copied for every deployment. */
const LEVEL = 12;

/** Always with worker threads, at least one: their number then does not show in the output. */
const COMPRESS = ['zstd', '-q', `-${LEVEL}`, '-T0', '-c', '-'];

async function* compressed(input: Readable, signal: AbortSignal): AsyncGenerator<Buffer> {
  const stream = streamFrom('Compressing the disk image', COMPRESS, input, signal);
  try {
    for await (const chunk of stream.stdout as AsyncIterable<Buffer>) yield chunk;
    await stream.done;
  } finally {
    input.destroy();
  }
}

/** A disk without its slot, compressed: what is before it, and from `cut` on what is behind. */
export interface Pieces {
  readonly cut: number;
  readonly sha256: string;
}

/**
 * Compresses a disk but for its slot.
 *
 * @param size of the disk in bytes
 * @throws UserError if zstd fails.
 */
export async function compressAround(
  disk: string,
  slot: Extent,
  size: number,
  target: string,
  signal: AbortSignal,
): Promise<Pieces> {
  const range = (from: number, to: number): AsyncIterable<Buffer> =>
    compressed(createReadStream(disk, { start: from, end: to - 1, highWaterMark: CHUNK }), signal);
  let cut = 0;
  const { sha256 } = await writeHashed(
    target,
    0o644,
    (async function* () {
      for await (const chunk of range(0, slot.offset)) {
        cut += chunk.length;
        yield chunk;
      }
      yield* range(slot.offset + slot.length, size);
    })(),
  );
  return { cut, sha256 };
}

/**
 * Writes the compressed image of one deployment: the pieces around the slot as they are, the slot between them.
 *
 * @param slot all of it
 * @throws UserError if zstd fails.
 */
export function writeCompressed(
  pieces: string,
  cut: number,
  slot: Buffer,
  target: string,
  mode: number,
  signal: AbortSignal,
): Promise<Written> {
  const options = { highWaterMark: CHUNK, signal };
  return writeHashed(
    target,
    mode,
    (async function* () {
      yield* createReadStream(pieces, { ...options, end: cut - 1 }) as AsyncIterable<Buffer>;
      yield* compressed(Readable.from([slot]), signal);
      yield* createReadStream(pieces, { ...options, start: cut }) as AsyncIterable<Buffer>;
    })(),
  );
}

/** Unpacks a compressed image; what is zero there takes no room. @throws UserError if zstd fails. */
export async function decompress(source: string, target: string, signal?: AbortSignal): Promise<void> {
  await run('Unpacking the disk image', ['zstd', '-q', '-d', '--sparse', '-o', target, source], {
    ...(signal && { signal }),
  });
}
