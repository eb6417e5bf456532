import { dirname, join, basename } from 'node:path';
import { InputError, whyOf } from '../error.js';
import { readText } from '../host/files.js';
import { sha256File } from '../host/hash.js';
import { stemOf } from '../image/formats.js';
import { compareBills, compareStatements, componentsOf } from '../report/compare-papers.js';
import type { Difference } from '../report/differing.js';
import { paperNames } from '../report/names.js';
import {
  imagesOfBill,
  imagesOfStatement,
  MOST_PAPER,
  readBill,
  readStatement,
} from '../report/read-papers.js';
import type { Bill, Statement } from '../report/read-papers.js';

/** The papers of an image, as far as they are beside it and of this very image. */
export interface Papers {
  readonly bill: Bill | undefined;
  readonly statement: Statement | undefined;
}

/** In what two images differ by their papers; undefined where that is not known of both. */
export interface PaperDifferences {
  readonly bill: readonly Difference[] | undefined;
  readonly provenance: readonly Difference[] | undefined;
}

/** The papers beside an image. Those of another image are none: they stay behind where an image is replaced by hand. */
export async function papersBeside(image: string): Promise<Papers> {
  const names = paperNames(stemOf(basename(image)));
  const text = (name: string): Promise<string> =>
    readText(join(dirname(image), name), MOST_PAPER).catch(() => '');
  const bill = readBill(await text(names.sbom));
  const statement = readStatement(await text(names.provenance));
  if (!bill && !statement) return { bill, statement };
  const sum = await sha256File(image);
  return {
    bill: bill && imagesOfBill(bill).includes(sum) ? bill : undefined,
    statement:
      statement && imagesOfStatement(statement).some((each) => each.sha256 === sum) ? statement : undefined,
  };
}

/** What lies in both images byte by byte is compared there: their overlays and boot files. */
const COMPARED = /^(?:overlay|boot) /;

/** Compares the papers of two images. Pure. */
export function comparePapers(a: Papers, b: Papers): PaperDifferences {
  const bill = a.bill && b.bill && compareBills(a.bill, b.bill).filter(({ what }) => !COMPARED.test(what));
  // What the bills tell of is told once.
  const told = new Set(
    [a.bill, b.bill].flatMap((each) => (bill && each ? [...componentsOf(each).keys()] : [])).map(inputOf),
  );
  const provenance =
    a.statement &&
    b.statement &&
    compareStatements(a.statement, b.statement).filter(({ what }) => !told.has(what));
  return { bill, provenance };
}

/** What provenance calls a component. */
function inputOf(component: string): string {
  return `Input: ${component.replace(/^set /, '')}`;
}

/** Lines that tell of what differs, for people. Pure. */
export function differenceLines(
  title: string,
  differences: readonly Difference[] | undefined,
): readonly string[] {
  const head = title.padEnd(9);
  if (!differences) return [`${head}not compared: not both have one beside them that is of this very image`];
  if (differences.length === 0) return [`${head}the same`];
  return [
    `${head}differs in ${differences.length}`,
    ...differences.map(({ what, before, now }) => `  ${what}: ${before || '(empty)'} → ${now || '(empty)'}`),
  ];
}

/**
 * Compares two papers by themselves: two bills of materials, or two statements.
 *
 * @returns undefined if they are no JSON by their names
 * @throws InputError if they are not two of a kind.
 */
export async function diffPapers(
  a: string,
  b: string,
): Promise<{ readonly title: string; readonly differences: readonly Difference[] } | undefined> {
  if (!a.endsWith('.json') || !b.endsWith('.json')) return undefined;
  const [one, other] = await Promise.all([a, b].map(readPaper));
  if (one?.bill && other?.bill) return { title: 'Bill', differences: compareBills(one.bill, other.bill) };
  if (one?.statement && other?.statement)
    return { title: 'Origin', differences: compareStatements(one.statement, other.statement) };
  throw new InputError(
    `${a} and ${b} are not two bills of materials, nor two statements of provenance, of clawdie-iso.`,
    'Name two images, two .cdx.json or two .provenance.json.',
  );
}

async function readPaper(path: string): Promise<Papers> {
  const text = await readText(path, MOST_PAPER).catch((error: unknown) => {
    throw new InputError(`${path} cannot be read: ${whyOf(error)}.`);
  });
  return { bill: readBill(text), statement: readStatement(text) };
}
