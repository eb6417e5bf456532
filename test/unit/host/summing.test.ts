import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import { sha256 } from '../../../build/host/hash.js';
import { sumBeginning } from '../../../build/host/summing.js';
import { tmp } from '../../helpers/tmp.js';

const compiled = pathToFileURL(resolve('lib/build/host/summing.js')).href;

describe.each([
  ['here', () => Promise.resolve({ sumBeginning })],
  // A thread can be had of compiled sources alone.
  ['in a thread', () => import(compiled) as Promise<{ sumBeginning: typeof sumBeginning }>],
])('sums of the beginning of a file, %s', (_, load) => {
  it('are those of its bytes, and go on with others, as often as wanted', async () => {
    const { sumBeginning: sum } = await load();
    const path = join(await tmp(), 'file');
    const bytes = randomBytes(3_500_000);
    writeFileSync(path, bytes);
    const file = await open(path, 'r');
    try {
      const beginning = await sum(file, 3_000_001);
      expect(beginning.hex).toBe(sha256(bytes.subarray(0, 3_000_001)));
      for (const piece of ['one', 'two'])
        expect(await beginning.followedBy([Buffer.from(piece)], file, 3_400_000, bytes.length)).toBe(
          sha256(
            Buffer.concat([bytes.subarray(0, 3_000_001), Buffer.from(piece), bytes.subarray(3_400_000)]),
          ),
        );
      const other = await sum(file, 7);
      expect(other.hex).toBe(sha256(bytes.subarray(0, 7)));
      expect(await beginning.followedBy([], file, 0, 0)).toBe(beginning.hex);
    } finally {
      await file.close();
    }
  });

  it('end with the reason of who stops them, and with the error of a file that cannot be read', async () => {
    const { sumBeginning: sum } = await load();
    const folder = await tmp();
    const file = await open(join(folder, 'file'), 'w');
    try {
      await expect(sum(file, 10)).rejects.toThrow(/EBADF/);
      await file.truncate(64 * 1024 ** 3);
    } finally {
      await file.close();
    }
    const large = await open(join(folder, 'file'), 'r');
    try {
      const stop = new AbortController();
      const running = sum(large, 64 * 1024 ** 3, stop.signal);
      setTimeout(() => {
        stop.abort(new Error('enough'));
      }, 50);
      await expect(running).rejects.toThrow('enough');
    } finally {
      await large.close();
    }
  });
});
