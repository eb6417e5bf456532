import { boxesOf } from '../pf/cells.js';
import type { Packet } from '../pf/evaluate.js';
import type { Rule } from '../pf/types.js';
import type { Outcome } from './decide.js';
import { describeBox, exampleOf, usualValues } from './describe.js';
import { decidePolicy } from './prove.js';
import type { Subject } from './prove.js';
import type { Row } from './row.js';

/** A rule that decides about packets of a row; none stands for the default. */
export interface Decider {
  readonly rule: Rule | undefined;
  /** One of the packets that it decides about. */
  readonly example: Packet;
  /** Where the row is broken by it: how, for all of a box. */
  readonly broken: string | undefined;
}

/** A row of the policy, and the rules that decide about its packets, in their order. */
export interface ExplainedRow {
  readonly row: Row;
  readonly deciders: readonly Decider[];
}

/** The policy with every rule that decides about a packet of each row. Pure. */
export function explainPolicy(subject: Subject): readonly ExplainedRow[] {
  const found = new Map<string, Map<string, Decider>>(subject.rows.map(({ id }) => [id, new Map()]));
  const nameOf = ({ row, rule, problem }: Outcome): string | undefined =>
    row &&
    `${row.id} ${rule?.place.file ?? ''}:${rule?.place.line ?? 0} ${problem === undefined ? '' : 'broken'}`;
  for (const { place, fields, diagrams } of decidePolicy(subject, true))
    for (const diagram of diagrams)
      for (const { fields: box, value } of boxesOf(diagram, nameOf, usualValues(place.af))) {
        const name = nameOf(value);
        const deciders = value.row && found.get(value.row.id);
        if (name === undefined || !deciders || deciders.has(name)) continue;
        const example = exampleOf(box, diagram.classes, fields, place);
        deciders.set(name, {
          rule: value.rule,
          example,
          broken:
            value.problem === undefined
              ? undefined
              : `${value.problem}: ${describeBox(box, diagram.classes, fields, place, example)}`,
        });
      }
  const line = ({ rule }: Decider): number => rule?.place.line ?? 0;
  return subject.rows.map((row) => ({
    row,
    deciders: [...(found.get(row.id)?.values() ?? [])].sort((a, b) => line(a) - line(b)),
  }));
}
