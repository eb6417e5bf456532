import { formatIp } from '../pf/address.js';
import { Evaluator } from '../pf/evaluate.js';
import type { Packet } from '../pf/evaluate.js';
import { PROTO } from '../pf/names.js';
import { printRule } from '../pf/print.js';
import type { Rule } from '../pf/types.js';
import { describePacket } from '../policy/describe.js';
import { externalName } from '../policy/world.js';
import type { CellPacket, CellPlan } from './cell-plan.js';
import { inOn, loopbacksOf, OTHER_CARD } from './cell-senders.js';
import type { Origin } from './cell-senders.js';
import { CELLS_CHECK, CELLS_JAILS } from './cell-steps.js';
import {
  lostFlaw,
  readLog,
  refusedOf,
  surroundingFlaws,
  toldOf,
  unlogged,
  unsentFlaws,
  wantedRules,
} from './cell-told.js';
import type { Told } from './cell-told.js';
import type { CheckResult } from './checks.js';
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

/** Why FreeBSD drops a packet where it comes in before any rule is asked. */
function droppedBefore({ af, proto, src, dst, flags = 2 }: Packet, loops: boolean): string | undefined {
  const within = (value: Packet['src'], bits: number, prefix: bigint): boolean =>
    BigInt(value) >> BigInt((af === 'inet' ? 32 : 128) - bits) === prefix;
  // ip_input() and ip6_input(): they cannot come from a wire.
  for (const address of loops ? [] : [src, dst])
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
  const unsent = flaws.length > 0 ? flaws : unsentFlaws(plan, typed);
  if (unsent.length > 0) return failed('the packets of the cells could not be sent', unsent);
  if (seen?.arrived !== true) return failed('the guest stopped answering ARP while packets were sent');
  const told = toldOf(typed.get('cells-begin')?.lines ?? []);
  const around = surroundingFlaws(plan, told);
  if (around.length > 0) return failed('the instance is not as the packets were made for', around);
  const ended = typed.get('cells-end')?.lines ?? [];
  const lost = lostFlaw(ended);
  if (lost !== undefined) return failed(lost);
  const log = readLog(ended);
  if (!log) return failed('the log of the firewall is cut off, or is none');
  const refused = refusedOf(plan, typed.get(CELLS_JAILS)?.lines ?? []);
  const held = heldAgainst(plan, told, log, seen, refused);
  const judged = plan.packets.map((packet) =>
    packet.entry === undefined || held.loopbacks.includes(packet.sample.packet.interface)
      ? judgeOwn(packet, held)
      : judgeComing(packet, packet.entry, held),
  );
  const wrong = judged.flatMap(({ flaw }) => flaw ?? []);
  const count = (text: string): number => judged.filter(({ what }) => what === text).length;
  const from = ORIGINS.map(
    (name) => [name, plan.packets.filter((packet) => packet.from === name).length] as const,
  )
    .filter(([, many]) => many > 0)
    .map(([name, many]) => `${many} from ${FROM[name]}`);
  const kinds = [...new Set(judged.map(({ what }) => what))].map((what) => `${count(what)} ${what}`);
  const left = [...plan.left].map(([why, many]) => `${many} ${why}`);
  const detail = `${plan.packets.length} packets of ${plan.tried} cells of ${plan.cells}: ${from.join(', ')}; as the proof says: ${kinds.join(', ')}; ${seen.answered.size} answered; ${told.second} is not in egress; not sent: ${left.join(', ')}`;
  return wrong.length > 0
    ? failed(`${wrong.length} of ${plan.packets.length} packets were not treated as the proof says`, wrong)
    : { id: CELLS_CHECK, state: 'held', detail, seconds, packets: [] };
}

const FROM = {
  internet: 'the internet',
  card: 'a second card',
  bridge: 'machines on the bridges',
  vnet: 'VNET jails',
  plain: 'plain jails',
  host: 'the host',
} as const satisfies Readonly<Record<Origin, string>>;
const ORIGINS = ['internet', 'card', 'bridge', 'vnet', 'plain', 'host'] as const;

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
  /** What the kernel did not send, and the errno. */
  readonly refused: ReadonlyMap<number, number>;
  readonly loopbacks: readonly string[];
}

function heldAgainst(
  plan: CellPlan,
  told: Told,
  log: readonly Logged[],
  { answered }: CellsSeen,
  refused: ReadonlyMap<number, number>,
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
    ...{ logged, answered, refused, loopbacks: loopbacksOf(situation) },
  };
}

