#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { showConfig } from './commands/config.js';
import { PROJECT } from './commands/configuration.js';
import { doctor } from './commands/doctor.js';
import { audit, VUXML } from './commands/audit.js';
import { iso } from './commands/iso.js';
import type { IsoContext } from './commands/iso.js';
import { plan, PLAN_FORMATS } from './commands/plan.js';
import { CHECK_NAMES, CHECKS } from './boot/checks.js';
import type { CheckName } from './boot/checks.js';
import { FAULT_NAMES, FAULTS } from './boot/faults.js';
import type { FaultName } from './boot/faults.js';
import type { Firmware, Media } from './boot/machine.js';
import { InputError, messageOf, UserError } from './error.js';
import { ensureTools } from './host/tools.js';
import { visible } from './quote.js';
import type { Purpose } from './host/tools.js';
import { jsonMonitor, plainMonitor } from './monitor/plain.js';
import { terminalMonitor } from './monitor/terminal.js';
import type { Monitor } from './pipeline/events.js';

const { env } = process;
const print = (line: string): void => void process.stdout.write(`${line}\n`);
const complain = (line: string): void => void process.stderr.write(`${line}\n`);
const colour = process.stdout.isTTY && (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb';
/** Width of the terminal, or what is assumed of one that tells none. */
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
        'Run the same command again: it goes on with what is in the cache.',
      ),
    );
  });
}

const { version } = JSON.parse(readFileSync(join(PROJECT, 'package.json'), 'utf8')) as { version: string };

function monitor(json: boolean): Monitor {
  if (json) return jsonMonitor(print);
  return interactive ? terminalMonitor(print, () => process.stdout.columns) : plainMonitor(print);
}

const configOption = new Option(
  '--config <file>',
  'configuration of the deployment (default: build.cfg; without one, the sample image)',
);
const setOption = new Option('--set <KEY=value>', 'override a key of the configuration; can be given again')
  .argParser((value: string, all: readonly string[]) => [...all, value])
  .default([], 'none');

const program = new Command('clawdie-iso')
  .description(
    'Builds hybrid BIOS+UEFI FreeBSD images, without root, firewalled by PF from the first packet.',
  )
  .version(version)
  .showHelpAfterError('Run it with --help for what there is.')
  .exitOverride()
  .configureHelp({ helpWidth: Math.min(100, columns()) })
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

const cacheOption = new Option('--cache <folder>', 'folder of the cache, instead of CLAWDIE_CACHE');
const installOption = new Option('--install-tools', 'install missing host tools where this user may').default(
  false,
);
const noWaitOption = new Option(
  '--no-wait',
  'fail if another build is writing to the folder, instead of waiting for it',
);
const jsonEvents = new Option('--json', 'print one event a line, as JSON').default(false);

// Most commands are loaded when they run: all of them are more open files at once than some machines give.
const surroundings = (json: boolean): IsoContext => ({
  environment: env,
  signal: interruption.signal,
  version,
  makeMonitor: () => monitor(json),
  print,
});

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
      }) => iso({ ...options, disksOnly: name === 'img' }, surroundings(options.json)),
    );

program
  .command('config')
  .description('print the configuration that results, and where each value came from')
  .addOption(configOption)
  .addOption(setOption)
  .option('--json', 'as JSON', false)
  .action((options: { config?: string; set: string[]; json: boolean }) => showConfig(options, env, print));

const tailscaleOption = new Option('--tailscale', 'with the Tailscale block in force').default(false);
const fallbackOption = new Option('--fallback', 'with pf-fallback.conf in force').default(false);
interface RuleOptions {
  config?: string;
  set: string[];
  tailscale: boolean;
  fallback: boolean;
}

