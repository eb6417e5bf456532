import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, constants, fstatSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { lstat, mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { codeOf, UserError } from '../error.js';
import { removeTree, writeError } from './files.js';
import { heardOf } from './process.js';

/**
 * Locks of the kernel's, flock(2): held by an open file of this process, and gone with it however it ends, whatever its
 * container, namespace or host calls itself. Node.js has no flock(2). On Linux flock(1) takes the lock of a file that it
 * inherits, and ends: the lock is that of the open file, which is ours. On FreeBSD open(2) takes it.
 */
export interface Lock {
  release(): Promise<void>;
}

export interface LockOptions {
  /** Whether to wait; if not, a held lock is an error at once. */
  readonly wait: boolean;
  /** Called once, with who holds it, when there is something to wait for. */
  readonly onWait?: (holder: string) => void;
  readonly signal?: AbortSignal;
}

/**
 * Takes a lock file, waiting while another holds it. The file is gone once nobody wants the lock.
 *
 * @throws UserError if the lock cannot be had, or is held and `wait` is off.
 */
export async function acquire(path: string, { wait, onWait, signal }: LockOptions): Promise<Lock> {
  let told = false;
  for (;;) {
    signal?.throwIfAborted();
    const lock = await tryLock(path, signal);
    if (lock) return lock;
    const holder = await holderOf(path);
    if (!wait)
      throw new UserError(
        `${holder.replace(/^./, (first) => first.toUpperCase())} is at work on ${dirname(path)}.`,
        'Wait until it is done, or choose another folder.',
      );
    if (!told) onWait?.(holder);
    told = true;
    await untilFree(path, signal);
  }
}

/** O_EXLOCK of FreeBSD (sys/fcntl.h): open(2) takes the lock as well. */
const O_EXLOCK = process.platform === 'freebsd' ? 0x20 : 0;

/** Opens a lock file; undefined where that takes the lock, and another has it. */
function open(path: string): number | undefined {
  const { O_RDWR, O_CREAT, O_NONBLOCK, O_NOFOLLOW } = constants;
  try {
    return openSync(path, O_RDWR | O_CREAT | O_NONBLOCK | O_NOFOLLOW | O_EXLOCK, 0o600);
  } catch (error) {
    if (O_EXLOCK !== 0 && ['EAGAIN', 'EWOULDBLOCK'].includes(codeOf(error))) return undefined;
    throw writeError(path, error);
  }
}

/** Takes a lock if nobody has it. */
async function tryLock(path: string, signal?: AbortSignal): Promise<Lock | undefined> {
  for (;;) {
    const file = open(path);
    if (file === undefined) return undefined;
    try {
      if (O_EXLOCK === 0 && !(await flock(file, path, ['-n'], signal))) {
        closeSync(file);
        return undefined;
      }
      // Who had it before may have removed it: then the name is another file's, or nobody's.
      if (!(await isFile(path, file))) {
        closeSync(file);
        continue;
      }
      ftruncateSync(file);
      writeSync(file, `${process.pid} ${hostname()} ${new Date().toISOString()}\n`);
    } catch (error) {
      closeSync(file);
      throw writeError(path, error);
    }
    return {
      release: async () => {
        await rm(path, { force: true }).catch(() => undefined); // whoever takes it next removes it
        closeSync(file);
      },
    };
  }
}

/** Waits until a lock is free, or was. */
async function untilFree(path: string, signal?: AbortSignal): Promise<void> {
  const options = { ...(signal && { signal }) };
  if (O_EXLOCK !== 0) {
    await sleep(200, undefined, options);
    return;
  }
  const file = open(path);
  if (file === undefined) return;
  try {
    await flock(file, path, [], signal);
  } finally {
    closeSync(file);
  }
}

/** Whether flock(1) took the lock of an open file. */
async function flock(
  file: number,
  path: string,
  options: readonly string[],
  signal?: AbortSignal,
): Promise<boolean> {
  const child = spawn('flock', ['-x', ...options, '3'], {
    stdio: ['ignore', 'ignore', 'pipe', file],
    ...(signal && { signal }),
  });
  let said = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (said = (said + text).slice(-1000)));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', (error) => {
      reject(
        codeOf(error) === 'ENOENT'
          ? new UserError('flock is not on this machine.', 'Run `clawdie-iso doctor`.')
          : error,
      );
    });
    child.once('close', resolve);
  });
  if (code === 0 || code === 1) return code === 0;
  if (code === null) {
    await heardOf(signal);
    signal?.throwIfAborted();
  }
  throw new UserError(
    `The lock ${path} cannot be taken: flock ${code === null ? 'was ended by a signal' : `failed with exit code ${code}`}: ${said.trim()}.`,
    'Choose a folder on a file system that has locks.',
  );
}

async function isFile(path: string, file: number): Promise<boolean> {
  const [named, opened] = [
    await lstat(path, { bigint: true }).catch(() => undefined),
    fstatSync(file, { bigint: true }),
  ];
  return named?.ino === opened.ino && named.dev === opened.dev;
}

/** Who holds a lock, for people: what is in its file says nothing about whether it is held. */
async function holderOf(path: string): Promise<string> {
  let text = '';
  // Whoever has just taken it says so in a moment.
  for (let left = 10; text === '' && left > 0; left--) {
    text = await readFile(path, 'utf8').catch(() => '');
    if (text === '') await sleep(50);
  }
  const found = /^(\d{1,10}) ([\w.-]{1,255}) \d{4}-\d\d-\d\dT(\d\d:\d\d):/.exec(text);
  return found
    ? `process ${found[1] ?? ''} on ${found[2] ?? ''} (since ${found[3] ?? ''} UTC)`
    : 'another process';
}

/** A folder for work in progress: once its owner is gone, however it ended, sweepFolders() removes it. */
export interface OwnFolder {
  readonly path: string;
  /** Removes it, with all that is in it. */
  remove(): Promise<void>;
}

/**
 * Makes a folder that is this process's, beside a lock that says so. Only its owner can look into it.
 *
 * @param prefix what its name begins with
 */
export async function ownFolder(parent: string, prefix: string): Promise<OwnFolder> {
  const path = join(parent, `${prefix}${randomBytes(8).toString('hex')}`);
  const lock = await acquire(`${path}${LOCK}`, { wait: true });
  try {
    await mkdir(path, { mode: 0o700 });
  } catch (error) {
    await lock.release();
    throw writeError(path, error);
  }
  return {
    path,
    remove: async () => {
      await removeTree(path);
      await lock.release();
    },
  };
}

const LOCK = '.lock';

/** Removes folders of this user whose owners are gone. */
export async function sweepFolders(parent: string, prefix: string): Promise<void> {
  const found = await readdir(parent).catch(() => []);
  const names = new Set(
    found.filter((name) => name.startsWith(prefix)).map((name) => name.replace(/\.lock$/, '')),
  );
  for (const name of names) {
    const path = join(parent, name);
    const info = await lstat(path).catch(() => lstat(`${path}${LOCK}`).catch(() => undefined));
    if (info?.uid !== process.getuid?.()) continue;
    const lock = await tryLock(`${path}${LOCK}`);
    if (!lock) continue;
    await removeTree(path);
    await lock.release();
  }
}
