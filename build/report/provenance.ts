import { sha512Of } from '../packages/lockfile.js';
import type { LockedFor } from './contents.js';
import type { ImageFacts } from './facts.js';
import { releaseParts } from './release-part.js';

/** A digest of something, by its algorithm (in-toto DigestSet). */
export type Digest = Readonly<Record<string, string>>;

export interface ProvenanceInput {
  readonly facts: ImageFacts;
  /** Digests of the values of secret keys, by key. */
  readonly secrets: ReadonlyMap<string, Digest>;
  /** Files that the configuration names, and the overlays of the program. */
  readonly files: readonly { readonly name: string; readonly digest: Digest }[];
  readonly locked: LockedFor;
  /** SHA-256 of the catalogue that the lock was made of. */
  readonly catalogue: string | undefined;
  /** SOURCE_DATE_EPOCH: of everything in the image, in seconds. */
  readonly time: number;
}

/** What the fields of externalParameters and internalParameters mean: docs/report.md. */
const BUILD_TYPE = 'urn:clawdie-iso:build:1';

/**
 * How an image came to be: an in-toto statement (in-toto.io/Statement/v1) with SLSA provenance (slsa.dev/spec/v1.0/provenance).
 * It says neither when nor where: the same inputs, the same bytes. Secrets are in it as digests alone. Pure.
 */
export function provenance(input: ProvenanceInput): string {
  const { facts, secrets, files, locked, catalogue, time } = input;
  const [name = '', version = ''] = facts.project.split(' ');
  const statement = {
    _type: 'https://in-toto.io/Statement/v1',
    subject: facts.images.map((image) => ({ name: image.name, digest: { sha256: image.sha256 } })),
    predicateType: 'https://slsa.dev/provenance/v1',
    predicate: {
      buildDefinition: {
        buildType: BUILD_TYPE,
        externalParameters: {
          configuration: Object.fromEntries(
            Object.entries(facts.configuration).map(([key, { value }]) => [key, secrets.get(key) ?? value]),
          ),
          SOURCE_DATE_EPOCH: time,
        },
        internalParameters: { tools: facts.tools, baseImage: facts.baseImage.key },
        resolvedDependencies: [
          ...releaseParts(facts.release.sums).map(({ path, sha256, kind, name, version }) => ({
            ...(/^https?:/.test(facts.release.from) && {
              uri: `${facts.release.from.replace(/\/$/, '')}/${path}`,
            }),
            ...{ name: kind === 'base' ? `base ${name} ${version ?? ''}` : name, digest: { sha256 } },
          })),
          ...files,
          ...(catalogue === undefined
            ? []
            : [{ name: 'catalogue of packages', digest: { sha256: catalogue } }]),
          ...locked.packages.map((each) => ({
            ...{ name: `package ${each.name} ${each.version}`, digest: { sha256: each.sha256 } },
          })),
          ...locked.npm.map((each) => ({
            name: `npm ${each.name} ${each.version}`,
            digest: {
              sha512: sha512Of(each.integrity),
            },
          })),
        ],
      },
      runDetails: { builder: { id: `pkg:npm/${name}@${version}`, version: { [name]: version } } },
    },
  };
  return `${JSON.stringify(statement, null, 1)}\n`;
}
