import { z } from 'zod';
import { UserError } from '../error.js';
import { parseJson } from '../json.js';
import { AGAIN } from './archive.js';
import { parseSum } from './sums.js';

/** A package as a catalogue describes it, as far as a lock needs it (libpkg/pkg_manifest.c, docs/pkg-repository.5). */
export interface Package {
  readonly name: string;
  readonly version: string;
  readonly origin: string;
  readonly abi: string;
  /** Below the repository's URL, as the catalogue has it: it may have a part of the sum in it. */
  readonly path: string;
  /** Of the file, in bytes. */
  readonly size: number;
  /** Of what it installs, in bytes. */
  readonly flatsize: number;
  /** As the catalogue has it (parseSum()). */
  readonly sum: string;
  /** Names of the packages that it needs. */
  readonly deps: readonly string[];
  readonly libraries: Ends;
  readonly features: Ends;
  readonly conflicts: readonly string[];
  /** As {@link licenseText} has it; none where the catalogue names none. */
  readonly license?: string;
}

/** What a package needs of others, by name, and what it has for others. */
export interface Ends {
  readonly needs: readonly string[];
  readonly has: readonly string[];
}

/** What a licence may be called, or several: one line of text. */
export const LICENSE = /^[^\p{C}\p{Zl}\p{Zp}]{1,1000}$/u;
export const NAME = /^[A-Za-z0-9][A-Za-z0-9._+-]{0,127}$/;
export const VERSION = /^[A-Za-z0-9][A-Za-z0-9._+,~]{0,127}$/;
const ORIGIN =
  /^[A-Za-z0-9][A-Za-z0-9._+-]{0,99}\/[A-Za-z0-9][A-Za-z0-9._+-]{0,99}(?:@[A-Za-z0-9._+-]{1,99})?$/;
const SEGMENT = /^(?!\.)[A-Za-z0-9._+,~$@-]{1,255}$/;

/** Whether a path may be put behind the URL of a repository, and below a folder: plain names alone, none that climbs. */
export function isPath(path: string): boolean {
  return path.length <= 512 && path.split('/').every((segment) => SEGMENT.test(segment));
}

/** Largest package, and what it may install, in bytes. */
const MOST_PACKED = 8 * 1024 ** 3;
const MOST_FLAT = 256 * 1024 ** 3;

const words = z.array(z.string().min(1).max(1024)).max(100_000).default([]);

/** UCL makes an array of what stands twice. */
const dependencies = z
  .union([z.record(z.string(), z.unknown()), z.array(z.record(z.string(), z.unknown()))])
  .default({})
  .transform((value) =>
    Array.isArray(value) ? value.flatMap((each) => Object.keys(each)) : Object.keys(value),
  )
  .pipe(z.array(z.string().regex(NAME, 'is no name of a package')));

const RAW = z.looseObject({
  name: z.string().regex(NAME, 'is no name of a package'),
  version: z.coerce.string().regex(VERSION, 'is no version'),
  origin: z.string().regex(ORIGIN, 'is no origin'),
  abi: z.string().max(64).optional(),
  arch: z.string().max(64).optional(),
  path: z.string().refine(isPath, 'is no path below the repository').optional(),
  repopath: z.string().refine(isPath, 'is no path below the repository').optional(),
  pkgsize: z.number().int().min(1).max(MOST_PACKED),
  flatsize: z.number().int().min(0).max(MOST_FLAT),
  sum: z.string().refine((sum) => parseSum(sum) !== undefined, 'is no sum of a kind that is known here'),
  deps: dependencies,
  dep_formula: z.string().optional(),
  shlibs_required: words,
  shlibs_provided: words,
  requires: words,
  provides: words,
  conflicts: words,
  licenses: z.array(z.string().regex(LICENSE, 'is no name of a licence')).max(50).default([]),
  licenselogic: z.string().max(16).default('single'),
  annotations: z.record(z.string(), z.unknown()).optional().catch(undefined),
});

const fail = (where: string, what: string): UserError =>
  new UserError(`${where} ${what}. It is damaged or hostile, and is not used.`, AGAIN);

/** Names that a repository may give its files; meta.conf is not signed, so nothing else is taken from it. */
export interface Meta {
  /** Files and members of the catalogue, the newer form first. */
  readonly catalogues: readonly { readonly file: string; readonly member: string; readonly lines: boolean }[];
}

