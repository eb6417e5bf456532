import { randomBytes } from 'node:crypto';
import { createWriteStream, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { pack } from 'tar-stream';
import { sha256, sha256File } from '../../build/host/hash.js';
import { rcScripts } from '../../build/release/sample/rcd.js';
import { biosStub, pmbrStub, uefiStub } from '../../build/release/sample/stub.js';
import { run, say } from './measure.js';

/** A deterministic source of numbers (xorshift32). */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

/** Bytes that xz packs about five to one, as it does programs: known pieces in new order, and some noise. */
function content(next: () => number, pool: readonly Buffer[], size: number): Buffer {
  const out = Buffer.allocUnsafe(size);
  for (let at = 0; at < size;) {
    const piece = pool[next() % pool.length] ?? Buffer.alloc(1);
    const length = Math.min(piece.length, size - at);
    piece.copy(out, at, 0, length);
    at += length;
    for (let noise = 0; noise < 5 && at < size; noise++) out[at++] = next() & 255;
  }
  return out;
}

interface Part {
  readonly folder: string;
  readonly suffix: string;
  readonly files: number;
  /** mean size in bytes */
  readonly mean: number;
}

/** About 30,000 files and 1.1 GB; what "standard" keeps of it is about 400 MB. */
const REAL: readonly Part[] = [
  { folder: 'usr/include', suffix: '.h', files: 9000, mean: 7_000 },
  { folder: 'usr/share/man/man9', suffix: '.9.gz', files: 8000, mean: 4_000 },
  { folder: 'usr/lib', suffix: '.a', files: 300, mean: 900_000 },
  { folder: 'usr/lib/clang/19', suffix: '.bc', files: 700, mean: 450_000 },
  { folder: 'usr/share/misc', suffix: '', files: 6000, mean: 9_000 },
  { folder: 'usr/sbin', suffix: '', files: 900, mean: 110_000 },
  { folder: 'usr/bin', suffix: '-tool', files: 900, mean: 90_000 },
  { folder: 'lib', suffix: '.so.7', files: 200, mean: 400_000 },
  { folder: 'rescue', suffix: '', files: 30, mean: 500_000 },
  { folder: 'usr/share/locale/C.UTF-8', suffix: '', files: 3000, mean: 12_000 },
];
const KERNEL: readonly Part[] = [{ folder: 'boot/kernel', suffix: '.ko', files: 850, mean: 120_000 }];

async function writeSet(
  path: string,
  parts: readonly Part[],
  extra: readonly (readonly [string, Buffer])[],
  seed: number,
): Promise<number> {
  const next = random(seed);
  const pool = Array.from({ length: 6000 }, () =>
    Buffer.from(Array.from({ length: 24 + (next() % 40) }, () => next() & 255)),
  );
  const tar = pack();
  const tarPath = `${path}.tar`;
  const written = pipeline(tar, createWriteStream(tarPath));
  let count = 0;
  const add = (name: string, body: Buffer): Promise<void> =>
    new Promise((resolve, reject) => {
      count++;
      tar.entry({ name: `./${name}`, mode: 0o555, uid: 0, gid: 0, mtime: new Date(0) }, body, (error) => {
        if (error) reject(error);
        else resolve();
      });
    });
  for (const [name, body] of extra) await add(name, body);
  for (const { folder, suffix, files, mean } of parts) {
    for (let index = 0; index < files; index++)
      await add(
        `${folder}/f${index}${suffix}`,
        content(next, pool, Math.floor(mean * (0.2 + (1.6 * (next() % 1000)) / 1000))),
      );
  }
  tar.finalize();
  await written;
  // As release builds do it: xz -T0, in blocks (Makefile.inc1, XZ_CMD).
  run('xz', ['-T0', '-3', '-f', '-z', '-S', '.xz', tarPath]);
  renameSync(`${tarPath}.xz`, path);
  return count;
}

/**
 * Makes release sets in a folder, if they are not there: of real size, or small ones whose image has a given size.
 *
 * @param imageBytes size of the image that they give, about; real size without
 * @returns SHA-256 of their MANIFEST
 */
export async function makeRelease(folder: string, imageBytes?: number): Promise<string> {
  const manifest = join(folder, 'MANIFEST');
  if (!existsSync(manifest)) {
    say(`Making release sets in ${folder} (once) …`);
    mkdirSync(folder, { recursive: true });
    const boot: (readonly [string, Buffer])[] = [
      ['bin/sh', biosStub()],
      ['sbin/init', biosStub()],
      ['boot/cdboot', biosStub()],
      ['boot/isoboot', biosStub()],
      ['boot/loader', biosStub()],
      ['boot/loader.efi', uefiStub()],
      ['boot/pmbr', pmbrStub()],
      ...rcScripts().map(({ name, text }) => [`etc/rc.d/${name}`, Buffer.from(text)] as const),
    ];
    // What cannot be compressed keeps its size: the slot and the rest of an image take some 9 MB.
    if (imageBytes !== undefined)
      boot.push(['usr/share/noise', randomBytes(Math.max(0, imageBytes - 9_000_000))]);
    const next = random(7);
    const kernelBytes = imageBytes === undefined ? 30_000_000 : 1_000_000;
    const kernel = content(next, [Buffer.alloc(64, 1), Buffer.alloc(48, 2)], kernelBytes);
    const base = await writeSet(join(folder, 'base.txz'), imageBytes === undefined ? REAL : [], boot, 1);
    const kernelCount = await writeSet(
      join(folder, 'kernel.txz'),
      imageBytes === undefined ? KERNEL : [],
      [
        ['boot/kernel/kernel', kernel],
        ['boot/kernel/pf.ko', Buffer.alloc(300_000, 3)],
      ],
      2,
    );
    const lines = await Promise.all(
      (
        [
          ['base.txz', base],
          ['kernel.txz', kernelCount],
        ] as const
      ).map(async ([name, count]) =>
        [name, await sha256File(join(folder, name)), count, name.slice(0, -4), '"bench"', 'on'].join('\t'),
      ),
    );
    writeFileSync(manifest, `${lines.join('\n')}\n`);
  }
  return sha256(readFileSync(manifest));
}
