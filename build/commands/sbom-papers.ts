import { scrypt } from 'node:crypto';
import { promisify } from 'node:util';
import { SECRET_KEYS } from '../config/keys.js';
import { sha256 } from '../host/hash.js';
import { isSecret, OPERATOR_RULES } from '../overlay/render.js';
import type { OverlayEntry } from '../overlay/render.js';
import type { Lock } from '../packages/lockfile.js';
import type { RecordInput } from '../pipeline/record.js';
import { bootFiles } from '../report/boot-files.js';
import { lockedFor } from '../report/contents.js';
import type { ImageFacts } from '../report/facts.js';
import { provenance } from '../report/provenance.js';
import type { Digest, ProvenanceInput } from '../report/provenance.js';
import { sbom } from '../report/sbom.js';

export interface BomInput {
  readonly record: Pick<RecordInput, 'resolved' | 'request' | 'overlay'>;
  readonly facts: ImageFacts;
  /** Path of the base image. */
  readonly base: string;
  readonly lock: Lock | undefined;
  /** What the lock calls the configuration. */
  readonly file: string;
}

/** The bill of materials of an image and its provenance, as texts. Neither has a time: the same inputs, the same bytes. */
export async function bomOf({ record, facts, base, lock, file }: BomInput): Promise<{
  readonly sbom: string;
  readonly provenance: string;
}> {
  const { request, resolved, overlay } = record;
  const locked = lock ? lockedFor(lock, file) : { packages: [], npm: [] };
  const boot = await bootFiles(base, request.keys.base);
  return {
    sbom: sbom({ facts, version: request.version, arch: request.arch, locked, boot }),
    provenance: provenance({
      ...{ facts, locked, time: request.time },
      catalogue: lock?.catalogue?.sha256,
      secrets: await secretsOf(resolved),
      files: await filesOf(request, overlay),
    }),
  };
}

const derive = promisify<string, string, number, Buffer>(scrypt);

/**
 * What stands for a secret where everybody reads it: whoever guesses at it takes some 50 ms a guess (RFC 7914, with Node's own
 * parameters). The salt is the secret's name, since the same secret has to give the same digest.
 */
function slowDigest(name: string, secret: string): Promise<Digest> {
  const key = JSON.stringify([name, secret]);
  const known = digested.get(key);
  if (known) return known;
  const made = derive(secret, `clawdie-iso provenance ${name}`, 32).then((bytes) => ({
    'scrypt-16384-8-1': bytes.toString('hex'),
  }));
  digested.set(key, made);
  return made;
}

/** Digests of this run: what deployments of a fleet have in common costs once what it is to cost whoever guesses. */
const digested = new Map<string, Promise<Digest>>();

async function secretsOf({ settings }: RecordInput['resolved']): Promise<ReadonlyMap<string, Digest>> {
  const digests = new Map<string, Digest>();
  for (const key of SECRET_KEYS) {
    const { value } = settings[key];
    if (value !== '') digests.set(key, await slowDigest(key, value));
  }
  return digests;
}

/** The overlays of the program, and what files that the configuration names have brought into the image. */
async function filesOf(
  { baseOverlay, isoOverlay }: RecordInput['request'],
  overlay: readonly OverlayEntry[],
): Promise<ProvenanceInput['files']> {
  const secret = overlay.filter(isSecret);
  const named = overlay.filter(
    (entry) =>
      entry.type !== 'dir' && !isSecret(entry) && (entry.own === true || entry.path === OPERATOR_RULES),
  );
  return [
    { name: 'overlays/base', digest: { sha256: baseOverlay.digest } },
    { name: 'overlays/iso', digest: { sha256: isoOverlay.digest } },
    ...named.map(({ path, body }) => ({ name: `/${path}`, digest: { sha256: sha256(body) } })),
    ...(secret.length === 0
      ? []
      : [
          {
            name: `files that may hold secrets: ${secret.map(({ path }) => `/${path}`).join(', ')}`,
            digest: await slowDigest('files', JSON.stringify(secret.map(({ path, body }) => [path, body]))),
          },
        ]),
  ];
}
