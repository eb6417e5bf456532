import { cpSync, existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { FakeRoot, ScriptResult } from './shell.js';

/** Programs that change something on any instance. */
const CHANGING = [
  ...['dd', 'mv', 'cp', 'mount', 'umount', 'tar', 'rm', 'ln'],
  ...['mkdir', 'fsync', 'mdconfig'],
];

/**
 * Runs a script whose power fails at the n-th program that changes something.
 *
 * @param more programs beside those of any instance
 * @param n from 1
 * @returns true if it came to its end before
 */
export function powerCut(
  fake: FakeRoot,
  more: readonly string[],
  n: number,
  run: () => ScriptResult,
): boolean {
  const { bin, root } = fake;
  const count = join(root, '../count');
  rmSync(count, { force: true });
  const kept = join(root, '../bin.kept');
  rmSync(kept, { recursive: true, force: true });
  cpSync(bin, kept, { recursive: true, verbatimSymlinks: true });
  for (const name of [...CHANGING, ...more]) {
    const there = existsSync(join(kept, name));
    writeFileSync(
      join(bin, name),
      `#!/bin/sh\necho >> '${count}'\n[ "$(wc -l < '${count}')" -lt ${n} ] || kill -9 0\n` +
        `PATH='${kept}':/usr/bin:/bin\nexec ${there ? `'${kept}/${name}'` : `/usr/bin/${name}`} "$@"\n`,
      { mode: 0o755 },
    );
  }
  fake.through = ['setsid', '-w'];
  const result = run();
  fake.through = [];
  rmSync(bin, { recursive: true });
  cpSync(kept, bin, { recursive: true, verbatimSymlinks: true });
  return result.code === 0;
}
