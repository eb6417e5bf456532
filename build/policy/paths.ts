import { each, union } from '../pf/ranges.js';
import type { Addresses } from '../pf/ranges.js';
import { concerns } from '../pf/resolve.js';
import type { World } from '../pf/resolve.js';
import type { Rule, Ruleset } from '../pf/types.js';
import { broadcastOf } from './zones.js';
import type { Zone, Zones } from './zones.js';

/** An interface that a packet crosses, and how. */
export interface Crossing {
  readonly interface: string;
  readonly direction: 'in' | 'out';
  /** Of what goes out: the interface that it came in on; none where the host or a plain jail sends it. */
  readonly receivedOn?: string;
}

/** A way of packets through the host, from a zone to a zone. */
export interface Way {
  /** What pf sees of it, in order; nothing where it never meets pf. */
  readonly crossings: readonly Crossing[];
  readonly sources: Addresses;
  /** Where the packet has to go in the end, whatever its destination was at first. */
  readonly addresses: Addresses;
  /** The anchor whose rules, filled at run time, are taken to have sent it this way before the first crossing. */
  readonly anchor?: { readonly rule: Rule; readonly crossing: Crossing };
}

/** What is in the host's own network stack: packets between these take a loopback, and none of its cards. */
const LOCAL = new Set(['host', 'loopback', 'plain']);

/**
 * The ways from a zone to a zone. Routes are those of the design: an address of the host's own stack is delivered by the
 * loopback that it is on (in_ifaddr's route: lo0 for all but addresses of a loopback), one of a tenant's net by its bridge;
 * any other may be behind any interface.
 */
export function waysOf({ loopback }: Zones, from: Zone, to: Zone, bridges: BroadcastNets): readonly Way[] {
  const ends = { sources: from.sources, addresses: to.addresses };
  if (LOCAL.has(from.kind)) {
    if (!LOCAL.has(to.kind))
      return to.interfaces.map((name) => ({ ...ends, crossings: [{ interface: name, direction: 'out' }] }));
    const name = to.kind === 'plain' ? loopback : 'lo0';
    return [
      {
        ...ends,
        crossings: [
          { interface: name, direction: 'out' },
          { interface: name, direction: 'in' },
        ],
      },
    ];
  }
  const ways = from.interfaces.flatMap((name): readonly Way[] => {
    const incoming: Crossing = { interface: name, direction: 'in' };
    if (LOCAL.has(to.kind)) {
      const net = to.kind === 'host' ? bridges.get(name) : undefined;
      const reached = net === undefined ? to.addresses : each(join, to.addresses, broadcastOf(net));
      return [{ ...ends, addresses: reached, crossings: [incoming] }];
    }
    return to.interfaces.map((out) => ({
      ...ends,
      crossings: [incoming, { interface: out, direction: 'out', receivedOn: name }],
    }));
  });
  // Members of a bridge reach each other on it: nothing there meets pf (net.link.bridge.pfil_*=0).
  return from === to && from.kind === 'vnet'
    ? [{ ...ends, sources: from.addresses, crossings: [] }, ...ways]
    : ways;
}

/** Nets by the bridge that they are on. */
export type BroadcastNets = ReadonlyMap<string, string>;

const join = (left: Addresses['inet'], right: Addresses['inet']): Addresses['inet'] => union(left, right);

/**
 * The ways that rules of the anchor rdr/* may open: `bastille rdr` puts `rdr pass on $ext_if inet proto … to any port … ->
 * JAIL port …` there (Bastille 1.4, rdr.sh), so that a packet from what faces the internet passes the first crossing with
 * any jail as its new destination.
 */
export function redirectedWays(ruleset: Ruleset, world: World, from: Zone, to: Zone): readonly Way[] {
  if (from.kind !== 'internet' || (to.kind !== 'plain' && to.kind !== 'vnet')) return [];
  return ruleset.rules.flatMap((rule): readonly Way[] => {
    if (rule.action !== 'rdr-anchor' || rule.anchor?.name.startsWith('rdr') !== true) return [];
    return from.interfaces.flatMap((name): readonly Way[] => {
      const device = world.interfaces.find((candidate) => candidate.name === name);
      if (device?.groups.includes('egress') !== true || !concerns(rule, device, 'in', 'inet')) return [];
      return [
        {
          sources: from.sources,
          addresses: { ...to.addresses, inet6: [] },
          anchor: { rule, crossing: { interface: name, direction: 'in' } },
          crossings: to.interfaces.map((out) => ({ interface: out, direction: 'out', receivedOn: name })),
        },
      ];
    });
  });
}
