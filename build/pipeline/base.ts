import {
  chmod,
  copyFile,
  link,
  mkdir,
  open,
  readdir,
  readFile,
  stat,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { isDeepStrictEqual } from 'node:util';
import { dirname, join } from 'node:path';
import { UserError } from '../error.js';
import { readTextSync, removeTree, writeError } from '../host/files.js';
import { sha256 } from '../host/hash.js';
import { runBetween } from '../host/process.js';
import { scratchFolder } from '../host/scratch.js';
import { makeEsp } from '../image/esp.js';
import { makeIso } from '../image/iso.js';
import { emptySlot } from '../image/slot.js';
import { measureBase } from '../image/stamp.js';
import type { BaseSums } from '../image/stamp.js';
import { parseHeader, RC_FOLDERS } from '../rc/headers.js';
import type { RcScript } from '../rc/headers.js';
import type { CheckedRelease, Release } from '../release/source.js';
import type { Profile } from '../rootfs/prune.js';
import { copyFromTree, makeRootfs } from '../rootfs/rootfs.js';
import type { FileSet, Rootfs } from '../rootfs/rootfs.js';
import type { Tree } from '../rootfs/tree.js';
import { makeUfs } from '../rootfs/ufs.js';
import type { Cache, CacheEntry } from './cache.js';
import type { BuildEvent } from './events.js';
import { obtainPackages, placePackages } from './packages.js';
import type { PackagesRequest } from './packages.js';
import type { DiskFacts } from './disk.js';
import type { BaseKeys } from './plan.js';
import { stage, throttled, underLock } from './stage.js';

export { stage, throttled };

export interface BaseRequest {
  readonly release: Release;
  readonly version: string;
  readonly arch: string;
  readonly profile: Profile;
  readonly time: number;
  readonly baseOverlay: FileSet;
  readonly isoOverlay: FileSet;
  /** Where there is a lock. */
  readonly packages?: PackagesRequest | undefined;
  readonly keys: BaseKeys;
}

/** The release that images of a request are of, as their slots name it. */
export function releaseOf({ version, arch }: Pick<BaseRequest, 'version' | 'arch'>): string {
  return `${version}-${arch}`;
}

/** A base image or a base disk that was made elsewhere. */
export interface Stored<T> {
  readonly facts: T;
  /** Where it is, for people. */
  readonly from: string;
  /** Brings it into a file; `work` is a folder of its own that is not there yet. */
  readonly fetch: (file: string, work: string) => Promise<void>;
}

export interface Work {
  /** What need not be made, by cache key. */
  readonly stored?: {
    readonly bases: ReadonlyMap<string, Stored<BaseFacts>>;
    readonly disks: ReadonlyMap<string, Stored<DiskFacts>>;
  };
  readonly cache: Cache;
  readonly signal: AbortSignal;
  readonly emit: (event: BuildEvent) => void;
}

/** What the root file system of a base image holds, for the build record. */
export interface RootFacts {
  readonly release: {
    readonly id: string;
    readonly from: string;
    readonly trust: string;
    readonly sums: Readonly<Record<string, string>>;
  };
  readonly root: {
    readonly files: number;
    readonly folders: number;
    readonly symlinks: number;
    /** of file contents, in bytes; hard links count once */
    readonly bytes: number;
    /** of the UFS image and its compressed form, in bytes */
    readonly imageBytes: number;
    readonly compressedBytes: number;
    /** Files that run with another's rights: `mode uid:gid path`. */
    readonly setuid: readonly string[];
    readonly kernelModules: readonly string[];
    /** Headers of the rc.d scripts, for their order. */
    readonly rc: readonly RcScript[];
    /** Files of the release that were left out, by reason. */
    readonly pruned: Readonly<Record<string, number>>;
  };
}

export type BaseFacts = RootFacts & { readonly sums: BaseSums };

/** The base image: from the cache where it stands there undamaged, otherwise made. */
export async function obtainBase(request: BaseRequest, work: Work): Promise<CacheEntry<BaseFacts>> {
  const { cache, signal } = work;
  const present = await cache.get<BaseFacts>('base', request.keys.base);
  if (present) return present;
  return underLock(work, request.keys.base, 'makes the same base image', async () => {
    const made = await cache.get<BaseFacts>('base', request.keys.base);
    if (made) return made;
    const stored = work.stored?.bases.get(request.keys.base);
    if (stored) return await fetchBase(request.keys.base, stored, work);
    let root = await cache.get<RootFacts>('root', request.keys.root);
    if (root && !(await cache.verify('root', request.keys.root, signal))) {
      work.emit({
        type: 'warning',
        text: `The root file system in the cache (${root.folder}) is damaged; it is made again.`,
      });
      await cache.remove('root', request.keys.root);
      root = undefined;
    }
    root ??= await makeRoot(request, work);
    return await makeBase(request, root, work);
  });
}

/** Brings a base image that was made elsewhere into the cache. */
async function fetchBase(key: string, stored: Stored<BaseFacts>, work: Work): Promise<CacheEntry<BaseFacts>> {
  const { cache, signal } = work;
  const folder = await cache.workFolder();
  try {
    return await stage(work, 'base', async () => {
      const out = join(folder, 'entry');
      await mkdir(out);
      const image = join(out, BASE_IMAGE);
      await stored.fetch(image, join(folder, 'fetched'));
      await chmod(image, 0o644);
      if (!isDeepStrictEqual(await measureBase(image, signal), stored.facts.sums))
        throw new UserError(
          `The base image of ${stored.from} is not the one that its description tells of.`,
          'Push it again.',
        );
      return cache.put('base', key, out, stored.facts, false, signal);
    });
  } catch (error) {
    throw writeError(folder, error);
  } finally {
    await removeTree(folder);
  }
}

/** Name of the file in a `base` entry. */
export const BASE_IMAGE = 'base.iso';

/** Name of the compressed root in a `root` entry; the boot files lie beside it under the paths that they have in the ISO. */
const ROOT_IMAGE = 'mfsroot.gz';

async function makeRoot(request: BaseRequest, work: Work): Promise<CacheEntry<RootFacts>> {
  const { cache, signal, emit } = work;
  const folder = await cache.workFolder();
  const scratch = await scratchFolder(folder);
  let release: CheckedRelease | undefined;
  try {
    release = await obtainRelease(request.release, work);
    const { archives, sums } = release;
    const total = countEntries(release);
    const rootfs = await stage(work, 'rootfs', async () => {
      let done = 0;
      const tell = throttled((count: number) => {
        emit({
          type: 'progress',
          stage: 'rootfs',
          label: 'unpacking',
          done: count,
          ...(total !== undefined && { total }),
          unit: 'files',
        });
      });
      return makeRootfs({
        archives: { base: archives['base.txz'], kernel: archives['kernel.txz'] },
        profile: request.profile,
        overlay: request.baseOverlay,
        release: releaseOf(request),
        version: request.version,
        work: scratch.path,
        signal,
        onEntry: () => {
          tell(++done);
        },
      });
    });
    const image = join(folder, 'mfsroot');
    await stage(work, 'ufs', () =>
      makeUfs(rootfs.tree, rootfs.folder, image, request.time, signal, request.packages?.room),
    );
    const out = join(folder, 'entry');
    await mkdir(out);
    const imageBytes = (await stat(image)).size;
    await stage(work, 'compress', async () => {
      await compress(image, join(out, ROOT_IMAGE), signal, (done) => {
        emit({
          type: 'progress',
          stage: 'compress',
          label: 'compressing',
          done,
          total: imageBytes,
          unit: 'bytes',
        });
      });
      await collectBoot(rootfs, out, signal);
    });
    const facts: RootFacts = {
      release: { id: request.release.id, from: request.release.from, trust: request.release.trust, sums },
      root: {
        ...count(rootfs.tree),
        rc: await readHeaders(rootfs),
        imageBytes,
        compressedBytes: (await stat(join(out, ROOT_IMAGE))).size,
        pruned: rootfs.pruned,
      },
    };
    return await cache.put('root', request.keys.root, out, facts, true, signal);
  } catch (error) {
    throw writeError(folder, error);
  } finally {
    await release?.close();
    await Promise.all([removeTree(folder), scratch.remove()]);
  }
}

/** How many entries the archives have, as MANIFEST says; undefined where no MANIFEST is beside them. */
function countEntries(release: CheckedRelease): number | undefined {
  let text: string;
  try {
    text = readTextSync(join(dirname(release.paths['base.txz']), 'MANIFEST'));
  } catch {
    return undefined;
  }
  const counts = text.split('\n').flatMap((line) => {
    const [file, , number] = line.split('\t');
    return file === 'base.txz' || file === 'kernel.txz' ? [Number(number)] : [];
  });
  const total = counts.reduce((sum, value) => sum + value, 0);
  return Number.isSafeInteger(total) && total > 0 ? total : undefined;
}

/** Compresses a file with pigz, without name and time; its output does not depend on the number of threads. */
async function compress(
  source: string,
  target: string,
  signal: AbortSignal,
  onProgress?: (done: number) => void,
): Promise<void> {
  const input = await open(source, 'r');
  const output = await open(target, 'wx', 0o644);
  try {
    const position = join('/proc/self/fdinfo', String(input.fd));
    const tick =
      onProgress &&
      ((): void => {
        // The file offset is shared with pigz; only Linux tells it.
        void readFile(position, 'utf8').then(
          (text) => {
            onProgress(Number(/^pos:\s*(\d+)/.exec(text)?.[1] ?? 0));
          },
          () => undefined,
        );
      });
    await runBetween(
      'Compressing',
      ['pigz', '-6', '-n', '-T', '-p', String(availableParallelism()), '-c'],
      { stdin: input.fd, stdout: output.fd },
      { signal, ...(tick && { onTick: tick }) },
    );
  } finally {
    await input.close();
    await output.close();
  }
}

/** Kernel modules that the loader loads (overlays/iso/boot/loader.conf). */
const LOADED_MODULES = ['boot/kernel/pf.ko'];

/** What of the release's boot/ the ISO needs, for the loader and for making it hybrid. */
function bootFiles(tree: Tree): readonly string[] {
  const below = ['boot/defaults', 'boot/lua', 'boot/fonts'].flatMap((folder) => tree.filesBelow(folder));
  const single = [
    'boot/cdboot',
    'boot/isoboot',
    'boot/pmbr',
    'boot/loader',
    'boot/loader.efi',
    'boot/device.hints',
    'boot/kernel/linker.hints',
    ...LOADED_MODULES,
  ];
  return [...single.filter((path) => tree.fileAt(path) !== undefined), ...below];
}

/** The kernel as the ISO has it. */
const KERNEL = 'boot/kernel/kernel.gz';

async function collectBoot(rootfs: Rootfs, out: string, signal: AbortSignal): Promise<void> {
  for (const path of LOADED_MODULES) {
    if (rootfs.boot.fileAt(path) === undefined)
      throw new UserError(
        `kernel.txz holds no ${path}: without it nothing would hold the door from the first packet.`,
        'Use the release sets of a kernel with pf as a module.',
      );
  }
  for (const path of bootFiles(rootfs.boot)) await copyFromTree(rootfs, path, join(out, path));
  const kernel = rootfs.boot.fileAt('boot/kernel/kernel');
  if (kernel === undefined)
    throw new UserError('kernel.txz holds no boot/kernel/kernel.', 'Check FREEBSD_DIST.');
  await mkdir(dirname(join(out, KERNEL)), { recursive: true });
  await compress(join(rootfs.folder, kernel), join(out, KERNEL), signal);
}

function count(tree: Tree): Omit<RootFacts['root'], 'imageBytes' | 'compressedBytes' | 'pruned' | 'rc'> {
  const entries = tree.entries();
  const files = entries.flatMap(([path, node]) => (node.type === 'file' ? [{ path, node }] : []));
  return {
    files: entries.filter(([, node]) => node.type === 'file' || node.type === 'hardlink').length,
    folders: entries.filter(([, node]) => node.type === 'dir').length,
    symlinks: entries.filter(([, node]) => node.type === 'symlink').length,
    bytes: files.reduce((sum, { node }) => sum + node.size, 0),
    setuid: files
      .filter(({ node }) => (node.mode & 0o6000) !== 0)
      .map(({ path, node }) => `${node.mode.toString(8)} ${node.uid}:${node.gid} /${path}`),
    kernelModules: files
      .filter(({ path }) => /^boot\/kernel\/.*\.ko$/.test(path))
      .map(({ path }) => path.slice('boot/kernel/'.length)),
  };
}

/** Largest rc.d script in bytes, and how many there are at most; FreeBSD has some 170 with up to 20,000. */
const MOST_SCRIPT = 256 * 1024;
const MOST_SCRIPTS = 500;

async function readHeaders(rootfs: Rootfs): Promise<readonly RcScript[]> {
  const paths = RC_FOLDERS.flatMap((folder) => rootfs.tree.filesBelow(folder));
  if (paths.length > MOST_SCRIPTS)
    throw new UserError(
      `The release sets hold ${paths.length} rc.d scripts, as no FreeBSD does.`,
      'Check FREEBSD_DIST.',
    );
  const headers: RcScript[] = [];
  for (const path of paths) {
    const file = rootfs.tree.fileAt(path);
    if (file === undefined) continue;
    const node = rootfs.tree.get(file);
    if (node?.type === 'file' && node.size > MOST_SCRIPT)
      throw new UserError(
        `The release sets hold /${path} with ${node.size} bytes, as no script of rc(8) has.`,
        'Check FREEBSD_DIST.',
      );
    const header = parseHeader(path, await readFile(join(rootfs.folder, file), 'latin1'));
    if (header) headers.push(header);
  }
  return headers;
}

/** Volume label of the ISO. */
const VOLUME = 'CLAWDIE';

/** Files of a `root` entry that are in no folder of the ISO, or get there in another way. */
const OUTSIDE: readonly string[] = [ROOT_IMAGE, 'boot/pmbr', 'boot/isoboot', 'boot/loader.efi'];

async function makeBase(
  request: BaseRequest,
  root: CacheEntry<RootFacts>,
  work: Work,
): Promise<CacheEntry<BaseFacts>> {
  const { cache, signal } = work;
  const { packages } = request;
  const store = packages && (await obtainPackages(packages, work));
  const folder = await cache.workFolder();
  try {
    return await stage(work, 'base', async () => {
      const iso = join(folder, 'iso');
      await mkdir(join(iso, 'boot'), { recursive: true });
      const part = (path: string): string => join(root.folder, path);
      for (const path of root.files) {
        if (OUTSIDE.includes(path)) continue;
        const target = join(iso, path);
        await mkdir(dirname(target), { recursive: true });
        await copyFile(part(path), target);
      }
      for (const file of request.isoOverlay.files) {
        await mkdir(dirname(join(iso, file)), { recursive: true });
        await copyFile(join(request.isoOverlay.folder, file), join(iso, file));
      }
      // The same file under two names: it is only read, and is the larger part of the image.
      await link(part(ROOT_IMAGE), join(iso, ROOT_IMAGE));
      if (packages && store) await placePackages(packages.medium, store, iso);
      await writeFile(join(iso, 'overlay'), emptySlot(releaseOf(request)));
      await settle(iso, request.time);

      const esp = await makeEsp(part('boot/loader.efi'), join(folder, 'esp'), request.time, signal);
      const out = join(folder, 'entry');
      await mkdir(out);
      const image = join(out, BASE_IMAGE);
      await makeIso(
        { folder: iso, pmbr: part('boot/pmbr'), isoboot: part('boot/isoboot'), esp },
        image,
        VOLUME,
        request.time,
        signal,
      );
      await chmod(image, 0o644);
      const facts: BaseFacts = { ...root.facts, sums: await measureBase(image, signal) };
      return cache.put('base', request.keys.base, out, facts, false, signal);
    });
  } catch (error) {
    throw writeError(folder, error);
  } finally {
    await removeTree(folder);
  }
}

/** Gives every file of a tree one time and a mode that does not depend on the umask. */
async function settle(folder: string, time: number): Promise<void> {
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    await chmod(path, entry.isDirectory() ? 0o755 : 0o444);
    await utimes(path, time, time);
  }
  await chmod(folder, 0o755);
  await utimes(folder, time, time);
}

/** Obtains the sets of a release, every byte of them checked, as a stage. Whoever gets them closes them. */
export function obtainRelease(release: Release, work: Work): Promise<CheckedRelease> {
  const { cache, signal, emit } = work;
  return stage(work, 'release', () =>
    // Base images of several kinds are made of one release, and its downloads are in one place.
    underLock(work, sha256(release.id), 'obtains the same release', () =>
      release.obtain({
        folder: cache.downloads,
        signal,
        note: (text) => {
          emit({ type: 'note', text });
        },
        progress: throttled((label: string, done: number, total: number | undefined) => {
          const of = total === undefined ? {} : { total };
          emit({ type: 'progress', stage: 'release', label, done, ...of, unit: 'bytes' });
        }),
      }),
    ),
  );
}
