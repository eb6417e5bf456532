import { execFileSync } from 'node:child_process';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { packOverlay } from '../../../build/overlay/pack.js';
import { holdsSecret } from '../../../build/overlay/render.js';
import type { OverlayEntry } from '../../../build/overlay/render.js';
import { makeView } from '../../../build/overlay/view.js';
import { KEY_NAMES } from '../../../build/config/keys.js';
import { bodyOf, overlayOf, templates } from '../../helpers/deployment.js';
import { configOf, HASH, PUBLIC_KEY } from '../../helpers/config.js';
import { tmp } from '../../helpers/tmp.js';

const render = (values: Readonly<Record<string, string>> = {}): readonly OverlayEntry[] =>
  overlayOf(configOf(values));
describe('an overlay', () => {
  it('names bridges warden0, warden1, …, whatever the assistant is called', () => {
    const rc = bodyOf(render({ ASSISTANT_NAME: 'natasha', TENANTS: 'igor' }), 'etc/rc.conf');
    expect(rc).toContain('ifconfig_bridge0_name=warden0\n');
    expect(rc).toContain("ifconfig_warden0='inet 192.168.100.1/24 group wardens up'\n");
    expect(rc).toContain('ifconfig_bridge1_name=warden1\n');
    expect(rc).toContain('ifconfig_lo1_name=natasha0\n');
    expect(rc).toContain("cloned_interfaces='lo1 bridge0 bridge1'\n");
    expect(rc).not.toContain('natasha0_name');
  });

  it('looks every minute at what services listen on', () => {
    expect(bodyOf(render(), 'etc/cron.d/clawdie')).toMatch(
      /^\*(?:\t\*){4}\troot\t\/etc\/rc\.d\/clawdie_listen quietstart /m,
    );
  });

  it('looks at /var/log/messages every minute, which a jail can fill, and not while newsyslog looks at all logs', () => {
    const crontab = bodyOf(render(), 'etc/cron.d/clawdie');
    expect(crontab).toMatch(
      /^1-59(?:\t\*){4}\troot\tnewsyslog -f \/usr\/local\/etc\/clawdie\/messages\.conf /m,
    );
    // A time would turn it at each look within that hour: newsyslog.conf(5).
    const lines = bodyOf(render(), 'usr/local/etc/clawdie/messages.conf')
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'));
    expect(lines).toEqual(['/var/log/messages\t\t644  5\t   1000\t*\tJC']);
  });

  it('starts dhclient again that has ended, and forgets hosts in <bruteforce>, every five minutes', () => {
    const crontab = bodyOf(render({ BRUTEFORCE_EXPIRE: '3600' }), 'etc/cron.d/clawdie');
    expect(crontab).toMatch(/^\*\/5(?:\t\*){4}\troot\t\/etc\/rc\.d\/clawdie_egress ask /m);
    expect(crontab).toMatch(/^\*\/5(?:\t\*){4}\troot\t\/etc\/rc\.d\/clawdie_bans save /m);
    expect(crontab).toMatch(/^\*\/5(?:\t\*){4}\troot\tpfctl -q -t bruteforce -T expire 3600 /m);
  });

  it('enables forwarding, the firewall before netif, and its fallback', () => {
    const rc = bodyOf(render(), 'etc/rc.conf');
    for (const line of [
      'gateway_enable="YES"',
      'clawdie_lockdown_enable="YES"',
      'pf_enable="YES"',
      'pf_fallback_rules_enable="YES"',
      'pf_fallback_rules_file="/etc/pf-fallback.conf"',
      'pf_reload_enable="YES"',
    ])
      expect(rc).toContain(`${line}\n`);
  });

  it('asks for addresses on no interface that appears later, and enables IPv6 on none', () => {
    const rc = bodyOf(render(), 'etc/rc.conf');
    expect(rc).not.toContain('ifconfig_DEFAULT');
    expect(bodyOf(render(), 'etc/rc.conf.d/pccard_ether')).toContain('ifconfig_DEFAULT="NOAUTO"');
    expect(rc).toContain('ifconfig_warden0_ipv6="inet6 ifdisabled"\n');
    expect(rc).toContain('ipv6_activate_all_interfaces="NO"\n');
  });

  it.each([
    ['203.0.113.5/32 198.51.100.1', '-host 198.51.100.1 -iface vtnet0'],
    ['203.0.113.5/32 169.254.0.1', '-host 169.254.0.1 -iface vtnet0'],
    ['203.0.113.4/31 198.51.100.1', '-host 198.51.100.1 -iface vtnet0'],
    ['203.0.113.4/31 203.0.113.5', undefined],
    ['203.0.113.5/24 203.0.113.1', undefined],
  ])('leads to the gateway of WAN_IPV4="%s" by a route of its own where that is outside', (wan, route) => {
    const rc = bodyOf(render({ EXT_IF: 'vtnet0', WAN_IPV4: wan, DNS: '9.9.9.9' }), 'etc/rc.conf');
    expect(/^route_gateway='(.*)'$/m.exec(rc)?.[1]).toBe(route);
    expect(rc.includes('static_routes="gateway"\n')).toBe(route !== undefined);
    expect(rc).toContain(`defaultrouter=${wan.split(' ')[1] ?? ''}\n`);
  });

  it.each([
    ['2001:db8::5/128 2001:db8:ffff::1', '2001:db8:ffff::1 -prefixlen 128 -iface vtnet0'],
    ['2001:db8::5/64 2001:db8:ffff::1', '2001:db8:ffff::1 -prefixlen 128 -iface vtnet0'],
    ['2001:db8::5/64 2001:db8::1', undefined],
    ['2001:db8::5/128 fe80::1', undefined],
  ])('leads to the gateway of WAN_IPV6="%s" likewise', (wan, route) => {
    const rc = bodyOf(render({ EXT_IF: 'vtnet0', WAN_IPV6: wan }), 'etc/rc.conf');
    expect(/^ipv6_route_gateway='(.*)'$/m.exec(rc)?.[1]).toBe(route);
    expect(rc.includes('ipv6_static_routes="gateway"\n')).toBe(route !== undefined);
  });

  it('has the static addresses of build.cfg', () => {
    const rc = bodyOf(
      render({
        EXT_IF: 'vtnet0',
        WAN_IPV4: '203.0.113.5/24 203.0.113.1',
        WAN_IPV6: '2001:DB8::5/64 fe80::1',
        DNS: '9.9.9.9',
      }),
      'etc/rc.conf',
    );
    for (const line of [
      "ifconfig_vtnet0='inet 203.0.113.5/24'",
      "ifconfig_vtnet0_ipv6='inet6 2001:db8::5/64'",
      'defaultrouter=203.0.113.1',
      'ipv6_defaultrouter=fe80::1%vtnet0',
    ])
      expect(rc).toContain(`${line}\n`);
    expect(rc).not.toContain('ifconfig_DEFAULT');
  });

  it('installs resolv.conf only where build.cfg names servers', () => {
    expect(render().some(({ path }) => path === 'etc/resolv.conf')).toBe(false);
    expect(bodyOf(render({ DNS: '9.9.9.9 2620:fe::fe' }), 'etc/resolv.conf')).toBe(
      'nameserver 9.9.9.9\nnameserver 2620:fe::fe\n',
    );
  });

  it('asks for the time where build.cfg says, and never listens on the wildcard or for jails', () => {
    const conf = bodyOf(render(), 'etc/ntp.conf');
    expect(conf).toContain('\npool 0.freebsd.pool.ntp.org iburst\n');
    // The last line that fits counts (add_nic_rule(), ntp_io.c).
    expect(conf.split('\n').filter((line) => line.startsWith('interface'))).toEqual([
      'interface ignore wildcard',
      'interface listen all',
      'interface ignore 192.168.0.0/16',
    ]);
    expect(bodyOf(render({ JAIL_HOST_PORTS: '123/udp' }), 'etc/ntp.conf')).toMatch(
      /interface ignore 192\.168\.0\.0\/16\ninterface listen 192\.168\.100\.1\n$/,
    );
    const named = bodyOf(render({ NTP: 'time.example.org 192.0.2.7 2001:db8::7' }), 'etc/ntp.conf');
    expect(named.match(/^(?:pool|server) .*$/gm)).toEqual([
      'pool time.example.org iburst',
      'server 192.0.2.7 iburst',
      'server 2001:db8::7 iburst',
    ]);
    const off = render({ NTP: 'off' });
    expect(off.some(({ path }) => path === 'etc/ntp.conf')).toBe(false);
    expect(bodyOf(off, 'etc/rc.conf')).toContain('ntpd_enable="NO"\n');
    expect(bodyOf(render(), 'etc/rc.conf')).toContain('ntpd_enable="YES"\nntpd_sync_on_start="YES"\n');
  });

  it('names the host that gets the logs', () => {
    const conf = bodyOf(render({ SYSLOG: '[2001:db8::7]:5514' }), 'etc/clawdie/clawdie.conf');
    expect(conf).toContain('SYSLOG_HOST=2001:db8::7\nSYSLOG_PORT=5514\n');
    expect(bodyOf(render(), 'etc/clawdie/clawdie.conf')).toContain("SYSLOG_HOST=''\n");
  });

  it('has keys, hash and auth key readable by root alone, and only where there are any', () => {
    const plain = render();
    expect(plain.find(({ path }) => path === 'root/.ssh/authorized_keys')).toMatchObject({
      mode: 0o600,
      uid: 0,
      body: `${PUBLIC_KEY}\n`,
    });
    expect(plain.some(({ path }) => /root\.hash|tailscale\.key/.test(path))).toBe(false);
    expect(holdsSecret(plain)).toBe(false);
    const config = configOf({ ROOT_PASSWORD_HASH: HASH, TAILSCALE: 'host', TAILSCALE_AUTHKEY_FILE: 'key' });
    const secret = overlayOf(config, { authKey: 'tskey-auth-x' });
    expect(holdsSecret(secret)).toBe(true);
    expect(secret.find(({ path }) => path === 'var/db/clawdie/root.hash')).toMatchObject({
      mode: 0o600,
      body: `${HASH}\n`,
    });
    expect(secret.find(({ path }) => path === 'var/db/clawdie/tailscale.key')).toMatchObject({
      mode: 0o600,
      body: 'tskey-auth-x\n',
    });
    for (const { path, body, mode } of secret)
      if (body.includes('tskey') || body.includes('saltsalt')) expect([path, mode]).toEqual([path, 0o600]);
  });

  it('has a webhook readable by root alone, and runs what tells by it only where somebody is to be told', () => {
    const cron = (values: Readonly<Record<string, string>>): readonly string[] =>
      [
        ...bodyOf(render(values), 'etc/cron.d/clawdie').matchAll(
          /clawdie-notify run|sendmail -q|clawdie\/metrics/g,
        ),
      ].map(([found]) => found);
    expect(cron({})).toEqual([]);
    expect(cron({ NOTIFY_MAIL: 'ops@example.org' })).toEqual(['clawdie-notify run', 'sendmail -q']);
    expect(cron({ NOTIFY_WEBHOOK: 'https://example.org/hunter2' })).toEqual(['clawdie-notify run']);
    expect(cron({ METRICS: 'yes' })).toEqual(['clawdie/metrics']);
    const entries = render({ NOTIFY_WEBHOOK: 'https://example.org/hunter2' });
    expect(holdsSecret(entries)).toBe(true);
    expect(holdsSecret(render({ NOTIFY_MAIL: 'ops@example.org' }))).toBe(false);
    expect(
      entries.filter(({ body }) => body.includes('hunter2')).map(({ path, mode }) => [path, mode]),
    ).toEqual([['var/db/clawdie/webhook', 0o600]]);
  });

  it('lets passwords in over SSH only where build.cfg says so', () => {
    expect(bodyOf(render(), 'etc/rc.conf')).toContain(
      'PasswordAuthentication=no -o KbdInteractiveAuthentication=no -o PermitRootLogin=prohibit-password',
    );
    expect(bodyOf(render({ SSH_PASSWORD_AUTH: 'yes', ROOT_PASSWORD_HASH: HASH }), 'etc/rc.conf')).toContain(
      'PasswordAuthentication=yes',
    );
  });

  it('has sshd look for keys of the gate, in words that rc.subr(8) evaluates', () => {
    const [line = ''] = /^sshd_flags=.*$/m.exec(bodyOf(render(), 'etc/rc.conf')) ?? [];
    const words = execFileSync('sh', ['-c', `${line}\neval printf "'%s\\n'" \${sshd_flags}`], {
      encoding: 'utf8',
    });
    expect(words.split('\n')).toContain('AuthorizedKeysFile=.ssh/authorized_keys /etc/clawdie/keys/%u');
  });

  it('starts tailscaled on the host only where the host is a node', () => {
    for (const [mode, starts] of [
      ['off', false],
      ['host', true],
      ['subnet', true],
      ['jail', false],
    ] as const)
      expect([
        mode,
        bodyOf(render({ TAILSCALE: mode }), 'etc/rc.conf').includes('tailscaled_enable'),
      ]).toEqual([mode, starts]);
  });

  it('gives jails the loopback, gateway and mirror of the deployment', () => {
    const bastille = bodyOf(
      render({ ASSISTANT_NAME: 'natasha', FREEBSD_MIRROR: 'https://mirror.example' }),
      'usr/local/etc/bastille/bastille.conf',
    );
    for (const line of [
      'bastille_network_loopback=natasha0',
      'bastille_network_pf_table=natasha_jails',
      'bastille_network_gateway=192.168.100.1',
      'bastille_url_freebsd=https://mirror.example/releases/',
      'bastille_zfs_enable="NO"',
    ])
      expect(bastille).toContain(`${line}\n`);
  });
});

