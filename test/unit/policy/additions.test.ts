import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { makeView } from '../../../build/overlay/view.js';
import { readRules } from '../../../build/policy/image.js';
import type { RuleFiles } from '../../../build/policy/image.js';
import { lint } from '../../../build/policy/lint.js';
import { pinned } from '../../../build/policy/pinned.js';
import { prove, subjectOf } from '../../../build/policy/prove.js';
import type { Situation } from '../../../build/policy/world.js';
import { configOf } from '../../helpers/config.js';
import { bodyOf, overlayOf } from '../../helpers/deployment.js';
import { oracle, rowFinder } from '../../helpers/oracle.js';
import { randomPackets } from '../../helpers/packets.js';

const config = configOf({ TENANTS: 'igor' });
const entries = overlayOf(config);
const situation: Situation = {
  view: makeView(config),
  tailscaleActive: false,
  fallback: false,
  egressKnown: true,
};
const files = (operator: string): RuleFiles => ({
  pf: bodyOf(entries, 'etc/pf.conf'),
  fallback: bodyOf(entries, 'etc/pf-fallback.conf'),
  operator,
});

/** What is said against rules of an operator; nothing where they are taken. */
function objections(operator: string): readonly string[] {
  const { ruleset, flaws } = readRules(files(operator), situation);
  const found = [...flaws, ...pinned(ruleset), ...lint(ruleset)].map(
    ({ place, message }) => `${place.file}: ${message}`,
  );
  return found.length > 0
    ? found
    : prove(subjectOf(ruleset, situation), { atFirst: true }).violations.map(({ message }) => message);
}

/** Where a rule may stand; all but egress and the bridges are no interfaces that this image has. */
const places = fc.constantFrom(
  '',
  'on egress',
  'on em0',
  'on re0',
  'on wg0',
  'on ! egress',
  'on warden0',
  'on "all"',
  'on tailscale0',
  'on bridge',
);
const peers = fc.constantFrom(
  'any',
  '198.51.100.9',
  '192.168.101.20',
  '(egress)',
  '<friends>',
  '2001:db8:ffff::/48',
);
const services = fc.constantFrom('', 'proto tcp', 'proto udp', 'proto sctp', 'proto icmp', 'proto 47');

