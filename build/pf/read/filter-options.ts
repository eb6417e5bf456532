import { ICMP6_TYPES, ICMP_TYPES, TCP_FLAGS, icmpCodes } from '../names.js';
import type { Af, Comparison, IcmpSpec, Options, RuleSpec } from '../types.js';
import { MAX } from './cursor.js';
import type { Cursor, Mutable } from './cursor.js';
import { readPortNumber } from './hosts.js';
import { readAf, readIdentity, readInterfaceName } from './match.js';
import { readPool } from './pools.js';
import { readScrubOptions } from './scrub.js';
import { readStateOptions } from './state.js';
import { readTos } from './tos.js';

/** `filteropt-list`: what stands behind the hosts of a filter rule. */
export function readFilterOptions(c: Cursor): {
  lists: Pick<RuleSpec, 'users' | 'groups' | 'icmp'>;
  options: Options;
} {
  const lists = { users: [] as Comparison[], groups: [] as Comparison[], icmp: [] as IcmpSpec[] };
  const options: Mutable<Options> & { labels: string[] } = { state: {}, labels: [] };
  const once = (name: keyof Options): void => {
    if (options[name] !== undefined) c.fail(`"${name}" is given twice`);
  };
  for (;;) {
    // pfctl puts a second list before the first.
    if (c.take('user')) lists.users.unshift(...c.listOf(() => readIdentity(c, 'user')));
    else if (c.take('group')) lists.groups.unshift(...c.listOf(() => readIdentity(c, 'group')));
    else if (c.is('flags')) {
      once('flags');
      c.advance();
      options.flags = readTcpFlags(c);
    } else if (c.is('icmp-type', 'icmp6-type')) {
      if (lists.icmp.length > 0) c.fail('the ICMP type is given twice');
      const family = c.advance().text === 'icmp-type' ? 'inet' : 'inet6';
      lists.icmp.push(...c.listOf(() => readIcmp(c, family)));
    } else if (c.is('no', 'keep', 'modulate', 'synproxy')) {
      once('keep');
      const word = c.advance().text;
      c.need('state');
      options.keep = word === 'no' ? 'none' : (word as 'keep' | 'modulate' | 'synproxy');
      if (word !== 'no' && c.takeSymbol('(')) {
        if (c.isSymbol(')')) c.fail('state options have to stand between ( and )');
        options.state = readStateOptions(c, () => c.isSymbol(')'));
        c.needSymbol(')');
      }
    } else if (c.take('tos')) {
      once('tos');
      options.tos = readTos(c);
    } else if (c.take('prio')) {
      once('prio');
      options.prio = c.number('prio', 0, 7);
    } else if (c.take('ridentifier')) options.ridentifier = c.numeral('ridentifier', 0, 0xffffffff);
    else if (c.take('fragment')) options.fragment = true;
    else if (c.take('allow-opts')) options.allowOpts = true;
    else if (c.take('label')) {
      if (options.labels.length >= 5) c.fail('a rule has five labels at most');
      options.labels.push(c.name('a label', MAX.tag));
    } else if (c.take('queue')) {
      once('queue');
      options.queue = readQueueNames(c);
    } else if (c.is('dnpipe', 'dnqueue')) {
      const kind = c.advance().text as 'dnpipe' | 'dnqueue';
      const one = (): number => c.numeral(kind, 0, 65535);
      options.dnpipe = { kind, numbers: c.isSymbol('(') ? c.parenthesised(one, 2) : [one()] };
    } else if (c.take('tag')) options.tag = c.names('a tag', MAX.tag);
    else if (c.is('tagged', 'received-on') || c.isSymbol('!')) {
      const not = c.takeSymbol('!');
      if (c.take('received-on')) {
        once('receivedOn');
        options.receivedOn = { name: readInterfaceName(c), not };
      } else {
        c.need('tagged');
        options.tagged = { name: c.names('a tag', MAX.tag), not };
      }
    } else if (c.take('probability')) options.probability = readProbability(c);
    else if (c.take('rtable')) options.rtable = c.number('rtable', 0, 65535);
    else if (c.take('divert-to')) options.divertTo = readDivert(c);
    else if (c.isName() && c.token.text === 'once')
      c.fail('"once" is of OpenBSD: pfctl of FreeBSD does not know it');
    else if (c.is('divert-reply')) c.fail('"divert-reply" has no meaning in FreeBSD');
    else if (c.take('max-pkt-rate')) {
      once('maxPktRate');
      const limit = c.number('max-pkt-rate', 1, 0xffffffff);
      c.needSymbol('/');
      options.maxPktRate = { limit, seconds: c.number('seconds', 1, 0xffffffff) };
    } else if (c.take('max-pkt-size')) options.maxPktSize = c.number('max-pkt-size', 1, 65535);
    else if (c.take('scrub')) {
      c.needSymbol('(');
      options.scrub = readScrubOptions(c, () => c.isSymbol(')')).scrub;
      c.needSymbol(')');
    } else if (c.take('set')) readSets(c, options);
    else if (c.is('nat-to', 'binat-to', 'af-to') && (options.natTo ?? options.binatTo ?? options.afTo))
      c.fail('"nat-to", "binat-to" and "af-to" are given once');
    else if (c.take('nat-to')) options.natTo = readPool(c, true);
    else if (c.take('rdr-to')) {
      once('rdrTo');
      options.rdrTo = readPool(c, false);
    } else if (c.take('binat-to')) options.binatTo = readPool(c, true);
    else if (c.take('af-to')) {
      const af = readAf(c) ?? c.fail('"af-to" needs an address family');
      c.need('from');
      const from = readPool(c, true);
      options.afTo = { af, from, ...(c.take('to') && { to: readPool(c, false) }) };
    } else return { lists, options };
  }
}

