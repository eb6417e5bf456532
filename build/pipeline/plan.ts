import { sha256 } from '../host/hash.js';
import type { PlannedStage } from './events.js';

/** All that the bytes of a base image depend on. */
export interface BaseInputs {
  /** The id of the release (release/source.ts). */
  readonly release: string;
  readonly version: string;
  readonly arch: string;
  readonly profile: string;
  /** Seconds since the epoch: the time of everything in the image. */
  readonly time: number;
  /** SHA-256 over overlays/base with its owners and modes, and over overlays/iso. */
  readonly baseOverlay: string;
  readonly isoOverlay: string;
  /** What of a lock is on the medium, where there is a lock: a digest; and what room the root has for it, in bytes. */
  readonly packages?: string | undefined;
  readonly room?: number | undefined;
  /** Versions of the host tools, by name. */
  readonly tools: Readonly<Record<string, string>>;
}

/** Raised when what a stage makes of the same inputs changes: older results in caches are then not used. */
export const STAGE_VERSIONS = { rootfs: 4, ufs: 2, compress: 2, base: 1, disk: 2 } as const;

export interface BaseKeys {
  /** Of the compressed root file system and the boot files. */
  readonly root: string;
  /** Of the base image. */
  readonly base: string;
}

/** The cache keys of a base image: the same inputs, the same keys. Pure. */
export function baseKeys(inputs: BaseInputs): BaseKeys {
  const { tools, isoOverlay, packages, ...rest } = inputs;
  const pick = (...names: string[]): Record<string, string> =>
    Object.fromEntries(names.map((name) => [name, tools[name] ?? 'missing']));
  const { rootfs, ufs, compress, base: baseVersion } = STAGE_VERSIONS;
  const root = digest({ ...rest, stages: { rootfs, ufs, compress }, tools: pick('pigz') });
  const base = digest({ root, isoOverlay, packages, stage: baseVersion, tools: pick('mformat', 'xorriso') });
  return { root, base };
}

/**
 * The cache key of a base disk. Pure.
 *
 * @param packages what installs its packages; the lock is in the key of the base image
 */
export function diskKey(base: string, fs: string, zstd: string, packages: unknown): string {
  return digest({ base, fs, zstd, packages, stage: STAGE_VERSIONS.disk });
}

function digest(value: unknown): string {
  return sha256(
    JSON.stringify(value, (_, item: unknown) =>
      item !== null && typeof item === 'object' && !Array.isArray(item)
        ? Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : 1)))
        : item,
    ),
  ).slice(0, 32);
}

/** Which stages a build carries out, given what the cache has. Pure. */
export function planStages(present: {
  readonly root: boolean;
  readonly base: boolean;
  /** undefined where no disk image is asked for */
  readonly disk?: boolean | undefined;
  /** Whether packages of a lock are on the medium. */
  readonly packages?: boolean;
}): readonly PlannedStage[] {
  const root = present.root || present.base ? 'reuse' : 'run';
  return [
    { stage: 'overlay', action: 'run' },
    { stage: 'release', action: root },
    { stage: 'rootfs', action: root },
    { stage: 'ufs', action: root },
    { stage: 'compress', action: root },
    ...(present.packages === true
      ? [{ stage: 'packages', action: present.base ? 'reuse' : 'run' } as const]
      : []),
    { stage: 'base', action: present.base ? 'reuse' : 'run' },
    ...(present.disk === undefined
      ? []
      : [{ stage: 'disk', action: present.disk ? 'reuse' : 'run' } as const]),
    { stage: 'stamp', action: 'run' },
  ];
}
