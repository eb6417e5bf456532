import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

/** A folder that is gone when the test is over. */
export async function tmp(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'clawdie-test-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A signal that is never given. */
export const never = new AbortController().signal;
