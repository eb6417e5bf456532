import { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { helpLayout, helpText } from '../../../build/cli/help.js';

/** What --help of a command prints on so many columns. */
function help(columns: number): string {
  let printed = '';
  const program = new Command('clawdie-iso')
    .exitOverride()
    .configureHelp(helpLayout(columns))
    .configureOutput({ writeOut: (text) => void (printed += helpText(text, columns)) });
  program
    .command('push')
    .description('give a running instance what a configuration renders: on trial, confirmed in a new login')
    .argument('[configuration]', 'configuration of the deployment; common.cfg beside it counts as well')
    .option('--rules <file>', 'filter rules alone, in the place of those of PF_RULES_FILE: proved here')
    .option('--quite-a-long-one <value with words>', 'an option that leaves no room beside it at all')
    .addHelpText(
      'after',
      '\nEnvironment:\n  CLAWDIE_<KEY>      overrides a key of the configuration, as in CLAWDIE_ASSISTANT_NAME=natasha\n\nExit codes: 0 all run it, 1 one does not, 2 wrong input, 130 interrupted.',
    );
  expect(() => program.parse(['push', '--help'], { from: 'user' })).toThrow();
  return printed;
}

describe('--help', () => {
  it.each([40, 60, 80, 100])('fits into %i columns, and loses no word', (columns) => {
    const text = help(columns);
    expect(text.split('\n').filter((line) => line.length > columns)).toEqual([]);
    const words = (all: string): readonly string[] => all.split(/\s+/);
    expect(words(text)).toEqual(words(help(1000)));
  });

  it('has descriptions beside their options where there is room, and below them where there is none', () => {
    expect(help(100)).toMatch(/^ {2}--rules <file> {2,}filter rules alone, /m);
    expect(help(60)).toMatch(/^ {2}--rules <file>\n {6}filter rules alone, /m);
    expect(help(60)).toContain(
      '\n  CLAWDIE_<KEY>      overrides a key of the configuration,\n                     as in CLAWDIE_ASSISTANT_NAME=natasha\n',
    );
  });
});
