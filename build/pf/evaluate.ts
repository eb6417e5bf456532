import { inboundRule } from './expand.js';
import { PROTO } from './names.js';
import { inside } from './ranges.js';
import type { Ip, Range } from './ranges.js';
import { concerns, isCalled, Resolver } from './resolve.js';
import type { World } from './resolve.js';
import type { Af, Comparison, InterfaceSpec, Options, Pool, Rule, Ruleset } from './types.js';

/** A packet that no state is known for, where it passes an interface. */
export interface Packet {
  readonly interface: string;
  readonly direction: 'in' | 'out';
  readonly af: Af;
  readonly proto: number;
  readonly src: Ip;
  readonly dst: Ip;
  readonly srcPort: number;
  readonly dstPort: number;
  readonly icmpType: number;
  readonly icmpCode: number;
  /** Of a packet that goes out: the interface that it came in on; none where the host itself sends it. */
  readonly receivedOn?: string | undefined;
  /** TCP flags as bits; those of a SYN where none are given. */
  readonly flags?: number;
  /** Whether it is a fragment that was not put together before the rules see it. */
  readonly fragment?: boolean;
}

export interface Verdict {
  readonly action: 'pass' | 'block';
  /** The rule that decided; none where the default did. */
  readonly rule?: Rule;
  /** The translation rule that applied, and the addresses after it. */
  readonly translation?: Rule;
  readonly src: Ip;
  readonly dst: Ip;
  readonly dstPort: number;
}

/**
 * What to make of conditions that cannot be known here (an operating system, a user, a probability): `open` takes the
 * way that lets more through, `closed` the one that lets less through.
 */
export type Leaning = 'open' | 'closed';

const SYN = 2;

/** A rule, ready to be compared with packets of one interface, direction and family. */
interface Compiled {
  readonly rule: Rule;
  readonly quick: boolean;
  readonly proto: number | undefined;
  readonly src: readonly Range[] | undefined;
  readonly srcNot: boolean;
  readonly dst: readonly Range[] | undefined;
  readonly dstNot: boolean;
  readonly srcPort: Comparison | undefined;
  readonly dstPort: Comparison | undefined;
  readonly icmpType: number | undefined;
  readonly icmpCode: number | undefined;
  /** Whether the rule matches depends on what is not known here. */
  readonly unknown: boolean;
  readonly flags: Options['flags'];
  /** Whether it is about fragments alone. */
  readonly fragment: boolean;
  /** Whether it looks at what fragments do not have, for the protocols that have it. */
  readonly whole: boolean;
  readonly tagged: Options['tagged'];
  /** Interfaces that the packet came in on, by name. */
  readonly receivedOn: { readonly names: ReadonlySet<string>; readonly not: boolean } | undefined;
  readonly inner: readonly Compiled[] | undefined;
}

/** Rules for packets of one interface, direction and family. */
interface Lists {
  readonly filters: readonly Compiled[];
  readonly translations: readonly Compiled[];
}

/** Decides about packets as pf(4) does: translation first, then the last filter rule that matches, or the first quick one. */
export class Evaluator {
  private readonly lists = new Map<string, Lists>();
  private last: (Pick<Packet, 'interface' | 'direction' | 'af'> & { readonly lists: Lists }) | undefined;
  private readonly resolver: Resolver;
  private readonly skipped: ReadonlySet<string>;
  constructor(
    private readonly ruleset: Ruleset,
    private readonly world: World,
  ) {
    this.resolver = new Resolver(ruleset, world);
    this.skipped = new Set(
      world.interfaces
        .filter((device) => ruleset.skip.some((name) => isCalled(device, name)))
        .map(({ name }) => name),
    );
  }

  decide(packet: Packet, leaning: Leaning = 'open'): Verdict {
    const unchanged = { src: packet.src, dst: packet.dst, dstPort: packet.dstPort };
    if (this.skipped.has(packet.interface)) return { action: 'pass', ...unchanged };
    const lists = this.rulesFor(packet);
    const translated =
      lists.translations.length > 0 ? this.translate(lists.translations, packet, leaning) : undefined;
    const seen = translated ? { ...packet, ...translated.address } : packet;
    const after = translated ? { translation: translated.rule, ...translated.address } : unchanged;
    if (translated?.rule.natPass === true) return { action: 'pass', ...after };
    const state: State = { last: undefined, tag: translated?.rule.options.tag };
    walk(lists.filters, seen, leaning, state);
    if (!state.last) return { action: this.world.defaultDrop ? 'block' : 'pass', ...after };
    const inline = state.last.options.natTo ?? state.last.options.rdrTo;
    const moved =
      inline && state.last.action === 'pass'
        ? this.move(seen, inline, state.last.options.natTo ? 'nat' : 'rdr')
        : undefined;
    return { action: state.last.action === 'pass' ? 'pass' : 'block', rule: state.last, ...after, ...moved };
  }

