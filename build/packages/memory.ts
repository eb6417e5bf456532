import type { Config } from '../config/keys.js';
import { InputError } from '../error.js';
import { makeView } from '../overlay/view.js';
import { closure, flatsize } from './medium.js';
import type { Medium } from './medium.js';
import { templateNeeds } from './wanted.js';
import type { ReadTemplate } from './wanted.js';

const MIB = 1024 ** 2;

/** What files take beside their bytes, in the file system of a root: fragments, folders, pkg(8)'s own database. */
const BESIDE = { share: 0.15, bytes: 16 * MIB };
/** Roots of many locks are the same where they need much the same room. */
const STEP = 64 * MIB;
/** Kernel, services and somebody who is logged in. */
const SYSTEM = 192 * MIB;

/**
 * Room that a root in memory has for packages beside what every root has, in bytes. Pure.
 *
 * @param bytes what the packages install
 */
export function roomFor(bytes: number): number {
  return Math.ceil((bytes * (1 + BESIDE.share) + BESIDE.bytes) / STEP) * STEP;
}

/** Whether instances run from memory, with their packages there: not those that put themselves onto a disk at once. */
export function runsFromMemory({ FORMATS, INSTALL }: Pick<Config, 'FORMATS' | 'INSTALL'>): boolean {
  return FORMATS.includes('iso') && INSTALL !== 'auto';
}

/**
 * Refuses a live image that needs more memory than MEMORY. Pure.
 *
 * @param rootBytes of the root file system with the room in it; undefined as long as it is not known
 * @returns a sentence about what could not be counted; undefined where all was
 * @throws InputError with what takes how much, the largest first.
 */
export function checkMemory(
  config: Config,
  medium: Medium,
  read: ReadTemplate,
  rootBytes: number | undefined,
): string | undefined {
  if (!runsFromMemory(config)) return undefined;
  const named = (names: readonly string[]): Medium['packages'] => {
    const all = closure(medium, names);
    return medium.packages.filter(({ name }) => all.has(name));
  };
  const view = makeView(config);
  const host = named([...view.packages.split(' '), 'pkg']);
  const jails = view.jails.flatMap((line) => {
    const [name = '', , , , template = ''] = line.split(' ');
    const needs = templateNeeds(template, read) ?? { packages: [], npm: [] };
    if (needs.packages.length + needs.npm.length === 0) return [];
    // What a template asks for of npm is installed with all that is locked of it: clawdie-pi.sh.
    return [{ name, packages: named([...needs.packages, 'pkg']), npm: needs.npm.length > 0 }];
  });
  const uncounted = medium.npmBytes === undefined ? jails.filter(({ npm }) => npm) : [];
  const npmBytes = medium.npmBytes ?? 0;
  const root = rootBytes ?? roomFor(medium.hostBytes);
  const inJails = jails.reduce(
    (sum, { packages, npm }) => sum + flatsize(packages) + (npm ? npmBytes : 0),
    0,
  );
  const total = SYSTEM + root + inJails;
  if (total <= config.MEMORY)
    return uncounted.length === 0
      ? undefined
      : `The lock was made by an earlier version and does not say how much packages of npm take in ${uncounted.map(({ name }) => name).join(', ')}: MEMORY is counted without them. Run \`make lock\` (clawdie-iso lock): it adds that.`;
  const line = (bytes: number | undefined, what: string): string =>
    bytes === undefined
      ? `       ? MiB  ${what}, not counted: the lock does not say it until \`clawdie-iso lock\` adds it`
      : `  ${String(Math.ceil(bytes / MIB)).padStart(6)} MiB  ${what}`;
  const largest = (packages: Medium['packages'], most: number): readonly string[] =>
    [...packages]
      .sort((a, b) => b.flatsize - a.flatsize)
      .slice(0, most)
      .map(({ name, version, flatsize: bytes }) => line(bytes, `  ${name} ${version}`));
  throw new InputError(
    [
      `A live instance of this image needs ${Math.ceil(total / MIB)} MiB of memory, and MEMORY is ${Math.floor(config.MEMORY / MIB)}:`,
      line(SYSTEM, 'the kernel, services, a login'),
      line(
        root,
        rootBytes === undefined
          ? 'room for packages in the root, among them'
          : 'the root, with room for its packages, among them',
      ),
      ...largest(host, 15),
      ...jails.flatMap(({ name, packages, npm }) => [
        line(flatsize(packages), `packages in the jail ${name}, among them`),
        ...largest(packages, 3),
        ...(npm ? [line(medium.npmBytes, `packages of npm in the jail ${name}`)] : []),
      ]),
    ].join('\n'),
    'Install it on a disk (INSTALL="auto"), build a disk image (FORMATS), leave packages out, or say that the machine has more: MEMORY.',
  );
}
