import { describe, expect, it } from 'vitest';
import { comparePapers, differenceLines } from '../../../build/commands/diff-papers.js';
import type { Lock } from '../../../build/packages/lockfile.js';
import { compareBills, compareStatements } from '../../../build/report/compare-papers.js';
import type { LockedFor } from '../../../build/report/contents.js';
import { provenance } from '../../../build/report/provenance.js';
import type { ImageFacts } from '../../../build/report/facts.js';
import { readBill, readStatement } from '../../../build/report/read-papers.js';
import { sbom } from '../../../build/report/sbom.js';
import { factsOf } from '../../helpers/report.js';

const tmux = (version: string, license?: string): Lock['packages'][number] => ({
  ...{ abi: 'a', asked: [], flatsize: 1, name: 'tmux', needs: [], origin: 'sysutils/tmux', path: 'p' },
  ...{ sha256: version.repeat(64).slice(0, 64), size: 1, sum: 's', version },
  ...(license !== undefined && { license }),
});
const module_ = (version: string): Lock['npm'][number] => ({
  ...{ asked: [], integrity: `sha512-${Buffer.alloc(64, Number(version[0])).toString('base64')}`, name: 'm' },
  ...{ places: [], url: 'https://x/', version },
});

/** Papers as they are written, read again. */
function papersOf(facts: ImageFacts, locked: LockedFor, time = 0) {
  const bill = readBill(sbom({ facts, version: 'v', arch: 'amd64', boot: [], locked }));
  const statement = readStatement(
    provenance({
      ...{ facts, locked, catalogue: 'c'.repeat(64), time },
      ...{ secrets: new Map([['TAILSCALE_AUTH_KEY', { 'scrypt-16384-8-1': String(time).repeat(20) }]]) },
      files: [{ name: 'overlays/base', digest: { sha256: 'd'.repeat(64) } }],
    }),
  );
  if (!bill || !statement) throw new Error('they cannot be read again');
  return { bill, statement };
}

describe('papers of two images', () => {
  it('tell of base packages by their names and versions, once', async () => {
    const { facts } = await factsOf({});
    const of = (sums: Readonly<Record<string, string>>) =>
      papersOf(
        { ...facts, release: { ...facts.release, from: 'https://base', sums } },
        { packages: [], npm: [] },
      );
    const [sets, one, other] = [
      of({ 'base.txz': 'b'.repeat(64) }),
      of({
        'All/FreeBSD-clibs-dev-15.1.pkg': '1'.repeat(64),
        'All/Hashed/FreeBSD-rc-15.1~2$abc.pkg': '2'.repeat(64),
      }),
      of({ 'All/FreeBSD-clibs-dev-15.1.pkg': '1'.repeat(64), 'All/FreeBSD-rc-15.1p2.pkg': '3'.repeat(64) }),
    ];
    expect(comparePapers(one, other)).toEqual({
      bill: [{ what: 'base FreeBSD-rc', before: '15.1, 222222222222', now: '15.1p2, 333333333333' }],
      provenance: [],
    });
    const kinds = comparePapers(sets, one);
    expect(kinds.bill?.map(({ what }) => what)).toEqual([
      'base FreeBSD-clibs-dev',
      'base FreeBSD-rc',
      'set base.txz',
    ]);
    expect(kinds.provenance).toEqual([]);
    // Where it was fetched from, as the repository has it.
    const uris = one.statement.predicate.buildDefinition.resolvedDependencies.map(({ uri }) => uri);
    expect(uris).toContain('https://base/All/Hashed/FreeBSD-rc-15.1~2$abc.pkg');
  });

  it('are the same where nothing differs, and tell of each thing once where something does', async () => {
    const { facts } = await factsOf({});
    const before = papersOf(facts, { packages: [tmux('1', 'ISCL')], npm: [module_('1.0.0')] });
    expect(comparePapers(before, before)).toEqual({ bill: [], provenance: [] });
    const after: ImageFacts = {
      ...facts,
      tools: { xz: '6' },
      release: { ...facts.release, sums: { 'base.txz': 'e'.repeat(64) } },
      configuration: { ...facts.configuration, TAILSCALE_AUTH_KEY: { value: '(hidden)', origin: 'file' } },
    };
    const npm = [module_('1.0.0'), module_('2.0.0')];
    const now = papersOf(after, { packages: [tmux('2', 'MIT')], npm }, 7);
    const { bill, provenance: origin } = comparePapers(before, now);
    expect(bill?.map(({ what }) => what)).toEqual(['npm m', 'package tmux', 'set base.txz']);
    expect(bill?.[1]).toMatchObject({
      before: expect.stringMatching(/^1, .*ISCL, 1{12}$/) as string,
      now: expect.stringMatching(/^2, .*MIT, 2{12}$/) as string,
    });
    expect(origin?.map(({ what }) => what)).toEqual([
      'Configuration: TAILSCALE_AUTH_KEY',
      'SOURCE_DATE_EPOCH',
      'Tool: xz',
    ]);
    expect(origin?.[0]).toMatchObject({
      before: 'not there',
      now: '(secret, scrypt-16384-8-1 777777777777)',
    });
    // By themselves they tell of all.
    expect(compareStatements(before.statement, now.statement).map(({ what }) => what)).toContain(
      'Input: package tmux',
    );
    expect(compareBills(before.bill, now.bill)).toEqual(bill);
  });

  it('are not compared where one is not there', async () => {
    const { facts } = await factsOf({});
    const known = papersOf(facts, { packages: [], npm: [] });
    const { bill, provenance: origin } = comparePapers(known, { ...known, bill: undefined });
    expect([bill, origin]).toEqual([undefined, []]);
    expect(differenceLines('Bill', bill)).toEqual([
      'Bill     not compared: not both have one beside them that is of this very image',
    ]);
  });

  it('are none where other programs have written them', () => {
    for (const text of ['', '{}', '{"bomFormat":"CycloneDX"}', '{"_type":"https://in-toto.io/Statement/v1"}'])
      expect([readBill(text), readStatement(text)]).toEqual([undefined, undefined]);
  });
});