describe('jails', () => {
  const plan = (values: Readonly<Record<string, string>>): readonly string[] =>
    bodyOf(render(values), 'etc/clawdie/jails')
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'));

  it('are one plain worker unless build.cfg says otherwise', () => {
    expect(plan({})).toEqual(['worker clawdie plain 192.168.100.10 clawdie/worker 25% 200 50 1073741824']);
    expect(plan({ JAILS: '' })).toEqual([]);
  });

  it('get tenant, network, address, template and limits where JAILS leaves them open', () => {
    expect(
      plan({
        TENANTS: 'natasha',
        JAIL_NETWORK: 'vnet',
        JAIL_MEMORY: '512M',
        JAILS: [
          '# a comment',
          'one plain address=192.168.100.11',
          'two',
          'natasha/three template=none memory=1G processes=50 cpu=150 disk=64M',
          'four',
        ].join('\n'),
      }),
    ).toEqual([
      'one clawdie plain 192.168.100.11 clawdie/worker 536870912 200 50 1073741824',
      'two clawdie vnet 192.168.100.10 clawdie/vnet-worker 536870912 200 50 1073741824',
      'three natasha vnet 192.168.101.10 none 1073741824 50 150 67108864',
      'four clawdie vnet 192.168.100.12 clawdie/vnet-worker 536870912 200 50 1073741824',
    ]);
  });

  it('see no disk, no memory and no packet filter in their /dev', () => {
    const rules = bodyOf(render(), 'etc/devfs.rules').split('\n');
    for (const name of ['bastille_vnet=13', 'clawdie_tailscale=14']) {
      const at = rules.indexOf(`[${name}]`);
      expect(rules.slice(at + 1, at + 4)).toEqual([
        'add include $devfsrules_hide_all',
        'add include $devfsrules_unhide_basic',
        'add include $devfsrules_unhide_login',
      ]);
    }
    expect(rules.filter((line) => line.startsWith('add path'))).toEqual([
      'add path tun unhide',
      "add path 'tun*' unhide",
    ]);
  });
});

