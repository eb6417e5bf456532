import type { Conditions } from './cells.js';
import { compare, flagRanges, portRanges } from './compare.js';
import { inboundRule, TRANSLATIONS } from './expand.js';
import { FIELD, NO, YES } from './fields.js';
import type { Fields, Place } from './fields.js';
import { inForce } from './in-force.js';
import { PROTO } from './names.js';
import { intersect, SPAN, subtract, union } from './ranges.js';
import type { Ip, Ranges } from './ranges.js';
import { concerns, hasHiddenCondition, isCalled, isFilled, looksInside } from './resolve.js';
import type { Resolver, World } from './resolve.js';
import type { Host, Options, Rule, Ruleset } from './types.js';

export { flagRanges } from './compare.js';
export { dynamicTables, FIELD, Fields, NO, YES } from './fields.js';
export type { Place } from './fields.js';

/**
 * A rule as what it wants of packets at one place. A rule is several lines where one box does not say it. A quick anchor is
 * a line behind those of its rules: there it ends, whether one of them matched or not (pf_match_rule() of pf.c).
 */
export interface Line {
  readonly rule: Rule;
  readonly conditions: Conditions;
  readonly quick: boolean;
  /** Whether it matches depends on what is not modelled, too. */
  readonly unknown: boolean;
  readonly tagged: readonly NonNullable<Options['tagged']>[];
}

/** Translation and filter rules for the packets of one place, as lines. */
export function linesAt(
  ruleset: Ruleset,
  world: World,
  resolver: Resolver,
  fields: Fields,
  place: Place,
): { readonly translations: readonly Line[]; readonly filters: readonly Line[] } {
  const compiler = new Compiler(world, resolver, fields, place);
  const of = (...actions: readonly string[]): readonly Line[] =>
    compiler.lines(
      inForce(ruleset.rules)
        .filter(({ action }) => actions.includes(action))
        .map((rule) => (place.direction === 'in' ? inboundRule(rule) : rule)),
    );
  const [first, second] = TRANSLATIONS[place.direction];
  return {
    translations: [...of(first, `no ${first}`), ...of(second, `no ${second}`)],
    filters: of('pass', 'block', 'match', 'anchor'),
  };
}

/**
 * Whether a place sees fragments: not where a scrub rule puts all of them together, and those of IPv6 not where there is no scrub
 * rule either (pf_normalize_ip(), pf_normalize_ip6() of pf_norm.c).
 */
export function seesFragments(ruleset: Ruleset, world: World, place: Place): boolean {
  const device = world.interfaces.find(({ name }) => name === place.interface) ?? {
    name: place.interface,
    groups: [],
    addresses: [],
  };
  const scrubs = ruleset.rules.filter(({ action }) => action === 'scrub' || action === 'no scrub');
  if (scrubs.length === 0) return place.af === 'inet';
  for (const rule of scrubs) {
    if (!concerns(rule, device, place.direction, place.af)) continue;
    const any =
      rule.proto === undefined &&
      rule.from.address.kind === 'any' &&
      !rule.from.not &&
      rule.to.address.kind === 'any' &&
      !rule.to.not &&
      rule.options.tagged === undefined;
    // The first that matches decides: of one that matches some only, nobody knows.
    return !(any && rule.action === 'scrub' && rule.options.scrub?.fragmentReassemble === true);
  }
  return true;
}

const ONES: readonly Ranges[] = Array.from({ length: 256 }, (_, value) => [[value, value]]);
const one = (value: number): Ranges => ONES[value] ?? [[value, value]];
const TCP = one(PROTO.tcp);
const NOT_TCP = subtract([[0, 255]], TCP);

class Compiler {
  private readonly device;

  constructor(
    private readonly world: World,
    private readonly resolver: Resolver,
    private readonly fields: Fields,
    private readonly place: Place,
  ) {
    this.device = world.interfaces.find(({ name }) => name === place.interface) ?? {
      name: place.interface,
      groups: [],
      addresses: [],
    };
  }

  lines(rules: readonly Rule[]): readonly Line[] {
    return rules.flatMap((rule): readonly Line[] => {
      if (!concerns(rule, this.device, this.place.direction, this.place.af)) return [];
      const own = this.ofRule(rule);
      if (rule.action !== 'anchor') return own;
      const inner = this.lines(inForce(rule.inner ?? []));
      const within = inner.flatMap((line) =>
        own.flatMap((outer): readonly Line[] => {
          const conditions = both(outer.conditions, line.conditions);
          return conditions
            ? [
                {
                  ...line,
                  conditions,
                  unknown: line.unknown || outer.unknown,
                  tagged: [...outer.tagged, ...line.tagged],
                },
              ]
            : [];
        }),
      );
      return rule.quick && !isFilled(rule) ? [...within, ...own] : within;
    });
  }

