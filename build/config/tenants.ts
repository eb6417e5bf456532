import type { TenantEntry } from './readers.js';
import { contains, formatNetwork4, overlaps, toText } from './net.js';
import type { Network4 } from './net.js';

/** A tenant of the host: the assistant itself, or one of TENANTS. */
export interface Tenant {
  readonly name: string;
  /** `warden0` for the assistant, `warden1`, … for the others: the names that the runtime looks up. */
  readonly bridge: string;
  /** The /24, as `a.b.c.0/24`. */
  readonly net: string;
  /** The host's address on the bridge: the first of the net. */
  readonly gateway: string;
}

/**
 * Gives every tenant its bridge and net: the assistant warden0 and AGENT_NET, each further one the net that it
 * names, or the next free /24 of the pool after AGENT_NET, going round.
 */
export function assignTenants(
  assistant: string,
  agent: Network4,
  pool: Network4,
  entries: readonly TenantEntry[],
): readonly Tenant[] | { readonly message: string; readonly fix: string } {
  const taken: Network4[] = [agent];
  const names = new Set([assistant]);
  for (const { name, net } of entries) {
    if (names.has(name)) {
      return {
        message: `TENANTS names ${name} twice, or by the name of the assistant`,
        fix: 'give every tenant a name of its own',
      };
    }
    names.add(name);
    if (!net) continue;
    if (!contains(pool, net)) {
      return {
        message: `the net of tenant ${name}, ${formatNetwork4(net)}, is not in JAIL_SUPERNET ${formatNetwork4(pool)}`,
        fix: 'choose a /24 of JAIL_SUPERNET',
      };
    }
    const clash = taken.find((other) => overlaps(other, net));
    if (clash) {
      return {
        message: `the net of tenant ${name}, ${formatNetwork4(net)}, is already taken`,
        fix: 'give every tenant a net of its own; AGENT_NET is the assistant’s',
      };
    }
    taken.push(net);
  }

  const count = 2 ** (24 - pool.prefix);
  const first = (agent.base - pool.base) / 256;
  const tenants: Tenant[] = [tenant(assistant, 0, agent)];
  for (const [index, { name, net: named }] of entries.entries()) {
    let net = named;
    for (let step = 1; !net && step < count; step++) {
      const candidate = { base: pool.base + ((first + step) % count) * 256, prefix: 24 };
      if (!taken.some((other) => overlaps(other, candidate))) net = candidate;
    }
    if (!net) {
      return {
        message: `JAIL_SUPERNET ${formatNetwork4(pool)} has no free /24 left for tenant ${name}`,
        fix: 'widen JAIL_SUPERNET, or remove a tenant',
      };
    }
    if (!named) taken.push(net);
    tenants.push(tenant(name, index + 1, net));
  }
  return tenants;
}

function tenant(name: string, index: number, net: Network4): Tenant {
  return { name, bridge: `warden${index}`, net: formatNetwork4(net), gateway: toText(net.base + 1) };
}
