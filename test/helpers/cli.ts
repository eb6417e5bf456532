import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { join, resolve } from 'node:path';

export interface CliResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CliOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Hears of the process once it runs. */
  readonly started?: (child: ChildProcess) => void;
  /** A line of sh that runs before the program does, as in `umask 077`. */
  readonly before?: string;
}

export const MAIN = resolve('lib/build/main.js');

/** Runs the program as a person does; its environment is that of a plain login. */
export function cli(args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
  const child = spawn(
    'sh',
    ['-c', `${options.before ?? ':'} && exec "$@"`, 'sh', process.execPath, MAIN, ...args],
    {
      cwd: options.cwd ?? process.cwd(),
      env: { PATH: process.env['PATH'] ?? '', HOME: process.env['HOME'] ?? '/', ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  options.started?.(child);
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  return new Promise((done, reject) => {
    child.once('error', reject);
    child.once('close', (code) => {
      done({ code, stdout, stderr });
    });
  });
}

/** Arguments for the image of the build.cfg in a folder: its own cache and output. */
export function isoArgs(folder: string, ...more: readonly string[]): string[] {
  return argsWith(join(folder, 'build.cfg'), folder, more);
}

/** Arguments for the sample image of a folder: its own cache and output. */
export function sampleArgs(folder: string, ...more: readonly string[]): string[] {
  return argsWith(resolve('build.cfg.example'), folder, ['--set', 'FREEBSD_DIST=sample', ...more]);
}

function argsWith(config: string, folder: string, more: readonly string[]): string[] {
  return [
    'iso',
    '--config',
    config,
    '--cache',
    join(folder, 'cache'),
    '--out',
    join(folder, 'dist'),
    ...more,
  ];
}