/** What was logged of a packet on its way, and not of an answer that happens to have its number. */
function loggedOf(
  { packet, number }: CellPacket['sample'],
  { logged }: HeldAgainst,
  dst = packet.dst,
): readonly Logged[] {
  const [from, to] = [packet.src, dst].map((address) => formatIp(packet.af, BigInt(address)));
  return (logged.get(number) ?? []).filter(
    (each) => each.proto === packet.proto && (each.direction === 'in' ? each.src === from : each.dst === to),
  );
}

/** What is wrong with a packet. */
function flawOf(
  { sample: { packet, row, verdict, rule, number }, from }: CellPacket,
  what: string,
  { refused }: HeldAgainst,
): Judged {
  const errno = refused.get(number);
  return {
    what: 'otherwise',
    flaw: `${what}${errno === undefined ? '' : ` (sendto: errno ${errno})`}: from ${FROM[from]}: ${describePacket(packet)}; row ${row.id} (${row.from} → ${row.to}); the proof says ${verdict} by ${rule ? printRule(rule) : 'the default'}`,
  };
}

/** A packet that comes in from a wire. */
function judgeComing(cell: CellPacket, entry: string, held: HeldAgainst): Judged {
  const { sample } = cell;
  const { packet, number } = sample;
  const { evaluator, cards } = held;
  const nameOf = (name: string): string => cards.get(name) ?? name;
  const flaw = (what: string): Judged => flawOf(cell, what, held);
  const incoming: Packet = { ...packet, ...inOn(entry) };
  const first = evaluator.decide(incoming);
  const mine = loggedOf(sample, held, first.dst);
  const came = mine.filter((each) => each.direction === 'in' && each.interface === nameOf(entry));
  if (held.answered.has(number) && first.action === 'block') return flaw('it was answered');
  if (came.length === 0) {
    const why = droppedBefore(packet, false);
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
      packet.direction === 'out' && name === packet.interface ? sample : decided(evaluator, outgoing);
    const outFlaw = differs([each], second.verdict, second.rule, held);
    if (outFlaw !== undefined) return flaw(`going out on ${each.interface}, ${outFlaw}`);
  }
  if (packet.direction === 'out' && !left.some((each) => each.interface === nameOf(packet.interface)))
    return flaw(`it came in and did not go out on ${nameOf(packet.interface)}`);
  return { what: sample.verdict === 'pass' ? 'passed' : 'blocked' };
}

/** A packet of the host or of a plain jail: it goes out, and comes in again where that is a loopback. */
function judgeOwn(cell: CellPacket, held: HeldAgainst): Judged {
  const { sample } = cell;
  const { packet } = sample;
  const { evaluator, cards } = held;
  const on = cards.get(packet.interface) ?? packet.interface;
  const flaw = (what: string): Judged => flawOf(cell, what, held);
  const mine = loggedOf(sample, held);
  const at = (direction: Logged['direction']): readonly Logged[] =>
    mine.filter((each) => each.direction === direction && each.interface === on);
  const [left, came] = [at('out'), at('in')];
  const other = mine.find((each) => each.direction === 'out' && each.interface !== on);
  if (other) return flaw(`it went out on ${other.interface}, not on ${on}`);
  if (left.length === 0) return flaw('the firewall never saw it');
  const first = packet.direction === 'out' ? sample : decided(evaluator, { ...packet, direction: 'out' });
  const outFlaw = differs(left, first.verdict, first.rule, held);
  if (outFlaw !== undefined) return flaw(`going out on ${on}, ${outFlaw}`);
  const loops = held.loopbacks.includes(packet.interface);
  const what = sample.verdict === 'pass' ? 'passed' : 'blocked';
  if (!loops || first.verdict === 'block')
    return loops && came.length > 0 ? flaw(`it was blocked and came in on ${on}`) : { what };
  if (came.length === 0) {
    // What is left of a fragment waits for the rest.
    const why = packet.fragment === true ? 'a part' : droppedBefore(packet, true);
    if (why === undefined) return flaw(`it went out and did not come in on ${on}`);
    return { what: packet.direction === 'out' ? what : `dropped before any rule (${why})` };
  }
  const second =
    packet.direction === 'in' ? sample : decided(evaluator, { ...packet, ...inOn(packet.interface) });
  const inFlaw = differs(came, second.verdict, second.rule, held);
  return inFlaw === undefined ? { what } : flaw(`coming in on ${on}, ${inFlaw}`);
}

/** What the oracle says of a packet. */
function decided(evaluator: Evaluator, packet: Packet): Pick<CellPacket['sample'], 'verdict' | 'rule'> {
  const { action, rule } = evaluator.decide(packet);
  return { verdict: action, rule };
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
