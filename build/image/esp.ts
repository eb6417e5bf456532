import { mkdir, open } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { UserError } from '../error.js';
import { run } from '../host/process.js';

/** Size of the EFI system partition in bytes. FAT12: El Torito counts 512-byte sectors in 16 bits, FAT32 is too large. */
const ESP_SIZE = 2 * 1024 * 1024;

/** Name of the image while mtools is at work on it. */
const NAME = 'esp';

/**
 * Makes the EFI system partition: FAT12 with the loader as EFI/BOOT/BOOTX64.EFI (UEFI 2.10, 3.5.1.1), the same bytes
 * for the same loader.
 *
 * @param loader file with boot/loader.efi
 * @param folder a folder of its own, where nothing is; the image is made in it
 * @param time seconds since the epoch
 * @returns the image
 * @throws UserError if the loader does not fit, or mtools fails.
 */
export async function makeEsp(
  loader: string,
  folder: string,
  time: number,
  signal: AbortSignal,
): Promise<string> {
  await mkdir(folder);
  const image = join(folder, NAME);
  // mtools hands the value of -i to sh(1), and takes "@@" in it for an offset: it is to see a plain name and nothing else.
  // mtools puts the time of the clock into folders: SOURCE_DATE_EPOCH is what it takes instead.
  const options = {
    signal,
    cwd: folder,
    env: { SOURCE_DATE_EPOCH: String(time), MTOOLS_SKIP_CHECK: '1' },
  };
  const file = await open(image, 'wx+');
  try {
    await file.truncate(ESP_SIZE);
    const sectors = ESP_SIZE / 512;
    await run(
      'Making the EFI system partition',
      [
        'mformat',
        '-i',
        NAME,
        '-T',
        String(sectors),
        '-h',
        '64',
        '-s',
        '32',
        '-N',
        '00c1a3d1',
        '-v',
        'EFISYS',
        '::',
      ],
      options,
    );
    await run('Making the EFI system partition', ['mmd', '-i', NAME, '::/EFI', '::/EFI/BOOT'], options);
    await run(
      'Copying loader.efi to the EFI system partition',
      ['mcopy', '-i', NAME, resolve(loader), '::/EFI/BOOT/BOOTX64.EFI'],
      options,
    );
    // mformat writes a partition entry into the boot sector. Firmware then sees a partition inside the El Torito
    // image, and the loader finds no boot device.
    await file.write(Buffer.alloc(64), 0, 64, 446);
    const { buffer } = await file.read(Buffer.alloc(512), 0, 512, 0);
    if (buffer.readUInt16LE(510) !== 0xaa55)
      throw new UserError(
        'mformat made no boot sector.',
        'Report the version of mtools that `clawdie-iso doctor` shows.',
      );
    return image;
  } finally {
    await file.close();
  }
}
