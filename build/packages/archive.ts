import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { messageOf, UserError } from '../error.js';
import { MAGIC_BYTES, unpackCommand } from '../host/packers.js';
import { streamFrom } from '../host/process.js';
import { TarReader } from '../rootfs/tar.js';

/** What the archive of a catalogue holds. */
export interface Members {
  /** The catalogue itself. */
  readonly body: Buffer;
  /** When it was made, in seconds since 1970, by the word of the archive, which nobody has signed. */
  readonly time: number;
  /** Signatures and keys by their names: `signature`, `data.sig`, `data.pub`. */
  readonly signatures: ReadonlyMap<string, Buffer>;
}

/**
 * What an archive may have, in bytes and entries. Signatures are bounded as pkg(8) does (libpkg/pkg_repo.c). The catalogue of
 * FreeBSD:15 has 10 MiB and unpacks to some 100.
 */
export const LIMITS = {
  packed: 128 * 1024 ** 2,
  body: 400 * 1024 ** 2,
  signatures: 8,
  signature: 1024 ** 2,
} as const;

export const AGAIN = 'Try again later, or another mirror; if that serves the same, do not use it.';

/**
 * Reads the archive of a catalogue: tar, packed with zstd, xz, gzip or nothing, whatever its name says.
 *
 * @param member what the catalogue is called in it
 * @param where what messages call the archive
 * @throws UserError if the archive is damaged, larger than any catalogue, or holds what none does.
 */
export async function readCatalogueArchive(
  packed: Buffer,
  member: string,
  where: string,
  signal: AbortSignal,
): Promise<Members> {
  const plain = open(packed, where, signal);
  let total = 0;
  const refuse = (what: string): UserError =>
    new UserError(`${where} ${what}. It is damaged or hostile, and is not used.`, AGAIN);
  const account = (bytes: number): void => {
    total += bytes;
    if (total > LIMITS.body + 2 * LIMITS.signatures * LIMITS.signature)
      throw refuse(
        `has ${packed.length} bytes and unpacks to more than ${LIMITS.body}, as no catalogue does`,
      );
  };
  const signatures = new Map<string, Buffer>();
  let body: Buffer | undefined;
  let time = 0;
  try {
    const reader = new TarReader(
      plain.stream[Symbol.asyncIterator]() as AsyncIterator<Buffer>,
      where,
      account,
    );
    for (;;) {
      const entry = await reader.next();
      if (!entry) break;
      const { name, type, size } = entry;
      const shown = JSON.stringify(name);
      if (type !== 'file') throw refuse(`holds ${shown}, a ${type}`);
      const isBody = name === member;
      if (!isBody && name !== 'signature' && !/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}\.(?:sig|pub)$/.test(name))
        throw refuse(`holds ${shown}, which no catalogue has`);
      if (isBody ? body !== undefined : signatures.has(name)) throw refuse(`holds ${shown} twice`);
      if (!isBody && signatures.size === LIMITS.signatures)
        throw refuse(`holds more than ${LIMITS.signatures} signatures and keys`);
      if (size > (isBody ? LIMITS.body : LIMITS.signature) || size === 0)
        throw refuse(`holds ${shown} of ${size} bytes`);
      const bytes = await reader.whole();
      if (isBody) [body, time] = [bytes, entry.mtime()];
      else signatures.set(name, bytes);
      signal.throwIfAborted();
    }
    await plain.done;
  } catch (error) {
    plain.kill();
    signal.throwIfAborted();
    if (error instanceof UserError) throw new UserError(error.message, AGAIN);
    throw refuse(`cannot be unpacked: ${messageOf(error)}`);
  }
  if (!body) throw refuse(`holds no ${member}`);
  return { body, time, signatures };
}

/** Bytes that are unpacked while they are read. */
export interface Unpacking {
  readonly stream: Readable;
  readonly done: Promise<void>;
  readonly kill: () => void;
}

/** Unpacks bytes that are in memory, as {@link unpack} does. */
export function open(packed: Buffer, where: string, signal: AbortSignal): Unpacking {
  return unpack(packed.subarray(0, MAGIC_BYTES), Readable.from(pieces(packed)), where, signal);
}

/**
 * Unpacks bytes by what they begin with.
 *
 * @param magic the first {@link MAGIC_BYTES} bytes of `source`
 * @throws UserError if they are packed with what is not known here, or the tool is not on this machine.
 */
export function unpack(magic: Buffer, source: Readable, where: string, signal: AbortSignal): Unpacking {
  const begins = magic.toString('hex');
  const command = unpackCommand(magic, where, '256MiB');
  if (command) {
    const child = streamFrom(`Unpacking ${where}`, command, source, signal);
    return { stream: child.stdout, done: child.done, kill: () => (child.kill(), child.stdout.destroy()) };
  }
  if (begins.startsWith('425a68'))
    throw new UserError(
      `${where} is packed with bzip2, which is not read here.`,
      'Make the repository with zstd (`pkg repo`, packing_format tzst), as FreeBSD does.',
    );
  if (!begins.startsWith('1f8b'))
    return { stream: source, done: Promise.resolve(), kill: () => source.destroy() };
  const gunzip = createGunzip();
  source.pipe(gunzip);
  return { stream: gunzip, done: Promise.resolve(), kill: () => (source.destroy(), gunzip.destroy()) };
}

function* pieces(bytes: Buffer): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += 1 << 20) yield bytes.subarray(at, at + (1 << 20));
}
