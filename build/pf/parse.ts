import { bounds, parseIp, WIDTH } from './address.js';
import { expandRule } from './expand.js';
import { Lexer, PfError } from './lex.js';
import type { Token } from './lex.js';
import {
  ICMP6_TYPES,
  ICMP_TYPES,
  icmpCodes,
  LIMITS,
  PROTOCOLS,
  SERVICES,
  TCP_FLAGS,
  TIMEOUTS,
} from './names.js';
import type {
  Address,
  Af,
  BlockPolicy,
  Comparison,
  EtherRule,
  Host,
  IcmpSpec,
  InterfaceSpec,
  LogSpec,
  Operator,
  Options,
  PfFlaw,
  Place,
  Pool,
  RuleSpec,
  Ruleset,
  ScrubOptions,
  StateOptions,
  Table,
} from './types.js';

/** Gives the text of a file that a rule file names (include, table … file, load anchor), or undefined. */
export type ReadFile = (path: string) => string | undefined;

export interface ParseResult {
  readonly ruleset: Ruleset;
  readonly flaws: readonly PfFlaw[];
}

/** Sections of a rule file, in the order that pf.conf(5) wants. */
const ORDER = ['options', 'ethernet', 'normalization', 'queueing', 'translation', 'filtering'] as const;
type Section = (typeof ORDER)[number];

const UNREACH_PORT = (3 << 8) | 3;
const UNREACH_PORT6 = (1 << 8) | 4;

/** Longest names: IFNAMSIZ, PF_TABLE_NAME_SIZE, PF_TAG_NAME_SIZE, PF_QNAME_SIZE (net/if.h, net/pfvar.h), without the final zero. */
const MAX = { interface: 15, table: 31, tag: 63, queue: 63 } as const;

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/**
 * Reads a rule file as pfctl(8) of FreeBSD 15 does (pf.conf(5), GRAMMAR; sbin/pfctl/parse.y), with its lists expanded
 * in pfctl's order. What is not known is a flaw with its place; reading goes on at the next line, so that all are found.
 * Never throws.
 *
 * @param file what places call the file
 */
export function parsePf(text: string, file: string, readFile: ReadFile = () => undefined): ParseResult {
  return new Parser(readFile).run(text, file);
}

class Parser {
  private readonly macros = new Map<string, string>();
  private readonly flaws: PfFlaw[] = [];
  private readonly out = {
    macros: [] as Mutable<Ruleset['macros'][number]>[],
    options: [] as Ruleset['options'][number][],
    tables: [] as Table[],
    ether: [] as EtherRule[],
    queues: [] as Ruleset['queues'][number][],
    loads: [] as Ruleset['loads'][number][],
    skip: [] as string[],
    rules: [] as Ruleset['rules'][number][],
  };
  private lexer: Lexer;
  private token: Token;
  private section: Section = 'options';
  private requireOrder = true;
  private blockPolicy: BlockPolicy['kind'] = 'drop';
  private statePolicy: 'if-bound' | 'floating' = 'floating';
  private stateDefaults: StateOptions | undefined;
  private depth = 0;

  constructor(private readonly readFile: ReadFile) {
    this.lexer = new Lexer('', '', this.macros);
    this.token = this.lexer.next();
  }

  run(text: string, file: string): ParseResult {
    this.readText(text, file);
    return { ruleset: this.out, flaws: this.flaws };
  }

  private readText(text: string, file: string): void {
    const [lexer, token] = [this.lexer, this.token];
    this.lexer = new Lexer(text, file, this.macros);
    this.advanceSafely();
    while (!this.atEnd()) {
      if (this.token.type === 'newline') {
        this.advanceSafely();
        continue;
      }
      try {
        this.statement();
        if (!this.atEnd()) this.expect('newline');
      } catch (error) {
        this.recover(error);
      }
    }
    [this.lexer, this.token] = [lexer, token];
  }

  private recover(error: unknown): void {
    if (!(error instanceof PfError)) throw error;
    this.flaws.push(error.flaw);
    while (!this.atLineEnd()) this.advanceSafely();
  }

  private advanceSafely(): void {
    for (;;) {
      try {
        this.advance();
        return;
      } catch (error) {
        if (!(error instanceof PfError)) throw error;
        this.flaws.push(error.flaw);
      }
    }
  }

  // ---- Tokens

  private advance(): Token {
    const token = this.token;
    this.token = this.lexer.next();
    return token;
  }

  private fail(message: string, place: Place = this.token.place): never {
    throw new PfError(place, message);
  }

  private describe(token: Token = this.token): string {
    return token.type === 'newline' || token.type === 'end' ? 'the end of the line' : `"${token.text}"`;
  }

  private expect(type: Token['type']): Token {
    if (this.token.type !== type) this.fail(`${this.describe()} has no place here`);
    return this.advance();
  }

  private is(...words: readonly string[]): boolean {
    return this.token.type === 'keyword' && words.includes(this.token.text);
  }

  private isSymbol(text: string): boolean {
    return this.token.type === 'symbol' && this.token.text === text;
  }

  /** Takes a keyword if it is the next one. */
  private take(word: string): boolean {
    if (!this.is(word)) return false;
    this.advance();
    return true;
  }

  private takeSymbol(text: string): boolean {
    if (!this.isSymbol(text)) return false;
    this.advance();
    return true;
  }

  private need(word: string): void {
    if (!this.take(word)) this.fail(`${this.describe()} stands where "${word}" has to`);
  }

  private needSymbol(text: string): void {
    if (!this.takeSymbol(text)) this.fail(`${this.describe()} stands where "${text}" has to`);
  }

  /** Whether the line is over. */
  private atLineEnd(): boolean {
    const { type } = this.token;
    return type === 'newline' || type === 'end';
  }

  private atEnd(): boolean {
    return this.token.type === 'end';
  }

  private isName(): boolean {
    return this.token.type === 'name' || this.token.type === 'string';
  }

  private name(what: string, longest = Infinity): string {
    if (!this.isName()) this.fail(`${this.describe()} stands where ${what} has to`);
    if (this.token.text.length > longest)
      this.fail(`${what} "${this.token.text}" is too long: ${longest} characters at most`);
    return this.advance().text;
  }

  /** A word of a set that the grammar does not treat as keywords. */
  private word(what: string, choices: readonly string[]): string {
    const { text, place } = this.token;
    const word =
      this.isName() || this.token.type === 'keyword'
        ? this.advance().text
        : this.fail(`${this.describe()} stands where ${what} has to`);
    if (!choices.includes(word))
      this.fail(`${what} cannot be "${text}": it is one of ${choices.join(', ')}`, place);
    return word;
  }

  private number(what: string, low: number, high: number): number {
    const { place, text } = this.token;
    const isNumber = this.token.type === 'number' || (this.isName() && /^(?:0x[0-9a-f]+|\d+)$/i.test(text));
    if (!isNumber) this.fail(`${this.describe()} stands where ${what}, a number, has to`);
    const value = Number(text);
    if (value < low || value > high) this.fail(`${what} must be from ${low} to ${high}, not ${text}`, place);
    this.advance();
    return value;
  }

  private newlines(): void {
    while (this.token.type === 'newline') this.advance();
  }

  /** One item, or a list of them in braces; commas are optional, and lines may end anywhere. */
  private listOf<T>(item: () => T): T[] {
    if (!this.takeSymbol('{')) return [item()];
    const items: T[] = [];
    this.newlines();
    while (!this.isSymbol('}')) {
      if (this.atEnd()) this.fail('the { is never closed');
      items.push(item());
      this.newlines();
      this.takeSymbol(',');
      this.newlines();
    }
    this.advance();
    if (items.length === 0) this.fail('a list cannot be empty');
    return items;
  }

