/**
 * Holds the reader and the evaluator of pf rules against FreeBSD's own (docs/pf.md):
 *
 *     main.ts make DIRECTORY [SETS [PACKETS [SEED]]]
 *     main.ts compare DIRECTORY
 *
 * `make` writes random rule sets and packets near what they speak of. lab.sh, on a FreeBSD machine, has pfctl(8) read them
 * and the kernel decide. `compare` says what is different: how a set is read and printed, which rule decides, and what
 * becomes of addresses. Where a set has conditions that are not known here, the kernel has to be within what the evaluator
 * takes for the most and the least that they let through.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { messageOf } from '../../build/error.js';
import { parsePf } from '../../build/pf/parse.js';
import type { Ruleset } from '../../build/pf/types.js';
import { bytesOf } from './bytes.js';
import { Chance } from './chance.js';
import { compareSet } from './compare.js';
import { packetsFor } from './packets.js';
import type { Sent } from './packets.js';
import { RuleSource } from './rules.js';
import { labWorld } from './world.js';

interface Plan {
  readonly sets: number;
  readonly packets: number;
  readonly seed: number;
}

/** A set by its number: the same each time. */
function setOf(
  { packets, seed }: Plan,
  number: number,
): { text: string; ruleset: Ruleset; sent: readonly Sent[] } {
  const chance = new Chance(seed * 1_000_003 + number);
  for (;;) {
    const text = new RuleSource(chance).ruleset();
    const { ruleset, flaws } = parsePf(text, 'pf.conf');
    // Families and ports that do not go together are drawn again: what pfctl refuses is not what is asked here.
    if (flaws.length > 0) continue;
    return { text, ruleset, sent: packetsFor(ruleset, labWorld(true), chance, packets) };
  }
}

function make(directory: string, plan: Plan): void {
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, 'plan.json'), JSON.stringify(plan));
  for (let number = 0; number < plan.sets; number++) {
    const { text, sent } = setOf(plan, number);
    writeFileSync(join(directory, `${number}.conf`), text);
    const lines = sent.map(
      ({ packet, way }, index) => `${way} ${bytesOf(packet, index + 1).toString('hex')}\n`,
    );
    writeFileSync(join(directory, `${number}.packets`), lines.join(''));
  }
}

function compare(directory: string): void {
  const read = (name: string): string => readFileSync(join(directory, name), 'utf8');
  const plan = JSON.parse(read('plan.json')) as Plan;
  const defaultDrop = read('default_to_drop').trim() === '1';
  const totals = new Map<string, number>();
  for (let number = 0; number < plan.sets; number++) {
    if (!existsSync(join(directory, `${number + 1}.verdicts`)) && number + 1 < plan.sets) {
      // The referee is at work on this one, or was stopped at it.
      totals.set('sets that were not run', plan.sets - number);
      break;
    }
    const found = compareSet({
      ...setOf(plan, number),
      world: labWorld(defaultDrop),
      reading: read(`${number}.read`),
      verdicts: read(`${number}.verdicts`),
    });
    for (const [name, count] of found.counts) totals.set(name, (totals.get(name) ?? 0) + count);
    for (const difference of found.differences) process.stdout.write(`${number}: ${difference}\n`);
  }
  for (const [name, count] of totals) process.stdout.write(`${name}: ${count}\n`);
}

try {
  const [command = '', directory = '', sets = '1000', packets = '200', seed = '14'] = process.argv.slice(2);
  if (command === 'make' && directory !== '')
    make(directory, { sets: Number(sets), packets: Number(packets), seed: Number(seed) });
  else if (command === 'compare' && directory !== '') compare(directory);
  else throw new Error('usage: main make DIRECTORY [SETS [PACKETS [SEED]]], or main compare DIRECTORY');
} catch (error) {
  process.stderr.write(`${messageOf(error)}\n`);
  process.exitCode = 2;
}
