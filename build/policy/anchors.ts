import { allRules } from '../pf/expand.js';
import type { Ruleset } from '../pf/types.js';

/** What programs put into the anchors of an image at run time, by their documents. */
const CONTENTS: Readonly<Record<string, string>> = {
  'rdr/*':
    'the anchor rdr/* holds what `bastille rdr` puts there: tcp and udp ports of the interface that faces the internet, passed on to a jail',
  'bastille/*': 'the anchor bastille/* is empty: Bastille has redirects alone, and those are in rdr/*',
  'tailscale/*': 'the anchor tailscale/* is empty: tailscaled has no rules of its own on FreeBSD',
};

/** What is taken for granted about a rule set. */
export function assumptions(ruleset: Ruleset, tables: readonly string[]): readonly string[] {
  const names = new Set(
    allRules(ruleset.rules).flatMap(({ anchor }) => (anchor && !anchor.inline ? [anchor.name] : [])),
  );
  return [
    'an example address stands for any address that an interface has',
    ...(tables.length > 0
      ? [
          `who is in a table that is filled at run time (${tables.map((name) => `<${name}>`).join(', ')}) is not known: both ways are tried`,
        ]
      : []),
    'what a rule asks of a user, an operating system or chance is taken for what would be worse',
    ...[...names].map(
      (name) =>
        CONTENTS[name] ??
        `the anchor ${name} is empty: nobody has said what may be in it, and its rules are not proved`,
    ),
    'the kernel routes by the design: jail addresses to their bridges or the loopback of plain jails, nothing between members of one bridge is filtered',
  ];
}
