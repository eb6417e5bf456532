import type { Chance } from './chance.js';
import { drawHead, NETS } from './head.js';
import type { Family } from './head.js';

const DYNAMIC = ['em0', 'em1', 'em2', 'egress', 'inside', 'self'];
const PORTS = ['22', 'ssh', 'domain', '80', 'https', '0x50', '1024', '8080', '40000', '65535', '1'];
const FLAGS = ['S/SA', 'S/SAFR', 'A/A', 'SA/SA', '/SFRA', 'R/R', 'S/SAEW', 'any', 'FA/FA', 'P/PU', 'EW/EW'];
const TAGS = ['RED', 'BLUE'];
const TYPES: Readonly<Record<Family, readonly string[]>> = {
  inet: ['echoreq', 'echorep', '3 code 4', 'unreach code port-unr', 'timex', '11 code 1', '13', 'redir'],
  inet6: ['echoreq', '129', 'toobig', 'unreach code 1', 'neighbrsol', 'neighbradv', '3 code 0', '200'],
};

/**
 * A rule set drawn at random from the grammar of pf.conf(5), by which the kernel decides about a single packet: without
 * what needs other machines, other kernels (ALTQ, dummynet, divert) or a history of packets. Its first filter rule has pf log
 * every rule that matches.
 */
export class RuleSource {
  private tables: readonly string[] = [];
  private macros: readonly string[] = [];
  private anchors = 0;

  constructor(private readonly chance: Chance) {}

  /** A whole rule set. */
  ruleset(): string {
    const { chance } = this;
    this.anchors = 0;
    const hidden = chance.is(0.3);
    const tags = !hidden && chance.is(0.4);
    const { lines: head, tables, macros } = drawHead(chance);
    this.tables = tables;
    this.macros = macros;
    const lines = [...head];
    if (chance.is(0.15)) for (let left = chance.between(1, 2); left > 0; left--) lines.push(this.scrub());
    if (chance.is(0.4))
      for (let left = chance.between(1, 5); left > 0; left--) lines.push(this.translation(tags));
    lines.push('match log (matches) all');
    for (let left = chance.between(3, 14); left > 0; left--) lines.push(...this.filter(0, hidden, tags));
    return `${lines.join('\n')}\n`;
  }

  private on(): string {
    const { chance } = this;
    return chance.maybe(
      0.5,
      () =>
        `on ${chance.pick(['em0', 'em0', 'em1', 'em2', 'egress', 'inside', '! em0', '! egress', '{ em0, em2 }', '{ inside, em0 }', 'all', 'any', 'lo0', 'tap', 'em'])}`,
    );
  }

  private peer(family: Family | undefined): string {
    const { chance } = this;
    const families: readonly Family[] = family ? [family] : ['inet', 'inet6'];
    const one = (): string => {
      const af = chance.pick(families);
      const not = chance.maybe(0.15, () => '! ');
      switch (chance.between(0, 9)) {
        case 0:
        case 1:
          return `${not}(${chance.pick(DYNAMIC)}${chance.maybe(0.4, () => chance.pick([':network', ':0', ':broadcast', ':network:0']))})`;
        case 2:
        case 3:
          return this.tables.length > 0 ? not + chance.pick(this.tables) : not + chance.pick(NETS[af]);
        case 4:
          return af === 'inet' ? '192.0.2.10 - 192.0.2.99' : '2001:db8::5 - 2001:db8::ffff';
        case 5:
          return this.macros.length > 0 ? `$nets${af === 'inet' ? '4' : '6'}` : chance.pick(NETS[af]);
        case 6:
          return `${not}localhost`;
        default:
          return not + chance.pick(NETS[af]);
      }
    };
    if (chance.is(0.4)) return 'any';
    if (chance.is(0.75)) return one();
    return `{ ${Array.from({ length: chance.between(2, 3) }, one).join(', ')} }`;
  }

  private ports(): string {
    const { chance } = this;
    const one = (): string => {
      const [low, high] = [chance.between(1, 30000), chance.between(30001, 65535)];
      return chance.pick([
        ...PORTS,
        `${low}:${high}`,
        `${low} >< ${high}`,
        `${low} <> ${high}`,
        `> ${low}`,
        `>= 1024`,
        `< ${high}`,
        `<= 1023`,
        `!= ${chance.pick(['22', '80', '53'])}`,
        ...(this.macros.length > 0 ? ['$web'] : []),
      ]);
    };
    return `port ${chance.is(0.7) ? one() : `{ ${one()}, ${one()} }`}`;
  }

