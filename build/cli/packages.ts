import type { Command } from 'commander';
import { audit, VUXML } from '../commands/audit.js';
import type { Cli } from './cli.js';
import { cacheOption, configOption, setOption } from './options.js';

/** Packages that instances install: `lock` and `audit`. */
export function packageCommands(program: Command, cli: Cli): void {
  program
    .command('lock')
    .description('resolve and verify the packages that instances install, and write clawdie.lock.json')
    .argument('[deployments]', 'folder of a fleet, which gets one lock for all its deployments')
    .addOption(configOption)
    .addOption(setOption)
    .option('--update [names...]', 'bring all packages, or these, to what the repository has now')
    .option(
      '--vendor <folder>',
      'keep the files in a folder, which then is a repository: mirrors forget them',
    )
    .option('--older', 'take a catalogue that is older than the one of the lock', false)
    .addOption(cacheOption)
    .option('--json', 'print what happens and what came of it as JSON, one event a line', false)
    .addHelpText(
      'after',
      '\nWhat is locked stays as it is without --update; what build.cfg asks for beside it is added.',
    )
    .action(
      async (
        deployments: string | undefined,
        options: {
          config?: string;
          set: string[];
          update?: boolean | string[];
          vendor?: string;
          older: boolean;
          cache?: string;
          json: boolean;
        },
      ) =>
        (await import('../commands/lock.js')).lock(
          { deployments, ...options, update: options.update ?? false },
          cli.surroundings(options.json),
        ),
    );

  program
    .command('audit')
    .description('compare the packages of a lock with the vulnerabilities that FreeBSD knows of')
    .argument('[lock]', 'the lock, or the folder that it is in', 'clawdie.lock.json')
    .option('--vuxml <url or file>', 'the list of vulnerabilities', VUXML)
    .option(
      '--save',
      'keep what was found in clawdie.audit.json beside the lock, for reports of images',
      false,
    )
    .option('--json', 'as JSON', false)
    .addHelpText('after', '\nExit codes: 0 none is known, 1 some are, or it failed, 2 wrong input.')
    .action(async (file: string, options: { vuxml: string; save: boolean; json: boolean }) => {
      cli.ends(await audit({ lock: file, ...options }, cli));
    });
}
