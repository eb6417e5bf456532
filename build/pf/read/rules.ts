import type { Place, RuleSpec } from '../types.js';
import { MAX } from './cursor.js';
import type { Cursor } from './cursor.js';
import { readFilterOptions } from './filter-options.js';
import { checkTcp, readFilterRule } from './filter.js';
import { readDirection, readMatch } from './match.js';
import { readScrubRule } from './scrub.js';
import { readTranslationAnchor, readTranslationRule } from './translation.js';

/** The rules that one line of a section with rules is. */
export function readRules(c: Cursor): RuleSpec[] {
  const { text, place } = c.token;
  switch (text) {
    case 'pass':
    case 'block':
    case 'match':
      c.inSection('filtering', place);
      return [readFilterRule(c)];
    case 'anchor':
      c.inSection('filtering', place);
      return [readAnchorRule(c)];
    case 'scrub':
      c.inSection('normalization', place);
      return [readScrubRule(c, 'scrub')];
    case 'nat':
    case 'rdr':
    case 'binat':
      c.inSection('translation', place);
      return [readTranslationRule(c, text, false)];
    case 'nat-anchor':
    case 'rdr-anchor':
    case 'binat-anchor':
      c.inSection('translation', place);
      return [readTranslationAnchor(c, text)];
    case 'no': {
      c.advance();
      const what = c.token.text;
      if (c.is('scrub')) {
        c.inSection('normalization', place);
        return [readScrubRule(c, 'no scrub', place)];
      }
      if (c.is('nat', 'rdr', 'binat')) {
        c.inSection('translation', place);
        return [readTranslationRule(c, what as 'nat' | 'rdr' | 'binat', true, place)];
      }
      return c.fail(`${c.describe()} cannot follow "no"`);
    }
    default:
      return c.fail(`"${text}" begins no statement`);
  }
}

function readAnchorRule(c: Cursor): RuleSpec {
  const { place } = c.advance();
  const name = c.isName() ? readAnchorName(c) : undefined;
  const direction = readDirection(c);
  const quick = c.take('quick');
  const match = readMatch(c);
  const { lists, options } = readFilterOptions(c);
  checkTcp(c, { ...match, options }, place);
  if (options.keep !== undefined && options.keep !== 'none')
    c.fail('an anchor takes no state options', place);
  const inner = c.isSymbol('{') ? c.nested('anchors', () => readBraces(c, place)) : undefined;
  if (inner && name?.includes('/') === true)
    c.fail('an anchor with rules of its own cannot have a / in its name', place);
  if (!inner && name === undefined) c.fail('an anchor without rules of its own needs a name', place);
  return {
    place,
    action: 'anchor',
    quick,
    ...match,
    ...lists,
    options,
    anchor: { name: name ?? '', inline: inner !== undefined },
    ...(inner && { inner }),
    ...(direction && { direction }),
  };
}

/** The name of an anchor; it may be a path. */
export function readAnchorName(c: Cursor): string {
  const { place } = c.token;
  const name = c.name('the name of an anchor', MAX.anchor);
  if (name === '') c.fail('the name of an anchor cannot be empty', place);
  if (name.startsWith('_') || name.includes('/_'))
    c.fail('anchor names that begin with _ are reserved', place);
  return name;
}

/** The file that an `include` names. */
export function included(c: Cursor): { readonly path: string; readonly text: string } {
  const { place } = c.advance();
  const path = c.name('the name of a file');
  if (!c.atLineEnd()) c.fail(`${c.describe()} has no place here`);
  if (c.files.includes(path)) c.fail(`the file "${path}" includes itself`, place);
  const text = c.readFile(path);
  return text === undefined ? c.fail(`the file "${path}" to include is not known`, place) : { path, text };
}

function readBraces(c: Cursor, place: Place): RuleSpec[] {
  c.advance();
  if (c.token.type !== 'newline')
    c.fail('a line has to end behind the { of an anchor: pfctl takes no anchor in one line');
  const inner = readLines(c, () => {
    if (c.atEnd()) c.fail('the { of the anchor is never closed', place);
    return c.isSymbol('}');
  });
  c.needSymbol('}');
  return inner;
}

/** The lines of an anchor: filter rules and anchors alone, and files of such (pfa_anchorlist of parse.y). */
function readLines(c: Cursor, done: () => boolean): RuleSpec[] {
  const inner: RuleSpec[] = [];
  for (;;) {
    c.newlines();
    if (done()) return inner;
    if (c.is('include')) inner.push(...readIncluded(c));
    else {
      if (!c.is('pass', 'block', 'match', 'anchor'))
        c.fail(`an anchor holds filter rules and anchors: ${c.describe()} has no place in it`);
      inner.push(...readRules(c));
    }
    if (c.token.type !== 'newline' && !c.atEnd()) c.fail(`${c.describe()} has no place here`);
  }
}

function readIncluded(c: Cursor): RuleSpec[] {
  const { path, text } = included(c);
  return c.inFile(path, text, () => {
    c.advance();
    return readLines(c, () => c.atEnd());
  });
}
