import { z } from 'zod';
import { parseJson } from '../json.js';
import { baseParts } from './audit-base.js';
import { NAME, VERSION } from './catalogue.js';
import type { Lock } from './lockfile.js';
import { auditPackages } from './vuxml.js';
import type { Vulnerability } from './vuxml.js';

/** What was found the last time, beside the lock. */
export const AUDIT_FILE = 'clawdie.audit.json';

const FORMAT = 'clawdie audit 1';

const KNOWN = z.array(
  z.object({
    name: z.string().regex(NAME),
    version: z.string().regex(VERSION),
    /** Whether it is the base system, or a package of it: every image of the lock has it. */
    base: z.boolean().optional(),
    vulnerabilities: z.array(z.object({ id: z.string(), topic: z.string(), cves: z.array(z.string()) })),
  }),
);

/** What was known of packages at a time. */
export const AUDIT = z.object({
  time: z.iso.datetime(),
  /** URL or file of the list of vulnerabilities. */
  from: z.string(),
  /** How many it has. */
  looked: z.number().int().min(0),
  /** The base system as it was asked for, `FreeBSD 15.1_2`; none in audits of earlier versions, which did not ask. */
  base: z.array(z.string()).optional(),
  known: KNOWN,
});
export type Audit = z.infer<typeof AUDIT>;

const FILE = AUDIT.extend({
  format: z.literal(FORMAT),
  /** Checksum of the lock: of another one it says nothing. */
  lock: z.string().regex(/^[0-9a-f]{64}$/),
});
export type AuditFile = z.infer<typeof FILE>;

/** Which packages of a lock are known to be vulnerable, and to what; the base system and its packages come first. */
export function auditLock(
  lock: Pick<Lock, 'packages' | 'checksum' | 'base' | 'release'>,
  vulnerabilities: readonly Vulnerability[],
  from: string,
  time: Date,
): AuditFile {
  return {
    ...{ format: FORMAT, lock: lock.checksum, time: time.toISOString(), from },
    looked: vulnerabilities.length,
    base: baseParts(lock).map(({ name, version }) => `${name} ${version}`),
    known: auditPackages(subjectsOf(lock), vulnerabilities).map(
      ({ of: { name, version, base }, vulnerabilities: all }) => ({
        ...{ name, version, ...(base && { base }) },
        vulnerabilities: all.map(({ id, topic, cves }) => ({ id, topic, cves: [...cves] })),
      }),
    ),
  };
}

interface AuditSubject {
  readonly name: string;
  readonly version: string;
  readonly base?: boolean;
}

function subjectsOf(lock: Pick<Lock, 'packages' | 'base' | 'release'>): readonly AuditSubject[] {
  const base = [...baseParts(lock), ...(lock.base?.packages ?? [])];
  return [...base.map(({ name, version }) => ({ name, version, base: true })), ...lock.packages];
}

/** Reads what was found before. @returns the end of a sentence, if it is none */
export function parseAudit(text: string): AuditFile | { readonly flaw: string } {
  const { success, data, error } = FILE.safeParse(parseJson(text));
  if (success) return data;
  const [issue] = error.issues;
  return {
    flaw: `it is not what \`clawdie-iso audit --save\` writes (${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''})`,
  };
}

/** What of it is about the base system, and about packages that one deployment installs. */
export function auditOf(
  { known, time, from, looked, base: parts }: Audit,
  installed: readonly { readonly kind: string; readonly name: string; readonly version: string }[],
): Audit {
  const names = new Set(
    installed.flatMap(({ kind, name, version }) => (kind === 'package' ? [`${name} ${version}`] : [])),
  );
  return {
    ...{ time, from, looked },
    ...(parts && { base: parts }),
    known: known.filter(({ name, version, base }) => base === true || names.has(`${name} ${version}`)),
  };
}
