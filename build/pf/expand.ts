import { inconsistency } from './consistent.js';
import { familyOf, scopeOf, withFamilies } from './families.js';
import { withTexts } from './labels.js';
import { PROTO } from './names.js';
import type { Host, PfFlaw, Rule, RuleSpec } from './types.js';

/** How many rules a rule set may have, those in anchors and those that lists make among them: more take too long to prove. */
const MOST_RULES = 5000;

/** How many rules there are so far, and how many of them pfctl numbers. */
export interface Count {
  rules: number;
  numbered: number;
}

/** The rules that the kernel gets for one with lists, and what is wrong with them. */
export interface Expanded {
  readonly rules: readonly Rule[];
  readonly flaws: readonly PfFlaw[];
}

type Items<T extends readonly (readonly unknown[])[]> = {
  -readonly [K in keyof T]: T[K][number] | undefined;
};

/** The fields of a rule that are lists, the one whose items change last first (expand_rule()). */
const LISTS = [
  'interfaces',
  'protos',
  'icmp',
  'from',
  'to',
  'fromPorts',
  'toPorts',
  'os',
  'users',
  'groups',
] as const;

function without<T extends object, const K extends keyof T>(value: T, ...names: readonly K[]): Omit<T, K> {
  const copy = { ...value };
  for (const name of names) Reflect.deleteProperty(copy, name);
  return copy;
}

/** One of each list, the last one's items changing first; none where a list is empty. */
function* combinations<const T extends readonly (readonly unknown[])[]>(...lists: T): Generator<Items<T>> {
  const sizes = lists.map((list) => Math.max(1, list.length));
  const total = sizes.reduce((product, size) => product * size, 1);
  for (let number = 0; number < total; number++) {
    const items: unknown[] = [];
    let rest = number;
    for (let at = lists.length - 1; at >= 0; at--) {
      const size = sizes[at] ?? 1;
      items[at] = lists[at]?.[rest % size];
      rest = Math.floor(rest / size);
    }
    yield items as Items<T>;
  }
}

/** How many rules a rule makes at most, with those in its braces. */
function size(spec: RuleSpec): number {
  const own = LISTS.reduce((product, name) => product * Math.max(1, spec[name].length), 1);
  return own * (1 + (spec.inner ?? []).reduce((sum, rule) => sum + size(rule), 0));
}

/**
 * The rules that the kernel gets for a rule with lists: one for each combination, in pfctl's order (expand_rule() of
 * parse.y), without those whose address families or scopes differ. Checks what pfctl checks of each.
 *
 * @param count of what came before, in the whole rule set; is counted on
 */
export function expandRule(spec: RuleSpec, count: Count): Expanded {
  const before = count.rules;
  count.rules += size(spec);
  if (count.rules <= MOST_RULES) return expand(spec, count);
  if (before > MOST_RULES) return { rules: [], flaws: [] };
  const own = count.rules - before;
  const these = own === 1 ? 'this is a rule' : `the lists of this rule make ${own} rules of it`;
  return {
    rules: [],
    flaws: [
      {
        place: spec.place,
        message: `${these}, with ${before} before it: a rule set has ${MOST_RULES} at most; put addresses into a table`,
      },
    ],
  };
}

