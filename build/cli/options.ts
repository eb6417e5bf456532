import { InvalidArgumentError, Option } from 'commander';

export const configOption = new Option(
  '--config <file>',
  'configuration of the deployment (default: build.cfg; without one, the sample image)',
);
export const setOption = new Option(
  '--set <KEY=value>',
  'override a key of the configuration; can be given again',
)
  .argParser((value: string, all: readonly string[]) => [...all, value])
  .default([], 'none');

export const cacheOption = new Option('--cache <folder>', 'folder of the cache, instead of CLAWDIE_CACHE');
export const installOption = new Option(
  '--install-tools',
  'install missing host tools where this user may',
).default(false);
export const noWaitOption = new Option(
  '--no-wait',
  'fail if another build is writing to the folder, instead of waiting for it',
);
export const jsonEvents = new Option('--json', 'print one event a line, as JSON').default(false);

/** Reads a number from 1 to 999999. */
export function wholeNumber(value: string): number {
  if (!/^[1-9][0-9]{0,5}$/.test(value)) throw new InvalidArgumentError('It is a whole number from 1 on.');
  return Number(value);
}

/** Reads a list of words with commas between them, each one of those there are. */
export function oneOrMore<T extends string>(words: readonly T[]): (value: string) => readonly T[] {
  return (value) =>
    value.split(',').map((word) => {
      const found = words.find((known) => known === word.trim());
      if (found === undefined) throw new InvalidArgumentError(`"${word}" is none of ${words.join(', ')}.`);
      return found;
    });
}
