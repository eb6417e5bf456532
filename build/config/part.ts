import type { Entry, Place } from './parse.js';
import type { Span } from './reading.js';

/**
 * The place of a part of a value. A part that the file has in several lines ends with its first one.
 *
 * @param span in characters of the value, which may be fewer than are written
 */
export function partOf({ written, place }: Pick<Entry, 'written' | 'place'>, span: Span): Place {
  const [quote] = /^["']?/.exec(written) ?? [''];
  let { line, column } = place;
  let at = quote.length;
  column += at;
  for (let passed = 0; ;) {
    const length = stepAt(written, at, quote);
    const continued = written.startsWith('\\\n', at) && length === 2;
    if (passed === span.start && !continued) break;
    if (at >= written.length) break;
    if (written.slice(at, at + length).endsWith('\n')) {
      line++;
      column = 1;
    } else column += length;
    at += length;
    if (!continued) passed++;
  }
  let end = at;
  for (let passed = 0; passed < span.length && end < written.length; passed++) {
    const length = stepAt(written, end, quote);
    if (written.slice(end, end + length).endsWith('\n')) break;
    end += length;
  }
  return { line, column, length: Math.max(1, end - at) };
}

/** How many characters are written for the one of the value that begins there; two for a line that goes on, which is none. */
function stepAt(written: string, at: number, quote: string): number {
  return quote === '"' && written[at] === '\\' && '"\\$`\n'.includes(written[at + 1] ?? 'none') ? 2 : 1;
}
