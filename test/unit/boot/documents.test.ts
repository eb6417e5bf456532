import { readFileSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { blocksOf, blockSteps, DOCUMENTS } from '../../../build/boot/documents.js';

const text = `# Title

\`\`\`sh instance
bastille list
clawdie-jail list
\`\`\`

\`\`\`sh
make iso
\`\`\`

1. In a list

   \`\`\`sh instance needs=tailscale,packages ends=1
   clawdie-tailscale status
   \`\`\`

\`\`\`sh operator
ssh root@ADDRESS true
\`\`\`
`;

/** A line of a block that is no fenced one, and begins as a command does: what the console says has a colon there. */
const COMMAND = /^ {4,}\(?(?:ssh|scp|cd|zstd|reboot|sysrc|service|clawdie-[a-z]+)(?: |$)/;

describe('commands of the documents', () => {
  it('are those of the blocks that are marked, as they stand', () => {
    expect(blocksOf('some', text)).toEqual([
      {
        at: 'instance',
        document: 'some',
        line: 4,
        text: 'bastille list\nclawdie-jail list\n',
        needs: [],
        ends: 0,
      },
      {
        at: 'instance',
        document: 'some',
        line: 15,
        text: 'clawdie-tailscale status\n',
        needs: ['tailscale', 'packages'],
        ends: 1,
      },
      {
        at: 'operator',
        document: 'some',
        line: 19,
        text: 'ssh root@ADDRESS true\n',
        needs: [],
        ends: 0,
      },
    ]);
  });

  it('are typed to the first that fails; what cannot be typed here is left, and said', () => {
    const { steps, left } = blockSteps(blocksOf('some', text), new Set());
    expect(steps).toEqual([
      expect.objectContaining({
        name: 'doc-some-4',
        check: 'documents',
        typed: 'set -ev\nbastille list\nclawdie-jail list\n',
        ends: 0,
      }),
    ]);
    expect(left.map(({ line }) => line)).toEqual([15]);
    expect(blockSteps(blocksOf('some', text), new Set(['tailscale', 'packages'])).left).toEqual([]);
  });

  it.each([
    ['```sh instance\nls\n', 'is not closed'],
    ['```sh operatr\nls\n```\n', '"operatr" is nobody who types'],
    ['```sh instance quickly\nls\n```\n', '"quickly" is no condition'],
    ['```sh instance ends=soon\nls\n```\n', '"ends=soon" is no condition'],
  ])('are refused in a document that is at fault: %j', (markdown, message) => {
    expect(() => blocksOf('some', markdown)).toThrow(message);
  });

  it.each(DOCUMENTS)('docs/%s.md marks what is typed on an instance, in sh that parses', (name) => {
    const blocks = blocksOf(name, readFileSync(`docs/${name}.md`, 'utf8'));
    expect(blocks.length).toBeGreaterThan(0);
    for (const block of blocks) {
      const parsed = spawnSync('sh', ['-n'], { input: block.text, encoding: 'utf8' });
      expect([block.line, parsed.stderr]).toEqual([block.line, '']);
      // A word in capitals is something to put in: on an instance it would be typed as it is.
      if (block.at === 'instance')
        expect([block.line, block.text]).toEqual([
          block.line,
          expect.not.stringMatching(/(?:^|\s)[A-Z]{3,}(?:\s|$)/),
        ]);
    }
  });

  it('of operations.md are all marked: none is typed by nobody in silence', () => {
    let fenced = false;
    const unmarked = readFileSync('docs/operations.md', 'utf8')
      .split('\n')
      .filter((line) => {
        if (/^ *```/.test(line)) {
          fenced = !fenced;
          return fenced && !/```sh (?:instance|operator)/.test(line);
        }
        return !fenced && COMMAND.test(line);
      });
    expect(unmarked).toEqual([]);
  });
});
