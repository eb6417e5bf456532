import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parsePf } from '../../../build/pf/parse.js';
import type { ParseResult } from '../../../build/pf/parse.js';
import { printRuleset } from '../../../build/pf/print.js';
import { folderOf, PFCTL } from '../../helpers/real.js';

/** The cases that docs/pf.md says are printed in another way, and how many lines of pfctl's are not among ours. */
function documented(): ReadonlyMap<string, number> {
  const text = readFileSync(new URL('../../../docs/pf.md', import.meta.url), 'utf8');
  const rows = text.matchAll(/^\| `(pf\d{4})` \| (\d+) \|/gm);
  return new Map(Array.from(rows, ([, name = '', lines = '']) => [name, Number(lines)]));
}

/** How many lines of a text another one does not have. */
function missing(wanted: string, found: string): number {
  const rest = found.split('\n');
  let count = 0;
  for (const line of wanted.split('\n')) {
    const at = rest.indexOf(line);
    if (at < 0) count++;
    else rest.splice(at, 1);
  }
  return count;
}

describe("FreeBSD's own parser cases", () => {
  it('read and print alike, save those that docs/pf.md names', ({ skip }) => {
    if (PFCTL.skipped !== undefined) skip(PFCTL.skipped);
    const folder = folderOf(PFCTL);
    const file = (name: string): string | undefined => {
      const path = join(folder, name);
      return existsSync(path) ? readFileSync(path, 'utf8') : undefined;
    };
    const parse = (name: string): ParseResult => parsePf(file(name) ?? '', name, file);
    const names = readdirSync(folder)
      .filter((name) => /^pf\d{4}\.in$/.test(name))
      .map((name) => name.replace('.in', ''));
    expect(names.length).toBeGreaterThan(100);
    const different = new Map<string, number>();
    const wrong: string[] = [];
    for (const name of names) {
      const read = parse(`${name}.in`);
      if (file(`${name}.fail`) !== undefined) {
        if (read.flaws.length === 0) wrong.push(`${name}.in is taken, and pfctl refuses it`);
        continue;
      }
      const ok = file(`${name}.ok`) ?? '';
      for (const { message } of read.flaws) wrong.push(`${name}.in: ${message}`);
      const print = printRuleset(read.ruleset);
      if (print !== ok) different.set(name, missing(ok, print));
      // What pfctl prints is read as it stands, too.
      const again = parse(`${name}.ok`);
      for (const { message } of again.flaws) wrong.push(`${name}.ok: ${message}`);
      if (again.ruleset.queues.length === 0 && printRuleset(again.ruleset) !== ok)
        wrong.push(`${name}.ok is printed in another way`);
    }
    expect(wrong).toEqual([]);
    expect([...different].sort()).toEqual([...documented()].sort());
  });
});

const flaws = (text: string): string[] =>
  parsePf(text, 'pf.conf').flaws.map(({ place, message }) => `${place.line}:${place.column} ${message}`);
const normal = (text: string): string[] => {
  expect(flaws(text)).toEqual([]);
  return printRuleset(parsePf(text, 'pf.conf').ruleset).trimEnd().split('\n');
};

