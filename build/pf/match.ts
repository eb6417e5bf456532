import { compare } from './compare.js';
import { PROTO } from './names.js';
import { inside } from './ranges.js';
import type { Ip, Range } from './ranges.js';
import type { Af, Comparison, Options, Rule } from './types.js';

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

/**
 * What to make of conditions that cannot be known here (an operating system, a user, a probability): `open` takes the
 * way that lets more through, `closed` the one that lets less through.
 */
export type Leaning = 'open' | 'closed';

const SYN = 2;

/** A rule, ready to be compared with packets of one interface, direction and family. */
export interface Compiled {
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

/** What filter rules have said of a packet so far. */
export interface State {
  last: Rule | undefined;
  tag: string | undefined;
}

/** Goes through filter rules; true once a quick one has decided. */
export function walk(rules: readonly Compiled[], packet: Packet, leaning: Leaning, state: State): boolean {
  for (const compiled of rules) {
    const { rule } = compiled;
    // A pass rule that may match lets more through if it does; a block rule if it does not.
    const unknownMatches = (rule.action === 'block') === (leaning === 'closed');
    if (!matches(compiled, packet, unknownMatches, state.tag)) continue;
    if (rule.options.tag !== undefined) state.tag = rule.options.tag;
    if (compiled.inner) {
      // A quick anchor ends it, whether a rule in it matched or not (pf_match_rule() of pf.c).
      if (walk(compiled.inner, packet, leaning, state) || compiled.quick) return true;
      continue;
    }
    // A quick match rule ends it, too, and leaves what was said before.
    if (rule.action !== 'match') state.last = rule;
    if (compiled.quick) return true;
  }
  return false;
}

/** Whether a packet is one that a rule is about, as far as that is known. */
export function matches(
  rule: Compiled,
  packet: Packet,
  unknownMatches: boolean,
  tag: string | undefined,
): boolean {
  if (rule.proto !== undefined && rule.proto !== packet.proto) return false;
  const fragment = packet.fragment === true;
  if (fragment ? rule.whole : rule.fragment) return false;
  if (rule.flags && packet.proto === PROTO.tcp) {
    if (fragment || ((packet.flags ?? SYN) & rule.flags.of) !== rule.flags.set) return false;
  }
  if (rule.dstPort !== undefined && !compare(rule.dstPort, fragment ? 0 : packet.dstPort)) return false;
  if (rule.src !== undefined && inside(rule.src, packet.src) === rule.srcNot) return false;
  if (rule.dst !== undefined && inside(rule.dst, packet.dst) === rule.dstNot) return false;
  if (rule.srcPort !== undefined && !compare(rule.srcPort, fragment ? 0 : packet.srcPort)) return false;
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
