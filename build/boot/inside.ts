import { UserError } from '../error.js';
import type { OverlayEntry } from '../overlay/render.js';
import { allRules } from '../pf/expand.js';
import { inForce } from '../pf/in-force.js';
import { printRule } from '../pf/print.js';
import { readRules } from '../policy/image.js';
import { OPTIONAL, RULES } from '../rc/check.js';
import type { CheckResult } from './checks.js';
import { notLookedAt } from './jails/judge.js';
import type { Extra } from './steps.js';
import { parseJson } from '../json.js';

/**
 * What a copy of an image has beside its overlay, so that it tells how it looks from inside.
 *
 * @param brief whether it is to do what is typed there, and nothing else
 */
export function inspectionFiles(
  script: string,
  overlay: readonly OverlayEntry[],
  offenders: number,
  brief: boolean,
): readonly Extra[] {
  const paths = filesToLookAt(overlay).map(({ path }) => `/${path}\n`);
  return [
    { path: 'etc/rc.d/clawdie_inspect', mode: 0o555, body: script },
    { path: 'etc/clawdie/inspect.files', mode: 0o444, body: paths.join('') },
    { path: 'etc/clawdie/inspect.offenders', mode: 0o444, body: `${offenders}\n` },
    ...(brief ? [{ path: 'etc/clawdie/inspect.brief', mode: 0o444, body: '' }] : []),
    // rc.subr(8) then says of every script that it begins.
    {
      path: 'etc/rc.conf.d/rc_trace',
      mode: 0o444,
      body: '# Every script that begins is told.\nRC_LEVEL=0\n',
    },
  ];
}

/**
 * For an instance without hardware virtualisation: its programs lie at the same addresses each time (sysctl(8), kern.elf64.aslr). QEMU
 * knows what it has translated by its address, and translates each start of a program anew where that is another one: a boot takes
 * three times as long then. No check asks where programs lie.
 */
export const SAME_PLACES: Extra = {
  path: 'etc/sysctl.conf.local',
  mode: 0o444,
  body: ['enable', 'pie_enable', 'stack', 'shared_page']
    .map((what) => `kern.elf64.aslr.${what}=0\n`)
    .join(''),
};

/** What clawdie_inspect says last, once it knows whom the firewall has blocked. */
export const WATCHED = /^===inspect watched/m;

/**
 * What overlays/inspect/clawdie_inspect said on the console, by section.
 *
 * @returns undefined if it has not come to its end
 */
export function inspection(console: string): ReadonlyMap<string, readonly string[]> | undefined {
  const sections = new Map<string, string[]>();
  let current: string[] | undefined;
  let ended = false;
  for (const line of console.split('\n')) {
    const name = /^===inspect (\w+)$/.exec(line)?.[1];
    if (name === 'end') ended = true;
    if (name === 'end' || name === 'watched') current = undefined;
    else if (name !== undefined) sections.set(name, (current = []));
    // syslogd(8) and rc(8) write between the lines of a section.
    else if (line.startsWith('| ') && line.trim() !== '|') current?.push(line.slice(2));
  }
  return ended ? sections : undefined;
}

/** What rc.subr(8) says of a script that begins: `@ 1767225600 [2026-01-01 00:00:00 UTC] /etc/rc.d/netif start`. */
const TRACE = /^@ \d+ \[[^\]]*\] \S*\/(\S+) \w+$/;

/** The scripts that ran, in that order; a script that runs twice counts for its first time. */
export function scriptsRun(console: string): readonly string[] {
  const names = console.split('\n').flatMap((line) => TRACE.exec(line)?.[1] ?? []);
  return [...new Set(names)];
}

/** What an instance told, and what is known of it from outside. */
export interface Inspected {
  readonly console: string;
  /** The overlay that it was given. */
  readonly overlay: readonly OverlayEntry[];
  /** Kinds of packets that it sent, see {@link Peer.seen}. */
  readonly sent: ReadonlySet<string>;
  /** Its addresses on the internet side. */
  readonly own: readonly string[];
  /** Who was to be blocked by then. */
  readonly offenders: readonly string[];
  /** seconds that the boot took */
  readonly seconds: number;
  /** Where the instance lives on a disk. */
  readonly disk?: OnDisk;
  /** Whether Bastille is there: jails are then looked at by what is typed, see {@link judgeJails}. */
  readonly bastille: boolean;
}

