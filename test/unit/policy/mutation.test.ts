import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { makeView } from '../../../build/overlay/view.js';
import type { Packet } from '../../../build/pf/evaluate.js';
import type { Ruleset } from '../../../build/pf/types.js';
import { readRules, withTailscale } from '../../../build/policy/image.js';
import { lint } from '../../../build/policy/lint.js';
import { prove } from '../../../build/policy/prove.js';
import { ip, makeWorld, PARTIES } from '../../../build/policy/world.js';
import type { Situation } from '../../../build/policy/world.js';
import { configOf } from '../../helpers/config.js';
import { bodyOf, overlayOf } from '../../helpers/deployment.js';
import { oracle, rowFinder } from '../../helpers/oracle.js';

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

/** Packets drawn at random, not those that the proof chooses. */
function randomPackets(situation: Situation): readonly Packet[] {
  const four = [
    ...[PARTIES.host4, PARTIES.stranger4, PARTIES.offender4, PARTIES.tailnetHost4, PARTIES.tailnetPeer4],
    ...[
      '127.0.0.1',
      '169.254.169.254',
      '10.9.8.7',
      '192.168.77.1',
      '100.64.1.1',
      '8.8.8.8',
      '255.255.255.255',
      '224.0.0.1',
    ],
    ...view.bridges
      .slice(0, 3)
      .flatMap(({ net }) => [1, 20, 21, 200, 255].map((last) => net.replace(/0\/24$/, String(last)))),
  ].map((text) => ip(text));
  const six = [
    PARTIES.host6,
    PARTIES.hostLocal6,
    PARTIES.stranger6,
    PARTIES.offender6,
    PARTIES.tailnetHost6,
    PARTIES.tailnetPeer6,
    'fe80::99',
    'ff02::1',
    'ff02::1:ff00:10',
    'fd00::1',
    '::1',
  ].map((text) => ip(text));
  const port = fc.oneof(
    fc.constantFrom(22, 53, 67, 68, 80, 123, 443, 546, 547, 5900, 41641),
    fc.integer({ min: 0, max: 65535 }),
  );
  const devices = [...makeWorld(situation).interfaces.map(({ name }) => name), 'any other'];
  return fc.sample(
    fc.boolean().chain((v6) => {
      const address = fc.constantFrom(...(v6 ? six : four));
      const where = fc.oneof(
        fc.record({ interface: fc.constantFrom(...devices), direction: fc.constant('in' as const) }),
        fc.record({
          interface: fc.constantFrom(...devices),
          direction: fc.constant('out' as const),
          receivedOn: fc.constantFrom(undefined, ...devices),
        }),
      );
      const rest = fc.record({
        af: fc.constant(v6 ? ('inet6' as const) : ('inet' as const)),
        proto: fc.constantFrom(6, 17, v6 ? 58 : 1, 47),
        src: address,
        dst: address,
        srcPort: fc.oneof(fc.constantFrom(53, 67, 68, 546, 547), fc.integer({ min: 1024, max: 65535 })),
        dstPort: port,
        icmpType: v6
          ? fc.constantFrom(1, 2, 3, 128, 129, 133, 134, 135, 136)
          : fc.constantFrom(0, 3, 8, 11, 13),
        icmpCode: fc.constantFrom(0, 1, 3, 4),
        flags: fc.constantFrom(2, 2, 2, 16, 18, 0),
        fragment: fc.constantFrom(false, false, false, true),
      });
      return fc.tuple(where, rest).map(([crossing, header]): Packet => ({ ...crossing, ...header }));
    }),
    { numRuns: 40_000, seed: 15 },
  );
}

describe.each(CASES)('the proof of $name', (example) => {
  const { text: whole, situation } = example;
  const rowOf = rowFinder(read(whole, situation).ruleset, situation);
  const tried = randomPackets(situation).flatMap((packet) => {
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
    expect(prove(ruleset, situation).violations).toEqual([]);
    expect(tried.length).toBeGreaterThan(3000);
    expect(breaks(ruleset)).toBe(false);
  });

  it('refuses every mutant that changes what a packet of the table meets', { timeout: 600_000 }, () => {
    let changed = 0;
    let unchanged = 0;
    const missed: string[] = [];
    let refusedOnly = 0;
    for (const { what, text } of mutants(example)) {
      const { ruleset, flaws } = read(text, situation);
      const refused = flaws.length > 0 || prove(ruleset, situation, { atFirst: true }).violations.length > 0;
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
