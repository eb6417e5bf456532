import { Evaluator } from '../pf/evaluate.js';
import type { Packet, Verdict } from '../pf/evaluate.js';
import { printRule } from '../pf/print.js';
import { inside } from '../pf/ranges.js';
import type { Rule } from '../pf/types.js';
import type { Step } from './journey.js';
import type { Subject, Violation } from './prove.js';
import { isIn } from './row.js';
import { another, TAILSCALE } from './world.js';
import { zonesOf } from './zones.js';
import type { Zone } from './zones.js';

/** A crossing of one packet. */
export interface TracedStep {
  readonly packet: Packet;
  readonly passes: boolean;
  readonly rule: Rule | undefined;
  readonly translation: Rule | undefined;
}

/**
 * The way of the packet of a violation, crossing by crossing: where it came in before the place that the violation is
 * about, that place, and where it goes from there, up to what blocks it.
 */
export function traceViolation(
  subject: Subject,
  { packet, row, rule }: Pick<Violation, 'packet' | 'row' | 'rule'>,
): readonly TracedStep[] {
  const { ruleset, world, situation } = subject;
  const evaluator = new Evaluator(ruleset, world);
  const leaning = row.verdict === 'block' ? 'open' : 'closed';
  const steps: TracedStep[] = [];
  const cross = (
    at: Packet,
    decided?: { readonly passes: boolean; readonly rule: Rule | undefined },
  ): Verdict => {
    const verdict = evaluator.decide(at, leaning);
    steps.push({
      packet: at,
      passes: decided?.passes ?? verdict.action === 'pass',
      rule: decided ? decided.rule : verdict.rule,
      translation: verdict.translation,
    });
    return verdict;
  };
  if (packet.direction === 'out' && packet.receivedOn !== undefined) {
    const { receivedOn, ...rest } = packet;
    cross({ ...rest, interface: receivedOn, direction: 'in' });
  }
  // What the proof has found there holds, whatever else may be so of tables and what no packet shows.
  const passes = rule ? rule.action === 'pass' : evaluator.decide(packet, leaning).action === 'pass';
  const { src, dst, dstPort } = cross(packet, { passes, rule });
  if (!passes) return steps;
  const next = nextCrossing(zonesOf(situation, world).zones, situation.view.loopback, {
    ...packet,
    src,
    dst,
    dstPort,
  });
  if (next) cross(next);
  return steps;
}

/** Where a packet goes from a crossing; nowhere where it has arrived. */
function nextCrossing(zones: readonly Zone[], loopback: string, packet: Packet): Packet | undefined {
  const rest: Packet = { ...packet, receivedOn: undefined };
  const looped = ['lo0', loopback, another('lo')].includes(packet.interface);
  if (packet.direction === 'out') return looped ? { ...rest, direction: 'in' } : undefined;
  if (looped) return undefined;
  const goes = (kind: Zone['kind']): Zone | undefined =>
    zones.find((zone) => zone.kind === kind && isIn(zone.addresses, packet.dst));
  if (goes('host') ?? goes('loopback')) return undefined;
  const zone = goes('vnet') ?? tailnetOf(zones, packet) ?? zones.find(({ kind }) => kind === 'internet');
  const [out] = zone?.interfaces ?? [];
  return out === undefined
    ? undefined
    : { ...rest, interface: out, direction: 'out', receivedOn: packet.interface };
}

function tailnetOf(zones: readonly Zone[], { dst, af }: Packet): Zone | undefined {
  const tailnet = zones.find(({ interfaces }) => interfaces.includes(TAILSCALE));
  const internet = zones.find(({ kind }) => kind === 'internet');
  return internet && !inside(internet.addresses[af], dst) ? tailnet : undefined;
}

/** A step for people: what happens to the packet, by which rule, with its file and line. */
export function describeStep({ packet, passes, rule, translation }: TracedStep): string {
  return sentence(`${packet.direction} on ${packet.interface}`, passes, rule, translation);
}

/** A step of a box of packets for people. */
export function describeJourney({ crossing, passes, rule, translation }: Step): string {
  return sentence(`${crossing.direction} on ${crossing.interface}`, passes, rule, translation);
}

function sentence(
  at: string,
  passes: boolean,
  rule: Rule | undefined,
  translation: Rule | undefined,
): string {
  const by = (decided: Rule): string => `${decided.place.file}:${decided.place.line}: ${printRule(decided)}`;
  const moved = translation ? `, after ${by(translation)}` : '';
  return `${at}: ${passes ? 'passes' : 'is blocked'} by ${rule ? by(rule) : 'the default'}${moved}`;
}
