import { isIPv4, isIPv6 } from 'node:net';
import ipaddr from 'ipaddr.js';

/** An IPv4 or IPv6 address with its prefix length in bits, in normal form. */
export interface Interface {
  readonly address: string;
  readonly prefix: number;
}

/** An IPv4 network: first address as an unsigned 32-bit number, and prefix length in bits. */
export interface Network4 {
  readonly base: number;
  readonly prefix: number;
}

/** An IPv4 address as an unsigned 32-bit number; undefined if the text is not four decimal parts. */
export function toNumber(text: string): number | undefined {
  if (!isIPv4(text)) return undefined;
  return ipaddr.IPv4.parse(text).octets.reduce((sum, octet) => sum * 256 + octet, 0);
}

/** The dotted form of an unsigned 32-bit number. */
export function toText(value: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join('.');
}

/** Reads `a.b.c.d/n`; undefined if it is not an IPv4 network with its host bits zero. */
export function parseNetwork4(text: string): Network4 | undefined {
  const [address = '', bits = '', ...rest] = text.split('/');
  const base = toNumber(address);
  if (base === undefined || rest.length > 0 || !/^(?:[0-9]|[12][0-9]|3[0-2])$/.test(bits)) return undefined;
  const prefix = Number(bits);
  return base % 2 ** (32 - prefix) === 0 ? { base, prefix } : undefined;
}

export function formatNetwork4(network: Network4): string {
  return `${toText(network.base)}/${network.prefix}`;
}

/** Whether the outer network holds every address of the inner one. */
export function contains(outer: Network4, inner: Network4): boolean {
  const size = 2 ** (32 - outer.prefix);
  return inner.prefix >= outer.prefix && Math.floor(inner.base / size) === Math.floor(outer.base / size);
}

/** Whether two networks share an address. */
export function overlaps(a: Network4, b: Network4): boolean {
  return contains(a, b) || contains(b, a);
}

/** The private networks of RFC 1918. */
export const PRIVATE4: readonly Network4[] = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16'].map((text) => {
  const network = parseNetwork4(text);
  if (!network) throw new Error(`not a network: ${text}`);
  return network;
});

/** Reads `address/prefix` of the family; undefined if it is not one. */
export function parseInterface(text: string, family: 4 | 6): Interface | undefined {
  const [address = '', bits = '', ...rest] = text.split('/');
  const most = family === 4 ? 32 : 128;
  if (rest.length > 0 || !/^[0-9]{1,3}$/.test(bits) || Number(bits) < 1 || Number(bits) > most)
    return undefined;
  const normal = normalAddress(address, family);
  return normal === undefined ? undefined : { address: normal, prefix: Number(bits) };
}

/** An address in normal form (RFC 5952 for IPv6); undefined if it is not one of the family. No zone identifiers. */
export function normalAddress(text: string, family?: 4 | 6): string | undefined {
  if (family !== 6 && isIPv4(text)) return text;
  if (family !== 4 && isIPv6(text) && !text.includes('%')) return ipaddr.IPv6.parse(text).toRFC5952String();
  return undefined;
}

/** Whether an address can be a host's own unicast address on the internet side. */
export function isUnicast(text: string): boolean {
  return ['unicast', 'private', 'uniqueLocal', 'carrierGradeNat', 'linkLocal', 'reserved'].includes(
    ipaddr.parse(text).range(),
  );
}
