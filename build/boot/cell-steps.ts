import { jailAddress } from '../policy/world.js';
import type { CellPacket, CellPlan } from './cell-plan.js';
import { sendProgram } from './cell-program.js';
import { PLAIN, VNET, VNET_PREFIX } from './cell-senders.js';
import type { Origin } from './cell-senders.js';
import type { Extra, Step } from './steps.js';

/** The check that the steps belong to, and the step during which packets are sent from outside. */
export const CELLS_CHECK = 'cells';
export const CELLS_SEND = 'cells-send';
/** The step during which jails and the host send theirs. */
export const CELLS_JAILS = 'cells-jails';

/** What is sent from where the instance itself is, and who is banned meanwhile. */
const FOLDER = 'etc/clawdie/inspect.cells';
/** Where the rules and the log lie for as long as they are needed. */
const WORK = '/var/run/inspect.cells';

/** Whom the guest knows by ARP once everything from outside was sent: a host of its own network. */
export function markerOf(guest4: string): string {
  return guest4.replace(/\d+$/, guest4.endsWith('.251') ? '250' : '251');
}

/** Files beside the overlay, as printf(1) writes what is in them: packets of each who sends some, and the program for them; offenders. Pure. */
export function cellFiles(plan: CellPlan): readonly Extra[] {
  const file = (name: string, lines: readonly string[]): Extra => ({
    ...{ path: `${FOLDER}/${name}`, mode: 0o444, body: lines.map((line) => `${line}\n`).join('') },
  });
  return [
    file('offenders', plan.offenders),
    file('program', [octal(sendProgram())]),
    ...parties(plan).map(({ name, packets, from }) =>
      // Whom a machine sends to the instance puts before the frame; a raw socket takes what is behind its header.
      file(
        name,
        packets.map(({ frame }) => octal(frame.subarray(from === 'bridge' ? 6 : 14))),
      ),
    ),
  ];
}

/** Somebody on the instance who sends packets. */
export interface Party {
  /** Who it is, in one word, which its file is called by, too. */
  readonly name: string;
  readonly from: Origin;
  /** The number of its tenant; none of the host. */
  readonly tenant?: number;
  /** In the order in which they are sent. */
  readonly packets: readonly CellPacket[];
}

/** Who on the instance sends packets: the host; a machine on the bridge, a VNET jail and a plain jail of each tenant. */
export function parties({ packets, subject }: CellPlan): readonly Party[] {
  const { tenants } = subject.situation.view;
  const all = tenants.flatMap(({ bridge }, tenant) =>
    (['bridge', 'vnet', 'plain'] as const).map((from) => ({
      ...{ name: `${from}${tenant}`, from, tenant },
      packets: packets.filter((packet) => packet.from === from && packet.bridge === bridge),
    })),
  );
  return [...all, { name: 'host', from: 'host', packets: packets.filter(({ from }) => from === 'host') }];
}

const octal = (bytes: Buffer): string =>
  [...bytes].map((byte) => `\\${byte.toString(8).padStart(3, '0')}`).join('');

/** Each rule with a log of its own, and nothing else of it changed: an expression of sed(1). */
const LOGGED = String.raw`/^[[:space:]]*(pass|block)([[:space:]]|$)/s/^([[:space:]]*(pass|block)([[:space:]]+(drop|return[-a-z0-9]*([[:space:]]*\([^)]*\))?))?([[:space:]]+(in|out))?)([[:space:]]+log([[:space:]]*\([^)]*\))?)?/\1 log (all, to pflog1)/`;

/** Waits until who is outside is done, a minute at most. */
const WAIT = (marker: string): string => `left=60
until arp -an | grep -qF '(${marker})' || [ "$left" -eq 0 ]; do
	sleep 1
	left=$((left - 1))
done
[ "$left" -gt 0 ] && echo 'all of the others were sent'
sleep 1`;

/** A machine on a bridge: a tap(4), which frames are written to. */
const machineSends = (bridge: string, name: string): string =>
  `tap=$(ifconfig tap create) && ifconfig ${bridge} addm "$tap" && ifconfig "$tap" up || exit 1
mac=$(ifconfig ${bridge} | awk '$1 == "ether" { print $2 }')
mac=$(printf '\\\\%03o' $(echo "$mac" | sed 's/^/0x/; s/:/ 0x/g'))
exec 3<> "/dev/$tap"
count=0
while read -r frame; do
	printf "$mac$frame" >&3
	count=$((count + 1))
done < /${FOLDER}/${name}
echo "sent $count from $tap on ${bridge}"
sleep 1
exec 3>&-
ifconfig "$tap" destroy`;

/**
 * The program, and how somebody sends packets by it: `raw NAME COMMAND`. What the kernel refused for another reason than its firewall
 * (EPERM, EACCES) is told.
 */
const RAW = `cd ${WORK} || exit 1
umask 077
while read -r bytes; do printf "$bytes"; done < /${FOLDER}/program > send
chmod 500 send
raw()
{
	name=$1
	shift
	while read -r packet; do printf "$packet"; done < "/${FOLDER}/$name" > packets
	"$@" < packets > ended || exit 1
	echo "sent $(wc -c < ended | tr -d ' ') from $name"
	od -A n -v -t u1 ended | tr -s ' ' '\\n' | grep . |
	    awk -v "name=$name" '$1 != 0 && $1 != 1 && $1 != 13 { print "refused", name, NR, $1 }'
}`;

