import { setTimeout as sleep } from 'node:timers/promises';
import type { Answer, Link, Probe } from './link.js';
import type { Peer } from './peer.js';
import type { ConsoleReader } from './stages.js';

/** How a check ended. What was not looked at is never `held`. */
export type CheckState = 'held' | 'failed' | 'not applicable' | 'not looked at';

export interface CheckResult {
  /** A check’s name, or what a fault has to end in. */
  readonly id: string;
  readonly state: CheckState;
  /** What was found, as a sentence. */
  readonly detail: string;
  readonly seconds: number;
  /** Packets that should not have come, or that did not come. */
  readonly packets: readonly string[];
}

/** What the deployment in the image lets in, as its build record says. */
export interface Expected {
  /** TCP ports of the host that may answer. */
  readonly ports: readonly number[];
  readonly icmpEcho: boolean;
  /** Whether the host has an IPv6 address on the internet side. */
  readonly ipv6: boolean;
  /** The /24 of the assistant’s jails. */
  readonly agentNet: string;
  /** The /24s of all tenants that the deployment names. */
  readonly jailNets: readonly string[];
  /** An address of the pool that jails of further tenants would have. */
  readonly otherJail: string;
}

/** What a check has at hand. */
export interface Guest {
  readonly link: Link;
  readonly peer: Peer;
  readonly console: ConsoleReader;
  readonly expected: Expected;
  seconds(): number;
}

export const CHECKS = {
  silence: 'nothing answers between the first frame and the start of services',
  tcp: 'of all TCP ports, only the policy’s answer',
  udp: 'no documented UDP port answers',
  echo: 'echo requests are answered only where the deployment says so',
  spoofed: 'addresses that nobody outside has get no answer',
  jails: 'jail addresses are not reached',
  rate: 'the fourth connection in 60 s is cut, its host blocked, another host not hurt',
  'at-once': 'the sixth connection at once is cut',
  cells:
    'one packet of every cell of the proof that can be sent is decided by the kernel as the proof says (a copy that tells)',
  inside:
    'rules, groups, sockets and files are as they have to be, and so are jails where Bastille is named (a copy that tells)',
} as const;
export type CheckName = keyof typeof CHECKS;
export const CHECK_NAMES = Object.keys(CHECKS) as readonly CheckName[];

/** Hosts of the internet that ask questions; documentation addresses (RFC 5737, RFC 3849), one for each purpose. */
export const HOSTS = {
  scanner4: '198.51.100.20',
  scanner6: '2001:db8:ffff::20',
  watcher4: '198.51.100.30',
  watcher6: '2001:db8:ffff::30',
  hasty: '198.51.100.77',
  patient: '198.51.100.88',
  greedy: '198.51.100.99',
} as const;

/** UDP ports that services of a host or of the image would have. */
const UDP_PORTS = [
  53, 67, 68, 69, 111, 123, 137, 161, 162, 443, 500, 514, 546, 547, 1900, 2049, 4500, 5353, 41641,
];

/** Sources that cannot come from the internet: jails, the tailnet, the host itself. */
function impossible({ expected, peer }: Guest): {
  readonly four: readonly string[];
  readonly six: readonly string[];
} {
  const jail = expected.agentNet.replace(/\.0\/24$/, '.30');
  return {
    four: [jail, expected.otherJail, '100.100.100.20', '127.0.0.1', '169.254.1.1', peer.network.guest4],
    six: ['fd7a:115c:a1e0::20', '::1'],
  };
}

/** What a person would call an answer. */
function describeAnswer({ probe, kind, seconds }: Answer): string {
  const port = probe.proto === 'icmp' ? 'echo request' : `${probe.port}/${probe.proto}`;
  return `${kind}: ${probe.src} to ${probe.dst} ${port}, at ${seconds.toFixed(1)} s`;
}

/**
 * Asks the guest all through its boot, as long as `going` says: TCP, UDP and echo, from strangers and from addresses
 * that cannot be, to IPv4 and IPv6.
 *
 * @returns how many probes were sent
 */
