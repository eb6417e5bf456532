import type { Conditions, Diagram, Node } from '../pf/cells.js';
import { FIELD } from '../pf/lines.js';
import { icmpCodeName, icmpTypeName, PROTO, PROTOCOL_NAMES } from '../pf/names.js';
import { intersect, subtract, union } from '../pf/ranges.js';
import type { Range, Ranges } from '../pf/ranges.js';
import type { Af } from '../pf/types.js';

/** An inclusive range of numbers. */
export type Span = readonly [number, number];

/** Packets of some protocols, as far as ports and ICMP types tell them apart. JSON. */
export interface Service {
  /** Numbers of IP protocols. */
  readonly protocols: readonly Span[];
  /** Destination ports; none where all. */
  readonly ports?: readonly Span[];
  /** ICMP types with their codes; none where all. */
  readonly types?: readonly { readonly type: Span; readonly code?: Span }[];
  /** For people, as `tcp 22, 80`. */
  readonly text: string;
}

/** Protocols, ports, types and codes of some packets; undefined stands for all. */
export interface ServiceBox {
  readonly protos?: Ranges;
  readonly types?: Ranges;
  readonly codes?: Ranges;
  readonly ports?: Ranges;
}

const PART: Readonly<Record<number, keyof ServiceBox>> = {
  [FIELD.proto]: 'protos',
  [FIELD.type]: 'types',
  [FIELD.code]: 'codes',
  [FIELD.dstPort]: 'ports',
};

/** For each end of a diagram the services among whose packets there are some that get there. */
export function servicesOf<L>({ root, classes }: Diagram<L>): ReadonlyMap<L, readonly ServiceBox[]> {
  const memo = new Map<Node<L>, Map<L, ServiceBox[]>>();
  const visit = (node: Node<L>): Map<L, ServiceBox[]> => {
    if ('value' in node) return new Map([[node.value, [{}]]]);
    const known = memo.get(node);
    if (known) return known;
    const found = new Map<L, ServiceBox[]>();
    const part = PART[node.field];
    for (const { classes: members, child } of node.groups) {
      const ranges = part && rangesOf(classes[node.field] ?? [], members);
      for (const [value, boxes] of visit(child)) {
        const list = found.get(value) ?? [];
        for (const box of boxes) {
          const narrower = part ? { ...box, [part]: ranges } : box;
          if (!list.some((other) => alike(other, narrower))) list.push(narrower);
        }
        found.set(value, list);
      }
    }
    memo.set(node, found);
    return found;
  };
  return visit(root);
}

function rangesOf(classes: readonly Range[], members: readonly number[]): Ranges {
  return union(members.flatMap((index): readonly Range[] => classes.slice(index, index + 1)));
}

const equal = (left: Ranges | undefined, right: Ranges | undefined): boolean =>
  left === right ||
  (left?.length === right?.length &&
    left?.every(([low, high], index) => low === right?.[index]?.[0] && high === right[index][1]) === true);
const alike = (left: ServiceBox, right: ServiceBox): boolean =>
  equal(left.protos, right.protos) &&
  equal(left.ports, right.ports) &&
  equal(left.types, right.types) &&
  equal(left.codes, right.codes);

/** For each end of a diagram the values of a field that packets have which get there, among those of a domain. */
export function valuesOf<L>(
  { root, classes }: Diagram<L>,
  field: number,
  domain: Conditions,
): ReadonlyMap<L, Ranges> {
  const all = domain[field] ?? [[classes[field]?.[0]?.[0] ?? 0, classes[field]?.at(-1)?.[1] ?? 0]];
  const memo = new Map<Node<L>, Map<L, Ranges>>();
  const visit = (node: Node<L>): Map<L, Ranges> => {
    if ('value' in node) return new Map([[node.value, all]]);
    const known = memo.get(node);
    if (known) return known;
    const found = new Map<L, Ranges>();
    for (const { classes: members, child } of node.groups) {
      const here = node.field === field ? intersect(rangesOf(classes[field] ?? [], members), all) : undefined;
      for (const [value, below] of visit(child)) {
        const ranges = here ?? below;
        const before = found.get(value);
        found.set(value, before === undefined || before === ranges ? ranges : union(before, ranges));
      }
    }
    memo.set(node, found);
    return found;
  };
  return visit(root);
}

/** What all boxes together are, by protocol: those that have the same are one service. */
export function joinServices(af: Af, boxes: readonly ServiceBox[]): readonly Service[] {
  const groups = new Map<string, { readonly protocols: number[]; readonly detail: Detail }>();
  for (let proto = 0; proto < 256; proto++) {
    const own = boxes.filter(
      ({ protos }) => !protos || protos.some(([low, high]) => proto >= low && proto <= high),
    );
    if (own.length === 0) continue;
    const detail = detailOf(proto, own);
    const key = JSON.stringify(detail);
    const group = groups.get(key);
    if (group) group.protocols.push(proto);
    else groups.set(key, { protocols: [proto], detail });
  }
  return [...groups.values()].map(({ protocols, detail }) => {
    const spans = toSpans(union(protocols.map((proto): Range => [proto, proto])));
    return { protocols: spans, ...detail, text: textOf(af, spans, detail) };
  });
}

/** Whether services are all that there are. */
export function isEverything(services: readonly Service[]): boolean {
  const [only] = services;
  return (
    services.length === 1 &&
    only?.ports === undefined &&
    only?.types === undefined &&
    only?.protocols.length === 1 &&
    only.protocols[0]?.[0] === 0 &&
    only.protocols[0][1] === 255
  );
}

const one = (value: number): Ranges => [[value, value]];
const but = (...spans: readonly Range[]): Ranges => subtract([[0, 255]], spans);
const { icmp: ICMP, icmp6: ICMP6 } = PROTO;