/**
 * Reads meta.conf: compact JSON, or `key = value;` as older repositories have it. What names it gives are checked.
 *
 * @throws UserError if it is of another version, or names what is no plain name.
 */
export function parseMeta(text: string, where: string): Meta {
  const values = new Map<string, string>();
  const json = parseJson(text);
  if (typeof json === 'object' && json !== null) {
    for (const [key, value] of Object.entries(json))
      if (typeof value === 'string' || typeof value === 'number') values.set(key, String(value));
  } else
    for (const line of text.split(/[\n;]/)) {
      const [, key, value] = /^\s*([a-z_]+)\s*[=:]?\s*"?([^"]*?)"?\s*,?\s*$/.exec(line) ?? [];
      if (key !== undefined && value !== undefined) values.set(key, value);
    }
  const version = values.get('version');
  if (version !== '2')
    throw new UserError(
      `${where} is of version ${JSON.stringify(version ?? 'none')}, and version 2 alone is known here.`,
      'The repository is the folder that has meta.conf and data.pkg: check its address.',
    );
  const name = (key: string, fallback: string): string => {
    const given = values.get(key) ?? fallback;
    if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(given))
      throw fail(where, `names ${JSON.stringify(given)} as ${key}`);
    return given;
  };
  // An archive is named without what its name ends in: `.pkg`, whatever it is packed with.
  const file = (key: string, fallback: string): string =>
    `${name(key, fallback).replace(/\.(?:pkg|tzst|txz)$/, '')}.pkg`;
  return {
    catalogues: [
      { file: file('data_archive', 'data'), member: name('data', 'data'), lines: false },
      {
        file: file('manifests_archive', 'packagesite'),
        member: name('manifests', 'packagesite.yaml'),
        lines: true,
      },
    ],
  };
}

/** The packages of a catalogue that was verified, by name; each is looked at closely when it is asked for. */
export class Catalogue {
  private readonly raw = new Map<string, unknown>();
  private readonly twice = new Set<string>();
  private readonly known = new Map<string, Package>();
  private providers:
    Readonly<Record<'libraries' | 'features', ReadonlyMap<string, readonly string[]>>> | undefined;

  /**
   * @param lines whether it is packagesite.yaml, an object a line, or data, one object
   * @param where what messages call it
   * @param release whose packages are wanted: their ABI, and `__FreeBSD_version` where it is known
   * @throws UserError if it is neither.
   */
  constructor(
    body: Buffer,
    lines: boolean,
    private readonly where: string,
    private readonly release: { readonly abi: string; readonly osversion?: number | undefined },
  ) {
    for (const entry of lines ? this.fromLines(body) : this.fromData(body)) {
      const name = (entry as { readonly name?: unknown } | null)?.name;
      if (typeof name !== 'string') throw fail(where, 'has a package without a name');
      if (this.raw.has(name)) this.twice.add(name);
      this.raw.set(name, entry);
    }
  }

  get size(): number {
    return this.raw.size;
  }

  /**
   * A package; undefined if there is none of that name.
   *
   * @throws UserError if what the catalogue says of it cannot be, or is not for this release.
   */
  get(name: string): Package | undefined {
    const known = this.known.get(name);
    if (known || !this.raw.has(name)) return known;
    if (this.twice.has(name)) throw fail(this.where, `has ${name} twice`);
    const parsed = RAW.safeParse(this.raw.get(name));
    if (!parsed.success) {
      const [issue] = parsed.error.issues;
      const field = issue?.path.join('.') ?? '';
      const value = issue?.path.reduce<unknown>(
        (from, key) => (from as Record<PropertyKey, unknown> | undefined)?.[key],
        this.raw.get(name),
      );
      throw fail(
        this.where,
        `says of ${JSON.stringify(name)}: ${field} ${(value === undefined ? 'nothing' : JSON.stringify(value)).slice(0, 200)} ${issue?.message ?? ''}`.trimEnd(),
      );
    }
    const { data } = parsed;
    const path = data.path ?? data.repopath;
    const abi = data.abi ?? data.arch;
    if (path === undefined) throw fail(this.where, `says of ${name} no path`);
    this.checkRelease(name, abi, data.annotations?.['FreeBSD_version']);
    if (data.dep_formula !== undefined && data.dep_formula !== '')
      throw new UserError(
        `${name} says what it needs as a formula (dep_formula: ${data.dep_formula.slice(0, 200)}), which is not resolved here.`,
        'Leave it out of PACKAGES, or take another package.',
      );
    const made: Package = {
      ...{ name, version: data.version, origin: data.origin, abi: abi ?? '', path },
      ...{ size: data.pkgsize, flatsize: data.flatsize, sum: data.sum },
      deps: [...new Set(data.deps)].sort(),
      libraries: ends(data.shlibs_required, data.shlibs_provided),
      features: ends(data.requires, data.provides),
      conflicts: [...new Set(data.conflicts)].sort(),
      ...(data.licenses.length > 0 && { license: licenseText(data.licenses, data.licenselogic) }),
    };
    this.known.set(name, made);
    return made;
  }

