import { UserError } from '../error.js';
import type { OverlayEntry } from '../overlay/render.js';

/** A tenant as an instance knows it. */
export interface DeployedTenant {
  readonly name: string;
  readonly bridge: string;
  readonly net: string;
  readonly gateway: string;
}

/** A jail of the plan. */
export interface DeployedJail {
  readonly name: string;
  readonly tenant: string;
  readonly network: 'plain' | 'vnet';
  readonly address: string;
  /** Of the template; `-` where it has none. */
  readonly template: string;
}

/** What the overlay of an instance says of its tenants and jails. */
export interface Deployed {
  readonly tenants: readonly DeployedTenant[];
  /** What the next tenant would have, where the firewall has a bridge left. */
  readonly next: Omit<DeployedTenant, 'name'> | undefined;
  readonly jails: readonly DeployedJail[];
  /** As Bastille calls it: `15.1-RELEASE`. */
  readonly release: string;
}

/**
 * Reads /etc/clawdie/clawdie.conf and /etc/clawdie/jails of an overlay. Pure.
 *
 * @param release of the slot: `15.1-RELEASE-amd64`
 * @throws UserError if they are not there.
 */
export function deployedOf(overlay: readonly OverlayEntry[], release: string): Deployed {
  const body = (path: string): string | undefined => overlay.find((entry) => entry.path === path)?.body;
  const config = body('etc/clawdie/clawdie.conf');
  if (config === undefined)
    throw new UserError(
      'The overlay of this image has no etc/clawdie/clawdie.conf.',
      'Build the image again.',
    );
  const value = (key: string): string => new RegExp(`^${key}='?([^'\n]*)'?$`, 'm').exec(config)?.[1] ?? '';
  const words = (key: string): readonly (readonly string[])[] =>
    value(key)
      .split(' ')
      .filter((word) => word !== '')
      .map((word) => word.split(':'));
  const tenants = words('TENANTS').map(([name = '', bridge = '', net = '', gateway = '']) => ({
    ...{ name, bridge, net, gateway },
  }));
  const next = words('BRIDGES')
    .map(([bridge = '', net = '', gateway = '']) => ({ bridge, net, gateway }))
    .find(({ bridge }) => bridge === `warden${tenants.length}`);
  const jails = (body('etc/clawdie/jails') ?? '')
    .split('\n')
    .filter((line) => line.trim() !== '' && !line.startsWith('#'))
    .map((line): DeployedJail => {
      const [name = '', tenant = '', network = '', address = '', template = '-'] = line.trim().split(/\s+/);
      return { name, tenant, network: network === 'vnet' ? 'vnet' : 'plain', address, template };
    });
  return { tenants, next, jails, release: release.replace(/^(\d+\.\d+-[A-Z0-9]+).*$/, '$1') };
}
