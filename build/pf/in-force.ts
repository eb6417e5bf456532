import { printRule } from './print.js';
import type { Host, Rule } from './types.js';

/** Rules are asked about once for each place that a packet may be at. */
const known = new WeakMap<readonly Rule[], readonly Rule[]>();

/**
 * The rules of a ruleset or an anchor that the kernel takes: one that an earlier one equals in all, its label too, is refused there
 * (EEXIST of pf_ioctl_addrule() in pf_ioctl.c, FreeBSD 15.1), and pfctl(8) goes on. Where the later one was to decide, another rule
 * does. Of rules that are alike without being equal nobody should depend on which way this goes: see {@link alike}.
 */
export function inForce(rules: readonly Rule[]): readonly Rule[] {
  const before = known.get(rules);
  if (before) return before;
  const again = new Set(repeated(rules, identity).map(([, rule]) => rule));
  const taken = rules.filter((rule) => !again.has(rule));
  known.set(rules, taken);
  return taken;
}

/**
 * Pairs of a list that the kernel may take for one rule, the earlier one first. pf_hash_rule_rolling() of pf_ioctl.c sums texts
 * without their bounds (labels, and the names of both interfaces) and of `(em0)/24` the name alone; and pfctl(8) has moved or
 * left out some before (pfctl_optimize.c), so that of equal ones another may stay.
 */
export function alike(rules: readonly Rule[]): readonly (readonly [Rule, Rule])[] {
  return repeated(rules, likeness);
}

/** Rules whose text an earlier one has, each behind the first of that text. */
function repeated(
  rules: readonly Rule[],
  textOf: (rule: Rule) => string,
): readonly (readonly [Rule, Rule])[] {
  const seen = new Map<string, Rule>();
  return rules.flatMap((rule) => {
    const text = textOf(rule);
    const earlier = seen.get(text);
    if (earlier) return [[earlier, rule] as const];
    seen.set(text, rule);
    return [];
  });
}

/** Ports of one name, quotes in labels and codes that are not printed are told apart by the kernel. */
function identity(rule: Rule): string {
  const { fromPort, toPort, block, options } = rule;
  return JSON.stringify([printRule(rule), fromPort, toPort, block, options.labels, anchorOf(rule)]);
}

function likeness(rule: Rule): string {
  const { interface: on, ...rest } = rule;
  const { receivedOn, ridentifier, labels, ...options } = rule.options;
  return JSON.stringify([
    printRule({
      ...rest,
      from: unmasked(rule.from),
      to: unmasked(rule.to),
      options: { ...options, labels: [] },
    }),
    ...[rule.fromPort, rule.toPort, rule.block],
    `${on?.name ?? ''}${receivedOn?.name ?? ''}`,
    ...[on?.not ?? false, receivedOn?.not ?? false, labels.join(''), ridentifier ?? 0, anchorOf(rule)],
  ]);
}

function unmasked(host: Host): Host {
  const { address } = host;
  if (address.kind !== 'dynamic') return host;
  return { ...host, address: { kind: 'dynamic', name: address.name, modifiers: address.modifiers } };
}

/** What one line with braces is expanded to calls one anchor; another line's is another one. */
function anchorOf({ inner, place }: Rule): string | undefined {
  return inner && `${place.file}:${place.line}`;
}
