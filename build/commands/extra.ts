import { readdir, readlink } from 'node:fs/promises';
import { join, resolve as resolvePath } from 'node:path';
import type { Config } from '../config/keys.js';
import { codeOf, InputError, whyOf } from '../error.js';
import type { ExtraFiles } from '../overlay/extra.js';
import { parseMtree } from '../rootfs/mtree.js';
import { readOr, shownPath } from './configuration.js';

/** Files of one's own that an overlay takes at most; their size is bounded by that of a slot. */
const MOST_FILES = 1000;
/** Bytes of all of them. */
const MOST_BYTES = 4 * 1024 ** 2;

/**
 * Reads the folder that EXTRA_FILES names, and the mtree(5) specification of the same name beside it.
 *
 * @throws InputError if one of them cannot be read, or holds what is neither text nor a symbolic link.
 */
export async function readExtraFiles(config: Config, folder: string): Promise<ExtraFiles | undefined> {
  if (config.EXTRA_FILES === undefined) return undefined;
  const path = resolvePath(folder, config.EXTRA_FILES);
  const shown = shownPath(path);
  const specPath = `${path}.mtree`;
  const specText = await readOr(specPath, (why) => [
    `EXTRA_FILES: ${shownPath(specPath)}, which says owners and modes of what is in ${shown}, cannot be read: ${why}.`,
    'Write a line for each file: "./usr/local/etc/mine.conf type=file uid=0 gid=0 mode=0644".',
  ]);
  const bodies = new Map<string, { type: 'file' | 'link'; body: string }>();
  let bytes = 0;
  const read = async (under: string): Promise<void> => {
    for (const entry of await list(join(path, under), shown)) {
      const name = under === '' ? entry.name : `${under}/${entry.name}`;
      if (entry.isDirectory()) await read(name);
      else if (entry.isSymbolicLink())
        bodies.set(name, { type: 'link', body: await linkTarget(join(path, name), `${shown}/${name}`) });
      else {
        const text = await readOr(join(path, name), (why) => [
          `EXTRA_FILES: ${shown}/${name} cannot be taken: ${why}.`,
          'An overlay takes text in UTF-8; what is none belongs into a package.',
        ]);
        bytes += text.length;
        bodies.set(name, { type: 'file', body: text });
      }
      if (bodies.size > MOST_FILES || bytes > MOST_BYTES)
        throw new InputError(
          `EXTRA_FILES: ${shown} holds more than ${MOST_FILES} files or ${MOST_BYTES / 1024 ** 2} MiB.`,
          'Make a package of it, and name that in PACKAGES.',
        );
    }
  };
  await read('');
  return { folder: shown, specPath: shownPath(specPath), bodies, spec: parseMtree(specText, specPath) };
}

async function list(path: string, shown: string) {
  return readdir(path, { withFileTypes: true }).catch((error: unknown) => {
    throw new InputError(
      `EXTRA_FILES: the folder ${shown} cannot be read: ${whyOf(error)}.`,
      codeOf(error) === 'ENOENT'
        ? 'Check the path; relative ones begin at the folder of the configuration.'
        : undefined,
    );
  });
}

async function linkTarget(path: string, shown: string): Promise<string> {
  const target = await readlink(path);
  if (!/^[A-Za-z0-9._@+/-]{1,100}$/.test(target))
    throw new InputError(
      `EXTRA_FILES: ${shown} is a symbolic link to ${JSON.stringify(target.slice(0, 100))}, which cannot be taken.`,
      'A target may have letters, digits and . _ @ + - / alone, 100 in all.',
    );
  return target;
}
