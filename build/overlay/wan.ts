import ipaddr from 'ipaddr.js';
import type { Config } from '../config/keys.js';
import type { StaticWan } from '../config/readers.js';

/** What templates see of the interface that faces the internet. */
export interface WanView {
  /** The interface that build.cfg names, or null where the routing table is asked. */
  readonly external: string | null;
  readonly extIf: string;
  readonly ifconfig4: string;
  readonly ifconfig6: string | null;
  readonly gateway4: string | null;
  readonly gateway6: string | null;
  /** Arguments of route(8) for a gateway outside of the address's network, or null. */
  readonly gatewayRoute4: string | null;
  readonly gatewayRoute6: string | null;
  readonly slaac: boolean;
  readonly ipv6: boolean;
  /** `dhcp` or `static`. */
  readonly wan4: string;
  readonly wan6: string;
}

/** Whether no network of the interface leads to the gateway. fe80::/10 is on every link. */
function isOutside({ interface: { address, prefix }, gateway }: StaticWan): boolean {
  const other = ipaddr.parse(gateway);
  const everywhere = other.kind() === 'ipv6' && other.range() === 'linkLocal';
  return !everywhere && !other.match(ipaddr.parse(address), prefix);
}

const written = ({ interface: { address, prefix } }: StaticWan): string => `${address}/${prefix}`;

/** The side of the internet, as rc.conf(5) and route(8) take it. Pure. */
export function wanView({
  WAN_IPV4: wan4,
  WAN_IPV6: wan6,
  EXT_IF: extIf,
}: Pick<Config, 'WAN_IPV4' | 'WAN_IPV6' | 'EXT_IF'>): WanView {
  const four = typeof wan4 === 'object' ? wan4 : undefined;
  const six = typeof wan6 === 'object' ? wan6 : undefined;
  // A link-local gateway needs the interface that it is on (rules.ts sees to it that there is one).
  const scope = six?.gateway.startsWith('fe80:') === true ? `%${extIf}` : '';
  return {
    external: extIf === 'auto' ? null : extIf,
    extIf,
    ifconfig4: four ? `inet ${written(four)}` : 'SYNCDHCP',
    ifconfig6: six ? `inet6 ${written(six)}` : wan6 === 'slaac' ? 'inet6 accept_rtadv' : null,
    gateway4: four?.gateway ?? null,
    gateway6: six ? `${six.gateway}${scope}` : null,
    gatewayRoute4: four && isOutside(four) ? `-host ${four.gateway} -iface ${extIf}` : null,
    gatewayRoute6: six && isOutside(six) ? `${six.gateway} -prefixlen 128 -iface ${extIf}` : null,
    slaac: wan6 === 'slaac',
    ipv6: wan6 !== 'off',
    wan4: four ? 'static' : 'dhcp',
    wan6: typeof wan6 === 'object' ? 'static' : wan6,
  };
}
