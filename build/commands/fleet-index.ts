import { join } from 'node:path';
import type { FleetEntry, FleetRecord } from '../fleet/record.js';
import { exists, writeFileAtomic } from '../host/files.js';
import { stemOf } from '../image/formats.js';
import type { ImageFacts } from '../report/facts.js';
import { indexPage } from '../report/index-page.js';
import type { IndexFacts } from '../report/index-page.js';
import { paperNames } from '../report/names.js';
import type { PaperNames } from '../report/names.js';

/** The index of a fleet in its output folder. */
export const FLEET_INDEX = 'index.html';

/** What an index says of an image. */
export function indexFacts({ since, policy, audit }: ImageFacts): Omit<IndexFacts, 'report'> {
  return {
    ...(since && { changes: since.changes.map(({ what }) => what) }),
    exceptions: policy.exceptions.map(({ row }) => row),
    ...(audit && { vulnerable: audit.known.length }),
  };
}

/** Names of the papers of a deployment, by its entry; undefined where it has no image. */
export function papersOf({ images }: Pick<FleetEntry, 'images'>): PaperNames | undefined {
  const [first] = images;
  return first && paperNames(stemOf(first.name));
}

/**
 * Writes the index of a fleet.
 *
 * @param told what is known of deployments beyond the record
 * @returns where it is
 */
export async function writeIndex(
  out: string,
  record: FleetRecord,
  told: ReadonlyMap<string, Omit<IndexFacts, 'report'>>,
): Promise<string> {
  const facts = new Map<string, IndexFacts>();
  for (const entry of record.deployments) {
    const report = papersOf(entry)?.report;
    const there = report !== undefined && (await exists(join(out, report)));
    facts.set(entry.name, { ...told.get(entry.name), ...(there && { report }) });
  }
  const path = join(out, FLEET_INDEX);
  await writeFileAtomic(path, indexPage(record, facts), 0o644);
  return path;
}