/** What is known of an instance on a disk, which is started several times. */
export interface OnDisk {
  /** from 1 */
  readonly boot: number;
  /** Bytes that its root has to have more than: what the disk had before it was enlarged. */
  readonly grown: number;
  /** Its SSH host keys at its first boot; undefined at the first. */
  readonly keys: readonly string[] | undefined;
}

/** SSH host keys as an instance has told them. */
export function hostKeys(console: string): readonly string[] {
  return inspection(console)?.get('keys') ?? [];
}

/** Judges how an instance looks from inside. Pure. */
export function judgeInside(inspected: Inspected): readonly CheckResult[] {
  const { console, overlay, seconds } = inspected;
  const sections = inspection(console);
  if (!sections)
    return [
      {
        id: 'inside',
        state: 'failed',
        detail: 'the instance did not tell how it looks from inside',
        seconds,
        packets: [],
      },
    ];
  const of = (name: string): readonly string[] => sections.get(name) ?? [];
  const result = (id: string, wrong: readonly string[], held: string): CheckResult => ({
    id,
    state: wrong.length === 0 ? 'held' : 'failed',
    detail: wrong.length === 0 ? held : `${wrong.length} not as they have to be`,
    seconds: 0,
    packets: wrong,
  });
  const ran = scriptsRun(console);
  return [
    ...(inspected.disk ? [result('kept', keptFlaws(of, inspected.disk), keptDetail(inspected.disk))] : []),
    result(
      'order',
      orderFlaws(ran, (inspected.disk?.boot ?? 1) > 1),
      `${ran.length} rc.d scripts ran, those of the chain in its order`,
    ),
    result(
      'outbound',
      [...(inspected.bastille ? [] : reachFlaws(of('jails'))), ...foreignFlaws(inspected)],
      inspected.bastille
        ? 'nothing left the host but with its own address, and to where it may go'
        : 'a plain and a VNET jail reach the internet by NAT, and neither the host nor what is forbidden',
    ),
    ...(inspected.offenders.length === 0
      ? []
      : [
          result(
            'blocked',
            inspected.offenders
              .filter((host) => !of('blocked').some((line) => line.trim() === host))
              .map((host) => `${host} is not in <bruteforce>`)
              .concat(
                of('blocked')
                  .filter((line) => !inspected.offenders.includes(line.trim()))
                  .map((line) => `${line.trim()} is in <bruteforce>`),
              ),
            `<bruteforce> holds ${inspected.offenders.join(' and ')}, and nobody else`,
          ),
        ]),
    result(
      'info',
      infoFlaws(of('info')),
      of('info')[0]
        ?.trim()
        .replace(/\s{2,}.*$/, '') ?? '',
    ),
    result(
      'netcheck',
      netcheckFlaws(of('netcheck'), inspected.bastille),
      'pf is on, its rules are in force, the internet is known',
    ),
    result(
      'rules',
      ruleFlaws(of('rules'), of('nat'), overlay),
      `the ${of('rules').length + of('nat').length} rules in force are those that were proved`,
    ),
    result(
      'groups',
      [
        ...(of('egress').length === 1 ? [] : [`egress: ${of('egress').join(' ')}`]),
        ...(of('wardens').length > 0 ? [] : ['no bridge']),
      ],
      `egress is ${of('egress').join(' ')}, bridges are ${of('wardens').join(' ')}`,
    ),
    result(
      'sockets',
      of('sockets').filter((line) => !isKnownSocket(line)),
      `${of('sockets').length} sockets, of known services and none but the DHCP client’s on the wildcard`,
    ),
    result(
      'files',
      fileFlaws(of('files'), overlay),
      `${filesToLookAt(overlay).length} files of the overlay, with their owners and modes`,
    ),
    ...(inspected.bastille ? [] : notLookedAt('Bastille is not there; name its tree with --bastille')),
  ];
}

/** What an instance on a disk did not keep, or did not take. */
function keptFlaws(of: (section: string) => readonly string[], disk: OnDisk): readonly string[] {
  const { boot, grown, keys } = disk;
  const first = (section: string): string => of(section)[0]?.trim() ?? '';
  const now = of('keys');
  return [
    ...(Number(first('boots')) === boot
      ? []
      : [`a file that every boot adds to: ${first('boots') || 'nothing'} of ${boot}`]),
    ...(Number(first('root')) * 1024 > grown
      ? []
      : [`the root has ${first('root') || 'no'} kB: it did not grow with its disk`]),
    ...(now.length > 0 ? [] : ['there are no SSH host keys']),
    ...(keys === undefined || keys.join() === now.join()
      ? []
      : ['the SSH host keys are others than at the first boot']),
    ...(boot === 1 || first('changed') === CHANGED ? [] : ['a change of pf.conf is not in force any more']),
  ];
}

