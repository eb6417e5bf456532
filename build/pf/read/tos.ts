import type { Cursor } from './cursor.js';

const NAMES: ReadonlyMap<string, number> = new Map([
  ['lowdelay', 0x10],
  ['throughput', 0x08],
  ['reliability', 0x04],
  ['critical', 0xa0],
  ['inetcontrol', 0xc0],
  ['netcontrol', 0xe0],
  ['ef', 0xb8],
  ['va', 0xb0],
]);

/** `tos`: a number, or the name of a service or code point; as the TOS byte. */
export function readTos(c: Cursor): number {
  const word = c.token.text.toLowerCase();
  const hex = /^0x[0-9a-f]{1,2}$/.test(word) ? Number(word) : undefined;
  const known = c.isName() ? (NAMES.get(word) ?? dscp(word) ?? hex) : undefined;
  if (known === undefined) return c.number('tos', 0, 255);
  c.advance();
  return known;
}

/** Differentiated services code points by name (RFC 2474, RFC 2597), shifted into the TOS byte. */
function dscp(name: string): number | undefined {
  const af = /^af([1-4])([1-3])$/.exec(name);
  if (af) return (Number(af[1]) << 5) | (Number(af[2]) << 3);
  const cs = /^cs([0-7])$/.exec(name);
  return cs ? Number(cs[1]) << 5 : undefined;
}
