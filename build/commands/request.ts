import { join } from 'node:path';
import type { Config } from '../config/keys.js';
import { InputError } from '../error.js';
import { buildVersions } from '../host/tools.js';
import type { BaseRequest } from '../pipeline/base.js';
import { baseKeys } from '../pipeline/plan.js';
import type { Release } from '../release/source.js';
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

/** What the base image of a deployment is made of, and with which tools. */
export async function baseRequest(
  config: Config,
  release: Release,
  time: number,
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
    tools,
  });
  return { request: { ...common, release, baseOverlay, isoOverlay, keys }, tools };
}
