import { execFileSync, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { find } from '../../build/host/tools.js';
import { writeFleet } from '../helpers/fleet.js';
import { tmp } from '../helpers/tmp.js';

const SCRIPT = 'docs/ci/slurm.sh';

describe('the array for Slurm', () => {
  it('makes the fleet, task by task, each image once', async () => {
    expect(readFileSync(SCRIPT, 'utf8').split('\n')[1]).toMatch(/^# For you to take/);
    execFileSync('shellcheck', ['-s', 'sh', SCRIPT, 'scripts/slurm-fleet', 'scripts/test-nodes']);
    const folder = await tmp();
    const deployments = writeFleet(folder, 3);
    for (const task of ['1', '2']) {
      const { status, stderr } = spawnSync('sh', [SCRIPT, deployments, join(folder, 'images')], {
        encoding: 'utf8',
        env: {
          ...{ PATH: process.env['PATH'] ?? '', HOME: folder, CLAWDIE_CACHE: join(folder, 'cache') },
          ...{ ISO_PROJECT: process.cwd(), SLURM_ARRAY_TASK_ID: task, SLURM_ARRAY_TASK_COUNT: '2' },
        },
      });
      expect([status, stderr]).toEqual([0, '']);
    }
    const images = readdirSync(join(folder, 'images'), { recursive: true, encoding: 'utf8' });
    expect(
      images
        .filter((name) => name.endsWith('.iso'))
        .map((name) => name.replace(/.*\//, ''))
        .sort(),
    ).toEqual([...['n0000-sample-amd64.iso', 'n0001-sample-amd64.iso', 'n0002-sample-amd64.iso']]);
  }, 60_000);

  it('survives a node that dies, on a cluster of this machine', (context) => {
    if (find('slurmctld') === undefined || find('slurmd') === undefined || process.getuid?.() !== 0)
      context.skip('Slurm is not on this machine, or this user is not root: apt-get install slurm-wlm');
    const { status, stdout, stderr } = spawnSync('scripts/slurm-fleet', ['8', '2'], { encoding: 'utf8' });
    expect([status, stderr]).toEqual([0, expect.any(String)]);
    expect(stdout).toMatch(/^Slurm +8 deployments in 4 tasks on 2 nodes: .*1 task queued again$/m);
  }, 600_000);
});
