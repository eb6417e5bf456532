import { link, mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { InputError, UserError } from '../error.js';
import { removeTree } from '../host/files.js';
import { sha256, sha256File } from '../host/hash.js';
import { run } from '../host/process.js';
import { parseJson } from '../json.js';

/*
 * Base images in an OCI registry, as artifacts: a manifest with one layer, the image, and a configuration, what is
 * known of it (OCI image specification 1.1, "Guidelines for artifact usage"). skopeo(1) talks to the registry: it knows
 * credentials, certificates, proxies and retries.
 */

const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json';
const CONFIG_TYPE = 'application/vnd.clawdie-iso.base.config.v1+json';
const IMAGE_TYPE = 'application/vnd.clawdie-iso.base.v1';

/** A place in a registry: `registry.example:5000/team/bases`. */
const REPOSITORY = /^[a-z0-9.-]+(?::\d{1,5})?(?:\/[a-z0-9]+(?:[._-][a-z0-9]+)*)+$/i;

/** An artifact, by what it holds: nobody can put another one in its place. */
export interface Reference {
  readonly repository: string;
  /** SHA-256 of the manifest, in hexadecimal. */
  readonly digest: string;
}

/**
 * Reads `registry/repository@sha256:…`.
 *
 * @throws InputError if it is none: a tag alone says nothing about what is behind it.
 */
export function parseReference(text: string): Reference {
  const [, repository = '', digest] = /^(.*)@sha256:([0-9a-f]{64})$/.exec(text) ?? [];
  if (digest === undefined || !REPOSITORY.test(repository))
    throw new InputError(
      `${text} is no base image in a registry.`,
      'Name it by its digest, as `clawdie-iso publish` printed it: registry.example/team/bases@sha256:…',
    );
  return { repository, digest };
}

/** @throws InputError if the text is no repository. */
export function parseRepository(text: string): string {
  if (!REPOSITORY.test(text) || text.includes('@'))
    throw new InputError(
      `${text} is no repository of a registry.`,
      'Write it as registry.example/team/bases, without a tag.',
    );
  return text;
}

export function formatReference({ repository, digest }: Reference): string {
  return `${repository}@sha256:${digest}`;
}

export interface StoreOptions {
  /** Talk to it without TLS, or with a certificate that nobody vouches for. */
  readonly insecure: boolean;
  /** seconds that one transfer may take */
  readonly timeout: number;
  readonly signal: AbortSignal;
}

function skopeo(options: StoreOptions, ...args: readonly string[]): readonly string[] {
  // The digest is what vouches for an artifact; no policy of this machine is asked for.
  return ['skopeo', '--insecure-policy', '--command-timeout', `${options.timeout}s`, ...args];
}

/** A copy that keeps all bytes; `registry` says on which side the registry is. */
function copy(options: StoreOptions, registry: 'src' | 'dest', from: string, to: string): readonly string[] {
  const how = ['--quiet', '--preserve-digests', '--retry-times', '3'];
  return skopeo(options, 'copy', ...how, `--${registry}-tls-verify=${!options.insecure}`, from, to);
}

const LAYOUT = { file: 'oci-layout', text: '{"imageLayoutVersion":"1.0.0"}' };
const NAME = 'base';

/**
 * Pushes a base image, under a tag that says for which inputs it is.
 *
 * @param image file of the base image; it is not copied
 * @param config what is known of it, as JSON
 * @param work an empty folder on the file system of the image
 * @throws UserError if the registry does not take it.
 */
export async function push(
  image: string,
  config: string,
  repository: string,
  tag: string,
  work: string,
  options: StoreOptions,
): Promise<Reference> {
  const blobs = join(work, 'blobs', 'sha256');
  await mkdir(blobs, { recursive: true });
  const layer = await sha256File(image, { signal: options.signal });
  await link(image, join(blobs, layer));
  const blob = async (text: string): Promise<{ digest: string; size: number }> => {
    const digest = sha256(text);
    await writeFile(join(blobs, digest), text);
    return { digest: `sha256:${digest}`, size: Buffer.byteLength(text) };
  };
  const { size } = await stat(image);
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: MANIFEST_TYPE,
    artifactType: CONFIG_TYPE,
    config: { mediaType: CONFIG_TYPE, ...(await blob(config)) },
    layers: [{ mediaType: IMAGE_TYPE, digest: `sha256:${layer}`, size }],
  });
  const described = await blob(manifest);
  const index = {
    schemaVersion: 2,
    manifests: [
      {
        mediaType: MANIFEST_TYPE,
        ...described,
        annotations: { 'org.opencontainers.image.ref.name': NAME },
      },
    ],
  };
  await writeFile(join(work, LAYOUT.file), LAYOUT.text);
  await writeFile(join(work, 'index.json'), JSON.stringify(index));
  await run(
    `pushing the base image to ${repository}`,
    copy(options, 'dest', `oci:${work}:${NAME}`, `docker://${repository}:${tag}`),
    { signal: options.signal },
  );
  return { repository, digest: described.digest.slice('sha256:'.length) };
}

