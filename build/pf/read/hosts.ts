import { WIDTH, bounds, parseIp } from '../address.js';
import { SERVICES, parseNumeral } from '../names.js';
import type { Address, Comparison, Host, Operator, Place } from '../types.js';
import { MAX } from './cursor.js';
import type { Cursor } from './cursor.js';

/** The first ten bits of fe80::/10. */
const LINK_LOCAL = 0xfe80n >> 6n;
const UNARY = ['=', '!=', '<', '<=', '>', '>='] as const;

/** Hosts and ports of one side. */
export function readPeer(c: Cursor): { hosts: Host[]; ports: Comparison[] } {
  const hosts = c.is('port') ? [] : readHosts(c);
  return { hosts, ports: c.take('port') ? c.listOf(() => readPort(c)) : [] };
}

/** Hosts; none for "any". */
function readHosts(c: Cursor): Host[] {
  return c.take('any') ? [] : readHostList(c);
}

/** Hosts, in lists within lists if they are. */
function readHostList(c: Cursor): Host[] {
  // pfctl takes the whole list for "any" (host_list of parse.y), which nobody reads in it.
  if (c.is('any'))
    c.fail('"any" in a list stands for all addresses, whatever else is in it: write it without a list');
  if (!c.isSymbol('{')) return readHost(c);
  return c.nested('lists', () => c.listOf(() => readHostList(c)).flat());
}

/** One host, as a list: a name may have several addresses. */
export function readHost(c: Cursor): Host[] {
  const { place } = c.token;
  const not = c.takeSymbol('!');
  return readAddresses(c).map((address) => ({ address, not, place }));
}

