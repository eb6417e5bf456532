import { createHash, randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import { sha256 } from '../../../build/host/hash.js';
import { sumBeginning, sumsOf } from '../../../build/host/summing.js';
import { tmp } from '../../helpers/tmp.js';

const compiled = pathToFileURL(resolve('lib/build/host/summing.js')).href;

interface Summing {
  readonly sumBeginning: typeof sumBeginning;
  readonly sumsOf: typeof sumsOf;
}

describe.each([
  ['here', () => Promise.resolve({ sumBeginning, sumsOf })],
  // A thread can be had of compiled sources alone.
  ['in a thread', () => import(compiled) as Promise<Summing>],
])('sums of files, %s', (_, load) => {
  it('are those of parts, many at once, and of what was copied of them', async () => {
    const { sumsOf: sum } = await load();
    const folder = await tmp();
    const bytes = randomBytes(3_500_000);
    writeFileSync(join(folder, 'file'), bytes);
    const file = await open(join(folder, 'file'), 'r');
    const copies = Array.from({ length: 40 }, (_each, index) => join(folder, `copy${index}`));
    try {
      await Promise.all(
        copies.map(async (path, index) => {
          const copy = await open(path, 'wx');
          try {
            const found = await sum(file, { from: index, to: 3_000_000 }, ['sha256', 'blake2b512'], copy);
            const part = bytes.subarray(index, 3_000_000);
            expect([...found]).toEqual([
              ['sha256', sha256(part)],
              ['blake2b512', createHash('blake2b512').update(part).digest('hex')],
            ]);
            expect(readFileSync(path).equals(part)).toBe(true);
          } finally {
            await copy.close();
          }
        }),
      );
      const readonly = await open(join(folder, 'file'), 'r');
      await expect(sum(file, { from: 0, to: 10 }, ['sha256'], readonly)).rejects.toMatchObject({
        code: 'EBADF',
      });
      await readonly.close();
      expect((await sum(file, { from: 3_499_999, to: 9_000_000 }, ['sha256'])).get('sha256')).toBe(
        sha256(bytes.subarray(3_499_999)),
      );
    } finally {
      await file.close();
    }
  });

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
