import { mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf, UserError } from '../error.js';
import { writeError } from '../host/files.js';
import { hashRange, sha256, Sums } from '../host/hash.js';

/** What a download tells while it runs: bytes that are there, and bytes in all where the server says so. */
export type OnProgress = (done: number, total: number | undefined) => void;

export interface DownloadOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: OnProgress;
  /** Hears, as a sentence, what went wrong before the next try, and when that begins. */
  readonly onRetry?: (text: string) => void;
  /** How often a broken transfer is taken up again. */
  readonly retries?: number;
  /** Milliseconds without a byte after which a transfer counts as broken. */
  readonly stallAfter?: number;
  /** Milliseconds before the first new try; each further one waits twice as long. */
  readonly retryDelay?: number;
  /** Bytes that the server may send at most: no release set has more than 8 GiB. */
  readonly most?: number;
  /** The key of build.cfg that says where it comes from, for messages. */
  readonly key?: string;
}

/** What the bytes of a download have to come to. */
export interface Expected {
  /** Names of hashes as Node.js has them, and what they come to in hexadecimal. */
  readonly sums: readonly { readonly algorithm: string; readonly hex: string }[];
}

/** Sums to be taken of bytes that have to be these: the expected ones, and SHA-256. */
export function algorithmsOf({ sums }: Expected): readonly string[] {
  return [...new Set([...sums.map(({ algorithm }) => algorithm), 'sha256'])];
}

/** The first sum that is not the expected one; undefined where all are. */
export function wrongSum(
  { sums }: Expected,
  found: ReadonlyMap<string, string>,
): { readonly algorithm: string; readonly hex: string; readonly found: string } | undefined {
  const wrong = sums.find(({ algorithm, hex }) => found.get(algorithm) !== hex);
  return wrong && { ...wrong, found: found.get(wrong.algorithm) ?? '' };
}

/** The server does not have it. */
export class NotThere extends UserError {}

/** No release set is larger: a server that sends more is not serving one. Bytes. */
const MOST_BYTES = 8 * 1024 ** 3;
/** No MANIFEST is larger. Bytes. */
const MOST_TEXT = 1024 * 1024;

/** What the network did: worth another try, unlike an answer that would be the same again. */
class Transient extends Error {}

/** What a hash is called in messages. */
const TITLES: Readonly<Record<string, string>> = {
  sha256: 'SHA-256',
  sha512: 'SHA-512',
  blake2b512: 'BLAKE2b',
  blake2s256: 'BLAKE2s',
};

/**
 * Downloads a file to `path`, which appears only once its sum (its SHA-256, where it is a word) is the expected one. What was transferred before
 * is kept in `path.part` and taken up again (RFC 9110, range requests), in this run or a later one.
 *
 * @returns its SHA-256, in hexadecimal
 * @throws UserError if the server does not have it, cannot be reached, or serves other bytes (these are removed).
 */
export async function download(
  url: string,
  path: string,
  expected: string | Expected,
  options: DownloadOptions = {},
): Promise<string> {
  const part = `${path}.part`;
  const key = options.key ?? 'FREEBSD_MIRROR';
  const wanted: Expected =
    typeof expected === 'string' ? { sums: [{ algorithm: 'sha256', hex: expected }] } : expected;
  const retries = options.retries ?? 5;
  await mkdir(dirname(path), { recursive: true });
  for (let attempt = 0; ; attempt++) {
    try {
      const sums = new Sums(algorithmsOf(wanted));
      const { resumed } = await transfer(url, part, sums, options);
      const found = sums.digests();
      const wrong = wrongSum(wanted, found);
      if (!wrong) {
        await rename(part, path);
        return found.get('sha256') ?? '';
      }
      await rm(part, { force: true });
      // An old part may be of another file: only a transfer from the start proves the server wrong.
      if (resumed && attempt < retries) continue;
      const { algorithm, hex } = wrong;
      throw new UserError(
        `Downloading ${url}: the file's ${TITLES[algorithm] ?? algorithm} is ${wrong.found}, not ${hex}. It was altered or damaged and has been removed.`,
        `Try another ${key}; if that serves the same bytes, do not use ${key === 'FREEBSD_MIRROR' ? 'the release' : 'it'}.`,
      );
    } catch (error) {
      options.signal?.throwIfAborted();
      if (!(error instanceof Transient)) throw writeError(part, error);
      if (attempt >= retries) {
        throw new UserError(
          `Downloading ${url} failed ${retries + 1} times: ${error.message}.`,
          `Check the network and ${options.key ?? 'FREEBSD_MIRROR or FREEBSD_DIST'}, then run the same command again: it goes on where it stopped.`,
        );
      }
      await pause(url, error, attempt, retries, options);
    }
  }
}

