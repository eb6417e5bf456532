import { formatIp, WIDTH } from './address.js';
import { isMany } from './families.js';
import {
  adaptiveOf,
  icmpCodeName,
  icmpTypeName,
  PROTOCOL_NAMES,
  PROXY_PORTS,
  serviceName,
  TCP_FLAGS,
  TIMEOUTS,
} from './names.js';
import type { Comparison, Host, Pool, Rule, Ruleset, ScrubOptions } from './types.js';

/** An address in the form of pfctl (print_addr()). */
export function printAddress(host: Host): string {
  const { address } = host;
  const bits = (prefix: number | undefined, width: number): string =>
    prefix === undefined || prefix === width ? '' : `/${prefix}`;
  switch (address.kind) {
    case 'any':
      return 'any';
    case 'net':
      return address.prefix === 0
        ? 'any'
        : `${formatIp(address.af, address.base)}${bits(address.prefix, WIDTH[address.af])}`;
    case 'range':
      return `${formatIp(address.af, address.low)} - ${formatIp(address.af, address.high)}`;
    case 'dynamic':
      return `(${[address.name, ...address.modifiers].join(':')})${bits(address.prefix, 128)}`;
    case 'interface':
      return `${[address.name, ...address.modifiers].join(':')}${bits(address.prefix, 128)}`;
    case 'hostname':
      return `${address.name}${bits(address.prefix, 128)}`;
    case 'table':
      return `<${address.name}>`;
    default:
      return address.kind;
  }
}

function printComparison(comparison: Comparison, name: (value: number) => string): string {
  const { op, low, high } = comparison;
  if (op === ':') return ` ${low}:${high}`;
  if (op === '<>' || op === '><') return ` ${low} ${op} ${high}`;
  return ` ${op} ${op === '=' || op === '!=' ? name(low) : String(low)}`;
}

/** `unknown` is UID_MAX, which pfctl prints as a number. */
const identityName = (id: number): string => String(id === -1 ? 0xffffffff : id);

function printPeer(host: Host, port?: Comparison, proto?: number): string {
  const portName = (number: number): string => serviceName(number, proto) ?? String(number);
  return `${host.not ? '! ' : ''}${printAddress(host)}${port ? ` port${printComparison(port, portName)}` : ''}`;
}

/** `low:*` is as many ports as the rule is about (print_pool()). */
function printPoolPort(port: NonNullable<Pool['port']>, matched: Comparison | undefined): string {
  const { low, high } = port;
  if (high !== '*') return high === low ? String(low) : `${low}:${high}`;
  return matched?.op === ':' ? `${low}:${low + matched.high - matched.low}` : `${low}:*`;
}

function printPool(pool: Pool, action: 'nat' | 'rdr' | 'binat' | 'route', matched?: Comparison): string {
  const items = pool.hosts.map((host, index) => {
    const device = pool.interfaces[index];
    if (device === undefined) return printAddress(host);
    return host.address.kind === 'any' ? device : `(${device} ${printAddress(host)})`;
  });
  const dynamic = pool.hosts.some(({ address }) => address.kind === 'table' || isMany(address));
  const roundRobin = action !== 'binat' && pool.type === undefined && (pool.hosts.length > 1 || dynamic);
  const words = [items.length > 1 ? `{ ${items.join(', ')} }` : items.join('')];
  const { port } = pool;
  if (port && !(action === 'nat' && port.low === PROXY_PORTS.low && port.high === PROXY_PORTS.high)) {
    words.push(`port ${printPoolPort(port, matched)}`);
  }
  if (pool.type !== undefined || roundRobin)
    words.push(`${pool.type ?? 'round-robin'}${pool.key === undefined ? '' : ` ${pool.key}`}`);
  if (pool.sticky === true) words.push('sticky-address');
  if (pool.staticPort === true) words.push('static-port');
  if (pool.endpointIndependent === true) words.push('endpoint-independent');
  if (pool.preferIpv6Nexthop === true) words.push('prefer-ipv6-nexthop');
  if (pool.mape) words.push(`map-e-portset ${pool.mape.join('/')}`);
  return words.join(' ');
}

