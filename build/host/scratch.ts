import { statfs } from 'node:fs/promises';
import { freemem } from 'node:os';
import { ownFolder, sweepFolders } from './lock.js';
import type { OwnFolder } from './lock.js';

/** A file system in memory that Linux and FreeBSD machines have, if any: there, many small files cost little. */
const MEMORY = '/dev/shm';

/** Memory that has to be free before a tree of files goes there, in bytes: what a base system unpacks to, four times. */
const AMPLE = 4 * 1024 ** 3;

const PREFIX = 'clawdie-iso-';

/**
 * A new folder for many small files that are soon gone: in memory where there is ample room, otherwise where the
 * caller says. Only its owner can look into it.
 */
export async function scratchFolder(otherwise: string): Promise<OwnFolder> {
  const space = await statfs(MEMORY).catch(() => undefined);
  const roomy = space !== undefined && space.bavail * space.bsize >= AMPLE && freemem() >= AMPLE;
  const made = roomy ? await ownFolder(MEMORY, PREFIX).catch(() => undefined) : undefined;
  return made ?? ownFolder(otherwise, 'scratch-');
}

/** Removes the folders in memory that processes of this user have left which are gone. */
export function sweepScratch(): Promise<void> {
  return sweepFolders(MEMORY, PREFIX);
}