/** A VNET jail on a bridge, for which all but the gateway is behind that. */
const vnetJail = (
  { bridge, net, gateway }: { readonly bridge: string; readonly net: string; readonly gateway: string },
  name: string,
): string =>
  `pair=$(ifconfig epair create) && ifconfig ${bridge} addm "$pair" && ifconfig "$pair" up || exit 1
jail -c name=${name} path=/ host.hostname=${name} vnet "vnet.interface=\${pair%a}b" allow.raw_sockets persist || exit 1
jexec ${name} ifconfig "\${pair%a}b" inet ${jailAddress(net, VNET)}/${VNET_PREFIX} up || exit 1
jexec ${name} route -q add default ${gateway} > /dev/null || exit 1
# So that it knows the gateway's MAC before it sends more than wait for one.
jexec ${name} ping -q -c 1 -t 3 ${gateway} > /dev/null 2>&1
raw ${name} jexec ${name} ${WORK}/send
jail -q -r ${name}
sleep 1
ifconfig "$pair" destroy`;

/** A plain jail, whose packets leave by the host's stack. */
const plainJail = (address: string, name: string): string =>
  `jail -c name=${name} path=/ host.hostname=${name} ip4.addr=${address} allow.raw_sockets persist || exit 1
raw ${name} jexec ${name} ${WORK}/send
jail -q -r ${name}`;

/**
 * What is typed so that every packet of the cells is told by pf(4) itself, with the rule that decides: the rules in force, each
 * with a log. Pure.
 *
 * @param guest4 the instance's address
 */
export function cellSteps(plan: CellPlan, guest4: string): readonly Step[] {
  const { tenants, loopback } = plan.subject.situation.view;
  return [
    {
      name: 'cells-begin',
      check: CELLS_CHECK,
      typed: `umask 077
mkdir -p ${WORK} && cd ${WORK} || exit 1
sed -E -e '${LOGGED}' -e 's|"/etc/pf.conf.d/operator.conf"|"${WORK}/operator.conf"|' /etc/pf.conf > pf.conf
sed -E -e '${LOGGED}' /etc/pf.conf.d/operator.conf > operator.conf
kldload -n pflog
${tenants.map(({ net }) => `ifconfig ${loopback} inet ${jailAddress(net, PLAIN)}/32 alias || exit 1`).join('\n')}
ifconfig pflog1 create && ifconfig pflog1 up || exit 1
pfctl -q -f pf.conf || exit 1
pfctl -q -t bruteforce -T add -f /${FOLDER}/offenders
pfctl -q -s rules | grep -v '^scrub' | sed 's/^/rule /'
for card in $(ifconfig -l ether); do
	echo "card $card $(ifconfig "$card" | awk '$1 == "ether" { print $2 }')"
	ifconfig "$card" | awk -v "card=$card" '$1 == "inet" || $1 == "inet6" { sub(/%.*/, "", $2); print "address", card, $2 }'
done
echo "egress $(ifconfig -g egress | tr '\\n' ' ')"
# At once: what bpf(4) still gathers when the program is ended is lost.
daemon -f -p ${WORK}/pid sh -c 'exec tcpdump -n -p --immediate-mode -i pflog1 -s 112 -B 4096 -w ${WORK}/log 2> ${WORK}/counted'
sleep 1
echo 'begun'`,
      shows: [/^begun$/m],
    },
    {
      name: CELLS_SEND,
      check: CELLS_CHECK,
      typed: `${tenants.map(({ bridge }, tenant) => machineSends(bridge, `bridge${tenant}`)).join('\n')}
${WAIT(markerOf(guest4))}`,
      shows: [/^all of the others were sent$/m],
      tells: /^sent /,
    },
    {
      name: CELLS_JAILS,
      check: CELLS_CHECK,
      typed: `${RAW}
${tenants.map((tenant, index) => vnetJail(tenant, `vnet${index}`)).join('\n')}
${tenants.map(({ net }, index) => plainJail(jailAddress(net, PLAIN), `plain${index}`)).join('\n')}
raw host ${WORK}/send
echo 'all of the jails were sent'`,
      shows: [/^all of the jails were sent$/m],
      tells: /^sent /,
      seconds: 300,
    },
    {
      name: 'cells-end',
      check: CELLS_CHECK,
      typed: `sleep 3
kill "$(cat ${WORK}/pid)"
sleep 1
cd ${WORK} && sed -n -E 's/^([0-9]+) packets? (captured|received by filter|dropped by kernel)$/counted \\1 \\2/p' counted
pfctl -q -f /etc/pf.conf
pfctl -q -t bruteforce -T delete -f /${FOLDER}/offenders
ifconfig pflog1 destroy
${tenants.map(({ net }) => `ifconfig ${loopback} inet ${jailAddress(net, PLAIN)} -alias`).join('\n')}
gzip -9 -n -c ${WORK}/log | b64encode -r log | sed 's/^/log /'
cd / && rm -r ${WORK}`,
    },
  ];
}
