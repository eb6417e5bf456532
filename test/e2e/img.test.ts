import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sha256 } from '../../build/host/hash.js';
import { headerOf, SLOT_SIZE } from '../../build/image/slot.js';
import { findSlot } from '../../build/image/slot-place.js';
import { cli } from '../helpers/cli.js';
import type { CliOptions, CliResult } from '../helpers/cli.js';
import { HASH } from '../helpers/config.js';
import { SLOT_AT, stubMachine, writeDisk } from '../helpers/disk.js';
import { startRegistry } from '../helpers/registry.js';
import { writeSets } from '../helpers/sets.js';
import { tmp } from '../helpers/tmp.js';

const RELEASE = '15.1-RELEASE-amd64';
const SIZE = 2 * 1024 ** 3;
const FORMATS = ['img.zst', 'qcow2', 'vmdk', 'vhd'] as const;

let shared: string;
let config: string;

beforeAll(async () => {
  shared = await mkdtemp(join(tmpdir(), 'clawdie-test-'));
  config = await writeSets(shared);
  writeDisk(join(shared, 'disk'), SIZE, RELEASE);
  // A base image, once for all.
  writeFileSync(join(shared, 'build.cfg'), config);
  const { code, stderr } = await cli(argsFor('iso', shared));
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
});

afterAll(() => rm(shared, { recursive: true, force: true }));

function argsFor(command: string, folder: string, ...more: readonly string[]): string[] {
  const paths = ['--config', join(folder, 'build.cfg'), '--out', join(folder, 'dist')];
  return [command, ...paths, '--cache', join(folder, 'cache'), ...more];
}

/** A folder with a configuration and the cache of a base image; the machine in it does what the body says. */
async function prepare(lines = '', body?: string): Promise<{ folder: string; env: { PATH: string } }> {
  const folder = await tmp();
  execFileSync('cp', ['-r', join(shared, 'cache'), join(folder, 'cache')]);
  writeFileSync(join(folder, 'build.cfg'), `${config}${lines}`);
  const bin = stubMachine(folder, join(shared, 'disk'), body);
  return { folder, env: { PATH: `${bin}:${process.env['PATH'] ?? ''}` } };
}

const img = (folder: string, options: CliOptions, ...more: readonly string[]): Promise<CliResult> =>
  cli(argsFor('img', folder, ...more), options);

const starts = (folder: string): readonly string[] =>
  existsSync(join(folder, 'bin', 'calls'))
    ? readFileSync(join(folder, 'bin', 'calls'), 'utf8')
        .trimEnd()
        .split('\n')
    : [];

/** A compressed image, unpacked. */
function rawOf(folder: string, name: string): string {
  const [from, raw] = [join(folder, 'dist', name), join(folder, `${name}.raw`)];
  execFileSync('zstd', ['-q', '-d', '-f', '-o', raw, from]);
  return raw;
}

async function slotOf(raw: string): Promise<Buffer> {
  const file = await open(raw, 'r');
  try {
    const slot = await findSlot(file, raw);
    return (await file.read(Buffer.alloc(SLOT_SIZE), 0, SLOT_SIZE, slot.offset)).buffer;
  } finally {
    await file.close();
  }
}

/** The disk that the machine makes, with a slot put into it. */
function expectOnlySlotDiffers(raw: string): void {
  const [made, base] = [join(raw), join(shared, 'disk')];
  expect(statSync(made).size).toBe(SIZE);
  for (const [skip, count] of [
    [0, SLOT_AT],
    [SLOT_AT + 8192, SIZE / 512 - SLOT_AT - 8192],
  ] as const)
    execFileSync('cmp', ['-n', String(count * 512), '-i', String(skip * 512), made, base]);
}

