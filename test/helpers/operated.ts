import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, onTestFinished } from 'vitest';
import { typedOf } from '../../build/boot/documents.js';
import type { Block } from '../../build/boot/documents.js';
import { SAME_PLACES } from '../../build/boot/inside.js';
import { Desk } from './desk.js';
import { Machine, makeDisk } from './machine.js';
import { freePort, listen, makeCertificate } from './registry.js';
import { setsLines } from './sets.js';

/** Bytes of a disk that gets two roots. */
const DISK = 8 * 1024 ** 3;
/** Seconds that a boot, an installation, and what waits for another terminal may take. */
const [BOOT, INSTALL, SOON] = [800, 900, 60];

export const nameOf = ({ document, line }: Block): string => `docs/${document}.md:${line}`;

/** How a block is typed. */
export interface Typing {
  /** Whether it ends with a restart. */
  readonly restarts?: true;
  /** What is typed to what the block has started. */
  readonly types?: string;
  /** What it says once it waits for the next block, in another terminal. */
  readonly waits?: string;
}

/** One deployment, from its image on, and who operates it. */
export class Deployment {
  private machine: Machine | undefined;
  private serial = 0;

  /** What its webhook was sent. */
  readonly told: string[] = [];

  private constructor(
    readonly desk: Desk,
    private readonly ports: { readonly port: number; readonly outside: number },
    /** Folder of the release sets of its configuration. */
    public sets: string,
  ) {}

  static async make(folder: string, sets: string): Promise<Deployment> {
    const { certificate, key } = makeCertificate(folder, 'DNS:hooks.example.org');
    const hook = createServer({ cert: readFileSync(certificate), key: readFileSync(key) });
    onTestFinished(() => void hook.close());
    const port = await freePort();
    const deployment = new Deployment(Desk.make(folder, port), { port, outside: await listen(hook) }, sets);
    hook.on('request', (request, response) => {
      request.setEncoding('utf8').on('data', (text: string) => deployment.told.push(text));
      request.on('end', () => response.writeHead(204).end());
    });
    return deployment;
  }

  /** Writes the next configuration, or that of a serial. A port that it opens has it: the rules in force tell which one that is. */
  configure(serial = this.serial + 1): void {
    this.serial = serial;
    this.desk.write(
      'deployments/natasha.cfg',
      `ASSISTANT_NAME="natasha"
SSH_AUTHORIZED_KEYS="@../KEY.pub"
SSH_ALLOW="10.0.2.2"
EXT_IF="vtnet0"
WAN_IPV4="10.0.2.15/24 10.0.2.2"
DNS="10.0.2.3"
OPEN_PORTS="${8000 + this.serial}/tcp"
HTTP="no"
HTTPS="no"
JAILS=""
INSTALL="auto"
SIGN_KEY="../release.pub"
SERIAL="${this.serial}"
PUSH_TO="root@ADDRESS"
NOTIFY_WEBHOOK="https://hooks.example.org/natasha"
${setsLines(this.sets)}`,
    );
  }

  /** Serials of the configurations whose rules the kernel goes by. */
  async inForce(): Promise<readonly number[]> {
    const rules = await this.desk.asks('pfctl -s rules');
    return [...new Set([...rules.matchAll(/port = 8(\d{3})\b/g)].map(([, serial]) => Number(serial)))];
  }

  /** Installs an image onto a blank disk, as INSTALL="auto" does. */
  async install(iso: string, disk: string): Promise<void> {
    makeDisk(disk, DISK);
    this.machine = Machine.start({ disk, iso, ...this.ports });
    await this.machine.off(INSTALL);
    expect(this.machine.tail()).toContain('Installed. Restarting.');
  }

  /**
   * Has programs of the instance lie at the same addresses each time, from now on and after restarts: a file of the operator's own. A
   * boot takes a third of the time then, see {@link SAME_PLACES}.
   */
  async settle(): Promise<void> {
    await this.desk.asks(`cat > /${SAME_PLACES.path} && sysctl -f /${SAME_PLACES.path}`, SAME_PLACES.body);
  }

  /** Starts a machine with a disk that begins as another one, in the place of the one before. */
  async start(disk: string, from: string): Promise<void> {
    await this.stop();
    makeDisk(disk, from);
    this.machine = Machine.start({ disk, ...this.ports });
    await this.machine.up(BOOT);
  }

  async stop(): Promise<void> {
    await this.machine?.stop();
  }

  /** Types a block, and waits for what it ends with. @returns what it said, once all is over */
  async type(block: Block, { types, restarts, waits }: Typing = {}): Promise<{ over: Promise<string> }> {
    const began = performance.now();
    this.machine?.next();
    const typed = this.desk.type(typedOf(block), types);
    const over = typed.ended.then(async ({ code }) => {
      if (code !== block.ends)
        throw new Error(
          `${nameOf(block)} ended with ${String(code)}, not ${block.ends}:\n${typed.said()}\nThe console:\n${this.machine?.tail() ?? ''}`,
        );
      if (restarts) await this.machine?.up(BOOT);
      console.info(`${nameOf(block)}: ${((performance.now() - began) / 1000).toFixed(0)} s`);
      return typed.said();
    });
    over.catch(() => undefined);
    const limit = began + SOON * 1000;
    while (waits !== undefined && !typed.said().includes(waits) && performance.now() < limit)
      await sleep(200);
    return { over };
  }
}