  /** The first translation rule that matches, and what it makes of the packet; none where it says `no`. */
  private translate(
    rules: readonly Compiled[],
    packet: Packet,
    leaning: Leaning,
  ): { rule: Rule; address: { src: Ip; dst: Ip; dstPort: number } } | undefined {
    for (const compiled of rules) {
      if (!matches(compiled, packet, leaning === 'open', undefined)) continue;
      const { rule } = compiled;
      if (rule.action.startsWith('no ') || !rule.pool) return undefined;
      const kind =
        rule.action === 'rdr' || (rule.action === 'binat' && packet.direction === 'in') ? 'rdr' : 'nat';
      return { rule, address: this.move(packet, rule.pool, kind) };
    }
    return undefined;
  }

  private move(packet: Packet, pool: Pool, kind: 'nat' | 'rdr'): { src: Ip; dst: Ip; dstPort: number } {
    const host = pool.hosts[0];
    const first = host ? this.resolver.ranges(host.address, packet.af)?.[0]?.[0] : undefined;
    // Where the new address is not known, the old one stays: rules about it are then met, not passed by.
    const address = first ?? (kind === 'nat' ? packet.src : packet.dst);
    return kind === 'nat'
      ? { src: address, dst: packet.dst, dstPort: packet.dstPort }
      : { src: packet.src, dst: address, dstPort: pool.port?.low ?? packet.dstPort };
  }

  /** The rules for packets like this one. Packets come in runs that differ in nothing that matters here. */
  private rulesFor(packet: Pick<Packet, 'interface' | 'direction' | 'af'>): Lists {
    const { last } = this;
    if (
      last &&
      last.interface === packet.interface &&
      last.direction === packet.direction &&
      last.af === packet.af
    )
      return last.lists;
    const key = packet.interface + packet.direction + packet.af;
    let lists = this.lists.get(key);
    if (!lists) {
      const of = (actions: ReadonlySet<string>): readonly Compiled[] =>
        this.compile(
          this.ruleset.rules.filter(({ action }) => actions.has(action)),
          packet,
        );
      const inbound = this.ruleset.rules.filter(({ action }) => INBOUND.has(action)).map(inboundRule);
      lists = {
        filters: of(FILTERS),
        translations: packet.direction === 'in' ? this.compile(inbound, packet) : of(OUTBOUND),
      };
      this.lists.set(key, lists);
    }
    this.last = { interface: packet.interface, direction: packet.direction, af: packet.af, lists };
    return lists;
  }

  private compile(
    rules: readonly Rule[],
    packet: Pick<Packet, 'interface' | 'direction' | 'af'>,
  ): Compiled[] {
    const device = this.world.interfaces.find(({ name }) => name === packet.interface) ?? {
      name: packet.interface,
      groups: [],
      addresses: [],
    };
    return rules.flatMap((rule): Compiled[] => {
      if (!concerns(rule, device, packet.direction, packet.af)) return [];
      const src = this.resolver.ranges(rule.from.address, packet.af);
      const dst = this.resolver.ranges(rule.to.address, packet.af);
      const { options } = rule;
      const unknown =
        hasHiddenCondition(rule) ||
        options.rtable !== undefined ||
        rule.from.address.kind === 'urpf-failed' ||
        rule.from.address.kind === 'no-route' ||
        rule.to.address.kind === 'no-route' ||
        rule.from.address.kind === 'hostname' ||
        rule.to.address.kind === 'hostname';
      return [
        {
          rule,
          quick: rule.quick,
          proto: rule.proto,
          src,
          srcNot: rule.from.not,
          dst,
          dstNot: rule.to.not,
          srcPort: rule.fromPort,
          dstPort: rule.toPort,
          icmpType: rule.icmp?.type,
          icmpCode: rule.icmp?.code,
          unknown,
          flags: options.flags && options.flags.of !== 0 ? options.flags : undefined,
          fragment: options.fragment === true,
          whole:
            rule.fromPort !== undefined ||
            rule.toPort !== undefined ||
            rule.icmp !== undefined ||
            rule.user !== undefined ||
            rule.group !== undefined ||
            rule.os !== undefined,
          tagged: options.tagged,
          receivedOn: options.receivedOn && this.called(options.receivedOn),
          inner: rule.action === 'anchor' ? this.compile(rule.inner ?? [], packet) : undefined,
        },
      ];
    });
  }