function flagLetters(bits: number): string {
  return Array.from(TCP_FLAGS)
    .filter((_, index) => (bits & (1 << index)) !== 0)
    .join('');
}

const hex = (value: number): string => `0x${value.toString(16).padStart(2, '0')}`;

function printBlock(rule: Rule): string {
  const { block, af } = rule;
  if (!block || block.kind === 'drop') return 'block drop';
  if (block.kind === 'return') return 'block return';
  if (block.kind === 'return-rst')
    return block.ttl === undefined || block.ttl === 0
      ? 'block return-rst'
      : `block return-rst(ttl ${block.ttl})`;
  const four = (block.icmp ?? 0) & 255;
  const six = (block.icmp6 ?? 0) & 255;
  const name4 = icmpCodeName('inet', (block.icmp ?? 0) >> 8, four) ?? String(four);
  const name6 = icmpCodeName('inet6', (block.icmp6 ?? 0) >> 8, six) ?? String(six);
  if (af === 'inet') return `block return-icmp(${name4})`;
  return af === 'inet6' ? `block return-icmp6(${name6})` : `block return-icmp(${name4}, ${name6})`;
}

function printState(rule: Rule): string {
  const { options } = rule;
  const { state, keep } = options;
  const words: string[] = [];
  if (keep === undefined || keep === 'none') {
    if (rule.action === 'pass') words.push('no state');
  } else words.push(`${keep} state`);
  if (options.probability !== undefined)
    words.push(`probability ${String(Number((options.probability * 100).toFixed(6)))}%`);
  const list: string[] = [];
  if (state.max !== undefined) list.push(`max ${state.max}`);
  if (state.noSync === true) list.push('no-sync');
  const ruleTrack =
    state.maxSrcConn !== undefined ||
    state.maxSrcConnRate !== undefined ||
    state.maxSrcNodes !== undefined ||
    state.sourceTrack === 'rule';
  if (ruleTrack || state.sourceTrack !== undefined || state.maxSrcStates !== undefined)
    list.push(`source-track ${ruleTrack ? 'rule' : 'global'}`);
  if (state.maxSrcStates !== undefined) list.push(`max-src-states ${state.maxSrcStates}`);
  if (state.maxSrcConn !== undefined) list.push(`max-src-conn ${state.maxSrcConn}`);
  if (state.maxSrcConnRate)
    list.push(`max-src-conn-rate ${state.maxSrcConnRate.limit}/${state.maxSrcConnRate.seconds}`);
  if (state.maxSrcNodes !== undefined) list.push(`max-src-nodes ${state.maxSrcNodes}`);
  if (state.overload)
    list.push(
      `overload <${state.overload.table}>${state.overload.flush ? ' flush' : ''}${state.overload.global ? ' global' : ''}`,
    );
  if (state.lock === 'if-bound') list.push('if-bound');
  if (state.sloppy === true) list.push('sloppy');
  if (state.pflow === true) list.push('pflow');
  const timeouts = { ...state.timeouts };
  if (
    state.max !== undefined &&
    timeouts['adaptive.start'] === undefined &&
    timeouts['adaptive.end'] === undefined
  ) {
    Object.assign(timeouts, adaptiveOf(state.max));
  }
  if (state.maxSrcConnRate && (timeouts['src.track'] ?? 0) < state.maxSrcConnRate.seconds)
    timeouts['src.track'] = state.maxSrcConnRate.seconds;
  for (const name of TIMEOUTS) if (timeouts[name] !== undefined) list.push(`${name} ${timeouts[name]}`);
  if (list.length > 0) words.push(`(${list.join(', ')})`);
  return words.join(' ');
}

