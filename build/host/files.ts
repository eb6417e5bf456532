import { randomBytes } from 'node:crypto';
import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';
import type { Stats } from 'node:fs';
import { chmod, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { codeOf, messageOf, UserError, whyOf } from '../error.js';

/** A name beside the final one for a file that is being written; `.part` files are never final. */
export function partialName(path: string): string {
  return join(dirname(path), `.${basename(path)}.${process.pid}-${randomBytes(4).toString('hex')}.part`);
}

/**
 * Writes a file whole or not at all: to a name beside it, synced, then renamed. `mode` is set whatever the umask.
 *
 * @throws UserError if it cannot be written; the file then stands as it stood.
 */
export async function writeFileAtomic(path: string, data: string | Uint8Array, mode: number): Promise<void> {
  const part = partialName(path);
  try {
    await mkdir(dirname(path), { recursive: true });
    const file = await open(part, 'wx', mode & 0o600 ? 0o600 : mode);
    try {
      await file.writeFile(data);
      await file.chmod(mode);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(part, path);
  } catch (error) {
    await rm(part, { force: true });
    throw writeError(path, error);
  }
}

/** What a failed write is to the person who reads it. */
export function writeError(path: string, error: unknown): Error {
  const fixes: Readonly<Record<string, string>> = {
    ENOSPC: 'Free some space on that file system, or choose another folder.',
    EDQUOT: 'Your quota is used up: free some space, or choose another folder.',
    EROFS: 'That file system is mounted read-only: choose another folder.',
    EACCES: 'You may not write there: choose another folder, or have its permissions changed.',
    EPERM: 'You may not write there: choose another folder, or have its permissions changed.',
    EEXIST: 'Something else stands under that name: remove it, or choose another folder.',
    EISDIR: 'A folder stands under that name: remove it, or choose another folder.',
    ENOTEMPTY: 'A folder stands under that name: remove it, or choose another folder.',
    ENOENT: 'Something has removed a part of that path: run the same command again.',
    ENAMETOOLONG: 'That path is too long: choose a folder with a shorter one.',
    ELOOP: 'Symbolic links lead in a circle there: choose another folder.',
    EFBIG: 'That file system takes no file of such a size: choose another folder.',
    EIO: 'The disk does not do what it is told: choose another folder.',
    EMFILE: 'Too many files are open: raise the limit (ulimit -n).',
    ENFILE: 'Too many files are open on this machine: close some programs.',
    ENOTDIR: 'A part of that path is a file where a folder is needed: choose another folder.',
  };
  const fix = fixes[codeOf(error)];
  if (fix === undefined) return error instanceof Error ? error : new Error(messageOf(error));
  return new UserError(`Writing ${path} failed: ${whyOf(error)}.`, fix, { cause: error });
}

/** Bytes of an open file from a place on; fewer where it ends before. */
export async function readAt(file: FileHandle, offset: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length);
  const { bytesRead } = await file.read(buffer, 0, length, offset);
  return buffer.subarray(0, bytesRead);
}

/** Writes all of some bytes to a place of an open file: write(2) may take less. */
export async function writeFully(file: FileHandle, bytes: Uint8Array, offset: number): Promise<void> {
  for (let done = 0; done < bytes.length;)
    done += (await file.write(bytes, done, bytes.length - done, offset + done)).bytesWritten;
}

/**
 * Opens a file for reading: a file and nothing else, since a FIFO would make who opens it wait, and a device has no end.
 *
 * @throws UserError whose message is the end of a sentence, if it is no file; the system's error if it cannot be opened.
 */
export async function openFile(path: string): Promise<FileHandle> {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    checkFile(await file.stat());
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

function checkFile(info: Stats): void {
  if (info.isFile()) return;
  const kind = info.isDirectory()
    ? 'a folder'
    : info.isFIFO()
      ? 'a FIFO'
      : info.isSocket()
        ? 'a socket'
        : 'a device';
  throw new UserError(`it is ${kind}, not a file`);
}

/** Largest text that a person writes and this program reads, in bytes. */
const MOST_TEXT = 1024 * 1024;

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Reads a file that is not large.
 *
 * @param most bytes that it may have
 * @throws UserError whose message is the end of a sentence, if it is no file, or larger; the system's error if it cannot be
 *   read.
 */
export async function readBytes(path: string, most: number): Promise<Buffer> {
  const file = await openFile(path);
  try {
    checkSize((await file.stat()).size, most);
    const bytes = await file.readFile();
    // What a file system says of a size may be nothing, as in /proc.
    checkSize(bytes.length, most);
    return bytes;
  } finally {
    await file.close();
  }
}

/**
 * Reads a text that is not large.
 *
 * @param most bytes that it may have: 1 MiB, unless said otherwise
 * @throws UserError whose message is the end of a sentence, if it is no file, larger, or not UTF-8; the system's error if it
 *   cannot be read.
 */
export async function readText(path: string, most = MOST_TEXT): Promise<string> {
  return textOf(await readBytes(path, most));
}

/** As readText() does, for those who cannot wait. */
export function readTextSync(path: string, most = MOST_TEXT): string {
  const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const info = fstatSync(file);
    checkFile(info);
    checkSize(info.size, most);
    const bytes = readFileSync(file);
    checkSize(bytes.length, most);
    return textOf(bytes);
  } finally {
    closeSync(file);
  }
}

function checkSize(size: number, most: number): void {
  const limit = most < 1024 ** 2 ? `${most / 1024} KiB` : `${most / 1024 ** 2} MiB`;
  if (size > most) throw new UserError(`it is larger than ${limit}`);
}

function textOf(bytes: Buffer): string {
  try {
    return UTF8.decode(bytes);
  } catch {
    throw new UserError('it is not UTF-8 text');
  }
}

/**
 * Removes files that a build which was killed has left half-written in a folder.
 *
 * @param folder nobody else may be writing into it: its lock has to be held
 */
export async function sweepPartial(folder: string): Promise<void> {
  for (const name of await readdir(folder))
    if (/^\..+\.\d+-[0-9a-f]{8}\.part$/.test(name)) await rm(join(folder, name), { force: true });
}

/** Whether there is something at the path. */
export async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

/** Whether the path is that of a folder. */
export async function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (info) => info.isDirectory(),
    () => false,
  );
}

/** Makes a folder that only its owner can look into, if it is not there. */
export async function makePrivateFolder(path: string): Promise<void> {
  await makeFolder(path);
  await chmod(path, 0o700);
}

/**
 * Makes a folder and those above it. With its option `recursive` mkdir() of Node.js never comes back where a file system says
 * that there is no such folder above, as /proc does.
 *
 * @throws UserError where a file system takes none; the system's error otherwise
 */
export async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path);
  } catch (error) {
    if (codeOf(error) === 'EEXIST' && (await stat(path)).isDirectory()) return;
    if (codeOf(error) !== 'ENOENT') throw error;
    if (await exists(dirname(path)))
      throw new UserError(
        `The folder ${path} cannot be made: that file system takes none.`,
        'Choose another one.',
      );
    await makeFolder(dirname(path));
    await makeFolder(path);
  }
}

/** Removes a tree even where it holds folders that their owner may not write to. */
export async function removeTree(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true, maxRetries: 3 });
}
