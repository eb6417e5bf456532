import { mkdir } from 'node:fs/promises';
import { join, resolve as resolvePath } from 'node:path';
import { z } from 'zod';
import { InputError, UserError } from '../error.js';
import { removeTree } from '../host/files.js';
import { isDisk } from '../image/formats.js';
import { releaseOf } from '../pipeline/base.js';
import type { BaseFacts, BaseRequest, Stored, Work } from '../pipeline/base.js';
import { Cache, cacheFolder } from '../pipeline/cache.js';
import { readyBase } from '../pipeline/deploy.js';
import { BASE_DISK, readyDisk } from '../pipeline/disk.js';
import type { DiskFacts, DiskRequest } from '../pipeline/disk.js';
import { describe, formatReference, parseReference, parseRepository, pull, push } from '../store/oci.js';
import type { StoreOptions } from '../store/oci.js';
import { loadFleet } from './deployments.js';
import type { Deployment } from './deployments.js';
import type { IsoContext } from './iso.js';
import { checkLock } from './lock-subject.js';
import { needTools } from './output.js';
import { diskOf, zstdVersion } from './request.js';
import { parseJson } from '../json.js';

export interface PublishOptions {
  readonly deployments: string;
  readonly set: readonly string[];
  readonly to: string;
  readonly cache?: string;
  readonly installTools: boolean;
  readonly insecure: boolean;
  readonly timeout: number;
  readonly json: boolean;
}

const EXTENT = z.object({ offset: z.number(), length: z.number() });
const KEY = z.string().regex(/^[0-9a-f]+$/);

/** What artifacts of this project say of themselves. */
const DESCRIPTION = z.discriminatedUnion('format', [
  z.object({
    format: z.literal('clawdie-iso base image 1'),
    key: KEY,
    facts: z.looseObject({
      release: z.looseObject({ id: z.string() }),
      root: z.looseObject({ rc: z.array(z.unknown()) }),
      sums: z.object({ size: z.number(), slot: EXTENT, before: z.string(), behind: z.string() }),
    }),
  }),
  z.object({
    format: z.literal('clawdie-iso base disk 1'),
    key: KEY,
    facts: z.object({
      size: z.number(),
      fs: z.enum(['ufs', 'zfs']),
      slot: EXTENT,
      pieces: z.object({ cut: z.number(), sha256: z.string() }),
      packages: z.array(z.object({ name: z.string(), version: z.string() })).optional(),
    }),
  }),
]);
type Format = z.infer<typeof DESCRIPTION>['format'];

/** `clawdie-iso publish`: makes the base images of a fleet and pushes them to a registry; says where each is. */
export async function publish(options: PublishOptions, context: IsoContext): Promise<void> {
  const repository = parseRepository(options.to);
  const { environment, signal, print } = context;
  const fleet = await loadFleet(options.deployments, options.set, environment);
  await checkLock(
    resolvePath(options.deployments),
    fleet.deployments.map(({ loaded, request: { release } }) => ({ loaded, release })),
  );
  const requests = requestsOf(fleet.deployments);
  const cache = new Cache(cacheFolder(environment, options.cache));
  const monitor = context.makeMonitor();
  const work: Work = {
    cache,
    signal,
    emit: (event) => {
      monitor.emit(event);
    },
  };
  const pushed: { key: string; release: string; reference: string }[] = [];
  const put = async (
    file: string,
    format: Format,
    key: string,
    facts: unknown,
    request: BaseRequest,
  ): Promise<void> => {
    const folder = await cache.workFolder();
    try {
      const tag = `${format === 'clawdie-iso base disk 1' ? 'disk' : 'base'}-${key}`;
      const { insecure, timeout } = options;
      const reference = await push(file, JSON.stringify({ format, key, facts }), repository, tag, folder, {
        ...{ insecure, timeout, signal },
      });
      pushed.push({ key, release: releaseOf(request), reference: formatReference(reference) });
    } finally {
      await removeTree(folder);
    }
  };
  try {
    await needTools('build', options.installTools, work);
    await needTools('store', options.installTools, work);
    const anyDisk = fleet.deployments.some(({ loaded }) => loaded.config.FORMATS.some(isDisk));
    if (anyDisk) await needTools('disk', options.installTools, work);
    const disks = disksOf(fleet.deployments, await zstdVersion());
    await cache.prepare();
    for (const [key, request] of requests) {
      const base = await readyBase(request, work);
      await put(base.checked.path, 'clawdie-iso base image 1', key, base.facts, request);
      for (const disk of disks.values()) {
        if (disk.request.keys.base !== key) continue;
        const { folder, facts } = await readyDisk(disk, base, work);
        await put(join(folder, BASE_DISK), 'clawdie-iso base disk 1', disk.key, facts, request);
      }
    }
  } finally {
    await cache.close();
    await monitor.close();
  }
  if (options.json) print(JSON.stringify({ type: 'published', bases: pushed }));
  else for (const { reference } of pushed) print(reference);
}