describe('clawdie-iso img', () => {
  it('makes disk images in every format: what the installer left, and the overlay in its partition', async () => {
    const { folder, env } = await prepare('FORMATS="iso img qcow2 vmdk vhd"\nASSISTANT_NAME=natasha\n');
    const result = await img(folder, { env });
    expect(result).toMatchObject({ code: 0, stderr: '' });
    const dist = join(folder, 'dist');
    const names = FORMATS.map((extension) => `natasha-${RELEASE}.${extension}`);
    const papers = ['json', 'html', 'cdx.json', 'provenance.json'].map((end) => `natasha-${RELEASE}.${end}`);
    expect(readdirSync(dist).sort()).toEqual(['CHECKSUM.SHA256', ...names, ...papers].sort());
    execFileSync('sha256sum', ['--quiet', '--strict', '-c', 'CHECKSUM.SHA256'], { cwd: dist });
    const raw = rawOf(folder, names[0] ?? '');
    expectOnlySlotDiffers(raw);
    expect(headerOf(await slotOf(raw), 'release')).toBe(RELEASE);
    for (const [name, form] of [
      [names[1], 'qcow2'],
      [names[2], 'vmdk'],
      [names[3], 'vpc'],
    ] as const)
      execFileSync('qemu-img', ['compare', '-f', 'raw', '-F', form, raw, join(dist, name ?? '')]);
    const record = JSON.parse(readFileSync(join(dist, `natasha-${RELEASE}.json`), 'utf8')) as {
      images: { name: string; sha256: string; bytes: number }[];
    };
    expect(record).toMatchObject({ baseDisk: { size: SIZE, fs: 'ufs', slot: { offset: SLOT_AT * 512 } } });
    expect(record.images.map(({ name, bytes }) => [name, bytes])).toEqual(
      names.map((name) => [name, statSync(join(dist, name)).size]),
    );
    // The machine has no network card, and what it starts is told to put itself onto the disk.
    expect(starts(folder).at(-1)).toMatch(/-nic none .*media=cdrom/);
    expect(readdirSync(join(folder, 'cache', 'work'))).toEqual([]);
  }, 120_000);

  it('makes them of one base disk: the same bytes again, and for another deployment only another overlay', async () => {
    const { folder, env } = await prepare('FORMATS="img qcow2 vmdk vhd"\n');
    expect((await img(folder, { env })).code).toBe(0);
    const machines = starts(folder).length;
    const names = FORMATS.map((extension) => `clawdie-${RELEASE}.${extension}`);
    const sums = (): readonly string[] =>
      names.map((name) => sha256(readFileSync(join(folder, 'dist', name))));
    const before = sums();
    rmSync(join(folder, 'dist'), { recursive: true });
    const again = await img(folder, { env });
    expect(again.stdout).toContain(
      'From the cache: Release sets, Root file system, UFS image, Compressed root, Base image, Base disk.',
    );
    expect(sums()).toEqual(before);
    expect(starts(folder)).toHaveLength(machines);

    expect(
      (await img(folder, { env }, '--set', 'ASSISTANT_NAME=natasha', '--set', 'AGENT_NET=192.168.7.0/24'))
        .code,
    ).toBe(0);
    expect(starts(folder)).toHaveLength(machines);
    const [a, b] = [names[0], `natasha-${RELEASE}.qcow2`].map((name) => join(folder, 'dist', name ?? ''));
    const compared = await cli(['diff', a ?? '', b ?? '']);
    expect(compared).toMatchObject({ code: 1, stderr: '' });
    expect(compared.stdout).toContain('Base     the same');
    expect(compared.stdout).toMatch(/^ {2}\/etc\/clawdie\/clawdie\.conf {2}\(/m);
    expect((await cli(['diff', a ?? '', a ?? ''])).code).toBe(0);
  }, 120_000);

  it('is a raw image where the configuration names no format; `iso` then makes the ISO alone', async () => {
    const { folder, env } = await prepare();
    expect((await img(folder, { env }, '--dry-run')).stdout).toMatch(/^image {4}.*\.img\.zst$/m);
    expect((await img(folder, { env })).code).toBe(0);
    expect(readdirSync(join(folder, 'dist')).filter((name) => name.startsWith('clawdie'))).toEqual([
      ...['cdx.json', 'html', 'img.zst', 'json', 'provenance.json'].map(
        (ending) => `clawdie-${RELEASE}.${ending}`,
      ),
    ]);
    expect((await cli(argsFor('iso', folder), { env })).code).toBe(0);
    expect(
      readFileSync(join(folder, 'dist', 'CHECKSUM.SHA256'), 'utf8').match(/\.(?:iso|img\.zst)\)/g),
    ).toHaveLength(2);
  }, 120_000);

  it('keeps a secret: images that hold one are their owner’s alone, and nothing else holds it', async () => {
    const { folder, env } = await prepare(`FORMATS="img vhd"\nROOT_PASSWORD_HASH='${HASH}'\n`);
    expect((await img(folder, { env }, '--json')).stdout).not.toContain('saltsalt');
    for (const extension of ['img.zst', 'vhd'])
      expect(statSync(join(folder, 'dist', `clawdie-${RELEASE}.${extension}`)).mode & 0o777).toBe(0o600);
    const files = readdirSync(join(folder, 'cache'), { recursive: true, withFileTypes: true });
    for (const file of files.filter((entry) => entry.isFile()))
      expect(readFileSync(join(file.parentPath, file.name)).includes(HASH)).toBe(false);
  }, 120_000);

  it.each([
    [
      'the machine ends before',
      'echo "login:"',
      /Installing onto a disk in QEMU: the machine ended early; the console said last:\n {4}login:/,
    ],
    ['QEMU fails', 'echo "no such machine" >&2; exit 3', /QEMU ended by itself: no such machine/],
    [
      'the instance stays closed',
      'echo "clawdie-init: this instance stays closed: x"; exec sleep 60',
      /clawdie-init refused the overlay; the console said last:\n {4}clawdie-init: this instance stays closed/,
    ],
    [
      'the disk is empty',
      'echo "the disk image is complete"',
      /is no disk image of this project: it has no partition table/,
    ],
  ])(
    'leaves nothing where %s, and says what the console said',
    async (_, body, message) => {
      const { folder, env } = await prepare('', body);
      const result = await img(folder, { env });
      expect(result.code).toBe(1);
      expect(result.stderr).toMatch(message);
      expect(readdirSync(join(folder, 'dist'))).toEqual([]);
      expect(readdirSync(join(folder, 'cache', 'work'))).toEqual([]);
    },
    60_000,
  );

  it('takes no disk that the installer did not finish', async () => {
    const { folder, env } = await prepare();
    writeDisk(join(folder, 'cut'), SIZE, RELEASE, (rows) =>
      rows.map((row) => (row.label === 'clawdie-root' ? { ...row, attributes: 0n } : row)),
    );
    stubMachine(folder, join(folder, 'cut'));
    expect((await img(folder, { env })).stderr).toContain(
      'The disk that the installer made has no partition that boots',
    );
    writeDisk(join(folder, 'new'), SIZE, RELEASE, (rows) =>
      rows.map((row) => (row.label === 'clawdie-root' ? { ...row, label: 'clawdie-new' } : row)),
    );
    stubMachine(folder, join(folder, 'new'));
    expect((await img(folder, { env })).stderr).toContain('clawdie-swap, clawdie-new');
    expect(readdirSync(join(folder, 'dist'))).toEqual([]);
  }, 120_000);

  it('makes a base disk again that is damaged in the cache', async () => {
    const { folder, env } = await prepare();
    expect((await img(folder, { env })).code).toBe(0);
    const machines = starts(folder).length;
    const [key] = readdirSync(join(folder, 'cache', 'disk'));
    const piece = join(folder, 'cache', 'disk', key ?? '', 'disk.zst');
    const bytes = readFileSync(piece);
    bytes.writeUInt8(bytes.readUInt8(20) ^ 1, 20);
    writeFileSync(piece, bytes);
    const result = await img(folder, { env });
    expect(result.code).toBe(0);
    expect(result.stdout).toContain('is damaged; it is made again');
    expect(starts(folder).length).toBeGreaterThan(machines);
  }, 120_000);

  it('ends at once where it is interrupted, with the machine, and leaves nothing', async () => {
    const { folder, env } = await prepare('', 'echo $$ > "$(dirname "$0")/pid"; exec sleep 600');
    const pid = join(folder, 'bin', 'pid');
    const result = await img(folder, {
      env,
      started: (child) => {
        const timer = setInterval(() => {
          if (!existsSync(pid)) return;
          clearInterval(timer);
          child.kill('SIGINT');
        }, 20);
      },
    });
    expect(result.code).toBe(130);
    expect(() => process.kill(Number(readFileSync(pid, 'utf8')), 0)).toThrow('ESRCH');
    expect(readdirSync(join(folder, 'dist'))).toEqual([]);
    expect(readdirSync(join(folder, 'cache', 'work'))).toEqual([]);
  }, 120_000);

  it.each([
    ['FORMATS="img vdi"', /FORMATS must be some of iso, img, qcow2, vmdk, vhd \(here: vdi\)/],
    ['FORMATS=""', /FORMATS names no format/],
    ['INSTALL_FS=ext4', /INSTALL_FS must be one of "ufs", "zfs"/],
    ['INSTALL_FS=zfs\nPROFILE=minimal', /PROFILE is "minimal", which leaves ZFS out/],
    ['FORMATS=iso\nINSTALL_FS=zfs\nINSTALL_LAYOUT=ab', /INSTALL_LAYOUT is "ab", but INSTALL_FS is "zfs"/],
  ])('refuses %s', async (lines, message) => {
    const { folder, env } = await prepare(`${lines}\n`);
    const result = await cli(argsFor('iso', folder), { env });
    expect(result.code).toBe(2);
    expect(result.stderr).toMatch(message);
    expect(existsSync(join(folder, 'dist'))).toBe(false);
  });

  it('refuses the sample, which cannot install itself; and ZFS where the release sets have none', async () => {
    const { folder, env } = await prepare('INSTALL_FS=zfs\n');
    const sample = await img(folder, { env }, '--set', 'FREEBSD_DIST=sample');
    expect(sample.code).toBe(2);
    expect(sample.stderr).toContain('the sample release holds no FreeBSD that could install itself');
    const zfs = await img(folder, { env });
    expect(zfs.code).toBe(1);
    expect(zfs.stderr).toContain('INSTALL_FS is "zfs", but the release holds no ZFS');
  }, 120_000);
});

