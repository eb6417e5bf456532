/** A part of a value, in characters from its start: where a message points. */
export interface Span {
  readonly start: number;
  readonly length: number;
}

/** What is wrong with a value; `span` is the part of it, where it is not all of it. */
export interface Wrong {
  readonly message: string;
  readonly fix: string;
  readonly span?: Span;
}

/** What a reader makes of a text: the value, or which rule the text breaks. */
export type Reading<T> = { readonly value: T } | Wrong;

/** Reads a whole number between two bounds; undefined if it is none. */
export function parseCount(text: string, least: number, most: number): number | undefined {
  if (!/^[1-9][0-9]{0,8}$/.test(text)) return undefined;
  const value = Number(text);
  return value >= least && value <= most ? value : undefined;
}

/** The items of a list, which are separated by blanks, commas or new lines. */
export function itemsOf(text: string): readonly string[] {
  return text.split(/[\s,]+/).filter((item) => item !== '');
}
