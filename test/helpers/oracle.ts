import { Evaluator } from '../../build/pf/evaluate.js';
import type { Packet } from '../../build/pf/evaluate.js';
import { seesFragments } from '../../build/pf/lines.js';
import type { Fields } from '../../build/pf/lines.js';
import type { Ruleset } from '../../build/pf/types.js';
import { fieldsOf, subjectOf } from '../../build/policy/prove.js';
import { isIn, rowLines, rowOf } from '../../build/policy/row.js';
import type { RowLine } from '../../build/policy/row.js';
import { PARTIES } from '../../build/policy/world.js';
import type { Situation } from '../../build/policy/world.js';
import { addresses } from '../../build/pf/ranges.js';

const HOST = addresses(PARTIES.host4.replace(/\/.*/, ''), PARTIES.host6.replace(/\/.*/, ''));

/** Gives the row that is about a packet; none where no row is, or where it leaves the packet open. */
export function rowFinder(ruleset: Ruleset, situation: Situation): (packet: Packet) => RowLine | undefined {
  const subject = subjectOf(ruleset, situation);
  const fields = { inet: fieldsOf(subject, 'inet'), inet6: fieldsOf(subject, 'inet6') };
  const lines = new Map<string, readonly RowLine[]>();
  const linesOf = (packet: Packet, of: Fields): readonly RowLine[] => {
    const key = `${packet.interface} ${packet.direction} ${packet.af}`;
    const known = lines.get(key);
    if (known) return known;
    const found = rowLines(subject.rows, of, packet);
    lines.set(key, found);
    return found;
  };
  return (packet) => {
    const found = rowOf(linesOf(packet, fields[packet.af]), packet, fields[packet.af]);
    return found?.verdict === 'either' ? undefined : found;
  };
}

/** Whether a packet is treated otherwise than its row wants: by the evaluator that goes rule by rule, not as the proof does. */
export function oracle(ruleset: Ruleset, situation: Situation): (packet: Packet, row: RowLine) => boolean {
  const { world } = subjectOf(ruleset, situation);
  const evaluator = new Evaluator(ruleset, world);
  return (packet, { row, verdict }) => {
    // Where fragments are put together there are none.
    if (packet.fragment === true && !seesFragments(ruleset, world, packet)) return false;
    const decided = evaluator.decide(packet, verdict === 'block' ? 'open' : 'closed');
    return (
      decided.action !== verdict ||
      (verdict === 'pass' &&
        (row.rule?.(decided.rule) !== undefined || (row.translated === true && !isIn(HOST, decided.src))))
    );
  };
}
