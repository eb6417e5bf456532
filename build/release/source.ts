import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { isAbsolute, join, resolve as resolvePath } from 'node:path';
import type { Config } from '../config/keys.js';
import { InputError, UserError, whyOf } from '../error.js';
import { exists, openFile, readTextSync, removeTree } from '../host/files.js';
import { hashRange, sha256 } from '../host/hash.js';
import type { Source } from '../rootfs/release-tree.js';
import type { Archive } from '../rootfs/unpack.js';
import { download, downloadText } from './download.js';
import type { DownloadOptions } from './download.js';
import { parseManifest, SETS, sumsOf } from './manifest.js';
import type { SetName, Sums } from './manifest.js';
import { knownReleases, pinnedSums } from './pins.js';
import { SAMPLE_ID, writeSample } from './sample/sample.js';

/** What obtaining a release may use: the folder for downloads, and who hears of the progress. */
export interface ObtainContext {
  readonly folder: string;
  readonly signal: AbortSignal;
  readonly note: (text: string) => void;
  /** Hears what is waited for from now on. */
  readonly doing: (text: string) => void;
  readonly progress: (label: string, done: number, total: number | undefined) => void;
  /** Passed on to downloads; tests make them impatient. */
  readonly download?: DownloadOptions;
}

/** A release that was checked, byte for byte. Sets are open, so that what was checked is what is read. */
export interface CheckedRelease {
  /** SHA-256 of its archives by their names. */
  readonly sums: Readonly<Record<string, string>>;
  readonly sources: readonly Source[];
  /** How many entries they have, by the word of MANIFEST; undefined where nothing tells. */
  readonly entries?: number | undefined;
  close(): Promise<void>;
}

/** A release, identified before anything of it is read. */
export interface Release {
  /** Stands for the bytes of the release in cache keys: two with one id hold the same bytes. */
  readonly id: string;
  readonly sample: boolean;
  /** Where it comes from, for people and records. */
  readonly from: string;
  /** How its bytes came to be trusted. */
  readonly trust:
    'pinned' | 'FREEBSD_MANIFEST_SHA256' | 'made here' | 'keys of FreeBSD-base' | 'FREEBSD_KEY_FILE';
  /** Whether it is made of packages, which lie with others in the cache. */
  readonly packaged?: boolean;
  obtain(context: ObtainContext): Promise<CheckedRelease>;
}

/**
 * Finds out which release a configuration means. `folder` is where relative paths begin: that of build.cfg. Reads
 * at most the MANIFEST of a local folder; no network.
 *
 * @throws InputError if the release is neither known nor vouched for, or the folder is not one of release sets.
 */
export function resolveRelease(config: Config, folder: string): Release {
  const {
    FREEBSD_DIST: dist,
    FREEBSD_VERSION: version,
    ARCH: arch,
    FREEBSD_MANIFEST_SHA256: vouched,
  } = config;
  if (dist === 'sample') return sampleRelease();

  const pinned = vouched === undefined ? pinnedSums(arch, version) : undefined;
  if (vouched === undefined && !pinned) {
    throw new InputError(
      `The sums of FreeBSD ${version} for ${arch} are not known to this project (known: ${knownReleases().join(', ')}), so nothing could tell whether its bytes are genuine.`,
      'Set FREEBSD_MANIFEST_SHA256 to the SHA-256 of its MANIFEST (`sha256sum MANIFEST`), from a copy that you trust.',
    );
  }
  const trust: Trust =
    vouched === undefined ? { kind: 'pinned', sums: pinned as Sums } : { kind: 'vouched', manifest: vouched };
  const id =
    trust.kind === 'vouched'
      ? `manifest:${trust.manifest}`
      : `sums:${SETS.map((set) => trust.sums[set]).join('+')}`;
  const common = {
    id,
    sample: false,
    trust: trust.kind === 'pinned' ? 'pinned' : 'FREEBSD_MANIFEST_SHA256',
  } as const;

  if (dist === 'mirror' || /^https?:/i.test(dist)) {
    const url =
      dist === 'mirror'
        ? `${config.FREEBSD_MIRROR}/releases/${arch}/${arch}/${version}`
        : dist.replace(/\/+$/, '');
    return { ...common, from: url, obtain: (context) => fromServer(url, trust, context) };
  }
  const path = isAbsolute(dist) ? dist : resolvePath(folder, dist);
  const sums = sumsInFolder(path, trust);
  return { ...common, from: path, obtain: (context) => openChecked(path, sums, context) };
}

type Trust =
  { readonly kind: 'pinned'; readonly sums: Sums } | { readonly kind: 'vouched'; readonly manifest: string };

function sampleRelease(): Release {
  return {
    id: SAMPLE_ID,
    sample: true,
    from: 'the sample release that this project makes',
    trust: 'made here',
    obtain: (context) =>
      again(join(context.folder, SAMPLE_ID), context, 'Making the sample release again.', async (folder) => {
        await writeSample(folder, context.signal);
        const sums = sumsOf(
          parseManifest(readTextSync(join(folder, 'MANIFEST')), 'MANIFEST of the sample'),
          'MANIFEST of the sample',
        );
        return openChecked(folder, sums, context);
      }),
  };
}

/** Obtains what is kept in a folder; if it turns out to be damaged, once more, from nothing. */
async function again(
  folder: string,
  context: ObtainContext,
  what: string,
  obtain: (folder: string) => Promise<CheckedRelease>,
): Promise<CheckedRelease> {
  try {
    return await obtain(folder);
  } catch (error) {
    context.signal.throwIfAborted();
    if (!(error instanceof UserError)) throw error;
    context.note(`${error.message} ${what}`);
    await removeTree(folder);
    return obtain(folder);
  }
}

