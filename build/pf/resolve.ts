import { bounds, parseNet } from './address.js';
import { netRange, subtract, toRange, union } from './ranges.js';
import type { Range, Ranges } from './ranges.js';
import type { Address, Af, Rule, Ruleset } from './types.js';

/** An interface of the host that the rules are for. Addresses are written `address/prefix`. */
export interface WorldInterface {
  readonly name: string;
  readonly groups: readonly string[];
  readonly addresses: readonly string[];
}

/** What the rules meet: interfaces with their addresses, and what is in tables beyond their definitions. */
export interface World {
  readonly interfaces: readonly WorldInterface[];
  readonly tables: Readonly<Record<string, readonly string[]>>;
  /** net.pf.default_to_drop: what happens to a packet that no rule matches. */
  readonly defaultDrop: boolean;
}

/**
 * Whether an interface has a name, or is in the group of that name (pfi_kkif_match() of pf_if.c): each is in "all" (IFG_ALL
 * of net/if.h), and "any" are those that are no loopback.
 */
export function isCalled(device: WorldInterface, name: string): boolean {
  if (device.name === name || name === 'all' || device.groups.includes(name)) return true;
  return name === 'any' && !device.groups.includes('lo');
}

/** Whether a rule is about packets of an interface, direction and family at all. */
export function concerns(rule: Rule, device: WorldInterface, direction: 'in' | 'out', af: Af): boolean {
  if (rule.direction !== undefined && rule.direction !== direction) return false;
  if (rule.af !== undefined && rule.af !== af) return false;
  return !rule.interface || isCalled(device, rule.interface.name) !== rule.interface.not;
}

/** Whether a rule stands for anchors that are made at run time: while there are none, it is nothing. */
export function isFilled({ anchor }: Rule): boolean {
  return anchor?.name.endsWith('*') === true;
}

/**
 * Whether a rule looks at what fragments do not have, and so is about none of them. Rules that translate are: to them, ports of
 * a fragment are 0 (pf_match_translation_rule() of pf_lb.c).
 */
export function looksInside({ action, fromPort, toPort, icmp, user, group, os }: Rule): boolean {
  const filters = action === 'pass' || action === 'block' || action === 'match' || action === 'anchor';
  return filters && (fromPort ?? toPort ?? icmp ?? user ?? group ?? os) !== undefined;
}

/** Whether a rule has a condition on what an address, a port and an interface do not tell. */
export function hasHiddenCondition({ os, user, group, options }: Rule): boolean {
  return (
    os !== undefined ||
    user !== undefined ||
    group !== undefined ||
    options.probability !== undefined ||
    options.tos !== undefined ||
    options.prio !== undefined ||
    options.maxPktRate !== undefined ||
    options.maxPktSize !== undefined
  );
}

/** The addresses that those of rules stand for in a world. */
export class Resolver {
  private readonly devices: readonly {
    readonly device: WorldInterface;
    readonly nets: readonly Extract<Address, { kind: 'net' }>[];
  }[];
  private readonly tables = new Map<string, Readonly<Record<Af, Ranges>>>();

  constructor(ruleset: Ruleset, world: World) {
    this.devices = world.interfaces.map((device) => ({
      device,
      nets: device.addresses.flatMap((text) => parseNet(text) ?? []),
    }));
    for (const table of ruleset.tables) {
      const hosts = (af: Af): Ranges => {
        const entries = table.hosts.flatMap(({ address, not }) =>
          (this.ranges(address, af) ?? []).map((range) => ({ range, not })),
        );
        const more = (world.tables[table.name] ?? []).flatMap((text) => netRange(text, af));
        entries.push(...more.map((range) => ({ range, not: false })));
        // Of the networks that an address is in, the smallest says whether it is in the table (pfr_match_addr() of pf_table.c); of one
        // that is there with and without "!", the first.
        entries
          .reverse()
          .sort((a, b) => Number(size(a.range) < size(b.range)) - Number(size(a.range) > size(b.range)));
        return entries.reduce<Ranges>(
          (all, { range, not }) => (not ? subtract(all, [range]) : union(all, [range])),
          [],
        );
      };
      this.tables.set(table.name, { inet: hosts('inet'), inet6: hosts('inet6') });
    }
  }

  /** The addresses of the family that an address of a rule stands for; undefined for any. */
  ranges(address: Address, af: Af): readonly Range[] | undefined {
    switch (address.kind) {
      case 'net':
        return address.af === af ? [toRange(af, ...bounds(af, address.base, address.prefix))] : [];
      case 'range':
        return address.af === af ? [toRange(af, address.low, address.high)] : [];
      case 'table':
        return this.tables.get(address.name)?.[af] ?? [];
      case 'dynamic':
      case 'interface':
        return this.interfaceRanges(address.name, address.modifiers, address.prefix, af);
      default:
        return undefined;
    }
  }

  private interfaceRanges(
    name: string,
    modifiers: readonly string[],
    prefix: number | undefined,
    af: Af,
  ): Range[] {
    const devices = this.devices.filter(({ device }) => name === 'self' || isCalled(device, name));
    const says = (modifier: string): boolean => modifiers.includes(modifier);
    return devices.flatMap(({ device, nets: own }) => {
      // As pfi_instance_add() of pf_if.c picks them.
      if (says('broadcast') && (af === 'inet6' || device.groups.includes('lo'))) return [];
      const linkLocal = says('network') || says('0');
      const nets = own.filter((net) => net.af === af && !(linkLocal && isLinkLocal(net)));
      const chosen = says('0') ? nets.slice(0, 1) : nets;
      return chosen.map((net): Range => {
        const [, last] = bounds(af, net.base, net.prefix);
        const base = says('broadcast') ? last : net.base;
        const width = says('network') ? net.prefix : af === 'inet' ? 32 : 128;
        return toRange(af, ...bounds(af, base, prefix ?? width));
      });
    });
  }
}

/** How many addresses a range has, less one. */
function size([low, high]: Range): bigint {
  return BigInt(high) - BigInt(low);
}

function isLinkLocal({ af, base }: { readonly af: Af; readonly base: bigint }): boolean {
  return af === 'inet6' && base >> 118n === 0x3fan;
}
