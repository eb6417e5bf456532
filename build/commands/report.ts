import { spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { parseFleetRecord } from '../fleet/record.js';
import type { FleetRecord } from '../fleet/record.js';
import { codeOf, InputError, messageOf, UserError, whyOf } from '../error.js';
import { isPicture, MOST_PICTURE } from '../boot/picture.js';
import { openFile, readText, writeFileAtomic } from '../host/files.js';
import { readBoot, readFacts } from '../report/facts.js';
import type { BootFacts, ImageFacts, ShownBoot } from '../report/facts.js';
import { auditOf } from '../packages/audit.js';
import { drawMap } from '../report/draw.js';
import type { DrawnMap } from '../report/map-store.js';
import { imagePage } from '../report/image-page.js';
import { readAudit } from './audit.js';
import { readOr } from './configuration.js';
import { indexFacts, papersOf, writeIndex } from './fleet-index.js';
import { MOST_RECORD } from './papers.js';

export interface ReportOptions {
  /** Build records and fleet records. */
  readonly records: readonly string[];
  /** A report of `clawdie-iso boot`; without, the one in the folder `boot` beside a record, where it is of that image. */
  readonly boot?: string;
  /** What `clawdie-iso audit --save` kept; without, what the record has. */
  readonly audit?: string;
  /** Whether the first page is shown in the browser of the desktop. */
  readonly open: boolean;
}

/**
 * `clawdie-iso report`: makes the report of each build record again, and of a fleet record those of its deployments and
 * their index. Prints where they are.
 *
 * @throws InputError if a record is none, the report of `boot` is of another image, or the audit of another lock.
 */
export async function report(options: ReportOptions, print: (line: string) => void): Promise<void> {
  const written: string[] = [];
  for (const path of options.records) {
    const text = await readOr(
      path,
      (why) => [
        `The record ${path} cannot be read: ${why}.`,
        'Name the .json beside an image, or fleet.json.',
      ],
      MOST_RECORD,
    );
    const fleet = parseFleetRecord(text);
    written.push(
      'flaw' in fleet ? await imageAgain(path, text, options) : await fleetAgain(path, fleet, options),
    );
  }
  for (const path of written) print(path);
  const [first] = written;
  if (options.open && first !== undefined) await show(first);
}

type Asked = Pick<ReportOptions, 'boot' | 'audit'>;

async function imageAgain(path: string, text: string, { boot, audit }: Asked): Promise<string> {
  const facts = readFacts(text);
  if ('flaw' in facts)
    throw new InputError(
      `${path} cannot be used: ${facts.flaw}.`,
      'Name the .json beside an image, or fleet.json.',
    );
  return writeReport(path, await auditedAgain(path, facts, audit), boot);
}

/** Facts with what an audit has found since. @throws InputError if it is of another lock. */
async function auditedAgain(path: string, facts: ImageFacts, named: string | undefined): Promise<ImageFacts> {
  if (named === undefined) return facts;
  try {
    return { ...facts, audit: auditOf(await readAudit(named, facts.lock), facts.contents ?? []) };
  } catch (error) {
    throw new InputError(
      `--audit: ${codeOf(error) === '' ? '' : `${named} cannot be read: `}${whyOf(error)}`,
      `Run \`clawdie-iso audit --save\` where the lock of ${path} is, and name its clawdie.audit.json.`,
    );
  }
}

async function writeReport(path: string, facts: ImageFacts, boot: string | undefined): Promise<string> {
  const page = `${path.replace(/\.json$/, '')}.html`;
  const drawn: DrawnMap[] = [];
  for (const map of facts.maps ?? []) drawn.push({ map, drawing: await drawMap(map) });
  await writeFileAtomic(page, imagePage(facts, drawn, await bootOf(path, facts, boot)), 0o644);
  return page;
}

/** The pictures of a boot, which lie beside its report; those that are gone, or are none, are left out. */
async function withPictures(facts: BootFacts, path: string): Promise<ShownBoot> {
  const pictures = new Map<string, string>();
  for (const { image } of facts.starts.flatMap(({ frames }) => frames)) {
    if (image === undefined) continue;
    const bytes = await readPicture(join(dirname(path), image));
    if (bytes) pictures.set(image, bytes.toString('base64'));
  }
  return { facts, pictures };
}

async function readPicture(path: string): Promise<Buffer | undefined> {
  const file = await openFile(path).catch(() => undefined);
  try {
    if (!file || (await file.stat()).size > MOST_PICTURE) return undefined;
    const bytes = await file.readFile();
    return isPicture(bytes) ? bytes : undefined;
  } finally {
    await file?.close();
  }
}

/** What `boot` found of the image of a record. */
async function bootOf(
  path: string,
  facts: ImageFacts,
  named: string | undefined,
): Promise<ShownBoot | undefined> {
  const sums = new Set(facts.images.map(({ sha256 }) => sha256));
  if (named === undefined) {
    const beside = join(dirname(path), 'boot', 'report.json');
    const boot = readBoot(await readText(beside, MOST_RECORD).catch(() => ''));
    return boot && sums.has(boot.sha256) ? withPictures(boot, beside) : undefined;
  }
  const boot = readBoot(
    await readOr(named, (why) => [`--boot: ${named} cannot be read: ${why}.`], MOST_RECORD),
  );
  if (!boot)
    throw new InputError(`--boot: ${named} is no report of clawdie-iso boot.`, 'Name its report.json.');
  if (!sums.has(boot.sha256))
    throw new InputError(
      `--boot: ${named} is of another image than ${path}.`,
      'Start that image with clawdie-iso boot.',
    );
  return withPictures(boot, named);
}

/** The pages of a fleet. A deployment whose record is not there, since its image is elsewhere, has none. */
async function fleetAgain(path: string, record: FleetRecord, { audit }: Asked): Promise<string> {
  const out = dirname(path);
  const told = new Map<string, ReturnType<typeof indexFacts>>();
  for (const entry of record.deployments) {
    const name = papersOf(entry)?.record;
    if (name === undefined) continue;
    const found = readFacts(
      await readText(join(out, name), MOST_RECORD).catch((error: unknown) => {
        if (codeOf(error) === 'ENOENT') return '';
        throw new InputError(`The record ${join(out, name)} cannot be read: ${whyOf(error)}.`);
      }),
    );
    if ('flaw' in found) continue;
    const facts = await auditedAgain(join(out, name), found, audit);
    await writeReport(join(out, name), facts, undefined);
    told.set(entry.name, indexFacts(facts));
  }
  return writeIndex(out, record, told);
}

/** Shows a page in the browser of the desktop. */
async function show(path: string): Promise<void> {
  const program = process.platform === 'darwin' ? 'open' : 'xdg-open';
  await new Promise<void>((done, failed) => {
    const child = spawn(program, [path], { stdio: 'ignore', detached: true });
    child.once('spawn', () => {
      child.unref();
      done();
    });
    child.once('error', (error) => {
      failed(
        new UserError(
          `The report cannot be opened: ${program}: ${messageOf(error)}.`,
          `Open ${path} in a browser.`,
        ),
      );
    });
  });
}
