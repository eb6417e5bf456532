import type { CellPlan } from './cell-plan.js';
import type { Extra, Step } from './steps.js';

/** The check that the steps belong to, and the step during which packets are sent. */
export const CELLS_CHECK = 'cells';
export const CELLS_SEND = 'cells-send';

/** What is sent from where the instance itself is, and who is banned meanwhile. */
const FOLDER = 'etc/clawdie/inspect.cells';
/** Where the rules and the log lie for as long as they are needed. */
const WORK = '/var/run/inspect.cells';

/** Whom the guest knows by ARP once everything from outside was sent: a host of its own network. */
export function markerOf(guest4: string): string {
  return guest4.replace(/\d+$/, guest4.endsWith('.251') ? '250' : '251');
}

/** Files beside the overlay: frames of the machines on the bridges, as printf(1) writes them, and offenders. Pure. */
export function cellFiles({ packets, bridges, offenders }: CellPlan): readonly Extra[] {
  const file = (name: string, lines: readonly string[]): Extra => ({
    ...{ path: `${FOLDER}/${name}`, mode: 0o444, body: lines.map((line) => `${line}\n`).join('') },
  });
  return [
    file('offenders', offenders),
    ...bridges.map((bridge) =>
      file(
        `frames.${bridge}`,
        // Whom they are sent to the instance puts before them.
        packets.flatMap(({ entry, frame }) => (entry === bridge ? [octal(frame.subarray(6))] : [])),
      ),
    ),
  ];
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

/**
 * What is typed so that every packet of the cells is told by pf(4) itself, with the rule that decides: the rules in force, each
 * with a log. Pure.
 *
 * @param guest4 the instance's address
 */
export function cellSteps({ bridges }: CellPlan, guest4: string): readonly Step[] {
  return [
    {
      name: 'cells-begin',
      check: CELLS_CHECK,
      typed: `umask 077
mkdir -p ${WORK} && cd ${WORK} || exit 1
sed -E -e '${LOGGED}' -e 's|"/etc/pf.conf.d/operator.conf"|"${WORK}/operator.conf"|' /etc/pf.conf > pf.conf
sed -E -e '${LOGGED}' /etc/pf.conf.d/operator.conf > operator.conf
kldload -n pflog
ifconfig pflog1 create && ifconfig pflog1 up || exit 1
pfctl -q -f pf.conf || exit 1
pfctl -q -t bruteforce -T add -f /${FOLDER}/offenders
pfctl -q -s rules | grep -v '^scrub' | sed 's/^/rule /'
for card in $(ifconfig -l ether); do
	echo "card $card $(ifconfig "$card" | awk '$1 == "ether" { print $2 }')"
	ifconfig "$card" | awk -v "card=$card" '$1 == "inet" || $1 == "inet6" { sub(/%.*/, "", $2); print "address", card, $2 }'
done
echo "egress $(ifconfig -g egress | tr '\\n' ' ')"
daemon -f -p ${WORK}/pid tcpdump -n -p -i pflog1 -s 128 -B 4096 -w ${WORK}/log
sleep 1
echo 'begun'`,
      shows: [/^begun$/m],
    },
    {
      name: CELLS_SEND,
      check: CELLS_CHECK,
      typed: `${bridges
        .map(
          (
            bridge,
          ) => `tap=$(ifconfig tap create) && ifconfig ${bridge} addm "$tap" && ifconfig "$tap" up || exit 1
mac=$(ifconfig ${bridge} | awk '$1 == "ether" { print $2 }')
mac=$(printf '\\\\%03o' $(echo "$mac" | sed 's/^/0x/; s/:/ 0x/g'))
exec 3<> "/dev/$tap"
count=0
while read -r frame; do
	printf "$mac$frame" >&3
	count=$((count + 1))
done < /${FOLDER}/frames.${bridge}
echo "sent $count from $tap on ${bridge}"
sleep 1
exec 3>&-
ifconfig "$tap" destroy`,
        )
        .join('\n')}
${WAIT(markerOf(guest4))}`,
      shows: [/^all of the others were sent$/m],
      tells: /^sent /,
    },
    {
      name: 'cells-end',
      check: CELLS_CHECK,
      typed: `kill "$(cat ${WORK}/pid)"
sleep 1
pfctl -q -f /etc/pf.conf
pfctl -q -t bruteforce -T delete -f /${FOLDER}/offenders
ifconfig pflog1 destroy
gzip -9 -n -c ${WORK}/log | b64encode -r log
rm -r ${WORK}`,
    },
  ];
}