/** What normalisation does: of a `scrub` rule, or, in another order, of another one. */
function printScrub(scrub: ScrubOptions, old: boolean): string[] {
  const words: string[] = [];
  if (scrub.noDf === true) words.push('no-df');
  if (scrub.randomId === true) words.push('random-id');
  if (scrub.minTtl !== undefined) words.push(`min-ttl ${scrub.minTtl}`);
  const mss = scrub.maxMss === undefined ? [] : [`max-mss ${scrub.maxMss}`];
  if (old) words.push(...mss);
  if (scrub.setTos !== undefined) words.push(`set-tos ${hex(scrub.setTos)}`);
  if (scrub.reassembleTcp === true) words.push('reassemble tcp');
  if (!old) words.push(...mss);
  return words;
}

/** A rule as `pfctl -nv` writes it (print_rule() of sbin/pfctl/pfctl_parser.c), without its inner rules. */
export function printRule(rule: Rule): string {
  const { action, options } = rule;
  const anchored = action === 'anchor' || action.endsWith('-anchor');
  const words: string[] = [action === 'block' ? printBlock(rule) : action];
  if (anchored && rule.anchor && rule.anchor.name !== '') words.push(`"${rule.anchor.name}"`);
  if (rule.natPass === true) words.push('pass');
  if (rule.direction) words.push(rule.direction);
  if (rule.log) {
    const parts = [
      ...(rule.log.all ? ['all'] : []),
      ...(rule.log.matches ? ['matches'] : []),
      ...(rule.log.user ? ['user'] : []),
      ...(rule.log.to > 0 ? [`to pflog${rule.log.to}`] : []),
    ];
    words.push(parts.length > 0 ? `log (${parts.join(', ')})` : 'log');
  }
  if (rule.quick) words.push('quick');
  if (rule.interface) words.push('on', `${rule.interface.not ? '! ' : ''}${rule.interface.name}`);
  if (rule.route) words.push(rule.route.kind, printPool(rule.route.pool, 'route'));
  if (rule.af) words.push(rule.af);
  if (rule.proto !== undefined) words.push('proto', PROTOCOL_NAMES.get(rule.proto) ?? String(rule.proto));
  const any = (host: Host): boolean => printPeer(host) === 'any';
  if (any(rule.from) && any(rule.to) && !rule.fromPort && !rule.toPort && rule.os === undefined)
    words.push('all');
  else {
    words.push('from', printPeer(rule.from, rule.fromPort, rule.proto));
    if (rule.os !== undefined) words.push(`os "${rule.os}"`);
    words.push('to', printPeer(rule.to, rule.toPort, rule.proto));
  }
  if (options.receivedOn)
    words.push(`${options.receivedOn.not ? '!' : ''}received-on ${options.receivedOn.name}`);
  if (rule.user) words.push(`user${printComparison(rule.user, identityName)}`);
  if (rule.group) words.push(`group${printComparison(rule.group, identityName)}`);
  const stateful = options.keep !== undefined && options.keep !== 'none';
  if (options.flags && (options.flags.set !== 0 || options.flags.of !== 0))
    words.push('flags', `${flagLetters(options.flags.set)}/${flagLetters(options.flags.of)}`);
  else if (
    action === 'pass' &&
    (rule.proto === undefined || rule.proto === 6) &&
    options.fragment !== true &&
    stateful
  )
    words.push('flags any');
  if (rule.icmp) {
    const { family, type, code } = rule.icmp;
    words.push(family === 'inet' ? 'icmp-type' : 'icmp6-type', icmpTypeName(family, type) ?? String(type));
    if (code !== undefined) words.push('code', icmpCodeName(family, type, code) ?? String(code));
  }
  if (options.tos !== undefined) words.push('tos', hex(options.tos));
  if (options.prio !== undefined) words.push('prio', String(options.prio));
  if (options.maxPktRate)
    words.push(`max-pkt-rate ${options.maxPktRate.limit}/${options.maxPktRate.seconds}`);
  if (options.maxPktSize !== undefined) words.push(`max-pkt-size ${options.maxPktSize}`);
  const sets = [
    ...(options.setPrio
      ? [
          options.setPrio[0] === options.setPrio[1]
            ? `prio ${options.setPrio[0]}`
            : `prio(${options.setPrio[0]}, ${options.setPrio[1]})`,
        ]
      : []),
    ...(options.setTos === undefined ? [] : [`tos ${hex(options.setTos)}`]),
  ];
  if (sets.length > 0) words.push(`set ( ${sets.join(', ')} )`);
  if (!anchored) {
    const state = printState(rule);
    if (state !== '') words.push(state);
  }
  if (options.allowOpts === true) words.push('allow-opts');
  if (options.fragment === true) words.push('fragment');
  if (action === 'scrub')
    words.push(
      ...printScrub(options.scrub ?? {}, true),
      options.scrub?.fragmentReassemble === false ? 'fragment no reassemble' : 'fragment reassemble',
    );
  else if (action !== 'no scrub' && options.scrub && Object.keys(options.scrub).length > 0)
    words.push(`scrub( ${printScrub(options.scrub, false).join(' ')})`);
  for (const label of options.labels) if (label !== '') words.push(`label "${label}"`);
  if (options.ridentifier !== undefined) words.push(`ridentifier ${options.ridentifier}`);
  if (options.dnpipe)
    words.push(
      options.dnpipe.numbers.length > 1
        ? `${options.dnpipe.kind}(${options.dnpipe.numbers.join(', ')})`
        : `${options.dnpipe.kind} ${options.dnpipe.numbers.join('')}`,
    );
  if (options.queue)
    words.push(
      options.queue.length > 1 ? `queue(${options.queue.join(', ')})` : `queue ${options.queue.join('')}`,
    );
  if (options.tag !== undefined) words.push(`tag ${options.tag}`);
  if (options.tagged) words.push(`${options.tagged.not ? '! ' : ''}tagged ${options.tagged.name}`);
  if (options.rtable !== undefined) words.push(`rtable ${options.rtable}`);
  if (options.divertTo !== undefined) words.push(`divert-to ${options.divertTo}`);
  if (options.natTo) words.push('nat-to', printPool(options.natTo, 'nat'));
  if (options.rdrTo) words.push('rdr-to', printPool(options.rdrTo, 'rdr'));
  if (options.afTo)
    words.push(
      `af-to ${options.afTo.af} from ${printPool(options.afTo.from, 'nat')}${options.afTo.to ? ` to ${printPool(options.afTo.to, 'nat')}` : ''}`,
    );
  if (rule.pool && (action === 'nat' || action === 'rdr' || action === 'binat'))
    words.push('->', printPool(rule.pool, action, rule.toPort));
  return words.join(' ');
}

