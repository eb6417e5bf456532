import type { RcScript } from './headers.js';

/**
 * The order in which rc(8) runs scripts, and what forces it. A requirement that nothing provides is passed over, as
 * rcorder(8) does: the script runs all the same, so it counts for no order.
 */
export class RcOrder {
  private readonly byProvision = new Map<string, Set<RcScript>>();
  private readonly earlier = new Map<RcScript, Set<RcScript>>();

  private readonly closures = new Map<RcScript, ReadonlySet<RcScript>>();

  constructor(private readonly scripts: readonly RcScript[]) {
    for (const script of scripts) {
      for (const name of script.provide) {
        const present = this.byProvision.get(name);
        if (present) present.add(script);
        else this.byProvision.set(name, new Set([script]));
      }
    }
    for (const script of scripts) {
      const before = this.earlierThan(script);
      for (const name of new Set(script.require))
        for (const needed of this.byProvision.get(name) ?? []) before.add(needed);
      for (const name of new Set(script.before))
        for (const later of this.byProvision.get(name) ?? []) this.earlierThan(later).add(script);
    }
  }

  /** Scripts that provide a name. */
  providers(name: string): readonly RcScript[] {
    return [...(this.byProvision.get(name) ?? [])];
  }

  /** Whether the headers force every script that provides `first` to run before every one that provides `second`. */
  precedes(first: string, second: string): boolean {
    const firsts = this.providers(first);
    return this.providers(second).every((script) => {
      const all = this.closure(script);
      return firsts.every((needed) => all.has(needed));
    });
  }

  /** Scripts that wait for each other, if there are any: rcorder runs them in an order of its own. */
  cycle(): readonly RcScript[] | undefined {
    const script = this.scripts.find((each) => this.closure(each).has(each));
    if (!script) return undefined;
    return [...this.closure(script)].filter((other) => this.closure(other).has(script));
  }

  private earlierThan(script: RcScript): Set<RcScript> {
    const known = this.earlier.get(script);
    if (known) return known;
    const made = new Set<RcScript>();
    this.earlier.set(script, made);
    return made;
  }

  /** Everything that has to run before a script. */
  private closure(script: RcScript): ReadonlySet<RcScript> {
    const known = this.closures.get(script);
    if (known) return known;
    const seen = new Set<RcScript>();
    this.closures.set(script, seen);
    const open = [script];
    for (let next = open.pop(); next; next = open.pop()) {
      for (const needed of this.earlierThan(next)) {
        if (seen.has(needed)) continue;
        seen.add(needed);
        open.push(needed);
      }
    }
    return seen;
  }
}
