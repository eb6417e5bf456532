import type { Deployed, DeployedJail, DeployedTenant } from '../deployed.js';
import type { WaysIn } from '../expected.js';

/** What is known of the instance from outside. */
export interface Surroundings {
  readonly deployed: Deployed;
  /** `port/proto` that JAIL_HOST_PORTS names. */
  readonly hostPorts: readonly string[];
  readonly ways: WaysIn;
  /** The host's own address on the internet side. */
  readonly outer: string;
  /** A host of the internet that takes connections on port 80. */
  readonly internet: string;
}

/** The jails that everything is tried with: one of each kind for two tenants. */
export interface Cast {
  readonly tenants: readonly [DeployedTenant, DeployedTenant];
  /** Plain and VNET of the first tenant, then of the second. */
  readonly jails: readonly DeployedJail[];
  /** Those of them that the plan does not have: they are made first. */
  readonly made: readonly DeployedJail[];
}

/** Who is tried: jails of the plan where it has one of the kind, further ones where it has none. Pure. */
export function castOf({ tenants, next, jails }: Deployed): Cast | undefined {
  const [first, second = next && { ...next, name: 'guest' }] = tenants;
  if (!first || !second) return undefined;
  const cast = [first, second].flatMap((tenant, index) =>
    (['plain', 'vnet'] as const).map((network): DeployedJail => {
      const planned = jails.find((jail) => jail.tenant === tenant.name && jail.network === network);
      const last = network === 'plain' ? 241 : 242;
      return (
        planned ?? {
          name: `try${network === 'plain' ? 'p' : 'v'}${index}`,
          tenant: tenant.name,
          network,
          address: tenant.net.replace(/\.0\/24$/, `.${last}`),
          template: network === 'plain' ? 'clawdie/worker' : 'clawdie/vnet-worker',
        }
      );
    }),
  );
  return { tenants: [first, second], jails: cast, made: cast.filter((jail) => !jails.includes(jail)) };
}

/** The host's address on the bridge of a jail's tenant. */
export function gatewayOf({ tenants }: Cast, { tenant }: DeployedJail): string {
  return tenants.find(({ name }) => name === tenant)?.gateway ?? '';
}
