import { run } from '../host/process.js';

/** Parts of a hybrid image, as files. */
export interface IsoParts {
  /** Folder with the files of the ISO, `boot/cdboot` among them. */
  readonly folder: string;
  /** Master boot record code (boot/pmbr). */
  readonly pmbr: string;
  /** Contents of the freebsd-boot partition (boot/isoboot). */
  readonly isoboot: string;
  readonly esp: string;
}

/** GPT type of freebsd-boot (sys/sys/disk/gpt.h). */
const FREEBSD_BOOT = '83bd6b9d-7f41-11dc-be0b-001560b84f0f';

/**
 * Makes the ISO: El Torito for BIOS (cdboot) and UEFI (the ESP), and a GPT with freebsd-boot and the ESP, so that the
 * same file boots as a CD and as a disk. `-boot-info-table` is left out for good: it overwrites code of cdboot.
 *
 * @param label volume label, at most 32 capital letters, digits and `_`
 * @param time seconds since the epoch, for every date in the image
 * @throws UserError if xorriso fails.
 */
export async function makeIso(
  parts: IsoParts,
  image: string,
  label: string,
  time: number,
  signal: AbortSignal,
): Promise<void> {
  await run(
    'Making the ISO',
    [
      'xorriso',
      // It looks that often whether it is done; by itself once a second.
      '-pacifier',
      'interval=0.1',
      '-as',
      'mkisofs',
      '-r',
      '-iso-level',
      '3',
      '-V',
      label,
      '-o',
      image,
      '-G',
      parts.pmbr,
      '-partition_offset',
      '0',
      '-append_partition',
      '1',
      FREEBSD_BOOT,
      parts.isoboot,
      '-append_partition',
      '2',
      '0xef',
      parts.esp,
      '-appended_part_as_gpt',
      '-b',
      'boot/cdboot',
      '-no-emul-boot',
      '-boot-load-size',
      '4',
      '-eltorito-alt-boot',
      '-e',
      '--interval:appended_partition_2:all::',
      '-no-emul-boot',
      // The slot last, so that all before it is the same in every image of a release.
      '--sort-weight',
      '-1000',
      '/overlay',
      parts.folder,
    ],
    { signal, env: { SOURCE_DATE_EPOCH: String(time) } },
  );
}