function readSets(c: Cursor, options: Mutable<Options>): void {
  const one = (): undefined => {
    if (c.take('prio')) {
      const number = (): number => c.number('prio', 0, 7);
      const [first = 0, second = first] = c.isSymbol('(') ? c.parenthesised(number, 2) : [number()];
      options.setPrio = [first, second];
    } else if (c.take('tos')) options.setTos = readTos(c);
    else c.fail(`${c.describe()} cannot follow "set" in a rule`);
    return undefined;
  };
  if (c.isSymbol('(')) c.parenthesised(one);
  else one();
}

/** One or two names of queues. */
export function readQueueNames(c: Cursor): string[] {
  const one = (): string => c.name('a queue', MAX.queue);
  return c.isSymbol('(') ? c.parenthesised(one, 2) : [one()];
}

function readDivert(c: Cursor): number {
  // FreeBSD passes over the address.
  let { place } = c.token;
  let text = c.advance();
  if (c.take('port')) {
    ({ place } = c.token);
    text = c.advance();
  }
  if (text.type !== 'number' && text.type !== 'name' && text.type !== 'string')
    c.fail(`${c.describe(text)} stands where a port has to`, place);
  const low = readPortNumber(c, text.text, place);
  if (low === 0) c.fail('the divert port cannot be 0', place);
  return low;
}

function readProbability(c: Cursor): number {
  const { text, place } = c.token;
  const match = /^(\d+(?:\.\d+)?)(%?)$/.exec(text);
  if ((c.token.type !== 'number' && !c.isName()) || !match)
    return c.fail(`${c.describe()} is no probability`);
  c.advance();
  const value = Number(match[1]) * (match[2] === '%' ? 0.01 : 1);
  if (value < 0 || value > 1) c.fail('a probability is from 0% to 100%', place);
  return value;
}

function readTcpFlags(c: Cursor): { set: number; of: number } {
  if (c.take('any')) return { set: 0, of: 0 };
  const { place } = c.token;
  const set = c.isSymbol('/') ? 0 : readFlagSet(c);
  c.needSymbol('/');
  const of = readFlagSet(c);
  if ((set & of) !== set) c.fail('these flags can never match', place);
  return { set, of };
}

function readFlagSet(c: Cursor): number {
  const { place } = c.token;
  const text = c.name('TCP flags');
  let bits = 0;
  for (const letter of Array.from(text)) {
    const index = TCP_FLAGS.indexOf(letter);
    if (index < 0) c.fail(`"${text}" are no TCP flags: ${TCP_FLAGS} there are`, place);
    bits |= 1 << index;
  }
  return bits;
}

function readIcmp(c: Cursor, family: Af): IcmpSpec {
  const types = family === 'inet' ? ICMP_TYPES : ICMP6_TYPES;
  const named = c.isName() || c.token.type === 'keyword' ? types.get(c.token.text) : undefined;
  if (named !== undefined) c.advance();
  else if (c.isName()) c.fail(`the ICMP type "${c.token.text}" is not known`);
  const type = named ?? c.number('an ICMP type', 0, 255);
  if (!c.take('code')) return { family, type };
  const code = icmpCodes(family, type).get(c.token.text);
  if (c.isName()) {
    if (code === undefined) c.fail(`the ICMP code "${c.token.text}" is not known for this type`);
    c.advance();
    return { family, type, code };
  }
  return { family, type, code: c.number('an ICMP code', 0, 255) };
}
