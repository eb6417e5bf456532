import { execFileSync, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { ConsoleReader } from '../../build/boot/stages.js';
import { machineCommand, qemuPath } from '../../build/host/qemu.js';
import { shellQuote } from '../../build/quote.js';

export interface MachineOptions {
  /** A disk of QEMU's own format, which keeps what is written. */
  readonly disk: string;
  /** What is booted from instead, and beside; it then ends where it would restart, and has no network. */
  readonly iso?: string;
  /** Port of the loopback where its sshd(8) is reached. */
  readonly port: number;
  /** Port of the loopback that it reaches as 10.0.2.100, port 443. */
  readonly outside: number;
}

/** What QEMU starts for each connection to the outside: it carries what is on its standard streams. */
const CARRIER = `const to = require('node:net').connect(process.argv[1], '127.0.0.1'); process.stdin.pipe(to).pipe(process.stdout)`;

/** Makes such a disk: blank, of so many bytes, or one that begins as another and leaves that as it is. */
export function makeDisk(path: string, of: number | string): void {
  const size = typeof of === 'number' ? [path, String(of)] : ['-b', of, '-F', 'qcow2', path];
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', ...size]);
}

/** A machine in QEMU that goes on through its restarts, as one at a provider does. */
export class Machine {
  private console = new ConsoleReader();
  private readonly began = performance.now();
  private over = false;
  private readonly ended: Promise<void>;

  private constructor(private readonly child: ChildProcess) {
    child.stdout?.setEncoding('latin1').on('data', (text: string) => {
      this.console.add(text, (performance.now() - this.began) / 1000);
    });
    let said = '';
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (said += text));
    this.ended = new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('close', () => {
        this.over = true;
        this.console.text += said;
        resolve();
      });
    });
    this.ended.catch(() => undefined);
    process.once('exit', this.kill);
  }

  /** Starts it. To the guest, whoever logs in is 10.0.2.2; but for the outside there is nobody else. */
  static start({ disk, iso, port, outside }: MachineOptions): Machine {
    const carrier = [process.execPath, '-e', CARRIER, String(outside)].map(shellQuote).join(' ');
    const network = [
      'user,model=virtio-net-pci,restrict=on',
      `hostfwd=tcp:127.0.0.1:${port}-:22`,
      `guestfwd=tcp:10.0.2.100:443-cmd:${qemuPath(carrier)}`,
    ];
    const [command = '', ...args] = [
      // Without hardware virtualisation, as the other boots of real releases.
      ...machineCommand('tcg', '2G'),
      ...['-drive', `if=virtio,format=qcow2,cache=unsafe,file=${qemuPath(disk)}`],
      ...(iso === undefined
        ? ['-action', 'reboot=reset', '-nic', network.join(',')]
        : [
            ...['-nic', 'none', '-boot', 'd'],
            ...['-drive', `media=cdrom,readonly=on,format=raw,file=${qemuPath(iso)}`],
          ]),
    ];
    return new Machine(spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] }));
  }

  /** From here on the console is that of another boot. */
  next(): void {
    this.console = new ConsoleReader();
  }

  /** Waits for the end of a boot. @throws Error with the end of the console, if it does not come. */
  async up(seconds: number): Promise<void> {
    await this.until(() => this.console.has('login'), `no login within ${seconds} s`, seconds);
  }

  /** Waits until it has turned itself off, or would restart and is not to. */
  async off(seconds: number): Promise<void> {
    await this.until(() => this.over, `it still ran after ${seconds} s`, seconds);
  }

  private async until(done: () => boolean, what: string, seconds: number): Promise<void> {
    const limit = performance.now() + seconds * 1000;
    while (!done()) {
      const why = this.console.ended ?? (this.over ? 'QEMU ended' : undefined);
      if (why !== undefined || performance.now() > limit)
        throw new Error(`${why ?? what}; the console said last:\n${this.tail()}`);
      await sleep(200);
    }
  }

  /** The end of the console. */
  tail(): string {
    return this.console.tail(40).join('\n');
  }

  /** As a power cut. */
  async stop(): Promise<void> {
    this.kill();
    await this.ended;
    process.removeListener('exit', this.kill);
  }

  private readonly kill = (): void => {
    this.child.kill('SIGKILL');
  };
}
