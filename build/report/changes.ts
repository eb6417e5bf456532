import type { Audit } from '../packages/audit.js';
import { differing } from './differing.js';
import type { Changes, ImageFacts } from './facts.js';

/** Sums are recognised by their beginning. */
const SHORT = 12;

/**
 * In what an image differs from the one before it, for people: its configuration, where it is from, its files, its policy, what
 * instances install. Pure.
 *
 * @returns one line for each difference; none where the inputs are the same
 */
export function changesBetween(before: ImageFacts, now: ImageFacts): Changes['changes'] {
  const found: Changes['changes'] = [];
  const all = (prefix: string, old: ReadonlyMap<string, string>, next: ReadonlyMap<string, string>): void => {
    found.push(...differing(prefix, old, next));
  };
  const compare = (what: string, old: string, next: string): void => {
    all('', new Map([[what, old]]), new Map([[what, next]]));
  };
  compare('Program', before.project, now.project);
  all('Configuration: ', valuesOf(before), valuesOf(now));
  compare('Release', before.release.id.slice(0, 64), now.release.id.slice(0, 64));
  compare('Base image', before.baseImage.key.slice(0, SHORT), now.baseImage.key.slice(0, SHORT));
  all('Tool: ', new Map(Object.entries(before.tools)), new Map(Object.entries(now.tools)));
  all('File: ', filesOf(before), filesOf(now));
  compare('Policy rows', before.policy.rows.join(', '), now.policy.rows.join(', '));
  compare('Exceptions', exceptionsOf(before), exceptionsOf(now));
  all('Who reaches whom: ', reachOf(before), reachOf(now));
  all('Installed: ', contentsOf(before), contentsOf(now));
  if (before.audit && now.audit)
    all('Known to be vulnerable: ', vulnerableIn(before.audit), vulnerableIn(now.audit));
  return found;
}

function valuesOf({ configuration }: ImageFacts): ReadonlyMap<string, string> {
  return new Map(Object.entries(configuration).map(([key, { value }]) => [key, value]));
}

function filesOf({ overlay }: ImageFacts): ReadonlyMap<string, string> {
  return new Map(
    overlay.map(({ path, type, uid, gid, mode, target, sha256 }) => [
      path,
      [
        `${type} ${mode} ${uid}:${gid}`,
        ...(target === undefined ? [] : [`→ ${target}`]),
        ...(sha256 === undefined ? [] : [sha256.slice(0, SHORT)]),
      ].join(' '),
    ]),
  );
}

function exceptionsOf({ policy }: ImageFacts): string {
  return policy.exceptions.map(({ row }) => row).join(', ') || 'none';
}

function reachOf({ maps }: ImageFacts): ReadonlyMap<string, string> {
  return new Map(
    (maps ?? []).flatMap(({ situation, pairs }) =>
      pairs
        .filter(({ verdict }) => verdict !== 'closed')
        .map(({ from, to, services }) => [`${from} to ${to} (${situation})`, services.join('; ')] as const),
    ),
  );
}

function vulnerableIn({ known }: Audit): ReadonlyMap<string, string> {
  return new Map(known.map(({ name, version }) => [name, version]));
}

function contentsOf({ contents }: ImageFacts): ReadonlyMap<string, string> {
  return new Map(
    (contents ?? []).map(({ kind, name, version }) => [kind === 'npm' ? `${name} (npm)` : name, version]),
  );
}
