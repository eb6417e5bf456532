import { describe, expect, it } from 'vitest';
import { Evaluator } from '../../../build/pf/evaluate.js';
import type { Leaning, Packet } from '../../../build/pf/evaluate.js';
import { dynamicTables, Fields, holds, linesAt, seesFragments } from '../../../build/pf/lines.js';
import { parsePf } from '../../../build/pf/parse.js';
import { Resolver } from '../../../build/pf/resolve.js';
import type { World } from '../../../build/pf/resolve.js';
import { afterTranslation, candidates, variantsOf } from '../../../build/pf/translate.js';
import type { Rule, Ruleset } from '../../../build/pf/types.js';
import { decideLines } from '../../../build/policy/decide.js';
import { Chance } from '../../../scripts/kernel-reference/chance.js';
import { packetsFor } from '../../../scripts/kernel-reference/packets.js';
import { RuleSource } from '../../../scripts/kernel-reference/rules.js';
import { labWorld } from '../../../scripts/kernel-reference/world.js';

/** Decides about a packet by the lines that the proof is made of. */
function byLines(ruleset: Ruleset, world: World): (packet: Packet, leaning: Leaning) => unknown {
  const resolver = new Resolver(ruleset, world);
  return (packet, leaning) => {
    const fields = new Fields(packet.af, world, dynamicTables(ruleset));
    const lines = linesAt(ruleset, world, resolver, fields, packet);
    const values = [
      packet.proto,
      packet.receivedOn === undefined ? 0 : fields.interfaces.indexOf(packet.receivedOn) + 1,
      packet.fragment === true ? 1 : 0,
      packet.flags ?? 2,
      packet.icmpType,
      packet.icmpCode,
      packet.dstPort,
      packet.srcPort,
      packet.src,
      packet.dst,
      // Nobody is in a table that is filled at run time.
      ...fields.spans.slice(10).map(() => 0),
    ];
    const matching = lines.translations.flatMap(({ conditions }, index) =>
      holds(conditions, values) ? [index] : [],
    );
    const [first = -1] = candidates(
      matching,
      (index) => lines.translations[index],
      () => true,
      packet,
    ).moving;
    const variants = variantsOf(lines.translations, lines.filters, resolver, packet);
    const variant = variants.find(
      ({ unchanged, lines: own }) => own.includes(first) || (first < 0 && unchanged),
    );
    if (!variant) throw new Error('no variant');
    if (variant.natPass) return { action: 'pass', rule: undefined };
    const alive = lines.filters.filter(({ conditions }) => {
      const wanted = afterTranslation(conditions, variant);
      return wanted && holds(wanted, values);
    });
    return decideLines(alive, leaning, world.defaultDrop);
  };
}

describe('rules as lines', () => {
  it('decide as the rules themselves, in whatever rule set', () => {
    const world = labWorld(true);
    const chance = new Chance(7);
    const decided = new Map<Rule['action'], number>();
    for (let sets = 0; sets < 150;) {
      const text = new RuleSource(chance).ruleset();
      const { ruleset, flaws } = parsePf(text, 'pf.conf');
      if (flaws.length > 0 || /tag/.test(text)) continue;
      sets++;
      const evaluator = new Evaluator(ruleset, world);
      const lines = byLines(ruleset, world);
      for (const { packet } of packetsFor(ruleset, world, chance, 40))
        for (const leaning of ['open', 'closed'] as const) {
          const { action, rule, translation } = evaluator.decide(packet, leaning);
          expect([text, packet, lines(packet, leaning)]).toEqual([text, packet, { action, rule }]);
          for (const one of [rule, translation])
            if (one) decided.set(one.action, (decided.get(one.action) ?? 0) + 1);
        }
    }
    expect([...decided.keys()].sort()).toEqual(['binat', 'block', 'nat', 'pass', 'rdr']);
  });

  it.each([
    ['', true, false],
    ['scrub in on em1', true, true],
    ['scrub in fragment reassemble', false, false],
    ['no scrub in\nscrub in', true, true],
  ])('fragments of IPv4 and IPv6 with %j', (text, four, six) => {
    const { ruleset } = parsePf(`${text}\nblock\n`, 'pf.conf');
    const seen = (['inet', 'inet6'] as const).map((af) =>
      seesFragments(ruleset, labWorld(true), { interface: 'em0', direction: 'in', af }),
    );
    expect(seen).toEqual([four, six]);
  });
});