const rule = (options: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc
    .record({
      direction: fc.constantFrom('', 'in', 'out'),
      quick: fc.constantFrom('', 'quick'),
      place: places,
      service: services,
      from: peers,
      to: peers,
      port: fc.constantFrom('', 'port 8080', 'port 1024:65535'),
      options,
    })
    .map(({ direction, quick, place, service, from, to, port, options: more }) => {
      const ported = /tcp|udp|sctp/.test(service) ? port : '';
      return `table <friends> { 198.51.100.0/24, 2001:db8:ffff::/48 }\npass ${direction} ${quick} ${place} ${service} from ${from} to ${to} ${ported} ${more}\n`;
    });

describe('what an operator adds', () => {
  it(
    'is refused where it lets in what the policy keeps out, on whatever interface; the evaluator agrees',
    { timeout: 300_000 },
    () => {
      const rowOf = rowFinder(readRules(files(''), situation).ruleset, situation);
      const tried = randomPackets(situation, 10_000).flatMap((packet) => {
        const row = rowOf(packet);
        return row ? [{ packet, row }] : [];
      });
      let refused = 0;
      fc.assert(
        fc.property(rule(fc.constant('')), (text) => {
          if (objections(text).length > 0) {
            refused++;
            return;
          }
          // A pass rule that is taken opens nothing: it repeats what passes, or another one decides.
          expect(text).not.toMatch(/on (?:em0|re0|wg0|tailscale0)/);
          const wrong = oracle(readRules(files(text), situation).ruleset, situation);
          expect(tried.filter(({ packet, row }) => wrong(packet, row))).toEqual([]);
        }),
        { numRuns: 150, seed: 5 },
      );
      expect(refused).toBeGreaterThan(100);
    },
  );

  it.each([
    ['route-to (em1 192.0.2.9)', '"route-to" sends packets past the routing table'],
    ['reply-to (em1 192.0.2.9)', '"reply-to" sends packets'],
    ['dup-to (em1 192.0.2.9)', '"dup-to" sends packets'],
  ])('is refused with %s', (option, sentence) => {
    expect(objections(`pass out quick on egress ${option} from (egress) to any\n`).join('\n')).toContain(
      sentence,
    );
  });

  it.each([
    ['probability 50%', 'decides by chance'],
    ['user root', 'who has the socket'],
    ['tag SEEN', 'tags decide'],
    ['tagged SEEN', 'tags decide'],
    ['flags any', 'any TCP packet for the beginning'],
    ['flags A/A', 'any TCP packet for the beginning'],
    ['no state', 'judges each packet by itself'],
    ['keep state (sloppy)', 'sequence numbers'],
    ['keep state (max 1)', 'passes, but the rule has not "max 10000"'],
    ['keep state (max 100000)', 'passes, but the rule has not "max 10000"'],
    ['keep state (floating)', 'on every interface'],
    ['keep state (tcp.established 1)', 'timeouts of its own'],
    ['synproxy state', 'speak for those behind'],
    ['allow-opts', 'chooses its way'],
    ['rtable 1', 'another routing table'],
    ['divert-to 127.0.0.1 port 8000', 'hands packets to a program'],
    ['max-pkt-rate 1/1', 'how many packets came'],
    ['rdr-to 192.168.100.20', 'translates addresses'],
    ['nat-to 192.168.100.20', 'translates addresses'],
    ['queue slow', 'queues and pipes'],
    ['dnpipe 1', 'queues and pipes'],
  ])('is refused with "%s", though it repeats a rule of the image', (option, sentence) => {
    const direction = option.startsWith('nat-to') ? 'out' : 'in';
    const text = `pass ${direction} on egress inet proto tcp to (egress) port 443 ${option}\n`;
    expect(objections(text).join('\n')).toContain(sentence);
  });

  it.each([
    ['set skip on em0', 'lets everything through'],
    ['set state-policy floating', 'changes what all rules mean'],
    ['set block-policy return', 'changes what all rules mean'],
    ['set optimization aggressive', 'changes what all rules mean'],
    ['set reassemble no', 'changes what all rules mean'],
    ['set state-defaults sloppy', 'changes what all rules mean'],
    ['set limit states 1', 'less than the 100000'],
    ['set limit src-nodes 1', 'less than the 10000'],
    ['set timeout tcp.established 1', 'less than the 86400'],
    ['set timeout interval 1', 'does not have'],
    ['table <friends> persist file "/etc/friends"', 'on the instance'],
    ['load anchor "x" from "/etc/x.conf"', 'nobody has proved'],
    ['ether pass in on em0', 'Ethernet rules'],
    ['scrub in on egress no-df', 'filter rules alone'],
    ['nat on egress from 10.0.0.0/8 to any -> (egress)', 'filter rules alone'],
    ['nat pass on egress from 10.0.0.0/8 to any -> (egress)', 'past every filter rule'],
    ['no nat on egress from 192.168.100.0/24 to any', 'filter rules alone'],
    ['rdr on em0 proto tcp to port 80 -> 192.168.100.20', 'filter rules alone'],
    ['binat on egress from 192.168.100.20 to any -> 203.0.113.10', 'filter rules alone'],
    ['rdr-anchor "x"', 'filter rules alone'],
    ['anchor "x"', 'filled on the instance'],
    ['altq on em0 cbq bandwidth 1Mb queue { a }', 'filter rules alone'],
    ['match in on egress scrub (no-df)', 'before the other rules see them'],
    ['match in quick on egress tos 0x10', 'nobody knows whether it matches'],
  ])('is refused where it is "%s"', (text, sentence) => {
    // Whatever the order of sections says of it: each is looked at by itself, too.
    const { ruleset } = readRules(files(`set require-order no\n${text}\n`), situation);
    expect(
      pinned(ruleset)
        .map(({ message }) => message)
        .join('\n'),
    ).toContain(sentence);
    expect(objections(`${text}\n`)).not.toEqual([]);
  });

  it.each([
    'block in quick on egress proto tcp from 198.51.100.0/24 to any port 8080',
    'table <friends> { 198.51.100.0/24, 2001:db8:5::/48 }\nblock return in quick on egress proto tcp from ! <friends> to any port 8081',
    'block out quick on em1',
    'block in log quick on em1 inet from ! 192.0.2.0/24',
    'match in on egress proto tcp to port 443 label "https"',
    'anchor "mine" on egress {\nblock in proto udp to port 5353\n}',
  ])('is taken where it closes, or says nothing new: %s', (text) => {
    expect(objections(`${text}\n`)).toEqual([]);
  });
});

describe('the rules of the image', () => {
  it.each([
    ['set state-policy if-bound\n', 'set state-policy floating\n', 'changes what all rules mean'],
    ['table <bruteforce> persist', 'table <bruteforce> persist file "/etc/x"', 'on the instance'],
    ['port 443 flags S/SA keep state', 'port 443 flags any keep state', 'beginning of a connection'],
    ['set syncookies adaptive (start 25%, end 12%)\n', '', '"set syncookies adaptive" is missing'],
    ['(start 25%, end 12%)', '(start 90%, end 50%)', 'changes what all rules mean'],
    ['set limit { states 100000, src-nodes 150000 }\n', '', '"set limit states" is missing'],
    ['states 100000', 'states 99999', 'strangers could use it up'],
    ['\nnat on $ext_if', '\nnat pass on $ext_if', 'past every filter rule'],
  ])('are held to the same: %s → %s', (from, to, sentence) => {
    const text = bodyOf(entries, 'etc/pf.conf');
    expect(text).toContain(from);
    const { ruleset } = readRules({ ...files(''), pf: text.replace(from, to) }, situation);
    expect(
      pinned(ruleset)
        .map(({ message }) => message)
        .join('\n'),
    ).toContain(sentence);
  });
});