program
  .command('explain')
  .description('print the firewall policy of a deployment: who reaches what, why, and by which line')
  .addOption(configOption)
  .addOption(setOption)
  .addOption(tailscaleOption)
  .addOption(fallbackOption)
  .option('--json', 'as JSON', false)
  .option(
    '--live <file>',
    'the rules of a running instance, as `pfctl -sn; pfctl -sr; pfctl -sA` print them, instead of those of the image',
  )
  .addHelpText('after', '\nExit codes: 0 every row holds or is excepted, 1 one is broken, 2 wrong input.')
  .action(async (options: RuleOptions & { json: boolean; live?: string }) => {
    const { explain } = await import('./commands/explain.js');
    if (!(await explain(options, env, print, columns()))) process.exitCode = EXIT.failed;
  });

program
  .command('packet')
  .description('say what happens to a packet, and which line of the rules decides')
  .requiredOption('--from <party>', 'internet, host, jail, plain-jail, tailnet, or an address')
  .requiredOption(
    '--to <party:service>',
    'the same, with a service: host:22/tcp, [2001:db8::1]:echoreq/icmp6',
  )
  .addOption(configOption)
  .addOption(setOption)
  .addOption(tailscaleOption)
  .addOption(fallbackOption)
  .addHelpText('after', '\nExit codes: 0 it passes, 1 it is blocked, 2 wrong input.')
  .action(async (options: RuleOptions & { from: string; to: string }) => {
    const { askPacket } = await import('./commands/rules.js');
    if (!(await askPacket(options, env, print))) process.exitCode = EXIT.failed;
  });

/** Reads a number from 1 to 999999. */
function wholeNumber(value: string): number {
  if (!/^[1-9][0-9]{0,5}$/.test(value)) throw new InvalidArgumentError('It is a whole number from 1 on.');
  return Number(value);
}

/** Reads a list of words with commas between them, each one of those there are. */
function oneOrMore<T extends string>(words: readonly T[]): (value: string) => readonly T[] {
  return (value) =>
    value.split(',').map((word) => {
      const found = words.find((known) => known === word.trim());
      if (found === undefined) throw new InvalidArgumentError(`"${word}" is none of ${words.join(', ')}.`);
      return found;
    });
}

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
  .option('--installed', 'install the ISO onto a blank disk first, and look at what boots from there', false)
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
      const { boot } = await import('./commands/boot.js');
      const held = await boot(
        { image, checks: check ?? (options.keep ? [] : CHECK_NAMES), faults: fault, ...options },
        {
          signal: interruption.signal,
          print,
          columns: columns(),
        },
      );
      if (!held) process.exitCode = EXIT.failed;
    },
  );

const onlyOption = new Option(
  '--only <names>',
  'these deployments alone, with commas between; * stands for anything',
)
  .argParser((value: string) => value.split(',').filter((name) => name !== ''))
  .default([], 'all');
const shardOption = new Option('--shard <K/N>', 'the Kth of N parts of the deployments');
const sinceOption = new Option(
  '--changed-since <record>',
  'leave alone what has the inputs that this fleet record tells of, wherever its image is',
);
const insecureOption = new Option('--insecure-registry', 'talk to the registry without TLS').default(false);
const storeTimeoutOption = new Option('--store-timeout <seconds>', 'what one transfer may take')
  .argParser(wholeNumber)
  .default(600, '600');

program
  .command('fleet')
  .description('build one image for each deployment of a folder, on base images that they share')
  .argument('<deployments>', 'folder with a file <name>.cfg for each, and common.cfg for what they share')
  .option('--out <folder>', 'folder for the images, their records, fleet.json and CHECKSUM.SHA256', 'dist')
  .addOption(setOption)
  .addOption(onlyOption)
  .addOption(shardOption)
  .addOption(sinceOption)
  .option('--bases <references>', 'base images in a registry, as `clawdie-iso publish` printed them')
  .addOption(insecureOption)
  .addOption(storeTimeoutOption)
  .addOption(cacheOption)
  .addOption(installOption)
  .option('--maps', 'draw who reaches whom in each report (half a second of a processor each)', false)
  .addOption(noWaitOption)
  .addOption(jsonEvents)
  .action(
    async (
      deployments: string,
      options: {
        out: string;
        set: string[];
        only: string[];
        shard?: string;
        changedSince?: string;
        bases?: string;
        insecureRegistry: boolean;
        storeTimeout: number;
        cache?: string;
        installTools: boolean;
        maps: boolean;
        wait: boolean;
        json: boolean;
      },
    ) =>
      (await import('./commands/fleet.js')).fleet(
        { deployments, insecure: options.insecureRegistry, ...options },
        surroundings(options.json),
      ),
  );

