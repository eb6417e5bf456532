import { z } from 'zod';
import { UserError } from '../error.js';
import { parseJson } from '../json.js';
import type { Adapter } from '../rootfs/unpack.js';

/** Numbers of users and groups by their names, as the base system itself has them. */
export interface Accounts {
  readonly users: ReadonlyMap<string, number>;
  readonly groups: ReadonlyMap<string, number>;
}

/** Files of the base system that say which number a name has. */
export const ACCOUNT_FILES = { users: 'etc/master.passwd', groups: 'etc/group' } as const;

/**
 * What scripts of FreeBSD's base packages run (release/packages/ucl/{runtime,utilities,caroot}.ucl): programs that make files
 * of files that the packages have. The first start of an instance does (overlays/base/sbin/clawdie-derive).
 */
const DERIVING = ['pwd_mkdb', 'services_mkdb', 'cap_mkdb', 'certctl'];

/** Largest manifest of a package, in bytes: that of the largest of FreeBSD has some ten thousand files. */
export const MOST_MANIFEST = 64 * 1024 ** 2;

/** Text of a manifest, in which `%` and bytes that are not ASCII are written as `%25` (urlencode() of libpkg/pkg_manifest.c). */
function decoded(text: string): string {
  const bytes = text.replace(/%([0-9a-fA-F]{2})/g, (_, hex: string) =>
    String.fromCharCode(parseInt(hex, 16)),
  );
  return Buffer.from(bytes, 'latin1').toString('utf8');
}

/** Paths of a manifest: its keys, decoded. */
export const manifestPaths = z
  .record(z.string(), z.unknown())
  .default({})
  .transform((all): ReadonlySet<string> => new Set(Object.keys(all).map((path) => decoded(path))));
const scripts = z.record(z.string(), z.unknown()).default({});
const MANIFEST = z.looseObject({
  name: z.string(),
  version: z.coerce.string(),
  prefix: z.string().default('/'),
  files: manifestPaths,
  directories: manifestPaths,
  scripts,
  lua_scripts: scripts,
});
type Manifest = z.infer<typeof MANIFEST>;

/**
 * Reads the entries of a package of pkg(8) as those of a release set: a tar archive with `+COMPACT_MANIFEST` and `+MANIFEST`
 * first (libpkg/pkg_create.c), then files under absolute names, whose owners are names (libpkg/packing.c), and which have to be
 * in the manifest (libpkg/pkg_add.c).
 *
 * @param expected what the lock says that it is
 * @param accounts undefined where owners do not matter: all is root's then
 * @param where what messages call it
 */
