import type { Config } from '../config/keys.js';
import { UserError } from '../error.js';
import { impliedPackages, makeView } from '../overlay/view.js';
import { NAME } from './catalogue.js';
import { NPM_NAME } from './lockfile.js';
import type { Wanted } from './solver.js';

/** What a template of Bastille installs in a jail. */
export interface TemplateNeeds {
  readonly packages: readonly string[];
  /** Packages of npm, as `name@version`. */
  readonly npm: readonly string[];
}

/** The Bastillefile of a template, by its name (`clawdie/worker`); undefined for those that are not of this project. */
export type ReadTemplate = (name: string) => string | undefined;

/**
 * What a template installs: by its lines `PKG`, by what it includes, and, for what its scripts install, by comments of the form
 * `# lock: pkg NAME…` and `# lock: npm NAME@VERSION…`, in which ${ARG} stands for the default of an argument.
 *
 * @returns undefined for a template that is not of this project
 * @throws UserError if a comment is none of those, or templates include each other in a circle.
 */
export function templateNeeds(
  name: string,
  read: ReadTemplate,
  outer: readonly string[] = [],
): TemplateNeeds | undefined {
  const text = read(name);
  if (text === undefined) return undefined;
  if (outer.includes(name)) throw new UserError(`The template ${name} includes itself.`);
  const values = new Map<string, string>();
  const packages: string[] = [];
  const npm: string[] = [];
  const fail = (line: string): UserError =>
    new UserError(`The template ${name} has a line that says nothing that could be locked: ${line}.`);
  for (const line of text.split('\n')) {
    const [, argument, value = ''] = /^ARG\s+(\w+)=(\S*)/.exec(line) ?? [];
    if (argument !== undefined) values.set(argument, value);
    const full = line.replace(/\$\{(\w+)\}/g, (whole, key: string) => values.get(key) ?? whole);
    const [, kind = '', rest = ''] = /^(?:# lock: (pkg|npm)|(?:PKG|INCLUDE)(?=\s))\s+(.*)$/.exec(full) ?? [];
    const names = rest.split(/\s+/).filter((word) => word !== '');
    if (full.startsWith('INCLUDE'))
      for (const other of names.slice(0, 1)) {
        const included = templateNeeds(other, read, [...outer, name]);
        packages.push(...(included?.packages ?? []));
        npm.push(...(included?.npm ?? []));
      }
    else if (kind === 'npm') {
      if (!names.every(isNpm)) throw fail(line);
      npm.push(...names);
    } else {
      if (!names.every((word) => NAME.test(word))) throw fail(line);
      packages.push(...names);
    }
  }
  return { packages: [...new Set(packages)], npm: [...new Set(npm)] };
}

function isNpm(word: string): boolean {
  const at = word.lastIndexOf('@');
  return (
    at > 0 &&
    NPM_NAME.test(word.slice(0, at)) &&
    /^[0-9]+\.[0-9]+\.[0-9]+[0-9A-Za-z.+-]*$/.test(word.slice(at + 1))
  );
}

/** What a configuration wants to be locked. */
export interface WantedOf {
  readonly packages: readonly Wanted[];
  readonly npm: readonly Wanted[];
  /** Sentences about what cannot be known. */
  readonly notes: readonly string[];
}

/** The template of jails that TAILSCALE="jail" is for: it is applied to jails by hand, too. */
const TAILNET_TEMPLATE = 'clawdie/tailscale';

/** Everything that an instance of a configuration installs, and why. Pure. */
export function wantedOf(config: Config, read: ReadTemplate): WantedOf {
  const packages = new Map<string, Set<string>>();
  const npm = new Map<string, Set<string>>();
  const notes: string[] = [];
  const add = (to: Map<string, Set<string>>, names: readonly string[], by: string): void => {
    for (const name of names) to.set(name, (to.get(name) ?? new Set()).add(by));
  };
  add(packages, config.PACKAGES, 'PACKAGES');
  for (const [key, names] of Object.entries(impliedPackages(config))) add(packages, names, key);
  const templates = new Set(makeView(config).jails.map((jail) => jail.split(' ')[4] ?? ''));
  if (config.TAILSCALE === 'jail') templates.add(TAILNET_TEMPLATE);
  for (const template of templates) {
    if (template === 'none' || template === '') continue;
    const needs = templateNeeds(template, read);
    if (needs) {
      add(packages, needs.packages, template);
      add(npm, needs.npm, template);
    } else
      notes.push(
        `JAILS: ${template} is no template of this project; what it installs is not in the lock, unless PACKAGES names it.`,
      );
  }
  // Whoever installs the others.
  if (packages.size + npm.size > 0) add(packages, ['pkg'], 'pkg(8)');
  const listed = (from: typeof packages): readonly Wanted[] =>
    [...from].map(([name, by]) => ({ name, by: [...by].sort() })).sort((a, b) => (a.name < b.name ? -1 : 1));
  return { packages: listed(packages), npm: listed(npm), notes };
}
