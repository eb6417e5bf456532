import { describe, expect, it } from 'vitest';
import { Evaluator } from '../../../build/pf/evaluate.js';
import type { Packet } from '../../../build/pf/evaluate.js';
import type { World } from '../../../build/pf/resolve.js';
import { parsePf } from '../../../build/pf/parse.js';
import { ip } from '../../../build/policy/world.js';

const world: World = {
  interfaces: [{ name: 'em0', groups: [], addresses: ['192.0.2.1/24'] }],
  tables: {},
  defaultDrop: true,
};
const packet = (proto: number): Packet => ({
  interface: 'em0',
  direction: 'in',
  af: 'inet',
  proto,
  src: ip('198.51.100.1'),
  dst: ip('192.0.2.1'),
  srcPort: 40000,
  dstPort: 22,
  icmpType: 0,
  icmpCode: 0,
});

describe('a rule about TCP flags that a SYN does not have', () => {
  const { ruleset } = parsePf('block\npass in flags A/A keep state', 'pf.conf', () => undefined);

  it.each([
    ['UDP first', [17, 6, 17]],
    ['TCP first', [6, 17, 6]],
  ])('stops TCP and is nothing to UDP, whatever was asked before: %s', (_, protos) => {
    const evaluator = new Evaluator(ruleset, world);
    for (const proto of protos)
      expect([proto, evaluator.decide(packet(proto)).action]).toEqual([
        proto,
        proto === 6 ? 'block' : 'pass',
      ]);
  });
});

