import { bounds, parseNet } from './address.js';
import { PROTO } from './names.js';
import { printRule } from './print.js';
import type { Address, Af, Comparison, Host, InterfaceSpec, Options, Pool, Rule, Ruleset } from './types.js';

/** An address as a number: an ordinary one for IPv4, a bigint for IPv6. */
export type Ip = number | bigint;

/** An inclusive range of addresses. */
type Range = readonly [Ip, Ip];

/** An interface of the host that the rules are for. Addresses are written `address/prefix`. */
export interface WorldInterface {
  readonly name: string;
  readonly groups: readonly string[];
  readonly addresses: readonly string[];
}

/** What the rules meet: interfaces with their addresses, and what is in tables beyond their definitions. */
export interface World {
  readonly interfaces: readonly WorldInterface[];
  readonly tables: Readonly<Record<string, readonly string[]>>;
  /** net.pf.default_to_drop: what happens to a packet that no rule matches. */
  readonly defaultDrop: boolean;
}

/** The first packet of a connection, where it passes an interface. */
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
  /** Whether its TCP flags are none that a SYN has. */
  readonly notSyn: boolean;
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
  private readonly devices: readonly {
    readonly device: WorldInterface;
    readonly nets: readonly Extract<Address, { kind: 'net' }>[];
  }[];
  private readonly skipped: ReadonlySet<string>;
  private readonly tables = new Map<
    string,
    { readonly inet: readonly Range[]; readonly inet6: readonly Range[] }
  >();

  constructor(
    private readonly ruleset: Ruleset,
    private readonly world: World,
  ) {
    this.devices = world.interfaces.map((device) => ({
      device,
      nets: device.addresses.flatMap((text) => parseNet(text) ?? []),
    }));
    this.skipped = new Set(
      world.interfaces
        .filter((device) => ruleset.skip.some((name) => isCalled(device, name)))
        .map(({ name }) => name),
    );
    for (const table of ruleset.tables) {
      const hosts = (af: Af): Range[] => {
        const listed = table.hosts.flatMap((host) => (host.not ? [] : (this.ranges(host.address, af) ?? [])));
        const holes = table.hosts.flatMap((host) => (host.not ? (this.ranges(host.address, af) ?? []) : []));
        const more = (world.tables[table.name] ?? []).flatMap((text) => netRange(text, af));
        return subtract([...listed, ...more], holes);
      };
      this.tables.set(table.name, { inet: hosts('inet'), inet6: hosts('inet6') });
    }
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

  /**
   * All that decides about packets of an interface, direction and family, as text: where it is the same for two rule
   * sets in two worlds, every packet meets the same there.
   */
  signature(crossing: Pick<Packet, 'interface' | 'direction' | 'af'>): string {
    if (this.skipped.has(crossing.interface)) return 'skipped';
    const { filters, translations } = this.rulesFor(crossing);
    const text = (compiled: Compiled): string => {
      const { rule, src, dst, inner } = compiled;
      const pool = (rule.pool ?? rule.options.natTo ?? rule.options.rdrTo)?.hosts
        .map(({ address }) => String(this.ranges(address, crossing.af)))
        .join(';');
      const received = compiled.receivedOn && [...compiled.receivedOn.names].sort();
      return [rule.quick, printed(rule), src, dst, pool, received, ...(inner ?? []).map(text)].join('|');
    };
    return [...translations, ...filters].map(text).join('\n');
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
    const first = host ? this.ranges(host.address, packet.af)?.[0]?.[0] : undefined;
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
      lists = { filters: of(FILTERS), translations: of(packet.direction === 'in' ? INBOUND : OUTBOUND) };
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
      const src = this.ranges(rule.from.address, packet.af);
      const dst = this.ranges(rule.to.address, packet.af);
      const { options } = rule;
      const unknown =
        hasHiddenCondition(rule) ||
        options.rtable !== undefined ||
        rule.from.address.kind === 'urpf-failed' ||
        rule.from.address.kind === 'no-route' ||
        rule.to.address.kind === 'no-route' ||
        rule.from.address.kind === 'hostname' ||
        rule.to.address.kind === 'hostname';
      if (options.fragment === true) return []; // fragments are put together before they are filtered
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
          // Packets stand for the first of a connection.
          notSyn: options.flags !== undefined && (SYN & options.flags.of) !== options.flags.set,
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

  /** The addresses of the family that an address of a rule stands for; undefined for any. */
  private ranges(address: Address, af: Af): readonly Range[] | undefined {
    switch (address.kind) {
      case 'net':
        return address.af === af ? [toRange(af, ...bounds(af, address.base, address.prefix))] : [];
      case 'range':
        return address.af === af ? [toRange(af, address.low, address.high)] : [];
      case 'table':
        return this.tables.get(address.name)?.[af] ?? [];
      case 'dynamic':
      case 'interface':
        return this.interfaceRanges(address.name, address.modifiers, address.prefix, af);
      default:
        return undefined;
    }
  }

  private interfaceRanges(
    name: string,
    modifiers: readonly string[],
    prefix: number | undefined,
    af: Af,
  ): Range[] {
    const devices = this.devices.filter(({ device }) => name === 'self' || isCalled(device, name));
    return devices.flatMap(({ nets: own }) => {
      const nets = own.filter((net) => net.af === af);
      const chosen = modifiers.includes('0') ? nets.slice(0, 1) : nets;
      return chosen.flatMap((net): Range[] => {
        const width = af === 'inet' ? 32 : 128;
        const [low, high] = bounds(
          af,
          net.base,
          modifiers.includes('network') ? net.prefix : (prefix ?? width),
        );
        if (modifiers.includes('broadcast')) {
          const [, last] = bounds(af, net.base, net.prefix);
          return [toRange(af, last, last)];
        }
        return [toRange(af, low, high)];
      });
    });
  }
}

const PRINTED = new WeakMap<Rule, string>();

/** A rule in pfctl's words, printed once. */
function printed(rule: Rule): string {
  let text = PRINTED.get(rule);
  if (text === undefined) PRINTED.set(rule, (text = printRule(rule)));
  return text;
}

const FILTERS = new Set(['pass', 'block', 'match', 'anchor']);
const INBOUND = new Set(['rdr', 'no rdr', 'binat', 'no binat']);
const OUTBOUND = new Set(['nat', 'no nat', 'binat', 'no binat']);

/** Whether a rule is about packets of an interface, direction and family at all. */
export function concerns(rule: Rule, device: WorldInterface, direction: 'in' | 'out', af: Af): boolean {
  if (rule.direction !== undefined && rule.direction !== direction) return false;
  if (rule.af !== undefined && rule.af !== af) return false;
  return !rule.interface || isCalled(device, rule.interface.name) !== rule.interface.not;
}

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

/** Whether an interface has a name, or is in the group of that name. */
function isCalled(device: WorldInterface, name: string): boolean {
  return device.name === name || device.groups.includes(name);
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
  if (rule.notSyn && packet.proto === PROTO.tcp) return false;
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

function inside(ranges: readonly Range[], ip: Ip): boolean {
  for (const [low, high] of ranges) if (ip >= low && ip <= high) return true;
  return false;
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

function toRange(af: Af, low: bigint, high: bigint): Range {
  return af === 'inet' ? [Number(low), Number(high)] : [low, high];
}

function netRange(text: string, af: Af): Range[] {
  const net = parseNet(text);
  return net?.af === af ? [toRange(af, ...bounds(af, net.base, net.prefix))] : [];
}

/** Ranges without the addresses of others: entries of a table that begin with `!`. */
function subtract(ranges: readonly Range[], holes: readonly Range[]): Range[] {
  let rest: Range[] = [...ranges];
  for (const [low, high] of holes) {
    rest = rest.flatMap(([from, to]): Range[] => {
      if (high < from || low > to) return [[from, to]];
      const parts: Range[] = [];
      if (from < low) parts.push([from, step(low, -1)]);
      if (to > high) parts.push([step(high, 1), to]);
      return parts;
    });
  }
  return rest;
}

function step(ip: Ip, by: 1 | -1): Ip {
  return typeof ip === 'bigint' ? ip + BigInt(by) : ip + by;
}

/** The boundaries of all addresses that the rules name, by family: the first and last of each range, and their neighbours. */
export function addressBoundaries(hosts: readonly Host[], af: Af): Ip[] {
  const last = af === 'inet' ? 2 ** 32 - 1 : (1n << 128n) - 1n;
  const found: Ip[] = [];
  for (const { address } of hosts) {
    if ((address.kind !== 'net' && address.kind !== 'range') || address.af !== af) continue;
    const [low, high] =
      address.kind === 'net'
        ? toRange(af, ...bounds(af, address.base, address.prefix))
        : toRange(af, address.low, address.high);
    if (low > 0) found.push(step(low, -1));
    found.push(low, high);
    if (high < last) found.push(step(high, 1));
  }
  return found;
}
