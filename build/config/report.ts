import type { Flaw } from './parse.js';
import { KEYS, SECRET_KEYS } from './keys.js';

/** A flaw and the file (or `environment`, `command line`) in which it stands. */
export interface Finding extends Flaw {
  readonly origin: string;
}

const KEY_OF_LINE = /\b([A-Za-z_][A-Za-z0-9_]*)(\s*=).*/;
/** A key that nobody knows may be a misspelt secret one. */
const SOUNDS_SECRET = /PASS|PAS|HASH|SECRET|TOKEN|KEY|HOOK|WEBH/i;
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

/** Findings that are shown of many. */
const MOST_SHOWN = 50;

/** Characters of a message, and of a line of a file, that are shown of many. */
const MOST_MESSAGE = 400;
const MOST_LINE = 160;

/**
 * Findings as text, one after the other: place, what is wrong, the line with a caret under it, and the fix. Of many, the
 * first and how many more there are.
 *
 * @param sources texts of the files by name; findings of other origins have no line to show
 */
export function report(findings: readonly Finding[], sources: Readonly<Record<string, string>>): string {
  const more = findings.length - MOST_SHOWN;
  return [
    ...reports(findings.slice(0, MOST_SHOWN), sources),
    ...(more > 0 ? [`… and ${more} more`] : []),
  ].join('\n\n');
}

/** Each finding as text. */
export function reports(
  findings: readonly Finding[],
  sources: Readonly<Record<string, string>>,
): readonly string[] {
  const lines = new Map(
    Object.entries(sources).map(([name, text]) => [name, text.replace(/^\uFEFF/, '').split(/\r?\n/)]),
  );
  return findings.map((finding) => {
    const { place, origin } = finding;
    const message = shortened(mask(finding.message), MOST_MESSAGE);
    const shown = place && lines.get(origin)?.[place.line - 1];
    if (!place || shown === undefined) return `${origin}: ${message}\n  fix: ${finding.fix}`;
    const whole = mask(shown).replace(/\t/g, ' ');
    const number = String(place.line);
    const margin = ' '.repeat(number.length);
    // A masked line no longer has the columns of the file: the caret then points at its start.
    const masked = whole !== shown.replace(/\t/g, ' ');
    const at = masked ? Math.min(place.column, whole.length + 1) : place.column;
    const from = whole.length > MOST_LINE ? Math.max(0, at - 1 - MOST_LINE / 4) : 0;
    const text = shortened(whole.slice(from), MOST_LINE);
    const column = at - from;
    const length = masked ? 1 : Math.max(1, Math.min(place.length, text.length - column + 1));
    return [
      `${origin}:${number}:${place.column}: ${message}`,
      `  ${number} | ${text}`,
      `  ${margin} | ${' '.repeat(column - 1)}${'^'.repeat(length)}`,
      `  ${margin} fix: ${finding.fix}`,
    ].join('\n');
  });
}

function shortened(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, most)}…`;
}
