import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { bodyOf, overlayOf } from '../helpers/deployment.js';
import { configOf } from '../helpers/config.js';
import { FakeRoot } from '../helpers/shell.js';
import type { ScriptResult } from '../helpers/shell.js';

const LIBRARY = 'overlays/firstboot/usr/local/libexec/clawdie';

/** Interfaces as ifconfig(8) shows them: by name, what the driver calls each, and the lines below its first. */
type Interfaces = Readonly<Record<string, readonly [driver: string, ...lines: string[]]>>;

/** ifconfig(8) with these interfaces; devices are the nodes of sysctl(8) that hardware brought. */
function stubInterfaces(fake: FakeRoot, interfaces: Interfaces, devices: readonly string[] = []): void {
  const blocks = Object.entries(interfaces);
  const text = blocks.map(([name, [, ...lines]]) =>
    [`${name}: flags=8843<UP,BROADCAST> metric 0 mtu 1500`, ...lines.map((line) => `\t${line}`), ''].join(
      '\n',
    ),
  );
  fake.file('ifconfig/all', text.join(''));
  fake.file('ifconfig/drivers', blocks.map(([name, [driver]]) => `${name} ${driver}\n`).join(''));
  const ether = blocks.map(([name]) => name).filter((name) => !name.startsWith('lo'));
  fake.stub(
    'ifconfig',
    `cd "$CLAWDIE_ROOT/ifconfig" || exit 1
case "\${1-} \${2-}" in
" ") cat all ;;
"-l ether") echo '${ether.join(' ')}' ;;
"tailscale0 ") cat tailscale0 2> /dev/null ;;
"-C ") echo "bridge tap tun epair gif lo vlan wg" ;;
"-D "*) awk -v "name=$2" '$1 == name { print "\\tdrivername: " $2; found = 1 } END { exit !found }' drivers ;;
esac`,
  );
  fake.stub('sysctl', `case "$2" in ${devices.join('|') || 'none'}) echo x ;; *) exit 1 ;; esac`);
}

describe('plain-arp', () => {
  const SCRIPT = join(LIBRARY, 'plain-arp');
  let fake: FakeRoot;
  const asked = (published: readonly string[], addresses: readonly string[]): readonly string[] => {
    fake
      .stub(
        'arp',
        `[ "$1" = "-an" ] && printf '%s\\n' '? (192.168.100.1) at 58:9c:fc:10:c8:2e on warden0 permanent [bridge]' ${published
          .map((address) => `'? (${address}) at 58:9c:fc:10:c8:2e on warden0 permanent published [bridge]'`)
          .join(' ')}`,
      )
      .stub('ifconfig', `printf '\\tinet %s netmask 0xffffffff\\n' ${addresses.join(' ')}`);
    const result = fake.run(SCRIPT, []);
    expect(result).toMatchObject({ code: 0, stderr: '' });
    return result.calls.filter((call) => call.startsWith('arp -') && call !== 'arp -an');
  };

  beforeEach(async () => {
    fake = (await FakeRoot.make()).configure().stub('sleep').stub('lockf', 'shift 5; exec "$@"');
  });

  it('answers on the bridge for plain jails that are there, and for none that is gone', () => {
    expect(asked([], ['192.168.100.10', '192.168.100.12'])).toEqual([
      'arp -s 192.168.100.10 auto pub',
      'arp -s 192.168.100.12 auto pub',
    ]);
    expect(asked(['192.168.100.10', '192.168.100.13'], ['192.168.100.10'])).toEqual([
      'arp -d 192.168.100.13',
    ]);
  });

  it('leaves alone what is of no bridge', () => {
    expect(asked(['203.0.113.7'], ['127.0.0.1', '203.0.113.8'])).toEqual([]);
  });

  it('looks again where something changed while it looked', () => {
    fake.stub('lockf', 'exit 75');
    expect(fake.run(SCRIPT, []).code).toBe(0);
    expect(fake.read('var/run/clawdie/plain-arp/again')).toBe('');
  });
});

