import { execFileSync, spawn } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { FleetRecord } from '../../build/fleet/record.js';
import { cli, MAIN } from '../helpers/cli.js';
import { HASH } from '../helpers/config.js';
import { fleetArgs, imagesIn, writeFleet } from '../helpers/fleet.js';
import { mountSmall, tmp } from '../helpers/tmp.js';

const record = (folder: string): FleetRecord =>
  JSON.parse(readFileSync(join(folder, 'dist', 'fleet.json'), 'utf8')) as FleetRecord;

/** Everything in an output folder is whole, and its sums are those of its images and their papers. */
function expectWhole(folder: string): void {
  const dist = join(folder, 'dist');
  expect(readdirSync(dist).filter((name) => name.endsWith('.part') || name === '.fleet.journal')).toEqual([]);
  execFileSync('sha256sum', ['--quiet', '--strict', '-c', 'CHECKSUM.SHA256'], { cwd: dist });
  const sums = Object.fromEntries(
    record(folder)
      .deployments.flatMap(({ images }) => images)
      .map(({ name, sha256 }) => [name, sha256]),
  );
  expect(imagesIn(dist)).toEqual(sums);
  // Each image with its bill of materials and its provenance.
  expect(readFileSync(join(dist, 'CHECKSUM.SHA256'), 'utf8').trim().split('\n')).toHaveLength(
    3 * Object.keys(sums).length,
  );
}

