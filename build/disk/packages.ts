import { UserError } from '../error.js';
import type { OverlayEntry } from '../overlay/render.js';
import { closure, mediumList } from '../packages/medium.js';
import type { Medium } from '../packages/medium.js';
import { shellQuote } from '../quote.js';

/** A package as pkg(8) has it. */
export interface Installed {
  readonly name: string;
  readonly version: string;
}

/** The packages of a base disk. */
export interface DiskPackages {
  /** What installs them in the new system (clawdie-install --packages), as files of it. */
  readonly entries: readonly OverlayEntry[];
  /** What pkg(8) has to have then, by name. */
  readonly locked: readonly Installed[];
}

/** Where the scripts are that install packages on an instance, and their names. */
export const SCRIPTS_FOLDER = 'usr/local/libexec/clawdie';
export const SCRIPTS = ['common.sh', 'medium.sh', 'shell-packages.sh'] as const;

/**
 * What installs packages on a base disk: the scripts that do it on an instance, the names, and the list that each file is held
 * against. Pure.
 *
 * @param names packages that the instances of the disk ask for
 * @param script text of one of {@link SCRIPTS}
 */
export function diskPackages(
  medium: Medium,
  names: readonly string[],
  script: (name: (typeof SCRIPTS)[number]) => string,
): DiskPackages {
  const all = closure(medium, names);
  const file = (path: string, body: string): OverlayEntry => ({
    ...{ path, type: 'file', uid: 0, gid: 0, mode: 0o600, body },
  });
  return {
    entries: [
      file('etc/clawdie/clawdie.conf', `PACKAGES=${shellQuote(names.join(' '))}\n`),
      ...SCRIPTS.map((name) => file(`${SCRIPTS_FOLDER}/${name}`, script(name))),
      file('var/db/clawdie/packages.list', mediumList(medium, names)),
    ],
    locked: sorted(medium.packages.filter(({ name }) => all.has(name))),
  };
}

/** What clawdie-install says of the packages that pkg(8) has, by name. Pure. */
export function toldPackages(console: string): readonly Installed[] {
  return sorted(
    [...console.matchAll(/^clawdie-install: package (\S+) (\S+)\r?$/gm)].map(
      ([, name = '', version = '']) => ({
        name,
        version,
      }),
    ),
  );
}

/**
 * Holds what pkg(8) has against the lock. Pure.
 *
 * @throws UserError that names what differs.
 */
export function checkInstalled(found: readonly Installed[], locked: readonly Installed[]): void {
  const [has, wants] = [found, locked].map(
    (list) => new Set(list.map(({ name, version }) => `${name} ${version}`)),
  );
  const missing = [...(wants ?? [])].filter((each) => has?.has(each) !== true);
  const strange = [...(has ?? [])].filter((each) => wants?.has(each) !== true);
  if (missing.length + strange.length === 0) return;
  const list = (what: string, names: readonly string[]): readonly string[] =>
    names.length === 0 ? [] : [`${what} ${names.slice(0, 5).join(', ')}${names.length > 5 ? ', …' : ''}`];
  throw new UserError(
    `pkg(8) has other packages on the base disk than the lock: ${[...list('not there:', missing), ...list('not in the lock:', strange)].join('; ')}.`,
    'Build the base image again; if it stays so, lock anew: `clawdie-iso lock --update`.',
  );
}

function sorted(list: readonly Installed[]): readonly Installed[] {
  return list
    .map(({ name, version }) => ({ name, version }))
    .sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}
