import { describe, expect, it } from 'vitest';
import { makeView } from '../../../build/overlay/view.js';
import type { Ruleset } from '../../../build/pf/types.js';
import { readRules, withTailscale } from '../../../build/policy/image.js';
import { lint } from '../../../build/policy/lint.js';
import { prove, subjectOf } from '../../../build/policy/prove.js';
import type { Situation } from '../../../build/policy/world.js';
import { configOf } from '../../helpers/config.js';
import { bodyOf, overlayOf } from '../../helpers/deployment.js';
import { oracle, rowFinder } from '../../helpers/oracle.js';
import { randomPackets } from '../../helpers/packets.js';

const config = configOf({ TENANTS: 'igor' });
const entries = overlayOf(config);
const view = makeView(config);
const original = bodyOf(entries, 'etc/pf.conf');
const fallback = bodyOf(entries, 'etc/pf-fallback.conf');
const usual: Situation = { view, tailscaleActive: false, fallback: false, egressKnown: true };

/** A file of rules, and a situation in which it is in force. */
interface Case {
  readonly name: string;
  readonly text: string;
  readonly situation: Situation;
  /** Which statements are mutated. */
  readonly of?: RegExp;
}

const CASES: readonly Case[] = [
  { name: 'pf.conf', text: original, situation: usual },
  {
    name: 'the Tailscale block of pf.conf',
    text: withTailscale(original),
    situation: { ...usual, tailscaleActive: true },
    of: /\$tailscale_if|port 22 +# Block|port 5900 +# Block|port 41641/,
  },
  {
    name: 'pf-fallback.conf',
    text: fallback,
    situation: { ...usual, fallback: true, tailscaleActive: true },
  },
];

const read = (text: string, situation: Situation): ReturnType<typeof readRules> =>
  readRules({ pf: text, fallback: text, operator: '' }, situation);

/** Statements of the file: lines, with those that a backslash joins. */
function statements(text: string): readonly string[] {
  return text.match(/(?:[^\n]*\\\n)*[^\n]*\n/g) ?? [];
}

interface Mutant {
  readonly what: string;
  readonly text: string;
}

/** Each rule dropped, put behind the next one, and loosened in each way that fits it. */
function mutants({ text, of = /./ }: Case): readonly Mutant[] {
  const lines = statements(text);
  const isRule = (line: string | undefined): line is string =>
    line !== undefined && /^(?:pass|block|match|nat|no nat|rdr|antispoof|scrub)\b/.test(line);
  const loosenings: readonly (readonly [RegExp, string])[] = [
    [/^block drop/, 'pass'],
    [/^block return/, 'pass'],
    [/ quick/, ''],
    [/ from (?!any)(?:! )?(?:<[^>]*>|\([^)]*\)|\{[^}]*\}|\S+)/, ' from any'],
    [/ to (?!any)(?:! )?(?:<[^>]*>|\([^)]*\)|\{[^}]*\}|\S+)/, ' to any'],
    [/ from ! /, ' from '],
    [/ to ! /, ' to '],
    [/ port (?:\{[^}]*\}|\S+)/, ''],
    [/ on (?:! )?(?:\{[^}]*\}|\S+)/, ''],
    [/ (?:in|out)(?= )/, ''],
    [/ (?:icmp|icmp6)-type (?:\{[^}]*\}|\S+)(?: code \S+)?/, ''],
    [/max-src-conn 5/, 'max-src-conn 50'],
    [/, overload <bruteforce> flush global/, ''],
  ];
  return lines.flatMap((line, index) => {
    if (!isRule(line) || !of.test(line)) return [];
    const put = (...replacement: readonly string[]): string =>
      [...lines.slice(0, index), ...replacement, ...lines.slice(index + 1)].join('');
    const next = lines.findIndex((other, at) => at > index && isRule(other));
    const name = line.trim().replace(/\s*\\\n\s*/g, ' ');
    return [
      { what: `without: ${name}`, text: put() },
      ...(next < 0
        ? []
        : [
            {
              what: `behind the next: ${name}`,
              text: lines
                .map((each, at) => (at === index ? lines[next] : at === next ? line : each))
                .join(''),
            },
          ]),
      ...loosenings.flatMap(([pattern, by]) =>
        pattern.test(line)
          ? [{ what: `${String(pattern)} → "${by}": ${name}`, text: put(line.replace(pattern, by)) }]
          : [],
      ),
    ];
  });
}

describe.each(CASES)('the proof of $name', (example) => {
  const { text: whole, situation } = example;
  const rowOf = rowFinder(read(whole, situation).ruleset, situation);
  const tried = randomPackets(situation, 40_000).flatMap((packet) => {
    const row = rowOf(packet);
    return row ? [{ packet, row }] : [];
  });
  /** Whether one of the random packets meets something that its row does not allow. */
  const breaks = (ruleset: Ruleset): boolean => {
    const wrong = oracle(ruleset, situation);
    return tried.some(({ packet, row }) => wrong(packet, row));
  };

  it('lets the rules of the project through, and random packets agree', () => {
    const { ruleset, flaws } = read(whole, situation);
    expect(flaws).toEqual([]);
    expect(lint(ruleset)).toEqual([]);
    expect(prove(subjectOf(ruleset, situation)).violations).toEqual([]);
    expect(tried.length).toBeGreaterThan(3000);
    expect(breaks(ruleset)).toBe(false);
  });

  it('refuses every mutant that changes what a packet of the table meets', { timeout: 1_200_000 }, () => {
    let changed = 0;
    let unchanged = 0;
    const missed: string[] = [];
    let refusedOnly = 0;
    for (const { what, text } of mutants(example)) {
      const { ruleset, flaws } = read(text, situation);
      const refused =
        flaws.length > 0 || prove(subjectOf(ruleset, situation), { atFirst: true }).violations.length > 0;
      if (flaws.length === 0 && breaks(ruleset)) {
        changed++;
        if (!refused) missed.push(what);
      } else if (refused) refusedOnly++;
      else unchanged++;
    }
    console.log(
      `mutants of ${example.name}: ${changed - missed.length} of ${changed} that change what a random packet meets are ` +
        `refused; ${refusedOnly} more are refused, ${unchanged} change nothing that the table is about`,
    );
    expect(missed).toEqual([]);
    expect(changed).toBeGreaterThan(10);
  });
});
