import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { judgeCells } from '../../../build/boot/cell-judge.js';
import type { CellsSeen } from '../../../build/boot/cell-judge.js';
import { planCells } from '../../../build/boot/cell-plan.js';
import type { CellPacket, CellPlan } from '../../../build/boot/cell-plan.js';
import { cellSteps, parties } from '../../../build/boot/cell-steps.js';
import type { CheckResult } from '../../../build/boot/checks.js';
import { GUEST_MAC, NETWORK, SECOND_MAC } from '../../../build/boot/peer.js';
import { readPflog } from '../../../build/boot/pflog.js';
import { ruleFiles } from '../../../build/commands/rules.js';
import { formatIp } from '../../../build/pf/address.js';
import { Evaluator } from '../../../build/pf/evaluate.js';
import { printRule } from '../../../build/pf/print.js';
import type { Rule } from '../../../build/pf/types.js';
import { readRules } from '../../../build/policy/image.js';
import { cellsConfig as config, cellsSituation as situation } from '../../helpers/cells.js';
import { overlayOf } from '../../helpers/deployment.js';
import { capture, pflogHeader } from '../../helpers/pflog.js';

const { ruleset } = readRules(ruleFiles(overlayOf(config)), situation);
const plan = planCells(ruleset, situation, NETWORK);
const steps = cellSteps(plan, NETWORK.guest4);
const rules = ruleset.rules.filter(({ action }) => /^(?:pass|block|match|anchor)$/.test(action));
/** A rule that blocks, before most others. */
const blocking = rules.find(({ action, quick }) => action === 'block' && quick);

const LOOPBACKS = ['lo0', situation.view.loopback];
const loops = ({ sample: { packet } }: CellPacket): boolean => LOOPBACKS.includes(packet.interface);

/** Whether FreeBSD drops it before the firewall is asked. */
const early = (cell: CellPacket): boolean => {
  const { packet } = cell.sample;
  const [src = '', dst = ''] = [packet.src, packet.dst].map((ip) => formatIp(packet.af, BigInt(ip)));
  if (packet.proto === 6 && [3, 6].some((odd) => ((packet.flags ?? 2) & odd) === odd)) return true;
  if (loops(cell)) return false;
  return [src, dst].some((ip) => ip.startsWith('127.') || ip === '::1') || /^ff/.test(src);
};

/** What an instance tells whose kernel does as the proof says, but for what is changed. */
function told(
  change: (packet: CellPacket) => 'as it should' | 'other verdict' | 'other rule' | 'lost' = () =>
    'as it should',
  lines: (lines: readonly string[]) => readonly string[] = (all) => all,
  inForce: readonly Rule[] = rules,
  jailsSaid: (lines: readonly string[]) => readonly string[] = (all) => [
    ...all,
    'all of the jails were sent',
  ],
): string {
  const evaluator = new Evaluator(ruleset, {
    ...plan.subject.world,
    tables: { ...plan.subject.world.tables, bruteforce: plan.offenders },
  });
  const logged = plan.packets.flatMap((packet): readonly [number, Buffer, Buffer][] => {
    const { sample, entry, frame } = packet;
    const how = change(packet);
    if (how === 'lost' || (entry !== undefined && !loops(packet) && early(packet))) return [];
    const record = (on: string, verdict: string, rule: Rule | undefined, out: boolean) => {
      const passes = (verdict === 'pass') !== (how === 'other verdict');
      const by = how === 'other rule' ? blocking : rule;
      const number = by ? inForce.indexOf(by) : 0xffffffff;
      const header = pflogHeader(sample.packet.af === 'inet6', on, number, passes ? 0 : 1);
      header.writeUInt8(out ? 2 : 1, 60);
      return [1, header, frame.subarray(14)] as [number, Buffer, Buffer];
    };
    if (entry === undefined || loops(packet)) {
      // What goes out of the host, and comes in again where that is a loopback.
      const there = sample.packet.interface;
      const decided = (direction: 'in' | 'out'): { verdict: string; rule: Rule | undefined } => {
        if (direction === sample.packet.direction) return sample;
        const { action, rule } = evaluator.decide({ ...sample.packet, direction });
        return { verdict: action, rule };
      };
      const [left, came] = [decided('out'), decided('in')];
      const again = loops(packet) && left.verdict === 'pass' && sample.packet.fragment !== true;
      return [
        record(there, left.verdict, left.rule, true),
        ...(again && !early(packet) ? [record(there, came.verdict, came.rule, false)] : []),
      ];
    }
    const on = entry === 'any other' ? 'vtnet1' : entry;
    if (sample.packet.direction === 'in') return [record(on, sample.verdict, sample.rule, false)];
    const came = evaluator.decide({
      ...{ ...sample.packet, interface: entry, direction: 'in', receivedOn: undefined },
    });
    return [
      record(on, came.action, came.rule, false),
      record(sample.packet.interface, sample.verdict, sample.rule, true),
    ];
  });
  const addresses = [
    ...(plan.addresses['vtnet0'] ?? []).map((address) => `address vtnet0 ${address.replace(/\/.*/, '')}`),
    ...(plan.addresses['any other'] ?? []).map((address) => `address vtnet1 ${address.replace(/\/.*/, '')}`),
  ];
  const begin = lines([
    ...inForce.map(
      (rule) =>
        `rule ${printRule(rule).replace(/^(pass|block drop)( in| out)?(?: log)?/, '$1$2 log (all, to pflog1)')}`,
    ),
    ...[`card vtnet0 ${GUEST_MAC}`, `card vtnet1 ${SECOND_MAC}`, ...addresses, 'egress vtnet0', 'begun'],
  ]);
  const log =
    gzipSync(capture(logged))
      .toString('base64')
      .match(/.{1,76}/g)
      ?.map((line) => `log ${line}`) ?? [];
  const step = (name: string, said: readonly string[]): string =>
    [`===step 001.${name} begun`, ...said.map((line) => `| ${line}`), `===step 001.${name} ended 0 2`].join(
      '\n',
    );
  return [
    step('cells-begin', begin),
    step('cells-send', ['sent 9 from tap0 on warden0', 'all of the others were sent']),
    step(
      'cells-jails',
      jailsSaid(
        parties(plan).flatMap(({ name, from, packets }) =>
          from === 'bridge' ? [] : [`sent ${packets.length} from ${name}`],
        ),
      ),
    ),
    step('cells-end', [...counted, ...log]),
    '===step end',
  ].join('\n');
}