describe('the list of network cards', () => {
  const SCRIPT = join(LIBRARY, 'cards.sh');
  let fake: FakeRoot;
  const cards = (...args: readonly string[]): ScriptResult => fake.run(SCRIPT, args);
  const has = (name: string): boolean => cards('has', name).code === 0;

  beforeEach(async () => {
    fake = (await FakeRoot.make()).configure();
    stubInterfaces(fake, {
      vtnet0: ['vtnet0'],
      wan: ['em0'],
      lo0: ['lo0'],
      warden0: ['bridge0'],
      tailscale0: ['tun0'],
    });
  });

  it('has what hardware brought, by whatever name', () => {
    expect(cards('decide')).toMatchObject({ code: 0, stderr: '' });
    expect(fake.read('var/run/clawdie/cards')).toBe('vtnet0 vtnet0\nwan em0\n');
    expect(cards('list').stdout).toBe('vtnet0\nwan\n');
    for (const name of ['warden0', 'tailscale0', 'lo0', 'igb7', '', 'vtnet0;reboot'])
      expect([name, has(name)]).toEqual([name, false]);
  });

  it('is the one that build.cfg names, whether it is there yet or not', () => {
    fake.configure({ EXT_IF: 'vtnet0' });
    cards('decide');
    expect(fake.read('var/run/clawdie/cards')).toBe('vtnet0 vtnet0\n');
    fake.configure({ EXT_IF: 'lagg0' });
    cards('decide');
    expect(fake.read('var/run/clawdie/cards')).toBe('lagg0 lagg0\n');
    expect(cards('list').stdout).toBe('');
    expect(cards('add', 'vtnet0').code).toBe(1);
  });

  it('takes no interface of a jail for a card, not under the name of one either', () => {
    cards('decide');
    // The card is gone; a jail has ended whose root called its interface so.
    stubInterfaces(fake, { vtnet0: ['epair0'], e0a_v1: ['epair1'], ng0_v2: ['ngeth0'], vtnet9: ['epair2'] });
    for (const name of ['vtnet0', 'e0a_v1', 'ng0_v2', 'vtnet9']) {
      expect([name, has(name)]).toEqual([name, false]);
      expect([name, cards('add', name).code]).toEqual([name, 1]);
    }
    expect(cards('list').stdout).toBe('');
  });

  it('takes up a card that hardware brings later, where there is a device behind it', () => {
    cards('decide');
    stubInterfaces(
      fake,
      { vtnet0: ['vtnet0'], vtnet1: ['vtnet1'], ue0: ['ue0'], odd0: ['odd0'], ng0_v2: ['ngeth0'] },
      ['dev.vtnet.1', 'net.ue.0', 'dev.ngeth.0'],
    );
    expect(cards('add', 'vtnet1').code).toBe(0);
    expect(cards('add', 'ue0').code).toBe(0);
    expect(cards('add', 'odd0').code).toBe(1);
    expect(cards('add', 'ng0_v2').code).toBe(1);
    expect(cards('list').stdout).toBe('vtnet0\nvtnet1\nue0\n');
    expect(cards('add', 'vtnet1').code).toBe(0);
    expect(fake.read('var/run/clawdie/cards')).toBe('vtnet0 vtnet0\nwan em0\nvtnet1 vtnet1\nue0 ue0\n');
  });

  it('is decided once in a boot', () => {
    fake.withRcSubr().file('usr/local/libexec/clawdie/cards.sh', readFileSync(SCRIPT, 'utf8'), 0o755);
    const rc = 'overlays/firstboot/etc/rc.d/clawdie_cards';
    expect(fake.run(rc, ['start'])).toMatchObject({ code: 0, stderr: '' });
    stubInterfaces(fake, { vtnet0: ['vtnet0'], late0: ['late0'] });
    fake.run(rc, ['start']);
    expect(fake.read('var/run/clawdie/cards')).toBe('vtnet0 vtnet0\nwan em0\n');
  });

  it('is what rc(8) configures the cards by: it has read rc.conf before there was a list, and reads it again', () => {
    fake.withRcSubr().file('usr/local/libexec/clawdie/cards.sh', readFileSync(SCRIPT, 'utf8'), 0o755);
    // By hand there is nobody who would read it again.
    expect(fake.run('overlays/firstboot/etc/rc.d/clawdie_cards', ['start'])).toMatchObject({
      ...{ code: 0, stdout: '', stderr: '' },
    });
    fake.removeFile('var/run/clawdie/cards').file(
      'rc',
      `trap 'echo "read again, with a list of $(grep -c . "$CLAWDIE_ROOT/var/run/clawdie/cards")"' ALRM
RC_PID=$$
_boot=faststart
(set -- start; . '${join(fake.root, '.run/clawdie_cards')}')
echo netif`,
    );
    expect(fake.run(join(fake.root, 'rc'))).toMatchObject({
      ...{ code: 0, stdout: 'read again, with a list of 2\nnetif\n' },
    });
  });

  it('is what rc.conf asks for addresses on, and nothing else', () => {
    cards('decide');
    const rc = bodyOf(overlayOf(configOf()), 'etc/rc.conf');
    expect(rc).not.toContain('ifconfig_DEFAULT');
    fake.file(
      'show',
      [
        rc.replaceAll('/var/run/clawdie', join(fake.root, 'var/run/clawdie')),
        "set | grep '^ifconfig_' | grep -v 'warden\\|_name\\|clawdie0'",
      ].join('\n'),
    );
    const shown = fake.run(join(fake.root, 'show')).stdout.replaceAll("'", '').trim().split('\n');
    expect(shown.sort()).toEqual([
      'ifconfig_vtnet0=SYNCDHCP',
      'ifconfig_vtnet0_ipv6=inet6 accept_rtadv',
      'ifconfig_wan=SYNCDHCP',
      'ifconfig_wan_ipv6=inet6 accept_rtadv',
    ]);
  });

  describe('is what dhclient goes by', () => {
    /** A piece of configuration that asks cards.sh, with that program in its place. */
    const piece = (path: string, program: string, before: string, after: string): string => {
      const text = readFileSync(`overlays/firstboot/${path}`, 'utf8');
      const stand = join(fake.root, 'cards');
      fake.file('cards', `#!/bin/sh\n${program}\n`, 0o755);
      fake.file(
        'piece',
        [
          before,
          text
            .replaceAll('/usr/local/libexec/clawdie/cards.sh', stand)
            .replaceAll('/usr/local/libexec/clawdie/address-new.sh', 'true'),
          after,
        ].join('\n'),
      );
      return join(fake.root, 'piece');
    };
    const conf = (ifn: string, program = 'exit 1'): ScriptResult =>
      fake.run(
        piece(
          'etc/rc.conf.d/dhclient',
          program,
          'ifn=$1; ifconfig_e0a_v1=SYNCDHCP',
          'echo "$ifconfig_e0a_v1"',
        ),
        [ifn],
      );

    it('rc.d/dhclient asks on no other interface, whoever starts it', () => {
      expect(conf('e0a_v1').stdout).toBe('NOAUTO\n');
      expect(conf('e0a_v1', 'exit 0').stdout).toBe('SYNCDHCP\n');
    });

    it('a name that is more than a name does not reach rc(8), which evaluates it', () => {
      for (const name of ['x}$(touch y)', 'x;y', 'x y', '`y`'])
        expect([name, conf(name)]).toMatchObject([name, { code: 1, stdout: '' }]);
    });

    it('dhclient-script believes nothing that is said elsewhere', () => {
      const hook = (program: string): string =>
        fake.run(
          piece('etc/dhclient-enter-hooks', program, 'interface=e0a_v1 exit_status=0', 'echo "$exit_status"'),
        ).stdout;
      expect(hook('[ "$*" != "has e0a_v1" ]')).toBe('1\n');
      expect(hook('[ "$*" = "has e0a_v1" ]')).toBe('0\n');
    });

    /** What dhclient-script does to the routes after its own work, where the default route has that card. */
    const routes = (card: string, other: string, told: string): readonly string[] => {
      cards('decide');
      fake.file('default', other);
      const file = join(fake.root, 'default');
      fake.stub('route', `case "$1" in -n) echo "  interface: $(cat ${file})" ;; *) : > ${file} ;; esac`);
      fake.stub('added', `echo ${card} > ${file}`);
      const given = `interface=${card} old_ip_address=192.0.2.1 new_ip_address=192.0.2.1 ${told}
add_new_routes() { added; }
fill_classless_routes() { classless_routes=" $(echo "$1" | sed 's/^0 /default /')"; }`;
      return fake
        .run(piece('etc/dhclient-exit-hooks', `exec sh '${join(process.cwd(), SCRIPT)}' "$@"`, given, ''))
        .calls.filter((call) => /^(?:route -q|added)/.test(call));
    };
    const MOVED = ['route -q delete -inet default', 'added '];
    const ROUTER = 'new_routers=203.0.113.1';

    it.each(['BOUND', 'REBOOT'])('the first card takes the default route from another one: %s', (reason) => {
      expect(routes('vtnet0', 'wan', `reason=${reason} ${ROUTER}`)).toEqual(MOVED);
      expect(routes('wan', 'vtnet0', `reason=${reason} ${ROUTER}`)).toEqual([]);
    });

    it.each<[string, string, string]>([
      ['no router', 'wan', 'reason=BOUND'],
      ['routes of which none is the default', 'wan', `reason=BOUND new_classless_routes='8 10 1' ${ROUTER}`],
      ['a lease that is renewed, which sets no route', 'wan', `reason=RENEW ${ROUTER}`],
      ['its own route', 'vtnet0', `reason=BOUND ${ROUTER}`],
      ['no route at all', '', `reason=BOUND ${ROUTER}`],
      ['the route of a tunnel', 'tailscale0', `reason=BOUND ${ROUTER}`],
    ])('the first card leaves the default route with %s', (_, other, told) => {
      expect(routes('vtnet0', other, told)).toEqual([]);
    });

    it('the first card takes the default route among classless ones', () => {
      expect(routes('vtnet0', 'wan', "reason=BOUND new_classless_routes='0 203 0 113 1'")).toEqual(MOVED);
      expect(routes('e0a_v1', 'wan', `reason=BOUND ${ROUTER}`)).toEqual([]);
    });
  });
});

