import { mkdtemp, open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { rawImage } from '../disk/raw.js';
import { InputError, UserError, whyOf } from '../error.js';
import { readAt, removeTree } from '../host/files.js';
import { findSlot } from '../image/slot-place.js';
import { OVERLAY_MAGIC, SLOT_SIZE } from '../image/slot.js';

/**
 * The slot of an image in any format, or of a file that is a slot.
 *
 * @returns its 4 MiB
 * @throws InputError if it is none of both, or cannot be read.
 */
export async function readSlot(path: string): Promise<Buffer> {
  const work = await mkdtemp(join(tmpdir(), 'clawdie-slot-'));
  try {
    const bare = await bareSlot(path);
    if (bare) return bare;
    const file = await open(await rawImage(path, work, 'disk'), 'r');
    try {
      const { offset, length } = await findSlot(file, path);
      return await readAt(file, offset, length);
    } finally {
      await file.close();
    }
  } catch (error) {
    if (error instanceof UserError) throw new InputError(error.message, error.fix);
    throw new InputError(`The image ${path} cannot be read: ${whyOf(error)}.`);
  } finally {
    await removeTree(work);
  }
}

async function bareSlot(path: string): Promise<Buffer | undefined> {
  const file = await open(path, 'r');
  try {
    if ((await file.stat()).size !== SLOT_SIZE) return undefined;
    const bytes = await readAt(file, 0, SLOT_SIZE);
    return bytes.toString('latin1', 0, OVERLAY_MAGIC.length) === OVERLAY_MAGIC ? bytes : undefined;
  } finally {
    await file.close();
  }
}
