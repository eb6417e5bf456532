import { Lexer, PfError } from '../lex.js';
import type { Token } from '../lex.js';
import type { BlockPolicy, EtherRule, PfFlaw, Place, Ruleset, StateOptions, Table } from '../types.js';

/** Gives the text of a file that a rule file names (include, table … file, load anchor), or undefined. */
export type ReadFile = (path: string) => string | undefined;

/** Sections of a rule file, in the order that pf.conf(5) wants. */
const ORDER = ['options', 'ethernet', 'normalization', 'queueing', 'translation', 'filtering'] as const;
/** A section of a rule file. */
export type Section = (typeof ORDER)[number];

/** Longest names: IFNAMSIZ, PF_TABLE_NAME_SIZE, PF_TAG_NAME_SIZE, PF_QNAME_SIZE (net/if.h, net/pfvar.h), without the final zero. */
export const MAX = { interface: 15, table: 31, tag: 63, queue: 63 } as const;

/** A type whose fields can be set, while it is read. */
export type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** Where the reader is in a rule file, what it has read, and what of it holds for the rest. */
export class Cursor {
  readonly macros = new Map<string, string>();
  readonly flaws: PfFlaw[] = [];
  readonly out = {
    macros: [] as Mutable<Ruleset['macros'][number]>[],
    options: [] as Ruleset['options'][number][],
    tables: [] as Table[],
    ether: [] as EtherRule[],
    queues: [] as Ruleset['queues'][number][],
    loads: [] as Ruleset['loads'][number][],
    skip: [] as string[],
    rules: [] as Ruleset['rules'][number][],
  };
  lexer: Lexer;
  token: Token;
  section: Section = 'options';
  requireOrder = true;
  blockPolicy: BlockPolicy['kind'] = 'drop';
  statePolicy: 'if-bound' | 'floating' = 'floating';
  stateDefaults: StateOptions | undefined;
  depth = 0;

  constructor(readonly readFile: ReadFile) {
    this.lexer = new Lexer('', '', this.macros);
    this.token = this.lexer.next();
  }

  advance(): Token {
    const token = this.token;
    this.token = this.lexer.next();
    return token;
  }

  advanceSafely(): void {
    for (;;) {
      try {
        this.advance();
        return;
      } catch (error) {
        if (!(error instanceof PfError)) throw error;
        this.flaws.push(error.flaw);
      }
    }
  }

  recover(error: unknown): void {
    if (!(error instanceof PfError)) throw error;
    this.flaws.push(error.flaw);
    while (!this.atLineEnd()) this.advanceSafely();
  }

  fail(message: string, place: Place = this.token.place): never {
    throw new PfError(place, message);
  }

  describe(token: Token = this.token): string {
    return token.type === 'newline' || token.type === 'end' ? 'the end of the line' : `"${token.text}"`;
  }

  expect(type: Token['type']): Token {
    if (this.token.type !== type) this.fail(`${this.describe()} has no place here`);
    return this.advance();
  }

  is(...words: readonly string[]): boolean {
    return this.token.type === 'keyword' && words.includes(this.token.text);
  }

  isSymbol(text: string): boolean {
    return this.token.type === 'symbol' && this.token.text === text;
  }

  /** Takes a keyword if it is the next one. */
  take(word: string): boolean {
    if (!this.is(word)) return false;
    this.advance();
    return true;
  }

  takeSymbol(text: string): boolean {
    if (!this.isSymbol(text)) return false;
    this.advance();
    return true;
  }

  need(word: string): void {
    if (!this.take(word)) this.fail(`${this.describe()} stands where "${word}" has to`);
  }

  needSymbol(text: string): void {
    if (!this.takeSymbol(text)) this.fail(`${this.describe()} stands where "${text}" has to`);
  }

  /** Whether the line is over. */
  atLineEnd(): boolean {
    const { type } = this.token;
    return type === 'newline' || type === 'end';
  }

  atEnd(): boolean {
    return this.token.type === 'end';
  }

  isName(): boolean {
    return this.token.type === 'name' || this.token.type === 'string';
  }

  name(what: string, longest = Infinity): string {
    if (!this.isName()) this.fail(`${this.describe()} stands where ${what} has to`);
    if (this.token.text.length > longest)
      this.fail(`${what} "${this.token.text}" is too long: ${longest} characters at most`);
    return this.advance().text;
  }

  /** A word of a set that the grammar does not treat as keywords. */
  word(what: string, choices: readonly string[]): string {
    const { text, place } = this.token;
    const word =
      this.isName() || this.token.type === 'keyword'
        ? this.advance().text
        : this.fail(`${this.describe()} stands where ${what} has to`);
    if (!choices.includes(word))
      this.fail(`${what} cannot be "${text}": it is one of ${choices.join(', ')}`, place);
    return word;
  }

  number(what: string, low: number, high: number): number {
    const { place, text } = this.token;
    const isNumber = this.token.type === 'number' || (this.isName() && /^(?:0x[0-9a-f]+|\d+)$/i.test(text));
    if (!isNumber) this.fail(`${this.describe()} stands where ${what}, a number, has to`);
    const value = Number(text);
    if (value < low || value > high) this.fail(`${what} must be from ${low} to ${high}, not ${text}`, place);
    this.advance();
    return value;
  }

  newlines(): void {
    while (this.token.type === 'newline') this.advance();
  }

  /** One item, or a list of them in braces; commas are optional, and lines may end anywhere. */
  listOf<T>(item: () => T): T[] {
    if (!this.takeSymbol('{')) return [item()];
    const items: T[] = [];
    this.newlines();
    while (!this.isSymbol('}')) {
      if (this.atEnd()) this.fail('the { is never closed');
      items.push(item());
      this.newlines();
      this.takeSymbol(',');
      this.newlines();
    }
    this.advance();
    if (items.length === 0) this.fail('a list cannot be empty');
    return items;
  }

  parenthesised<T>(item: () => T): T[] {
    this.needSymbol('(');
    const items = [item()];
    for (;;) {
      this.takeSymbol(',');
      if (this.takeSymbol(')')) return items;
      items.push(item());
    }
  }

  inSection(section: Section, place: Place): void {
    if (this.requireOrder && ORDER.indexOf(section) < ORDER.indexOf(this.section)) {
      this.fail(
        `rules must be in order: ${ORDER.join(', ')}; this is ${section} behind ${this.section}`,
        place,
      );
    }
    this.section = section;
  }
}