async function transfer(
  url: string,
  part: string,
  sums: Sums,
  options: DownloadOptions,
): Promise<{ resumed: boolean }> {
  const most = options.most ?? MOST_BYTES;
  const file = await open(part, 'a+', 0o600);
  try {
    const present = (await file.stat()).size;
    const response = await request(url, present, options);
    let from = 0;
    if (response.status === 206 && rangeStart(response) === present) from = present;
    else if (response.status === 416 && present > 0) {
      await file.truncate(0);
      throw new Transient('what was there before is not a beginning of it');
    } else if (response.status !== 200) throw refused(url, response, options);
    if (from === 0) await file.truncate(0);

    await hashRange(sums, file, 0, from);
    const length = Number(response.headers.get('content-length') ?? NaN);
    const total =
      Number.isFinite(length) && !response.headers.has('content-encoding') ? from + length : undefined;
    let done = from;
    options.onProgress?.(done, total);
    for await (const chunk of body(response, options)) {
      done += chunk.length;
      if (done > most) {
        await file.truncate(0); // what is there is of no use for another try
        throw new UserError(
          `Downloading ${url}: the server sends more than ${options.most === undefined ? 'any release set has' : `the ${most} bytes that it is to have`}.`,
          advice(options),
        );
      }
      sums.update(chunk);
      await file.appendFile(chunk);
      options.onProgress?.(done, total);
    }
    if (total !== undefined && done < total)
      throw new Transient(`the connection ended after ${done} of ${total} bytes`);
    await file.sync();
    return { resumed: from > 0 };
  } finally {
    await file.close();
  }
}

/**
 * Downloads a MANIFEST as text. `expected` is its SHA-256, where it is known.
 *
 * @throws UserError as download() does, and if it is larger than 1 MiB.
 */
export async function downloadText(
  url: string,
  expected: string | undefined,
  options: DownloadOptions = {},
): Promise<string> {
  const bytes = await downloadBytes(url, {
    most: MOST_TEXT,
    ...options,
    tooMuch: 'this is no MANIFEST, it is larger than 1 MiB',
  });
  const sum = sha256(bytes);
  if (expected !== undefined && sum !== expected) {
    throw new UserError(
      `Downloading ${url}: the file's SHA-256 is ${sum}, not ${expected}.`,
      'Check FREEBSD_MANIFEST_SHA256, or try another mirror.',
    );
  }
  return bytes.toString('utf8');
}

/**
 * Downloads what is small, into memory.
 *
 * @throws NotThere if the server does not have it; UserError as download() does, and if it is larger than `most`.
 */
export async function downloadBytes(
  url: string,
  options: DownloadOptions & { readonly most: number; readonly tooMuch?: string },
): Promise<Buffer> {
  const retries = options.retries ?? 5;
  for (let attempt = 0; ; attempt++) {
    try {
      const response = await request(url, 0, options);
      if (response.status !== 200) throw refused(url, response, options);
      const length = Number(response.headers.get('content-length') ?? NaN);
      const chunks: Uint8Array[] = [];
      let size = 0;
      for await (const chunk of body(response, options)) {
        size += chunk.length;
        if (size > options.most)
          throw new UserError(
            `Downloading ${url}: ${options.tooMuch ?? `it is larger than ${options.most} bytes`}.`,
            advice(options),
          );
        options.onProgress?.(size, Number.isFinite(length) ? length : undefined);
        chunks.push(chunk);
      }
      if (size < length && !response.headers.has('content-encoding'))
        throw new Transient(`the connection ended after ${size} of ${length} bytes`);
      return Buffer.concat(chunks);
    } catch (error) {
      options.signal?.throwIfAborted();
      if (!(error instanceof Transient)) throw error;
      if (attempt >= retries) {
        throw new UserError(
          `Downloading ${url} failed ${retries + 1} times: ${error.message}.`,
          `Check the network and ${options.key ?? 'FREEBSD_MIRROR or FREEBSD_DIST'}.`,
        );
      }
      await pause(url, error, attempt, retries, options);
    }
  }
}

