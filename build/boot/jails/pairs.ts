import type { DeployedJail } from '../deployed.js';
import { guestEndSteps, guestsOf, guestSteps } from '../guests.js';
import type { Guest } from '../guests.js';
import type { Step } from '../steps.js';
import type { Cast } from './cast.js';
import { escaped, line, listens, tries } from './typed.js';

/** Port on which jails and guests listen to each other. */
const PAIR_PORT = 7777;

/** Each tries each. */
export function pairSteps({ tenants, jails }: Cast, release: string, check: string): readonly Step[] {
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
