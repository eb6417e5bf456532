import { printAddress } from './print.js';
import { PROTOCOL_NAMES } from './names.js';
import type { Comparison, Host, Rule } from './types.js';

/** Longest label and tag, after macros: PF_RULE_LABEL_SIZE, PF_TAG_NAME_SIZE of net/pfvar.h, without the final zero. */
const LONGEST = 63;

function address({ address: it, not }: Host, af: Rule['af']): string {
  const text = ((): string => {
    switch (it.kind) {
      case 'dynamic':
        return `(${it.name})`;
      case 'range':
        return '?';
      case 'net':
        return af === undefined ? 'any' : printAddress({ address: it, not: false, place: NOWHERE });
      default:
        return printAddress({ address: it, not: false, place: NOWHERE });
    }
  })();
  return not ? `! ${text}` : text;
}

const NOWHERE = { file: '', line: 0, column: 0 };

function port(comparison: Comparison | undefined): string {
  if (!comparison) return '';
  const { op, low, high } = comparison;
  switch (op) {
    case '=':
      return String(low);
    case '<>':
    case '><':
      return `${low}${op}${high}`;
    // pfctl forgets these.
    case ':':
      return '';
    default:
      return `${op}${low}`;
  }
}

/**
 * The text of a label or tag for a rule: pfctl puts the rule's own values where a name with $ stands (expand_label() of
 * parse.y). The names are those that reach pfctl: a macro of the file is replaced earlier.
 *
 * @param nr the rule's number within its anchor
 */
function expandText(text: string, rule: Rule, nr: number): string {
  if (!text.includes('$')) return text;
  const values: readonly (readonly [string, string])[] = [
    ['$if', rule.interface?.name ?? 'any'],
    ['$srcaddr', address(rule.from, rule.af)],
    ['$dstaddr', address(rule.to, rule.af)],
    ['$srcport', port(rule.fromPort)],
    ['$dstport', port(rule.toPort)],
    ['$proto', rule.proto === undefined ? 'ip' : (PROTOCOL_NAMES.get(rule.proto) ?? String(rule.proto))],
    ['$nr', String(nr)],
  ];
  return values.reduce((result, [name, value]) => result.replaceAll(name, () => value), text);
}

/** A rule with the macros of its labels and tags replaced; or what is wrong with them. */
export function withTexts(rule: Rule, nr: number): Rule | string {
  const { labels, tag, tagged } = rule.options;
  const expand = (text: string): string => expandText(text, rule, nr);
  const texts = labels.map(expand);
  const tagText = tag === undefined ? undefined : expand(tag);
  const taggedText = tagged && expand(tagged.name);
  const long = [...texts, tagText ?? '', taggedText ?? ''].find((text) => text.length > LONGEST);
  if (long !== undefined) return `the label or tag "${long}" is too long: ${LONGEST} characters at most`;
  return {
    ...rule,
    options: {
      ...rule.options,
      labels: texts,
      ...(tagText !== undefined && { tag: tagText }),
      ...(tagged && taggedText !== undefined && { tagged: { ...tagged, name: taggedText } }),
    },
  };
}