describe('clawdie-iso fleet', () => {
  it('makes one image for each deployment, the same that `iso` makes; then only what has changed', async () => {
    const folder = await tmp();
    const deployments = writeFleet(folder, 4);
    const first = await cli(fleetArgs(folder));
    expect(first).toMatchObject({ code: 0, stderr: '' });
    expect(first.stdout).toContain('4 deployments, 1 base image: 4 made');
    expectWhole(folder);
    expect(Object.keys(imagesIn(join(folder, 'dist')))).toHaveLength(4);

    const common = readFileSync(join(deployments, 'common.cfg'), 'utf8');
    writeFileSync(join(folder, 'one.cfg'), common + readFileSync(join(deployments, 'n0002.cfg'), 'utf8'));
    const one = ['--config', join(folder, 'one.cfg'), '--cache', join(folder, 'cache')];
    expect((await cli(['iso', ...one, '--out', join(folder, 'one')])).code).toBe(0);
    expect(Object.values(imagesIn(join(folder, 'one')))).toEqual([
      imagesIn(join(folder, 'dist'))['n0002-sample-amd64.iso'],
    ]);

    const before = statSync(join(folder, 'dist', 'n0001-sample-amd64.iso')).mtimeMs;
    appendFileSync(join(deployments, 'n0003.cfg'), 'ICMP_ECHO="yes"\n');
    const second = await cli(fleetArgs(folder));
    expect(second.stdout).toContain('4 deployments, 1 base image: 1 made');
    expect(second.stdout).toMatch(/^made {2}n0003 /m);
    expect(second.stdout).toMatch(/^kept {2}n0001 /m);
    expect(record(folder).made).toEqual(['n0003']);
    expect(statSync(join(folder, 'dist', 'n0001-sample-amd64.iso')).mtimeMs).toBe(before);
    expectWhole(folder);

    // What is common to all changes all; an image that was touched or lost is made again.
    appendFileSync(join(deployments, 'common.cfg'), 'HTTP="no"\n');
    expect((await cli(fleetArgs(folder))).stdout).toContain('4 made');
    rmSync(join(folder, 'dist', 'n0000-sample-amd64.iso'));
    writeSync(openSync(join(folder, 'dist', 'n0001-sample-amd64.iso'), 'r+'), 'x', 100);
    utimesSync(join(folder, 'dist', 'n0001-sample-amd64.iso'), 1, 1);
    expect((await cli(fleetArgs(folder))).stdout).toContain('2 made');
    expectWhole(folder);
  }, 60_000);

  it('records of each image say what went into it, and where from', async () => {
    const folder = await tmp();
    writeFleet(folder, 1);
    await cli(fleetArgs(folder));
    const build = JSON.parse(readFileSync(join(folder, 'dist', 'n0000-sample-amd64.json'), 'utf8')) as {
      configuration: Readonly<Record<string, { value: string; origin: string }>>;
    };
    expect(build.configuration['FREEBSD_DIST']).toEqual({ value: 'sample', origin: 'common file' });
    expect(build.configuration['AGENT_NET']).toEqual({ value: '10.0.0.0/24', origin: 'file' });
  }, 30_000);

  it('one bad file among a thousand: nothing is built, and the file, its line and the fix are shown', async () => {
    const folder = await tmp();
    const deployments = writeFleet(folder, 1000);
    appendFileSync(join(deployments, 'n0777.cfg'), 'AGENT_NTE="10.9.9.0/24"\n');
    const result = await cli(fleetArgs(folder));
    expect(result).toMatchObject({ code: 2, stdout: '' });
    expect(result.stderr).toContain('1 of 1000 deployments have problems. Nothing was built.');
    expect(result.stderr).toMatch(
      /n0777\.cfg:3:1: there is no key AGENT_NTE\n.*\n.*\n.*fix: did you mean AGENT_NET\?/,
    );
    expect(existsSync(join(folder, 'dist'))).toBe(false);
  }, 60_000);

  it('shows the problems of all files together, those of common.cfg once, and no secret', async () => {
    const folder = await tmp();
    const deployments = writeFleet(folder, 3);
    appendFileSync(join(deployments, 'common.cfg'), 'HTTP="perhaps"\n');
    appendFileSync(join(deployments, 'n0000.cfg'), `ROOT_PASWORD_HASH='${HASH}'\n`);
    appendFileSync(join(deployments, 'n0002.cfg'), 'PF_RULES_FILE="absent.conf"\n');
    writeFileSync(join(deployments, 'a b.cfg'), '');
    const { code, stderr } = await cli(fleetArgs(folder));
    expect(code).toBe(2);
    expect(stderr.match(/HTTP must be/g)).toHaveLength(1);
    expect(stderr).toContain('did you mean ROOT_PASSWORD_HASH?');
    expect(stderr).not.toContain(HASH);
    expect(stderr).toContain('a b.cfg: Its name may have letters');
    rmSync(join(deployments, 'a b.cfg'));
    writeFleet(folder, 3);
    appendFileSync(join(deployments, 'n0002.cfg'), 'PF_RULES_FILE="absent.conf"\n');
    const absent = await cli(fleetArgs(folder));
    expect(absent.stderr).toMatch(/n0002\.cfg:\d+:\d+: PF_RULES_FILE: .*absent\.conf cannot be read/);
  }, 30_000);

  it('a firewall that does not do what the policy says stops the fleet before its first image', async () => {
    const folder = await tmp();
    const deployments = writeFleet(folder, 3);
    writeFileSync(join(deployments, 'open.conf'), 'pass in quick on $ext_if proto tcp to port 5900\n');
    appendFileSync(join(deployments, 'n0001.cfg'), 'PF_RULES_FILE="open.conf"\n');
    const { code, stderr } = await cli(fleetArgs(folder));
    expect(code).toBe(2);
    expect(stderr).toContain('1 of 3 deployments have problems. Nothing was built.');
    expect(stderr).toContain('n0001.cfg: The firewall of this image does not do what the policy says');
    expect(Object.keys(imagesIn(join(folder, 'dist')))).toEqual([]);
  }, 30_000);

  it('refuses deployments of one machine that are in each other’s way, and warns of others', async () => {
    const folder = await tmp();
    const deployments = writeFleet(folder, 3);
    for (const name of ['n0000', 'n0001']) appendFileSync(join(deployments, `${name}.cfg`), 'HOST="rack1"\n');
    appendFileSync(
      join(deployments, 'n0001.cfg'),
      'AGENT_NET="10.0.0.0/24"\n'.replace('AGENT_NET', 'TENANTS').replace('10', 'tom=10'),
    );
    const refused = await cli(fleetArgs(folder));
    expect(refused.code).toBe(2);
    expect(refused.stderr).toMatch(/HOST rack1: the jail nets of \S*n0000\.cfg and \S*n0001\.cfg overlap/);
    writeFleet(folder, 3);
    writeFileSync(join(deployments, 'n0002.cfg'), 'ASSISTANT_NAME="agentaaa"\nAGENT_NET="10.7.7.0/24"\n');
    const warned = await cli(fleetArgs(folder));
    expect(warned.code).toBe(0);
    expect(warned.stdout).toMatch(/Warning: \S*n0000\.cfg and \S*n0002\.cfg have one ASSISTANT_NAME/);
  }, 30_000);

  it('--only, --shard: all shards together are the fleet; --changed-since leaves alone what a record has', async () => {
    const folder = await tmp();
    const deployments = writeFleet(folder, 5);
    for (const part of ['1/3', '2/3', '3/3']) {
      const args = fleetArgs(folder, '--shard', part).map((arg) =>
        arg === join(folder, 'dist') ? join(folder, part.replace('/', '-')) : arg,
      );
      expect((await cli(args)).code).toBe(0);
    }
    const shards = ['1-3', '2-3', '3-3'].map((name) => imagesIn(join(folder, name)));
    expect(shards.map((images) => Object.keys(images).length)).toEqual([2, 2, 1]);
    expect((await cli(fleetArgs(folder, '--only', 'n0000,n000[4]'))).stderr).toContain('Did you mean n0004?');
    expect((await cli(fleetArgs(folder))).code).toBe(0);
    expect(Object.assign({}, ...shards)).toEqual(imagesIn(join(folder, 'dist')));

    renameSync(join(folder, 'dist'), join(folder, 'earlier'));
    appendFileSync(join(deployments, 'n0004.cfg'), 'ICMP_ECHO="yes"\n');
    const since = ['--changed-since', join(folder, 'earlier', 'fleet.json')];
    expect((await cli(fleetArgs(folder, ...since))).stdout).toContain('1 made');
    expect(Object.keys(imagesIn(join(folder, 'dist')))).toEqual(['n0004-sample-amd64.iso']);
    // The record tells of the whole fleet, wherever its images are.
    expect(record(folder).deployments.map(({ name }) => name)).toHaveLength(5);
    const plan = await cli(['plan', deployments, '--format', 'github', ...since]);
    expect(JSON.parse(plan.stdout)).toEqual({ include: [{ deployments: 'n0004' }] });
    const only = await cli(fleetArgs(folder, '--only', 'n000?', ...since));
    expect(only.code).toBe(2);
    const wrong = await cli(fleetArgs(folder, '--changed-since', join(deployments, 'common.cfg')));
    expect(wrong).toMatchObject({ code: 2 });
    expect(wrong.stderr).toContain('cannot be used as a fleet record: it is no JSON');
  }, 60_000);
});

