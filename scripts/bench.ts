import { spawn, spawnSync } from 'node:child_process';
import {
  createWriteStream,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { parseArgs } from 'node:util';
import { pack } from 'tar-stream';
import { loadConfig, PROJECT } from '../build/commands/configuration.js';
import { renderInput, ruleFiles } from '../build/commands/rules.js';
import { sha256, sha256File } from '../build/host/hash.js';
import { renderOverlay } from '../build/overlay/render.js';
import { makeView } from '../build/overlay/view.js';
import { proveImage } from '../build/policy/image.js';
import { rcScripts } from '../build/release/sample/rcd.js';
import { biosStub, pmbrStub, uefiStub } from '../build/release/sample/stub.js';

/*
 * Measures a build against reference steps that run beside it: machines are noisy, ratios are not. The input is a
 * generated release of real size; it is kept between runs.
 *
 *   cold   release sets on disk to image, empty cache, against `xz -dc` of the sets and `pigz` of the root image
 *   warm   the image of another deployment, against `cp` and `sha256sum` of the image
 *   proof  of the firewall of one image, in milliseconds
 */

const { values: options } = parseArgs({
  options: {
    folder: { type: 'string', default: join(tmpdir(), 'clawdie-bench') },
    runs: { type: 'string', default: '3' },
    json: { type: 'boolean', default: false },
  },
});
const runs = Number(options.runs);
const CLI = join(PROJECT, 'lib/build/main.js');
const say = (line: string): void => void process.stderr.write(`${line}\n`);

/** A deterministic source of numbers (xorshift32). */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

/** Bytes that xz packs about five to one, as it does programs: known pieces in new order, and some noise. */
function content(next: () => number, pool: readonly Buffer[], size: number): Buffer {
  const out = Buffer.allocUnsafe(size);
  for (let at = 0; at < size;) {
    const piece = pool[next() % pool.length] ?? Buffer.alloc(1);
    const length = Math.min(piece.length, size - at);
    piece.copy(out, at, 0, length);
    at += length;
    for (let noise = 0; noise < 5 && at < size; noise++) out[at++] = next() & 255;
  }
  return out;
}

interface Part {
  readonly folder: string;
  readonly suffix: string;
  readonly files: number;
  /** mean size in bytes */
  readonly mean: number;
}

/** About 30,000 files and 1.1 GB; what "standard" keeps of it is about 400 MB. */
const BASE: readonly Part[] = [
  { folder: 'usr/include', suffix: '.h', files: 9000, mean: 7_000 },
  { folder: 'usr/share/man/man9', suffix: '.9.gz', files: 8000, mean: 4_000 },
  { folder: 'usr/lib', suffix: '.a', files: 300, mean: 900_000 },
  { folder: 'usr/lib/clang/19', suffix: '.bc', files: 700, mean: 450_000 },
  { folder: 'usr/share/misc', suffix: '', files: 6000, mean: 9_000 },
  { folder: 'usr/sbin', suffix: '', files: 900, mean: 110_000 },
  { folder: 'usr/bin', suffix: '-tool', files: 900, mean: 90_000 },
  { folder: 'lib', suffix: '.so.7', files: 200, mean: 400_000 },
  { folder: 'rescue', suffix: '', files: 30, mean: 500_000 },
  { folder: 'usr/share/locale/C.UTF-8', suffix: '', files: 3000, mean: 12_000 },
];
const KERNEL: readonly Part[] = [{ folder: 'boot/kernel', suffix: '.ko', files: 850, mean: 120_000 }];

async function writeSet(
  path: string,
  parts: readonly Part[],
  extra: readonly (readonly [string, Buffer])[],
  seed: number,
): Promise<number> {
  const next = random(seed);
  const pool = Array.from({ length: 6000 }, () =>
    Buffer.from(Array.from({ length: 24 + (next() % 40) }, () => next() & 255)),
  );
  const tar = pack();
  const tarPath = `${path}.tar`;
  const written = pipeline(tar, createWriteStream(tarPath));
  let count = 0;
  const add = (name: string, body: Buffer): Promise<void> =>
    new Promise((resolve, reject) => {
      count++;
      tar.entry({ name: `./${name}`, mode: 0o555, uid: 0, gid: 0, mtime: new Date(0) }, body, (error) => {
        if (error) reject(error);
        else resolve();
      });
    });
  for (const [name, body] of extra) await add(name, body);
  for (const { folder, suffix, files, mean } of parts) {
    for (let index = 0; index < files; index++)
      await add(
        `${folder}/f${index}${suffix}`,
        content(next, pool, Math.floor(mean * (0.2 + (1.6 * (next() % 1000)) / 1000))),
      );
  }
  tar.finalize();
  await written;
  // As release builds do it: xz -T0, in blocks (Makefile.inc1, XZ_CMD).
  run('xz', ['-T0', '-3', '-f', '-z', '-S', '.xz', tarPath]);
  renameSync(`${tarPath}.xz`, path);
  return count;
}

function run(command: string, args: readonly string[]): void {
  const result = spawnSync(command, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  if (result.status !== 0) throw new Error(`${command} ${args.join(' ')} failed`);
}

async function makeRelease(folder: string): Promise<string> {
  const manifest = join(folder, 'MANIFEST');
  if (!existsSync(manifest)) {
    say('Making a release of real size (once, some minutes) …');
    mkdirSync(folder, { recursive: true });
    const boot: (readonly [string, Buffer])[] = [
      ['bin/sh', biosStub()],
      ['sbin/init', biosStub()],
      ['boot/cdboot', biosStub()],
      ['boot/isoboot', biosStub()],
      ['boot/loader', biosStub()],
      ['boot/loader.efi', uefiStub()],
      ['boot/pmbr', pmbrStub()],
      ...rcScripts().map(({ name, text }) => [`etc/rc.d/${name}`, Buffer.from(text)] as const),
    ];
    const next = random(7);
    const kernel = content(next, [Buffer.alloc(64, 1), Buffer.alloc(48, 2)], 30_000_000);
    const base = await writeSet(join(folder, 'base.txz'), BASE, boot, 1);
    const kernelCount = await writeSet(
      join(folder, 'kernel.txz'),
      KERNEL,
      [
        ['boot/kernel/kernel', kernel],
        ['boot/kernel/pf.ko', Buffer.alloc(300_000, 3)],
      ],
      2,
    );
    const lines = await Promise.all(
      (
        [
          ['base.txz', base],
          ['kernel.txz', kernelCount],
        ] as const
      ).map(async ([name, count]) =>
        [name, await sha256File(join(folder, name)), count, name.slice(0, -4), '"bench"', 'on'].join('\t'),
      ),
    );
    writeFileSync(manifest, `${lines.join('\n')}\n`);
  }
  return sha256(readFileSync(manifest));
}

/** Seconds that a shell command takes. */
function seconds(command: string): number {
  const start = performance.now();
  run('sh', ['-c', command]);
  return (performance.now() - start) / 1000;
}

/** Runs the program; gives its seconds, and its largest memory in bytes where the system tells (Linux). */
async function build(args: readonly string[]): Promise<{ readonly seconds: number; readonly peak: number }> {
  const start = performance.now();
  const child = spawn(process.execPath, [CLI, 'iso', ...args], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, CI: 'true' },
  });
  let peak = 0;
  const timer = setInterval(() => {
    try {
      peak = Math.max(
        peak,
        Number(/^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${child.pid ?? 0}/status`, 'utf8'))?.[1] ?? 0) *
          1024,
      );
    } catch {
      // it has ended, or the system has no /proc
    }
  }, 20);
  const code = await new Promise((resolve) => child.once('close', resolve));
  clearInterval(timer);
  if (code !== 0) throw new Error('the build failed');
  return { seconds: (performance.now() - start) / 1000, peak };
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}

/** Milliseconds that the proof of one image takes in a process that has proved nothing yet, as that of a build. */
async function proofTime(config: string): Promise<number> {
  const loaded = await loadConfig({ config, set: [] }, {});
  const entries = renderOverlay(await renderInput(loaded, undefined));
  const start = performance.now();
  proveImage(ruleFiles(entries), makeView(loaded.config), []);
  return performance.now() - start;
}

const release = join(options.folder, 'release-2');
const sum = await makeRelease(release);
const work = mkdtempSync(join(options.folder, 'run-'));
try {
  const config = join(work, 'build.cfg');
  writeFileSync(
    config,
    `FREEBSD_DIST="${release}"\nFREEBSD_MANIFEST_SHA256=${sum}\nROOT_PASSWORD_HASH='$6$bench$${'a'.repeat(86)}'\n`,
  );
  const proof = await proofTime(config);
  const cache = join(work, 'cache');
  const args = ['--config', config, '--cache', cache, '--out', join(work, 'dist')];
  const cold: { ours: number; reference: number; ratio: number; peak: number }[] = [];
  const image = join(work, 'dist', 'clawdie-15.1-RELEASE-amd64.iso');
  const root = join(work, 'root');
  for (let index = 0; index < runs; index++) {
    rmSync(cache, { recursive: true, force: true });
    const ours = await build(args);
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
    const ours = await build([
      ...args,
      '--set',
      `ASSISTANT_NAME=agent${'abcdefghijklmnopqrstuvwxyz'.charAt(index % 26)}`,
    ]);
    const reference = seconds(`cp '${image}' '${work}/copy' && sha256sum '${work}/copy' > /dev/null`);
    warm.push({ ours: ours.seconds, reference, more: ours.seconds - reference });
  }
  const report = {
    machine: { cpus: cpus().length, node: process.version },
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
    proof: { milliseconds: Math.round(proof), limit: 300 },
  };
  if (options.json) console.log(JSON.stringify(report, null, 2));
  else {
    const mb = (bytes: number): string => `${(bytes / 1e6).toFixed(0)} MB`;
    console.log(
      `Input   base.txz ${mb(report.input.baseBytes)}, kernel.txz ${mb(report.input.kernelBytes)}; root image ${mb(report.input.rootBytes)}, ISO ${mb(report.input.imageBytes)}`,
    );
    console.log(
      `Cold    ${report.cold.seconds.toFixed(1)} s, ${report.cold.ratio.toFixed(2)} x the ${report.cold.reference.toFixed(1)} s of xz -dc and pigz (limit ${report.cold.limit}; median of ${runs})`,
    );
    console.log(
      `Warm    ${report.warm.seconds.toFixed(2)} s, ${report.warm.more.toFixed(2)} s more than the ${report.warm.reference.toFixed(2)} s of cp and sha256sum (limit ${report.warm.limit} s; median of ${runs * 3})`,
    );
    console.log(
      `Memory  ${report.memory.peakBytes === 0 ? 'not measured on this system' : `${mb(report.memory.peakBytes)} at most in the node process (limit ${mb(report.memory.limit)})`}`,
    );
    console.log(
      `Proof   ${report.proof.milliseconds} ms for the firewall of one image (limit ${report.proof.limit} ms)`,
    );
  }
  if (
    report.cold.ratio > report.cold.limit ||
    report.warm.more > report.warm.limit ||
    report.memory.peakBytes > report.memory.limit ||
    report.proof.milliseconds > report.proof.limit
  ) {
    console.error('A limit is exceeded.');
    process.exitCode = 1;
  }
} finally {
  rmSync(work, { recursive: true, force: true });
}