/** `host`, without what negates it: an address, a network, a table, an interface, or a name of /etc/hosts. */
export function readAddresses(c: Cursor): Address[] {
  if (c.take('no-route')) return [{ kind: 'no-route' }];
  if (c.take('urpf-failed')) return [{ kind: 'urpf-failed' }];
  if (c.isSymbol('<')) return [{ kind: 'table', name: readTableName(c) }];
  if (c.isSymbol('(')) return [readDynamic(c)];
  const { place, text, type } = c.token;
  if (type === 'number') {
    // As in 10/8: the octets that are left out are zero.
    c.advance();
    c.needSymbol('/');
    const prefix = c.number('the prefix length', 0, 32);
    return [readNet(c, `${text}.0.0.0`, prefix, place)];
  }
  const name = c.name('an address');
  if (c.takeSymbol('-')) return [readRange(c, name, place)];
  const prefix = c.takeSymbol('/') ? c.number('the prefix length', 0, 128) : undefined;
  if (parseIp(name)) return [readNet(c, name, prefix, place)];
  const short = /^(\d{1,3})(?:\.(\d{1,3}))?(?:\.(\d{1,3}))?$/.exec(name);
  if (short && prefix !== undefined)
    return [readNet(c, [short[1], short[2] ?? '0', short[3] ?? '0', '0'].join('.'), prefix, place)];
  const named = ofHostsFile(c, name);
  if (named) return named.map((address) => readNet(c, address, prefix, place));
  const [base = '', ...modifiers] = name.split(':');
  const common = prefix === undefined ? {} : { prefix };
  if (/^[A-Za-z][A-Za-z0-9_]*$/.test(base)) {
    checkModifiers(c, name, modifiers, place);
    if (
      prefix !== undefined &&
      modifiers.some((modifier) => modifier === 'network' || modifier === 'broadcast')
    )
      c.fail(`"${name}" is a network or a broadcast address, which takes no prefix length`, place);
    return [{ kind: 'interface', name: base, modifiers, ...common }];
  }
  if (/^[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?$/.test(name) && /[A-Za-z]/.test(name))
    return [{ kind: 'hostname', name, ...common }];
  return c.fail(`"${name}" is no address`, place);
}

/** `dynaddr`: an interface in parentheses, and the length of a prefix behind them. */
function readDynamic(c: Cursor): Address {
  c.needSymbol('(');
  const { place } = c.token;
  const text = c.name('an interface');
  c.needSymbol(')');
  const [name = '', ...modifiers] = text.split(':');
  checkModifiers(c, text, modifiers, place);
  if (!/^[A-Za-z]/.test(name)) c.fail(`"${name}" is not the name of an interface`, place);
  if (name.length > MAX.interface)
    c.fail(`the interface name "${name}" is too long: ${MAX.interface} characters at most`, place);
  const prefix = c.takeSymbol('/') ? c.number('the prefix length', 0, 128) : undefined;
  return { kind: 'dynamic', name, modifiers, ...(prefix !== undefined && { prefix }) };
}

function readRange(c: Cursor, name: string, place: Place): Address {
  const low = parseIp(name);
  const end = c.name('an address');
  const high = parseIp(end);
  if (!low || !high || low.af !== high.af)
    return c.fail(`"${name} - ${end}" is not a range of addresses`, place);
  if (low.value > high.value) c.fail(`the range ${name} - ${end} is empty`, place);
  return { kind: 'range', af: low.af, low: low.value, high: high.value };
}

/** The addresses of a name of /etc/hosts, with `:0` the first of each family (host_dns() of pfctl_parser.c). */
function ofHostsFile(c: Cursor, text: string): readonly string[] | undefined {
  const first = text.endsWith(':0');
  const addresses = c.hosts.get(first ? text.slice(0, -2) : text);
  if (!addresses || !first) return addresses;
  const six = (address: string): boolean => address.includes(':');
  return [addresses.find(six), addresses.find((address) => !six(address))].filter(
    (address) => address !== undefined,
  );
}

function checkModifiers(c: Cursor, text: string, modifiers: readonly string[], place: Place): void {
  for (const modifier of modifiers) {
    if (!['network', 'broadcast', 'peer', '0'].includes(modifier))
      c.fail(`"${text}" has a modifier that there is not: ${modifier}`, place);
  }
  if (modifiers.filter((modifier) => modifier !== '0').length > 1)
    c.fail(`"${text}" has modifiers that exclude each other`, place);
}

function readNet(c: Cursor, text: string, prefix: number | undefined, place: Place): Address {
  const ip = parseIp(text);
  if (!ip) return c.fail(`"${text}" is no address`, place);
  const width = WIDTH[ip.af];
  if (prefix !== undefined && prefix > width)
    c.fail(`the prefix length ${prefix} is longer than an address`, place);
  const [base] = bounds(ip.af, ip.value, prefix ?? width);
  const at = text.indexOf('%');
  const scope = at < 0 ? undefined : text.slice(at + 1);
  if (scope !== undefined && ip.value >> 118n !== LINK_LOCAL)
    c.fail(`"${text}" has a scope, and is no link-local address`, place);
  if (scope !== undefined && (scope === '' || /^\d/.test(scope)))
    c.fail(`the scope of "${text}" has to be the name of an interface`, place);
  return { kind: 'net', af: ip.af, base, prefix: prefix ?? width, ...(scope !== undefined && { scope }) };
}

/** An operator between ports or users; undefined where there is none. */
export function readOperator(c: Cursor): Operator | undefined {
  return UNARY.find((symbol) => c.takeSymbol(symbol));
}

function readPort(c: Cursor): Comparison {
  const { place } = c.token;
  const op = readOperator(c);
  const first = readPortRange(c);
  if (op !== undefined) {
    if (first.high !== undefined) c.fail('":" cannot be used with another port operator', place);
    return { op, low: first.low, high: 0 };
  }
  if (c.isSymbol('<>') || c.isSymbol('><')) {
    const binary = c.advance().text as '<>' | '><';
    const second = readPortRange(c);
    if (first.high !== undefined || second.high !== undefined)
      c.fail('":" cannot be used with another port operator', place);
    if (binary === '><' ? first.low >= second.low : first.low > second.low)
      c.fail(`the port range ${first.low} ${binary} ${second.low} is empty`, place);
    return { op: binary, low: first.low, high: second.low };
  }
  if (first.high !== undefined) return { op: ':', low: first.low, high: first.high };
  return { op: '=', low: first.low, high: 0 };
}

/** `n`, `name`, or `n:m` (which the lexer reads as one word). */
export function readPortRange(c: Cursor): { low: number; high?: number } {
  const { place, text } = c.token;
  if (c.token.type === 'number') {
    c.advance();
    return { low: readPortNumber(c, String(Number(text)), place) };
  }
  if (!c.isName()) c.fail(`${c.describe()} stands where a port has to`);
  c.advance();
  const [low = '', high, ...rest] = text.split(':');
  if (rest.length > 0) c.fail(`"${text}" is no port`, place);
  const first = readPortNumber(c, low, place);
  if (high === undefined) return { low: first };
  const second = readPortNumber(c, high, place);
  if (second < first) c.fail(`the port range ${text} is empty`, place);
  return second === first ? { low: first } : { low: first, high: second };
}

/** A port by its number, decimal, octal (022) or hexadecimal (0x16), or the name of its service (getservice()). */
export function readPortNumber(c: Cursor, text: string, place: Place): number {
  const number = parseNumeral(text);
  if (number !== undefined && number > 65535) c.fail(`the port ${text} is larger than 65535`, place);
  return (
    number ?? SERVICES.get(text) ?? c.fail(`the service "${text}" is not known: write its number`, place)
  );
}

/** The name of a table, in its angle brackets. */
export function readTableName(c: Cursor): string {
  c.needSymbol('<');
  const name = c.name('the name of a table', MAX.table);
  c.needSymbol('>');
  return name;
}
