import { describe, expect, it } from 'vitest';
import { auditLock, auditOf } from '../../../build/packages/audit.js';
import { baseParts } from '../../../build/packages/audit-base.js';
import type { Lock } from '../../../build/packages/lockfile.js';
import { parseVuxml } from '../../../build/packages/vuxml.js';

type Of = Pick<Lock, 'packages' | 'checksum' | 'base' | 'release'>;

const packageOf = (name: string, version: string): Lock['packages'][number] => ({
  ...{ name, version, abi: 'FreeBSD:15:amd64', asked: [], flatsize: 1, needs: [], origin: `base/${name}` },
  ...{ path: `${name}-${version}.pkg`, sha256: 'a'.repeat(64), size: 1, sum: 'a'.repeat(64) },
});

function lockOf(version: string, base?: readonly (readonly [name: string, version: string])[]): Of {
  return {
    packages: [packageOf('tmux', '3.4')],
    checksum: 'b'.repeat(64),
    release: { abi: 'FreeBSD:15:amd64', arch: 'amd64', id: 'x', profiles: ['standard'], version },
    ...(base && {
      base: {
        asked: [],
        catalogue: { key: 'c'.repeat(64), sha256: 'd'.repeat(64), time: '2026-01-01T00:00:00Z', url: 'u' },
        packages: base.map(([name, of]) => packageOf(name, of)),
      },
    }),
  };
}

const entry = (id: string, name: string, from: string, below: string): string =>
  `<vuln vid="${id}"><topic>${id}</topic><affects><package><name>${name}</name><range><ge>${from}</ge><lt>${below}</lt></range></package></affects></vuln>`;
const list = parseVuxml(
  `<vuxml>${[
    entry('userland', 'FreeBSD', '15.1', '15.1_2'),
    entry('older', 'FreeBSD', '15.0', '15.0_9'),
    entry('kernel', 'FreeBSD-kernel', '15.1', '15.1_1'),
    entry('port', 'tmux', '0', '3.5'),
    entry('own', 'FreeBSD-bind', '0', '99'),
  ].join('')}</vuxml>`,
  'list',
);
const found = (lock: Of): readonly string[] =>
  auditLock(lock, list, 'list', new Date(0)).known.flatMap(({ name, version, base, vulnerabilities }) =>
    vulnerabilities.map(({ id }) => `${base === true ? 'base ' : ''}${name} ${version}: ${id}`),
  );

describe('an audit of the base system', () => {
  it.each([
    ['15.1-RELEASE', ['15.1', '15.1']],
    ['15.1-RELEASE-p2', ['15.1_2', '15.1_2']],
    ['15.1-RELEASE-p12', ['15.1_12', '15.1_12']],
    ['15.1-RC2', []],
    ['16.0-CURRENT', []],
  ])('takes release sets for what FREEBSD_VERSION says: %s', (version, versions) => {
    const parts = baseParts(lockOf(version));
    expect(parts.map((part) => part.version)).toEqual(versions);
    expect(parts.map(({ name }) => name)).toEqual(versions.length > 0 ? ['FreeBSD', 'FreeBSD-kernel'] : []);
  });

  it('tells of userland by the newest of its packages, and of kernels by the oldest', () => {
    const lock = lockOf('15.1-RELEASE', [
      ['FreeBSD-runtime', '15.1p3'],
      ['FreeBSD-utilities', '15.1'],
      ['FreeBSD-zfs', '15.1p10'],
      ['FreeBSD-kernel-generic', '15.1p3'],
      ['FreeBSD-kernel-minimal', '15.1p1'],
    ]);
    expect(baseParts(lock)).toEqual([
      { name: 'FreeBSD', version: '15.1_10' },
      { name: 'FreeBSD-kernel', version: '15.1_1' },
    ]);
    expect(baseParts(lockOf('15.1-RELEASE', [['FreeBSD-runtime', '15.1.snap20260101']]))).toEqual([
      { name: 'FreeBSD', version: '15.1' },
    ]);
  });

  it('finds what is known of a patch level, of kernels by themselves, and of base packages by their own names', () => {
    expect(found(lockOf('15.1-RELEASE'))).toEqual([
      'base FreeBSD 15.1: userland',
      'base FreeBSD-kernel 15.1: kernel',
      'tmux 3.4: port',
    ]);
    expect(found(lockOf('15.1-RELEASE-p1'))).toEqual(['base FreeBSD 15.1_1: userland', 'tmux 3.4: port']);
    expect(found(lockOf('15.1-RELEASE-p2'))).toEqual(['tmux 3.4: port']);
    expect(found(lockOf('15.1-RC2'))).toEqual(['tmux 3.4: port']);
    const packages = [
      ['FreeBSD-runtime', '15.1p2'],
      ['FreeBSD-bind', '15.1'],
      ['FreeBSD-kernel-generic', '15.1'],
    ] as const;
    expect(found(lockOf('15.1-RELEASE', packages))).toEqual([
      'base FreeBSD-kernel 15.1: kernel',
      'base FreeBSD-bind 15.1: own',
      'tmux 3.4: port',
    ]);
  });

  it('is for every deployment, and what is known of packages for those that install them', () => {
    const audit = auditLock(lockOf('15.1-RELEASE'), list, 'list', new Date(0));
    expect(auditOf(audit, []).known.map(({ name }) => name)).toEqual(['FreeBSD', 'FreeBSD-kernel']);
    const installed = [{ kind: 'package', name: 'tmux', version: '3.4' }];
    expect(auditOf(audit, installed).known).toHaveLength(3);
  });
});
