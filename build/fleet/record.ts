import { z } from 'zod';
import { IMAGE_FORMATS } from '../config/keys/disk.js';
import { parseJson } from '../json.js';

/** What is known of an image of a fleet: enough to tell whether it has to be made again. */
const ENTRY = z.object({
  /** Name of the deployment: its file without `.cfg`. */
  name: z.string(),
  assistant: z.string(),
  host: z.string(),
  agentNet: z.string(),
  images: z.array(
    z.object({
      format: z.enum(IMAGE_FORMATS),
      /** File name. */
      name: z.string(),
      sha256: z.string().regex(/^[0-9a-f]{64}$/),
      bytes: z.number(),
      /** When it was written, in nanoseconds since the epoch, as text. */
      written: z.string(),
    }),
  ),
  /** Papers whose sums are listed with those of the images; none in records of earlier versions. */
  papers: z.array(z.object({ name: z.string(), sha256: z.string().regex(/^[0-9a-f]{64}$/) })).optional(),
  /** SHA-256 over all that the image depends on. */
  inputs: z.string(),
  /** Cache key of its base image. */
  base: z.string(),
});
export type FleetEntry = z.infer<typeof ENTRY>;

export const FLEET_FORMAT = 'clawdie-iso fleet record 2';

const RECORD = z.object({
  format: z.literal(FLEET_FORMAT),
  project: z.string(),
  started: z.string(),
  finished: z.string(),
  bases: z.array(z.object({ key: z.string(), release: z.string(), from: z.string(), trust: z.string() })),
  deployments: z.array(ENTRY),
  /** Names of those whose image this run made; of the others it stands as it stood. */
  made: z.array(z.string()),
});
export type FleetRecord = z.infer<typeof RECORD>;

/**
 * Reads a fleet record.
 *
 * @returns what is wrong with it, as the end of a sentence, if it is none
 */
export function parseFleetRecord(text: string): FleetRecord | { readonly flaw: string } {
  const value = parseJson(text);
  if (value === undefined) return { flaw: 'it is no JSON' };
  const result = RECORD.safeParse(value);
  return result.success ? result.data : { flaw: `it is no fleet record: ${z.prettifyError(result.error)}` };
}

/** Lines of a journal that are whole; what a killed run wrote last may not be. */
export function parseJournal(text: string): readonly FleetEntry[] {
  return text.split('\n').flatMap((line) => {
    const { success, data } = ENTRY.safeParse(parseJson(line));
    return success ? [data] : [];
  });
}