export async function probeThroughout(guest: Guest, going: () => boolean): Promise<number> {
  const before = guest.link.sent;
  const sources = impossible(guest);
  for (let round = 0; going(); round++) {
    const targets: readonly (readonly [string, readonly string[]])[] = [
      [
        guest.peer.network.guest4,
        [HOSTS.watcher4, sources.four[round % sources.four.length] ?? HOSTS.watcher4],
      ],
      ...(guest.peer.guest6 === undefined
        ? []
        : ([
            [guest.peer.guest6, [HOSTS.watcher6, sources.six[round % sources.six.length] ?? HOSTS.watcher6]],
          ] as const)),
    ];
    for (const [dst, from] of targets)
      for (const src of from) {
        for (const port of [22, 80, 443, 5900]) guest.link.probe({ src, dst, proto: 'tcp', port });
        for (const port of [53, 41641]) guest.link.probe({ src, dst, proto: 'udp', port });
        guest.link.probe({ src, dst, proto: 'icmp', port: 0 });
      }
    await sleep(100);
  }
  return guest.link.sent - before;
}

/** What came back before services were started: nothing may. */
export function judgeSilence(guest: Guest, sent: number, began: number | undefined): CheckResult {
  const until = guest.console.reached.find(({ name }) => name === 'services')?.seconds ?? Infinity;
  const { four, six } = impossible(guest);
  // A deployment that answers ping does so from the moment that its rules are in force.
  const mayAnswer = ({ proto, src }: Probe): boolean =>
    proto === 'icmp' && guest.expected.icmpEcho && ![...four, ...six].includes(src);
  const early = guest.link.answersTo().filter(({ seconds, probe }) => seconds < until && !mayAnswer(probe));
  const span = began === undefined ? 0 : Math.min(until, guest.seconds()) - began;
  const base = { id: 'silence', seconds: span, packets: early.map(describeAnswer) } as const;
  if (sent === 0 || began === undefined)
    return { ...base, state: 'failed', detail: 'the guest sent no frame, so nothing was asked' };
  return early.length > 0
    ? { ...base, state: 'failed', detail: `${early.length} answers to ${sent} probes` }
    : { ...base, state: 'held', detail: `${sent} probes in ${span.toFixed(0)} s, no answer` };
}

type Check = (guest: Guest) => Promise<Omit<CheckResult, 'id' | 'seconds'>>;

/** Sends probes and waits for what is late. Fails where the guest stopped taking frames: silence then means nothing. */
async function ask(guest: Guest, probes: readonly Probe[]): Promise<readonly Answer[] | undefined> {
  const complete = await guest.link.probeAll(probes);
  await sleep(1000);
  const sources = new Set(probes.map(({ src }) => src));
  return complete ? [...sources].flatMap((src) => guest.link.answersTo(src)) : undefined;
}

const LOST = {
  state: 'failed',
  detail: 'the guest stopped answering ARP: what did not come back means nothing',
  packets: [],
} as const;

function noneOf(answers: readonly Answer[] | undefined, count: number): Omit<CheckResult, 'id' | 'seconds'> {
  if (answers === undefined) return LOST;
  return answers.length === 0
    ? { state: 'held', detail: `${count} probes, no answer`, packets: [] }
    : {
        state: 'failed',
        detail: `${answers.length} answers to ${count} probes`,
        packets: answers.map(describeAnswer),
      };
}

/** The first of many ports, and how many more there are. */
function listOf(ports: readonly number[]): string {
  const [shown, more] = [ports.slice(0, 10).join(', '), ports.length - 10];
  return ports.length === 0 ? 'none' : more > 0 ? `${shown} and ${more} more` : shown;
}

/** Both families, IPv6 where the guest has an address. */
function targets(guest: Guest): readonly { readonly src: string; readonly dst: string }[] {
  return [
    { src: HOSTS.scanner4, dst: guest.peer.network.guest4 },
    ...(guest.peer.guest6 === undefined ? [] : [{ src: HOSTS.scanner6, dst: guest.peer.guest6 }]),
  ];
}

/** Checks that ask questions of a guest that has booted. */
export type Question = Exclude<CheckName, 'silence' | Within>;

/** Checks of a copy that tells how it looks from inside: starts of their own. */
export const WITHIN = ['cells', 'inside'] as const;
export type Within = (typeof WITHIN)[number];

/** Whether a check is one of a copy that tells. */
export function isWithin(name: CheckName): name is Within {
  return WITHIN.some((within) => within === name);
}