describe("the host's own addresses", () => {
  const SCRIPT = join(LIBRARY, 'addresses.sh');
  let fake: FakeRoot;
  const addresses = (...service: readonly string[]): readonly string[] =>
    fake.run(SCRIPT, service).stdout.trimEnd().split('\n');
  const HOST: Interfaces = {
    vtnet0: [
      'vtnet0',
      'inet 203.0.113.10 netmask 0xffffff00 broadcast 203.0.113.255',
      'inet6 fe80::1%vtnet0 prefixlen 64 scopeid 0x1',
      'inet6 2001:db8::10 prefixlen 64 autoconf',
      'inet6 2001:db8::99 prefixlen 64 tentative',
      'groups: egress',
    ],
    lo0: ['lo0', 'inet6 ::1 prefixlen 128', 'inet 127.0.0.1 netmask 0xff000000', 'groups: lo'],
    natasha0: ['lo1', 'inet 192.168.100.20 netmask 0xffffffff', 'groups: lo'],
    warden0: ['bridge0', 'inet 192.168.100.1 netmask 0xffffff00', 'groups: bridge wardens'],
    e0a_v1: ['epair0', 'groups: epair'],
    tailscale0: ['tun0', 'inet 100.64.0.7 --> 100.64.0.7 netmask 0xffffffff', 'groups: tun'],
  };

  beforeEach(async () => {
    fake = (await FakeRoot.make()).configure().stub('jls');
    stubInterfaces(fake, HOST);
  });

  it('are those of its interfaces, but not those of jails and bridges', () => {
    expect(addresses()).toEqual(['127.0.0.1', '::1', '203.0.113.10', '100.64.0.7', '2001:db8::10']);
  });

  it('have gateways among them for a service that jails may reach', () => {
    fake.configure({ HOST_PORTS: "'22/tcp 53/udp'" });
    expect(addresses('22/tcp')).toContain('192.168.100.1');
    expect(addresses('53/udp')).toContain('192.168.100.1');
    for (const other of ['', '2/tcp', '22/udp', '123/udp'])
      expect([other, addresses(other).includes('192.168.100.1')]).toEqual([other, false]);
    expect(addresses('22/tcp')).not.toContain('192.168.100.20');
  });

  it('are not those of a jail that has one on the internet side, running or about to', () => {
    const outer = (last: number, mask = 'ff'): string => `inet 203.0.113.${last} netmask 0xffffff${mask}`;
    stubInterfaces(fake, {
      ...HOST,
      vtnet0: ['vtnet0', outer(10, '00'), outer(11), outer(12), outer(13), 'groups: egress'],
    });
    fake
      .stub('jls', 'echo "ip4.addr=192.168.100.20,203.0.113.11 ip6.addr="; echo "ip4.addr=- ip6.addr=-"')
      .file('usr/local/bastille/jails/a/jail.conf', 'a {\n  ip4.addr = vtnet0|203.0.113.12/32;\n}\n')
      .file('usr/local/bastille/jails/b/jail.conf', 'b {\n  ip4.addr = "203.0.113.13";\n}\n');
    expect(addresses()).toEqual(['127.0.0.1', '::1', '203.0.113.10', '100.64.0.7']);
  });

  it('lock nobody out where a jail has the only one', () => {
    stubInterfaces(fake, { vtnet0: ['vtnet0', 'inet 203.0.113.10 netmask 0xffffff00'] });
    fake.stub('jls', 'echo "ip4.addr=203.0.113.10 ip6.addr="');
    expect(addresses()).toEqual(['127.0.0.1', '::1', '203.0.113.10']);
  });

  it('are the loopback where there is no other, and where nothing can be found out', () => {
    stubInterfaces(fake, { lo0: ['lo0', 'inet 127.0.0.1 netmask 0xff000000'] });
    expect(addresses()).toEqual(['127.0.0.1', '::1']);
    fake.stub('ifconfig', 'exit 1').stub('jls', 'exit 1');
    expect(addresses()).toEqual(['127.0.0.1', '::1']);
  });

  it('are no more than sshd takes, IPv4 before what a router hands out', () => {
    stubInterfaces(fake, {
      vtnet0: [
        'vtnet0',
        ...Array.from({ length: 30 }, (_, index) => `inet6 2001:db8:${index}::1 prefixlen 64`),
        'inet 203.0.113.10 netmask 0xffffff00',
      ],
    });
    expect(addresses()).toHaveLength(16);
    expect(addresses()[2]).toBe('203.0.113.10');
  });

  it('are those of a bridge that faces the internet', () => {
    fake.configure({ EXT_IF: 'bridge9' });
    stubInterfaces(fake, { bridge9: ['bridge9', 'inet 203.0.113.10 netmask 0xffffff00', 'groups: bridge'] });
    expect(addresses()).toContain('203.0.113.10');
  });
});

