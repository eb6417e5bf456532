import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { indexPage } from '../../build/report/index-page.js';
import { imagePage } from '../../build/report/image-page.js';
import type { ImageFacts, ShownBoot } from '../../build/report/facts.js';
import { browserOf, pageOf, seriousOf } from '../helpers/browser.js';
import { cli, sampleArgs } from '../helpers/cli.js';
import { factsOf, fleetOf } from '../helpers/report.js';
import { tmp } from '../helpers/tmp.js';

const NAME = 'clawdie-sample-amd64';

/** A picture of one dot. */
const DOT =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';

/** What a boot found, with frames: one with a picture, one with the console alone. */
const BOOT: ShownBoot = {
  facts: {
    ...{ image: 'x.iso', sha256: 'a'.repeat(64), ok: true },
    starts: [
      {
        ...{ firmware: 'bios', media: 'cd', accelerator: 'tcg', reached: 'login', probes: 3, firstFrame: 4 },
        stages: [{ name: 'loader', seconds: 2.5 }],
        frames: [
          { at: 'loader', seconds: 2.5, image: 'a.png', lines: ['BTX loader'] },
          { at: 'login', seconds: 31, lines: ['x'.repeat(300), 'login:'] },
        ],
        checks: [{ id: 'tcp', state: 'held', detail: 'no answer', seconds: 1 }],
      },
    ],
  },
  pictures: new Map([['a.png', DOT]]),
};

/** The page of an image of some tenants, in a folder. */
async function written(): Promise<{ readonly path: string } & Awaited<ReturnType<typeof factsOf>>> {
  const made = await factsOf({ TENANTS: 'igor natasha' });
  const path = join(await tmp(), 'x.html');
  writeFileSync(path, imagePage(made.facts, made.drawn, BOOT));
  return { path, ...made };
}

describe('papers of an image', () => {
  it('lie beside it, are made again by their record, and have no secret; same inputs, same bill and provenance', async () => {
    const folder = await tmp();
    const dist = (name: string): string => join(folder, 'dist', name);
    const read = (name: string): string => readFileSync(dist(name), 'utf8');
    expect(await cli(sampleArgs(folder))).toMatchObject({ code: 0, stderr: '' });
    const first = [read(`${NAME}.cdx.json`), read(`${NAME}.provenance.json`)];
    expect(first[0]).toContain('/boot/kernel/kernel.gz');
    expect(read(`${NAME}.html`)).toContain('There was no image of this deployment');

    expect(await cli(sampleArgs(folder, '--set', 'HTTP=no'))).toMatchObject({ code: 0, stderr: '' });
    expect(read(`${NAME}.html`)).toContain('Configuration: HTTP');
    expect(read(`${NAME}.provenance.json`)).not.toBe(first[1]);
    expect(await cli(sampleArgs(folder))).toMatchObject({ code: 0, stderr: '' });
    expect([read(`${NAME}.cdx.json`), read(`${NAME}.provenance.json`)]).toEqual(first);

    const page = read(`${NAME}.html`);
    writeFileSync(dist(`${NAME}.html`), '');
    const again = await cli(['report', dist(`${NAME}.json`)]);
    expect(again).toEqual({ code: 0, stdout: `${dist(`${NAME}.html`)}\n`, stderr: '' });
    expect(read(`${NAME}.html`)).toBe(page);
    const { images } = JSON.parse(read(`${NAME}.json`)) as ImageFacts;

    const boot = join(folder, 'boot.json');
    const start = { firmware: 'bios', media: 'cd', accelerator: 'tcg', reached: 'sample', probes: 0 };
    const starts = [{ ...start, stages: [{ name: 'loader', seconds: 2.5 }], checks: [] }];
    const report = { image: 'x', ok: true, starts };
    writeFileSync(boot, JSON.stringify({ ...report, sha256: images[0]?.sha256 }));
    expect(await cli(['report', dist(`${NAME}.json`), '--boot', boot])).toMatchObject({ code: 0 });
    expect(read(`${NAME}.html`)).toContain('Everything held.');
    writeFileSync(boot, JSON.stringify({ ...report, sha256: 'a' }));
    const other = await cli(['report', dist(`${NAME}.json`), '--boot', boot]);
    expect(other.code).toBe(2);
    expect(other.stderr).toContain('is of another image');
    const none = await cli(['report', dist('CHECKSUM.SHA256')]);
    expect(none).toMatchObject({ code: 2, stdout: '' });
    expect(none.stderr).toContain('it is no JSON');
  });
});

describe('the report in a browser', () => {
  it('complains of nothing, asks nobody for anything, and shows what is known of two boxes', async (context) => {
    const browser = await browserOf(context);
    const { path, drawn } = await written();
    const { page, complaints } = await pageOf(browser, path);
    const pairs = drawn[0]?.map.pairs.filter(({ verdict }) => verdict !== 'closed') ?? [];
    expect(await page.locator('.tie').count()).toBe(pairs.length);
    expect(await page.evaluate('document.querySelector(".frames img").naturalWidth')).toBe(1);
    await page.locator('.box[data-zone="internet"]').click();
    await page.locator('.box[data-zone="host"]').click();
    const detail = page.locator('.detail');
    expect(await detail.textContent()).toMatch(/internet → host.*\/etc\/pf\.conf:\d+.*fulfils/s);
    // By keyboard alone.
    await page.locator('.box[data-zone="vnet:igor"]').focus();
    await page.keyboard.press('Enter');
    await page.locator('.box[data-zone="plain:natasha"]').focus();
    await page.keyboard.press('Space');
    expect(await detail.textContent()).toContain('Nothing gets through.');
    await page.locator('.matrix button[data-from="internet"][data-to="host"]').press('Enter');
    expect(await detail.textContent()).toContain('internet → host');
    expect(await page.locator('.tie.chosen').count()).toBe(1);
    expect(complaints).toEqual([]);
  });

  it.for(['light', 'dark'] as const)(
    'is accessible, %s: axe-core finds nothing serious',
    async (scheme, context) => {
      const browser = await browserOf(context);
      const { path } = await written();
      const { page, complaints } = await pageOf(browser, path, scheme);
      await page.locator('.matrix button[data-from="internet"][data-to="host"]').click();
      expect(await seriousOf(page)).toEqual([]);
      const index = join(await tmp(), 'index.html');
      writeFileSync(index, indexPage(fleetOf(20), new Map([['n3', { report: 'x.html' }]])));
      expect(await seriousOf((await pageOf(browser, index, scheme)).page)).toEqual([]);
      expect(complaints).toEqual([]);
    },
  );

  it('shows the index of 1,000 deployments within 2 s, sorts and searches it', async (context) => {
    const browser = await browserOf(context);
    const path = join(await tmp(), 'index.html');
    writeFileSync(path, indexPage(fleetOf(1000), new Map()));
    const { page, complaints } = await pageOf(browser, path);
    const loaded: unknown = await page.evaluate('performance.getEntriesByType("navigation")[0].loadEventEnd');
    expect(Number(loaded)).toBeGreaterThan(0);
    expect(Number(loaded)).toBeLessThan(2000);
    const first = page.locator('tbody tr').first();
    await page.getByRole('button', { name: 'size' }).click();
    await page.getByRole('button', { name: 'size' }).click();
    expect(await first.textContent()).toContain('n999');
    await page.getByRole('searchbox').fill('n42 rack0');
    expect(await page.locator('#count').textContent()).toMatch(/^\d+ of 1000$/);
    expect(await page.locator('tbody tr:not([hidden])').count()).toBeLessThan(20);
    expect(complaints).toEqual([]);
  });
});