/** The base images that deployments need, by cache key. */
export function requestsOf(
  deployments: readonly { readonly request: BaseRequest }[],
): ReadonlyMap<string, BaseRequest> {
  return new Map(deployments.map(({ request }) => [request.keys.base, request]));
}

/** The disks that deployments need, by cache key. */
export function disksOf(deployments: readonly Deployment[], zstd: string): ReadonlyMap<string, DiskRequest> {
  return new Map(
    deployments.flatMap(({ request, loaded }) => {
      const wanted = diskOf(request, loaded.config, zstd);
      return wanted ? [[wanted.key, wanted] as const] : [];
    }),
  );
}

/**
 * Finds out which of the base images and base disks of a registry are those that are needed, and not in the cache.
 *
 * @param references as `publish` printed them, with blanks or commas between
 * @throws InputError if one is none, or those that are needed are not among them; UserError if the registry fails.
 */
export async function storedParts(
  references: string,
  needed: ReadonlyMap<string, BaseRequest>,
  neededDisks: ReadonlyMap<string, DiskRequest>,
  cache: Cache,
  options: StoreOptions,
): Promise<NonNullable<Work['stored']>> {
  const parsed = references
    .split(/[\s,]+/)
    .filter((text) => text !== '')
    .map(parseReference);
  const missing = new Map<string, string>();
  for (const [key, request] of needed)
    if (!(await cache.has('base', key)))
      missing.set(key, `the base image of ${releaseOf(request)}, ${request.profile} (${key})`);
  for (const [key, { request, fs }] of neededDisks)
    if (!(await cache.has('disk', key)))
      missing.set(key, `the base disk of ${releaseOf(request)}, ${request.profile}, ${fs} (${key})`);
  const bases = new Map<string, Stored<BaseFacts>>();
  const disks = new Map<string, Stored<DiskFacts>>();
  if (missing.size === 0) return { bases, disks };
  for (const reference of parsed) {
    const from = formatReference(reference);
    const description = DESCRIPTION.safeParse(parseJson(await describe(reference, options)));
    if (!description.success)
      throw new UserError(
        `${from} is no base image of this project.`,
        'Name what `clawdie-iso publish` printed.',
      );
    const fetch = async (file: string, work: string): Promise<void> => {
      await mkdir(work);
      await pull(reference, file, work, options);
    };
    const { format, key, facts } = description.data;
    // Its digest says that it is what was published.
    if (format === 'clawdie-iso base disk 1') disks.set(key, { facts, from, fetch });
    else bases.set(key, { facts: facts as unknown as BaseFacts, from, fetch });
  }
  const lacking = [...missing].filter(([key]) => !bases.has(key) && !disks.has(key));
  if (lacking.length > 0)
    throw new InputError(
      `None of --bases is ${lacking.map(([, what]) => what).join('; ')}.`,
      'Publish it again with this version of the project and the same host tools, or leave --bases out: it is built here then.',
    );
  return { bases, disks };
}
