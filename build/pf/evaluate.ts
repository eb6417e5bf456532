import { inboundRule, TRANSLATIONS } from './expand.js';
import { inForce } from './in-force.js';
import { matches, walk } from './match.js';
import type { Compiled, Leaning, Packet, State } from './match.js';
import { PROXY_PORTS } from './names.js';
import type { Ip } from './ranges.js';
import { concerns, hasHiddenCondition, isCalled, isFilled, looksInside, Resolver } from './resolve.js';
import type { World } from './resolve.js';
import type { InterfaceSpec, Pool, Rule, Ruleset } from './types.js';

export type { Leaning, Packet } from './match.js';

export interface Verdict {
  readonly action: 'pass' | 'block';
  /** The rule that decided; none where the default did. */
  readonly rule?: Rule;
  /** The translation rule that applied, and the addresses after it. */
  readonly translation?: Rule;
  readonly src: Ip;
  readonly dst: Ip;
  readonly dstPort: number;
}

/** Rules for packets of one interface, direction and family. */
interface Lists {
  readonly filters: readonly Compiled[];
  /** In the order that pf asks them; a rule with `no` ends its own list alone (pf_get_translation() of pf_lb.c). */
  readonly translations: readonly (readonly Compiled[])[];
}

/** Decides about packets as pf(4) does: translation first, then the last filter rule that matches, or the first quick one. */
export class Evaluator {
  private readonly lists = new Map<string, Lists>();
  private last: (Pick<Packet, 'interface' | 'direction' | 'af'> & { readonly lists: Lists }) | undefined;
  private readonly resolver: Resolver;
  private readonly skipped: ReadonlySet<string>;
  constructor(
    private readonly ruleset: Ruleset,
    private readonly world: World,
  ) {
    this.resolver = new Resolver(ruleset, world);
    this.skipped = new Set(
      world.interfaces
        .filter((device) => ruleset.skip.some((name) => isCalled(device, name)))
        .map(({ name }) => name),
    );
  }

  decide(packet: Packet, leaning: Leaning = 'open'): Verdict {
    const unchanged = { src: packet.src, dst: packet.dst, dstPort: packet.dstPort };
    if (this.skipped.has(packet.interface)) return { action: 'pass', ...unchanged };
    const lists = this.rulesFor(packet);
    const state: State = { last: undefined, tag: undefined };
    const translated = this.translate(lists.translations, packet, leaning, state);
    const seen = translated ? { ...packet, ...translated.address, srcPort: translated.srcPort } : packet;
    const after = translated ? { translation: translated.rule, ...translated.address } : unchanged;
    if (translated?.rule.natPass === true) return { action: 'pass', ...after };
    walk(lists.filters, seen, leaning, state);
    if (!state.last) return { action: this.world.defaultDrop ? 'block' : 'pass', ...after };
    const inline = state.last.options.natTo ?? state.last.options.rdrTo;
    const moved =
      inline && state.last.action === 'pass'
        ? this.move(seen, inline, state.last.options.natTo ? 'nat' : 'rdr')
        : undefined;
    return { action: state.last.action === 'pass' ? 'pass' : 'block', rule: state.last, ...after, ...moved };
  }

  /** The first translation rule that matches, and what it makes of the packet; none where it says `no`. */
  private translate(
    lists: Lists['translations'],
    packet: Packet,
    leaning: Leaning,
    state: State,
  ): { rule: Rule; address: { src: Ip; dst: Ip; dstPort: number }; srcPort: number } | undefined {
    for (const rules of lists) {
      const found = rules.find((compiled) => matches(compiled, packet, leaning === 'open', state.tag));
      if (!found) continue;
      const { rule } = found;
      if (rule.options.tag !== undefined) state.tag = rule.options.tag;
      if (rule.action.startsWith('no ') || !rule.pool) continue;
      const kind =
        rule.action === 'rdr' || (rule.action === 'binat' && packet.direction === 'in') ? 'rdr' : 'nat';
      const ported = rule.action === 'nat' && rule.pool.staticPort !== true;
      const srcPort = ported ? (rule.pool.port?.low ?? PROXY_PORTS.low) : packet.srcPort;
      return { rule, address: this.move(packet, rule.pool, kind), srcPort };
    }
    return undefined;
  }