describe('a fleet that something happens to', () => {
  it('killed at any moment, leaves whole images under final names; the next run finishes the job', async () => {
    const folder = await tmp();
    const deployments = writeFleet(folder, 8);
    expect((await cli(fleetArgs(folder))).code).toBe(0);
    const wanted = imagesIn(join(folder, 'dist'));
    let seed = 20260101;
    const next = (): number => (seed = (seed * 1103515245 + 12345) % 2 ** 31) / 2 ** 31;
    let killed = 0;
    for (let round = 0; round < 12; round++) {
      // Every third round from nothing; the others with another fleet standing there.
      if (round % 3 === 0) rmSync(join(folder, 'dist'), { recursive: true });
      else {
        appendFileSync(join(deployments, 'common.cfg'), 'HTTP="no"\n');
        await cli(fleetArgs(folder));
        writeFleet(folder, 8);
      }
      const other = existsSync(join(folder, 'dist')) ? imagesIn(join(folder, 'dist')) : {};
      const child = spawn(process.execPath, [MAIN, ...fleetArgs(folder)], { stdio: 'ignore' });
      const ended = new Promise((resolve) => child.once('exit', resolve));
      // Most of them while it writes.
      for (let waited = 0; waited < 20_000 && child.exitCode === null; waited += 5) {
        if (existsSync(join(folder, 'dist', '.fleet.journal')) && round % 4 !== 0) break;
        if (round % 4 === 0 && waited > 1500 * next()) break;
        await sleep(5);
      }
      await sleep(250 * next());
      if (child.kill('SIGKILL')) killed++;
      await ended;
      if (existsSync(join(folder, 'dist')))
        for (const [name, sum] of Object.entries(imagesIn(join(folder, 'dist'))))
          expect([wanted[name], other[name]]).toContain(sum);
      expect((await cli(fleetArgs(folder))).code).toBe(0);
      expect(imagesIn(join(folder, 'dist'))).toEqual(wanted);
      expectWhole(folder);
    }
    expect(killed).toBeGreaterThan(6);
  }, 240_000);

  it('interrupted, ends in order, and says so', async () => {
    const folder = await tmp();
    writeFleet(folder, 60);
    const running = cli(fleetArgs(folder), {
      started: (child) => {
        void (async () => {
          for (let waited = 0; waited < 20_000; waited += 20) {
            if (existsSync(join(folder, 'dist', '.fleet.journal'))) break;
            await sleep(20);
          }
          child.kill('SIGINT');
        })();
      },
    });
    const result = await running;
    expect(result.code).toBe(130);
    expect(result.stderr).toContain('Interrupted by SIGINT');
    expect(readdirSync(join(folder, 'dist')).filter((name) => name.endsWith('.part'))).toEqual([]);
    expect((await cli(fleetArgs(folder))).code).toBe(0);
    expectWhole(folder);
  }, 90_000);

  it('a full disk: what is whole stays, the error is clear, and with room the rest is made', async (context) => {
    const folder = await tmp();
    writeFleet(folder, 6);
    mountSmall(join(folder, 'dist'), 'size=20m', context);
    const result = await cli(fleetArgs(folder));
    expect(result.code).toBe(1);
    expect(result.stderr).toMatch(/Writing .* failed: no space left on device\.\nFree some space/);
    const made = Object.keys(imagesIn(join(folder, 'dist'))).length;
    expect(made).toBeGreaterThan(0);
    expect(made).toBeLessThan(6);
    expect(readdirSync(join(folder, 'dist')).filter((name) => name.endsWith('.part'))).toEqual([]);
    execFileSync('mount', ['-o', 'remount,size=80m', join(folder, 'dist')]);
    const again = await cli(fleetArgs(folder));
    expect(again.code).toBe(0);
    expect(record(folder).made.length).toBeLessThan(6);
    expectWhole(folder);
  }, 60_000);

  it('a folder that cannot be written to', async (context) => {
    const folder = await tmp();
    writeFleet(folder, 1);
    if (process.getuid?.() === 0) mountSmall(join(folder, 'dist'), 'ro', context);
    else {
      mkdirSync(join(folder, 'dist'));
      chmodSync(join(folder, 'dist'), 0o555);
    }
    const result = await cli(fleetArgs(folder));
    expect(result.code).toBe(1);
    expect(result.stderr).toMatch(
      /Writing .* failed: (?:read-only file system|permission denied)\.\n.*choose another folder/,
    );
  }, 30_000);

  it.each([
    ['before its slot', 40_000],
    ['in its slot', -1],
    ['at its end', -2],
  ])(
    'a base image in the cache that is damaged %s is made again',
    async (_, where) => {
      const folder = await tmp();
      writeFleet(folder, 2);
      await cli(fleetArgs(folder));
      const wanted = imagesIn(join(folder, 'dist'));
      const [key = ''] = readdirSync(join(folder, 'cache', 'base'));
      const base = join(folder, 'cache', 'base', key, 'base.iso');
      const bytes = readFileSync(base);
      const at =
        where === -1 ? bytes.indexOf('clawdie-slot 1') + 100_000 : where === -2 ? bytes.length - 1 : where;
      bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
      writeFileSync(base, bytes);
      rmSync(join(folder, 'dist'), { recursive: true });
      const result = await cli(fleetArgs(folder));
      expect(result.code).toBe(0);
      expect(result.stdout).toMatch(/Warning: The base image .* is damaged.*It is made again\./);
      expect(imagesIn(join(folder, 'dist'))).toEqual(wanted);
    },
    30_000,
  );

  it('two at once, on one cache: into two folders, and into one', async () => {
    const folder = await tmp();
    writeFleet(folder, 6);
    const into = (name: string): string[] =>
      fleetArgs(folder).map((arg) => (arg === join(folder, 'dist') ? join(folder, name) : arg));
    const results = await Promise.all([cli(into('one')), cli(into('two')), cli(into('one'))]);
    expect(results.map(({ code }) => code)).toEqual([0, 0, 0]);
    expect(imagesIn(join(folder, 'one'))).toEqual(imagesIn(join(folder, 'two')));
    expect(readdirSync(join(folder, 'cache', 'base'))).toHaveLength(1);
    cpSync(join(folder, 'one'), join(folder, 'dist'), { recursive: true, preserveTimestamps: true });
    expectWhole(folder);
  }, 60_000);
});

