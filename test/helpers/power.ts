import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { FakeRoot, ScriptResult } from './shell.js';

/** Programs that change something on any instance. */
const CHANGING = [
  ...['dd', 'mv', 'cp', 'mount', 'umount', 'tar', 'rm', 'ln'],
  ...['mkdir', 'fsync', 'mdconfig'],
];

/**
 * Has the power fail at the n-th program that changes something; once for a fake root.
 *
 * @param more programs beside those of any instance
 * @returns runs a script whose power fails at the n-th, from 1; true if it came to its end before
 */
export function powerCutter(
  { fake }: { readonly fake: FakeRoot },
  more: readonly string[],
): (n: number, run: () => ScriptResult) => boolean {
  const { bin, root } = fake;
  const [folder, count, last] = [join(root, '../cut'), join(root, '../count'), join(root, '../last')];
  mkdirSync(folder);
  for (const name of [...CHANGING, ...more])
    writeFileSync(
      join(folder, name),
      `#!/bin/sh\necho >> '${count}'\nread -r last < '${last}'\nn=0\nwhile read -r _; do n=$((n + 1)); done < '${count}'\n` +
        `[ "$n" -lt "$last" ] || kill -9 0\nPATH='${bin}':/usr/bin:/bin\nexec ${name} "$@"\n`,
      { mode: 0o755 },
    );
  return (n, run) => {
    rmSync(count, { force: true });
    writeFileSync(last, `${n}\n`);
    fake.through = ['setsid', '-w'];
    fake.before = [folder];
    const result = run();
    fake.through = [];
    fake.before = [];
    return result.code === 0;
  };
}
