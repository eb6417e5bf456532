import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { find } from '../../build/host/tools.js';
import { pruneReason } from '../../build/rootfs/prune.js';
import { median, megabytes, program, say, seconds } from './measure.js';
import type { Measured } from './measure.js';
import { plot } from './plot.js';
import { makeRelease } from './release.js';

/*
 *   first     one image from release sets, empty cache, against the steps of mfsBSD's Makefile on the same sets
 *   further   each further image of a fleet, against `cp` and `sha256sum` of the base image, at two sizes
 *   many      up to 1,000 deployments in one run: time, processor time and memory over their number
 *   nothing   a run over 1,000 deployments of which none has changed
 */

const LIMITS = { first: 10, further: 1.5, linear: 1.25, memory: 250e6, nothing: 3 };

/** Sizes of fleets that are plotted. */
const SIZES = [100, 250, 500, 1000];

function writeDeployments(folder: string, count: number, common: string): string {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  writeFileSync(
    join(folder, 'common.cfg'),
    `${common}JAIL_SUPERNET="10.0.0.0/8"\nROOT_PASSWORD_HASH='$6$bench$${'a'.repeat(86)}'\n`,
  );
  for (let index = 0; index < count; index++) {
    const letters = [676, 26, 1].map((unit) => String.fromCharCode(97 + (Math.floor(index / unit) % 26)));
    writeFileSync(
      join(folder, `n${index}.cfg`),
      `ASSISTANT_NAME="agent${letters.join('')}"\nAGENT_NET="10.${Math.floor(index / 250)}.${index % 250}.0/24"\n`,
    );
  }
  return folder;
}

const fromSets = (release: string, sum: string): string =>
  `FREEBSD_DIST="${release}"\nFREEBSD_MANIFEST_SHA256="${sum}"\n`;

