import type { Host, Table } from '../types.js';
import { MAX } from './cursor.js';
import type { Cursor, Mutable } from './cursor.js';
import { readHost } from './hosts.js';

/** What a table cannot hold, for people. */
export const KINDS: Readonly<Record<string, string>> = {
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
  while (!c.atLineEnd()) {
    if (c.isSymbol('{')) {
      c.advance();
      c.newlines();
      while (!c.takeSymbol('}')) {
        if (c.atEnd()) c.fail('the { is never closed', place);
        for (const host of readHost(c)) {
          if (
            host.address.kind !== 'net' &&
            host.address.kind !== 'interface' &&
            host.address.kind !== 'hostname'
          ) {
            c.fail(
              host.address.kind === 'any'
                ? '"any" is not permitted inside tables'
                : `a table holds addresses, not ${KINDS[host.address.kind]}`,
              host.place,
            );
          }
          table.hosts.push(host);
        }
        c.newlines();
        c.takeSymbol(',');
        c.newlines();
      }
      table.initialised = true;
    } else if (c.take('file')) {
      table.files.push(c.name('the name of a file'));
      table.initialised = true;
    } else {
      const option = c.word('a table option', ['persist', 'const', 'counters']) as
        'persist' | 'const' | 'counters';
      table[option] = true;
    }
  }
  if (c.out.tables.some((other) => other.name === name))
    c.fail(`the table <${name}> is defined twice`, place);
  c.out.tables.push(table);
}

/** The name of a table, in its angle brackets. */
export function readTableName(c: Cursor): string {
  c.needSymbol('<');
  const name = c.name('the name of a table', MAX.table);
  c.needSymbol('>');
  return name;
}