program
  .command('plan')
  .description('say which images a fleet needs, for people and for CI engines; writes nothing')
  .argument('<deployments>', 'folder of the deployments')
  .addOption(new Option('--format <kind>', 'form of the plan').choices(PLAN_FORMATS).default('table'))
  .option('--jobs <number>', 'jobs of the matrix at most (default: what the engine takes)', wholeNumber)
  .option('--template <file>', 'file of your repository with the GitLab job .image', '/.gitlab-ci-image.yml')
  .addOption(setOption)
  .addOption(onlyOption)
  .addOption(shardOption)
  .addOption(sinceOption)
  .action(
    (
      deployments: string,
      options: {
        format: (typeof PLAN_FORMATS)[number];
        jobs?: number;
        template: string;
        set: string[];
        only: string[];
        shard?: string;
        changedSince?: string;
      },
    ) => plan({ deployments, ...options }, env, print),
  );

program
  .command('lock')
  .description('resolve and verify the packages that instances install, and write clawdie.lock.json')
  .argument('[deployments]', 'folder of a fleet, which gets one lock for all its deployments')
  .addOption(configOption)
  .addOption(setOption)
  .option('--update [names...]', 'bring all packages, or these, to what the repository has now')
  .option('--vendor <folder>', 'keep the files in a folder, which then is a repository: mirrors forget them')
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
      (await import('./commands/lock.js')).lock(
        { deployments, ...options, update: options.update ?? false },
        surroundings(options.json),
      ),
  );

program
  .command('audit')
  .description('compare the packages of a lock with the vulnerabilities that FreeBSD knows of')
  .argument('[lock]', 'the lock, or the folder that it is in', 'clawdie.lock.json')
  .option('--vuxml <url or file>', 'the list of vulnerabilities', VUXML)
  .option('--save', 'keep what was found in clawdie.audit.json beside the lock, for reports of images', false)
  .option('--json', 'as JSON', false)
  .addHelpText('after', '\nExit codes: 0 none is known, 1 some are, or it failed, 2 wrong input.')
  .action(async (file: string, options: { vuxml: string; save: boolean; json: boolean }) => {
    if (!(await audit({ lock: file, ...options }, { signal: interruption.signal, print })))
      process.exitCode = EXIT.failed;
  });

program
  .command('publish')
  .description('build the base images of a fleet and push them to an OCI registry; prints where each is')
  .argument('<deployments>', 'folder of the deployments')
  .requiredOption('--to <repository>', 'where to, as in registry.example/team/bases')
  .addOption(setOption)
  .addOption(insecureOption)
  .addOption(storeTimeoutOption)
  .addOption(cacheOption)
  .addOption(installOption)
  .addOption(jsonEvents)
  .action(
    async (
      deployments: string,
      options: {
        to: string;
        set: string[];
        insecureRegistry: boolean;
        storeTimeout: number;
        cache?: string;
        installTools: boolean;
        json: boolean;
      },
    ) =>
      (await import('./commands/store.js')).publish(
        { deployments, insecure: options.insecureRegistry, timeout: options.storeTimeout, ...options },
        // The references are what it prints; all else is for whoever watches.
        { ...surroundings(options.json), makeMonitor: () => plainMonitor(complain) },
      ),
  );

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
    const { diff } = await import('./commands/diff.js');
    if (!(await diff({ a, b, ...options }, print))) process.exitCode = EXIT.failed;
  });

