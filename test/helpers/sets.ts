import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { sha256 } from '../../build/host/hash.js';
import { writeSample } from '../../build/release/sample/sample.js';
import { PUBLIC_KEY } from './config.js';
import { never } from './tmp.js';

/**
 * Writes a folder `sets` that holds the sample release as if it were a real one, and gives the lines of a configuration
 * that names it.
 */
export async function writeSets(
  folder: string,
  change?: (sets: string) => Promise<void> | void,
): Promise<string> {
  const sets = join(folder, 'sets');
  await writeSample(sets, never);
  await change?.(sets);
  const manifest = ['base.txz', 'kernel.txz']
    .map((name) => [name, sha256(readFileSync(join(sets, name))), '1', name, '"x"', 'on'].join('\t'))
    .join('\n');
  writeFileSync(join(sets, 'MANIFEST'), `${manifest}\n`);
  return `FREEBSD_DIST=${sets}\nFREEBSD_MANIFEST_SHA256=${sha256(`${manifest}\n`)}\nSSH_AUTHORIZED_KEYS="${PUBLIC_KEY}"\n`;
}
