import { UserError } from '../error.js';
import { readHostsFile, RELEASE_HOSTS } from '../pf/hosts-file.js';
import { parsePf } from '../pf/parse.js';
import type { PfFlaw, Rule, Ruleset } from '../pf/types.js';
import { dynamicTables } from '../pf/lines.js';
import { assumptions } from './anchors.js';
import { proveIsolation } from './isolation.js';
import { lint } from './lint.js';
import { isOperators, pinned } from './pinned.js';
import { prove, subjectOf } from './prove.js';
import { policyRows } from './rows.js';
import type { Row } from './row.js';
import { describeJourney, describeStep, traceViolation } from './trace.js';
import type { PolicyView, Situation } from './world.js';

/** The rule files of an image, as they are on the instance. */
export interface RuleFiles {
  readonly pf: string;
  readonly fallback: string;
  readonly operator: string;
  /** /etc/hosts, whose names rules may use; that of a release where it is left out. */
  readonly hosts?: string;
}

/** The proof of one image, for its build record. */
export interface ImageProof {
  /** Boxes of packets that were decided, over all places and situations: together they are every packet. */
  readonly cells: number;
  /** Interfaces by direction and family, over all situations. */
  readonly places: number;
  /** Ways through the host, between zones of which the design wants nothing to get from one to the other. */
  readonly ways: number;
  readonly situations: readonly string[];
  /** The rows that are about packets in some situation. */
  readonly rows: readonly string[];
  /** What the proof takes for granted. */
  readonly assumed: readonly string[];
  /** Rows that POLICY_EXCEPTIONS lets the operator's rules break, and how. */
  readonly exceptions: readonly { readonly row: string; readonly example: string }[];
}

