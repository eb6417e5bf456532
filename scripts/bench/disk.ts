import { randomBytes } from 'node:crypto';
import { closeSync, ftruncateSync, mkdirSync, openSync, rmSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { compressAround, writeCompressed } from '../../build/disk/compress.js';
import { SLOT_SIZE } from '../../build/image/slot.js';
import { median, megabytes, say, seconds } from './measure.js';
import type { Measured } from './measure.js';

/** A stamp of a disk image may take so many times what cp and sha256sum of it take. */
const LIMIT = 1.5;
const SIZE = 2 * 1024 ** 3;
const SLOT = { offset: 65 * 1024 ** 2, length: SLOT_SIZE };
const STAMPS = 5;

/** A disk with 400 MB on it, a third of which compresses: about what a system of FreeBSD does. */
function makeDisk(path: string): void {
  const file = openSync(path, 'w');
  ftruncateSync(file, SIZE);
  for (let at = 200; at < 600; at += 1)
    writeSync(file, at % 3 === 0 ? Buffer.alloc(1e6, 'text ') : randomBytes(1e6), 0, 1e6, at * 1024 ** 2);
  closeSync(file);
}

/** Measures stamps of a disk image against copies of it that are summed up. */
export async function benchDisk(folder: string, runs: number): Promise<Measured> {
  const work = join(folder, 'disk');
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work, { recursive: true });
  const [disk, pieces, image] = [join(work, 'disk'), join(work, 'pieces'), join(work, 'image')];
  const { signal } = new AbortController();
  makeDisk(disk);
  const { cut } = await compressAround(disk, SLOT, SIZE, pieces, signal);
  const slot = Buffer.concat([randomBytes(200_000)], SLOT_SIZE);
  const measured: { readonly ours: number; readonly reference: number }[] = [];
  for (let index = 0; index < runs; index++) {
    const start = performance.now();
    for (let stamp = 0; stamp < STAMPS; stamp++) {
      rmSync(image, { force: true });
      await writeCompressed(pieces, cut, slot, image, 0o644, signal);
    }
    const ours = (performance.now() - start) / 1000 / STAMPS;
    const copy = `cp '${image}' '${image}.copy' && sha256sum '${image}.copy' > /dev/null`;
    const reference = seconds(Array.from({ length: STAMPS }, () => copy).join(' && ')) / STAMPS;
    measured.push({ ours, reference });
    say(`disk ${index + 1}/${runs}: ${ours.toFixed(3)} s, cp and sha256sum ${reference.toFixed(3)} s`);
  }
  const imageBytes = statSync(image).size;
  rmSync(work, { recursive: true });
  const ratio = median(measured.map(({ ours, reference }) => ours / reference));
  const [ours, reference] = [
    median(measured.map((each) => each.ours)),
    median(measured.map((each) => each.reference)),
  ];
  return {
    figures: { imageBytes, seconds: ours, reference, ratio, limit: LIMIT },
    exceeded: ratio > LIMIT,
    lines: [
      `Disk    ${ratio.toFixed(2)} x cp and sha256sum, for a disk image of ${megabytes(imageBytes)} compressed: ${ours.toFixed(3)} s, ${reference.toFixed(3)} s (limit ${LIMIT}; median of ${runs})`,
    ],
  };
}