describe('pf.conf', () => {
  const lines = (values: Readonly<Record<string, string>> = {}): string[] =>
    bodyOf(render(values), 'etc/pf.conf').split('\n');

  it('has the rules in the order that pf wants: translation before filtering, the block of <bruteforce> before any pass from outside', () => {
    const all = lines();
    const first = (pattern: RegExp): number => all.findIndex((line) => pattern.test(line));
    expect(first(/^table/)).toBeLessThan(first(/^set /));
    expect(first(/^set /)).toBeLessThan(first(/^scrub/));
    expect(first(/^scrub/)).toBeLessThan(first(/^no nat/));
    expect(first(/^no nat/)).toBeLessThan(first(/^nat on/));
    expect(first(/^nat on/)).toBeLessThan(first(/^block drop log all/));
    expect(first(/^block drop in log quick from <bruteforce>/)).toBeLessThan(
      first(/^pass in on \$ext_if proto tcp/),
    );
  });

  it('names no interface of the internet side, and no bare interface as an address', () => {
    for (const line of lines()) {
      expect(line).not.toMatch(/vtnet0|em0|igb0/);
      expect(line).not.toMatch(/(?:from|to) (?:egress|\$ext_if)\b/);
    }
  });

  it('limits SSH as documented', () => {
    expect(lines().join('\n')).toContain(
      'port 22 flags S/SA keep state \\\n    (max-src-conn 5, max-src-conn-rate 3/60, overload <bruteforce> flush global, tcp.first 10, tcp.opening 10)',
    );
  });

  it.each([
    ['HTTP', 80],
    ['HTTPS', 443],
  ])('opens %s unless it is switched off', (key, port) => {
    const rule = `pass in on $ext_if proto tcp to ($ext_if) port ${port} flags S/SA keep state (max 10000)`;
    expect(lines()).toContain(rule);
    expect(lines({ [key]: 'no' })).not.toContain(rule);
  });

  it('never passes VNC from the internet, and answers ping only where build.cfg says so', () => {
    for (const line of lines({ GLASSPANE: 'yes', TAILSCALE: 'host' }))
      expect(line).not.toMatch(/^pass.*5900/);
    expect(lines({ GLASSPANE: 'yes', TAILSCALE: 'host' }).join('\n')).toMatch(
      /^#pass in quick on \$tailscale_if.* port 5900 /m,
    );
    expect(lines({ TAILSCALE: 'host' }).join('\n')).not.toMatch(/pass.*5900/);
    expect(lines().some((line) => line.includes('echoreq'))).toBe(false);
    expect(lines({ ICMP_ECHO: 'yes' }).filter((line) => line.includes('echoreq'))).toHaveLength(2);
  });

  it('has the markers that Bastille looks for, its anchors, and the Tailscale block, commented out', () => {
    const all = lines({ TAILSCALE: 'host' });
    for (const line of [
      '## Bastille firewall configuration',
      'ext_if = "egress"',
      'rdr-anchor "rdr/*"',
      'anchor "bastille/*"',
      'table <clawdie_jails> persist',
      '#tailscale_if="tailscale0"',
    ])
      expect(all).toContain(line);
    expect(all.some((line) => /^[^#].*tailscale_if/.test(line))).toBe(false);
  });

  it('covers every tenant', () => {
    const all = lines({ TENANTS: 'igor boris=192.168.7.0/24' });
    for (const [bridge, net] of [
      ['warden0', '192.168.100.0/24'],
      ['warden1', '192.168.101.0/24'],
      ['warden2', '192.168.7.0/24'],
    ]) {
      expect(all).toContain(`block drop in log quick on ${bridge ?? ''} inet from ! ${net ?? ''} to any`);
    }
    // The spare bridges, for tenants that clawdie-tenant adds later, have their rules from the start.
    expect(all).toContainEqual(
      expect.stringMatching(
        /^table <jail_gateways> const \{ 192\.168\.100\.1, 192\.168\.101\.1, 192\.168\.7\.1, /,
      ),
    );
  });
});

describe('every rendered file', () => {
  const configs = fc.record({
    ASSISTANT_NAME: fc
      .stringMatching(/^[a-z]([a-z0-9]{0,12}[a-z])?$/)
      .filter((name) => ['ok', 'clawdie', 'natasha'].includes(name) || name.length > 8),
    HTTP: fc.constantFrom('yes', 'no'),
    ICMP_ECHO: fc.constantFrom('yes', 'no'),
    CONSOLE: fc.constantFrom('serial', 'video', 'both'),
    TAILSCALE: fc.constantFrom('off', 'host', 'subnet', 'jail'),
    WAN_IPV6: fc.constantFrom('slaac', 'off'),
    EXT_IF: fc.constantFrom('auto', 'vtnet0', 'igb15'),
    DNS: fc.constantFrom('', '9.9.9.9', '2620:fe::fe 1.1.1.1'),
    JAIL_HOST_PORTS: fc.constantFrom('', '53/udp 53/tcp'),
    SSH_ALLOW: fc.constantFrom('', '192.0.2.7 2001:db8::/48'),
    OPEN_PORTS: fc.constantFrom('', '8443/tcp 51820/udp'),
    FORWARD_PORTS: fc.constantFrom('', '2222/tcp=worker:22'),
    TENANTS: fc.constantFrom('', 'igorxx', 'igorxx borisxx=192.168.0.0/24'),
    PACKAGES: fc.constantFrom('', 'bastille', 'a b c'),
  });

  it('holds no unrendered text, and shell files are read by sh as they were meant', async () => {
    const folder = await tmp();
    fc.assert(
      fc.property(configs, (values) => {
        const config = configOf(values);
        for (const { path, type, body } of overlayOf(config)) {
          if (type !== 'file') continue;
          expect(body).not.toMatch(/\{\{|\}\}|undefined|\[object/);
          if (!/^etc\/(rc\.conf|clawdie\/clawdie\.conf)$|bastille\.conf$/.test(path)) continue;
          writeFileSync(join(folder, 'file'), body);
          execFileSync('sh', ['-n', join(folder, 'file')]);
        }
        const view = makeView(config);
        writeFileSync(join(folder, 'conf'), bodyOf(overlayOf(config), 'etc/clawdie/clawdie.conf'));
        const seen = execFileSync(
          'sh',
          [
            '-c',
            `. '${join(folder, 'conf')}'; printf '%s\\n' "$ASSISTANT_NAME" "$TENANTS" "$PACKAGES" "$EXT_IF"`,
          ],
          { encoding: 'utf8' },
        );
        expect(seen).toBe(`${view.assistant}\n${view.tenantList}\n${view.packages}\n${view.extIf}\n`);
      }),
      { numRuns: 25 },
    );
  });

  it('is safe whatever a value holds: refused, or read by sh as plain text', async () => {
    const folder = await tmp();
    const hostile = [
      '$(touch X)',
      '`touch X`',
      "'; touch X; '",
      '"; touch X; "',
      'a\ntouch X',
      '&& touch X',
      '| touch X',
      '> X',
      '-x',
      '*',
      '{{assistant}}',
      '${IFS}touch${IFS}X',
    ];
    for (const key of KEY_NAMES) {
      for (const value of [...hostile, `${PUBLIC_KEY} $(touch X)`]) {
        let entries: readonly OverlayEntry[];
        try {
          entries = render({ TAILSCALE: 'host', [key]: value });
        } catch {
          continue; // refused
        }
        for (const path of [
          'etc/rc.conf',
          'etc/clawdie/clawdie.conf',
          'usr/local/etc/bastille/bastille.conf',
        ]) {
          writeFileSync(join(folder, 'conf'), bodyOf(entries, path));
          execFileSync('sh', ['-eu', join(folder, 'conf')], { cwd: folder });
        }
        expect([key, value, readdirSync(folder)]).toEqual([key, value, ['conf']]);
      }
    }
  });

  it('is packed to the same bytes every time, with its owner and mode', async () => {
    const entries = render();
    const one = await packOverlay(entries, 1_700_000_000);
    expect(one.equals(await packOverlay(entries, 1_700_000_000))).toBe(true);
    const folder = await tmp();
    writeFileSync(join(folder, 'overlay.tar'), one);
    const listing = execFileSync('tar', ['--numeric-owner', '-tvf', join(folder, 'overlay.tar')], {
      encoding: 'utf8',
      env: { ...process.env, TZ: 'UTC' },
    });
    expect(listing).toMatch(/^-rw------- 0\/0 +\d+ 2023-11-14 22:13 \.\/etc\/pf\.conf$/m);
    expect(listing).toMatch(/^-r-xr-xr-x 0\/0 +\d+ 2023-11-14 22:13 \.\/etc\/rc\.d\/clawdie_egress$/m);
    expect(listing).toMatch(
      /^lrwxrwxrwx 0\/0 +\d+ 2023-11-14 22:13 \.\/etc\/localtime -> \/usr\/share\/zoneinfo\/UTC$/m,
    );
  });

  it('is refused if the specification does not list it, or lists what is not there', () => {
    expect(() => overlayOf(configOf(), { templates: [...templates, { path: 'etc/new', text: '' }] })).toThrow(
      'overlays/firstboot holds etc/new, which overlays/firstboot.mtree does not list',
    );
    expect(() =>
      overlayOf(configOf(), {
        templates: templates.filter(({ path }) => path !== 'etc/sysctl.conf'),
      }),
    ).toThrow('lists ./etc/sysctl.conf, which is not there');
    expect(() =>
      overlayOf(configOf(), {
        templates: templates.map((template) =>
          template.path === 'etc/rc.conf.hbs' ? { ...template, text: '{{nothing}}' } : template,
        ),
      }),
    ).toThrow('Rendering overlays/firstboot/etc/rc.conf.hbs: "nothing" not defined');
  });
});
