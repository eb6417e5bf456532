import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { expect, it } from 'vitest';
import { sha256 } from '../../build/host/hash.js';
import { cli, sampleArgs } from '../helpers/cli.js';
import { makeKey } from '../helpers/signing.js';
import { FakeRoot } from '../helpers/shell.js';
import { tmp } from '../helpers/tmp.js';
import { readUfs } from '../helpers/ufs.js';

const TRUST = 'overlays/base/sbin/clawdie-trust';
const NAME = 'clawdie-sample-amd64.root';

it('writes the root that images are made of, and its kernel, as an instance verifies it', async () => {
  const folder = await tmp();
  const [, ...args] = sampleArgs(folder);
  const [ours, others] = [makeKey(folder, 'ours'), makeKey(folder, 'others')];
  const signed = [...args, '--set', `SIGN_KEY=${ours.path}`, '--set', 'SERIAL=42'];
  const made = await cli(['root', ...signed]);
  expect(made).toMatchObject({ code: 0 });
  const path = join(folder, 'dist', NAME);
  const bytes = readFileSync(path);
  const header = bytes.toString('latin1', 0, 512).replaceAll('\0', '');
  const value = (name: string): string => new RegExp(`^${name} (.*)$`, 'm').exec(header)?.[1] ?? '';
  expect(header).toMatch(/^clawdie-root 1\nrelease \S+-amd64\n/);
  const [length, kernel] = [Number(value('length')), Number(value('kernel'))];
  const body = bytes.subarray(512, 512 + length);
  expect(sha256(body)).toBe(value('sha256'));
  expect(made.stdout).toContain(`${path}  ${value('sha256')}  serial 42`);
  writeFileSync(join(folder, 'image'), gunzipSync(body.subarray(kernel)));
  const root = readUfs(join(folder, 'image'));
  expect(root.entries.get('etc/clawdie/release')?.content.toString()).toBe(`${value('release')}\n`);

  // The same that is in the ISO, and the same each time.
  expect((await cli(['iso', ...signed])).code).toBe(0);
  execFileSync(
    'xorriso',
    [
      ...['-osirrox', 'on', '-indev', join(folder, 'dist/clawdie-sample-amd64.iso')],
      ...[
        '-extract',
        '/mfsroot.gz',
        join(folder, 'mfsroot.gz'),
        '-extract',
        '/boot/kernel/kernel.gz',
        join(folder, 'kernel.gz'),
      ],
    ],
    { stdio: 'ignore' },
  );
  expect(readFileSync(join(folder, 'kernel.gz')).equals(body.subarray(0, kernel))).toBe(true);
  expect(readFileSync(join(folder, 'mfsroot.gz')).equals(body.subarray(kernel))).toBe(true);
  expect((await cli(['root', ...signed])).code).toBe(0);
  expect(readFileSync(path).equals(bytes)).toBe(true);

  const fake = (await FakeRoot.make()).stub('sha256', `sha256sum | cut -d ' ' -f 1`);
  const takes = (signer: string, file = path) => {
    fake.file('var/db/clawdie/trust/signers', `clawdie namespaces="clawdie-slot,clawdie-image" ${signer}\n`);
    return fake.run(TRUST, ['check-root', file]);
  };
  expect(takes(ours.line)).toMatchObject({ code: 0, stdout: '' });
  expect(takes(others.line)).toMatchObject({
    code: 1,
    stdout: 'it is signed by none of the signers of this instance\n',
  });
  expect((await cli(['root', ...args])).stdout).toContain('is not signed');
  expect(takes(ours.line).stdout).toBe('it is not signed\n');
  writeFileSync(join(folder, 'cut'), bytes.subarray(0, 512 + length - 1));
  expect(takes(ours.line, join(folder, 'cut')).stdout).toBe('it is damaged\n');
}, 300_000);

it('makes nothing beside images that another key has signed, or that would be signed no more', async () => {
  const folder = await tmp();
  const args = sampleArgs(folder);
  const [ours, others] = [makeKey(folder, 'ours'), makeKey(folder, 'others')];
  const made = (...sets: readonly string[]) =>
    cli([...args, ...sets.flatMap((set) => ['--set', set]), '--set', 'SERIAL=42']);
  expect((await made(`SIGN_KEY=${ours.path}`)).code).toBe(0);
  const there = (): readonly string[] =>
    ['CHECKSUM.SHA256', 'CHECKSUM.SHA256.sig'].map((name) =>
      readFileSync(join(folder, 'dist', name), 'latin1'),
    );
  const before = there();
  for (const [sets, why] of [
    [[`SIGN_KEY=${others.path}`, 'ASSISTANT_NAME=zed'], 'is signed by another key than SIGN_KEY'],
    [['ASSISTANT_NAME=zed'], 'is signed where this configuration has no SIGN_KEY'],
  ] as const) {
    const refused = await made(...sets);
    expect(refused).toMatchObject({ code: 2, stdout: '' });
    expect(refused.stderr).toContain(why);
    expect(refused.stderr).toContain('one list has one signer');
    expect(there()).toEqual(before);
  }
  // Its own images may have another signer from now on.
  expect((await made(`SIGN_KEY=${ours.path}`, 'ASSISTANT_NAME=zed')).code).toBe(0);
  for (const name of readdirSync(join(folder, 'dist')).filter((each) => each.startsWith('zed')))
    rmSync(join(folder, 'dist', name));
  expect((await made(`SIGN_KEY=${others.path}`)).code).toBe(0);
  expect(there()[1]).not.toBe(before[1]);
}, 300_000);
