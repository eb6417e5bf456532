import { createReadStream } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { z } from 'zod';
import { messageOf, UserError } from '../error.js';
import { run } from '../host/process.js';
import { find } from '../host/tools.js';
import { parseJson } from '../json.js';
import { download, NotThere } from '../release/download.js';
import type { DownloadOptions, Expected } from '../release/download.js';
import { LICENSE } from './catalogue.js';
import type { Lock, LockedNpm } from './lockfile.js';
import { NPM_NAME, sha512Of } from './lockfile.js';
import { EDGES, nameAt, pickEdges } from './npm-tree.js';
import type { Repository } from './repository.js';
import type { Wanted } from './solver.js';
import type { WantedFile } from './store.js';

/** What npm writes of one package (package-lock.json, lockfileVersion 3). */
const ENTRY = z.looseObject({
  version: z.string().optional(),
  resolved: z.string().optional(),
  integrity: z.string().optional(),
  link: z.boolean().optional(),
  inBundle: z.boolean().optional(),
  optional: z.boolean().optional(),
  dev: z.boolean().optional(),
  os: z.array(z.string()).optional(),
  cpu: z.array(z.string()).optional(),
  /** Old packages have an object here, or whatever else. */
  license: z.string().regex(LICENSE).optional().catch(undefined),
  ...EDGES,
});

const NPM_LOCK = z.looseObject({ lockfileVersion: z.literal(3), packages: z.record(z.string(), ENTRY) });

/** Packages of npm as a lock has them. */
export type NpmResolution = Pick<Lock, 'npm' | 'npmTree'>;

/** Architectures as npm has them. */
const CPU: Readonly<Record<string, string>> = { amd64: 'x64', arm64: 'arm64' };

/**
 * Resolves packages of npm, each at its version, by npm itself: nothing is unpacked and nothing of them runs.
 *
 * @param wanted `name@version`
 * @param folder an empty folder to work in
 * @throws UserError if npm is not there, does not find them, or gives what could not be verified later.
 */
export async function resolveNpm(
  wanted: readonly Wanted[],
  arch: string,
  folder: string,
  signal: AbortSignal,
): Promise<NpmResolution> {
  if (wanted.length === 0) return { npm: [], npmTree: undefined };
  if (find('npm') === undefined)
    throw new UserError(
      `npm is not on this machine, and ${wanted.map(({ name }) => name).join(', ')} of npm is to be locked.`,
      'Install npm; it comes with Node.js.',
    );
  await writeFile(join(folder, 'package.json'), '{"private":true}\n');
  const names = wanted.map(({ name }) => name);
  await run(
    `Resolving ${names.join(', ')} of npm`,
    [
      ...[
        'npm',
        'install',
        '--package-lock-only',
        '--ignore-scripts',
        '--no-audit',
        '--no-fund',
        '--save-exact',
      ],
      // Whatever the builder's own settings are.
      ...['--no-omit-lockfile-registry-resolved', '--lockfile-version=3', '--loglevel=error'],
      ...['--os=freebsd', `--cpu=${CPU[arch] ?? arch}`, '--', ...names],
    ],
    { cwd: folder, signal, env: { npm_config_update_notifier: 'false' } },
  );
  return readNpmLock(await readFile(join(folder, 'package-lock.json'), 'utf8'), wanted, arch);
}

/**
 * What npm's lock says of packages that go onto FreeBSD. Those for other systems are left out, and those that lie in another
 * one's file.
 *
 * @throws UserError if one is not from a registry, or has no sum by SHA-512.
 */
