import type { DeployedJail, DeployedTenant } from '../deployed.js';
import type { Step } from '../steps.js';
import { escaped, line, listed } from './typed.js';

/** Jails that are made by hand, one of each kind. */
export interface ByHand {
  readonly plain: DeployedJail;
  readonly vnet: DeployedJail;
}

export const byHand = (tenant: DeployedTenant): ByHand => ({
  plain: {
    ...{ name: 'byhand', tenant: tenant.name, network: 'plain', template: '-' },
    address: tenant.net.replace(/\.0\/24$/, '.251'),
  },
  vnet: {
    ...{ name: 'byhandv', tenant: tenant.name, network: 'vnet', template: '-' },
    address: tenant.net.replace(/\.0\/24$/, '.252'),
  },
});

/** `pkg(8)` and `npm` in a jail where there is no repository: what they are asked for is there afterwards, and does nothing. */
const STAND_INS = (jails: readonly string[]): string => `for jail in ${jails.join(' ')}; do
	bin=/usr/local/bastille/jails/$jail/root/usr/local/bin
	sbin=/usr/local/bastille/jails/$jail/root/usr/local/sbin
	mkdir -p "$bin" "$sbin"
	cat > "$sbin/pkg" <<'PKG'
#!/bin/sh
echo "stand-in for pkg: $*"
for name in "$@"; do
	case "$name" in
	npm*)
		cat > /usr/local/bin/npm <<'NPM'
#!/bin/sh
for last in "$@"; do :; done
printf '#!/bin/sh\\necho %s\\n' "\${last##*@}" > /usr/local/bin/pi
chmod 755 /usr/local/bin/pi
NPM
		printf '#!/bin/sh\\n' > /usr/local/bin/node
		chmod 755 /usr/local/bin/npm /usr/local/bin/node
		;;
	esac
done
PKG
	chmod 755 "$sbin/pkg"
done`;

/** Makes them as documents of Bastille say. @param release as Bastille calls it */
export function byHandSteps(hand: ByHand, first: DeployedTenant, release: string): readonly Step[] {
  return [
    {
      name: 'create-byhand',
      check: 'by-hand',
      typed: `bastille create ${hand.plain.name} ${release} ${hand.plain.address}`,
      seconds: 600,
    },
    {
      name: 'create-byhandv',
      check: 'by-hand',
      typed: `bastille create -B -g ${first.gateway} ${hand.vnet.name} ${release} ${hand.vnet.address}/24 ${first.bridge}`,
      seconds: 600,
    },
    {
      name: 'list-byhand',
      check: 'by-hand',
      typed: 'bastille list',
      shows: [listed(hand.plain), listed(hand.vnet)],
      tells: /byhand/,
    },
    {
      name: 'route-byhandv',
      check: 'by-hand',
      typed: `jexec ${hand.vnet.name} netstat -rn -4`,
      shows: [line(`default\\s+${escaped(first.gateway)}\\s.*`)],
    },
  ];
}

/** Removes them. */
export const byHandEnd = (hand: ByHand): Step => ({
  name: 'destroy-byhand',
  check: 'by-hand',
  typed: `bastille destroy -afy ${hand.plain.name}\nbastille destroy -afy ${hand.vnet.name}\nbastille list`,
  hides: [/\bbyhandv?\b.*\bUp\b/],
  seconds: 300,
});

/** Applies each template to a jail that it is for. */
export function templateSteps(worker: DeployedJail, hand: ByHand): readonly Step[] {
  return [
    {
      name: 'stand-ins',
      check: 'templates',
      typed: STAND_INS([worker.name, hand.plain.name, hand.vnet.name]),
    },
    ...(
      [
        [hand.plain, 'worker'],
        [worker, 'pi-worker'],
        [hand.vnet, 'vnet-worker'],
        [hand.vnet, 'tailscale'],
      ] as const
    ).map(([{ name }, template]): Step => ({
      name: `template-${template}`,
      check: 'templates',
      typed: `clawdie-jail template ${name} clawdie/${template}`,
      shows: [/^Template applied: clawdie\//m],
      hides: [/\[ERROR\]/],
      seconds: 600,
    })),
    {
      name: 'template-after',
      check: 'templates',
      typed: 'bastille list',
      shows: [listed(hand.plain), listed(hand.vnet)],
    },
  ];
}