  private move(packet: Packet, pool: Pool, kind: 'nat' | 'rdr'): { src: Ip; dst: Ip; dstPort: number } {
    const host = pool.hosts[0];
    const first = host ? this.resolver.ranges(host.address, packet.af)?.[0]?.[0] : undefined;
    // Where the new address is not known, the old one stays: rules about it are then met, not passed by.
    const address = first ?? (kind === 'nat' ? packet.src : packet.dst);
    return kind === 'nat'
      ? { src: address, dst: packet.dst, dstPort: packet.dstPort }
      : { src: packet.src, dst: address, dstPort: pool.port?.low ?? packet.dstPort };
  }

  /** The rules for packets like this one. Packets come in runs that differ in nothing that matters here. */
  private rulesFor(packet: Pick<Packet, 'interface' | 'direction' | 'af'>): Lists {
    const { last } = this;
    if (
      last &&
      last.interface === packet.interface &&
      last.direction === packet.direction &&
      last.af === packet.af
    )
      return last.lists;
    const key = packet.interface + packet.direction + packet.af;
    let lists = this.lists.get(key);
    if (!lists) {
      const of = (...actions: readonly string[]): readonly Compiled[] =>
        this.compile(
          inForce(this.ruleset.rules)
            .filter(({ action }) => actions.includes(action))
            .map((rule) => (packet.direction === 'in' ? inboundRule(rule) : rule)),
          packet,
        );
      const [first, second] = TRANSLATIONS[packet.direction];
      lists = {
        filters: of('pass', 'block', 'match', 'anchor'),
        translations: [of(first, `no ${first}`), of(second, `no ${second}`)].filter(
          ({ length }) => length > 0,
        ),
      };
      this.lists.set(key, lists);
    }
    this.last = { interface: packet.interface, direction: packet.direction, af: packet.af, lists };
    return lists;
  }

  private compile(
    rules: readonly Rule[],
    packet: Pick<Packet, 'interface' | 'direction' | 'af'>,
  ): Compiled[] {
    const device = this.world.interfaces.find(({ name }) => name === packet.interface) ?? {
      name: packet.interface,
      groups: [],
      addresses: [],
    };
    return rules.flatMap((rule): Compiled[] => {
      if (!concerns(rule, device, packet.direction, packet.af)) return [];
      const src = this.resolver.ranges(rule.from.address, packet.af);
      const dst = this.resolver.ranges(rule.to.address, packet.af);
      const { options } = rule;
      const unknown =
        hasHiddenCondition(rule) ||
        options.rtable !== undefined ||
        rule.from.address.kind === 'urpf-failed' ||
        rule.from.address.kind === 'no-route' ||
        rule.to.address.kind === 'no-route' ||
        rule.from.address.kind === 'hostname' ||
        rule.to.address.kind === 'hostname';
      return [
        {
          rule,
          quick: rule.quick && !isFilled(rule),
          proto: rule.proto,
          src,
          srcNot: rule.from.not,
          dst,
          dstNot: rule.to.not,
          srcPort: rule.fromPort,
          dstPort: rule.toPort,
          icmpType: rule.icmp?.type,
          icmpCode: rule.icmp?.code,
          unknown,
          flags: options.flags && options.flags.of !== 0 ? options.flags : undefined,
          fragment: options.fragment === true,
          whole: looksInside(rule),
          tagged: options.tagged,
          receivedOn: options.receivedOn && this.called(options.receivedOn),
          inner: rule.action === 'anchor' ? this.compile(inForce(rule.inner ?? []), packet) : undefined,
        },
      ];
    });
  }

  /** The interfaces that a name stands for: the one of that name, whether it is there or not, and those of that group. */
  private called({ name, not }: InterfaceSpec): Compiled['receivedOn'] {
    const members = this.world.interfaces.filter((device) => isCalled(device, name));
    return { names: new Set([name, ...members.map((device) => device.name)]), not };
  }
}