program
  .command('report')
  .description('make the report of an image again, and of a fleet those of its deployments with their index')
  .argument('<records...>', 'build records, and fleet.json')
  .option(
    '--boot <file>',
    'what `clawdie-iso boot` found (default: boot/report.json beside, if of this image)',
  )
  .option('--audit <file>', 'what `clawdie-iso audit --save` found (default: what the record has)')
  .option('--open', 'show the first one in the browser', false)
  .action(async (records: string[], options: { boot?: string; audit?: string; open: boolean }) =>
    (await import('./commands/report.js')).report({ records, ...options }, print),
  );

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
      const { overlay } = await import('./commands/overlay.js');
      const note = (text: string): void => {
        complain(`Warning: ${text}`);
      };
      if (!(await overlay(options, env, print, note))) process.exitCode = EXIT.failed;
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
  .option('--parallel <number>', 'with --all: how many at a time', wholeNumber, 3)
  .option('--keep-going', 'with --all: begin the others as well after one that fails')
  .option('--wait <seconds>', 'how long an instance has to say what runs', wholeNumber, 900)
  .addOption(setOption)
  .addHelpText('after', '\nExit codes: 0 all run it, 1 one does not, 2 wrong input.')
  .action(
    async (
      config: string | undefined,
      address: string | undefined,
      options: { all?: string; parallel: number; keepGoing?: true; wait: number; set: string[] },
    ) => {
      if ((options.all === undefined) === (config === undefined || address === undefined))
        throw new InputError(
          'push takes a configuration and an address, or --all with a folder.',
          'clawdie-iso push deployments/natasha.cfg root@198.51.100.7',
        );
      const one = config !== undefined && address !== undefined ? { config, address } : undefined;
      const { signal } = interruption;
      const context = {
        ...{ environment: env, signal, print },
        sleep: (seconds: number) => sleep(seconds * 1000, undefined, { signal }),
      };
      const { push } = await import('./commands/push.js');
      if (!(await push({ ...options, ...(one && { one }) }, context))) process.exitCode = EXIT.failed;
    },
  );

program
  .command('root')
  .description(
    'write the root of a release as one signed file, for instances on ZFS that are to be updated (clawdie-update release)',
  )
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
    }) => (await import('./commands/root.js')).root(options, surroundings(options.json)),
  );

program
  .command('verify')
  .description(
    'say whether images, their sums and their overlays are signed by one of the signers; needs no network',
  )
  .argument('<folder, image or slot>')
  .requiredOption('--signers <file>', 'public keys, or a file of allowed signers (ssh-keygen(1))')
  .option('--json', 'as JSON', false)
  .addHelpText('after', '\nExit codes: 0 all holds, 1 something does not, 2 wrong input.')
  .action(async (subject: string, options: { signers: string; json: boolean }) => {
    const { verify } = await import('./commands/verify.js');
    if (!(await verify({ subject, ...options }, print))) process.exitCode = EXIT.failed;
  });

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
      await ensureTools(options.install, { install: true, note: print, signal: interruption.signal });
    if (!(await doctor({ json: options.json, colour }, print))) process.exitCode = EXIT.failed;
  });

/** The message of an error with its fix, for a person. */
function describe(error: unknown): string {
  // What the system refuses is no defect of this program.
  if (!(error instanceof UserError) && !(error instanceof Error && 'syscall' in error))
    return error instanceof Error ? (error.stack ?? error.message) : messageOf(error);
  const fix = error instanceof UserError ? error.fix : undefined;
  const text = visible(fix === undefined ? error.message : `${error.message}\n${fix}`);
  return colour ? `\u001b[31m${text}\u001b[0m` : text;
}

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : EXIT.input;
  else if (interruption.signal.aborted) {
    process.stderr.write(`${describe(interruption.signal.reason)}\n`);
    process.exitCode = exitCode;
  } else {
    process.stderr.write(`${describe(error)}\n`);
    process.exitCode = error instanceof InputError ? EXIT.input : EXIT.failed;
  }
}
