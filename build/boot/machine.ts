import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import type { Readable, Writable } from 'node:stream';
import type { Socket } from 'node:dgram';
import { existsSync } from 'node:fs';
import { UserError } from '../error.js';
import { machineCommand, qemuPath } from '../host/qemu.js';
import type { Accelerator } from '../host/qemu.js';
import { OVMF_PATHS } from '../host/tool-list.js';
import { GUEST_MAC, SECOND_MAC } from './peer.js';
import type { Peer, PeerOptions } from './peer.js';
import { ConsoleReader } from './stages.js';

export type Firmware = 'bios' | 'uefi';
export type Media = 'cd' | 'disk';

export interface Start {
  readonly image: string;
  /** as QEMU calls it */
  readonly format: string;
  readonly firmware: Firmware;
  readonly media: Media;
  /** as QEMU writes it: `1G` */
  readonly memory: string;
  /** Driver of the network card, as QEMU calls it. */
  readonly card: string;
  /** How many cards there are; on those that no peer is given for there is nobody. */
  readonly cards: number;
  /** Who is on the second card. */
  readonly second?: PeerOptions;
  /** Whether the disk keeps what the guest writes to it. */
  readonly kept?: boolean;
  /** Socket for QEMU's own commands (QMP), where somebody is to log in. */
  readonly control?: string;
  /** Another one, where pictures of its screen are taken. */
  readonly screen?: string;
}

/**
 * The command that starts an image. The serial console is standard output; the network card's other end is a datagram
 * socket on the loopback, and nothing else: no frame leaves this machine.
 *
 * @param ports of the sockets of those who are on the first cards
 * @throws UserError if there is no UEFI firmware on this machine and it is asked for.
 */
function qemuCommand(start: Start, ports: readonly number[], accel: Accelerator): readonly string[] {
  const ovmf = OVMF_PATHS.find((path) => existsSync(path));
  if (start.firmware === 'uefi' && ovmf === undefined)
    throw new UserError(
      'There is no UEFI firmware for QEMU (OVMF) on this machine.',
      'Install it (apt-get install ovmf), or ask for --firmware bios.',
    );
  return [
    ...machineCommand(accel, start.memory),
    ...(start.firmware === 'uefi'
      ? ['-drive', `if=pflash,format=raw,readonly=on,file=${qemuPath(ovmf ?? '')}`]
      : []),
    ...(start.media === 'cd'
      ? ['-drive', `media=cdrom,readonly=on,format=raw,file=${qemuPath(start.image)}`]
      : [
          '-drive',
          `if=ide,format=${start.format},snapshot=${start.kept === true ? 'off' : 'on'},file=${qemuPath(start.image)}`,
        ]),
    ...Array.from({ length: Math.max(start.cards, ports.length) }, (_, index) => {
      const port = ports[index];
      const here = 'inet,local.host=127.0.0.1,local.port=0,remote.type=inet,remote.host=127.0.0.1';
      return [
        '-netdev',
        port === undefined
          ? `hubport,id=n${index},hubid=${index}`
          : `dgram,id=n${index},local.type=${here},remote.port=${port}`,
        // No boot ROM: the first frame is the system's own.
        ...['-device', `${start.card},netdev=n${index},mac=${macOf(index)},romfile=`],
      ];
    }).flat(),
    ...[start.control, start.screen].flatMap((path) =>
      path === undefined ? [] : ['-qmp', `unix:${qemuPath(path)},server=on,wait=off`],
    ),
  ];
}

/** The address of a card, by its number from 0. */
function macOf(card: number): string {
  return [GUEST_MAC, SECOND_MAC][card] ?? SECOND_MAC.replace(/.$/, String(card - 1));
}

