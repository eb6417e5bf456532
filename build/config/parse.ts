/** A place in a configuration file; line and column count from 1, length in characters. */
export interface Place {
  readonly line: number;
  readonly column: number;
  readonly length: number;
}

/** One `KEY=value` of the file. `place` is the value's, quotes included; `keyPlace` the key's. */
export interface Entry {
  readonly key: string;
  readonly value: string;
  /** The value as it is written, with its quotes and what it escapes. */
  readonly written: string;
  readonly keyPlace: Place;
  readonly place: Place;
}

/** What is wrong, which rule says so, and what to write instead. */
export interface Flaw {
  readonly message: string;
  readonly fix: string;
  readonly place?: Place;
}

export interface Parsed {
  readonly entries: readonly Entry[];
  readonly flaws: readonly Flaw[];
}

const KEY = /[A-Za-z_][A-Za-z0-9_]*/y;
const BARE = /[A-Za-z0-9_.,:/@%+=~-]*/y;
const BLANKS = /[ \t]*/y;
const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f]/;

/**
 * Reads the text of a build.cfg: `KEY="value"`, `KEY='value'` or `KEY=value` a line, `#` comments. The quoting is
 * that of sh(1), so that a shell reading the same file sees the same values, but nothing is expanded or executed:
 * what a shell would expand is a flaw. Quoted values may span lines.
 *
 * Reading goes on at the next line after a flaw, so that one pass finds all of them. Never throws.
 */
export function parse(text: string): Parsed {
  const source = text.replace(/^\uFEFF/, '').replace(/\r\n/g, '\n');
  const entries: Entry[] = [];
  const flaws: Flaw[] = [];
  const scanner = new Scanner(source);

  while (!scanner.atEnd()) {
    scanner.skip(BLANKS);
    if (scanner.peek() === '\n' || scanner.peek() === '#' || scanner.atEnd()) {
      scanner.nextLine();
      continue;
    }
    const result = readEntry(scanner);
    if ('key' in result) entries.push(result);
    else {
      flaws.push(result);
      scanner.nextLine();
    }
  }
  return { entries, flaws: [...flaws, ...duplicates(entries)] };
}

function readEntry(scanner: Scanner): Entry | Flaw {
  const keyStart = scanner.position;
  const key = scanner.take(KEY);
  const keyPlace = scanner.placeFrom(keyStart);
  if (key === '') {
    return scanner.flaw('a line must be KEY="value", a comment or empty', 'write KEY="value"', keyStart);
  }
  if (key === 'export' && scanner.peek() !== '=') {
    return scanner.flaw(
      '`export` has no place here: the file is read, never executed',
      'remove `export`',
      keyStart,
    );
  }
  if (scanner.peek() !== '=') {
    return scanner.flaw(
      `${key} is not followed by =`,
      `write ${key}="value", without blanks around the =`,
      keyStart,
    );
  }
  scanner.advance(1);
  const start = scanner.position;
  const value = readValue(scanner, key);
  if (typeof value !== 'string') return value;
  const place = scanner.placeFrom(start);
  const written = scanner.slice(start, scanner.position);
  const control = CONTROL.exec(value);
  if (control) {
    return {
      message: `${key} contains the control character 0x${control[0].charCodeAt(0).toString(16).padStart(2, '0')}`,
      fix: 'remove it',
      place,
    };
  }
  const afterValue = scanner.position;
  const blanks = scanner.take(BLANKS);
  const next = scanner.peek();
  if (next !== '' && next !== '\n' && !(next === '#' && blanks !== '')) {
    if (value.includes('\n'))
      return scanner.flaw(
        `the value of ${key} ends in a later line, with text behind it`,
        'close its quotes in this line, or behind its last one',
        start,
      );
    return scanner.flaw(
      `there is text behind the value of ${key}`,
      `quote the whole value: ${key}="…"`,
      blanks === '' ? afterValue : scanner.position,
    );
  }
  scanner.nextLine();
  return { key, value, written, keyPlace, place };
}

