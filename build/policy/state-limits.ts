import type { Rule } from '../pf/types.js';

/** What a state may have that limits nobody. */
const HARMLESS = new Set(['lock', 'noSync', 'sourceTrack']);

/** The state options of a rule that limit who gets through, but for those that are wanted. */
function limitsOf(rule: Rule | undefined, wanted: readonly string[]): string | undefined {
  const found = Object.keys(rule?.options.state ?? {}).find(
    (name) => !HARMLESS.has(name) && !wanted.includes(name),
  );
  return found === undefined
    ? undefined
    : `limits its states ("${found}"): strangers could use up what it allows`;
}

/** Connections that jails or strangers make have their share of the table of states, and no more. */
export const share =
  (most: number) =>
  (rule: Rule | undefined): string | undefined =>
    rule?.options.state.max === most ? limitsOf(rule, ['max']) : `has not "max ${most}"`;

/** Nobody else's connections are in the way. */
export const unlimited = (rule: Rule | undefined): string | undefined => limitsOf(rule, []);

/** The limits of SSH as they are documented: 5 at once, 3 in 60 seconds, then into <bruteforce> with every state of the host. */
export function rateLimited(rule: Rule | undefined): string | undefined {
  const state = rule?.options.state;
  if (state?.maxSrcConn !== 5) return 'has not "max-src-conn 5"';
  if (state.maxSrcConnRate?.limit !== 3 || state.maxSrcConnRate.seconds !== 60)
    return 'has not "max-src-conn-rate 3/60"';
  if (state.overload?.table !== 'bruteforce' || !state.overload.global)
    return 'has not "overload <bruteforce> flush global"';
  return soonForgotten(rule) ?? limitsOf(rule, ['maxSrcConn', 'maxSrcConnRate', 'overload', 'timeouts']);
}

/** A connection to SSH that nobody completes is forgotten before a flood of them fills the table. */
function soonForgotten(rule: Rule | undefined): string | undefined {
  const timeouts = rule?.options.state.timeouts ?? {};
  const only = Object.keys(timeouts).length === 2;
  return only && timeouts['tcp.first'] === 10 && timeouts['tcp.opening'] === 10
    ? undefined
    : 'has not "tcp.first 10, tcp.opening 10"';
}

/** What SSH_ALLOW names has no other limit. */
export const allowed = (rule: Rule | undefined): string | undefined =>
  soonForgotten(rule) ?? limitsOf(rule, ['timeouts']);
