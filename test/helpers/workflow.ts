import { spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { parse } from 'yaml';
import { sha256 } from '../../build/host/hash.js';
import { fill, holds, valueOf } from './expressions.js';
import type { Contexts, State } from './expressions.js';

/*
 * A runner of GitHub Actions for tests: it runs the scripts of a workflow's jobs, in their order, as the runner does (docs,
 * "Workflow syntax": bash -e, a file of outputs and one of variables), with expressions evaluated by GitHub's own library.
 * Actions are stood in for by what they do to files.
 */

/** Fields of YAML, which may be numbers. */
type Fields = Readonly<Record<string, string | number>>;

interface Step {
  readonly id?: string;
  readonly name?: string;
  readonly uses?: string;
  readonly if?: string;
  readonly run?: string;
  readonly with?: Fields;
  readonly env?: Fields;
}

interface Job {
  readonly needs?: string | readonly string[];
  readonly if?: string;
  readonly outputs?: Readonly<Record<string, string>>;
  readonly strategy?: { readonly matrix?: unknown };
  readonly env?: Fields;
  readonly steps: readonly Step[];
}

export interface Workflow {
  readonly env?: Fields;
  readonly jobs: Readonly<Record<string, Job>>;
}

export const readWorkflow = (path: string): Workflow => parse(readFileSync(path, 'utf8')) as Workflow;

export interface Runner {
  /** Empty folder: workspaces of jobs, caches and artifacts, which later runs find there. */
  readonly folder: string;
  /** Puts the repository into a workspace, as actions/checkout does. */
  readonly checkout: (workspace: string) => void;
  readonly secrets: Readonly<Record<string, string>>;
  readonly vars: Readonly<Record<string, string>>;
  /** Of the machine: PATH, and what tests add. */
  readonly env: Readonly<Record<string, string>>;
  readonly runId: string;
}

/** How a job ended, and what its steps said; `env` are the variables that its last script saw. */
export interface JobRun {
  readonly name: string;
  readonly result: 'success' | 'failure' | 'skipped';
  readonly outputs: Readonly<Record<string, string>>;
  readonly log: string;
  readonly variables: Readonly<Record<string, string>>;
}

/** Variables of a file as GITHUB_OUTPUT and GITHUB_ENV are: `name=value`, or `name<<end`, lines, `end`. */
function readFileOf(path: string): Record<string, string> {
  const found: Record<string, string> = {};
  const lines = readFileSync(path, 'utf8').split('\n');
  for (let line = lines.shift(); line !== undefined; line = lines.shift()) {
    const [, long, end] = /^([^=<]+)<<(.+)$/.exec(line) ?? [];
    if (long !== undefined && end !== undefined) {
      found[long] = lines.splice(0, lines.indexOf(end)).join('\n');
      lines.shift();
    } else if (line !== '') found[line.slice(0, line.indexOf('='))] = line.slice(line.indexOf('=') + 1);
  }
  return found;
}

/** What actions do to files. @returns whether the step succeeds */
function act(
  step: Step,
  given: Readonly<Record<string, string>>,
  workspace: string,
  runner: Runner,
): boolean {
  const [, action = ''] = /^([^@]+)@[0-9a-f]{40}$/.exec(step.uses ?? '') ?? [];
  const store = (kind: string): string => join(runner.folder, kind);
  const path = join(workspace, given['path'] ?? '');
  const copy = (from: string, to: string): void => {
    mkdirSync(dirname(to), { recursive: true });
    cpSync(from, to, { recursive: true });
  };
  switch (action) {
    case 'actions/checkout':
      runner.checkout(workspace);
      return true;
    case 'actions/setup-node':
      return true;
    case 'actions/cache/save':
      copy(path, join(store('cache'), given['key'] ?? '', given['path'] ?? ''));
      return true;
    case 'actions/cache/restore': {
      const kept = existsSync(store('cache')) ? readdirSync(store('cache')).sort().reverse() : [];
      const hit = kept.find((key) => key.startsWith(given['restore-keys'] ?? given['key'] ?? '-'));
      if (hit !== undefined) copy(join(store('cache'), hit, given['path'] ?? ''), path);
      return true;
    }
    case 'actions/upload-artifact':
      if (!existsSync(path)) return false;
      copy(path, join(store('artifacts'), given['name'] ?? ''));
      return true;
    case 'actions/download-artifact':
      for (const name of existsSync(store('artifacts')) ? readdirSync(store('artifacts')) : [])
        copy(join(store('artifacts'), name), join(path, name));
      return true;
    default:
      throw new Error(`the tests know nothing of ${step.uses ?? ''}, or it is not named by its commit`);
  }
}

function runJob(name: string, job: Job, workflow: Workflow, contexts: Contexts, runner: Runner): JobRun {
  const home = mkdtempSync(join(runner.folder, `${name}-`));
  const workspace = join(home, 'work');
  const temp = join(home, 'temp');
  mkdirSync(workspace);
  mkdirSync(temp);
  let failed = false;
  let log = '';
  let variables: Record<string, string> = {};
  const fromFile: Record<string, string> = {};
  const steps: Record<string, unknown> = {};
  const state = (): State => ({
    failed,
    hash: (pattern) => (existsSync(join(workspace, pattern)) ? sha256(pattern) : ''),
  });
  const filled = (values: Fields = {}, seen: Contexts): Record<string, string> =>
    Object.fromEntries(
      Object.entries(values).map(([key, value]) => [key, fill(String(value), seen, state())]),
    );
  const ofWorkflow = filled(workflow.env, contexts);
  const ofJob = filled(job.env, { ...contexts, env: ofWorkflow });
  for (const [index, step] of job.steps.entries()) {
    const seen = { ...contexts, steps, env: { ...ofWorkflow, ...ofJob, ...fromFile }, runner: { temp } };
    if (!holds(step.if, seen, state())) continue;
    const title = step.name ?? step.id ?? step.uses ?? step.run ?? '';
    if (step.run === undefined) {
      failed = !act(step, filled(step.with, seen), workspace, runner) || failed;
      continue;
    }
    const files = { script: `${index}.sh`, output: `${index}.output`, env: `${index}.env` };
    const at = (file: keyof typeof files): string => join(temp, files[file]);
    writeFileSync(at('script'), fill(step.run, seen, state()));
    writeFileSync(at('output'), '');
    writeFileSync(at('env'), '');
    variables = { ...ofWorkflow, ...ofJob, ...fromFile, ...filled(step.env, seen) };
    const { status, stdout, stderr } = spawnSync('bash', ['-e', at('script')], {
      cwd: workspace,
      encoding: 'utf8',
      env: {
        ...runner.env,
        ...{ CI: 'true', GITHUB_ACTIONS: 'true', GITHUB_ACTOR: 'Octocat', HOME: home, RUNNER_TEMP: temp },
        ...{ GITHUB_OUTPUT: at('output'), GITHUB_ENV: at('env') },
        ...variables,
      },
    });
    log += `## ${title}\n${stdout}${stderr}`;
    const outputs = readFileOf(at('output'));
    if (step.id !== undefined) steps[step.id] = { outputs };
    Object.assign(fromFile, readFileOf(at('env')));
    if (status !== 0) failed = true;
  }
  const outputs = filled(job.outputs, { ...contexts, steps, env: ofWorkflow });
  return { name, result: failed ? 'failure' : 'success', outputs, log, variables };
}

/** Runs all jobs of a workflow, one after the other, those of a matrix for each of its entries. */
export function runWorkflow(workflow: Workflow, runner: Runner): readonly JobRun[] {
  const github = { repository: 'Octocat/Fleet', run_id: runner.runId, run_attempt: '1', actor: 'Octocat' };
  const token = { GITHUB_TOKEN: 'ghs_token', github_token: 'ghs_token' };
  const runs: JobRun[] = [];
  const needs: Record<string, Pick<JobRun, 'result' | 'outputs'>> = {};
  for (const [name, job] of Object.entries(workflow.jobs)) {
    const wanted = [job.needs ?? []].flat();
    const common: Contexts = {
      ...{ github, vars: runner.vars, secrets: { ...runner.secrets, ...token }, env: {}, steps: {} },
      needs: Object.fromEntries(wanted.map((need) => [need, needs[need]])),
      ...{ matrix: {}, strategy: {}, runner: {} },
    };
    const failed = wanted.some((need) => needs[need]?.result !== 'success');
    const state: State = { failed, hash: () => '' };
    if (!holds(job.if, common, state)) {
      needs[name] = { result: 'skipped', outputs: {} };
      runs.push({ name, result: 'skipped', outputs: {}, log: '', variables: {} });
      continue;
    }
    const own = entriesOf(valueOf(job.strategy?.matrix, common, state)).map((matrix, index) =>
      runJob(name, job, workflow, { ...common, matrix, strategy: { 'job-index': index } }, runner),
    );
    runs.push(...own);
    const result = own.every((each) => each.result === 'success') ? 'success' : 'failure';
    needs[name] = { result, outputs: own[0]?.outputs ?? {} };
  }
  return runs;
}

/** The entries of a matrix: those of `include`, or the values of its one dimension; one without anything if there is none. */
function entriesOf(matrix: unknown): readonly Readonly<Record<string, unknown>>[] {
  if (typeof matrix !== 'object' || matrix === null) return [{}];
  if ('include' in matrix) return matrix.include as readonly Readonly<Record<string, unknown>>[];
  return Object.entries(matrix).flatMap(([key, values]) =>
    (values as readonly unknown[]).map((value) => ({ [key]: value })),
  );
}