  /** Family, protocol and hosts, as far as they go together. */
  private match(family: Family | undefined, protos: readonly string[]): string {
    const { chance } = this;
    const proto = chance.pick(protos);
    const ported = /^(?:tcp|udp|sctp|\{ tcp, udp \})$/.test(proto);
    const words = [family ?? '', proto && `proto ${proto}`];
    const from = this.peer(family) + chance.maybe(ported ? 0.3 : 0, () => ` ${this.ports()}`);
    const to = this.peer(family) + chance.maybe(ported ? 0.6 : 0, () => ` ${this.ports()}`);
    words.push(
      from === 'any' && to === 'any' ? chance.pick(['all', 'from any to any']) : `from ${from} to ${to}`,
    );
    return words.filter((word) => word !== '').join(' ');
  }

  private scrub(): string {
    const { chance } = this;
    const direction = chance.pick(['in', 'in', 'out', '']);
    const head = `${chance.maybe(0.2, () => 'no ')}scrub ${direction} ${this.on()}`;
    const body = chance.is(0.6)
      ? 'all'
      : this.match(chance.pick(['inet', 'inet6', undefined]), ['', 'udp', 'tcp']);
    if (head.startsWith('no')) return `${head} ${body}`;
    return `${head} ${body} ${chance.pick(['', 'no-df', 'min-ttl 5', 'max-mss 1400', 'fragment reassemble', 'fragment no reassemble'])}`;
  }

