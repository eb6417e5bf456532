import fc from 'fast-check';
import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { parse } from '../../../build/config/parse.js';
import { shellQuote } from '../../../build/quote.js';

const value = (text: string): string | undefined => parse(text).entries[0]?.value;
const messages = (text: string): string[] => parse(text).flaws.map(({ message }) => message);

describe('parse', () => {
  it.each([
    ['KEY="value"', 'value'],
    ["KEY='value'", 'value'],
    ['KEY=value', 'value'],
    ['  KEY=value  # comment', 'value'],
    ['KEY=', ''],
    ['KEY=""', ''],
    ['KEY="a \\"b\\" \\\\ \\$c \\`d"', 'a "b" \\ $c `d'],
    ['KEY="a\\nb"', 'a\\nb'],
    ["KEY='$6$abc'", '$6$abc'],
    ['KEY="line 1\nline 2"', 'line 1\nline 2'],
    ['KEY="joined \\\nline"', 'joined line'],
    ['\uFEFFKEY=value', 'value'],
    ['KEY=value\r\n', 'value'],
  ])('reads %j as sh does', (text, expected) => {
    expect(parse(text).flaws).toEqual([]);
    expect(value(text)).toBe(expected);
  });

  it.each([
    ['KEY="$HOME"', 'KEY contains $, which a shell would expand; nothing is expanded or executed here'],
    ['KEY="`id`"', 'KEY contains `, which a shell would expand; nothing is expanded or executed here'],
    ['KEY=$(id)', 'KEY contains $, which a shell would expand; nothing is expanded or executed here'],
    ['KEY="open', 'the " that opens the value of KEY is never closed'],
    ["KEY='open", "the ' that opens the value of KEY is never closed"],
    ['KEY=a b', 'there is text behind the value of KEY'],
    ['KEY="a"b', 'there is text behind the value of KEY'],
    ['KEY=a;id', 'there is text behind the value of KEY'],
    ['KEY = a', 'KEY is not followed by ='],
    ['export KEY=a', '`export` has no place here: the file is read, never executed'],
    ['. /etc/passwd', 'a line must be KEY="value", a comment or empty'],
    ['KEY="a\u0007"', 'KEY contains the control character 0x07'],
    ['KEY="a"\nKEY="b"', 'KEY is set twice; the first time in line 1'],
  ])('refuses %j', (text, message) => {
    expect(messages(text)).toEqual([message]);
  });

  it('points at the line whose quotes are open, and not at the next quotes', () => {
    const { flaws } = parse('A="1"\nHOSTNAME="abc\nB="2"\n');
    expect(flaws[0]).toMatchObject({
      message: 'the value of HOSTNAME ends in a later line, with text behind it',
      place: { line: 2, column: 10 },
    });
  });

  it('goes on after a flaw, and names line and column of each', () => {
    const { entries, flaws } = parse('A = 1\n\nC="$D\nE=inside"\nF=ok\n  G="a" b\n');
    expect(entries.map(({ key }) => key)).toEqual(['F']);
    expect(flaws.map(({ place }) => place && [place.line, place.column])).toEqual([
      [1, 1],
      [3, 4],
      [6, 9],
    ]);
  });

  it('reads back whatever sh would, for any text in single quotes', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        fc.pre(!/[\u0000-\u0008\u000b-\u001f\u007f]/.test(text) && !text.includes('\r\n'));
        fc.pre(!text.includes("'")); // '\'' is concatenation, which the file does not have
        expect(value(`KEY='${text}'`)).toBe(text);
      }),
    );
  });

  it('never throws, whatever it is given', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom(...Array.from('KEY="\'\\$`#= \n\tab0')) }),
        (text) => void parse(text),
      ),
    );
  });
});

describe('shellQuote', () => {
  it('gives words that sh reads back unchanged', () => {
    fc.assert(
      fc.property(
        fc.array(fc.string({ unit: fc.constantFrom(...Array.from(`ab'"\\$\`;&|<>(){}*?[]~#!\n \t=-é`)) }), {
          minLength: 1,
          maxLength: 8,
        }),
        (words) => {
          const out = execFileSync('sh', [
            '-c',
            `printf '%s\\001' ${words.map((word) => (word === '' ? "''" : shellQuote(word))).join(' ')}`,
          ]);
          expect(out.toString('utf8').split('\u0001').slice(0, -1)).toEqual(words);
        },
      ),
      { numRuns: 60 },
    );
  });
});
