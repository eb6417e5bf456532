import { Option } from 'commander';
import type { Command } from 'commander';
import { showConfig } from '../commands/config.js';
import type { Cli } from './cli.js';
import { configOption, setOption } from './options.js';

const tailscaleOption = new Option('--tailscale', 'with the Tailscale block in force').default(false);
const fallbackOption = new Option('--fallback', 'with pf-fallback.conf in force').default(false);

interface RuleOptions {
  config?: string;
  set: string[];
  tailscale: boolean;
  fallback: boolean;
}

/** What a configuration says and its firewall lets through: `config`, `explain` and `packet`. */
export function ruleCommands(program: Command, cli: Cli): void {
  program
    .command('config')
    .description('print the configuration that results, and where each value came from')
    .addOption(configOption)
    .addOption(setOption)
    .option('--json', 'as JSON', false)
    .action((options: { config?: string; set: string[]; json: boolean }) =>
      showConfig(options, cli.environment, cli.print, cli.columns()),
    );

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
      const { explain } = await import('../commands/explain.js');
      cli.ends(await explain(options, cli.environment, cli.print, cli.columns()));
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
      const { askPacket } = await import('../commands/rules.js');
      cli.ends(await askPacket(options, cli.environment, cli.print));
    });
}
