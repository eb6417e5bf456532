import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Package } from '../../../build/packages/catalogue.js';
import { resolvePackages } from '../../../build/packages/solver.js';
import type { Universe } from '../../../build/packages/solver.js';

type Short = Partial<Omit<Package, 'libraries' | 'features'>> & {
  readonly libs?: readonly [needs: readonly string[], has: readonly string[]];
  readonly feats?: readonly [needs: readonly string[], has: readonly string[]];
};

function universe(packages: Readonly<Record<string, Short>>): Universe {
  const all: ReadonlyMap<string, Package> = new Map(
    Object.entries(packages).map(([name, { libs = [[], []], feats = [[], []], ...rest }]) => [
      name,
      {
        ...{ name, version: '1.0', origin: `test/${name}`, abi: 'FreeBSD:15:amd64', path: `All/${name}.pkg` },
        ...{ size: 1, flatsize: 1, sum: 'a'.repeat(64), deps: [], conflicts: [] },
        libraries: { needs: libs[0], has: libs[1] },
        features: { needs: feats[0], has: feats[1] },
        ...rest,
      },
    ]),
  );
  return {
    get: (name) => all.get(name),
    providersOf: (kind, what) =>
      [...all.values()].filter((each) => each[kind].has.includes(what)).map(({ name }) => name),
  };
}

const BASE = new Set(['libc.so.7']);
const names = (wanted: readonly string[], packages: Readonly<Record<string, Short>>): readonly string[] =>
  resolvePackages(
    wanted.map((name) => ({ name, by: ['PACKAGES'] })),
    universe(packages),
    BASE,
  ).packages.map(({ name }) => name);

describe('what packages need', () => {
  it('stands before them, by name where it does not matter', () => {
    const graph = {
      app: { deps: ['z', 'a'] },
      z: { deps: ['lib'] },
      a: { deps: ['lib'] },
      lib: {},
      other: {},
    };
    expect(names(['app'], graph)).toEqual(['lib', 'a', 'z', 'app']);
    expect(names(['z', 'app'], graph)).toEqual(['lib', 'a', 'z', 'app']);
  });

  it('is cut where it goes in a circle', () => {
    expect(names(['a'], { a: { deps: ['b'] }, b: { deps: ['a'] } })).toEqual(['b', 'a']);
    expect(names(['a'], { a: { deps: ['a'] } })).toEqual(['a']);
  });

  it('is told by the chain that leads to what is missing', () => {
    expect(() => names(['app'], { app: { deps: ['middle'] }, middle: { deps: ['gone'] } })).toThrow(
      '(PACKAGES) app → middle → gone: the repository has no package gone',
    );
    expect(() => names(['gone', 'missing'], {})).toThrow(/has no package gone\n.*has no package missing/);
  });

  it('may be a shared library: of the base system, of a chosen package, of the one package that has it', () => {
    const graph: Readonly<Record<string, Short>> = {
      app: { libs: [['libc.so.7', 'libx.so.1', 'old.so.1:32'], []] },
      x: { libs: [['liby.so.2'], ['libx.so.1']] },
      y: { libs: [[], ['liby.so.2']], feats: [['feature'], []] },
      feature: { feats: [[], ['feature']] },
    };
    expect(names(['app'], graph)).toEqual(['feature', 'y', 'x', 'app']);
    expect(resolvePackages([{ name: 'app', by: [] }], universe(graph), BASE).needs.get('app')).toEqual(['x']);
  });

  it('is refused where a library is nowhere, or in several packages', () => {
    expect(() => names(['app'], { app: { deps: ['mid'] }, mid: { libs: [['libno.so.1'], []] } })).toThrow(
      '(PACKAGES) app → mid needs the shared library libno.so.1, which neither the base system nor a package of the repository has',
    );
    const two = {
      app: { libs: [['libgl.so.1'], []] },
      mesa: { libs: [[], ['libgl.so.1']] },
      nvidia: { libs: [[], ['libgl.so.1']] },
    } as const;
    expect(() => names(['app'], two)).toThrow(
      '(PACKAGES) app needs the shared library libgl.so.1, which mesa, nvidia have: name one of them in PACKAGES',
    );
    expect(names(['app', 'mesa'], two)).toEqual(['mesa', 'app']);
  });

  it('is refused where packages are in conflict', () => {
    const graph = {
      app: { deps: ['db84'] },
      db80: { conflicts: ['db8[1-9]'] },
      db84: {},
      own: { conflicts: ['own'] },
    };
    expect(() => names(['app', 'db80'], graph)).toThrow(
      '(PACKAGES) db80 and (PACKAGES) app → db84 are in conflict: db80 cannot be installed with db8[1-9]',
    );
    expect(names(['app', 'own'], graph)).toEqual(['db84', 'app', 'own']);
    expect(() => names(['a', 'b'], { a: { conflicts: ['b-1.*'] }, b: {} })).toThrow('are in conflict');
  });

  it('is the same whatever the order, closed, and in order, for any graph', () => {
    const name = fc.integer({ min: 0, max: 15 }).map((number) => `p${number}`);
    fc.assert(
      fc.property(
        fc.dictionary(name, fc.array(name, { maxLength: 4 }), { minKeys: 1, maxKeys: 16 }),
        fc.shuffledSubarray(['p1', 'p2', 'p3', 'p4'], { minLength: 1 }),
        (deps, wanted) => {
          const graph = Object.fromEntries(Object.entries(deps).map(([key, list]) => [key, { deps: list }]));
          const reach = new Set<string>();
          const walk = (each: string): void => {
            if (reach.has(each)) return;
            reach.add(each);
            for (const dep of deps[each] ?? []) walk(dep);
          };
          wanted.forEach(walk);
          const closed = [...reach].every((each) => Object.hasOwn(deps, each));
          if (!closed) {
            expect(() => names(wanted, graph)).toThrow('the repository has no package');
            return;
          }
          const found = names(wanted, graph);
          expect([...found].sort()).toEqual([...reach].sort());
          expect(names([...wanted].reverse(), graph)).toEqual(found);
          // A package may stand before what it needs only where that needs it, too.
          const needs = (from: string, to: string, seen = new Set<string>()): boolean =>
            (deps[from] ?? []).some((dep) => dep === to || (!seen.has(dep) && needs(dep, to, seen.add(dep))));
          found.forEach((each, index) => {
            for (const dep of deps[each] ?? [])
              if (found.indexOf(dep) > index) expect(needs(dep, each)).toBe(true);
          });
        },
      ),
      { numRuns: 500, seed: 20260101 },
    );
  });
});
