import { copyFile, mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Node, Tree } from './tree.js';

/** What a thin jail of Bastille sees read-only of its release (LINK_LIST of Bastille's create.sh). */
const SHARED = [
  'bin',
  'lib',
  'libexec',
  'rescue',
  'sbin',
  'usr/bin',
  'usr/include',
  'usr/lib',
  'usr/libdata',
  'usr/libexec',
  'usr/sbin',
  'usr/share',
];

/** What each thin jail gets a copy of (FILE_LIST of Bastille's create.sh). */
const OWN = [
  '.cshrc',
  '.profile',
  'COPYRIGHT',
  'dev',
  'etc',
  'media',
  'mnt',
  'net',
  'proc',
  'root',
  'tmp',
  'var',
];

/** Where Bastille looks for the releases that jails are made of. */
export const JAIL_RELEASES = 'usr/local/bastille/releases';

/**
 * What the release of jails consists of: paths below the folder of one release, with what they are. What jails share
 * are further names of the host's own files: they cost no room. What they get copies of are files of their own,
 * as the release has them: the host's own /etc would start bridges and sshd in each jail.
 */
export function jailBase(release: Tree): readonly (readonly [path: string, node: Node])[] {
  const below = (folders: readonly string[], path: string): boolean =>
    folders.some((folder) => path === folder || path.startsWith(`${folder}/`));
  return release.entries().flatMap(([path, node]): readonly (readonly [string, Node])[] => {
    if (path === 'usr') return [[path, node]];
    if (below(SHARED, path))
      return [[path, node.type === 'file' ? { type: 'hardlink', target: path } : node]];
    if (!below(OWN, path)) return [];
    const file = node.type === 'hardlink' ? release.get(node.target) : node;
    return file === undefined ? [] : [[path, file]];
  });
}

/**
 * Copies the contents of what jails get a copy of. Has to be done before anything of the project takes the place of a
 * file of the release.
 *
 * @param folder contents of the release, and of what is copied: below `to`
 */
export async function copyJailFiles(release: Tree, folder: string, to: string): Promise<void> {
  for (const [path, node] of jailBase(release)) {
    const source = node.type === 'file' ? release.fileAt(path) : undefined;
    if (source === undefined) continue;
    const target = join(folder, to, path);
    await mkdir(dirname(target), { recursive: true });
    await copyFile(join(folder, source), target);
  }
}

/** Adds the release of jails to a tree that has the files of the host. */
export function addJailBase(tree: Tree, release: Tree, to: string): void {
  tree.add('usr/local/bastille', { type: 'dir', uid: 0, gid: 0, mode: 0o750 });
  const entries = jailBase(release);
  const place = (path: string): string => `${to}/${path}`;
  for (const [path, node] of entries) if (node.type !== 'hardlink') tree.add(place(path), node);
  // Those of a file that several names have in the release, too, point to the host's name of it.
  for (const [path, node] of entries) if (node.type === 'hardlink') tree.add(place(path), node);
}
