import { z } from 'zod';
import { parseJson } from '../json.js';

/*
 * Papers as sbom() and provenance() write them, read again. Those of other programs, which have the same formats and say other
 * things, are none.
 */

/** Largest paper that is read, in bytes: an image of many packages has some 2 MB. */
export const MOST_PAPER = 64 * 1024 ** 2;

const PROPERTIES = z.array(z.object({ name: z.string(), value: z.string() })).default([]);

const BILL = z.object({
  bomFormat: z.literal('CycloneDX'),
  metadata: z.object({ component: z.object({ properties: PROPERTIES }) }),
  components: z.array(
    z.object({
      'bom-ref': z.string(),
      name: z.string(),
      version: z.string().optional(),
      hashes: z.array(z.object({ alg: z.string(), content: z.string() })).default([]),
      licenses: z
        .array(
          z.object({
            license: z.object({ name: z.string() }).optional(),
            expression: z.string().optional(),
          }),
        )
        .default([]),
      properties: PROPERTIES,
    }),
  ),
});
/** A bill of materials. */
export type Bill = z.infer<typeof BILL>;

/** An algorithm and a value each (in-toto DigestSet). */
const DIGEST = z.record(z.string(), z.string());

const STATEMENT = z.object({
  predicateType: z.literal('https://slsa.dev/provenance/v1'),
  subject: z.array(z.object({ name: z.string(), digest: DIGEST })),
  predicate: z.object({
    buildDefinition: z.object({
      externalParameters: z.object({
        configuration: z.record(z.string(), z.union([z.string(), DIGEST])),
        SOURCE_DATE_EPOCH: z.number(),
      }),
      internalParameters: z.object({ tools: z.record(z.string(), z.string()), baseImage: z.string() }),
      resolvedDependencies: z.array(
        z.object({ name: z.string(), uri: z.string().optional(), digest: DIGEST }),
      ),
    }),
    runDetails: z.object({ builder: z.object({ id: z.string() }) }),
  }),
});
/** A statement with the provenance of images. */
export type Statement = z.infer<typeof STATEMENT>;

/** Reads a bill of materials. @returns undefined if it is none of this program's */
export function readBill(text: string): Bill | undefined {
  return BILL.safeParse(parseJson(text)).data;
}

/** Reads a provenance statement. @returns undefined if it is none of this program's */
export function readStatement(text: string): Statement | undefined {
  return STATEMENT.safeParse(parseJson(text)).data;
}

/** SHA-256 of the images that a bill of materials is of. */
export function imagesOfBill({ metadata }: Bill): readonly string[] {
  return metadata.component.properties
    .filter(({ name }) => name.startsWith('clawdie:sha256:'))
    .map(({ value }) => value);
}

/** The images that a statement is about, with their SHA-256. */
export function imagesOfStatement({ subject }: Statement): readonly {
  readonly name: string;
  readonly sha256: string;
}[] {
  return subject.map(({ name, digest }) => ({ name, sha256: digest['sha256'] ?? '' }));
}