/** What tcpdump(1) says at its end, where nothing was lost. */
const counted = ['captured', 'received by filter', 'dropped by kernel'].map(
  (what, index) => `counted ${index === 2 ? 0 : 1678} ${what}`,
);

const SEEN: CellsSeen = { arrived: true, answered: new Set() };
const judge = (console: string, seen = SEEN): CheckResult => judgeCells(plan, steps, seen, console);

/** A packet of a row that comes in. */
function packetOf(row: string, wanted: CellPlan = plan): CellPacket {
  const found = wanted.packets.find(
    ({ sample }) => sample.row.id === row && sample.packet.direction === 'in',
  );
  if (!found) throw new Error(`no packet of ${row}`);
  return found;
}

describe('one packet of every cell that can be sent', () => {
  it('holds where the kernel decides as the proof, and says how many there were', () => {
    const result = judge(told());
    expect(result).toMatchObject({ id: 'cells', state: 'held', packets: [] });
    expect(result.detail).toContain(
      `${plan.packets.length} packets of ${plan.tried} cells of ${plan.cells}: `,
    );
    for (const who of ['VNET jails', 'plain jails', 'the host'])
      expect(result.detail).toMatch(new RegExp(`[1-9]\\d+ from ${who}`));
    expect(result.detail).toContain('vtnet1 is not in egress');
    expect(plan.tried).toBeGreaterThan(1000);
    const left = [...plan.left.values()].reduce((sum, many) => sum + many, 0);
    expect(plan.tried + left).toBe(plan.cells);
  });

  it.each(['other verdict', 'other rule', 'lost'] as const)('fails for one packet with %s', (how) => {
    const one = packetOf('jail-other');
    const result = judge(told((packet) => (packet === one ? how : 'as it should')));
    expect(result.state).toBe('failed');
    expect(result.packets).toHaveLength(1);
    expect(result.packets[0]).toContain('row jail-other');
    expect(result.packets[0]).toContain('the proof says block by block drop in log quick on wardens');
  });

  it.each([
    [
      'a VNET jail',
      'other rule',
      (cell: CellPacket) => cell.from === 'vnet' && cell.sample.verdict === 'pass',
    ],
    ['a plain jail, to itself', 'lost', (cell: CellPacket) => cell.from === 'plain' && loops(cell)],
    [
      'a plain jail, to the host',
      'other verdict',
      (cell: CellPacket) => cell.from === 'plain' && cell.sample.row.id === 'plain-host',
    ],
    [
      'a plain jail, to the internet',
      'other rule',
      (cell: CellPacket) => cell.from === 'plain' && cell.sample.row.id === 'jail-out',
    ],
    [
      'the host, to itself',
      'other verdict',
      (cell: CellPacket) => cell.from === 'host' && cell.sample.row.id === 'loopback',
    ],
  ] as const)('fails for one packet of %s with %s', (_, how, wanted) => {
    const one = plan.packets.find(wanted);
    expect(one).toBeDefined();
    const result = judge(told((packet) => (packet === one ? how : 'as it should')));
    expect(result.state).toBe('failed');
    expect(result.packets).toHaveLength(1);
    expect(result.packets[0]).toContain(`row ${one?.sample.row.id ?? ''} `);
  });

  it('says how the kernel refused what it did not send, and fails where a jail has sent less than its packets', () => {
    const [one] = plan.packets.filter(({ from }) => from === 'plain');
    const refused = judge(
      told(
        (packet) => (packet === one ? 'lost' : 'as it should'),
        undefined,
        undefined,
        (lines) => [...lines, 'refused plain0 1 65', 'all of the jails were sent'],
      ),
    );
    expect(refused.packets).toEqual([
      expect.stringContaining('the firewall never saw it (sendto: errno 65)'),
    ]);
    const less = judge(
      told(undefined, undefined, undefined, (lines) => [
        ...lines.filter((line) => !line.endsWith('from vnet1')),
        'sent 3 from vnet1',
        'all of the jails were sent',
      ]),
    );
    expect(less.state).toBe('failed');
    expect(less.packets).toEqual([expect.stringMatching(/^vnet1 has not sent its \d+ packets$/)]);
  });

  it('takes the rules in any order in force, by which pf numbers them', () => {
    expect(judge(told(undefined, undefined, [...rules].reverse()))).toMatchObject({ state: 'held' });
  });

  it('takes another rule of the same verdict only where the two have changed places', () => {
    const one = packetOf('jail-other');
    const { rule } = one.sample;
    if (!rule) throw new Error('the default blocks it');
    const moved = [rule, ...rules.filter((each) => each !== rule)];
    const other = (how: 'other rule' | 'other verdict', order: readonly Rule[]): string =>
      judge(told((packet) => (packet === one ? how : 'as it should'), undefined, order)).state;
    expect(other('other rule', rules)).toBe('failed');
    expect(other('other rule', moved)).toBe('held');
    expect(other('other verdict', moved)).toBe('failed');
  });

  it('fails where somebody answers a packet that the proof blocks', () => {
    const { number } = packetOf('closed').sample;
    const result = judge(told(), { arrived: true, answered: new Set([number]) });
    expect(result.packets).toEqual([expect.stringContaining('it was answered')]);
  });

  it.each<[string, (lines: readonly string[]) => readonly string[], string]>([
    [
      'a rule is not in force',
      (lines) => lines.filter((line) => !line.includes('from <bruteforce>')),
      'missing: block drop in quick from <bruteforce>',
    ],
    [
      'the second card is in egress',
      (lines) => lines.map((line) => (line.startsWith('egress') ? 'egress vtnet0 vtnet1' : line)),
      'egress is vtnet0 vtnet1',
    ],
    [
      'the second card got no address',
      (lines) => lines.filter((line) => !line.startsWith('address vtnet1')),
      'vtnet1 has no address',
    ],
  ])('fails where %s', (_, lines, said) => {
    const result = judge(told(undefined, lines));
    expect(result.state).toBe('failed');
    expect(result.packets.join()).toContain(said);
  });

  it('fails where nothing was sent, or frames were lost, or the log is cut', () => {
    expect(judgeCells(plan, steps, undefined, told()).state).toBe('failed');
    expect(judge(told(), { arrived: false, answered: new Set() }).state).toBe('failed');
    expect(judge('login: ').state).toBe('failed');
    const cut = told().replace(/(\| log .*\n){40}/, '');
    expect(cut).not.toBe(told());
    expect(judge(cut)).toMatchObject({
      ...{ state: 'failed', detail: 'the log of the firewall is cut off, or is none' },
    });
  });

  it.each([
    ['has read fewer than there were', '1663 captured', 'has 1663 of 1678 packets, and 0 were dropped'],
    ['has lost some', '3 dropped by kernel', 'has 1678 of 1678 packets, and 3 were dropped'],
  ])('does not take a packet for unseen where tcpdump %s', (_, counter, said) => {
    const what = counter.replace(/^\d+ /, '');
    const result = judge(told().replace(new RegExp(`counted \\d+ ${what}`), `counted ${counter}`));
    expect(result).toMatchObject({ state: 'failed', packets: [] });
    expect(result.detail).toContain(said);
    expect(judge(told().replace(/\| counted .*\n/g, '')).detail).toContain('has not said how many');
  });
});

describe('a log of pf(4)', () => {
  it('is no log where its head is another, and is read up to where it is cut off', () => {
    const packet = packetOf('closed').frame.subarray(14);
    const file = capture([
      [1, pflogHeader(false, 'vtnet0', 7, 1), packet],
      [2, pflogHeader(false, 'vtnet0', 0xffffffff, 0), packet],
      // As FreeBSD 15.1 tells rules 36 of the main ruleset, behind an anchor of rdr, and 3 of an anchor of its own.
      [3, pflogHeader(false, 'vtnet0', 2, 1, ['', 36]), packet],
      [4, pflogHeader(false, 'vtnet0', 9, 1, ['bastille/x', 3]), packet],
    ]);
    expect(readPflog(file)).toMatchObject([
      { interface: 'vtnet0', direction: 'in', verdict: 'block', rule: 7 },
      { interface: 'vtnet0', direction: 'in', verdict: 'pass', rule: undefined },
      { rule: 36 },
      { rule: 9 },
    ]);
    expect(readPflog(file.subarray(0, file.length - 1))).toHaveLength(3);
    expect(readPflog(Buffer.from('no capture at all, whatever it says'))).toBeUndefined();
  });
});
