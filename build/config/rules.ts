import ipaddr from 'ipaddr.js';
import type { Config, KeyName } from './keys.js';
import { overcommitted, planJails } from './jails.js';
import type { Span } from './reading.js';
import { contains, formatNetwork4, overlaps, toNumber } from './net.js';
import type { Network4 } from './net.js';
import type { Port } from './ports.js';
import { assignTenants } from './tenants.js';
import type { Tenant } from './tenants.js';

/** A rule between keys that a configuration breaks; `key` is the one to look at. */
export interface Breach {
  readonly key: KeyName;
  readonly message: string;
  readonly fix: string;
  /** The part of the value that is meant, where it is not all of it. */
  readonly span?: Span;
}

/**
 * Checks the rules between keys. Takes what values there are: a rule whose keys did not all parse is passed over,
 * since their own messages come first.
 */
export function crossCheck(c: Partial<Config>): readonly Breach[] {
  const breaches: Breach[] = [];
  const add: Add = (key, message, fix, span) =>
    void breaches.push({ key, message, fix, ...(span && { span }) });

  if (
    c.SSH_AUTHORIZED_KEYS?.length === 0 &&
    'ROOT_PASSWORD_HASH' in c &&
    c.ROOT_PASSWORD_HASH === undefined &&
    c.FREEBSD_DIST !== 'sample'
  ) {
    add(
      'SSH_AUTHORIZED_KEYS',
      'nobody could log in to this image: there is no SSH_AUTHORIZED_KEYS and no ROOT_PASSWORD_HASH',
      'set SSH_AUTHORIZED_KEYS to your public key, for instance "@/root/.ssh/id_ed25519.pub"',
    );
  }
  if (c.SSH_PASSWORD_AUTH === true && 'ROOT_PASSWORD_HASH' in c && c.ROOT_PASSWORD_HASH === undefined) {
    add(
      'SSH_PASSWORD_AUTH',
      'SSH_PASSWORD_AUTH is "yes", but there is no ROOT_PASSWORD_HASH that a password could match',
      'set ROOT_PASSWORD_HASH, or SSH_PASSWORD_AUTH="no"',
    );
  }
  if ('SIGN_KEY' in c && c.SIGN_KEY === undefined && (c.SIGNERS ?? []).length > 0) {
    add(
      'SIGNERS',
      'SIGNERS is set, but there is no SIGN_KEY: an instance would refuse the next image of this configuration',
      'set SIGN_KEY to the public key of one of the signers, or take SIGNERS out',
    );
  }
  if (c.AGENT_UI !== undefined && c.HTTPS === false) {
    add(
      'AGENT_UI',
      'AGENT_UI is set, but HTTPS is "no": nobody would answer for it',
      'set HTTPS="yes", or take AGENT_UI out',
    );
  }
  if (c.AGENT_UI !== undefined && c.JAIL_SUPERNET) {
    const [address = ''] = c.AGENT_UI.split(':');
    const host = { base: toNumber(address) ?? 0, prefix: 32 };
    if (address !== '127.0.0.1' && !contains(c.JAIL_SUPERNET, host)) {
      add(
        'AGENT_UI',
        `AGENT_UI is at ${address}, which is neither this host nor a jail of JAIL_SUPERNET ${formatNetwork4(c.JAIL_SUPERNET)}`,
        'name 127.0.0.1, or the address of a jail',
      );
    }
  }
  if (c.GLASSPANE === true && (c.TAILSCALE === 'off' || c.TAILSCALE === 'jail')) {
    add(
      'GLASSPANE',
      `GLASSPANE is "yes", but operators reach it over the tailnet only, and with TAILSCALE="${c.TAILSCALE}" the host is in none`,
      'set TAILSCALE="host", or GLASSPANE="no"',
    );
  }
  if (c.TAILSCALE === 'off' && c.TAILSCALE_AUTHKEY_FILE !== undefined) {
    add(
      'TAILSCALE_AUTHKEY_FILE',
      'TAILSCALE_AUTHKEY_FILE is set, but TAILSCALE is "off"',
      'set TAILSCALE, or take the key out of the image',
    );
  }
  if (c.FORMATS?.length === 0) {
    add('FORMATS', 'FORMATS names no format: nothing would be built', 'set FORMATS="iso"');
  }
  if (c.FREEBSD_DIST === 'sample' && c.FORMATS?.some((format) => format !== 'iso')) {
    add(
      'FORMATS',
      'FORMATS asks for a disk image, but the sample release holds no FreeBSD that could install itself',
      'set FREEBSD_DIST, or FORMATS="iso"',
    );
  }
  if (c.INSTALL_FS === 'zfs' && c.PROFILE === 'minimal') {
    add(
      'INSTALL_FS',
      'INSTALL_FS is "zfs", but PROFILE is "minimal", which leaves ZFS out',
      'set PROFILE="standard", or INSTALL_FS="ufs"',
    );
  }
  if (c.INSTALL_LAYOUT === 'ab' && c.INSTALL_FS === 'zfs') {
    add(
      'INSTALL_LAYOUT',
      'INSTALL_LAYOUT is "ab", but INSTALL_FS is "zfs", whose pool has boot environments instead',
      'take INSTALL_LAYOUT out, or set INSTALL_FS="ufs"',
    );
  }
  networks(c, add);
  wan(c, add);
  ports(c, add);
  return breaches;
}

