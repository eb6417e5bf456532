import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { shellQuote } from '../../build/quote.js';
import { cli, MAIN, sampleArgs } from '../helpers/cli.js';
import type { CliOptions, CliResult } from '../helpers/cli.js';
import { tmp } from '../helpers/tmp.js';

/** A program that runs in a terminal of its own. */
interface Shown {
  /** What it has shown so far, with what moves the cursor. */
  readonly screen: () => string;
  readonly type: (keys: string) => void;
  /** Its exit code. */
  readonly ended: Promise<number | null>;
}

/** Runs a line of sh in a terminal of 80 x 24 characters, as script(1) of util-linux makes one. */
function inTerminal(line: string, env: CliOptions['env'] = {}): Shown {
  const child = spawn('script', ['-qec', `stty rows 24 cols 80; ${line}`, '/dev/null'], {
    env: { PATH: process.env['PATH'] ?? '', HOME: process.env['HOME'] ?? '/', TERM: 'xterm', ...env },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  onTestFinished(() => void child.kill());
  let screen = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (screen += text));
  return {
    screen: () => screen,
    type: (keys) => void child.stdin.write(keys),
    ended: new Promise((resolve) => void child.once('close', resolve)),
  };
}

const lineOf = (args: readonly string[]): string =>
  [process.execPath, MAIN, ...args].map(shellQuote).join(' ');

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await sleep(20);
}

/** A PATH whose first tool is a script. */
function withTool(folder: string, name: string, script: string): { readonly PATH: string } {
  const bin = join(folder, 'bin');
  mkdirSync(bin);
  writeFileSync(join(bin, name), `#!/bin/sh\n${script}`);
  chmodSync(join(bin, name), 0o755);
  return { PATH: `${bin}:${process.env['PATH'] ?? ''}` };
}

const real = (tool: string): string =>
  execFileSync('sh', ['-c', `command -v ${tool}`], { encoding: 'utf8' }).trim();

/** A build that holds its locks until there is a file `go`: its root is compressed then. */
async function holding(folder: string): Promise<{ env: { PATH: string }; go: () => Promise<CliResult> }> {
  const env = withTool(
    folder,
    'pigz',
    `[ "$1" = --version ] || { : > '${folder}/reached'; while [ -e '${folder}/reached' ] && [ ! -e '${folder}/go' ]; do sleep 0.1; done; }\nexec ${real('pigz')} "$@"\n`,
  );
  const running = cli(sampleArgs(folder), {
    env,
    started: (child) => {
      onTestFinished(() => void child.kill());
    },
  });
  await until(() => existsSync(join(folder, 'reached')));
  return {
    env,
    go: () => {
      writeFileSync(join(folder, 'go'), '');
      return running;
    },
  };
}

describe('a build in a terminal', { timeout: 300_000 }, () => {
  it('that waits for the base image of another says for whom, and that nothing failed', async () => {
    const folder = await tmp();
    const other = await holding(folder);
    const args = [...sampleArgs(folder), '--out', join(folder, 'second')];
    const waiting = inTerminal(lineOf(args), { ...other.env, NO_COLOR: '1' });
    await until(() => /Waiting for process \d+ on \S+ \(since/.test(waiting.screen()));
    expect((await other.go()).code).toBe(0);
    expect(await waiting.ended).toBe(0);
    expect(waiting.screen()).toContain('✔ Image');
    expect(waiting.screen()).toContain('↓ Base image (not needed)');
    expect(waiting.screen()).not.toContain('✖');
  });

  it('that waits for its folder says who has it, and how not to wait; Ctrl-C ends it', async () => {
    const folder = await tmp();
    const other = await holding(folder);
    const waiting = inTerminal(lineOf(sampleArgs(folder)), other.env);
    await until(() => waiting.screen().includes('instead.'));
    expect(waiting.screen().replace(/\s+/g, ' ')).toMatch(
      /Waiting for process \d+ on \S+ \(since \d\d:\d\d UTC\), which is building into \S+; with --no-wait /,
    );
    waiting.type('\u0003');
    expect(await waiting.ended).toBe(130);
    expect(waiting.screen()).toContain('Interrupted by SIGINT.');
    expect((await other.go()).code).toBe(0);
  });

  it('that Ctrl-C ends leaves the cursor there, and nothing behind', async () => {
    const folder = await tmp();
    const env = withTool(
      folder,
      'pigz',
      `[ "$1" = --version ] && exec ${real('pigz')} --version\n: > '${folder}/reached'\nexec sleep 60\n`,
    );
    const running = inTerminal(lineOf(sampleArgs(folder)), env);
    await until(() => existsSync(join(folder, 'reached')));
    running.type('\u0003');
    expect(await running.ended).toBe(130);
    expect(running.screen().lastIndexOf('\u001b[?25h')).toBeGreaterThan(
      running.screen().lastIndexOf('\u001b[?25l'),
    );
    expect(readdirSync(join(folder, 'dist'))).toEqual([]);
    for (const name of ['work', 'locks']) expect(readdirSync(join(folder, 'cache', name))).toEqual([]);
  });

  it('shows what is wrong in red, and writes it to a file without colour', async () => {
    const folder = await tmp();
    const wrong = lineOf(['iso', '--config', join(folder, 'none.cfg')]);
    const file = join(folder, 'err');
    for (const line of [wrong, `${wrong} 2> ${file}`]) {
      const shown = inTerminal(line);
      expect(await shown.ended).toBe(2);
      expect(shown.screen().startsWith('\u001b[31mThe configuration ')).toBe(line === wrong);
    }
    expect(readFileSync(file, 'utf8')).toMatch(/^The configuration .* cannot be read: [^\u001b]*$/);
  });

  it('that has no plan tells its stages in lines', async () => {
    const folder = await tmp();
    const running = inTerminal(lineOf(['root', ...sampleArgs(folder).slice(1)]));
    expect(await running.ended).toBe(0);
    expect(running.screen()).toMatch(/^Compressed root: done in /m);
  });
});

describe('Ctrl-C, where the end of a tool is heard of before the signal', { timeout: 300_000 }, () => {
  /** Ends as Ctrl-C ends it, which reaches its parent a moment later. */
  const ends = '(sleep 0.2; kill -INT $PPID) > /dev/null 2>&1 &\nkill -INT $$\n';
  const interrupted = { code: 130, stderr: expect.stringMatching(/^Interrupted by SIGINT\./) as string };

  it('is an interruption, while a tool works', async () => {
    const folder = await tmp();
    const env = withTool(folder, 'pigz', `[ "$1" = --version ] && exec ${real('pigz')} --version\n${ends}`);
    expect(await cli(sampleArgs(folder), { env })).toMatchObject(interrupted);
  });

  it('is an interruption, while a lock is waited for', async () => {
    const folder = await tmp();
    const lock = join(folder, 'dist', '.clawdie-iso.lock');
    mkdirSync(join(folder, 'dist'));
    const holder = spawn('flock', ['-x', lock, 'sleep', '60']);
    onTestFinished(() => void holder.kill());
    await until(() => existsSync(lock));
    const env = withTool(folder, 'flock', `case "$*" in *-n*) exec ${real('flock')} "$@" ;; esac\n${ends}`);
    expect(await cli(sampleArgs(folder), { env })).toMatchObject(interrupted);
  });
});
