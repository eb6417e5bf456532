import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  judgeClosed,
  judgeFallback,
  judgeSilence,
  judgeUnreachable,
  probeThroughout,
  runCheck,
} from '../../../build/boot/checks.js';
import type { CheckResult, Guest, Question } from '../../../build/boot/checks.js';
import { PROTO } from '../../../build/pf/names.js';
import { Link } from '../../../build/boot/link.js';
import { NETWORK, Peer } from '../../../build/boot/peer.js';
import { ConsoleReader } from '../../../build/boot/stages.js';
import { FakeGuest, good, GUEST6 } from '../../helpers/guest.js';
import type { Behaviour } from '../../helpers/guest.js';

const EXPECTED = {
  ports: [22, 80, 443],
  icmpEcho: false,
  ipv6: true,
  agentNet: '192.168.100.0/24',
  jailNets: ['192.168.100.0/24'],
  otherJail: '192.168.255.254',
};

function guestOf(behaviour: Behaviour): Guest {
  const peer = new Peer();
  peer.guest6 = GUEST6;
  const carrier = new FakeGuest((frame) => peer.receive(frame), behaviour);
  return {
    link: new Link(carrier, peer),
    peer,
    console: new ConsoleReader(),
    expected: EXPECTED,
    seconds: () => carrier.seconds(),
  };
}

const check = (name: Question, behaviour: Behaviour): Promise<CheckResult> =>
  runCheck(name, guestOf(behaviour));

describe('checks from outside', () => {
  it.each(['tcp', 'udp', 'echo', 'spoofed', 'jails', 'rate'] as const)(
    '%s holds for a host that does as the policy says',
    async (name) => {
      expect(await check(name, good)).toMatchObject({ id: name, state: 'held', packets: [] });
    },
    60_000,
  );

  const also =
    (test: (port: number, proto: number, dst: string, src: string) => boolean): Behaviour =>
    (frame, guest) =>
      test(frame.dstPort, frame.proto, frame.dst, frame.src) ? 'open' : good(frame, guest);

  it.each<[string, Question, Behaviour, string]>([
    [
      'port 5900 is open',
      'tcp',
      also((port, proto) => proto === PROTO.tcp && port === 5900),
      `open: 198.51.100.20 to ${NETWORK.guest4} 5900/tcp`,
    ],
    [
      'port 65535 is open over IPv6 alone',
      'tcp',
      also((port, proto, dst) => proto === PROTO.tcp && port === 65535 && dst === GUEST6),
      `open: 2001:db8:ffff::20 to ${GUEST6} 65535/tcp`,
    ],
    [
      'a closed port answers',
      'tcp',
      (frame, guest) => (frame.dstPort === 8080 && frame.proto === PROTO.tcp ? 'closed' : good(frame, guest)),
      '8080/tcp',
    ],
    ['port 1 is open', 'tcp', also((port, proto) => proto === PROTO.tcp && port === 1), ' 1/tcp'],
    ['SSH is closed', 'tcp', (frame, guest) => (frame.dstPort === 22 ? 'silent' : good(frame, guest)), ''],
    ['a UDP service answers', 'udp', also((port, proto) => proto === PROTO.udp && port === 53), '53/udp'],
    [
      'a UDP port says that nobody is there',
      'udp',
      (frame, guest) => (frame.proto === PROTO.udp && frame.dstPort === 123 ? 'closed' : good(frame, guest)),
      'icmp 3 code 3',
    ],
    [
      'echo is answered',
      'echo',
      also((_, proto) => proto === PROTO.icmp || proto === PROTO.icmp6),
      'echo request',
    ],
    [
      'a jail’s address gets an answer',
      'spoofed',
      also((port, _, __, src) => port === 22 && src.startsWith('192.168.100.')),
      '192.168.100.30',
    ],
    [
      'the tailnet’s address gets an answer',
      'spoofed',
      also((port, _, __, src) => port === 80 && src.startsWith('100.')),
      '100.100.100.20',
    ],
    [
      'a jail is reached',
      'jails',
      also((port, _, dst) => port === 3000 && dst === '192.168.100.20'),
      '192.168.100.20 3000/tcp',
    ],
    [
      'nobody is ever blocked',
      'rate',
      (frame) => (frame.proto === PROTO.tcp && frame.dstPort === 22 ? 'open' : 'silent'),
      '198.51.100.77',
    ],
    [
      'everybody is blocked with the one',
      'rate',
      (frame, guest) =>
        [...guest.handshakes.values()].some((count) => count >= 4) ? 'silent' : good(frame, guest),
      '',
    ],
    [
      'the second connection is refused',
      'rate',
      (frame, guest) => ((guest.handshakes.get(frame.src) ?? 0) >= 1 ? 'silent' : good(frame, guest)),
      '',
    ],
  ])(
    'fails where %s',
    async (_, name, behaviour, packet) => {
      const result = await check(name, behaviour);
      expect(result.state).toBe('failed');
      expect(result.packets.join('\n')).toContain(packet);
    },
    60_000,
  );

  it('fails where a host stops taking frames: silence is then no proof', async () => {
    const guest = guestOf(good);
    guest.link.reached = () => Promise.resolve(false);
    expect(await runCheck('udp', guest)).toMatchObject({ state: 'failed' });
  });
});

