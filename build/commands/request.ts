import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '../config/keys.js';
import { diskPackages, SCRIPTS_FOLDER } from '../disk/packages.js';
import { InputError } from '../error.js';
import { TOOLS } from '../host/tool-list.js';
import { buildVersions, versionOf } from '../host/tools.js';
import { isDisk } from '../image/formats.js';
import type { BaseRequest } from '../pipeline/base.js';
import type { Cache } from '../pipeline/cache.js';
import type { DiskRequest } from '../pipeline/disk.js';
import type { PackagesRequest } from '../pipeline/packages.js';
import type { PlannedStage } from '../pipeline/events.js';
import { baseKeys, diskKey, planStages } from '../pipeline/plan.js';
import type { Release } from '../release/source.js';
import { hostPackages } from './medium.js';
import { readFileSet } from '../rootfs/rootfs.js';
import { PROJECT } from './configuration.js';

/** Time of everything in an image where SOURCE_DATE_EPOCH does not say another: 2026-01-01 00:00 UTC. */
const DEFAULT_TIME = 1767225600;

/**
 * SOURCE_DATE_EPOCH, in seconds (reproducible-builds.org), or the time that images have by default.
 *
 * @throws InputError if it is no time that an image can hold.
 */
export function imageTime(environment: NodeJS.ProcessEnv): number {
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

/** What the images of a deployment are called, without what tells the format. */
export function imageStem(name: string, release: Release, { FREEBSD_VERSION, ARCH }: Config): string {
  return `${name}-${release.sample ? 'sample' : FREEBSD_VERSION}-${ARCH}`;
}

/**
 * The disk that a deployment needs; none where it asks for no disk image.
 *
 * @param zstd version of zstd(1), which the bytes of disk images depend on
 */
export function diskOf(request: BaseRequest, config: Config, zstd: string): DiskRequest | undefined {
  if (!config.FORMATS.some(isDisk)) return undefined;
  const fs = config.INSTALL_FS;
  const script = (name: string): string =>
    readFileSync(join(PROJECT, 'overlays/firstboot', SCRIPTS_FOLDER, name), 'utf8');
  const packages = request.packages && diskPackages(request.packages.medium, hostPackages(config), script);
  return { request, fs, packages, key: diskKey(request.keys.base, fs, zstd, packages?.entries) };
}

/** What is carried out for these base images and disks, given what the cache has. */
export async function planFor(
  requests: readonly BaseRequest[],
  disks: readonly DiskRequest[],
  cache: Cache,
): Promise<readonly PlannedStage[]> {
  const all = async (kind: string, keys: readonly string[]): Promise<boolean> =>
    (await Promise.all(keys.map((key) => cache.has(kind, key)))).every(Boolean);
  return planStages({
    root: await all(
      'root',
      requests.map(({ keys }) => keys.root),
    ),
    base: await all(
      'base',
      requests.map(({ keys }) => keys.base),
    ),
    packages: requests.some(({ packages }) => packages !== undefined),
    disk:
      disks.length === 0
        ? undefined
        : await all(
            'disk',
            disks.map(({ key }) => key),
          ),
  });
}

/** The version of zstd(1). */
export async function zstdVersion(): Promise<string> {
  const tool = TOOLS.find(({ name }) => name === 'zstd');
  return tool ? versionOf(tool) : 'unknown';
}

/**
 * What the base image of a deployment is made of, and with which tools.
 *
 * @param packages that it carries, where there is a lock
 */
export async function baseRequest(
  config: Config,
  release: Release,
  time: number,
  packages?: PackagesRequest,
): Promise<{ request: BaseRequest; tools: Readonly<Record<string, string>> }> {
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
    packages: packages?.medium.digest,
    room: packages !== undefined && packages.room > 0 ? packages.room : undefined,
    tools,
  });
  return { request: { ...common, release, baseOverlay, isoOverlay, packages, keys }, tools };
}
