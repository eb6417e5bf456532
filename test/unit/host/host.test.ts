import { execFileSync, spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import { whyOf } from '../../../build/error.js';
import { makeFolder, partialName, writeError, writeFileAtomic } from '../../../build/host/files.js';
import { acquire, ownFolder, sweepFolders } from '../../../build/host/lock.js';
import { attempt, run } from '../../../build/host/process.js';
import { find, missing } from '../../../build/host/tools.js';
import { tmp } from '../../helpers/tmp.js';

describe('makeFolder', () => {
  it('makes those above it too, and comes back where none can be made', async () => {
    const folder = join(await tmp(), 'a', 'b');
    await makeFolder(folder);
    await makeFolder(folder);
    expect(statSync(folder).isDirectory()).toBe(true);
    writeFileSync(join(folder, 'file'), '');
    await expect(makeFolder(join(folder, 'file'))).rejects.toThrow('EEXIST');
    if (process.platform === 'linux')
      await expect(makeFolder('/proc/x/y')).rejects.toThrow('The folder /proc/x cannot be made');
  });
});

it('gives the reason of the system as the end of a sentence', async () => {
  await expect(readFile('/nowhere, or so')).rejects.toSatisfy(
    (error) => whyOf(error) === 'no such file or directory',
  );
});

describe('writeFileAtomic', () => {
  it('writes the file whole, with its mode whatever the umask, and leaves nothing beside it', async () => {
    const folder = await tmp();
    const old = process.umask(0o077);
    try {
      await writeFileAtomic(join(folder, 'a', 'file'), 'text', 0o644);
    } finally {
      process.umask(old);
    }
    expect(readFileSync(join(folder, 'a', 'file'), 'utf8')).toBe('text');
    expect(statSync(join(folder, 'a', 'file')).mode & 0o777).toBe(0o644);
    expect(readdirSync(join(folder, 'a'))).toEqual(['file']);
  });

  it('leaves the old file in place if it fails', async () => {
    const folder = await tmp();
    mkdirSync(join(folder, 'file'));
    writeFileSync(join(folder, 'file', 'old'), 'old');
    await expect(writeFileAtomic(join(folder, 'file'), 'new', 0o644)).rejects.toThrow();
    expect(readdirSync(folder)).toEqual(['file']);
    expect(readFileSync(join(folder, 'file', 'old'), 'utf8')).toBe('old');
  });

  it('says what to do about a full disk or a read-only one', () => {
    const error = (code: string): Error =>
      Object.assign(new Error(`${code}: it failed, copyfile '/a' -> '/b'`), { code });
    expect(writeError('/x', error('ENOSPC'))).toMatchObject({
      message: 'Writing /x failed: it failed.',
      fix: 'Free some space on that file system, or choose another folder.',
    });
    expect(writeError('/x', error('EROFS'))).toMatchObject({
      fix: 'That file system is mounted read-only: choose another folder.',
    });
  });

  it('gives partial files names that are never final', () => {
    expect(partialName('/a/image.iso')).toMatch(/^\/a\/\.image\.iso\..*\.part$/);
  });
});

describe('acquire', () => {
  const options = { wait: true, onWait: () => undefined };

  it('lets one in at a time', async () => {
    const path = join(await tmp(), 'lock');
    let inside = 0;
    let most = 0;
    await Promise.all(
      Array.from({ length: 6 }, async () => {
        const lock = await acquire(path, options);
        most = Math.max(most, ++inside);
        await new Promise((resolve) => setTimeout(resolve, 20));
        inside--;
        await lock.release();
      }),
    );
    expect(most).toBe(1);
    expect(existsSync(path)).toBe(false);
  });

  it('says who holds it, or waits, as it is told', async () => {
    const path = join(await tmp(), 'lock');
    const lock = await acquire(path, options);
    await expect(acquire(path, { wait: false })).rejects.toThrow(
      new RegExp(`^Process ${process.pid} on ${hostname()} \\(since \\d\\d:\\d\\d UTC\\) is at work on `),
    );
    const waited: string[] = [];
    const second = acquire(path, { ...options, onWait: (holder) => waited.push(holder) });
    setTimeout(() => void lock.release(), 300);
    await (await second).release();
    expect(waited).toEqual([expect.stringContaining(`process ${process.pid} on ${hostname()}`)]);
  });

  it('takes over from whoever was killed, whatever that one called itself, and from nobody who lives', async () => {
    const folder = await tmp();
    const path = join(folder, 'lock');
    const child = spawn(
      'flock',
      ['-x', path, 'sh', '-c', `echo "1 another-host 2026-01-01T00:00:00.000Z" > '${path}'; sleep 60`],
      { detached: true },
    );
    while (!existsSync(path) || readFileSync(path, 'utf8') === '') await sleep(20);
    await expect(acquire(path, { wait: false })).rejects.toThrow(
      'Process 1 on another-host (since 00:00 UTC) is at work',
    );
    process.kill(-(child.pid ?? 0), 'SIGKILL');
    await new Promise((resolve) => child.once('close', resolve));
    await (await acquire(path, { wait: false })).release();
    for (const text of ['{', '', `${process.pid} ${hostname()} 2026-01-01T00:00:00.000Z`]) {
      writeFileSync(path, text);
      await (await acquire(path, { wait: false })).release();
    }
    expect(readdirSync(folder)).toEqual([]);
  });

  it('stops waiting when it is told to', async () => {
    const path = join(await tmp(), 'lock');
    const lock = await acquire(path, options);
    const stop = new AbortController();
    const second = acquire(path, { ...options, signal: stop.signal });
    stop.abort(new Error('enough'));
    await expect(second).rejects.toThrow();
    await lock.release();
  });
});

describe('a folder of one’s own', () => {
  it('is swept once its owner is gone, and not before: in another pid namespace too', async () => {
    const parent = await tmp();
    const mine = await ownFolder(parent, 'w-');
    writeFileSync(join(mine.path, 'file'), '');
    // Killed before they got far: one has its folder, one its lock alone; and one as older versions left it.
    mkdirSync(join(parent, 'w-dead'));
    writeFileSync(join(parent, 'w-dead.lock'), '');
    writeFileSync(join(parent, 'w-early.lock'), '');
    mkdirSync(join(parent, 'w-1-old'));
    mkdirSync(join(parent, 'other'));
    await sweepFolders(parent, 'w-');
    const name = basename(mine.path);
    expect(readdirSync(parent).sort()).toEqual(['other', name, `${name}.lock`].sort());
    const lib = pathToFileURL(resolve('lib/build/host/lock.js')).href;
    const script = `import { sweepFolders } from '${lib}'; await sweepFolders(process.argv[1], 'w-');`;
    const sweep = [process.execPath, '--input-type=module', '-e', script, parent];
    // As another container has it: a process tree and a host name of its own.
    const apart = spawnSync('unshare', [
      '--pid',
      '--fork',
      '--uts',
      'sh',
      '-c',
      'hostname other; exec "$@"',
      'sh',
      ...sweep,
    ]);
    if (apart.status !== 0) spawnSync(sweep[0] ?? '', sweep.slice(1));
    expect(readdirSync(mine.path)).toEqual(['file']);
    await mine.remove();
    expect(readdirSync(parent)).toEqual(['other']);
  });
});

describe('run', () => {
  it('gives every word to the command as it is', async () => {
    const words = ['a b', "it's", '$HOME', '`id`', '*', '', '-n', 'a\nb', ';', '\\'];
    expect(await run('Printing', ['printf', '%s|', ...words])).toBe(`${words.join('|')}|`);
  });

  it('says what was being done, the command, its exit code and its last words', async () => {
    await expect(run('Making tea', ['sh', '-c', 'echo no water >&2; exit 3'])).rejects.toThrow(
      /^Making tea: sh failed with exit code 3\. It said:\n {4}no water\n {2}Command: sh -c 'echo no water >&2; exit 3'$/,
    );
    await expect(run('Making tea', ['no-such-command'])).rejects.toThrow(
      /^Making tea: no-such-command failed with exit code 127/,
    );
  });

  it('runs in one locale and time zone', async () => {
    expect((await attempt(['sh', '-c', 'echo $LC_ALL $TZ'])).stdout).toBe('C UTC\n');
  });
});

describe('tools', () => {
  it('are found on the PATH, if they can be run', async () => {
    const folder = await tmp();
    writeFileSync(join(folder, 'tool'), '');
    expect(find('tool', folder)).toBeUndefined();
    chmodSync(join(folder, 'tool'), 0o755);
    expect(find('tool', `relative:${folder}`)).toBe(join(folder, 'tool'));
    expect(missing('build', folder).map(({ name }) => name)).toEqual([
      'xz',
      'pigz',
      'mformat',
      'mcopy',
      'xorriso',
      'flock',
    ]);
    const names = (purpose: 'pkgbase' | 'disk') => missing(purpose, folder).map(({ name }) => name);
    expect(names('pkgbase')).toEqual(['zstd']);
    expect(names('disk')).toEqual(['qemu-system-x86_64', 'qemu-img', 'zstd']);
  });

  it('are there when tests run', () => {
    expect(missing('test')).toEqual([]);
    expect(execFileSync('sh', ['-c', 'command -v pigz'], { encoding: 'utf8' })).not.toBe('');
  });
});
