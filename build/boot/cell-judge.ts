import { gunzipSync } from 'node:zlib';
import { bare, formatIp } from '../pf/address.js';
import { Evaluator } from '../pf/evaluate.js';
import type { Packet } from '../pf/evaluate.js';
import { PROTO } from '../pf/names.js';
import { printRule } from '../pf/print.js';
import type { Rule } from '../pf/types.js';
import { describePacket } from '../policy/describe.js';
import { externalName } from '../policy/world.js';
import { OTHER_CARD } from './cell-plan.js';
import type { CellPacket, CellPlan } from './cell-plan.js';
import { CELLS_CHECK } from './cell-steps.js';
import type { CheckResult } from './checks.js';
import { listedRule, rulesApart } from './inside.js';
import { GUEST_MAC, SECOND_MAC } from './peer.js';
import { readPflog } from './pflog.js';
import type { Logged } from './pflog.js';
import { stepFlaws, typedOn } from './steps.js';
import type { Step } from './steps.js';

/** What was seen from outside while the packets of the cells were sent. */
export interface CellsSeen {
  /** Whether the guest took all frames. */
  readonly arrived: boolean;
  /** Numbers of the packets that the host itself has answered. */
  readonly answered: ReadonlySet<number>;
}

/** Protocol, flags and addresses that FreeBSD drops before any rule is asked; why. */
function droppedBefore({ af, proto, src, dst, flags = 2 }: Packet): string | undefined {
  const within = (value: Packet['src'], bits: number, prefix: bigint): boolean =>
    BigInt(value) >> BigInt((af === 'inet' ? 32 : 128) - bits) === prefix;
  // ip_input() and ip6_input(): they cannot come from a wire.
  for (const address of [src, dst])
    if (af === 'inet' ? within(address, 8, 127n) : within(address, 128, 1n)) return 'a loopback’s address';
  if (af === 'inet6' && within(src, 8, 0xffn)) return 'a group as its source';
  // pf_normalize_tcp() of pf_norm.c: neither SYN, ACK nor RST, SYN with FIN or RST, or FIN, PSH or URG without ACK.
  const [none, torn] = [(flags & 22) === 0, (flags & 2) !== 0 && (flags & 5) !== 0];
  if (proto === PROTO.tcp && (none || torn || ((flags & 16) === 0 && (flags & 41) !== 0)))
    return 'flags that no segment has';
  return undefined;
}

/** Judges what an instance has told of the packets of the cells. Pure. */
export function judgeCells(
  plan: CellPlan,
  steps: readonly Step[],
  seen: CellsSeen | undefined,
  console: string,
): CheckResult {
  const typed = typedOn(console);
  const own = steps.filter(({ check }) => check === CELLS_CHECK);
  const seconds = own.reduce((sum, { name }) => sum + (typed.get(name)?.seconds ?? 0), 0);
  const failed = (detail: string, packets: readonly string[] = []): CheckResult => ({
    ...{ id: CELLS_CHECK, state: 'failed', detail, seconds, packets },
  });
  const flaws = own.flatMap((step) => stepFlaws(step, typed.get(step.name)));
  if (flaws.length > 0) return failed('the packets of the cells could not be sent', flaws);
  if (seen?.arrived !== true) return failed('the guest stopped answering ARP while packets were sent');
  const told = toldOf(typed.get('cells-begin')?.lines ?? []);
  const around = surroundingFlaws(plan, told);
  if (around.length > 0) return failed('the instance is not as the packets were made for', around);
  const log = readLog((typed.get('cells-end')?.lines ?? []).join(''));
  if (!log) return failed('the log of the firewall is cut off, or is none');
  const held = heldAgainst(plan, told, log, seen);
  const judged = plan.packets.map((packet) => judgePacket(packet, held));
  const wrong = judged.flatMap(({ flaw }) => flaw ?? []);
  const count = (text: string): number => judged.filter(({ what }) => what === text).length;
  const from = (['internet', 'card', 'bridge'] as const)
    .map((name) => [name, plan.packets.filter((packet) => packet.from === name).length] as const)
    .filter(([, many]) => many > 0)
    .map(([name, many]) => `${many} from ${FROM[name]}`);
  const kinds = [...new Set(judged.map(({ what }) => what))].map((what) => `${count(what)} ${what}`);
  const left = [...plan.left].map(([why, many]) => `${many} ${why}`);
  const detail = `one packet of each of ${plan.packets.length} cells of ${plan.cells}: ${from.join(', ')}; as the proof says: ${kinds.join(', ')}; ${seen.answered.size} answered; ${told.second} is not in egress; not sent: ${left.join(', ')}`;
  return wrong.length > 0
    ? failed(`${wrong.length} of ${plan.packets.length} packets were not treated as the proof says`, wrong)
    : { id: CELLS_CHECK, state: 'held', detail, seconds, packets: [] };
}

