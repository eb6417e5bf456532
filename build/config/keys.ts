import type { z } from 'zod';
import { readJails } from './jails.js';
import type { JailEntry } from './jails.js';
import { parseBytes, readLimit } from './limits.js';
import type { Amount } from './limits.js';
import { normalAddress, toNumber } from './net.js';
import { readForward, readOpenPort, readSource } from './ports.js';
import type { Forward, Port } from './ports.js';
import {
  hostLabel,
  isDestination,
  readLogHost,
  readName,
  readNetwork,
  readPublicKeys,
  readTimeServers,
  readWan,
} from './readers.js';
import type { LogHost, StaticWan, TenantEntry } from './readers.js';
import type { Reading } from './reading.js';
import { isVirtual } from './reserved.js';
import { list, oneOf, optional, path, text, whole, yesNo } from './schema.js';
import { ZONES } from './zones.js';

/** What a key of build.cfg is: its documentation, its default, and how its text becomes a value. */
export interface Key<T = unknown> {
  readonly group: string;
  /** The documentation, as lines for build.cfg.example; the first is a sentence of its own. */
  readonly doc: readonly string[];
  /** The text that stands for the key where nobody sets it. */
  readonly fallback: string;
  readonly schema: z.ZodType<T, string>;
}

/** Forms of an image; all but the ISO are images of a disk with an instance on it. */
export const IMAGE_FORMATS = ['iso', 'img', 'qcow2', 'vmdk', 'vhd'] as const;
export type ImageFormat = (typeof IMAGE_FORMATS)[number];
export type DiskFormat = Exclude<ImageFormat, 'iso'>;

function key<T>(
  group: string,
  fallback: string,
  schema: z.ZodType<T, string>,
  ...doc: readonly string[]
): Key<T> {
  return { group, fallback, schema, doc };
}

