import { step } from './ranges.js';
import type { Ip, Range, Ranges } from './ranges.js';

/** What a line wants of each field, by its number; undefined where it wants nothing. */
export type Conditions = readonly (Ranges | undefined)[];

/** An end of a decision: what is so for a whole box of packets. Two ends with one key are the same. */
export interface Leaf<L> {
  readonly value: L;
}

/** A node of the diagram: the classes of a field, grouped by what follows. */
export interface Branch<L> {
  readonly field: number;
  readonly groups: readonly { readonly classes: readonly number[]; readonly child: Node<L> }[];
}

/** A part of a diagram. */
export type Node<L> = Leaf<L> | Branch<L>;

/** What is to be decided. */
export interface Question<L> {
  /** All values that each field has. */
  readonly spans: readonly Range[];
  readonly lines: readonly Conditions[];
  /**
   * Given the lines that are still alive, in order, and the number of the field that is asked next: those that still
   * matter, or what is so whatever follows.
   *
   * @param certain whether a line wants nothing of the fields that are still to come
   */
  readonly narrow: (
    alive: readonly number[],
    certain: (line: number) => boolean,
  ) => readonly number[] | { readonly key: string; readonly value: () => L };
  /** What is so where all of these lines match, and no other. */
  readonly end: (alive: readonly number[]) => { readonly key: string; readonly value: () => L };
}

/** The answer for every packet. */
export interface Diagram<L> {
  readonly root: Node<L>;
  /** The classes of each field, as the ranges that they are. */
  readonly classes: readonly (readonly Range[])[];
  /** How many boxes the packets fall into. */
  readonly cells: number;
}

/**
 * Cuts every field into classes that no line tells apart, and decides each combination of them: field by field, with
 * what was found for the same lines still alive taken from memory (Gouda and Liu, "Structured firewall design", 2007).
 * Exact: every packet is in one box.
 */
export function decideCells<L>({ spans, lines, narrow, end }: Question<L>): Diagram<L> {
  const fields = spans.length;
  const classes = spans.map((span, field) => cut(span, lines, field));
  // Many lines want the same.
  const bitmaps: (Uint8Array | undefined)[][] = lines.map(() => []);
  for (const [field, ranges] of classes.entries()) {
    const known = new Map<Ranges, Uint8Array>();
    for (const [index, line] of lines.entries()) {
      const wanted = line[field];
      if (!wanted) continue;
      let bitmap = known.get(wanted);
      if (!bitmap) known.set(wanted, (bitmap = bitmapOf(wanted, ranges)));
      (bitmaps[index] ??= [])[field] = bitmap;
    }
  }
  const last = bitmaps.map((line) => line.length - 1);
  const leaves = new Map<string, Leaf<L>>();
  const leaf = ({ key, value }: { readonly key: string; readonly value: () => L }): Leaf<L> => {
    let known = leaves.get(key);
    if (!known) leaves.set(key, (known = { value: value() }));
    return known;
  };
  const memos = spans.map(() => new Map<string, Node<L>>());
  const counts = new Map<Node<L>, number>();

  const explore = (depth: number, before: readonly number[]): Node<L> => {
    const narrowed = narrow(before, (line) => (last[line] ?? -1) < depth);
    if ('key' in narrowed) return leaf(narrowed);
    // The next field that a line asks for: the others tell nothing apart.
    let field = fields;
    for (const line of narrowed) for (let at = depth; at < field; at++) if (bitmaps[line]?.[at]) field = at;
    if (field === fields) return leaf(end(narrowed));
    const key = String.fromCharCode(...narrowed);
    const memo = memos[field];
    const known = memo?.get(key);
    if (known) return known;
    const asked: Uint8Array[] = [];
    for (const line of narrowed) {
      const bitmap = bitmaps[line]?.[field];
      if (bitmap) asked.push(bitmap);
    }
    const alike = new Map<string, number[]>();
    for (let index = 0; index < (classes[field]?.length ?? 0); index++) {
      let signature = '';
      for (const bitmap of asked) signature += bitmap[index] === 1 ? '1' : '0';
      const group = alike.get(signature);
      if (group) group.push(index);
      else alike.set(signature, [index]);
    }
    const merged = new Map<Node<L>, number[]>();
    for (const group of alike.values()) {
      const [first = 0] = group;
      const alive = narrowed.filter((line) => {
        const bitmap = bitmaps[line]?.[field];
        return !bitmap || bitmap[first] === 1;
      });
      const child = explore(field + 1, alive);
      const same = merged.get(child);
      if (same) same.push(...group);
      else merged.set(child, [...group]);
    }
    const [only] = merged.size === 1 ? merged.keys() : [];
    const node: Node<L> = only ?? {
      field,
      groups: [...merged].map(([child, members]) => ({ classes: members, child })),
    };
    if (!only) {
      let cells = 0;
      for (const child of merged.keys()) cells += counts.get(child) ?? 1;
      counts.set(node, cells);
    }
    memo?.set(key, node);
    return node;
  };
  const root = explore(
    0,
    lines.map((_, index) => index),
  );
  return { root, classes, cells: counts.get(root) ?? 1 };
}

