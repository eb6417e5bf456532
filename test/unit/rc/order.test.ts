import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { checkOrder } from '../../../build/rc/check.js';
import { parseHeader } from '../../../build/rc/headers.js';
import type { RcScript } from '../../../build/rc/headers.js';
import { RcOrder } from '../../../build/rc/order.js';
import { rcScripts } from '../../../build/release/sample/rcd.js';
import { cpuTime } from '../../helpers/tmp.js';

const parsed = (path: string, text: string): RcScript[] => {
  const header = parseHeader(path, text);
  return header ? [header] : [];
};

const overlay = [
  'overlays/base/etc/rc.d',
  'overlays/firstboot/etc/rc.d',
  'overlays/firstboot/usr/local/etc/rc.d',
].flatMap((folder) =>
  readdirSync(folder).map((name) => ({ name, text: readFileSync(join(folder, name), 'utf8') })),
);
const base = rcScripts();
const TAILSCALED = { name: 'tailscaled', text: '# PROVIDE: tailscaled\n# REQUIRE: NETWORKING SERVERS\n' };

function image(
  change: (name: string, text: string) => string = (_, text) => text,
  more = [TAILSCALED],
): RcScript[] {
  return [...base, ...overlay, ...more].flatMap(({ name, text }) => parsed(name, change(name, text)));
}

describe('the header of an rc.d script', () => {
  it('is its first block, and nothing behind it', () => {
    expect(
      parseHeader(
        'etc/rc.d/a',
        '#!/bin/sh\n#\n# PROVIDE: a b\n# REQUIRE:\tc\n# KEYWORD: nojail\n\n# BEFORE: d\n',
      ),
    ).toEqual({ path: 'etc/rc.d/a', provide: ['a', 'b'], require: ['c'], before: [], keyword: ['nojail'] });
    expect(parseHeader('etc/rc.d/a', '#!/bin/sh\necho\n')).toBeUndefined();
  });
});

describe('the order of the scripts of an image', () => {
  it('holds with those of FreeBSD 15.1, with Tailscale and without', () => {
    expect(base.length).toBeGreaterThan(100);
    expect(checkOrder(image())).toEqual([]);
    expect(checkOrder(image(undefined, []))).toEqual([]);
  });

  it.each([
    ['clawdie_lockdown', /^# BEFORE: netif$/m, 'before netif'],
    ['clawdie_install', /^# BEFORE: clawdie_lockdown$/m, 'before netif'],
    ['clawdie_egress', /^# REQUIRE: routing defaultroute$/m, 'routing (routing) run before clawdie_egress'],
    ['clawdie_egress', /^# BEFORE: NETWORKING pf$/m, 'before pf'],
    ['clawdie_firstboot', /^# BEFORE: LOGIN$/m, 'before LOGIN'],
    ['pf_reload', /^# REQUIRE: .*$/m, 'tailscaled (tailscaled) run before pf_reload'],
    ['netif', /^# PROVIDE: netif$/m, 'provides netif'],
    ['sshd', /^# REQUIRE: .*$/m, 'pf (pf) run before sshd'],
  ])('is refused where the line of %s is gone: %s', (script, line, message) => {
    const changed = image((name, text) => {
      if (name !== script) return text;
      expect(text).toMatch(line);
      return text.replace(line, '#');
    });
    expect(checkOrder(changed).join('\n')).toContain(message);
  });

  it('is refused where scripts wait for each other', () => {
    const problems = checkOrder(
      image((name, text) => (name === 'clawdie_lockdown' ? text.replace('FILESYSTEMS', 'pf') : text)),
    );
    expect(problems.join('\n')).toMatch(/wait for each other: .*clawdie_lockdown/);
  });

  it('passes over what nothing provides, as rcorder does', () => {
    const scripts = [
      ...parsed('a', '# PROVIDE: a\n# REQUIRE: nothing\n'),
      ...parsed('b', '# PROVIDE: b\n# REQUIRE: a\n'),
    ];
    const order = new RcOrder(scripts);
    expect(order.precedes('a', 'b')).toBe(true);
    expect(order.precedes('b', 'a')).toBe(false);
    expect(order.cycle()).toBeUndefined();
  });
});

describe('headers that somebody has made to take long', () => {
  it.each<[string, (index: number) => string, number]>([
    [
      '50,000 times one name',
      () =>
        `# PROVIDE: ${'x '.repeat(50_000)}\n# REQUIRE: ${'x '.repeat(50_000)}\n# BEFORE: ${'x '.repeat(50_000)}\n`,
      20,
    ],
    ['50,000 names', () => `# PROVIDE: ${Array.from({ length: 50_000 }, (_, n) => `n${n}`).join(' ')}\n`, 5],
    [
      'all of them before all others',
      (index) => `# PROVIDE: sshd netif n${index}\n# REQUIRE: sshd\n# BEFORE: netif\n`,
      300,
    ],
    ['a long chain', (index) => `# PROVIDE: n${index}\n# REQUIRE: n${index + 1}\n`, 500],
  ])('are judged in time: %s', (_, text, count) => {
    const more = Array.from({ length: count }, (_each, index) => ({ name: `s${index}`, text: text(index) }));
    const scripts = image(undefined, more);
    const started = cpuTime();
    checkOrder(scripts);
    expect(cpuTime() - started).toBeLessThan(5000);
  });
});
