import { basename, join, resolve as resolvePath } from 'node:path';
import { exists } from '../host/files.js';
import { missing } from '../host/tools.js';
import { CopyAhead } from '../image/ahead.js';
import { imageName, isDisk } from '../image/formats.js';
import { holdsSecret, renderOverlay } from '../overlay/render.js';
import { makeView } from '../overlay/view.js';
import { Mapper } from '../report/mapper.js';
import { proveImage } from '../policy/image.js';
import { releaseOf, stage } from '../pipeline/base.js';
import { Cache, cacheFolder } from '../pipeline/cache.js';
import {
  keepSigner,
  makeOverlay,
  packedOverlay,
  presentBase,
  readyBase,
  writeChecksums,
  writeImages,
} from '../pipeline/deploy.js';
import { readyDisk } from '../pipeline/disk.js';
import { STAGES } from '../pipeline/events.js';
import type { BuildEvent, Monitor, PlannedStage, StageName } from '../pipeline/events.js';
import type { PackagesRequest } from '../pipeline/packages.js';
import type { Release } from '../release/source.js';
import { auditBeside } from './audit.js';
import { loadConfig, readAuthKey } from './configuration.js';
import type { ConfigOptions, LoadedConfig } from './configuration.js';
import { checkLock } from './lock-subject.js';
import { checkRoom, listOf, packagesOf } from './medium.js';
import { buildInto, warnOfExceptions } from './output.js';
import { startMaps, writePapers } from './papers.js';
import { releaseOfConfig } from './release.js';
import { baseRequest, diskOf, imageStem, imageTime, planFor, zstdVersion } from './request.js';
import { renderInput, ruleFiles } from './rules.js';
import { needPrivateHalf, readSignKey, signingOf } from './signing.js';

