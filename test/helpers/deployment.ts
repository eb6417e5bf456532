import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { renderOverlay } from '../../build/overlay/render.js';
import type { OverlayEntry, RenderInput } from '../../build/overlay/render.js';
import type { ExtraFiles } from '../../build/overlay/extra.js';
import type { Config } from '../../build/config/keys.js';
import { parseMtree } from '../../build/rootfs/mtree.js';

const FOLDER = 'overlays/firstboot';

/** The files of overlays/firstboot as they are written. */
export const templates = readdirSync(FOLDER, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) => join(entry.parentPath, entry.name))
  .map((path) => ({ path: path.slice(FOLDER.length + 1), text: readFileSync(path, 'utf8') }));

export const spec = parseMtree(readFileSync(`${FOLDER}.mtree`, 'utf8'), 'firstboot.mtree');

export const inputOf = (config: Config, more: Partial<RenderInput> = {}): RenderInput => ({
  config,
  templates,
  spec,
  ...more,
});

export const overlayOf = (config: Config, more: Partial<RenderInput> = {}): readonly OverlayEntry[] =>
  renderOverlay(inputOf(config, more));

export const bodyOf = (entries: readonly OverlayEntry[], path: string): string =>
  entries.find((entry) => entry.path === path)?.body ?? `no ${path}`;

/** Files of one's own, as EXTRA_FILES brings them: texts by path, and a specification; without one, 0644 of root. */
export function extraFiles(texts: Readonly<Record<string, string>>, specification?: string): ExtraFiles {
  const lines = Object.keys(texts).map((path) => `./${path} type=file uid=0 gid=0 mode=0644`);
  return {
    folder: 'files',
    specPath: 'files.mtree',
    bodies: new Map(Object.entries(texts).map(([path, body]) => [path, { type: 'file', body }])),
    spec: parseMtree(specification ?? lines.join('\n'), 'files.mtree'),
  };
}
