import { Help } from 'commander';
import { wrap } from '../wrap.js';

/** Characters that a description beside its term has at least; where there are fewer, it stands below. */
const LEAST = 30;
/** What descriptions below their terms are indented by. */
const BELOW = 6;

/** How `--help` is laid out on so many columns. */
export function helpLayout(columns: number): Partial<Help> {
  const beside = Object.assign(new Help(), { helpWidth: columns, minWidthToWrap: LEAST });
  return {
    helpWidth: columns,
    minWidthToWrap: Math.min(columns, LEAST),
    formatItem: (term, termWidth, description, helper) =>
      columns - termWidth - 4 >= LEAST || description === ''
        ? beside.formatItem(term, termWidth, description, helper)
        : [
            ...wrap(`  ${term}`, columns, BELOW),
            ...wrap(' '.repeat(BELOW) + description, columns, BELOW),
          ].join('\n'),
  };
}

/** Text that stands below the options: each line goes on under its second column, or under its first where it has one alone. */
export function helpText(text: string, columns: number): string {
  return text
    .split('\n')
    .flatMap((line) => {
      const hang = /^ *\S+(?: \S+)* {2,}(?=\S)|^ +/.exec(line)?.[0].length ?? 0;
      return columns - hang >= LEAST ? wrap(line, columns, hang) : wrap(line, columns, BELOW);
    })
    .join('\n');
}
