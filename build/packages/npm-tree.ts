import { z } from 'zod';
import type { Lock, LockedNpm } from './lockfile.js';

const RANGES = z.record(z.string().max(300), z.string().max(500)).optional();

/** What npm wants to know of a package before it installs it without a network (package-lock.json, lockfileVersion 3). */
export const EDGES = {
  bin: z.record(z.string().max(300), z.string().max(500)).optional(),
  bundleDependencies: z.array(z.string().max(300)).optional(),
  dependencies: RANGES,
  optionalDependencies: RANGES,
  peerDependencies: RANGES,
};

/** A package of a tree, by its place (`node_modules/a/node_modules/b`). */
export const NPM_NODE = z.strictObject({
  ...EDGES,
  /** The version of one that lies in the archive of another. */
  bundled: z.string().max(256).optional(),
  optional: z.boolean().optional(),
});

export type NpmTree = Readonly<Record<string, z.infer<typeof NPM_NODE>>>;

type Entry = { readonly [K in keyof typeof EDGES]?: z.infer<(typeof EDGES)[K]> } & {
  readonly version?: string | undefined;
  readonly inBundle?: boolean | undefined;
  readonly optional?: boolean | undefined;
};

/** The name of the package at a place. */
export const nameAt = (place: string): string =>
  place.slice(place.lastIndexOf('node_modules/') + 'node_modules/'.length);

/**
 * What a lock keeps of npm's own. Optional packages that are not there (those for other systems) are not asked for either: npm would
 * look for them. Pure.
 */
export function pickEdges(entries: Readonly<Record<string, Entry>>): NpmTree {
  const there = new Set(Object.keys(entries).map(nameAt));
  const only = (ranges: Entry['dependencies']): Entry['dependencies'] =>
    ranges && Object.fromEntries(Object.entries(ranges).filter(([name]) => there.has(name)));
  const node = (entry: Entry): NpmTree[string] => {
    const { bin, bundleDependencies, dependencies, optional } = entry;
    const [optionalDependencies, peerDependencies] = [
      only(entry.optionalDependencies),
      only(entry.peerDependencies),
    ];
    return {
      ...(bin && { bin }),
      ...(bundleDependencies && { bundleDependencies }),
      ...(entry.inBundle === true && { bundled: entry.version ?? '0.0.0' }),
      ...(dependencies && { dependencies }),
      ...(optional !== undefined && { optional }),
      ...(optionalDependencies && { optionalDependencies }),
      ...(peerDependencies && { peerDependencies }),
    };
  };
  return Object.fromEntries(Object.entries(entries).map(([place, entry]) => [place, node(entry)]));
}

/** In what a tree and the packages of a lock contradict each other; undefined if they do not. Pure. */
export function treeFlaw(tree: NpmTree, npm: readonly LockedNpm[]): string | undefined {
  const places = new Set(npm.flatMap((each) => each.places));
  const stranger = Object.keys(tree).find(
    (place) => !places.has(place) && tree[place]?.bundled === undefined,
  );
  if (stranger !== undefined) return `it has ${stranger} of npm, and no archive of it`;
  const lacking = [...places].find((place) => !Object.hasOwn(tree, place));
  return lacking === undefined
    ? undefined
    : `it has an archive for ${lacking} of npm, which nothing asks for`;
}

/** Where an archive of npm lies below the folder of npm's files, beside package.json. */
export function npmArchive({ name, version }: Pick<LockedNpm, 'name' | 'version'>): string {
  return `${name.replace(/^@/, '').replace('/', '+')}-${version}.tgz`;
}

/**
 * `package.json` and `package-lock.json` by which npm(1) installs the packages of a lock from archives that lie beside them: `npm ci
 * --offline`. Pure.
 *
 * @returns undefined for a lock that has no packages of npm, or was made before locks had their dependencies
 */
export function npmProject({ npm, npmTree: tree, asked }: Lock): ReadonlyMap<string, string> | undefined {
  if (!tree || npm.length === 0) return undefined;
  const wanted = [...new Set(Object.values(asked).flatMap((each) => each.npm))].sort();
  const dependencies = Object.fromEntries(
    wanted.map((each) => {
      const at = each.lastIndexOf('@');
      return [each.slice(0, at), each.slice(at + 1)];
    }),
  );
  const archives = new Map(npm.flatMap((each) => each.places.map((place) => [place, each] as const)));
  const packages = Object.keys(tree)
    .sort()
    .map((place) => {
      const { bundled, ...edges } = tree[place] ?? {};
      const of = archives.get(place);
      const from = of && {
        ...{ version: of.version, resolved: `file:${npmArchive(of)}`, integrity: of.integrity },
      };
      return [place, { ...(from ?? { version: bundled, inBundle: true }), ...edges }] as const;
    });
  const root = { name: 'clawdie', version: '1.0.0', private: true, dependencies };
  const lock = {
    ...{ name: root.name, version: root.version, lockfileVersion: 3, requires: true },
    packages: Object.fromEntries<unknown>([
      ['', { name: root.name, version: root.version, dependencies }],
      ...packages,
    ]),
  };
  const text = (value: unknown): string => `${JSON.stringify(value, null, 1)}\n`;
  return new Map([
    ['package.json', text(root)],
    ['package-lock.json', text(lock)],
  ]);
}