type Add = (key: KeyName, message: string, fix: string, span?: Span) => void;

function networks(c: Partial<Config>, add: Add): void {
  const { AGENT_NET: agent, JAIL_SUPERNET: pool, TENANTS: tenants } = c;
  if (!agent || !pool) return;
  if (!contains(pool, agent)) {
    add(
      'AGENT_NET',
      `AGENT_NET ${formatNetwork4(agent)} is not in JAIL_SUPERNET ${formatNetwork4(pool)}: NAT would not cover it`,
      'choose a /24 of JAIL_SUPERNET, or widen JAIL_SUPERNET',
    );
    return;
  }
  if (!tenants || c.ASSISTANT_NAME === undefined) return;
  const result = assignTenants(c.ASSISTANT_NAME, agent, pool, tenants);
  if ('message' in result) {
    add('TENANTS', result.message, result.fix);
    return;
  }
  jails(c, result, add);
}

function jails(c: Partial<Config>, tenants: readonly Tenant[], add: Add): void {
  const { JAILS: entries, JAIL_NETWORK: network } = c;
  const { JAIL_MEMORY: memory, JAIL_PROCESSES: processes, JAIL_CPU: cpu, JAIL_DISK: disk } = c;
  if (!entries || !network || !memory || !processes || !cpu || !disk) return;
  const plan = planJails(entries, tenants, { network, limits: { memory, processes, cpu, disk } });
  if ('message' in plan) {
    add('JAILS', plan.message, plan.fix, plan.span);
    return;
  }
  const over = overcommitted(plan, {
    memory: c.TENANT_MEMORY,
    processes: c.TENANT_PROCESSES,
    cpu: c.TENANT_CPU,
    disk: c.TENANT_DISK,
  });
  if (over) add('JAILS', over.message, over.fix);
}

