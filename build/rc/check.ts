import { RcOrder } from './order.js';
import type { RcScript } from './headers.js';

/** What has to run before what, by the names that scripts provide, and why. */
export const RULES: readonly (readonly [first: string, second: string, why: string])[] = [
  ['clawdie_lockdown', 'netif', 'an interface would be up before the firewall drops everything'],
  ['clawdie_lockdown', 'routing', 'there would be routes before the firewall drops everything'],
  ['clawdie_cards', 'netif', 'interfaces would be made before it is known which ones hardware brought'],
  ['clawdie_install', 'netif', 'an interface would be up while the instance moves to its disk'],
  ['routing', 'clawdie_egress', 'what faces the internet is found by the default route'],
  ['clawdie_egress', 'pf', "pf's rules would be loaded before it is known what faces the internet"],
  ['pf', 'sshd', 'sshd would answer before the rules are loaded'],
  ['clawdie_firstboot', 'LOGIN', 'services would start before the instance is set up'],
  ['sshd', 'clawdie_listen', 'what sshd listens on would be looked at before it listens'],
  ['clawdie_firstboot', 'sshd', 'sshd would answer before its keys and users are set up'],
];

/** Held where the image has both: packages bring some, and a boot is not waited for until the others have run. */
export const OPTIONAL: readonly (readonly [first: string, second: string, why: string])[] = [
  [
    'clawdie_state',
    'clawdie_lockdown',
    'rules would be loaded before they are as closed as the instance had them',
  ],
  ['clawdie_trial', 'clawdie_lockdown', 'a boot that stops there would not be taken back'],
  ['pf', 'clawdie_bans', 'pf would forget who is shut out when it gets its rules'],
  ['clawdie_bans', 'sshd', 'hosts that are shut out could try SSH again'],
  ['sshd', 'clawdie_packages', 'nobody could log in while a mirror does not answer'],
  ['sshd', 'clawdie_jails', 'nobody could log in while jails are made'],
  ['clawdie_jaildisk', 'bastille', 'jails would start without their file systems'],
  ['tailscaled', 'pf_reload', 'tailscale0 would come after the rules that need it'],
];

/**
 * What is wrong with the order of an image's rc.d scripts; nothing if it holds. Each line is a sentence.
 *
 * @param scripts every script with a header that is in the image, those of the deployment included
 */
export function checkOrder(scripts: readonly RcScript[]): readonly string[] {
  const order = new RcOrder(scripts);
  const problems: string[] = [];
  const absent = (names: readonly string[]): readonly string[] =>
    names.filter((name) => order.providers(name).length === 0);
  const optional = OPTIONAL.filter(([first, second]) => absent([first, second]).length === 0);
  for (const [first, second, why] of [...RULES, ...optional]) {
    const lacking = absent([first, second]);
    if (lacking.length > 0) problems.push(`No rc.d script of the image provides ${lacking.join(' and ')}.`);
    else if (!order.precedes(first, second)) {
      const [path] = order.providers(first);
      problems.push(
        `Nothing makes ${first} (${path?.path ?? ''}) run before ${second}: ${why}. Its REQUIRE and BEFORE lines have to say so.`,
      );
    }
  }
  const cycle = order.cycle();
  if (cycle)
    problems.push(`These rc.d scripts wait for each other: ${cycle.map(({ path }) => path).join(', ')}.`);
  return problems;
}
