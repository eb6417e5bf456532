import { PROTO } from './names.js';
import { isMany } from './families.js';
import type { Rule } from './types.js';

/** What pfctl finds wrong with a rule as the kernel would get it (rule_consistent() of parse.y); undefined if nothing. */
export function inconsistency(rule: Rule): string | undefined {
  switch (rule.action) {
    case 'pass':
    case 'block':
    case 'match':
    case 'scrub':
    case 'no scrub':
    case 'anchor':
      return packetFlaw(rule) ?? stateFlaw(rule) ?? changeFlaw(rule);
    case 'rdr':
    case 'no rdr':
    case 'rdr-anchor':
      return redirectFlaw(rule);
    default:
      return undefined;
  }
}

function hasPorts({ proto }: Rule): boolean {
  return proto === PROTO.tcp || proto === PROTO.udp || proto === PROTO.sctp;
}

/** About the packets that it matches. */
function packetFlaw(rule: Rule): string | undefined {
  const { proto, options, af, icmp } = rule;
  if ((rule.fromPort || rule.toPort) && !hasPorts(rule))
    return 'a port only applies to tcp, udp and sctp: the rule needs "proto"';
  if (icmp) {
    if (proto !== PROTO.icmp && proto !== PROTO.icmp6)
      return 'an ICMP type only applies to proto icmp and icmp6';
    if ((icmp.family === 'inet') !== (proto === PROTO.icmp)) return 'the ICMP type is not of this protocol';
    if (af === undefined) return 'an ICMP type needs an address family: inet or inet6';
  }
  if ((proto === PROTO.icmp && af === 'inet6') || (proto === PROTO.icmp6 && af === 'inet'))
    return `the protocol does not go with ${af}`;
  if (
    options.fragment === true &&
    (rule.fromPort || rule.toPort || rule.icmp || (options.flags?.of ?? 0) > 0)
  )
    return 'fragments have no ports, flags and ICMP types';
  if (options.allowOpts === true && rule.action !== 'pass' && rule.action !== 'match')
    return '"allow-opts" is for pass and match rules alone';
  if (rule.block?.kind === 'return-rst' && proto !== PROTO.tcp) return '"return-rst" is for tcp alone';
  return undefined;
}

/** About the states that it makes. */
function stateFlaw({ action, options: { keep, state } }: Rule): string | undefined {
  const keeps = keep !== undefined && keep !== 'none';
  if (keeps && action !== 'pass') return 'state is kept by pass rules alone';
  if (state.overload && state.maxSrcConn === undefined && state.maxSrcConnRate === undefined)
    return '"overload" needs max-src-conn or max-src-conn-rate';
  if (state.sloppy === true && (keep === 'modulate' || keep === 'synproxy'))
    return '"sloppy" does not go with modulate or synproxy';
  if (
    state.sourceTrack === 'global' &&
    (state.maxSrcNodes !== undefined || state.maxSrcConn !== undefined || state.maxSrcConnRate)
  )
    return 'limits of a rule do not go with "source-track global"';
  return undefined;
}

/** About where it sends packets, and what it makes of them. */
function changeFlaw(rule: Rule): string | undefined {
  const { action, options, route } = rule;
  if (route) {
    if (!rule.direction) return 'a rule that routes needs a direction';
    if (action === 'match') return 'match rules do not route';
    if (action === 'block') return 'block rules do not route';
    if (route.kind === 'dup-to' && options.afTo) return '"dup-to" does not go with "af-to"';
  }
  if (options.afTo && rule.af === options.afTo.af) return '"af-to" needs another family than the rule has';
  if (action === 'match' && options.divertTo !== undefined) return 'match rules do not divert';
  if (action === 'match' && options.afTo) return '"af-to" is not for match rules';
  const { natTo, rdrTo, binatTo, afTo } = options;
  if (natTo ?? rdrTo ?? binatTo ?? afTo) {
    if (action !== 'match' && (options.keep === undefined || options.keep === 'none'))
      return 'a rule that translates needs to keep state';
    if (!rule.direction && !binatTo) return 'a rule that translates needs a direction';
  }
  if (binatTo && rule.direction) return '"binat-to" takes no direction';
  if (binatTo) {
    const ends = [rule.from.address, binatTo.hosts[0]?.address];
    if (binatTo.hosts.length > 1 || ends.some((end) => end?.kind === 'any' || end?.kind === 'table'))
      return '"binat-to" needs one source address and one address to translate to';
    if (ends.some((end) => end && isMany(end)))
      return '"binat-to" takes an interface in parentheses with ":0" alone';
  }
  return undefined;
}

function redirectFlaw(rule: Rule): string | undefined {
  const anchor = rule.action === 'rdr-anchor';
  if ((rule.fromPort || rule.toPort) && !hasPorts(rule))
    return 'a port only applies to tcp, udp and sctp: the rule needs "proto"';
  if (rule.toPort && rule.toPort.op !== '=' && (anchor || rule.toPort.op !== ':'))
    return anchor ? 'rdr-anchor takes one port' : 'rdr takes a port or a range of ports';
  if (rule.pool?.port && !hasPorts(rule)) return 'a port to redirect to needs "proto"';
  return undefined;
}
