import { Lexer, PfError } from '../lex.js';
import type { Token } from '../lex.js';
import { parseNumeral } from '../names.js';
import type { Count } from '../expand.js';
import type { HostNames } from '../hosts-file.js';
import type { BlockPolicy, EtherRule, PfFlaw, Place, Ruleset, StateOptions, Table } from '../types.js';

/** Gives the text of a file that a rule file names (include, table … file, load anchor), or undefined. */
export type ReadFile = (path: string) => string | undefined;

/** Sections of a rule file, in the order that pf.conf(5) wants. */
const ORDER = ['options', 'ethernet', 'normalization', 'queueing', 'translation', 'filtering'] as const;
/** A section of a rule file. */
export type Section = (typeof ORDER)[number];

/**
 * Longest names: IFNAMSIZ, PF_TABLE_NAME_SIZE, PF_TAG_NAME_SIZE, PF_QNAME_SIZE, PATH_MAX (net/if.h, net/pfvar.h,
 * sys/syslimits.h), without the final zero.
 */
export const MAX = { interface: 15, table: 31, tag: 63, queue: 63, anchor: 1022 } as const;

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
    said: [] as string[],
  };
  lexer: Lexer;
  token: Token;
  section: Section = 'options';
  requireOrder = true;
  blockPolicy: BlockPolicy['kind'] = 'drop';
  statePolicy: 'if-bound' | 'floating' = 'floating';
  stateDefaults: StateOptions | undefined;
  depth = 0;
  /** Files that are being read, the innermost last. */
  readonly files: string[] = [];
  /** Rules that were made of the lines so far. */
  readonly count: Count = { rules: 0, numbered: 0 };

  constructor(
    readonly readFile: ReadFile,
    readonly hosts: HostNames,
  ) {
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

  /** Words of text one behind the other, which are one with spaces between (`string` of parse.y). */
  names(what: string, longest = Infinity): string {
    const { place } = this.token;
    const words = [this.name(what)];
    while (this.isName()) words.push(this.advance().text);
    const text = words.join(' ');
    if (text.length > longest)
      this.fail(`${what} "${text}" is too long: ${longest} characters at most`, place);
    return text;
  }

  /** A decimal number. */
  number(what: string, low: number, high: number): number {
    if (this.token.type !== 'number') this.fail(`${this.describe()} stands where ${what}, a number, has to`);
    return this.numeral(what, low, high);
  }

  /** A number in one of the forms of strtoul(3), too (`number` of parse.y). */
  numeral(what: string, low: number, high: number): number {
    const { place, text, type } = this.token;
    const value = type === 'number' ? Number(text) : this.isName() ? parseNumeral(text) : undefined;
    if (value === undefined) return this.fail(`${this.describe()} stands where ${what}, a number, has to`);
    if (value < low || value > high) this.fail(`${what} must be from ${low} to ${high}, not ${text}`, place);
    this.advance();
    return value;
  }

  newlines(): void {
    while (this.token.type === 'newline') this.advance();
  }

  /** One item, or a list of them in braces; commas are optional, and a line may end behind an item, not behind a comma. */
  listOf<T>(item: () => T): T[] {
    if (!this.isSymbol('{')) return [item()];
    const items = this.braces(item);
    if (items.length === 0) this.fail('a list cannot be empty');
    return items;
  }

  /** What stands in braces, if only nothing. */
  braces<T>(item: () => T): T[] {
    const { place } = this.token;
    this.needSymbol('{');
    const items: T[] = [];
    this.newlines();
    while (!this.takeSymbol('}')) {
      if (this.atEnd()) this.fail('the { is never closed', place);
      items.push(item());
      this.newlines();
      if (!this.takeSymbol(',')) continue;
      if (this.atLineEnd())
        this.fail(
          'a line cannot end behind a comma: pfctl wants an item there. End it before the comma, or with a \\',
        );
      if (this.isSymbol('}')) this.fail('an item has to follow a comma');
    }
    return items;
  }

  /** Reads what may stand within itself. */
  nested<T>(what: string, read: () => T): T {
    if (this.depth === 16) this.fail(`${what} are nested too deeply`);
    this.depth++;
    try {
      return read();
    } finally {
      this.depth--;
    }
  }

  /** Reads another text, and goes on behind what named it. */
  inFile<T>(path: string, text: string, read: () => T): T {
    const [lexer, token] = [this.lexer, this.token];
    this.files.push(path);
    this.lexer = new Lexer(text, path, this.macros);
    try {
      return read();
    } finally {
      [this.lexer, this.token] = [lexer, token];
      this.files.pop();
    }
  }

  /** Items in parentheses, one to `most` of them; commas are optional. */
  parenthesised<T>(item: () => T, most = Infinity): T[] {
    this.needSymbol('(');
    const items = [item()];
    while (!this.takeSymbol(')')) {
      if (items.length === most) this.fail(`${this.describe()} stands where ")" has to`);
      this.takeSymbol(',');
      items.push(item());
    }
    return items;
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
