import { list, oneOf, text, yesNo } from '../schema.js';
import { keysOf } from './key.js';

/** Forms of an image; all but the ISO are images of a disk with an instance on it. */
export const IMAGE_FORMATS = ['iso', 'img', 'qcow2', 'vmdk', 'vhd'] as const;
export type ImageFormat = (typeof IMAGE_FORMATS)[number];
export type DiskFormat = Exclude<ImageFormat, 'iso'>;

const key = keysOf('Disk');

/** Forms of an image, and whether and how it is installed. */
export const DISK_KEYS = {
  FORMATS: key(
    'iso',
    list<ImageFormat>((item) => {
      const format = IMAGE_FORMATS.find((known) => known === item);
      return format === undefined
        ? { message: `must be some of ${IMAGE_FORMATS.join(', ')}`, fix: 'write it as "iso qcow2"' }
        : { value: format };
    }, IMAGE_FORMATS.length),
    'Images that are built: "iso"; and disk images, for providers that take one: "img" (raw, compressed with zstd),',
    '"qcow2", "vmdk", "vhd". A disk image is an installed instance, which takes the room of its disk at the first boot.',
  ),
  INSTALL: key(
    'never',
    oneOf('never', 'ask', 'auto'),
    'Whether the live image puts itself onto a disk: "never", "ask" (on the console, for a minute) or "auto" (once: an',
    'installed instance is never overwritten, and the boot goes on from it).',
  ),
  INSTALL_DISK: key(
    'auto',
    text<string>((input) =>
      input === 'auto' || /^(?:ada|da|vtbd|nda|nvd|mmcsd|xbd)[0-9]{1,3}$/.test(input)
        ? { value: input }
        : {
            message: 'must be "auto" or the name of a disk, such as "vtbd0"',
            fix: 'write the name without /dev/, or "auto"',
          },
    ),
    'Disk to install to. "auto" takes the only suitable one, and refuses to guess between two.',
  ),
  INSTALL_FS: key(
    'ufs',
    oneOf('ufs', 'zfs'),
    'File system of an installed instance and of disk images: "ufs" or, where the release sets have it, "zfs".',
  ),
  INSTALL_LAYOUT: key(
    'auto',
    oneOf('auto', 'single', 'ab'),
    'Roots of an installed instance on UFS: "single", or "ab" (two, and a partition for jails, homes and logs), so that a newer',
    'release can be tried (clawdie-update release). "auto" is "ab" on disks of 8 GiB that have the room. The first boot of a',
    'disk image makes them, and leaves it at one, whatever is asked for, where its disk has no room.',
  ),
  INSTALL_WIPE: key(
    'no',
    yesNo,
    'Whether a disk that carries something may be taken. What is on it is lost.',
  ),
};