/** What is in an anchor stands behind the first of the rules that its line is expanded to (pfctl_load_ruleset() of pfctl.c). */
function printRules(rules: readonly Rule[], indent: string): string[] {
  let before: Rule['place'] | undefined;
  return rules.flatMap((rule) => {
    const line = indent + printRule(rule);
    const first = rule.place !== before;
    before = rule.place;
    return rule.inner && first
      ? [`${line} {`, ...printRules(rule.inner, `${indent}  `), `${indent}}`]
      : [line];
  });
}

/** The lists of rules, in the order of pfctl_rules() of pfctl.c. */
const LISTS = ['nat', 'rdr', 'binat', 'filter'];

function listOf({ action }: Rule): string {
  const name = action.replace(/^no |-anchor$/g, '');
  return LISTS.includes(name) || name === 'scrub' ? name : 'filter';
}

/**
 * A rule set as `pfctl -o none -nv` prints it: macros, options and tables as they are read, then the rules with macros
 * and lists resolved. What reads it again gets the same rules.
 */
export function printRuleset(ruleset: Ruleset): string {
  const lines = [
    ...ruleset.said,
    ...ruleset.ether.map(({ text }) => text),
    ...printRules(
      ruleset.rules.filter((rule) => listOf(rule) === 'scrub'),
      '',
    ),
    ...ruleset.queues.map(({ text }) => text),
    ...LISTS.flatMap((list) =>
      printRules(
        ruleset.rules.filter((rule) => listOf(rule) === list),
        '',
      ),
    ),
    ...ruleset.loads.map(({ anchor, file }) => `load anchor "${anchor}" from "${file}"`),
  ];
  return lines.map((line) => `${line}\n`).join('');
}
