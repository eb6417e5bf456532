import { open, readFile, rename, rm } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { partialName, writeError, writeFileAtomic } from '../host/files.js';
import { acquire } from '../host/lock.js';
import { withChecksum } from '../image/checksum.js';
import { filledSlot } from '../image/slot.js';
import { DamagedBase, stamp } from '../image/stamp.js';
import { packOverlay } from '../overlay/pack.js';
import { renderOverlay } from '../overlay/render.js';
import type { OverlayEntry, RenderInput } from '../overlay/render.js';
import { checkOrder } from '../rc/check.js';
import { parseHeader, RC_FOLDERS } from '../rc/headers.js';
import type { RcScript } from '../rc/headers.js';
import { UserError } from '../error.js';
import { obtainBase, stage } from './base.js';
import type { BaseFacts, BaseRequest, Work } from './base.js';
import type { CacheEntry } from './cache.js';

/** A rendered deployment: the overlay's entries and the slot that holds them. */
export interface Overlay {
  readonly entries: readonly OverlayEntry[];
  readonly slot: Buffer;
}

/** Renders and packs the overlay of a deployment; it stays in memory, since it may hold secrets. */
export async function makeOverlay(input: RenderInput, release: string, time: number): Promise<Overlay> {
  const entries = renderOverlay(input);
  return { entries, slot: filledSlot(await packOverlay(entries, time), release) };
}

export interface Stamped {
  readonly image: string;
  readonly sha256: string;
  readonly bytes: number;
  readonly base: CacheEntry<BaseFacts>;
}

/**
 * Makes the image of a deployment: the base image with its slot filled, under a temporary name, renamed when it is
 * whole. A base image that turns out to be damaged is made again, once.
 *
 * @throws UserError if something cannot be built or written; no file then stands under the final name that was not
 *   there before.
 */
export async function makeImage(
  request: BaseRequest,
  overlay: Overlay,
  folder: string,
  name: string,
  secret: boolean,
  work: Work,
): Promise<Stamped> {
  for (let again = false; ; again = true) {
    const base = await obtainBase(request, work);
    checkRcOrder(base.facts.root.rc, overlay.entries);
    try {
      const image = join(folder, name);
      const sha256 = await stage(work, 'stamp', () => writeImage(base, overlay, image, secret, work));
      return { image, sha256, bytes: base.facts.sums.size, base };
    } catch (error) {
      if (!(error instanceof DamagedBase) || again) throw error;
      work.emit({ type: 'warning', text: `${error.message} It is made again.` });
      await work.cache.remove('base', request.keys.base);
    }
  }
}

/** Refuses an image whose scripts rc(8) could run in an order that leaves a door open. */
function checkRcOrder(base: readonly RcScript[], entries: readonly OverlayEntry[]): void {
  const scripts = new Map(base.map((script) => [script.path, script]));
  for (const entry of entries) {
    if (entry.type !== 'file' || !RC_FOLDERS.some((folder) => folder === dirname(entry.path))) continue;
    const header = parseHeader(entry.path, entry.body);
    if (header) scripts.set(entry.path, header);
  }
  const problems = checkOrder([...scripts.values()]);
  if (problems.length > 0)
    throw new UserError(
      `The rc.d scripts of the image are not in an order that is safe:\n  ${problems.join('\n  ')}`,
      'A release whose rc.d scripts differ from those of FreeBSD 15 cannot be used.',
    );
}

async function writeImage(
  base: CacheEntry<BaseFacts>,
  overlay: Overlay,
  image: string,
  secret: boolean,
  work: Work,
): Promise<string> {
  const part = partialName(image);
  try {
    const output = await open(part, 'wx', 0o600);
    try {
      let done = 0;
      let told = 0;
      const sum = await stamp(join(base.folder, 'base.iso'), base.facts.sums, overlay.slot, output, {
        signal: work.signal,
        onBytes: (count) => {
          done += count;
          if (done - told < 16 * 1024 * 1024) return;
          told = done;
          work.emit({
            type: 'progress',
            stage: 'stamp',
            label: 'writing',
            done,
            total: base.facts.sums.size,
            unit: 'bytes',
          });
        },
      });
      // An image with a secret in it is its owner's alone.
      await output.chmod(secret ? 0o600 : 0o644);
      await output.close();
      await rename(part, image);
      return sum;
    } finally {
      await output.close().catch(() => undefined);
    }
  } catch (error) {
    throw writeError(image, error);
  } finally {
    await rm(part, { force: true });
  }
}

/** Puts the sum of an image into CHECKSUM.SHA256 of its folder; sums of images that are gone are dropped. */
export async function writeChecksum(folder: string, name: string, sum: string): Promise<void> {
  const path = join(folder, 'CHECKSUM.SHA256');
  const text = await readFile(path, 'utf8').catch(() => '');
  await writeFileAtomic(
    path,
    withChecksum(text, name, sum, (other) => existsSync(join(folder, other))),
    0o644,
  );
}

/** The lock of an output folder: one build at a time writes there. */
export function lockOutput(
  folder: string,
  wait: boolean,
  work: Pick<Work, 'signal' | 'emit'>,
): ReturnType<typeof acquire> {
  return acquire(join(folder, '.clawdie-iso.lock'), {
    wait,
    onWait: (pid) => {
      work.emit({ type: 'note', text: `Waiting for process ${pid}, which is building into ${folder}.` });
    },
    signal: work.signal,
  });
}