  /** Names of the packages that have a library, or a feature, for others. */
  providersOf(kind: 'libraries' | 'features', what: string): readonly string[] {
    this.providers ??= { libraries: this.index('shlibs_provided'), features: this.index('provides') };
    return this.providers[kind].get(what) ?? [];
  }

  private index(field: string): ReadonlyMap<string, readonly string[]> {
    const found = new Map<string, string[]>();
    for (const [name, entry] of this.raw) {
      const list = (entry as Readonly<Record<string, unknown>>)[field];
      for (const what of Array.isArray(list) ? (list as readonly unknown[]) : []) {
        if (typeof what !== 'string') continue;
        const names = found.get(what);
        if (names) names.push(name);
        else found.set(what, [name]);
      }
    }
    return found;
  }

  /** As is_valid_abi() and is_valid_os_version() of libpkg/utils.c have it. */
  private checkRelease(name: string, abi: string | undefined, built: unknown): void {
    if (abi === undefined || !matchesAbi(abi, this.release.abi))
      throw new UserError(
        `${name} is a package for ${JSON.stringify(abi ?? 'nothing')}, and the image is ${this.release.abi}.`,
        'Check FREEBSD_VERSION, and the address of the repository.',
      );
    if (built === undefined || this.release.osversion === undefined) return;
    if (typeof built !== 'string' || !/^[1-9][0-9]{0,8}$/.test(built))
      throw fail(this.where, `says that ${name} was built on FreeBSD ${JSON.stringify(built).slice(0, 100)}`);
    if (Number(built) > this.release.osversion)
      throw new UserError(
        `${name} was built on a newer FreeBSD (${built}) than the image is (${this.release.osversion}), and pkg would not install it.`,
        'Check FREEBSD_VERSION, or take a repository that was built for it.',
      );
  }

  private fromData(body: Buffer): readonly unknown[] {
    const json = parseJson(body.toString('utf8'));
    const packages = (json as { readonly packages?: unknown } | null | undefined)?.packages;
    if (!Array.isArray(packages)) throw fail(this.where, 'is not what a catalogue is: JSON with "packages"');
    return packages as readonly unknown[];
  }

  private *fromLines(body: Buffer): Generator {
    let number = 0;
    for (let at = 0; at < body.length;) {
      const end = body.indexOf(0x0a, at);
      const line = body.toString('utf8', at, end < 0 ? body.length : end);
      at = end < 0 ? body.length : end + 1;
      number++;
      if (line === '') continue;
      const entry = parseJson(line);
      if (typeof entry !== 'object' || entry === null)
        throw fail(this.where, `has a line that is no JSON object (line ${number})`);
      yield entry;
    }
  }
}

/** Licences as one text: any of them (`or`, `dual`) or all of them, as pkg_string() of libpkg/pkg_manifest.c reads licenselogic. */
function licenseText(names: readonly string[], logic: string): string {
  return names.join(logic === 'or' || logic === 'dual' ? ' or ' : ' and ').slice(0, 1000);
}

function ends(needs: readonly string[], has: readonly string[]): Ends {
  return { needs: [...new Set(needs)].sort(), has: [...new Set(has)].sort() };
}

/** Whether packages of an ABI, which may have `*` in it, or be the beginning of one, are for a system. */
function matchesAbi(abi: string, system: string): boolean {
  if (abi === '') return false;
  const pattern = abi
    .toLowerCase()
    .replace(/[^a-z0-9:*_-]/g, '\u0000')
    .replaceAll('*', '.*');
  return (
    system.toLowerCase().startsWith(abi.toLowerCase()) ||
    new RegExp(`^${pattern}$`).test(system.toLowerCase())
  );
}
