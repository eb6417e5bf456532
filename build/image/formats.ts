import { IMAGE_FORMATS } from '../config/keys/disk.js';
import type { DiskFormat, ImageFormat } from '../config/keys/disk.js';

/** How the file of an image ends. */
const EXTENSIONS: Readonly<Record<ImageFormat, string>> = {
  iso: '.iso',
  img: '.img.zst',
  qcow2: '.qcow2',
  vmdk: '.vmdk',
  vhd: '.vhd',
};

/** File name of an image: what it is of, and what its format is told by. */
export function imageName(stem: string, format: ImageFormat): string {
  return `${stem}${EXTENSIONS[format]}`;
}

/** The path of an image without what its format is told by: there its build record is, with `.json`. */
export function stemOf(path: string): string {
  const extension = IMAGE_FORMATS.map((format) => EXTENSIONS[format]).find((each) => path.endsWith(each));
  return extension === undefined ? path.replace(/\.img$/, '') : path.slice(0, -extension.length);
}

export function isDisk(format: ImageFormat): format is DiskFormat {
  return format !== 'iso';
}
