import { execFileSync } from 'node:child_process';
import { createServer } from 'node:http';
import type { RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { sha256 } from '../../../build/host/hash.js';
import { download, downloadText } from '../../../build/release/download.js';
import { parseManifest, sumsOf } from '../../../build/release/manifest.js';
import { pinnedSums } from '../../../build/release/pins.js';
import { resolveRelease } from '../../../build/release/source.js';
import type { CheckedRelease, ObtainContext } from '../../../build/release/source.js';
import type { Archive } from '../../../build/rootfs/unpack.js';
import { configOf } from '../../helpers/config.js';
import { never, tmp } from '../../helpers/tmp.js';

const line = (file: string, sum: string): string =>
  [file, sum, '3', file.replace('.txz', ''), '"Base system (MANDATORY)"', 'on'].join('\t');
const SUM = 'a'.repeat(64);

/** Release sets in a folder: what they hold does not matter to who checks their sums. */
function sets(folder: string, base = 'base', kernel = 'kernel'): { manifest: string; sum: string } {
  mkdirSync(folder, { recursive: true });
  const manifest = `${line('base.txz', sha256(base))}\n${line('kernel.txz', sha256(kernel))}\n`;
  writeFileSync(join(folder, 'base.txz'), base);
  writeFileSync(join(folder, 'kernel.txz'), kernel);
  writeFileSync(join(folder, 'MANIFEST'), manifest);
  return { manifest, sum: sha256(manifest) };
}

async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** An archive of a release, as whoever unpacks it gets it. */
async function archiveOf({ sources }: CheckedRelease, name: string): Promise<Archive> {
  const source = sources.find(({ where }) => where === name);
  if (!source) throw new Error(`there is no ${name}`);
  return source.use((archive) => Promise.resolve(archive));
}

const impatient = { retries: 2, retryDelay: 1, stallAfter: 300 };

function context(folder: string): ObtainContext & { readonly notes: string[]; readonly told: string[] } {
  const notes: string[] = [];
  const told: string[] = [];
  return {
    folder,
    signal: never,
    note: (text) => notes.push(text),
    doing: (text) => told.push(text),
    progress: () => undefined,
    download: impatient,
    notes,
    told,
  };
}

describe('MANIFEST', () => {
  it('gives the sums of the sets', () => {
    const manifest = parseManifest(
      `${line('base.txz', SUM)}\n${line('kernel.txz', SUM)}\n${line('lib32.txz', SUM)}\n`,
      'MANIFEST',
    );
    expect(sumsOf(manifest, 'MANIFEST')).toEqual({ 'base.txz': SUM, 'kernel.txz': SUM });
  });

  it.each([
    ['../../etc/passwd', SUM, 'not the plain name of a file'],
    ['base.txz', 'abc', 'no SHA-256 sum'],
    ['base.txz', SUM.toUpperCase(), 'no SHA-256 sum'],
  ])('refuses %s %s', (file, sum, message) => {
    expect(() => parseManifest(line(file, sum), 'MANIFEST')).toThrow(message);
  });

  it('refuses a file that is listed twice, and a MANIFEST without a set', () => {
    expect(() => parseManifest(`${line('base.txz', SUM)}\n${line('base.txz', SUM)}`, 'MANIFEST')).toThrow(
      'line 2: base.txz is listed twice',
    );
    expect(() => sumsOf(parseManifest(line('base.txz', SUM), 'M'), 'M')).toThrow(
      'M does not list kernel.txz',
    );
  });

  it('is pinned for the release that build.cfg names by default', () => {
    expect(pinnedSums('amd64', configOf().FREEBSD_VERSION)?.['base.txz']).toMatch(/^3768988b/);
  });
});

describe('a folder of release sets', () => {
  const config = (folder: string, sum?: string) =>
    configOf({ FREEBSD_DIST: folder, ...(sum !== undefined && { FREEBSD_MANIFEST_SHA256: sum }) });

  it('is used once every byte is checked', async () => {
    const folder = await tmp();
    const { sum } = sets(folder);
    const release = resolveRelease(config(folder, sum), '/');
    expect(release).toMatchObject({
      id: `manifest:${sum}`,
      sample: false,
      trust: 'FREEBSD_MANIFEST_SHA256',
      from: folder,
    });
    const checked = await release.obtain(context(folder));
    expect(checked.sums['base.txz']).toBe(sha256('base'));
    const kernel = await archiveOf(checked, 'kernel.txz');
    expect(readFileSync(kernel.fd, 'utf8')).toBe('kernel');
    expect(kernel).toMatchObject({ sha256: sha256('kernel'), size: 6 });
    await checked.close();
  });

  it('is refused if its MANIFEST is not the pinned one', async () => {
    const folder = await tmp();
    sets(folder);
    expect(() => resolveRelease(config(folder), '/')).toThrow('It is another release, or was altered');
    expect(() => resolveRelease(config(folder, SUM), '/')).toThrow(
      `not the ${SUM} of FREEBSD_MANIFEST_SHA256`,
    );
  });

  it.each([
    ['empty lines without end', ['sh', '-c', 'yes "" | head -c 100M > "$0"'], 'it is larger than 1 MiB'],
    ['a FIFO', ['mkfifo'], 'it is a FIFO, not a file'],
    ['a device', ['ln', '-s', '/dev/zero'], 'it is a device, not a file'],
    ['a folder', ['mkdir'], 'it is a folder, not a file'],
    ['not UTF-8', ['sh', '-c', 'printf "\\200" > "$0"'], 'it is not UTF-8 text'],
  ])('is refused at once if its MANIFEST is %s', async (_, command, message) => {
    const folder = await tmp();
    execFileSync(command[0] ?? '', [...command.slice(1), join(folder, 'MANIFEST')]);
    expect(() => resolveRelease(config(folder, SUM), '/')).toThrow(message);
  });

  it.each(['base.txz', 'kernel.txz'])('is refused at once if its %s is a FIFO or a device', async (name) => {
    const folder = await tmp();
    const { sum } = sets(folder);
    rmSync(join(folder, name));
    execFileSync('mkfifo', [join(folder, name)]);
    const release = resolveRelease(config(folder, sum), '/');
    await expect(release.obtain(context(folder))).rejects.toThrow('it is a FIFO, not a file');
    rmSync(join(folder, name));
    symlinkSync('/dev/zero', join(folder, name));
    await expect(release.obtain(context(folder))).rejects.toThrow('it is a device, not a file');
  });

  it('is read from the files that were checked, whatever stands under their names afterwards', async () => {
    const folder = await tmp();
    const { sum } = sets(folder);
    const checked = await resolveRelease(config(folder, sum), '/').obtain(context(folder));
    for (const name of ['base.txz', 'kernel.txz']) {
      writeFileSync(join(folder, 'other'), 'swapped');
      renameSync(join(folder, 'other'), join(folder, name));
    }
    expect(readFileSync((await archiveOf(checked, 'base.txz')).fd, 'utf8')).toBe('base');
    await checked.close();
  });

  it('is refused if the release is not known', () => {
    expect(() => resolveRelease(configOf({ FREEBSD_VERSION: '14.3-RELEASE' }), '/')).toThrow(
      'are not known to this project (known: amd64/15.1-RELEASE)',
    );
  });

  it.each([
    [
      'truncated',
      (folder: string) => {
        writeFileSync(join(folder, 'base.txz'), 'bas');
      },
      'is truncated or was altered, and is not used',
    ],
    [
      'altered',
      (folder: string) => {
        writeFileSync(join(folder, 'kernel.txz'), 'kernal');
      },
      'is truncated or was altered, and is not used',
    ],
  ])('is refused if a file is %s', async (_, damage, message) => {
    const folder = await tmp();
    const { sum } = sets(folder);
    const release = resolveRelease(config(folder, sum), '/');
    damage(folder);
    await expect(release.obtain(context(folder))).rejects.toThrow(message);
  });

  it('is refused if a file or MANIFEST is missing', async () => {
    const folder = await tmp();
    expect(() => resolveRelease(config(folder, SUM), '/')).toThrow(
      'MANIFEST cannot be read: no such file or directory.',
    );
    const { sum } = sets(folder);
    const release = resolveRelease(config(folder, sum), '/');
    rmSync(join(folder, 'kernel.txz'));
    await expect(release.obtain(context(folder))).rejects.toThrow(
      'kernel.txz cannot be read: no such file or directory.',
    );
  });
});

describe('a server of release sets', () => {
  it('is asked once; what it sent is kept, checked again, and fetched again if it was damaged', async () => {
    const folder = await tmp();
    const { manifest, sum } = sets(join(folder, 'origin'));
    const asked: string[] = [];
    const url = await serve((request, response) => {
      asked.push(request.url ?? '');
      response.end(
        request.url === '/MANIFEST' ? manifest : readFileSync(join(folder, 'origin', request.url ?? '')),
      );
    });
    const release = resolveRelease(configOf({ FREEBSD_DIST: url, FREEBSD_MANIFEST_SHA256: sum }), '/');
    const first = await release.obtain(context(join(folder, 'cache')));
    await first.close();
    expect(asked).toEqual(['/MANIFEST', '/base.txz', '/kernel.txz']);
    const [kept = ''] = readdirSync(join(folder, 'cache'));
    writeFileSync(join(folder, 'cache', kept, 'base.txz'), 'damaged');
    const again = context(join(folder, 'cache'));
    const second = await release.obtain(again);
    await second.close();
    expect(again.notes.join()).toContain('Downloading the release sets again');
    expect(readFileSync(join(folder, 'cache', kept, 'base.txz'), 'utf8')).toBe('base');
  });

  it('has told what is fetched from where before its first byte, and why it is asked again', async () => {
    const folder = await tmp();
    const { manifest, sum } = sets(join(folder, 'origin'));
    let broken = 1;
    const listening = context(join(folder, 'cache'));
    const before: (string | undefined)[] = [];
    const url = await serve((request, response) => {
      before.push(listening.told.at(-1));
      if (request.url === '/kernel.txz' && broken-- > 0) response.writeHead(503).end();
      else
        response.end(
          request.url === '/MANIFEST' ? manifest : readFileSync(join(folder, 'origin', request.url ?? '')),
        );
    });
    const release = resolveRelease(configOf({ FREEBSD_DIST: url, FREEBSD_MANIFEST_SHA256: sum }), '/');
    await (await release.obtain(listening)).close();
    expect(before).toEqual([
      `Downloading MANIFEST from ${url}`,
      `Downloading base.txz from ${url}`,
      `Downloading kernel.txz from ${url}`,
      `Downloading ${url}/kernel.txz: the server answered 503 Service Unavailable. Again in 1 s (1 of 2).`,
    ]);
    // What is in the cache is not asked for.
    const again = context(join(folder, 'cache'));
    await (await release.obtain(again)).close();
    expect(again.told.filter((text) => text.includes('txz'))).toEqual([]);
  });

  it('is not believed: other bytes than MANIFEST says are removed', async () => {
    const folder = await tmp();
    const { manifest, sum } = sets(join(folder, 'origin'));
    const url = await serve((request, response) =>
      response.end(request.url === '/MANIFEST' ? manifest : 'something else'),
    );
    const release = resolveRelease(configOf({ FREEBSD_DIST: url, FREEBSD_MANIFEST_SHA256: sum }), '/');
    await expect(release.obtain(context(join(folder, 'cache')))).rejects.toThrow(
      'It was altered or damaged and has been removed',
    );
    expect(
      readdirSync(join(folder, 'cache'), { recursive: true }).filter(
        (name) => String(name).endsWith('txz') || String(name).endsWith('part'),
      ),
    ).toEqual([]);
  });
});

describe('download', () => {
  const body = Buffer.alloc(300_000, 'clawdie');
  const expected = sha256(body);

  it('goes on where a broken transfer stopped', async () => {
    const ranges: (string | undefined)[] = [];
    const url = await serve((request, response) => {
      const { range } = request.headers;
      ranges.push(range);
      const from = range === undefined ? 0 : Number(/\d+/.exec(range)?.[0]);
      response.writeHead(range === undefined ? 200 : 206, {
        'content-length': body.length - from,
        ...(range !== undefined && { 'content-range': `bytes ${from}-${body.length - 1}/${body.length}` }),
      });
      if (range === undefined)
        response.write(body.subarray(0, 100_000), () => setTimeout(() => response.destroy(), 50));
      else response.end(body.subarray(from));
    });
    const path = join(await tmp(), 'file');
    await download(url, path, expected, impatient);
    expect(sha256(readFileSync(path))).toBe(expected);
    expect(ranges).toEqual([undefined, 'bytes=100000-']);
  });

  it('starts anew if what was there is of another file, or the server knows no ranges', async () => {
    const url = await serve((request, response) => {
      if (request.headers.range !== undefined && request.url === '/ranges') {
        response.writeHead(206, { 'content-range': `bytes 5-${body.length - 1}/${body.length}` });
        response.end(body.subarray(5));
      } else response.end(body);
    });
    const folder = await tmp();
    for (const name of ['ranges', 'none']) {
      writeFileSync(join(folder, `${name}.part`), 'other');
      await download(`${url}/${name}`, join(folder, name), expected, impatient);
      expect(sha256(readFileSync(join(folder, name)))).toBe(expected);
    }
  });

  it('does not try again what fetch never asks, and names the keys that have the address', async () => {
    const path = join(await tmp(), 'file');
    await expect(download('http://127.0.0.1:9/x', path, expected)).rejects.toMatchObject({
      message: 'Downloading http://127.0.0.1:9/x: programs that speak HTTP do not ask this port.',
      fix: 'Check FREEBSD_MIRROR or FREEBSD_DIST.',
    });
  });

  it.each([
    [
      'answers 404',
      (response: { writeHead(code: number): { end(): void } }) => {
        response.writeHead(404).end();
      },
      'the server answered 404',
    ],
    [
      'answers 503 for good',
      (response: { writeHead(code: number): { end(): void } }) => {
        response.writeHead(503).end();
      },
      'failed 3 times: the server answered 503',
    ],
    ['never answers', () => undefined, 'failed 3 times: the server did not answer'],
  ])('says so if the server %s', async (_, answer, message) => {
    const url = await serve((_request, response) => {
      answer(response);
    });
    const path = join(await tmp(), 'file');
    await expect(download(url, path, expected, impatient)).rejects.toThrow(message);
    expect(existsSync(path)).toBe(false);
  });

  it('does not wait for a server that stops sending', async () => {
    const url = await serve((_, response) => void response.write('x'));
    await expect(download(url, join(await tmp(), 'file'), expected, impatient)).rejects.toThrow(
      'the server stopped sending',
    );
  });

  it('says so if nobody is there', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    await new Promise((resolve) => server.close(resolve));
    await expect(
      download(`http://127.0.0.1:${port}`, join(await tmp(), 'file'), expected, impatient),
    ).rejects.toThrow('ECONNREFUSED');
  });

  it('stops when it is told to, and keeps what it has', async () => {
    const url = await serve((_, response) => void response.write(body.subarray(0, 1000)));
    const stop = new AbortController();
    const path = join(await tmp(), 'file');
    const onProgress = (done: number): void => {
      if (done === 1000) stop.abort(new Error('enough'));
    };
    const running = download(url, path, expected, {
      ...{ ...impatient, stallAfter: 60_000, signal: stop.signal },
      onProgress,
    });
    await expect(running).rejects.toThrow('enough');
    expect(existsSync(path)).toBe(false);
    expect(readFileSync(`${path}.part`).length).toBe(1000);
  });

  it('takes no MANIFEST without end', async () => {
    const url = await serve((_, response) => response.end(Buffer.alloc(2 << 20)));
    await expect(downloadText(url, undefined, impatient)).rejects.toThrow('larger than 1 MiB');
  });
});
