import { allRules } from './expand.js';
import { SPAN, union } from './ranges.js';
import type { Range, Ranges } from './ranges.js';
import type { World } from './resolve.js';
import type { Af, Host, Ruleset } from './types.js';

/** Fields of a packet, by their numbers; behind them two for each table that is filled at run time. */
export const FIELD = {
  proto: 0,
  receivedOn: 1,
  fragment: 2,
  flags: 3,
  type: 4,
  code: 5,
  dstPort: 6,
  srcPort: 7,
  src: 8,
  dst: 9,
} as const;

const TABLES = 10;

/** A yes of a field that is yes or no. */
export const YES: Ranges = [[1, 1]];
/** Its no. */
export const NO: Ranges = [[0, 0]];

/** Where packets are looked at. */
export interface Place {
  readonly interface: string;
  readonly direction: 'in' | 'out';
  readonly af: Af;
}

/** Tables that are filled at run time: nobody knows who is in them. */
export function dynamicTables(ruleset: Ruleset): readonly string[] {
  const overloaded = new Set(
    allRules(ruleset.rules).flatMap(({ options }) => options.state.overload?.table ?? []),
  );
  return ruleset.tables
    .filter(({ name, initialised, files }) => !initialised || files.length > 0 || overloaded.has(name))
    .map(({ name }) => name);
}

/** What the fields of a rule set's packets are. */
export class Fields {
  /** Where packets that go out came in: a number for each interface, 0 for the host itself. */
  readonly interfaces: readonly string[];
  readonly spans: readonly Range[];
  /** The addresses that hosts of rules stand for, once they were looked up. */
  readonly hosts = new Map<Host, Ranges>();
  private readonly names: ReadonlyMap<string, number>;

  constructor(
    readonly af: Af,
    world: World,
    readonly tables: readonly string[],
  ) {
    this.interfaces = world.interfaces.map(({ name }) => name);
    this.names = new Map(this.interfaces.map((name, index) => [name, index + 1]));
    const byte: Range = [0, 255];
    const port: Range = [0, 65535];
    this.spans = [
      byte,
      [0, this.interfaces.length],
      [0, 1],
      byte,
      byte,
      byte,
      port,
      port,
      SPAN[af],
      SPAN[af],
      ...tables.flatMap((): Range[] => [
        [0, 1],
        [0, 1],
      ]),
    ];
  }

  /** The field that says whether the source or destination is in a table; undefined for one that is known. */
  table(name: string, end: 'src' | 'dst'): number | undefined {
    const index = this.tables.indexOf(name);
    return index < 0 ? undefined : TABLES + 2 * index + (end === 'src' ? 0 : 1);
  }

  /** Interfaces as the values of the field. */
  receivedOn(names: readonly (string | undefined)[]): Ranges {
    return union(
      names.flatMap((name): Range[] => {
        const value = name === undefined ? 0 : this.names.get(name);
        return value === undefined ? [] : [[value, value]];
      }),
    );
  }
}