/** Waits before the next try, twice as long before each further one. */
async function pause(
  url: string,
  why: Transient,
  attempt: number,
  retries: number,
  { retryDelay = 1000, signal, onRetry }: DownloadOptions,
): Promise<void> {
  const delay = retryDelay * 2 ** attempt;
  onRetry?.(
    `Downloading ${url}: ${why.message}. Again in ${Math.ceil(delay / 1000)} s (${attempt + 1} of ${retries}).`,
  );
  await sleep(delay, undefined, { ...(signal && { signal }) });
}

function advice({ key }: DownloadOptions): string {
  return key === undefined ? 'Check FREEBSD_MIRROR or FREEBSD_DIST.' : `Check ${key}.`;
}

async function request(url: string, from: number, options: DownloadOptions): Promise<Response> {
  const silent = new AbortController();
  // Until the headers are there; the body has a limit of its own.
  const timer = setTimeout(() => {
    silent.abort(new Error('the server did not answer'));
  }, options.stallAfter ?? 30_000);
  try {
    return await fetch(url, {
      // Compressed transfers would make ranges and lengths those of other bytes.
      headers: { 'accept-encoding': 'identity', ...(from > 0 && { range: `bytes=${from}-` }) },
      signal: options.signal ? AbortSignal.any([options.signal, silent.signal]) : silent.signal,
    });
  } catch (error) {
    options.signal?.throwIfAborted();
    const why = reason(error);
    // fetch() never asks some ports (fetch.spec.whatwg.org, "bad port"): no retry helps.
    if (why === 'bad port')
      throw new UserError(
        `Downloading ${url}: programs that speak HTTP do not ask this port.`,
        advice(options),
      );
    throw new Transient(why);
  } finally {
    clearTimeout(timer);
  }
}

async function* body(response: Response, options: DownloadOptions): AsyncGenerator<Uint8Array> {
  if (!response.body) return;
  const reader = response.body.getReader();
  try {
    for (;;) {
      const limit = new AbortController();
      const stalled = sleep(options.stallAfter ?? 30_000, 'stalled' as const, { signal: limit.signal }).catch(
        () => 'stalled' as const,
      );
      const result = await Promise.race([reader.read(), stalled]).finally(() => {
        limit.abort();
      });
      if (result === 'stalled') throw new Transient('the server stopped sending');
      if (result.done) return;
      yield result.value;
    }
  } catch (error) {
    options.signal?.throwIfAborted();
    throw error instanceof UserError || error instanceof Transient ? error : new Transient(reason(error));
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

function rangeStart(response: Response): number | undefined {
  const start = /^bytes (\d+)-/.exec(response.headers.get('content-range') ?? '')?.[1];
  return start === undefined ? undefined : Number(start);
}

function refused(url: string, response: Response, options: DownloadOptions): Error {
  if (response.status >= 500 || response.status === 429 || response.status === 408) {
    return new Transient(`the server answered ${response.status} ${response.statusText}`);
  }
  const message = `Downloading ${url}: the server answered ${response.status} ${response.statusText}.`;
  if (response.status !== 404) return new UserError(message, advice(options));
  return new NotThere(
    message,
    options.key === undefined
      ? 'Check FREEBSD_VERSION, and FREEBSD_MIRROR or FREEBSD_DIST: this server does not have that release.'
      : `Check ${options.key}: this server does not have it.`,
  );
}

function reason(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  return cause instanceof Error ? messageOf(cause) : messageOf(error);
}
