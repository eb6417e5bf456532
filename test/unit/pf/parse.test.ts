import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parsePf } from '../../../build/pf/parse.js';
import { printRuleset } from '../../../build/pf/print.js';

const normal = (text: string): string[] => {
  const { ruleset, flaws } = parsePf(text, 'pf.conf');
  expect(flaws).toEqual([]);
  return printRuleset(ruleset).trimEnd().split('\n');
};
const flaws = (text: string): string[] =>
  parsePf(text, 'pf.conf').flaws.map(({ place, message }) => `${place.line}:${place.column} ${message}`);

describe('a rule set', () => {
  // The expected lines are what print_rule() of pfctl writes.
  it.each<[string, string[]]>([
    ['block all', ['block drop all']],
    ['set block-policy return\nblock', ['set block-policy return', 'block return all']],
    ['pass', ['pass all flags S/SA keep state']],
    ['pass out on em0 proto udp all', ['pass out on em0 proto udp all keep state']],
    [
      'pass in proto tcp from any to any port 22',
      ['pass in proto tcp from any to any port = ssh flags S/SA keep state'],
    ],
    [
      'pass in proto tcp to port { 80, 443 }',
      [
        'pass in proto tcp from any to any port = http flags S/SA keep state',
        'pass in proto tcp from any to any port = https flags S/SA keep state',
      ],
    ],
    // Whatever is not TCP has the names of UDP's services.
    [
      'pass proto sctp from port 8080 to port { 443, 25 } user unknown',
      [
        'pass proto sctp from any port = http-alt to any port = https user = 4294967295 keep state',
        'pass proto sctp from any port = http-alt to any port = smtp user = 4294967295 keep state',
      ],
    ],
    // What translates comes first, and rules of binat have no number.
    [
      'binat on em0 from 10.0.0.7 to any -> 192.0.2.7\nrdr on em0 proto tcp to port 80 -> 10.0.0.5\nnat on em0 from 10/8 -> (em0)\nblock label "$nr"',
      [
        'nat on em0 inet from 10.0.0.0/8 to any -> (em0) round-robin',
        'rdr on em0 inet proto tcp from any to any port = http -> 10.0.0.5',
        'binat on em0 inet from 10.0.0.7 to any -> 192.0.2.7',
        'block drop all label "2"',
      ],
    ],
    [
      'anchor "x" to { 192.0.2.1, 192.0.2.2 } {\nblock\n}',
      [
        'anchor "x" inet from any to 192.0.2.1 {',
        '  block drop all',
        '}',
        'anchor "x" inet from any to 192.0.2.2',
      ],
    ],
    [
      'pass proto tcp to port 1024:2048 flags any no state',
      ['pass proto tcp from any to any port 1024:2048 no state'],
    ],
    [
      'pass proto tcp to port 1000 >< 2000',
      ['pass proto tcp from any to any port 1000 >< 2000 flags S/SA keep state'],
    ],
    [
      'pass proto tcp from port >= 1024 to !10.0.0.1 port != 22',
      ['pass inet proto tcp from any port >= 1024 to ! 10.0.0.1 port != ssh flags S/SA keep state'],
    ],
    [
      'pass quick on { em0 em1 } inet',
      [
        'pass quick on em0 inet all flags S/SA keep state',
        'pass quick on em1 inet all flags S/SA keep state',
      ],
    ],
    [
      'pass from { 10/8, 192.168.1/24, 2001:db8::/32 }',
      [
        'pass inet from 10.0.0.0/8 to any flags S/SA keep state',
        'pass inet from 192.168.1.0/24 to any flags S/SA keep state',
        'pass inet6 from 2001:db8::/32 to any flags S/SA keep state',
      ],
    ],
    [
      'pass from { 10.0.0.1 2001:db8::1 } to { 10.0.0.2 2001:db8::2 }',
      [
        'pass inet from 10.0.0.1 to 10.0.0.2 flags S/SA keep state',
        'pass inet6 from 2001:db8::1 to 2001:db8::2 flags S/SA keep state',
      ],
    ],
    ['pass from 10.0.0.1 - 10.0.0.9', ['pass inet from 10.0.0.1 - 10.0.0.9 to any flags S/SA keep state']],
    ['pass from (em0:network) to (em1:0)', ['pass from (em0:network) to (em1:0) flags S/SA keep state']],
    [
      'pass in inet proto icmp all icmp-type { echoreq, unreach code needfrag }',
      [
        'pass in inet proto icmp all icmp-type echoreq keep state',
        'pass in inet proto icmp all icmp-type unreach code needfrag keep state',
      ],
    ],
    [
      'pass in inet6 proto icmp6 icmp6-type 128 no state',
      ['pass in inet6 proto ipv6-icmp all icmp6-type echoreq no state'],
    ],
    ['block return-rst proto tcp', ['block return-rst proto tcp all']],
    ['block return-icmp(host-unr) inet', ['block return-icmp(host-unr) inet all']],
    ['block return-icmp6(admin-unr) inet6', ['block return-icmp6(admin-unr) inet6 all']],
    ['block in log (all, to pflog1) quick', ['block drop in log (all, to pflog1) quick all']],
    [
      'pass in proto tcp to port 22 keep state (max 100, max-src-conn 5, max-src-conn-rate 3/60, overload <bad> flush global)',
      [
        'pass in proto tcp from any to any port = ssh flags S/SA keep state (max 100, source-track rule, max-src-conn 5, max-src-conn-rate 3/60, overload <bad> flush global, adaptive.start 60, adaptive.end 120, src.track 60)',
      ],
    ],
    [
      'set state-policy if-bound\npass',
      ['set state-policy if-bound', 'pass all flags S/SA keep state (if-bound)'],
    ],
    [
      'pass in proto tcp modulate state\npass in proto udp modulate state',
      ['pass in proto tcp all flags S/SA modulate state', 'pass in proto udp all keep state'],
    ],
    [
      'match in all scrub (no-df random-id max-mss 1440)',
      ['match in all scrub( no-df random-id max-mss 1440)'],
    ],
    ['match out on em0 inet nat-to (em0:0)', ['match out on em0 inet all nat-to (em0:0)']],
    [
      'pass in proto tcp to port 80 rdr-to 10.0.0.2 port 8080',
      ['pass in inet proto tcp from any to any port = http flags S/SA keep state rdr-to 10.0.0.2 port 8080'],
    ],
    [
      'pass in inet af-to inet6 from (em1) to 64:ff9b::/96',
      ['pass in inet all flags S/SA keep state af-to inet6 from (em1) round-robin to 64:ff9b::/96'],
    ],
    [
      'pass in route-to (em1 10.0.0.1) proto tcp',
      ['pass in route-to (em1 10.0.0.1) inet proto tcp all flags S/SA keep state'],
    ],
    [
      'pass tag GOOD\nblock ! tagged GOOD',
      ['pass all flags S/SA keep state tag GOOD', 'block drop all ! tagged GOOD'],
    ],
    [
      'pass user { root, > 1000 } group wheel',
      [
        'pass all user = 0 group = 0 flags S/SA keep state',
        'pass all user > 1000 group = 0 flags S/SA keep state',
      ],
    ],
    [
      'pass probability 25% label "some" rtable 1 allow-opts tos 0x10',
      ['pass all flags S/SA tos 0x10 keep state probability 25% allow-opts label "some" rtable 1'],
    ],
    [
      'pass set prio 5\npass set (prio (2, 4), tos lowdelay)',
      [
        'pass all flags S/SA set ( prio 5 ) keep state',
        'pass all flags S/SA set ( prio(2, 4), tos 0x10 ) keep state',
      ],
    ],
    [
      'pass dnpipe 1\npass dnqueue (1, 2) queue (a, b)',
      ['pass all flags S/SA keep state dnpipe 1', 'pass all flags S/SA keep state dnqueue(1, 2) queue(a, b)'],
    ],
    [
      'pass max-pkt-rate 100/10 received-on em0 ridentifier 7',
      ['pass all received-on em0 flags S/SA max-pkt-rate 100/10 keep state ridentifier 7'],
    ],
    [
      'block from urpf-failed\nblock to no-route\nblock from no-route',
      [
        'block drop from urpf-failed to any',
        'block drop from any to no-route',
        'block drop from no-route to any',
      ],
    ],
    [
      'pass in proto tcp from any os "Linux" to any',
      ['pass in proto tcp from any os "Linux" to any flags S/SA keep state'],
    ],
    ['block fragment', ['block drop all fragment']],
    [
      'antispoof quick for em0 inet',
      [
        'block drop in quick on ! em0 inet from em0:network to any',
        'block drop in quick inet from em0 to any',
      ],
    ],
    [
      'antispoof for (em0)',
      ['block drop in on ! em0 from (em0:network) to any', 'block drop in from (em0) to any'],
    ],
    [
      'table <t> persist const { 10.0.0.0/8, !10.1.1.1 } counters\nblock from <t>',
      ['table <t> const persist counters { 10.0.0.0/8 !10.1.1.1 }', 'block drop from <t> to any'],
    ],
    ['table <t> file "/etc/t"\nblock to ! <t>', ['table <t> file "/etc/t"', 'block drop from any to ! <t>']],
    [
      'nat on em0 inet from 10/8 to any -> (em0)',
      ['nat on em0 inet from 10.0.0.0/8 to any -> (em0) round-robin'],
    ],
    [
      'nat pass on em0 from 10/8 -> 192.0.2.1 port 1024:2048 sticky-address',
      ['nat pass on em0 inet from 10.0.0.0/8 to any -> 192.0.2.1 port 1024:2048 sticky-address'],
    ],
    [
      'nat on em0 from 10/8 -> 192.0.2.0/30 source-hash static-port',
      ['nat on em0 inet from 10.0.0.0/8 to any -> 192.0.2.0/30 source-hash static-port'],
    ],
    ['no nat on em0 from 10.0.0.0/8 to 10.0.0.0/8', ['no nat on em0 inet from 10.0.0.0/8 to 10.0.0.0/8']],
    [
      'rdr pass on em0 proto tcp from any to port 80 -> 10.0.0.2 port 8080',
      ['rdr pass on em0 inet proto tcp from any to any port = http -> 10.0.0.2 port 8080'],
    ],
    [
      'rdr on em0 proto tcp to port 2000:2010 -> 10.0.0.2 port 3000:*',
      ['rdr on em0 inet proto tcp from any to any port 2000:2010 -> 10.0.0.2 port 3000:3010'],
    ],
    [
      'binat on em0 from 10.0.0.2 to any -> 192.0.2.2',
      ['binat on em0 inet from 10.0.0.2 to any -> 192.0.2.2'],
    ],
    [
      'nat-anchor "a/*"\nrdr-anchor "rdr/*" on em0\nbinat-anchor b',
      ['nat-anchor "a/*" all', 'rdr-anchor "rdr/*" on em0 all', 'binat-anchor "b" all'],
    ],
    [
      'anchor "a/*" in on em0\nload anchor a from "/etc/a"',
      ['anchor "a/*" in on em0 all', 'load anchor "a" from "/etc/a"'],
    ],
    [
      'anchor "x" quick {\n  pass in\n  anchor {\n    block\n  }\n}',
      [
        'anchor "x" quick all {',
        '  pass in all flags S/SA keep state',
        '  anchor all {',
        '    block drop all',
        '  }',
        '}',
      ],
    ],
    [
      'scrub in on em0 all fragment reassemble no-df max-mss 1440\nno scrub out',
      ['scrub in on em0 all no-df max-mss 1440 fragment reassemble', 'no scrub out all'],
    ],
    ['scrub reassemble tcp', ['scrub all reassemble tcp fragment reassemble']],
    [
      'set skip on { lo0 lo1 }\nset limit { states 1000, frags 500 }\nset timeout { tcp.first 10 frag 5 }',
      [
        'set skip on { lo0 lo1 }',
        'set limit states 1000',
        'set limit frags 500',
        'set timeout tcp.first 10',
        'set timeout frag 5',
      ],
    ],
    [
      'set optimization aggressive\nset loginterface em0\nset debug urgent\nset reassemble yes no-df\nset hostid 1\nset syncookies adaptive (start 25%, end 12%)',
      [
        'set optimization aggressive',
        'set loginterface em0',
        'set debug urgent',
        'set reassemble yes no-df',
        'set hostid 0x00000001',
        'set syncookies adaptive (start 25%, end 12%)',
      ],
    ],
    ['set state-defaults no-sync\npass', ['pass all flags S/SA keep state (no-sync)']],
    [
      'altq on em0 cbq bandwidth 10Mb queue { a b }\nqueue a bandwidth 5% cbq(default)\npass queue a',
      [
        'altq on em0 cbq bandwidth 10Mb queue { a b }',
        'queue a bandwidth 5% cbq(default)',
        'pass all flags S/SA keep state queue a',
      ],
    ],
  ])('%j', (text, expected) => {
    expect(normal(text)).toEqual(expected);
  });

  it('reads Ethernet rules', () => {
    expect(
      normal(
        'ether block in on em0 proto 0x0806 from 00:11:22:33:44:55 to ! aa:bb:cc:dd:ee:ff/24 tag X\nether pass',
      ),
    ).toEqual([
      'ether block in on em0 proto 0x0806 from 00:11:22:33:44:55 to ! aa:bb:cc:dd:ee:ff/24 l3 all tag X',
      'ether pass l3 all',
    ]);
  });

  it('reads macros in their place, where their text runs into what follows', () => {
    expect(
      normal(
        'ext = "em0"\nnets = "{ 10/8, 172.16/12 }"\nadmin = ssh\npass in on $ext proto tcp from $nets to ($ext:0) port $admin',
      ),
    ).toEqual([
      'ext = "em0"',
      'nets = "{ 10/8, 172.16/12 }"',
      'admin = "ssh"',
      'pass in on em0 inet proto tcp from 10.0.0.0/8 to (em0:0) port = ssh flags S/SA keep state',
      'pass in on em0 inet proto tcp from 172.16.0.0/12 to (em0:0) port = ssh flags S/SA keep state',
    ]);
  });

  it('joins lines behind a backslash, and in lists', () => {
    expect(
      normal('pass in \\\n  on em0\nblock from { 10/8\n  # no comment ends a list\n  11/8, \\\n 12/8 }'),
    ).toHaveLength(4);
  });

  it('includes files, and says of what it does not know where it is', () => {
    const { ruleset, flaws: found } = parsePf('a = "em0"\ninclude "/etc/more"\nblock\n', 'pf.conf', (path) =>
      path === '/etc/more' ? 'pass in on $a\nnonsense here\n' : undefined,
    );
    expect(printRuleset(ruleset)).toBe(
      'a = "em0"\npass in on em0 all flags S/SA keep state\nblock drop all\n',
    );
    expect(found).toEqual([
      { place: { file: '/etc/more', line: 2, column: 1 }, message: '"nonsense" begins no statement' },
    ]);
    expect(flaws('include "/nowhere"')).toEqual(['1:1 the file "/nowhere" to include is not known']);
  });

  it.each([
    ['pass in on', '1:11 the end of the line stands where an interface has to'],
    ['pass proto tpc', '1:12 the protocol "tpc" is not known'],
    ['pass to port 22', '1:1 a port only applies to tcp, udp and sctp: the rule needs "proto"'],
    ['pass proto tcp to port sshd', '1:24 the service "sshd" is not known'],
    ['pass proto tcp to port 70000', '1:24 the port 70000 is larger than 65535'],
    ['pass proto tcp flags S/F', '1:22 these flags can never match'],
    ['pass proto icmp icmp-type echoreq code 1', '1:1 an ICMP type needs an address family: inet or inet6'],
    ['pass inet6 proto icmp', '1:1 the protocol does not go with inet6'],
    ['pass from 10.0.0.1/33', '1:11 the prefix length 33 is longer than an address'],
    ['pass from 300.0.0.1', '1:11 "300.0.0.1" is no address'],
    ['pass from (em0:nework)', '1:12 "em0:nework" has a modifier that there is not: nework'],
    ['pass on $nope', '1:9 the macro $nope is not defined'],
    ['pass label "open', '1:12 the quote is never closed'],
    ['pass quick quickly', '1:12 "quickly" has no place here'],
    ['block keep state', '1:1 state is kept by pass rules alone'],
    ['block allow-opts', '1:1 "allow-opts" is for pass and match rules alone'],
    ['pass overload', '1:6 "overload" has no place here'],
    ['pass proto tcp keep state (overload <t>)', '1:1 "overload" needs max-src-conn or max-src-conn-rate'],
    ['nat on em0 from any to any', '1:1 a translation rule needs "-> address"'],
    ['no nat on em0 -> 1.2.3.4', '1:1 a translation rule with "no" takes no "->"'],
    [
      'pass\nscrub in',
      '2:1 rules must be in order: options, ethernet, normalization, queueing, translation, filtering; this is normalization behind filtering',
    ],
    [
      'pass\nset limit states 5',
      '2:1 rules must be in order: options, ethernet, normalization, queueing, translation, filtering; this is options behind filtering',
    ],
    ['set nonsense', '1:1 there is no option "nonsense"'],
    ['set timeout tcp.frist 5', '1:13 timeout cannot be "tcp.frist"'],
    ['table <t> { <u> }', '1:13 a table holds addresses, not a table'],
    ['anchor "a" {\n pass', '1:1 the { of the anchor is never closed'],
    [
      'pass from { 10/8, any }',
      '1:19 "any" in a list stands for all addresses, whatever else is in it: write it without a list',
    ],
    ['pass divert-reply', '1:6 "divert-reply" has no meaning in FreeBSD'],
    ['pass from 10.0.0.1 to 2001:db8::1', '1:1 the rule expands to no valid combination'],
  ])('%j is refused: %s', (text, message) => {
    expect(flaws(text)[0]).toContain(message);
  });

  it.each(['anchor {\n', 'ether anchor {\n'])('refuses %j within itself without end', (line) => {
    expect(flaws(line.repeat(10_000))[0]).toContain('anchors are nested too deeply');
  });

  it('finds every flaw of a file', () => {
    expect(
      flaws('pass in on\nblock\npass proto tpc\nset nonsense\n').map((line) => line.split(':')[0]),
    ).toEqual(['1', '3', '4']);
  });

  it('reads its own normal form back to the same rules', () => {
    const names = fc.constantFrom('em0', 'lo', 'egress');
    const host = fc.constantFrom(
      'any',
      '10.0.0.0/8',
      '! 192.0.2.1',
      '2001:db8::/32',
      '<t>',
      '(em0)',
      '(em0:network)',
      '10.0.0.1 - 10.0.0.9',
      'no-route',
    );
    const port = fc.constantFrom(
      '',
      ' port 22',
      ' port != 80',
      ' port 1:9',
      ' port 1 >< 9',
      ' port { 22, > 1024 }',
    );
    const rule = fc
      .record({
        action: fc.constantFrom('pass', 'block', 'block return', 'match'),
        direction: fc.constantFrom('', ' in', ' out'),
        quick: fc.constantFrom('', ' quick', ' log quick'),
        name: names,
        from: host,
        to: host,
        fromPort: port,
        toPort: port,
      })
      .map(
        ({ action, direction, quick, name, from, to, fromPort, toPort }) =>
          `${action}${direction}${action === 'match' ? '' : quick} on ${name} proto tcp from ${from}${fromPort} to ${to}${toPort}`,
      );
    fc.assert(
      fc.property(fc.array(rule, { minLength: 1, maxLength: 5 }), (rules) => {
        const first = parsePf(`table <t> { 10.1.1.1 }\n${rules.join('\n')}\n`, 'a');
        const text = printRuleset(first.ruleset);
        const second = parsePf(text, 'b');
        expect(second.flaws).toEqual([]);
        expect(printRuleset(second.ruleset)).toBe(text);
      }),
      { numRuns: 200 },
    );
  });

  it('never throws, whatever it is given', () => {
    const words = fc.constantFrom(
      'pass',
      'block',
      'in',
      'on',
      '{',
      '}',
      '(',
      ')',
      '<',
      '>',
      '!',
      ',',
      '"',
      "'",
      '\\',
      '\n',
      '#',
      '$a',
      'a',
      '=',
      '10/8',
      '22',
      '-',
      ':',
      'port',
      'from',
      'to',
      'proto',
      'tcp',
      'anchor',
      'table',
      'set',
      'nat',
      '->',
      'keep',
      'state',
      'queue',
      'ether',
      'antispoof',
      'for',
    );
    fc.assert(
      fc.property(fc.array(words, { maxLength: 25 }), (list) => void parsePf(list.join(' '), 'x')),
      { numRuns: 2000 },
    );
  });
});
