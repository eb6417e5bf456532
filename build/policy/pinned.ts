import { allRules } from '../pf/expand.js';
import { alike } from '../pf/in-force.js';
import { PROTO } from '../pf/names.js';
import { printRule } from '../pf/print.js';
import { hasHiddenCondition } from '../pf/resolve.js';
import type { PfFlaw, Place, Rule, Ruleset } from '../pf/types.js';

/** Whether something stands in the operator's own rules. */
export function isOperators({ file }: Place): boolean {
  return file.endsWith('/operator.conf');
}

/** Options that a rule file may set, as its print in pfctl's words. */
const OPTIONS: readonly RegExp[] = [
  /^set block-policy drop$/,
  /^set state-policy if-bound$/,
  /^set syncookies adaptive \(start 25%, end 12%\)$/,
  /^set limit \S+ \d+$/,
  /^set timeout \S+ \d+$/,
];

/** Options that every rule file has to have: without them strangers and jails use up the table of states. */
const NEEDED: readonly RegExp[] = [
  /^set block-policy drop$/,
  /^set state-policy if-bound$/,
  /^set syncookies adaptive /,
  /^set limit states /,
  /^set limit src-nodes /,
];

/** Limits and timeouts in seconds that pf has by itself (pf_default_limits of pf_ioctl.c, PFTM_*_VAL of netpfil/pf/pf.h). */
const LEAST: Readonly<Record<string, number>> = {
  'limit states': 100_000,
  'limit src-nodes': 10_000,
  'limit frags': 5000,
  'limit tables': 1000,
  'limit table-entries': 200_000,
  'limit anchors': 512,
  'limit eth-anchors': 512,
  'timeout tcp.first': 120,
  'timeout tcp.opening': 30,
  'timeout tcp.established': 86_400,
  'timeout tcp.closing': 900,
  'timeout tcp.finwait': 45,
  'timeout tcp.closed': 90,
  'timeout tcp.tsdiff': 30,
  'timeout udp.first': 60,
  'timeout udp.single': 30,
  'timeout udp.multiple': 60,
  'timeout icmp.first': 20,
  'timeout icmp.error': 10,
  'timeout other.first': 60,
  'timeout other.single': 30,
  'timeout other.multiple': 60,
  'timeout frag': 60,
};

/** What is wrong with an option; undefined where the policy has nothing against it. */
function optionFlaw(text: string): string | undefined {
  if (text.startsWith('set skip on ') && text !== 'set skip on none')
    return `"${text}" lets everything through there, past every rule`;
  if (!OPTIONS.some((allowed) => allowed.test(text)))
    return `"${text}" changes what all rules mean: the policy has no such option`;
  const [, kind = '', name = '', value = ''] = text.split(' ');
  const least = LEAST[`${kind} ${name}`];
  if (kind !== 'limit' && kind !== 'timeout') return undefined;
  if (least === undefined) return `"${text}" is an option that the policy does not have`;
  return Number(value) < least
    ? `"${text}" is less than the ${least} that pf has by itself: strangers could use it up, or connections end early`
    : undefined;
}

/**
 * Whether a rule may do without a state: messages of ICMP, the loopback, where every packet comes from this host, and
 * what comes in by UDP, since what answers has a state of its own.
 */
function stateless({ interface: device, proto, direction }: Rule): boolean {
  if (device?.name === 'lo' && !device.not) return true;
  return proto === PROTO.icmp || proto === PROTO.icmp6 || (proto === PROTO.udp && direction === 'in');
}

/** Seconds that a rule may give to connections that are not completed: a client's first two answers take less. */
const SOONEST: Readonly<Record<string, number>> = { 'tcp.first': 10, 'tcp.opening': 10 };