const TAILSCALE_BLOCK = /(^# >>> tailscale[^\n]*\n)([\s\S]*?)(^# <<< tailscale)/m;

/** pf.conf with its Tailscale block in force, as `clawdie-tailscale enable` makes it. */
export function withTailscale(pf: string): string {
  return pf.replace(
    TAILSCALE_BLOCK,
    (_, begin: string, block: string, end: string) => begin + block.replace(/^#/gm, '') + end,
  );
}

/** The rule file that is in force in a situation, read with what it includes. */
export function readRules(
  files: RuleFiles,
  { fallback, tailscaleActive }: Pick<Situation, 'fallback' | 'tailscaleActive'>,
): { readonly ruleset: Ruleset; readonly flaws: readonly PfFlaw[] } {
  const text = fallback ? files.fallback : tailscaleActive ? withTailscale(files.pf) : files.pf;
  return parsePf(
    text,
    fallback ? '/etc/pf-fallback.conf' : '/etc/pf.conf',
    (path) => (path === '/etc/pf.conf.d/operator.conf' ? files.operator : undefined),
    files.hosts === undefined ? RELEASE_HOSTS : readHostsFile(files.hosts),
  );
}

/** Every situation that the rules of an image have to hold in. */
function situations(view: PolicyView): readonly { readonly name: string; readonly situation: Situation }[] {
  const of = (
    name: string,
    is: Partial<Situation> = {},
  ): { readonly name: string; readonly situation: Situation } => ({
    name,
    situation: { view, egressKnown: true, tailscaleActive: false, fallback: false, ...is },
  });
  return [
    of('Tailscale off'),
    of('Tailscale active', { tailscaleActive: true }),
    of('before it is known what faces the internet', { egressKnown: false }),
    of('before it is known what faces the internet, Tailscale active', {
      egressKnown: false,
      tailscaleActive: true,
    }),
    of('fallback', { fallback: true }),
    of('fallback, before it is known what faces the internet', { fallback: true, egressKnown: false }),
  ];
}

/** What is wrong, and the way of a packet that shows it, crossing by crossing. */
interface Problem {
  readonly text: string;
  readonly way: () => readonly string[];
}

/** Whether a rule may break a row: only the operator's own are excepted, those of the image hold whatever is excepted. */
export function isExcepted(exceptions: readonly string[], row: Row, rule: Rule | undefined): boolean {
  return exceptions.includes(row.id) && rule !== undefined && isOperators(rule.place);
}

/**
 * Proves that the rules of an image do what the policy says: in every situation, for every
 * packet.
 *
 * @param exceptions rows that the operator's own rules may break
 * @throws UserError that names each row, the packet, the rule that let it through and its line.
 */
export function proveImage(files: RuleFiles, view: PolicyView, exceptions: readonly string[]): ImageProof {
  const problems: (string | Problem)[] = [];
  const assumed = new Set<string>();
  const excepted = new Map<string, string>();
  const rows = new Set<string>();
  const known = new Set<string>();
  let cells = 0;
  let places = 0;
  let ways = 0;
  // Situations that differ in the world alone have the same rules.
  const read = new Map<string, ReturnType<typeof readRules>>();
  const rulesOf = (situation: Situation): ReturnType<typeof readRules> => {
    const key = situation.fallback ? 'fallback' : String(situation.tailscaleActive);
    const earlier = read.get(key);
    if (earlier) return earlier;
    const rules = readRules(files, situation);
    read.set(key, rules);
    for (const { place, message } of [...rules.flaws, ...pinned(rules.ruleset), ...lint(rules.ruleset)]) {
      const line = `${place.file}:${place.line}:${place.column}: ${message}.`;
      if (!problems.includes(line)) problems.push(line);
    }
    return rules;
  };
  for (const { name, situation } of situations(view)) {
    const { ruleset, flaws } = rulesOf(situation);
    for (const row of policyRows(situation)) known.add(row.id);
    if (flaws.length > 0) continue; // what does not load proves nothing
    const subject = subjectOf(ruleset, situation);
    const proof = prove(subject);
    cells += proof.cells;
    places += proof.places;
    for (const row of proof.rows) rows.add(row);
    for (const assumption of assumptions(ruleset, dynamicTables(ruleset))) assumed.add(assumption);
    let broken = false;
    for (const violation of proof.violations) {
      const { row, rule, message } = violation;
      if (isExcepted(exceptions, row, rule)) {
        excepted.set(row.id, message);
        continue;
      }
      broken = true;
      problems.push({
        text: `${row.id} (${name}): ${message}`,
        way: () => traceViolation(subject, violation).map(describeStep),
      });
    }
    // Where single crossings are not as they have to be, the ways over them say nothing new.
    if (broken) continue;
    const isolation = proveIsolation(subject, (row, rule) => isExcepted(exceptions, row, rule));
    cells += isolation.cells;
    ways += isolation.ways;
    for (const { message, steps } of isolation.leaks)
      problems.push({ text: `zones (${name}): ${message}`, way: () => steps.map(describeJourney) });
  }
  const unknown = exceptions.filter((name) => !known.has(name));
  if (unknown.length > 0)
    problems.push(`POLICY_EXCEPTIONS names ${unknown.join(', ')}, which is no row of the policy.`);
  if (problems.length > 0) {
    const shown = problems
      .slice(0, 12)
      .map((problem) =>
        typeof problem === 'string'
          ? `  ${problem}`
          : [`  ${problem.text}`, ...problem.way().map((step, index) => `    ${index + 1}. ${step}`)].join(
              '\n',
            ),
      );
    const more = problems.length > shown.length ? [`  … and ${problems.length - shown.length} more`] : [];
    if ([...read.values()].some(({ flaws }) => flaws.length > 0))
      throw new UserError(
        `The rules of this image do not load:\n${shown.join('\n')}`,
        'operator.conf is the file that PF_RULES_FILE names: mend it there.',
      );
    throw new UserError(
      `The firewall of this image does not do what the policy says:\n${[...shown, ...more].join('\n')}`,
      'Mend the rules of PF_RULES_FILE, or name the row in POLICY_EXCEPTIONS; `clawdie-iso explain` shows the policy.',
    );
  }
  return {
    cells,
    places,
    ways,
    situations: situations(view).map(({ name }) => name),
    rows: [...rows],
    assumed: [...assumed],
    exceptions: [...excepted].map(([row, example]) => ({ row, example })),
  };
}
