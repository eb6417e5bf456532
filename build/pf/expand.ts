import { printAddress } from './print.js';
import { PROTOCOL_NAMES, PROTOCOLS } from './names.js';
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
  const {
    af: declaredAf,
    interfaces,
    protos,
    from,
    fromPorts,
    os,
    to,
    toPorts,
    users,
    groups,
    icmp,
    inner,
    ...rest
  } = spec;
  const any: Host = { address: { kind: 'any' }, not: false, place: spec.place };
  const nested = inner?.map((rule) => expandRule(rule));
  for (const result of nested ?? []) flaws.push(...result.flaws);
  const innerRules = nested?.flatMap((result) => result.rules);
  const declared = declaredAf ?? spec.options.afTo?.af;

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
                        [
                          declaredAf,
                          familyOf(source),
                          spec.options.afTo ? undefined : familyOf(target),
                        ].filter((af) => af !== undefined),
                      );
                      if (families.size > 1) continue;
                      const af = [...families][0] ?? poolFamily(spec);
                      const tcpOnly = proto === undefined || proto === TCP;
                      const { flags, ...options } = rest.options;
                      const keep = options.keep;
                      const rule: Rule = {
                        ...rest,
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
                      if (problem === undefined) rules.push(...binat(withTexts(rule)));
                      else flaws.push({ place: spec.place, message: problem });
                    }
  if (rules.length === 0 && flaws.length === 0)
    flaws.push({ place: spec.place, message: 'the rule expands to no valid combination' });
  return { rules, flaws };
}

/** The rules with those in their anchors. */
export function allRules(rules: readonly Rule[]): Rule[] {
  return rules.flatMap((rule) => [rule, ...allRules(rule.inner ?? [])]);
}

/** A translation rule without a family of its own has that of the address it translates to. */
function poolFamily(spec: RuleSpec): Af | undefined {
  return familyOf(spec.pool?.hosts[0]);
}

/**
 * The text of a label or tag for one of the rules: pfctl puts the rule's own values where a name with $ stands
 * (expand_label() of parse.y). The names are those that reach pfctl: a macro of the file is replaced earlier.
 */
function expandText(text: string, rule: Rule): string {
  if (!text.includes('$')) return text;
  const address = ({ address: it, not }: Host): string =>
    (not ? '! ' : '') +
    (rule.af || it.kind !== 'net' ? printAddress({ address: it, not: false, place: rule.place }) : 'any');
  const port = (comparison: Comparison | undefined): string => {
    if (!comparison) return '';
    const { op, low, high } = comparison;
    if (op === '=') return String(low);
    return op === '<>' || op === '><' || op === ':' ? `${low}${op}${high}` : `${op}${low}`;
  };
  const values: readonly (readonly [string, string])[] = [
    ['$if', rule.interface?.name ?? 'any'],
    ['$srcaddr', address(rule.from)],
    ['$dstaddr', address(rule.to)],
    ['$srcport', port(rule.fromPort)],
    ['$dstport', port(rule.toPort)],
    ['$proto', rule.proto === undefined ? 'ip' : (PROTOCOL_NAMES.get(rule.proto) ?? String(rule.proto))],
  ];
  return values.reduce((result, [name, value]) => result.replaceAll(name, value), text);
}

function withTexts(rule: Rule): Rule {
  const { labels, tag, tagged } = rule.options;
  const expand = (text: string): string => expandText(text, rule);
  return {
    ...rule,
    options: {
      ...rule.options,
      labels: labels.map(expand),
      ...(tag !== undefined && { tag: expand(tag) }),
      ...(tagged && { tagged: { ...tagged, name: expand(tagged.name) } }),
    },
  };
}

/** `binat-to` is two rules to the kernel: addresses change on the way out, and back on the way in. */
function binat(rule: Rule): readonly Rule[] {
  const { binatTo, ...options } = rule.options;
  const target = binatTo?.hosts[0];
  if (!binatTo || !target) return [rule];
  const { from } = rule;
  return [
    { ...rule, direction: 'out', options: { ...options, natTo: { ...binatTo, staticPort: true } } },
    {
      ...rule,
      direction: 'in',
      from: { address: { kind: 'any' }, not: false, place: rule.place },
      to: target,
      options: { ...options, rdrTo: { ...binatTo, hosts: [from] } },
    },
  ];
}

/**
 * What a binat rule is for packets that come in: those to its new address get its old one (pf_match_translation() of
 * sys/netpfil/pf/pf.c). Other rules are the same both ways.
 */
export function inboundRule(rule: Rule): Rule {
  const [outside] = rule.pool?.hosts ?? [];
  if (rule.action !== 'binat' || !rule.pool || !outside) return rule;
  return {
    ...rule,
    direction: 'in',
    from: rule.to,
    to: outside,
    pool: { ...rule.pool, hosts: [rule.from] },
  };
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
    return `the protocol does not go with ${af}`;
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
  if (rule.route && rule.action === 'block') return 'block rules do not route';
  if (rule.route && af !== undefined && !options.afTo && rule.route.pool.preferIpv6Nexthop !== true) {
    const families = rule.route.pool.hosts.map(familyOf);
    if (families.every((family) => family !== undefined && family !== af))
      return `no address to route to is of the family ${af}`;
  }
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
