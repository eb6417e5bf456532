import { copyFile, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { UserError } from '../error.js';
import { sha256 } from '../host/hash.js';
import { jailRelease } from '../config/jails.js';
import { addJailBase, copyJailFiles, JAIL_RELEASES } from './jail-base.js';
import { parseMtree } from './mtree.js';
import type { SpecEntry } from './mtree.js';
import { pruneReason } from './prune.js';
import type { Profile } from './prune.js';
import { compareBytes, Tree } from './tree.js';
import { unpackAll } from './release-tree.js';
import type { Source } from './release-tree.js';

/** A folder of files with the owners and modes that go with them: overlays/base with overlays/base.mtree. */
export interface FileSet {
  readonly folder: string;
  readonly files: readonly string[];
  readonly spec: ReadonlyMap<string, SpecEntry>;
  /** SHA-256 over all of it. */
  readonly digest: string;
}

/**
 * Reads an overlay folder and, where there is one, its specification.
 *
 * @throws UserError if one lists what the other does not have.
 */
export async function readFileSet(folder: string, specPath?: string): Promise<FileSet> {
  const listed = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = listed
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort(compareBytes);
  const specText = specPath === undefined ? '' : await readFile(specPath, 'utf8');
  const spec = parseMtree(specText, specPath ?? folder);
  const parts = [specText];
  for (const file of files) {
    if (specPath !== undefined && spec.get(file)?.type !== 'file')
      throw new UserError(
        `${join(folder, file)} is not listed in ${specPath}.`,
        'List it there with its owner and mode.',
      );
    parts.push(file, await readFile(join(folder, file), 'latin1'));
  }
  const missing = [...spec.values()].find((entry) => entry.type === 'file' && !files.includes(entry.path));
  if (missing) throw new UserError(`${specPath ?? ''} lists ./${missing.path}, which is not in ${folder}.`);
  return { folder, files, spec, digest: sha256(JSON.stringify(parts)) };
}

export interface RootfsInput {
  /** Its release sets, or the packages of its base system. */
  readonly sources: readonly Source[];
  readonly profile: Profile;
  readonly overlay: FileSet;
  /** What /etc/clawdie/release says. */
  readonly release: string;
  /** The version of FreeBSD, which names the release that jails are made of. */
  readonly version: string;
  /** Empty folder to work in; it gets `root`, with the contents of files. */
  readonly work: string;
  readonly signal: AbortSignal;
  readonly onEntry: () => void;
}

export interface Rootfs {
  /** What gets into the root file system; contents are below `folder`. */
  readonly tree: Tree;
  readonly folder: string;
  /** The whole of boot/, kernel included, for the ISO; contents are below `folder`, too. */
  readonly boot: Tree;
  /** Files of the release that were left out, counted by reason. */
  readonly pruned: Readonly<Record<string, number>>;
}

/**
 * Makes the root file system of a base image: the release without what the profile leaves out, and overlays/base
 * over them. Nothing of it needs root.
 *
 * @throws UserError if a part of the release is damaged or hostile.
 */
export async function makeRootfs(input: RootfsInput): Promise<Rootfs> {
  const folder = join(input.work, 'root');
  const beside = join(input.work, 'parts');
  await mkdir(folder);
  await mkdir(beside);
  const pruned: Record<string, number> = {};
  const keep = (path: string): boolean => {
    const why = pruneReason(input.profile, path);
    if (why !== undefined) pruned[why] = (pruned[why] ?? 0) + 1;
    return why === undefined;
  };
  let newest = 0;
  const onEntry = (mtime: number): void => {
    newest = Math.max(newest, mtime);
    input.onEntry();
  };
  const base = await unpackAll(input.sources, folder, beside, { keep, signal: input.signal, onEntry });
  for (const path of [
    'boot/kernel/kernel',
    'boot/loader.efi',
    'boot/loader',
    'boot/cdboot',
    'boot/isoboot',
    'boot/pmbr',
    'sbin/init',
    'bin/sh',
  ]) {
    if (base.fileAt(path) === undefined)
      throw new UserError(
        `The release holds no ${path}: it is not a bootable FreeBSD.`,
        'Check FREEBSD_DIST.',
      );
  }

  // The kernel is loaded from the ISO; a second copy in memory would serve nobody.
  const root = new Tree('the release');
  root.merge(base, 'the release', (path) => path !== 'boot/kernel/kernel');
  const jails = `${JAIL_RELEASES}/${jailRelease(input.version)}`;
  await copyJailFiles(base, folder, jails);
  await addOverlay(root, folder, input.overlay);
  addJailBase(root, base, jails);
  await addFile(root, folder, 'etc/clawdie/release', `${input.release}\n`, 0o444);
  // How old the release is by and by: watch.sh.
  await addFile(root, folder, 'etc/clawdie/released', `${newest}\n`, 0o444);
  return { tree: root, folder, boot: base, pruned };
}

async function addOverlay(tree: Tree, folder: string, overlay: FileSet): Promise<void> {
  for (const { path, type, uid, gid, mode } of [...overlay.spec.values()].sort((a, b) =>
    compareBytes(a.path, b.path),
  )) {
    if (type === 'dir') {
      // Folders of the release keep what the release says of them.
      if (tree.get(path)?.type !== 'dir') tree.add(path, { type: 'dir', uid, gid, mode });
      continue;
    }
    const content = await readFile(join(overlay.folder, path), 'latin1');
    await addFile(tree, folder, path, Buffer.from(content, 'latin1'), mode, uid, gid);
  }
}

async function addFile(
  tree: Tree,
  folder: string,
  path: string,
  content: string | Buffer,
  mode: number,
  uid = 0,
  gid = 0,
): Promise<void> {
  tree.replace(path, { type: 'file', uid, gid, mode, size: Buffer.byteLength(content) });
  const full = join(folder, path);
  await mkdir(dirname(full), { recursive: true });
  await rm(full, { force: true });
  await writeFile(full, content, { flag: 'wx', mode: 0o600 });
}

/** Copies a file that a path of the tree means, links followed, to a place outside. */
export async function copyFromTree(
  rootfs: Pick<Rootfs, 'boot' | 'folder'>,
  path: string,
  target: string,
): Promise<void> {
  const source = rootfs.boot.fileAt(path);
  if (source === undefined) throw new UserError(`The release holds no ${path}.`, 'Check FREEBSD_DIST.');
  await mkdir(dirname(target), { recursive: true });
  await copyFile(join(rootfs.folder, source), target);
}
