import type { DeployedJail } from '../deployed.js';
import type { Step } from '../steps.js';
import { JAIL_CHECKS } from './checks.js';
import type { JailCheck } from './checks.js';
import { escaped, line } from './typed.js';

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

/** Seconds within which the operator has to be logged in; an emulated processor is some ten times slower, on a busy machine more. */
export const LOGIN_SECONDS = 5;
const EMULATED_LOGIN_SECONDS = 15;

/** The file that a login makes during a flood, so that the flood ends. */
export const seenFile = (flood: Flood): string => `/var/run/inspect.${flood}`;

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

/** What a flood said as it ended, or why it did not come about. */
const SAID = '/var/run/inspect.flood';

/** Floods: what a jail does, until the operator has logged in or a minute and a half have gone. */
export function floodSteps(jail: DeployedJail, internet: string): readonly Step[] {
  const root = `/usr/local/bastille/jails/${jail.name}/root`;
  const floods: Readonly<
    Record<
      Exclude<Flood, 'flood-syn'>,
      { readonly does: string; readonly again?: boolean; readonly enough?: string; readonly after?: string }
    >
  > = {
    // What sleeps keeps the jail full, and what cannot fork any more ends: each second it begins again.
    'flood-fork': {
      does: 'for n in $(jot 200); do sleep 20 & done; bomb() { bomb | bomb & bomb | bomb; }; bomb',
      again: true,
    },
    'flood-memory': { does: 'for n in 1 2 3 4; do while :; do tail /dev/zero; done & done; wait' },
    'flood-disk': {
      // In small pieces: a write that finds no room for all of it leaves nothing, and cat(1) writes two MiB at once.
      does: 'while :; do dd if=/dev/zero bs=16k >> "$HOME/flood.$$"; sleep 1; done',
      // The operator may be logged in before it is full.
      enough: `df -k ${root} | awk 'NR == 2 { full = $5 + 0 >= 99 } END { exit !full }'`,
      after: `df -k / ${root}\nrm -f ${root}/home/worker/flood.*\n[ "$(df -k / | awk 'NR == 2 { print $4 }')" -gt 4096 ] && echo 'the host has room'`,
    },
    'flood-connections': {
      does: `for n in $(jot 20); do while :; do nc -n -z -w 1 ${internet} 80; done & done; cat /dev/zero | nc -n -u ${internet} 9; wait`,
      after: 'pfctl -q -s info | grep entries',
    },
  };
  const steps = JAILED_FLOODS.map((flood): Step => {
    const { does, again = false, enough = ':', after = 'true' } = floods[flood];
    const begin = `jexec -l -U worker ${jail.name} sh -c '${does.replaceAll("'", "'\\''")}' > /dev/null 2> ${SAID} < /dev/null &`;
    return {
      name: flood,
      check: flood,
      // Killed from outside: a jail without processes to spare lets nobody in. At once, as they fork; then what waits for a disk.
      typed: `worker=$(jexec ${jail.name} id -u worker) || exit 3
left=90
most=0
none=0
${begin}
until { [ -e ${seenFile(flood)} ] && ${enough}; } || [ "$left" -eq 0 ]; do
	# One that did not come about, or has ended, begins again.
	${again ? begin : `[ "$none" -lt 5 ] || { none=0; ${begin} }`}
	sleep 1
	left=$((left - 1))
	now=$(pgrep -j ${jail.name} -U "$worker" | wc -l)
	none=$((now > 0 ? 0 : none + 1))
	[ "$now" -le "$most" ] || most=$((now))
done
echo "processes: $most at most, $left turns left; $(tail -n 1 ${SAID})"
${after}
left=120
while pgrep -j ${jail.name} -U "$worker" > /dev/null && [ "$left" -gt 0 ]; do
	pkill -KILL -j ${jail.name} -U "$worker"
	left=$((left - 1))
	[ "$left" -gt 60 ] || sleep 1
done
pgrep -j ${jail.name} -U "$worker" > /dev/null || echo 'it is over'
jls -j ${jail.name} name`,
      shows: [
        /^it is over$/m,
        line(escaped(jail.name)),
        // It was one: a full file system, or more than a shell or two.
        ...(flood === 'flood-disk'
          ? [new RegExp(`\\s(?:99|1\\d\\d)%\\s+${root}$`, 'm'), line('the host has room')]
          : [/^processes: (?:[3-9]|\d{2,}) at most,/m]),
      ],
      tells: /^processes/,
      seconds: 400,
    };
  });
  return [...steps, SYN_STEP];
}

/** What is wrong with logins during a flood of a machine whose processor is real, or emulated. */
export function loginFlaws(logins: readonly Login[], emulated: boolean): readonly string[] {
  const limit = emulated ? EMULATED_LOGIN_SECONDS : LOGIN_SECONDS;
  if (logins.length === 0) return ['nobody tried to log in'];
  return logins.flatMap(({ seconds, failure }) => {
    if (failure !== undefined) return [`login failed after ${seconds.toFixed(1)} s: ${failure}`];
    return seconds <= limit ? [] : [`logged in after ${seconds.toFixed(1)} s, not within ${limit}`];
  });
}

/** How long they took. */
export function loginTold(logins: readonly Login[], flood: Flood): string {
  const quiet = logins.find((login) => login.flood === undefined);
  const during = logins.filter((login) => login.flood === flood).map(({ seconds }) => seconds.toFixed(1));
  return `logged in after ${during.join(', ')} s${quiet ? ` (${quiet.seconds.toFixed(1)} s without)` : ''}`;
}