/** What a filter or translation rule must not have, and what that would do. */
function* ruleFlaws(rule: Rule): Generator<string> {
  const { action, options } = rule;
  const { state } = options;
  if (rule.route)
    yield `"${rule.route.kind}" sends packets past the routing table, and past the rules of where they would go`;
  if (options.divertTo !== undefined)
    yield '"divert-to" hands packets to a program, past what the rules say of them';
  if (options.natTo ?? options.rdrTo ?? options.binatTo ?? options.afTo)
    yield 'it translates addresses: what passes is then another packet than the one that the rules were asked about';
  if (rule.natPass === true) yield '"pass" in a translation lets packets through, past every filter rule';
  if (options.tag !== undefined || options.tagged)
    yield 'tags decide by what another rule, on another interface, has said: nobody sees that in the packet';
  if (options.probability !== undefined) yield '"probability" decides by chance';
  if (options.rtable !== undefined) yield '"rtable" sends packets by another routing table';
  if (options.queue ?? options.dnpipe) yield 'queues and pipes drop packets that the rules let through';
  if (options.maxPktRate ?? options.maxPktSize)
    yield 'whether it matches depends on how many packets came, and how large';
  if (rule.user ?? rule.group)
    yield '"user" and "group" depend on who has the socket, which a packet does not show';
  if (rule.quick && (action === 'match' || action === 'anchor') && hasHiddenCondition(rule))
    yield 'it is quick, and ends the rules for packets of which nobody knows whether it matches them';
  if (action === 'match' && options.scrub) yield 'it changes packets before the other rules see them';
  if (action !== 'pass') return;
  if (options.allowOpts === true)
    yield '"allow-opts" lets IP options and routing headers in, by which a packet chooses its way';
  const tcp = rule.proto === undefined || rule.proto === PROTO.tcp;
  if (options.keep === undefined || options.keep === 'none') {
    if (!stateless(rule))
      yield '"no state" judges each packet by itself: answers would have to be let in from anywhere';
    return;
  }
  if (options.keep !== 'keep') yield `"${options.keep} state" makes the firewall speak for those behind it`;
  if (tcp && (options.flags?.set !== 2 || options.flags.of !== 18))
    yield 'it takes any TCP packet for the beginning of a connection: "flags S/SA" alone opens one';
  if (state.sloppy === true)
    yield '"sloppy" does not look at sequence numbers: strangers can speak in a connection';
  if (state.lock === 'floating') yield '"floating" lets answers in on every interface';
  if (state.pflow === true) yield '"pflow" tells others who talks to whom';
  if (Object.entries(state.timeouts ?? {}).some(([name, value]) => value < (SOONEST[name] ?? Infinity)))
    yield 'it has timeouts of its own, after which connections end';
  if (state.overload && state.overload.table !== 'bruteforce')
    yield `it puts hosts into <${state.overload.table}>: they belong into <bruteforce>, which expires`;
}

/** What stands in the operator's file that is no filter rule; its name. */
function* notFilters(ruleset: Ruleset): Generator<readonly [Place, string]> {
  for (const { text, place } of ruleset.options) yield [place, `the option "${text}"`];
  for (const { place } of ruleset.queues) yield [place, 'a queue'];
  for (const { place, action } of ruleset.rules) {
    if (action.includes('scrub')) yield [place, `a normalisation rule ("${action}")`];
    if (/^(?:no )?(?:nat|rdr|binat)/.test(action)) yield [place, `a translation rule ("${action}")`];
  }
}

/**
 * What no packet shows, and what the policy wants of it: options, limits, states, where packets are sent, what is loaded
 * besides. And what does not belong into the operator's file, which is for filter rules.
 *
 * @param options whether options stand there, too: pfctl(8) does not print them with the rules of an instance
 */
export function pinned(ruleset: Ruleset, { options = true } = {}): readonly PfFlaw[] {
  const flaws = new Map<string, PfFlaw>();
  const add = (place: Place, message: string): void =>
    void flaws.set(`${place.file}:${place.line} ${message}`, { place, message });
  for (const [place, what] of notFilters(ruleset))
    if (isOperators(place)) add(place, `${what} stands here, and PF_RULES_FILE is for filter rules alone`);
  for (const { text, place } of ruleset.options) {
    const flaw = optionFlaw(text);
    if (flaw !== undefined) add(place, flaw);
  }
  for (const needed of options ? NEEDED : [])
    if (!ruleset.options.some(({ text }) => needed.test(text)))
      add(
        { file: ruleset.rules[0]?.place.file ?? 'etc/pf.conf', line: 1, column: 1 },
        `"${needed.source.replace(/[\^$]/g, '').trim()}" is missing: the policy wants it`,
      );
  for (const { place } of ruleset.ether)
    add(place, 'Ethernet rules decide before the others, and are not proved: no image has them');
  for (const { place, anchor, file } of ruleset.loads)
    add(place, `"load anchor ${anchor}" takes rules from ${file} on the instance, which nobody has proved`);
  for (const { place, name, files, counters } of ruleset.tables) {
    if (files.length > 0)
      add(
        place,
        `the table <${name}> takes its addresses from ${files.join(', ')} on the instance: list them here`,
      );
    // pfr_clstats_kentries() of pf_table.c, FreeBSD 15.1; docs/pf.md.
    if (counters && isOperators(place))
      add(
        place,
        `the table <${name}> has counters: a later file without them may stop the kernel of FreeBSD 15.1`,
      );
  }
  const all = allRules(ruleset.rules);
  for (const rules of [ruleset.rules, ...all.flatMap(({ inner }) => (inner ? [inner] : []))])
    for (const [earlier, rule] of alike(rules))
      add(
        rule.place,
        `FreeBSD may take it for the rule of ${earlier.place.file}:${earlier.place.line}, and leave one of them out: ${printRule(rule)}`,
      );
  for (const rule of all) {
    const anchored = rule.action.endsWith('anchor') && rule.anchor?.inline !== true;
    if (anchored && isOperators(rule.place))
      add(
        rule.place,
        `the anchor "${rule.anchor?.name ?? ''}" is filled on the instance, with rules that nobody has proved`,
      );
    for (const flaw of ruleFlaws(rule)) add(rule.place, `${flaw}: ${printRule(rule)}`);
  }
  return [...flaws.values()];
}
