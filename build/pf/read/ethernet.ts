import { printAddress } from '../print.js';
import type { EtherRule, Host } from '../types.js';
import { MAX } from './cursor.js';
import type { Cursor } from './cursor.js';
import { readQueueNames } from './filter-options.js';
import { isTagged, readDirection, readFromTo, readInterfaces, readTagged } from './match.js';

/** `ether-rule`: read into pfctl’s words, since nothing here decides by it. */
export function readEther(c: Cursor): EtherRule {
  const { place } = c.advance();
  const words = ['ether'];
  const anchor = c.is('anchor');
  let action: EtherRule['action'] = 'anchor';
  if (anchor) {
    c.advance();
    words.push('anchor');
    if (c.isName()) words.push(`"${c.advance().text}"`);
  } else {
    if (!c.is('pass', 'block')) c.fail(`${c.describe()} stands where "pass" or "block" has to`);
    action = c.advance().text as 'pass' | 'block';
    words.push(action);
  }
  const direction = readDirection(c);
  if (direction) words.push(direction);
  if (c.take('quick')) words.push('quick');
  for (const { name, not } of readInterfaces(c)) words.push('on', `${not ? '! ' : ''}${name}`);
  if (c.take('bridge-to')) words.push('bridge-to', c.name('an interface', MAX.interface));
  if (c.take('proto')) {
    const protos = c.listOf(() => c.numeral('an Ethernet protocol', 1, 65535));
    words.push('proto', protos.map((proto) => `0x${proto.toString(16).padStart(4, '0')}`).join(' '));
  }
  if (!c.take('all')) {
    for (const side of ['from', 'to'] as const) {
      if (!c.take(side)) continue;
      words.push(side, c.listOf(() => readMac(c)).join(' '));
    }
  }
  const l3 = c.take('l3') ? readFromTo(c) : { from: [], to: [] };
  for (const { address, place: at } of [...l3.from, ...l3.to])
    if (address.kind !== 'net' && address.kind !== 'table') c.fail('"l3" takes addresses and tables', at);
  if (l3.from.length + l3.to.length === 0) words.push(...(anchor ? [] : ['l3', 'all']));
  else {
    const side = (hosts: readonly Host[]): string =>
      hosts.map((host) => (host.not ? '! ' : '') + printAddress(host)).join(' ') || 'any';
    words.push('l3', 'from', side(l3.from), 'to', side(l3.to));
  }
  for (;;) {
    if (c.take('tag')) words.push('tag', c.name('a tag', MAX.tag));
    else if (isTagged(c)) {
      const { name, not } = readTagged(c);
      words.push(`${not ? '! ' : ''}tagged`, name);
    } else if (c.take('queue')) words.push('queue', readQueueNames(c).join(' '));
    else if (c.take('label')) words.push('label', `"${c.name('a label', MAX.tag)}"`);
    else if (c.take('ridentifier'))
      words.push('ridentifier', String(c.numeral('ridentifier', 0, 0xffffffff)));
    else if (c.is('dnpipe', 'dnqueue')) words.push(c.advance().text, String(c.numeral('a number', 0, 65535)));
    else break;
  }
  if (anchor && c.isSymbol('{')) {
    c.advance();
    c.newlines();
    while (!c.takeSymbol('}')) {
      if (c.atEnd()) c.fail('the { of the anchor is never closed', place);
      if (!c.is('ether')) c.fail('an Ethernet anchor holds Ethernet rules');
      words.push(`{ ${c.nested('anchors', () => readEther(c)).text} }`);
      c.newlines();
    }
  }
  return { place, text: words.join(' '), action };
}

function readMac(c: Cursor): string {
  const not = c.takeSymbol('!');
  const { place } = c.token;
  const text = c.name('a hardware address');
  const [mac = '', mask] = text.split('&');
  const pattern = /^(?:[0-9a-f]{1,2}:){5}[0-9a-f]{1,2}$/i;
  if (!pattern.test(mac) || (mask !== undefined && !pattern.test(mask)))
    c.fail(`"${text}" is no hardware address`, place);
  const bits = c.takeSymbol('/') ? `/${c.number('the mask length', 0, 48)}` : '';
  return `${not ? '! ' : ''}${text}${bits}`;
}
