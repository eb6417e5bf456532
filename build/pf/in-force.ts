import { printRule } from './print.js';
import type { Rule } from './types.js';

/** Rules are asked about once for each place that a packet may be at. */
const known = new WeakMap<readonly Rule[], readonly Rule[]>();

/**
 * The rules of a ruleset or an anchor that the kernel takes: one that an earlier one equals in all, its label too, is refused there
 * (EEXIST of pf_ioctl_addrule() in pf_ioctl.c, FreeBSD 15.1), and pfctl(8) goes on without a word. Where the later one was to
 * decide, another rule does.
 */
export function inForce(rules: readonly Rule[]): readonly Rule[] {
  const before = known.get(rules);
  if (before) return before;
  const seen = new Set<string>();
  const taken = rules.filter((rule) => {
    // What one line with braces is expanded to calls one anchor; another line's is another one.
    const text = printRule(rule) + (rule.inner ? ` ${rule.place.file}:${rule.place.line}` : '');
    if (seen.has(text)) return false;
    seen.add(text);
    return true;
  });
  known.set(rules, taken);
  return taken;
}