const DIGEST = z.string().regex(/^sha256:[0-9a-f]{64}$/);
const MANIFEST = z.object({
  config: z.object({ mediaType: z.literal(CONFIG_TYPE), digest: DIGEST }),
  layers: z.tuple([z.object({ mediaType: z.literal(IMAGE_TYPE), digest: DIGEST })]),
});

/**
 * Reads what is known of a base image in a registry, without the image.
 *
 * @returns its configuration, checked against the digest that the reference names
 * @throws UserError if the registry does not answer, or answers with other bytes.
 */
export async function describe(reference: Reference, options: StoreOptions): Promise<string> {
  const inspect = (...what: readonly string[]): Promise<string> =>
    run(
      `asking for ${formatReference(reference)}`,
      skopeo(
        options,
        'inspect',
        '--raw',
        ...what,
        '--retry-times',
        '3',
        `--tls-verify=${!options.insecure}`,
        `docker://${formatReference(reference)}`,
      ),
      { signal: options.signal },
    );
  const manifest = await inspect();
  const { config } = readManifest(manifest, reference);
  const text = await inspect('--config');
  if (`sha256:${sha256(text)}` !== config.digest)
    throw otherBytes(reference, 'its description does not have the sum that its manifest names');
  return text;
}

function readManifest(text: string, reference: Reference): z.infer<typeof MANIFEST> {
  if (sha256(text) !== reference.digest) throw otherBytes(reference, 'its manifest has another sum');
  const result = MANIFEST.safeParse(parseJson(text));
  if (!result.success)
    throw new UserError(
      `${formatReference(reference)} is no base image.`,
      'Name what `clawdie-iso publish` printed.',
    );
  return result.data;
}

function otherBytes(reference: Reference, what: string): UserError {
  return new UserError(
    `The registry gave other bytes for ${formatReference(reference)}: ${what}.`,
    'Do not trust it. Build the base image here, or push it again.',
  );
}

/**
 * Pulls a base image into a file.
 *
 * @param work an empty folder on the file system of the file
 * @throws UserError if the registry does not give it, or gives other bytes than the reference names.
 */
export async function pull(
  reference: Reference,
  file: string,
  work: string,
  options: StoreOptions,
): Promise<void> {
  try {
    await run(
      `pulling ${formatReference(reference)}`,
      copy(options, 'src', `docker://${formatReference(reference)}`, `oci:${work}:${NAME}`),
      { signal: options.signal },
    );
    const blobs = join(work, 'blobs', 'sha256');
    const manifest = await readFile(join(blobs, reference.digest), 'utf8').catch(() => '');
    const [layer] = readManifest(manifest, reference).layers;
    const sum = layer.digest.slice('sha256:'.length);
    if ((await sha256File(join(blobs, sum), { signal: options.signal })) !== sum)
      throw otherBytes(reference, 'the image does not have the sum that its manifest names');
    await rename(join(blobs, sum), file);
  } finally {
    await removeTree(work);
  }
}
