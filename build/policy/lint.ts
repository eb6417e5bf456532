import { bounds } from '../pf/address.js';
import { allRules } from '../pf/expand.js';
import { compare } from '../pf/compare.js';
import { hasHiddenCondition } from '../pf/resolve.js';
import { printAddress, printRule } from '../pf/print.js';
import type { Address, Comparison, Host, PfFlaw, Rule, Ruleset } from '../pf/types.js';

/**
 * What is wrong with a rule set whatever packets come: addresses that are looked up when the rules are loaded, which
 * is before there is a network, and rules that no packet reaches.
 */
export function lint(ruleset: Ruleset): readonly PfFlaw[] {
  const flaws: PfFlaw[] = [];
  const seen = new Set<string>();
  const add = (flaw: PfFlaw): void => {
    const key = `${flaw.place.file}:${flaw.place.line} ${flaw.message}`;
    if (!seen.has(key)) flaws.push(flaw);
    seen.add(key);
  };
  const checkHost = (host: Host): void => {
    const { address, place } = host;
    if (address.kind === 'interface') {
      add({
        place,
        message: `"${printAddress(host)}" is a bare interface name used as an address: it is looked up once, when the rules are loaded, and the rules do not load if it is not there. Write it in parentheses`,
      });
    }
    if (address.kind === 'hostname')
      add({
        place,
        message: `"${address.name}" is a host name: it is looked up when the rules are loaded, before there is a network. Write its address`,
      });
  };
  const visit = (rules: readonly Rule[]): void => {
    const before: Rule[] = [];
    for (const rule of rules) {
      for (const host of [
        rule.from,
        rule.to,
        ...(rule.pool?.hosts ?? []),
        ...(rule.options.natTo?.hosts ?? []),
        ...(rule.options.rdrTo?.hosts ?? []),
      ])
        checkHost(host);
      const cover = before.find((earlier) => hides(earlier, rule));
      if (cover)
        add({
          place: rule.place,
          message: `this rule can never match: line ${cover.place.line} decides first: ${printRule(cover)}`,
        });
      if (mayHide(rule)) before.push(rule);
      visit(rule.inner ?? []);
    }
  };
  visit(ruleset.rules);
  const defined = new Set(ruleset.tables.map(({ name }) => name));
  for (const rule of allRules(ruleset.rules)) {
    for (const { address, place } of [rule.from, rule.to]) {
      if (address.kind === 'table' && !defined.has(address.name))
        add({ place, message: `the table <${address.name}> is not defined: the rule would never match` });
    }
  }
  for (const table of ruleset.tables) table.hosts.forEach(checkHost);
  return flaws;
}

type Net = Extract<Address, { kind: 'net' }>;

const FILTER = new Set(['pass', 'block']);
const TRANSLATION = new Set(['nat', 'no nat', 'rdr', 'no rdr', 'binat', 'no binat']);

/** Whether a rule decides for good, by nothing but what rules show. */
function mayHide(rule: Rule): boolean {
  if (!(FILTER.has(rule.action) && rule.quick) && !TRANSLATION.has(rule.action)) return false;
  const { options } = rule;
  return !(
    hasHiddenCondition(rule) ||
    options.tagged !== undefined ||
    options.receivedOn !== undefined ||
    options.fragment === true ||
    rule.icmp !== undefined
  );
}

/** Whether every packet that a rule is about is decided by an earlier one that may hide others. */
function hides(earlier: Rule, rule: Rule): boolean {
  if (!coversPort(earlier.fromPort, rule.fromPort) || !coversPort(earlier.toPort, rule.toPort)) return false;
  const filter = FILTER.has(earlier.action) && (FILTER.has(rule.action) || rule.action === 'match');
  const family = (action: string): string => action.replace('no ', '');
  const translation =
    TRANSLATION.has(earlier.action) &&
    TRANSLATION.has(rule.action) &&
    family(earlier.action) === family(rule.action);
  if (!filter && !translation) return false;
  const { options } = earlier;
  // A rule that matches the first packet of a connection alone leaves the others to those behind it.
  if (
    options.flags &&
    options.flags.of !== 0 &&
    (rule.options.flags?.of ?? 0) === 0 &&
    (rule.proto ?? 6) === 6
  )
    return false;
  if (earlier.direction !== undefined && earlier.direction !== rule.direction) return false;
  if (earlier.af !== undefined && earlier.af !== rule.af) return false;
  if (earlier.proto !== undefined && earlier.proto !== rule.proto) return false;
  if (
    earlier.interface &&
    (earlier.interface.not || rule.interface?.name !== earlier.interface.name || rule.interface.not)
  )
    return false;
  return covers(earlier.from, rule.from) && covers(earlier.to, rule.to);
}

const ENDS = new WeakMap<Net, readonly [bigint, bigint]>();

/** The ends of a network: many rules that a list made have the same. */
function ends(net: Net): readonly [bigint, bigint] {
  const known = ENDS.get(net);
  if (known) return known;
  const found = bounds(net.af, net.base, net.prefix);
  ENDS.set(net, found);
  return found;
}

function covers(wide: Host, narrow: Host): boolean {
  if (wide.address.kind === 'any' && !wide.not) return true;
  if (wide.not !== narrow.not || wide.not)
    return wide.not === narrow.not && printAddress(wide) === printAddress(narrow);
  if (wide.address.kind === 'net' && narrow.address.kind === 'net' && wide.address.af === narrow.address.af) {
    const [low, high] = ends(wide.address);
    const [from, to] = ends(narrow.address);
    return from >= low && to <= high;
  }
  return wide.address.kind === narrow.address.kind && printAddress(wide) === printAddress(narrow);
}

function coversPort(wide: Comparison | undefined, narrow: Comparison | undefined): boolean {
  if (!wide) return true;
  if (!narrow) return false;
  if (narrow.op === '=') return compare(wide, narrow.low);
  if (narrow.op === ':' && wide.op === ':') return narrow.low >= wide.low && narrow.high <= wide.high;
  return wide.op === narrow.op && wide.low === narrow.low && wide.high === narrow.high;
}