const FROM = {
  internet: 'the internet',
  card: 'a second card',
  bridge: 'machines on the bridges',
} as const;

/** What the instance has told of itself before. */
interface Told {
  /** Filter rules in force, in the order that pf(4) numbers them by, without their logs. */
  readonly rules: readonly string[];
  readonly addresses: ReadonlyMap<string, readonly string[]>;
  readonly egress: string;
  readonly first: string;
  readonly second: string;
}

function toldOf(lines: readonly string[]): Told {
  const all = (word: string): readonly (readonly string[])[] =>
    lines.flatMap((line) => (line.startsWith(`${word} `) ? [line.trim().split(/\s+/).slice(1)] : []));
  const card = (mac: string): string => all('card').find(([, its]) => its === mac)?.[0] ?? 'none';
  const addresses = new Map<string, string[]>();
  for (const [name = '', address = ''] of all('address'))
    addresses.set(name, [...(addresses.get(name) ?? []), address]);
  return {
    rules: lines.flatMap((line) => (line.startsWith('rule ') ? [unlogged(line.slice(5))] : [])),
    addresses,
    egress: all('egress')[0]?.join(' ') ?? '',
    first: card(GUEST_MAC),
    second: card(SECOND_MAC),
  };
}

const unlogged = (rule: string): string => listedRule(rule).replace(/ log(?: \([^)]*\))?/, '');
const FILTERS = new Set(['pass', 'block', 'match', 'anchor']);

/** The filter rules of the image, in the order of its file, without their logs. */
const wantedRules = ({ subject: { ruleset } }: CellPlan): readonly string[] =>
  ruleset.rules.filter(({ action }) => FILTERS.has(action)).map((rule) => unlogged(printRule(rule)));

/** What of the instance is not as the packets were made for. */
function surroundingFlaws(plan: CellPlan, told: Told): readonly string[] {
  const { situation } = plan.subject;
  const missing = [
    [told.first, externalName(situation.view)],
    [told.second, OTHER_CARD],
  ].flatMap(([card = '', name = '']) => {
    const has = told.addresses.get(card) ?? [];
    const should = (plan.addresses[name] ?? []).map(bare);
    return [...should.filter((each) => !has.includes(each)), ...has.filter((each) => !should.includes(each))]
      .length === 0
      ? []
      : [`${card} has ${has.join(' ') || 'no address'}, not ${should.join(' ') || 'none'}`];
  });
  return [
    ...rulesApart(wantedRules(plan), told.rules),
    ...missing,
    ...(told.egress === told.first
      ? []
      : [`egress is ${told.egress || 'nobody'}: ${told.first} alone faces the internet`]),
  ];
}

function readLog(text: string): readonly Logged[] | undefined {
  try {
    return readPflog(gunzipSync(Buffer.from(text.replace(/\s/g, ''), 'base64')));
  } catch {
    return undefined;
  }
}

/** What came of a packet: nothing wrong, or what is. */
interface Judged {
  readonly what: string;
  readonly flaw?: string;
}

/** What every packet is held against. */
interface HeldAgainst {
  /** Filter rules in force, and as the file has them. */
  readonly inForce: readonly string[];
  readonly inFile: readonly string[];
  /** Who decides about single packets, with offenders in their table. */
  readonly evaluator: Evaluator;
  /** Names of the cards, by what they are called in the proof. */
  readonly cards: ReadonlyMap<string, string>;
  /** What pf(4) has logged, by what tells packets apart. */
  readonly logged: ReadonlyMap<number, readonly Logged[]>;
  readonly answered: ReadonlySet<number>;
}

