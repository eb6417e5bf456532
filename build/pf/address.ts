import { isIPv4, isIPv6 } from 'node:net';
import ipaddr from 'ipaddr.js';
import type { Address, Af } from './types.js';

/** Bits of an address of the family. */
export const WIDTH: Readonly<Record<Af, number>> = { inet: 32, inet6: 128 };

/** An IP address as a number with its family; undefined if the text is none. Zone identifiers are dropped. */
export function parseIp(text: string): { readonly af: Af; readonly value: bigint } | undefined {
  if (isIPv4(text)) return { af: 'inet', value: toBig(ipaddr.IPv4.parse(text).toByteArray()) };
  const bare = text.replace(/%.*$/, '');
  if (isIPv6(bare)) return { af: 'inet6', value: toBig(ipaddr.IPv6.parse(bare).toByteArray()) };
  return undefined;
}

function toBig(bytes: readonly number[]): bigint {
  return bytes.reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
}

/** The text of an address, IPv6 as in RFC 5952. */
export function formatIp(af: Af, value: bigint): string {
  const bytes: number[] = [];
  for (let shift = WIDTH[af] - 8; shift >= 0; shift -= 8) bytes.push(Number((value >> BigInt(shift)) & 255n));
  const parsed = ipaddr.fromByteArray(bytes);
  return parsed instanceof ipaddr.IPv6 ? parsed.toRFC5952String() : parsed.toString();
}

/** The first and last address of a network. */
export function bounds(af: Af, base: bigint, prefix: number): readonly [bigint, bigint] {
  const rest = BigInt(WIDTH[af] - prefix);
  const low = (base >> rest) << rest;
  return [low, low | ((1n << rest) - 1n)];
}

/** A network of its text, `address/prefix` or an address; undefined if it is none. */
export function parseNet(text: string): Extract<Address, { kind: 'net' }> | undefined {
  const [address = '', bits] = text.split('/');
  const ip = parseIp(address);
  if (!ip) return undefined;
  const prefix = bits === undefined ? WIDTH[ip.af] : Number(bits);
  if (!Number.isInteger(prefix) || prefix < 0 || prefix > WIDTH[ip.af]) return undefined;
  return { kind: 'net', af: ip.af, base: ip.value, prefix };
}

/** An address without the length of its prefix, if it has one. */
export function bare(text: string): string {
  return text.replace(/\/.*/, '');
}
