import { UserError } from '../error.js';
import type { Package } from './catalogue.js';
import { matchesGlob } from './glob.js';

/** A package that somebody asks for, and who does. */
export interface Wanted {
  readonly name: string;
  /** Keys of build.cfg, or templates. */
  readonly by: readonly string[];
}

/** What packages are taken from. */
export interface Universe {
  /** @throws UserError if what is known of it cannot be used. */
  get(name: string): Package | undefined;
  providersOf(kind: 'libraries' | 'features', what: string): readonly string[];
}

/** Packages with all that they need. */
export interface Resolution {
  /** In an order in which they can be installed: what one needs stands before it. */
  readonly packages: readonly Package[];
  /** What each needs of the others, by name: its dependencies, and whoever has its libraries. */
  readonly needs: ReadonlyMap<string, readonly string[]>;
}

/** How messages call what names the packages that are wanted, and the repository. */
export interface SolverKeys {
  readonly names: string;
  readonly repository: string;
  /** Hears of libraries that nobody has, where packages are taken without them, as pkg(8) does: otherwise they are refused. */
  readonly lacking?: (sentence: string) => void;
}

const KEYS: SolverKeys = { names: 'PACKAGES', repository: 'PACKAGES_REPOSITORY' };

/** Problems that a message tells at most. */
const MOST_TOLD = 20;

/**
 * Resolves packages as pkg(8) does where there is one way to: dependencies by their names; shared libraries and features that
 * neither the base system nor a chosen package has are brought by the one package that has them. Names are unique in a
 * repository, so there is nothing to choose but who provides.
 *
 * @param base shared libraries of the base system
 * @throws UserError with every problem, each with the chain that leads to it.
 */
export function resolvePackages(
  wanted: readonly Wanted[],
  universe: Universe,
  base: ReadonlySet<string>,
  keys: SolverKeys = KEYS,
): Resolution {
  const solver = new Solver(wanted, universe, base, keys);
  return solver.run();
}

class Solver {
  private readonly chosen = new Map<string, Package>();
  /** Who brought a package in: another one, or keys. */
  private readonly because = new Map<string, string>();
  private readonly needs = new Map<string, Set<string>>();
  private readonly problems: string[] = [];

  constructor(
    private readonly wanted: readonly Wanted[],
    private readonly universe: Universe,
    private readonly base: ReadonlySet<string>,
    private readonly keys: SolverKeys,
  ) {}

  run(): Resolution {
    for (const { name, by } of [...this.wanted].sort(byName)) this.take(name, undefined, by.join(', '));
    this.close('libraries');
    // What brings a feature may need libraries, and the other way round.
    for (let before = -1; before !== this.chosen.size;) {
      before = this.chosen.size;
      this.close('features');
      this.close('libraries');
    }
    this.checkConflicts();
    if (this.problems.length > 0) {
      const told = [...new Set(this.problems)];
      const more = told.length - MOST_TOLD;
      throw new UserError(
        `The packages cannot be locked:\n${told
          .slice(0, MOST_TOLD)
          .map((problem) => `  ${problem}`)
          .join('\n')}${more > 0 ? `\n  … and ${more} more` : ''}`,
        `Nothing was written. Change ${this.keys.names} (or the keys that are named), or try another ${this.keys.repository}.`,
      );
    }
    const needs = new Map([...this.needs].map(([name, all]) => [name, [...all].sort()] as const));
    return { packages: this.ordered(needs), needs };
  }

  /** Takes a package and all that it depends on. */
  private take(name: string, by: string | undefined, keys?: string): void {
    const waiting: (readonly [name: string, by: string | undefined])[] = [[name, by]];
    for (let next = waiting.pop(); next; next = waiting.pop()) {
      const [each, from] = next;
      if (this.because.has(each)) continue;
      this.because.set(each, from ?? `(${keys ?? ''})`);
      const found = this.lookUp(each);
      if (!found) continue;
      this.chosen.set(each, found);
      this.needs.set(each, new Set(found.deps.filter((dependency) => dependency !== each)));
      for (const dependency of [...found.deps].reverse()) waiting.push([dependency, each]);
    }
  }

  private lookUp(name: string): Package | undefined {
    try {
      const found = this.universe.get(name);
      if (!found) this.problems.push(`${this.chain(name)}: the repository has no package ${name}`);
      return found;
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      this.problems.push(`${this.chain(name)}: ${error.message}`);
      return undefined;
    }
  }