describe('what pfctl reads', () => {
  it.each<[string, string[]]>([
    // Numbers of ports are strtoul's where they are no plain number.
    [
      'block proto udp to port { 0x10, 0x10:0x20, 022:023, 22:22 }',
      [
        'block drop proto udp from any to any port = 16',
        'block drop proto udp from any to any port 16:32',
        'block drop proto udp from any to any port 18:19',
        'block drop proto udp from any to any port = ssh',
      ],
    ],
    [
      'block proto { tcp, udp } to port 514',
      [
        'block drop proto tcp from any to any port = shell',
        'block drop proto udp from any to any port = syslog',
      ],
    ],
    // All addresses before the next port.
    [
      'block proto tcp from { 10.0.0.1, 10.0.0.2 } port { 1000, 1001 }',
      [
        'block drop inet proto tcp from 10.0.0.1 port = 1000 to any',
        'block drop inet proto tcp from 10.0.0.1 port = 1001 to any',
        'block drop inet proto tcp from 10.0.0.2 port = 1000 to any',
        'block drop inet proto tcp from 10.0.0.2 port = 1001 to any',
      ],
    ],
    [
      'pass label "$nr"\npass proto { tcp, udp } label "$nr $if $proto $srcport $dstport"\nanchor "a" {\n  block label "$nr"\n}\nblock in on em0 proto tcp from 10.0.0.1 port 9999 to ! <t> label "$nr $if $srcaddr $srcport $dstaddr"',
      [
        'pass all flags S/SA keep state label "0"',
        'pass proto tcp all flags S/SA keep state label "1 any tcp  "',
        'pass proto udp all keep state label "2 any udp  "',
        'anchor "a" all {',
        '  block drop all label "0"',
        '}',
        'block drop in on em0 inet proto tcp from 10.0.0.1 port = 9999 to ! <t> label "4 em0 10.0.0.1 9999 ! <t>"',
      ],
    ],
    [
      'block from localhost\nblock inet from ! localhost/8',
      [
        'block drop inet6 from ::1 to any',
        'block drop inet from 127.0.0.1 to any',
        'block drop inet from ! 127.0.0.0/8 to any',
      ],
    ],
    ['block to localhost:0', ['block drop inet6 from any to ::1', 'block drop inet from any to 127.0.0.1']],
    [
      'block from fe80::1%em0\nblock on em0 from any to fe80::/64',
      ['block drop on em0 inet6 from fe80::1 to any', 'block drop on em0 inet6 from any to fe80::/64'],
    ],
    [
      'block from { 192.0.2.1, 2001:db8::1 } to (self)/40',
      ['block drop inet from 192.0.2.1 to (self)', 'block drop inet6 from 2001:db8::1 to (self)/40'],
    ],
    [
      'a = "{ 10.0.0.1, 10.0.0.2 }"\nblock from { $a, 10.0.0.3 }\ntable <t> { { 10.0.0.4 } !10.0.0.5 } file "/f" { 10.0.0.6 } { 10.0.0.7 }',
      [
        'a = "{ 10.0.0.1, 10.0.0.2 }"',
        'table <t> { 10.0.0.4 !10.0.0.5 } file "/f" { 10.0.0.6 10.0.0.7 }',
        'block drop inet from 10.0.0.1 to any',
        'block drop inet from 10.0.0.2 to any',
        'block drop inet from 10.0.0.3 to any',
      ],
    ],
    ['block in on { any, ! em0 }', ['block drop in on any all', 'block drop in on ! em0 all']],
    ['match out on em0 nat-to { 192.0.2.1, 2001:db8::1 }', ['match out on em0 inet all nat-to 192.0.2.1']],
    [
      'pass in route-to { (em0 192.0.2.1), (em1 2001:db8::1) } inet6',
      ['pass in route-to (em1 2001:db8::1) inet6 all flags S/SA keep state'],
    ],
    ['pass in dup-to em1', ['pass in dup-to em1 all flags S/SA keep state']],
    [
      'match on em0 inet from 10.0.0.1 to any binat-to 192.0.2.1',
      [
        'match out on em0 inet from 10.0.0.1 to any nat-to 192.0.2.1 static-port',
        'match in on em0 inet from any to 192.0.2.1 rdr-to 10.0.0.1',
      ],
    ],
  ])('%j', (text, expected) => {
    expect(normal(text)).toEqual(expected);
  });

  it('includes files within anchors', () => {
    const { ruleset, flaws: found } = parsePf(
      'anchor "a" {\n  include "/x"\n  pass\n}\n',
      'a',
      () => 'block\n',
    );
    expect(found).toEqual([]);
    expect(printRuleset(ruleset)).toBe(
      'anchor "a" all {\n  block drop all\n  pass all flags S/SA keep state\n}\n',
    );
  });

  it.each([
    ['block from { 10.0.0.1,\n10.0.0.2 }', '1:23 a line cannot end behind a comma'],
    ['block from { 10.0.0.1, }', '1:24 an item has to follow a comma'],
    ['pass keep state (sloppy, )', '1:26 a state option has to follow a comma'],
    ['block\r\npass\r\n', '1:6 "\r" has no place here'],
    ['block once', '1:7 "once" is of OpenBSD: pfctl of FreeBSD does not know it'],
    ['anchor "a" { block }', '1:14 a line has to end behind the { of an anchor'],
    ['anchor "a" {\n nat on em0 -> (em0)\n}', '2:2 an anchor holds filter rules and anchors'],
    ['block proto udp flags S/SA', '1:1 flags are of tcp alone'],
    ['match keep state', '1:1 state is kept by pass rules alone'],
    ['pass nat-to 192.0.2.1', '1:1 a rule that translates needs a direction'],
    ['match no-df', '1:7 "no-df" has no place here'],
    ['set timeout tcp.first 0x10', '1:23 "0x10" stands where the timeout, a number, has to'],
    ['pass proto tcp to port 9 >< 9', '1:24 the port range 9 >< 9 is empty'],
    ['pass proto tcp to port ! = 9', '1:24 "!" stands where a port has to'],
    ['pass from 192.0.2.1%em0', '1:11 "192.0.2.1%em0" is no address'],
    ['pass from 2001:db8::1%em0', '1:11 "2001:db8::1%em0" has a scope, and is no link-local address'],
    ['pass on em1 from fe80::1%em0', '1:1 the rule expands to no valid combination'],
    ['nat on em0 -> { 192.0.2.1, 192.0.2.2 } source-hash', '1:1 several addresses take turns'],
    ['nat on em0 inet -> { (em0), 192.0.2.2 }', '1:1 pfctl passes over what stands behind an interface'],
    [
      `pass on vlan1057 label "${'0'.repeat(56)} $if$if"`,
      `1:1 the label or tag "${'0'.repeat(56)} vlan1057vlan1057" is too long: 63 characters at most`,
    ],
    ['rdr-anchor a proto tcp to port 1:2', '1:1 rdr-anchor takes one port'],
    ['pass in inet af-to inet from (em0)', '1:1 "af-to" needs another family than the rule has'],
    ['pass in keep state (allow-related)', '1:21 "allow-related" lets in connections'],
  ])('%j is refused: %s', (text, message) => {
    expect(flaws(text)[0]).toContain(message);
  });
});

