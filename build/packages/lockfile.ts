import { z } from 'zod';
import { sha256 } from '../host/hash.js';
import { parseJson } from '../json.js';
import { BASE, baseFlaw, baseId } from './base-section.js';
import { LICENSE, NAME } from './catalogue.js';
import type { Package } from './catalogue.js';
import { CATALOGUE, HEX, PACKAGE, packagesFlaw } from './locked.js';
import type { LockedPackage } from './locked.js';
import { NPM_NODE, treeFlaw } from './npm-tree.js';

/** The lock of a folder, beside build.cfg. */
export const LOCK_FILE = 'clawdie.lock.json';

/**
 * Whether an image that asks for packages is refused where there is no lock. Without one, instances fetch what their repository
 * has: that is told, and no more.
 */
export const LOCK_REQUIRED: boolean = false;

const FORMAT = 'clawdie lock 1';

/** Name of an npm package, with its scope where it has one (npm's validate-npm-package-name). */
export const NPM_NAME = /^(?:@[a-z0-9~-][a-z0-9._~-]{0,99}\/)?[a-z0-9~-][a-z0-9._~-]{0,199}$/;

const NPM = z.strictObject({
  asked: z.array(z.string()),
  /** What its archive unpacks to, in bytes; none in locks of earlier versions. */
  flatsize: z.number().int().min(0).optional(),
  /** sha512-…, as npm has it. */
  integrity: z.string().regex(/^sha512-[A-Za-z0-9+/]{86}==$/),
  /** As its package.json has it, by rule an expression of SPDX. */
  license: z.string().regex(LICENSE).optional(),
  name: z.string().regex(NPM_NAME),
  /** Folders below which it goes, as in `node_modules/a/node_modules/b`, for each package that was asked for. */
  places: z.array(
    z
      .string()
      .regex(/^node_modules\/[A-Za-z0-9@._~/-]{1,500}$/)
      .refine((path) => !path.includes('..')),
  ),
  url: z.url({ protocol: /^https?$/ }),
  version: z.string().regex(/^[0-9]+\.[0-9]+\.[0-9]+[0-9A-Za-z.+-]*$/),
});

const LOCK = z.strictObject({
  /** What each configuration asks for, by the name of its file. */
  asked: z.record(
    z.string(),
    z.strictObject({ npm: z.array(z.string()), packages: z.array(z.string().regex(NAME)) }),
  ),
  /** The base system, where it is made of packages. */
  base: BASE.optional(),
  /** None where nothing is installed. */
  catalogue: CATALOGUE.optional(),
  /** SHA-256 over all the rest, as this program writes it. */
  checksum: HEX,
  format: z.literal(FORMAT),
  npm: z.array(NPM),
  /** What npm has to know of them to install them without a network, by place. */
  npmTree: z.record(z.string(), NPM_NODE).optional(),
  packages: z.array(PACKAGE),
  release: z.strictObject({
    abi: z.string(),
    arch: z.string(),
    /** What stands for the bytes of the release. */
    id: z.string(),
    profiles: z.array(z.string()),
    version: z.string(),
  }),
});

export type Lock = z.infer<typeof LOCK>;
export type { LockedPackage };
export type LockedNpm = Lock['npm'][number];
/** What one configuration asks for. */
export type Asked = Lock['asked'][string];

/** A lock as text: keys sorted, made for review. */
export function writeLock(lock: Omit<Lock, 'checksum' | 'format'>): string {
  return render({ ...lock, format: FORMAT, checksum: checksumOf({ ...lock, format: FORMAT }) });
}

function checksumOf(lock: Omit<Lock, 'checksum'>): string {
  return sha256(render(lock));
}

function render(value: unknown): string {
  return `${JSON.stringify(sorted(value), null, 2)}\n`;
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, each]) => each !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, each]) => [key, sorted(each)]),
  );
}

/**
 * Reads a lock. What it says was verified when it was written; here, that it is as it was written, and hangs together.
 *
 * @returns the lock, or the end of a sentence about what is wrong
 */
export function parseLock(text: string): { readonly lock: Lock } | { readonly flaw: string } {
  const json = parseJson(text);
  if (json === undefined) return { flaw: 'it is not JSON' };
  const format = z.looseObject({ format: z.unknown() }).safeParse(json).data?.format;
  if (format !== FORMAT)
    return {
      flaw: `it is of the format ${JSON.stringify(format ?? 'nothing')}, not ${JSON.stringify(FORMAT)}`,
    };
  const parsed = LOCK.safeParse(json);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    return { flaw: `${issue?.path.join('.') || 'it'}: ${issue?.message ?? 'is wrong'}` };
  }
  const { checksum, ...rest } = parsed.data;
  if (checksumOf(rest) !== checksum)
    return { flaw: 'it was changed since it was written: its checksum is another one' };
  const flaw = incoherence(parsed.data);
  return flaw === undefined ? { lock: parsed.data } : { flaw };
}