/** The address that clawdie_inspect puts into a table of pf.conf, as somebody who changes the rules. */
const CHANGED = '192.0.2.77';

function keptDetail({ boot }: OnDisk): string {
  return boot === 1
    ? 'the root has grown with its disk; the instance has SSH host keys'
    : `boot ${boot} of one disk: a file, a change of pf.conf and the SSH host keys are as they were`;
}

interface Netcheck {
  readonly checks: readonly {
    readonly stage: string;
    readonly check: string;
    readonly state: string;
    readonly detail: string;
  }[];
}

/** What has to hold wherever an image is started; whether the internet answers is not the image's. */
const NEEDED = [
  'access.firewall',
  'access.rules',
  'access.inforce',
  'access.sshd',
  'host.route',
  'host.forwarding',
  'host.outbound',
];

/** Of the jails that clawdie_inspect makes where there is no Bastille. */
const NEEDED_OF_JAILS = ['plain.jail', 'vnet.jail'];

function netcheckFlaws(lines: readonly string[], bastille: boolean): readonly string[] {
  const report = parseJson(lines.join('')) as Netcheck | undefined;
  if (!Array.isArray(report?.checks))
    return [`clawdie-netcheck --json is no JSON: ${lines.join(' ').slice(0, 200)}`];
  return [...NEEDED, ...(bastille ? [] : NEEDED_OF_JAILS)].flatMap((name) => {
    const found = report.checks.find(({ stage, check }) => `${stage}.${check}` === name);
    return found?.state === 'ok' ? [] : [`${name}: ${found?.detail ?? 'was not looked at'}`];
  });
}

/** What ran before what it had to wait for. */
function orderFlaws(ran: readonly string[], later: boolean): readonly string[] {
  const at = (name: string): number => ran.indexOf(name);
  return [
    ...RULES.flatMap(([first, second]) => [first, second])
      .filter((name, index, all) => all.indexOf(name) === index && at(name) < 0)
      // rc(8) leaves out what is for the first boot alone.
      .filter((name) => !later || name !== 'clawdie_firstboot')
      .map((name) => `${name} did not run`),
    ...[...RULES, ...OPTIONAL]
      .filter(([first, second]) => at(first) >= 0 && at(second) >= 0 && at(first) > at(second))
      .map(([first, second, why]) => `${second} ran before ${first}: ${why}`),
  ];
}

/** What a jail may reach of what clawdie_inspect tried. */
const REACHED: Readonly<Record<string, 'yes' | 'no'>> = {
  internet: 'yes',
  metadata: 'no',
  bridge: 'no',
  outer: 'no',
  private: 'no',
  tailnet: 'no',
};

/** What jails reached and may not, or the other way round. */
function reachFlaws(lines: readonly string[]): readonly string[] {
  return ['plain', 'own'].flatMap((jail) =>
    Object.entries(REACHED).flatMap(([what, wanted]) => {
      const line = lines.find((each) => each.trim().startsWith(`${jail} ${what} `));
      const found = line?.trim().split(' ').at(-1) ?? 'not tried';
      const kind = jail === 'own' ? 'VNET jail' : 'plain jail';
      return found === wanted ? [] : [`${kind}, ${what}: ${found} instead of ${wanted}`];
    }),
  );
}

/** Packets that left with another's address, or to where nothing may go. */
function foreignFlaws({ sent, own }: Inspected): readonly string[] {
  const foreign = [...sent].filter((packet) => {
    const [, src = ''] = packet.split(' ');
    return !own.includes(src) && src !== '0.0.0.0' && src !== '::' && !src.startsWith('fe80:');
  });
  const forbidden = [...sent].filter((packet) =>
    /^169\.254\.|^10\.|^100\.100\./.test(packet.split(' ')[2] ?? ''),
  );
  return [...new Set([...foreign, ...forbidden])].map((packet) => `left the host: ${packet}`);
}