describe('services listen on the addresses that the host has', () => {
  const SCRIPT = join(LIBRARY, 'listen.sh');
  const LONG = '2001:db8:1234:5678:9abc:def0:1234:5678';
  let fake: FakeRoot;

  /** sockstat(1) of a command that listens on these addresses. */
  const listening = (command: string, port: number, ...addresses: readonly string[]): string =>
    addresses
      .map((address) => {
        const local = address.includes(':') ? `[${address}]` : address;
        return `root     ${command}  700   7  ${address.includes(':') ? 'tcp6' : 'tcp4'}   ${local}:${port}  *:*\n`;
      })
      .join('');
  /** Services that run are those with a file in the folder `up`. */
  const services = (onRestart = ':'): void =>
    void fake.stub(
      'service',
      `up="$CLAWDIE_ROOT/up/$1"
case $2 in
onestatus) [ -e "$up" ] ;;
onestart) : > "$up" ;;
onerestart|onereload|reload) ${onRestart} ;;
esac`,
    );
  const run = (): readonly string[] =>
    fake.run(SCRIPT).calls.filter((call) => /^service \S+ (?!onestatus)/.test(call));
  const own = (...addresses: readonly string[]): void => {
    const lines = addresses.map((address) =>
      address.includes(':') ? `inet6 ${address} prefixlen 64` : `inet ${address} netmask 0xffffff00`,
    );
    stubInterfaces(fake, { vtnet0: ['vtnet0', ...lines] });
  };
  const sockets = (text: string): void => void fake.file('sockets', text);

  beforeEach(async () => {
    fake = (await FakeRoot.make())
      .configure()
      .stub('logger')
      .stub('jls')
      .stub('sockstat', 'cat "$CLAWDIE_ROOT/sockets"')
      .file('up/sshd', '')
      .file('up/syslogd', '');
    services();
    own('203.0.113.10', LONG);
    sockets(listening('sshd', 22, '127.0.0.1', '::1', '203.0.113.10', LONG));
  });

  it('and are left alone where they do', () => {
    expect(run()).toEqual([]);
  });

  it.each<[string, () => unknown]>([
    ['another address came', () => own('203.0.113.10', '203.0.113.77', LONG)],
    ['one is gone', () => own('203.0.113.10')],
    ['they listen on the wildcard', () => sockets(`${fake.read('sockets')}root sshd 700 9 tcp4 *:22 *:*\n`)],
  ])('and are told anew where %s', (_, change) => {
    change();
    expect(run()).toEqual(['service sshd onerestart']);
  });

  it('looks at the sockets of the host alone, in full', () => {
    expect(fake.run(SCRIPT).calls).toContain('sockstat -46lqw -j 0 -P tcp -p 22');
  });

  it('an address that cannot be listened on is tried again, but not at every minute', () => {
    own('203.0.113.10', '203.0.113.77');
    expect(run()).toEqual(['service sshd onerestart']);
    expect(run()).toEqual([]);
    own('203.0.113.10', '203.0.113.78');
    expect(run()).toEqual(['service sshd onerestart']);
  });

  it('one that does not come back is started until it does; one that somebody stopped is not', () => {
    fake.removeFile('up/sshd');
    expect(run()).toEqual([]);
    fake.file('up/sshd', '');
    services('rm -f "$up"');
    own('203.0.113.77');
    expect(run()).toEqual(['service sshd onerestart']);
    expect(run()).toEqual(['service sshd onestart']);
    expect(fake.has('up/sshd')).toBe(true);
  });

  it('nginx is told by a reload, which ends no connection, where HTTP or HTTPS ask for it', () => {
    fake.configure({ HTTP: 'YES', HTTPS: 'YES' });
    expect(run()).toEqual([]);
    fake.file('up/clawdie_web', '');
    sockets(
      fake.read('sockets') +
        listening('nginx', 80, '127.0.0.1', '::1', '203.0.113.10', LONG) +
        listening('nginx', 443, '127.0.0.1', '::1', '203.0.113.9', LONG),
    );
    expect(run()).toEqual(['service clawdie_web onereload']);
    fake.configure({ HTTP: 'YES' });
    expect(run()).toEqual([]);
  });

  it('the glasspane follows the address of the tailnet, and stays off where somebody stopped it', () => {
    fake.configure({ GLASSPANE: 'YES' }).stub('pgrep').file('var/run/clawdie/glasspane.address', '\n');
    expect(run()).toEqual([]);
    stubInterfaces(fake, {
      vtnet0: ['vtnet0', 'inet 203.0.113.10 netmask 0xffffff00', `inet6 ${LONG} prefixlen 64`],
    });
    fake
      .file('ifconfig/tailscale0', '\tinet 100.64.0.7 --> 100.64.0.7 netmask 0xffffffff\n')
      .file('var/run/clawdie/glasspane.address', '100.64.0.9\n');
    expect(run()).toEqual(['service clawdie_glasspane vnc']);
    fake.stub('pgrep', 'exit 1');
    expect(run()).toEqual([]);
  });

  describe('a remote host for logs', () => {
    const CONF = 'var/run/clawdie/syslog.conf';
    beforeEach(() => {
      fake
        .configure({ SYSLOG_HOST: 'log.example.org', SYSLOG_PORT: '5514' })
        .stub('getaddrinfo', 'printf "dgram inet6 udp 2001:db8::5 0\\ndgram inet udp 192.0.2.5 0\\n"')
        .stub('route', 'case "$*" in *-inet6*) exit 1 ;; esac');
    });

    it('is named by its address once there is a route to it, and syslogd told once', () => {
      expect(run()).toEqual(['service syslogd reload']);
      expect(fake.read(CONF).split('\n')[0]).toBe('*.*\t@192.0.2.5:5514');
      expect(run()).toEqual([]);
      own('203.0.113.77');
      sockets(listening('sshd', 22, '127.0.0.1', '::1', '203.0.113.77'));
      expect(run()).toEqual(['service syslogd reload']);
    });

    it('is not named while there is none: syslogd would end', () => {
      fake.stub('route', 'exit 1');
      expect(run()).toEqual([]);
      expect(fake.has(CONF)).toBe(false);
      fake.stub('route');
      expect(run()).toEqual(['service syslogd reload']);
      expect(fake.read(CONF).split('\n')[0]).toBe('*.*\t@[2001:db8::5]:5514');
      fake.stub('getaddrinfo', 'exit 2');
      expect(run()).toEqual(['service syslogd reload']);
      expect(fake.has(CONF)).toBe(false);
    });

    it('that was the end of syslogd costs it no more than a minute', () => {
      run();
      fake.removeFile('up/syslogd');
      expect(run()).toEqual(['service syslogd onestart']);
      expect(fake.has(CONF)).toBe(false);
    });
  });
});