/**
 * Packets but for signals: neighbour discovery (RFC 4861) and path-MTU messages (RFC 1191, RFC 8201), without which IP
 * does not work.
 */
export const NO_SIGNALS: Readonly<Record<Af, readonly ServiceBox[]>> = {
  inet: [
    { protos: but([ICMP, ICMP]) },
    { protos: one(ICMP), types: but([3, 3]) },
    { protos: one(ICMP), types: one(3), codes: but([4, 4]) },
  ],
  inet6: [{ protos: but([ICMP6, ICMP6]) }, { protos: one(ICMP6), types: but([2, 2], [133, 136]) }],
};

/** A box of services as conditions on the fields of packets. */
export function conditionsOf(box: ServiceBox): Conditions {
  const conditions: (Ranges | undefined)[] = [];
  for (const [field, part] of Object.entries(PART)) conditions[Number(field)] = box[part];
  return conditions;
}

/** Whether boxes have nothing but signals. */
export function isSignals(af: Af, boxes: readonly ServiceBox[]): boolean {
  const met = (left: Ranges | undefined, right: Ranges | undefined): boolean =>
    !left || !right || intersect(left, right).length > 0;
  return boxes.every((box) =>
    NO_SIGNALS[af].every(
      (other) =>
        !met(box.protos, other.protos) || !met(box.types, other.types) || !met(box.codes, other.codes),
    ),
  );
}

/** Services for people: where nearly all is among them, what is not. */
export function serviceTexts(services: readonly Service[]): readonly string[] {
  const covered = union(
    ...services.map(({ protocols }) => protocols.map(([low, high]): Range => [low, high])),
  );
  if (services.length < 2 || !isAll(covered, 255) || services.some(({ types }) => types))
    return services.map(({ text }) => text);
  const missing = services.flatMap(({ protocols, ports }) => {
    const closed = ports
      ? toSpans(
          subtract(
            [[0, 65535]],
            ports.map(([low, high]): Range => [low, high]),
          ),
        )
      : [];
    return closed.length === 0 ? [] : [{ protocols, closed }];
  });
  if (missing.some(({ closed }) => closed.length > 3)) return services.map(({ text }) => text);
  return [
    `everything but ${missing.map(({ protocols, closed }) => textOf('inet', protocols, { ports: closed })).join(', ')}`,
  ];
}

type Detail = Pick<Service, 'ports' | 'types'>;
const PORTED = new Set<number>([PROTO.tcp, PROTO.udp, 132]);
const TYPED = new Set<number>([PROTO.icmp, PROTO.icmp6]);

function detailOf(proto: number, boxes: readonly ServiceBox[]): Detail {
  if (PORTED.has(proto)) {
    if (boxes.some(({ ports }) => !ports)) return {};
    const ports = union(...boxes.map((box) => box.ports ?? []));
    return isAll(ports, 65535) ? {} : { ports: toSpans(ports) };
  }
  if (!TYPED.has(proto)) return {};
  // A code without a type is no condition of any rule.
  const any: Ranges = [[0, 255]];
  const whole = union(...boxes.map(({ types, codes }) => (codes ? [] : (types ?? any))));
  const types = [
    ...toSpans(whole).map((type) => ({ type })),
    ...boxes.flatMap(({ types: own, codes }) =>
      codes ? toSpans(own ?? any).flatMap((type) => toSpans(codes).map((code) => ({ type, code }))) : [],
    ),
  ];
  const distinct = [...new Map(types.map((type) => [JSON.stringify(type), type])).values()].filter(
    (type) => !('code' in type) || !whole.some(([low, high]) => type.type[0] >= low && type.type[1] <= high),
  );
  return isAll(whole, 255) ? {} : { types: distinct };
}

const isAll = (ranges: Ranges, last: number): boolean =>
  ranges.length === 1 && ranges[0]?.[0] === 0 && ranges[0][1] === last;
const toSpans = (ranges: Ranges): readonly Span[] =>
  ranges.map(([low, high]): Span => [Number(low), Number(high)]);

function textOf(af: Af, protocols: readonly Span[], { ports, types }: Detail): string {
  const few = protocols.flatMap(([low, high]) =>
    low === high ? [PROTOCOL_NAMES.get(low) ?? `protocol ${low}`] : [`protocols ${low}–${high}`],
  );
  const all = protocols.length === 1 && protocols[0]?.[0] === 0 && protocols[0][1] === 255;
  const outside = gaps(protocols);
  const name =
    outside.length > 0 && outside.length <= 3
      ? `everything but ${outside.map((proto) => PROTOCOL_NAMES.get(proto) ?? `protocol ${proto}`).join(', ')}`
      : few.join(', ');
  const what = all ? 'everything' : name;
  if (ports)
    return `${what} ${ports.map(([low, high]) => (low === high ? String(low) : `${low}–${high}`)).join(', ')}`;
  if (!types) return what;
  const typeName = ([low, high]: Span): string =>
    low === high ? (icmpTypeName(af, low) ?? String(low)) : `${low}–${high}`;
  return `${what} ${types
    .map(({ type, code }) =>
      code === undefined
        ? typeName(type)
        : `${typeName(type)} code ${code[0] === code[1] && type[0] === type[1] ? (icmpCodeName(af, type[0], code[0]) ?? String(code[0])) : `${code[0]}–${code[1]}`}`,
    )
    .join(', ')}`;
}

/** Protocols that spans leave out, where these are single ones. */
function gaps(protocols: readonly Span[]): readonly number[] {
  const rest: number[] = [];
  let next = 0;
  for (const [low, high] of [...protocols, [256, 256] as const]) {
    for (let proto = next; proto < low && rest.length < 4; proto++) rest.push(proto);
    next = high + 1;
  }
  return rest;
}
