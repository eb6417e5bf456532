import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { cli } from '../helpers/cli.js';
import type { CliResult } from '../helpers/cli.js';
import { fleetArgs, imagesIn, writeFleet } from '../helpers/fleet.js';
import { listen, startRegistry } from '../helpers/registry.js';
import { tmp } from '../helpers/tmp.js';

/** A fleet whose base image was published, and whose images were made without the registry. */
async function published(): Promise<{
  readonly folder: string;
  readonly reference: string;
  readonly wanted: Readonly<Record<string, string>>;
  readonly stop: () => Promise<void>;
}> {
  const folder = await tmp();
  const deployments = writeFleet(folder, 2);
  const registry = await startRegistry(folder);
  const result = await cli([
    ...['publish', deployments, '--to', registry.repository, '--insecure-registry'],
    ...['--cache', join(folder, 'cache')],
  ]);
  expect(result.code).toBe(0);
  const reference = result.stdout.trim();
  expect(reference).toMatch(/^127\.0\.0\.1:\d+\/team\/bases@sha256:[0-9a-f]{64}$/);
  await cli(fleetArgs(folder));
  const wanted = imagesIn(join(folder, 'dist'));
  // Another machine: it has neither the cache nor the images.
  for (const name of ['cache', 'dist']) rmSync(join(folder, name), { recursive: true });
  return { folder, reference, wanted, stop: registry.stop };
}

const withBases = (folder: string, reference: string, ...more: readonly string[]): Promise<CliResult> =>
  cli(fleetArgs(folder, '--bases', reference, '--insecure-registry', ...more));

describe('base images in a registry', () => {
  it('are pulled by their digest instead of being made, and give the same images', async () => {
    const { folder, reference, wanted } = await published();
    const result = await withBases(folder, reference);
    expect(result).toMatchObject({ code: 0, stderr: '' });
    expect(result.stdout).not.toContain('Root file system: done');
    expect(imagesIn(join(folder, 'dist'))).toEqual(wanted);
    // What stands in the cache is not asked for again.
    rmSync(join(folder, 'dist'), { recursive: true });
    expect((await withBases(folder, `127.0.0.1:1/gone@${reference.split('@')[1] ?? ''}`)).code).toBe(0);
    expect(imagesIn(join(folder, 'dist'))).toEqual(wanted);
  }, 60_000);

  it('published twice are one', async () => {
    const folder = await tmp();
    const deployments = writeFleet(folder, 1);
    const { repository } = await startRegistry(folder);
    const push = (): Promise<CliResult> =>
      cli([
        ...['publish', deployments, '--to', repository, '--insecure-registry', '--json'],
        ...['--cache', join(folder, 'cache')],
      ]);
    const [first, second] = [await push(), await push()];
    expect(JSON.parse(first.stdout)).toMatchObject({
      type: 'published',
      bases: [{ release: '15.1-RELEASE-amd64' }],
    });
    expect(second.stdout).toBe(first.stdout);
  }, 60_000);

  it('are refused with wrong bytes: in the image, its description, its manifest', async () => {
    const { folder, reference } = await published();
    const blobs = join(folder, 'registry', 'docker', 'registry', 'v2', 'blobs', 'sha256');
    const files = readdirSync(blobs, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .sort((a, b) => statSync(a).size - statSync(b).size);
    expect(files).toHaveLength(3);
    for (const file of files) {
      const bytes = readFileSync(file);
      const changed = Buffer.from(bytes);
      changed.writeUInt8(changed.readUInt8(changed.length >> 1) ^ 1, changed.length >> 1);
      writeFileSync(file, changed);
      const result = await withBases(folder, reference);
      expect(result.code).toBe(1);
      expect(result.stderr).toMatch(/digest|sum|verif/i);
      expect(imagesIn(join(folder, 'dist'))).toEqual({});
      writeFileSync(file, bytes);
    }
    expect((await withBases(folder, reference)).code).toBe(0);
  }, 120_000);

  it('of another release, or by a tag alone, are refused', async () => {
    const { folder, reference } = await published();
    writeFileSync(
      join(folder, 'deployments', 'common.cfg'),
      `${readFileSync(join(folder, 'deployments', 'common.cfg'), 'utf8')}PROFILE="minimal"\n`,
    );
    const other = await withBases(folder, reference);
    expect(other.code).toBe(2);
    expect(other.stderr).toMatch(/None of --bases is the base image of 15\.1-RELEASE-amd64, minimal/);
    const tag = await withBases(folder, reference.replace(/@.*/, ':latest'));
    expect(tag.code).toBe(2);
    expect(tag.stderr).toContain('Name it by its digest');
    expect((await cli(['publish', join(folder, 'deployments'), '--to', 'no repository'])).code).toBe(2);
  }, 60_000);

  it('of a registry that is down end in a clear error', async () => {
    const { folder, reference, stop } = await published();
    await stop();
    const result = await withBases(folder, reference, '--store-timeout', '20');
    expect(result.code).toBe(1);
    expect(result.stderr).toMatch(
      /asking for 127\.0\.0\.1:\d+\/team\/bases@sha256:[\s\S]*connection refused/i,
    );
    expect(imagesIn(join(folder, 'dist'))).toEqual({});
  }, 60_000);

  it('of a registry that does not answer end in a clear error, in time', async () => {
    const { folder, reference } = await published();
    const open = new Set<Socket>();
    const silent = createServer((socket) => open.add(socket));
    const port = await listen(silent);
    onTestFinished(() => {
      for (const socket of open) socket.destroy();
      silent.close();
    });
    const began = Date.now();
    const result = await withBases(folder, reference.replace(/:\d+/, `:${port}`), '--store-timeout', '3');
    expect(result.code).toBe(1);
    expect(result.stderr).toMatch(/asking for [\s\S]*(?:deadline|time)/i);
    expect(Date.now() - began).toBeLessThan(30_000);
    expect(imagesIn(join(folder, 'dist'))).toEqual({});
  }, 60_000);
});
