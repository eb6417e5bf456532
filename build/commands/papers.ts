import { join } from 'node:path';
import type { Config } from '../config/keys.js';
import { readText, writeFileAtomic } from '../host/files.js';
import { sha256 } from '../host/hash.js';
import type { OverlayEntry } from '../overlay/render.js';
import { makeView } from '../overlay/view.js';
import { auditOf } from '../packages/audit.js';
import type { Audit } from '../packages/audit.js';
import type { Lock } from '../packages/lockfile.js';
import type { Cache } from '../pipeline/cache.js';
import { buildRecord } from '../pipeline/record.js';
import type { RecordInput } from '../pipeline/record.js';
import { changesBetween } from '../report/changes.js';
import { contentsOf } from '../report/contents.js';
import { readFacts } from '../report/facts.js';
import type { ImageFacts } from '../report/facts.js';
import type { DrawnMap } from '../report/map-store.js';
import { imagePage } from '../report/image-page.js';
import type { Mapper } from '../report/mapper.js';
import { paperNames } from '../report/names.js';
import { ruleFiles } from './rules.js';
import { bomOf } from './sbom-papers.js';

export interface PapersInput {
  /** What is known but for the maps and what comes of them. */
  readonly record: Omit<RecordInput, 'maps' | 'contents' | 'lock' | 'audit' | 'since' | 'finished'>;
  readonly maps: Promise<readonly DrawnMap[]>;
  /** Path of the base image. */
  readonly base: string;
  /** The lock, and what its entry of this deployment is called; none where there is none. */
  readonly lock: Lock | undefined;
  /** What was found of it, if it was audited. */
  readonly audit: Audit | undefined;
  readonly file: string;
  readonly out: string;
  readonly stem: string;
}

/**
 * Begins to make the maps of a deployment as soon as its overlay is rendered, beside all that has to be done for its images. Whoever
 * does not wait for them leaves no error behind: what is wrong with a deployment, its overlay and its proof tell.
 */
export function startMaps(
  rendered: Promise<readonly OverlayEntry[]>,
  config: Config,
  cache: Pick<Cache, 'folder'>,
  mapper: Mapper,
): Promise<readonly DrawnMap[]> {
  mapper.warm();
  const maps = rendered.then((entries) =>
    mapper.maps({ files: ruleFiles(entries), view: makeView(config), folder: join(cache.folder, 'maps') }),
  );
  maps.catch(() => undefined);
  return maps;
}

/** What a report is made of, and where the papers are. */
export interface Papers {
  /** Path of the build record. */
  readonly record: string;
  readonly facts: ImageFacts;
  /** Those whose sums are listed with those of the images. */
  readonly listed: readonly { readonly name: string; readonly sha256: string }[];
}

/** Largest build record in bytes: one of many tenants takes some 2 MB. */
export const MOST_RECORD = 64 * 1024 ** 2;

/** Writes what tells of the images of a deployment beside them: record, report, bill of materials, provenance. */
export async function writePapers(input: PapersInput): Promise<Papers> {
  const { out, stem, lock, file } = input;
  const names = paperNames(stem);
  const path = join(out, names.record);
  // One that cannot be read is as good as none: it is replaced.
  const earlier = readFacts(await readText(path, MOST_RECORD).catch(() => ''));
  const contents = lock && contentsOf(lock, file);
  const drawn = await input.maps;
  const maps = drawn.map(({ map }) => map);
  const audit = input.audit && auditOf(input.audit, contents ?? []);
  const known = { ...input.record, contents, lock: lock?.checksum, audit, maps, finished: new Date() };
  let text = buildRecord({ ...known, since: undefined });
  let facts = factsOf(text);
  if (!('flaw' in earlier)) {
    const since = { finished: earlier.finished, changes: changesBetween(earlier, facts) };
    text = buildRecord({ ...known, since });
    facts = { ...facts, since };
  }
  // The maps as the record has them, so that `report` makes the same page of it.
  const shown = (facts.maps ?? []).flatMap((map, index) => {
    const drawing = drawn[index]?.drawing;
    return drawing ? [{ map, drawing }] : [];
  });
  const report = imagePage(facts, shown, undefined);
  const bom = await bomOf({ record: input.record, facts, base: input.base, lock, file });
  await writeFileAtomic(path, text, 0o644);
  await writeFileAtomic(join(out, names.report), report, 0o644);
  await writeFileAtomic(join(out, names.sbom), bom.sbom, 0o644);
  await writeFileAtomic(join(out, names.provenance), bom.provenance, 0o644);
  const listed = [
    { name: names.sbom, sha256: sha256(bom.sbom) },
    { name: names.provenance, sha256: sha256(bom.provenance) },
  ];
  return { record: path, facts, listed };
}

/** What a record of our own says. */
function factsOf(text: string): ImageFacts {
  const facts = readFacts(text);
  if ('flaw' in facts) throw new Error(`the build record cannot be read: ${facts.flaw}`);
  return facts;
}
