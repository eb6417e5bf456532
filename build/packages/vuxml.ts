import { SaxesParser } from 'saxes';
import { UserError } from '../error.js';
import { matchesGlob } from './glob.js';
import { compareVersions } from './version.js';

/** A vulnerability as VuXML tells of it (https://vuxml.freebsd.org/dtd/vuxml-1/vuxml-model-11.mod). */
export interface Vulnerability {
  readonly id: string;
  readonly topic: string;
  readonly cves: readonly string[];
  readonly affects: readonly Affected[];
}

/** Packages that are affected: by their names, which may be globs, in any of the ranges. */
interface Affected {
  readonly names: readonly string[];
  readonly ranges: readonly (readonly Bound[])[];
}

const BOUNDS = ['lt', 'le', 'eq', 'ge', 'gt'] as const;

interface Bound {
  readonly kind: (typeof BOUNDS)[number];
  readonly version: string;
}

/**
 * Reads VuXML. Vulnerabilities that were taken back have no packages and are left out.
 *
 * @param where what messages call it
 * @throws UserError if it is not well-formed, or has not one vulnerability.
 */
export function parseVuxml(text: string, where: string): readonly Vulnerability[] {
  const found: Vulnerability[] = [];
  type Building = {
    id: string;
    topic: string;
    cves: string[];
    affects: { names: string[]; ranges: Bound[][] }[];
  };
  let vuln: Building | undefined;
  const path: string[] = [];
  let content = '';
  const fail = (what: string): UserError =>
    new UserError(
      `${where} is no VuXML: ${what}.`,
      'Check --vuxml; FreeBSD’s is at https://vuxml.freebsd.org/.',
    );
  const parser = new SaxesParser();
  parser.on('error', (error) => {
    throw fail(error.message);
  });
  parser.on('opentag', ({ name, attributes }) => {
    path.push(name);
    content = '';
    if (name === 'vuln') vuln = { id: attributes['vid'] ?? '', topic: '', cves: [], affects: [] };
    const affected = vuln?.affects.at(-1);
    if (name === 'package' && path.at(-2) === 'affects') vuln?.affects.push({ names: [], ranges: [] });
    if (name === 'range' && path.at(-2) === 'package') affected?.ranges.push([]);
  });
  parser.on('text', (piece) => {
    content += piece;
  });
  parser.on('closetag', ({ name }) => {
    const [outer, text_] = [path.at(-2), content.trim()];
    const affected = vuln?.affects.at(-1);
    if (name === 'topic' && outer === 'vuln' && vuln) vuln.topic = text_.replace(/\s+/g, ' ');
    if (name === 'cvename' && outer === 'references') vuln?.cves.push(text_);
    if (name === 'name' && outer === 'package') affected?.names.push(text_);
    const kind = BOUNDS.find((bound) => bound === name);
    if (kind && outer === 'range') {
      if (text_ === '') throw fail(`a range of ${vuln?.id ?? ''} has no version`);
      affected?.ranges.at(-1)?.push({ kind, version: text_ });
    }
    if (name === 'vuln' && vuln) {
      if (vuln.affects.some(({ names }) => names.length > 0)) found.push(vuln);
      vuln = undefined;
    }
    path.pop();
    content = '';
  });
  parser.write(text).close();
  if (found.length === 0) throw fail('it tells of no vulnerability');
  return found;
}

const HOLDS: Readonly<Record<Bound['kind'], (order: number) => boolean>> = {
  lt: (order) => order < 0,
  le: (order) => order <= 0,
  eq: (order) => order === 0,
  ge: (order) => order >= 0,
  gt: (order) => order > 0,
};

/** A package that is known to be vulnerable, and to what. */
export interface Known<T> {
  readonly of: T;
  readonly vulnerabilities: readonly Vulnerability[];
}

/**
 * Which packages are known to be vulnerable, as `pkg audit` tells it (libpkg/pkg_audit.c).
 *
 * @returns those alone, in the order in which they were given
 */
export function auditPackages<T extends { readonly name: string; readonly version: string }>(
  packages: readonly T[],
  known: readonly Vulnerability[],
): readonly Known<T>[] {
  const byName = new Map<string, Vulnerability[]>();
  const globs: (readonly [pattern: string, vulnerability: Vulnerability])[] = [];
  for (const vulnerability of known)
    for (const name of new Set(vulnerability.affects.flatMap(({ names }) => names)))
      if (/[*?[\\]/.test(name)) globs.push([name, vulnerability]);
      else byName.set(name, [...(byName.get(name) ?? []), vulnerability]);
  return packages.flatMap((each) => {
    const candidates = new Set([
      ...(byName.get(each.name) ?? []),
      ...globs
        .filter(([pattern]) => matchesGlob(pattern, each.name))
        .map(([, vulnerability]) => vulnerability),
    ]);
    const vulnerabilities = [...candidates].filter(({ affects }) =>
      affects.some(
        ({ names, ranges }) =>
          names.some((name) => matchesGlob(name, each.name)) &&
          ranges.some((range) =>
            range.every(({ kind, version }) => HOLDS[kind](compareVersions(each.version, version))),
          ),
      ),
    );
    return vulnerabilities.length === 0 ? [] : [{ of: each, vulnerabilities }];
  });
}
