import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { readText, writeFileAtomic } from '../host/files.js';
import { sha256 } from '../host/hash.js';
import { parseJson } from '../json.js';
import type { View } from '../overlay/view.js';
import type { RuleFiles } from '../policy/image.js';
import { drawMap, readyToDraw } from './draw.js';
import type { Drawing } from './draw.js';
import { MAP } from './facts.js';
import type { ReportMap } from './facts.js';
import type { Mapper } from './mapper.js';

/** A map with where everything in it is. */
export interface DrawnMap {
  readonly map: ReportMap;
  readonly drawing: Drawing;
}

const POINT = z.tuple([z.number(), z.number()]);
const DRAWN = z.array(
  z.object({
    map: MAP,
    drawing: z.object({
      width: z.number(),
      height: z.number(),
      boxes: z.array(z.object({ x: z.number(), y: z.number(), w: z.number(), h: z.number() })),
      lines: z.array(
        z.object({
          ...{ from: z.string(), to: z.string(), verdict: z.string() },
          ...{ points: z.array(POINT), tip: POINT },
        }),
      ),
    }),
  }),
);

/** Maps that are kept: one takes some 150 kB. */
const MOST_KEPT = 32;
const MOST_BYTES = 64 * 1024 ** 2;

/** The maps of an image, laid out; made by a mapper. */
export async function drawnMaps(files: RuleFiles, view: View, mapper: Mapper): Promise<readonly DrawnMap[]> {
  const made = mapper.maps(files, view);
  await readyToDraw();
  const drawn: DrawnMap[] = [];
  for (const map of await made) drawn.push({ map, drawing: await drawMap(map) });
  return drawn;
}

/**
 * The same, from a folder where they were made of the same rules by the same program before, and kept there. A file that is not
 * as it was written counts as none; what cannot be written is not kept.
 *
 * @param program stands for the program's own bytes
 */
export async function keptMaps(
  folder: string,
  program: string,
  files: RuleFiles,
  view: View,
  mapper: Mapper,
): Promise<readonly DrawnMap[]> {
  const path = join(folder, sha256(JSON.stringify([program, files, view])));
  const kept = parseKept(await readText(path, MOST_BYTES).catch(() => ''));
  if (kept) return kept;
  const drawn = await drawnMaps(files, view, mapper);
  const text = JSON.stringify(drawn);
  await writeFileAtomic(path, `${sha256(text)}\n${text}`, 0o600)
    .then(() => sweep(folder))
    .catch(() => undefined);
  return drawn;
}

function parseKept(file: string): readonly DrawnMap[] | undefined {
  const end = file.indexOf('\n');
  const text = file.slice(end + 1);
  return end > 0 && file.slice(0, end) === sha256(text) ? DRAWN.safeParse(parseJson(text)).data : undefined;
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