describe('clawdie-iso plan', () => {
  it('prints what CI engines run', async () => {
    const folder = await tmp();
    const deployments = writeFleet(folder, 5);
    const plan = (...args: readonly string[]): ReturnType<typeof cli> => cli(['plan', deployments, ...args]);
    expect((await plan()).stdout).toContain('5 deployments: 5 to make, 0 to keep; 1 base image.');
    expect(JSON.parse((await plan('--format', 'json', '--only', 'n0003')).stdout)).toMatchObject([
      { name: 'n0003', images: ['n0003-sample-amd64.iso'], action: 'make' },
    ]);
    expect(JSON.parse((await plan('--format', 'github', '--jobs', '2')).stdout)).toEqual({
      include: [{ deployments: 'n0000,n0002,n0004' }, { deployments: 'n0001,n0003' }],
    });
    const gitlab = await plan('--format', 'gitlab', '--jobs', '2', '--template', '/ci.yml');
    expect(gitlab.stdout).toContain('  - local: "/ci.yml"\n');
    expect(gitlab.stdout).toContain('      - DEPLOYMENTS: "n0000,n0002,n0004"\n');
    expect((await plan('--format', 'gitlab', '--jobs', '201')).stderr).toContain('more than the 200 jobs');
    expect(readdirSync(folder)).toEqual(['deployments']);
  }, 30_000);
});

