import { reservedReason } from './reserved.js';
import { contains, isUnicast, normalAddress, parseInterface, parseNetwork4, PRIVATE4 } from './net.js';
import type { Interface, Network4 } from './net.js';
import { readItems } from './reading.js';
import type { Reading, Readings } from './reading.js';

/** Longest assistant or tenant name: an interface name has 15 bytes (IFNAMSIZ - 1, net/if.h), one is the digit. */
const NAME_MAX = 14;

export function readName(input: string): Reading<string> {
  if (!/^[a-z](?:[a-z0-9]*[a-z])?$/.test(input) || input.length > NAME_MAX) {
    return {
      message: `must be 1 to ${NAME_MAX} lower-case letters and digits, beginning and ending with a letter: "<name>0" becomes an interface name of at most 15 bytes`,
      fix: 'choose a short plain name, such as "clawdie"',
    };
  }
  const reason = reservedReason(input);
  if (reason !== undefined) {
    return { message: `cannot be "${input}": that ${reason}`, fix: 'choose another name, such as "clawdie"' };
  }
  return { value: input };
}

export function readNetwork(input: string, longest: number, shortest: number): Reading<Network4> {
  const network = parseNetwork4(input);
  if (!network) {
    return {
      message: 'must be an IPv4 network with its host bits zero',
      fix: 'write it as "192.168.100.0/24"',
    };
  }
  if (network.prefix < shortest || network.prefix > longest) {
    const want =
      shortest === longest ? `a /${shortest} network` : `a network from /${shortest} to /${longest}`;
    return { message: `must be ${want}, not a /${network.prefix}`, fix: `choose ${want}` };
  }
  if (!PRIVATE4.some((outer) => contains(outer, network))) {
    return {
      message: 'must be a private network of RFC 1918',
      fix: 'choose from 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16',
    };
  }
  return { value: network };
}

/** A further tenant of the host: its name, and its network where build.cfg names one. */
export interface TenantEntry {
  readonly name: string;
  readonly net?: Network4;
}

/** The static address of the internet side. */
export interface StaticWan {
  readonly kind: 'static';
  readonly interface: Interface;
  readonly gateway: string;
}

export function readWan(input: string, family: 4 | 6, words: readonly string[]): Reading<string | StaticWan> {
  if (words.includes(input)) return { value: input };
  const sample = family === 4 ? '203.0.113.10/24 203.0.113.1' : '2001:db8::10/64 fe80::1';
  const rule = `must be ${words.map((word) => `"${word}"`).join(', ')} or "address/prefix gateway"`;
  const [interfaceText = '', gatewayText = '', ...rest] = input.split(/\s+/);
  const fix = `write "${words[0] ?? ''}", or as in "${sample}"`;
  if (rest.length > 0 || gatewayText === '') return { message: rule, fix };
  const parsed = parseInterface(interfaceText, family);
  const gateway = normalAddress(gatewayText, family);
  if (!parsed || gateway === undefined) return { message: `${rule}, both of IPv${family}`, fix };
  if (!isUnicast(parsed.address) || !isUnicast(gateway)) {
    return { message: 'must name unicast addresses', fix };
  }
  if (parsed.address === gateway) return { message: 'has one address for the host and its gateway', fix };
  return { value: { kind: 'static', interface: parsed, gateway } };
}

const KEY_TYPES =
  /^(?:ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521)|sk-ssh-ed25519@openssh\.com|sk-ecdsa-sha2-nistp256@openssh\.com)$/;

/** Reads one line of an authorized_keys file (sshd(8)), without options: type, base64, comment. */
function readPublicKey(line: string): Reading<string> {
  const [type = '', body = '', ...comment] = line.split(/\s+/);
  const fix = 'paste the line of a .pub file, or write "@path/to/key.pub"';
  if (/PRIVATE KEY/.test(line)) return { message: 'holds a private key', fix: 'use the .pub file beside it' };
  if (!KEY_TYPES.test(type)) return { message: 'holds a line that is no OpenSSH public key', fix };
  if (!/^[A-Za-z0-9+/]+={0,3}$/.test(body))
    return { message: 'holds a key whose base64 part is damaged', fix };
  const blob = Uint8Array.from(atob(padded(body)), (char) => char.charCodeAt(0));
  const length = blob.length < 4 ? 0 : new DataView(blob.buffer).getUint32(0);
  const inner = new TextDecoder().decode(blob.subarray(4, 4 + length));
  if (inner !== type || blob.length < 4 + length + 32) {
    return { message: `holds a key that says ${type} but is not one, or is cut short`, fix };
  }
  return { value: [type, body, ...comment].join(' ') };
}

