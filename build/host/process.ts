import { spawn } from 'node:child_process';
import type { ChildProcessByStdio } from 'node:child_process';
import { pipeline } from 'node:stream';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { $ } from 'zx';
import { UserError } from '../error.js';
import { shellQuote } from '../quote.js';

/** Locale and time zone that every tool runs under: the same bytes on every host. */
const FIXED_ENVIRONMENT = { LC_ALL: 'C', LANG: 'C', TZ: 'UTC' };

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  readonly input?: string;
}

/** How a command ended that was allowed to fail; `code` is null where a signal ended it. */
export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

// FreeBSD has no bash in its base system: zx is to use the shell that is everywhere.
const shell = $({
  shell: '/bin/sh',
  prefix: '',
  quote: shellQuote,
  nothrow: true,
  quiet: true,
  detached: false,
});

/** Runs a command to its end and gives what it printed, whatever its exit code. For small outputs. */
export async function attempt(command: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const running = shell({
    env: { ...process.env, ...FIXED_ENVIRONMENT, ...options.env },
    ...(options.cwd !== undefined && { cwd: options.cwd }),
    ...(options.signal && { signal: options.signal }),
    ...(options.input !== undefined && { input: options.input }),
  })`${command}`;
  const output = await running;
  if (output.exitCode === null) await heardOf(options.signal);
  options.signal?.throwIfAborted();
  return { code: output.exitCode, stdout: output.stdout, stderr: output.stderr };
}

/**
 * Waits for a second whether the signal comes: Ctrl-C in a terminal ends the tools as well, and the end of one may be
 * heard of first.
 */
export async function heardOf(signal: AbortSignal | undefined): Promise<void> {
  if (signal) await sleep(1000, undefined, { signal }).catch(() => undefined);
}

/**
 * Runs a command to its end and gives what it printed.
 *
 * @param purpose what is being done, as in `making the UFS image`
 * @throws UserError that says what was being done, the command, its exit code and the last lines it printed.
 */
export async function run(
  purpose: string,
  command: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  const outcome = await attempt(command, options);
  if (outcome.code !== 0) throw commandError(purpose, command, outcome);
  return outcome.stdout;
}

/** A failed command as a sentence. */
export function commandError(purpose: string, command: readonly string[], outcome: Outcome): UserError {
  const said = (outcome.stderr.trim() || outcome.stdout.trim()).split('\n').slice(-8);
  const ending = outcome.code === null ? 'was ended by a signal' : `failed with exit code ${outcome.code}`;
  const words =
    said.join('') === '' ? 'It said nothing.' : `It said:\n${said.map((line) => `    ${line}`).join('\n')}`;
  const fix = /no space left/i.test(outcome.stderr)
    ? 'Free some space on that file system, or choose another folder.'
    : undefined;
  return new UserError(
    `${purpose}: ${shellQuote(command[0] ?? '')} ${ending}. ${words}\n  Command: ${command.map(shellQuote).join(' ')}`,
    fix,
  );
}

/**
 * Runs a command to its end with bytes as its input, and gives what it printed, whatever its exit code. A command that does not
 * want all of its input is no error: its exit code tells.
 */
export async function attemptWith(
  command: readonly string[],
  input: Buffer,
  signal: AbortSignal,
): Promise<Outcome> {
  const [file = '', ...args] = command;
  const child = spawn(file, args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, ...FIXED_ENVIRONMENT },
    signal,
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  return new Promise((resolve, reject) => {
    child.once('error', (error) => {
      reject(signal.aborted ? (signal.reason as Error) : error);
    });
    child.once('close', (code) => {
      resolve({ code, stdout, stderr });
    });
  });
}

/** A running command whose standard output is a stream of bytes. */
export interface ByteStream {
  readonly stdout: Readable;
  /** Resolves once the command ended well; rejects with a UserError otherwise. */
  readonly done: Promise<void>;
  kill(): void;
}

/**
 * Starts a command that turns one stream of bytes into another. Not through zx, which keeps all that a command
 * prints: here that would be the whole release.
 *
 * @param stdin what the command reads
 */
export function streamFrom(
  purpose: string,
  command: readonly string[],
  stdin: Readable,
  signal?: AbortSignal,
): ByteStream {
  const [file = '', ...args] = command;
  const child = spawn(file, args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, ...FIXED_ENVIRONMENT },
    ...(signal && { signal }),
  }) as unknown as ChildProcessByStdio<Writable, Readable, Readable>;
  // A command that ends early closes its input; its exit code tells.
  pipeline(stdin, child.stdin, () => undefined);
  const done = ended(purpose, command, child, signal);
  done.catch(() => undefined); // whoever reads the stream may fail first
  return { stdout: child.stdout, done, kill: () => child.kill() };
}

/**
 * Runs a command between two open files, and tells `onTick` every 100 ms (for progress).
 *
 * @throws UserError as run() does.
 */
export async function runBetween(
  purpose: string,
  command: readonly string[],
  files: { readonly stdin: number; readonly stdout: number },
  options: { readonly signal?: AbortSignal; readonly onTick?: () => void } = {},
): Promise<void> {
  const [file = '', ...args] = command;
  const child = spawn(file, args, {
    stdio: [files.stdin, files.stdout, 'pipe'],
    env: { ...process.env, ...FIXED_ENVIRONMENT },
    ...(options.signal && { signal: options.signal }),
  }) as unknown as ChildProcessByStdio<null, null, Readable>;
  const timer = options.onTick && setInterval(options.onTick, 100);
  try {
    await ended(purpose, command, child, options.signal);
  } finally {
    clearInterval(timer);
  }
}

async function ended(
  purpose: string,
  command: readonly string[],
  child: ChildProcessByStdio<Writable | null, Readable | null, Readable>,
  signal: AbortSignal | undefined,
): Promise<void> {
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(-4096);
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  if (code === 0) return;
  if (code === null && !child.killed) {
    await heardOf(signal);
    signal?.throwIfAborted();
  }
  throw commandError(purpose, command, { code, stdout: '', stderr });
}
