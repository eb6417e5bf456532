import { PROTOCOLS } from '../names.js';
import type { Af, Comparison, InterfaceSpec, LogSpec, Options, RuleSpec } from '../types.js';
import { MAX } from './cursor.js';
import type { Cursor, Mutable } from './cursor.js';
import { readOperator, readPeer } from './hosts.js';

/** Users and groups of the base system (/etc/master.passwd, /etc/group) that rule sets name. */
const identities = (text: string): ReadonlyMap<string, number> =>
  new Map(
    text.split(' ').map((pair) => {
      const [name = '', id = ''] = pair.split('=');
      return [name, Number(id)];
    }),
  );
const IDENTITIES = {
  user: identities(
    'root=0 daemon=1 operator=2 bin=3 sshd=22 smmsp=25 mailnull=26 bind=53 unbound=59 proxy=62 _pflogd=64 _dhcp=65 uucp=66 pop=68 auditdistd=78 www=80 ntpd=123 nobody=65534',
  ),
  group: identities(
    'wheel=0 daemon=1 kmem=2 sys=3 tty=4 operator=5 mail=6 bin=7 sshd=22 bind=53 unbound=59 proxy=62 authpf=63 _pflogd=64 _dhcp=65 www=80 ntpd=123 nogroup=65533 nobody=65534',
  ),
};

/** Of a rule that takes none of these. */
export const NO_LISTS = { users: [], groups: [], icmp: [] } as const;

/** `in` or `out`, if either stands there. */
export function readDirection(c: Cursor): 'in' | 'out' | undefined {
  if (c.take('in')) return 'in';
  return c.take('out') ? 'out' : undefined;
}

/** `log` and `quick`, in either order. */
export function readLogQuick(c: Cursor): { log?: LogSpec; quick: boolean } {
  let quick = c.take('quick');
  const log = readLog(c);
  if (log && !quick) quick = c.take('quick');
  return { quick, ...(log && { log }) };
}

/** `log` with its options. */
export function readLog(c: Cursor): LogSpec | undefined {
  if (!c.take('log')) return undefined;
  const log: Mutable<LogSpec> = { all: false, matches: false, user: false, to: 0 };
  if (!c.isSymbol('(')) return log;
  c.parenthesised(() => {
    if (c.take('all')) log.all = true;
    else if (c.take('matches')) log.matches = true;
    else if (c.take('user')) log.user = true;
    else {
      c.need('to');
      const { place } = c.token;
      const name = c.names('a pflog interface');
      const unit = /^pflog(\d{1,3})$/.exec(name)?.[1];
      if (unit === undefined || Number(unit) > 255) c.fail(`"${name}" is not a pflog interface`, place);
      log.to = Number(unit);
    }
    return undefined;
  });
  return log;
}

/** `on` with a list of interfaces; an empty list stands for all. */
export function readInterfaces(c: Cursor): InterfaceSpec[] {
  if (!c.take('on')) return [];
  return c.listOf(() => readInterfaceItem(c));
}

function readInterfaceItem(c: Cursor): InterfaceSpec {
  const not = c.takeSymbol('!');
  return { not, name: readInterfaceName(c) };
}

/** The name of an interface, or `any`, which stands for all that are no loopback. */
export function readInterfaceName(c: Cursor): string {
  return c.take('any') ? 'any' : c.name('an interface', MAX.interface);
}

/** `af`: the address family. */
export function readAf(c: Cursor): Af | undefined {
  if (c.take('inet')) return 'inet';
  return c.take('inet6') ? 'inet6' : undefined;
}

/** `proto` with a list of protocols, by number. */
export function readProtos(c: Cursor): number[] {
  if (!c.take('proto')) return [];
  return c.listOf(() => {
    const { place, text } = c.token;
    // Aliases of /etc/protocols are the names in capitals.
    const lower = text.toUpperCase() === text ? text.toLowerCase() : text;
    const known = c.isName() ? PROTOCOLS.get(lower) : undefined;
    if (known !== undefined) c.advance();
    else if (c.isName()) c.fail(`the protocol "${text}" is not known`);
    const proto = known ?? c.number('a protocol', 0, 255);
    if (proto === 0) c.fail('protocol 0 cannot be used', place);
    return proto;
  });
}

/** `hosts`: `all`, or `from` and `to`. */
export function readFromTo(c: Cursor): Pick<RuleSpec, 'from' | 'fromPorts' | 'os' | 'to' | 'toPorts'> {
  if (c.take('all')) return { from: [], fromPorts: [], os: [], to: [], toPorts: [] };
  const from = c.take('from') ? readPeer(c) : { hosts: [], ports: [] };
  const os = c.take('os') ? c.listOf(() => c.name('an operating system')) : [];
  const to = c.take('to') ? readPeer(c) : { hosts: [], ports: [] };
  for (const { address, place } of to.hosts)
    if (address.kind === 'urpf-failed') c.fail('"urpf-failed" cannot be a destination', place);
  return { from: from.hosts, fromPorts: from.ports, os, to: to.hosts, toPorts: to.ports };
}

/** What a rule is about, in the order in which all but filter rules say it: those have a route in between. */
export function readMatch(
  c: Cursor,
): Pick<RuleSpec, 'interfaces' | 'af' | 'protos' | 'from' | 'fromPorts' | 'os' | 'to' | 'toPorts'> {
  const interfaces = readInterfaces(c);
  const af = readAf(c);
  return { interfaces, ...(af && { af }), protos: readProtos(c), ...readFromTo(c) };
}

/** Whether `tagged` or `! tagged` comes next. */
export function isTagged(c: Cursor): boolean {
  return c.is('tagged') || c.isSymbol('!');
}

/** The tag that packets have to have, or not to have. */
export function readTagged(c: Cursor): NonNullable<Options['tagged']> {
  const not = c.takeSymbol('!');
  c.need('tagged');
  return { name: c.names('a tag', MAX.tag), not };
}

/** A user or group, or a comparison of them. */
export function readIdentity(c: Cursor, what: 'user' | 'group'): Comparison {
  const { place } = c.token;
  const op = readOperator(c);
  const low = readIdentityNumber(c, what);
  if (op !== undefined) {
    if (low === -1 && op !== '=' && op !== '!=') c.fail(`${what} unknown takes = or != alone`, place);
    return { op, low, high: 0 };
  }
  if (c.isSymbol('<>') || c.isSymbol('><')) {
    const binary = c.advance().text as '<>' | '><';
    const high = readIdentityNumber(c, what);
    if (low === -1 || high === -1) c.fail(`${what} unknown takes = or != alone`, place);
    return { op: binary, low, high };
  }
  return { op: '=', low, high: 0 };
}

function readIdentityNumber(c: Cursor, what: 'user' | 'group'): number {
  const { text, place } = c.token;
  if (c.isName()) {
    c.advance();
    if (text === 'unknown') return -1;
    return (
      IDENTITIES[what].get(text) ??
      c.fail(`the ${what} "${text}" is not one of the base system; use its number`, place)
    );
  }
  return c.number(`a ${what}`, 0, 0xfffffffe);
}
