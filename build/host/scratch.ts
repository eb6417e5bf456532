import { mkdtemp, readdir, stat, statfs } from 'node:fs/promises';
import { freemem } from 'node:os';
import { join } from 'node:path';
import { removeTree } from './files.js';

/** A file system in memory that Linux and FreeBSD machines have, if any: there, many small files cost little. */
const MEMORY = '/dev/shm';

/** Memory that has to be free before a tree of files goes there, in bytes: what a base system unpacks to, four times. */
const AMPLE = 4 * 1024 ** 3;

const PREFIX = 'clawdie-iso-';

/**
 * A new folder for many small files that are soon gone: in memory where there is ample room, otherwise where the
 * caller says. Only its owner can look into it.
 */
export async function scratchFolder(otherwise: string): Promise<string> {
  const space = await statfs(MEMORY).catch(() => undefined);
  const roomy = space !== undefined && space.bavail * space.bsize >= AMPLE && freemem() >= AMPLE;
  if (roomy) {
    const made = await mkdtemp(join(MEMORY, `${PREFIX}${process.pid}-`)).catch(() => undefined);
    if (made !== undefined) return made;
  }
  return mkdtemp(join(otherwise, 'scratch-'));
}

/** Removes the folders in memory that processes of this user have left which are gone. */
export async function sweepScratch(running: (pid: number) => boolean): Promise<void> {
  for (const name of await readdir(MEMORY).catch(() => [])) {
    const pid = new RegExp(`^${PREFIX}(\\d+)-`).exec(name)?.[1];
    if (pid === undefined || running(Number(pid))) continue;
    const owner = await stat(join(MEMORY, name)).catch(() => undefined);
    if (owner?.uid === process.getuid?.()) await removeTree(join(MEMORY, name));
  }
}
