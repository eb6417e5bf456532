import type { Deployed } from './deployed.js';
import type { Cast, Surroundings } from './jails/cast.js';
import { RESTART_CHECK } from './jails/checks.js';
import { deviceSteps } from './jails/devices.js';
import { floodSteps } from './jails/floods.js';
import { limitSteps } from './jails/limits.js';
import { pairSteps } from './jails/pairs.js';
import { hostClosedSteps, hostPortSteps, reachSteps } from './jails/reach.js';
import { byHand, byHandEnd, byHandSteps, templateSteps } from './jails/templates.js';
import { turnSteps } from './jails/turns.js';
import { escaped, listed } from './jails/typed.js';
import { waysSteps } from './jails/ways.js';
import type { Step } from './steps.js';

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
  const { deployed, hostPorts, internet } = surroundings;
  const [first, second] = cast.tenants;
  const hand = byHand(first);
  const everybody = [...cast.jails, hand.plain, hand.vnet];
  const plain = cast.jails.filter(({ network }) => network === 'plain');
  const [worker] = plain;
  if (!worker) return [];
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
    ...byHandSteps(hand, first, deployed.release),
    ...templateSteps(worker, hand),
    ...hostClosedSteps(plain),
    ...deviceSteps(everybody, 'devices'),
    ...dhclientSteps('dhclient'),
    ...reachSteps(surroundings, cast),
    ...pairSteps(cast, deployed.release, 'pairs'),
    ...hostPortSteps(cast, hostPorts),
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
    byHandEnd(hand),
    ...floodSteps(worker, internet),
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
      typed: `left=300
# Bastille's own script of rc(8) may be at it.
while pgrep -f '(share|rc\\.d)/bastille' > /dev/null && [ "$left" -gt 0 ]; do
	sleep 1
	left=$((left - 1))
done
sleep 5
lockf -k -t 600 /var/run/clawdie-jails.lock true`,
      ends: deployed.jails.length > 0 ? 0 : 'any',
      seconds: 1000,
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
