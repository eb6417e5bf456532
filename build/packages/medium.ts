import { buffer } from 'node:stream/consumers';
import { pack } from 'tar-stream';
import { sha256 } from '../host/hash.js';
import { sha512Of } from './lockfile.js';
import type { Lock, LockedNpm, LockedPackage } from './lockfile.js';
import { npmArchive, npmProject } from './npm-tree.js';

/** A package as it lies on the medium of an image. */
export interface MediumPackage extends LockedPackage {
  /** Below the folder of the packages. */
  readonly file: string;
}

/** A package of npm as it lies there. */
export interface MediumNpm extends LockedNpm {
  /** Below the folder of the packages. */
  readonly file: string;
}

/** The packages of a lock and the repository of them, as images carry them. */
export interface Medium {
  /** Stands for all bytes of the folder. */
  readonly digest: string;
  /** In order of installation. */
  readonly packages: readonly MediumPackage[];
  /** What makes a repository of the folder, by name. */
  readonly catalogue: ReadonlyMap<string, Buffer>;
  /** Packages of npm, and what has npm(1) install them without a network, by name. */
  readonly npm: readonly MediumNpm[];
  readonly npmProject: ReadonlyMap<string, Buffer>;
  /** What packages of npm install in a jail, in bytes, each at all of its places; undefined where the lock does not say it. */
  readonly npmBytes: number | undefined;
  /** What the packages of hosts install, in bytes: those that only templates of jails ask for do not count. */
  readonly hostBytes: number;
}

/** The folder of the packages, in the ISO, and below it that of those of npm. */
export const MEDIUM_FOLDER = 'packages';
const NPM_FOLDER = 'npm';

/** Where pkg(7) looks for pkg(8) in a repository: in jails it is what `PKG` of a template starts with. */
export const BOOTSTRAP = 'Latest/pkg.pkg';

/** Longest name of a file in Rock Ridge (ISO 9660, with its extensions). */
const MOST_NAME = 255;

/**
 * What an image carries of a lock. The catalogue is made of the lock alone: it names the locked packages and no others, so that a
 * small machine reads it at once, and says the same wherever it is made. It is not signed: the instance holds it, and every
 * package, against the sums in its overlay. Pure but for the packing.
 *
 * Formats: docs/pkg-repository.5 and libpkg/pkg_manifest.c of pkg(8), 1.21 and later.
 */
export async function mediumOf(lock: Lock): Promise<Medium> {
  const { catalogue: from } = lock;
  if (!from) throw new Error('a lock of packages has their catalogue'); // parseLock() asked
  const packages = lock.packages.map((each) => ({ ...each, file: fileName(each) }));
  const meta = `${JSON.stringify({ version: 2, packing_format: 'tar', data: 'data', data_archive: 'data' })}\n`;
  const body = JSON.stringify({ groups: [], expired_packages: [], packages: manifests(packages) });
  const catalogue = new Map([
    ['data.pkg', await archive('data', body, from.time)],
    ['meta.conf', Buffer.from(meta)],
  ]);
  const project = new Map(
    [...(npmProject(lock) ?? [])].map(
      ([name, text]) => [`${NPM_FOLDER}/${name}`, Buffer.from(text)] as const,
    ),
  );
  const npm =
    project.size === 0
      ? []
      : lock.npm.map((each) => ({ ...each, file: `${NPM_FOLDER}/${npmArchive(each)}` }));
  const sums = [
    ...[...catalogue, ...project].map(([name, bytes]) => [name, sha256(bytes)]),
    ...packages.map(({ file, sha256: sum }) => [file, sum]),
    ...npm.map(({ file, integrity }) => [file, integrity]),
  ];
  const byTemplates = (by: string): boolean => by.includes('/');
  const ofHosts = closure(
    lock,
    packages.flatMap(({ name, asked }) => (asked.some((by) => !byTemplates(by)) ? [name] : [])),
  );
  return {
    digest: sha256(JSON.stringify(sums)),
    packages,
    catalogue,
    npm,
    npmProject: project,
    npmBytes: lock.npm.some((each) => each.flatsize === undefined)
      ? undefined
      : lock.npm.reduce((sum, each) => sum + (each.flatsize ?? 0) * each.places.length, 0),
    hostBytes: flatsize(packages.filter(({ name }) => ofHosts.has(name))),
  };
}

