import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join, resolve as resolvePath } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { pack } from 'tar-stream';
import { InputError } from '../error.js';
import { writeWhole } from '../host/write-hashed.js';
import { Cache, cacheFolder } from '../pipeline/cache.js';
import type { BuildEvent } from '../pipeline/events.js';
import { mediumFiles, obtainPackages } from '../pipeline/packages.js';
import type { MediumFile } from '../pipeline/packages.js';
import { loadConfig } from './configuration.js';
import type { IsoContext } from './iso.js';
import { checkLock } from './lock-subject.js';
import { packagesOf } from './medium.js';
import { buildInto } from './output.js';
import { releaseOfConfig } from './release.js';
import { imageStem } from './request.js';
import type { RootOptions } from './root.js';

/**
 * `clawdie-iso packages`: writes the packages of a lock, as images carry them, as one archive for instances that run an overlay of
 * that lock (`clawdie-update packages`). The same lock gives the same bytes. It is not signed: overlays have the sum of each file.
 *
 * @throws InputError of the configuration, or where there is no lock; UserError if a package cannot be had, or the file written.
 */
export async function packages(options: RootOptions, context: IsoContext): Promise<void> {
  const loaded = await loadConfig(options, context.environment);
  const { config, folder } = loaded;
  const events = context.makeMonitor();
  const emit = (event: BuildEvent): void => {
    events.emit(event);
  };
  try {
    const release = await releaseOfConfig(config, folder);
    const { lock } = await checkLock(folder, [{ loaded, release }]);
    const request = await packagesOf(loaded, release, lock);
    // pkg(8) takes a catalogue of 1970 for one that it has read already.
    const time = lock?.catalogue?.time;
    if (!request || time === undefined)
      throw new InputError(
        `${loaded.path} has no locked packages: there is nothing to bring.`,
        'Name some in PACKAGES, and lock them: `clawdie-iso lock`.',
      );
    const cache = new Cache(cacheFolder(context.environment, options.cache));
    const work = { cache, emit, signal: context.signal };
    const out = resolvePath(options.out);
    const path = join(out, `${imageStem('clawdie', release, config)}.packages.tar`);
    const { sha256, bytes } = await buildInto(
      out,
      { ...options, disks: false, packaged: false },
      work,
      async () => {
        const store = await obtainPackages(request, work, false);
        return writeWhole(path, 0o644, packed(mediumFiles(request.medium, store), time, context.signal));
      },
    );
    context.print(`${path}  ${sha256}  ${bytes} bytes, ${request.medium.packages.length} packages`);
  } finally {
    await events.close();
  }
}

/**
 * An archive of the files, with nothing of this machine in it: tar(5), ustar.
 *
 * @param time when they were locked, as a date of ISO 8601
 */
async function* packed(
  files: readonly MediumFile[],
  time: string,
  signal: AbortSignal,
): AsyncGenerator<Buffer, void> {
  const tar = pack();
  const mtime = new Date(time);
  // pkg(8) has two names there: the bytes of a file of the cache go in once.
  const names = new Map<string, string>();
  const filled = (async () => {
    for (const file of files) {
      const header = {
        name: file.path,
        mode: 0o644,
        uid: 0,
        gid: 0,
        uname: '',
        gname: '',
        mtime,
      };
      if ('bytes' in file) {
        tar.entry(header, file.bytes).on('error', () => undefined); // it is that of the archive
        continue;
      }
      const linkname = names.get(file.from);
      names.set(file.from, file.path);
      if (linkname === undefined)
        await pipeline(
          createReadStream(file.from, { highWaterMark: 1 << 20 }),
          tar.entry({ ...header, size: (await stat(file.from)).size }),
          { signal },
        );
      else tar.entry({ ...header, type: 'link', linkname });
    }
    tar.finalize();
  })();
  // Who reads is told of it at the end of the archive.
  filled.catch((error: unknown) => {
    tar.destroy(error instanceof Error ? error : new Error(String(error)));
  });
  yield* tar as AsyncIterable<Buffer>;
  await filled;
}
