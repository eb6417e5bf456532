import type { Command } from 'commander';
import type { Cli } from './cli.js';

/** What images are, by their files and papers: `diff` and `report`. */
export function paperCommands(program: Command, cli: Cli): void {
  program
    .command('diff')
    .description(
      'say in what two images differ: files, base, and by their papers what is installed and what they were made of',
    )
    .argument('<a>')
    .argument('<b>')
    .option('--patch', 'show the lines that differ', false)
    .option('--json', 'as JSON', false)
    .addHelpText('after', '\nExit codes: 0 they are the same, 1 they differ, 2 wrong input.')
    .action(async (a: string, b: string, options: { patch: boolean; json: boolean }) => {
      const { diff } = await import('../commands/diff.js');
      cli.ends(await diff({ a, b, ...options }, cli.print));
    });

  program
    .command('report')
    .description(
      'make the report of an image again, and of a fleet those of its deployments with their index',
    )
    .argument('<records...>', 'build records, and fleet.json')
    .option(
      '--boot <file>',
      'what `clawdie-iso boot` found (default: boot/report.json beside, if of this image)',
    )
    .option('--audit <file>', 'what `clawdie-iso audit --save` found (default: what the record has)')
    .option('--open', 'show the first one in the browser', false)
    .action(async (records: string[], options: { boot?: string; audit?: string; open: boolean }) =>
      (await import('../commands/report.js')).report({ records, ...options }, cli.print),
    );
}

/** Whether images are signed, and by whom: `verify`. */
export function verifyCommand(program: Command, cli: Cli): void {
  program
    .command('verify')
    .description(
      'say whether images, their sums and their overlays are signed by one of the signers; needs no network',
    )
    .argument('<folder, image or slot>')
    .option('--signers <file>', 'public keys, or a file of allowed signers (ssh-keygen(1))')
    .option('--json', 'as JSON', false)
    .addHelpText('after', '\nExit codes: 0 all holds, 1 something does not, 2 wrong input.')
    .action(async (subject: string, options: { signers?: string; json: boolean }) => {
      const { verify } = await import('../commands/verify.js');
      cli.ends(await verify({ subject, ...options }, cli.print));
    });
}
