import { expandRule } from '../expand.js';
import { Lexer } from '../lex.js';
import type { RuleSpec } from '../types.js';
import type { Cursor } from './cursor.js';
import { readEther } from './ethernet.js';
import { readAntispoof } from './filter.js';
import { readOption } from './options.js';
import { readQueue } from './queues.js';
import { readRules } from './rules.js';
import { readTable } from './tables.js';

/** Reads a file line by line; what is wrong with a line is a flaw, and reading goes on at the next one. */
export function readText(c: Cursor, text: string, file: string): void {
  const [lexer, token] = [c.lexer, c.token];
  c.lexer = new Lexer(text, file, c.macros);
  c.advanceSafely();
  while (!c.atEnd()) {
    if (c.token.type === 'newline') {
      c.advanceSafely();
      continue;
    }
    try {
      readStatement(c);
      if (!c.atEnd()) c.expect('newline');
    } catch (error) {
      c.recover(error);
    }
  }
  [c.lexer, c.token] = [lexer, token];
}

function readStatement(c: Cursor): void {
  const { token } = c;
  const { place } = token;
  if (token.type === 'name' || token.type === 'string') {
    readMacro(c);
    return;
  }
  if (c.isSymbol('{')) c.fail('rules in braces belong to an anchor: anchor "name" {');
  if (token.type !== 'keyword') c.fail(`${c.describe()} begins no statement`);
  switch (token.text) {
    case 'set':
      readOption(c);
      return;
    case 'table':
      readTable(c);
      return;
    case 'include':
      readInclude(c);
      return;
    case 'load':
      readLoad(c);
      return;
    case 'antispoof':
      c.inSection('filtering', place);
      readAntispoof(c);
      return;
    case 'altq':
    case 'queue':
      c.inSection('queueing', place);
      readQueue(c);
      return;
    case 'ether':
      c.inSection('ethernet', place);
      c.out.ether.push(readEther(c));
      return;
    default:
      for (const rule of readRules(c)) addRule(c, rule);
  }
}

/** Adds a rule with its lists expanded. */
export function addRule(c: Cursor, spec: RuleSpec): void {
  const { rules, flaws } = expandRule(spec);
  c.flaws.push(...flaws);
  c.out.rules.push(...rules);
}

function readMacro(c: Cursor): void {
  const { text: name, place } = c.advance();
  if (!c.isSymbol('=')) c.fail(`"${name}" begins no statement`, place);
  c.advance();
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) c.fail(`"${name}" cannot be the name of a macro`, place);
  const words: string[] = [];
  while (c.isName() || c.token.type === 'number') words.push(c.advance().text);
  if (words.length === 0) c.fail(`the value of the macro ${name} must be a word or quoted text`);
  const value = words.join(' ');
  c.macros.set(name, value);
  c.out.macros.push({ name, value, place });
}

function readInclude(c: Cursor): void {
  const { place } = c.advance();
  const path = c.name('the name of a file');
  if (!c.atLineEnd()) c.fail(`${c.describe()} has no place here`);
  const text = c.readFile(path);
  if (text === undefined) c.fail(`the file "${path}" to include is not known`, place);
  if (++c.depth > 16) c.fail('files include each other without end', place);
  readText(c, text, path);
  c.depth--;
}

function readLoad(c: Cursor): void {
  const { place } = c.advance();
  c.need('anchor');
  const anchor = c.name('the name of an anchor');
  c.need('from');
  c.out.loads.push({ anchor, file: c.name('the name of a file'), place });
}
