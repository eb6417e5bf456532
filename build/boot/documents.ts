import type { Step } from './steps.js';

/** A block of commands that a document tells the reader to type on an instance. */
export interface Block {
  /** The document, without its folder and ending. */
  readonly document: string;
  /** Line of its first command, from 1. */
  readonly line: number;
  readonly text: string;
  /** What has to be there for it to run, beside an instance with Bastille: `needs=tailscale`. */
  readonly needs: readonly string[];
  /** The exit code that the last command has to end with: `ends=1`. */
  readonly ends: number;
}

/** Documents whose commands are typed, in this order. */
export const DOCUMENTS = ['operations', 'network'] as const;

const FENCE = /^( {0,3})```(.*)$/;

/**
 * Finds the blocks that are fenced as ```` ```sh instance ````: what follows those two words are their conditions. Readers
 * see a block of shell like any other. Pure.
 *
 * @throws Error if a block is not closed, or has a condition that nobody knows: the document is at fault.
 */
export function blocksOf(document: string, markdown: string): readonly Block[] {
  const blocks: Block[] = [];
  let open: { line: number; words: readonly string[]; indent: string; lines: string[] } | undefined;
  for (const [index, line] of markdown.split('\n').entries()) {
    const fence = FENCE.exec(line);
    if (open && fence && fence[2]?.trim() === '') {
      if (open.words[0] === 'sh' && open.words[1] === 'instance') blocks.push(blockOf(document, open));
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
  const needs: string[] = [];
  let ends = 0;
  for (const word of words.slice(2)) {
    const [key, value = ''] = word.split('=');
    if (key === 'needs' && value !== '') needs.push(...value.split(','));
    else if (key === 'ends' && /^\d{1,3}$/.test(value)) ends = Number(value);
    else throw new Error(`docs/${document}.md:${line - 1}: "${word}" is no condition of a block`);
  }
  return { document, line, text: `${lines.join('\n').trimEnd()}\n`, needs, ends };
}

/**
 * Blocks as steps: typed as they stand, each to its first command that fails.
 *
 * @param there what blocks may need and have here
 * @returns the steps, and the blocks that cannot be typed here
 */
export function blockSteps(
  blocks: readonly Block[],
  there: ReadonlySet<string>,
): { readonly steps: readonly Step[]; readonly left: readonly Block[] } {
  const able = (block: Block): boolean => block.needs.every((need) => there.has(need));
  return {
    steps: blocks.filter(able).map(({ document, line, text, ends }) => ({
      name: `doc-${document}-${line}`,
      check: 'documents',
      // As a person sees it go wrong: what is typed is shown, and the first failure ends it.
      typed: ends === 0 ? `set -ev\n${text}` : `set -v\n${text}`,
      ends,
      seconds: 600,
    })),
    left: blocks.filter((block) => !able(block)),
  };
}
