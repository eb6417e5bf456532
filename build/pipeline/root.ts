import { mkdir, open, readFile, stat } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { UserError } from '../error.js';
import { removeTree, writeError } from '../host/files.js';
import { runBetween } from '../host/process.js';
import { scratchFolder } from '../host/scratch.js';
import { parseHeader, RC_FOLDERS } from '../rc/headers.js';
import type { RcScript } from '../rc/headers.js';
import type { CheckedRelease } from '../release/source.js';
import { copyFromTree, makeRootfs } from '../rootfs/rootfs.js';
import type { Rootfs } from '../rootfs/rootfs.js';
import type { Tree } from '../rootfs/tree.js';
import { makeUfs } from '../rootfs/ufs.js';
import type { BaseRequest, RootFacts, Work } from './base.js';
import type { CacheEntry } from './cache.js';
import { obtainRelease, releaseOf } from './release.js';
import { stage, throttled } from './stage.js';

/** Name of the compressed root in a `root` entry; the boot files lie beside it under the paths that they have in the ISO. */
export const ROOT_IMAGE = 'mfsroot.gz';

/** Makes the compressed root of a release and what an ISO has beside it, as an entry of the cache. */
export async function makeRoot(request: BaseRequest, work: Work): Promise<CacheEntry<RootFacts>> {
  const { cache, signal, emit } = work;
  const folder = await cache.workFolder();
  const scratch = await scratchFolder(folder);
  let release: CheckedRelease | undefined;
  try {
    release = await obtainRelease(request.release, work);
    const { sources, sums, entries: total } = release;
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
        sources,
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
    await checkVersion(rootfs, request.version);
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

/** What userland says that it is: freebsd-version(1), made of bin/freebsd-version/freebsd-version.sh.in by newvers.sh. */
const USERLAND = /^USERLAND_VERSION="([A-Za-z0-9._-]{1,64})"$/m;
const MOST_VERSION = 64 * 1024;

/** @throws UserError if the release says that it is another one than FREEBSD_VERSION; its patch level may be another. */
async function checkVersion(rootfs: Rootfs, version: string): Promise<void> {
  const path = rootfs.tree.fileAt('bin/freebsd-version');
  const node = path === undefined ? undefined : rootfs.tree.get(path);
  if (path === undefined || node?.type !== 'file' || node.size > MOST_VERSION) return;
  const [, told] = USERLAND.exec(await readFile(join(rootfs.folder, path), 'latin1')) ?? [];
  if (told === undefined || `${told}-`.startsWith(`${version.replace(/-p\d+$/, '')}-`)) return;
  throw new UserError(
    `FREEBSD_VERSION is ${version}, and this release says that it is ${told} (bin/freebsd-version).`,
    `Set FREEBSD_VERSION="${told}", or name the release that you mean: FREEBSD_DIST, FREEBSD_MANIFEST_SHA256.`,
  );
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
      `Compressing into ${target}`,
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
export const KERNEL = 'boot/kernel/kernel.gz';

async function collectBoot(rootfs: Rootfs, out: string, signal: AbortSignal): Promise<void> {
  for (const path of LOADED_MODULES) {
    if (rootfs.boot.fileAt(path) === undefined)
      throw new UserError(
        `The release holds no ${path}: without it nothing would hold the door from the first packet.`,
        'Use a release whose kernel has pf as a module.',
      );
  }
  for (const path of bootFiles(rootfs.boot)) await copyFromTree(rootfs, path, join(out, path));
  const kernel = rootfs.boot.fileAt('boot/kernel/kernel');
  if (kernel === undefined)
    throw new UserError('The release holds no boot/kernel/kernel.', 'Check FREEBSD_DIST.');
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
      `The release holds ${paths.length} rc.d scripts, as no FreeBSD does.`,
      'Check FREEBSD_DIST.',
    );
  const headers: RcScript[] = [];
  for (const path of paths) {
    const file = rootfs.tree.fileAt(path);
    if (file === undefined) continue;
    const node = rootfs.tree.get(file);
    if (node?.type === 'file' && node.size > MOST_SCRIPT)
      throw new UserError(
        `The release holds /${path} with ${node.size} bytes, as no script of rc(8) has.`,
        'Check FREEBSD_DIST.',
      );
    const header = parseHeader(path, await readFile(join(rootfs.folder, file), 'latin1'));
    if (header) headers.push(header);
  }
  return headers;
}
