import { gunzipSync } from 'node:zlib';
import { bare } from '../pf/address.js';
import { printRule } from '../pf/print.js';
import { externalName } from '../policy/world.js';
import type { CellPlan } from './cell-plan.js';
import { OTHER_CARD } from './cell-senders.js';
import { CELLS_JAILS, parties } from './cell-steps.js';
import { listedRule, rulesApart } from './inside.js';
import { GUEST_MAC, SECOND_MAC } from './peer.js';
import { readPflog } from './pflog.js';
import type { Logged } from './pflog.js';
import type { Typed } from './steps.js';

/** What the instance has told of itself before. */
export interface Told {
  /** Filter rules in force, in the order that pf(4) numbers them by, without their logs. */
  readonly rules: readonly string[];
  readonly addresses: ReadonlyMap<string, readonly string[]>;
  readonly egress: string;
  readonly first: string;
  readonly second: string;
}

/** What follows a word that lines begin with. */
const behind = (lines: readonly string[], word: string): readonly string[] =>
  lines.flatMap((line) => (line.startsWith(`${word} `) ? [line.slice(word.length + 1).trim()] : []));

/** Reads it. */
export function toldOf(lines: readonly string[]): Told {
  const all = (word: string): readonly (readonly string[])[] =>
    behind(lines, word).map((line) => line.split(/\s+/));
  const card = (mac: string): string => all('card').find(([, its]) => its === mac)?.[0] ?? 'none';
  const addresses = new Map<string, string[]>();
  for (const [name = '', address = ''] of all('address'))
    addresses.set(name, [...(addresses.get(name) ?? []), address]);
  return {
    rules: behind(lines, 'rule').map(unlogged),
    addresses,
    egress: all('egress')[0]?.join(' ') ?? '',
    first: card(GUEST_MAC),
    second: card(SECOND_MAC),
  };
}

/** A rule without its log. */
export const unlogged = (rule: string): string => listedRule(rule).replace(/ log(?: \([^)]*\))?/, '');
const FILTERS = new Set(['pass', 'block', 'match', 'anchor']);

/** The filter rules of the image, in the order of its file, without their logs. */
export const wantedRules = ({ subject: { ruleset } }: CellPlan): readonly string[] =>
  ruleset.rules.filter(({ action }) => FILTERS.has(action)).map((rule) => unlogged(printRule(rule)));

/** What of the instance is not as the packets were made for. */
export function surroundingFlaws(plan: CellPlan, told: Told): readonly string[] {
  const { situation } = plan.subject;
  const missing = [
    [told.first, externalName(situation.view)],
    [told.second, OTHER_CARD],
  ].flatMap(([card = '', name = '']) => {
    const has = told.addresses.get(card) ?? [];
    const should = (plan.addresses[name] ?? []).map(bare);
    return [...should.filter((each) => !has.includes(each)), ...has.filter((each) => !should.includes(each))]
      .length === 0
      ? []
      : [`${card} has ${has.join(' ') || 'no address'}, not ${should.join(' ') || 'none'}`];
  });
  return [
    ...rulesApart(wantedRules(plan), told.rules),
    ...missing,
    ...(told.egress === told.first
      ? []
      : [`egress is ${told.egress || 'nobody'}: ${told.first} alone faces the internet`]),
  ];
}

/**
 * What the log of the firewall lacks by the counters of bpf(4), which tcpdump(1) tells when it ends; undefined if nothing. Without it
 * a packet that is not in the log would be one that the firewall never saw.
 */
export function lostFlaw(lines: readonly string[]): string | undefined {
  const counted = behind(lines, 'counted');
  const of = (what: string): string | undefined =>
    counted.find((each) => each.endsWith(` ${what}`))?.split(' ')[0];
  const [captured, received, dropped] = ['captured', 'received by filter', 'dropped by kernel'].map(of);
  if (captured === undefined || received === undefined || dropped === undefined)
    return 'tcpdump has not said how many packets it logged';
  return captured === received && dropped === '0'
    ? undefined
    : `the log of the firewall has ${captured} of ${received} packets, and ${dropped} were dropped`;
}

/** The log of the firewall, as the instance has told it; undefined if it is none, or is cut off. */
export function readLog(lines: readonly string[]): readonly Logged[] | undefined {
  try {
    return readPflog(gunzipSync(Buffer.from(behind(lines, 'log').join(''), 'base64')));
  } catch {
    return undefined;
  }
}

/** What the kernel did not send of the packets of jails and of the host, by their numbers: the errno of sendto(2). */
export function refusedOf(plan: CellPlan, lines: readonly string[]): ReadonlyMap<number, number> {
  const all = new Map(parties(plan).map(({ name, packets }) => [name, packets]));
  return new Map(
    lines.flatMap((line): readonly [number, number][] => {
      const [, name = '', at = '', errno = ''] = /^refused (\w+) (\d+) (\d+)$/.exec(line.trim()) ?? [];
      const packet = all.get(name)?.[Number(at) - 1];
      return packet ? [[packet.sample.number, Number(errno)]] : [];
    }),
  );
}

/** Who of the jails and the host has not sent all of its packets. */
export function unsentFlaws(plan: CellPlan, typed: ReadonlyMap<string, Typed>): readonly string[] {
  const lines = typed.get(CELLS_JAILS)?.lines.map((line) => line.trim()) ?? [];
  return parties(plan).flatMap(({ name, from, packets }) =>
    from === 'bridge' || lines.includes(`sent ${packets.length} from ${name}`)
      ? []
      : [`${name} has not sent its ${packets.length} packets`],
  );
}