  private parenthesised<T>(item: () => T): T[] {
    this.needSymbol('(');
    const items = [item()];
    for (;;) {
      this.takeSymbol(',');
      if (this.takeSymbol(')')) return items;
      items.push(item());
    }
  }

  // ---- Statements

  private inSection(section: Section, place: Place): void {
    if (this.requireOrder && ORDER.indexOf(section) < ORDER.indexOf(this.section)) {
      this.fail(
        `rules must be in order: ${ORDER.join(', ')}; this is ${section} behind ${this.section}`,
        place,
      );
    }
    this.section = section;
  }

  private statement(): void {
    const { token } = this;
    const { place } = token;
    if (token.type === 'name' || token.type === 'string') {
      this.macro();
      return;
    }
    if (this.isSymbol('{')) this.fail('rules in braces belong to an anchor: anchor "name" {');
    if (token.type !== 'keyword') this.fail(`${this.describe()} begins no statement`);
    switch (token.text) {
      case 'set':
        this.option();
        return;
      case 'table':
        this.table();
        return;
      case 'include':
        this.include();
        return;
      case 'load':
        this.load();
        return;
      case 'antispoof':
        this.inSection('filtering', place);
        this.antispoof();
        return;
      case 'altq':
      case 'queue':
        this.inSection('queueing', place);
        this.queue();
        return;
      case 'ether':
        this.inSection('ethernet', place);
        this.out.ether.push(this.ether());
        return;
      default:
        for (const rule of this.rules()) this.add(rule);
    }
  }

  private add(spec: RuleSpec): void {
    const { rules, flaws } = expandRule(spec);
    this.flaws.push(...flaws);
    this.out.rules.push(...rules);
  }