  private ofRule(rule: Rule): readonly Line[] {
    const { options } = rule;
    const conditions: (Ranges | undefined)[] = [];
    if (rule.proto !== undefined) conditions[FIELD.proto] = one(rule.proto);
    if (options.receivedOn && this.place.direction === 'out') {
      const { name, not } = options.receivedOn;
      const members = this.fields.receivedOn([
        name,
        ...this.world.interfaces.filter((device) => isCalled(device, name)).map((device) => device.name),
      ]);
      const all = this.fields.spans[FIELD.receivedOn];
      conditions[FIELD.receivedOn] = not && all ? subtract([all], members) : members;
    }
    if (options.receivedOn && this.place.direction === 'in') {
      const { name, not } = options.receivedOn;
      if (isCalled(this.device, name) === not) return [];
    }
    if (options.fragment === true) conditions[FIELD.fragment] = YES;
    else if (looksInside(rule)) conditions[FIELD.fragment] = NO;
    if (rule.icmp) {
      conditions[FIELD.type] = one(rule.icmp.type);
      if (rule.icmp.code !== undefined) conditions[FIELD.code] = one(rule.icmp.code);
    }
    if (rule.fromPort) conditions[FIELD.srcPort] = portRanges(rule.fromPort);
    if (rule.toPort) conditions[FIELD.dstPort] = portRanges(rule.toPort);
    const unresolved = [this.peer(rule.from, 'src', conditions), this.peer(rule.to, 'dst', conditions)];
    const line: Line = {
      rule,
      conditions,
      quick: rule.quick,
      unknown: hasHiddenCondition(rule) || options.rtable !== undefined || unresolved.includes(true),
      tagged: options.tagged ? [options.tagged] : [],
    };
    return withFlags(line, options.flags).flatMap(withFragments);
  }

  /** What a rule wants of an address; whether that is not known. */
  private peer(host: Host, end: 'src' | 'dst', conditions: (Ranges | undefined)[]): boolean {
    const { address, not } = host;
    const field = address.kind === 'table' ? this.fields.table(address.name, end) : undefined;
    if (field !== undefined) {
      conditions[field] = not ? NO : YES;
      return false;
    }
    const ranges = this.fields.hosts.get(host) ?? this.wanted(host);
    if (ranges) {
      this.fields.hosts.set(host, ranges);
      conditions[FIELD[end]] = ranges;
      return false;
    }
    // "not any" is nobody.
    if (address.kind === 'any') {
      if (not) conditions[FIELD[end]] = [];
      return false;
    }
    return true;
  }

  /** The addresses that a rule wants; undefined where it wants any, or where they are not known. */
  private wanted({ address, not }: Host): Ranges | undefined {
    const ranges = this.resolver.ranges(address, this.place.af);
    return ranges && (not ? subtract([SPAN[this.place.af]], ranges) : union(ranges));
  }
}

/**
 * A rule about flags looks at those of TCP, and at no fragment of it; to other protocols they are nothing. That is two
 * boxes where it names no protocol.
 */
function withFlags(line: Line, flags: Options['flags']): readonly Line[] {
  if (!flags || flags.of === 0) return [line];
  const { conditions } = line;
  const { proto } = line.rule;
  const tcp = proto === undefined || proto === PROTO.tcp;
  const put = (changes: Readonly<Record<number, Ranges>>): Line => {
    const changed = [...conditions];
    for (const [field, ranges] of Object.entries(changes)) changed[Number(field)] = ranges;
    return { ...line, conditions: changed };
  };
  return [
    ...(tcp && conditions[FIELD.fragment] !== YES
      ? [put({ [FIELD.proto]: TCP, [FIELD.fragment]: NO, [FIELD.flags]: flagRanges(flags) })]
      : []),
    ...(proto === PROTO.tcp ? [] : [proto === undefined ? put({ [FIELD.proto]: NOT_TCP }) : line]),
  ];
}

/** To a rule that translates, ports of a fragment are 0: that is another box, where it takes them. */
function withFragments(line: Line): readonly Line[] {
  const { rule, conditions } = line;
  const ports = [rule.fromPort, rule.toPort].filter((port) => port !== undefined);
  if (ports.length === 0 || looksInside(rule)) return [line];
  const put = (changes: Readonly<Record<number, Ranges | undefined>>): Line => ({
    ...line,
    conditions: Object.assign([...conditions], changes),
  });
  return [
    put({ [FIELD.fragment]: NO }),
    ...(ports.every((port) => compare(port, 0))
      ? [put({ [FIELD.fragment]: YES, [FIELD.srcPort]: undefined, [FIELD.dstPort]: undefined })]
      : []),
  ];
}

/** What both want; undefined where that is nothing. */
export function both(left: Conditions, right: Conditions): Conditions | undefined {
  const result: (Ranges | undefined)[] = [];
  for (let field = 0; field < Math.max(left.length, right.length); field++) {
    const [a, b] = [left[field], right[field]];
    const ranges = a && b ? intersect(a, b) : (a ?? b);
    if (!ranges) continue;
    if (ranges.length === 0) return undefined;
    result[field] = ranges;
  }
  return result;
}

/** What a value of a field is in conditions: whether they hold for one packet. */
export function holds(conditions: Conditions, values: readonly Ip[]): boolean {
  return conditions.every((ranges, field) => {
    const value = values[field];
    return !ranges || (value !== undefined && ranges.some(([low, high]) => value >= low && value <= high));
  });
}
