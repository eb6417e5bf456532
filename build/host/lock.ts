import { randomBytes } from 'node:crypto';
import { link, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { codeOf, UserError } from '../error.js';
import { writeError } from './files.js';
import { attempt } from './process.js';

export interface Lock {
  release(): Promise<void>;
}

interface Holder {
  readonly pid: number;
  readonly host: string;
  readonly token: string;
}

/**
 * Takes a lock file, waiting while another living process holds it. A lock whose process is gone is taken over.
 *
 * @param onWait called once, with the process number of the holder, when there is something to wait for
 * @param wait whether to wait; if not, a held lock is an error at once
 * @throws UserError if the lock cannot be written, or is held and `wait` is off.
 */
export async function acquire(
  path: string,
  options: { readonly wait: boolean; readonly onWait: (pid: number) => void; readonly signal?: AbortSignal },
): Promise<Lock> {
  const me: Holder = { pid: process.pid, host: hostname(), token: randomBytes(8).toString('hex') };
  const own = `${path}.${me.token}`;
  let told = false;
  try {
    const file = await open(own, 'wx', 0o600);
    try {
      await file.writeFile(JSON.stringify(me));
    } finally {
      await file.close();
    }
    for (;;) {
      options.signal?.throwIfAborted();
      // link(2) fails if the name is there: a lock appears whole, with its holder in it, or not at all.
      const taken = await link(own, path).then(
        () => true,
        (error: unknown) => {
          if (codeOf(error) === 'EEXIST') return false;
          throw error;
        },
      );
      if (taken) return { release: () => giveUp(path, me) };
      const holder = await read(path);
      if (holder === undefined || !(await alive(path, holder))) {
        await takeAway(path, holder);
        continue;
      }
      if (!options.wait) {
        throw new UserError(
          `Process ${holder.pid} on ${holder.host} is at work on ${path.replace(/\/[^/]*$/, '')}.`,
          'Wait until it is done, or choose another folder.',
        );
      }
      if (!told) options.onWait(holder.pid);
      told = true;
      await sleep(200, undefined, { ...(options.signal && { signal: options.signal }) });
    }
  } catch (error) {
    throw writeError(path, error);
  } finally {
    await rm(own, { force: true });
  }
}

async function read(path: string): Promise<Holder | undefined> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as Holder;
  } catch {
    return undefined;
  }
}

async function alive(path: string, holder: Holder): Promise<boolean> {
  if (holder.host !== hostname()) return true; // another machine's, on a shared file system: it cannot be asked
  try {
    process.kill(holder.pid, 0);
  } catch (error) {
    if (codeOf(error) !== 'EPERM') return false;
  }
  // Process numbers come round again: one that started after the lock was written is not its holder.
  const [lock, process_] = await Promise.all([
    stat(path).catch(() => undefined),
    attempt(['ps', '-o', 'lstart=', '-p', String(holder.pid)]).catch(() => undefined),
  ]);
  const started = Date.parse(`${process_?.stdout.trim() ?? ''} UTC`);
  return !(lock && started > lock.mtimeMs + 5000);
}

/** Removes a dead lock; renaming first, so that of two that find it dead only one removes it. */
async function takeAway(path: string, holder: Holder | undefined): Promise<void> {
  if (holder === undefined && (await stat(path).catch(() => undefined)) === undefined) return;
  const grave = `${path}.${randomBytes(8).toString('hex')}.dead`;
  try {
    await rename(path, grave);
  } catch {
    return;
  }
  const moved = await read(grave);
  // Between the look and the rename a living process may have taken it: put that one back.
  if (moved && moved.token !== holder?.token && (await alive(grave, moved)))
    await link(grave, path).catch(() => undefined);
  await rm(grave, { force: true });
}

async function giveUp(path: string, me: Holder): Promise<void> {
  if ((await read(path))?.token === me.token) await rm(path, { force: true });
}
