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

/** What a reader makes of a text that has parts: the value, or every rule that one of them breaks, in their order. */
export type Readings<T> = { readonly value: T } | { readonly wrong: readonly Wrong[] };

/** A part of a value, and where it stands. */
export interface Word {
  readonly text: string;
  readonly span: Span;
}

/** Reads a whole number between two bounds; undefined if it is none. */
export function parseCount(text: string, least: number, most: number): number | undefined {
  if (!/^[1-9][0-9]{0,8}$/.test(text)) return undefined;
  const value = Number(text);
  return value >= least && value <= most ? value : undefined;
}

/** The items of a list, which are separated by blanks, commas or new lines. */
export function wordsOf(text: string): readonly Word[] {
  return [...text.matchAll(/[^\s,]+/g)].map(({ 0: word, index }) => ({
    text: word,
    span: { start: index, length: word.length },
  }));
}

/** The texts of the items of a list. */
export function itemsOf(text: string): readonly string[] {
  return wordsOf(text).map((word) => word.text);
}

/** Reads a list whose items one reader reads, `most` of them at most; none comes twice. */
export function readItems<T>(
  input: string,
  read: (item: string) => Reading<T>,
  most: number,
): Readings<readonly T[]> {
  const words = wordsOf(input);
  const values: T[] = [];
  const wrong: Wrong[] = [];
  const seen = new Set<unknown>();
  for (const { text, span } of words.slice(0, most)) {
    const result = read(text);
    const same = 'value' in result && typeof result.value === 'string' ? result.value : text;
    if (seen.has(same)) wrong.push({ message: `names ${text} twice`, fix: 'remove one of them', span });
    else if ('value' in result) values.push(result.value);
    else wrong.push({ ...result, message: `${result.message} (here: ${text})`, span });
    seen.add(same);
  }
  const further = words[most];
  if (further)
    wrong.push({
      message: `has ${words.length} entries, ${most} at most`,
      fix: 'remove some',
      span: further.span,
    });
  return wrong.length > 0 ? { wrong } : { value: values };
}
