import { buffer } from 'node:stream/consumers';
import { extract } from 'tar-stream';
import type { OverlayEntry } from './render.js';

const TYPES = new Map<string | null | undefined, OverlayEntry['type']>([
  ['directory', 'dir'],
  ['file', 'file'],
  ['symlink', 'link'],
]);

/**
 * Reads the archive of an overlay, as {@link packOverlay} makes it.
 *
 * @returns its entries, and the time of the last one in seconds since the epoch
 * @throws Error if the archive is damaged.
 */
export async function unpackOverlay(
  archive: Buffer,
): Promise<{ readonly entries: readonly OverlayEntry[]; readonly time: number }> {
  const reader = extract();
  const entries: OverlayEntry[] = [];
  let time = 0;
  reader.end(archive);
  for await (const entry of reader) {
    const { header } = entry;
    const type = TYPES.get(header.type);
    const text = (await buffer(entry)).toString();
    if (!type) continue;
    time = Math.floor(header.mtime.getTime() / 1000);
    entries.push({
      path: header.name.replace(/^\.\/|\/$/g, ''),
      type,
      uid: header.uid,
      gid: header.gid,
      mode: header.mode,
      body: type === 'link' ? header.linkname : text,
    });
  }
  return { entries, time };
}
