import type { DeployedJail } from '../deployed.js';
import type { Step } from '../steps.js';

/** Turns of an agent in a jail. */
export function turnSteps({ name }: DeployedJail, check: string): readonly Step[] {
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
