import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PROJECT } from '../../build/commands/configuration.js';
import { median, megabytes, program, run, say, seconds } from './measure.js';
import type { Measured } from './measure.js';
import { makeRelease } from './release.js';

/*
 *   cold   release sets on disk to image, empty cache, against `xz -dc` of the sets and `pigz` of the root image
 *   warm   the image of another deployment, against `cp` and `sha256sum` of the image
 *   proof  of the firewall of one image with eight bridges, in milliseconds, and the memory of its process
 */

/** Eight bridges: with those of the assistant and of seven tenants. */
const BRIDGES = 'TENANTS="anna boris carol dora emil frida georg"\n';
const PROOF = join(PROJECT, 'lib/scripts/bench/proof.js');

/** What a proof takes, in a process of its own. */
interface ProofTaken {
  readonly milliseconds: number;
  readonly cells: number;
  readonly peakBytes: number;
}

/** Measures builds of one image. */
export async function benchImage(folder: string, runs: number): Promise<Measured> {
  const release = join(folder, 'release-2');
  const sum = await makeRelease(release);
  const work = mkdtempSync(join(folder, 'run-'));
  try {
    const config = join(work, 'build.cfg');
    const text = `FREEBSD_DIST="${release}"\nFREEBSD_MANIFEST_SHA256=${sum}\nROOT_PASSWORD_HASH='$6$bench$${'a'.repeat(86)}'\n`;
    writeFileSync(config, text);
    const bridges = join(work, 'bridges.cfg');
    writeFileSync(bridges, text + BRIDGES);
    const proof = JSON.parse(
      execFileSync(process.execPath, [PROOF, bridges], { encoding: 'utf8' }),
    ) as ProofTaken;
    const cache = join(work, 'cache');
    const args = ['--config', config, '--cache', cache, '--out', join(work, 'dist')];
    const cold: { ours: number; reference: number; ratio: number; peak: number }[] = [];
    const image = join(work, 'dist', 'clawdie-15.1-RELEASE-amd64.iso');
    const root = join(work, 'root');
    for (let index = 0; index < runs; index++) {
      rmSync(cache, { recursive: true, force: true });
      const ours = await program(['iso', ...args]);
      if (index === 0)
        run('sh', [
          '-c',
          `gzip -dc '${join(cache, 'root', readdirSync(join(cache, 'root'))[0] ?? '', 'mfsroot.gz')}' > '${root}'`,
        ]);
      const reference =
        seconds(`xz -dc '${release}/base.txz' '${release}/kernel.txz' > /dev/null`) +
        seconds(`pigz -c '${root}' > '${root}.gz'`);
      cold.push({ ours: ours.seconds, reference, ratio: ours.seconds / reference, peak: ours.peak });
      say(
        `cold ${index + 1}/${runs}: ${ours.seconds.toFixed(1)} s, reference ${reference.toFixed(1)} s, ratio ${(ours.seconds / reference).toFixed(2)}, peak ${(ours.peak / 1e6).toFixed(0)} MB`,
      );
    }
    const warm: { ours: number; reference: number; more: number }[] = [];
    for (let index = 0; index < runs * 3; index++) {
      const ours = await program([
        'iso',
        ...args,
        '--set',
        `ASSISTANT_NAME=agent${'abcdefghijklmnopqrstuvwxyz'.charAt(index % 26)}`,
      ]);
      const reference = seconds(`cp '${image}' '${work}/copy' && sha256sum '${work}/copy' > /dev/null`);
      warm.push({ ours: ours.seconds, reference, more: ours.seconds - reference });
    }
    const figures = {
      input: {
        baseBytes: statSync(join(release, 'base.txz')).size,
        kernelBytes: statSync(join(release, 'kernel.txz')).size,
        rootBytes: statSync(root).size,
        imageBytes: statSync(image).size,
      },
      cold: {
        runs,
        seconds: median(cold.map(({ ours }) => ours)),
        reference: median(cold.map(({ reference }) => reference)),
        ratio: median(cold.map(({ ratio }) => ratio)),
        limit: 1.5,
      },
      warm: {
        runs: runs * 3,
        seconds: median(warm.map(({ ours }) => ours)),
        reference: median(warm.map(({ reference }) => reference)),
        more: median(warm.map(({ more }) => more)),
        limit: 0.8,
      },
      memory: { peakBytes: Math.max(...cold.map(({ peak }) => peak)), limit: 300e6 },
      proof: { ...proof, limit: 1500, memoryLimit: 200e6 },
    };
    const { input, cold: first, warm: further, memory, proof: proved } = figures;
    return {
      figures,
      lines: [
        `Input   base.txz ${megabytes(input.baseBytes)}, kernel.txz ${megabytes(input.kernelBytes)}; root image ${megabytes(input.rootBytes)}, ISO ${megabytes(input.imageBytes)}`,
        `Cold    ${first.seconds.toFixed(1)} s, ${first.ratio.toFixed(2)} x the ${first.reference.toFixed(1)} s of xz -dc and pigz (limit ${first.limit}; median of ${runs})`,
        `Warm    ${further.seconds.toFixed(2)} s, ${further.more.toFixed(2)} s more than the ${further.reference.toFixed(2)} s of cp and sha256sum (limit ${further.limit} s; median of ${runs * 3})`,
        `Memory  ${memory.peakBytes === 0 ? 'not measured on this system' : `${megabytes(memory.peakBytes)} at most in the node process (limit ${megabytes(memory.limit)})`}`,
        `Proof   ${proved.milliseconds} ms for the firewall of one image with eight bridges, ${proved.cells} cells (limit ${proved.limit} ms); ${megabytes(proved.peakBytes)} at most in its process (limit ${megabytes(proved.memoryLimit)})`,
      ],
      exceeded:
        first.ratio > first.limit ||
        further.more > further.limit ||
        memory.peakBytes > memory.limit ||
        proved.milliseconds > proved.limit ||
        proved.peakBytes > proved.memoryLimit,
    };
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