function heldAgainst(
  plan: CellPlan,
  told: Told,
  log: readonly Logged[],
  { answered }: CellsSeen,
): HeldAgainst {
  const { ruleset, world, situation } = plan.subject;
  const tables = { ...world.tables, bruteforce: plan.offenders };
  const logged = new Map<number, Logged[]>();
  for (const each of log) logged.set(each.mark, [...(logged.get(each.mark) ?? []), each]);
  return {
    inForce: told.rules,
    inFile: wantedRules(plan),
    evaluator: new Evaluator(ruleset, { ...world, tables }),
    cards: new Map([
      [externalName(situation.view), told.first],
      [OTHER_CARD, told.second],
    ]),
    ...{ logged, answered },
  };
}

function judgePacket({ sample, entry }: CellPacket, held: HeldAgainst): Judged {
  const { packet, number, row } = sample;
  const { evaluator, cards } = held;
  const nameOf = (name: string): string => cards.get(name) ?? name;
  const flaw = (what: string): Judged => ({
    what: 'otherwise',
    flaw: `${what}: ${describePacket(packet)}; row ${row.id} (${row.from} → ${row.to}); the proof says ${sample.verdict} by ${sample.rule ? printRule(sample.rule) : 'the default'}`,
  });
  const incoming: Packet = { ...packet, interface: entry, direction: 'in', receivedOn: undefined };
  const first = evaluator.decide(incoming);
  const mine = held.logged.get(number) ?? [];
  const came = mine.filter(
    (each) =>
      each.direction === 'in' &&
      each.interface === nameOf(entry) &&
      each.src === formatIp(packet.af, BigInt(packet.src)),
  );
  if (held.answered.has(number) && first.action === 'block') return flaw('it was answered');
  if (came.length === 0) {
    const why = droppedBefore(packet);
    return first.action === 'block' && why !== undefined
      ? { what: `dropped before any rule (${why})` }
      : flaw('the firewall never saw it');
  }
  const expected = sample.packet.direction === 'in' ? sample : { verdict: first.action, rule: first.rule };
  const inFlaw = differs(came, expected.verdict, expected.rule, held);
  if (inFlaw !== undefined) return flaw(`coming in on ${nameOf(entry)}, ${inFlaw}`);
  const left = mine.filter(({ direction }) => direction === 'out');
  for (const each of left) {
    const name = [...cards].find(([, device]) => device === each.interface)?.[0] ?? each.interface;
    const outgoing: Packet = {
      ...{ ...packet, src: first.src, dst: first.dst, dstPort: first.dstPort },
      ...{ interface: name, direction: 'out', receivedOn: entry },
    };
    const second =
      packet.direction === 'out' && name === packet.interface
        ? { verdict: sample.verdict, rule: sample.rule }
        : (({ action, rule }) => ({ verdict: action, rule }))(evaluator.decide(outgoing));
    const outFlaw = differs([each], second.verdict, second.rule, held);
    if (outFlaw !== undefined) return flaw(`going out on ${each.interface}, ${outFlaw}`);
  }
  if (packet.direction === 'out' && !left.some((each) => each.interface === nameOf(packet.interface)))
    return flaw(`it came in and did not go out on ${nameOf(packet.interface)}`);
  return { what: sample.verdict === 'pass' ? 'passed' : 'blocked' };
}

/**
 * How what was logged differs from what the proof says. Another rule may have decided the same where pfctl(8) has moved it to the
 * other side of the proof's.
 */
function differs(
  logged: readonly Logged[],
  verdict: 'pass' | 'block',
  rule: Rule | undefined,
  { inForce, inFile }: HeldAgainst,
): string | undefined {
  const wanted = rule && unlogged(printRule(rule));
  for (const each of logged) {
    const by = each.rule === undefined ? undefined : inForce[each.rule];
    if (each.verdict !== verdict || (by !== wanted && !swapped(by, wanted, inForce, inFile)))
      return `it ${each.verdict === 'pass' ? 'passed' : 'was blocked'} by ${by ?? 'the default'}`;
  }
  return undefined;
}

/** Whether two rules stand in one order in force, and in the other in the file. */
function swapped(
  one: string | undefined,
  other: string | undefined,
  ...lists: readonly (readonly string[])[]
): boolean {
  if (one === undefined || other === undefined) return false;
  const [first, second] = lists.map((rules) => rules.indexOf(one) < rules.indexOf(other));
  return lists.every((rules) => rules.includes(one) && rules.includes(other)) && first !== second;
}