describe('what has a bound', () => {
  const list = (length: number, item: (index: number) => string): string =>
    `{ ${Array.from({ length }, (_, index) => item(index)).join(', ')} }`;
  const product = (length: number): string =>
    `block proto tcp from ${list(length, (n) => `10.0.0.${n}`)} to ${list(length, (n) => `10.0.1.${n}`)} port ${list(length, (n) => String(1000 + n))}`;

  it('is the number of rules that lists make, said with the line', () => {
    expect(parsePf(product(17), 'a').ruleset.rules).toHaveLength(17 ** 3);
    expect(flaws(`block\n${product(20)}\n${product(200)}\n`)).toEqual([
      '2:1 the lists of this rule make 8000 rules of it, with 1 before it: a rule set has 5000 at most; put addresses into a table',
    ]);
    const anchor = `anchor "a" on ${list(100, (n) => `em${n}`)} {\n${'block\n'.repeat(100)}}\n`;
    expect(flaws(anchor)[0]).toContain('make 10100 rules of it');
    const { ruleset, flaws: found } = parsePf('block\n'.repeat(20_000), 'a');
    expect(ruleset.rules).toHaveLength(5000);
    expect(found).toHaveLength(1);
  });

  it('is the text of a macro, the length of a word, and how much is said', () => {
    const doubled = `a = "x x"\n${'a = $a $a\n'.repeat(40)}`;
    expect(flaws(doubled)[0]).toContain('the macro a is too long: 65536 characters at most');
    expect(flaws(`pass label "${'x'.repeat(9000)}"`)[0]).toContain('8095 characters at most');
    expect(flaws(`pass label ${'x'.repeat(9000)}`)[0]).toContain('8095 at most');
    const many = flaws('nonsense\n'.repeat(5000));
    expect(many).toHaveLength(1001);
    expect(many.at(-1)).toBe('1000:9 so much is wrong above that reading ends here');
  });

  it('is what includes itself, and what is within itself', () => {
    const { flaws: found } = parsePf('include "a"\ninclude "a"\n', 'a', () => 'block\n');
    expect(found.map(({ message }) => message)).toEqual(Array(2).fill('the file "a" includes itself'));
    expect(flaws(`block from ${'{ '.repeat(20)}10.0.0.1${' }'.repeat(20)}`)[0]).toContain(
      'lists are nested too deeply',
    );
    // What failed before does not count.
    expect(flaws(`${'block from { x.y. }\n'.repeat(20)}block from { { 10.0.0.1 } }\n`)).toHaveLength(20);
  });
});
