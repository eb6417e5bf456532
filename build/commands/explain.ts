import { InputError } from '../error.js';
import { printRule } from '../pf/print.js';
import { addresses } from '../pf/ranges.js';
import type { PfFlaw, Rule, Ruleset } from '../pf/types.js';
import { drawChart, isLeak } from '../policy/chart.js';
import { describePacket } from '../policy/describe.js';
import { explainPolicy } from '../policy/explain.js';
import type { ExplainedRow } from '../policy/explain.js';
import { isExcepted } from '../policy/image.js';
import { proveIsolation } from '../policy/isolation.js';
import { lint } from '../policy/lint.js';
import { isRedirect, readLive } from '../policy/live.js';
import type { ZoneMap } from '../policy/map.js';
import { mapZones } from '../policy/matrix.js';
import { isOperators, pinned } from '../policy/pinned.js';
import { subjectOf } from '../policy/prove.js';
import type { Subject } from '../policy/prove.js';
import type { Row } from '../policy/row.js';
import { describeJourney, describeStep, traceViolation } from '../policy/trace.js';
import { wrap } from '../wrap.js';
import { readOr } from './configuration.js';
import { deployment } from './rules.js';
import type { Deployment, RulesOptions } from './rules.js';

export interface ExplainOptions extends RulesOptions {
  readonly json: boolean;
  /** A file with the rules of a running instance, as pfctl prints them. */
  readonly live?: string;
}

/** A row of the policy, and the rules that decide about its packets. JSON. */
interface RowReport extends Pick<Row, 'id' | 'from' | 'to' | 'verdict' | 'why'> {
  readonly rules: readonly {
    readonly state: 'holds' | 'excepted' | 'broken';
    readonly file: string | null;
    readonly line: number | null;
    readonly rule: string;
    readonly example: string;
    readonly broken?: string;
    /** The way of the example, crossing by crossing; where the row is broken. */
    readonly way?: readonly string[];
  }[];
}

/** What `--json` prints. */
export interface Explanation extends Omit<ZoneMap, 'assumed'> {
  readonly situation: 'Tailscale off' | 'Tailscale active' | 'the fallback in force';
  /** The file that the rules are of; null for those of the image. */
  readonly live: string | null;
  readonly holds: boolean;
  readonly rows: readonly RowReport[];
  /** What gets from a zone to one where nothing should, and by which way. */
  readonly leaks: readonly {
    readonly from: string;
    readonly to: string;
    readonly what: string;
    readonly way: readonly string[];
  }[];
  /** What is not as the policy wants it whatever packets come. */
  readonly flaws: readonly { readonly file: string; readonly line: number; readonly message: string }[];
  readonly assumed: readonly string[];
}

/** How many of the rules behind a row a person sees; the others are counted. */
const SHOWN = 3;

/**
 * `clawdie-iso explain`: prints the policy of a deployment: what gets from each zone to each, then the rows, with the rules
 * that decide, those of PF_RULES_FILE among them; or, with `live`, what the rules of a running instance make of it.
 *
 * @returns whether every row holds, or is broken by the operator's rules alone where POLICY_EXCEPTIONS names it
 */
export async function explain(
  options: ExplainOptions,
  environment: NodeJS.ProcessEnv,
  print: (line: string) => void,
  columns: number,
): Promise<boolean> {
  const image = await deployment(options, environment);
  const explanation = await explanationOf(options, image);
  if (options.json) print(JSON.stringify(explanation, null, 2));
  else for (const line of pageOf(explanation, image, columns)) print(line);
  return explanation.holds;
}

async function explanationOf(options: ExplainOptions, image: Deployment): Promise<Explanation> {
  const live = options.live === undefined ? undefined : await liveRules(options.live, image);
  const ruleset = live?.ruleset ?? image.ruleset;
  // What rdr/* was filled with is in the map; the rows are about all but that, as those of an image are.
  const { inet: jails } = addresses(image.situation.view.supernet);
  const redirects = live ? ruleset.rules.filter((rule) => isRedirect(rule, jails)) : [];
  const proved: Ruleset = { ...ruleset, rules: ruleset.rules.filter((rule) => !redirects.includes(rule)) };
  const subject = subjectOf(proved, image.situation);
  const excepted = exceptionsOf(image, live !== undefined);
  const rows = explainPolicy(subject).map((row) => reportOf(row, subject, excepted));
  const { leaks, ways, cells } = proveIsolation(subject, excepted);
  const { assumed, ...map } = mapZones(subjectOf(ruleset, image.situation));
  const flaws = live ? [...pinned(proved, { options: false }), ...lint(ruleset)] : [];
  return {
    situation: options.fallback
      ? 'the fallback in force'
      : options.tailscale
        ? 'Tailscale active'
        : 'Tailscale off',
    live: options.live ?? null,
    holds:
      leaks.length === 0 &&
      flaws.length === 0 &&
      rows.every(({ rules }) => rules.every(({ state }) => state !== 'broken')),
    ...map,
    ways: map.ways + ways,
    cells: map.cells + cells,
    rows,
    leaks: leaks.map(({ from, to, message, steps }) => ({
      from: from.id,
      to: to.id,
      what: message,
      way: steps.map(describeJourney),
    })),
    flaws: flaws.map(({ place, message }) => ({ file: place.file, line: place.line, message })),
    assumed: [
      ...assumed,
      ...(live?.assumed ?? []),
      ...redirects.map(
        (rule) =>
          `${rule.place.file}:${rule.place.line} is a redirect of rdr/*, and in the matrix alone: ${printRule(rule)}`,
      ),
    ],
  };
}

