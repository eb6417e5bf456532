import { differing } from './differing.js';
import type { Difference } from './differing.js';
import type { Bill, Statement } from './read-papers.js';

/** Sums are recognised by their beginning. */
const SHORT = 12;

/** In what two bills of materials differ: a line for each component that came, went, or is another one. Pure. */
export function compareBills(a: Bill, b: Bill): readonly Difference[] {
  return differing('', componentsOf(a), componentsOf(b));
}

/** Components by what they are, without their versions: npm has several of one name side by side. */
export function componentsOf({ components }: Bill): ReadonlyMap<string, string> {
  const found = new Map<string, string[]>();
  for (const each of components) {
    const { name, version, hashes, licenses, properties } = each;
    const [kind = ''] = each['bom-ref'].split(':');
    const text = [
      ...(version === undefined ? [] : [version]),
      ...properties.map(({ name: key, value }) => `${key.replace(/^clawdie:/, '')} ${value}`),
      ...licenses.flatMap(({ license, expression }) => license?.name ?? expression ?? []),
      ...hashes.map(({ content }) => content.slice(0, SHORT)),
    ].join(', ');
    const key = `${kind} ${name}`;
    found.set(key, [...(found.get(key) ?? []), text]);
  }
  return new Map([...found].map(([key, texts]) => [key, texts.sort().join('; ')]));
}

/**
 * In what the provenance of two images differs: configuration, time, tools, inputs. What they are of is not compared: images have
 * sums. Pure.
 */
export function compareStatements(a: Statement, b: Statement): readonly Difference[] {
  const [one, other] = [a.predicate, b.predicate];
  const [before, now] = [one.buildDefinition, other.buildDefinition];
  const single = (what: string, old: string, next: string): readonly Difference[] =>
    differing('', new Map([[what, old]]), new Map([[what, next]]));
  return [
    ...single('Program', one.runDetails.builder.id, other.runDetails.builder.id),
    ...differing(
      'Configuration: ',
      configurationOf(before.externalParameters),
      configurationOf(now.externalParameters),
    ),
    ...single(
      'SOURCE_DATE_EPOCH',
      String(before.externalParameters.SOURCE_DATE_EPOCH),
      String(now.externalParameters.SOURCE_DATE_EPOCH),
    ),
    ...single(
      'Base image',
      before.internalParameters.baseImage.slice(0, SHORT),
      now.internalParameters.baseImage.slice(0, SHORT),
    ),
    ...differing(
      'Tool: ',
      new Map(Object.entries(before.internalParameters.tools)),
      new Map(Object.entries(now.internalParameters.tools)),
    ),
    ...differing('Input: ', inputsOf(before), inputsOf(now)),
  ];
}

type Definition = Statement['predicate']['buildDefinition'];

/** Values of keys; of a secret its digest alone is known. */
function configurationOf({ configuration }: Definition['externalParameters']): ReadonlyMap<string, string> {
  return new Map(
    Object.entries(configuration).map(([key, value]) => [
      key,
      typeof value === 'string' ? value : `(secret, ${digestText(value)})`,
    ]),
  );
}

/** Inputs by name; versions of packages are no part of it. */
function inputsOf({ resolvedDependencies }: Definition): ReadonlyMap<string, string> {
  const found = new Map<string, string[]>();
  for (const { name, uri, digest } of resolvedDependencies) {
    const [, bare = name, version] = /^((?:package|npm|base) \S+) (\S+)$/.exec(name) ?? [];
    const text = [version, digestText(digest), uri].filter((each) => each !== undefined).join(', ');
    found.set(bare, [...(found.get(bare) ?? []), text]);
  }
  return new Map([...found].map(([name, texts]) => [name, texts.sort().join('; ')]));
}

function digestText(digest: Readonly<Record<string, string>>): string {
  return Object.entries(digest)
    .map(([algorithm, value]) => `${algorithm} ${value.slice(0, SHORT)}`)
    .join(', ');
}