  /** From who asked to a package, as in `(PACKAGES) tmux → libevent`. */
  private chain(name: string): string {
    const links = [name];
    for (let by = this.because.get(name); by !== undefined; by = this.because.get(by)) {
      links.unshift(by);
      if (by.startsWith('(') || links.length > 50) break;
    }
    const [first = '', ...rest] = links;
    return first.startsWith('(') ? `${first} ${rest.join(' → ')}` : links.join(' → ');
  }

  /** Brings what has the libraries, or features, that chosen packages need. */
  private close(kind: 'libraries' | 'features'): void {
    const waiting = [...this.chosen.keys()].sort();
    for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
      for (const what of this.chosen.get(name)?.[kind].needs ?? []) {
        if (kind === 'libraries' && this.isOfBase(what)) continue;
        const have = [...this.chosen.values()].filter((each) => each[kind].has.includes(what));
        if (have.length > 0) {
          const other = have.map((each) => each.name).sort();
          // Who has it itself waits for nobody; and of several any one will do.
          if (!other.includes(name) && other[0] !== undefined) this.needs.get(name)?.add(other[0]);
          continue;
        }
        const providers = [...new Set(this.universe.providersOf(kind, what))].sort();
        const [only] = providers;
        if (only !== undefined && providers.length === 1 && !this.because.has(only)) {
          const before = new Set(this.chosen.keys());
          this.take(only, name);
          this.needs.get(name)?.add(only);
          waiting.push(...[...this.chosen.keys()].filter((each) => !before.has(each)).sort());
          continue;
        }
        // What cannot be had at all has been told.
        if (only !== undefined && providers.length === 1) continue;
        if (kind === 'libraries' && providers.length === 0 && this.keys.lacking) {
          this.keys.lacking(`${name} needs the shared library ${what}, which no package has.`);
          continue;
        }
        const thing = kind === 'libraries' ? `the shared library ${what}` : what;
        this.problems.push(
          providers.length > 1
            ? `${this.chain(name)} needs ${thing}, which ${providers.slice(0, 10).join(', ')} have: name one of them in ${this.keys.names}`
            : `${this.chain(name)} needs ${thing}, which neither ${kind === 'libraries' ? 'the base system' : 'a chosen package'} nor a package of the repository has`,
        );
      }
    }
  }

  /** pkg(8) passes over what 32-bit programs need where the base system has nothing for them (libpkg/pkg_solve.c). */
  private isOfBase(library: string): boolean {
    return this.base.has(library) || library.endsWith(':32');
  }

  private checkConflicts(): void {
    for (const one of [...this.chosen.values()].sort(byName))
      for (const pattern of one.conflicts)
        for (const other of [...this.chosen.values()].sort(byName)) {
          if (other.name === one.name || !matchesPackage(pattern, other)) continue;
          this.problems.push(
            `${this.chain(one.name)} and ${this.chain(other.name)} are in conflict: ${one.name} cannot be installed with ${pattern}`,
          );
        }
  }

  /** By depth, names in their order: the same for the same packages, whoever asked for them. A circle is cut somewhere. */
  private ordered(needs: ReadonlyMap<string, readonly string[]>): readonly Package[] {
    const order: Package[] = [];
    const seen = new Set<string>();
    for (const root of [...this.chosen.keys()].sort()) {
      const stack: { readonly name: string; readonly rest: string[] }[] = [];
      const enter = (name: string): void => {
        if (seen.has(name)) return;
        seen.add(name);
        stack.push({ name, rest: [...(needs.get(name) ?? [])].reverse() });
      };
      enter(root);
      for (let top = stack.at(-1); top; top = stack.at(-1)) {
        const next = top.rest.pop();
        if (next !== undefined) enter(next);
        else {
          stack.pop();
          const found = this.chosen.get(top.name);
          if (found) order.push(found);
        }
      }
    }
    return order;
  }
}

/** Whether a pattern of CONFLICTS means a package: its name, or a glob(3) of its name, or of name and version. */
function matchesPackage(pattern: string, { name, version }: Package): boolean {
  if (pattern === name) return true;
  return matchesGlob(pattern, name) || matchesGlob(pattern, `${name}-${version}`);
}

function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}
