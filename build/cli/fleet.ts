import { Option } from 'commander';
import type { Command } from 'commander';
import { plan, PLAN_FORMATS } from '../commands/plan.js';
import { plainMonitor } from '../monitor/plain.js';
import type { Cli } from './cli.js';
import { cacheOption, installOption, jsonEvents, noWaitOption, setOption, wholeNumber } from './options.js';

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

/** Many deployments: `fleet` and `plan`. */
export function fleetCommands(program: Command, cli: Cli): void {
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
        (await import('../commands/fleet.js')).fleet(
          { deployments, insecure: options.insecureRegistry, ...options },
          cli.surroundings(options.json),
        ),
    );

  program
    .command('plan')
    .description('say which images a fleet needs, for people and for CI engines; writes nothing')
    .argument('<deployments>', 'folder of the deployments')
    .addOption(new Option('--format <kind>', 'form of the plan').choices(PLAN_FORMATS).default('table'))
    .option('--jobs <number>', 'jobs of the matrix at most (default: what the engine takes)', wholeNumber)
    .option(
      '--template <file>',
      'file of your repository with the GitLab job .image',
      '/.gitlab-ci-image.yml',
    )
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
      ) => plan({ deployments, ...options }, cli.environment, cli.print),
    );
}

/** Base images in a registry: `publish`. */
export function publishCommand(program: Command, cli: Cli): void {
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
        (await import('../commands/store.js')).publish(
          { deployments, insecure: options.insecureRegistry, timeout: options.storeTimeout, ...options },
          // The references are what it prints; all else is for whoever watches.
          { ...cli.surroundings(options.json), makeMonitor: () => plainMonitor(cli.complain) },
        ),
    );
}
