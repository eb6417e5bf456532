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
export async function findInRoot(
  read: (offset: number, length: number) => Promise<Buffer>,
  name: string,
  image: string,
): Promise<Extent> {
  const descriptor = await read(16 * ISO_SECTOR, ISO_SECTOR);
  if (
    descriptor.length < ISO_SECTOR ||
    descriptor.readUInt8(0) !== 1 ||
    descriptor.toString('latin1', 1, 6) !== 'CD001'
  ) {
    throw new UserError(`${image} is not an ISO 9660 image.`, 'Build it again.');
  }
  const root = extentOf(descriptor, 156);
  const folder = await read(root.offset, Math.min(root.length, 64 * ISO_SECTOR));
  const wanted = name.toUpperCase();
  for (let at = 0; at < folder.length;) {
    const length = folder.readUInt8(at);
    if (length === 0) {
      at = (Math.floor(at / ISO_SECTOR) + 1) * ISO_SECTOR; // records do not cross sectors
      continue;
    }
    if (length < 34 || at + length > folder.length) break;
    const found = folder.toString('latin1', at + 33, at + 33 + folder.readUInt8(at + 32));
    if (found.toUpperCase().replace(/\.?;\d+$/, '') === wanted) return extentOf(folder, at);
    at += length;
  }
  throw new UserError(`${image} holds no /${name}: it is not an image of this project.`, 'Build it again.');
}

function extentOf(buffer: Buffer, at: number): Extent {
  return { offset: buffer.readUInt32LE(at + 2) * ISO_SECTOR, length: buffer.readUInt32LE(at + 10) };
}