  private macro(): void {
    const { text: name, place } = this.advance();
    if (!this.isSymbol('=')) this.fail(`"${name}" begins no statement`, place);
    this.advance();
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) this.fail(`"${name}" cannot be the name of a macro`, place);
    const words: string[] = [];
    while (this.isName() || this.token.type === 'number') words.push(this.advance().text);
    if (words.length === 0) this.fail(`the value of the macro ${name} must be a word or quoted text`);
    const value = words.join(' ');
    this.macros.set(name, value);
    this.out.macros.push({ name, value, place });
  }

  private include(): void {
    const { place } = this.advance();
    const path = this.name('the name of a file');
    if (!this.atLineEnd()) this.fail(`${this.describe()} has no place here`);
    const text = this.readFile(path);
    if (text === undefined) this.fail(`the file "${path}" to include is not known`, place);
    if (++this.depth > 16) this.fail('files include each other without end', place);
    this.readText(text, path);
    this.depth--;
  }

  private load(): void {
    const { place } = this.advance();
    this.need('anchor');
    const anchor = this.name('the name of an anchor');
    this.need('from');
    this.out.loads.push({ anchor, file: this.name('the name of a file'), place });
  }

  private option(): void {
    const { place } = this.advance();
    const put = (text: string): void => void this.out.options.push({ text: `set ${text}`, place });
    const inOrder = (): void => {
      this.inSection('options', place);
    };
    const { text: name } = this.token;
    if (this.token.type !== 'keyword' && !this.isName()) this.fail('an option has to follow "set"');
    this.advance();
    switch (name) {
      case 'reassemble': {
        inOrder();
        const value = this.word('reassemble', ['yes', 'no']);
        put(`reassemble ${value}${this.take('no-df') ? ' no-df' : ''}`);
        return;
      }
      case 'optimization':
        inOrder();
        put(
          `optimization ${this.word('optimization', ['default', 'normal', 'high-latency', 'satellite', 'aggressive', 'conservative'])}`,
        );
        return;
      case 'ruleset-optimization':
        put(`ruleset-optimization ${this.word('ruleset-optimization', ['none', 'basic', 'profile'])}`);
        return;
      case 'timeout':
        inOrder();
        for (const text of this.listOf(() => this.timeout())) put(`timeout ${text}`);
        return;
      case 'limit':
        inOrder();
        for (const text of this.listOf(
          () => `${this.word('limit', [...LIMITS])} ${this.number('the limit', 0, 0xffffffff)}`,
        ))
          put(`limit ${text}`);
        return;
      case 'loginterface':
        inOrder();
        put(`loginterface ${this.take('all') ? 'all' : this.name('an interface', MAX.interface)}`);
        return;
      case 'hostid':
        put(`hostid 0x${this.number('hostid', 1, 0xffffffff).toString(16).padStart(8, '0')}`);
        return;
      case 'block-policy':
        inOrder();
        this.blockPolicy = this.word('block-policy', ['drop', 'return']) as 'drop' | 'return';
        put(`block-policy ${this.blockPolicy}`);
        return;
      case 'fail-policy':
        inOrder();
        put(`fail-policy ${this.word('fail-policy', ['drop', 'return'])}`);
        return;
      case 'require-order': {
        const value = this.word('require-order', ['yes', 'no']);
        this.requireOrder = value === 'yes';
        put(`require-order ${value}`);
        return;
      }
      case 'fingerprints':
        inOrder();
        put(`fingerprints "${this.name('the name of a file')}"`);
        return;
      case 'state-policy':
        this.statePolicy = this.word('state-policy', ['if-bound', 'floating']) as 'if-bound' | 'floating';
        put(`state-policy ${this.statePolicy}`);
        return;
      case 'state-defaults':
        if (this.stateDefaults) this.fail('state-defaults is set twice', place);
        this.stateDefaults = this.stateOptions(() => this.atLineEnd());
        put('state-defaults');
        return;
      case 'debug':
        inOrder();
        put(
          `debug ${this.word('debug', ['none', 'urgent', 'misc', 'loud', 'emerg', 'alert', 'crit', 'err', 'warning', 'notice', 'info', 'debug'])}`,
        );
        return;
      case 'skip': {
        this.need('on');
        const names = this.listOf(() => {
          if (this.isSymbol('!')) this.fail('"skip on" takes no negated interface');
          return this.name('an interface', MAX.interface);
        });
        if (names.join() !== 'none') this.out.skip.push(...names);
        put(names.join() === 'none' ? 'skip on none' : `skip on { ${names.join(' ')} }`);
        return;
      }
      case 'keepcounters':
        put('keepcounters');
        return;
      case 'syncookies': {
        const value = this.word('syncookies', ['never', 'always', 'adaptive']);
        const bounds = this.isSymbol('(')
          ? this.parenthesised(
              () => `${this.word('a watermark', ['start', 'end'])} ${this.name('a percentage')}`,
            )
          : [];
        put(`syncookies ${value}${bounds.length > 0 ? ` (${bounds.join(', ')})` : ''}`);
        return;
      }
      default:
        this.fail(`there is no option "${name}"`, place);
    }
  }

  private timeout(): string {
    const name = this.word('timeout', [...TIMEOUTS]);
    return `${name} ${this.number('the timeout', 0, 0xffffffff)}`;
  }

  private table(): void {
    const { place } = this.advance();
    const name = this.tableName();
    const table: Mutable<Table> & { hosts: Host[]; files: string[] } = {
      name,
      place,
      persist: false,
      const: false,
      counters: false,
      initialised: false,
      hosts: [],
      files: [],
    };
    while (!this.atLineEnd()) {
      if (this.isSymbol('{')) {
        this.advance();
        this.newlines();
        while (!this.takeSymbol('}')) {
          if (this.atEnd()) this.fail('the { is never closed', place);
          for (const host of this.host()) {
            if (
              host.address.kind !== 'net' &&
              host.address.kind !== 'interface' &&
              host.address.kind !== 'hostname'
            ) {
              this.fail(
                host.address.kind === 'any'
                  ? '"any" is not permitted inside tables'
                  : `a table holds addresses, not ${KINDS[host.address.kind]}`,
                host.place,
              );
            }
            table.hosts.push(host);
          }
          this.newlines();
          this.takeSymbol(',');
          this.newlines();
        }
        table.initialised = true;
      } else if (this.take('file')) {
        table.files.push(this.name('the name of a file'));
        table.initialised = true;
      } else {
        const option = this.word('a table option', ['persist', 'const', 'counters']) as
          'persist' | 'const' | 'counters';
        table[option] = true;
      }
    }
    if (this.out.tables.some((other) => other.name === name))
      this.fail(`the table <${name}> is defined twice`, place);
    this.out.tables.push(table);
  }

  private tableName(): string {
    this.needSymbol('<');
    const name = this.name('the name of a table', MAX.table);
    this.needSymbol('>');
    return name;
  }

  // ---- Rules

  private rules(): RuleSpec[] {
    const { text, place } = this.token;
    switch (text) {
      case 'pass':
      case 'block':
      case 'match':
        this.inSection('filtering', place);
        return [this.filterRule()];
      case 'anchor':
        this.inSection('filtering', place);
        return [this.anchorRule()];
      case 'scrub':
        this.inSection('normalization', place);
        return [this.scrubRule('scrub')];
      case 'nat':
      case 'rdr':
      case 'binat':
        this.inSection('translation', place);
        return [this.translationRule(text, false)];
      case 'nat-anchor':
      case 'rdr-anchor':
      case 'binat-anchor':
        this.inSection('translation', place);
        return [this.translationAnchor(text)];
      case 'no': {
        this.advance();
        const what = this.token.text;
        if (this.is('scrub')) {
          this.inSection('normalization', place);
          return [this.scrubRule('no scrub', place)];
        }
        if (this.is('nat', 'rdr', 'binat')) {
          this.inSection('translation', place);
          return [this.translationRule(what as 'nat' | 'rdr' | 'binat', true, place)];
        }
        return this.fail(`${this.describe()} cannot follow "no"`);
      }
      default:
        return this.fail(`"${text}" begins no statement`);
    }
  }

  private filterRule(): RuleSpec {
    const { text: action, place } = this.advance();
    const block = action === 'block' ? this.blockSpec() : undefined;
    const direction = this.direction();
    const { log, quick } = this.logQuick();
    const interfaces = this.interfaces();
    const route = this.route();
    const af = this.af();
    const protos = this.protos();
    const fromTo = this.fromTo();
    const { lists, options } = this.filterOptions();
    const flags = this.defaultFlags(action === 'pass', options);
    return {
      place,
      action: action as 'pass' | 'block' | 'match',
      quick,
      interfaces,
      protos,
      ...fromTo,
      ...lists,
      options: flags,
      ...(block && { block }),
      ...(direction && { direction }),
      ...(log && { log }),
      ...(route && { route }),
      ...(af && { af }),
    };
  }

  /** Pass rules keep state, and stateful rules match the first packet of a connection, unless they say otherwise. */
  private defaultFlags(pass: boolean, options: Options): Options {
    const result: Mutable<Options> = { ...options };
    if (pass && options.keep === undefined) {
      result.keep = 'keep';
      if (this.stateDefaults) result.state = { ...this.stateDefaults, ...options.state };
    }
    const stateful = result.keep !== undefined && result.keep !== 'none';
    if (pass && stateful && !options.flags && options.fragment !== true) result.flags = { set: 2, of: 18 };
    if (stateful && result.state.lock === undefined && this.statePolicy === 'if-bound')
      result.state = { ...result.state, lock: 'if-bound' };
    return result;
  }

  private blockSpec(): BlockPolicy {
    if (this.take('drop')) return { kind: 'drop' };
    if (this.take('return-rst')) {
      if (!this.isSymbol('(')) return { kind: 'return-rst' };
      this.advance();
      this.need('ttl');
      const ttl = this.number('ttl', 0, 255);
      this.needSymbol(')');
      return { kind: 'return-rst', ttl };
    }
    if (this.take('return-icmp')) {
      if (!this.takeSymbol('(')) return { kind: 'return-icmp', icmp: UNREACH_PORT, icmp6: UNREACH_PORT6 };
      const icmp = this.returnCode('inet', 3);
      this.takeSymbol(',');
      const icmp6 = this.isSymbol(')') ? UNREACH_PORT6 : this.returnCode('inet6', 1);
      this.needSymbol(')');
      return { kind: 'return-icmp', icmp, icmp6 };
    }
    if (this.take('return-icmp6')) {
      if (!this.takeSymbol('(')) return { kind: 'return-icmp', icmp: UNREACH_PORT, icmp6: UNREACH_PORT6 };
      const icmp6 = this.returnCode('inet6', 1);
      this.needSymbol(')');
      return { kind: 'return-icmp', icmp: UNREACH_PORT, icmp6 };
    }
    const kind = this.take('return') ? 'return' : this.blockPolicy;
    return kind === 'drop' ? { kind } : { kind, icmp: UNREACH_PORT, icmp6: UNREACH_PORT6 };
  }

  private returnCode(af: Af, type: number): number {
    const code = icmpCodes(af, type).get(this.token.text);
    if (this.isName() && code !== undefined) {
      this.advance();
      return (type << 8) | code;
    }
    return (type << 8) | this.number('an ICMP code', 0, 255);
  }

  private direction(): 'in' | 'out' | undefined {
    if (this.take('in')) return 'in';
    return this.take('out') ? 'out' : undefined;
  }

  private logQuick(): { log?: LogSpec; quick: boolean } {
    let quick = this.take('quick');
    const log = this.log();
    quick = this.take('quick') || quick;
    return { quick, ...(log && { log }) };
  }

  private log(): LogSpec | undefined {
    if (!this.take('log')) return undefined;
    const log: Mutable<LogSpec> = { all: false, matches: false, user: false, to: 0 };
    if (!this.isSymbol('(')) return log;
    this.parenthesised(() => {
      if (this.take('all')) log.all = true;
      else if (this.take('matches')) log.matches = true;
      else if (this.take('user') || this.take('group')) log.user = true;
      else {
        this.need('to');
        const { place } = this.token;
        const name = this.name('a pflog interface');
        const unit = /^pflog(\d{1,3})$/.exec(name)?.[1];
        if (unit === undefined || Number(unit) > 255) this.fail(`"${name}" is not a pflog interface`, place);
        log.to = Number(unit);
      }
      return undefined;
    });
    return log;
  }

  private interfaces(): InterfaceSpec[] {
    if (!this.take('on')) return [];
    return this.listOf(() => this.interfaceItem());
  }

  private interfaceItem(): InterfaceSpec {
    const not = this.takeSymbol('!');
    return { not, name: this.name('an interface', MAX.interface) };
  }

  private af(): Af | undefined {
    if (this.take('inet')) return 'inet';
    return this.take('inet6') ? 'inet6' : undefined;
  }

  private protos(): number[] {
    if (!this.take('proto')) return [];
    return this.listOf(() => {
      const { place, text } = this.token;
      const known = this.isName() ? PROTOCOLS.get(text.toLowerCase()) : undefined;
      if (known !== undefined) this.advance();
      else if (this.isName()) this.fail(`the protocol "${text}" is not known`);
      const proto = known ?? this.number('a protocol', 0, 255);
      if (proto === 0) this.fail('protocol 0 cannot be used', place);
      return proto;
    });
  }

  private fromTo(): Pick<RuleSpec, 'from' | 'fromPorts' | 'os' | 'to' | 'toPorts'> {
    if (this.take('all')) return { from: [], fromPorts: [], os: [], to: [], toPorts: [] };
    const from = this.take('from') ? this.peer() : { hosts: [], ports: [] };
    const os = this.take('os') ? this.listOf(() => this.name('an operating system')) : [];
    const to = this.take('to') ? this.peer() : { hosts: [], ports: [] };
    for (const { address, place } of to.hosts)
      if (address.kind === 'urpf-failed') this.fail('"urpf-failed" cannot be a destination', place);
    return { from: from.hosts, fromPorts: from.ports, os, to: to.hosts, toPorts: to.ports };
  }

  private peer(): { hosts: Host[]; ports: Comparison[] } {
    const hosts = this.is('port') ? [] : this.hosts();
    return { hosts, ports: this.take('port') ? this.listOf(() => this.port()) : [] };
  }

  /** Hosts; none for "any". In a list "any" counts for nothing, as in pfctl. */
  private hosts(): Host[] {
    if (this.take('any')) return [];
    if (!this.isSymbol('{')) return this.host();
    return this.listOf(() => (this.is('any') ? this.anyInList() : this.host())).flat();
  }

  private anyInList(): Host[] {
    return this.fail(
      '"any" in a list of addresses is passed over by pfctl: the list would mean only the others',
    );
  }

  /** One host, as a list: it may yet be of two address families. */
  private host(): Host[] {
    const { place } = this.token;
    const not = this.takeSymbol('!');
    return [{ address: this.address(), not, place }];
  }

  private address(): Address {
    if (this.take('no-route')) return { kind: 'no-route' };
    if (this.take('urpf-failed')) return { kind: 'urpf-failed' };
    if (this.isSymbol('<')) return { kind: 'table', name: this.tableName() };
    if (this.takeSymbol('(')) {
      const { place } = this.token;
      const text = this.name('an interface');
      this.needSymbol(')');
      const [name = '', ...modifiers] = text.split(':');
      this.checkModifiers(text, modifiers, place);
      if (!/^[A-Za-z]/.test(name)) this.fail(`"${name}" is not the name of an interface`, place);
      if (name.length > MAX.interface)
        this.fail(`the interface name "${name}" is too long: ${MAX.interface} characters at most`, place);
      const prefix = this.takeSymbol('/') ? this.number('the prefix length', 0, 128) : undefined;
      return { kind: 'dynamic', name, modifiers, ...(prefix !== undefined && { prefix }) };
    }
    const { place, text, type } = this.token;
    if (type === 'number') {
      // As in 10/8: the octets that are left out are zero.
      this.advance();
      this.needSymbol('/');
      const prefix = this.number('the prefix length', 0, 32);
      return this.net(`${text}.0.0.0`, prefix, place);
    }
    const name = this.name('an address');
    if (this.isSymbol('-')) {
      this.advance();
      const low = parseIp(name);
      const end = this.name('an address');
      const high = parseIp(end);
      if (!low || !high || low.af !== high.af)
        this.fail(`"${name} - ${end}" is not a range of addresses`, place);
      if (low.value > high.value) this.fail(`the range ${name} - ${end} is empty`, place);
      return { kind: 'range', af: low.af, low: low.value, high: high.value };
    }
    const prefix = this.takeSymbol('/') ? this.number('the prefix length', 0, 128) : undefined;
    if (parseIp(name)) return this.net(name, prefix, place);
    const short = /^(\d{1,3})(?:\.(\d{1,3}))?(?:\.(\d{1,3}))?$/.exec(name);
    if (short && prefix !== undefined)
      return this.net([short[1], short[2] ?? '0', short[3] ?? '0', '0'].join('.'), prefix, place);
    const [base = '', ...modifiers] = name.split(':');
    const common = prefix === undefined ? {} : { prefix };
    if (/^[A-Za-z][A-Za-z0-9_]*$/.test(base)) {
      this.checkModifiers(name, modifiers, place);
      return { kind: 'interface', name: base, modifiers, ...common };
    }
    if (/^[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?$/.test(name) && /[A-Za-z]/.test(name))
      return { kind: 'hostname', name, ...common };
    return this.fail(`"${name}" is no address`, place);
  }

  private checkModifiers(text: string, modifiers: readonly string[], place: Place): void {
    for (const modifier of modifiers) {
      if (!['network', 'broadcast', 'peer', '0'].includes(modifier))
        this.fail(`"${text}" has a modifier that there is not: ${modifier}`, place);
    }
    if (modifiers.filter((modifier) => modifier !== '0').length > 1)
      this.fail(`"${text}" has modifiers that exclude each other`, place);
  }

  private net(text: string, prefix: number | undefined, place: Place): Address {
    const ip = parseIp(text);
    if (!ip) return this.fail(`"${text}" is no address`, place);
    const width = WIDTH[ip.af];
    if (prefix !== undefined && prefix > width)
      this.fail(`the prefix length ${prefix} is longer than an address`, place);
    const [base] = bounds(ip.af, ip.value, prefix ?? width);
    return { kind: 'net', af: ip.af, base, prefix: prefix ?? width };
  }

  private operator(): Operator | undefined {
    if (this.takeSymbol('=')) return '=';
    if (this.isSymbol('!')) {
      this.advance();
      this.needSymbol('=');
      return '!=';
    }
    for (const symbol of ['<', '>'] as const) {
      if (this.takeSymbol(symbol)) return this.takeSymbol('=') ? `${symbol}=` : symbol;
    }
    return undefined;
  }

  private port(): Comparison {
    const { place } = this.token;
    const op = this.operator();
    const first = this.portRange();
    if (op !== undefined) {
      if (first.high !== undefined) this.fail('":" cannot be used with another port operator', place);
      return { op, low: first.low, high: 0 };
    }
    if (this.isSymbol('<>') || this.isSymbol('><')) {
      const binary = this.advance().text as '<>' | '><';
      const second = this.portRange();
      if (first.high !== undefined || second.high !== undefined)
        this.fail('":" cannot be used with another port operator', place);
      return { op: binary, low: first.low, high: second.low };
    }
    if (first.high !== undefined) return { op: ':', low: first.low, high: first.high };
    return { op: '=', low: first.low, high: 0 };
  }

  /** `n`, `name`, or `n:m` (which the lexer reads as one word). */
  private portRange(): { low: number; high?: number } {
    const { place, text } = this.token;
    if (this.token.type !== 'number' && !this.isName())
      this.fail(`${this.describe()} stands where a port has to`);
    this.advance();
    const [low = '', high, ...rest] = text.split(':');
    if (rest.length > 0) this.fail(`"${text}" is no port`, place);
    const first = this.portNumber(low, place);
    if (high === undefined) return { low: first };
    const second = this.portNumber(high, place);
    if (second < first) this.fail(`the port range ${text} is empty`, place);
    return { low: first, high: second };
  }

  private portNumber(text: string, place: Place): number {
    if (/^\d{1,6}$/.test(text)) {
      if (Number(text) > 65535) this.fail(`the port ${text} is larger than 65535`, place);
      return Number(text);
    }
    return SERVICES.get(text) ?? this.fail(`the service "${text}" is not known`, place);
  }

  private identity(what: 'user' | 'group'): Comparison {
    const { place } = this.token;
    const op = this.operator();
    const low = this.identityNumber(what);
    if (op !== undefined) {
      if (low === -1 && op !== '=' && op !== '!=') this.fail(`${what} unknown takes = or != alone`, place);
      return { op, low, high: 0 };
    }
    if (this.isSymbol('<>') || this.isSymbol('><')) {
      const binary = this.advance().text as '<>' | '><';
      return { op: binary, low, high: this.identityNumber(what) };
    }
    return { op: '=', low, high: 0 };
  }

  private identityNumber(what: 'user' | 'group'): number {
    const { text, place } = this.token;
    if (this.isName()) {
      this.advance();
      if (text === 'unknown') return -1;
      return (
        IDENTITIES[what].get(text) ??
        this.fail(`the ${what} "${text}" is not one of the base system; use its number`, place)
      );
    }
    return this.number(`a ${what}`, 0, 0xfffffffe);
  }

  // ---- Options of filter rules

  private filterOptions(): { lists: Pick<RuleSpec, 'users' | 'groups' | 'icmp'>; options: Options } {
    const lists = { users: [] as Comparison[], groups: [] as Comparison[], icmp: [] as IcmpSpec[] };
    const options: Mutable<Options> & { labels: string[] } = { state: {}, labels: [] };
    const once = (name: keyof Options): void => {
      if (options[name] !== undefined) this.fail(`"${name}" is given twice`);
    };
    for (;;) {
      // pfctl puts a second list before the first.
      if (this.take('user')) lists.users.unshift(...this.listOf(() => this.identity('user')));
      else if (this.take('group')) lists.groups.unshift(...this.listOf(() => this.identity('group')));
      else if (this.is('flags')) {
        once('flags');
        this.advance();
        options.flags = this.tcpFlags();
      } else if (this.is('icmp-type', 'icmp6-type')) {
        if (lists.icmp.length > 0) this.fail('the ICMP type is given twice');
        const family = this.advance().text === 'icmp-type' ? 'inet' : 'inet6';
        lists.icmp.push(...this.listOf(() => this.icmp(family)));
      } else if (this.is('no', 'keep', 'modulate', 'synproxy')) {
        once('keep');
        const word = this.advance().text;
        this.need('state');
        options.keep = word === 'no' ? 'none' : (word as 'keep' | 'modulate' | 'synproxy');
        if (word !== 'no' && this.takeSymbol('(')) {
          options.state = this.stateOptions(() => this.isSymbol(')'));
          this.needSymbol(')');
        }
      } else if (this.take('tos')) options.tos = this.tos();
      else if (this.take('prio')) options.prio = this.number('prio', 0, 7);
      else if (this.take('ridentifier')) options.ridentifier = this.number('ridentifier', 0, 0xffffffff);
      else if (this.take('fragment')) options.fragment = true;
      else if (this.take('allow-opts')) options.allowOpts = true;
      else if (this.take('label')) {
        if (options.labels.length >= 5) this.fail('a rule has five labels at most');
        options.labels.push(this.name('a label', MAX.tag));
      } else if (this.take('queue')) options.queue = this.queueNames();
      else if (this.is('dnpipe', 'dnqueue')) {
        const kind = this.advance().text as 'dnpipe' | 'dnqueue';
        const one = (): number => this.number(kind, 0, 65535);
        options.dnpipe = { kind, numbers: this.isSymbol('(') ? this.parenthesised(one) : [one()] };
      } else if (this.take('tag')) options.tag = this.name('a tag', MAX.tag);
      else if (this.is('tagged') || this.isSymbol('!')) {
        const not = this.takeSymbol('!');
        if (this.take('received-on'))
          options.receivedOn = { name: this.name('an interface', MAX.interface), not };
        else {
          this.need('tagged');
          options.tagged = { name: this.name('a tag', MAX.tag), not };
        }
      } else if (this.take('received-on'))
        options.receivedOn = { name: this.name('an interface', MAX.interface), not: false };
      else if (this.take('probability')) options.probability = this.probability();
      else if (this.take('rtable')) options.rtable = this.number('rtable', 0, 65535);
      else if (this.take('divert-to')) options.divertTo = this.divert();
      else if (this.is('divert-reply')) this.fail('"divert-reply" has no meaning in FreeBSD');
      else if (this.take('max-pkt-rate')) {
        const limit = this.number('max-pkt-rate', 1, 0xffffffff);
        this.needSymbol('/');
        options.maxPktRate = { limit, seconds: this.number('seconds', 1, 0xffffffff) };
      } else if (this.take('max-pkt-size')) options.maxPktSize = this.number('max-pkt-size', 1, 65535);
      else if (this.take('scrub')) {
        this.needSymbol('(');
        options.scrub = this.scrubOptions(() => this.isSymbol(')')).scrub;
        this.needSymbol(')');
      } else if (this.is('no-df', 'min-ttl', 'max-mss', 'set-tos', 'random-id', 'reassemble')) {
        options.scrub = { ...options.scrub, ...this.scrubOption() };
      } else if (this.take('set')) this.sets(options);
      else if (this.take('nat-to')) options.natTo = this.pool(true);
      else if (this.take('rdr-to')) options.rdrTo = this.pool(false);
      else if (this.take('binat-to')) options.binatTo = this.pool(false);
      else if (this.take('af-to')) {
        const af = this.af() ?? this.fail('"af-to" needs an address family');
        this.need('from');
        const from = this.pool(false);
        options.afTo = { af, from, ...(this.take('to') && { to: this.pool(false) }) };
      } else return { lists, options };
    }
  }

  private sets(options: Mutable<Options>): void {
    const one = (): undefined => {
      if (this.take('prio')) {
        const number = (): number => this.number('prio', 0, 7);
        const [first = 0, second = first] = this.isSymbol('(') ? this.parenthesised(number) : [number()];
        options.setPrio = [first, second];
      } else if (this.take('tos')) options.setTos = this.tos();
      else if (this.take('queue')) options.queue = this.queueNames();
      else this.fail(`${this.describe()} cannot follow "set" in a rule`);
      return undefined;
    };
    if (this.isSymbol('(')) this.parenthesised(one);
    else one();
  }

  private queueNames(): string[] {
    const one = (): string => this.name('a queue', MAX.queue);
    return this.isSymbol('(') ? this.parenthesised(one) : [one()];
  }

  private divert(): number {
    if (this.isName() && (parseIp(this.token.text) || this.token.text === 'localhost')) {
      this.advance();
      this.need('port');
    }
    const { place } = this.token;
    const { low } = this.portRange();
    if (low === 0) this.fail('the divert port cannot be 0', place);
    return low;
  }

  private probability(): number {
    const { text, place } = this.token;
    const match = /^(\d+(?:\.\d+)?)(%?)$/.exec(text);
    if ((this.token.type !== 'number' && !this.isName()) || !match)
      return this.fail(`${this.describe()} is no probability`);
    this.advance();
    const value = Number(match[1]) * (match[2] === '%' ? 0.01 : 1);
    if (value < 0 || value > 1) this.fail('a probability is from 0% to 100%', place);
    return value;
  }

  private tos(): number {
    const names: Readonly<Record<string, number>> = {
      lowdelay: 0x10,
      throughput: 0x08,
      reliability: 0x04,
      critical: 0xa0,
      inetcontrol: 0xc0,
      netcontrol: 0xe0,
      ef: 0xb8,
      va: 0xb0,
    };
    const known = this.isName() ? (names[this.token.text] ?? dscp(this.token.text)) : undefined;
    if (known !== undefined) {
      this.advance();
      return known;
    }
    return this.number('tos', 0, 255);
  }

  private tcpFlags(): { set: number; of: number } {
    if (this.take('any')) return { set: 0, of: 0 };
    const { place } = this.token;
    const set = this.isSymbol('/') ? 0 : this.flagSet();
    this.needSymbol('/');
    const of = this.flagSet();
    if ((set & of) !== set) this.fail('these flags can never match', place);
    return { set, of };
  }

  private flagSet(): number {
    const { place } = this.token;
    const text = this.name('TCP flags');
    let bits = 0;
    for (const letter of Array.from(text)) {
      const index = TCP_FLAGS.indexOf(letter);
      if (index < 0) this.fail(`"${text}" are no TCP flags: ${TCP_FLAGS} there are`, place);
      bits |= 1 << index;
    }
    return bits;
  }

  private icmp(family: Af): IcmpSpec {
    const types = family === 'inet' ? ICMP_TYPES : ICMP6_TYPES;
    const named = this.isName() || this.token.type === 'keyword' ? types.get(this.token.text) : undefined;
    if (named !== undefined) this.advance();
    else if (this.isName()) this.fail(`the ICMP type "${this.token.text}" is not known`);
    const type = named ?? this.number('an ICMP type', 0, 255);
    if (!this.take('code')) return { family, type };
    const code = icmpCodes(family, type).get(this.token.text);
    if (this.isName()) {
      if (code === undefined) this.fail(`the ICMP code "${this.token.text}" is not known for this type`);
      this.advance();
      return { family, type, code };
    }
    return { family, type, code: this.number('an ICMP code', 0, 255) };
  }

  private stateOptions(atEnd: () => boolean): StateOptions {
    const state: Mutable<StateOptions> = {};
    const timeouts: Record<string, number> = {};
    const set = <K extends keyof StateOptions>(name: K, value: StateOptions[K]): void => {
      if (state[name] !== undefined) this.fail(`the state option "${name}" is given twice`);
      state[name] = value;
    };
    const positive = (what: string): number => this.number(what, 1, 0xffffffff);
    while (!atEnd()) {
      if (this.take('max')) set('max', this.number('max', 0, 0xffffffff));
      else if (this.take('no-sync')) set('noSync', true);
      else if (this.take('max-src-states')) set('maxSrcStates', positive('max-src-states'));
      else if (this.take('max-src-conn')) set('maxSrcConn', positive('max-src-conn'));
      else if (this.take('max-src-nodes')) set('maxSrcNodes', positive('max-src-nodes'));
      else if (this.take('max-src-conn-rate')) {
        const limit = positive('max-src-conn-rate');
        this.needSymbol('/');
        set('maxSrcConnRate', { limit, seconds: positive('max-src-conn-rate') });
      } else if (this.take('overload')) {
        const table = this.tableName();
        const flush = this.take('flush');
        set('overload', { table, flush, global: flush && this.take('global') });
      } else if (this.take('source-track'))
        set('sourceTrack', this.take('rule') ? 'rule' : this.take('global') ? 'global' : 'default');
      else if (this.take('if-bound')) set('lock', 'if-bound');
      else if (this.take('floating')) set('lock', 'floating');
      else if (this.take('sloppy')) set('sloppy', true);
      else if (this.take('pflow')) set('pflow', true);
      else {
        const { place, text } = this.token;
        if (!this.isName() || !TIMEOUTS.has(text) || !text.includes('.'))
          this.fail(`${this.describe()} is no state option`);
        this.advance();
        if (timeouts[text] !== undefined) this.fail(`the timeout ${text} is given twice`, place);
        timeouts[text] = this.number('the timeout', 0, 0xffffffff);
      }
      this.takeSymbol(',');
    }
    return Object.keys(timeouts).length > 0 ? { ...state, timeouts } : state;
  }

  // ---- Anchors, normalisation, translation

  /** What a rule is about, in the order in which all but filter rules say it: those have a route in between. */
  private match(): Pick<
    RuleSpec,
    'interfaces' | 'af' | 'protos' | 'from' | 'fromPorts' | 'os' | 'to' | 'toPorts'
  > {
    const interfaces = this.interfaces();
    const af = this.af();
    return { interfaces, ...(af && { af }), protos: this.protos(), ...this.fromTo() };
  }

  private isTagged(): boolean {
    return this.is('tagged') || this.isSymbol('!');
  }

  private tagged(): NonNullable<Options['tagged']> {
    const not = this.takeSymbol('!');
    this.need('tagged');
    return { name: this.name('a tag', MAX.tag), not };
  }

  private anchorRule(): RuleSpec {
    const { place } = this.advance();
    const name = this.isName() ? this.advance().text : undefined;
    if (name !== undefined && (name.startsWith('_') || name.includes('/_')))
      this.fail('anchor names that begin with _ are reserved', place);
    const direction = this.direction();
    const quick = this.take('quick');
    const match = this.match();
    const { lists, options } = this.filterOptions();
    if (options.keep !== undefined) this.fail('an anchor takes no state options', place);
    const inner = this.isSymbol('{') ? this.braces(place) : undefined;
    if (inner && name?.includes('/') === true)
      this.fail('an anchor with rules of its own cannot have a / in its name', place);
    if (!inner && name === undefined) this.fail('an anchor without rules of its own needs a name', place);
    return {
      place,
      action: 'anchor',
      quick,
      ...match,
      ...lists,
      options,
      anchor: { name: name ?? '', inline: inner !== undefined },
      ...(inner && { inner }),
      ...(direction && { direction }),
    };
  }

  private braces(place: Place): RuleSpec[] {
    if (++this.depth > 16) this.fail('anchors are nested too deeply', place);
    this.advance();
    const inner: RuleSpec[] = [];
    if (this.token.type !== 'newline') this.fail('a line has to end behind the { of an anchor');
    for (;;) {
      this.newlines();
      if (this.takeSymbol('}')) {
        this.depth--;
        return inner;
      }
      if (this.atEnd()) this.fail('the { of the anchor is never closed', place);
      inner.push(...this.rules());
      if (this.atEnd()) this.fail('the { of the anchor is never closed', place);
      if (!this.atLineEnd()) this.fail(`${this.describe()} has no place here`);
    }
  }

  private scrubRule(action: 'scrub' | 'no scrub', start?: Place): RuleSpec {
    const token = this.advance();
    const place = start ?? token.place;
    const direction = this.direction();
    const { log, quick } = this.logQuick();
    if (quick) this.fail('scrub rules do not know "quick"', place);
    const match = this.match();
    const { scrub, tagged, rtable } = this.scrubOptions(() => this.atLineEnd());
    if (scrub.reassembleTcp === true && direction) this.fail('"reassemble tcp" takes no direction', place);
    return {
      place,
      action,
      quick: false,
      ...match,
      ...NO_LISTS,
      options: {
        state: {},
        labels: [],
        scrub,
        ...(tagged && { tagged }),
        ...(rtable !== undefined && { rtable }),
      },
      ...(direction && { direction }),
      ...(log && { log }),
    };
  }

  private scrubOptions(atEnd: () => boolean): {
    scrub: ScrubOptions;
    tagged?: { name: string; not: boolean };
    rtable?: number;
  } {
    let scrub: ScrubOptions = {};
    const more: { tagged?: { name: string; not: boolean }; rtable?: number } = {};
    while (!atEnd()) {
      if (this.isTagged()) more.tagged = this.tagged();
      else if (this.take('rtable')) more.rtable = this.number('rtable', 0, 65535);
      else scrub = { ...scrub, ...this.scrubOption() };
      this.takeSymbol(',');
    }
    return { scrub, ...more };
  }

  private scrubOption(): ScrubOptions {
    if (this.take('no-df')) return { noDf: true };
    if (this.take('random-id')) return { randomId: true };
    if (this.take('min-ttl')) return { minTtl: this.number('min-ttl', 0, 255) };
    if (this.take('max-mss')) return { maxMss: this.number('max-mss', 0, 65535) };
    if (this.take('set-tos')) return { setTos: this.tos() };
    if (this.take('reassemble')) {
      this.word('what to reassemble', ['tcp']);
      return { reassembleTcp: true };
    }
    if (this.take('fragment')) {
      if (this.take('no')) {
        this.need('reassemble');
        return { fragmentReassemble: false };
      }
      this.need('reassemble');
      return { fragmentReassemble: true };
    }
    return this.fail(`${this.describe()} is no scrub option`);
  }

  private translationRule(kind: 'nat' | 'rdr' | 'binat', no: boolean, start?: Place): RuleSpec {
    const token = this.advance();
    const place = start ?? token.place;
    const natPass = this.take('pass');
    if (no && natPass) this.fail('"pass" cannot be with "no"', place);
    const log = this.log();
    const match = this.match();
    const options: Mutable<Options> = { state: {}, labels: [] };
    if (this.take('tag')) options.tag = this.name('a tag', MAX.tag);
    if (this.isTagged()) options.tagged = this.tagged();
    if (this.take('rtable')) options.rtable = this.number('rtable', 0, 65535);
    let pool: Pool | undefined;
    if (this.takeSymbol('->')) pool = this.pool(kind === 'nat');
    if (no && pool) this.fail('a translation rule with "no" takes no "->"', place);
    if (!no && !pool) this.fail('a translation rule needs "-> address"', place);
    if (kind === 'binat' && (match.from.length > 1 || match.to.length > 1))
      this.fail('binat takes one address', place);
    if (kind === 'binat' && pool && pool.hosts.length !== 1) this.fail('binat takes one address', place);
    return {
      place,
      action: no ? `no ${kind}` : kind,
      quick: false,
      ...match,
      ...NO_LISTS,
      options,
      ...(natPass && { natPass }),
      ...(log && { log }),
      ...(pool && { pool }),
    };
  }

  private translationAnchor(action: 'nat-anchor' | 'rdr-anchor' | 'binat-anchor'): RuleSpec {
    const { place } = this.advance();
    const name = this.name('the name of an anchor');
    const match = this.match();
    const rtable = this.take('rtable') ? this.number('rtable', 0, 65535) : undefined;
    if (action === 'rdr-anchor' && match.fromPorts.length > 0)
      this.fail('rdr-anchor takes no source port', place);
    return {
      place,
      action,
      quick: false,
      ...match,
      ...NO_LISTS,
      options: { state: {}, labels: [], ...(rtable !== undefined && { rtable }) },
      anchor: { name, inline: false },
    };
  }

  private route(): RuleSpec['route'] {
    if (this.take('fastroute')) return undefined;
    if (!this.is('route-to', 'reply-to', 'dup-to')) return undefined;
    const kind = this.advance().text as 'route-to' | 'reply-to' | 'dup-to';
    const hosts: Host[] = [];
    const interfaces: (string | undefined)[] = [];
    for (const target of this.listOf(() => this.routeHost())) {
      hosts.push(target.host);
      interfaces.push(target.interface);
    }
    return { kind, pool: { hosts, interfaces, ...this.poolOptions(false) } };
  }

  private routeHost(): { host: Host; interface?: string } {
    const { place } = this.token;
    if (this.takeSymbol('(')) {
      const name = this.name('an interface', MAX.interface);
      const [host] = this.host();
      this.needSymbol(')');
      return { host: host ?? this.fail('an address is missing', place), interface: name };
    }
    return { host: { address: this.address(), not: false, place } };
  }

  private pool(nat: boolean): Pool {
    const hosts = this.listOf(() => this.host()).flat();
    let port: Pool['port'];
    if (this.take('port')) {
      const { text, place } = this.token;
      if (/^[^:]+:\*$/.test(text)) {
        this.advance();
        port = { low: this.portNumber(text.slice(0, -2), place), high: '*' };
      } else {
        const range = this.portRange();
        port = { low: range.low, high: range.high ?? range.low };
        if (this.isSymbol('*')) this.fail('"*" is read with its port: 1000:*');
      }
    }
    const options = this.poolOptions(nat);
    if (port && options.staticPort === true) this.fail('"static-port" cannot be with a port');
    if (options.mape && (port || options.staticPort === true))
      this.fail('"map-e-portset" cannot be with a port or "static-port"');
    this.checkPool(hosts, options.type);
    return { hosts, interfaces: hosts.map(() => undefined), ...(port && { port }), ...options };
  }

  /** Only some pool types take addresses that come and go (apply_redirspec() of parse.y). */
  private checkPool(hosts: readonly Host[], type: Pool['type']): void {
    if (type !== 'bitmask') return;
    for (const { address, place } of hosts) {
      if (address.kind === 'table' || address.kind === 'dynamic')
        this.fail(`the pool type ${type} does not take ${KINDS[address.kind] ?? ''}`, place);
    }
  }

  private poolOptions(nat: boolean): Omit<Pool, 'hosts' | 'interfaces'> {
    const options: Mutable<Omit<Pool, 'hosts' | 'interfaces'>> = {};
    for (;;) {
      if (this.is('bitmask', 'random', 'round-robin', 'source-hash')) {
        if (options.type) this.fail('the pool type is given twice');
        options.type = this.advance().text as NonNullable<Pool['type']>;
        if (options.type === 'source-hash' && this.isName()) {
          const { place, text } = this.token;
          if (text.startsWith('0x') && !/^0x[0-9a-f]{32}$/i.test(text))
            this.fail('a hexadecimal key has 32 digits', place);
          options.key = this.advance().text;
        }
      } else if (this.take('sticky-address')) options.sticky = true;
      else if (this.take('prefer-ipv6-nexthop')) options.preferIpv6Nexthop = true;
      else if (this.is('static-port')) {
        if (!nat) this.fail('"static-port" is for nat rules alone');
        this.advance();
        options.staticPort = true;
      } else if (this.is('endpoint-independent')) {
        if (!nat) this.fail('"endpoint-independent" is for nat rules alone');
        this.advance();
        options.endpointIndependent = true;
      } else if (this.is('map-e-portset')) {
        if (!nat) this.fail('"map-e-portset" is for nat rules alone');
        this.advance();
        const first = this.number('the PSID offset', 1, 15);
        this.needSymbol('/');
        const second = this.number('the PSID length', 1, 15);
        this.needSymbol('/');
        options.mape = [first, second, this.number('the PSID', 0, 65535)];
      } else return options;
    }
  }

  private antispoof(): void {
    const { place } = this.advance();
    const { log, quick } = this.logQuick();
    this.need('for');
    const interfaces = this.listOf(() => {
      const dynamic = this.takeSymbol('(');
      const name = this.name('an interface', MAX.interface);
      if (dynamic) this.needSymbol(')');
      return { name, dynamic };
    });
    const af = this.af();
    const options: Mutable<Options> & { labels: string[] } = { state: {}, labels: [] };
    for (;;) {
      if (this.take('label')) options.labels.push(this.name('a label', MAX.tag));
      else if (this.take('ridentifier')) options.ridentifier = this.number('ridentifier', 0, 0xffffffff);
      else if (this.take('rtable')) options.rtable = this.number('rtable', 0, 65535);
      else break;
    }
    const common = {
      place,
      action: 'block' as const,
      block: { kind: 'drop' as const },
      direction: 'in' as const,
      quick,
      protos: [],
      fromPorts: [],
      os: [],
      to: [],
      toPorts: [],
      ...NO_LISTS,
      options,
      ...(log && { log }),
      ...(af && { af }),
    };
    for (const { name, dynamic } of interfaces) {
      const host = (modifiers: readonly string[]): Host => ({
        address: { kind: dynamic ? 'dynamic' : 'interface', name, modifiers },
        not: false,
        place,
      });
      this.add({ ...common, interfaces: [{ name, not: true }], from: [host(['network'])] });
      if (!/^lo\d*$/.test(name)) this.add({ ...common, interfaces: [], from: [host([])] });
    }
  }

  // ---- Queues and Ethernet rules: read whole, kept as text

  private queue(): void {
    const { text: kind, place } = this.advance();
    const words = [kind];
    if (kind === 'queue') words.push(this.name('the name of a queue', MAX.queue));
    if (kind === 'altq' && !this.is('on')) this.fail('altq needs an interface');
    const interfaces = this.interfaces();
    if (interfaces.some(({ not }) => not)) this.fail('a queue takes no negated interface', place);
    if (interfaces.length > 0) words.push('on', interfaces.map(({ name }) => name).join(' '));
    let scheduler = false;
    for (;;) {
      if (this.take('bandwidth')) words.push('bandwidth', this.bandwidth());
      else if (this.take('priority')) words.push('priority', String(this.number('priority', 0, 255)));
      else if (this.take('qlimit')) words.push('qlimit', String(this.number('qlimit', 0, 65535)));
      else if (this.is('tbrsize')) {
        if (kind === 'queue') this.fail('"tbrsize" is for altq alone');
        this.advance();
        words.push('tbrsize', String(this.number('tbrsize', 0, 0xffffffff)));
      } else if (this.is('cbq', 'priq', 'hfsc', 'fairq', 'codelq')) {
        if (scheduler) this.fail('the scheduler is given twice');
        scheduler = true;
        const name = this.advance().text;
        words.push(
          this.isSymbol('(')
            ? `${name}(${this.parenthesised(() => this.schedulerOption(name)).join(', ')})`
            : name,
        );
      } else break;
    }
    if (kind === 'altq') {
      if (!scheduler) this.fail('altq needs a scheduler', place);
      this.need('queue');
    }
    if (this.isName() || this.isSymbol('{')) {
      const children = this.listOf(() => this.name('the name of a queue', MAX.queue));
      words.push(...(kind === 'altq' ? ['queue'] : []), `{ ${children.join(' ')} }`);
    }
    this.out.queues.push({ text: words.join(' '), place });
  }

  private bandwidth(): string {
    const { text, place } = this.token;
    const good =
      this.token.type === 'number'
        ? Number(text) >= 0
        : this.isName() && /^\d+(?:\.\d+)?(?:b|[KMG](?:b|B|bit|Bit)?|%)$/.test(text);
    if (!good) this.fail(`${this.describe()} is no bandwidth`);
    if (text.endsWith('%') && Number(text.slice(0, -1)) > 100)
      this.fail('a bandwidth is 100% at most', place);
    return this.advance().text;
  }

  private schedulerOption(scheduler: string): string {
    if (this.is('linkshare', 'realtime', 'upperlimit')) {
      const curve = this.advance().text;
      if (!this.isSymbol('(')) return `${curve} ${this.bandwidth()}`;
      return `${curve} (${this.parenthesised(() => this.bandwidth()).join(' ')})`;
    }
    if (this.is('interval', 'target', 'buckets'))
      return `${this.advance().text} ${this.number('a number', 0, 0xffffffff)}`;
    if (this.take('hogs')) return `hogs ${this.bandwidth()}`;
    const flags: Readonly<Record<string, readonly string[]>> = {
      cbq: ['default', 'borrow', 'red', 'ecn', 'rio', 'codel'],
      priq: ['default', 'red', 'ecn', 'rio', 'codel'],
      hfsc: ['default', 'red', 'ecn', 'rio', 'codel'],
      fairq: ['default', 'red', 'ecn', 'rio', 'codel'],
      codelq: ['ecn'],
    };
    return this.word(`an option of ${scheduler}`, flags[scheduler] ?? []);
  }

  private ether(): EtherRule {
    const { place } = this.advance();
    const words = ['ether'];
    const anchor = this.is('anchor');
    let action: EtherRule['action'] = 'anchor';
    if (anchor) {
      this.advance();
      words.push('anchor');
      if (this.isName()) words.push(`"${this.advance().text}"`);
    } else {
      if (!this.is('pass', 'block')) this.fail(`${this.describe()} stands where "pass" or "block" has to`);
      action = this.advance().text as 'pass' | 'block';
      words.push(action);
    }
    const direction = this.direction();
    if (direction) words.push(direction);
    if (this.take('quick')) words.push('quick');
    for (const { name, not } of this.interfaces()) words.push('on', `${not ? '! ' : ''}${name}`);
    if (this.take('bridge-to')) words.push('bridge-to', this.name('an interface', MAX.interface));
    if (this.take('proto')) {
      const protos = this.listOf(() => this.number('an Ethernet protocol', 1, 65535));
      words.push('proto', protos.map((proto) => `0x${proto.toString(16).padStart(4, '0')}`).join(' '));
    }
    if (!this.take('all')) {
      for (const side of ['from', 'to'] as const) {
        if (!this.take(side)) continue;
        words.push(side, this.listOf(() => this.mac()).join(' '));
      }
    }
    if (!this.is('l3')) words.push(...(anchor ? [] : ['l3', 'all']));
    else {
      this.advance();
      words.push('l3');
      const { from, to } = this.fromTo();
      for (const { address, place: at } of [...from, ...to])
        if (address.kind !== 'net' && address.kind !== 'table')
          this.fail('"l3" takes addresses and tables', at);
    }
    for (;;) {
      if (this.take('tag')) words.push('tag', this.name('a tag', MAX.tag));
      else if (this.isTagged()) {
        const { name, not } = this.tagged();
        words.push(`${not ? '! ' : ''}tagged`, name);
      } else if (this.take('queue')) words.push('queue', this.queueNames().join(' '));
      else if (this.take('label')) words.push('label', `"${this.name('a label', MAX.tag)}"`);
      else if (this.take('ridentifier'))
        words.push('ridentifier', String(this.number('ridentifier', 0, 0xffffffff)));
      else if (this.is('dnpipe', 'dnqueue'))
        words.push(this.advance().text, String(this.number('a number', 0, 65535)));
      else break;
    }
    if (anchor && this.isSymbol('{')) {
      this.advance();
      this.newlines();
      while (!this.takeSymbol('}')) {
        if (this.atEnd()) this.fail('the { of the anchor is never closed', place);
        if (!this.is('ether')) this.fail('an Ethernet anchor holds Ethernet rules');
        words.push(`{ ${this.ether().text} }`);
        this.newlines();
      }
    }
    return { place, text: words.join(' '), action };
  }

  private mac(): string {
    const not = this.takeSymbol('!');
    const { place } = this.token;
    const text = this.name('a hardware address');
    const [mac = '', mask] = text.split('&');
    const pattern = /^(?:[0-9a-f]{1,2}:){5}[0-9a-f]{1,2}$/i;
    if (!pattern.test(mac) || (mask !== undefined && !pattern.test(mask)))
      this.fail(`"${text}" is no hardware address`, place);
    const bits = this.takeSymbol('/') ? `/${this.number('the mask length', 0, 48)}` : '';
    return `${not ? '! ' : ''}${text}${bits}`;
  }
}

