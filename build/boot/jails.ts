import type { CheckResult } from './checks.js';
import type { Deployed, DeployedJail, DeployedTenant } from './deployed.js';
import type { WaysIn } from './expected.js';
import type { Block } from './documents.js';
import { guestEndSteps, guestsOf, guestSteps } from './guests.js';
import type { Guest } from './guests.js';
import { stepFlaws, stepTold, typedOn } from './steps.js';
import type { Step } from './steps.js';

/** What is looked at of the jails of an instance, with Bastille. */
export const JAIL_CHECKS = {
  plan: 'the jails of the plan exist and run',
  'by-hand': 'bastille create makes a plain jail and a VNET one, as typed by hand',
  templates: 'all templates apply',
  devices: 'no jail sees or opens a device of the host',
  dhclient: 'no address is asked for on a jail’s host side',
  'host-closed': 'a plain jail finds no service of the host at its own address or at 127.0.0.1',
  reach: 'jails reach the internet, and neither the host nor what is forbidden',
  pairs: 'jails and guests of one tenant reach each other, those of two do not',
  'ways-in': 'what OPEN_PORTS, FORWARD_PORTS and SSH_ALLOW let in comes in, as often as it likes',
  'host-ports': 'jails reach the ports of the host that JAIL_HOST_PORTS names',
  turn: 'a turn runs as the worker, on no terminal of the host, within its time, and leaves nothing',
  limits: 'limits are in force',
  stages: 'clawdie-netcheck says of each stage that it holds',
  documents: 'the commands of the documents do what these say',
  'flood-fork': 'the operator logs in while a jail forks without end',
  'flood-memory': 'the operator logs in while a jail takes all memory that it gets',
  'flood-disk': 'the operator logs in while a jail fills its disk',
  'flood-connections': 'the operator logs in while a jail floods the network',
  'flood-syn': 'the operator logs in under a flood of connections that nobody completes',
} as const;
export type JailCheck = keyof typeof JAIL_CHECKS;

/** The same of an instance on a disk after a restart. */
export const RESTART_CHECK = 'restarted';

export type Flood = Extract<JailCheck, `flood-${string}`>;
export const FLOODS = Object.keys(JAIL_CHECKS).filter((id): id is Flood => id.startsWith('flood-'));

/** Those that a jail makes. */
const JAILED_FLOODS = FLOODS.filter((id) => id !== 'flood-syn');

/** A login of the operator, measured from outside. */
export interface Login {
  /** During which flood; undefined for the one before all of them. */
  readonly flood: Flood | undefined;
  /** until the first command had run */
  readonly seconds: number;
  /** What went wrong; undefined if somebody was logged in. */
  readonly failure: string | undefined;
}

/** Seconds within which the operator has to be logged in. */
export const LOGIN_SECONDS = 5;

/** The file that a login makes during a flood, so that the flood ends. */
export const seenFile = (flood: Flood): string => `/var/run/inspect.${flood}`;

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

/** A connection from outside that was tried while {@link WAYS_STEP} was typed. */
export interface Passage {
  readonly what: string;
  readonly open: boolean;
}

export const WAYS_STEP = 'ways-in';