/** A machine that runs, with the internet on its other end. */
export interface Machine {
  readonly console: ConsoleReader;
  readonly accelerator: Accelerator;
  /** The serial line. */
  readonly serial: { readonly output: Readable; readonly input: Writable };
  /** Resolves when QEMU has ended. */
  readonly ended: Promise<void>;
  /** seconds since it was started */
  seconds(): number;
  send(frame: Buffer): void;
  /** To its second card, where somebody is there. */
  sendToSecond(frame: Buffer): void;
  /** Tells of every frame that the guest sends on its first card, beside the peer. @returns what ends it */
  tap(use: (frame: Buffer) => void): () => void;
  /** When the first frame came, in seconds; undefined before. */
  readonly firstFrame: number | undefined;
  /** Whether QEMU has ended. */
  readonly over: boolean;
  /** What QEMU said, if it ended by itself and not well. */
  readonly failure: string | undefined;
  stop(): Promise<void>;
}

/**
 * Starts an image, with a peer on the other end of its network card.
 *
 * @param second who is on a second card, if somebody is
 * @param signal ends the machine with whoever started it
 * @throws UserError if QEMU is not on this machine.
 */
export async function startMachine(
  start: Start,
  peer: Peer,
  accel: Accelerator,
  signal: AbortSignal,
  second?: Peer,
): Promise<Machine> {
  const wires = await Promise.all([peer, ...(second ? [second] : [])].map(openWire));
  const [first, other] = wires;
  if (!first) throw new Error('a machine has a first card');
  const [file = '', ...args] = qemuCommand(
    start,
    wires.map(({ port }) => port),
    accel,
  );
  const began = performance.now();
  const seconds = (): number => (performance.now() - began) / 1000;
  const console = new ConsoleReader();
  const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  let firstFrame: number | undefined;
  let failure: string | undefined;
  let said = '';
  let over = false;
  let stopped = false;

  const ended = new Promise<void>((resolve) => {
    child.once('error', (error) => {
      failure = error.message;
      over = true;
      resolve();
    });
    child.once('close', (code, by) => {
      if (code !== 0 && !stopped) failure ??= said.trim() || (by === null ? `exit code ${code ?? 0}` : by);
      over = true;
      resolve();
    });
  });
  child.stdin.on('error', () => undefined); // QEMU has ended
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said = (said + text).slice(-4096)));
  child.stdout.setEncoding('latin1').on('data', (text: string) => {
    console.add(text, seconds());
  });
  for (const wire of wires) wire.tap(() => (firstFrame ??= seconds()));
  const kill = (): void => {
    stopped = true;
    child.kill('SIGKILL');
  };
  // Whatever ends this program ends the machine.
  process.once('exit', kill);
  signal.addEventListener('abort', kill, { once: true });
  return {
    console,
    accelerator: accel,
    serial: { output: child.stdout, input: child.stdin },
    ended,
    seconds,
    send: first.send,
    sendToSecond: (frame) => other?.send(frame),
    tap: first.tap,
    get firstFrame() {
      return firstFrame;
    },
    get over() {
      return over;
    },
    get failure() {
      return failure;
    },
    stop: async () => {
      kill();
      await ended;
      process.removeListener('exit', kill);
      signal.removeEventListener('abort', kill);
      for (const wire of wires) wire.close();
    },
  };
}

/** One end of a network card's wire. */
interface Wire extends Pick<Machine, 'send' | 'tap'> {
  readonly port: number;
  readonly close: () => void;
}

async function openWire(peer: Peer): Promise<Wire> {
  const socket = await openSocket();
  const taps = new Set<(frame: Buffer) => void>();
  let remote: number | undefined;
  const send = (frame: Buffer): void => {
    if (remote !== undefined) socket.send(frame, remote, '127.0.0.1');
  };
  socket.on('message', (bytes, from) => {
    // The first to speak is QEMU, which has been told this port; nobody else is listened to.
    remote ??= from.port;
    if (from.port !== remote) return;
    for (const use of taps) use(bytes);
    for (const frame of peer.receive(bytes)) send(frame);
  });
  return {
    port: socket.address().port,
    send,
    tap: (use) => {
      taps.add(use);
      return () => taps.delete(use);
    },
    close: () => socket.close(),
  };
}

async function openSocket(): Promise<Socket> {
  const socket = createSocket({ type: 'udp4', recvBufferSize: 4 * 1024 * 1024, sendBufferSize: 1024 * 1024 });
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject);
    socket.bind(0, '127.0.0.1', () => {
      socket.removeListener('error', reject);
      resolve();
    });
  });
  return socket;
}