/** Of a rule that takes none of these. */
const NO_LISTS = { users: [], groups: [], icmp: [] } as const;

const KINDS: Readonly<Record<string, string>> = {
  dynamic: 'an interface in parentheses',
  table: 'a table',
  range: 'a range',
  'no-route': '"no-route"',
  'urpf-failed': '"urpf-failed"',
};

/** Users and groups of the base system (/etc/master.passwd, /etc/group) that rule sets name. */
const identities = (text: string): ReadonlyMap<string, number> =>
  new Map(
    text.split(' ').map((pair) => {
      const [name = '', id = ''] = pair.split('=');
      return [name, Number(id)];
    }),
  );
const IDENTITIES = {
  user: identities(
    'root=0 daemon=1 operator=2 bin=3 sshd=22 smmsp=25 mailnull=26 bind=53 unbound=59 proxy=62 _pflogd=64 _dhcp=65 uucp=66 pop=68 auditdistd=78 www=80 ntpd=123 nobody=65534',
  ),
  group: identities(
    'wheel=0 daemon=1 kmem=2 sys=3 tty=4 operator=5 mail=6 bin=7 sshd=22 bind=53 unbound=59 proxy=62 authpf=63 _pflogd=64 _dhcp=65 www=80 ntpd=123 nogroup=65533 nobody=65534',
  ),
};

/** Differentiated services code points by name (RFC 2474, RFC 2597), shifted into the TOS byte. */
function dscp(name: string): number | undefined {
  const af = /^af([1-4])([1-3])$/.exec(name);
  if (af) return (Number(af[1]) << 5) | (Number(af[2]) << 3);
  const cs = /^cs([0-7])$/.exec(name);
  return cs ? Number(cs[1]) << 5 : undefined;
}
