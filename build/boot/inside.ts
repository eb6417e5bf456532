import { UserError } from '../error.js';
import { allRules } from '../pf/expand.js';
import { printRule } from '../pf/print.js';
import { readRules } from '../policy/image.js';
import type { CheckResult } from './checks.js';

/** A file of an image's overlay, as its archive says. */
export interface OverlayFile {
  readonly path: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly body: string;
}

/**
 * What overlays/inspect/clawdie_inspect said on the console, by section.
 *
 * @returns undefined if it has not come to its end
 */
export function inspection(console: string): ReadonlyMap<string, readonly string[]> | undefined {
  const sections = new Map<string, string[]>();
  let current: string[] | undefined;
  for (const line of console.split('\n')) {
    const name = /^===inspect (\w+)$/.exec(line)?.[1];
    if (name === 'end') return sections;
    if (name !== undefined) sections.set(name, (current = []));
    else if (line.trim() !== '') current?.push(line);
  }
  return undefined;
}

/** Judges how an instance looks from inside, against the overlay that it was given. Pure. */
export function judgeInside(
  console: string,
  overlay: readonly OverlayFile[],
  seconds: number,
): readonly CheckResult[] {
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
  return [
    result(
      'netcheck',
      netcheckFlaws(of('netcheck')),
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
      'sshd listens, and nothing else',
    ),
    result(
      'files',
      fileFlaws(of('files'), overlay),
      `${filesToLookAt(overlay).length} files of the overlay, with their owners and modes`,
    ),
  ];
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
];

function netcheckFlaws(lines: readonly string[]): readonly string[] {
  let report: Netcheck;
  try {
    report = JSON.parse(lines.join('')) as Netcheck;
  } catch {
    return [`clawdie-netcheck --json is no JSON: ${lines.join(' ').slice(0, 200)}`];
  }
  return NEEDED.flatMap((name) => {
    const found = report.checks.find(({ stage, check }) => `${stage}.${check}` === name);
    return found?.state === 'ok' ? [] : [`${name}: ${found?.detail ?? 'was not looked at'}`];
  });
}

/** Compares the rules in force with those of the image's pf.conf, in pfctl's normal form. */
function ruleFlaws(
  rules: readonly string[],
  nat: readonly string[],
  overlay: readonly OverlayFile[],
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
  // The kernel does not give back for how long it keeps track of a source; `pfctl -nv` says it, `pfctl -s rules` does not.
  const listed = (line: string): string => line.trim().replace(/, src\.track \d+/, '');
  const wanted = new Set(allRules(ruleset.rules).map((rule) => listed(printRule(rule))));
  const found = new Set([...rules, ...nat].map(listed));
  return [
    ...[...wanted].filter((line) => !found.has(line)).map((line) => `missing: ${line}`),
    ...[...found].filter((line) => !wanted.has(line)).map((line) => `unknown: ${line}`),
  ];
}

/** sockstat(1) -46lq: user, command, pid, fd, protocol, local, foreign. */
function isKnownSocket(line: string): boolean {
  const [, command = '', , , proto = '', local = ''] = line.trim().split(/\s+/);
  if (/^sshd(?:-.*)?$/.test(command) && proto.startsWith('tcp') && local.endsWith(':22')) return true;
  // The DHCP client asks from port 68 and is answered there by the firewall's own state.
  return command === 'dhclient' && proto.startsWith('udp') && local.endsWith(':68');
}

/** Files that are used up when an instance boots for the first time. */
const USED_UP = new Set(['firstboot', 'var/db/clawdie/root.hash', 'var/db/clawdie/tailscale.key']);

/** Files of an overlay that are to be looked at on the instance: their paths there. */
export function filesToLookAt(overlay: readonly OverlayFile[]): readonly OverlayFile[] {
  return overlay.filter(({ path }) => !USED_UP.has(path));
}

function fileFlaws(lines: readonly string[], overlay: readonly OverlayFile[]): readonly string[] {
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