/** Seconds of mfsBSD's steps: unpack, prune, pack the root with xz, makefs, gzip -9, ISO (mfsbsd, Makefile). */
function mfsbsd(release: string, work: string): number {
  const sets = ['base.txz', 'kernel.txz'].map((name) => join(release, name));
  // What is left out is the same as ours, and is not unpacked in the first place.
  const names = sets.map((set) =>
    spawnSync('tar', ['-tf', set], { encoding: 'utf8', maxBuffer: 1 << 28 })
      .stdout.split('\n')
      .filter((name) => name !== '' && !name.endsWith('/'))
      .filter((name) => pruneReason('standard', name.replace(/^\.\//, '')) === undefined),
  );
  names.forEach((list, index) => {
    writeFileSync(join(work, `list${index}`), list.join('\n'));
  });
  return seconds(
    `set -e; cd '${work}'; rm -rf root mfs iso; mkdir root mfs iso
    tar -xf '${sets[0] ?? ''}' -C root -T list0; tar -xf '${sets[1] ?? ''}' -C root -T list1
    tar -C root -cf - . | xz > mfs/root.txz
    makefs -t ffs mfsroot mfs; gzip -9 -c mfsroot > iso/mfsroot.gz
    xorriso -as mkisofs -quiet -r -o image.iso iso 2> /dev/null
    sha256sum image.iso > /dev/null`,
  );
}

/** Measures fleets. @param plotted where the plot goes, if anywhere */
export async function benchFleet(folder: string, runs: number, plotted?: string): Promise<Measured> {
  const work = mkdtempSync(join(folder, 'fleet-'));
  try {
    const first = await benchFirst(folder, work, runs);
    const further = [
      await benchFurther(folder, work, 60e6, runs),
      await benchFurther(folder, work, 400e6, runs),
    ];
    const many = await benchMany(work, plotted);
    const figures = { first, further, many, limits: LIMITS };
    return {
      figures,
      lines: [
        first === undefined
          ? 'First   NOT MEASURED against mfsBSD: makefs is not on this machine'
          : `First   ${first.ratio.toFixed(1)} x faster than mfsBSD's steps: ${first.seconds.toFixed(1)} s, ${first.reference.toFixed(1)} s (limit ${LIMITS.first} x; median of ${runs})`,
        ...further.map(
          ({ imageBytes, perImage, reference, ratio }) =>
            `Further ${ratio.toFixed(2)} x cp and sha256sum, for images of ${megabytes(imageBytes)}: ${perImage.toFixed(3)} s, ${reference.toFixed(3)} s (limit ${LIMITS.further}; median of ${runs})`,
        ),
        ...many.fleets.map(
          ({ count, seconds: took, cpu, peak, reference }) =>
            `Many    ${String(count).padStart(4)} deployments: ${took.toFixed(1)} s, ${cpu.toFixed(1)} s of processor, ${megabytes(peak)}; cp and sha256sum of as many: ${reference.toFixed(1)} s`,
        ),
        `Linear  ${many.linear.seconds.toFixed(2)} in time, ${many.linear.cpu.toFixed(2)} in processor time: per image at ${SIZES.at(-1) ?? 0} against ${SIZES[1] ?? 0} (limit ${LIMITS.linear})`,
        `Nothing ${many.nothing.toFixed(2)} s where none of ${SIZES.at(-1) ?? 0} has changed (limit ${LIMITS.nothing} s)`,
      ],
      exceeded:
        (first !== undefined && first.ratio < LIMITS.first) ||
        further.some(({ ratio }) => ratio > LIMITS.further) ||
        many.linear.seconds > LIMITS.linear ||
        many.linear.cpu > LIMITS.linear ||
        many.fleets.some(({ peak }) => peak > LIMITS.memory) ||
        many.nothing > LIMITS.nothing,
    };
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

interface First {
  readonly seconds: number;
  readonly reference: number;
  readonly ratio: number;
}

async function benchFirst(folder: string, work: string, runs: number): Promise<First | undefined> {
  if (find('makefs') === undefined) return undefined;
  const release = join(folder, 'release-2');
  const sum = await makeRelease(release);
  const deployments = writeDeployments(join(work, 'one'), 1, fromSets(release, sum));
  const measured: First[] = [];
  for (let index = 0; index < runs; index++) {
    for (const name of ['cache', 'dist']) rmSync(join(work, name), { recursive: true, force: true });
    const args = ['--out', join(work, 'dist'), '--cache', join(work, 'cache')];
    const ours = await program(['fleet', deployments, ...args]);
    const reference = mfsbsd(release, work);
    measured.push({ seconds: ours.seconds, reference, ratio: reference / ours.seconds });
    say(`first ${index + 1}/${runs}: ${ours.seconds.toFixed(1)} s, mfsBSD's steps ${reference.toFixed(1)} s`);
  }
  return {
    seconds: median(measured.map((each) => each.seconds)),
    reference: median(measured.map(({ reference }) => reference)),
    ratio: median(measured.map(({ ratio }) => ratio)),
  };
}

interface Further {
  readonly imageBytes: number;
  readonly perImage: number;
  readonly reference: number;
  readonly ratio: number;
}

/** How many further images are made at once to measure one. */
const FURTHER = 8;

async function benchFurther(folder: string, work: string, wanted: number, runs: number): Promise<Further> {
  const release = join(folder, `noise-${wanted / 1e6}`);
  const sum = await makeRelease(release, wanted);
  const cache = join(work, `cache-${wanted}`);
  const dist = join(work, 'dist');
  const fleet = async (count: number): Promise<number> => {
    rmSync(dist, { recursive: true, force: true });
    const deployments = writeDeployments(join(work, 'some'), count, fromSets(release, sum));
    return (await program(['fleet', deployments, '--out', dist, '--cache', cache])).seconds;
  };
  await fleet(1);
  const image = join(dist, readdirSync(dist).find((name) => name.endsWith('.iso')) ?? '');
  const imageBytes = statSync(image).size;
  const measured: Omit<Further, 'imageBytes'>[] = [];
  for (let index = 0; index < runs; index++) {
    const [one, more] = [await fleet(1), await fleet(1 + FURTHER)];
    const reference =
      seconds(
        `for n in ${Array.from({ length: FURTHER }, (_, number) => number).join(' ')}; do cp '${image}' '${work}/copy'$n && sha256sum '${work}/copy'$n > /dev/null; done`,
      ) / FURTHER;
    seconds(`rm -f '${work}'/copy*`);
    const perImage = (more - one) / FURTHER;
    measured.push({ perImage, reference, ratio: perImage / reference });
    say(
      `further ${index + 1}/${runs}, ${megabytes(imageBytes)}: ${perImage.toFixed(3)} s, cp and sha256sum ${reference.toFixed(3)} s`,
    );
  }
  rmSync(dist, { recursive: true, force: true });
  return {
    imageBytes,
    perImage: median(measured.map((each) => each.perImage)),
    reference: median(measured.map(({ reference }) => reference)),
    ratio: median(measured.map(({ ratio }) => ratio)),
  };
}

interface Many {
  readonly fleets: readonly {
    readonly count: number;
    readonly seconds: number;
    readonly cpu: number;
    readonly peak: number;
    readonly reference: number;
  }[];
  readonly linear: { readonly seconds: number; readonly cpu: number };
  readonly nothing: number;
}

async function benchMany(work: string, plotted: string | undefined): Promise<Many> {
  const dist = join(work, 'many-dist');
  const args = ['--out', dist, '--cache', join(work, 'many-cache')];
  const fleets: Many['fleets'][number][] = [];
  let nothing = 0;
  // The base image is made before: it is not what is measured here.
  await program(['fleet', writeDeployments(join(work, 'many'), 1, 'FREEBSD_DIST="sample"\n'), ...args]);
  for (const count of SIZES) {
    rmSync(dist, { recursive: true, force: true });
    const deployments = writeDeployments(join(work, 'many'), count, 'FREEBSD_DIST="sample"\n');
    const taken = await program(['fleet', deployments, ...args]);
    const image = join(dist, readdirSync(dist).find((name) => name.endsWith('.iso')) ?? '');
    const copies = 50;
    const reference =
      (seconds(
        `i=0; while [ $i -lt ${copies} ]; do cp '${image}' '${work}/copy' && sha256sum '${work}/copy' > /dev/null; i=$((i + 1)); done; rm '${work}/copy'`,
      ) *
        count) /
      copies;
    fleets.push({ count, seconds: taken.seconds, cpu: taken.cpu, peak: taken.peak, reference });
    say(
      `many ${count}: ${taken.seconds.toFixed(1)} s, ${taken.cpu.toFixed(1)} s of processor, ${megabytes(taken.peak)}`,
    );
    if (count === SIZES.at(-1)) nothing = median([await again(), await again(), await again()]);
    async function again(): Promise<number> {
      return (await program(['fleet', deployments, ...args])).seconds;
    }
  }
  if (plotted !== undefined)
    writeFileSync(
      plotted,
      plot(
        'A fleet on one base image: seconds over the number of deployments',
        { x: 'deployments', y: 'seconds' },
        [
          {
            name: 'clawdie-iso fleet: prove, copy, stamp, sum up',
            colour: '#0072b2',
            points: fleets.map(({ count, seconds: took }) => [count, took]),
          },
          {
            name: 'its processor time',
            colour: '#d55e00',
            points: fleets.map(({ count, cpu }) => [count, cpu]),
          },
          {
            name: 'cp and sha256sum of as many images',
            colour: '#999999',
            points: fleets.map(({ count, reference }) => [count, reference]),
          },
        ],
      ),
    );
  const [small, large] = [fleets[1], fleets.at(-1)];
  const perImage = (of: 'seconds' | 'cpu'): number =>
    (large?.[of] ?? 0) / (large?.count ?? 1) / ((small?.[of] ?? 1) / (small?.count ?? 1));
  return { fleets, linear: { seconds: perImage('seconds'), cpu: perImage('cpu') }, nothing };
}
