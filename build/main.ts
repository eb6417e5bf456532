#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command, CommanderError } from 'commander';
import { bootCommand } from './cli/boot.js';
import type { Cli } from './cli/cli.js';
import { doctorCommand } from './cli/doctor.js';
import { fleetCommands, publishCommand } from './cli/fleet.js';
import { helpLayout, helpText } from './cli/help.js';
import { fileCommands, imageCommands } from './cli/images.js';
import { instanceCommands } from './cli/instances.js';
import { packageCommands } from './cli/packages.js';
import { paperCommands, verifyCommand } from './cli/papers.js';
import { ruleCommands } from './cli/rules.js';
import { PROJECT } from './commands/configuration.js';
import { InputError, messageOf, UserError } from './error.js';
import { jsonMonitor, plainMonitor } from './monitor/plain.js';
import { terminalMonitor } from './monitor/terminal.js';
import type { Monitor } from './pipeline/events.js';
import { visible } from './quote.js';

const { env } = process;
const print = (line: string): void => void process.stdout.write(`${line}\n`);
const complain = (line: string): void => void process.stderr.write(`${line}\n`);
const coloured = ({ isTTY }: NodeJS.WriteStream): boolean =>
  isTTY && (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb';
const columns = (): number => (process.stdout.columns > 0 ? process.stdout.columns : 100);
// A terminal that tells no width cannot hold tasks that are drawn over.
const interactive =
  process.stdout.isTTY && process.stdout.columns >= 20 && (env['CI'] ?? '') === '' && env['TERM'] !== 'dumb';

// A reader that has seen enough (`| head`) is no error, and no reason to leave undone what was begun.
for (const stream of [process.stdout, process.stderr])
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') return;
    if (process.exitCode === undefined && stream === process.stdout)
      complain(`What was printed did not arrive: ${error.message}.`);
    process.exitCode ??= EXIT.failed;
  });

/** Ends the build in order: tools are stopped, unfinished files removed. The second signal ends the program at once. */
const interruption = new AbortController();
const EXIT = { failed: 1, input: 2, interrupted: { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } } as const;
let exitCode: number = EXIT.interrupted.SIGINT;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    exitCode = EXIT.interrupted[signal];
    if (interruption.signal.aborted) process.exit(exitCode);
    interruption.abort(
      new UserError(
        `Interrupted by ${signal}.`,
        'Run the same command again: what the cache has by then is not made again.',
      ),
    );
  });
}

const { version } = JSON.parse(readFileSync(join(PROJECT, 'package.json'), 'utf8')) as { version: string };

function monitor(json: boolean): Monitor {
  if (json) return jsonMonitor(print);
  return interactive ? terminalMonitor(print, columns) : plainMonitor(print);
}

const helpColumns = Math.min(100, columns());
const program = new Command('clawdie-iso')
  .description(
    'Builds hybrid BIOS+UEFI FreeBSD images, without root, firewalled by PF from the first packet.',
  )
  .version(version)
  .showHelpAfterError('Run it with --help for what there is.')
  .exitOverride()
  .configureHelp(helpLayout(helpColumns))
  .configureOutput({ writeOut: (text) => void process.stdout.write(helpText(text, helpColumns)) })
  .addHelpText(
    'after',
    `
Environment:
  CLAWDIE_<KEY>      overrides a key of the configuration, as in CLAWDIE_ASSISTANT_NAME=natasha
                     CLAWDIE_<KEY>__<NAME> that of <NAME>.cfg alone: in capitals, with _ for . and -
  CLAWDIE_CACHE      folder of the cache (default: clawdie-iso in $XDG_CACHE_HOME or ~/.cache)
  SOURCE_DATE_EPOCH  time of everything in an image, in seconds since 1970
  CI, NO_COLOR       plain lines; no colour

Exit codes: 0 done, 1 failed, 2 wrong input, 130 interrupted.`,
  );

const cli: Cli = {
  environment: env,
  signal: interruption.signal,
  print,
  complain,
  columns,
  colour: coloured(process.stdout),
  surroundings: (json) => ({
    environment: env,
    signal: interruption.signal,
    version,
    makeMonitor: () => monitor(json),
    print,
  }),
  ends: (held) => {
    if (!held) process.exitCode = EXIT.failed;
  },
};

// In the order of --help. Most commands are loaded when they run: all of them are more open files at once than some machines give.
for (const add of [
  imageCommands,
  ruleCommands,
  bootCommand,
  fleetCommands,
  packageCommands,
  publishCommand,
  paperCommands,
  instanceCommands,
  fileCommands,
  verifyCommand,
  doctorCommand,
])
  add(program, cli);

/** The message of an error with its fix, for a person. */
function describe(error: unknown): string {
  // What the system refuses is no defect of this program.
  if (!(error instanceof UserError) && !(error instanceof Error && 'syscall' in error))
    return error instanceof Error ? (error.stack ?? error.message) : messageOf(error);
  const fix = error instanceof UserError ? error.fix : undefined;
  const text = visible(fix === undefined ? error.message : `${error.message}\n${fix}`);
  return coloured(process.stderr) ? `\u001b[31m${text}\u001b[0m` : text;
}

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : EXIT.input;
  else if (interruption.signal.aborted) {
    // A command may know more of what it leaves behind.
    const { reason } = interruption.signal as { reason: unknown };
    process.stderr.write(
      `${describe(error instanceof UserError && error.cause === reason ? error : reason)}\n`,
    );
    process.exitCode = exitCode;
  } else {
    process.stderr.write(`${describe(error)}\n`);
    process.exitCode = error instanceof InputError ? EXIT.input : EXIT.failed;
  }
}
