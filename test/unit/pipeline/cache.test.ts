import { mkdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Cache } from '../../../build/pipeline/cache.js';
import { never, tmp } from '../../helpers/tmp.js';

const KEY = 'ab12';

async function entry(
  facts: unknown = { setuid: ['4555 0:0 /usr/bin/su'] },
): Promise<{ cache: Cache; path: string }> {
  const folder = await tmp();
  const cache = new Cache(join(folder, 'cache'));
  const work = join(folder, 'work');
  mkdirSync(join(work, 'boot', 'lua'), { recursive: true });
  writeFileSync(join(work, 'image'), 'bytes');
  writeFileSync(join(work, 'boot', 'lua', 'a+b.lua'), 'x');
  await cache.put('root', KEY, work, facts, true, never);
  return { cache, path: join(cache.folder, 'root', KEY) };
}

describe('a cache entry', () => {
  it('has the files that were put into it, in folders too, and no other that lies there', async () => {
    const { cache, path } = await entry();
    writeFileSync(join(path, 'boot', 'extra.lua'), 'not ours');
    expect((await cache.get('root', KEY))?.files).toEqual(['boot/lua/a+b.lua', 'image']);
    expect(await cache.verify('root', KEY, never)).toBe(true);
    writeFileSync(join(path, 'image'), 'BYTES');
    expect(await cache.verify('root', KEY, never)).toBe(false);
  });

  it('is none if any byte of what it says of itself has changed, or it is cut short', async () => {
    const { cache, path } = await entry();
    const receipt = join(path, 'entry.json');
    const good = readFileSync(receipt);
    for (let at = 0; at < good.length - 1; at++) {
      const bad = Buffer.from(good);
      bad.writeUInt8((bad[at] ?? 0) ^ 1, at);
      writeFileSync(receipt, bad);
      expect([at, await cache.get('root', KEY), await cache.verify('root', KEY, never)]).toEqual([
        at,
        undefined,
        false,
      ]);
      writeFileSync(receipt, good.subarray(0, at));
      expect([at, await cache.get('root', KEY)]).toEqual([at, undefined]);
    }
    writeFileSync(receipt, good);
    expect((await cache.get('root', KEY))?.facts).toEqual({ setuid: ['4555 0:0 /usr/bin/su'] });
  });

  it('is none under another key, or where a file has become a link', async () => {
    const { cache, path } = await entry();
    renameSync(join(path, 'image'), join(path, 'elsewhere'));
    symlinkSync('elsewhere', join(path, 'image'));
    expect(await cache.get('root', KEY)).toBeUndefined();
    renameSync(join(path, 'elsewhere'), join(path, 'image'));
    expect(await cache.get('root', KEY)).toBeDefined();
    renameSync(path, join(cache.folder, 'root', 'cd34'));
    expect(await cache.get('root', 'cd34')).toBeUndefined();
  });
});