describe('silence until services start', () => {
  const during = async (behaviour: Behaviour): Promise<CheckResult> => {
    const guest = guestOf(behaviour);
    let rounds = 0;
    const sent = await probeThroughout(guest, () => rounds++ < 8);
    guest.console.add('Starting sshd.\n', guest.seconds() + 1);
    return judgeSilence(guest, sent, 0);
  };

  it('holds where nothing answers', async () => {
    expect(await during(() => 'silent')).toMatchObject({ state: 'held', packets: [] });
  });

  it('fails where anything does: an open port, a refusal, an echo, to an impossible source too', async () => {
    for (const behaviour of [
      (frame) => (frame.dstPort === 22 ? 'open' : 'silent'),
      (frame) => (frame.dstPort === 443 ? 'closed' : 'silent'),
      (frame) => (frame.proto === PROTO.icmp ? 'open' : 'silent'),
      (frame) => (frame.src.startsWith('100.') ? 'open' : 'silent'),
      (frame) => (frame.dst === GUEST6 && frame.dstPort === 5900 ? 'open' : 'silent'),
    ] satisfies Behaviour[]) {
      const result = await during(behaviour);
      expect(result.state).toBe('failed');
      expect(result.packets.length).toBeGreaterThan(0);
    }
  });

  it('lets a deployment that answers ping answer it, but nobody who cannot be there', async () => {
    const pinged = async (behaviour: Behaviour): Promise<CheckResult> => {
      const guest: Guest = { ...guestOf(behaviour), expected: { ...EXPECTED, icmpEcho: true } };
      let rounds = 0;
      const sent = await probeThroughout(guest, () => rounds++ < 8);
      return judgeSilence(guest, sent, 0);
    };
    const echo = (frame: { proto: number }): boolean =>
      frame.proto === PROTO.icmp || frame.proto === PROTO.icmp6;
    expect(
      await pinged((frame) => (echo(frame) && /^(?:198\.51|2001:)/.test(frame.src) ? 'open' : 'silent')),
    ).toMatchObject({ state: 'held' });
    const everybody = await pinged((frame) => (echo(frame) ? 'open' : 'silent'));
    expect(everybody.state).toBe('failed');
    expect(everybody.packets.join('\n')).not.toContain('198.51.100.30');
  });

  it('is no proof where nothing was asked', () => {
    expect(judgeSilence(guestOf(good), 0, undefined)).toMatchObject({ state: 'failed' });
  });
});

describe('faults', () => {
  const closed = 'clawdie-init: this instance stays closed: no interface is up.\n';

  it('have to stop the boot, before any frame', () => {
    const guest = guestOf(good);
    guest.console.add(closed, 9);
    expect(judgeClosed(guest, undefined)).toMatchObject({ state: 'held' });
    expect(judgeClosed(guest, 12)).toMatchObject({
      state: 'failed',
      detail: 'stopped, but sent a frame after 12.0 s',
    });
    const other = guestOf(good);
    other.console.add('login: ', 9);
    expect(judgeClosed(other, undefined)).toMatchObject({ state: 'failed' });
    const panicked = guestOf(good);
    panicked.console.add('panic: x\n', 9);
    expect(judgeClosed(panicked, undefined)).toMatchObject({ state: 'failed' });
  });

  it('leave the fallback in force, or nothing that answers', async () => {
    const guest = guestOf(good);
    guest.console.add('Firewall up before the network, rules from /etc/pf-fallback.conf.\n', 9);
    expect(judgeFallback(guest)).toMatchObject({ state: 'held' });
    const usual = guestOf(good);
    usual.console.add('Firewall up before the network, rules from /etc/pf.conf.\n', 9);
    expect(judgeFallback(usual)).toMatchObject({ state: 'failed' });
    expect(await judgeUnreachable(guestOf(() => 'silent'))).toMatchObject({ state: 'held' });
    expect(await judgeUnreachable(guestOf(good))).toMatchObject({ state: 'failed' });
  });
});

