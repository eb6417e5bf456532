import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { report } from '../../../build/commands/report.js';
import { auditOf } from '../../../build/packages/audit.js';
import { changesBetween } from '../../../build/report/changes.js';
import { readFacts } from '../../../build/report/facts.js';
import type { ImageFacts, ShownBoot } from '../../../build/report/facts.js';
import { html, scriptJson } from '../../../build/report/html.js';
import { imagePage } from '../../../build/report/image-page.js';
import { indexPage } from '../../../build/report/index-page.js';
import type { DrawnMap } from '../../../build/report/map-store.js';
import { visible } from '../../../build/quote.js';
import { factsOf, fleetOf, tagsOf } from '../../helpers/report.js';
import { tmp } from '../../helpers/tmp.js';

const HOSTILE = '</script><img src=x onerror=alert(1)>"\'&<!--\u202e\u0007]]>';

/** Every text of a value replaced, but for words that the page goes by. */
function hostile<T>(value: T, text: string): T {
  const swap = (each: unknown, key = ''): unknown => {
    if (typeof each === 'string')
      return ['verdict', 'state', 'kind', 'family', 'direction', 'format', 'arrivesWith', 'type'].includes(
        key,
      )
        ? each
        : `${text}${each}`;
    if (Array.isArray(each)) return each.map((item) => swap(item, key));
    if (typeof each !== 'object' || each === null) return each;
    return Object.fromEntries(Object.entries(each).map(([name, item]) => [name, swap(item, name)] as const));
  };
  return swap(value) as T;
}