/** What in a lock contradicts the rest of it: a checksum is made easily. */
function incoherence({ packages, npm, npmTree, asked, base, catalogue, release }: Lock): string | undefined {
  const own = packagesFlaw(packages) ?? (base && baseFlaw(base));
  if (own !== undefined) return own;
  if (base && release.id !== baseId(base)) return 'it is of another base system than it has';
  if (packages.length + npm.length > 0 && !catalogue) return 'it has packages, and no catalogue of them';
  const before = new Set(packages.map(({ name }) => name));
  for (const [file, { packages: names, npm: modules }] of Object.entries(asked)) {
    const missing = names.find((name) => !before.has(name));
    if (missing !== undefined) return `${file} asks for ${missing}, which is not in it`;
    const lacking = modules.find(
      (module) => !npm.some(({ name, version }) => `${name}@${version}` === module),
    );
    if (lacking !== undefined) return `${file} asks for ${lacking} of npm, which is not in it`;
  }
  return npmTree && treeFlaw(npmTree, npm);
}

/** What a lock is to be for. */
export interface LockSubject {
  /** The name of the configuration's file. */
  readonly file: string;
  readonly asked: Asked;
  readonly version: string;
  readonly arch: string;
  readonly profile: string;
  readonly releaseId: string;
  /** URL of the repository. */
  readonly url: string;
}

/** In what a lock does not fit a configuration: sentences; none where it fits. */
export function misfits(lock: Lock, subject: LockSubject): readonly string[] {
  const found: string[] = [];
  const { release, catalogue } = lock;
  const own = lock.asked[subject.file];
  const system = `${subject.version} ${subject.arch}`;
  if (`${release.version} ${release.arch}` !== system)
    found.push(`It is of FreeBSD ${release.version} ${release.arch}, and the image of ${system}.`);
  else if (release.id !== subject.releaseId)
    found.push('The release is another than the one that it was made with.');
  if (!release.profiles.includes(subject.profile))
    found.push(`It is for PROFILE ${release.profiles.join(', ')}, and the image is ${subject.profile}.`);
  if (catalogue && catalogue.url !== subject.url)
    found.push(`Its packages are those of ${catalogue.url}, and PACKAGES_REPOSITORY is ${subject.url}.`);
  if (!own)
    return [
      ...found,
      `It was made for ${Object.keys(lock.asked).join(', ') || 'nothing'}, not for ${subject.file}.`,
    ];
  for (const kind of ['packages', 'npm'] as const) {
    const [then, now] = [new Set(own[kind]), new Set(subject.asked[kind])];
    const of = kind === 'npm' ? ' of npm' : '';
    const added = [...now].filter((name) => !then.has(name)).sort();
    const gone = [...then].filter((name) => !now.has(name)).sort();
    if (added.length > 0) found.push(`Not in it, and asked for now: ${added.join(', ')}${of}.`);
    if (gone.length > 0) found.push(`In it, and no longer asked for: ${gone.join(', ')}${of}.`);
  }
  return found;
}

/** What a lock says of a package, as a catalogue would. */
export function unlocked(locked: LockedPackage, deps: readonly string[]): Package {
  const { name, version, origin, abi, path, size, flatsize, sum } = locked;
  const both = (each: LockedPackage['libraries']): Package['libraries'] => ({
    needs: each?.needs ?? [],
    has: each?.has ?? [],
  });
  return {
    ...{ name, version, origin, abi, path, size, flatsize, sum, deps },
    libraries: both(locked.libraries),
    features: both(locked.features),
    conflicts: locked.conflicts ?? [],
    ...(locked.license !== undefined && { license: locked.license }),
  };
}

/** A package as a lock has it. */
export function lockPackage(
  found: Package,
  needs: readonly string[],
  asked: readonly string[],
  sum256: string,
): LockedPackage {
  const { name, version, origin, abi, path, size, flatsize, sum, conflicts, license } = found;
  const both = ({ needs: wants, has }: Package['libraries']): LockedPackage['libraries'] =>
    wants.length + has.length === 0
      ? undefined
      : { ...(wants.length > 0 && { needs: [...wants] }), ...(has.length > 0 && { has: [...has] }) };
  const [libraries, features] = [both(found.libraries), both(found.features)];
  return {
    ...{ name, version, origin, abi, path, size, flatsize, sum },
    ...{ sha256: sum256, needs: [...needs], asked: [...asked] },
    ...(libraries && { libraries }),
    ...(features && { features }),
    ...(conflicts.length > 0 && { conflicts: [...conflicts] }),
    ...(license !== undefined && { license }),
  };
}

/** The SHA-512 of an npm archive in hexadecimal, of its `integrity` (`sha512-` and base64: Subresource Integrity, W3C). */
export function sha512Of(integrity: string): string {
  return Buffer.from(integrity.slice('sha512-'.length), 'base64').toString('hex');
}
