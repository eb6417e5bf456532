import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { TestContext } from 'vitest';

/** A folder that is gone when the test is over. */
export async function tmp(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'clawdie-test-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/**
 * Mounts a file system in memory until the test is over. Where this user may not, the test says that it was not run.
 *
 * @param options of mount(8): `size=3m`, `ro`
 */
export function mountSmall(folder: string, options: string, context: TestContext): void {
  mkdirSync(folder);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', folder], { stdio: 'ignore' });
  } catch {
    console.warn(`NOT CHECKED: ${context.task.name} (mounting a file system needs root)`);
    context.skip();
  }
  onTestFinished(() => {
    execFileSync('umount', [folder]);
  });
}

/** A signal that is never given. */
export const never = new AbortController().signal;

/** Milliseconds of processors that this process has used: unlike the clock, the same on a busy machine. */
export function cpuTime(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}
