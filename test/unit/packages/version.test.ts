import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compareVersions } from '../../../build/packages/version.js';

const WORD: Readonly<Record<string, number>> = { '<': -1, '=': 0, '>': 1 };

describe('versions of packages', () => {
  // freebsd/pkg, tests/frontend/version.sh
  it.each([
    ['1', '<', '2'],
    ['2', '>', '1'],
    ['2', '=', '2'],
    ['2', '<', '1,1'],
    ['1.pl1', '<', '1.alpha1'],
    ['1.alpha1', '<', '1.beta1'],
    ['1.beta1', '<', '1.pre1'],
    ['1.pre1', '<', '1.rc1'],
    ['1.rc1', '<', '1'],
    ['1.pl1', '<', '1.snap1'],
    ['1.snap1', '>', '1.alpha1'],
  ])('%s %s %s', (one, word, two) => {
    expect(compareVersions(one, two)).toBe(WORD[word]);
  });

  // What the comments of libpkg/pkg_version.c say.
  it.each([
    ['1.0:2003.09.16', '=', '1.0.2003.09.16'],
    ['1.0.1:2003.09.16', '<', '1.0:2003.09.16'],
    ['10..1', '=', '10.1'],
    ['10a1b2', '=', '10a1.b2'],
    ['10', '=', '10.0.0'],
    ['10', '<', '10a'],
    ['10a', '<', '10b'],
    ['a', '<', '0'],
    ['10.a', '<', '10'],
    ['10alpha', '=', '10.a'],
    ['10alpha', '<', '10'],
    ['10', '<', '10a'],
    ['0.1beta2', '=', '0.1.b2'],
    ['0.1.b2', '<', '0.1'],
    ['1.d2', '=', '1.dev2'],
    ['1.dev2', '=', '1.Development2'],
    ['2.*', '<', '2pl1'],
    ['2pl1', '<', '2alpha3'],
    ['2alpha3', '<', '2.9f7'],
    ['2.9f7', '<', '3.*'],
    ['1.0', '<', '1.0_1'],
    ['1.0_2', '<', '1.0_10'],
    ['1.0_9,1', '>', '2.0'],
    ['1.0+2', '<', '1.0+10'],
    ['1.0+', '=', '1.0'],
    ['foo-1.0', '<', 'foo-bar-1.1'],
    ['99999999999999999999', '=', '99999999999999999998'],
    ['1.0_1', '=', '1.0_01'],
  ])('%s %s %s', (one, word, two) => {
    expect(compareVersions(one, two)).toBe(WORD[word]);
  });

  it('is the same both ways round, whatever it is given', () => {
    const odd = fc.string({ unit: fc.constantFrom(...Array.from('0129abp.+*_,-:plrcALPHA')), maxLength: 12 });
    fc.assert(
      fc.property(odd, odd, (one, two) => {
        expect(compareVersions(one, two) + compareVersions(two, one)).toBe(0);
        expect(compareVersions(one, one)).toBe(0);
      }),
      { numRuns: 2000, seed: 20260101 },
    );
  });
});
