import { z } from 'zod';
import { itemsOf } from './reading.js';
import type { Reading } from './reading.js';

/** A value that is read from text; the reader returns the value, or says which rule the text breaks. */
export function text<T>(read: (text: string) => Reading<T>): z.ZodType<T, string> {
  return whole((input) => read(input.trim()));
}

/** The same for a value whose lines and places count. */
export function whole<T>(read: (text: string) => Reading<T>): z.ZodType<T, string> {
  return z.string().transform((input, context) => {
    const result = read(input);
    if ('value' in result) return result.value;
    const { message, fix, span } = result;
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

/** A list whose items are separated by blanks, commas or new lines. */
export function list<T>(read: (item: string) => Reading<T>, most: number): z.ZodType<readonly T[], string> {
  return text((input) => {
    const values: T[] = [];
    const seen = new Set<string>();
    for (const item of itemsOf(input)) {
      if (seen.has(item)) return { message: `names ${item} twice`, fix: 'remove one of them' };
      seen.add(item);
      const result = read(item);
      if (!('value' in result)) return { message: `${result.message} (here: ${item})`, fix: result.fix };
      values.push(result.value);
    }
    if (values.length > most)
      return { message: `has ${values.length} entries, ${most} at most`, fix: 'remove some' };
    return { value: values };
  });
}

export const path = text<string | undefined>((input) => ({ value: input === '' ? undefined : input }));