function expand(written: RuleSpec, count: Count): Expanded {
  const { place } = written;
  const flaws: PfFlaw[] = [];
  const inner: Rule[] = [];
  const within: Count = { rules: 0, numbered: 0 };
  for (const rule of written.inner ?? []) {
    const result = expand(rule, within);
    inner.push(...result.rules);
    flaws.push(...result.flaws);
  }
  const spec = withFamilies(written);
  if (typeof spec === 'string') return { rules: [], flaws: [...flaws, { place, message: spec }] };
  const { interfaces, protos, from, fromPorts, os, to, toPorts, users, groups, icmp } = spec;
  const any: Host = { address: { kind: 'any' }, not: false, place };
  const rules: Rule[] = [];
  const rest = without(spec, ...LISTS, 'inner');
  const lists = [interfaces, protos, icmp, from, to, fromPorts, toPorts, os, users, groups] as const;
  for (const items of combinations(...lists)) {
    const [device, proto, type, source = any, target = any, fromPort, toPort, system, user, group] = items;
    const families = new Set([spec.af, familyOf(source), familyOf(target)].filter((it) => it !== undefined));
    const scopes = new Set([device?.name, scopeOf(source), scopeOf(target)].filter((it) => it !== undefined));
    const scoped = scopeOf(source) ?? scopeOf(target);
    if (families.size > 1 || (scoped !== undefined && scopes.size > 1)) continue;
    const [af] = families;
    const on = device ?? (scoped === undefined ? undefined : { name: scoped, not: false });
    const { flags, keep, ...options } = rest.options;
    const tcp = proto === undefined || proto === PROTO.tcp;
    const rule: Rule = {
      ...rest,
      ...(af && { af }),
      options: {
        ...options,
        ...(tcp && flags && { flags }),
        // Only TCP has sequence numbers to change, and a handshake to answer for.
        ...(keep && { keep: !tcp && (keep === 'modulate' || keep === 'synproxy') ? 'keep' : keep }),
      },
      from: fitted(source, af),
      to: fitted(target, af),
      ...(on && { interface: on }),
      ...(proto !== undefined && { proto }),
      ...(fromPort && { fromPort }),
      ...(toPort && { toPort }),
      ...(system !== undefined && { os: system }),
      ...(user && { user }),
      ...(group && { group }),
      ...(type && { icmp: type }),
      ...(written.inner && { inner }),
    };
    const problem = inconsistency(rule);
    if (problem !== undefined) {
      if (!flaws.some(({ message }) => message === problem)) flaws.push({ place, message: problem });
      continue;
    }
    for (const one of binat(rule)) {
      // Rules of binat have no number (binatrule of parse.y).
      const named = withTexts(one, rule.action.endsWith('binat') ? count.numbered : count.numbered++);
      if (typeof named !== 'string') rules.push(named);
      else if (!flaws.some(({ message }) => message === named)) flaws.push({ place, message: named });
    }
  }
  if (rules.length === 0 && flaws.length === 0)
    flaws.push({ place, message: 'the rule expands to no valid combination' });
  return { rules, flaws };
}

/** The rules with those in their anchors. */
export function allRules(rules: readonly Rule[]): Rule[] {
  return rules.flatMap((rule) => [rule, ...allRules(rule.inner ?? [])]);
}

/** IPv4 addresses of an interface have no prefix longer than they are (gen_dynnode()). */
function fitted(host: Host, af: Rule['af']): Host {
  const { address } = host;
  if (address.kind !== 'dynamic' || address.prefix === undefined || af !== 'inet' || address.prefix < 32)
    return host;
  return { ...host, address: without(address, 'prefix') };
}

/** `binat-to` is two rules to the kernel: addresses change on the way out, and back on the way in. */
function binat(rule: Rule): readonly Rule[] {
  const { binatTo, ...options } = rule.options;
  const target = binatTo?.hosts[0];
  if (!binatTo || !target) return [rule];
  const { from, to } = rule;
  return [
    { ...rule, direction: 'out', options: { ...options, natTo: { ...binatTo, staticPort: true } } },
    {
      ...without(rule, 'fromPort', 'toPort'),
      direction: 'in',
      from: to,
      ...(rule.toPort && { fromPort: rule.toPort }),
      to: target,
      ...(rule.fromPort && { toPort: rule.fromPort }),
      options: { ...options, rdrTo: { ...binatTo, hosts: [from] } },
    },
  ];
}

/** The lists of translation rules, in the order that they are asked (pf_get_translation() of sys/netpfil/pf/pf_lb.c). */
export const TRANSLATIONS = { in: ['rdr', 'binat'], out: ['binat', 'nat'] } as const;

/**
 * What a binat rule is for packets that come in: those to its new address get its old one (pf_match_translation() of
 * sys/netpfil/pf/pf.c). Other rules are the same both ways.
 */
export function inboundRule(rule: Rule): Rule {
  const [outside] = rule.pool?.hosts ?? [];
  if (rule.action !== 'binat' || !rule.pool || !outside) return rule;
  const made = inbound.get(rule) ?? {
    ...rule,
    direction: 'in',
    from: rule.to,
    to: outside,
    pool: { ...rule.pool, hosts: [rule.from] },
  };
  inbound.set(rule, made);
  return made;
}

/** One for each, so that a verdict names the same each time. */
const inbound = new WeakMap<Rule, Rule>();
