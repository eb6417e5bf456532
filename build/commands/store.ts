import { mkdir } from 'node:fs/promises';
import { z } from 'zod';
import { InputError, UserError } from '../error.js';
import { removeTree } from '../host/files.js';
import type { BaseFacts, BaseRequest, StoredBase, Work } from '../pipeline/base.js';
import { Cache, cacheFolder } from '../pipeline/cache.js';
import { readyBase } from '../pipeline/deploy.js';
import { describe, formatReference, parseReference, parseRepository, pull, push } from '../store/oci.js';
import type { StoreOptions } from '../store/oci.js';
import { loadFleet } from './deployments.js';
import type { IsoContext } from './iso.js';
import { needTools } from './output.js';
import { imageTime } from './request.js';

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

const DESCRIPTION = z.object({
  format: z.literal('clawdie-iso base image 1'),
  key: z.string().regex(/^[0-9a-f]+$/),
  facts: z.looseObject({
    release: z.looseObject({ id: z.string() }),
    root: z.looseObject({ rc: z.array(z.unknown()) }),
    sums: z.object({
      size: z.number(),
      slot: z.object({ offset: z.number(), length: z.number() }),
      before: z.string(),
      behind: z.string(),
    }),
  }),
});

/** `clawdie-iso publish`: makes the base images of a fleet and pushes them to a registry; says where each is. */
export async function publish(options: PublishOptions, context: IsoContext): Promise<void> {
  const repository = parseRepository(options.to);
  const { environment, signal, print } = context;
  const fleet = await loadFleet(options.deployments, options.set, environment, imageTime(environment));
  const requests = requestsOf(fleet.deployments);
  const cache = new Cache(options.cache ?? cacheFolder(environment));
  const monitor = context.makeMonitor();
  const work: Work = {
    cache,
    signal,
    emit: (event) => {
      monitor.emit(event);
    },
  };
  const pushed: { key: string; release: string; reference: string }[] = [];
  try {
    await needTools('build', options.installTools, work);
    await needTools('store', options.installTools, work);
    await cache.prepare();
    for (const [key, request] of requests) {
      const base = await readyBase(request, work);
      const description = { format: 'clawdie-iso base image 1', key, facts: base.facts };
      const folder = await cache.workFolder();
      try {
        const reference = await push(
          base.checked.path,
          JSON.stringify(description),
          repository,
          `base-${key}`,
          folder,
          { insecure: options.insecure, timeout: options.timeout, signal },
        );
        const release = `${request.version}-${request.arch}`;
        pushed.push({ key, release, reference: formatReference(reference) });
      } finally {
        await removeTree(folder);
      }
    }
  } finally {
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

/**
 * Finds out which of the base images of a registry are those that are needed, and not in the cache.
 *
 * @param references as `publish` printed them, with blanks or commas between
 * @throws InputError if one is none, or those that are needed are not among them; UserError if the registry fails.
 */
export async function storedBases(
  references: string,
  needed: ReadonlyMap<string, BaseRequest>,
  cache: Cache,
  options: StoreOptions,
): Promise<ReadonlyMap<string, StoredBase>> {
  const parsed = references
    .split(/[\s,]+/)
    .filter((text) => text !== '')
    .map(parseReference);
  const missing = new Map<string, BaseRequest>();
  for (const [key, request] of needed) if (!(await cache.has('base', key))) missing.set(key, request);
  const found = new Map<string, StoredBase>();
  if (missing.size === 0) return found;
  for (const reference of parsed) {
    const from = formatReference(reference);
    const description = DESCRIPTION.safeParse(parseJson(await describe(reference, options)));
    if (!description.success)
      throw new UserError(
        `${from} is no base image of this project.`,
        'Name what `clawdie-iso publish` printed.',
      );
    found.set(description.data.key, {
      // Its digest says that it is what was published.
      facts: description.data.facts as unknown as BaseFacts,
      from,
      fetch: async (file, work) => {
        await mkdir(work);
        await pull(reference, file, work, options);
      },
    });
  }
  const lacking = [...missing].filter(([key]) => !found.has(key));
  if (lacking.length > 0)
    throw new InputError(
      `None of --bases is the base image of ${lacking.map(([key, { version, arch, profile }]) => `${version}-${arch}, ${profile} (${key})`).join(', ')}.`,
      'Publish it again with this version of the project and the same host tools, or leave --bases out: it is built here then.',
    );
  return found;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