/** Each port leads to one place, and to a jail that there is. Sources of SSH are no addresses that are dropped before. */
function ports(c: Partial<Config>, add: Add): void {
  const taken = new Map<string, string>([
    ...(c.HTTP === true ? [['80/tcp', 'HTTP="yes"'] as const] : []),
    ...(c.HTTPS === true ? [['443/tcp', 'HTTPS="yes"'] as const] : []),
  ]);
  const take = (key: 'OPEN_PORTS' | 'FORWARD_PORTS', { port, proto }: Port): void => {
    const name = `${port}/${proto}`;
    const by = taken.get(name);
    if (by !== undefined) add(key, `${key} names ${name}, which ${by} has already`, 'take one of them out');
    taken.set(name, key);
  };
  for (const port of c.OPEN_PORTS ?? []) take('OPEN_PORTS', port);
  for (const forward of c.FORWARD_PORTS ?? []) {
    take('FORWARD_PORTS', forward);
    if (c.JAILS && !c.JAILS.some(({ name }) => name === forward.jail))
      add(
        'FORWARD_PORTS',
        `FORWARD_PORTS leads to the jail "${forward.jail}", which JAILS does not have`,
        'name a jail of JAILS, or add it there',
      );
  }
  for (const source of c.SSH_ALLOW ?? []) {
    const kept = [...IMPOSSIBLE, ...(c.JAIL_SUPERNET ? [formatNetwork4(c.JAIL_SUPERNET)] : [])].find((net) =>
      share(net, source),
    );
    if (kept !== undefined)
      add(
        'SSH_ALLOW',
        `SSH_ALLOW has ${source}, which shares addresses with ${kept}: what claims to come from there is dropped on the internet side`,
        'name addresses of the internet side; jails and the tailnet have their own ways',
      );
  }
}

/** Networks whose addresses nobody has on the internet side (pf.conf). */
const IMPOSSIBLE = ['127.0.0.0/8', '169.254.0.0/16', '100.64.0.0/10', 'fd7a:115c:a1e0::/48', '::1/128'];

/** Whether two networks share an address. */
function share(one: string, other: string): boolean {
  const [[a, bitsA], [b, bitsB]] = [ipaddr.parseCIDR(one), ipaddr.parseCIDR(other)];
  return a.kind() === b.kind() && a.match(b, Math.min(bitsA, bitsB));
}

function wan(c: Partial<Config>, add: Add): void {
  const { WAN_IPV4: v4, WAN_IPV6: v6, JAIL_SUPERNET: pool } = c;
  if (typeof v4 === 'object') {
    const address = toNumber(v4.interface.address) ?? 0;
    const size = 2 ** (32 - v4.interface.prefix);
    const net: Network4 = { base: address - (address % size), prefix: v4.interface.prefix };
    const gateway = toNumber(v4.gateway) ?? 0;
    if (pool && overlaps(pool, net)) {
      add(
        'WAN_IPV4',
        `the network of WAN_IPV4 (${formatNetwork4(net)}) overlaps JAIL_SUPERNET (${formatNetwork4(pool)}), whose addresses are dropped on the internet side`,
        'choose another JAIL_SUPERNET',
      );
    }
    // A /31 or /32 has no network or broadcast address; providers use them with a gateway outside.
    if (net.prefix <= 30 && (gateway < net.base || gateway >= net.base + size)) {
      add(
        'WAN_IPV4',
        `the gateway ${v4.gateway} is not in ${formatNetwork4(net)}`,
        'check the address, the prefix length and the gateway that your provider gave you',
      );
    }
    if (net.prefix <= 30 && (address === net.base || address === net.base + size - 1)) {
      add(
        'WAN_IPV4',
        `${v4.interface.address} is the network or broadcast address of ${formatNetwork4(net)}`,
        'check the address that your provider gave you',
      );
    }
    if (c.DNS?.length === 0) {
      add(
        'DNS',
        'DNS is empty, and with a static WAN_IPV4 nothing else names a name server',
        'set DNS, for instance "9.9.9.9 149.112.112.112"',
      );
    }
  }
  if (c.ASSISTANT_NAME !== undefined && c.EXT_IF === `${c.ASSISTANT_NAME}0`) {
    add(
      'EXT_IF',
      `EXT_IF ${c.EXT_IF} is the loopback of jails, which ASSISTANT_NAME names`,
      'set EXT_IF to the name of a network card, for instance "vtnet0", or to "auto"',
    );
  }
  const fixed = [v4, v6].some((value) => typeof value === 'object');
  if (fixed && c.EXT_IF === 'auto') {
    add(
      'EXT_IF',
      'EXT_IF is "auto", which does not say which interface the static address is to be on',
      'set EXT_IF to the name of the interface, for instance "vtnet0"',
    );
  }
}
