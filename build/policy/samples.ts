import { everyBox } from '../pf/cells.js';
import type { Box, Diagram } from '../pf/cells.js';
import type { Packet } from '../pf/evaluate.js';
import { FIELD, YES } from '../pf/lines.js';
import { PROTO } from '../pf/names.js';
import { addresses, inside } from '../pf/ranges.js';
import type { Ip, Range, Ranges } from '../pf/ranges.js';
import type { Rule } from '../pf/types.js';
import type { Outcome } from './decide.js';
import { rangesOf } from './describe.js';
import { decidePolicy } from './prove.js';
import type { Decided, Subject } from './prove.js';
import { isIn } from './row.js';
import type { Row } from './row.js';
import { ip, jailAddress } from './world.js';

/** Who sends packets: what they rather have, where their cell lets them. */
export interface Sender {
  /** Addresses, the first of which that is in a cell is taken. */
  readonly src: readonly string[];
  /** The same of where they go, at an interface. */
  readonly dst: (at: string) => readonly string[];
  /** Whether it is this host, so that what goes out came in nowhere. */
  readonly own: boolean;
}

/** One packet of a cell, and what the proof says of all that are in it. */
export interface Sample<By extends Sender = Sender> {
  readonly by: By;
  /** From 1; the packet differs from those of other numbers as far as its cell lets it. */
  readonly number: number;
  readonly packet: Packet;
  /** Whether its source has to be in <bruteforce>: nobody else's is then the same. */
  readonly offender: boolean;
  readonly row: Row;
  readonly verdict: 'pass' | 'block';
  /** The rule that decides; none where the default does. */
  readonly rule: Rule | undefined;
}

/** The packets of all cells of some interfaces. */
export interface Samples<By extends Sender> {
  /** For each cell a packet of each sender; of hosts in <bruteforce> as far as an address is left. */
  readonly cells: readonly (readonly Sample<By>[])[];
  /** Cells of which the policy says nothing: what is no first packet of a connection. */
  readonly open: number;
  /** Cells of hosts in <bruteforce> that have no address that is not another cell's, too. */
  readonly shared: number;
}

/** A cell whose packet is yet to be chosen. */
interface Cell {
  readonly decided: Decided;
  readonly diagram: Diagram<Outcome>;
  readonly box: Box<Outcome>['fields'];
  readonly row: Row;
  readonly outcome: Outcome;
  /** Where jails are. */
  readonly homes: readonly { readonly bridge: string; readonly net: string }[];
}

/**
 * One packet of every cell of the proof, of each sender, at the places of some interfaces. Pure.
 *
 * @param wanted the names of the interfaces, as the proof's world has them
 */
export function samplesOf<By extends Sender>(
  subject: Subject,
  wanted: (name: string) => boolean,
  senders: readonly By[],
): Samples<By> {
  const cells: Cell[] = [];
  const homes = subject.situation.view.tenants;
  let open = 0;
  for (const decided of decidePolicy(subject, true, wanted))
    for (const diagram of decided.diagrams)
      for (const { fields: box, value } of everyBox(diagram)) {
        if (value.row) cells.push({ decided, diagram, box, row: value.row, outcome: value, homes });
        else open++;
      }
  const [known, banned] = [cells.filter((cell) => !isOffender(cell)), cells.filter(isOffender)];
  let number = 1;
  const samples = new Map(cells.map((cell) => [cell, [] as Sample<By>[]]));
  for (const by of senders) for (const cell of known) samples.get(cell)?.push(sampleOf(cell, number++, by));
  const taken = new Set([...samples.values()].flatMap((of) => of.map(({ packet }) => packet.src)));
  for (const by of senders)
    for (const cell of banned) {
      const found = sampleOf(cell, number, by, (src) => !taken.has(src));
      if (found.packet.src === NOBODY) continue;
      samples.get(cell)?.push(found);
      number++;
    }
  const some = [...samples.values()].filter(({ length }) => length > 0);
  return { cells: some, open, shared: samples.size - some.length };
}

function isOffender({ decided: { fields }, diagram, box }: Cell): boolean {
  const field = fields.table('bruteforce', 'src');
  const ranges = field === undefined ? undefined : rangesOf(box, diagram.classes, field);
  return ranges?.length === 1 && ranges[0]?.[0] === YES[0]?.[0];
}

/** What stands for no address at all. */
const NOBODY = -1;

