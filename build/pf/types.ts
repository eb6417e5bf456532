/** A place in a rule file; line and column count from 1. */
export interface Place {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

export type Af = 'inet' | 'inet6';

/** What an address of a rule is, before or after an interface has to be looked up. */
export type Address =
  | { readonly kind: 'any' }
  /** With `scope`, a link-local address of that interface alone. */
  | {
      readonly kind: 'net';
      readonly af: Af;
      readonly base: bigint;
      readonly prefix: number;
      readonly scope?: string;
    }
  | { readonly kind: 'range'; readonly af: Af; readonly low: bigint; readonly high: bigint }
  /** `(name:modifier)`: the addresses that the interface or group has when a packet comes. */
  | {
      readonly kind: 'dynamic';
      readonly name: string;
      readonly modifiers: readonly string[];
      readonly prefix?: number;
    }
  /** A bare interface name (or `self`): the addresses that it has when the rules are loaded. */
  | {
      readonly kind: 'interface';
      readonly name: string;
      readonly modifiers: readonly string[];
      readonly prefix?: number;
    }
  /** A host name: looked up when the rules are loaded. */
  | { readonly kind: 'hostname'; readonly name: string; readonly prefix?: number }
  | { readonly kind: 'table'; readonly name: string }
  | { readonly kind: 'no-route' }
  | { readonly kind: 'urpf-failed' };

export interface Host {
  readonly address: Address;
  readonly not: boolean;
  readonly place: Place;
}

export type Operator = '=' | '!=' | '<' | '<=' | '>' | '>=' | '<>' | '><' | ':';

/** A comparison of ports, users or groups. -1 stands for the user or group `unknown`. */
export interface Comparison {
  readonly op: Operator;
  readonly low: number;
  readonly high: number;
}

export interface InterfaceSpec {
  readonly name: string;
  readonly not: boolean;
}

/** Type and code of ICMP or ICMPv6 as their numbers. */
export interface IcmpSpec {
  readonly family: Af;
  readonly type: number;
  readonly code?: number;
}

export interface LogSpec {
  readonly all: boolean;
  readonly matches: boolean;
  readonly user: boolean;
  readonly to: number;
}

export interface StateOptions {
  readonly max?: number;
  readonly noSync?: boolean;
  readonly sourceTrack?: 'default' | 'rule' | 'global';
  readonly maxSrcStates?: number;
  readonly maxSrcConn?: number;
  readonly maxSrcConnRate?: { readonly limit: number; readonly seconds: number };
  readonly maxSrcNodes?: number;
  readonly overload?: { readonly table: string; readonly flush: boolean; readonly global: boolean };
  readonly lock?: 'if-bound' | 'floating';
  readonly sloppy?: boolean;
  readonly pflow?: boolean;
  readonly timeouts?: Readonly<Record<string, number>>;
}

export type Keep = 'keep' | 'modulate' | 'synproxy' | 'none';

/** Where packets are sent, or what addresses become. */
export interface Pool {
  readonly hosts: readonly Host[];
  readonly interfaces: readonly (string | undefined)[];
  readonly port?: { readonly low: number; readonly high: number | '*' };
  readonly type?: 'bitmask' | 'random' | 'source-hash' | 'round-robin';
  readonly key?: string;
  readonly sticky?: boolean;
  readonly staticPort?: boolean;
  readonly endpointIndependent?: boolean;
  readonly preferIpv6Nexthop?: boolean;
  readonly mape?: readonly [number, number, number];
}

/** Options of a filter rule that are not lists. */
export interface Options {
  readonly flags?: { readonly set: number; readonly of: number };
  readonly keep?: Keep;
  readonly state: StateOptions;
  readonly fragment?: boolean;
  readonly allowOpts?: boolean;
  readonly labels: readonly string[];
  readonly tag?: string;
  readonly tagged?: { readonly name: string; readonly not: boolean };
  readonly tos?: number;
  readonly prio?: number;
  readonly setPrio?: readonly [number, number];
  readonly setTos?: number;
  readonly probability?: number;
  readonly rtable?: number;
  readonly queue?: readonly string[];
  readonly dnpipe?: { readonly kind: 'dnpipe' | 'dnqueue'; readonly numbers: readonly number[] };
  readonly ridentifier?: number;
  readonly divertTo?: number;
  readonly maxPktRate?: { readonly limit: number; readonly seconds: number };
  readonly maxPktSize?: number;
  readonly receivedOn?: InterfaceSpec;
  readonly natTo?: Pool;
  readonly rdrTo?: Pool;
  readonly binatTo?: Pool;
  readonly afTo?: { readonly af: Af; readonly from: Pool; readonly to?: Pool };
  readonly scrub?: ScrubOptions;
}

export interface ScrubOptions {
  readonly noDf?: boolean;
  readonly minTtl?: number;
  readonly maxMss?: number;
  readonly setTos?: number;
  readonly randomId?: boolean;
  readonly reassembleTcp?: boolean;
  readonly fragmentReassemble?: boolean;
}

export type Action =
  | 'pass'
  | 'block'
  | 'match'
  | 'scrub'
  | 'no scrub'
  | 'nat'
  | 'no nat'
  | 'rdr'
  | 'no rdr'
  | 'binat'
  | 'no binat'
  | 'anchor'
  | 'nat-anchor'
  | 'rdr-anchor'
  | 'binat-anchor';

export interface BlockPolicy {
  readonly kind: 'drop' | 'return' | 'return-rst' | 'return-icmp';
  readonly ttl?: number;
  /** Codes of the ICMP and ICMPv6 errors, as `type << 8 | code`. */
  readonly icmp?: number;
  readonly icmp6?: number;
}

/** What all forms of a rule have in common. */
interface RuleBase {
  readonly place: Place;
  readonly action: Action;
  readonly block?: BlockPolicy;
  readonly direction?: 'in' | 'out';
  readonly log?: LogSpec;
  readonly quick: boolean;
  readonly natPass?: boolean;
  readonly af?: Af;
  readonly options: Options;
  readonly route?: { readonly kind: 'route-to' | 'reply-to' | 'dup-to'; readonly pool: Pool };
  readonly pool?: Pool;
  readonly anchor?: { readonly name: string; readonly inline: boolean };
}

/** A rule as it is written, with its lists. An empty list stands for anything. */
export interface RuleSpec extends RuleBase {
  readonly interfaces: readonly InterfaceSpec[];
  readonly protos: readonly number[];
  readonly from: readonly Host[];
  readonly fromPorts: readonly Comparison[];
  readonly os: readonly string[];
  readonly to: readonly Host[];
  readonly toPorts: readonly Comparison[];
  readonly users: readonly Comparison[];
  readonly groups: readonly Comparison[];
  readonly icmp: readonly IcmpSpec[];
  /** Rules between the braces of an anchor. */
  readonly inner?: readonly RuleSpec[];
}

/** A rule as the kernel has it: one of each. */
export interface Rule extends RuleBase {
  readonly interface?: InterfaceSpec;
  readonly proto?: number;
  readonly from: Host;
  readonly fromPort?: Comparison;
  readonly os?: string;
  readonly to: Host;
  readonly toPort?: Comparison;
  readonly user?: Comparison;
  readonly group?: Comparison;
  readonly icmp?: IcmpSpec;
  readonly inner?: readonly Rule[];
}

export interface Table {
  readonly name: string;
  readonly place: Place;
  readonly persist: boolean;
  readonly const: boolean;
  readonly counters: boolean;
  /** Whether the definition lists addresses, if only none: without, a persist table keeps its own. */
  readonly initialised: boolean;
  readonly hosts: readonly Host[];
  readonly files: readonly string[];
}

export interface EtherRule {
  readonly place: Place;
  /** The rule in normal form: Ethernet rules are not part of what is proved. */
  readonly text: string;
  readonly action: 'pass' | 'block' | 'anchor';
}

export interface Ruleset {
  readonly macros: readonly { readonly name: string; readonly value: string; readonly place: Place }[];
  readonly options: readonly { readonly text: string; readonly place: Place }[];
  readonly tables: readonly Table[];
  readonly ether: readonly EtherRule[];
  readonly queues: readonly { readonly text: string; readonly place: Place }[];
  readonly loads: readonly { readonly anchor: string; readonly file: string; readonly place: Place }[];
  readonly skip: readonly string[];
  /** Expanded rules in order: normalisation, translation, filter. */
  readonly rules: readonly Rule[];
  /** Macros, options and tables as pfctl prints them while it reads, in its order. */
  readonly said: readonly string[];
}

/** What is wrong with a rule set, and where. */
export interface PfFlaw {
  readonly place: Place;
  readonly message: string;
}
