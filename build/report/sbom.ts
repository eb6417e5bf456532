import { sha512Of } from '../packages/lockfile.js';
import type { LockedFor } from './contents.js';
import type { ImageFacts } from './facts.js';
import { releaseParts } from './release-part.js';

/** A file of the ISO by the loader, as it lies there. */
export interface BootFile {
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
}

export interface SbomInput {
  readonly facts: ImageFacts;
  /** `15.1-RELEASE`, and what it is for. */
  readonly version: string;
  readonly arch: string;
  readonly locked: LockedFor;
  readonly boot: readonly BootFile[];
}

interface Component {
  readonly type: 'application' | 'library' | 'operating-system' | 'device-driver' | 'file' | 'firmware';
  readonly 'bom-ref': string;
  readonly name: string;
  readonly version?: string;
  readonly purl?: string;
  readonly hashes?: readonly { readonly alg: 'SHA-256' | 'SHA-512'; readonly content: string }[];
  readonly licenses?: readonly [
    { readonly license: { readonly name: string } } | { readonly expression: string },
  ];
  readonly properties?: readonly { readonly name: string; readonly value: string }[];
}

const sha256 = (content: string): NonNullable<Component['hashes']> => [{ alg: 'SHA-256', content }];
/** An expression of SPDX, as npm has them; FreeBSD's ports have names of their own. */
const EXPRESSION = /^(?!UNLICENSED$)\(?[A-Za-z0-9.+-]+(?: (?:AND|OR|WITH) \(?[A-Za-z0-9.+-]+\)?)*\)?$/;
const licensed = (license: string | undefined, spdx: boolean): Pick<Component, 'licenses'> =>
  license === undefined
    ? {}
    : {
        licenses: [
          spdx && EXPRESSION.test(license) ? { expression: license } : { license: { name: license } },
        ],
      };
const property = (name: string, value: string) => ({ name: `clawdie:${name}`, value });

/**
 * What is in an image, and what its instances install, as CycloneDX 1.6 (cyclonedx.org/docs/1.6/json). It has no time and no
 * serial number: the same image, the same bytes. Files that may hold secrets have no sum. Pure.
 */
export function sbom({ facts, version, arch, locked, boot }: SbomInput): string {
  const [name = '', own = ''] = facts.project.split(' ');
  const packages = locked.packages.map((each): Component => ({
    ...{ type: 'application', 'bom-ref': `package:${each.name}`, name: each.name, version: each.version },
    purl: `pkg:generic/freebsd/${encodeURIComponent(each.name)}@${encodeURIComponent(each.version)}`,
    hashes: sha256(each.sha256),
    ...licensed(each.license, false),
    properties: [property('origin', each.origin), property('abi', each.abi)],
  }));
  const npm = locked.npm.map((each): Component => ({
    ...{ type: 'library', 'bom-ref': `npm:${each.name}@${each.version}`, name: each.name },
    version: each.version,
    purl: `pkg:npm/${each.name.split('/').map(encodeURIComponent).join('/')}@${encodeURIComponent(each.version)}`,
    hashes: [{ alg: 'SHA-512', content: sha512Of(each.integrity) }],
    ...licensed(each.license, true),
  }));
  const components: readonly Component[] = [
    ...releaseParts(facts.release.sums).map((part): Component => ({
      ...{ type: 'operating-system', 'bom-ref': `${part.kind}:${part.name}`, name: part.name },
      ...{ version: part.version ?? version, hashes: sha256(part.sha256) },
    })),
    ...boot.map(({ path, bytes, sha256: sum }): Component => ({
      ...{ type: 'firmware', 'bom-ref': `boot:${path}`, name: path, version, hashes: sha256(sum) },
      properties: [property('bytes', String(bytes))],
    })),
    ...facts.root.kernelModules.map((module): Component => ({
      ...{ type: 'device-driver', 'bom-ref': `module:${module}`, name: module, version },
    })),
    ...facts.overlay
      .filter(({ type }) => type !== 'dir')
      .map(({ path, uid, gid, mode, target, sha256: sum, own: mine }): Component => ({
        ...{ type: 'file', 'bom-ref': `overlay:${path}`, name: path },
        ...(sum !== undefined && { hashes: sha256(sum) }),
        properties: [
          property('owner', `${uid}:${gid}`),
          property('mode', mode),
          ...(target === undefined ? [] : [property('target', target)]),
          ...(mine === true ? [property('from', 'EXTRA_FILES')] : []),
        ],
      })),
    ...packages,
    ...npm,
  ];
  const bom = {
    $schema: 'http://cyclonedx.org/schema/bom-1.6.schema.json',
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    version: 1,
    metadata: {
      tools: { components: [{ type: 'application', name, version: own }] },
      component: {
        type: 'operating-system',
        'bom-ref': 'image',
        name: facts.configuration['ASSISTANT_NAME']?.value ?? '',
        version,
        properties: [
          property('arch', arch),
          ...facts.images.map((image) => property(`sha256:${image.name}`, image.sha256)),
        ],
      },
    },
    components,
    dependencies: [
      { ref: 'image', dependsOn: unique(components.map((each) => each['bom-ref'])) },
      ...locked.packages.map(({ name: each, needs }) => ({
        ref: `package:${each}`,
        dependsOn: unique(needs.map((need) => `package:${need}`)),
      })),
    ],
  };
  return `${JSON.stringify(bom, null, 1)}\n`;
}

const unique = (refs: readonly string[]): readonly string[] => [...new Set(refs)];
