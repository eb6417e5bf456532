import { addresses, each, intersect, subtract, union } from '../pf/ranges.js';
import type { Addresses } from '../pf/ranges.js';

/**
 * What no jail reaches: this host, private networks, special addresses (RFC 6890), and the metadata services of clouds:
 * 169.254.169.254, Azure's 168.63.129.16, 100.100.100.200, 192.0.0.192.
 */
export const PRIVATE = addresses(
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '168.63.129.16/32',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '224.0.0.0/3',
);
/** Addresses of every tailnet. */
export const TAILNET = addresses('100.64.0.0/10', 'fd7a:115c:a1e0::/48');
/** What no packet from a wire has as its source. */
export const IMPOSSIBLE = addresses('127.0.0.0/8', '169.254.0.0/16', '::1/128');
/** A host's addresses to itself. */
export const ITSELF = addresses('127.0.0.0/8', '::1/128');
export const NOBODY = addresses();

/** Addresses of both sets. */
export const and = (left: Addresses, right: Addresses): Addresses => each(intersect, left, right);
/** Those of either. */
export const or = (left: Addresses, right: Addresses): Addresses => each((a, b) => union(a, b), left, right);
/** Those of the first alone. */
export const without = (left: Addresses, right: Addresses): Addresses => each(subtract, left, right);
