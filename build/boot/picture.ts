/** The signature of a PNG file (PNG Specification, 5.2). */
const PNG = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

/** Largest picture in bytes: a screen of text has some 20 kB. */
export const MOST_PICTURE = 512 * 1024;

/** Whether these are the bytes of a picture as QEMU writes them, and not of a large one. */
export function isPicture(bytes: Buffer): boolean {
  return bytes.length <= MOST_PICTURE && bytes.subarray(0, PNG.length).equals(PNG);
}
