import { z } from 'zod';
import { readItems } from './reading.js';
import type { Reading, Readings } from './reading.js';

/** A value that is read from text; the reader returns the value, or says which rule the text breaks. */
export function text<T>(read: (text: string) => Reading<T>): z.ZodType<T, string> {
  return whole((input) => read(input.trim()));
}

/** The same for a value whose lines and places count, and that may be wrong in several. */
export function whole<T>(read: (text: string) => Reading<T> | Readings<T>): z.ZodType<T, string> {
  return z.string().transform((input, context) => {
    const result = read(input);
    if ('value' in result) return result.value;
    for (const { message, fix, span } of 'wrong' in result ? result.wrong : [result])
      context.issues.push({ code: 'custom', message, input, params: { fix, ...(span && { span }) } });
    return z.NEVER;
  });
}

export function optional<T>(read: (text: string) => Reading<T>): z.ZodType<T | undefined, string> {
  return text<T | undefined>((input) => (input === '' ? { value: undefined } : read(input)));
}

export function oneOf<const T extends readonly string[]>(...choices: T): z.ZodType<T[number], string> {
  const list = choices.map((choice) => `"${choice}"`).join(', ');
  return text((input) =>
    choices.includes(input)
      ? { value: input }
      : { message: `must be one of ${list}`, fix: `write one of ${list}` },
  );
}

export const yesNo = text<boolean>((input) =>
  input === 'yes' || input === 'no'
    ? { value: input === 'yes' }
    : { message: 'must be "yes" or "no"', fix: 'write "yes" or "no"' },
);

/** A list whose items are separated by blanks, commas or new lines; each that is wrong has a message of its own. */
export function list<T>(read: (item: string) => Reading<T>, most: number): z.ZodType<readonly T[], string> {
  return whole((input) => readItems(input, read, most));
}

export const path = text<string | undefined>((input) => ({ value: input === '' ? undefined : input }));
