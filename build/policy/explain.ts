import { Evaluator } from '../pf/evaluate.js';
import type { Packet } from '../pf/evaluate.js';
import type { Rule, Ruleset } from '../pf/types.js';
import { boundaryPackets, check, rowsByCrossing } from './prove.js';
import { policyRows } from './rows.js';
import type { Row } from './rows.js';
import { makeWorld } from './world.js';
import type { Situation } from './world.js';

/** A rule that decides about packets of a row; none stands for the default. */
export interface Decider {
  readonly rule: Rule | undefined;
  /** One of the packets that it decides about. */
  readonly example: Packet;
  /** How many packets of the row it decided about, of those that were tried. */
  readonly packets: number;
  /** Where the row is broken by it: how. */
  readonly broken: string | undefined;
}

/** A row of the policy, and the rules that decide about its packets: those that decide about most first. */
export interface ExplainedRow {
  readonly row: Row;
  readonly deciders: readonly Decider[];
}

/** The policy with the rules behind each row. Pure. */
export function explainPolicy(ruleset: Ruleset, situation: Situation): readonly ExplainedRow[] {
  const evaluator = new Evaluator(ruleset, makeWorld(situation));
  const rows = policyRows(situation);
  const rowsAt = rowsByCrossing(rows);
  const found = new Map<Row, Map<string, Decider>>(rows.map((row) => [row, new Map()]));
  for (const packet of boundaryPackets(ruleset, situation, () => true)) {
    const row = rowsAt(packet).find(({ applies }) => applies(packet));
    const deciders = row && found.get(row);
    if (!deciders) continue;
    const violation = check(evaluator, row, packet, situation);
    const rule = violation
      ? violation.rule
      : evaluator.decide(packet, row.verdict === 'block' ? 'open' : 'closed').rule;
    const key = `${rule?.place.file ?? ''}:${rule?.place.line ?? 0} ${violation ? 'broken' : 'held'}`;
    const known = deciders.get(key);
    deciders.set(
      key,
      known
        ? { ...known, packets: known.packets + 1 }
        : { rule, example: packet, packets: 1, broken: violation?.message },
    );
  }
  return rows.map((row) => ({
    row,
    deciders: [...(found.get(row)?.values() ?? [])].sort((a, b) => b.packets - a.packets),
  }));
}
