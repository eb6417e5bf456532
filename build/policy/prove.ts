import { boxesOf } from '../pf/cells.js';
import type { Diagram } from '../pf/cells.js';
import type { Packet } from '../pf/evaluate.js';
import { dynamicTables, Fields } from '../pf/lines.js';
import type { Place } from '../pf/lines.js';
import { Resolver } from '../pf/resolve.js';
import type { World } from '../pf/resolve.js';
import type { Rule, Ruleset } from '../pf/types.js';
import { decidePlace } from './decide.js';
import type { Outcome } from './decide.js';
import { decidedBy, describeBox, exampleOf, usualValues } from './describe.js';
import { rowLines } from './row.js';
import type { Row, RowLine } from './row.js';
import { policyRows } from './rows.js';
import { makeWorld, outerAddresses, withOthers } from './world.js';
import type { Situation } from './world.js';

/** Packets that the rules treat otherwise than the policy wants: all of a box, and one of them. */
export interface Violation {
  readonly row: Row;
  readonly packet: Packet;
  readonly rule: Rule | undefined;
  readonly message: string;
}

/** What was found about a rule set in a situation. */
export interface Proof {
  /** How many boxes the packets of all places fall into. */
  readonly cells: number;
  /** The places that were decided: interface, direction, family. */
  readonly places: number;
  readonly violations: readonly Violation[];
  /** The rows that are about packets of some place. */
  readonly rows: ReadonlySet<string>;
}

/** What is looked at: a rule set in a situation, with every interface that there may be. */
export interface Subject {
  readonly ruleset: Ruleset;
  readonly situation: Situation;
  readonly world: World;
  readonly rows: readonly Row[];
}

/** A place, decided. */
export interface Decided {
  readonly place: Place;
  readonly fields: Fields;
  readonly rows: readonly RowLine[];
  readonly diagrams: readonly Diagram<Outcome>[];
}

/**
 * A rule set in a situation, with the interfaces that there may be beside those of the host.
 *
 * @param found addresses of interfaces, by their names, where an instance has others than the examples
 */
export function subjectOf(
  ruleset: Ruleset,
  situation: Situation,
  found: Readonly<Record<string, readonly string[]>> = {},
): Subject {
  const examples = withOthers(makeWorld(situation), ruleset);
  const interfaces = examples.interfaces.map((device) => ({
    ...device,
    addresses: found[device.name] ?? device.addresses,
  }));
  const world = { ...examples, interfaces };
  return { ruleset, situation, world, rows: policyRows(situation, world) };
}

/** The fields of packets of a family. Who is in <bruteforce> is asked whether a rule does or not. */
export function fieldsOf({ ruleset, world }: Pick<Subject, 'ruleset' | 'world'>, af: Place['af']): Fields {
  return new Fields(af, world, [...new Set(['bruteforce', ...dynamicTables(ruleset)])]);
}

/**
 * Decides about every packet at every place: exactly, by the classes of all that rules and rows speak of.
 *
 * @param named whether each box is to be told with the rule that decides
 * @param wanted the interfaces whose places are to be decided
 */
export function* decidePolicy(
  subject: Subject,
  named: boolean,
  wanted: (name: string) => boolean = () => true,
): Generator<Decided> {
  const { ruleset, world, rows } = subject;
  const resolver = new Resolver(ruleset, world);
  const host = outerAddresses(subject.situation, world);
  for (const af of ['inet', 'inet6'] as const) {
    const fields = fieldsOf(subject, af);
    for (const { name } of world.interfaces)
      for (const direction of wanted(name) ? (['in', 'out'] as const) : []) {
        const place: Place = { interface: name, direction, af };
        const lines = rowLines(rows, fields, place);
        yield {
          place,
          fields,
          rows: lines,
          diagrams: decidePlace({ ruleset, world, resolver, fields, place, rows: lines, host }, named),
        };
      }
  }
}

/**
 * Proves that a rule set in a situation does what the policy says, for every packet. Of the violations of one row by one rule, one is
 * told.
 *
 * @param atFirst whether to stop at the first place with one
 */
export function prove(subject: Subject, { atFirst = false }: { atFirst?: boolean } = {}): Proof {
  const violations = new Map<string, Violation>();
  const rows = new Set<string>();
  let cells = 0;
  let places = 0;
  for (const { place, fields, rows: there, diagrams } of decidePolicy(subject, false)) {
    if (diagrams.length === 0) continue;
    places++;
    for (const { row } of there) rows.add(row.id);
    for (const diagram of diagrams) {
      cells += diagram.cells;
      for (const { fields: box, value } of boxesOf(diagram, nameOf, usualValues(place.af))) {
        const { row, rule, problem } = value;
        const name = nameOf(value);
        if (!row || name === undefined || problem === undefined || violations.has(name)) continue;
        const packet = exampleOf(box, diagram.classes, fields, place);
        violations.set(name, {
          row,
          rule,
          packet,
          message: `${row.from} → ${row.to}: ${problem}: ${describeBox(box, diagram.classes, fields, place, packet)}; ${decidedBy({ rule })}`,
        });
      }
    }
    if (atFirst && violations.size > 0) break;
  }
  return { cells, places, violations: [...violations.values()], rows };
}

/** One violation of a row by a rule is enough. */
function nameOf({ row, rule, problem }: Outcome): string | undefined {
  if (!row || problem === undefined) return undefined;
  return `${row.id} ${rule?.place.file ?? ''}:${rule?.place.line ?? 0}`;
}