const RUN: Readonly<Record<Question, Check>> = {
  async tcp(guest) {
    const found: string[] = [];
    const wrong: Answer[] = [];
    let count = 0;
    const began = guest.seconds();
    if (guest.expected.ipv6 && guest.peer.guest6 === undefined)
      return {
        state: 'failed',
        detail: 'the guest has taken no IPv6 address, as WAN_IPV6 has it',
        packets: [],
      };
    for (const { src, dst } of targets(guest)) {
      const probes = Array.from({ length: 65535 }, (_, index): Probe => ({
        src,
        dst,
        proto: 'tcp',
        port: index + 1,
      }));
      count += probes.length;
      const answers = await ask(guest, probes);
      if (answers === undefined) return LOST;
      const open = answers.filter(({ kind }) => kind === 'open').map(({ probe }) => probe.port);
      found.push(`${dst}: ${listOf(open)}`);
      wrong.push(...answers.filter(({ probe }) => !guest.expected.ports.includes(probe.port)));
      if (!open.includes(22))
        return {
          state: 'failed',
          detail: `${dst} has no SSH on port 22`,
          packets: answers.map(describeAnswer),
        };
    }
    const rate = count / (guest.seconds() - began);
    const detail = `${count} ports asked, ${rate.toFixed(0)} a second; open on ${found.join('; ')}`;
    return wrong.length === 0
      ? { state: 'held', detail, packets: [] }
      : {
          state: 'failed',
          detail: `${wrong.length} answers from other ports; ${detail}`,
          packets: wrong.map(describeAnswer),
        };
  },

  async udp(guest) {
    const probes = targets(guest).flatMap(({ src, dst }) =>
      UDP_PORTS.map((port): Probe => ({ src, dst, proto: 'udp', port })),
    );
    const answers = await ask(guest, probes);
    return noneOf(
      answers?.filter(({ probe }) => probe.proto === 'udp'),
      probes.length,
    );
  },

  async echo(guest) {
    const probes = targets(guest).map(({ src, dst }): Probe => ({ src, dst, proto: 'icmp', port: 0 }));
    const answers = (await ask(guest, probes))?.filter(({ probe }) => probe.proto === 'icmp');
    if (!guest.expected.icmpEcho) return noneOf(answers, probes.length);
    if (answers === undefined) return LOST;
    return answers.length >= probes.length
      ? { state: 'held', detail: 'answered, as ICMP_ECHO says', packets: [] }
      : { state: 'failed', detail: `${answers.length} of ${probes.length} answered`, packets: [] };
  },

  async spoofed(guest) {
    const sources = impossible(guest);
    const services = [
      ...[22, 23, 53, 80, 443, 5900, 8080].map((port) => ({ proto: 'tcp', port }) as const),
      ...[53, 68, 41641].map((port) => ({ proto: 'udp', port }) as const),
      { proto: 'icmp', port: 0 } as const,
    ];
    const probes = [
      ...sources.four.flatMap((src) =>
        services.map((service): Probe => ({ src, dst: guest.peer.network.guest4, ...service })),
      ),
      ...sources.six.flatMap((src) =>
        guest.peer.guest6 === undefined
          ? []
          : services.map((service): Probe => ({ src, dst: guest.peer.guest6 ?? '', ...service })),
      ),
    ];
    return noneOf(await ask(guest, probes), probes.length);
  },

  async jails(guest) {
    const hosts = guest.expected.jailNets.flatMap((net) =>
      [1, 20, 200].map((last) => net.replace(/\.0\/24$/, `.${last}`)),
    );
    const probes = hosts.flatMap((dst) => [
      ...[22, 80, 443, 3000, 8080].map((port): Probe => ({ src: HOSTS.watcher4, dst, proto: 'tcp', port })),
      { src: HOSTS.watcher4, dst, proto: 'udp', port: 53 } as const,
      { src: HOSTS.watcher4, dst, proto: 'icmp', port: 0 } as const,
    ]);
    const answers = await ask(guest, probes);
    return noneOf(
      answers?.filter(({ probe }) => hosts.includes(probe.dst)),
      probes.length,
    );
  },

  async rate(guest) {
    const before = guest.link.sent;
    for (let number = 1; number <= 3; number++)
      if (!(await guest.link.connect(HOSTS.hasty, 50000 + number, guest.peer.network.guest4, 22)))
        return {
          state: 'failed',
          detail: `connection ${number} was refused, of which 3 are allowed`,
          packets: [],
        };
    await guest.link.connect(HOSTS.hasty, 50004, guest.peer.network.guest4, 22);
    await sleep(1000);
    const fifth = await guest.link.connect(HOSTS.hasty, 50005, guest.peer.network.guest4, 22, 4000);
    if (fifth)
      return {
        state: 'failed',
        detail: 'a host that connected four times in 60 s still gets in',
        packets: [`open: ${HOSTS.hasty} to ${guest.peer.network.guest4} 22/tcp`],
      };
    const other = await guest.link.connect(HOSTS.patient, 51001, guest.peer.network.guest4, 22, 10_000);
    if (!other) return { state: 'failed', detail: 'another host does not get in', packets: [] };
    for (let waited = 0; waited < 20_000 && !other.banner().startsWith('SSH-'); waited += 200)
      await sleep(200);
    const banner = other.banner().split(/\r?\n/)[0] ?? '';
    other.close();
    return banner.startsWith('SSH-')
      ? {
          state: 'held',
          detail: `after ${guest.link.sent - before} segments; the other host was greeted with ${banner}`,
          packets: [],
        }
      : { state: 'failed', detail: 'another host gets in, but sshd says nothing to it', packets: [] };
  },

  async 'at-once'(guest) {
    // Slowly enough that it is the number at once that is too large, and not the number in a time.
    for (let number = 1; number <= 6; number++) {
      if (number > 1) await sleep(21_000);
      const connection = await guest.link.connect(
        HOSTS.greedy,
        52000 + number,
        guest.peer.network.guest4,
        22,
      );
      if (!connection && number <= 5)
        return {
          state: 'failed',
          detail: `connection ${number} at once was refused, of which 5 are allowed`,
          packets: [],
        };
    }
    await sleep(1000);
    const seventh = await guest.link.connect(HOSTS.greedy, 52007, guest.peer.network.guest4, 22, 4000);
    return seventh
      ? {
          state: 'failed',
          detail: 'a host with six connections at once still gets in',
          packets: [`open: ${HOSTS.greedy} to ${guest.peer.network.guest4} 22/tcp`],
        }
      : { state: 'held', detail: 'five stood, the sixth was the last', packets: [] };
  },
};

