import { UserError } from '../error.js';

/** Size of a sector of an ISO image, in bytes (ECMA-119). */
export const ISO_SECTOR = 2048;

/** Where the contents of a file are in an image, in bytes. */
export interface Extent {
  readonly offset: number;
  readonly length: number;
}

/**
 * Finds a file in the root folder of an ISO 9660 image by its name on disk, as in `OVERLAY.;1` or `overlay`
 * (ECMA-119, 8.4 primary volume descriptor, 9.1 directory record). Case and version number do not count.
 *
 * @param read reads bytes of the image
 * @throws UserError if the image is none, or holds no such file.
 */
export async function findInRoot(read: Read, name: string, image: string): Promise<Extent> {
  const wanted = name.toUpperCase();
  for (const entry of await readFolder(read, await rootOf(read, image)))
    if (entry.name === wanted) return entry.extent;
  throw new UserError(`${image} holds no /${name}: it is not an image of this project.`, 'Build it again.');
}

/**
 * All files of an ISO 9660 image by path.
 *
 * @param read reads bytes of the image
 * @param names `iso`: in capitals, as ISO 9660 has them; `posix`: as Rock Ridge has them
 * @throws UserError if the image is none, or its folders are deeper than such an image has them.
 */
export async function listFiles(
  read: Read,
  image: string,
  names: 'iso' | 'posix' = 'iso',
): Promise<ReadonlyMap<string, Extent>> {
  const files = new Map<string, Extent>();
  const walk = async (folder: Extent, path: string, depth: number): Promise<void> => {
    if (depth > 16) throw new UserError(`${image} is damaged: its folders go round.`, 'Build it again.');
    for (const { name: plain, fields, extent, isFolder } of await readFolder(read, folder)) {
      const name = names === 'iso' ? plain : ((await posixName(read, fields)) ?? plain);
      if (isFolder) await walk(extent, `${path}${name}/`, depth + 1);
      else files.set(`${path}${name}`, extent);
    }
  };
  await walk(await rootOf(read, image), '/', 0);
  return files;
}

type Read = (offset: number, length: number) => Promise<Buffer>;

/** Whether an image is an ISO 9660 one, by its volume descriptor. */
export async function isIso(read: Read): Promise<boolean> {
  const descriptor = await read(16 * ISO_SECTOR, ISO_SECTOR);
  return (
    descriptor.length === ISO_SECTOR &&
    descriptor.readUInt8(0) === 1 &&
    descriptor.toString('latin1', 1, 6) === 'CD001'
  );
}

async function rootOf(read: Read, image: string): Promise<Extent> {
  const descriptor = await read(16 * ISO_SECTOR, ISO_SECTOR);
  if (!(await isIso(read))) throw new UserError(`${image} is not an ISO 9660 image.`, 'Build it again.');
  return extentOf(descriptor, 156);
}

/** Largest folder, in bytes: a package takes some 200. */
const MOST_FOLDER = 4 * 1024 ** 2;

interface FolderEntry {
  /** In capitals, without version. */
  readonly name: string;
  /** What the system use protocol has of it (IEEE P1281). */
  readonly fields: Buffer;
  readonly extent: Extent;
  readonly isFolder: boolean;
}

/** The records of a folder but those of itself and its parent. */
async function readFolder(read: Read, extent: Extent): Promise<readonly FolderEntry[]> {
  const folder = await read(extent.offset, Math.min(extent.length, MOST_FOLDER));
  const entries: FolderEntry[] = [];
  for (let at = 0; at < folder.length;) {
    const length = folder.readUInt8(at);
    if (length === 0) {
      at = (Math.floor(at / ISO_SECTOR) + 1) * ISO_SECTOR; // records do not cross sectors
      continue;
    }
    if (length < 34 || at + length > folder.length) break;
    const end = at + 33 + folder.readUInt8(at + 32);
    const name = folder.toString('latin1', at + 33, end);
    if (name !== '\u0000' && name !== '\u0001')
      entries.push({
        name: name.toUpperCase().replace(/\.?;\d+$/, ''),
        // They begin at an even place.
        fields: folder.subarray(end + ((end - at) % 2), at + length),
        extent: extentOf(folder, at),
        isFolder: (folder.readUInt8(at + 25) & 2) !== 0,
      });
    at += length;
  }
  return entries;
}

/**
 * The name of a file as Rock Ridge has it (IEEE P1282, 4.1.4 NM), which goes on elsewhere where it is long (IEEE P1281, 5.1 CE);
 * undefined where it has none.
 */
async function posixName(read: Read, fields: Buffer): Promise<string | undefined> {
  const parts: Buffer[] = [];
  let next: Buffer | undefined = fields;
  for (let areas = 0; next && areas < 16; areas++) {
    const area: Buffer = next;
    next = undefined;
    for (let at = 0; at + 4 <= area.length;) {
      const length = area.readUInt8(at + 2);
      if (length < 4 || at + length > area.length) break;
      const kind = area.toString('latin1', at, at + 2);
      if (kind === 'NM') parts.push(area.subarray(at + 5, at + length));
      if (kind === 'CE' && length >= 28)
        next = await read(
          area.readUInt32LE(at + 4) * ISO_SECTOR + area.readUInt32LE(at + 12),
          Math.min(area.readUInt32LE(at + 20), ISO_SECTOR),
        );
      at += length;
    }
  }
  return parts.length === 0 ? undefined : Buffer.concat(parts).toString('utf8');
}

function extentOf(buffer: Buffer, at: number): Extent {
  return { offset: buffer.readUInt32LE(at + 2) * ISO_SECTOR, length: buffer.readUInt32LE(at + 10) };
}