export function readNpmLock(text: string, wanted: readonly Wanted[], arch: string): NpmResolution {
  const parsed = NPM_LOCK.safeParse(parseJson(text));
  if (!parsed.success)
    throw new UserError('npm wrote a package-lock.json that is not understood here.', 'Update npm.');
  const found = new Map<string, { -readonly [K in keyof LockedNpm]: LockedNpm[K] }>();
  const tree: Record<string, z.infer<typeof ENTRY>> = {};
  for (const [place, entry] of Object.entries(parsed.data.packages).sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (place === '' || entry.dev === true) continue;
    if (entry.inBundle === true) {
      tree[place] = entry;
      continue;
    }
    const name = nameAt(place);
    if (!suits(entry.os, 'freebsd') || !suits(entry.cpu, CPU[arch] ?? arch)) {
      if (entry.optional === true) continue;
      throw new UserError(
        `${name} of npm is not for FreeBSD on ${arch} (os: ${entry.os?.join(', ') ?? 'any'}; cpu: ${entry.cpu?.join(', ') ?? 'any'}).`,
      );
    }
    const { version = '', resolved = '', integrity = '', license } = entry;
    if (!NPM_NAME.test(name) || entry.link === true || !/^https?:\/\//.test(resolved))
      throw new UserError(
        `npm resolves ${place} to ${resolved || 'nothing'}, which is no package of a registry.`,
      );
    const sum = integrity.split(/\s+/).find((each) => /^sha512-[A-Za-z0-9+/]{86}==$/.test(each));
    if (sum === undefined)
      throw new UserError(
        `The registry has no SHA-512 of ${name} ${version} of npm, so that nothing could tell whether its bytes are genuine.`,
      );
    tree[place] = entry;
    const key = `${name}@${version}`;
    const same = found.get(key);
    if (same && same.integrity !== sum) throw new UserError(`npm has two sums of ${key}.`);
    if (same) same.places.push(place);
    else {
      const asked = wanted.find((each) => each.name === key && place === `node_modules/${name}`)?.by ?? [];
      found.set(key, {
        ...{ asked: [...asked], integrity: sum, name, places: [place], url: resolved, version },
        ...(license !== undefined && { license }),
      });
    }
  }
  for (const { name } of wanted)
    if (!found.has(name))
      throw new UserError(`npm does not find ${name}.`, 'Check the version that the template names.');
  return { npm: [...found.values()], npmTree: pickEdges(tree) };
}

/** Largest package of npm, in bytes. */
const MOST_NPM = 512 * 1024 ** 2;

/** What the archive of a locked package of npm has to be. */
export function npmExpected({ integrity }: Pick<LockedNpm, 'integrity'>): Expected {
  return { sums: [{ algorithm: 'sha512', hex: sha512Of(integrity) }] };
}

/** The archive of a locked package of npm: from a repository that is a folder and keeps it, otherwise from its registry. */
export function npmFile(
  { name, version, integrity, url }: LockedNpm,
  repository: Repository,
  options: DownloadOptions,
): WantedFile {
  const expected = npmExpected({ integrity });
  const kept = `npm/${name.replace('/', '+')}-${version}.tgz`;
  return {
    ...{ label: `${name} ${version} of npm`, expected, size: undefined, kept },
    bring: async (to, onProgress) => {
      try {
        if (repository.isFolder) return await repository.bring(kept, to, expected, undefined);
      } catch (error) {
        if (!(error instanceof NotThere)) throw error;
      }
      return download(url, to, expected, {
        ...{ ...options, onProgress },
        ...{ most: MOST_NPM, key: 'the registry of npm' },
      });
    },
  };
}

/** Most that an archive may unpack to, in bytes. */
const MOST_UNPACKED = 4 * 1024 ** 3;

/**
 * What a package of npm takes where it is installed, in bytes: what its archive unpacks to, in which every file has a header and is
 * filled up to 512 bytes, as tar(5) has them.
 *
 * @param path of its archive, whose sum is right
 * @param most bytes that it may unpack to
 * @throws UserError if it cannot be unpacked, or unpacks to more than any package has.
 */
export async function unpackedSize(
  { name, version }: Pick<LockedNpm, 'name' | 'version'>,
  path: string,
  signal: AbortSignal,
  most = MOST_UNPACKED,
): Promise<number> {
  const unpacking = createGunzip();
  pipeline(createReadStream(path), unpacking, () => undefined);
  const refused = (what: string): UserError =>
    new UserError(
      `The archive of ${name} ${version} of npm ${what}. It is damaged or hostile, though its sum is that of the registry.`,
      'Nothing was written. Choose another version of what needs it.',
    );
  let bytes = 0;
  try {
    for await (const piece of unpacking as AsyncIterable<Buffer>) {
      signal.throwIfAborted();
      bytes += piece.length;
      if (bytes > most) throw refused(`unpacks to more than ${most} bytes`);
    }
  } catch (error) {
    signal.throwIfAborted();
    throw error instanceof UserError ? error : refused(`cannot be unpacked: ${messageOf(error)}`);
  }
  return bytes;
}

/** Whether a list of systems, or of processors, has one in it: `!x` stands for all but x (npm-install-checks). */
function suits(list: readonly string[] | undefined, what: string): boolean {
  if (!list || list.length === 0 || list.includes('any')) return true;
  if (list.includes(`!${what}`)) return false;
  return list.includes(what) || list.every((each) => each.startsWith('!'));
}
