import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { extract } from 'tar-stream';
import { sha256 } from '../../build/host/hash.js';
import { makeCatalogue, META, zstd } from './repository.js';
import type { RepositoryKey } from './repository.js';
import { packTar, writeTxz } from './tar.js';
import type { TestEntry } from './tar.js';

/** A package of a base system: its entries as a release set has them, `./bin/sh`, with owners as numbers. */
export interface TestBasePackage {
  readonly name: string;
  readonly version?: string;
  readonly deps?: readonly string[];
  readonly entries?: readonly TestEntry[];
  readonly scripts?: Readonly<Record<string, string>>;
  /** Changes what its archive holds: for hostile ones. */
  readonly change?: (entries: readonly TestEntry[]) => readonly TestEntry[];
  /** Whatever else the catalogue says of it. */
  readonly more?: Readonly<Record<string, unknown>>;
}

/** Names of the owners of the sample release. */
const GROUPS: Readonly<Record<number, string>> = { 0: 'wheel', 4: 'tty', 5: 'operator' };

/** Files that say so. */
export const ACCOUNTS: readonly TestEntry[] = [
  {
    name: './etc/master.passwd',
    mode: 0o600,
    body: 'root::0:0::0:0:Charlie &:/root:/bin/sh\ntoor:*:0:0::0:0:Bourne:/root:\n',
  },
  { name: './etc/group', body: '# groups\nwheel:*:0:root\ntty:*:4:\noperator:*:5:root\n' },
];

/** The entries of a .txz. */
async function entriesOf(path: string): Promise<readonly TestEntry[]> {
  const found: TestEntry[] = [];
  const reader = extract();
  const done = (async () => {
    for await (const entry of reader) {
      const pieces: Buffer[] = [];
      for await (const piece of entry) pieces.push(piece as Buffer);
      const { name, type, mode, uid, gid, linkname } = entry.header;
      found.push({
        ...{ name, type: type as NonNullable<TestEntry['type']>, body: Buffer.concat(pieces) },
        ...{ mode, uid, gid },
        ...(typeof linkname === 'string' && { linkname }),
      });
    }
  })();
  reader.end(execFileSync('xz', ['-dc', path], { maxBuffer: 1 << 30 }));
  await done;
  return found;
}

/** Has a base.txz name all owners of its files. */
export async function nameOwners(sets: string): Promise<void> {
  const path = join(sets, 'base.txz');
  const named = (entry: TestEntry): TestEntry => ({
    ...entry,
    ...ACCOUNTS.find(({ name }) => name === entry.name),
  });
  await writeTxz(path, (await entriesOf(path)).map(named));
}

/** Cuts release sets into packages as FreeBSD does: each folder is of the core, other things are of several packages. */
export async function cutSets(sets: string): Promise<readonly TestBasePackage[]> {
  const groups = new Map<string, TestEntry[]>();
  for (const entry of await entriesOf(join(sets, 'base.txz'))) {
    if (entry.name === './') continue;
    const name = entry.type === 'directory' ? 'runtime' : partOf(entry.name);
    groups.set(name, [...(groups.get(name) ?? []), entry]);
  }
  const kernel = (await entriesOf(join(sets, 'kernel.txz'))).filter(({ name }) => name !== './');
  const core = (name: string): readonly string[] => (name === 'runtime' ? [] : ['FreeBSD-runtime']);
  return [
    ...[...groups].map(([name, entries]) => ({ name: `FreeBSD-${name}`, entries, deps: core(name) })),
    { name: 'FreeBSD-kernel-generic', entries: kernel },
    { name: 'FreeBSD-set-base', deps: [...groups.keys()].map((name) => `FreeBSD-${name}`) },
  ];
}

function partOf(path: string): string {
  if (path.startsWith('./boot/')) return 'bootloader';
  if (path.startsWith('./etc/rc.d/')) return 'rc';
  return path.startsWith('./usr/') ? 'utilities' : 'runtime';
}

/** The name of an entry; a long absolute one is lost in the fields of ustar by who packs it here. */
function named(name: string): Pick<TestEntry, 'name' | 'pax'> {
  return name.length < 100 ? { name } : { name, pax: { path: name } };
}

/** A package of a base system as pkg(8) makes it, and what a catalogue says of it. */
export async function makeBasePackage({
  name,
  version = '15.1p1',
  deps = [],
  entries = [],
  scripts = {},
  change = (all) => all,
  more = {},
}: TestBasePackage): Promise<{
  readonly file: Buffer;
  readonly manifest: Readonly<Record<string, unknown>>;
}> {
  const about = {
    ...{ name, origin: `base/${name}`, version, comment: name, maintainer: 're@FreeBSD.org' },
    ...{ www: 'https://www.FreeBSD.org', abi: 'FreeBSD:15:amd64', arch: 'freebsd:15:x86:64', prefix: '/' },
    ...{ flatsize: 1000, licenselogic: 'single', licenses: ['BSD2CLAUSE'], desc: name, categories: ['base'] },
    ...(deps.length > 0 && {
      deps: Object.fromEntries(deps.map((dep) => [dep, { origin: `base/${dep}`, version }])),
    }),
  };
  const absolute = (path: string): string => path.replace(/^\.?\/?/, '/').replace(/\/$/, '');
  const listed = (directories: boolean): Readonly<Record<string, unknown>> =>
    Object.fromEntries(
      entries
        .filter(({ type }) => (type === 'directory') === directories)
        .map((entry) => [absolute(entry.name).replaceAll('%', '%25'), { sum: '-' }]),
    );
  const full = { ...about, files: listed(false), directories: listed(true), scripts };
  const files = entries.map((entry) => ({
    ...entry,
    ...named(`${absolute(entry.name)}${entry.type === 'directory' ? '/' : ''}`),
    // Numbers mean nothing: on FreeBSD they are those of nobody.
    ...{ uid: 65534, gid: 65534 },
    uname: (entry.uid ?? 0) === 0 ? 'root' : 'stranger',
    gname: GROUPS[entry.gid ?? 0] ?? 'strangers',
    ...(entry.type === 'link' && { linkname: absolute(entry.linkname ?? '') }),
  }));
  const file = zstd(
    await packTar(
      change([
        { name: '+COMPACT_MANIFEST', body: JSON.stringify(about) },
        { name: '+MANIFEST', body: JSON.stringify(full) },
        ...files,
      ]),
    ),
  );
  const path = `All/${name}-${version}.pkg`;
  return {
    file,
    manifest: { ...about, sum: sha256(file), pkgsize: file.length, path, repopath: path, ...more },
  };
}

/** Writes a base repository to a folder. */
export async function writeBaseRepository(
  folder: string,
  packages: readonly TestBasePackage[],
  key: RepositoryKey,
  time?: number,
): Promise<void> {
  const manifests: unknown[] = [];
  for (const each of packages) {
    const { file, manifest } = await makeBasePackage(each);
    manifests.push(manifest);
    const path = join(folder, String(manifest['path']));
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, file);
  }
  writeFileSync(join(folder, 'meta.conf'), META);
  const made = await makeCatalogue(manifests, { key, ...(time !== undefined && { time }) });
  writeFileSync(join(folder, 'data.pkg'), made);
}