describe('the console', () => {
  const recorded = (name: string): string => readFileSync(`test/fixtures/console/${name}.txt`, 'utf8');
  const text = recorded('good');
  const read = (log: string): ConsoleReader => {
    const reader = new ConsoleReader();
    // In pieces, as it comes.
    for (let at = 0; at < log.length; at += 97) reader.add(log.slice(at, at + 97), at);
    return reader;
  };

  it('tells every stage of a boot, in order', () => {
    const reader = read(text);
    expect(reader.reached.map(({ name }) => name)).toEqual([
      'loader',
      'kernel',
      'init',
      'lockdown',
      'netif',
      'egress',
      'pf',
      'firstboot',
      'services',
      'login',
    ]);
    expect(reader.finished).toBe(true);
    expect(reader.ended).toBeUndefined();
  });

  it('knows the first boot by the last module of its script', () => {
    const script = readFileSync('overlays/firstboot/etc/rc.d/clawdie_firstboot', 'utf8');
    const modules = /modules:="(.*)"/.exec(script)?.[1]?.split(' ') ?? [];
    const done = modules.map((module) => `First boot: ${module} done.\n`);
    expect(recorded('good')).toContain(done.join(''));
    expect(read(done.slice(0, -1).join('')).last).toBeUndefined();
    expect(read(done.join('')).last).toBe('firstboot');
  });

  // Each was recorded of a real boot of an image that had been broken at that place.
  it.each([
    ['stuck-netif', 'lockdown'],
    ['stuck-egress', 'netif'],
    ['stuck-pf', 'egress'],
    ['stuck-firstboot', 'pf'],
    ['stuck-services', 'firstboot'],
    ['stuck-login', 'services'],
  ])('%s: says where', (name, stage) => {
    const reader = read(recorded(name));
    expect(reader.last).toBe(stage);
    expect(reader.finished).toBe(false);
    expect(reader.ended).toBeUndefined();
  });

  it.each([
    ['no-kernel', 'loader', 'the loader found no kernel', "can't load 'kernel'"],
    ['mountroot', 'kernel', 'the kernel found no root file system', 'mountroot>'],
    ['overlay-damaged', 'kernel', 'clawdie-init refused the overlay', 'the overlay is damaged'],
    ['lockdown-stops', 'init', 'clawdie_lockdown stopped the boot', 'pf cannot be enabled'],
    ['panic', 'pf', 'the kernel panicked', 'Uptime'],
  ])('%s: says why it goes no further', (name, stage, why, shown) => {
    const reader = read(recorded(name));
    expect(reader.last).toBe(stage);
    expect(reader.ended).toBe(why);
    expect(reader.finished).toBe(true);
    expect(reader.tail().join('\n')).toContain(shown);
  });

  it('stuck in the loader, or before the overlay: says where', () => {
    const before = (line: string): ConsoleReader => read(text.slice(0, text.indexOf(line)));
    expect(before('---<<BOOT>>---')).toMatchObject({ last: 'loader', finished: false });
    expect(before('clawdie-init:')).toMatchObject({ last: 'kernel', finished: false });
    expect(read(`${text.slice(0, text.indexOf('clawdie-init:'))}Enter full pathname of shell`).ended).toBe(
      'the boot ended in single-user mode',
    );
  });

  it('keeps control sequences off a terminal', () => {
    const reader = read('\u001b[2J\u001b[1;31mhello\u001b[0m\r\n\u0007world\u001b]0;title');
    expect(reader.tail()).toEqual(['hello', 'world]0;title']);
  });
});
