import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { FakeRoot, ScriptResult } from './shell.js';

/** Programs that change something on any instance. */
const CHANGING = [
  ...['dd', 'mv', 'cp', 'mount', 'umount', 'tar', 'rm', 'ln'],
  ...['mkdir', 'fsync', 'mdconfig'],
];

/** Something whose power can fail: a fake root, and what remembers all of it. */
interface Powered {
  readonly fake: FakeRoot;
  /** What it returns brings all of it back. */
  snapshot(): () => void;
}

/**
 * Runs a script again and again, each time on the instance as it is now, whose power fails at another of its programs that
 * change something, until it comes to its end; once for a fake root.
 *
 * @param more programs beside those of any instance
 * @param step to the next moment: 1 is every one
 * @param after is done after each, with its number, from 1: the power is back
 * @returns the number behind the last
 */
export function cutAtEach(
  instance: Powered,
  more: readonly string[],
  step: number,
  run: () => ScriptResult,
  after: (n: number) => void,
): number {
  const back = instance.snapshot();
  const cutAt = powerCutter(instance.fake, more);
  let n = 1;
  for (let done = false; !done; n += step) {
    back();
    done = cutAt(n, run);
    after(n);
  }
  return n;
}

/** Boots until nothing is on trial any more: nobody confirms anything. */
export function settle(boot: () => unknown, waits: () => boolean): void {
  for (let boots = 0; boots < 4; boots += 1) {
    boot();
    if (!waits()) return;
  }
}

/** Gives what runs a script whose power fails at the n-th program, from 1; it is true if that came to its end before. */
function powerCutter(
  fake: FakeRoot,
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
