import { Evaluator } from '../../build/pf/evaluate.js';
import type { Packet, Verdict } from '../../build/pf/evaluate.js';
import { inboundRule } from '../../build/pf/expand.js';
import { inForce } from '../../build/pf/in-force.js';
import { seesFragments } from '../../build/pf/lines.js';
import { PROTO } from '../../build/pf/names.js';
import { printRuleset } from '../../build/pf/print.js';
import type { World } from '../../build/pf/resolve.js';
import type { Rule, Ruleset } from '../../build/pf/types.js';
import { hexOf } from './bytes.js';
import type { Sent } from './packets.js';

/** What FreeBSD said of a set, and what it was asked. */
export interface Asked {
  readonly text: string;
  readonly ruleset: Ruleset;
  readonly sent: readonly Sent[];
  readonly world: World;
  /** What pfctl printed. */
  readonly reading: string;
  /** What the referee wrote. */
  readonly verdicts: string;
}

export interface Compared {
  readonly counts: ReadonlyMap<string, number>;
  readonly differences: readonly string[];
}

/** A line of the log (struct pfloghdr of sys/net/if_pflog.h). */
interface Logged {
  readonly number: number;
  readonly interface: string;
  readonly direction: string;
  readonly action: number;
  readonly rule: string;
  readonly src: string;
  readonly dst: string;
}

/** Actions of rules (sys/netpfil/pf/pf.h). */
const PASS = 0;
const DROP = 1;
const TRANSLATIONS: Readonly<Record<number, string>> = { 4: 'nat', 6: 'binat', 8: 'rdr' };

/** What is different of a set. */
export function compareSet({ text, ruleset, sent, world, reading, verdicts }: Asked): Compared {
  const counts = new Map<string, number>([['sets', 1]]);
  const differences: string[] = [];
  const count = (name: string): void => {
    counts.set(name, (counts.get(name) ?? 0) + 1);
  };
  const [status = '', ...lines] = verdicts.trimEnd().split('\n');
  if (status !== '0') {
    count('sets that pfctl refuses');
    return { counts, differences: [`pfctl refuses: ${reading.trim()}`] };
  }
  // lab.sh has pfctl leave out what the set says of it; what pfctl says while it loads, it has printed before.
  const printed = printRuleset(ruleset).replace(/^set ruleset-optimization .*\n/gm, '');
  const read = reading.replace(/^.* -- rule was already present\n/gm, '');
  if (printed !== read) {
    count('sets that are read in another way');
    differences.push(firstDifference(printed, read));
  }
  if (read !== reading) count('sets of which the kernel leaves out a rule');
  const logged = new Map<number, Logged[]>();
  for (const line of lines.map(parseLine))
    logged.set(line.number, [...(logged.get(line.number) ?? []), line]);
  const evaluator = new Evaluator(ruleset, world);
  const names = namesOf(ruleset);
  for (const [index, { packet }] of sent.entries()) {
    count('packets');
    const crossing = (logged.get(index + 1) ?? []).filter(
      (line) => line.interface === packet.interface && line.direction === packet.direction,
    );
    const [open, closed] = [evaluator.decide(packet, 'open'), evaluator.decide(packet, 'closed')];
    const known = open.rule === closed.rule && open.action === closed.action;
    const outcome = outcomeOf(crossing);
    if (!outcome) {
      const together =
        packet.fragment === true && (text.includes('scrub') || !seesFragments(ruleset, world, packet));
      count(together ? 'fragments that are put together first' : 'packets that no rule decided');
      if (!together)
        differences.push(`${describe(packet, index)}: no rule decided; ours ${say(open, names)}`);
      continue;
    }
    count(`decided: ${outcome.action}`);
    if (packet.fragment === true && !seesFragments(ruleset, world, packet)) {
      differences.push(`${describe(packet, index)}: a fragment was seen`);
      continue;
    }
    if (!known) {
      count('packets whose rule depends on what is not known');
      if (outcome.action !== open.action && outcome.action !== closed.action) {
        count('packets decided otherwise');
        differences.push(
          `${describe(packet, index)}: pf ${outcome.action} ${outcome.rule}; ours always ${open.action}`,
        );
      }
      continue;
    }
    const rules = names.get(open.rule) ?? ['default'];
    const same =
      outcome.action === open.action &&
      (outcome.rule === undefined || rules.includes(outcome.rule)) &&
      (names.get(open.translation) ?? [undefined])[0] === outcome.translation &&
      outcome.src === hexOf(open.src) &&
      outcome.dst === hexOf(open.dst);
    if (same) continue;
    if (outcome.translation === undefined && open.translation && changesNothing(packet, open)) {
      // Where it lets through by itself, the filter rules are asked all the same.
      count('translations that change nothing, which pf takes for none');
      continue;
    }
    if (
      outcome.translation !== undefined &&
      NEIGHBOURS.has(packet.icmpType) &&
      packet.proto === PROTO.icmp6
    ) {
      count('neighbour discovery that is translated, of which pf loses the source');
      continue;
    }
    count('packets decided otherwise');
    differences.push(`${describe(packet, index)}: pf ${JSON.stringify(outcome)}; ours ${say(open, names)}`);
  }
  return { counts, differences };
}

