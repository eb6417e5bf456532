import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { sha256 } from '../../build/host/hash.js';
import { writeSample } from '../../build/release/sample/sample.js';
import { PUBLIC_KEY } from './config.js';
import { xz } from './tar.js';
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
  writeManifest(sets);
  return `${setsLines(sets)}SSH_AUTHORIZED_KEYS="${PUBLIC_KEY}"\n`;
}

function writeManifest(sets: string): void {
  const lines = ['base.txz', 'kernel.txz'].map(
    (name) => `${[name, sha256(readFileSync(join(sets, name))), '1', name, '"x"', 'on'].join('\t')}\n`,
  );
  writeFileSync(join(sets, 'MANIFEST'), lines.join(''));
}

/** Lines of a configuration that name release sets of a folder. */
export function setsLines(sets: string): string {
  return `FREEBSD_DIST=${sets}\nFREEBSD_MANIFEST_SHA256=${sha256(readFileSync(join(sets, 'MANIFEST')))}\n`;
}

const USERLAND = /USERLAND_VERSION="[^"]*-p(\d)"/;

/**
 * Writes release sets that are real ones but for the patch level of their userland, which is the next.
 *
 * @throws Error if they have no patch level whose next one is written in as many digits.
 */
export function writeNextPatch(sets: string, folder: string): void {
  mkdirSync(folder);
  const base = execFileSync('xz', ['-dc', join(sets, 'base.txz')], { maxBuffer: 1 << 30 });
  const at = base.indexOf('USERLAND_VERSION="');
  const found = USERLAND.exec(base.toString('latin1', at, at + 64));
  const [said = '', level = '9'] = found ?? [];
  if (level === '9') throw new Error(`no patch level comes after that of ${sets}`);
  base.write(said.replace(/\d"$/, `${Number(level) + 1}"`), at, 'latin1');
  writeFileSync(join(folder, 'base.txz'), xz(base));
  copyFileSync(join(sets, 'kernel.txz'), join(folder, 'kernel.txz'));
  writeManifest(folder);
}