describe('sshd', () => {
  it('gets the addresses in its flags, and the loopback where none are known', async () => {
    const fake = await FakeRoot.make();
    const text = readFileSync('overlays/firstboot/etc/rc.conf.d/sshd', 'utf8');
    const flags = (program: string): string => {
      const stand = join(fake.root, 'addresses');
      fake.file('addresses', `#!/bin/sh\n${program}\n`, 0o755);
      fake.file(
        'conf',
        [
          'sshd_flags="-o UseDNS=no"',
          text.replace('/usr/local/libexec/clawdie/addresses.sh', stand),
          'echo "$sshd_flags"',
        ].join('\n'),
      );
      return fake.run(join(fake.root, 'conf')).stdout;
    };
    expect(flags('[ "$*" = 22/tcp ] && printf "127.0.0.1\\n2001:db8::1\\n"')).toBe(
      '-o UseDNS=no -o ListenAddress=127.0.0.1 -o ListenAddress=2001:db8::1\n',
    );
    expect(flags('exit 1')).toBe('-o UseDNS=no -o ListenAddress=127.0.0.1\n');
  });
});

describe('what is blocked', () => {
  const SCRIPT = 'overlays/firstboot/etc/rc.d/clawdie_pflog';

  it('is kept in a ring of files that has a bound, for root alone', async () => {
    const fake = (await FakeRoot.make())
      .withRcSubr()
      .stub('kldload')
      .stub('install')
      .stub('daemon')
      .stub('ifconfig', '[ "$*" != pflog0 ]');
    const result = fake.run(SCRIPT, ['start']);
    expect(result).toMatchObject({ code: 0, stderr: '' });
    expect(result.calls.map((call) => call.replaceAll(fake.root, ''))).toEqual([
      'kldload -n pflog',
      'ifconfig pflog0',
      'ifconfig pflog0 create',
      'ifconfig pflog0 up',
      'install -d -o root -g wheel -m 700 /var/log/clawdie-blocked',
      'daemon -f -r -R 10 -P /var/run/clawdie/pflog.pid -p /var/run/clawdie/pflog.child nice -n 19 tcpdump -n -p -i pflog0 -s 160 -C 1 -W 4 -w /var/log/clawdie-blocked/packets',
    ]);
  });

  it('is not kept where that cannot be', async () => {
    const fake = (await FakeRoot.make()).withRcSubr().stub('kldload', 'exit 1').stub('daemon');
    const result = fake.run(SCRIPT, ['start']);
    expect(result).toMatchObject({ code: 1, calls: ['kldload -n pflog'] });
  });
});
