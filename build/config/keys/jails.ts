import { readJails } from '../jails.js';
import type { JailEntry } from '../jails.js';
import { parseBytes, readLimit } from '../limits.js';
import type { Amount } from '../limits.js';
import { isSource, readName, readNetwork } from '../readers.js';
import type { TenantEntry } from '../readers.js';
import { list, oneOf, optional, path, text, whole } from '../schema.js';
import { keysOf } from './key.js';

const key = keysOf('Jails');

/** Jails, their nets and limits, and the packages that an instance installs. */
export const JAIL_KEYS = {
  AGENT_NET: key(
    '192.168.100.0/24',
    text((input) => readNetwork(input, 24, 24)),
    'The /24 of this deployment on warden0; the host is its .1.',
  ),
  JAIL_SUPERNET: key(
    '192.168.0.0/16',
    text((input) => readNetwork(input, 24, 8)),
    'The pool that AGENT_NET and the nets of further tenants are taken from; NAT covers all of it.',
  ),
  TENANTS: key(
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
    'plain',
    oneOf('plain', 'vnet'),
    'Network of jails that do not say: "plain" (an address on the loopback; the default, and the first stage)',
    'or "vnet" (a network stack of its own on the bridge of its tenant).',
  ),
  JAILS: key(
    'worker',
    whole<readonly JailEntry[]>(readJails),
    'Jails of the instance, one a line: "[tenant/]name [plain|vnet] [template=user/name] [address=…]", and what differs from',
    'the limits below: "[memory=…] [processes=…] [cpu=…] [disk=…]". Bastille makes them at the first boot, without a',
    "network. Without a tenant they are the assistant's; without an address they get the next free one; without a template",
    'clawdie/worker, or clawdie/vnet-worker. For instance, in lines of their own: "worker" and',
    '"natasha/builder vnet template=clawdie/pi-worker memory=1G". Empty: none.',
  ),
  JAIL_MEMORY: key(
    '25%',
    text<Amount>((input) => readLimit('memory', input)),
    'Memory that one jail may take: "512M", or a share of the machine\'s.',
  ),
  JAIL_PROCESSES: key(
    '200',
    text<number>((input) => readLimit('processes', input)),
    'Processes that one jail may have at once.',
  ),
  JAIL_CPU: key(
    '50',
    text<number>((input) => readLimit('cpu', input)),
    'Share of the processors that one jail may take, in per cent of one processor: "200" is two of them.',
  ),
  JAIL_DISK: key(
    '1G',
    text<number>((input) => readLimit('disk', input)),
    'Size of the file system of one jail. On a live image, where it is memory, a sixteenth of the memory at most.',
  ),
  TENANT_MEMORY: key(
    '',
    optional<Amount>((input) => readLimit('memory', input)),
    'What all jails of one tenant may take together. Empty: what the limits of its jails add up to.',
  ),
  TENANT_PROCESSES: key(
    '',
    optional<number>((input) => readLimit('processes', input)),
    'Likewise: processes.',
  ),
  TENANT_CPU: key(
    '',
    optional<number>((input) => readLimit('cpu', input)),
    'Likewise: per cent of one processor.',
  ),
  TENANT_DISK: key(
    '',
    optional<number>((input) => readLimit('disk', input)),
    'Likewise: file systems.',
  ),
  JAIL_HOST_PORTS: key(
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
    'quarterly',
    text<string>((input) =>
      isSource(input) && (/^(?:quarterly|latest)$/.test(input) || /[/.]/.test(input))
        ? { value: input.replace(/\/+$/, '') }
        : {
            message:
              'must be "quarterly", "latest", a folder (with a slash: "./packages"), or an http(s) URL without user, query or fragment',
            fix: 'write "quarterly", or the folder or URL that holds meta.conf and data.pkg',
          },
    ),
    'Where `clawdie-iso lock` finds them: "quarterly" or "latest" of FreeBSD, a URL (${ABI} stands for FreeBSD:15:amd64',
    'and the like), or a folder (relative to this file), such as one that `clawdie-iso lock --vendor` has filled.',
  ),
  MEMORY: key(
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
    '',
    path,
    'File with the public key (RSA, PEM) that has signed a repository of your own (relative to this file). Empty: the keys',
    'in base.txz, by their fingerprints.',
  ),
};
