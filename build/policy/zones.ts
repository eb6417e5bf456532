import { bounds, parseNet } from '../pf/address.js';
import { addresses, others, toRange } from '../pf/ranges.js';
import type { Addresses } from '../pf/ranges.js';
import type { World } from '../pf/resolve.js';
import { ITSELF, NOBODY, or, TAILNET, without } from './address-sets.js';
import { another, externalName, makeWorld, TAILSCALE } from './world.js';
import type { Situation } from './world.js';

/** What a zone is to the host: who is in it, and how packets come from there. */
export type ZoneKind = 'internet' | 'card' | 'host' | 'loopback' | 'plain' | 'vnet' | 'tailnet' | 'other';

/** Somewhere that packets come from and go to. */
export interface Zone {
  /** A short name that holds for the deployment: `internet`, `plain:igor`. */
  readonly id: string;
  readonly kind: ZoneKind;
  /** For people. */
  readonly name: string;
  /** Whose jails it is; none where it is nobody's. */
  readonly tenant?: string;
  /** Interfaces of the host that lead there; those of jails without a network stack of their own are the host's. */
  readonly interfaces: readonly string[];
  /** What packets from there can have as their source. Root in a VNET jail writes what it likes; a plain jail cannot. */
  readonly sources: Addresses;
  /** Where packets have to go to get there. */
  readonly addresses: Addresses;
}

/** The zones of a deployment in a situation. */
export interface Zones {
  readonly zones: readonly Zone[];
  /** The loopback that the addresses of plain jails are on. */
  readonly loopback: string;
}

const ANYBODY = others(NOBODY);

/**
 * The zones of a deployment. An interface that no rule names stands for a second card and for anything else.
 *
 * @param world with every interface that there may be
 */
export function zonesOf(situation: Situation, world: World): Zones {
  const { view } = situation;
  const known = makeWorld(situation);
  const has = (name: string): boolean => known.interfaces.some((device) => device.name === name);
  const loopbacks = new Set(['lo0', view.loopback, another('lo')]);
  const host = known.interfaces
    .filter(({ name }) => !loopbacks.has(name))
    .flatMap((device) => device.addresses)
    .map((text) => addresses(text.replace(/\/.*/, '')))
    .reduce(or, NOBODY);
  const jails = view.tenants.map((tenant) => ({
    tenant,
    net: without(addresses(tenant.net), or(host, broadcastOf(tenant.net))),
  }));
  const local = [host, ITSELF, ...view.tenants.map(({ net }) => addresses(net))].reduce(or);
  const foreign = without(ANYBODY, local);
  const present = (...names: readonly string[]): readonly string[] =>
    names.filter((name) => world.interfaces.some((device) => device.name === name));
  const internet = present(externalName(view), another('egress'));
  const strangers = world.interfaces.map(({ name }) => name).filter((name) => !has(name));
  const groups = strangers.filter(
    (name) => name.startsWith(another('')) && !internet.includes(name) && !loopbacks.has(name),
  );
  const cards = strangers.filter((name) => !name.startsWith(another('')) && name !== TAILSCALE);
  const zone = (
    id: string,
    kind: ZoneKind,
    name: string,
    rest: Omit<Zone, 'id' | 'kind' | 'name'>,
  ): Zone => ({ id, kind, name, ...rest });
  const tailnet = has(TAILSCALE);
  return {
    loopback: view.loopback,
    zones: [
      zone('internet', 'internet', 'internet', {
        interfaces: internet,
        sources: ANYBODY,
        addresses: tailnet ? without(foreign, TAILNET) : foreign,
      }),
      zone('card', 'card', 'another card', { interfaces: cards, sources: ANYBODY, addresses: foreign }),
      zone('host', 'host', 'host', { interfaces: [], sources: host, addresses: host }),
      zone('loopback', 'loopback', 'host’s loopback', {
        interfaces: ['lo0'],
        sources: ITSELF,
        addresses: ITSELF,
      }),
      ...jails.flatMap(({ tenant, net }) => [
        zone(`plain:${tenant.name}`, 'plain', `${tenant.name}, plain`, {
          tenant: tenant.name,
          interfaces: [],
          sources: net,
          addresses: net,
        }),
        zone(`vnet:${tenant.name}`, 'vnet', `${tenant.name}, VNET`, {
          tenant: tenant.name,
          interfaces: [tenant.bridge],
          sources: ANYBODY,
          addresses: net,
        }),
      ]),
      ...(tailnet
        ? [
            zone('tailnet', 'tailnet', 'tailnet', {
              interfaces: [TAILSCALE],
              sources: ANYBODY,
              addresses: foreign,
            }),
          ]
        : []),
      zone('other', 'other', 'other', {
        interfaces: [
          ...present('any other'),
          ...groups,
          ...strangers.filter((name) => name === TAILSCALE && !tailnet),
        ],
        sources: ANYBODY,
        addresses: foreign,
      }),
    ],
  };
}

/** The address that reaches everybody of a net, the host among them. */
export function broadcastOf(net: string): Addresses {
  const parsed = parseNet(net);
  if (parsed?.af !== 'inet') return NOBODY;
  const [, last] = bounds('inet', parsed.base, parsed.prefix);
  return { inet: [toRange('inet', last, last)], inet6: [] };
}
