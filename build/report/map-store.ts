import { readdirSync, readFileSync } from 'node:fs';
import { readdir, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readText, writeFileAtomic } from '../host/files.js';
import { sha256 } from '../host/hash.js';
import type { View } from '../overlay/view.js';
import type { RuleFiles } from '../policy/image.js';
import { drawMap, shapeOf } from './draw.js';
import type { Drawing } from './draw.js';
import type { ReportMap } from './facts.js';
import { mapsOf } from './maps.js';

/** A map with where everything in it is. */
export interface DrawnMap {
  readonly map: ReportMap;
  readonly drawing: Drawing;
}

/** What maps are made of. */
export interface MapInput {
  readonly files: RuleFiles;
  readonly view: View;
  /** Where maps are kept; none where they are not. */
  readonly folder?: string;
}

/** Files that are kept: a map takes some 130 kB. */
const MOST_KEPT = 48;
const MOST_BYTES = 64 * 1024 ** 2;

/**
 * The maps of an image, laid out. Where there is a folder, those are taken that were made of the same rules by the same program
 * before, and drawings of whatever looks the same. What is not there as it was written is made; what cannot be kept is not.
 */
export async function makeMaps({ files, view, folder }: MapInput): Promise<readonly DrawnMap[]> {
  const program = folder === undefined ? '' : programSum();
  const keep = <T>(inputs: readonly unknown[], make: () => T | Promise<T>): T | Promise<T> =>
    folder === undefined ? make() : kept(folder, [program, ...inputs], make);
  const drawn: DrawnMap[] = [];
  for (const map of await keep(['maps', files, view], () => mapsOf(files, view)))
    drawn.push({ map, drawing: await keep(['drawing', shapeOf(map)], () => drawMap(map)) });
  return drawn;
}

/** SHA-256 over all of the program that maps depend on. */
function programSum(): string {
  const build = dirname(dirname(fileURLToPath(import.meta.url)));
  const texts = ['pf', 'policy', 'report'].flatMap((folder) =>
    readdirSync(join(build, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && /\.[jt]s$/.test(entry.name))
      .map(({ parentPath, name }) => join(parentPath, name))
      .sort()
      .map((path) => readFileSync(path, 'utf8')),
  );
  return sha256(JSON.stringify(texts));
}

/** What a folder keeps of these inputs, among which is the program, or what is made of them now. */
async function kept<T>(folder: string, inputs: unknown, make: () => T | Promise<T>): Promise<T> {
  const path = join(folder, sha256(JSON.stringify(inputs)));
  const file = await readText(path, MOST_BYTES).catch(() => '');
  const end = file.indexOf('\n');
  const body = file.slice(end + 1);
  if (end > 0 && file.slice(0, end) === sha256(body)) return JSON.parse(body) as T;
  const made = await make();
  const text = JSON.stringify(made);
  await writeFileAtomic(path, `${sha256(text)}\n${text}`, 0o600)
    .then(() => sweep(folder))
    .catch(() => undefined);
  return made;
}

async function sweep(folder: string): Promise<void> {
  const names = await readdir(folder);
  if (names.length <= MOST_KEPT) return;
  const times = await Promise.all(
    names.map(async (name) => ({ name, time: (await stat(join(folder, name))).mtimeMs })),
  );
  times.sort((a, b) => b.time - a.time);
  for (const { name } of times.slice(MOST_KEPT)) await rm(join(folder, name), { force: true });
}