function sampleOf<By extends Sender>(
  cell: Cell,
  number: number,
  by: By,
  free: (src: Ip) => boolean = () => true,
): Sample<By> {
  const { diagram, box, row, outcome } = cell;
  const { fields, place } = cell.decided;
  const six = place.af === 'inet6';
  const ranges = (field: number): Ranges =>
    rangesOf(box, diagram.classes, field) ?? [fields.spans[field] ?? [0, 0]];
  const one = (field: number, ...typical: readonly number[]): number => {
    const among = ranges(field);
    return typical.find((value) => inside(among, value)) ?? Number(spread(among, number).next().value ?? 0);
  };
  const address = (field: number, own: readonly string[], may: (value: Ip) => boolean = () => true): Ip => {
    const among = ranges(field);
    const usual = own.map(ip).find((value) => inside(among, value) && may(value));
    if (usual !== undefined) return usual;
    // A destination is not the source.
    for (const value of spread(among, field === FIELD.dst ? number + 7 : number))
      if (may(value)) return value;
    return NOBODY;
  };
  const turn = 100 + (number % 150);
  const usual = six
    ? // Each of a /64 of its own: where one of it is banned, all of it are.
      [`2001:db8:ffff:${(number + 1).toString(16)}::1`]
    : [`198.51.100.${turn}`, ...cell.homes.map(({ net }) => jailAddress(net, turn))];
  const src = address(FIELD.src, [...by.src.filter((text) => text.includes(':') === six), ...usual], free);
  const bridges = cell.homes.flatMap(({ bridge, net }) => (isIn(addresses(net), src) ? [bridge] : []));
  // What has a jail's address came from its bridge, where it may; all else is the host's own.
  const through = fields.receivedOn(bridges).map(([low]) => Number(low));
  const came = one(FIELD.receivedOn, ...(by.own ? [0] : [...through, 0]));
  const there = by.dst(place.interface).filter((text) => text.includes(':') === six);
  const packet: Packet = {
    interface: place.interface,
    direction: place.direction,
    af: place.af,
    proto: one(FIELD.proto, ...PROTOCOLS, six ? PROTO.icmp6 : PROTO.icmp, 47, 50, 89),
    src,
    dst: address(FIELD.dst, [
      ...there,
      six ? `2001:db8:fffe::${number.toString(16)}` : `198.51.100.${turn + 1}`,
    ]),
    srcPort: one(FIELD.srcPort, 20_000 + number, 52_000 + (number % 10_000)),
    dstPort: one(FIELD.dstPort, 22, 443, 8080),
    icmpType: one(FIELD.type, ...(six ? [128, 129, 1] : [8, 0, 13, 3])),
    icmpCode: one(FIELD.code, 0),
    flags: one(FIELD.flags, ...FLAGS),
    fragment: one(FIELD.fragment, 0) === 1,
    ...(came > 0 && { receivedOn: fields.interfaces[came - 1] }),
  };
  const { rule } = outcome;
  const verdict = rule ? (rule.action === 'pass' ? 'pass' : 'block') : blockedBy(outcome, row);
  return { by, number, packet, offender: isOffender(cell), row, verdict, rule };
}

/** Where no rule decides, the default blocks; what the row wants holds where nothing is wrong with it. */
function blockedBy({ problem }: Outcome, { verdict }: Row): Sample['verdict'] {
  return problem === undefined ? verdict : 'block';
}

const PROTOCOLS = [PROTO.tcp, PROTO.udp];
/** SYN, ACK, SYN with ACK, RST. */
const FLAGS = [2, 16, 18, 4];
/** Values of one range that are tried. */
const TRIES = 256;

/** Values of ranges, from the middle of the widest on: what others begin at differs. */
function* spread(ranges: Ranges, number: number): Generator<Ip> {
  const size = ([low, high]: Range): bigint => BigInt(high) - BigInt(low) + 1n;
  const widest = ranges.reduce<Range | undefined>(
    (most, range) => (most && size(most) >= size(range) ? most : range),
    undefined,
  );
  if (!widest) return;
  const all = size(widest);
  const [low] = widest;
  for (let index = 0; index < TRIES && BigInt(index) < all; index++) {
    const value = BigInt(low) + ((all / 2n + BigInt(number + index)) % all);
    yield typeof low === 'bigint' ? value : Number(value);
  }
}
