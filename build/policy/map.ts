import type { Service } from './services.js';
import type { ZoneKind } from './zones.js';

/*
 * Who reaches whom, as data: what `clawdie-iso explain --json` prints, and what pictures are drawn from.
 */

export type Family = 'inet' | 'inet6';

/** A rule and where it stands. */
export interface RuleRef {
  readonly file: string;
  readonly line: number;
  readonly text: string;
}

/** A crossing of an interface, and what happens there. */
export interface MapStep {
  readonly interface: string;
  readonly direction: 'in' | 'out';
  /** Of what goes out: the interface that it came in on; null where the host itself or a plain jail sends it. */
  readonly receivedOn: string | null;
  readonly verdict: 'pass' | 'block';
  /** The rule that decides; null where none matches and the default does. */
  readonly rule: RuleRef | null;
  /** The translation that comes before it. */
  readonly translation: RuleRef | null;
  /** The row of the policy that is about the packets there. */
  readonly row: string | null;
  /** Whether this is what an anchor that is filled at run time is taken to do. */
  readonly assumed: boolean;
}

/** Packets of a pair that get through, all by the same rules: as they were sent, before any translation. */
export interface Opening {
  readonly family: Family;
  readonly services: readonly Service[];
  /** Networks and ranges that they may come from; null where the zone's sources are all among them. */
  readonly sources: readonly string[] | null;
  /** Where they may be sent to; null where the zone's addresses are all among them. */
  readonly destinations: readonly string[] | null;
  /** The address that they arrive with: their own, the host's on what faces the internet, or another. */
  readonly arrivesWith: 'own' | 'host' | 'other';
  /** Empty where packets never meet the firewall: members of one bridge. */
  readonly steps: readonly MapStep[];
}

/** Packets of a pair that do not: the crossings that they pass, and the one that blocks them. */
export interface Closing {
  readonly family: Family;
  readonly steps: readonly MapStep[];
}

/**
 * `open`: every service; `services`: those that are listed; `signals`: neighbour discovery and path-MTU messages alone,
 * without which IP does not work; `closed`: nothing.
 */
export type PairVerdict = 'open' | 'services' | 'signals' | 'closed';

/** An ordered pair of zones. */
export interface Pair {
  readonly from: string;
  readonly to: string;
  /** Over both families, by the sources and destinations that get through. What `redirects` has is not in it. */
  readonly verdict: PairVerdict;
  readonly families: Readonly<Record<Family, PairVerdict>>;
  /** The services that get through, over all openings, for people. */
  readonly services: readonly string[];
  readonly openings: readonly Opening[];
  readonly closings: readonly Closing[];
  /** What redirects in rdr/* may open beyond that, if somebody adds them on the instance. */
  readonly redirects: readonly Opening[];
  /** Rows of the policy that are about packets of the pair. */
  readonly rows: readonly string[];
  /** Whether the design wants nothing but signals to get through, whatever the rows say. */
  readonly mustBeClosed: boolean;
}

export interface MapZone {
  readonly id: string;
  readonly kind: ZoneKind;
  readonly name: string;
  readonly tenant: string | null;
  readonly interfaces: readonly string[];
  readonly sources: readonly string[];
  readonly addresses: readonly string[];
}

/** Zones, and what gets from each to each. */
export interface ZoneMap {
  readonly zones: readonly MapZone[];
  readonly pairs: readonly Pair[];
  /** How many ways were decided, and into how many boxes their packets fall. */
  readonly ways: number;
  readonly cells: number;
  readonly assumed: readonly string[];
}
