import type { Place, RuleSpec } from '../types.js';
import type { Cursor } from './cursor.js';
import { readFilterOptions } from './filter-options.js';
import { readFilterRule } from './filter.js';
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
  const name = c.isName() ? c.advance().text : undefined;
  if (name !== undefined && (name.startsWith('_') || name.includes('/_')))
    c.fail('anchor names that begin with _ are reserved', place);
  const direction = readDirection(c);
  const quick = c.take('quick');
  const match = readMatch(c);
  const { lists, options } = readFilterOptions(c);
  if (options.keep !== undefined) c.fail('an anchor takes no state options', place);
  const inner = c.isSymbol('{') ? readBraces(c, place) : undefined;
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

function readBraces(c: Cursor, place: Place): RuleSpec[] {
  if (++c.depth > 16) c.fail('anchors are nested too deeply', place);
  c.advance();
  const inner: RuleSpec[] = [];
  if (c.token.type !== 'newline') c.fail('a line has to end behind the { of an anchor');
  for (;;) {
    c.newlines();
    if (c.takeSymbol('}')) {
      c.depth--;
      return inner;
    }
    if (c.atEnd()) c.fail('the { of the anchor is never closed', place);
    inner.push(...readRules(c));
    if (c.atEnd()) c.fail('the { of the anchor is never closed', place);
    if (!c.atLineEnd()) c.fail(`${c.describe()} has no place here`);
  }
}
