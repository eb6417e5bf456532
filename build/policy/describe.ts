import { formatIp, WIDTH } from '../pf/address.js';
import type { Box } from '../pf/cells.js';
import type { Packet } from '../pf/evaluate.js';
import { FIELD } from '../pf/lines.js';
import type { Fields, Place } from '../pf/lines.js';
import { icmpTypeName, PROTO, PROTOCOL_NAMES } from '../pf/names.js';
import { printRule } from '../pf/print.js';
import { inside, union } from '../pf/ranges.js';
import type { Ip, Range, Ranges } from '../pf/ranges.js';
import type { Af, Rule } from '../pf/types.js';
import { ip, PARTIES } from './world.js';

/** A packet for people. */
export function describePacket(packet: Packet): string {
  const { af } = packet;
  const address = (value: Ip): string => formatIp(af, BigInt(value));
  const ported = packet.proto === PROTO.tcp || packet.proto === PROTO.udp;
  const name = PROTOCOL_NAMES.get(packet.proto) ?? `protocol ${packet.proto}`;
  const isIcmp = packet.proto === PROTO.icmp || packet.proto === PROTO.icmp6;
  const type = isIcmp
    ? ` ${icmpTypeName(packet.proto === PROTO.icmp ? 'inet' : 'inet6', packet.icmpType) ?? String(packet.icmpType)}${packet.icmpCode === 0 ? '' : ` code ${packet.icmpCode}`}`
    : '';
  const came = packet.receivedOn === undefined ? '' : `, received on ${packet.receivedOn}`;
  const kind = packet.fragment === true ? ' fragment' : '';
  const flags = packet.flags === undefined || packet.flags === 2 ? '' : ` (flags ${packet.flags})`;
  return `${packet.direction} on ${packet.interface}${came}, ${name}${type}${kind}${flags} from ${address(packet.src)}${ported ? ` port ${packet.srcPort}` : ''} to ${address(packet.dst)}${ported ? ` port ${packet.dstPort}` : ''}`;
}

/** What decided about a packet, with the place. */
export function decidedBy({ rule }: { readonly rule?: Rule | undefined }): string {
  if (!rule) return 'decided by the default: no rule matches';
  const { place } = rule;
  return `decided by ${place.file}:${place.line}: ${printRule(rule)}`;
}

type Cells = Box<unknown>['fields'];
type Classes = readonly (readonly Range[])[];

/** Values that say something to people, where a box has them. */
const TYPICAL: Readonly<Record<Af, readonly Ip[]>> = {
  inet: [PARTIES.stranger4, PARTIES.host4, PARTIES.tailnetPeer4].map(ip),
  inet6: [PARTIES.stranger6, PARTIES.host6, PARTIES.tailnetPeer6].map(ip),
};
const PROTOCOLS = [PROTO.tcp, PROTO.udp, PROTO.icmp, PROTO.icmp6];
const PORTS = [22, 443, 8080];
const FLAGS = [2, 16];

/** What packets usually are, by field: violations are shown with such where there are. */
export function usualValues(af: Af): readonly (Ip | undefined)[] {
  const values: Ip[] = [];
  values[FIELD.proto] = PROTO.tcp;
  values[FIELD.flags] = FLAGS[0] ?? 0;
  values[FIELD.fragment] = 0;
  values[FIELD.src] = TYPICAL[af][0] ?? 0;
  values[FIELD.dst] = TYPICAL[af][1] ?? 0;
  return values;
}

