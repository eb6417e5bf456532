import { KEYWORDS } from './names.js';
import type { PfFlaw, Place } from './types.js';

export interface Token {
  /** `name` is an unquoted word that is no keyword, `string` a quoted one: the grammar takes both as names. */
  readonly type: 'keyword' | 'name' | 'string' | 'number' | 'symbol' | 'newline' | 'end';
  readonly text: string;
  readonly place: Place;
}

export class PfError extends Error {
  constructor(
    readonly place: Place,
    message: string,
  ) {
    super(message);
  }

  get flaw(): PfFlaw {
    return { place: this.place, message: this.message };
  }
}

const isDigit = (c: string): boolean => c >= '0' && c <= '9';
const isSpace = (c: string): boolean => c !== '' && ' \t\n\r\f\v'.includes(c);
const isWordStart = (c: string): boolean => /[A-Za-z0-9:_]/.test(c);
const inWord = (c: string): boolean => c > ' ' && c < '\u007f' && !'(){}<>!=/#,'.includes(c);
const endsNumber = (c: string): boolean => c === '' || isSpace(c) || '),/}='.includes(c);
/** Symbols of two characters, between which nothing stands. */
const PAIRS: ReadonlySet<string> = new Set(['<>', '><', '->', '!=', '<=', '>=']);
/** Longest word and quoted text (yylex()). */
const LONGEST = 8095;

/**
 * The words of a rule file, as yylex() of pfctl(8) reads them: comments, lines that go on behind a backslash, quoted
 * text, numbers, and macros, whose text is read in their place and runs into what follows (`($ext_if:0)`).
 */
export class Lexer {
  private at = 0;
  private line = 1;
  private lineStart = 0;
  /** The text of a macro that is being read. */
  private macro: string | undefined;
  private macroAt = 0;
  private previousStart = 0;
  private readonly pushed: string[] = [];

  constructor(
    private readonly text: string,
    private readonly file: string,
    private readonly macros: ReadonlyMap<string, string>,
  ) {}

  /** @throws PfError at a macro that is not defined, a quote that is not closed, or a number out of range. */
  next(): Token {
    let before = this.place();
    let c = this.get();
    while (' \t\f'.includes(c) && c !== '') {
      before = this.place();
      c = this.get();
    }
    // Reading a newline has gone on to the next line already, and the end is no character.
    const place = c === '\n' || c === '' ? { ...before, column: before.column + 1 } : this.place();
    if (c === '#') {
      while (c !== '\n' && c !== '') c = this.getRaw();
      if (c === '\n') return { type: 'newline', text: c, place };
    }
    if (c === '$' && this.macro === undefined) {
      let name = '';
      for (c = this.get(); /[A-Za-z0-9_]/.test(c); c = this.get()) name += c;
      this.unget(c);
      const value = this.macros.get(name);
      if (value === undefined) throw new PfError(place, `the macro $${name} is not defined`);
      this.macro = value;
      this.macroAt = 0;
      const token = this.next();
      return { ...token, place };
    }
    if (c === '"' || c === "'") return { type: 'string', text: this.quoted(c, place), place };
    if ('<>!-'.includes(c) && c !== '') {
      const following = this.get();
      const pair = c + following;
      if (PAIRS.has(pair)) return { type: 'symbol', text: pair, place };
      this.unget(following);
    }
    if (c === '-' || isDigit(c)) {
      let digits = c;
      let following = this.get();
      while (isDigit(following)) {
        digits += following;
        following = this.get();
      }
      this.unget(following);
      if (digits !== '-' && endsNumber(following)) {
        if (!Number.isSafeInteger(Number(digits)))
          throw new PfError(place, `${digits} is too large a number`);
        return { type: 'number', text: digits, place };
      }
      for (const digit of Array.from(digits.slice(1)).reverse()) this.unget(digit);
      if (c === '-') return { type: 'symbol', text: '-', place };
    }
    if (isWordStart(c)) {
      let word = '';
      while (inWord(c)) {
        word += c;
        c = this.get();
      }
      this.unget(c);
      if (word.length > LONGEST)
        throw new PfError(place, `a word of ${word.length} characters is too long: ${LONGEST} at most`);
      return { type: KEYWORDS.has(word) ? 'keyword' : 'name', text: word, place };
    }
    if (c === '\n') return { type: 'newline', text: c, place };
    if (c === '') return { type: 'end', text: '', place };
    return { type: 'symbol', text: c, place };
  }

  private quoted(quote: string, place: Place): string {
    let text = '';
    for (;;) {
      let c = this.getRaw();
      if (c === '') throw new PfError(place, 'the quote is never closed');
      if (c === '\n') continue;
      if (c === '\\') {
        const following = this.getRaw();
        if (following === '') throw new PfError(place, 'the quote is never closed');
        if (following === quote || following === ' ' || following === '\t') c = following;
        else if (following === '\n') continue;
        else this.unget(following);
      } else if (c === quote) return text;
      text += c;
      if (text.length > LONGEST)
        throw new PfError(place, `quoted text is too long: ${LONGEST} characters at most`);
    }
  }

  private place(): Place {
    return {
      file: this.file,
      line: this.line,
      column: Math.max(1, this.at - this.lineStart - this.pushed.length),
    };
  }

  /** The next character; a backslash at the end of a line joins the next one to it. */
  private get(): string {
    for (;;) {
      const c = this.getRaw();
      if (c !== '\\' || this.macro !== undefined) return c;
      const following = this.getRaw();
      if (following !== '\n') return following;
    }
  }

  private getRaw(): string {
    if (this.macro !== undefined) {
      if (this.macroAt < this.macro.length) return this.macro.charAt(this.macroAt++);
      this.macro = undefined;
    }
    const pushed = this.pushed.pop();
    if (pushed !== undefined) return pushed;
    if (this.at >= this.text.length) return '';
    const c = this.text.charAt(this.at++);
    if (c === '\n') {
      this.line++;
      this.previousStart = this.lineStart;
      this.lineStart = this.at;
    }
    return c;
  }

  private unget(c: string): void {
    if (c === '') return;
    if (this.macro !== undefined && this.macroAt > 0) {
      this.macroAt--;
      return;
    }
    if (c === '\n') {
      this.at--;
      this.line--;
      this.lineStart = this.previousStart;
      return;
    }
    this.pushed.push(c);
  }
}
