import { truncateSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { UserError } from '../../../build/error.js';
import { readGpt, SLOT_TYPE } from '../../../build/image/gpt.js';
import { findSlot } from '../../../build/image/slot-place.js';
import { gpt, installed } from '../../helpers/disk.js';
import type { Row } from '../../helpers/disk.js';
import { tmp } from '../../helpers/tmp.js';

const SECTORS = 1_000_000;
const SLOT_SECTORS = 8192;

const uuid = fc.uuid().filter((each) => each !== SLOT_TYPE && !each.startsWith('00000000'));
const label = fc.stringMatching(/^[a-zäß-]{0,36}$/);

/** Partitions one behind the other, with gaps, on a disk of SECTORS. */
const rows = fc
  .array(
    fc.record({
      type: uuid,
      label,
      gap: fc.nat(5000),
      count: fc.integer({ min: 1, max: 5000 }),
      bits: fc.bigInt(0n, 2n ** 64n - 1n),
    }),
    { maxLength: 20 },
  )
  .map((items) => {
    let at = 34;
    return items.map(({ type, label: name, gap, count, bits }): Row => {
      const first = at + gap;
      at = first + count;
      return { type, label: name, first, count, attributes: bits };
    });
  });

const readerOf =
  (bytes: Buffer) =>
  (offset: number, length: number): Promise<Buffer> =>
    Promise.resolve(bytes.subarray(offset, offset + length));
const read = (bytes: Buffer, size = SECTORS * 512): ReturnType<typeof readGpt> =>
  readGpt(readerOf(bytes), size, 'disk');

describe('GPT', () => {
  it('is read as it was written, whatever is on the disk', async () => {
    await fc.assert(
      fc.asyncProperty(rows, async (wanted) => {
        const found = await read(gpt(wanted, SECTORS));
        expect(found).toEqual(
          wanted.map(({ type, label: name, first, count, attributes }, index) => ({
            ...{ index: index + 1, type, label: name, attributes },
            extent: { offset: first * 512, length: count * 512 },
          })),
        );
      }),
    );
  });

  it('is refused where any byte of its header or its entries is another', async () => {
    const whole = gpt(installed(SECTORS), SECTORS);
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(fc.integer({ min: 512, max: 512 + 91 }), fc.integer({ min: 1024, max: whole.length - 1 })),
        fc.integer({ min: 1, max: 255 }),
        async (at, change) => {
          const damaged = Buffer.from(whole);
          damaged.writeUInt8(damaged.readUInt8(at) ^ change, at);
          await expect(read(damaged)).rejects.toThrow(UserError);
        },
      ),
      { numRuns: 500 },
    );
  });

  it('is refused where partitions reach beyond the disk, and where there is none', async () => {
    await expect(read(gpt(installed(SECTORS), SECTORS), (SECTORS - 100) * 512)).rejects.toThrow(
      'its partition 7 is not within it',
    );
    await expect(read(Buffer.alloc(34 * 512))).rejects.toThrow(
      'disk is no disk image of this project: it has no partition table',
    );
    await expect(read(Buffer.alloc(100))).rejects.toThrow('it has no partition table');
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 92, maxLength: 512 }), async (bytes) => {
        const hostile = Buffer.concat([Buffer.alloc(512), Buffer.from('EFI PART'), bytes], 34 * 512);
        await expect(read(hostile)).rejects.toThrow(UserError);
      }),
    );
  });
});

describe('the slot of a disk', () => {
  const find = async (wanted: readonly Row[], sectors = SECTORS): ReturnType<typeof findSlot> => {
    const path = join(await tmp(), 'disk');
    writeFileSync(path, gpt(wanted, sectors));
    truncateSync(path, sectors * 512);
    const file = await open(path, 'r');
    return findSlot(file, 'disk').finally(() => file.close());
  };

  it('is found wherever its partition is', async () => {
    await fc.assert(
      fc.asyncProperty(rows, fc.nat(), async (others, where) => {
        const index = where % (others.length + 1);
        const end = Math.max(34, ...others.map(({ first, count }) => first + count));
        const slot: Row = { type: SLOT_TYPE, label: 'any', first: end + (where % 1000), count: SLOT_SECTORS };
        const extent = await find([...others.slice(0, index), slot, ...others.slice(index)]);
        expect(extent).toEqual({ offset: slot.first * 512, length: SLOT_SECTORS * 512 });
      }),
      { numRuns: 40 },
    );
  });

  it('is none where there is no such partition, more than one, or one of another size', async () => {
    const all = installed(SECTORS);
    const at = all.findIndex(({ type }) => type === SLOT_TYPE);
    const [before, slot, rest] = [all.slice(0, at), all[at] as Row, all.slice(at + 1)];
    await expect(find([...before, ...rest])).rejects.toThrow('disk has no partition for the overlay');
    await expect(find([{ ...slot, first: slot.first - 50_000 }, slot, ...rest])).rejects.toThrow(
      'disk has more than one',
    );
    await expect(find([...before, { ...slot, count: 100 }, ...rest])).rejects.toThrow(
      'The overlay slot of disk has 51200 bytes instead of 4194304',
    );
  });
});
