import type { Flaw } from './parse.js';
import { KEYS, SECRET_KEYS } from './keys.js';

/** A flaw and the file (or `environment`, `command line`) in which it stands. */
export interface Finding extends Flaw {
  readonly origin: string;
}

const KEY_OF_LINE = /\b([A-Za-z_][A-Za-z0-9_]*)(\s*=).*/;
/** A key that nobody knows may be a misspelt secret one. */
const SOUNDS_SECRET = /PASS|PAS|HASH|SECRET|TOKEN|KEY/i;
const SECRET_VALUE = /\$[0-9a-z]{1,3}\$[^\s"']+|\btskey-[^\s"']+/g;

/** The text with everything that looks like a password hash or an auth key replaced: it goes to logs. */
export function mask(text: string): string {
  return text
    .replace(KEY_OF_LINE, (line, key: string, equals: string) => {
      const secret =
        (SECRET_KEYS as readonly string[]).includes(key) ||
        (!Object.hasOwn(KEYS, key) && SOUNDS_SECRET.test(key));
      return secret ? `${key}${equals} (hidden)` : line;
    })
    .replace(SECRET_VALUE, '(hidden)');
}

/**
 * Findings as text, one after the other: place, what is wrong, the line with a caret under it, and the fix.
 *
 * @param sources texts of the files by name; findings of other origins have no line to show
 */
export function report(findings: readonly Finding[], sources: Readonly<Record<string, string>>): string {
  return findings
    .map((finding) => {
      const { place, origin } = finding;
      const lines = sources[origin]?.replace(/^\uFEFF/, '').split(/\r?\n/);
      const shown = place && lines?.[place.line - 1];
      if (!place || shown === undefined)
        return `${finding.origin}: ${mask(finding.message)}\n  fix: ${finding.fix}`;
      const text = mask(shown).replace(/\t/g, ' ');
      const number = String(place.line);
      const margin = ' '.repeat(number.length);
      // A masked line no longer has the columns of the file: the caret then points at its start.
      const masked = text !== shown.replace(/\t/g, ' ');
      const column = masked ? Math.min(place.column, text.length + 1) : place.column;
      const length = masked ? 1 : Math.max(1, Math.min(place.length, text.length - column + 1));
      return [
        `${origin}:${number}:${place.column}: ${mask(finding.message)}`,
        `  ${number} | ${text}`,
        `  ${margin} | ${' '.repeat(column - 1)}${'^'.repeat(length)}`,
        `  ${margin} fix: ${finding.fix}`,
      ].join('\n');
    })
    .join('\n\n');
}
