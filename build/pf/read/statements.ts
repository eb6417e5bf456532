import { expandRule } from '../expand.js';
import type { RuleSpec } from '../types.js';
import type { Cursor } from './cursor.js';
import { readEther } from './ethernet.js';
import { readAntispoof } from './filter.js';
import { readOption } from './options.js';
import { readQueue } from './queues.js';
import { included, readAnchorName, readRules } from './rules.js';
import { readTable } from './tables.js';

/** After so many flaws nobody reads on. */
const MOST_FLAWS = 1000;
/** Longest text of a macro. */
const LONGEST_MACRO = 65_536;

/** Reads a file line by line; what is wrong with a line is a flaw, and reading goes on at the next one. */
export function readText(c: Cursor, text: string, file: string): void {
  c.inFile(file, text, () => {
    c.advanceSafely();
    while (!c.atEnd()) {
      if (c.flaws.length >= MOST_FLAWS) {
        c.flaws.push({ place: c.token.place, message: 'so much is wrong above that reading ends here' });
        break;
      }
      readLine(c);
    }
  });
}

function readLine(c: Cursor): void {
  if (c.token.type === 'newline') {
    c.advanceSafely();
    return;
  }
  try {
    readStatement(c);
    if (!c.atEnd()) c.expect('newline');
  } catch (error) {
    c.recover(error);
  }
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
      for (const rule of readAntispoof(c)) addRule(c, rule);
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
function addRule(c: Cursor, spec: RuleSpec): void {
  const { rules, flaws } = expandRule(spec, c.count);
  c.flaws.push(...flaws);
  c.out.rules.push(...rules);
}

function readMacro(c: Cursor): void {
  const { text: name, place } = c.advance();
  if (!c.isSymbol('=')) c.fail(`"${name}" begins no statement`, place);
  c.advance();
  if (!/^[A-Za-z0-9_]+$/.test(name)) c.fail(`"${name}" cannot be the name of a macro`, place);
  const words: string[] = [];
  for (let length = 0; c.isName() || c.token.type === 'number';) {
    const { type, text } = c.advance();
    words.push(type === 'number' ? String(Number(text)) : text);
    length += text.length + 1;
    if (length > LONGEST_MACRO)
      c.fail(`the macro ${name} is too long: ${LONGEST_MACRO} characters at most`, place);
  }
  if (words.length === 0) c.fail(`the value of the macro ${name} must be a word or quoted text`);
  const value = words.join(' ');
  c.macros.set(name, value);
  c.out.macros.push({ name, value, place });
  c.out.said.push(`${name} = "${value}"`);
}

function readInclude(c: Cursor): void {
  const { path, text } = included(c);
  readText(c, text, path);
}

function readLoad(c: Cursor): void {
  const { place } = c.advance();
  c.need('anchor');
  const anchor = readAnchorName(c);
  c.need('from');
  c.out.loads.push({ anchor, file: c.names('the name of a file'), place });
}
