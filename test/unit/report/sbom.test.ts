import { Spec, Validation } from '@cyclonedx/cyclonedx-library';
import { describe, expect, it } from 'vitest';
import { contentsOf, lockedFor } from '../../../build/report/contents.js';
import type { Lock } from '../../../build/packages/lockfile.js';
import { provenance } from '../../../build/report/provenance.js';
import { sbom } from '../../../build/report/sbom.js';
import { factsOf } from '../../helpers/report.js';

const packageOf = (name: string, needs: string[]): Lock['packages'][number] => ({
  ...{ abi: 'FreeBSD:15:amd64', asked: [], flatsize: 10, name, needs, origin: `x/${name}` },
  ...{ path: `All/${name}.pkg`, sha256: 'd'.repeat(64), size: 5, sum: 's', version: '1.0_1,2' },
});
const LOCK: Lock = {
  asked: { 'a.cfg': { npm: ['@s/m@1.0.0'], packages: ['top'] }, 'b.cfg': { npm: [], packages: ['other'] } },
  catalogue: { key: 'e'.repeat(64), sha256: 'f'.repeat(64), time: '2026-01-01T00:00:00Z', url: 'u' },
  ...{ checksum: 'c', format: 'clawdie lock 1' },
  npm: [
    {
      ...{ asked: [], integrity: `sha512-${Buffer.alloc(64, 7).toString('base64')}`, name: '@s/m' },
      license: '(MIT OR Apache-2.0)',
      ...{ places: ['node_modules/@s/m'], url: 'https://x/', version: '1.0.0' },
    },
  ],
  packages: [
    packageOf('other', []),
    { ...packageOf('below', []), license: 'GPLv2+ or MIT' },
    packageOf('top', ['below']),
  ],
  release: { abi: 'a', arch: 'amd64', id: 'i', profiles: ['standard'], version: '15.1-RELEASE' },
};
const boot = [{ path: '/boot/loader', bytes: 5, sha256: 'a'.repeat(64) }];

const componentsOf = (text: string): Record<string, { licenses?: unknown } | undefined> =>
  Object.fromEntries(
    (JSON.parse(text) as { components: { 'bom-ref': string; licenses?: unknown }[] }).components.map(
      (each) => [each['bom-ref'], each],
    ),
  );

describe('the bill of materials', () => {
  it('is CycloneDX 1.6 by its schema, and names sets, modules, boot code, overlay, packages and npm', async () => {
    const { facts } = await factsOf({});
    const about = { facts, version: '15.1-RELEASE', arch: 'amd64', boot };
    const text = sbom({ ...about, locked: lockedFor(LOCK, 'a.cfg') });
    const validator = new Validation.JsonStrictValidator(Spec.Version.v1dot6);
    expect(await validator.validate(text)).toBeNull();
    expect(await validator.validate(text.replace('"firmware"', '"soap"'))).not.toBeNull();
    const refs = (JSON.parse(text) as { components: { 'bom-ref': string }[] }).components.map(
      (each) => each['bom-ref'],
    );
    expect(new Set(refs).size).toBe(refs.length);
    for (const ref of [
      'set:base.txz',
      'module:pf.ko',
      'boot:/boot/loader',
      'overlay:/etc/pf.conf',
      'package:top',
    ])
      expect(refs).toContain(ref);
    expect(refs).toContain('npm:@s/m@1.0.0');
    const licenses = (ref: string) => componentsOf(text)[ref]?.licenses;
    expect(licenses('package:below')).toEqual([{ license: { name: 'GPLv2+ or MIT' } }]);
    expect(licenses('package:top')).toBeUndefined();
    expect(licenses('npm:@s/m@1.0.0')).toEqual([{ expression: '(MIT OR Apache-2.0)' }]);
    expect(sbom({ ...about, locked: lockedFor(LOCK, 'a.cfg') })).toBe(text);
  });

  it.each([
    ['MIT', { expression: 'MIT' }],
    ['UNLICENSED', { license: { name: 'UNLICENSED' } }],
    ['SEE LICENSE IN x', { license: { name: 'SEE LICENSE IN x' } }],
  ])('says of a licence of npm, %s, what it is', async (license, expected) => {
    const { facts } = await factsOf({});
    const npm = LOCK.npm.map((each) => ({ ...each, license }));
    const locked = { ...lockedFor(LOCK, 'a.cfg'), npm };
    const text = sbom({ facts, version: 'v', arch: 'amd64', boot, locked });
    expect(await new Validation.JsonStrictValidator(Spec.Version.v1dot6).validate(text)).toBeNull();
    expect(componentsOf(text)['npm:@s/m@1.0.0']?.licenses).toEqual([expected]);
  });

  it('has of a lock what the deployment needs, and no more', () => {
    expect(contentsOf(LOCK, 'a.cfg').map(({ name }) => name)).toEqual(['below', 'top', '@s/m']);
    expect(contentsOf(LOCK, 'b.cfg').map(({ name }) => name)).toEqual(['other']);
    expect(contentsOf(LOCK, '__proto__')).toEqual([]);
  });
});

describe('the provenance', () => {
  it('has the images as its subject, inputs with digests, secrets as digests alone, and no time', async () => {
    const { facts } = await factsOf({ ROOT_PASSWORD_HASH: `$6$saltsalt$${'a'.repeat(86)}` });
    const text = provenance({
      ...{ facts, locked: lockedFor(LOCK, 'a.cfg'), catalogue: 'f'.repeat(64), time: 1767225600 },
      secrets: new Map([['ROOT_PASSWORD_HASH', { 'scrypt-16384-8-1': 'ab' }]]),
      files: [{ name: 'overlays/base', digest: { sha256: 'a'.repeat(64) } }],
    });
    expect(text).not.toContain('saltsalt');
    expect(text).not.toContain(facts.finished);
    expect(JSON.parse(text)).toMatchObject({
      _type: 'https://in-toto.io/Statement/v1',
      predicateType: 'https://slsa.dev/provenance/v1',
      subject: [{ name: 'x.iso', digest: { sha256: 'a'.repeat(64) } }],
      predicate: {
        buildDefinition: {
          externalParameters: { configuration: { ROOT_PASSWORD_HASH: { 'scrypt-16384-8-1': 'ab' } } },
          resolvedDependencies: expect.arrayContaining([
            { name: 'package top 1.0_1,2', digest: { sha256: 'd'.repeat(64) } },
          ]) as unknown,
        },
      },
    });
  });
});