/** The rules of a running instance. @throws InputError where the file cannot be read, or is not what pfctl prints. */
async function liveRules(file: string, image: Deployment): Promise<ReturnType<typeof readLive>> {
  const text = await readOr(
    file,
    (why) => [
      `--live: ${file} cannot be read: ${why}.`,
      'Write what `pfctl -sn`, `pfctl -sr` and `pfctl -sA` print on the instance to a file, and name that.',
    ],
    MOST_LIVE,
  );
  const live = readLive(text, file, image.ruleset);
  if (live.flaws.length > 0)
    throw new InputError(
      `The rules of the instance cannot be read:\n${linesOf(live.flaws)}`,
      'Write what `pfctl -sn`, `pfctl -sr` and `pfctl -sA` print on the instance to the file, and nothing else.',
    );
  return live;
}

/** `pfctl -s all` has the states, too. */
const MOST_LIVE = 64 * 2 ** 20;

const linesOf = (flaws: readonly PfFlaw[]): string =>
  flaws
    .slice(0, 12)
    .map(({ place, message }) => `  ${place.file}:${place.line}: ${message}.`)
    .join('\n');

/** Whether a rule may break a row. Those of an instance do not say where they are from: they are compared by their text. */
function exceptionsOf(
  { exceptions, ruleset }: Deployment,
  live: boolean,
): (row: Row, rule: Rule | undefined) => boolean {
  if (!live) return (row, rule) => isExcepted(exceptions, row, rule);
  const operators = new Set(ruleset.rules.filter(({ place }) => isOperators(place)).map(printRule));
  return (row, rule) => exceptions.includes(row.id) && rule !== undefined && operators.has(printRule(rule));
}

function reportOf(
  { row, deciders }: ExplainedRow,
  subject: Subject,
  excepted: (row: Row, rule: Rule | undefined) => boolean,
): RowReport {
  const { id, from, to, verdict, why } = row;
  return {
    ...{ id, from, to, verdict, why },
    rules: deciders.map(({ rule, example, broken }) => ({
      state: broken === undefined ? 'holds' : excepted(row, rule) ? 'excepted' : 'broken',
      file: rule?.place.file ?? null,
      line: rule?.place.line ?? null,
      rule: rule ? printRule(rule) : 'the default: no rule matches',
      example: describePacket(example),
      ...(broken !== undefined && {
        broken,
        way: traceViolation(subject, { packet: example, row, rule }).map(describeStep),
      }),
    })),
  };
}

function* pageOf(
  { situation, live, rows, leaks, flaws, assumed, ...map }: Explanation,
  image: Deployment,
  columns: number,
): Generator<string> {
  const { assistant } = image.situation.view;
  const whose = live === null ? `The firewall of ${assistant}` : `The rules of ${live}, for ${assistant}`;
  yield* wrap(`${whose}, with ${situation}: what gets from where (rows) to where (columns).`, columns, 0);
  yield '';
  yield* drawChart({ ...map, assumed }, columns);
  yield '';
  for (const { what, way } of leaks)
    yield* [what, ...numbered(way)].flatMap((line) => wrap(line, columns, 6));
  if (leaks.length > 0 || map.pairs.some(isLeak)) yield '';
  if (flaws.length > 0) {
    for (const { file, line, message } of flaws) yield* wrap(`${file}:${line}: ${message}.`, columns, 2);
    yield '';
  }
  yield 'The rows behind it; the first that applies decides.';
  yield '';
  const id = Math.max(...rows.map((row) => row.id.length));
  for (const row of rows) yield* rowLines(row, id, columns);
  yield '';
  yield `Decided: ${map.cells} cells of ${map.ways} ways. Taken for granted:`;
  for (const assumption of assumed) yield* wrap(`- ${assumption}`, columns, 2);
}

const numbered = (way: readonly string[]): readonly string[] =>
  way.map((step, index) => `  ${index + 1}. ${step}`);

function* rowLines(row: RowReport, id: number, columns: number): Generator<string> {
  const indent = ' '.repeat(9 + id);
  const line = `${row.verdict.padEnd(5)}  ${row.id.padEnd(id)}  ${row.from} → ${row.to}`;
  const whole = `${line} (${row.why})`;
  if (whole.length <= columns) yield whole;
  else {
    yield* wrap(line, columns, indent.length);
    yield* wrap(`${indent}${row.why}`, columns, indent.length);
  }
  // What does not hold is always shown.
  const shown = row.rules.filter(({ state }, index) => index < SHOWN || state !== 'holds');
  for (const { state, file, line: number, rule, broken, way } of shown) {
    // A rule stays whole: it is copied, and searched for.
    yield `${indent}${file === null ? '' : `${file}:${number}: `}${rule}`;
    if (state === 'holds') continue;
    yield `${indent}  ${state === 'excepted' ? 'breaks the row, as POLICY_EXCEPTIONS allows' : 'BREAKS THE ROW'}: ${broken ?? ''}`;
    for (const step of numbered(way ?? [])) yield `${indent}  ${step}`;
  }
  const more = row.rules.length - shown.length;
  if (more > 0)
    yield* wrap(
      `${indent}and ${more} more ${more === 1 ? 'line' : 'lines'} (--json lists them)`,
      columns,
      indent.length,
    );
}
