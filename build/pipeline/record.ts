import type { Resolved } from '../config/resolve.js';
import { SECRET_KEYS } from '../config/keys.js';
import type { KeyName } from '../config/keys.js';
import { sha256 } from '../host/hash.js';
import { isSecret } from '../overlay/render.js';
import type { OverlayEntry } from '../overlay/render.js';
import type { Audit } from '../packages/audit.js';
import type { ImageProof } from '../policy/image.js';
import type { Changes, Content, ReportMap } from '../report/facts.js';
import type { BaseFacts, BaseRequest } from './base.js';
import type { ImageFile } from './deploy.js';
import type { DiskFacts } from './disk.js';
import type { PlannedStage, StageName } from './events.js';

/** What a build record is made of. */
export interface RecordInput {
  readonly project: string;
  readonly resolved: Resolved;
  readonly request: BaseRequest;
  readonly images: readonly ImageFile[];
  readonly base: BaseFacts;
  /** Where there are disk images. */
  readonly disk: DiskFacts | undefined;
  readonly overlay: readonly OverlayEntry[];
  readonly policy: ImageProof;
  readonly tools: Readonly<Record<string, string>>;
  readonly plan: readonly PlannedStage[];
  readonly seconds: Readonly<Partial<Record<StageName, number>>>;
  readonly started: Date;
  readonly finished: Date;
  /** What a report needs beyond that: who reaches whom, what instances install, what differs from the image before. */
  readonly maps: readonly ReportMap[];
  readonly contents: readonly Content[] | undefined;
  /** Checksum of the lock. */
  readonly lock: string | undefined;
  readonly audit: Audit | undefined;
  readonly since: Changes | undefined;
}

/** The build record as JSON: what went in, with its sums; what it was made with; what came out. It holds no secret. Pure. */
export function buildRecord(input: RecordInput): string {
  const { settings } = input.resolved;
  const record = {
    format: 'clawdie-iso build record 2',
    project: input.project,
    started: input.started.toISOString(),
    finished: input.finished.toISOString(),
    images: input.images,
    configuration: Object.fromEntries(
      Object.values(settings).map(({ key, value, origin }) => [
        key,
        { value: SECRET_KEYS.includes(key as KeyName) && value !== '' ? '(hidden)' : value, origin },
      ]),
    ),
    release: input.base.release,
    baseImage: {
      key: input.request.keys.base,
      rootKey: input.request.keys.root,
      slot: input.base.sums.slot,
      sha256BeforeSlot: input.base.sums.before,
      sha256BehindSlot: input.base.sums.behind,
    },
    ...(input.request.packages && {
      packages: input.request.packages.medium.packages.map(({ name, version, file, size, sha256: sum }) => ({
        ...{ name, version, file, size, sha256: sum },
      })),
    }),
    ...(input.disk && { baseDisk: input.disk }),
    overlays: { base: input.request.baseOverlay.digest, iso: input.request.isoOverlay.digest },
    overlay: input.overlay.map(({ path, type, uid, gid, mode, body, own }) => ({
      path: `/${path}`,
      type,
      uid,
      gid,
      mode: mode.toString(8).padStart(4, '0'),
      ...(type === 'link' && { target: body }),
      ...(type === 'file' && !isSecret({ path, type, mode }) && { sha256: sha256(body) }),
      ...(own && { own }),
    })),
    policy: input.policy,
    root: input.base.root,
    tools: input.tools,
    stages: input.plan.map(({ stage, action }) => ({
      stage,
      action,
      ...(input.seconds[stage] !== undefined && { seconds: Number(input.seconds[stage].toFixed(3)) }),
    })),
    ...(input.contents && { contents: input.contents }),
    ...(input.lock !== undefined && { lock: input.lock }),
    ...(input.audit && { audit: input.audit }),
    ...(input.since && { since: input.since }),
  };
  // A map is for programs, and would be nine tenths of the lines.
  const text = JSON.stringify(record, null, 2);
  return `${text.slice(0, -2)},\n  "maps": ${JSON.stringify(input.maps)}\n}\n`;
}
