import { z } from 'zod';
import { isPath, LICENSE, NAME, VERSION } from './catalogue.js';
import { parseSum } from './sums.js';

export const HEX = z.string().regex(/^[0-9a-f]{64}$/);
const TIME = z.string().regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
const names = z.array(z.string().regex(NAME));
const ends = z
  .strictObject({ has: z.array(z.string()).optional(), needs: z.array(z.string()).optional() })
  .optional();

export const PACKAGE = z.strictObject({
  abi: z.string().max(64),
  /** Keys and templates that ask for it; none where another package needs it. */
  asked: z.array(z.string()),
  conflicts: z.array(z.string()).optional(),
  features: ends,
  flatsize: z.number().int().min(0),
  libraries: ends,
  /** In the words of the catalogue: `BSD3CLAUSE`, `GPLv2+ or MIT`; none in locks of earlier versions. */
  license: z.string().regex(LICENSE).optional(),
  name: z.string().regex(NAME),
  /** What it needs of the others. */
  needs: names,
  origin: z.string(),
  path: z.string().refine(isPath, 'is no path below a repository'),
  sha256: HEX,
  size: z.number().int().min(1),
  sum: z.string().refine((sum) => parseSum(sum) !== undefined, 'is no sum'),
  version: z.string().regex(VERSION),
});

export type LockedPackage = z.infer<typeof PACKAGE>;

/** A catalogue that packages of a lock are from. */
export const CATALOGUE = z.strictObject({
  /** SHA-256 of the key that has signed it. */
  key: HEX,
  /** SHA-256 of what was signed. */
  sha256: HEX,
  /** When it was made, by its own word. */
  time: TIME,
  url: z.string(),
});

/** What in locked packages contradicts the rest of them, as the end of a sentence; undefined where nothing does. */
export function packagesFlaw(packages: readonly LockedPackage[]): string | undefined {
  const names = new Set(packages.map(({ name }) => name));
  if (names.size !== packages.length) return 'it has a package twice';
  for (const { name, needs, sum, sha256 } of packages) {
    const missing = needs.find((need) => !names.has(need));
    if (missing !== undefined) return `${name} needs ${missing}, which is not in it`;
    const parsed = parseSum(sum);
    if (parsed?.algorithm === 'sha256' && parsed.hex !== sha256) return `${name} has two sums that differ`;
  }
  return undefined;
}
