import { mkdir, stat } from 'node:fs/promises';
import { join, resolve as resolvePath } from 'node:path';
import { writeError, writeFileAtomic } from '../host/files.js';
import { buildVersions, ensureTools, missing } from '../host/tools.js';
import { InputError } from '../error.js';
import { holdsSecret } from '../overlay/render.js';
import { makeView } from '../overlay/view.js';
import { proveImage } from '../policy/image.js';
import type { BaseRequest } from '../pipeline/base.js';
import { Cache, cacheFolder } from '../pipeline/cache.js';
import { lockOutput, makeImage, makeOverlay, writeChecksum } from '../pipeline/deploy.js';
import { stage } from '../pipeline/base.js';
import { STAGES } from '../pipeline/events.js';
import type { BuildEvent, Monitor, PlannedStage, StageName } from '../pipeline/events.js';
import { baseKeys, planStages } from '../pipeline/plan.js';
import { buildRecord } from '../pipeline/record.js';
import { resolveRelease } from '../release/source.js';
import type { Release } from '../release/source.js';
import { readFileSet } from '../rootfs/rootfs.js';
import { loadConfig, PROJECT, readAuthKey } from './configuration.js';
import { renderInput, ruleFiles } from './rules.js';
import type { ConfigOptions, LoadedConfig } from './configuration.js';

export interface IsoOptions extends ConfigOptions {
  readonly out: string;
  readonly dryRun: boolean;
  readonly installTools: boolean;
  readonly wait: boolean;
  readonly cache?: string;
}

export interface IsoContext {
  readonly environment: NodeJS.ProcessEnv;
  readonly signal: AbortSignal;
  readonly version: string;
  readonly makeMonitor: () => Monitor;
  /** Prints a line of the result. */
  readonly print: (line: string) => void;
}

/** Time of everything in an image where SOURCE_DATE_EPOCH does not say another: 2026-01-01 00:00 UTC. */
const DEFAULT_TIME = 1767225600;

/** `clawdie-iso iso`: builds the image of one deployment. */
export async function iso(options: IsoOptions, context: IsoContext): Promise<void> {
  const loaded = await loadConfig(options, context.environment);
  const { config } = loaded;
  const time = imageTime(context.environment);
  const authKey = await readAuthKey(config, loaded.folder);
  const release = await resolveRelease(config, loaded.folder);
  const cache = new Cache(options.cache ?? cacheFolder(context.environment));
  const out = resolvePath(options.out);
  const name = `${config.ASSISTANT_NAME}-${release.sample ? 'sample' : config.FREEBSD_VERSION}-${config.ARCH}`;

  if (options.dryRun) {
    await dryRun(loaded, release, cache, time, join(out, `${name}.iso`), context);
    return;
  }

  const monitor = context.makeMonitor();
  const seconds: Partial<Record<StageName, number>> = {};
  const emit = (event: BuildEvent): void => {
    if (event.type === 'done') seconds[event.stage] = event.seconds;
    monitor.emit(event);
  };
  const work = { cache, signal: context.signal, emit };
  const started = new Date();
  try {
    if (loaded.example)
      emit({
        type: 'note',
        text: 'There is no build.cfg: building the sample image from build.cfg.example. It boots to a message and holds no FreeBSD.',
      });
    await ensureTools('build', {
      install: options.installTools,
      note: (text) => {
        emit({ type: 'note', text });
      },
      signal: context.signal,
    });
    await cache.prepare();
    await mkdir(out, { recursive: true }).catch((error: unknown) => {
      throw writeError(out, error);
    });
    const lock = await lockOutput(out, options.wait, work);
    try {
      const { request, tools } = await baseRequest(loaded, release, time);
      const plan = await planFor(request, cache);
      emit({ type: 'plan', stages: plan });
      const { overlay, policy } = await stage(work, 'overlay', async () => {
        const made = await makeOverlay(
          await renderInput(loaded, authKey),
          `${request.version}-${request.arch}`,
          time,
        );
        const proof = proveImage(ruleFiles(made.entries), makeView(config), config.POLICY_EXCEPTIONS);
        return { overlay: made, policy: proof };
      });
      for (const { row, example } of policy.exceptions) {
        emit({ type: 'warning', text: `POLICY_EXCEPTIONS: the row ${row} does not hold: ${example}.` });
      }
      const stamped = await makeImage(request, overlay, out, `${name}.iso`, holdsSecret(config), work);
      const record = join(out, `${name}.json`);
      await writeFileAtomic(
        record,
        buildRecord({
          project: `clawdie-iso ${context.version}`,
          resolved: loaded,
          image: { name: `${name}.iso`, sha256: stamped.sha256, bytes: stamped.bytes },
          base: stamped.base.facts,
          keys: request.keys,
          overlay: overlay.entries,
          policy,
          overlayDigests: { base: request.baseOverlay.digest, iso: request.isoOverlay.digest },
          tools,
          plan,
          seconds,
          started,
          finished: new Date(),
        }),
        0o644,
      );
      await writeChecksum(out, `${name}.iso`, stamped.sha256);
      emit({
        type: 'result',
        image: stamped.image,
        sha256: stamped.sha256,
        bytes: stamped.bytes,
        record,
        seconds: (Date.now() - started.getTime()) / 1000,
      });
    } finally {
      await lock.release();
    }
  } finally {
    await monitor.close();
  }
}

