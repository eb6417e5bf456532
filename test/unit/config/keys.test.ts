import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { exampleText } from '../../../build/config/example.js';
import { KEY_NAMES } from '../../../build/config/keys.js';
import { parse } from '../../../build/config/parse.js';
import { isDestination } from '../../../build/config/readers.js';
import { report } from '../../../build/config/report.js';
import { configOf, findingsOf, HASH, PUBLIC_KEY } from '../../helpers/config.js';

const refused = (values: Readonly<Record<string, string>>): string => {
  const text = Object.entries({ SSH_AUTHORIZED_KEYS: PUBLIC_KEY, ...values })
    .map(([key, value]) => `${key}='${value}'`)
    .join('\n');
  return findingsOf(text)
    .map(({ message }) => message)
    .join('\n');
};

describe('build.cfg.example', () => {
  it('is what the schema says', () => {
    expect(readFileSync('build.cfg.example', 'utf8')).toBe(exampleText());
  });

  it('holds every key, and no way to log in', () => {
    const { entries } = parse(exampleText());
    expect(entries.map(({ key }) => key)).toEqual([...KEY_NAMES]);
    expect(findingsOf(exampleText()).map(({ message }) => message)).toEqual([
      'nobody could log in to this image: there is no SSH_AUTHORIZED_KEYS and no ROOT_PASSWORD_HASH',
    ]);
  });
});

