import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { shellQuote } from '../../build/quote.js';
import { MAIN } from './cli.js';
import type { CliResult } from './cli.js';
import { makeKey } from './signing.js';

/** What has been typed, while it runs. */
export interface Typed {
  readonly ended: Promise<CliResult>;
  /** What it has said so far, on both outputs. */
  said(): string;
}

/**
 * The machine of an operator: a folder in which what documents say is typed as it stands. ADDRESS is the instance, KEY and
 * `release.pub` are keys of this test; `clawdie-iso`, ssh(1) and scp(1) are found as on any machine.
 */
export class Desk {
  private constructor(private readonly folder: string) {}

  /** @param port of the loopback where the instance's sshd(8) is reached */
  static make(folder: string, port: number): Desk {
    makeKey(folder, 'KEY');
    makeKey(folder, 'release');
    const desk = new Desk(folder);
    desk.write(
      'ssh_config',
      [
        'Host ADDRESS address',
        '  HostName 127.0.0.1',
        `  Port ${port}`,
        `  IdentityFile "${desk.path('KEY')}"`,
        '  IdentitiesOnly yes',
        '  HostKeyAlias ADDRESS',
        `  UserKnownHostsFile "${desk.path('known_hosts')}"`,
        '  StrictHostKeyChecking accept-new',
        '',
      ].join('\n'),
    );
    desk.program('clawdie-iso', [process.execPath, MAIN]);
    for (const name of ['ssh', 'scp']) {
      const real = execFileSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).trim();
      desk.program(name, [real, '-F', desk.path('ssh_config')]);
    }
    return desk;
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  write(name: string, text: string): void {
    mkdirSync(dirname(this.path(name)), { recursive: true });
    writeFileSync(this.path(name), text);
  }

  private program(name: string, command: readonly string[]): void {
    this.write(`bin/${name}`, `#!/bin/sh\nexec ${command.map(shellQuote).join(' ')} "$@"\n`);
    chmodSync(this.path(`bin/${name}`), 0o755);
  }

  /**
   * Types lines of sh(1).
   *
   * @param more what is typed to what they start; without it nobody is there to answer questions
   */
  type(text: string, more = ''): Typed {
    const child = spawn('sh', ['-c', text], {
      cwd: this.folder,
      env: {
        PATH: `${this.path('bin')}:${process.env['PATH'] ?? ''}`,
        HOME: this.folder,
        CLAWDIE_CACHE: process.env['CLAWDIE_CACHE'] ?? this.path('cache'),
      },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    child.stdin.on('error', () => undefined);
    child.stdin.end(more);
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (more: string) => (stdout += more));
    child.stderr.setEncoding('utf8').on('data', (more: string) => (stderr += more));
    const ended = new Promise<CliResult>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code) => {
        resolve({ code, stdout, stderr });
      });
    });
    ended.catch(() => undefined);
    return { ended, said: () => stdout + stderr };
  }

  /** What a command of the instance prints. @throws Error if it does not end with 0. */
  async asks(command: string, input = ''): Promise<string> {
    const { code, stdout, stderr } = await this.type(`ssh root@ADDRESS ${shellQuote(command)}`, input).ended;
    if (code !== 0) throw new Error(`${command} ended with ${String(code)}: ${stdout}${stderr}`);
    return stdout;
  }

  /** Puts the host keys that are known aside, as for a machine that nobody knows. @returns what brings them back */
  forgetHosts(): () => void {
    const [known, kept] = [this.path('known_hosts'), this.path('known_hosts.kept')];
    renameSync(known, kept);
    return () => {
      renameSync(kept, known);
    };
  }
}