export function packageAdapter(
  expected: { readonly name: string; readonly version: string },
  accounts: Accounts | undefined,
  where: string,
): Adapter {
  const refuse = (what: string): UserError =>
    new UserError(
      `${where} ${what}. The package is damaged or hostile and is not used.`,
      'Do not use this base repository until you know why.',
    );
  let manifest: Manifest | undefined;
  const missing = new Set<string>();
  const number = (kind: keyof Accounts, name: string, path: string): number => {
    const found = accounts === undefined ? 0 : accounts[kind].get(name);
    if (found === undefined)
      throw refuse(
        `holds ${JSON.stringify(path)}, whose ${kind === 'users' ? 'owner' : 'group'} is ${JSON.stringify(name)}, which /${ACCOUNT_FILES[kind]} does not have`,
      );
    return found;
  };
  return {
    async entry(entry, contents) {
      const { type, size, pax } = entry;
      // The name that a sparse file gets (sparseHeader() of build/rootfs/sparse.ts) is the one to check.
      const sparse = pax.get('GNU.sparse.name');
      const name = sparse ?? entry.name;
      const shown = JSON.stringify(name);
      if (!manifest) {
        if ((name !== '+COMPACT_MANIFEST' && name !== '+MANIFEST') || type !== 'file')
          throw refuse(`holds ${shown} before its manifest`);
        if (size > MOST_MANIFEST) throw refuse(`has a manifest of ${size} bytes`);
        if (name === '+COMPACT_MANIFEST') return undefined;
        manifest = readManifest(await contents(), expected, refuse);
        for (const path of manifest.files) missing.add(path);
        return undefined;
      }
      const path = name.replace(/(?<=.)\/$/, '');
      if (!path.startsWith('/')) throw refuse(`holds ${shown}, which is no absolute path`);
      const listed =
        type === 'directory'
          ? manifest.directories.has(path) || manifest.directories.has(`${path}/`)
          : manifest.files.has(path);
      if (!listed) throw refuse(`holds ${shown}, which its manifest does not have`);
      missing.delete(path);
      const own = { uid: number('users', entry.uname, path), gid: number('groups', entry.gname, path) };
      const target = type === 'link' ? entry.target.replace(/^\//, '') : entry.target;
      const checked = path.slice(1);
      return {
        ...{ ...entry, ...own, target, name: checked },
        pax: sparse === undefined ? pax : new Map([...pax, ['GNU.sparse.name', checked]]),
      };
    },
    end() {
      if (!manifest) throw refuse('has no manifest');
      const [first] = missing;
      if (first !== undefined) throw refuse(`lacks ${JSON.stringify(first)}, which its manifest has`);
    },
  };
}

function readManifest(
  bytes: Buffer,
  expected: { readonly name: string; readonly version: string },
  refuse: (what: string) => UserError,
): Manifest {
  const parsed = MANIFEST.safeParse(parseJson(bytes.toString('utf8')));
  if (!parsed.success)
    throw refuse(`has a manifest that is none (${parsed.error.issues[0]?.path.join('.') ?? ''})`);
  const { name, version, prefix, scripts: shell, lua_scripts: lua } = parsed.data;
  if (name !== expected.name || version !== expected.version)
    throw refuse(`says that it is ${name} ${version}, and not ${expected.name} ${expected.version}`);
  if (prefix !== '/') throw refuse(`is for ${JSON.stringify(prefix)}, and no package of a base system`);
  for (const [kind, script] of [...Object.entries(shell), ...Object.entries(lua)]) {
    // What is done when a package goes is done to no image.
    if (!/install$/.test(kind) || /deinstall$/.test(kind)) continue;
    const strange =
      typeof script === 'string' ? strangeCommand(decoded(script)) : 'something that is no text';
    if (strange !== undefined)
      throw new UserError(
        `${name} ${version} has a script ${kind} that runs ${JSON.stringify(strange.slice(0, 200))}. No script of a base package runs where images are made, and what this one does is not known here: the image would lack it.`,
        'Leave the package out of FREEBSD_BASE_PACKAGES, or use release sets.',
      );
  }
  return parsed.data;
}

/** A line of a script that is none of those that are known; undefined where there is none. */
function strangeCommand(script: string): string | undefined {
  return script
    .split('\n')
    .map((line) => line.trim())
    .find(
      (line) =>
        line !== '' &&
        !line.startsWith('#') &&
        // One command and its words: nothing that would run another one.
        (!DERIVING.includes(/^(?:[a-z/]*\/)?([a-z_]+)(?= |$)/.exec(line)?.[1] ?? '') ||
          /[;&|`<>]|\$\(/.test(line)),
    );
}

/**
 * Reads the numbers of users and groups from the files of a base system (passwd(5), group(5)).
 *
 * @throws UserError if a line is none of theirs.
 */
export function parseAccounts(files: Readonly<Record<keyof Accounts, string>>): Accounts {
  const read = (kind: keyof Accounts): ReadonlyMap<string, number> => {
    const found = new Map<string, number>();
    for (const [index, line] of files[kind].split('\n').entries()) {
      if (/^\s*(?:#.*)?$/.test(line)) continue;
      const [name = '', , id = ''] = line.split(':');
      if (!/^[A-Za-z0-9_][A-Za-z0-9._-]{0,31}$/.test(name) || !/^[0-9]{1,9}$/.test(id))
        throw new UserError(
          `/${ACCOUNT_FILES[kind]} of the base packages has a line that is none: line ${index + 1}.`,
          'Check FREEBSD_DIST.',
        );
      if (!found.has(name)) found.set(name, Number(id));
    }
    return found;
  };
  return { users: read('users'), groups: read('groups') };
}
