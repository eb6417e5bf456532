import { printAddress } from '../print.js';
import type { Host, Table } from '../types.js';
import type { Cursor, Mutable } from './cursor.js';
import { readHost, readTableName } from './hosts.js';

/** What a table cannot hold, for people. */
const KINDS: Readonly<Record<string, string>> = {
  dynamic: 'an interface in parentheses',
  table: 'a table',
  range: 'a range',
  'no-route': '"no-route"',
  'urpf-failed': '"urpf-failed"',
};

/** `table-rule`. */
export function readTable(c: Cursor): void {
  const { place } = c.advance();
  const name = readTableName(c);
  const table: Mutable<Table> & { hosts: Host[]; files: string[] } = {
    name,
    place,
    persist: false,
    const: false,
    counters: false,
    initialised: false,
    hosts: [],
    files: [],
  };
  const printed: string[] = [];
  let listed = false;
  while (!c.atLineEnd()) {
    if (c.isSymbol('{')) {
      const hosts = readTableHosts(c);
      table.hosts.push(...hosts);
      const texts = hosts.map((host) => `${host.not ? '!' : ''}${printAddress(host)} `).join('');
      // pfctl prints lists that follow one another as one.
      if (hosts.length > 0) {
        if (listed) printed.push((printed.pop() ?? '').replace(/\}$/, `${texts}}`));
        else printed.push(`{ ${texts}}`);
        listed = true;
      }
      table.initialised = true;
    } else if (c.take('file')) {
      const file = c.name('the name of a file');
      table.files.push(file);
      table.initialised = true;
      printed.push(`file "${file}"`);
      listed = false;
    } else {
      const option = c.word('a table option', ['persist', 'const', 'counters']) as
        'persist' | 'const' | 'counters';
      table[option] = true;
    }
  }
  if (c.out.tables.some((other) => other.name === name))
    c.fail(`the table <${name}> is defined twice`, place);
  c.out.tables.push(table);
  c.out.said.push(
    [
      `table <${name}>`,
      ...(['const', 'persist', 'counters'] as const).filter((option) => table[option]),
      ...(table.initialised && printed.length === 0 ? ['{ }'] : printed),
    ].join(' '),
  );
}

/** The addresses between the braces of a table. */
function readTableHosts(c: Cursor): Host[] {
  const hosts = c
    .braces(() => {
      if (c.isSymbol('{')) return c.nested('lists', () => readTableHosts(c));
      if (c.is('any')) c.fail('"any" is not permitted inside tables');
      return readHost(c);
    })
    .flat();
  for (const { address, place } of hosts)
    if (address.kind !== 'net' && address.kind !== 'interface' && address.kind !== 'hostname')
      c.fail(`a table holds addresses, not ${KINDS[address.kind]}`, place);
  return hosts;
}
