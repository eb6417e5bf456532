import type { DeployedJail } from '../deployed.js';
import type { Step } from '../steps.js';
import { line } from './typed.js';

/** The kernel has a rule for each limit. */
export function limitSteps(jails: readonly DeployedJail[], check: string): readonly Step[] {
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