/** Solicitations and advertisements (RFC 4861). */
const NEIGHBOURS: ReadonlySet<number> = new Set([135, 136]);

const changesNothing = (packet: Packet, { src, dst, dstPort }: Verdict): boolean =>
  hexOf(src) === hexOf(packet.src) && hexOf(dst) === hexOf(packet.dst) && dstPort === packet.dstPort;

function parseLine(line: string): Logged {
  const [number, device = '', direction = '', action, reason, rule = '', sub = '', src = '', dst = ''] =
    line.split(' ');
  return {
    number: Number(number),
    interface: device,
    direction,
    // What is logged for another reason than a rule is what pf itself drops.
    action: reason === '0' ? Number(action) : -1,
    rule: sub === '-1' ? (rule === '-1' ? 'default' : rule) : `${rule}/${sub}`,
    src,
    dst,
  };
}

/** What was decided: the last that was logged, or the translation rule that lets through by itself. */
function outcomeOf(
  lines: readonly Logged[],
): { action: 'pass' | 'block'; rule?: string; translation?: string; src: string; dst: string } | undefined {
  const last = lines.findLast(({ action }) => action === PASS || action === DROP);
  const translated = lines.find(({ action }) => TRANSLATIONS[action] !== undefined);
  const end = last ?? lines.findLast(({ action }) => TRANSLATIONS[action] !== undefined);
  if (!end) return undefined;
  return {
    action: last?.action === DROP ? 'block' : 'pass',
    ...(last && { rule: last.rule }),
    ...(translated && { translation: `${TRANSLATIONS[translated.action]} ${translated.rule}` }),
    src: end.src,
    dst: end.dst,
  };
}

/** What the log calls rules: the number in their list, behind that of the anchor that they are in. */
function namesOf(ruleset: Ruleset): ReadonlyMap<Rule | undefined, readonly string[]> {
  const names = new Map<Rule | undefined, string[]>();
  const put = (rule: Rule, name: string): void => {
    names.set(rule, [...(names.get(rule) ?? []), name]);
  };
  const walk = (rules: readonly Rule[], before: string): void => {
    for (const [index, rule] of rules.entries()) {
      put(rule, before + String(index));
      walk(inForce(rule.inner ?? []), `${index}/`);
    }
  };
  walk(
    inForce(ruleset.rules).filter(({ action }) => ['pass', 'block', 'match', 'anchor'].includes(action)),
    '',
  );
  for (const kind of ['nat', 'binat', 'rdr'])
    for (const [index, rule] of inForce(ruleset.rules)
      .filter(({ action }) => action === kind || action === `no ${kind}`)
      .entries()) {
      put(rule, `${kind} ${index}`);
      if (kind === 'binat') put(inboundRule(rule), `${kind} ${index}`);
    }
  return names;
}

const say = (verdict: Verdict, names: ReadonlyMap<Rule | undefined, readonly string[]>): string =>
  JSON.stringify({
    action: verdict.action,
    rule: verdict.rule && names.get(verdict.rule)?.join(),
    translation: verdict.translation && names.get(verdict.translation)?.[0],
    src: hexOf(verdict.src),
    dst: hexOf(verdict.dst),
  });

const describe = (packet: Packet, index: number): string =>
  `packet ${index + 1} ${JSON.stringify({ ...packet, src: hexOf(packet.src), dst: hexOf(packet.dst) })}`;

function firstDifference(ours: string, theirs: string): string {
  const [left, right] = [ours.split('\n'), theirs.split('\n')];
  const at = left.findIndex((line, index) => line !== right[index]);
  return `line ${at + 1} is read in another way\n  ours:  ${left[at]}\n  pfctl: ${right[at]}`;
}
