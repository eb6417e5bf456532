import { PROTOCOLS } from './names.js';
import type { Af, Comparison, Host, IcmpSpec, InterfaceSpec, PfFlaw, Rule, RuleSpec } from './types.js';

const TCP = PROTOCOLS.get('tcp');
const UDP = PROTOCOLS.get('udp');
const SCTP = PROTOCOLS.get('sctp');
const ICMP = PROTOCOLS.get('icmp');
const ICMP6 = PROTOCOLS.get('icmp6');

function orNone<T>(list: readonly T[]): readonly (T | undefined)[] {
  return list.length > 0 ? list : [undefined];
}

/** The family that an address has by itself. */
function familyOf(host: Host | undefined): Af | undefined {
  const address = host?.address;
  return address?.kind === 'net' || address?.kind === 'range' ? address.af : undefined;
}

/**
 * The rules that the kernel gets for a rule with lists: one for each combination, in pfctl's order (expand_rule() of
 * parse.y), without those whose address families differ. Checks what pfctl checks of each (filter_consistent()).
 */
export function expandRule(spec: RuleSpec): {
  readonly rules: readonly Rule[];
  readonly flaws: readonly PfFlaw[];
} {
  const rules: Rule[] = [];
  const flaws: PfFlaw[] = [];
  const { interfaces, protos, from, fromPorts, os, to, toPorts, users, groups, icmp, inner, ...rest } = spec;
  const any: Host = { address: { kind: 'any' }, not: false, place: spec.place };
  const nested = inner?.map((rule) => expandRule(rule));
  for (const result of nested ?? []) flaws.push(...result.flaws);
  const innerRules = nested?.flatMap((result) => result.rules);
  const declared = spec.af ?? spec.options.afTo?.af;

  for (const device of orNone<InterfaceSpec>(interfaces))
    for (const proto of orNone<number>(protos))
      for (const type of orNone<IcmpSpec>(icmp))
        for (const source of orNone<Host>(from))
          for (const sourcePort of orNone<Comparison>(fromPorts))
            for (const system of orNone<string>(os))
              for (const target of orNone<Host>(to))
                for (const targetPort of orNone<Comparison>(toPorts))
                  for (const user of orNone<Comparison>(users))
                    for (const group of orNone<Comparison>(groups)) {
                      const families = new Set(
                        [spec.af, familyOf(source), spec.options.afTo ? undefined : familyOf(target)].filter(
                          (af) => af !== undefined,
                        ),
                      );
                      if (families.size > 1) continue;
                      const af = [...families][0] ?? poolFamily(spec) ?? type?.family;
                      const tcpOnly = proto === undefined || proto === TCP;
                      const { flags, ...options } = rest.options;
                      const { af: _, ...common } = rest;
                      const keep = options.keep;
                      const rule: Rule = {
                        ...common,
                        ...(af && { af }),
                        options: {
                          ...options,
                          ...(tcpOnly && flags && { flags }),
                          // Only TCP has sequence numbers to change, and a handshake to answer for.
                          ...(proto !== undefined &&
                            proto !== TCP &&
                            (keep === 'modulate' || keep === 'synproxy') && { keep: 'keep' as const }),
                        },
                        from: source ?? any,
                        to: target ?? any,
                        ...(device && { interface: device }),
                        ...(proto !== undefined && { proto }),
                        ...(sourcePort && { fromPort: sourcePort }),
                        ...(targetPort && { toPort: targetPort }),
                        ...(system !== undefined && { os: system }),
                        ...(user && { user }),
                        ...(group && { group }),
                        ...(type && { icmp: type }),
                        ...(innerRules && { inner: innerRules }),
                      };
                      const problem = inconsistency(rule, declared ?? af);
                      if (problem === undefined) rules.push(rule);
                      else flaws.push({ place: spec.place, message: problem });
                    }
  if (rules.length === 0 && flaws.length === 0)
    flaws.push({ place: spec.place, message: 'the rule expands to no valid combination' });
  return { rules, flaws };
}

/** A translation rule without a family of its own has that of the address it translates to. */
function poolFamily(spec: RuleSpec): Af | undefined {
  return familyOf(spec.pool?.hosts[0]);
}

function inconsistency(rule: Rule, af: Af | undefined): string | undefined {
  const { proto, options } = rule;
  const ported = proto === TCP || proto === UDP || proto === SCTP;
  if ((rule.fromPort || rule.toPort) && !ported && !rule.action.endsWith('-anchor'))
    return 'a port only applies to tcp, udp and sctp: the rule needs "proto"';
  if (rule.icmp) {
    if (proto !== ICMP && proto !== ICMP6) return 'an ICMP type only applies to proto icmp and icmp6';
    if ((rule.icmp.family === 'inet') !== (proto === ICMP)) return 'the ICMP type is not of this protocol';
    if (af === undefined) return 'an ICMP type needs an address family: inet or inet6';
  }
  if ((proto === ICMP && af === 'inet6') || (proto === ICMP6 && af === 'inet'))
    return `the protocol does not go with ${af ?? ''}`;
  if (options.allowOpts === true && rule.action !== 'pass') return '"allow-opts" is for pass rules alone';
  if (options.fragment === true && (rule.fromPort || rule.toPort || rule.icmp))
    return 'fragments have no ports and ICMP types';
  if (rule.block?.kind === 'return-rst' && proto !== TCP) return '"return-rst" is for tcp alone';
  if (
    options.keep !== undefined &&
    options.keep !== 'none' &&
    rule.action !== 'pass' &&
    rule.action !== 'match'
  )
    return 'state is kept by pass rules alone';
  if (
    options.state.overload &&
    options.state.maxSrcConn === undefined &&
    options.state.maxSrcConnRate === undefined
  ) {
    return '"overload" needs max-src-conn or max-src-conn-rate';
  }
  if (options.state.sloppy === true && (options.keep === 'modulate' || options.keep === 'synproxy'))
    return '"sloppy" does not go with modulate or synproxy';
  if (
    options.state.sourceTrack === 'global' &&
    (options.state.maxSrcNodes !== undefined ||
      options.state.maxSrcConn !== undefined ||
      options.state.maxSrcConnRate)
  ) {
    return 'limits of a rule do not go with "source-track global"';
  }
  if (rule.route && !rule.direction) return 'a rule that routes needs a direction';
  if (rule.route && rule.action === 'match') return 'match rules do not route';
  if (options.divertTo !== undefined && rule.action === 'match') return 'match rules do not divert';
  if (
    (rule.action === 'rdr' || rule.action === 'no rdr') &&
    rule.toPort &&
    rule.toPort.op !== '=' &&
    rule.toPort.op !== ':'
  )
    return 'rdr takes a port or a range of ports';
  if (rule.action === 'rdr' && rule.pool?.port && !ported) return 'a port to redirect to needs "proto"';
  return undefined;
}
