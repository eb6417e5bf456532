import { buffer } from 'node:stream/consumers';
import { pack } from 'tar-stream';
import type { OverlayEntry } from './render.js';

const TYPES = { dir: 'directory', file: 'file', link: 'symlink' } as const;

/**
 * Packs an overlay as a tar archive, in memory: it may hold secrets, so it is never written to a file of its own.
 * Owners are numbers; the same entries give the same bytes.
 *
 * @param time seconds since the epoch, of every entry
 */
export async function packOverlay(entries: readonly OverlayEntry[], time: number): Promise<Buffer> {
  const tar = pack();
  for (const entry of entries) {
    const header = {
      name: entry.path === '' ? './' : `./${entry.path}`,
      type: TYPES[entry.type],
      mode: entry.mode,
      uid: entry.uid,
      gid: entry.gid,
      uname: '',
      gname: '',
      mtime: new Date(time * 1000),
      ...(entry.type === 'link' && { linkname: entry.body }),
    };
    tar.entry(header, entry.type === 'file' ? entry.body : '');
  }
  tar.finalize();
  return buffer(tar);
}