/** Names of packages with all that they need. Pure. */
export function closure(
  { packages }: { readonly packages: readonly LockedPackage[] },
  names: readonly string[],
): ReadonlySet<string> {
  const all = new Map(packages.map((each) => [each.name, each]));
  const found = new Set<string>();
  const queue = [...names];
  for (let name = queue.pop(); name !== undefined; name = queue.pop()) {
    const each = all.get(name);
    if (!each || found.has(name)) continue;
    found.add(name);
    queue.push(...each.needs);
  }
  return found;
}

/** What packages install, in bytes. */
export function flatsize(packages: readonly LockedPackage[]): number {
  return packages.reduce((sum, each) => sum + each.flatsize, 0);
}

/**
 * What an instance holds the medium against, for sh(1): a line for each file with its kind (`catalogue`, `asked` for on this host,
 * `needed` by those, `other`, `npm`), its SHA-256, its size, what it installs (both in bytes), its path, and the package's name and
 * version. Archives of npm have the SHA-512 of their lock instead, and no size. Pure.
 *
 * @param names packages that this host asks for
 */
export function mediumList(
  { packages, catalogue, npm, npmProject: project }: Medium,
  names: readonly string[],
): string {
  const needed = closure({ packages }, names);
  const kind = (name: string): string =>
    names.includes(name) ? 'asked' : needed.has(name) ? 'needed' : 'other';
  const pkg = packages.find(({ name }) => name === 'pkg');
  return [
    '# Packages of the medium: kind, SHA-256, size, bytes installed, file, name, version. Made from clawdie.lock.json.',
    ...[...catalogue].map(([name, bytes]) => `catalogue ${sha256(bytes)} ${bytes.length} 0 ${name} - -`),
    ...(pkg ? [`catalogue ${pkg.sha256} ${pkg.size} 0 ${BOOTSTRAP} - -`] : []),
    ...packages.map((each) =>
      [
        ...[kind(each.name), each.sha256, each.size, each.flatsize],
        ...[each.file, each.name, each.version],
      ].join(' '),
    ),
    ...[...project].map(([name, bytes]) => `npm ${sha256(bytes)} ${bytes.length} 0 ${name} - -`),
    ...npm.map(
      ({ integrity, file, name, version }) => `npm ${sha512Of(integrity)} - 0 ${file} ${name} ${version}`,
    ),
    '',
  ].join('\n');
}

function fileName({ name, version, sha256: sum }: LockedPackage): string {
  const usual = `${name}-${version}.pkg`;
  return `All/${usual.length > MOST_NAME ? `${sum}.pkg` : usual}`;
}

/** What a catalogue says of packages. What it says for people is in the packages themselves, and pkg(8) reads it there. */
function manifests(packages: readonly MediumPackage[]): readonly unknown[] {
  const all = new Map(packages.map((each) => [each.name, each]));
  return packages.map((each) => {
    const { name, origin, version, abi, sum, flatsize: flat, size, file } = each;
    const lists = {
      shlibs_required: each.libraries?.needs,
      shlibs_provided: each.libraries?.has,
      requires: each.features?.needs,
      provides: each.features?.has,
      conflicts: each.conflicts,
    };
    return {
      ...{ name, origin, version, comment: name, maintainer: '-', www: '-' },
      ...{ abi, arch: abi, prefix: '/usr/local', sum, flatsize: flat, path: file, repopath: file },
      ...{ licenselogic: 'single', pkgsize: size, desc: name },
      ...(each.needs.length > 0 && {
        deps: Object.fromEntries(
          each.needs.flatMap((need) => {
            const dep = all.get(need);
            return dep ? [[need, { origin: dep.origin, version: dep.version }]] : [];
          }),
        ),
      }),
      categories: [origin.split('/')[0]],
      ...Object.fromEntries(Object.entries(lists).filter(([, list]) => (list?.length ?? 0) > 0)),
    };
  });
}

/** A tar archive of one file: pkg(8) takes one that is not packed, whatever its name says. */
async function archive(name: string, body: string, time: string): Promise<Buffer> {
  const tar = pack();
  const mtime = new Date(time);
  tar.entry({ name, mode: 0o644, uid: 0, gid: 0, uname: '', gname: '', mtime }, body);
  tar.finalize();
  return buffer(tar);
}
