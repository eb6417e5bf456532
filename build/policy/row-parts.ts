import type { Place } from '../pf/lines.js';
import { PROTO } from '../pf/names.js';
import { addresses, subtract } from '../pf/ranges.js';
import type { Addresses, Ranges } from '../pf/ranges.js';
import type { World } from '../pf/resolve.js';
import { NOBODY } from './address-sets.js';
import type { Row, RowBox } from './row.js';
import { another, externalName, jailAddress, outerAddresses, PARTIES } from './world.js';
import type { Situation } from './world.js';

/** One value of a field. */
export const one = (value: number): Ranges => [[value, value]];
/** All protocols, or types of ICMP, but these. */
export const not = (values: Ranges): Ranges => subtract([[0, 255]], values);
/** A service. */
export type Service = Required<Pick<RowBox, 'protos' | 'dstPort'>>;
/** A port of a protocol. */
export const port = (proto: number, value: number): Service => ({ protos: one(proto), dstPort: one(value) });
/** Where tailscaled listens for the tunnel. */
export const TUNNEL = port(PROTO.udp, 41641);

/** Neighbour discovery (RFC 4861): advertisements and solicitations of neighbours, and those of routers by direction. */
export const DISCOVERY: Readonly<Record<Place['direction'], Ranges>> = {
  in: [[134, 136]],
  out: [
    [133, 133],
    [135, 136],
  ],
};
/** Both ways. */
export const ANY_DISCOVERY: Ranges = [[133, 136]];

/** Everything but neighbour discovery. */
export function otherThan(types: Ranges, { af }: Place): readonly RowBox[] {
  const icmp = one(PROTO.icmp6);
  return af === 'inet' ? [{}] : [{ protos: not(icmp) }, { protos: icmp, type: not(types) }];
}

/** Adds a row to the policy. */
export type Add = (
  id: string,
  from: string,
  to: string,
  why: string,
  verdict: Row['verdict'],
  at: Row['at'],
  more?: Pick<Row, 'rule' | 'translated' | 'leadsTo'>,
) => void;

/** The parties of the policy, as addresses and interfaces. */
export interface Parties {
  readonly jails: Addresses;
  readonly gateways: Addresses;
  readonly broadcasts: Addresses;
  /** The host's own addresses on what faces the internet; nobody knows them before that is known. */
  readonly host: Addresses;
  /** Those of all its interfaces, but for loopbacks, where plain jails are, and bridges. */
  readonly own: Addresses;
  readonly tailnetHost: Addresses;
  readonly nets: readonly Addresses[];
  readonly bridges: ReadonlyMap<string, { readonly net: Addresses; readonly gateway: Addresses }>;
  readonly external: readonly string[];
  readonly loopbacks: readonly string[];
  /** Whether tailscale0 is there. */
  readonly tailnet: boolean;
  /** Services of the host in JAIL_HOST_PORTS. */
  readonly hostPorts: readonly Service[];
}

const bare = (address: string): string => address.replace(/\/.*/, '');

/** Who they are on this host. */
export function partiesOf(situation: Situation, world: World): Parties {
  const { view, tailscaleActive, fallback, egressKnown } = situation;
  const { interfaces } = world;
  const { tailnetHost4, tailnetHost6 } = PARTIES;
  const nets = view.bridges.map(({ net }) => addresses(net));
  return {
    jails: addresses(view.supernet),
    gateways: addresses(...view.bridges.map(({ gateway }) => gateway)),
    broadcasts: addresses(...view.bridges.map(({ net }) => jailAddress(net, 255))),
    host: egressKnown ? outerAddresses(situation, world) : NOBODY,
    own: addresses(
      ...interfaces
        .filter(({ groups }) => !groups.includes('lo') && !groups.includes('wardens'))
        .flatMap((device) => device.addresses.map(bare)),
    ),
    tailnetHost: addresses(...[tailnetHost4, tailnetHost6].map(bare)),
    nets,
    bridges: new Map(
      view.bridges.map(({ bridge, net, gateway }) => [
        bridge,
        { net: addresses(net), gateway: addresses(gateway) },
      ]),
    ),
    external: [externalName(view), another('egress')],
    loopbacks: ['lo0', view.loopback, another('lo')],
    tailnet: tailscaleActive || fallback,
    hostPorts: fallback
      ? []
      : view.hostPorts.map(({ port: number, proto }) =>
          port(proto === 'tcp' ? PROTO.tcp : PROTO.udp, Number(number)),
        ),
  };
}