describe('the report of an image', () => {
  it.each([
    ['as it is', {}],
    ['with tenants and Tailscale', { TENANTS: 'igor natasha', TAILSCALE: 'host', JAIL_NETWORK: 'vnet' }],
  ] as const)(
    'has a line for each pair of the proof that is not closed, and no other: %s',
    async (_, values) => {
      const { facts, drawn } = await factsOf(values);
      const page = imagePage(facts, drawn, undefined);
      expect(drawn).toHaveLength('TAILSCALE' in values ? 2 : 1);
      const lines = [...page.matchAll(/<g\s+class="tie"\s+data-from="([^"]*)"\s+data-to="([^"]*)"/g)].map(
        ([, from, to]) => `${from ?? ''} ${to ?? ''}`,
      );
      const pairs = drawn.flatMap(({ map }) =>
        map.pairs.filter(({ verdict }) => verdict !== 'closed').map(({ from, to }) => `${from} ${to}`),
      );
      expect(lines).toEqual(pairs);
      expect(pairs).toContain('internet host');
      for (const { map, drawing } of drawn) {
        expect(drawing.boxes).toHaveLength(map.zones.length);
        for (const { points } of drawing.lines) expect(points.length % 3).toBe(1);
        // Boxes lie side by side.
        for (const [index, a] of drawing.boxes.entries())
          for (const b of drawing.boxes.slice(index + 1))
            expect(a.x + a.w <= b.x || b.x + b.w <= a.x || a.y + a.h <= b.y || b.y + b.h <= a.y).toBe(true);
      }
    },
  );

  it('says of each open pair which rule decides, by its line, and which row of the policy it fulfils', async () => {
    const { drawn } = await factsOf({});
    const { map } = drawn[0] as DrawnMap;
    const ssh = map.pairs.find(({ from, to }) => from === 'internet' && to === 'host');
    const passing = ssh?.passes.find(({ services }) => services.some((text) => /\b22\b/.test(text)));
    const rule = map.rules[passing?.steps.at(-1)?.rule ?? -1];
    expect(rule).toMatchObject({ file: '/etc/pf.conf', text: expect.stringMatching(/^pass in/) as string });
    expect(rule?.line).toBeGreaterThan(0);
    const row = map.rows.find(({ id }) => id === passing?.steps.at(-1)?.row);
    expect(row?.why).toBeTruthy();
    const closed = map.pairs.find(
      ({ verdict, from, to }) => verdict === 'closed' && from === 'card' && to !== from,
    );
    expect(closed?.blocks.some(({ verdict, rule: index }) => verdict === 'block' && index !== null)).toBe(
      true,
    );
  });

  it('keeps as text whatever names, rules and values hold', async () => {
    const { facts, drawn } = await factsOf({ TENANTS: 'igor' });
    const full: ImageFacts = {
      ...facts,
      contents: [{ kind: 'package', name: 'a', version: '1', license: 'l', bytes: 5, asked: ['PACKAGES'] }],
      audit: {
        ...{ time: 't', from: 'u', looked: 3 },
        known: [{ name: 'a', version: '1', vulnerabilities: [{ id: 'i', topic: 'bad', cves: ['CVE-1'] }] }],
      },
      since: { finished: 'then', changes: [{ what: 'x', before: 'a', now: 'b' }] },
      policy: { ...facts.policy, exceptions: [{ row: 'r', example: 'e' }] },
    };
    const boot = {
      ...{ image: 'x.iso', sha256: 'a', ok: false },
      starts: [
        {
          ...{
            firmware: 'bios',
            media: 'cd',
            accelerator: 'tcg',
            reached: 'loader',
            stopped: 's',
            probes: 3,
          },
          stages: [{ name: 'loader', seconds: 1 }],
          frames: [{ at: 'login', seconds: 2, image: 'a.png', lines: ['l'] }],
          checks: [{ id: 'ports', state: 'failed' as const, detail: 'd', seconds: 1 }],
        },
      ],
    };
    const shown = (text: string): ShownBoot => ({
      facts: hostile(boot, text),
      pictures: new Map([[`${text}a.png`, 'QUJD']]),
    });
    const plain = imagePage(hostile(full, ''), hostile(drawn, ''), shown(''));
    const page = imagePage(hostile(full, HOSTILE), hostile(drawn, HOSTILE), shown(HOSTILE));
    expect(tagsOf(page)).toEqual(tagsOf(plain));
    expect(page.match(/<img/g)).toHaveLength(1);
    expect(page).not.toMatch(/\u202e|\u0007/);
    const data = /<script type="application\/json">([^<]*)<\/script>/.exec(page)?.[1] ?? '';
    expect((JSON.parse(data) as DrawnMap['map']).rules[0]?.text).toContain(visible(HOSTILE));
  });

  it('loads nothing from anywhere, and runs its own script alone', async () => {
    const { facts, drawn } = await factsOf({});
    const page = imagePage(facts, drawn, undefined);
    for (const [, target] of page.matchAll(/(?:href|src|action|data|xlink:href)="([^"]*)"/g))
      expect(target).toMatch(/^#/);
    expect(page).not.toMatch(/url\(|@import|<link|<iframe|fetch\(|XMLHttpRequest|\son[a-z]+=|style="/);
    const policy = /http-equiv="Content-Security-Policy"\s+content="([^"]*)"/.exec(page)?.[1] ?? '';
    expect(policy).toContain('default-src &#39;none&#39;');
    const sum = (text: string): string => createHash('sha256').update(text).digest('base64');
    for (const tag of ['style', 'script'])
      expect(policy).toContain(sum(new RegExp(`<${tag}>([\\s\\S]*?)</${tag}>`).exec(page)?.[1] ?? ''));
  });

  it('is told by a record of an earlier version, too, and refuses what is none', async () => {
    const { facts } = await factsOf({});
    expect(imagePage({ ...facts, maps: undefined }, [], undefined)).toContain('has no map');
    expect(readFacts('{}')).toMatchObject({ flaw: expect.stringContaining('no build record') as string });
    expect(readFacts('x')).toEqual({ flaw: 'it is no JSON' });
  });

  it('shows how a boot looked, with its pictures in the page, and the console where there is none', async () => {
    const { facts } = await factsOf({});
    const folder = await tmp();
    const record = join(folder, 'x.json');
    mkdirSync(join(folder, 'boot'));
    const frames = ['a.png', 'gone.png', 'none.png', undefined].map((image, index) => ({
      ...{ at: `stage${index}`, seconds: index, lines: [`line <${index}>`] },
      ...(image !== undefined && { image }),
    }));
    const start = { firmware: 'bios', media: 'cd', accelerator: 'tcg', reached: 'login', probes: 0 };
    const boot = { image: 'x.iso', sha256: 'a'.repeat(64), ok: true };
    const write = (all: unknown): void => {
      const starts = [{ ...start, stages: [], checks: [], frames: all }];
      writeFileSync(join(folder, 'boot', 'report.json'), JSON.stringify({ ...boot, starts }));
    };
    const again = async (): Promise<string> => {
      await report({ records: [record], open: false }, () => undefined);
      return readFileSync(join(folder, 'x.html'), 'utf8');
    };
    writeFileSync(record, JSON.stringify({ ...facts, maps: [] }));
    const png = Buffer.concat([
      Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]),
      Buffer.alloc(9),
    ]);
    writeFileSync(join(folder, 'boot', 'a.png'), png);
    writeFileSync(join(folder, 'boot', 'none.png'), '<svg onload="alert(1)">');
    write(frames);
    const page = await again();
    expect([...page.matchAll(/<img src="([^"]*)" alt="([^"]*)"/g)].map(([, src, alt]) => [src, alt])).toEqual(
      [[`data:image/png;base64,${png.toString('base64')}`, 'The screen of bios, cd at stage0']],
    );
    for (const index of [0, 1, 2, 3]) expect(page).toContain(`line &lt;${index}&gt;`);
    expect(page.match(/<details open/g)).toHaveLength(3);
    // A report that names what is not beside it is none.
    for (const image of ['../x.png', '/etc/passwd', 'a/b.png', '.png']) {
      write([{ ...frames[0], image }]);
      expect(await again()).toContain('None was made of this very image.');
    }
  });

  it('is shown in the browser of the desktop where that is asked for, and said where there is none', async () => {
    const { facts } = await factsOf({});
    const folder = await tmp();
    const [record, shown, bin] = ['x.json', 'shown', 'bin'].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ];
    writeFileSync(record, JSON.stringify({ ...facts, maps: [] }));
    mkdirSync(bin);
    for (const name of ['xdg-open', 'open'])
      writeFileSync(join(bin, name), `#!/bin/sh\necho "$@" > '${shown}'\n`, { mode: 0o755 });
    vi.stubEnv('PATH', `${bin}:${process.env['PATH'] ?? ''}`);
    onTestFinished(() => void vi.unstubAllEnvs());
    await report({ records: [record], open: true }, () => undefined);
    await vi.waitFor(() => {
      expect(readFileSync(shown, 'utf8')).toBe(`${join(folder, 'x.html')}\n`);
    }, 20_000);
    vi.stubEnv('PATH', folder);
    await expect(report({ records: [record], open: true }, () => undefined)).rejects.toThrow(
      'The report cannot be opened',
    );
  });

  it('names licences, and what is known of packages; nothing where nobody has asked', async () => {
    const { facts } = await factsOf({});
    const contents: ImageFacts['contents'] = [
      { kind: 'package', name: 'tmux', version: '1', license: 'ISCL', asked: [] },
      { kind: 'npm', name: 'curl', version: '8', asked: [] },
    ];
    const asked = (audit: ImageFacts['audit']): string =>
      imagePage({ ...facts, contents, audit }, [], undefined);
    expect(asked(undefined)).toContain('<td>ISCL</td>');
    expect(asked(undefined)).toContain('was not asked');
    expect(imagePage(facts, [], undefined)).not.toContain('was not asked');
    const known = ['tmux', 'curl'].map((name) => ({
      ...{ name, version: name === 'tmux' ? '1' : '8' },
      vulnerabilities: [{ id: 'v-1', topic: `${name} -- bad`, cves: ['CVE-2026-7'] }],
    }));
    const audit = { time: '2026-02-03T04:05:06.000Z', from: 'vuln.xml', looked: 9, known };
    expect(asked({ ...audit, known: [] })).toContain('none is known of these packages');
    expect(asked(audit)).toContain('neither for the base system nor for packages of npm');
    expect(asked({ ...audit, base: ['FreeBSD 15.1_2'] })).toContain(
      'FreeBSD 15.1_2 too, and not for packages',
    );
    // A package of npm of the same name is another thing.
    const of = auditOf(audit, contents);
    expect(of.known.map(({ name }) => name)).toEqual(['tmux']);
    expect(asked(of)).toMatch(
      /1 packages are known to be vulnerable\.[^]*<td>tmux -- bad<\/td>\s*<td>CVE-2026-7<\/td>/,
    );
    const before = { ...facts, audit: { ...audit, known: [] } };
    expect(changesBetween(before, { ...facts, audit: of }).map(({ what }) => what)).toEqual([
      'Known to be vulnerable: tmux',
    ]);
    expect(changesBetween(facts, { ...facts, audit: of })).toEqual([]);
  });

  it('says what differs from the image before', async () => {
    const [{ facts: before }, { facts: now }] = [await factsOf({}), await factsOf({ HTTP: 'no' })];
    expect(changesBetween(before, before)).toEqual([]);
    const found = changesBetween(before, now).map(({ what }) => what);
    expect(found).toContain('Configuration: HTTP');
    expect(found).toContain('Who reaches whom: internet to host (Tailscale off)');
  });
});

describe('the index of a fleet', () => {
  it('has a row for each deployment, and what it is given stays text', () => {
    const record = fleetOf(1000);
    const page = indexPage(
      record,
      new Map([['n1', { report: 'a b#.html', changes: ['Configuration: HTTP'], vulnerable: 3 }]]),
    );
    expect(page.match(/<th scope="row">/g)).toHaveLength(1000);
    expect(page).toContain('href="./a%20b%23.html"');
    expect(page).toContain('made: Configuration: HTTP');
    expect(page).toContain('<td data-value="3">3</td>');
    const bad = hostile(record, HOSTILE);
    expect(tagsOf(indexPage(bad, new Map()))).toEqual(tagsOf(indexPage(hostile(record, ''), new Map())));
  });
});

describe('a template of markup', () => {
  it('escapes texts, between tags and in attributes', () => {
    expect(html`<a title="${'"><b>'}">${'<i>'}${[1, html`<br />`]}</a>`.text).toBe(
      '<a title="&quot;&gt;&lt;b&gt;">&lt;i&gt;1<br /></a>',
    );
    expect(scriptJson({ a: '</script><!--' }).text).not.toMatch(/[<>]/);
  });
});
