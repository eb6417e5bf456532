import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { copyWithSlot, withFiles } from '../boot/slot-copy.js';
import type { Media } from '../boot/machine.js';
import { formOf } from '../disk/convert.js';
import { installInQemu } from '../disk/install.js';
import { rawImage } from '../disk/raw.js';
import { InputError, UserError } from '../error.js';
import { readAt } from '../host/files.js';
import { isIso } from '../image/iso9660.js';
import { findSlot } from '../image/slot-place.js';
import type { BootOptions } from './boot-run.js';

/** What is started. */
export interface Subject {
  /** as QEMU attaches it */
  readonly image: string;
  /** as QEMU calls it */
  readonly format: string;
  /** The same, uncompressed and with its slot where it can be written to: copies are made of it. */
  readonly raw: string;
  /** Whether an instance lives on it: it then is a disk, and keeps what its boots write. */
  readonly disk: boolean;
  readonly media: readonly Media[];
}

/**
 * Finds out what is to be started; installs it first, where that is asked for.
 *
 * @param work folder for what has to be unpacked or made
 * @throws InputError if it is no image of this project, or cannot be started as it is asked for.
 */
export async function findSubject(
  { image, media, installed, faults, accel }: BootOptions,
  work: string,
  tell: (line: string) => void,
  signal: AbortSignal,
): Promise<Subject> {
  const form = await formOf(image);
  const raw = await rawImage(image, work, 'unpacked', signal);
  if (await isIsoFile(raw)) {
    if (!installed) return { image, format: 'raw', raw, disk: false, media };
    if (faults.length > 0)
      throw new InputError(
        'An installed instance keeps its overlay whatever its slot holds: leave --fault or --installed out.',
      );
    const disk = join(work, 'installed');
    const iso = join(work, 'install.iso');
    await copyWithSlot(raw, iso, (slot) =>
      withFiles(slot, (path, text) =>
        path === 'etc/clawdie/clawdie.conf'
          ? text.replace(/^(INSTALL|INSTALL_DISK)=.*$/gm, "$1='auto'")
          : text,
      ),
    );
    tell(`Installing ${image} onto a blank disk …`);
    let last = '';
    await installInQemu({
      ...{ image: iso, as: 'instance', disk, size: INSTALLED_SIZE, memory: 2048, accel, signal, warn: tell },
      onProgress: (what) => {
        if (what !== last) tell(`  ${(last = what)}`);
      },
    });
    return { image: disk, format: 'raw', raw: disk, disk: true, media: ['disk'] };
  }
  await checkDisk(raw, image);
  if (installed)
    throw new InputError(
      `${image} is a disk image: what is on it is installed already.`,
      'Leave --installed out.',
    );
  if (!media.includes('disk'))
    throw new InputError(`${image} is a disk image, which is no CD.`, 'Leave --media out.');
  const direct = form === 'raw' || form === 'zstd';
  return { image: direct ? raw : image, format: direct ? 'raw' : form, raw, disk: true, media: ['disk'] };
}

/** @throws InputError if what is no ISO is no disk of this project either. */
async function checkDisk(raw: string, image: string): Promise<void> {
  const file = await open(raw, 'r');
  try {
    await findSlot(file, image);
  } catch (error) {
    throw error instanceof UserError ? new InputError(error.message, error.fix) : error;
  } finally {
    await file.close();
  }
}

/** Size of the blank disk of --installed, in bytes; a file that takes as much room as is written. */
const INSTALLED_SIZE = 4 * 1024 ** 3;

async function isIsoFile(path: string): Promise<boolean> {
  const file = await open(path, 'r');
  try {
    return await isIso((offset, length) => readAt(file, offset, length));
  } finally {
    await file.close();
  }
}
