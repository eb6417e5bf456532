import type { Host, Pool, RuleSpec } from '../types.js';
import { MAX } from './cursor.js';
import type { Cursor, Mutable } from './cursor.js';
import { readAddress, readHost, readPortNumber, readPortRange } from './hosts.js';
import { KINDS } from './tables.js';

/** `route`: where packets are sent; undefined where the rule does not say. */
export function readRoute(c: Cursor): RuleSpec['route'] {
  if (c.take('fastroute')) return undefined;
  if (!c.is('route-to', 'reply-to', 'dup-to')) return undefined;
  const kind = c.advance().text as 'route-to' | 'reply-to' | 'dup-to';
  const hosts: Host[] = [];
  const interfaces: (string | undefined)[] = [];
  for (const target of c.listOf(() => readRouteHost(c))) {
    hosts.push(target.host);
    interfaces.push(target.interface);
  }
  return { kind, pool: { hosts, interfaces, ...readPoolOptions(c, false) } };
}

function readRouteHost(c: Cursor): { host: Host; interface?: string } {
  const { place } = c.token;
  if (c.takeSymbol('(')) {
    const name = c.name('an interface', MAX.interface);
    const [host] = readHost(c);
    c.needSymbol(')');
    return { host: host ?? c.fail('an address is missing', place), interface: name };
  }
  return { host: { address: readAddress(c), not: false, place } };
}

/** What addresses become, or where packets are sent, with what chooses among them. */
export function readPool(c: Cursor, nat: boolean): Pool {
  const hosts = c.listOf(() => readHost(c)).flat();
  let port: Pool['port'];
  if (c.take('port')) {
    const { text, place } = c.token;
    if (/^[^:]+:\*$/.test(text)) {
      c.advance();
      port = { low: readPortNumber(c, text.slice(0, -2), place), high: '*' };
    } else {
      const range = readPortRange(c);
      port = { low: range.low, high: range.high ?? range.low };
      if (c.isSymbol('*')) c.fail('"*" is read with its port: 1000:*');
    }
  }
  const options = readPoolOptions(c, nat);
  if (port && options.staticPort === true) c.fail('"static-port" cannot be with a port');
  if (options.mape && (port || options.staticPort === true))
    c.fail('"map-e-portset" cannot be with a port or "static-port"');
  checkPool(c, hosts, options.type);
  return { hosts, interfaces: hosts.map(() => undefined), ...(port && { port }), ...options };
}

/** Only some pool types take addresses that come and go (apply_redirspec() of parse.y). */
function checkPool(c: Cursor, hosts: readonly Host[], type: Pool['type']): void {
  if (type !== 'bitmask') return;
  for (const { address, place } of hosts) {
    if (address.kind === 'table' || address.kind === 'dynamic')
      c.fail(`the pool type ${type} does not take ${KINDS[address.kind] ?? ''}`, place);
  }
}

function readPoolOptions(c: Cursor, nat: boolean): Omit<Pool, 'hosts' | 'interfaces'> {
  const options: Mutable<Omit<Pool, 'hosts' | 'interfaces'>> = {};
  for (;;) {
    if (c.is('bitmask', 'random', 'round-robin', 'source-hash')) {
      if (options.type) c.fail('the pool type is given twice');
      options.type = c.advance().text as NonNullable<Pool['type']>;
      if (options.type === 'source-hash' && c.isName()) {
        const { place, text } = c.token;
        if (text.startsWith('0x') && !/^0x[0-9a-f]{32}$/i.test(text))
          c.fail('a hexadecimal key has 32 digits', place);
        options.key = c.advance().text;
      }
    } else if (c.take('sticky-address')) options.sticky = true;
    else if (c.take('prefer-ipv6-nexthop')) options.preferIpv6Nexthop = true;
    else if (c.is('static-port')) {
      if (!nat) c.fail('"static-port" is for nat rules alone');
      c.advance();
      options.staticPort = true;
    } else if (c.is('endpoint-independent')) {
      if (!nat) c.fail('"endpoint-independent" is for nat rules alone');
      c.advance();
      options.endpointIndependent = true;
    } else if (c.is('map-e-portset')) {
      if (!nat) c.fail('"map-e-portset" is for nat rules alone');
      c.advance();
      const first = c.number('the PSID offset', 1, 15);
      c.needSymbol('/');
      const second = c.number('the PSID length', 1, 15);
      c.needSymbol('/');
      options.mape = [first, second, c.number('the PSID', 0, 65535)];
    } else return options;
  }
}
