import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { sha256 } from '../../build/host/hash.js';
import { PUBLIC_KEY } from './config.js';

/** Writes a folder `deployments` with so many: each with a name and a net of its own, on the sample release. */
export function writeFleet(folder: string, count: number): string {
  const deployments = join(folder, 'deployments');
  mkdirSync(deployments, { recursive: true });
  writeFileSync(
    join(deployments, 'common.cfg'),
    `FREEBSD_DIST="sample"\nJAIL_SUPERNET="10.0.0.0/8"\nSSH_AUTHORIZED_KEYS="${PUBLIC_KEY}"\n`,
  );
  for (let index = 0; index < count; index++)
    writeFileSync(
      join(deployments, `n${String(index).padStart(4, '0')}.cfg`),
      `ASSISTANT_NAME="agent${letters(index)}"\nAGENT_NET="10.${Math.floor(index / 250)}.${index % 250}.0/24"\n`,
    );
  return deployments;
}

function letters(index: number): string {
  return [676, 26, 1].map((unit) => String.fromCharCode(97 + (Math.floor(index / unit) % 26))).join('');
}

/** Arguments of a fleet in a folder: its own cache, and the output folder `dist`. */
export function fleetArgs(folder: string, ...more: readonly string[]): string[] {
  return [
    ...['fleet', join(folder, 'deployments'), '--out', join(folder, 'dist')],
    ...['--cache', join(folder, 'cache'), ...more],
  ];
}

/** SHA-256 of every image in a folder, by name. */
export function imagesIn(folder: string): Readonly<Record<string, string>> {
  return Object.fromEntries(
    readdirSync(folder)
      .filter((name) => name.endsWith('.iso'))
      .sort()
      .map((name) => [name, sha256(readFileSync(join(folder, name)))]),
  );
}
