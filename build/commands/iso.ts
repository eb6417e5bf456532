import { stat } from 'node:fs/promises';
import { join, resolve as resolvePath } from 'node:path';
import { writeFileAtomic } from '../host/files.js';
import { missing } from '../host/tools.js';
import { holdsSecret } from '../overlay/render.js';
import { makeView } from '../overlay/view.js';
import { proveImage } from '../policy/image.js';
import type { BaseRequest } from '../pipeline/base.js';
import { Cache, cacheFolder } from '../pipeline/cache.js';
import { makeOverlay, readyBase, writeChecksum, writeImage } from '../pipeline/deploy.js';
import { stage } from '../pipeline/base.js';
import { STAGES } from '../pipeline/events.js';
import type { BuildEvent, Monitor, PlannedStage, StageName } from '../pipeline/events.js';
import { planStages } from '../pipeline/plan.js';
import { buildRecord } from '../pipeline/record.js';
import { resolveRelease } from '../release/source.js';
import type { Release } from '../release/source.js';
import { loadConfig, readAuthKey } from './configuration.js';
import { buildInto } from './output.js';
import { baseRequest, imageTime } from './request.js';
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
    await buildInto(out, options, work, async () => {
      const { request, tools } = await baseRequest(config, release, time);
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
      const base = await readyBase(request, work);
      const image = join(out, `${name}.iso`);
      const digest = await stage(work, 'stamp', () => writeImage(base, overlay, image, holdsSecret(config)));
      const bytes = base.facts.sums.size;
      const record = join(out, `${name}.json`);
      await writeFileAtomic(
        record,
        buildRecord({
          project: `clawdie-iso ${context.version}`,
          resolved: loaded,
          image: { name: `${name}.iso`, sha256: digest, bytes },
          base: base.facts,
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
      await writeChecksum(out, `${name}.iso`, digest);
      emit({
        type: 'result',
        image,
        sha256: digest,
        bytes,
        record,
        seconds: (Date.now() - started.getTime()) / 1000,
      });
    });
  } finally {
    await monitor.close();
  }
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
  const { request } = await baseRequest(loaded.config, release, time);
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
