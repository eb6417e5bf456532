import { both, FIELD, flagRanges, holds, NO, YES } from '../pf/lines.js';
import type { Fields, Place } from '../pf/lines.js';
import type { Conditions } from '../pf/cells.js';
import type { Packet } from '../pf/evaluate.js';
import { PROTO } from '../pf/names.js';
import { inside, subtract } from '../pf/ranges.js';
import type { Addresses, Ip, Ranges } from '../pf/ranges.js';
import type { Rule } from '../pf/types.js';
import { PARTIES, ip } from './world.js';

/** Packets that a row is about: all that have what is named. */
export interface RowBox {
  readonly src?: Addresses;
  readonly dst?: Addresses;
  readonly protos?: Ranges;
  readonly dstPort?: Ranges;
  readonly srcPort?: Ranges;
  readonly type?: Ranges;
  readonly code?: Ranges;
  /** Interfaces that it came in on; undefined stands for the host itself. */
  readonly receivedOn?: readonly (string | undefined)[];
  /** Whether fragments are not meant. */
  readonly whole?: boolean;
  /** Whether the source is in <bruteforce>. */
  readonly offender?: boolean;
  /** Whether every packet of a TCP connection passes by itself, not the first one for all. */
  readonly stateless?: boolean;
}

/** A row of the policy: whom it is about, and what has to happen to their packets. */
export interface Row {
  readonly id: string;
  readonly from: string;
  readonly to: string;
  readonly why: string;
  readonly verdict: 'pass' | 'block';
  /** The packets at a place that the row is about; none where it is about others. */
  readonly at: (place: Place) => readonly RowBox[];
  /** What the rule that passes has to have beyond passing; gives what it lacks. */
  readonly rule?: (rule: Rule | undefined) => string | undefined;
  /** The packet has to leave with the host's address. */
  readonly translated?: boolean;
  /** Where a redirect has to lead: an address of IPv4, and a port. */
  readonly leadsTo?: { readonly address: Ip; readonly port: number };
}

/** A row as conditions: where it is the first that holds, it says what has to happen; `either` leaves it open. */
export interface RowLine {
  readonly row: Row;
  readonly verdict: 'pass' | 'block' | 'either';
  readonly conditions: Conditions;
}

const only = (value: number): Ranges => [[value, value]];
const TCP = only(PROTO.tcp);
const NOT_TCP = subtract([[0, 255]], TCP);
/** SYN alone of SYN, ACK, FIN and RST: what opens a connection. Of SYN with FIN or RST pf makes what it wants. */
const OPENS = flagRanges({ set: 2, of: 2 | 16 | 1 | 4 });
const SYN = flagRanges({ set: 2, of: 2 | 16 });

/** The rows at a place, in order, as conditions on its fields. */
export function rowLines(rows: readonly Row[], fields: Fields, place: Place): readonly RowLine[] {
  return rows.flatMap((row) =>
    row.at(place).flatMap((box): readonly RowLine[] => {
      const wanted = conditionsOf(box, fields, place);
      const with_ = (verdict: RowLine['verdict'], field: number, ranges: Ranges, more: Conditions = []) => {
        const extra: (Ranges | undefined)[] = [...more];
        extra[field] = ranges;
        const conditions = wanted && both(wanted, extra);
        return conditions ? [{ row, verdict, conditions }] : [];
      };
      if (!wanted) return [];
      if (row.verdict === 'block') return [{ row, verdict: 'block', conditions: wanted }];
      if (box.stateless === true)
        return [...with_('pass', FIELD.fragment, NO), ...with_('either', FIELD.fragment, YES)];
      // What has to pass is the first packet of a connection, in one piece.
      const proto = (ranges: Ranges): Conditions => {
        const conditions: (Ranges | undefined)[] = [];
        conditions[FIELD.proto] = ranges;
        return conditions;
      };
      return [
        ...with_('pass', FIELD.fragment, NO, flags(OPENS)),
        ...with_('pass', FIELD.fragment, NO, proto(NOT_TCP)),
        ...with_('either', FIELD.fragment, YES),
        ...with_('either', FIELD.flags, SYN, proto(TCP)),
      ];
    }),
  );
}

function flags(ranges: Ranges): Conditions {
  const conditions: (Ranges | undefined)[] = [];
  conditions[FIELD.proto] = TCP;
  conditions[FIELD.flags] = ranges;
  return conditions;
}

function conditionsOf(box: RowBox, fields: Fields, { af }: Place): Conditions | undefined {
  const conditions: (Ranges | undefined)[] = [];
  conditions[FIELD.src] = box.src?.[af];
  conditions[FIELD.dst] = box.dst?.[af];
  conditions[FIELD.proto] = box.protos;
  conditions[FIELD.dstPort] = box.dstPort;
  conditions[FIELD.srcPort] = box.srcPort;
  conditions[FIELD.type] = box.type;
  conditions[FIELD.code] = box.code;
  if (box.whole === true) conditions[FIELD.fragment] = NO;
  if (box.receivedOn) conditions[FIELD.receivedOn] = fields.receivedOn(box.receivedOn);
  if (box.offender !== undefined) {
    const field = fields.table('bruteforce', 'src');
    if (field !== undefined) conditions[field] = box.offender ? YES : NO;
  }
  return conditions.some((ranges) => ranges?.length === 0) ? undefined : conditions;
}

const OFFENDERS = [ip(PARTIES.offender4), ip(PARTIES.offender6)];

/** A packet as the values of fields. Those of PARTIES are in <bruteforce>, nobody is in other tables. */
export function packetValues(packet: Packet, fields: Fields): readonly Ip[] {
  const values: Ip[] = [];
  values[FIELD.proto] = packet.proto;
  values[FIELD.receivedOn] = fields.receivedOn([packet.receivedOn])[0]?.[0] ?? 0;
  values[FIELD.fragment] = packet.fragment === true ? 1 : 0;
  values[FIELD.flags] = packet.flags ?? 2;
  values[FIELD.type] = packet.icmpType;
  values[FIELD.code] = packet.icmpCode;
  values[FIELD.dstPort] = packet.dstPort;
  values[FIELD.srcPort] = packet.srcPort;
  values[FIELD.src] = packet.src;
  values[FIELD.dst] = packet.dst;
  for (const name of fields.tables)
    for (const end of ['src', 'dst'] as const) {
      const field = fields.table(name, end);
      const member = name === 'bruteforce' && OFFENDERS.includes(packet[end]);
      if (field !== undefined) values[field] = member ? 1 : 0;
    }
  return values;
}

/** The first row that is about a packet, and what it wants. */
export function rowOf(lines: readonly RowLine[], packet: Packet, fields: Fields): RowLine | undefined {
  const values = packetValues(packet, fields);
  return lines.find(({ conditions }) => holds(conditions, values));
}

/** A test of addresses, for those who have them one by one. */
export function isIn(set: Addresses, address: Ip): boolean {
  return inside(typeof address === 'number' ? set.inet : set.inet6, address);
}
