import type { Host, Pool, RuleSpec } from '../types.js';
import { MAX } from './cursor.js';
import type { Cursor, Mutable } from './cursor.js';
import { readAddresses, readPortNumber, readPortRange } from './hosts.js';

/** `route`: where packets are sent; undefined where the rule does not say. */
export function readRoute(c: Cursor): RuleSpec['route'] {
  if (c.take('fastroute')) return undefined;
  if (!c.is('route-to', 'reply-to', 'dup-to')) return undefined;
  const kind = c.advance().text as 'route-to' | 'reply-to' | 'dup-to';
  const targets = c.listOf(() => readRouteHost(c)).flat();
  return {
    kind,
    pool: {
      hosts: targets.map(({ host }) => host),
      interfaces: targets.map(({ interface: name }) => name),
      ...readPoolOptions(c),
    },
  };
}

/** An interface, or one with a host behind it. */
function readRouteHost(c: Cursor): { host: Host; interface: string }[] {
  const { place } = c.token;
  if (!c.takeSymbol('('))
    return [
      {
        host: { address: { kind: 'any' }, not: false, place },
        interface: c.name('an interface', MAX.interface),
      },
    ];
  const name = c.name('an interface', MAX.interface);
  const hosts = readAddresses(c).map((address) => ({ address, not: false, place }));
  c.needSymbol(')');
  return hosts.map((host) => ({ host, interface: name }));
}

/** What addresses become, or where packets are sent, with what chooses among them. */
export function readPool(c: Cursor, nat: boolean): Pool {
  const hosts = c
    .listOf(() => {
      const { place } = c.token;
      return readAddresses(c).map((address) => ({ address, not: false, place }));
    })
    .flat();
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
  const options = readPoolOptions(c);
  for (const [name, given] of [
    ['static-port', options.staticPort],
    ['map-e-portset', options.mape],
  ] as const)
    if (!nat && given !== undefined) c.fail(`"${name}" is for nat rules alone`);
  if (port && options.staticPort === true) c.fail('"static-port" cannot be with a port');
  if (options.mape && (port || options.staticPort === true))
    c.fail('"map-e-portset" cannot be with a port or "static-port"');
  return { hosts, interfaces: hosts.map(() => undefined), ...(port && { port }), ...options };
}

function readPoolOptions(c: Cursor): Omit<Pool, 'hosts' | 'interfaces'> {
  const options: Mutable<Omit<Pool, 'hosts' | 'interfaces'>> = {};
  for (;;) {
    if (c.is('bitmask', 'random', 'round-robin', 'source-hash')) {
      if (options.type) c.fail('the pool type is given twice');
      options.type = c.advance().text as NonNullable<Pool['type']>;
      if (options.type === 'source-hash' && c.isName()) {
        const { place } = c.token;
        const key = c.names('a key');
        if (key.startsWith('0x') && !/^0x[0-9a-f]{32}$/i.test(key))
          c.fail('a hexadecimal key has 32 digits', place);
        options.key = key;
      }
    } else if (c.take('sticky-address')) options.sticky = true;
    else if (c.take('prefer-ipv6-nexthop')) options.preferIpv6Nexthop = true;
    else if (c.take('static-port')) options.staticPort = true;
    else if (c.take('endpoint-independent')) options.endpointIndependent = true;
    else if (c.take('map-e-portset')) {
      if (options.type) c.fail('"map-e-portset" cannot be with a pool type');
      const first = c.numeral('the PSID offset', 1, 15);
      c.needSymbol('/');
      const second = c.numeral('the PSID length', 1, 16 - first);
      c.needSymbol('/');
      options.mape = [first, second, c.numeral('the PSID', 0, 65535)];
    } else return options;
  }
}
