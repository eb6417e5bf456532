import { LIMITS, readLimit } from './limits.js';
import type { Amount, JailLimits } from './limits.js';
import { contains, parseNetwork4, toNumber, toText } from './net.js';
import type { Readings, Span, Word, Wrong } from './reading.js';
import type { Tenant } from './tenants.js';

export const JAIL_NETWORKS = ['plain', 'vnet'] as const;
export type JailNetwork = (typeof JAIL_NETWORKS)[number];

/** A line of JAILS: what it says, and where it stands. */
export interface JailEntry {
  readonly name: string;
  readonly tenant: string | undefined;
  readonly network: JailNetwork | undefined;
  /** `none` for a jail without one. */
  readonly template: string | undefined;
  readonly address: string | undefined;
  readonly limits: Partial<JailLimits>;
  readonly span: Span;
}

/** A jail of the plan, with all that JAILS leaves open decided. */
export interface Jail extends JailLimits {
  readonly name: string;
  readonly tenant: string;
  readonly network: JailNetwork;
  readonly address: string;
  readonly template: string;
}

/**
 * The longest name of a jail: Bastille calls the host's end of its network card `e0a_<name>`, and an interface name
 * has 15 bytes (IFNAMSIZ - 1, net/if.h).
 */
const NAME_MAX = 11;
const NAME = /^[a-z](?:[a-z0-9]*)$/;
/** The most jails of an instance, and the most lines of which it is told what is wrong. */
const MOST = 64;
/** Words behind a name that are read. A line can say seven things, so one of more words is refused for these. */
const MOST_WORDS = 16;

const SYNTAX =
  '"[tenant/]name [plain|vnet] [template=user/name] [address=…] [memory=…] [processes=…] [cpu=…] [disk=…]"';

/**
 * Reads the text of JAILS: one line a jail. Never throws; all that is wrong comes, each with its place.
 */
export function readJails(text: string): Readings<readonly JailEntry[]> {
  const entries: JailEntry[] = [];
  const wrong: Wrong[] = [];
  const names = new Set<string>();
  let start = 0;
  for (const line of text.split('\n')) {
    const words = [...line.matchAll(/\S+/g)].map((match) => ({
      text: match[0],
      span: { start: start + match.index, length: match[0].length },
    }));
    start += line.length + 1;
    const [first, ...rest] = words;
    if (!first || first.text.startsWith('#')) continue;
    if (entries.length === MOST) {
      wrong.push({ message: `has more than ${MOST} jails`, fix: 'remove some', span: first.span });
      break;
    }
    const entry = readLine(first, rest, wrong);
    if (names.has(entry.name))
      wrong.push({
        message: `names the jail ${entry.name} twice; jails of all tenants share their names`,
        fix: 'give every jail a name of its own',
        span: first.span,
      });
    names.add(entry.name);
    entries.push(entry);
  }
  return wrong.length > 0 ? { wrong } : { value: entries };
}

/** Reads a line. What is wrong with it goes to `wrong`; the jail is then one that nobody uses. */
function readLine(first: Word, rest: readonly Word[], wrong: Wrong[]): JailEntry {
  const refuse = ({ span }: Word, message: string, fix: string): void =>
    void wrong.push({ message, fix, span });
  const [name = '', tenant, ...more] = first.text.split('/').reverse();
  if (more.length > 0 || tenant === '' || !NAME.test(name) || name.length > NAME_MAX)
    refuse(
      first,
      `must begin each line with "name" or "tenant/name", a name of 1 to ${NAME_MAX} lower-case letters and digits, a letter first: its network card is called e0a_<name>`,
      'write it as "worker" or "natasha/worker"',
    );
  else if (name === 'all')
    refuse(first, 'cannot name a jail "all": that is all of them to bastille(8)', 'choose another name');
  let network: JailNetwork | undefined;
  let template: string | undefined;
  let address: string | undefined;
  const limits: { -readonly [K in keyof JailLimits]?: JailLimits[K] } = {};
  const seen = new Set<string>();
  for (const word of rest.slice(0, MOST_WORDS)) {
    const { text } = word;
    const [key = '', value] = text.split(/=(.*)/s);
    const named = value === undefined ? 'network' : key;
    const strange = (what: string): void => {
      refuse(word, `has "${what}" in the line of ${name}, which is not understood`, `write ${SYNTAX}`);
    };
    if (value === undefined) {
      const known = JAIL_NETWORKS.find((each) => each === text);
      if (known === undefined) {
        strange(text);
        continue;
      }
      network = known;
    }
    if (seen.has(named)) {
      refuse(word, `says ${named} of ${name} twice`, 'remove one of them');
      continue;
    }
    seen.add(named);
    if (value === undefined) continue;
    if (key === 'template') {
      if (value !== 'none' && !/^[A-Za-z0-9][\w.-]{0,63}\/[A-Za-z0-9][\w.-]{0,63}$/.test(value))
        refuse(word, `names a template "${value}"`, 'write it as template=clawdie/worker, or template=none');
      template = value;
    } else if (key === 'address') {
      if (toNumber(value) === undefined)
        refuse(word, `has no IPv4 address in "${text}"`, 'write it as address=192.168.100.20');
      address = value;
    } else if (Object.hasOwn(LIMITS, key)) {
      const limit = key as keyof JailLimits;
      const result = readLimit(limit, value);
      if ('value' in result) Object.assign(limits, { [limit]: result.value });
      else refuse(word, `${limit} ${result.message}`, `write it as ${LIMITS[limit].sample}`);
    } else strange(key);
  }
  return { name, tenant, network, template, address, limits, span: first.span };
}

