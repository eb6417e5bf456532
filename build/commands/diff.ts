import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { plain } from '../boot/stages.js';
import { rawImage } from '../disk/raw.js';
import { codeOf, InputError, messageOf, UserError, whyOf } from '../error.js';
import { readAt, removeTree } from '../host/files.js';
import { hashRange, sha256 } from '../host/hash.js';
import { isIso, listFiles } from '../image/iso9660.js';
import type { Extent } from '../image/iso9660.js';
import { findSlot } from '../image/slot-place.js';
import { archiveIn, SECTOR, slotRelease } from '../image/slot.js';
import { compareOverlays } from '../overlay/compare.js';
import type { OverlayEntry } from '../overlay/render.js';
import { unpackOverlay } from '../overlay/unpack.js';
import { comparePapers, differenceLines, diffPapers, papersBeside } from './diff-papers.js';

export interface DiffOptions {
  /** Two images, or two papers of one kind. */
  readonly a: string;
  readonly b: string;
  /** Whether contents are shown too. */
  readonly patch: boolean;
  readonly json: boolean;
}

/** What there is to compare of an image. */
interface Image {
  readonly overlay: readonly OverlayEntry[];
  /** SHA-256 of every file but the overlay, and of what lies outside of files, by name. */
  readonly parts: ReadonlyMap<string, string>;
  /** The same of what the slot has beside the entries of its archive. */
  readonly slot: ReadonlyMap<string, string>;
}

/**
 * `clawdie-iso diff`: says in which files two images differ, and whether they have one base; by their papers, where these are
 * beside them, in what is installed and in what they were made of.
 *
 * @returns whether they are the same, in all that was compared
 * @throws InputError if one of them is no image of this project, and no paper.
 */
export async function diff(options: DiffOptions, print: (line: string) => void): Promise<boolean> {
  const alone = await diffPapers(options.a, options.b);
  if (alone) {
    const same = alone.differences.length === 0;
    if (options.json) print(JSON.stringify({ same, differences: alone.differences }, null, 2));
    else for (const line of differenceLines(alone.title, alone.differences)) print(plain(line));
    return same;
  }
  const work = await mkdtemp(join(tmpdir(), 'clawdie-diff-'));
  const [a, b] = await Promise.all([
    readImage(options.a, join(work, 'a')),
    readImage(options.b, join(work, 'b')),
  ]).finally(() => removeTree(work));
  const names = [...new Set([...a.parts.keys(), ...b.parts.keys()])].sort();
  const base = names.filter((name) => a.parts.get(name) !== b.parts.get(name));
  const overlay = compareOverlays(a.overlay, b.overlay);
  const slot = [...a.slot.keys()].filter(
    (name) => (name !== ARCHIVE || overlay.length === 0) && a.slot.get(name) !== b.slot.get(name),
  );
  const papers = await Promise.all([papersBeside(options.a), papersBeside(options.b)]);
  const { bill, provenance } = comparePapers(...papers);
  const same = [base, overlay, slot, bill ?? [], provenance ?? []].every(({ length }) => length === 0);
  if (options.json) {
    const found = { same, sameBase: base.length === 0, base, overlay, slot };
    print(JSON.stringify({ ...found, bill: bill ?? null, provenance: provenance ?? null }, null, 2));
    return same;
  }
  print(`A  ${options.a}`);
  print(`B  ${options.b}`);
  print(
    base.length === 0
      ? 'Base     the same: all bytes outside of the overlay'
      : `Base     differs: ${base.join(', ')}`,
  );
  print(
    overlay.length === 0
      ? `Overlay  the same: ${a.overlay.length} entries`
      : `Overlay  ${overlay.length} of ${new Set([...a.overlay, ...b.overlay].map(({ path }) => path)).size} entries differ`,
  );
  if (slot.length > 0) print(`Slot     differs: ${slot.join(', ')}`);
  // What an image holds may be anything: nothing of it is to reach the terminal but text.
  for (const { path, change, what, patch } of overlay) {
    print(plain(`  ${change === 'differs' ? '' : `${change}: `}/${path}  (${what.join(', ')})`));
    if (options.patch && patch !== undefined)
      for (const line of patch.split('\n').slice(1)) if (line !== '') print(plain(`    ${line}`));
  }
  if (papers.some((each) => each.bill ?? each.statement))
    for (const line of [...differenceLines('Bill', bill), ...differenceLines('Origin', provenance)])
      print(plain(line));
  return same;
}