/** Which classes are in ranges; both are in order. */
function bitmapOf(wanted: Ranges, classes: readonly Range[]): Uint8Array {
  const bitmap = new Uint8Array(classes.length);
  let at = 0;
  for (const [low, high] of wanted) {
    while (at < classes.length && (classes[at]?.[0] ?? 0) < low) at++;
    for (; at < classes.length && (classes[at]?.[0] ?? 0) <= high; at++) bitmap[at] = 1;
  }
  return bitmap;
}

/** The parts of a field between all bounds of the lines. */
function cut([least, most]: Range, lines: readonly Conditions[], field: number): readonly Range[] {
  const starts = new Set<Ip>([least]);
  const known = new Set<Ranges>();
  for (const line of lines) {
    const wanted = line[field];
    if (!wanted || known.has(wanted)) continue;
    known.add(wanted);
    for (const [low, high] of wanted) {
      if (low > least && low <= most) starts.add(low);
      if (high >= least && high < most) starts.add(step(high, 1));
    }
  }
  const sorted = [...starts].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  return sorted.map((low, index) => {
    const next = sorted[index + 1];
    return [low, next === undefined ? most : step(next, -1)];
  });
}

/** A box of packets: for each field the classes that are in it, undefined for all; and what is so in it. */
export interface Box<L> {
  readonly fields: readonly (readonly number[] | undefined)[];
  readonly value: L;
}

/**
 * One box for each end of a diagram that is asked for.
 *
 * @param wanted gives a name to an end; of those with one name one is given, of those without none
 * @param usual values of fields: boxes with them are looked for first, then wide ones
 */
export function boxesOf<L>(
  { root, classes: parts }: Diagram<L>,
  wanted: (value: L) => string | undefined,
  usual: readonly (Ip | undefined)[] = [],
): readonly Box<L>[] {
  const usualClass = usual.map((value, field) =>
    value === undefined
      ? -1
      : (parts[field]?.findIndex(([low, high]) => value >= low && value <= high) ?? -1),
  );
  const below = new Map<Node<L>, ReadonlySet<string>>();
  const namesOf = (node: Node<L>): ReadonlySet<string> => {
    const known = below.get(node);
    if (known) return known;
    const names = new Set<string>();
    if ('value' in node) {
      const name = wanted(node.value);
      if (name !== undefined) names.add(name);
    } else for (const { child } of node.groups) for (const name of namesOf(child)) names.add(name);
    below.set(node, names);
    return names;
  };
  const found = new Map<string, Box<L>>();
  const fields: (readonly number[] | undefined)[] = [];
  const visit = (node: Node<L>): void => {
    const names = namesOf(node);
    if ([...names].every((name) => found.has(name))) return;
    if ('value' in node) {
      for (const name of names) found.set(name, { fields: [...fields], value: node.value });
      return;
    }
    const rank = (classes: readonly number[]): number =>
      classes.includes(usualClass[node.field] ?? -1) ? Infinity : classes.length;
    const groups = [...node.groups].sort((a, b) => (rank(a.classes) < rank(b.classes) ? 1 : -1));
    for (const { classes, child } of groups) {
      fields[node.field] = classes;
      visit(child);
    }
    fields[node.field] = undefined;
  };
  visit(root);
  return [...found.values()];
}

/** Every box of a diagram. */
export function* everyBox<L>({ root }: Diagram<L>): Generator<Box<L>> {
  const fields: (readonly number[] | undefined)[] = [];
  const visit = function* (node: Node<L>): Generator<Box<L>> {
    if ('value' in node) {
      yield { fields: [...fields], value: node.value };
      return;
    }
    for (const { classes, child } of node.groups) {
      fields[node.field] = classes;
      yield* visit(child);
    }
    fields[node.field] = undefined;
  };
  yield* visit(root);
}
