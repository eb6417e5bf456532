import { parseInterface, parseNetwork4, toText } from '../config/net.js';
import { readForward, readOpenPort, readSource } from '../config/ports.js';
import type { Port } from '../config/ports.js';
import { itemsOf } from '../config/reading.js';
import type { Reading } from '../config/reading.js';
import type { Expected } from './checks.js';
import { NETWORK } from './peer.js';
import type { Network } from './peer.js';

/** What a build record says of a deployment: keys of its configuration. */
export type RecordedValues = (key: string, fallback: string) => string;

/** Reads `address/prefix gateway` of the family; undefined if it is one of the words that stand for no such thing. */
function fixed(value: string, family: 4 | 6): { readonly own: string; readonly gateway: string } | undefined {
  const [own = '', gateway = ''] = value.split(/\s+/);
  const address = parseInterface(own, family)?.address;
  return address === undefined ? undefined : { own: address, gateway };
}

/** The link that a deployment expects to find: its own addresses and gateways where it names them. Pure. */
export function networkOf(value: RecordedValues): Network {
  const four = fixed(value('WAN_IPV4', 'dhcp'), 4);
  const six = fixed(value('WAN_IPV6', 'slaac'), 6);
  const guest4 = four?.own ?? NETWORK.guest4;
  const router4 = four?.gateway ?? NETWORK.router4;
  const login4 = [3, 4, 5]
    .map((last) => guest4.replace(/\d+$/, String(last)))
    .find((address) => address !== guest4 && address !== router4);
  return {
    ...NETWORK,
    guest4,
    router4,
    login4: login4 ?? NETWORK.login4,
    ...(six && { guest6: six.own, router6: six.gateway }),
  };
}

/** The last host address of a network. */
function lastOf(text: string): string {
  const network = parseNetwork4(text);
  return network ? toText(network.base + 2 ** (32 - network.prefix) - 2) : text;
}

/** Ways in by TCP beside those with keys of their own: ports of the host, ports that lead to jails, and who may come to SSH as often as he likes. */
export interface WaysIn {
  readonly open: readonly number[];
  readonly forwards: readonly { readonly port: number; readonly jail: string; readonly to: number }[];
  /** An IPv4 address of SSH_ALLOW, where it names one. */
  readonly allowed: string | undefined;
}

/** The ways in that OPEN_PORTS, FORWARD_PORTS and SSH_ALLOW name. Pure. */
export function waysInOf(value: RecordedValues): WaysIn {
  const read = <T>(key: string, parse: (item: string) => Reading<T>): readonly T[] =>
    itemsOf(value(key, '')).flatMap((item) => {
      const reading = parse(item);
      return 'value' in reading ? [reading.value] : [];
    });
  const tcp = <P extends Port>(ports: readonly P[]): readonly P[] =>
    ports.filter(({ proto }) => proto === 'tcp');
  return {
    open: tcp(read('OPEN_PORTS', readOpenPort)).map(({ port }) => port),
    forwards: tcp(read('FORWARD_PORTS', readForward)).map(({ port, jail, to }) => ({ port, jail, to })),
    allowed: read('SSH_ALLOW', readSource).flatMap((source) => parseInterface(source, 4)?.address ?? [])[0],
  };
}

/** What a deployment lets in. Pure. */
export function expectedOf(value: RecordedValues): Expected {
  const { open, forwards } = waysInOf(value);
  return {
    ports: [
      22,
      ...(value('HTTP', 'yes') === 'yes' ? [80] : []),
      ...(value('HTTPS', 'yes') === 'yes' ? [443] : []),
      ...open,
      ...forwards.map(({ port }) => port),
    ],
    icmpEcho: value('ICMP_ECHO', 'no') === 'yes',
    ipv6: value('WAN_IPV6', 'slaac') !== 'off',
    agentNet: value('AGENT_NET', '192.168.100.0/24'),
    jailNets: [
      value('AGENT_NET', '192.168.100.0/24'),
      ...(value('TENANTS', '').match(/(?<==)\S+\/24\b/g) ?? []),
    ],
    otherJail: lastOf(value('JAIL_SUPERNET', '192.168.0.0/16')),
  };
}