export interface IsoOptions extends ConfigOptions {
  readonly out: string;
  /** Whether the disk images alone are built, a raw one where the configuration names none. */
  readonly disksOnly: boolean;
  readonly dryRun: boolean;
  /** Whether what a dry run prints is JSON. */
  readonly json: boolean;
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

/** `clawdie-iso iso` and `clawdie-iso img`: builds the images of one deployment. */
export async function iso(options: IsoOptions, context: IsoContext): Promise<void> {
  const loaded = await loadConfig(
    options.disksOnly
      ? { ...options, set: [...options.set, `FORMATS=${await diskFormats(options, context)}`] }
      : options,
    context.environment,
  );
  const { config } = loaded;
  let monitor: Monitor | undefined;
  const time = imageTime(context.environment);
  const authKey = await readAuthKey(config, loaded.folder);
  const release = await releaseOfConfig(config, loaded.folder);
  const signKey = await readSignKey(config, loaded.folder);
  const signing = signingOf(config, loaded.folder, context.environment, signKey, (text) => {
    monitor?.emit({ type: 'note', text });
  });
  if (signKey !== undefined) await needPrivateHalf(config, loaded.folder, signKey);
  const { lock, warning: unlocked } = await checkLock(loaded.folder, [{ loaded, release }]);
  const packages = await packagesOf(loaded, release, lock);
  const warnings = [unlocked, checkRoom(config, packages)].filter((text) => text !== undefined);
  const cache = new Cache(cacheFolder(context.environment, options.cache));
  const out = resolvePath(options.out);
  const stem = imageStem(config.ASSISTANT_NAME, release, config);

  if (options.dryRun) {
    const would = await dryRun(loaded, release, packages, cache, time, join(out, stem));
    if (options.json) context.print(JSON.stringify({ ...would, warnings }));
    else
      for (const line of [...planLines(would), ...warnings.map((text) => `Warning: ${text}`)])
        context.print(line);
    return;
  }

  const events = (monitor = context.makeMonitor());
  const seconds: Partial<Record<StageName, number>> = {};
  const emit = (event: BuildEvent): void => {
    if (event.type === 'done') seconds[event.stage] = event.seconds;
    events.emit(event);
  };
  const work = { cache, signal: context.signal, emit };
  const started = new Date();
  const mapper = new Mapper(1);
  const over = new AbortController();
  const rendered = renderInput(loaded, authKey, listOf(config, packages)).then(renderOverlay);
  const maps = startMaps(rendered, config, cache, mapper);
  try {
    if (loaded.example)
      emit({
        type: 'note',
        text: 'There is no build.cfg: building the sample image from build.cfg.example. It boots to a message and holds no FreeBSD.',
      });
    const warn = (text: string): void => {
      emit({ type: 'warning', text });
    };
    warnings.forEach(warn);
    const audit = await auditBeside(loaded.folder, lock, warn);
    const disks = config.FORMATS.some(isDisk);
    const packaged = release.packaged === true;
    const ahead = config.FORMATS.includes('iso')
      ? new CopyAhead(join(out, imageName(stem, 'iso')))
      : undefined;
    const copying = { ...work, ...(ahead && { onBase: (path: string) => ahead.begin(path) }) };
    const build = async (): Promise<void> => {
      await keepSigner(out, (name) => name.startsWith(`${stem}.`), signing);
      const { request, tools } = await baseRequest(config, release, time, packages);
      const zstd = await zstdVersion();
      const wanted = diskOf(request, config, zstd);
      const plan = await planFor([request], wanted ? [wanted] : [], cache);
      emit({ type: 'plan', stages: plan });
      const signal = AbortSignal.any([context.signal, over.signal]);
      const present = presentBase(request, { ...copying, signal });
      const { overlay, policy } = await stage(work, 'overlay', async () => {
        const made = await packedOverlay(await rendered, releaseOf(request), time, signing);
        const proof = proveImage(ruleFiles(made.entries), makeView(config), config.POLICY_EXCEPTIONS);
        return { overlay: made, policy: proof };
      });
      warnOfExceptions(policy, emit);
      const base = (await present) ?? (await readyBase(request, copying));
      checkRoom(config, packages, base.facts.root.imageBytes);
      const disk = wanted && (await readyDisk(wanted, base, work));
      const images = await stage(work, 'stamp', () =>
        writeImages(
          { base, disk, overlay, secret: holdsSecret(overlay.entries), time },
          config.FORMATS,
          out,
          stem,
          work,
          ahead,
        ),
      );
      const { record, listed } = await writePapers({
        record: {
          project: `clawdie-iso ${context.version}`,
          ...{ resolved: loaded, request, images, base: base.facts, disk: disk?.facts },
          ...{ overlay: overlay.entries, policy, plan, seconds, started },
          tools: disk ? { ...tools, zstd } : tools,
        },
        ...{ maps, lock, audit, base: base.checked.path, file: basename(loaded.path), out, stem },
      });
      await writeChecksums(out, [...images, ...listed], undefined, signing);
      emit({
        type: 'result',
        images: images.map(({ name, ...rest }) => ({ path: join(out, name), ...rest })),
        record,
        seconds: (Date.now() - started.getTime()) / 1000,
      });
    };
    await buildInto(out, { ...options, disks, packaged }, work, () => build().finally(() => ahead?.end()));
  } finally {
    over.abort();
    await mapper.close();
    await events.close();
  }
}

/** The disk formats that a configuration asks for; a raw image where it asks for none. */
async function diskFormats(options: IsoOptions, { environment }: IsoContext): Promise<string> {
  const { config } = await loadConfig(options, environment);
  const formats = config.FORMATS.filter(isDisk);
  return formats.length === 0 ? 'img' : formats.join(' ');
}

/** What a build would do. */
interface DryRun {
  readonly type: 'dry-run';
  readonly release: string;
  readonly trust: string;
  readonly cache: string;
  readonly images: readonly { readonly path: string; readonly replaced: boolean }[];
  readonly policy: { readonly cells: number; readonly ways: number; readonly situations: number };
  /** Names of host tools that are not there. */
  readonly missing: readonly string[];
  readonly stages: readonly PlannedStage[];
}

async function dryRun(
  loaded: LoadedConfig,
  release: Release,
  packages: PackagesRequest | undefined,
  cache: Cache,
  time: number,
  stem: string,
): Promise<DryRun> {
  const { request } = await baseRequest(loaded.config, release, time, packages);
  const wanted = diskOf(request, loaded.config, await zstdVersion());
  const purposes = [
    ...(['build'] as const),
    ...(release.packaged === true ? (['pkgbase'] as const) : []),
    ...(wanted ? (['disk'] as const) : []),
  ];
  const lacking = new Set(purposes.flatMap((purpose) => missing(purpose).map((tool) => tool.name)));
  const plan = await planFor([request], wanted ? [wanted] : [], cache);
  // Rendering touches nothing, and tells now what would fail later.
  const overlay = await makeOverlay(
    await renderInput(
      loaded,
      await readAuthKey(loaded.config, loaded.folder),
      listOf(loaded.config, packages),
    ),
    releaseOf(request),
    time,
  );
  const { cells, ways, situations } = proveImage(
    ruleFiles(overlay.entries),
    makeView(loaded.config),
    loaded.config.POLICY_EXCEPTIONS,
  );
  const images = loaded.config.FORMATS.map(async (format) => {
    const path = imageName(stem, format);
    return { path, replaced: await exists(path) };
  });
  return {
    ...{ type: 'dry-run', release: release.from, trust: release.trust, cache: cache.folder },
    images: await Promise.all(images),
    policy: { cells, ways, situations: situations.length },
    missing: [...lacking],
    stages: plan,
  };
}

/** The same for people. */
function planLines({
  release,
  trust,
  cache,
  images,
  policy,
  missing: lacking,
  stages,
}: DryRun): readonly string[] {
  return [
    `release  ${release} (${trust})`,
    `cache    ${cache}`,
    ...images.map(({ path, replaced }) => `image    ${path}${replaced ? ' (is replaced)' : ''}`),
    `policy   proved for every packet: ${policy.cells} cells, ${policy.ways} ways in ${policy.situations} situations`,
    ...(lacking.length > 0 ? [`tools    missing: ${lacking.join(', ')}`] : []),
    ...stages.map(({ stage: name, action }) => `${action === 'run' ? 'run   ' : 'reuse '}   ${STAGES[name]}`),
  ];
}
