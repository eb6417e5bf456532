/** What rcorder(8) reads of an rc.d(8) script. */
export interface RcScript {
  /** Path in the image, as `etc/rc.d/netif`. */
  readonly path: string;
  readonly provide: readonly string[];
  readonly require: readonly string[];
  readonly before: readonly string[];
  readonly keyword: readonly string[];
}

/** Folders of an image whose scripts rc(8) runs. */
export const RC_FOLDERS = ['etc/rc.d', 'usr/local/etc/rc.d'] as const;

const WORDS = {
  PROVIDE: 'provide',
  PROVIDES: 'provide',
  REQUIRE: 'require',
  REQUIRES: 'require',
  BEFORE: 'before',
  KEYWORD: 'keyword',
  KEYWORDS: 'keyword',
} as const;

/**
 * The header of an rc.d script: the first block of lines like `# REQUIRE: a b`; what stands behind the block counts
 * for nothing (crunch_file() of sbin/rcorder/rcorder.c). Undefined if the script has none.
 */
export function parseHeader(path: string, text: string): RcScript | undefined {
  const found = {
    provide: [] as string[],
    require: [] as string[],
    before: [] as string[],
    keyword: [] as string[],
  };
  let begun = false;
  for (const line of text.split('\n')) {
    const match = /^# ([A-Z]+):[ \t]*(.*)$/.exec(line);
    const word = match?.[1];
    if (match && word !== undefined && word in WORDS) {
      begun = true;
      found[WORDS[word as keyof typeof WORDS]].push(...(match[2] ?? '').split(/[ \t]+/).filter(Boolean));
    } else if (begun) break;
  }
  return begun ? { path, ...found } : undefined;
}
