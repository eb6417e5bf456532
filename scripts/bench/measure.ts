import { spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { PROJECT } from '../../build/commands/configuration.js';

const CLI = join(PROJECT, 'lib/build/main.js');
export const say = (line: string): void => void process.stderr.write(`${line}\n`);

/** Runs a command to its end. @throws Error if it fails. */
export function run(command: string, args: readonly string[]): void {
  const result = spawnSync(command, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  if (result.status !== 0) throw new Error(`${command} ${args.join(' ')} failed`);
}

/** Seconds that a shell command takes. */
export function seconds(command: string): number {
  const start = performance.now();
  run('sh', ['-c', command]);
  return (performance.now() - start) / 1000;
}

/** What one run of the program took. */
export interface Taken {
  readonly seconds: number;
  /** Seconds of processor time, its tools' included, and its largest memory in bytes; 0 where the system does not tell. */
  readonly cpu: number;
  readonly peak: number;
}

/** Runs the program, with the arguments of one of its commands. @throws Error if it fails. */
export async function program(args: readonly string[]): Promise<Taken> {
  const before = childCpu();
  const start = performance.now();
  const child = spawn(process.execPath, [CLI, ...args], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, CI: 'true' },
  });
  let peak = 0;
  const timer = setInterval(() => {
    try {
      peak = Math.max(
        peak,
        Number(/^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${child.pid ?? 0}/status`, 'utf8'))?.[1] ?? 0) *
          1024,
      );
    } catch {
      // it has ended, or the system has no /proc
    }
  }, 20);
  const code = await new Promise((resolve) => child.once('close', resolve));
  clearInterval(timer);
  if (code !== 0) throw new Error(`clawdie-iso ${args[0] ?? ''} failed`);
  return { seconds: (performance.now() - start) / 1000, cpu: childCpu() - before, peak };
}

/** The middle one of an odd number of values. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}

/** Seconds of processor time of all children that have ended (proc(5), cutime and cstime in ticks of 10 ms). */
function childCpu(): number {
  try {
    const fields = readFileSync('/proc/self/stat', 'utf8')
      .replace(/^.*\) /, '')
      .split(' ');
    return (Number(fields[13]) + Number(fields[14])) / 100;
  } catch {
    return 0;
  }
}

/** What a part of the bench gives. */
export interface Measured {
  /** For programs. */
  readonly figures: object;
  /** For people. */
  readonly lines: readonly string[];
  readonly exceeded: boolean;
}

export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(0)} MB`;
}