/** Reads public keys, one a line; empty lines and comments are passed over. */
export function readPublicKeys(input: string): Reading<readonly string[]> {
  const lines = input.split('\n').map((line) => line.trim());
  const keys: string[] = [];
  for (const line of lines.filter((entry) => entry !== '' && !entry.startsWith('#'))) {
    const result = readPublicKey(line);
    if (!('value' in result)) return result;
    keys.push(result.value);
  }
  return { value: keys };
}

/** atob() refuses what is not padded to a multiple of four. */
function padded(base64: string): string {
  const bare = base64.replace(/=+$/, '');
  return bare.length % 4 === 1 ? '' : bare + '='.repeat((4 - (bare.length % 4)) % 4);
}

export const hostLabel = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/i;

/** A host as a service of the instance looks it up: a name, or an address in normal form. */
function readHost(input: string): Reading<string> {
  const address = normalAddress(input);
  if (address !== undefined) return { value: address };
  const labels = input.split('.');
  const named = input.length <= 253 && labels.every((label) => hostLabel.test(label));
  // What is all digits and dots is a wrong address, not a name.
  return named && !/^[0-9.]+$/.test(input)
    ? { value: input.toLowerCase() }
    : { message: 'must be host names or addresses', fix: 'write it as "time.example.org 192.0.2.7"' };
}

/** Servers that ntpd(8) asks: `off`, or names and addresses; without any the pool. */
export function readTimeServers(input: string): Readings<'off' | readonly string[]> {
  return input.trim() === 'off' ? { value: 'off' } : readItems(input, readHost, 8);
}

/** A host that takes logs, and its UDP port. */
export interface LogHost {
  readonly host: string;
  readonly port: number;
}

export function readLogHost(input: string): Reading<LogHost | undefined> {
  if (input === '') return { value: undefined };
  const fix = 'write it as "log.example.org", "192.0.2.7:514" or "[2001:db8::7]:514"';
  if (/^[a-z]+:\/\//i.test(input) || /^(?:tcp|tls):/i.test(input))
    return { message: 'names a protocol, but syslogd of FreeBSD sends over UDP alone', fix };
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::([1-9][0-9]{0,4}))?$/.exec(input);
  const bare = normalAddress(input, 6);
  const host = bare === undefined ? readHost(match?.[1] ?? match?.[2] ?? '') : { value: bare };
  const port = Number(match?.[3] ?? '514');
  if (!('value' in host) || port > 65535 || (match?.[1] !== undefined && !host.value.includes(':')))
    return { message: 'must be a host, or a host with its port', fix };
  return { value: { host: host.value, port } };
}

/** An http(s) URL with neither user, query nor fragment. */
export const HTTP_URL = /^https?:\/\/[^\s/?#@]+(?:\/[^\s?#]*)?$/i;

/** Whether something is a place that files are taken from: a folder, a word that stands for one, or an http(s) URL. */
export function isSource(input: string): boolean {
  return input !== '' && (!/^[a-z][a-z0-9+.-]*:/i.test(input) || HTTP_URL.test(input));
}

/**
 * Whether a word is a destination of ssh(1), and no option of it: USER@HOST, HOST of ssh_config(5), ssh://USER@HOST:PORT. Without ssh://
 * a port would be taken for a part of the name.
 */
export function isDestination(word: string): boolean {
  const user = '(?:[A-Za-z0-9_][A-Za-z0-9_.-]*@)?';
  const name = '[A-Za-z0-9_][A-Za-z0-9_.-]*';
  const six = '[0-9A-Fa-f]*(?::[0-9A-Fa-f.]*){2,}(?:%[A-Za-z0-9_.-]+)?';
  return (
    new RegExp(`^${user}(?:${name}|${six}|\\[${six}\\])$`).test(word) ||
    new RegExp(`^ssh://${user}(?:${name}|\\[${six}\\])(?::[0-9]{1,5})?$`).test(word)
  );
}