/** Judges a boot that had to stop: it did, for that reason, and the guest never sent a frame. */
export function judgeClosed(guest: Guest, firstFrame: number | undefined): CheckResult {
  const { ended } = guest.console;
  const base = {
    id: 'closed',
    seconds: guest.seconds(),
    packets: guest.link.answersTo().map(describeAnswer),
  };
  if (ended !== 'clawdie-init refused the overlay')
    return { ...base, state: 'failed', detail: `the boot did not stop (${ended ?? 'no reason'})` };
  return firstFrame === undefined
    ? { ...base, state: 'held', detail: 'stopped on the console, no interface up, no frame sent' }
    : { ...base, state: 'failed', detail: `stopped, but sent a frame after ${firstFrame.toFixed(1)} s` };
}

/** Judges which rules clawdie_lockdown loaded. */
export function judgeFallback(guest: Guest): CheckResult {
  const { rules } = guest.console;
  const held = rules === '/etc/pf-fallback.conf';
  return {
    id: 'fallback',
    state: held ? 'held' : 'failed',
    detail: `rules from ${rules ?? 'nowhere'}`,
    seconds: 0,
    packets: [],
  };
}

/** Asks a guest that was given no address: nothing may answer for the one that it would have had. */
export async function judgeUnreachable(guest: Guest): Promise<CheckResult> {
  const began = guest.seconds();
  const src = HOSTS.scanner4;
  for (const port of guest.expected.ports)
    guest.link.probe({ src, dst: guest.peer.network.guest4, proto: 'tcp', port });
  await sleep(3000);
  return {
    id: 'unreachable',
    ...noneOf(guest.link.answersTo(src), guest.expected.ports.length),
    seconds: guest.seconds() - began,
  };
}

/** Runs one check of a guest that has booted. */
export async function runCheck(name: Question, guest: Guest): Promise<CheckResult> {
  const began = guest.seconds();
  const result = await RUN[name](guest);
  return { id: name, ...result, seconds: guest.seconds() - began };
}
