import { execFileSync, spawn } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { partialName, writeError, writeFileAtomic } from '../../../build/host/files.js';
import { acquire } from '../../../build/host/lock.js';
import { attempt, run } from '../../../build/host/process.js';
import { find, missing } from '../../../build/host/tools.js';
import { tmp } from '../../helpers/tmp.js';

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
    const error = (code: string): Error => Object.assign(new Error(`${code}: it failed`), { code });
    expect(writeError('/x', error('ENOSPC'))).toMatchObject({
      message: 'Writing /x failed: ENOSPC: it failed.',
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
    await expect(acquire(path, { ...options, wait: false })).rejects.toThrow(
      `Process ${process.pid} on ${hostname()} is at work`,
    );
    const waited: number[] = [];
    const second = acquire(path, { ...options, onWait: (pid) => waited.push(pid) });
    setTimeout(() => void lock.release(), 300);
    await (await second).release();
    expect(waited).toEqual([process.pid]);
  });

  it('takes over from a process that is gone, or whose number another has', async () => {
    const folder = await tmp();
    const dead = spawn('true');
    await new Promise((resolve) => dead.once('close', resolve));
    writeFileSync(join(folder, 'gone'), JSON.stringify({ pid: dead.pid, host: hostname(), token: 'x' }));
    await (await acquire(join(folder, 'gone'), { ...options, wait: false })).release();
    writeFileSync(join(folder, 'reused'), JSON.stringify({ pid: process.pid, host: hostname(), token: 'x' }));
    utimesSync(join(folder, 'reused'), 1000, 1000);
    await (await acquire(join(folder, 'reused'), { ...options, wait: false })).release();
    writeFileSync(join(folder, 'damaged'), '{');
    await (await acquire(join(folder, 'damaged'), { ...options, wait: false })).release();
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
    ]);
  });

  it('are there when tests run', () => {
    expect(missing('test')).toEqual([]);
    expect(execFileSync('sh', ['-c', 'command -v pigz'], { encoding: 'utf8' })).not.toBe('');
  });
});