function readValue(scanner: Scanner, key: string): string | Flaw {
  const start = scanner.position;
  const quote = scanner.peek();
  if (quote === "'") {
    const end = scanner.indexOf("'", start + 1);
    if (end < 0)
      return scanner.flaw(`the ' that opens the value of ${key} is never closed`, "add the closing '", start);
    scanner.advance(end + 1 - start);
    return scanner.slice(start + 1, end);
  }
  if (quote !== '"') {
    const bare = scanner.take(BARE);
    const next = scanner.peek();
    if (next === '$' || next === '`') return expansion(scanner, key);
    return bare;
  }
  scanner.advance(1);
  let value = '';
  for (;;) {
    const char = scanner.peek();
    if (char === '')
      return scanner.flaw(`the " that opens the value of ${key} is never closed`, 'add the closing "', start);
    if (char === '"') break;
    if (char === '$' || char === '`') {
      const flaw = expansion(scanner, key);
      skipQuoted(scanner);
      return flaw;
    }
    if (char === '\\') {
      const escaped = scanner.peek(1);
      if (escaped === '\n') scanner.advance(2);
      else if (escaped !== '' && '"\\$`'.includes(escaped)) {
        value += escaped;
        scanner.advance(2);
      } else {
        value += char;
        scanner.advance(1);
      }
      continue;
    }
    value += char;
    scanner.advance(1);
  }
  scanner.advance(1);
  return value;
}

/** Goes to the end of a double-quoted value that is refused, so that its other lines are not read as entries. */
function skipQuoted(scanner: Scanner): void {
  const from = scanner.position;
  for (let at = from; ; at++) {
    const char = scanner.slice(at, at + 1);
    if (char === '') return; // never closed: leave the rest of the file to be read line by line
    if (char === '\\') at++;
    else if (char === '"') {
      scanner.advance(at + 1 - from);
      return;
    }
  }
}

function expansion(scanner: Scanner, key: string): Flaw {
  const char = scanner.peek();
  return scanner.flaw(
    `${key} contains ${char}, which a shell would expand; nothing is expanded or executed here`,
    `put the value in single quotes: ${key}='…'`,
    scanner.position,
  );
}

function duplicates(entries: readonly Entry[]): Flaw[] {
  const first = new Map<string, Entry>();
  const flaws: Flaw[] = [];
  for (const entry of entries) {
    const earlier = first.get(entry.key);
    if (!earlier) first.set(entry.key, entry);
    else {
      flaws.push({
        message: `${entry.key} is set twice; the first time in line ${earlier.keyPlace.line}`,
        fix: 'keep one of the two',
        place: entry.keyPlace,
      });
    }
  }
  return flaws;
}

class Scanner {
  position = 0;
  private readonly lineStarts: number[];

  constructor(private readonly text: string) {
    this.lineStarts = [0];
    for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) this.lineStarts.push(at + 1);
  }

  atEnd(): boolean {
    return this.position >= this.text.length;
  }

  peek(ahead = 0): string {
    return this.text.charAt(this.position + ahead);
  }

  advance(count: number): void {
    this.position += count;
  }

  take(pattern: RegExp): string {
    pattern.lastIndex = this.position;
    const found = pattern.exec(this.text)?.[0] ?? '';
    this.position += found.length;
    return found;
  }

  skip(pattern: RegExp): void {
    this.take(pattern);
  }

  indexOf(needle: string, from: number): number {
    return this.text.indexOf(needle, from);
  }

  slice(from: number, to: number): string {
    return this.text.slice(from, to);
  }

  nextLine(): void {
    const end = this.text.indexOf('\n', this.position);
    this.position = end < 0 ? this.text.length : end + 1;
  }

  /** The place from an offset to the current one; a place that spans lines ends with its first line. */
  placeFrom(start: number): Place {
    let low = 0;
    let high = this.lineStarts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.lineStarts[middle] ?? 0) <= start) low = middle;
      else high = middle - 1;
    }
    const lineStart = this.lineStarts[low] ?? 0;
    const newline = this.text.indexOf('\n', start);
    const lineEnd = newline < 0 ? this.text.length : newline;
    const end = Math.min(Math.max(this.position, start + 1), Math.max(lineEnd, start + 1));
    return { line: low + 1, column: start - lineStart + 1, length: end - start };
  }

  flaw(message: string, fix: string, from: number): Flaw {
    return { message, fix, place: this.placeFrom(from) };
  }
}
