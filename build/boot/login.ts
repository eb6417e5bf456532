import { readFile } from 'node:fs/promises';
import { createSocket as createDatagramSocket } from 'node:dgram';
import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { join } from 'node:path';
import { UserError } from '../error.js';
import { attempt, run } from '../host/process.js';
import { parseFrame } from './frames.js';
import type { Machine } from './machine.js';
import type { Network } from './peer.js';
import { openControl, QmpError } from './qmp.js';
import type { Control } from './qmp.js';

/**
 * A key pair for one run.
 *
 * @param folder where it is put: that of this run, which nobody else may read
 * @returns the line for authorized_keys
 * @throws UserError if ssh-keygen(1) is not on this machine.
 */
export async function makeKey(folder: string, signal: AbortSignal): Promise<string> {
  const key = join(folder, 'key');
  await run(
    'making a key to log in with',
    ['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', 'clawdie-iso boot', '-f', key],
    { signal },
  );
  return (await readFile(`${key}.pub`, 'utf8')).trim();
}

/**
 * Opens a way in to a machine that keeps running: its SSH on a port of the loopback, its serial line on a socket.
 * QEMU's user network takes the connections; it lets the guest out to nowhere (`restrict`), and sees what the guest sends
 * to it alone: it would refuse what is the internet's.
 *
 * @param folder of this run
 * @returns the command that logs in as root; what a person has to type, a line each; and what closes it
 */
export async function openLogin(
  machine: Pick<Machine, 'serial' | 'send' | 'tap'>,
  network: Network,
  folder: string,
): Promise<{
  readonly ssh: readonly string[];
  readonly lines: readonly string[];
  readonly close: () => void;
}> {
  const port = await freePort();
  const line = await lineTo(machine, network.login4);
  try {
    await addNetwork(join(folder, 'control'), network, port, line.port);
  } catch (error) {
    line.close();
    throw error;
  }
  const console = await serveConsole(machine, join(folder, 'console'));
  const ssh = [
    ...['ssh', '-i', join(folder, 'key'), '-p', String(port)],
    ...['-o', `UserKnownHostsFile=${join(folder, 'known_hosts')}`, '-o', 'StrictHostKeyChecking=accept-new'],
    'root@127.0.0.1',
  ];
  return {
    ssh,
    lines: [
      ssh.join(' '),
      `socat -,rawer,escape=0x1d UNIX-CONNECT:${join(folder, 'console')}    (the serial console; Ctrl-] leaves it)`,
    ],
    close: () => {
      console.close();
      line.close();
    },
  };
}

/** Has QEMU add the user network, and the line to it, by its own commands. */
async function addNetwork(path: string, network: Network, port: number, line: number): Promise<void> {
  let control: Control | undefined;
  try {
    control = await openControl(path);
    await addTo(control, network, port, line);
  } catch (error) {
    if (!(error instanceof QmpError)) throw error;
    throw new UserError(
      `QEMU opens no way in (${error.command}): ${error.message}.`,
      'It has to be 7.2 or newer, with the "user" network (slirp).',
    );
  } finally {
    control?.close();
  }
}

async function addTo({ ask }: Control, network: Network, port: number, line: number): Promise<void> {
  await ask('netdev_add', {
    type: 'user',
    id: 'login',
    net: network.guest4.replace(/\d+$/, '0/24'),
    host: network.login4,
    // Everything in slirp has to have an address of the net; nobody asks these.
    dns: network.guest4.replace(/\d+$/, '6'),
    dhcpstart: network.guest4.replace(/\d+$/, '7'),
    restrict: true,
    ipv6: false,
    hostfwd: [{ str: `tcp:127.0.0.1:${port}-${network.guest4}:22` }],
  });
  const here = { type: 'inet', host: '127.0.0.1' };
  await ask('netdev_add', {
    ...{ type: 'dgram', id: 'line', local: { ...here, port: '0' } },
    remote: { ...here, port: String(line) },
  });
  for (const netdev of ['login', 'line'])
    await ask('netdev_add', { type: 'hubport', id: `${netdev}-port`, hubid: LOGIN_HUB, netdev });
}

/** The hub where the user network and the line to it meet. */
const LOGIN_HUB = 100;

/** Carries frames between the guest and the user network, which plays the host of that address. */
async function lineTo(
  { send, tap }: Pick<Machine, 'send' | 'tap'>,
  address: string,
): Promise<{ readonly port: number; readonly close: () => void }> {
  const socket = createDatagramSocket('udp4');
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject);
    socket.bind(0, '127.0.0.1', resolve);
  });
  let remote: number | undefined;
  let mac: string | undefined;
  socket.on('message', (bytes, from) => {
    // The user network speaks first: it asks for the guest.
    remote ??= from.port;
    if (from.port !== remote) return;
    mac ??= parseFrame(bytes)?.from;
    send(bytes);
  });
  const stop = tap((bytes) => {
    if (remote === undefined) return;
    const frame = parseFrame(bytes);
    if (frame && (frame.to === mac || (frame.kind === 'arp' && frame.targetIp === address)))
      socket.send(bytes, remote, '127.0.0.1');
  });
  return {
    port: socket.address().port,
    close: () => {
      stop();
      socket.close();
    },
  };
}

/**
 * Logs in once, as an operator does, and runs a command there.
 *
 * @param ssh of {@link openLogin}
 * @param milliseconds after which nobody waits any longer
 * @returns how long it took until the command had run, in seconds, and what went wrong, if something did
 */
export async function logIn(
  ssh: readonly string[],
  command: string,
  milliseconds: number,
  signal: AbortSignal,
): Promise<{ readonly seconds: number; readonly failure: string | undefined }> {
  const began = performance.now();
  const ended = AbortSignal.timeout(milliseconds);
  const outcome = await attempt([ssh[0] ?? 'ssh', '-o', 'BatchMode=yes', ...ssh.slice(1), command], {
    signal: AbortSignal.any([signal, ended]),
  }).catch((error: unknown) => {
    signal.throwIfAborted();
    if (ended.aborted) return undefined;
    throw error;
  });
  const seconds = (performance.now() - began) / 1000;
  if (!outcome) return { seconds, failure: 'no login within that time' };
  return {
    seconds,
    failure:
      outcome.code === 0
        ? undefined
        : (outcome.stderr.trim().split('\n').at(-1) ?? `ssh ended with ${outcome.code ?? 0}`),
  };
}

/** A TCP port of the loopback that nobody uses. */
async function freePort(): Promise<number> {
  const server = createServer();
  await listen(server, { port: 0, host: '127.0.0.1' });
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Gives the serial line to whoever connects to a socket. */
async function serveConsole(
  { serial }: Pick<Machine, 'serial'>,
  path: string,
): Promise<{ readonly close: () => void }> {
  const clients = new Set<Socket>();
  serial.output.on('data', (text: string) => {
    for (const client of clients) client.write(text, 'latin1');
  });
  const server = createServer((client) => {
    clients.add(client);
    client.on('data', (typed) => serial.input.write(typed));
    client.on('error', () => undefined);
    client.on('close', () => clients.delete(client));
  });
  await listen(server, { path });
  return {
    close: () => {
      for (const client of clients) client.destroy();
      server.close();
    },
  };
}

function listen(server: Server, where: { port: number; host: string } | { path: string }): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(where, () => {
      resolve();
    });
  });
}