describe('a fleet of disk images', () => {
  it('is made of one base disk, keeps what stands, and makes again what is gone', async () => {
    const { folder, env } = await prepare();
    const deployments = join(folder, 'deployments');
    execFileSync('mkdir', [deployments]);
    writeFileSync(join(deployments, 'common.cfg'), `${config}FORMATS="img iso"\n`);
    for (const [index, name] of ['one', 'two', 'three'].entries())
      writeFileSync(
        join(deployments, `${name}.cfg`),
        `ASSISTANT_NAME=${name}\nAGENT_NET=192.168.${index}.0/24\n`,
      );
    const fleet = (): Promise<CliResult> =>
      cli(['fleet', deployments, '--out', join(folder, 'dist'), '--cache', join(folder, 'cache')], { env });
    const first = await fleet();
    expect(first).toMatchObject({ code: 0, stderr: '' });
    expect(first.stdout).toContain('3 made');
    const machines = starts(folder).length;
    expect(machines).toBeLessThanOrEqual(2);
    const dist = join(folder, 'dist');
    const images = readdirSync(dist).filter((name) => /\.(?:iso|zst)$/.test(name));
    expect(images).toHaveLength(6);
    execFileSync('sha256sum', ['--quiet', '--strict', '-c', 'CHECKSUM.SHA256'], { cwd: dist });
    expect((await fleet()).stdout).toContain('0 made');
    rmSync(join(dist, `two-${RELEASE}.img.zst`));
    const third = await fleet();
    expect(third.stdout).toContain('1 made');
    execFileSync('sha256sum', ['--quiet', '--strict', '-c', 'CHECKSUM.SHA256'], { cwd: dist });
    expect(starts(folder)).toHaveLength(machines);
  }, 120_000);

  it('takes its base disk from a registry: no job of a matrix runs a machine', async () => {
    const { folder, env } = await prepare();
    const deployments = join(folder, 'deployments');
    execFileSync('mkdir', [deployments]);
    writeFileSync(join(deployments, 'one.cfg'), `${config}FORMATS="img"\n`);
    const { repository } = await startRegistry(folder);
    const cache = ['--cache', join(folder, 'cache')];
    const published = await cli(
      ['publish', deployments, '--to', repository, '--insecure-registry', ...cache],
      { env },
    );
    expect(published.code).toBe(0);
    const references = published.stdout.trim().split('\n');
    expect(references).toHaveLength(2);
    const fleet = (bases: readonly string[], ...more: readonly string[]): Promise<CliResult> =>
      cli(
        [
          'fleet',
          deployments,
          '--out',
          join(folder, 'dist'),
          '--bases',
          bases.join(' '),
          '--insecure-registry',
          ...more,
        ],
        { env },
      );
    await fleet(references, ...cache);
    const image = join(folder, 'dist', `one-${RELEASE}.img.zst`);
    const wanted = sha256(readFileSync(image));
    const machines = starts(folder).length;
    rmSync(join(folder, 'dist'), { recursive: true });

    const elsewhere = ['--cache', join(folder, 'elsewhere')];
    const without = await fleet(references.slice(0, 1), ...elsewhere);
    expect(without.code).toBe(2);
    expect(without.stderr).toContain(`None of --bases is the base disk of ${RELEASE}, standard, ufs`);
    expect(await fleet(references, ...elsewhere)).toMatchObject({ code: 0, stderr: '' });
    expect(sha256(readFileSync(image))).toBe(wanted);
    expect(starts(folder)).toHaveLength(machines);
  }, 120_000);
});
