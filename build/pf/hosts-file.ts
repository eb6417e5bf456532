import { parseIp } from './address.js';

/** The addresses of names, in the order in which getaddrinfo(3) gives them: IPv6 first. */
export type HostNames = ReadonlyMap<string, readonly string[]>;

/**
 * Reads hosts(5): names that are known before there is a network, so that rules may use them.
 *
 * @param text of /etc/hosts; what is no address with names is passed over, as the resolver does
 */
export function readHostsFile(text: string): HostNames {
  const names = new Map<string, string[]>();
  for (const line of text.split('\n')) {
    const [address = '', ...known] = line.replace(/#.*/, '').trim().split(/\s+/);
    if (!parseIp(address)) continue;
    for (const name of known) {
      const addresses = names.get(name) ?? [];
      if (!addresses.includes(address)) addresses.push(address);
      names.set(name, addresses);
    }
  }
  const last = (address: string): number => (address.includes(':') ? 0 : 1);
  for (const addresses of names.values()) addresses.sort((a, b) => last(a) - last(b));
  return names;
}

/** /etc/hosts of a FreeBSD release. */
export const RELEASE_HOSTS: HostNames = readHostsFile(
  '::1 localhost localhost.my.domain\n127.0.0.1 localhost localhost.my.domain\n',
);
