import ipaddr from 'ipaddr.js';
import { normalAddress } from './net.js';
import { parseCount } from './reading.js';
import type { Reading } from './reading.js';

/** A port of TCP or UDP. */
export interface Port {
  readonly port: number;
  readonly proto: 'tcp' | 'udp';
}

/** A port of the host that leads to one of a jail. */
export interface Forward extends Port {
  readonly jail: string;
  /** The port of the jail. */
  readonly to: number;
}

const portNumber = (text: string): number | undefined => parseCount(text, 1, 65535);

/** Ports that have keys of their own, or that the policy keeps closed, with what to do about it. */
const TAKEN: Readonly<Record<string, string>> = {
  '22/tcp': 'SSH is open already; who may come oftener stands in SSH_ALLOW',
  '5900/tcp': 'the glasspane is for the tailnet alone: GLASSPANE="yes"',
  '41641/udp': 'Tailscale has it: TAILSCALE="host"',
};

/** Reads `8443/tcp`: a port of the host's that is open to the internet. */
export function readOpenPort(text: string): Reading<Port> {
  const match = /^([0-9]+)\/(tcp|udp)$/.exec(text);
  const port = portNumber(match?.[1] ?? '');
  if (!match || port === undefined)
    return { message: 'must be port/tcp or port/udp', fix: 'write it as "8443/tcp 51820/udp"' };
  const taken = TAKEN[text];
  if (taken !== undefined) return { message: `must not have ${text}`, fix: `take it out: ${taken}` };
  return { value: { port, proto: match[2] as Port['proto'] } };
}

/** Reads `8443/tcp=worker:443`: a port of the host's, and where it leads. */
export function readForward(text: string): Reading<Forward> {
  const fix = 'write it as "8443/tcp=worker:443"';
  const match = /^([^=]*)=([a-z][a-z0-9]{0,10}):([0-9]+)$/.exec(text);
  const to = portNumber(match?.[3] ?? '');
  if (!match || to === undefined) return { message: 'must be port/tcp=jail:port or port/udp=jail:port', fix };
  const outer = readOpenPort(match[1] ?? '');
  if (!('value' in outer)) return outer;
  return { value: { ...outer.value, jail: match[2] ?? '', to } };
}

/** The widest networks that may be let in past the limits of SSH: a wider one is half the internet. Bits of the prefix. */
const WIDEST = { ipv4: 8, ipv6: 19 } as const;

/** Reads an address or a network, `192.0.2.7` or `2001:db8::/48`; gives it in normal form, always with its prefix. */
export function readSource(text: string): Reading<string> {
  const fix = 'write it as "192.0.2.7 198.51.100.0/24 2001:db8::/48"';
  const [address = '', bits, ...rest] = text.split('/');
  const normal = normalAddress(address);
  if (
    normal === undefined ||
    rest.length > 0 ||
    (bits !== undefined && !/^(?:0|[1-9][0-9]{0,2})$/.test(bits))
  )
    return { message: 'must be addresses and networks', fix };
  const parsed = ipaddr.parse(normal);
  const most = parsed.kind() === 'ipv4' ? 32 : 128;
  const prefix = bits === undefined ? most : Number(bits);
  if (prefix > most) return { message: `has a prefix of ${prefix} bits`, fix };
  if (prefix < WIDEST[parsed.kind()])
    return {
      message: 'has too much of the internet to be let in without a limit',
      fix: `name networks of /${WIDEST[parsed.kind()]} or less`,
    };
  const first =
    parsed.kind() === 'ipv4'
      ? ipaddr.IPv4.networkAddressFromCIDR(`${normal}/${prefix}`)
      : ipaddr.IPv6.networkAddressFromCIDR(`${normal}/${prefix}`);
  if (normalAddress(first.toString()) !== normal)
    return {
      message: 'has bits behind the prefix',
      fix: `write ${normalAddress(first.toString()) ?? ''}/${prefix}, or ${normal} alone`,
    };
  return { value: `${normal}/${prefix}` };
}