describe('values', () => {
  it.each([
    ['ASSISTANT_NAME', 'a'],
    ['ASSISTANT_NAME', 'abcdefghijklmn'],
    ['ASSISTANT_NAME', 'r2d2x'],
    ['HOSTNAME', 'agent.example.org'],
    ['TIMEZONE', 'Europe/Ljubljana'],
    ['TIMEZONE', 'America/Argentina/Buenos_Aires'],
    ['FREEBSD_DIST', '../sets'],
    ['FREEBSD_DIST', 'https://example.org/sets'],
    ['ROOT_PASSWORD_HASH', HASH],
    ['EXT_IF', 'vtnet0'],
    ['DNS', '9.9.9.9, 2620:fe::fe'],
    ['NTP', ''],
    ['AGENT_UI', '127.0.0.1:8080'],
    ['AGENT_UI', '192.168.100.20:3000'],
    ['NTP', 'off'],
    ['NTP', 'time.example.org, 192.0.2.7 2001:DB8::7'],
    ['SYSLOG', 'log.example.org'],
    ['SYSLOG', '192.0.2.7:5514'],
    ['SYSLOG', '[2001:db8::7]:514'],
    ['SYSLOG', '2001:db8::7'],
    ['JAIL_HOST_PORTS', '53/udp 53/tcp'],
    ['PACKAGES', 'bastille node22 py311-foo gtk+3'],
    ['TENANTS', 'natasha igor=192.168.120.0/24'],
    ['NOTIFY_MAIL', 'ops+agents@example.org'],
    ['NOTIFY_WEBHOOK', 'https://hooks.example.org'],
    ['NOTIFY_WEBHOOK', 'https://hooks.example.org:8443/a/b?token=%20$'],
  ])('takes %s=%s', (key, value) => {
    expect(() => configOf({ [key]: value })).not.toThrow();
  });

  it.each([
    ['ASSISTANT_NAME', '', 'must be 1 to 14'],
    ['ASSISTANT_NAME', 'abcdefghijklmno', 'must be 1 to 14'],
    ['ASSISTANT_NAME', 'Clawdie', 'must be 1 to 14'],
    ['ASSISTANT_NAME', 'agent7', 'must be 1 to 14'],
    ['ASSISTANT_NAME', '$(reboot)', 'must be 1 to 14'],
    ['ASSISTANT_NAME', 'em', 'is the name of a FreeBSD network driver'],
    ['ASSISTANT_NAME', 'lo', 'is the name of a FreeBSD network driver'],
    ['ASSISTANT_NAME', 'tun', 'is the name of a FreeBSD network driver'],
    ['ASSISTANT_NAME', 'bridge', 'is the name of a FreeBSD network driver'],
    ['ASSISTANT_NAME', 'warden', 'is a name the image itself uses'],
    ['ASSISTANT_NAME', 'tailscale', 'is a name the image itself uses'],
    ['ASSISTANT_NAME', 'pass', 'is a word of pf.conf(5)'],
    ['NOTIFY_MAIL', '-oQ/tmp@example.org', 'must be one mail address'],
    ['NOTIFY_MAIL', 'a@example.org b@example.org', 'must be one mail address'],
    ['NOTIFY_MAIL', '"a b"@example.org', 'must be one mail address'],
    ['NOTIFY_WEBHOOK', 'http://hooks.example.org/x', 'must be an https URL'],
    ['NOTIFY_WEBHOOK', 'https://user:pw@hooks.example.org/x', 'must be an https URL'],
    ['NOTIFY_WEBHOOK', 'https://192.0.2.7/x', 'must be an https URL'],
    ['NOTIFY_WEBHOOK', 'https://hooks.example.org/a b', 'must be an https URL'],
    ['NOTIFY_WEBHOOK', 'https://hooks.example.org/a#b', 'must be an https URL'],
    ['NOTIFY_WEBHOOK', 'https://hooks.example.org:70000/', 'must be an https URL'],
    ['NOTIFY_WEBHOOK', 'https://-x/', 'must be an https URL'],
    ['HOSTNAME', '-a', 'must be a host name'],
    ['TIMEZONE', '../../etc/passwd', 'names no time zone that is known'],
    ['TIMEZONE', 'Mars/Olympus', 'names no time zone'],
    ['FREEBSD_DIST', 'ftp://example.org', 'must be "mirror"'],
    ['FREEBSD_DIST', 'https://user:secret@example.org/x', 'must be "mirror"'],
    ['FREEBSD_VERSION', 'latest', 'must be the name of a FreeBSD release'],
    ['ARCH', 'arm64', 'must be one of "amd64"'],
    ['ROOT_PASSWORD_HASH', '$1$abc$def', 'is of a kind that is too weak'],
    ['ROOT_PASSWORD_HASH', 'hunter2', 'must be a password hash'],
    ['SSH_AUTHORIZED_KEYS', 'ssh-ed25519 AAAA', 'is not one, or is cut short'],
    ['SSH_AUTHORIZED_KEYS', '-----BEGIN OPENSSH PRIVATE KEY-----', 'holds a private key'],
    ['EXT_IF', 'vtnet0; reboot', 'must be "auto" or the name of an interface'],
    ['WAN_IPV4', '203.0.113.5/24', 'must be "dhcp" or "address/prefix gateway"'],
    ['WAN_IPV4', '203.0.113.5/33 203.0.113.1', 'both of IPv4'],
    ['WAN_IPV6', '203.0.113.5/24 203.0.113.1', 'both of IPv6'],
    ['WAN_IPV4', '224.0.0.5/24 224.0.0.1', 'must name unicast addresses'],
    ['DNS', '1.2.3', 'must be IP addresses'],
    ['NTP', 'time..org', 'must be host names or addresses'],
    ['NTP', '1.2.3', 'must be host names or addresses'],
    ['NTP', '$(reboot)', 'must be host names or addresses'],
    ['NTP', 'a a', 'names a twice'],
    ['NTP', 'a b c d e f g h i', 'has 9 entries, 8 at most'],
    ['AGENT_UI', 'localhost:80', 'must be an IPv4 address and a port'],
    ['AGENT_UI', '127.0.0.1', 'must be an IPv4 address and a port'],
    ['AGENT_UI', '127.0.0.1:70000', 'must be an IPv4 address and a port'],
    ['AGENT_UI', '127.0.0.1:80; return 200', 'must be an IPv4 address and a port'],
    ['SYSLOG', 'tcp://log.example.org', 'syslogd of FreeBSD sends over UDP alone'],
    ['SYSLOG', 'tcp:log.example.org:514', 'syslogd of FreeBSD sends over UDP alone'],
    ['SYSLOG', 'log.example.org:99999', 'must be a host, or a host with its port'],
    ['SYSLOG', '[log.example.org]:514', 'must be a host, or a host with its port'],
    ['SYSLOG', '2001:db8::7:x', 'must be a host, or a host with its port'],
    ['SYSLOG', '|reboot', 'must be a host, or a host with its port'],
    ['AGENT_NET', '192.168.100.0/25', 'must be a /24 network'],
    ['AGENT_NET', '192.168.100.7/24', 'host bits zero'],
    ['AGENT_NET', '8.8.8.0/24', 'must be a private network'],
    ['JAIL_SUPERNET', '192.0.0.0/6', 'must be a network from /8 to /24'],
    ['JAIL_HOST_PORTS', '99999/tcp', 'must be port/tcp or port/udp'],
    ['SSH_ALLOW', '0.0.0.0/0', 'has too much of the internet'],
    ['SSH_ALLOW', '2000::/3', 'has too much of the internet'],
    ['SSH_ALLOW', '192.0.2.7/24', 'has bits behind the prefix'],
    ['SSH_ALLOW', '192.0.2.7/33', 'has a prefix of 33 bits'],
    ['SSH_ALLOW', 'example.org', 'must be addresses and networks'],
    ['SSH_ALLOW', 'fe80::1%em0', 'must be addresses and networks'],
    ['SSH_ALLOW', '100.100.0.0/16', 'shares addresses with 100.64.0.0/10'],
    ['SSH_ALLOW', '192.168.100.7', 'shares addresses with 192.168.0.0/16'],
    ['OPEN_PORTS', '0/tcp', 'must be port/tcp or port/udp'],
    ['OPEN_PORTS', '65536/tcp', 'must be port/tcp or port/udp'],
    ['OPEN_PORTS', '22/tcp', 'must not have 22/tcp'],
    ['OPEN_PORTS', '5900/tcp', 'must not have 5900/tcp'],
    ['OPEN_PORTS', '41641/udp', 'must not have 41641/udp'],
    ['OPEN_PORTS', '443/tcp', 'which HTTPS="yes" has already'],
    ['FORWARD_PORTS', '80/tcp=worker:80', 'which HTTP="yes" has already'],
    ['FORWARD_PORTS', '8080/tcp=nobody:80', 'which JAILS does not have'],
    ['FORWARD_PORTS', '8080/tcp', 'must be port/tcp=jail:port'],
    ['FORWARD_PORTS', '8080/tcp=worker:0', 'must be port/tcp=jail:port'],
    ['FORWARD_PORTS', '8080/tcp=worker:80 8080/tcp=worker:81', 'which FORWARD_PORTS has already'],
    ['PACKAGES', 'a;b', 'must be package names'],
    ['PACKAGES', '--help', 'must be package names'],
    ['TENANTS', 'natasha natasha', 'names natasha twice'],
    ['ASSISTANT_NAME', 'ntpd', 'is a user, a group or a host name of the base system'],
    ['TENANTS', 'ftp', 'is a user, a group or a host name of the base system'],
    ['TIMEZONE', 'europe/ljubljana', 'names no time zone that is known'],
    ['TIMEZONE', 'EUROPE/Ljubljana', 'names no time zone that is known'],
    ['TIMEZONE', 'us/pacific', 'names no time zone that is known'],
    ['EXT_IF', 'lo0', 'that a network card has'],
    ['EXT_IF', 'bridge0', 'that a network card has'],
    ['EXT_IF', 'warden0', 'that a network card has'],
    ['EXT_IF', 'epair12', 'that a network card has'],
    ['EXT_IF', 'clawdie0', 'is the loopback of jails'],
    ['SSH_AUTHORIZED_KEYS', `${PUBLIC_KEY}\r${PUBLIC_KEY}`, 'contains the control character 0x0d'],
    ['SSH_AUTHORIZED_KEYS', `${PUBLIC_KEY}\u2028${PUBLIC_KEY}`, 'contains the control character 0x2028'],
    ['SSH_AUTHORIZED_KEYS', `${PUBLIC_KEY}\u001b[2J`, 'contains the control character 0x1b'],
    ['SSH_AUTHORIZED_KEYS', `${PUBLIC_KEY}\0`, 'contains the control character 0x00'],
    ['SSH_AUTHORIZED_KEYS', `${PUBLIC_KEY} \u202eevil`, 'contains the control character 0x202e'],
  ])('refuses %s=%j: %s', (key, value, message) => {
    expect(refused({ [key]: value })).toContain(message);
  });
});

