import { InputError } from '../error.js';
import { imageName } from '../image/formats.js';
import { releaseOf } from '../pipeline/base.js';
import { githubMatrix, gitlabPipeline, MOST_JOBS } from '../fleet/matrix.js';
import type { Planned } from '../fleet/matrix.js';
import { loadFleet } from './deployments.js';
import { chooseFrom, readRecord } from './fleet.js';
import type { FleetOptions } from './fleet.js';

export const PLAN_FORMATS = ['table', 'json', 'github', 'gitlab'] as const;

export interface PlanOptions extends Pick<
  FleetOptions,
  'deployments' | 'set' | 'only' | 'shard' | 'changedSince'
> {
  readonly format: (typeof PLAN_FORMATS)[number];
  /** Jobs of the matrix at most. */
  readonly jobs?: number;
  /** File of the user's repository that holds the GitLab job `.image`. */
  readonly template: string;
}

/**
 * `clawdie-iso plan`: says which images a fleet needs, for people and for CI engines. Writes nothing.
 *
 * @throws InputError with every problem of every file, or if there are more jobs than the engine takes.
 */
export async function plan(
  options: PlanOptions,
  environment: NodeJS.ProcessEnv,
  print: (line: string) => void,
): Promise<void> {
  const { format } = options;
  const fleet = await loadFleet(options.deployments, options.set, environment);
  const record = options.changedSince === undefined ? undefined : await readRecord(options.changedSince);
  const known = new Map(record?.deployments.map((entry) => [entry.name, entry.inputs]));
  const planned = chooseFrom(fleet, options).map(({ name, loaded, stem, request, inputs }): Planned => ({
    ...{ name, file: loaded.path },
    images: loaded.config.FORMATS.map((format) => imageName(stem, format)),
    release: releaseOf(request),
    base: request.keys.base,
    action: known.get(name) === inputs ? 'keep' : 'make',
  }));
  if (format === 'github' || format === 'gitlab') {
    const most = MOST_JOBS[format];
    const jobs = options.jobs ?? most;
    if (jobs > most)
      throw new InputError(
        `--jobs ${jobs} is more than the ${most} jobs that ${format} takes in one matrix.`,
      );
    print(
      format === 'github'
        ? githubMatrix(planned, jobs)
        : gitlabPipeline(planned, jobs, options.template).trimEnd(),
    );
    return;
  }
  if (format === 'json') {
    print(JSON.stringify(planned, null, 2));
    return;
  }
  for (const warning of fleet.warnings) print(`Warning: ${warning}`);
  const width = Math.max(0, ...planned.map(({ name }) => name.length));
  for (const { name, release, base, action } of planned)
    print(`${action}  ${name.padEnd(width)}  ${release}  base ${base.slice(0, 12)}`);
  const make = planned.filter(({ action }) => action === 'make').length;
  const bases = new Set(planned.map(({ base }) => base)).size;
  print(
    `${planned.length} ${planned.length === 1 ? 'deployment' : 'deployments'}: ${make} to make, ${planned.length - make} to keep; ${bases} base ${bases === 1 ? 'image' : 'images'}.`,
  );
}