/** One packet of a box. */
export function exampleOf(box: Cells, classes: Classes, fields: Fields, place: Place): Packet {
  const pick = (field: number, typical: readonly Ip[]): Ip => {
    const ranges = rangesOf(box, classes, field) ?? [fields.spans[field] ?? [0, 0]];
    return typical.find((value) => inside(ranges, value)) ?? ranges[0]?.[0] ?? 0;
  };
  const number = (field: number, typical: readonly Ip[] = []): number => Number(pick(field, typical));
  const proto = number(
    FIELD.proto,
    PROTOCOLS.filter((value) => value !== (place.af === 'inet' ? PROTO.icmp6 : PROTO.icmp)),
  );
  const came = number(FIELD.receivedOn);
  return {
    interface: place.interface,
    direction: place.direction,
    af: place.af,
    proto,
    src: pick(FIELD.src, TYPICAL[place.af]),
    dst: pick(FIELD.dst, [TYPICAL[place.af][1] ?? 0, ...TYPICAL[place.af]]),
    srcPort: number(FIELD.srcPort, [40000]),
    dstPort: number(FIELD.dstPort, PORTS),
    icmpType: number(FIELD.type),
    icmpCode: number(FIELD.code),
    flags: number(FIELD.flags, FLAGS),
    fragment: number(FIELD.fragment) === 1,
    ...(came > 0 && { receivedOn: fields.interfaces[came - 1] }),
  };
}

/** The ranges of a field that a box has; undefined for all. */
export function rangesOf(box: Cells, classes: Classes, field: number): Ranges | undefined {
  const members = box[field];
  if (!members) return undefined;
  return union(members.flatMap((index): readonly Range[] => classes[field]?.slice(index, index + 1) ?? []));
}

/** How many parts of a field a person is shown. */
const SHOWN = 4;

/** A box for people: what all of its packets have, and one of them. */
export function describeBox(
  box: Cells,
  classes: Classes,
  fields: Fields,
  place: Place,
  packet: Packet,
): string {
  const parts: string[] = [];
  const add = (field: number, name: string, show: (range: Range) => string): void => {
    const ranges = rangesOf(box, classes, field);
    const [span] = fields.spans.slice(field, field + 1);
    if (!ranges || (ranges.length === 1 && span && ranges[0]?.[0] === span[0] && ranges[0][1] === span[1]))
      return;
    const shown = ranges.slice(0, SHOWN).map(show);
    if (ranges.length > SHOWN) shown.push(`${ranges.length - SHOWN} more`);
    parts.push(`${name} ${shown.join(', ')}`);
  };
  const plain = ([low, high]: Range): string => (low === high ? String(low) : `${low}–${high}`);
  add(FIELD.src, 'from', (range) => printRange(place.af, range));
  add(FIELD.srcPort, 'source port', plain);
  add(FIELD.dst, 'to', (range) => printRange(place.af, range));
  add(FIELD.dstPort, 'port', plain);
  add(FIELD.type, 'type', plain);
  add(FIELD.code, 'code', plain);
  add(FIELD.proto, 'protocol', ([low, high]) =>
    low === high ? (PROTOCOL_NAMES.get(Number(low)) ?? String(low)) : `${low}–${high}`,
  );
  for (const name of fields.tables)
    for (const end of ['src', 'dst'] as const) {
      const field = fields.table(name, end);
      const members = field === undefined ? undefined : box[field];
      if (members?.length === 1 && field !== undefined)
        parts.push(
          `the ${end === 'src' ? 'source' : 'destination'} ${classes[field]?.[members[0] ?? 0]?.[0] === 1 ? '' : 'not '}in <${name}>`,
        );
    }
  return `${parts.length === 0 ? 'all packets' : `all packets ${parts.join(', ')}`}, as ${describePacket(packet)}`;
}

/** A range of addresses: as a network where it is one. */
export function printRange(af: Af, [low, high]: Range): string {
  const [from, to] = [BigInt(low), BigInt(high)];
  const size = to - from + 1n;
  const bits = size.toString(2).length - 1;
  if (from === to) return formatIp(af, from);
  if (size === 1n << BigInt(bits) && from % size === 0n) return `${formatIp(af, from)}/${WIDTH[af] - bits}`;
  return `${formatIp(af, from)}–${formatIp(af, to)}`;
}
