import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { execFileSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { sha256 } from '../../../build/host/hash.js';
import { readChecksums, withChecksums } from '../../../build/image/checksum.js';
import { findInRoot, listFiles } from '../../../build/image/iso9660.js';
import { emptySlot, filledSlot, SLOT_SIZE, slotRelease } from '../../../build/image/slot.js';
import { CopyAhead } from '../../../build/image/ahead.js';
import { checkBase, DamagedBase, measureBase, stamp } from '../../../build/image/stamp.js';
import type { BaseSums } from '../../../build/image/stamp.js';
import { biosStub, pmbrStub, uefiStub } from '../../../build/release/sample/stub.js';
import { never, tmp } from '../../helpers/tmp.js';

describe('slot', () => {
  it('says in its first sector what follows', () => {
    const slot = filledSlot(Buffer.from('archive'), '15.1-RELEASE-amd64');
    expect(slot.toString('latin1', 0, 512).replace(/\0+$/, '')).toBe(
      `clawdie-overlay 1\nrelease 15.1-RELEASE-amd64\nlength 7\nsha256 ${sha256('archive')}\n`,
    );
    expect(slot.toString('latin1', 512)).toBe('archive');
    expect(slotRelease(emptySlot('15.1-RELEASE-amd64'))).toBe('15.1-RELEASE-amd64');
    expect(slotRelease(slot)).toBeUndefined();
    expect(slotRelease(Buffer.alloc(512))).toBeUndefined();
  });

  it('takes an archive that fills it, and none that is larger', () => {
    expect(filledSlot(Buffer.alloc(SLOT_SIZE - 512, 1), 'r').length).toBe(SLOT_SIZE);
    expect(() => filledSlot(Buffer.alloc(SLOT_SIZE - 511), 'r')).toThrow(`the slot takes ${SLOT_SIZE - 512}`);
  });
});

describe('CHECKSUM.SHA256', () => {
  const sum = (digit: string): string => digit.repeat(64);

  it('holds a line an image, sorted, in the format of sha256(1)', () => {
    const text = withChecksums(
      `SHA256 (b.iso) = ${sum('b')}\nSHA256 (a.iso) = ${sum('0')}\ngarbage\n`,
      new Map([['a.iso', sum('a')]]),
      () => true,
    );
    expect(text).toBe(`SHA256 (a.iso) = ${sum('a')}\nSHA256 (b.iso) = ${sum('b')}\n`);
  });

  it('has no name that leads out of its folder', () => {
    const text = ['../a.iso', 'b/c.iso', 'd.iso'].map((name) => `SHA256 (${name}) = ${sum('a')}\n`).join('');
    expect([...readChecksums(text).keys()]).toEqual(['d.iso']);
    expect(withChecksums(text, new Map(), () => true)).toBe(`SHA256 (d.iso) = ${sum('a')}\n`);
  });

  it('forgets images that are gone', () => {
    expect(
      withChecksums(`SHA256 (gone.iso) = ${sum('b')}\n`, new Map([['a.iso', sum('a')]]), () => false),
    ).toBe(`SHA256 (a.iso) = ${sum('a')}\n`);
  });

  it('is what sha256sum -c checks', async () => {
    const folder = await tmp();
    writeFileSync(join(folder, 'a.iso'), 'image');
    writeFileSync(
      join(folder, 'CHECKSUM.SHA256'),
      withChecksums('', new Map([['a.iso', sha256('image')]]), () => true),
    );
    expect(execFileSync('sha256sum', ['-c', 'CHECKSUM.SHA256'], { cwd: folder, encoding: 'utf8' })).toBe(
      'a.iso: OK\n',
    );
  });
});

/** An ISO with a slot and something before it. */
async function base(): Promise<{ folder: string; path: string }> {
  const folder = await tmp();
  mkdirSync(join(folder, 'iso'));
  writeFileSync(join(folder, 'iso', 'before'), Buffer.alloc(100_000, 7));
  writeFileSync(join(folder, 'iso', 'overlay'), emptySlot('r'));
  const path = join(folder, 'base.iso');
  execFileSync(
    'xorriso',
    [
      '-as',
      'mkisofs',
      '-r',
      '-iso-level',
      '3',
      '-o',
      path,
      '--sort-weight',
      '-1000',
      '/overlay',
      join(folder, 'iso'),
    ],
    { stdio: 'ignore' },
  );
  return { folder, path };
}

async function stampTo(path: string, base: string, slot: Buffer, known: BaseSums): Promise<string> {
  return stamp(await checkBase(base, known, never), slot, path, 0o644);
}

describe('stamp', () => {
  it('copies the base, with the slot filled, and gives the sum of what it wrote', async () => {
    const { folder, path } = await base();
    const { known } = await measureBase(path, never);
    const slot = filledSlot(Buffer.from('archive'), 'r');
    const sum = await stampTo(join(folder, 'image.iso'), path, slot, known);
    const image = readFileSync(join(folder, 'image.iso'));
    const original = readFileSync(path);
    expect(sum).toBe(sha256(image));
    slot.copy(original, known.slot.offset);
    expect(image.equals(original)).toBe(true);
    const extracted = join(folder, 'overlay');
    execFileSync(
      'xorriso',
      ['-osirrox', 'on', '-indev', join(folder, 'image.iso'), '-extract', '/overlay', extracted],
      { stdio: 'ignore' },
    );
    expect(readFileSync(extracted).equals(Buffer.concat([slot], SLOT_SIZE))).toBe(true);
  });

  it.each([
    [
      'before the slot',
      (bytes: Buffer) => {
        bytes[40_000] = 1;
        return bytes;
      },
    ],
    [
      'behind the slot',
      (bytes: Buffer) => {
        bytes[bytes.length - 1] = 1;
        return bytes;
      },
    ],
    [
      'in the slot',
      (bytes: Buffer) => {
        bytes[bytes.indexOf('clawdie-slot 1') + SLOT_SIZE - 1] = 1;
        return bytes;
      },
    ],
    ['in its size', (bytes: Buffer) => bytes.subarray(0, bytes.length - 2048)],
  ])('notices a base that was damaged %s', async (_, damage) => {
    const { folder, path } = await base();
    const { known } = await measureBase(path, never);
    writeFileSync(path, damage(readFileSync(path)));
    await expect(
      stampTo(join(folder, 'image.iso'), path, filledSlot(Buffer.from('x'), 'r'), known),
    ).rejects.toThrow(DamagedBase);
  });

  it('notices a base that became another one after it was looked at', async () => {
    const { folder, path } = await base();
    const checked = await measureBase(path, never);
    const other = readFileSync(path);
    other[40_000] = 1;
    writeFileSync(path, other);
    const slot = filledSlot(Buffer.from('x'), 'r');
    await expect(stamp(checked, slot, join(folder, 'image.iso'), 0o600)).rejects.toThrow(DamagedBase);
  });

  it('writes nothing over what stands there, and gives an image its mode', async () => {
    const { folder, path } = await base();
    const checked = await measureBase(path, never);
    const [slot, image] = [filledSlot(Buffer.from('x'), 'r'), join(folder, 'image.iso')];
    await stamp(checked, slot, image, 0o600);
    expect(statSync(image).mode & 0o777).toBe(0o600);
    await expect(stamp(checked, slot, image, 0o600)).rejects.toThrow('failed: file already exists');
  });

  it('takes the copy that was made ahead, unless it is one of another file', async () => {
    const { folder, path } = await base();
    const checked = await measureBase(path, never);
    const [slot, image] = [filledSlot(Buffer.from('x'), 'r'), join(folder, 'image.iso')];
    const expected = await stamp(checked, slot, image, 0o644);
    const ahead = new CopyAhead(image);
    ahead.begin(path);
    const copied = await ahead.copied();
    const { ino } = statSync(ahead.path);
    expect(await stamp(checked, slot, ahead.path, 0o600, copied)).toBe(expected);
    expect(statSync(ahead.path)).toMatchObject({ ino });
    expect(readFileSync(ahead.path).equals(readFileSync(image))).toBe(true);
    const other = join(folder, 'other.iso');
    writeFileSync(other, 'something else');
    ahead.begin(other);
    expect(await stamp(checked, slot, ahead.path, 0o600, await ahead.copied())).toBe(expected);
    expect(readFileSync(ahead.path).equals(readFileSync(image))).toBe(true);
  });

  it('leaves nothing of a copy that was made ahead and is not wanted, or cannot be made', async () => {
    const { folder, path } = await base();
    const there = readdirSync(folder);
    const ahead = new CopyAhead(join(folder, 'image.iso'));
    ahead.begin(join(folder, 'missing'));
    expect(await ahead.copied()).toBeUndefined();
    expect(readdirSync(folder)).toEqual(there);
    ahead.begin(path);
    await ahead.end();
    ahead.begin(path);
    expect(await ahead.copied()).toBeDefined();
    expect(readdirSync(folder)).toEqual(there);
  });

  it('refuses a base without an empty slot', async () => {
    const { folder, path } = await base();
    const { known } = await measureBase(path, never);
    await stampTo(join(folder, 'image.iso'), path, filledSlot(Buffer.from('x'), 'r'), known);
    await expect(measureBase(join(folder, 'image.iso'), never)).rejects.toThrow('has no empty overlay slot');
  });
});

describe('listFiles', () => {
  it('finds files by the names that POSIX has for them, however long, and what is in them', async () => {
    const folder = await tmp();
    const long = `${'l'.repeat(120)}-1.0.${'pkg'.repeat(40)}`;
    const names = ['All/a-1.0_1,2.pkg', `All/${long}`, 'Latest/pkg.pkg', 'meta.conf'];
    for (const name of names) {
      mkdirSync(dirname(join(folder, 'iso', name)), { recursive: true });
      writeFileSync(join(folder, 'iso', name), `contents of ${name}`);
    }
    const image = join(folder, 'image.iso');
    execFileSync('xorriso', ['-as', 'mkisofs', '-r', '-iso-level', '3', '-o', image, join(folder, 'iso')], {
      stdio: 'ignore',
    });
    const bytes = readFileSync(image);
    const read = (offset: number, length: number): Promise<Buffer> =>
      Promise.resolve(bytes.subarray(offset, offset + length));
    const found = await listFiles(read, image, 'posix');
    expect(
      [...found].map(([name, { offset, length }]) => [
        name.slice(1),
        bytes.toString('utf8', offset, offset + length),
      ]),
    ).toEqual([...names].map((name) => [name, `contents of ${name}`]));
  });
});

describe('findInRoot', () => {
  it('says so if the file is no ISO, or holds no such file', async () => {
    await expect(
      findInRoot((_, length) => Promise.resolve(Buffer.alloc(length)), 'overlay', 'x.iso'),
    ).rejects.toThrow('x.iso is not an ISO 9660 image');
    const { path } = await base();
    const bytes = readFileSync(path);
    await expect(
      findInRoot(
        (offset, length) => Promise.resolve(bytes.subarray(offset, offset + length)),
        'nothing',
        'x.iso',
      ),
    ).rejects.toThrow('holds no /nothing');
  });
});

describe('boot stubs', () => {
  it('fit where they go', () => {
    expect(biosStub().length).toBeLessThanOrEqual(440);
    expect(pmbrStub().length).toBe(512);
    expect(pmbrStub().readUInt16LE(510)).toBe(0xaa55);
    expect(uefiStub().toString('latin1', 0, 2)).toBe('MZ');
  });
});
