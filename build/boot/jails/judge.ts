import type { CheckResult } from '../checks.js';
import type { Block } from '../documents.js';
import { stepFlaws, stepTold, typedOn } from '../steps.js';
import type { Step } from '../steps.js';
import { JAIL_CHECKS, RESTART_CHECK } from './checks.js';
import { FLOODS, loginFlaws, loginTold } from './floods.js';
import type { Login } from './floods.js';
import { wayFlaws, WAYS_STEP } from './ways.js';
import type { Passage } from './ways.js';

/** What was done beside what was typed. */
export interface Lived {
  readonly console: string;
  readonly steps: readonly Step[];
  readonly logins: readonly Login[];
  readonly passages: readonly Passage[];
  /** Blocks of the documents that could not be typed. */
  readonly left: readonly Block[];
  /** Whether its processor was emulated, see {@link loginFlaws}. */
  readonly emulated: boolean;
}

/** Judges what an instance said to the steps. Pure. */
export function judgeJails({
  console,
  steps,
  logins,
  passages,
  left,
  emulated,
}: Lived): readonly CheckResult[] {
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
        ...(flood
          ? loginFlaws(
              logins.filter((login) => login.flood === flood),
              emulated,
            )
          : []),
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

/** Without Bastille nothing of it was looked at. */
export function notLookedAt(why: string): readonly CheckResult[] {
  return Object.keys(JAIL_CHECKS).map((id) => ({
    ...{ id, state: 'not looked at', detail: why, seconds: 0, packets: [] },
  }));
}