/** SOURCE_DATE_EPOCH, in seconds (reproducible-builds.org), or the time that images have by default. */
function imageTime(environment: NodeJS.ProcessEnv): number {
  const text = environment['SOURCE_DATE_EPOCH'];
  if (text === undefined || text === '') return DEFAULT_TIME;
  const time = Number(text);
  if (!/^\d{1,10}$/.test(text) || time >= 2 ** 31) {
    throw new InputError(
      `SOURCE_DATE_EPOCH is "${text}", which is not a number of seconds since 1970 that an image can hold.`,
      'Unset it, or set it to a number like 1767225600.',
    );
  }
  return time;
}

async function baseRequest(
  loaded: LoadedConfig,
  release: Release,
  time: number,
): Promise<{ request: BaseRequest; tools: Readonly<Record<string, string>> }> {
  const { config } = loaded;
  const overlays = join(PROJECT, 'overlays');
  const [baseOverlay, isoOverlay, tools] = await Promise.all([
    readFileSet(join(overlays, 'base'), join(overlays, 'base.mtree')),
    readFileSet(join(overlays, 'iso')),
    buildVersions(),
  ]);
  const common = { version: config.FREEBSD_VERSION, arch: config.ARCH, profile: config.PROFILE, time };
  const keys = baseKeys({
    ...common,
    release: release.id,
    baseOverlay: baseOverlay.digest,
    isoOverlay: isoOverlay.digest,
    tools,
  });
  return { request: { ...common, release, baseOverlay, isoOverlay, keys }, tools };
}

async function planFor(request: BaseRequest, cache: Cache): Promise<readonly PlannedStage[]> {
  return planStages({
    root: await cache.has('root', request.keys.root),
    base: await cache.has('base', request.keys.base),
  });
}

async function dryRun(
  loaded: LoadedConfig,
  release: Release,
  cache: Cache,
  time: number,
  image: string,
  context: IsoContext,
): Promise<void> {
  const lacking = missing('build').map((tool) => tool.name);
  const { request } = await baseRequest(loaded, release, time);
  const plan = await planFor(request, cache);
  const present = await stat(image).then(
    () => true,
    () => false,
  );
  // Rendering touches nothing, and tells now what would fail later.
  const overlay = await makeOverlay(
    await renderInput(loaded, await readAuthKey(loaded.config, loaded.folder)),
    `${request.version}-${request.arch}`,
    time,
  );
  const { packets } = proveImage(
    ruleFiles(overlay.entries),
    makeView(loaded.config),
    loaded.config.POLICY_EXCEPTIONS,
  );
  context.print(`release  ${release.from} (${release.trust})`);
  context.print(`cache    ${cache.folder}`);
  context.print(`image    ${image}${present ? ' (is replaced)' : ''}`);
  context.print(`policy   proved with ${packets} packets`);
  if (lacking.length > 0) context.print(`tools    missing: ${lacking.join(', ')}`);
  for (const { stage: name, action } of plan) {
    context.print(`${action === 'run' ? 'run   ' : 'reuse '}   ${STAGES[name]}`);
  }
}
