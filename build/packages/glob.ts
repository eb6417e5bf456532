/** One letter of a pattern: what it matches. */
type Token =
  { readonly kind: 'star' } | { readonly kind: 'one'; readonly matches: (letter: string) => boolean };

/**
 * fnmatch(3) without flags: `*`, `?`, `[…]`, `[!…]`, and a backslash before what is meant as it is. Its time grows with the
 * product of both lengths, whatever the pattern.
 */
export function matchesGlob(pattern: string, text: string): boolean {
  const tokens = tokensOf(pattern);
  let [at, token] = [0, 0];
  // Where to go on from if it fails: the last star, and what it has matched so far.
  let [star, held] = [-1, 0];
  while (at < text.length) {
    const next = tokens[token];
    if (next?.kind === 'star') [star, held, token] = [token, at, token + 1];
    else if (next?.kind === 'one' && next.matches(text.charAt(at))) [at, token] = [at + 1, token + 1];
    else if (star >= 0) [held, at, token] = [held + 1, held + 1, star + 1];
    else return false;
  }
  return tokens.slice(token).every(({ kind }) => kind === 'star');
}

function tokensOf(pattern: string): readonly Token[] {
  const tokens: Token[] = [];
  for (let at = 0; at < pattern.length; at++) {
    const letter = pattern.charAt(at);
    if (letter === '*') tokens.push({ kind: 'star' });
    else if (letter === '?') tokens.push({ kind: 'one', matches: () => true });
    else {
      const set = letter === '[' ? setAt(pattern, at) : undefined;
      if (set) {
        tokens.push({ kind: 'one', matches: set.matches });
        at = set.end;
        continue;
      }
      const literal = letter === '\\' && at + 1 < pattern.length ? pattern.charAt(++at) : letter;
      tokens.push({ kind: 'one', matches: (other) => other === literal });
    }
  }
  return tokens;
}

/** The set that begins at a bracket; undefined where it does not end, and the bracket is itself. */
function setAt(
  pattern: string,
  from: number,
): { readonly end: number; readonly matches: (letter: string) => boolean } | undefined {
  const negated = pattern[from + 1] === '!' || pattern[from + 1] === '^';
  const start = from + (negated ? 2 : 1);
  const end = pattern.indexOf(']', start + 1);
  if (end < 0) return undefined;
  const inside = pattern.slice(start, end);
  const ranges: (readonly [low: string, high: string])[] = [];
  for (let at = 0; at < inside.length; at++) {
    const low = inside.charAt(at);
    const isRange = inside[at + 1] === '-' && at + 2 < inside.length;
    ranges.push([low, isRange ? inside.charAt(at + 2) : low]);
    if (isRange) at += 2;
  }
  const contains = (letter: string): boolean => ranges.some(([low, high]) => letter >= low && letter <= high);
  return { end, matches: (letter) => contains(letter) !== negated };
}
