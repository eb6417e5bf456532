import type { DeployedJail } from '../deployed.js';
import type { Step } from '../steps.js';
import { gatewayOf } from './cast.js';
import type { Cast, Surroundings } from './cast.js';
import { escaped, line, listens, tries } from './typed.js';

/** A port on which the host listens and may not be reached. */
const CLOSED_PORT = 7778;

/** Plain jails find no service of the host. */
export function hostClosedSteps(plain: readonly DeployedJail[]): readonly Step[] {
  return [
    // Before anybody but the host listens. The DHCP client is answered by the firewall's own state alone.
    {
      name: 'host-wildcards',
      check: 'host-closed',
      typed: 'sockstat -46lqw -j 0',
      shows: [/^root +sshd\b.*:22 /m],
      hides: [/^(?!\S+ +dhclient ).* \*:\d+ /],
    },
    ...plain.map(({ name, address }): Step => ({
      name: `host-closed-${name}`,
      check: 'host-closed',
      typed: `for address in ${address} 127.0.0.1; do
	for port in $(echo 22; sockstat -46lqw | awk '{ n = split($6, part, ":"); if (part[n] != "*") print part[n] }' | sort -un); do
		if jexec ${name} nc -n -z -w 2 "$address" "$port" > /dev/null 2>&1 < /dev/null; then
			echo "reached $address $port"
		else
			echo "closed $address $port"
		fi
	done
done`,
      shows: [line(`closed ${escaped(address)} 22`), line('closed 127\\.0\\.0\\.1 22')],
      hides: [/^reached/],
      tells: /^closed/,
      seconds: 300,
    })),
  ];
}

/** What all jails reach, and what none does. */
export function reachSteps({ outer, internet }: Surroundings, cast: Cast): readonly Step[] {
  const gateway = (jail: DeployedJail): string => gatewayOf(cast, jail);
  const reached: readonly (readonly [
    what: string,
    address: (jail: DeployedJail) => string,
    port: number,
    'yes' | 'no',
  ])[] = [
    ['internet', () => internet, 80, 'yes'],
    ['metadata', () => '169.254.169.254', 80, 'no'],
    ['bridge', gateway, 22, 'no'],
    ['outer', () => outer, 22, 'no'],
    ['private', () => '10.1.2.3', 80, 'no'],
    ['tailnet', () => '100.100.100.100', 80, 'no'],
  ];
  return [
    {
      name: 'reach',
      check: 'reach',
      typed: cast.jails
        .flatMap((jail) =>
          reached.map(([what, address, port]) =>
            tries(`${jail.name} ${what}`, jail.name, address(jail), port),
          ),
        )
        .join('\n'),
      shows: cast.jails.flatMap(({ name }) =>
        reached.map(([what, , , wanted]) => line(`${name} ${what} ${wanted}`)),
      ),
      seconds: 300,
    },
    {
      name: 'names',
      check: 'reach',
      typed: cast.jails
        .map(({ name }) => `echo "${name} $(jexec ${name} getaddrinfo -t stream pkg.FreeBSD.org)"`)
        .join('\n'),
      shows: cast.jails.map(
        ({ name }) => new RegExp(`^${name} stream inet tcp ${escaped(internet)}\\b`, 'm'),
      ),
    },
  ];
}

/** Jails reach those ports of the host that JAIL_HOST_PORTS names, and no others. */
export function hostPortSteps(cast: Cast, hostPorts: readonly string[]): readonly Step[] {
  const ports = hostPorts.flatMap((port) => (port.endsWith('/tcp') ? [port.replace('/tcp', '')] : []));
  const [hostPort] = ports;
  const step = (name: string, check: string, port: number | string, reached: 'yes' | 'no'): Step => ({
    name,
    check,
    typed: [
      ...cast.tenants.map((tenant) => listens(tenant.gateway, port)),
      'sleep 1',
      ...cast.jails.map((jail) => tries(`${jail.name} host`, jail.name, gatewayOf(cast, jail), port)),
    ].join('\n'),
    shows: cast.jails.map(({ name }) => line(`${name} host ${reached}`)),
  });
  return [
    step('host-ports-closed', 'pairs', CLOSED_PORT, 'no'),
    ...(hostPort === undefined ? [] : [step('host-ports', 'host-ports', hostPort, 'yes')]),
  ];
}