  /** The interfaces that a name stands for: the one of that name, whether it is there or not, and those of that group. */
  private called({ name, not }: InterfaceSpec): Compiled['receivedOn'] {
    const members = this.world.interfaces.filter((device) => isCalled(device, name));
    return { names: new Set([name, ...members.map((device) => device.name)]), not };
  }
}

const FILTERS = new Set(['pass', 'block', 'match', 'anchor']);
const INBOUND = new Set(['rdr', 'no rdr', 'binat', 'no binat']);
const OUTBOUND = new Set(['nat', 'no nat', 'binat', 'no binat']);

/** Whether a rule has a condition on what an address, a port and an interface do not tell. */
export function hasHiddenCondition({ os, user, group, options }: Rule): boolean {
  return (
    os !== undefined ||
    user !== undefined ||
    group !== undefined ||
    options.probability !== undefined ||
    options.tos !== undefined ||
    options.prio !== undefined ||
    options.maxPktRate !== undefined ||
    options.maxPktSize !== undefined
  );
}

interface State {
  last: Rule | undefined;
  tag: string | undefined;
}

/** Goes through filter rules; true once a quick one has decided. */
function walk(rules: readonly Compiled[], packet: Packet, leaning: Leaning, state: State): boolean {
  for (const compiled of rules) {
    const { rule } = compiled;
    // A pass rule that may match lets more through if it does; a block rule if it does not.
    const unknownMatches = (rule.action === 'block') === (leaning === 'closed');
    if (!matches(compiled, packet, unknownMatches, state.tag)) continue;
    if (compiled.inner) {
      const before = state.last;
      if (walk(compiled.inner, packet, leaning, state)) return true;
      // A quick anchor decides if a rule in it did.
      if (compiled.quick && state.last !== before) return true;
      continue;
    }
    if (rule.options.tag !== undefined) state.tag = rule.options.tag;
    if (rule.action === 'match') continue;
    state.last = rule;
    if (compiled.quick) return true;
  }
  return false;
}

function matches(rule: Compiled, packet: Packet, unknownMatches: boolean, tag: string | undefined): boolean {
  if (rule.proto !== undefined && rule.proto !== packet.proto) return false;
  const fragment = packet.fragment === true;
  if (fragment ? rule.whole : rule.fragment) return false;
  if (rule.flags && packet.proto === PROTO.tcp) {
    if (fragment || ((packet.flags ?? SYN) & rule.flags.of) !== rule.flags.set) return false;
  }
  if (rule.dstPort !== undefined && !compare(rule.dstPort, packet.dstPort)) return false;
  if (rule.src !== undefined && inside(rule.src, packet.src) === rule.srcNot) return false;
  if (rule.dst !== undefined && inside(rule.dst, packet.dst) === rule.dstNot) return false;
  if (rule.srcPort !== undefined && !compare(rule.srcPort, packet.srcPort)) return false;
  if (
    rule.icmpType !== undefined &&
    (rule.icmpType !== packet.icmpType || (rule.icmpCode !== undefined && rule.icmpCode !== packet.icmpCode))
  )
    return false;
  if (rule.tagged && (rule.tagged.name === tag) === rule.tagged.not) return false;
  if (rule.receivedOn && cameInOn(packet, rule.receivedOn.names) === rule.receivedOn.not) return false;
  return !rule.unknown || unknownMatches;
}

/** pf_match_rcvif() of sys/netpfil/pf/pf.c: what the host itself sends came in on no interface. */
function cameInOn(packet: Packet, names: ReadonlySet<string>): boolean {
  const name = packet.direction === 'in' ? packet.interface : packet.receivedOn;
  return name !== undefined && names.has(name);
}

/** pf_match() of sys/netpfil/pf/pf.c. */
export function compare({ op, low, high }: Comparison, value: number): boolean {
  switch (op) {
    case '=':
      return value === low;
    case '!=':
      return value !== low;
    case '<':
      return value < low;
    case '<=':
      return value <= low;
    case '>':
      return value > low;
    case '>=':
      return value >= low;
    case '><':
      return value > low && value < high;
    case '<>':
      return value < low || value > high;
    default:
      return value >= low && value <= high;
  }
}