describe('a packet is decided as pf decides', () => {
  const two: World = {
    interfaces: [
      { name: 'em0', groups: ['egress'], addresses: ['192.0.2.1/24', '2001:db8::1/64'] },
      { name: 'lan0', groups: [], addresses: ['10.0.0.1/8'] },
      { name: 'll0', groups: [], addresses: ['fe80::9/64', '2001:db8:9::1/64'] },
    ],
    tables: { bad: ['198.51.100.66'] },
    defaultDrop: true,
  };
  const decide = (rules: string, change: Partial<Packet> = {}): ReturnType<Evaluator['decide']> => {
    const { ruleset, flaws } = parsePf(`${rules}\n`, 'pf.conf', () => undefined);
    expect(flaws).toEqual([]);
    return new Evaluator(ruleset, two).decide({ ...packet(6), ...change });
  };

  const six = (dst: string): Partial<Packet> => ({ af: 'inet6', src: ip('2001:db8:5::5'), dst: ip(dst) });

  it.each<[string, string, Partial<Packet>, 'pass' | 'block', number | undefined]>([
    ['the last rule that matches', 'block\npass in\nblock in proto udp', {}, 'pass', 2],
    ['the first quick one', 'block quick proto tcp\npass', {}, 'block', 1],
    ['the default, where none matches', 'pass in on lan0', {}, 'block', undefined],
    ['a group of interfaces', 'pass in on egress', {}, 'pass', 1],
    ['every interface but one', 'pass\nblock in on ! lan0', {}, 'block', 2],
    ['the direction', 'pass in\nblock out', {}, 'pass', 1],
    ['the family', 'pass inet6\nblock inet', {}, 'block', 2],
    ['a port', 'block\npass in proto tcp to port 22', {}, 'pass', 2],
    ['a range of ports', 'block\npass in proto tcp to port 20:30', { dstPort: 31 }, 'block', 1],
    ['ports outside of a range', 'block\npass in proto tcp to port 20<>30', { dstPort: 31 }, 'pass', 2],
    ['a source port', 'block\npass in proto tcp from any port > 1023', {}, 'pass', 2],
    ['an address that is not meant', 'pass\nblock from ! 198.51.100.1', {}, 'pass', 1],
    ['a table', 'table <bad> persist\npass\nblock from <bad>', { src: ip('198.51.100.66') }, 'block', 3],
    [
      'a hole in a table',
      'table <net> { 198.51.100.0/24, !198.51.100.1 }\npass\nblock from <net>',
      {},
      'pass',
      2,
    ],
    [
      'the smallest network of a table that an address is in',
      'table <net> { 198.51.0.0/16, !198.51.100.0/24, 198.51.100.1 }\npass\nblock from <net>',
      {},
      'block',
      3,
    ],
    [
      'the first of a network that a table has with and without "!"',
      'table <net> { !198.51.100.0/24, 198.51.100.0/24 }\nblock\npass from <net>',
      {},
      'block',
      2,
    ],
    [
      'and where it is in it first',
      'table <net> { 198.51.100.0/24, !198.51.100.0/24 }\nblock\npass from <net>',
      {},
      'pass',
      3,
    ],
    [
      'not a rule that an earlier one equals: the kernel does not take it',
      'block\npass in proto tcp to port 22\nblock',
      {},
      'pass',
      2,
    ],
    ['but one that has another label', 'block\npass in proto tcp\nblock label "x"', {}, 'block', 3],
    ['nor in an anchor', 'pass\nanchor "x" {\nblock in\npass in proto tcp\nblock in\n}', {}, 'pass', 4],
    ['no broadcast of IPv6', 'block\npass in to ! (em0:broadcast)', six('2001:db8::1'), 'pass', 2],
    ['no network of addresses of a link', 'block\npass in to (ll0:network)', six('fe80::9'), 'block', 1],
    ['nor one as the first', 'block\npass in to (ll0:0)', six('2001:db8:9::1'), 'pass', 2],
    [
      'a quick anchor, which ends it for what no rule in it is about',
      'block\nanchor "x" quick proto tcp {\npass in proto tcp to port 1\n}\npass',
      {},
      'block',
      1,
    ],
    ['a quick match rule, which leaves what was said before', 'pass\nmatch quick\nblock', {}, 'pass', 1],
    ['but not where it is filled, and empty', 'block\nanchor "x/*" quick\npass', {}, 'pass', 3],
    ['the address of an interface', 'block\npass in to (egress)', {}, 'pass', 2],
    ['the network of an interface', 'block\npass in to (em0:network)', { dst: ip('192.0.2.77') }, 'pass', 2],
    ['ICMP by type', 'pass\nblock inet proto icmp icmp-type echoreq', { proto: 1, icmpType: 8 }, 'block', 2],
    ['rules of an anchor', 'block\nanchor "x" {\npass in proto tcp\n}', {}, 'pass', 3],
    ['an anchor that is not about it', 'block\nanchor "x" on lan0 {\npass in\n}', {}, 'block', 1],
    ['a tag', 'block\nmatch in proto tcp tag SEEN\npass in tagged SEEN', {}, 'pass', 3],
    [
      'the interface that a forwarded packet came in on',
      'block\npass out received-on lan0',
      { direction: 'out', receivedOn: 'lan0' },
      'pass',
      2,
    ],
    ['another one', 'block\npass out received-on lan0', { direction: 'out', receivedOn: 'em0' }, 'block', 1],
    [
      'a group that it came in on',
      'block\npass out on lan0 received-on egress',
      { direction: 'out', interface: 'lan0', receivedOn: 'em0' },
      'pass',
      2,
    ],
    [
      'what the host sends came in nowhere',
      'block\npass out received-on em0',
      { direction: 'out' },
      'block',
      1,
    ],
    [
      'what the host sends, where one interface is not meant',
      'block\npass out ! received-on lan0',
      { direction: 'out' },
      'pass',
      2,
    ],
    ['on the way in, the interface itself', 'block\npass in received-on egress', {}, 'pass', 2],
    [
      'a fragment has no port',
      'pass\nblock in proto udp to port 22',
      { proto: 17, fragment: true },
      'pass',
      1,
    ],
    ['a TCP fragment no flags', 'block\npass in flags S/SA keep state', { fragment: true }, 'block', 1],
    ['a fragment is one', 'block\npass in fragment', { fragment: true }, 'pass', 2],
    ['a whole packet is none', 'block\npass in fragment', {}, 'block', 1],
    ['flags', 'block\npass in flags S/SA keep state', { flags: 16 }, 'block', 1],
    ['every interface', 'block\npass in on "all"', {}, 'pass', 2],
    ['an interface that is skipped', 'set skip on em0\nblock', {}, 'pass', undefined],
    ['what is not known, taken for open', 'block\npass in proto tcp from any os "OpenBSD"', {}, 'pass', 2],
  ])('%s', (_, rules, change, action, line) => {
    const verdict = decide(rules, change);
    expect([verdict.action, verdict.rule?.place.line]).toEqual([action, line]);
  });

  it('what is not known, taken for closed', () => {
    const { ruleset } = parsePf('block\npass in proto tcp user root\n', 'pf.conf', () => undefined);
    expect(new Evaluator(ruleset, two).decide(packet(6), 'closed').action).toBe('block');
  });

  it('translation stands before the filter', () => {
    const redirected = decide(
      'rdr on em0 inet proto tcp to (em0) port 80 -> 10.0.0.5 port 8080\nblock\npass in proto tcp to 10.0.0.5 port 8080',
      { dstPort: 80 },
    );
    expect(redirected).toMatchObject({ action: 'pass', dst: ip('10.0.0.5'), dstPort: 8080 });
    const left = decide(
      'no nat on em0 from 10.0.0.0/8 to 172.16.0.0/12\nnat on em0 from 10.0.0.0/8 to any -> (em0:0)\nblock out from 10.0.0.0/8\npass out from (em0)',
      { direction: 'out', src: ip('10.0.0.5'), dst: ip('198.51.100.1') },
    );
    expect(left).toMatchObject({ action: 'pass', src: ip('192.0.2.1') });
    const kept = decide(
      'no nat on em0 from 10.0.0.0/8 to 172.16.0.0/12\nnat on em0 from 10.0.0.0/8 to any -> (em0:0)\nblock out from 10.0.0.0/8\npass out from (em0)',
      { direction: 'out', src: ip('10.0.0.5'), dst: ip('172.16.0.1') },
    );
    expect(kept).toMatchObject({ action: 'block', src: ip('10.0.0.5') });
  });

  it.each<[string, string, Partial<Packet>, Partial<ReturnType<Evaluator['decide']>>]>([
    [
      'rdr is asked before binat, wherever it stands',
      'binat on em0 from 10.0.0.7 to any -> 192.0.2.7\nrdr on em0 inet proto tcp to 192.0.2.7 -> 10.0.0.5',
      { dst: ip('192.0.2.7') },
      { dst: ip('10.0.0.5') },
    ],
    [
      'binat before nat',
      'nat on em0 from 10.0.0.7 to any -> (em0:0)\nbinat on em0 from 10.0.0.7 to any -> 192.0.2.7',
      { direction: 'out', src: ip('10.0.0.7') },
      { src: ip('192.0.2.7') },
    ],
    [
      '"no rdr" leaves binat as it is',
      'no rdr on em0\nbinat on em0 from 10.0.0.7 to any -> 192.0.2.7',
      { dst: ip('192.0.2.7') },
      { dst: ip('10.0.0.7') },
    ],
    [
      'ports of a fragment are 0 to it',
      'nat on em0 inet proto tcp from any port < 23 to any -> (em0:0)',
      { direction: 'out', src: ip('10.0.0.7'), fragment: true },
      { src: ip('192.0.2.1') },
    ],
    [
      'so it is not about port 22 of them',
      'rdr on em0 inet proto tcp to (em0) port 22 -> 10.0.0.5',
      { fragment: true },
      { dst: ip('192.0.2.1') },
    ],
    [
      'a tag stays where nothing is translated',
      'no rdr on em0 tag SEEN\npass tagged SEEN',
      {},
      { action: 'pass' },
    ],
  ])('translation: %s', (_, rules, change, expected) => {
    expect(decide(rules, change)).toMatchObject(expected);
  });
});
