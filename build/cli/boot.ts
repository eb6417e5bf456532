import { Option } from 'commander';
import type { Command } from 'commander';
import { CHECK_NAMES, CHECKS } from '../boot/checks.js';
import type { CheckName } from '../boot/checks.js';
import { FAULT_NAMES, FAULTS } from '../boot/faults.js';
import type { FaultName } from '../boot/faults.js';
import type { Firmware, Media } from '../boot/machine.js';
import type { Cli } from './cli.js';
import { oneOrMore, wholeNumber } from './options.js';

/** An image in QEMU: `boot`. */
export function bootCommand(program: Command, cli: Cli): void {
  program
    .command('boot')
    .description('start an image in QEMU, play the internet to it, and check from outside what it lets in')
    .argument('<image>', 'the image; what it is to let in is read from the build record beside it')
    .addOption(
      new Option('--firmware <list>', 'firmware to start it with')
        .argParser(oneOrMore<Firmware>(['bios', 'uefi']))
        .default(['bios', 'uefi'], 'bios,uefi'),
    )
    .addOption(
      new Option('--media <list>', 'how it is attached')
        .argParser(oneOrMore<Media>(['cd', 'disk']))
        .default(['cd', 'disk'], 'cd,disk'),
    )
    .option(
      '--installed',
      'install the ISO onto a blank disk first, and look at what boots from there',
      false,
    )
    .option('--memory <size>', 'memory of the machine', '1G')
    .option('--card <driver>', 'network card, as QEMU calls it', 'virtio-net-pci')
    .addOption(
      new Option('--check <list>', 'checks to run')
        .argParser(oneOrMore<CheckName>(CHECK_NAMES))
        .default(undefined, 'all; with --keep, none'),
    )
    .addOption(
      new Option('--fault <list>', 'instead of the usual starts, one with each of these (BIOS, CD)')
        .argParser(oneOrMore<FaultName>(FAULT_NAMES))
        .default([], 'none'),
    )
    .option(
      '--bastille <folder>',
      'Bastille’s own files (usr/local/…): jails are then looked at, and the documents’ commands typed',
    )
    .addOption(
      new Option('--restarts <number>', 'how often an instance on a disk is restarted')
        .argParser(wholeNumber)
        .default(3, '3'),
    )
    .option('--keep', 'instead of the usual starts, leave a copy running and say how to log in', false)
    .addOption(
      new Option('--accel <kind>', 'hardware virtualisation, or none')
        .choices(['auto', 'kvm', 'tcg'])
        .default('auto'),
    )
    .addOption(
      new Option('--timeout <seconds>', 'what one boot may take').argParser(wholeNumber).default(600, '600'),
    )
    .option('--out <folder>', 'folder for the reports and console logs', 'dist/boot')
    .option('--json', 'print the report as JSON', false)
    .addHelpText(
      'after',
      () =>
        `\nChecks:\n${CHECK_NAMES.map((name) => `  ${name.padEnd(8)}  ${CHECKS[name]}`).join('\n')}\n\nFaults:\n${FAULT_NAMES.map((name) => `  ${name.padEnd(14)}  ${FAULTS[name].what}`).join('\n')}\n\nExit codes: 0 all held, 1 something did not, 2 wrong input, 130 interrupted.`,
    )
    .action(
      async (
        image: string,
        {
          check,
          fault,
          ...options
        }: {
          firmware: readonly Firmware[];
          media: readonly Media[];
          installed: boolean;
          memory: string;
          card: string;
          check?: readonly CheckName[];
          fault: readonly FaultName[];
          keep: boolean;
          bastille?: string;
          restarts: number;
          accel: 'auto' | 'kvm' | 'tcg';
          timeout: number;
          out: string;
          json: boolean;
        },
      ) => {
        const { boot } = await import('../commands/boot.js');
        const held = await boot(
          { image, checks: check ?? (options.keep ? [] : CHECK_NAMES), faults: fault, ...options },
          {
            signal: cli.signal,
            print: cli.print,
            columns: cli.columns(),
          },
        );
        cli.ends(held);
      },
    );
}