/** Listens, inside, at what the ways in lead to, for as long as somebody outside tries them. */
function waysSteps({ deployed, ways, outer }: Surroundings): readonly Step[] {
  const { open, forwards, allowed } = ways;
  if (open.length === 0 && forwards.length === 0 && allowed === undefined) return [];
  const inside = forwards.flatMap(({ jail, to }) => {
    const address = deployed.jails.find(({ name }) => name === jail)?.address;
    return address === undefined ? [] : [listens(address, to, jail)];
  });
  return [
    {
      name: WAYS_STEP,
      check: WAYS_STEP,
      typed: [
        ...open.map((port) => listens(outer, port)),
        ...inside,
        'sleep 45',
        "echo \"banned: $(pfctl -q -t bruteforce -T show | tr -s ' \\n' ' ')\"",
      ].join('\n'),
      ...(allowed !== undefined && { hides: [new RegExp(`banned: .*${escaped(allowed)}`)] }),
      tells: /^banned/,
    },
  ];
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

/** Devices of the host that no jail may see, as patterns of names below /dev, and names that would be there. */
const DEVICES =
  /^(?:mem|kmem|io|md\d+|mdctl|pf|bpf\d*|pass\d+|cd\d+|ada\d+\S*|da\d+\S*|vtbd\d+\S*|gpt|ufs|iso9660|label|geom\.ctl|kvm|nvme\S*|xpt\d+|devctl\d*|devstat|pci|speaker|ttyu\d+|ttyv\d+|console|consolectl|sndstat)$/m;
const OPENED =
  'mem kmem io md0 md1 mdctl pf bpf bpf0 pass0 pass1 cd0 ada0 ada0p1 geom.ctl pci devctl gpt/clawdie-slot ufs/clawdieroot ttyu0 console';

const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
const line = (text: string): RegExp => new RegExp(`^${text}$`, 'm');

/** `bastille list` of a jail that runs, with its address. */
function listed({ name, address }: DeployedJail): RegExp {
  return line(`.*\\b${escaped(name)}\\b.*\\bUp\\b.*\\b${escaped(address)}\\b.*`);
}

const byHand = (tenant: DeployedTenant): { plain: DeployedJail; vnet: DeployedJail } => ({
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

/** Whether one jail reaches an address and port: `WORDS yes` or `WORDS no`. */
function tries(words: string, from: string, address: string, port: number | string): string {
  return `if jexec ${from} nc -n -z -w 2 ${address} ${port} > /dev/null 2>&1 < /dev/null; then echo '${words} yes'; else echo '${words} no'; fi`;
}

/** A listener that stays, for the host or for a jail. */
function listens(address: string, port: number | string, jail?: string): string {
  return `daemon -f ${jail === undefined ? '' : `jexec ${jail} `}nc -n -k -l ${address} ${port}`;
}

/** Port on which jails listen to each other, and one on which the host does and may not be reached. */
const PAIR_PORT = 7777;
const CLOSED_PORT = 7778;

function deviceSteps(jails: readonly DeployedJail[], check: string): readonly Step[] {
  return [
    // What is not there could not be seen: it is.
    { name: 'devices-host', check, typed: 'ls /dev', shows: [/^mem$/m, /^pf$/m, /^bpf$/m] },
    ...jails.flatMap(({ name }): readonly Step[] => [
      {
        name: `devices-${name}`,
        check,
        typed: `jexec ${name} ls /dev`,
        shows: [/^null$/m],
        hides: [DEVICES],
      },
      {
        name: `devices-open-${name}`,
        check,
        typed: `for device in ${OPENED}; do\n\tjexec ${name} sh -c ": < /dev/$device" 2> /dev/null && echo "opened /dev/$device"\ndone\necho tried`,
        shows: [/^tried$/m],
        hides: [/^opened/],
      },
    ]),
  ];
}

function pairSteps({ tenants, jails }: Cast, release: string, check: string): readonly Step[] {
  const parties: readonly (DeployedJail | Guest)[] = [...jails, ...guestsOf(tenants)];
  const pairs = parties.flatMap((from) => parties.map((to) => ({ from, to })));
  const kind = ({ name, tenant, network }: DeployedJail | Guest): string =>
    `${name} (${network} of ${tenant})`;
  const words = (from: DeployedJail | Guest, to: DeployedJail | Guest): string =>
    `${kind(from)} to ${kind(to)}:`;
  return [
    ...guestSteps(tenants, release, check),
    {
      name: `${check}-listen`,
      check,
      typed: [...parties.map(({ name, address }) => listens(address, PAIR_PORT, name)), 'sleep 2'].join('\n'),
    },
    {
      name: `${check}-pairs`,
      check,
      typed: pairs.map(({ from, to }) => tries(words(from, to), from.name, to.address, PAIR_PORT)).join('\n'),
      shows: pairs.map(({ from, to }) =>
        line(`${escaped(words(from, to))} ${from.tenant === to.tenant ? 'yes' : 'no'}`),
      ),
      seconds: 360,
    },
    ...guestEndSteps(tenants, check),
  ];
}

function dhclientSteps(check: string): readonly Step[] {
  return [
    { name: `${check}-ask`, check, typed: 'service clawdie_egress ask', seconds: 240 },
    {
      name: `${check}-processes`,
      check,
      typed: "ps -axww -o command | grep -E '[d]hclient|[r]tsol' || echo nobody asks",
      hides: [/e0[ab]_|epair|warden|tap\d/],
      tells: /dhclient|nobody/,
    },
  ];
}

function limitSteps(jails: readonly DeployedJail[], check: string): readonly Step[] {
  return [
    { name: `${check}-racct`, check, typed: 'sysctl -n kern.racct.enable', shows: [/^1$/m] },
    {
      name: `${check}-rules`,
      check,
      typed: 'rctl -h',
      shows: jails.flatMap(({ name }) =>
        ['memoryuse|vmemoryuse', 'maxproc', 'pcpu'].map((what) => line(`jail:${name}:(?:${what}):.*`)),
      ),
      tells: new RegExp(`^jail:${jails[0]?.name ?? ''}:`),
    },
  ];
}

/** The flood from outside: what pf says of it, until the operator has logged in. */
const SYN_STEP: Step = {
  name: 'flood-syn',
  check: 'flood-syn',
  typed: `left=120
until [ -e ${seenFile('flood-syn')} ] || [ "$left" -eq 0 ]; do
	sleep 5
	left=$((left - 5))
	pfctl -q -v -s info 2> /dev/null | awk '/current entries|^  active/ { printf "%s ", $NF } END { print "" }'
done
pfctl -q -v -s info
states=$(pfctl -q -s info | awk '/current entries/ { print $3; exit }')
[ "$states" -lt 40000 ] && echo "there is room: $states states"`,
  shows: [/^there is room: \d+ states$/m],
  tells: /^there is room/,
  seconds: 300,
};

/** Floods: what a jail does, until the operator has logged in or a minute and a half have gone. */
function floodSteps(jail: DeployedJail, internet: string): readonly Step[] {
  const floods: Readonly<
    Record<
      Exclude<Flood, 'flood-syn'>,
      { readonly does: string; readonly again?: boolean; readonly after?: string }
    >
  > = {
    // What sleeps keeps the jail full, and what cannot fork any more ends: each second it begins again.
    'flood-fork': {
      does: 'for n in $(jot 200); do sleep 20 & done; bomb() { bomb | bomb & bomb | bomb; }; bomb',
      again: true,
    },
    'flood-memory': { does: 'for n in 1 2 3 4; do while :; do tail /dev/zero; done & done; wait' },
    'flood-disk': {
      does: 'while :; do cat /dev/zero > "$HOME/flood.$$"; sleep 1; done',
      after: `df -k / /usr/local/bastille/jails/${jail.name}\nrm -f /usr/local/bastille/jails/${jail.name}/root/home/worker/flood.*\n[ "$(df -k / | awk 'NR == 2 { print $4 }')" -gt 4096 ] && echo 'the host has room'`,
    },
    'flood-connections': {
      does: `for n in $(jot 20); do while :; do nc -n -z -w 1 ${internet} 80; done & done; cat /dev/zero | nc -n -u ${internet} 9; wait`,
      after: 'pfctl -q -s info | grep entries',
    },
  };
  const steps = JAILED_FLOODS.map((flood): Step => {
    const { does, again = false, after = 'true' } = floods[flood];
    const begin = `jexec -l -U worker ${jail.name} sh -c '${does.replaceAll("'", "'\\''")}' > /dev/null 2>&1 < /dev/null &`;
    return {
      name: flood,
      check: flood,
      // Killed from outside: a jail without processes to spare lets nobody in.
      typed: `worker=$(jexec ${jail.name} id -u worker) || exit 3
left=90
most=0
${begin}
until [ -e ${seenFile(flood)} ] || [ "$left" -eq 0 ]; do
	${again ? begin : ':'}
	sleep 1
	left=$((left - 1))
	now=$(pgrep -j ${jail.name} -U "$worker" | wc -l)
	[ "$now" -le "$most" ] || most=$((now))
done
echo "processes: $most at most"
${after}
left=60
while pgrep -j ${jail.name} -U "$worker" > /dev/null && [ "$left" -gt 0 ]; do
	pkill -KILL -j ${jail.name} -U "$worker"
	left=$((left - 1))
done
pgrep -j ${jail.name} -U "$worker" > /dev/null || echo 'it is over'
jls -j ${jail.name} name`,
      shows: [
        /^it is over$/m,
        line(escaped(jail.name)),
        // It was one: more than a shell or two.
        /^processes: (?:[3-9]|\d{2,}) at most$/m,
        ...(flood === 'flood-disk' ? [/^the host has room$/m] : []),
      ],
      tells: /^processes/,
      seconds: 300,
    };
  });
  return [...steps, SYN_STEP];
}

/**
 * What is typed at the first boot of an instance with Bastille, in order. Pure.
 *
 * @param documents the blocks of the documents
 */
export function jailSteps(
  surroundings: Surroundings,
  cast: Cast,
  documents: readonly Step[],
): readonly Step[] {
  const { deployed, hostPorts, outer, internet } = surroundings;
  const [first, second] = cast.tenants;
  const hand = byHand(first);
  const everybody = [...cast.jails, hand.plain, hand.vnet];
  const plain = cast.jails.filter(({ network }) => network === 'plain');
  const [worker] = plain;
  if (!worker) return [];
  const ports = hostPorts.flatMap((port) => (port.endsWith('/tcp') ? [port.replace('/tcp', '')] : []));
  const [hostPort] = ports;
  const gateway = ({ tenant }: DeployedJail): string =>
    cast.tenants.find(({ name }) => name === tenant)?.gateway ?? '';
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
      name: 'firstboot-log',
      check: 'plan',
      typed: 'cat /var/log/clawdie-firstboot.log',
      ends: 'any',
    },
    { name: 'processes', check: 'plan', typed: 'ps -axww -o pid,ppid,jid,vsz,rss,command', ends: 'any' },
    {
      // They are made once people can log in.
      name: 'made',
      check: 'plan',
      typed: 'sleep 5\nlockf -k -t 1200 /var/run/clawdie-jails.lock true\ncat /var/log/clawdie-jails.log',
      ends: deployed.jails.length > 0 ? 0 : 'any',
      seconds: 1300,
    },
    {
      name: 'list',
      check: 'plan',
      typed: 'bastille list',
      shows: deployed.jails.map(listed),
      tells: /\bUp\b/,
    },
    {
      name: 'jail-list',
      check: 'plan',
      typed: 'clawdie-jail list',
      shows: deployed.jails.map(({ name }) => new RegExp(`^${escaped(name)}\\b`, 'm')),
    },
    {
      name: 'tenant',
      check: 'plan',
      typed: `clawdie-tenant add ${second.name}\nclawdie-tenant list`,
      shows: cast.tenants.map(
        ({ name, bridge, gateway: address }) =>
          new RegExp(`^${name}\\b.*\\b${bridge}\\b.*\\b${escaped(address)}\\b`, 'm'),
      ),
    },
    ...cast.made.map((jail): Step => ({
      name: `create-${jail.name}`,
      check: 'plan',
      typed: `clawdie-jail create ${jail.name} --tenant ${jail.tenant} --network ${jail.network} --template ${jail.template} --address ${jail.address}\nbastille list`,
      shows: [listed(jail)],
      seconds: 600,
    })),
    {
      name: 'create-byhand',
      check: 'by-hand',
      typed: `bastille create ${hand.plain.name} ${deployed.release} ${hand.plain.address}`,
      seconds: 600,
    },
    {
      name: 'create-byhandv',
      check: 'by-hand',
      typed: `bastille create -B -g ${first.gateway} ${hand.vnet.name} ${deployed.release} ${hand.vnet.address}/24 ${first.bridge}`,
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
      typed: `bastille template ${name} clawdie/${template}`,
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
    ...deviceSteps(everybody, 'devices'),
    ...dhclientSteps('dhclient'),
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
    ...pairSteps(cast, deployed.release, 'pairs'),
    {
      name: 'host-ports-closed',
      check: 'pairs',
      typed: [
        ...cast.tenants.map((tenant) => listens(tenant.gateway, CLOSED_PORT)),
        'sleep 1',
        ...cast.jails.map((jail) => tries(`${jail.name} host`, jail.name, gateway(jail), CLOSED_PORT)),
      ].join('\n'),
      shows: cast.jails.map(({ name }) => line(`${name} host no`)),
    },
    ...(hostPort === undefined
      ? []
      : [
          {
            name: 'host-ports',
            check: 'host-ports',
            typed: [
              ...cast.tenants.map((tenant) => listens(tenant.gateway, hostPort)),
              'sleep 1',
              ...cast.jails.map((jail) => tries(`${jail.name} host`, jail.name, gateway(jail), hostPort)),
            ].join('\n'),
            shows: cast.jails.map(({ name }) => line(`${name} host yes`)),
          },
        ]),
    ...waysSteps(surroundings),
    ...turnSteps(worker, 'turn'),
    ...limitSteps(deployed.jails.length > 0 ? deployed.jails : cast.made, 'limits'),
    {
      name: 'stages',
      check: 'stages',
      typed: 'clawdie-netcheck',
      ends: 'any',
      shows: [/^1 Host$/m, /^ {2}ok +jail +\S.* reaches /m, /^ {2}ok +agent +/m, /^ {2}ok +command +/m],
      hides: [/^ {2}FAIL +/],
      tells: /^ {2}(?:ok|FAIL) +(?:jail|command|agent)/,
      seconds: 300,
    },
    ...documents,
    {
      name: 'destroy-byhand',
      check: 'by-hand',
      typed: `bastille destroy -afy ${hand.plain.name}\nbastille destroy -afy ${hand.vnet.name}\nbastille list`,
      hides: [/\bbyhandv?\b.*\bUp\b/],
      seconds: 300,
    },
    ...floodSteps(worker, internet),
  ];
}

function turnSteps({ name }: DeployedJail, check: string): readonly Step[] {
  return [
    { name: `${check}-user`, check, typed: `clawdie-jail turn ${name} -- id -un`, shows: [/^worker$/m] },
    { name: `${check}-code`, check, typed: `clawdie-jail turn ${name} -- sh -c 'exit 7'`, ends: 7 },
    {
      name: `${check}-time`,
      check,
      typed: `clawdie-jail turn ${name} --timeout 5 -- sleep 300`,
      ends: 124,
    },
    {
      name: `${check}-terminal`,
      check,
      // On a terminal, as a person's is: what the turn has is another one, and what it writes there nobody reads.
      typed: `cd "$(mktemp -d)" || exit 1
script -q typescript sh -c 'ps -o tty= -p $$ > host; clawdie-jail turn ${name} -- sh -c "ps -o tty= -p \\$\\$; echo from the turn > /dev/tty" > turn' < /dev/null > /dev/null
echo "host: $(cat host)"
echo "turn: $(cat turn)"
[ "$(cat host)" = "$(cat turn)" ] && echo 'the same terminal'
grep 'from the turn' typescript
echo looked`,
      shows: [/^host: +(?:pts\/)?\d/m, /^turn: /m, /^looked$/m],
      hides: [/the same terminal/, /from the turn/],
      tells: /^(?:host|turn): /,
    },
    {
      name: `${check}-left`,
      check,
      typed: `clawdie-jail turn ${name} -- sh -c 'sleep 300 & sleep 301 & echo started'
jexec ${name} pgrep -fl 'sleep 30[01]' || echo 'nothing is left'`,
      shows: [/^started$/m, /^nothing is left$/m],
    },
  ];
}

/** What is typed after a restart of an instance on a disk: all is as before. Pure. */
export function restartSteps(deployed: Deployed, cast: Cast): readonly Step[] {
  const [worker] = cast.jails.filter(({ network }) => network === 'plain');
  return [
    {
      // Those that were not up by then are started in the background; two at once that ask Bastille disturb each other.
      name: 'restarted-made',
      check: RESTART_CHECK,
      typed: 'sleep 5\nlockf -k -t 600 /var/run/clawdie-jails.lock true',
      ends: deployed.jails.length > 0 ? 0 : 'any',
      seconds: 700,
    },
    {
      name: 'restarted-list',
      check: RESTART_CHECK,
      typed: 'bastille list',
      shows: [...deployed.jails, ...cast.made].map(listed),
      tells: /\bUp\b/,
    },
    ...deviceSteps(cast.jails, RESTART_CHECK),
    ...dhclientSteps(RESTART_CHECK),
    ...pairSteps(cast, deployed.release, RESTART_CHECK),
    ...limitSteps(deployed.jails.length > 0 ? deployed.jails : cast.made, RESTART_CHECK),
    ...(worker ? turnSteps(worker, RESTART_CHECK) : []),
  ];
}

/** What was done beside what was typed. */
export interface Lived {
  readonly console: string;
  readonly steps: readonly Step[];
  readonly logins: readonly Login[];
  readonly passages: readonly Passage[];
  /** Blocks of the documents that could not be typed. */
  readonly left: readonly Block[];
}

/** Judges what an instance said to the steps. Pure. */
export function judgeJails({ console, steps, logins, passages, left }: Lived): readonly CheckResult[] {
  const typed = typedOn(console);
  const checks = [...new Set(steps.map(({ check }) => check))];
  const base = { seconds: 0, packets: [] } as const;
  const absent = Object.keys(JAIL_CHECKS)
    .filter((id) => !checks.includes(id) && !checks.includes(RESTART_CHECK))
    .map((id): CheckResult => ({ id, state: 'not looked at', detail: absence(id), ...base }));
  return [
    ...checks.map((id): CheckResult => {
      const own = steps.filter(({ check }) => check === id);
      const flood = FLOODS.find((name) => name === id);
      const wrong = [
        ...own.flatMap((step) => stepFlaws(step, typed.get(step.name))),
        ...(id === WAYS_STEP ? wayFlaws(passages) : []),
        ...(flood ? loginFlaws(logins.filter((login) => login.flood === flood)) : []),
      ];
      const told = [
        ...new Set(own.flatMap((step) => stepTold(step, typed.get(step.name)))),
        ...(id === WAYS_STEP ? passages.map(({ what }) => what) : []),
        ...(flood ? [loginTold(logins, flood)] : []),
        ...(id === 'documents' && left.length > 0
          ? [
              `not looked at: ${left.map(({ document, line: at, needs }) => `docs/${document}.md:${at} (needs ${needs.join(', ')})`).join(', ')}`,
            ]
          : []),
      ];
      const count = `${own.length} ${own.length === 1 ? 'step' : 'steps'} typed`;
      return {
        id,
        state: wrong.length === 0 ? 'held' : 'failed',
        detail:
          wrong.length === 0
            ? [count, ...told].join('; ')
            : `${wrong.length} of what was seen is not as it has to be`,
        seconds: own.reduce((sum, { name }) => sum + (typed.get(name)?.seconds ?? 0), 0),
        packets: wrong,
      };
    }),
    ...absent,
  ];
}

function absence(id: string): string {
  if (id === WAYS_STEP) return 'this image has neither OPEN_PORTS nor FORWARD_PORTS nor SSH_ALLOW';
  return id === 'host-ports'
    ? 'JAIL_HOST_PORTS of this image names no TCP port'
    : 'this image has no second bridge to try it with';
}

function wayFlaws(passages: readonly Passage[]): readonly string[] {
  if (passages.length === 0) return ['nobody outside tried them'];
  return passages.flatMap(({ what, open }) => (open ? [] : [`no connection: ${what}`]));
}

function loginFlaws(logins: readonly Login[]): readonly string[] {
  if (logins.length === 0) return ['nobody tried to log in'];
  return logins.flatMap(({ seconds, failure }) => {
    if (failure !== undefined) return [`login failed after ${seconds.toFixed(1)} s: ${failure}`];
    return seconds <= LOGIN_SECONDS
      ? []
      : [`logged in after ${seconds.toFixed(1)} s, not within ${LOGIN_SECONDS}`];
  });
}

function loginTold(logins: readonly Login[], flood: Flood): string {
  const quiet = logins.find((login) => login.flood === undefined);
  const during = logins.filter((login) => login.flood === flood).map(({ seconds }) => seconds.toFixed(1));
  return `logged in after ${during.join(', ')} s${quiet ? ` (${quiet.seconds.toFixed(1)} s without)` : ''}`;
}

/** Without Bastille nothing of it was looked at. */
export function notLookedAt(why: string): readonly CheckResult[] {
  return Object.keys(JAIL_CHECKS).map((id) => ({
    ...{ id, state: 'not looked at', detail: why, seconds: 0, packets: [] },
  }));
}
