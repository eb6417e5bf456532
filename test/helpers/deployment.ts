import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { renderOverlay } from '../../build/overlay/render.js';
import type { OverlayEntry, RenderInput } from '../../build/overlay/render.js';
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
