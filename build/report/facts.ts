import { z } from 'zod';
import { parseJson } from '../json.js';
import { AUDIT } from '../packages/audit.js';

/*
 * What a report tells of an image, as its build record has it. Records of other versions of this program lack parts: a report
 * then says that they are not known.
 */

const RULE = z.object({ file: z.string(), line: z.number(), text: z.string() });
/** Index of a rule in the map's list; null where none matches. */
const INDEX = z.number().int().nonnegative().nullable();
const STEP = z.object({
  interface: z.string(),
  direction: z.enum(['in', 'out']),
  verdict: z.enum(['pass', 'block']),
  rule: INDEX,
  translation: INDEX,
  row: z.string().nullable(),
  assumed: z.boolean(),
});
const FAMILY = z.enum(['inet', 'inet6']);
const VERDICT = z.enum(['open', 'services', 'signals', 'closed']);
const PASSING = z.object({
  family: FAMILY,
  services: z.array(z.string()),
  sources: z.array(z.string()).nullable(),
  destinations: z.array(z.string()).nullable(),
  arrivesWith: z.enum(['own', 'host', 'other']),
  steps: z.array(STEP),
});

/** Who reaches whom in one situation: a {@link ZoneMap} with each rule and row once. */
export const MAP = z.object({
  situation: z.string(),
  zones: z.array(
    z.object({
      id: z.string(),
      kind: z.string(),
      name: z.string(),
      tenant: z.string().nullable(),
      interfaces: z.array(z.string()),
    }),
  ),
  rules: z.array(RULE),
  rows: z.array(
    z.object({ id: z.string(), from: z.string(), to: z.string(), verdict: z.string(), why: z.string() }),
  ),
  pairs: z.array(
    z.object({
      from: z.string(),
      to: z.string(),
      verdict: VERDICT,
      services: z.array(z.string()),
      passes: z.array(PASSING),
      /** The crossings that block, each with the rule that does. */
      blocks: z.array(STEP),
      redirects: z.array(PASSING),
      mustBeClosed: z.boolean(),
    }),
  ),
  ways: z.number(),
  cells: z.number(),
});
export type ReportMap = z.infer<typeof MAP>;
export type ReportPair = ReportMap['pairs'][number];
export type ReportStep = z.infer<typeof STEP>;

const CHANGES = z.object({
  /** When the image before this one was finished. */
  finished: z.string(),
  changes: z.array(z.object({ what: z.string(), before: z.string(), now: z.string() })),
});
export type Changes = z.infer<typeof CHANGES>;

const CONTENT = z.object({
  kind: z.enum(['package', 'npm']),
  name: z.string(),
  version: z.string(),
  /** bytes on the instance; of npm it is not known */
  bytes: z.number().optional(),
  license: z.string().optional(),
  /** Keys and templates that ask for it; none where another package needs it. */
  asked: z.array(z.string()),
});
export type Content = z.infer<typeof CONTENT>;

const FACTS = z.object({
  project: z.string(),
  finished: z.string(),
  images: z.array(z.object({ format: z.string(), name: z.string(), sha256: z.string(), bytes: z.number() })),
  configuration: z.record(z.string(), z.object({ value: z.string(), origin: z.string() })),
  release: z.object({
    id: z.string(),
    from: z.string(),
    trust: z.string(),
    sums: z.record(z.string(), z.string()),
  }),
  baseImage: z.object({ key: z.string(), slot: z.object({ offset: z.number(), length: z.number() }) }),
  overlay: z.array(
    z.object({
      path: z.string(),
      type: z.string(),
      uid: z.number(),
      gid: z.number(),
      mode: z.string(),
      target: z.string().optional(),
      sha256: z.string().optional(),
      own: z.boolean().optional(),
    }),
  ),
  policy: z.object({
    cells: z.number(),
    ways: z.number(),
    situations: z.array(z.string()),
    rows: z.array(z.string()),
    assumed: z.array(z.string()),
    exceptions: z.array(z.object({ row: z.string(), example: z.string() })),
  }),
  root: z.object({
    files: z.number(),
    bytes: z.number(),
    imageBytes: z.number(),
    compressedBytes: z.number(),
    setuid: z.array(z.string()),
    kernelModules: z.array(z.string()),
    pruned: z.record(z.string(), z.number()),
  }),
  tools: z.record(z.string(), z.string()),
  stages: z.array(z.object({ stage: z.string(), action: z.string(), seconds: z.number().optional() })),
  maps: z.array(MAP).optional(),
  /** What an instance installs, as the lock has it; none where there is no lock. */
  contents: z.array(CONTENT).optional(),
  /** Checksum of the lock. */
  lock: z.string().optional(),
  /** What was known of these packages when they were audited. */
  audit: AUDIT.optional(),
  since: CHANGES.optional(),
});
/** What a build record says that a report shows. */
export type ImageFacts = z.infer<typeof FACTS>;

/** Reads a build record. @returns the end of a sentence, if it is none */
export function readFacts(text: string): ImageFacts | { readonly flaw: string } {
  const value = parseJson(text);
  if (value === undefined) return { flaw: 'it is no JSON' };
  const { success, data, error } = FACTS.safeParse(value);
  if (success) return data;
  const [issue] = error.issues;
  return { flaw: `it is no build record: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}` };
}

const BOOT = z.object({
  image: z.string(),
  sha256: z.string(),
  ok: z.boolean(),
  starts: z.array(
    z.object({
      firmware: z.string(),
      media: z.string(),
      accelerator: z.string(),
      reached: z.string(),
      stopped: z.string().optional(),
      fault: z.string().optional(),
      firstFrame: z.number().optional(),
      stages: z.array(z.object({ name: z.string(), seconds: z.number() })),
      probes: z.number(),
      /** How it looked on its way; reports of earlier versions have none. */
      frames: z
        .array(
          z.object({
            at: z.string(),
            seconds: z.number(),
            /** File name of a picture beside the report. */
            image: z
              .string()
              .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}\.png$/)
              .optional(),
            lines: z.array(z.string()),
          }),
        )
        .default([]),
      checks: z.array(
        z.object({
          id: z.string(),
          state: z.enum(['held', 'failed', 'not applicable', 'not looked at']),
          detail: z.string(),
          seconds: z.number(),
        }),
      ),
    }),
  ),
});
/** What `clawdie-iso boot` has found. */
export type BootFacts = z.infer<typeof BOOT>;

/** A boot as a page shows it: with its pictures (PNG, in base64) by their file names. */
export interface ShownBoot {
  readonly facts: BootFacts;
  readonly pictures: ReadonlyMap<string, string>;
}

/** Reads a report of `clawdie-iso boot`. @returns undefined if it is none */
export function readBoot(text: string): BootFacts | undefined {
  return BOOT.safeParse(parseJson(text)).data;
}
