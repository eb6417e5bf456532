import { describe, expect, it } from 'vitest';
import { createHash } from 'node:crypto';
import { matchesGlob } from '../../../build/packages/glob.js';
import { decodeBase32, encodeBase32, parseSum } from '../../../build/packages/sums.js';

const hashes = (bytes: string, algorithm: string): string =>
  createHash(algorithm).update(bytes).digest('hex');

describe('sums of packages', () => {
  // freebsd/pkg, tests/lib/checksum.c: of "foo".
  it.each([
    ['2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae', 'sha256'],
    ['1$2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae', 'sha256'],
    [
      '2$kgygnaah7wxsgn1wkuic4j78zq8dicmx53picmma99ogmkbd7k5nhuxr5xxemz6yzjab15oor3tjt7nupj8mh764y7kddbne7qw9agn',
      'blake2b512',
    ],
    ['5$eoiiccdoiuz9acwfo7fxi6abnrfdtg81mz5ccx7tbg5ny9755g7y', 'blake2s256'],
  ])('%s is the %s of "foo"', (text, algorithm) => {
    expect(parseSum(text)).toEqual({ algorithm, hex: hashes('foo', algorithm), text });
  });

  it('knows the older form in base 32', () => {
    const text = `0$${encodeBase32(createHash('sha256').update('foo').digest())}`;
    expect(parseSum(text)).toEqual({ algorithm: 'sha256', hex: hashes('foo', 'sha256'), text });
  });

  it.each([
    '',
    'mehe',
    'm$he',
    '3$abc',
    '6$abc',
    '42$abc',
    '2$',
    '2$2$kgygnaah7wxsgn1w',
    '2$kgygnaah7wxsgn1wkuic4j78zq8dicmx53picmma99ogmkbd7k5nhuxr5xxemz6yzjab15oor3tjt7nupj8mh764y7kddbne7qw9ag',
    '2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7aE',
    '../2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e',
  ])('takes %j for none', (text) => {
    expect(parseSum(text)).toBeUndefined();
  });

  it('has one text for each hash', () => {
    const bytes = createHash('sha512').update('x').digest();
    const text = encodeBase32(bytes);
    expect(text).toHaveLength(103);
    expect(decodeBase32(text, 64)).toEqual(bytes);
    // Bits behind the last byte.
    expect(decodeBase32(`${text.slice(0, -1)}9`, 64)).toBeUndefined();
  });
});

describe('globs', () => {
  it.each([
    ['bash', 'bash', true],
    ['bash', 'bash5', false],
    ['*-client', 'mysql-client', true],
    ['mysql8[0-4]-server', 'mysql84-server', true],
    ['mysql8[!0-4]-server', 'mysql84-server', false],
    ['py3?-foo', 'py31-foo', true],
    ['py3?-foo', 'py311-foo', false],
    ['a\\*b', 'a*b', true],
    ['a\\*b', 'axb', false],
    ['[', '[', true],
    ['*a*b*', 'xxaxxbxx', true],
    ['', 'a', false],
    ['*', '', true],
  ])('%s and %s: %s', (pattern, text, expected) => {
    expect(matchesGlob(pattern, text)).toBe(expected);
  });

  it('are matched in a time that does not explode', () => {
    expect(matchesGlob('*a'.repeat(100), 'a'.repeat(99).concat('b'))).toBe(false);
  });
});
