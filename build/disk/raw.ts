import { join } from 'node:path';
import { decompress } from './compress.js';
import { formOf, toRaw } from './convert.js';

/**
 * An image as QEMU and this program read it without more ado: itself, if it is an ISO or a raw disk; else unpacked.
 *
 * @param folder where it is unpacked to
 * @throws UserError if it is damaged.
 */
export async function rawImage(
  path: string,
  folder: string,
  name: string,
  signal?: AbortSignal,
): Promise<string> {
  const form = await formOf(path);
  if (form === 'raw') return path;
  const target = join(folder, name);
  await (form === 'zstd' ? decompress(path, target, signal) : toRaw(path, form, target, signal));
  return target;
}