/** The sums a MANIFEST gives, once the MANIFEST itself is known to be genuine. */
function trustedSums(text: string, where: string, trust: Trust): Sums {
  if (trust.kind === 'vouched') {
    const sum = sha256(text);
    if (sum !== trust.manifest) {
      throw new UserError(
        `${where} has the SHA-256 ${sum}, not the ${trust.manifest} of FREEBSD_MANIFEST_SHA256.`,
        'Find out which of the two is the release that you mean.',
      );
    }
    return sumsOf(parseManifest(text, where), where);
  }
  const sums = sumsOf(parseManifest(text, where), where);
  for (const set of SETS) {
    if (sums[set] !== trust.sums[set]) {
      throw new UserError(
        `${where} says ${set} has the SHA-256 ${sums[set]}, but that of the release is ${trust.sums[set]}. It is another release, or was altered.`,
        'Check FREEBSD_VERSION. For a release that you built yourself, set FREEBSD_MANIFEST_SHA256 to what `sha256sum MANIFEST` prints of it.',
      );
    }
  }
  return sums;
}

function sumsInFolder(path: string, trust: Trust): Sums {
  const manifest = join(path, 'MANIFEST');
  let text: string;
  try {
    text = readTextSync(manifest);
  } catch (error) {
    throw new InputError(
      `FREEBSD_DIST ${path}: MANIFEST cannot be read: ${whyOf(error)}.`,
      'FREEBSD_DIST must be "mirror", "sample", a URL, or a folder with MANIFEST, base.txz and kernel.txz; a repository of base packages is "pkgbase:" and its folder.',
    );
  }
  return trustedSums(text, manifest, trust);
}

/** Opens the archives of a folder and compares every byte of the open files with the sums. */
async function openChecked(folder: string, sums: Sums, context: ObtainContext): Promise<CheckedRelease> {
  const files: FileHandle[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(files.map((file) => file.close()));
  };
  const path = (set: SetName): string => join(folder, set);
  try {
    const opened: { readonly set: SetName; readonly file: FileHandle; readonly size: number }[] = [];
    for (const set of SETS) {
      const file = await openFile(path(set)).catch((error: unknown) => {
        throw new UserError(
          `${path(set)} cannot be read: ${whyOf(error)}.`,
          'Put the complete release sets there.',
        );
      });
      files.push(file);
      opened.push({ set, file, size: (await file.stat()).size });
    }
    const total = opened.reduce((sum, { size }) => sum + size, 0);
    let done = 0;
    for (const { set, file, size } of opened) {
      const hash = createHash('sha256');
      for (let at = 0; at < size; at += CHUNK) {
        const end = Math.min(size, at + CHUNK);
        await hashRange(hash, file, at, end, context.signal);
        context.progress('checking the release sets', (done += end - at), total);
      }
      const sum = hash.digest('hex');
      if (sum !== sums[set]) {
        throw new UserError(
          `${path(set)} has the SHA-256 ${sum}, but MANIFEST says ${sums[set]}: it is truncated or was altered, and is not used.`,
          'Fetch it again.',
        );
      }
    }
    const archive = (set: SetName): Archive => {
      const found = opened.find((each) => each.set === set);
      if (!found) throw new Error(`${set} was not opened`);
      return { fd: found.file.fd, sha256: sums[set], size: found.size };
    };
    const source = (set: SetName, part: Source['part']): Source => {
      const open = archive(set);
      return { where: set, part, use: (run) => run(open) };
    };
    return {
      sums,
      sources: [source('base.txz', 'world'), source('kernel.txz', 'kernel')],
      entries: countEntries(join(folder, 'MANIFEST')),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** How many entries the archives have, as MANIFEST says; undefined where no MANIFEST is beside them. */
function countEntries(manifest: string): number | undefined {
  let text: string;
  try {
    text = readTextSync(manifest);
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

/** Bytes that are summed up between two words about the progress. */
const CHUNK = 4 * 1024 ** 2;

async function fromServer(url: string, trust: Trust, context: ObtainContext): Promise<CheckedRelease> {
  const options = { ...context.download, signal: context.signal, onRetry: context.doing };
  const known = trust.kind === 'pinned' ? trust.sums : undefined;
  const manifest = async (): Promise<Sums> => {
    context.doing(`Downloading MANIFEST from ${url}`);
    return trustedSums(await downloadText(`${url}/MANIFEST`, undefined, options), `${url}/MANIFEST`, trust);
  };
  const folderOf = (sums: Sums): string =>
    join(context.folder, sha256(SETS.map((set) => sums[set]).join('+')).slice(0, 16));

  const fetchMissing = async (sums: Sums): Promise<void> => {
    for (const set of SETS) {
      const path = join(folderOf(sums), set);
      if (await exists(path)) continue;
      context.doing(`Downloading ${set} from ${url}`);
      await download(`${url}/${set}`, path, sums[set], {
        ...options,
        onProgress: (done, total) => context.progress(`downloading ${set}`, done, total),
      });
    }
  };

  const complete =
    known && (await Promise.all(SETS.map((set) => exists(join(folderOf(known), set))))).every(Boolean);
  const sums = complete ? known : await manifest();
  return again(folderOf(sums), context, 'Downloading the release sets again.', async (folder) => {
    await fetchMissing(sums);
    return openChecked(folder, sums, context);
  });
}
