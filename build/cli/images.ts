import type { Command } from 'commander';
import { iso } from '../commands/iso.js';
import type { Cli } from './cli.js';
import { cacheOption, configOption, installOption, jsonEvents, noWaitOption, setOption } from './options.js';

/** Images of one deployment: `iso` and `img`. */
export function imageCommands(program: Command, cli: Cli): void {
  for (const [name, description] of [
    ['iso', 'build the images of one deployment: those of FORMATS, by default the ISO'],
    ['img', 'build the disk images of one deployment: those of FORMATS, or a raw one'],
  ] as const)
    program
      .command(name)
      .description(description)
      .addOption(configOption)
      .option('--out <folder>', 'folder for the images, their build record and CHECKSUM.SHA256', 'dist')
      .addOption(setOption)
      .addOption(cacheOption)
      .option('--dry-run', 'print what would be done, and touch nothing', false)
      .addOption(installOption)
      .addOption(noWaitOption)
      .addOption(jsonEvents)
      .action(
        (options: {
          config?: string;
          out: string;
          set: string[];
          cache?: string;
          dryRun: boolean;
          installTools: boolean;
          wait: boolean;
          json: boolean;
        }) => iso({ ...options, disksOnly: name === 'img' }, cli.surroundings(options.json)),
      );
}

/** Files for instances that are updated: `root` and `packages`. */
export function fileCommands(program: Command, cli: Cli): void {
  for (const [name, description, command] of [
    [
      'root',
      'write the root of a release as one signed file, for instances that are to be updated (clawdie-update release)',
      async () => (await import('../commands/root.js')).root,
    ],
    [
      'packages',
      'write the packages of a lock as one archive, for instances that run an overlay of it (clawdie-update packages)',
      async () => (await import('../commands/packages.js')).packages,
    ],
  ] as const)
    program
      .command(name)
      .description(description)
      .addOption(configOption)
      .option('--out <folder>', 'folder for the file', 'dist')
      .addOption(setOption)
      .addOption(cacheOption)
      .addOption(installOption)
      .addOption(noWaitOption)
      .addOption(jsonEvents)
      .action(
        async (options: {
          config?: string;
          out: string;
          set: string[];
          cache?: string;
          installTools: boolean;
          wait: boolean;
          json: boolean;
        }) => (await command())(options, cli.surroundings(options.json)),
      );
}