/** `pfctl -s info`: pf is on, and dropped nothing for want of memory. */
function infoFlaws(lines: readonly string[]): readonly string[] {
  const memory = lines
    .find((line) => /^\s*memory\s/.test(line))
    ?.trim()
    .split(/\s+/)[1];
  return [
    ...(lines[0]?.startsWith('Status: Enabled') === true ? [] : [lines[0] ?? 'pfctl -s info says nothing']),
    ...(memory === '0' ? [] : [`dropped for want of memory: ${memory ?? 'not told'}`]),
  ];
}

/**
 * A rule as the kernel gives it back: without the timeouts of its own, which `pfctl -nv` says and `pfctl -s rules` does not.
 */
export function listedRule(rule: string): string {
  return rule.trim().replace(/, [a-z]+\.[a-z]+ \d+/g, '');
}

/**
 * Rules of which only one of two lists knows. Their order and number are not looked at: pfctl(8) orders rules anew, and leaves out
 * doubles, where that changes nothing (`set ruleset-optimization basic`, pf.conf(5), is the default).
 */
export function rulesApart(wanted: readonly string[], found: readonly string[]): readonly string[] {
  const [file, force] = [wanted, found].map((rules) => new Set(rules.map(listedRule)));
  return [
    ...[...(file ?? [])].filter((line) => force?.has(line) !== true).map((line) => `missing: ${line}`),
    ...[...(force ?? [])].filter((line) => file?.has(line) !== true).map((line) => `unknown: ${line}`),
  ];
}

/** Compares the rules in force with those of the image's pf.conf, in pfctl's normal form. */
function ruleFlaws(
  rules: readonly string[],
  nat: readonly string[],
  overlay: readonly OverlayEntry[],
): readonly string[] {
  const body = (path: string): string => {
    const file = overlay.find((entry) => entry.path === path);
    if (!file) throw new UserError(`The overlay of this image has no ${path}.`, 'Build the image again.');
    return file.body;
  };
  const files = {
    pf: body('etc/pf.conf'),
    fallback: body('etc/pf-fallback.conf'),
    operator: body('etc/pf.conf.d/operator.conf'),
  };
  const { ruleset } = readRules(files, { fallback: false, tailscaleActive: false });
  return rulesApart(allRules(inForce(ruleset.rules)).map(printRule), [...rules, ...nat]);
}

/** Services of the host, and the ports that each listens on; a name is what sockstat(1) calls the program. */
const SERVICES: readonly (readonly [name: RegExp, ports: readonly string[]])[] = [
  [/^sshd(?:-.*)?$/, ['22']],
  [/^ntpd$/, ['123']],
  // Names are shown up to ten letters.
  [/^(?:local-unbo|unbound)/, ['53']],
  [/^nginx$/, ['80', '443']],
];

/** sockstat(1) -46lqw: user, command, pid, fd, protocol, local, foreign. None of them on the wildcard, where plain jails are. */
function isKnownSocket(line: string): boolean {
  const [, command = '', , , proto = '', local = ''] = line.trim().split(/\s+/);
  const [, address = '', port = ''] = /^(.*):([^:]*)$/.exec(local) ?? [];
  // The DHCP client asks from port 68 and is answered there by the firewall's own state.
  if (command === 'dhclient') return proto.startsWith('udp') && port === '68';
  return address !== '*' && SERVICES.some(([name, ports]) => name.test(command) && ports.includes(port));
}

/** Files that are used up when an instance boots for the first time. */
const USED_UP = new Set(['firstboot', 'var/db/clawdie/root.hash', 'var/db/clawdie/tailscale.key']);

/** Files of an overlay that are to be looked at on the instance: their paths there. */
export function filesToLookAt(overlay: readonly OverlayEntry[]): readonly OverlayEntry[] {
  return overlay.filter(({ path }) => !USED_UP.has(path));
}

function fileFlaws(lines: readonly string[], overlay: readonly OverlayEntry[]): readonly string[] {
  const found = new Map<string, string>();
  for (const line of lines) {
    const [mode = '', owner = '', path = ''] = line.trim().split(' ');
    found.set(path, `${mode.replace(/^0+(?=\d{3})/, '')} ${owner}`);
  }
  return filesToLookAt(overlay).flatMap(({ path, mode, uid, gid }) => {
    const wanted = `${mode.toString(8)} ${uid}:${gid}`;
    const seen = found.get(`/${path}`);
    return seen === wanted ? [] : [`/${path}: ${seen ?? 'not there'} instead of ${wanted}`];
  });
}
