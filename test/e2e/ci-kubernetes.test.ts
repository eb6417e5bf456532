import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Job } from 'kubernetes-models/batch/v1/Job';
import type { IJob } from 'kubernetes-models/batch/v1/Job';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { HASH } from '../helpers/config.js';
import { writeFleet } from '../helpers/fleet.js';
import { tmp } from '../helpers/tmp.js';

const text = readFileSync('docs/ci/kubernetes.yaml', 'utf8');
const manifest = (): IJob => parse(text) as IJob;
/** The manifest with another value in its specification. */
const altered = (key: string, value: unknown): IJob =>
  ({ ...manifest(), spec: { ...manifest().spec, [key]: value } }) as IJob;

/** What Kubernetes' own schema says of a manifest; an empty text if nothing. */
function flaws(job: IJob): string {
  try {
    new Job(job).validate();
    return '';
  } catch (error) {
    return (error as Error).message;
  }
}

/** Fields that the API does not know: the schema takes them, the types that are made of it do not. */
async function unknownFields(job: IJob): Promise<readonly string[]> {
  const folder = await tmp();
  const file = join(folder, 'job.ts');
  const types = resolve('node_modules/kubernetes-models/batch/v1/Job.js');
  writeFileSync(
    file,
    `import type { IJob } from ${JSON.stringify(types)};\nexport const job: IJob = ${JSON.stringify(job)};\n`,
  );
  const program = ts.createProgram([file], {
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    ...{ strict: true, noEmit: true, skipLibCheck: true, types: [] },
  });
  return ts
    .getPreEmitDiagnostics(program)
    .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, ' '));
}

describe('the manifest for Kubernetes', () => {
  it('passes the schema of the API, which finds what is wrong', () => {
    expect(text.split('\n')[0]).toMatch(/^# For you to take/);
    expect(flaws(manifest())).toBe('');
    expect(flaws(altered('completions', 'eight'))).toMatch(/completions/);
  });

  it('has no field that the API does not know', async () => {
    expect(await unknownFields(manifest())).toEqual([]);
    expect((await unknownFields(altered('completionmode', 'Indexed'))).join()).toContain('completionmode');
  }, 60_000);

  it('runs its script for each index: together they make the fleet, each image once', async () => {
    const folder = await tmp();
    const deployments = writeFleet(folder, 9);
    const spec = manifest().spec;
    const [container] = spec?.template.spec?.containers ?? [];
    const completions = spec?.completions ?? 0;
    expect([completions, spec?.completionMode]).toEqual([8, 'Indexed']);
    const [shell = '', ...options] = container?.command ?? [];
    // Where the cluster mounts what; BASES is empty where a pod is to build what it needs itself.
    const script = (container?.args ?? [])
      .join(' ')
      .replace('/clawdie-iso/', `${process.cwd()}/`)
      .replace('/deployments', deployments)
      .replace('/scratch/', `${folder}/scratch/`)
      .replace('/images/', `${folder}/images/`)
      .replace('--bases "$BASES"', '');
    expect(script).not.toMatch(/ "?\/(?:clawdie-iso|scratch|images)\//);
    mkdirSync(join(folder, 'scratch'));
    const made: string[] = [];
    for (let index = 0; index < completions; index++) {
      const { status, stdout, stderr } = spawnSync(shell, [...options, script], {
        encoding: 'utf8',
        env: {
          ...{ PATH: process.env['PATH'] ?? '', HOME: folder, BASES: '' },
          JOB_COMPLETION_INDEX: String(index),
          CLAWDIE_ROOT_PASSWORD_HASH__N0004: HASH,
        },
      });
      expect([status, stderr, stdout]).toEqual([0, '', expect.any(String)]);
      made.push(
        ...readdirSync(join(folder, 'images', `part-${index}`)).filter((name) => name.endsWith('.iso')),
      );
    }
    expect(made.sort()).toEqual(Array.from({ length: 9 }, (_, n) => `n000${n}-sample-amd64.iso`));
    const secret = readdirSync(join(folder, 'images'), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.iso'))
      .filter((name) => readFileSync(join(folder, 'images', name), 'latin1').includes(HASH));
    expect(secret.map((name) => name.replace(/.*\//, ''))).toEqual(['n0004-sample-amd64.iso']);
  }, 120_000);
});
