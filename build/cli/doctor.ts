import { Option } from 'commander';
import type { Command } from 'commander';
import { doctor } from '../commands/doctor.js';
import type { Purpose } from '../host/tool-list.js';
import { ensureTools } from '../host/tools.js';
import type { Cli } from './cli.js';

/** Tools of the host: `doctor`. */
export function doctorCommand(program: Command, cli: Cli): void {
  program
    .command('doctor')
    .description('say which host tools are there, which version, and what each is needed for')
    .addOption(
      new Option('--install <purpose>', 'install what is missing where this user may').choices([
        'build',
        'disk',
        'store',
        'test',
        'bench',
      ]),
    )
    .option('--json', 'as JSON', false)
    .action(async (options: { install?: Purpose; json: boolean }) => {
      if (options.install)
        await ensureTools(options.install, { install: true, note: cli.print, signal: cli.signal });
      cli.ends(await doctor({ json: options.json, colour: cli.colour, columns: cli.columns() }, cli.print));
    });
}
