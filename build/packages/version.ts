/**
 * Versions of packages in the order that pkg(8) has: a port of pkg_version_cmp() (libpkg/pkg_version.c of freebsd/pkg,
 * 2.8.4), whose comments say what the order is meant to be. What it does with odd versions is kept as well.
 */

/** What is sorted before a letter of its own, and how (`stages` there). */
const STAGES: readonly (readonly [name: string, value: number])[] = [
  ['pl', 0],
  ['snap', 's'.charCodeAt(0) - 97 + 2],
  ['alpha', 2],
  ['beta', 3],
  ['pre', 'p'.charCodeAt(0) - 97 + 2],
  ['rc', 'r'.charCodeAt(0) - 97 + 2],
];

interface Component {
  readonly n: bigint;
  readonly a: number;
  readonly pl: bigint;
}

const NOTHING: Component = { n: 0n, a: 0, pl: 0n };

const isDigit = (text: string, at: number): boolean => /^[0-9]/.test(text.charAt(at));
const isLetter = (text: string, at: number): boolean => /^[A-Za-z]/.test(text.charAt(at));

const MOST_SIGNED = 2n ** 63n - 1n;
const MOST_UNSIGNED = 2n ** 64n - 1n;

/** The number that begins at a place, and where it ends (strtoll(3), of digits). */
function digits(text: string, at: number): { readonly value: bigint; readonly end: number } {
  let end = at;
  while (isDigit(text, end)) end++;
  const value = BigInt(text.slice(at, end));
  return { value: value > MOST_SIGNED ? MOST_SIGNED : value, end };
}

/** What strtoul(3) makes of a text: 0 where it does not begin with a number. */
function unsigned(text: string): bigint {
  const found = /^[ \t\n\v\f\r]*([+-]?)([0-9]+)/.exec(text);
  if (!found) return 0n;
  const value = BigInt(found[2] ?? '0');
  if (value > MOST_UNSIGNED) return MOST_UNSIGNED;
  return found[1] === '-' ? BigInt.asUintN(64, -value) : value;
}

interface Split {
  readonly text: string;
  /** Where the version begins and ends, revision and epoch left out. */
  readonly start: number;
  readonly end: number;
  readonly epoch: bigint;
  readonly revision: bigint;
}

function split(text: string): Split {
  const start = text.lastIndexOf('-') + 1;
  const underscore = text.lastIndexOf('_');
  const revised = underscore >= start;
  const comma = text.lastIndexOf(',');
  const withEpoch = comma >= (revised ? underscore + 1 : start);
  return {
    text,
    start,
    end: revised ? underscore : withEpoch ? comma : text.length,
    epoch: withEpoch ? unsigned(text.slice(comma + 1)) : 0n,
    revision: revised ? unsigned(text.slice(underscore + 1)) : 0n,
  };
}

/** The component that begins at a place, and where the next one does; it may read on behind the end of the version. */
function component(text: string, from: number): { readonly value: Component; readonly next: number } {
  let at = from;
  let n: bigint;
  let stage = false;
  if (isDigit(text, at)) ({ value: n, end: at } = digits(text, at));
  else if (text[at] === '*') {
    n = -2n;
    do at++;
    while (at < text.length && text[at] !== '+');
  } else {
    n = -1n;
    stage = true;
  }

  let a = 0;
  let patched = false;
  if (isLetter(text, at)) {
    patched = true;
    const rest = text.slice(at).toLowerCase();
    const special = isLetter(text, at + 1)
      ? STAGES.find(([name]) => rest.startsWith(name) && !isLetter(rest, name.length))
      : undefined;
    if (special && stage) {
      a = special[1];
      at += special[0].length;
    } else if (special) patched = false;
    else {
      a = rest.charCodeAt(0) - 97 + 2;
      do at++;
      while (isLetter(text, at));
    }
  }

  let pl = 0n;
  if (patched) {
    if (isDigit(text, at)) ({ value: pl, end: at } = digits(text, at));
    else pl = -1n;
  }
  while (at < text.length && !/[0-9A-Za-z+*]/.test(text.charAt(at))) at++;
  return { value: { n, a, pl }, next: at };
}

const sign = <T extends bigint | number>(a: T, b: T): number => (a < b ? -1 : a > b ? 1 : 0);

/**
 * Compares two versions, or two package names with their versions: below 0 where the first is older.
 *
 * @returns -1, 0 or 1
 */
export function compareVersions(first: string, second: string): number {
  const [one, two] = [split(first), split(second)];
  let result = sign(one.epoch, two.epoch);
  const body = ({ text, start, end }: Split): string => text.slice(start, end).toLowerCase();
  if (result === 0 && body(one) !== body(two)) {
    let [at, other] = [one.start, two.start];
    while (result === 0 && (at < one.end || other < two.end)) {
      let [left, right] = [NOTHING, NOTHING];
      const [stopped, blocked] = [
        at >= one.end || one.text[at] === '+',
        other >= two.end || two.text[other] === '+',
      ];
      if (!stopped) ({ value: left, next: at } = component(one.text, at));
      if (!blocked) ({ value: right, next: other } = component(two.text, other));
      if (stopped && blocked) {
        if (at < one.end) at++;
        if (other < two.end) other++;
      } else result = sign(left.n, right.n) || sign(left.a, right.a) || sign(left.pl, right.pl);
    }
  }
  return result || sign(one.revision, two.revision);
}
