import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join, resolve as resolvePath } from 'node:path';
import { writeWhole } from '../host/write-hashed.js';
import { fillOf, rootHeader } from '../image/root-file.js';
import type { RootFile } from '../image/root-file.js';
import { headerText } from '../image/slot.js';
import { IMAGE_NAMESPACE } from '../overlay/signers.js';
import { obtainRoot, releaseOf } from '../pipeline/base.js';
import { Cache, cacheFolder } from '../pipeline/cache.js';
import type { Signing } from '../pipeline/deploy.js';
import type { BuildEvent } from '../pipeline/events.js';
import { KERNEL, ROOT_IMAGE } from '../pipeline/root.js';
import { loadConfig } from './configuration.js';
import type { ConfigOptions } from './configuration.js';
import type { IsoContext } from './iso.js';
import { checkLock } from './lock-subject.js';
import { packagesOf } from './medium.js';
import { buildInto } from './output.js';
import { releaseOfConfig } from './release.js';
import { baseRequest, imageStem, imageTime } from './request.js';
import { readSignKey, signingOf } from './signing.js';

export interface RootOptions extends ConfigOptions {
  readonly out: string;
  readonly installTools: boolean;
  readonly wait: boolean;
  readonly cache?: string;
}

/**
 * `clawdie-iso root`: writes the root of a release, which is the same that images have, as one file for instances whose root is
 * a pool (`clawdie-update release`), signed where SIGN_KEY says so.
 *
 * @throws InputError of the configuration; UserError if the root cannot be made or written.
 */
export async function root(options: RootOptions, context: IsoContext): Promise<void> {
  const loaded = await loadConfig(options, context.environment);
  const { config, folder } = loaded;
  const events = context.makeMonitor();
  const emit = (event: BuildEvent): void => {
    events.emit(event);
  };
  try {
    const release = await releaseOfConfig(config, folder);
    const key = await readSignKey(config, folder);
    const signing = signingOf(config, folder, context.environment, key, (text) => {
      emit({ type: 'note', text });
    });
    const { lock } = await checkLock(folder, [{ loaded, release }]);
    const packages = await packagesOf(loaded, release, lock);
    const work = {
      ...{ cache: new Cache(cacheFolder(context.environment, options.cache)), emit },
      signal: context.signal,
    };
    const out = resolvePath(options.out);
    const path = join(out, `${imageStem('clawdie', release, config)}.root`);
    const written = await buildInto(
      out,
      { ...options, disks: false, packaged: release.packaged === true },
      work,
      async () => {
        const { request } = await baseRequest(config, release, imageTime(context.environment), packages);
        const entry = await obtainRoot(request, work);
        return writeRoot(path, entry.folder, releaseOf(request), signing);
      },
    );
    if (!signing)
      emit({
        type: 'warning',
        text: 'The root is not signed (SIGN_KEY): an instance that has signers refuses it.',
      });
    context.print(`${path}  ${written.sha256}${signing ? `  serial ${signing.identity.serial}` : ''}`);
  } finally {
    await events.close();
  }
}

/** Writes the file of a root, whole or not at all. */
async function writeRoot(
  path: string,
  folder: string,
  release: string,
  signing: Signing | undefined,
): Promise<RootFile> {
  const parts = [join(folder, KERNEL), join(folder, ROOT_IMAGE)] as const;
  const [kernel, image] = await Promise.all(parts.map((part) => stat(part)));
  const hash = createHash('sha256');
  for await (const chunk of chunksOf(parts)) hash.update(chunk);
  const file: RootFile = {
    ...{ release, kernelBytes: kernel?.size ?? 0, rootBytes: image?.size ?? 0 },
    ...{ sha256: hash.digest('hex'), serial: signing?.identity.serial },
  };
  const header = rootHeader(file);
  const signature = signing && (await signing.sign(IMAGE_NAMESPACE, headerText(header)));
  await writeWhole(
    path,
    0o644,
    (async function* () {
      yield header;
      yield* chunksOf(parts);
      if (signature !== undefined) yield Buffer.concat([Buffer.alloc(fillOf(file)), Buffer.from(signature)]);
    })(),
  );
  return file;
}

/** What is in files, one behind the other. */
async function* chunksOf(paths: readonly string[]): AsyncGenerator<Buffer, void> {
  for (const path of paths)
    for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) yield chunk as Buffer;
}
