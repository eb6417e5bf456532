import type { Address, Af, Host, PfFlaw, Pool, RuleSpec } from './types.js';

/** The family that an address has by itself. */
export function familyOf(host: Host | undefined): Af | undefined {
  const address = host?.address;
  return address?.kind === 'net' || address?.kind === 'range' ? address.af : undefined;
}

/** The interface that a link-local address is of. */
export function scopeOf({ address }: Host): string | undefined {
  return address.kind === 'net' ? address.scope : undefined;
}

/** Whether an interface in parentheses may stand for several addresses (DYNIF_MULTIADDR of parse.y). */
export function isMany(address: Address): boolean {
  return address.kind === 'dynamic' && (!address.modifiers.includes('0') || !/\d$/.test(address.name));
}

/** A family that all hosts of a list have (decide_address_family()). */
function common(hosts: readonly Host[]): Af | undefined {
  const families = new Set(hosts.map(familyOf));
  return families.size === 1 ? [...families][0] : undefined;
}

/** The addresses of a pool that are of a family, or of the first that there is (remove_invalid_hosts()). */
function ofFamily(pool: Pool, af: Af | undefined): { readonly pool: Pool; readonly af: Af | undefined } {
  let wanted = af;
  const kept = pool.hosts.map((host) => {
    const family = familyOf(host);
    wanted ??= family;
    return family === undefined || family === wanted;
  });
  return {
    pool: {
      ...pool,
      hosts: pool.hosts.filter((_, index) => kept[index]),
      interfaces: pool.interfaces.filter((_, index) => kept[index]),
    },
    af: wanted,
  };
}

/** Addresses of any family: the kernel looks at those of the packet's. */
const FAMILYLESS: ReadonlySet<Address['kind']> = new Set(['table', 'dynamic', 'interface', 'hostname']);

/** What is wrong with the addresses that packets may get (apply_redirspec(), invalid_redirect()). */
function poolFlaw({ hosts, type }: Pool, af: Af | undefined): PfFlaw['message'] | undefined {
  const [first] = hosts;
  if (!first) return 'no address to translate to is of the rule’s family';
  if (af === undefined && hosts.some(({ address }) => !FAMILYLESS.has(address.kind)))
    return 'the addresses to translate to are of both families: the rule needs "inet" or "inet6"';
  if (hosts.length > 1 && first.address.kind === 'dynamic')
    return 'pfctl passes over what stands behind an interface in parentheses: the list has to begin with another address';
  return typeFlaw(hosts, type);
}

function typeFlaw(hosts: readonly Host[], type: Pool['type']): string | undefined {
  if (hosts.length > 1 && type !== undefined && type !== 'round-robin')
    return `several addresses take turns: "${type}" is for one address or network`;
  if (type !== 'bitmask') return undefined;
  if (hosts.some(({ address }) => address.kind === 'table'))
    return 'the pool type bitmask does not take a table';
  return hosts.some(({ address }) => isMany(address))
    ? 'the pool type bitmask does not take an interface in parentheses'
    : undefined;
}

/**
 * A rule with the family that its addresses give it, and the addresses of its pools that are of it (pfrule, natrule and
 * binatrule of parse.y); or what is wrong with them.
 */
export function withFamilies(spec: RuleSpec): RuleSpec | string {
  const { action } = spec;
  if (action === 'pass' || action === 'block' || action === 'match') return filterFamilies(spec);
  if (!/^(?:no )?(?:nat|rdr|binat)$/.test(action)) return spec;
  let af = spec.af ?? familyOf(unscoped(spec.from[0])) ?? familyOf(unscoped(spec.to[0]));
  if (!spec.pool) return { ...spec, ...(af && { af }) };
  if (spec.pool.preferIpv6Nexthop === true) return '"prefer-ipv6-nexthop" is for routes alone';
  af ??= familyOf(unscoped(spec.pool.hosts[0]));
  const fitted = ofFamily(spec.pool, af);
  ({ af } = fitted);
  if (action === 'binat' && af === undefined) return 'a binat rule needs an address family: inet or inet6';
  const flaw = poolFlaw(fitted.pool, af);
  return flaw ?? { ...spec, ...(af && { af }), pool: fitted.pool };
}

function unscoped(host: Host | undefined): Host | undefined {
  return host && scopeOf(host) === undefined ? host : undefined;
}

function filterFamilies(spec: RuleSpec): RuleSpec | string {
  const { options, route } = spec;
  let af = spec.af ?? common(spec.from) ?? common(spec.to);
  let routed = route;
  if (route) {
    let { pool } = route;
    if (pool.preferIpv6Nexthop !== true) {
      af ??= common(pool.hosts);
      if (!options.afTo) ({ pool, af } = ofFamily(pool, af));
      if (pool.hosts.length === 0) return 'no address to route to is of the rule’s family';
    }
    const flaw = typeFlaw(pool.hosts, pool.type);
    if (flaw !== undefined) return flaw;
    routed = { ...route, pool };
  }
  const pools: Partial<Record<'natTo' | 'rdrTo' | 'binatTo', Pool>> = {};
  for (const name of ['natTo', 'binatTo', 'rdrTo'] as const) {
    const pool = options[name];
    if (!pool) continue;
    af ??= familyOf(unscoped(pool.hosts[0]));
    const fitted = ofFamily(pool, af);
    ({ af } = fitted);
    const flaw = poolFlaw(fitted.pool, af);
    if (flaw !== undefined) return flaw;
    pools[name] = fitted.pool;
  }
  const { afTo } = options;
  if (afTo) {
    const from = ofFamily(afTo.from, afTo.af).pool;
    const to = afTo.to && ofFamily(afTo.to, afTo.af).pool;
    if (from.hosts.length === 0 || to?.hosts.length === 0)
      return 'the addresses of "af-to" have to be of the family that it names';
    const flaw = typeFlaw(from.hosts, from.type) ?? (to && typeFlaw(to.hosts, to.type));
    if (flaw !== undefined) return flaw;
    return {
      ...spec,
      ...(af && { af }),
      ...(routed && { route: routed }),
      options: { ...options, ...pools, afTo: { ...afTo, from, ...(to && { to }) } },
    };
  }
  return { ...spec, ...(af && { af }), ...(routed && { route: routed }), options: { ...options, ...pools } };
}