describe('clawdie-iso diff', () => {
  it('says in which files two images differ, and that they have one base', async () => {
    const folder = await tmp();
    const deployments = writeFleet(folder, 2);
    writeFileSync(
      join(deployments, 'n0001.cfg'),
      `ASSISTANT_NAME="agentaaa"\nAGENT_NET="10.0.0.0/24"\nICMP_ECHO="yes"\nROOT_PASSWORD_HASH='${HASH}'\n`,
    );
    await cli(fleetArgs(folder));
    const image = (name: string): string => join(folder, 'dist', `${name}-sample-amd64.iso`);
    const same = await cli(['diff', image('n0000'), image('n0000')]);
    expect(same).toMatchObject({ code: 0 });
    expect(same.stdout).toContain('Overlay  the same');
    expect(same.stdout).toMatch(/^Bill {5}the same\nOrigin {3}the same$/m);
    const other = await cli(['diff', image('n0000'), image('n0001'), '--patch']);
    expect(other.code).toBe(1);
    expect(other.stdout).toContain('Base     the same');
    expect(other.stdout).toMatch(/^ {2}\/etc\/pf\.conf {2}\(lines -0 \+2\)$/m);
    expect(other.stdout).toContain(
      '+pass in on $ext_if inet proto icmp to ($ext_if) icmp-type echoreq keep state',
    );
    expect(other.stdout).toContain('only in B: /var/db/clawdie/root.hash  (file)');
    expect(other.stdout).not.toContain(HASH.slice(0, 20));
    // What lies in the overlay is told above; of a secret there is a digest.
    expect(other.stdout).toMatch(/^Bill {5}the same$/m);
    expect(other.stdout).toContain('  Configuration: ICMP_ECHO: no → yes\n');
    expect(other.stdout).toMatch(
      /^ {2}Configuration: ROOT_PASSWORD_HASH: \(empty\) → \(secret, scrypt-16384-8-1 [0-9a-f]{12}\)$/m,
    );
    const bill = (name: string): string => join(folder, 'dist', `${name}-sample-amd64.cdx.json`);
    const bills = await cli(['diff', bill('n0000'), bill('n0001')]);
    expect(bills.code).toBe(1);
    expect(bills.stdout).toMatch(/^ {2}overlay \/var\/db\/clawdie\/root\.hash: not there → /m);
    expect((await cli(['diff', bill('n0000'), bill('n0000')])).stdout).toBe('Bill     the same\n');
    expect(await cli(['diff', bill('n0000'), join(folder, 'dist', 'fleet.json')])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('are not two bills of materials') as string,
    });
    const bytes = readFileSync(image('n0001'));
    bytes.writeUInt8(bytes.readUInt8(bytes.indexOf('mfsroot_load')) ^ 1, bytes.indexOf('mfsroot_load'));
    writeFileSync(join(folder, 'changed.iso'), bytes);
    // Papers of another image are none of this one.
    for (const end of ['cdx.json', 'provenance.json'])
      cpSync(join(folder, 'dist', `n0001-sample-amd64.${end}`), join(folder, `changed.${end}`));
    const changed = await cli(['diff', image('n0001'), join(folder, 'changed.iso'), '--json']);
    expect(JSON.parse(changed.stdout)).toEqual({
      same: false,
      sameBase: false,
      base: ['/BOOT/LOADER.CONF'],
      overlay: [],
      slot: [],
      bill: null,
      provenance: null,
    });
    expect((await cli(['diff', image('n0000'), join(deployments, 'common.cfg')])).stderr).toContain(
      'is no disk image of this project: it has no partition table',
    );
  }, 60_000);
});