  private translation(tags: boolean): string {
    const { chance } = this;
    const no = chance.is(0.2);
    const pass = !no && chance.is(0.25) ? ' pass' : '';
    const family = chance.pick(['inet', 'inet', 'inet6'] as const);
    const device = `on ${chance.pick(['em0', 'em1', 'em2', 'egress', 'inside'])}`;
    const target = chance.pick(
      family === 'inet'
        ? ['192.0.2.50', '10.1.2.9', '(em0:0)', '172.16.5.2', '198.51.100.99']
        : ['2001:db8::50', '2001:db8:1::9', '(em1:0)', 'fd00::9'],
    );
    const tag = tags ? chance.maybe(0.3, () => ` tag ${chance.pick(TAGS)}`) : '';
    // What matches is logged, so that the rule that translates is known.
    const head = (kind: string): string => `${no ? 'no ' : ''}${kind}${pass} log ${device}`;
    switch (chance.between(0, 4)) {
      case 0:
      case 1: {
        const match = this.match(
          family,
          ['', 'tcp', 'udp', '{ tcp, udp }', 'icmp'].slice(0, family === 'inet' ? 5 : 4),
        );
        return `${head('nat')} ${match}${tag}${no ? '' : ` -> ${target}${chance.pick([' static-port', '', ' port 2000'])}`}`;
      }
      case 2:
      case 3: {
        const match = this.match(family, ['tcp', 'udp', '{ tcp, udp }', '']);
        const port = /proto (?:tcp|udp|\{)/.test(match) ? chance.maybe(0.5, () => ' port 8081') : '';
        return `${head('rdr')} ${match}${tag}${no ? '' : ` -> ${target}${port}`}`;
      }
      default: {
        const inside = chance.pick(
          family === 'inet' ? ['10.1.2.3', '172.16.5.2', '10.2.0.1'] : ['2001:db8:1::9', 'fd00::1'],
        );
        const outside = chance.pick(
          family === 'inet' ? ['192.0.2.50', '192.0.2.77'] : ['2001:db8::50', '2001:db8::77'],
        );
        const to = chance.pick(['any', 'any', chance.pick(NETS[family])]);
        return `${head('binat')} ${family} ${chance.maybe(0.3, () => 'proto tcp')} from ${inside} to ${to}${tag}${no ? '' : ` -> ${outside}`}`;
      }
    }
  }

  private filter(depth: number, hidden: boolean, tags: boolean): string[] {
    const { chance } = this;
    if (chance.is(depth > 1 ? 0 : 0.1)) return this.anchor(depth, hidden, tags);
    const action = chance.pick(['pass', 'pass', 'pass', 'block', 'block', 'match']);
    const direction = chance.pick(['in', 'in', 'out', 'out', '']);
    const family = chance.pick(['inet', 'inet6', undefined] as const);
    const words = [action === 'block' ? this.block(family) : action, direction];
    words.push(chance.maybe(0.1, () => 'log'));
    words.push(chance.maybe(action === 'match' ? 0.1 : 0.25, () => 'quick'));
    words.push(this.on());
    const icmp = family && !words[0]?.includes('rst') && chance.is(0.2);
    const tcp = words[0]?.includes('rst') === true;
    const protos = tcp ? ['tcp'] : ['', '', 'tcp', 'tcp', 'udp', '{ tcp, udp }', 'sctp', 'gre', '50'];
    const protocol = family === 'inet6' ? 'icmp6' : 'icmp';
    words.push(this.match(family, icmp ? [protocol] : protos));
    const text = words.join(' ');
    const options = this.filterOptions(action, text, icmp ? family : undefined, hidden, tags);
    return [
      `${'  '.repeat(depth)}${[text, ...options]
        .filter((word) => word !== '')
        .join(' ')
        .replace(/ +/g, ' ')}`,
    ];
  }

  private block(family: Family | undefined): string {
    const kinds = [
      'block',
      'block',
      'block drop',
      'block return',
      'block return-rst',
      'block return-rst(ttl 9)',
    ];
    if (family === 'inet') kinds.push('block return-icmp', 'block return-icmp(host-unr)');
    else if (family === 'inet6') kinds.push('block return-icmp6', 'block return-icmp6(admin-unr)');
    else kinds.push('block return-icmp(port-unr, admin-unr)');
    return this.chance.pick(kinds);
  }

  private filterOptions(
    action: string,
    text: string,
    icmp: Family | undefined,
    hidden: boolean,
    tags: boolean,
  ): string[] {
    const { chance } = this;
    const some = (probability: number, ...items: readonly string[]): string =>
      chance.maybe(probability, () => chance.pick(items));
    const ported = text.includes(' port ');
    const tcp = /proto tcp/.test(text);
    const any = !text.includes('proto');
    const options: string[] = [];
    if (icmp)
      options.push(
        chance.maybe(0.7, () => {
          const word = icmp === 'inet' ? 'icmp-type' : 'icmp6-type';
          const one = chance.pick(TYPES[icmp]);
          return `${word} ${chance.is(0.7) ? one : `{ ${one}, ${chance.pick(TYPES[icmp])} }`}`;
        }),
      );
    const flags =
      tcp || (any && chance.is(0.1)) ? chance.maybe(0.4, () => `flags ${chance.pick(FLAGS)}`) : '';
    options.push(flags);
    if (action === 'pass')
      options.push(
        chance.pick([
          '',
          '',
          'no state',
          'keep state',
          'modulate state',
          'keep state (sloppy)',
          'keep state (if-bound, no-sync)',
          'keep state (max 1000, max-src-states 50)',
          'keep state (tcp.first 40, source-track rule)',
        ]),
      );
    if (!ported && !icmp && flags === '') options.push(some(0.06, 'fragment'));
    if (action !== 'block') options.push(some(0.05, 'allow-opts'));
    options.push(some(0.1, 'label "seen"', 'label "$nr $proto"', 'label one label two'));
    options.push(some(0.04, 'ridentifier 77'), some(0.04, 'set prio 3', 'set (prio (2, 5), tos 0x10)'));
    options.push(
      some(0.1, 'received-on feed0', 'received-on feed', '! received-on feed1', 'received-on em0'),
    );
    if (tags) {
      options.push(chance.maybe(0.25, () => `tag ${chance.pick(TAGS)}`));
      options.push(chance.maybe(0.25, () => `${chance.maybe(0.3, () => '! ')}tagged ${chance.pick(TAGS)}`));
    }
    if (hidden && action !== 'match') {
      options.push(some(0.1, 'probability 50%', 'probability 12.5%', 'tos 0x10', 'tos lowdelay', 'prio 2'));
      if (tcp) options.push(some(0.1, 'user root', 'user != unknown', 'group { wheel, > 100 }'));
    }
    return options;
  }

  private anchor(depth: number, hidden: boolean, tags: boolean): string[] {
    const { chance } = this;
    const indent = '  '.repeat(depth);
    const name = `a${this.anchors++}`;
    const head = [
      `anchor "${name}"`,
      chance.pick(['', 'in', 'out']),
      chance.maybe(0.4, () => 'quick'),
      this.on(),
      this.match(chance.pick(['inet', 'inet6', undefined]), ['', '', 'tcp', 'udp']),
      tags ? chance.maybe(0.2, () => `tagged ${chance.pick(TAGS)}`) : '',
    ]
      .filter((word) => word !== '')
      .join(' ');
    const inner = Array.from({ length: chance.between(1, 4) }, () => this.filter(depth + 1, hidden, tags));
    return [`${indent}${head} {`, ...inner.flat(), `${indent}}`];
  }
}
