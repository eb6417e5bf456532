import { icmpCodes, PROTO } from '../names.js';
import type { Af, BlockPolicy, Host, Options, Place, RuleSpec } from '../types.js';
import { MAX } from './cursor.js';
import type { Cursor, Mutable } from './cursor.js';
import { readFilterOptions } from './filter-options.js';
import {
  NO_LISTS,
  readAf,
  readDirection,
  readFromTo,
  readInterfaceName,
  readInterfaces,
  readLogQuick,
  readProtos,
} from './match.js';
import { readRoute } from './pools.js';

const UNREACH_PORT6 = (1 << 8) | 4;

const UNREACH_PORT = (3 << 8) | 3;

/** `pf-rule`: pass, block and match. */
export function readFilterRule(c: Cursor): RuleSpec {
  const { text: action, place } = c.advance();
  const block = action === 'block' ? readBlockSpec(c) : undefined;
  const direction = readDirection(c);
  const { log, quick } = readLogQuick(c);
  const interfaces = readInterfaces(c);
  const route = readRoute(c);
  const af = readAf(c);
  const protos = readProtos(c);
  const fromTo = readFromTo(c);
  const { lists, options } = readFilterOptions(c);
  checkTcp(c, { protos, ...fromTo, options }, place);
  const flags = defaultFlags(c, action === 'pass', options);
  return {
    place,
    action: action as 'pass' | 'block' | 'match',
    quick,
    interfaces,
    protos,
    ...fromTo,
    ...lists,
    options: flags,
    ...(block && { block }),
    ...(direction && { direction }),
    ...(log && { log }),
    ...(route && { route }),
    ...(af && { af }),
  };
}

/** Flags and operating systems are seen in TCP alone. */
export function checkTcp(
  c: Cursor,
  { protos, os, options: { flags } }: Pick<RuleSpec, 'protos' | 'os' | 'options'>,
  place: Place,
): void {
  if (protos.length === 0 || protos.includes(PROTO.tcp)) return;
  if (flags && (flags.set | flags.of) !== 0) c.fail('flags are of tcp alone', place);
  if (os.length > 0) c.fail('operating systems are told by tcp alone', place);
}

/** Pass rules keep state, and stateful rules match the first packet of a connection, unless they say otherwise. */
function defaultFlags(c: Cursor, pass: boolean, options: Options): Options {
  const result: Mutable<Options> = { ...options };
  if (pass && options.keep === undefined) {
    result.keep = 'keep';
    if (c.stateDefaults) result.state = { ...c.stateDefaults, ...options.state };
  }
  const stateful = result.keep !== undefined && result.keep !== 'none';
  if (pass && stateful && !options.flags && options.fragment !== true) result.flags = { set: 2, of: 18 };
  if (stateful && result.state.lock === undefined && c.statePolicy === 'if-bound')
    result.state = { ...result.state, lock: 'if-bound' };
  return result;
}

function readBlockSpec(c: Cursor): BlockPolicy {
  if (c.take('drop')) return { kind: 'drop' };
  if (c.take('return-rst')) {
    if (!c.isSymbol('(')) return { kind: 'return-rst' };
    c.advance();
    c.need('ttl');
    const ttl = c.number('ttl', 0, 255);
    c.needSymbol(')');
    return { kind: 'return-rst', ttl };
  }
  if (c.take('return-icmp')) {
    if (!c.takeSymbol('(')) return { kind: 'return-icmp', icmp: UNREACH_PORT, icmp6: UNREACH_PORT6 };
    const icmp = readReturnCode(c, 'inet', 3);
    // pfctl puts the number that IPv4 has where the second one is left out.
    const icmp6 = c.isSymbol(')') ? UNREACH_PORT : (c.takeSymbol(','), readReturnCode(c, 'inet6', 1));
    c.needSymbol(')');
    return { kind: 'return-icmp', icmp, icmp6 };
  }
  if (c.take('return-icmp6')) {
    if (!c.takeSymbol('(')) return { kind: 'return-icmp', icmp: UNREACH_PORT, icmp6: UNREACH_PORT6 };
    const icmp6 = readReturnCode(c, 'inet6', 1);
    c.needSymbol(')');
    return { kind: 'return-icmp', icmp: UNREACH_PORT, icmp6 };
  }
  const kind = c.take('return') ? 'return' : c.blockPolicy;
  return kind === 'drop' ? { kind } : { kind, icmp: UNREACH_PORT, icmp6: UNREACH_PORT6 };
}

function readReturnCode(c: Cursor, af: Af, type: number): number {
  const code = icmpCodes(af, type).get(c.token.text);
  if (c.isName() && code !== undefined) {
    c.advance();
    return (type << 8) | code;
  }
  return (type << 8) | c.number('an ICMP code', 0, 255);
}

/** `antispoof-rule`: the two block rules for each interface that pfctl makes of it. */
export function readAntispoof(c: Cursor): RuleSpec[] {
  const { place } = c.advance();
  const { log, quick } = readLogQuick(c);
  c.need('for');
  const interfaces = c.listOf(() => {
    const dynamic = c.takeSymbol('(');
    const name = readInterfaceName(c);
    if (dynamic) c.needSymbol(')');
    return { name, dynamic };
  });
  const af = readAf(c);
  const options: Mutable<Options> & { labels: string[] } = { state: {}, labels: [] };
  for (;;) {
    if (c.take('label')) options.labels.push(c.name('a label', MAX.tag));
    else if (c.take('ridentifier')) options.ridentifier = c.numeral('ridentifier', 0, 0xffffffff);
    else if (c.take('rtable')) options.rtable = c.number('rtable', 0, 65535);
    else break;
  }
  const common = {
    place,
    action: 'block' as const,
    block: { kind: 'drop' as const },
    direction: 'in' as const,
    quick,
    protos: [],
    fromPorts: [],
    os: [],
    to: [],
    toPorts: [],
    ...NO_LISTS,
    options,
    ...(log && { log }),
    ...(af && { af }),
  };
  return interfaces.flatMap(({ name, dynamic }) => {
    const host = (modifiers: readonly string[]): Host => ({
      address: { kind: dynamic ? 'dynamic' : 'interface', name, modifiers },
      not: false,
      place,
    });
    return [
      { ...common, interfaces: [{ name, not: true }], from: [host(['network'])] },
      ...(/^lo\d*$/.test(name) ? [] : [{ ...common, interfaces: [], from: [host([])] }]),
    ];
  });
}