/** The release of jails as Bastille names it: that of the image, without a patch level. */
export function jailRelease(version: string): string {
  return version.replace(/-p[0-9]+$/, '');
}

/** The first address of a net that a jail gets by itself: those below are left for other uses. */
const FIRST = 10;

/** The template of a jail that names none. */
const TEMPLATE: Readonly<Record<JailNetwork, string>> = {
  plain: 'clawdie/worker',
  vnet: 'clawdie/vnet-worker',
};

/**
 * Decides what JAILS leaves open: tenant, network, address, template and limits of each jail.
 *
 * @param tenants of the host; the first is the assistant, whose jails name no tenant
 */
export function planJails(
  entries: readonly JailEntry[],
  tenants: readonly Tenant[],
  defaults: { readonly network: JailNetwork; readonly limits: JailLimits },
): readonly Jail[] | (Wrong & { readonly span: Span }) {
  const taken = new Map<string, string>();
  const homes: { entry: JailEntry; tenant: Tenant }[] = [];
  for (const entry of entries) {
    const tenant = tenants.find(({ name }, index) =>
      entry.tenant === undefined ? index === 0 : name === entry.tenant,
    );
    if (!tenant)
      return {
        message: `JAILS has a jail of ${entry.tenant ?? ''}, which is no tenant`,
        fix: `name one of ${tenants.map(({ name }) => name).join(', ')}, or put it into TENANTS`,
        span: entry.span,
      };
    homes.push({ entry, tenant });
    if (entry.address === undefined) continue;
    const net = parseNetwork4(tenant.net);
    const number = toNumber(entry.address) ?? 0;
    if (!net || !contains(net, { base: number, prefix: 32 }) || [0, 1, 255].includes(number - net.base))
      return {
        message: `JAILS gives ${entry.name} the address ${entry.address}, which is not for jails of ${tenant.name}`,
        fix: `choose one of ${tenant.net}, but not its first two and its last: the network, the host, the broadcast address`,
        span: entry.span,
      };
    const other = taken.get(entry.address);
    if (other !== undefined)
      return {
        message: `JAILS gives ${entry.address} to ${other} and to ${entry.name}`,
        fix: 'give every jail an address of its own',
        span: entry.span,
      };
    taken.set(entry.address, entry.name);
  }
  const jails: Jail[] = [];
  for (const { entry, tenant } of homes) {
    const address = entry.address ?? freeAddress(tenant, taken);
    if (address === undefined)
      return {
        message: `JAILS has more jails of ${tenant.name} than ${tenant.net} has addresses`,
        fix: 'remove some',
        span: entry.span,
      };
    taken.set(address, entry.name);
    const network = entry.network ?? defaults.network;
    jails.push({
      name: entry.name,
      tenant: tenant.name,
      network,
      address,
      template: entry.template ?? TEMPLATE[network],
      ...defaults.limits,
      ...entry.limits,
    });
  }
  return jails;
}

function freeAddress(tenant: Tenant, taken: ReadonlyMap<string, string>): string | undefined {
  const base = parseNetwork4(tenant.net)?.base ?? 0;
  for (let host = FIRST; host < 255; host++) {
    const address = toText(base + host);
    if (!taken.has(address)) return address;
  }
  return undefined;
}

/** What the jails of one tenant may take together; undefined where nothing bounds it. */
export type TenantLimits = { readonly [K in keyof JailLimits]: JailLimits[K] | undefined };

/**
 * Whether the jails of a tenant take more together than it may have: a sentence about the first that does. Shares and
 * sizes of memory cannot be added up before the machine is known; the instance does that.
 */
export function overcommitted(
  jails: readonly Jail[],
  limits: TenantLimits,
): { readonly message: string; readonly fix: string } | undefined {
  for (const tenant of new Set(jails.map(({ tenant: name }) => name))) {
    const own = jails.filter((jail) => jail.tenant === tenant);
    for (const key of ['memory', 'processes', 'cpu', 'disk'] as const) {
      const most = limits[key];
      if (most === undefined) continue;
      const values = [most, ...own.map((jail) => jail[key])].map(comparable);
      const kinds = new Set(values.map(({ kind }) => kind));
      if (kinds.size > 1) continue;
      const [bound = 0, ...parts] = values.map(({ value }) => value);
      const sum = parts.reduce((total, value) => total + value, 0);
      if (sum > bound)
        return {
          message: `the jails of ${tenant} may take more ${key} together than TENANT_${key.toUpperCase()} lets a tenant have (${sum} of ${bound})`,
          fix: `lower ${key} of its jails (JAIL_${key.toUpperCase()}, or ${key}=… in JAILS), or raise TENANT_${key.toUpperCase()}`,
        };
    }
  }
  return undefined;
}

function comparable(value: Amount | number): { readonly kind: 'share' | 'number'; readonly value: number } {
  if (typeof value === 'number') return { kind: 'number', value };
  return 'percent' in value
    ? { kind: 'share', value: value.percent }
    : { kind: 'number', value: value.bytes };
}