/** @param folder for what has to be unpacked */
async function readImage(path: string, folder: string): Promise<Image> {
  const unreadable = (error: unknown): InputError =>
    new InputError(`The image ${path} cannot be read: ${whyOf(error)}.`);
  await mkdir(folder);
  const raw = await rawImage(path, folder, 'disk').catch((error: unknown) => {
    throw codeOf(error) === '' ? error : unreadable(error);
  });
  const file = await open(raw, 'r').catch((error: unknown) => {
    throw unreadable(error);
  });
  try {
    const read = (offset: number, length: number): Promise<Buffer> => readAt(file, offset, length);
    const slot = await findSlot(file, path).catch((error: unknown) => {
      throw error instanceof UserError ? new InputError(error.message, error.fix) : error;
    });
    const bytes = await read(slot.offset, slot.length);
    const archive = slotRelease(bytes) === undefined ? archiveIn(bytes) : undefined;
    const parts = (await isIso(read)) ? await partsOfIso(file, path) : await partsOfDisk(file, slot);
    const unpacked =
      archive &&
      (await unpackOverlay(archive).catch((error: unknown) => {
        throw new InputError(`The overlay of ${path} is damaged: ${messageOf(error)}.`);
      }));
    return { overlay: unpacked?.entries ?? [], parts, slot: partsOfSlot(bytes, archive ?? Buffer.alloc(0)) };
  } finally {
    await file.close();
  }
}

/** Order and times of what is in an archive, which its entries do not tell. */
const ARCHIVE = 'order and times of the archive';

function partsOfSlot(slot: Buffer, archive: Buffer): Image['slot'] {
  const sum = sha256(archive);
  // Of a header that tells the truth, these lines tell of the archive alone.
  const header = slot
    .toString('latin1', 0, SECTOR)
    .replace(`\nlength ${archive.length}\n`, '\n')
    .replace(`\nsha256 ${sum}\n`, '\n')
    .replace(/\0+$/, '');
  const behind = slot.subarray(SECTOR + archive.length);
  return new Map([
    ['header', header],
    [ARCHIVE, sum],
    ['what is behind the archive', behind.every((byte) => byte === 0) ? '' : sha256(behind)],
  ]);
}

async function partsOfIso(file: FileHandle, path: string): Promise<Image['parts']> {
  const read = (offset: number, length: number): Promise<Buffer> => readAt(file, offset, length);
  const files = [...(await listFiles(read, path))].sort(([, one], [, other]) => one.offset - other.offset);
  const parts = new Map<string, string>();
  const outside = createHash('sha256');
  let at = 0;
  for (const [name, { offset, length }] of files) {
    await hashRange(outside, file, at, offset);
    at = Math.max(at, offset + length);
    if (name === '/OVERLAY') continue;
    const hash = await hashRange(createHash('sha256'), file, offset, offset + length);
    parts.set(name, hash.digest('hex'));
  }
  await hashRange(outside, file, at, (await file.stat()).size);
  parts.set('boot sectors, folders and partitions', outside.digest('hex'));
  return parts;
}

async function partsOfDisk(file: FileHandle, { offset, length }: Extent): Promise<Image['parts']> {
  const sum = async (from: number, to: number): Promise<string> =>
    (await hashRange(createHash('sha256'), file, from, to)).digest('hex');
  return new Map([
    ['partition table and boot code', await sum(0, offset)],
    ['swap and root', await sum(offset + length, (await file.stat()).size)],
  ]);
}