it.each([
  ['JAIL_MEMORY', 'lots', 'write it as 512M or 25%'],
  ['JAIL_CPU', 'cpu=50', 'write it as 50'],
  ['JAILS', 'worker memory=lots', 'write it as memory=512M or memory=25%'],
])('%s="%s" is told to be written as that key has it', (key, value, fix) => {
  const [finding] = findingsOf(`SSH_AUTHORIZED_KEYS="${PUBLIC_KEY}"\n${key}="${value}"\n`);
  expect(finding?.fix).toBe(fix);
});

it('what a hash has to be is not hidden from who wrote another', () => {
  const text = `ROOT_PASSWORD_HASH='secret'\n`;
  const shown = report(findingsOf(text), { 'build.cfg': text });
  expect(shown).toContain('must be a password hash of crypt(3), of SHA-512 or bcrypt\n');
  expect(shown).not.toContain('secret');
});

describe('rules between keys', () => {
  it.each([
    [{ SSH_PASSWORD_AUTH: 'yes' }, 'no ROOT_PASSWORD_HASH that a password could match'],
    [{ GLASSPANE: 'yes' }, 'operators reach it over the tailnet only'],
    [{ GLASSPANE: 'yes', TAILSCALE: 'jail' }, 'with TAILSCALE="jail" the host is in none'],
    [{ AGENT_UI: '127.0.0.1:8080', HTTPS: 'no' }, 'nobody would answer for it'],
    [{ AGENT_UI: '192.0.2.7:8080' }, 'which is neither this host nor a jail of JAIL_SUPERNET'],
    [{ TAILSCALE_AUTHKEY_FILE: 'key' }, 'but TAILSCALE is "off"'],
    [{ AGENT_NET: '10.83.0.0/24' }, 'is not in JAIL_SUPERNET'],
    [{ JAIL_SUPERNET: '192.168.100.0/24', TENANTS: 'natasha' }, 'has no free /24 left for tenant natasha'],
    [{ TENANTS: 'natasha=192.168.100.0/24' }, 'is already taken'],
    [{ TENANTS: 'clawdie' }, 'by the name of the assistant'],
    [{ TENANTS: 'natasha=10.0.0.0/24' }, 'is not in JAIL_SUPERNET'],
    [{ WAN_IPV4: '192.168.1.5/24 192.168.1.1', DNS: '9.9.9.9', EXT_IF: 'em0' }, 'overlaps JAIL_SUPERNET'],
    [
      { WAN_IPV4: '203.0.113.5/24 198.51.100.1', DNS: '9.9.9.9', EXT_IF: 'em0' },
      'the gateway 198.51.100.1 is not in 203.0.113.0/24',
    ],
    [
      { WAN_IPV4: '203.0.113.255/24 203.0.113.1', DNS: '9.9.9.9', EXT_IF: 'em0' },
      'is the network or broadcast address',
    ],
    [{ WAN_IPV4: '203.0.113.5/24 203.0.113.1', EXT_IF: 'em0' }, 'nothing else names a name server'],
    [{ WAN_IPV4: '203.0.113.5/24 203.0.113.1', DNS: '9.9.9.9' }, 'does not say which interface'],
    [{ WAN_IPV6: '2001:db8::5/64 fe80::1' }, 'does not say which interface'],
  ])('refuses %j', (values, message) => {
    expect(refused(values)).toContain(message);
  });

  it('refuses an image that nobody can log in to, unless it is the sample', () => {
    expect(refused({ SSH_AUTHORIZED_KEYS: '' })).toContain('nobody could log in');
    expect(refused({ SSH_AUTHORIZED_KEYS: '', ROOT_PASSWORD_HASH: HASH })).toBe('');
    expect(refused({ SSH_AUTHORIZED_KEYS: '', FREEBSD_DIST: 'sample' })).toBe('');
  });

  it("takes the older document's layout", () => {
    expect(() => configOf({ JAIL_SUPERNET: '10.83.0.0/24', AGENT_NET: '10.83.0.0/24' })).not.toThrow();
  });
});

describe('PUSH_TO', () => {
  it.each([
    'root@198.51.100.7',
    'natasha',
    'root@2001:db8::7',
    'root@[2001:db8::7]',
    'root@fe80::1%em0',
    'ssh://root@198.51.100.7:2222',
    'ssh://root@[2001:db8::7]:2222',
    'ssh://natasha',
  ])('takes %s', (word) => {
    expect(isDestination(word)).toBe(true);
  });

  it.each([
    'root@198.51.100.7:2222',
    'natasha:22',
    '-oProxyCommand=x',
    'ssh://-x',
    'a b',
    '$(id)',
    '',
    'ssh://h:1:2',
  ])('does not take %j', (word) => {
    expect(isDestination(word)).toBe(false);
  });
});
