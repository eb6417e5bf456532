import type { Chance } from './chance.js';

/** Address families, as rules call them. */
export type Family = 'inet' | 'inet6';

/** Networks that rules speak of. */
export const NETS: Readonly<Record<Family, readonly string[]>> = {
  inet: [
    ...['192.0.2.0/24', '192.0.2.1', '192.0.2.128/25', '198.51.100.0/24', '198.51.100.7', '203.0.113.0/28'],
    ...['10.0.0.0/8', '10.1.0.0/16', '10/8', '10.1.2.3', '172.16/12', '172.16.5.2', '192.168.0.0/16', '0/0'],
    ...['224.0.0.0/4', '255.255.255.255', '100.64.0.0/10'],
  ],
  inet6: [
    ...['2001:db8::/32', '2001:db8::/64', '2001:db8::1', '2001:db8:1::/64', '2001:db8:1::9', 'fd00::/8'],
    ...['2001:db8:ffff::/48', 'fe80::/10', 'ff02::1', '2000::/3', '2001:db8::/127', '::/0'],
  ],
};
/** What stands above the rules, with the tables and macros of networks that it defines. */
export function drawHead(chance: Chance): {
  readonly lines: readonly string[];
  readonly tables: readonly string[];
  readonly macros: readonly string[];
} {
  const tables: string[] = [];
  const lines = options(chance);
  const macros = chance.is(0.4);
  if (macros) lines.push(...macroLines(chance));
  lines.push(...tableLines(chance, tables));
  return { lines, tables, macros: macros ? ['$nets4', '$nets6'] : [] };
}

function options(chance: Chance): string[] {
  const one = (): string =>
    chance.pick([
      'set block-policy return',
      'set block-policy drop',
      'set state-policy if-bound',
      'set state-policy floating',
      'set fail-policy drop',
      'set optimization aggressive',
      'set timeout { tcp.first 30, udp.single 20 }',
      'set timeout interval 10',
      'set limit { states 50000, frags 2000 }',
      'set limit table-entries 100000',
      'set ruleset-optimization none',
      'set hostid 0x10',
      'set debug urgent',
      'set loginterface em0',
      'set syncookies never',
      'set require-order yes',
      'set state-defaults no-sync',
    ]);
  const few = [...new Set(Array.from({ length: chance.between(0, 3) }, one))];
  // One of a kind: what is set twice is printed twice.
  const kinds = new Map(few.map((line) => [line.split(' ').slice(0, 2).join(' '), line]));
  return [...kinds.values(), chance.pick(['set skip on feed', 'set skip on { feed0, feed1 }'])];
}

function macroLines(chance: Chance): string[] {
  const list = (family: Family): string =>
    Array.from({ length: chance.between(1, 3) }, () => chance.pick(NETS[family])).join(
      chance.pick([', ', ' ']),
    );
  return [
    'web = "{ 80, 443, 8080:8090 }"',
    `nets4 = "{ ${list('inet')} }"`,
    `nets6 = "{ ${list('inet6')} }"`,
  ];
}

function tableLines(chance: Chance, tables: string[]): string[] {
  const lines: string[] = [];
  for (let left = chance.between(0, 3); left > 0; left--) {
    const name = `t${tables.length}`;
    tables.push(`<${name}>`);
    // One of a kind, or a table would have an address twice.
    const nets = new Set(
      Array.from({ length: chance.between(1, 6) }, () =>
        chance.pick(NETS[chance.pick(['inet', 'inet', 'inet6'] as const)]),
      ).filter((net) => !/^0\/0|^::\/0/.test(net)),
    );
    const items = [...nets].map((net) => (chance.is(0.3) ? '!' : '') + net);
    const options = chance.pick(['', 'persist', 'const', 'persist counters']);
    lines.push(
      `table <${name}> ${options} ${items.length > 0 && chance.is(0.95) ? `{ ${items.join(', ')} }` : 'persist'}`,
    );
  }
  return lines;
}
