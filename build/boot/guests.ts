import type { DeployedTenant } from './deployed.js';
import type { Step } from './steps.js';

/** A machine at the end of a tap(4) on a tenant's bridge, as bhyve(8) has them. */
export interface Guest {
  readonly name: string;
  readonly tenant: string;
  readonly network: 'tap';
  readonly address: string;
}

/** One for each tenant. Pure. */
export function guestsOf(tenants: readonly DeployedTenant[]): readonly Guest[] {
  return tenants.map(({ name, net }, index) => ({
    ...{ name: `tryg${index}`, tenant: name, network: 'tap' },
    address: net.replace(/\.0\/24$/, '.243'),
  }));
}

/**
 * Makes them. What stands at the other end is a network stack of its own behind an epair(4), since nested virtualisation is
 * not to be had in QEMU: the host's end has a tap's name and group, which is all that the firewall sees of one. Pure.
 *
 * @param release as Bastille calls it: its root has the programs that are typed there
 */
export function guestSteps(
  tenants: readonly DeployedTenant[],
  release: string,
  check: string,
): readonly Step[] {
  const guests = guestsOf(tenants);
  return [
    {
      name: `${check}-guests`,
      check,
      typed: tenants
        .flatMap(({ bridge, gateway }, index) => {
          const { name, address } = guests[index] ?? { name: '', address: '' };
          return [
            'card=$(ifconfig epair create) || exit 1',
            `ifconfig "$card" name tap${name} || exit 1`,
            `ifconfig tap${name} group tap -group epair up || exit 1`,
            `ifconfig tap${name} inet6 ifdisabled || exit 1`,
            `ifconfig ${bridge} addm tap${name} || exit 1`,
            `jail -c name=${name} path=/usr/local/bastille/releases/${release} persist vnet vnet.interface="\${card%a}b" || exit 1`,
            `jexec ${name} ifconfig "\${card%a}b" inet ${address}/24 up || exit 1`,
            `jexec ${name} ifconfig lo0 inet 127.0.0.1/8 up || exit 1`,
            `jexec ${name} route -q -n add default ${gateway} || exit 1`,
          ];
        })
        .concat('ifconfig -g tap')
        .join('\n'),
      shows: guests.map(({ name }) => new RegExp(`^tap${name}$`, 'm')),
    },
  ];
}

/** Takes them away again. Pure. */
export function guestEndSteps(tenants: readonly DeployedTenant[], check: string): readonly Step[] {
  return [
    {
      name: `${check}-guests-end`,
      check,
      typed: guestsOf(tenants)
        .map(
          ({ name }) =>
            `pkill -KILL -j ${name}; jail -r ${name}; sleep 1; ifconfig tap${name} destroy || exit 1`,
        )
        .join('\n'),
    },
  ];
}
