import type { Step } from './steps.js';

/** Who types: root on an instance, or the operator on the machine that builds, over ssh(1) where it is of an instance. */
const PLACES = ['instance', 'operator'] as const;

/** A block of commands that a document tells the reader to type. */
export interface Block {
  readonly at: (typeof PLACES)[number];
  /** The document, without its folder and ending. */
  readonly document: string;
  /** Line of its first command, from 1. */
  readonly line: number;
  readonly text: string;
  /** What has to be there for it to run, beside an instance (with Bastille, where it is typed there): `needs=tailscale`. */
  readonly needs: readonly string[];
  /** The exit code that the last command has to end with: `ends=1`. */
  readonly ends: number;
}

/** Documents whose commands are typed, in this order. */
export const DOCUMENTS = ['operations', 'network'] as const;

const FENCE = /^( {0,3})```(.*)$/;

/**
 * Finds the blocks that are fenced as ```` ```sh instance ```` or ```` ```sh operator ````: what follows those two words are
 * their conditions. Readers see a block of shell like any other. Pure.
 *
 * @throws Error if a block is not closed, or has a place or condition that nobody knows: the document is at fault.
 */
export function blocksOf(document: string, markdown: string): readonly Block[] {
  const blocks: Block[] = [];
  let open: { line: number; words: readonly string[]; indent: string; lines: string[] } | undefined;
  for (const [index, line] of markdown.split('\n').entries()) {
    const fence = FENCE.exec(line);
    if (open && fence && fence[2]?.trim() === '') {
      if (open.words[0] === 'sh' && open.words.length > 1) blocks.push(blockOf(document, open));
      open = undefined;
    } else if (open) {
      const { indent } = open;
      open.lines.push(line.startsWith(indent) ? line.slice(indent.length) : line);
    } else if (fence)
      open = {
        line: index + 2,
        words: (fence[2] ?? '').trim().split(/\s+/),
        indent: fence[1] ?? '',
        lines: [],
      };
  }
  if (open) throw new Error(`docs/${document}.md:${open.line - 1}: a fenced block is not closed`);
  return blocks;
}

function blockOf(
  document: string,
  { line, words, lines }: { line: number; words: readonly string[]; lines: readonly string[] },
): Block {
  const at = PLACES.find((place) => place === words[1]);
  if (!at) throw new Error(`docs/${document}.md:${line - 1}: "${words[1] ?? ''}" is nobody who types`);
  const needs: string[] = [];
  let ends = 0;
  for (const word of words.slice(2)) {
    const [key, value = ''] = word.split('=');
    if (key === 'needs' && value !== '') needs.push(...value.split(','));
    else if (key === 'ends' && /^\d{1,3}$/.test(value)) ends = Number(value);
    else throw new Error(`docs/${document}.md:${line - 1}: "${word}" is no condition of a block`);
  }
  return { at, document, line, text: `${lines.join('\n').trimEnd()}\n`, needs, ends };
}

/** What a shell reads to type a block: what is typed is shown, and the first failure ends it, as a person sees it go wrong. */
export function typedOf({ text, ends }: Block): string {
  return ends === 0 ? `set -ev\n${text}` : `set -v\n${text}`;
}

/**
 * Blocks of an instance as steps: typed as they stand.
 *
 * @param there what blocks may need and have here
 * @returns the steps, and the blocks that cannot be typed here
 */
export function blockSteps(
  blocks: readonly Block[],
  there: ReadonlySet<string>,
): { readonly steps: readonly Step[]; readonly left: readonly Block[] } {
  const able = (block: Block): boolean => block.needs.every((need) => there.has(need));
  const here = blocks.filter(({ at }) => at === 'instance');
  return {
    steps: here.filter(able).map((block) => ({
      name: `doc-${block.document}-${block.line}`,
      check: 'documents',
      typed: typedOf(block),
      ends: block.ends,
      seconds: 600,
    })),
    left: here.filter((block) => !able(block)),
  };
}
