import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import { InputError } from '../error.js';
import type { Cli } from './cli.js';
import { configOption, setOption, wholeNumber } from './options.js';

/** What runs on instances: `overlay` and `push`. */
export function instanceCommands(program: Command, cli: Cli): void {
  program
    .command('overlay')
    .description(
      'print, unpack or compare what a configuration renders for an instance, without building an image',
    )
    .addOption(configOption)
    .addOption(setOption)
    .option('--file <path>', 'print this file of it, instead of the list')
    .option('--unpack <folder>', 'put its files into a new folder')
    .option('--slot <file>', 'write it as a slot, which an instance takes as its next overlay')
    .option('--diff <image>', 'say how it differs from that of an image, a slot or another .cfg')
    .option('--patch', 'with --diff: show the lines that differ', false)
    .option('--json', 'as JSON', false)
    .addHelpText('after', '\nExit codes: 0 done, 1 with --diff: they differ, or it failed, 2 wrong input.')
    .action(
      async (options: {
        config?: string;
        set: string[];
        file?: string;
        unpack?: string;
        slot?: string;
        diff?: string;
        patch: boolean;
        json: boolean;
      }) => {
        const { overlay } = await import('../commands/overlay.js');
        const note = (text: string): void => {
          cli.complain(`Warning: ${text}`);
        };
        cli.ends(await overlay(options, cli.environment, cli.print, note));
      },
    );

  program
    .command('push')
    .description(
      'give a running instance what a configuration renders: on trial, confirmed in a new login, or taken back by itself',
    )
    .argument('[config]', 'configuration of the deployment; common.cfg beside it counts')
    .argument('[address]', 'where the instance is, as ssh(1) takes it: root@198.51.100.7')
    .option(
      '--all <folder>',
      'every deployment of a folder, each to its PUSH_TO; stops at the first that fails',
    )
    .option(
      '--rules <file>',
      'filter rules alone, in the place of those of PF_RULES_FILE: proved here, on trial there without a restart',
    )
    .option('--parallel <number>', 'with --all: how many at a time', wholeNumber, 3)
    .option('--keep-going', 'with --all: begin the others as well after one that fails')
    .option('--wait <seconds>', 'how long an instance has to say what runs', wholeNumber, 900)
    .addOption(setOption)
    .addHelpText('after', '\nExit codes: 0 all run it, 1 one does not, 2 wrong input.')
    .action(
      async (
        config: string | undefined,
        address: string | undefined,
        options: {
          all?: string;
          rules?: string;
          parallel: number;
          keepGoing?: true;
          wait: number;
          set: string[];
        },
      ) => {
        if ((options.all === undefined) === (config === undefined || address === undefined))
          throw new InputError(
            'push takes a configuration and an address, or --all with a folder.',
            'clawdie-iso push deployments/natasha.cfg root@198.51.100.7',
          );
        const one = config !== undefined && address !== undefined ? { config, address } : undefined;
        const { environment, signal, print } = cli;
        const context = {
          ...{ environment, signal, print },
          sleep: (seconds: number, until?: AbortSignal) =>
            sleep(seconds * 1000, undefined, { signal: until ? AbortSignal.any([signal, until]) : signal }),
        };
        const { push } = await import('../commands/push.js');
        cli.ends(await push({ ...options, ...(one && { one }) }, context));
      },
    );
}
