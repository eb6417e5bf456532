/** A deployment as a plan lists it. */
export interface Planned {
  readonly name: string;
  readonly file: string;
  readonly images: readonly string[];
  readonly release: string;
  /** Cache key of the base image. */
  readonly base: string;
  /** `keep`: its inputs are those of the record. */
  readonly action: 'make' | 'keep';
}

/** Jobs that one matrix may have at most: GitHub (docs, "Using a matrix"), GitLab (parallel:matrix). */
export const MOST_JOBS = { github: 256, gitlab: 200 } as const;

/** Deals out names to jobs, as evenly as can be: each job is the list for one `--only`. Pure. */
export function deal(names: readonly string[], jobs: number): readonly string[] {
  const hands = Array.from({ length: Math.min(jobs, names.length) }, (): string[] => []);
  names.forEach((name, index) => hands[index % hands.length]?.push(name));
  return hands.map((hand) => hand.join(','));
}

const toMake = (plan: readonly Planned[]): readonly string[] =>
  plan.filter(({ action }) => action === 'make').map(({ name }) => name);

/** A matrix for `strategy.matrix: ${{ fromJSON(…) }}` of GitHub Actions, as JSON on one line. Pure. */
export function githubMatrix(plan: readonly Planned[], jobs: number): string {
  return JSON.stringify({ include: deal(toMake(plan), jobs).map((deployments) => ({ deployments })) });
}

/**
 * A pipeline for `trigger: include:` of GitLab CI: one job for every part, each running the template `.image` of the
 * file that the user keeps. YAML; a pipeline has to have a job, so there is one that says that nothing changed. Pure.
 */
export function gitlabPipeline(plan: readonly Planned[], jobs: number, template: string): string {
  const parts = deal(toMake(plan), jobs);
  const include = `include:\n  - local: ${JSON.stringify(template)}\n`;
  if (parts.length === 0) return `nothing-changed:\n  script:\n    - 'echo "No deployment has changed."'\n`;
  return `${include}\nimages:\n  extends: .image\n  parallel:\n    matrix:\n${parts
    .map((part) => `      - DEPLOYMENTS: ${JSON.stringify(part)}\n`)
    .join('')}`;
}
