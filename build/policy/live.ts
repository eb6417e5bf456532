import { bounds } from '../pf/address.js';
import { PROTO } from '../pf/names.js';
import { parsePf } from '../pf/parse.js';
import { printAddress } from '../pf/print.js';
import { inside } from '../pf/ranges.js';
import type { Ranges } from '../pf/ranges.js';
import type { PfFlaw, Rule, Ruleset, Table } from '../pf/types.js';

/** The rules of a running instance. */
export interface LiveRules {
  readonly ruleset: Ruleset;
  readonly flaws: readonly PfFlaw[];
  /** What is taken for granted since the text does not tell it. */
  readonly assumed: readonly string[];
}

const TABLES = 'the tables of the image';
/** Titles of `pfctl -s all` under which there are rules (pfctl_show_title() of sbin/pfctl/pfctl.c). */
const WITH_RULES = new Set(['TRANSLATION RULES:', 'FILTER RULES:', 'ETHERNET RULES:']);
const RULE =
  /^\s*(?:(?:pass|block|match|scrub|no|nat|rdr|binat|anchor|nat-anchor|rdr-anchor|binat-anchor|table|ether|altq|queue|set)\b|\})/;
/** An anchor as `pfctl -sA` lists it. */
const ANCHOR_NAME = /^ {2}([A-Za-z0-9_.*/-]+)$/;
/** What `pfctl -v` tells of a rule, and what pfctl says besides. */
const ASIDE =
  /^\s*\[ (?:Evaluations|Inserted|queue|Last Active)|^(?:No ALTQ support|ALTQ related)|^\s*#|^\s*$/;

/**
 * Reads what pfctl(8) tells of a running instance: `pfctl -sn`, `-sr`, `-sA` in any order, with `-v` or `-a '*'`, or
 * `pfctl -s all`. Tables are those of the image, but for those that the text defines; options are not told.
 *
 * @param file what places call the text
 * @param image the rules of the image, for their tables
 */
export function readLive(text: string, file: string, image: Ruleset): LiveRules {
  const flaws: PfFlaw[] = [];
  const anchors: string[] = [];
  let listing = true;
  /** For each open brace, whether it is left out: anchors of translations, whose rules are translations of the whole. */
  const braces: boolean[] = [];
  const lines = text.split('\n').map((raw, index) => {
    const line = raw
      .replace(/\r$/, '')
      .replace(/^(\s*)@\d+(?:\(\d+\))?\s+/, '$1')
      // pfctl gives a rule with a rate this timeout by itself (PFTM_SRC_NODE in pfctl's parse.y).
      .replace(/(max-src-conn-rate \d+\/(\d+).*), src\.track \2\b/, '$1');
    const place = { file, line: index + 1, column: 1 };
    if (/^[A-Z][A-Z ]+:$/.test(line)) {
      listing = WITH_RULES.has(line);
      return '';
    }
    if (/^Status: Disabled/.test(line))
      flaws.push({ place, message: 'pf is off on this instance: nothing is blocked' });
    if (!listing || ASIDE.test(line)) return '';
    const anchor = ANCHOR_NAME.exec(line);
    if (anchor?.[1] !== undefined) {
      anchors.push(anchor[1]);
      return '';
    }
    if (!RULE.test(line)) {
      flaws.push({ place, message: `"${line.trim()}" is no rule as pfctl prints them` });
      return '';
    }
    if (/^\s*\}/.test(line)) return braces.pop() === true ? '' : line;
    if (line.trimEnd().endsWith('{')) {
      const dropped = /^\s*(?:nat|rdr|binat)-anchor/.test(line);
      braces.push(dropped);
      if (dropped) return '';
      // A name with a slash is for anchors that are filled; these here have their rules with them.
      return line.replace(
        /"([^"]*)"/,
        (_, name: string) => `"${name.replace(/\/\*?/g, '.').replace(/\.$/, '')}"`,
      );
    }
    return line;
  });
  const body = lines.join('\n');
  const own = new Set(
    [...body.matchAll(/^\s*table <([^>]+)>/gm)].flatMap(([, name]) => (name === undefined ? [] : [name])),
  );
  const tables = image.tables.filter(({ name }) => !own.has(name)).map((table) => `${printTable(table)}\n`);
  const preamble = `set require-order no\n${tables.join('')}include "${file}"\n`;
  const read = parsePf(preamble, TABLES, (path) => (path === file ? `${body}\n` : undefined));
  const ruleset: Ruleset = {
    ...read.ruleset,
    options: read.ruleset.options.filter(({ place }) => place.file !== TABLES),
  };
  if (ruleset.rules.length === 0)
    flaws.push({
      place: { file, line: 1, column: 1 },
      message: 'there is no rule in it: write what `pfctl -sn` and `pfctl -sr` print',
    });
  const unknown = anchors.filter((name) => !/^(?:rdr|bastille|tailscale)$/.test(name));
  return {
    ruleset,
    flaws: [...flaws, ...read.flaws],
    assumed: [
      `tables have the addresses that pf.conf of the image gives them${own.size > 0 ? `, but for ${[...own].map((name) => `<${name}>`).join(', ')}` : ''}`,
      'options (skip, limits, timeouts) are those of the image: pfctl does not print them with the rules',
      ...unknown.map(
        (name) =>
          `the anchor ${name} has no rules but those that are in ${file}: \`pfctl -a ${name} -sn\` and \`-sr\` print them`,
      ),
    ],
  };
}

/**
 * Whether a rule is what `bastille rdr` puts into rdr/*: tcp or udp from what faces the internet, passed on to an address of
 * jails (Bastille 1.4, rdr.sh).
 */
export function isRedirect(rule: Rule, jails: Ranges): boolean {
  const { action, natPass, interface: device, proto, pool } = rule;
  return (
    action === 'rdr' &&
    natPass === true &&
    device?.name === 'egress' &&
    !device.not &&
    (proto === PROTO.tcp || proto === PROTO.udp) &&
    pool !== undefined &&
    pool.hosts.length > 0 &&
    pool.hosts.every(
      ({ address }) =>
        address.kind === 'net' &&
        address.af === 'inet' &&
        bounds('inet', address.base, address.prefix).every((end) => inside(jails, Number(end))),
    )
  );
}

/** A table in the form of pfctl. */
function printTable(table: Table): string {
  const words = [`table <${table.name}>`];
  if (table.const) words.push('const');
  if (table.persist) words.push('persist');
  if (table.counters) words.push('counters');
  for (const file of table.files) words.push(`file "${file}"`);
  if (table.hosts.length > 0)
    words.push(`{ ${table.hosts.map((host) => `${host.not ? '!' : ''}${printAddress(host)}`).join(' ')} }`);
  else if (table.initialised && table.files.length === 0) words.push('{ }');
  return words.join(' ');
}