const HTTP_URL = /^https?:\/\/[^\s/?#@]+(?:\/[^\s?#]*)?$/i;

/** Whether something is a place that files are taken from: a folder, a word that stands for one, or an http(s) URL. */
function isSource(input: string): boolean {
  return input !== '' && (!/^[a-z][a-z0-9+.-]*:/i.test(input) || HTTP_URL.test(input));
}

/** Every key of build.cfg, in the order of build.cfg.example. */
export const KEYS = {
  ASSISTANT_NAME: key(
    'Identity',
    'clawdie',
    text(readName),
    'Name of the assistant that lives on the instance.',
    'It names the loopback of plain jails (<name>0) and the pf table <name>_jails; the bridge is always warden0.',
  ),
  HOSTNAME: key(
    'Identity',
    '',
    text<string>((input) => {
      const good =
        input === '' || (input.length <= 253 && input.split('.').every((label) => hostLabel.test(label)));
      return good
        ? { value: input.toLowerCase() }
        : {
            message: 'must be a host name (RFC 1123): letters, digits and - in labels of 1 to 63',
            fix: 'write it as "agent.example.org"',
          };
    }),
    'Host name of the instance. Empty: ASSISTANT_NAME.',
  ),
  HOST: key(
    'Identity',
    '',
    text<string>((input) =>
      input === '' || /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/.test(input)
        ? { value: input }
        : {
            message: 'must be the name of a machine: letters, digits, . _ and -',
            fix: 'write it as "rack1-7"',
          },
    ),
    'Machine that the instance shares with other deployments of a fleet. Empty: its own.',
    'Deployments of one machine must differ in ASSISTANT_NAME and in their nets.',
  ),
  TIMEZONE: key(
    'Identity',
    'UTC',
    text<string>((input) => {
      const fix = 'write a name of the tz database, such as "UTC" or "Europe/Ljubljana"';
      if (ZONES.has(input)) return { value: input };
      const near = [...ZONES].find((zone) => zone.toLowerCase() === input.toLowerCase());
      return {
        message: `names no time zone that is known: ${input}`,
        fix: near === undefined ? fix : `write "${near}": upper and lower case count`,
      };
    }),
    'Time zone of the instance, by its name in the tz database.',
  ),

  FREEBSD_VERSION: key(
    'Release',
    '15.1-RELEASE',
    text<string>((input) =>
      /^[1-9][0-9]\.[0-9](?:-(?:RELEASE|BETA[1-9]|RC[1-9]|STABLE|CURRENT))(?:-p[0-9]{1,2})?$/.test(input)
        ? { value: input }
        : { message: 'must be the name of a FreeBSD release', fix: 'write it as "15.1-RELEASE"' },
    ),
    'FreeBSD release that the image is made of.',
  ),
  ARCH: key('Release', 'amd64', oneOf('amd64'), 'Architecture of the image. Only amd64 so far.'),
  FREEBSD_DIST: key(
    'Release',
    'mirror',
    text<string>((input) =>
      isSource(input.replace(/^pkgbase:/, ''))
        ? { value: input }
        : {
            message:
              'must be "mirror", "pkgbase", "sample", a folder, or an http(s) URL without user, query or fragment',
            fix: 'write "mirror", or the folder or URL that holds MANIFEST, base.txz and kernel.txz',
          },
    ),
    'Where FreeBSD comes from. Release sets (MANIFEST, base.txz, kernel.txz): "mirror" (FREEBSD_MIRROR), a folder',
    '(relative to this file), or a URL. Packages of the base system: "pkgbase", the base repository of FreeBSD for this',
    'release, or "pkgbase:" and the folder or URL of one; they are in the lock (docs/pkgbase.md).',
    '"sample": the stand-in that the project makes itself, which boots to a message and holds no FreeBSD.',
  ),
  FREEBSD_BASE_PACKAGES: key(
    'Release',
    'FreeBSD-set-base FreeBSD-kernel-generic',
    text<readonly string[]>((input) => {
      const names = input.split(/\s+/).filter((name) => name !== '');
      const wrong = names.find((name) => !/^[A-Za-z0-9][A-Za-z0-9._+-]{0,127}$/.test(name));
      return names.length > 0 && wrong === undefined
        ? { value: [...new Set(names)] }
        : {
            message:
              wrong === undefined ? 'names no package' : `names ${wrong}, which is no name of a package`,
            fix: 'write it as "FreeBSD-set-base FreeBSD-kernel-generic"',
          };
    }),
    'Packages of the base system that the image is made of, with FREEBSD_DIST="pkgbase"; what they need comes by itself.',
  ),
  FREEBSD_KEY_FILE: key(
    'Release',
    '',
    path,
    'File of the public key of a base repository of your own (relative to this file). Empty: those of FreeBSD.',
  ),
  FREEBSD_MIRROR: key(
    'Release',
    'https://download.freebsd.org',
    text<string>((input) =>
      HTTP_URL.test(input) && URL.canParse(input)
        ? { value: input.replace(/\/+$/, '') }
        : {
            message: 'must be an http(s) URL without user, query or fragment',
            fix: 'write it as "https://download.freebsd.org"',
          },
    ),
    'Mirror for FREEBSD_DIST="mirror"; the sets are under <mirror>/releases/<arch>/<arch>/<version>/.',
  ),
  FREEBSD_MANIFEST_SHA256: key(
    'Release',
    '',
    text<string | undefined>((input) =>
      input === '' || /^[0-9a-f]{64}$/i.test(input)
        ? { value: input === '' ? undefined : input.toLowerCase() }
        : {
            message: 'must be a SHA-256 sum: 64 hexadecimal digits',
            fix: 'take it from "sha256sum MANIFEST" on a copy that you trust',
          },
    ),
    'SHA-256 of the MANIFEST of a release whose sums the project does not know: one that you built, or a new one.',
    'Empty: the release has to be one that the project knows.',
  ),
  PROFILE: key(
    'Release',
    'standard',
    oneOf('minimal', 'standard', 'full'),
    'How much of the base system the image holds: "minimal" (what the instance runs on),',
    '"standard" (with rescue, ZFS tools and bhyve) or "full" (with manual pages and compiler).',
  ),

  SSH_AUTHORIZED_KEYS: key(
    'Access',
    '',
    text<readonly string[]>(readPublicKeys),
    'Public keys that may log in as root over SSH, one a line; "@file" takes the lines of a file beside this one.',
    'An image needs a key or ROOT_PASSWORD_HASH: one that nobody can log in to is refused.',
  ),
  SIGN_KEY: key(
    'Access',
    '',
    path,
    'File of the public key that images and their overlays are signed with (relative to this file): "id_ed25519.pub". Its',
    'private half is in ssh-agent, on a FIDO token, or in the file beside it. Empty: nothing is signed (docs/trust.md).',
  ),
  SIGNERS: key(
    'Access',
    '',
    text<readonly string[]>(readPublicKeys),
    'Public keys, one a line, or "@file": whose overlays an instance takes after this one. Empty: that of SIGN_KEY.',
  ),
  SERIAL: key(
    'Access',
    '',
    text<number | undefined>((input) =>
      input === ''
        ? { value: undefined }
        : /^(?:0|[1-9][0-9]{0,9})$/.test(input)
          ? { value: Number(input) }
          : {
              message: 'must be a whole number of at most ten digits',
              fix: 'write the time of a commit: "1767225600"',
            },
    ),
    'Number of a signed overlay: an instance takes none with a lower one than its last. Empty: SOURCE_DATE_EPOCH.',
  ),
  PUSH_TO: key(
    'Access',
    '',
    optional((input) =>
      isDestination(input)
        ? { value: input }
        : { message: 'must be what ssh(1) takes as its destination', fix: 'write it as "root@198.51.100.7"' },
    ),
    'Where `clawdie-iso push --all` reaches the instance: a destination of ssh(1), as root. Nothing of it is in the image.',
  ),
  SSH_PASSWORD_AUTH: key('Access', 'no', yesNo, 'Whether SSH takes passwords too. Needs ROOT_PASSWORD_HASH.'),
  ROOT_PASSWORD_HASH: key(
    'Access',
    '',
    text<string | undefined>((input) => {
      if (input === '') return { value: undefined };
      const fix = `make one with "openssl passwd -6", and put it in single quotes`;
      if (/^\$6\$(?:rounds=[0-9]{4,9}\$)?[./A-Za-z0-9]{1,16}\$[./A-Za-z0-9]{86}$/.test(input))
        return { value: input };
      if (/^\$2[aby]\$(?:0[89]|[12][0-9]|3[01])\$[./A-Za-z0-9]{53}$/.test(input)) return { value: input };
      if (/^\$5\$|^\$1\$|^[./A-Za-z0-9]{13}$/.test(input))
        return { message: 'is of a kind that is too weak', fix };
      return { message: 'must be a password hash of crypt(3): SHA-512 ($6$) or bcrypt ($2b$)', fix };
    }),
    'Password hash of root for the console (and for SSH with SSH_PASSWORD_AUTH), in single quotes.',
    'Empty: no password opens root. There is never a default password.',
  ),

  EXT_IF: key(
    'Network',
    'auto',
    text<string>((input) =>
      input === 'auto' || (/^[a-z][a-z0-9_]{0,13}[0-9]$/.test(input) && !isVirtual(input))
        ? { value: input }
        : {
            message: 'must be "auto" or the name of an interface that a network card has, such as "vtnet0"',
            fix: 'write "auto"',
          },
    ),
    'Interface that faces the internet. "auto" asks the routing table at every boot.',
  ),
  WAN_IPV4: key(
    'Network',
    'dhcp',
    text<'dhcp' | StaticWan>((input) => readWan(input, 4, ['dhcp']) as Reading<'dhcp' | StaticWan>),
    'IPv4 of the internet side: "dhcp", or "address/prefix gateway".',
  ),
  WAN_IPV6: key(
    'Network',
    'slaac',
    text<'slaac' | 'off' | StaticWan>(
      (input) => readWan(input, 6, ['slaac', 'off']) as Reading<'slaac' | 'off' | StaticWan>,
    ),
    'IPv6 of the internet side: "slaac", "off", or "address/prefix gateway".',
  ),
  DNS: key(
    'Network',
    '',
    list<string>((item) => {
      const address = normalAddress(item);
      return address === undefined
        ? { message: 'must be IP addresses', fix: 'write it as "9.9.9.9 2620:fe::fe"' }
        : { value: address };
    }, 3),
    'Name servers, up to three addresses. Empty: those that DHCP or router advertisements name.',
  ),
  NTP: key(
    'Network',
    '',
    text<'off' | readonly string[]>(readTimeServers),
    'Time servers, up to eight names or addresses. Empty: those of FreeBSD in pool.ntp.org. "off": nobody sets the clock.',
  ),
  SYSLOG: key(
    'Network',
    '',
    text<LogHost | undefined>(readLogHost),
    'Host that gets a copy of what is logged, over UDP: "log.example.org", "192.0.2.7:5514", "[2001:db8::7]:514".',
  ),
  HTTP: key(
    'Network',
    'yes',
    yesNo,
    'Whether nginx answers the internet on port 80: certificate renewals (ACME), anything else goes to HTTPS.',
  ),
  HTTPS: key(
    'Network',
    'yes',
    yesNo,
    'Whether nginx answers the internet on port 443: the agent UI. Until there is a certificate, with one that it signs itself.',
  ),
  AGENT_UI: key(
    'Network',
    '',
    text<string | undefined>((input) => {
      if (input === '') return { value: undefined };
      const [address = '', port = '', ...rest] = input.split(':');
      return toNumber(address) !== undefined &&
        rest.length === 0 &&
        /^[1-9][0-9]{0,4}$/.test(port) &&
        Number(port) <= 65535
        ? { value: input }
        : { message: 'must be an IPv4 address and a port', fix: 'write it as "127.0.0.1:8080"' };
    }),
    'What stands behind HTTPS: "address:port" where the agent UI speaks HTTP, on the host (127.0.0.1) or in a jail.',
    'Empty: nginx says that there is nothing (503).',
  ),
  ICMP_ECHO: key('Network', 'no', yesNo, 'Whether the host answers ping from the internet.'),

  SSH_ALLOW: key(
    'Network',
    '',
    list<string>(readSource, 64),
    'Addresses and networks whose SSH has no limit of tries, and that are never banned: your monitoring, your Ansible.',
    'They come in over the internet where Tailscale has closed it to all others, too. Empty: none.',
  ),
  OPEN_PORTS: key(
    'Network',
    '',
    list<Port>(readOpenPort, 32),
    'Ports of the host that the internet reaches beside SSH, HTTP and HTTPS: "8443/tcp 51820/udp". Empty: none.',
  ),
  FORWARD_PORTS: key(
    'Network',
    '',
    list<Forward>(readForward, 32),
    'Ports of the host that lead to jails of JAILS, over IPv4: "8443/tcp=worker:443". Empty: none.',
  ),
  PF_RULES_FILE: key(
    'Network',
    '',
    path,
    'File with filter rules of your own for pf.conf (relative to this file); they come after the rules of the image.',
    'They are proved with them: what opens something that the policy closes is refused.',
  ),
  POLICY_EXCEPTIONS: key(
    'Network',
    '',
    list<string>(
      (item) =>
        /^[a-z][a-z0-9-]*$/.test(item)
          ? { value: item }
          : { message: 'must be names of policy rows', fix: 'see `clawdie-iso explain`' },
      20,
    ),
    'Rows of the policy that your rules may break, by the names that `clawdie-iso explain` shows. The build record says so.',
  ),
  BRUTEFORCE_EXPIRE: key(
    'Network',
    '86400',
    text<number>((input) =>
      /^[1-9][0-9]{1,7}$/.test(input)
        ? { value: Number(input) }
        : { message: 'must be a number of seconds, 10 or more', fix: 'write "86400" for a day' },
    ),
    'Seconds after which a host that tried SSH too often may try again.',
  ),

  AGENT_NET: key(
    'Jails',
    '192.168.100.0/24',
    text((input) => readNetwork(input, 24, 24)),
    'The /24 of this deployment on warden0; the host is its .1.',
  ),
  JAIL_SUPERNET: key(
    'Jails',
    '192.168.0.0/16',
    text((input) => readNetwork(input, 24, 8)),
    'The pool that AGENT_NET and the nets of further tenants are taken from; NAT covers all of it.',
  ),
  TENANTS: key(
    'Jails',
    '',
    list<TenantEntry>((item) => {
      const [name = '', netText, ...rest] = item.split('=');
      const named = readName(name);
      if (!('value' in named)) return named;
      if (netText === undefined) return { value: { name } };
      const net =
        rest.length > 0
          ? { message: 'must be "name" or "name=network"', fix: 'write it as "natasha=192.168.101.0/24"' }
          : readNetwork(netText, 24, 24);
      return 'value' in net ? { value: { name, net: net.value } } : net;
    }, 64),
    'Further tenants of the host, each on a bridge of its own (warden1, warden2, …): "natasha clawd".',
    'Each gets the next free /24 of the pool, or the one it names: "natasha=192.168.101.0/24".',
  ),
  JAIL_NETWORK: key(
    'Jails',
    'plain',
    oneOf('plain', 'vnet'),
    'Network of jails that do not say: "plain" (an address on the loopback; the default, and the first stage)',
    'or "vnet" (a network stack of its own on the bridge of its tenant).',
  ),
  JAILS: key(
    'Jails',
    'worker',
    whole<readonly JailEntry[]>(readJails),
    'Jails of the instance, one a line: "[tenant/]name [plain|vnet] [template=user/name] [address=…]", and what differs from',
    'the limits below: "[memory=…] [processes=…] [cpu=…] [disk=…]". Bastille makes them at the first boot, without a',
    "network. Without a tenant they are the assistant's; without an address they get the next free one; without a template",
    'clawdie/worker, or clawdie/vnet-worker. For instance, in lines of their own: "worker" and',
    '"natasha/builder vnet template=clawdie/pi-worker memory=1G". Empty: none.',
  ),
  JAIL_MEMORY: key(
    'Jails',
    '25%',
    text<Amount>((input) => readLimit('memory', input)),
    'Memory that one jail may take: "512M", or a share of the machine\'s.',
  ),
  JAIL_PROCESSES: key(
    'Jails',
    '200',
    text<number>((input) => readLimit('processes', input)),
    'Processes that one jail may have at once.',
  ),
  JAIL_CPU: key(
    'Jails',
    '50',
    text<number>((input) => readLimit('cpu', input)),
    'Share of the processors that one jail may take, in per cent of one processor: "200" is two of them.',
  ),
  JAIL_DISK: key(
    'Jails',
    '1G',
    text<number>((input) => readLimit('disk', input)),
    'Size of the file system of one jail. On a live image, where it is memory, a sixteenth of the memory at most.',
  ),
  TENANT_MEMORY: key(
    'Jails',
    '',
    optional<Amount>((input) => readLimit('memory', input)),
    'What all jails of one tenant may take together. Empty: what the limits of its jails add up to.',
  ),
  TENANT_PROCESSES: key(
    'Jails',
    '',
    optional<number>((input) => readLimit('processes', input)),
    'Likewise: processes.',
  ),
  TENANT_CPU: key(
    'Jails',
    '',
    optional<number>((input) => readLimit('cpu', input)),
    'Likewise: per cent of one processor.',
  ),
  TENANT_DISK: key(
    'Jails',
    '',
    optional<number>((input) => readLimit('disk', input)),
    'Likewise: file systems.',
  ),
  JAIL_HOST_PORTS: key(
    'Jails',
    '',
    list<string>(
      (item) =>
        /^(?:[1-9][0-9]{0,4})\/(?:tcp|udp)$/.test(item) && Number(item.split('/')[0]) <= 65535
          ? { value: item }
          : { message: 'must be port/tcp or port/udp', fix: 'write it as "53/udp 53/tcp"' },
      32,
    ),
    'Services of the host that jails may reach beside its name service: "123/udp 8080/tcp". Empty: none.',
  ),
  PACKAGES: key(
    'Jails',
    '',
    list<string>(
      (item) =>
        /^[A-Za-z0-9][A-Za-z0-9._+-]{0,127}$/.test(item)
          ? { value: item }
          : { message: 'must be package names', fix: 'write it as "bastille tailscale"' },
      200,
    ),
    'Packages that the first boot installs with pkg(8); those that other keys need are added.',
  ),
  PACKAGES_REPOSITORY: key(
    'Jails',
    'quarterly',
    text<string>((input) =>
      isSource(input)
        ? { value: input.replace(/\/+$/, '') }
        : {
            message:
              'must be "quarterly", "latest", a folder, or an http(s) URL without user, query or fragment',
            fix: 'write "quarterly", or the folder or URL that holds meta.conf and data.pkg',
          },
    ),
    'Where `clawdie-iso lock` finds them: "quarterly" or "latest" of FreeBSD, a URL (${ABI} stands for FreeBSD:15:amd64',
    'and the like), or a folder (relative to this file), such as one that `clawdie-iso lock --vendor` has filled.',
  ),
  MEMORY: key(
    'Jails',
    '1G',
    text<number>((input) => {
      const value = parseBytes(input);
      return value === undefined
        ? { message: 'must be a size', fix: 'write it as "1G" or "1536M"' }
        : { value };
    }),
    'Memory that a machine has at least on which the image runs: how many connections the firewall keeps goes by it, and a live image',
    'that needs more, with the packages of the lock, is refused.',
  ),
  PACKAGES_KEY_FILE: key(
    'Jails',
    '',
    path,
    'File with the public key (RSA, PEM) that has signed a repository of your own (relative to this file). Empty: the keys',
    'in base.txz, by their fingerprints.',
  ),

  FORMATS: key(
    'Disk',
    'iso',
    list<ImageFormat>((item) => {
      const format = IMAGE_FORMATS.find((known) => known === item);
      return format === undefined
        ? { message: `must be some of ${IMAGE_FORMATS.join(', ')}`, fix: 'write it as "iso qcow2"' }
        : { value: format };
    }, IMAGE_FORMATS.length),
    'Images that are built: "iso"; and disk images, for providers that take one: "img" (raw, compressed with zstd),',
    '"qcow2", "vmdk", "vhd". A disk image is an installed instance; its root grows with the disk at the first boot.',
  ),
  INSTALL: key(
    'Disk',
    'never',
    oneOf('never', 'ask', 'auto'),
    'Whether the live image puts itself onto a disk: "never", "ask" (on the console, for a minute) or "auto" (once: an',
    'installed instance is never overwritten, and the boot goes on from it).',
  ),
  INSTALL_DISK: key(
    'Disk',
    'auto',
    text<string>((input) =>
      input === 'auto' || /^(?:ada|da|vtbd|nda|nvd|mmcsd|xbd)[0-9]{1,3}$/.test(input)
        ? { value: input }
        : { message: 'must be "auto" or the name of a disk, such as "vtbd0"', fix: 'write "auto"' },
    ),
    'Disk to install to. "auto" takes the only suitable one, and refuses to guess between two.',
  ),
  INSTALL_FS: key(
    'Disk',
    'ufs',
    oneOf('ufs', 'zfs'),
    'File system of an installed instance and of disk images: "ufs" or, where the release sets have it, "zfs".',
  ),
  INSTALL_LAYOUT: key(
    'Disk',
    'auto',
    oneOf('auto', 'single', 'ab'),
    'Roots of an instance that the ISO installs on UFS: "single", or "ab" (two, and a partition for jails, homes and logs), so',
    'that a newer release can be tried (clawdie-update release). "auto" is "ab" on disks of 8 GiB that have the room.',
  ),
  INSTALL_WIPE: key(
    'Disk',
    'no',
    yesNo,
    'Whether a disk that carries something may be taken. What is on it is lost.',
  ),
  TAILSCALE: key(
    'Tailscale and operator',
    'off',
    oneOf('off', 'host', 'subnet', 'jail'),
    '"off", "host" (the host has the tailnet identity), "subnet" (it also advertises AGENT_NET)',
    'or "jail" (each jail is a node of its own).',
  ),
  TAILSCALE_AUTHKEY_FILE: key(
    'Tailscale and operator',
    '',
    path,
    'File with the auth key for the first "tailscale up" (relative to this file). The image then holds a secret.',
  ),
  GLASSPANE: key(
    'Tailscale and operator',
    'no',
    yesNo,
    'Whether operators may watch a browser over VNC (port 5900), over the tailnet only, and terminals over SSH',
    '(clawdie-glasspane). Needs TAILSCALE="host" or "subnet".',
  ),
  CONSOLE: key(
    'Tailscale and operator',
    'both',
    oneOf('serial', 'video', 'both'),
    'Consoles that offer a login: "serial" (the first serial line, 115200), "video" or "both".',
    'Messages of the boot go to both.',
  ),
  EXTRA_FILES: key(
    'Files of your own',
    '',
    path,
    'Folder with files of your own, as they are to lie on the instance (relative to this file); owners and modes are in',
    '<folder>.mtree beside it. What would replace a file of the image, or weaken it, is refused.',
  ),
} as const;

export type KeyName = keyof typeof KEYS;

export const KEY_NAMES = Object.keys(KEYS) as readonly KeyName[];

/** Keys whose values never reach a log, a build record or a world-readable file. */
export const SECRET_KEYS: readonly KeyName[] = ['ROOT_PASSWORD_HASH'];

/** A configuration: every key with its value. */
export type Config = { readonly [K in KeyName]: z.output<(typeof KEYS)[K]['schema']> };
