import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { benchDisk } from './disk.js';
import { benchFleet } from './fleet.js';
import { benchImage } from './image.js';
import type { Measured } from './measure.js';
import { benchPackages } from './packages.js';

/*
 * Measures builds against reference steps that run beside them: machines are noisy, ratios are not. The input is
 * generated release sets; they are kept between runs.
 */

const { values: options } = parseArgs({
  options: {
    folder: { type: 'string', default: join(tmpdir(), 'clawdie-bench') },
    runs: { type: 'string', default: '3' },
    json: { type: 'boolean', default: false },
    /** `image`, `fleet`, `disk` or `packages` alone */
    only: { type: 'string' },
    /** pkg(8), whose times are those that locks are held against */
    pkg: { type: 'string' },
    /** where the plot of fleets is put */
    plot: { type: 'string' },
  },
});
const runs = Number(options.runs);
const parts: readonly (readonly [string, () => Promise<Measured>])[] = [
  ['image', () => benchImage(options.folder, runs)],
  ['fleet', () => benchFleet(options.folder, runs, options.plot)],
  ['disk', () => benchDisk(options.folder, runs)],
  ['packages', () => benchPackages(options.folder, runs, options.pkg)],
];
const figures: Record<string, unknown> = { machine: { cpus: cpus().length, node: process.version } };
for (const [name, measure] of parts) {
  if (options.only !== undefined && options.only !== name) continue;
  const measured = await measure();
  figures[name] = measured.figures;
  if (!options.json) for (const line of measured.lines) console.log(line);
  if (measured.exceeded) {
    console.error('A limit is exceeded.');
    process.exitCode = 1;
  }
}
if (options.json) console.log(JSON.stringify(figures, null, 2));
