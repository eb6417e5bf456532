import { parseNet } from '../../build/pf/address.js';
import { addresses, inside, netRange } from '../../build/pf/ranges.js';
import type { Ip } from '../../build/pf/ranges.js';
import type { World } from '../../build/pf/resolve.js';
import type { Af } from '../../build/pf/types.js';

/** The jail that lab.sh makes, as the rules meet it. */
export function labWorld(defaultDrop: boolean): World {
  return {
    interfaces: [
      {
        name: 'em0',
        groups: ['tap', 'egress'],
        addresses: ['192.0.2.1/24', '192.0.2.130/32', '2001:db8::1/64', 'fe80::1/64'],
      },
      { name: 'em1', groups: ['tap', 'inside'], addresses: ['10.1.0.1/16', '2001:db8:1::1/64'] },
      { name: 'em2', groups: ['tap', 'inside'], addresses: ['172.16.5.1/30', '2001:db8:2::1/64'] },
      { name: 'feed0', groups: ['tun', 'feed'], addresses: [] },
      { name: 'feed1', groups: ['tun', 'feed'], addresses: [] },
      { name: 'lo0', groups: ['lo'], addresses: ['127.0.0.1/8', '::1/128'] },
    ],
    tables: {},
    defaultDrop,
  };
}

/** Interfaces that packets are looked at on, and those that they come from where they go out. */
export const OUTSIDE = ['em0', 'em1', 'em2'] as const;
export const FEEDS = ['feed0', 'feed1'] as const;

/** Routes of the jail, the longest first. */
const ROUTES: readonly (readonly [net: string, device: string])[] = [
  ['172.16.5.0/30', 'em2'],
  ['192.0.2.0/24', 'em0'],
  ['198.51.100.0/24', 'em2'],
  ['10.1.0.0/16', 'em1'],
  ['172.16.0.0/12', 'em1'],
  ['10.0.0.0/8', 'em1'],
  ['0.0.0.0/0', 'em0'],
  ['2001:db8::/64', 'em0'],
  ['2001:db8:1::/64', 'em1'],
  ['2001:db8:2::/64', 'em2'],
  ['2001:db8:ffff::/48', 'em2'],
  ['fd00::/8', 'em1'],
  ['::/0', 'em0'],
];

/** Destinations that no host sends on: its own, those of a link, of everybody, and of nobody. */
const KEPT = addresses(
  ...labWorld(true).interfaces.flatMap((device) => device.addresses.map((text) => text.replace(/\/.*/, ''))),
  ...['0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/3', '192.0.2.0', '192.0.2.255', '10.1.0.0'],
  ...['10.1.255.255', '172.16.5.0', '172.16.5.3', '::/96', '::ffff:0:0/96', 'fe80::/9', 'ff00::/8'],
  // Addresses of subnets' routers (RFC 4291, 2.6.1) are the host's own.
  ...['2001:db8::', '2001:db8:1::', '2001:db8:2::'],
);

/** Sources that a host does not send on, or takes for damage. */
const ODD = addresses(
  ...['0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/3'],
  ...['::/96', '::ffff:0:0/96', 'fe80::/9', 'ff00::/8'],
);

/** Addresses that a host throws away before pf sees them (ip_input(), ip6_input()). */
const NEVER = addresses('127.0.0.0/8', '0.0.0.0/8', '::/96', '::ffff:0:0/96');

const SENDERS = addresses('224.0.0.0/3', 'ff00::/8');

/** Whether a packet with these addresses comes before the rules. */
export function canCome(af: Af, src: Ip, dst: Ip): boolean {
  return !inside(NEVER[af], src) && !inside(NEVER[af], dst) && !inside(SENDERS[af], src);
}

/** The interface that a packet is sent on by; none where it is not. */
export function wayOut(af: Af, src: Ip, dst: Ip): string | undefined {
  if (inside(KEPT[af], dst) || inside(ODD[af], src)) return undefined;
  return ROUTES.find(([net]) => inside(netRange(net, af), dst))?.[1];
}

/** Some address of a text, for lists. */
export function address(text: string): { readonly af: Af; readonly ip: Ip } {
  const net = parseNet(text);
  if (!net) throw new Error(`no address: ${text}`);
  return { af: net.af, ip: net.af === 'inet' ? Number(net.base) : net.base };
}
