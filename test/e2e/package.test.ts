import { execFileSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { cli } from '../helpers/cli.js';
import { PUBLIC_KEY } from '../helpers/config.js';
import { imagesIn } from '../helpers/fleet.js';
import { tmp } from '../helpers/tmp.js';

const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };

/** Packs the project as `npm publish` would, of what is built. */
function pack(folder: string): string {
  execFileSync('npm', ['pack', '--ignore-scripts', '--silent', '--pack-destination', folder]);
  return join(folder, `clawdie-iso-${version}.tgz`);
}

/** What all of them take: the tarball, and a cache that is warm after the first build. */
let tarball = '';
let cache = '';
beforeAll(() => {
  const folder = mkdtempSync(join(tmpdir(), 'clawdie-test-'));
  tarball = pack(folder);
  cache = join(folder, 'cache');
  return () => {
    rmSync(folder, { recursive: true });
  };
});

/**
 * Installs the package into a folder; where no registry can be reached, its dependencies are those of this project, and the
 * program is linked as npm does it.
 */
function install(folder: string): void {
  writeFileSync(join(folder, 'package.json'), '{"private": true}\n');
  try {
    execFileSync(
      'npm',
      ['install', '--prefer-offline', '--no-audit', '--no-fund', '--fetch-retries=0', tarball],
      {
        cwd: folder,
        stdio: 'pipe',
        timeout: 60_000,
      },
    );
  } catch (error) {
    const { stderr } = error as { stderr?: Buffer };
    console.warn(
      `NOT CHECKED: npm install of the dependencies (${stderr?.toString().split('\n')[0] ?? 'no answer'})`,
    );
    const modules = join(folder, 'node_modules');
    mkdirSync(join(modules, '.bin'), { recursive: true });
    execFileSync('tar', ['-xzf', tarball, '-C', modules]);
    execFileSync('mv', [join(modules, 'package'), join(modules, 'clawdie-iso')]);
    for (const name of readdirSync('node_modules').filter((each) => !/^\.|^clawdie/.test(each)))
      symlinkSync(resolve('node_modules', name), join(modules, name));
    symlinkSync('../clawdie-iso/lib/build/main.js', join(modules, '.bin', 'clawdie-iso'));
  }
}

const put = (folder: string, files: Readonly<Record<string, string>>): void => {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
};

describe('the package', () => {
  it('holds the program, its overlays and its documents, and nothing else of the project', () => {
    const list = execFileSync('tar', ['-tzf', tarball], { encoding: 'utf8' }).trim().split('\n');
    const names = list.map((path) => path.replace(/^package\//, ''));
    expect(new Set(names.map((path) => path.split('/')[0]))).toEqual(
      new Set([
        ...['lib', 'overlays', 'docs', 'build.cfg.example', 'package.json'],
        ...['README.md', 'CHANGELOG.md', 'LICENSE'],
      ]),
    );
    expect(names.filter((path) => /^lib\/(?!build\/)|\.tsbuildinfo$/.test(path))).toEqual([]);
    const overlays = execFileSync('find', ['overlays', '-type', 'f'], { encoding: 'utf8' })
      .trim()
      .split('\n');
    expect(names).toEqual(expect.arrayContaining(overlays));
  }, 30_000);

  it('builds, where it is installed, in an empty folder with build.cfg alone, what the project builds', async () => {
    const folder = await tmp();
    const place = join(folder, 'place');
    mkdirSync(place);
    install(place);
    put(place, { 'build.cfg': `FREEBSD_DIST="sample"\nSSH_AUTHORIZED_KEYS="${PUBLIC_KEY}"\n` });
    const npx = (...args: readonly string[]): string =>
      execFileSync('npx', ['--no-install', 'clawdie-iso', ...args], {
        cwd: place,
        encoding: 'utf8',
        env: { ...process.env, CLAWDIE_CACHE: cache },
      });
    expect(npx('--version').trim()).toBe(version);
    expect(npx('iso')).toContain('clawdie-sample-amd64.iso');

    const config = ['--config', join(place, 'build.cfg'), '--cache', cache];
    expect((await cli(['iso', ...config, '--out', join(folder, 'dist')])).code).toBe(0);
    expect(imagesIn(join(place, 'dist'))).toEqual(imagesIn(join(folder, 'dist')));
  }, 120_000);
});

describe('EXTRA_FILES', () => {
  const SCRIPT = '#!/bin/sh\n\n# PROVIDE: mine\n# REQUIRE: LOGIN pf\n\n. /etc/rc.subr\n';
  const SPEC =
    './usr/local/etc/rc.d/mine type=file uid=0 gid=0 mode=0555\n./opt/token type=file uid=0 gid=0 mode=0600\n';

  it('gets into images and their records; an rc.d script that comes before the firewall does not', async () => {
    const folder = await tmp();
    put(folder, {
      'build.cfg': `FREEBSD_DIST="sample"\nSSH_AUTHORIZED_KEYS="${PUBLIC_KEY}"\nEXTRA_FILES="files"\n`,
      'files/usr/local/etc/rc.d/mine': SCRIPT,
      'files/opt/token': 'not-for-everybody\n',
      'files.mtree': SPEC,
    });
    const run = () => cli(['iso', '--cache', cache, '--out', 'dist'], { cwd: folder });
    expect(await run()).toMatchObject({ code: 0, stderr: '' });
    const image = join(folder, 'dist', 'clawdie-sample-amd64.iso');
    expect(statSync(image).mode & 0o777).toBe(0o600);
    const text = readFileSync(join(folder, 'dist', 'clawdie-sample-amd64.json'), 'utf8');
    const { overlay } = JSON.parse(text) as { overlay: { path: string; own?: boolean }[] };
    expect(overlay.filter(({ own }) => own)).toEqual([
      { path: '/opt/token', type: 'file', uid: 0, gid: 0, mode: '0600', own: true },
      expect.objectContaining({ path: '/usr/local/etc/rc.d/mine', mode: '0555', own: true }),
    ]);

    put(folder, { 'files/usr/local/etc/rc.d/mine': SCRIPT.replace('LOGIN pf', 'FILESYSTEMS') });
    const early = await run();
    expect(early.code).toBe(1);
    expect(early.stderr).toContain('Nothing makes usr/local/etc/rc.d/mine run after pf');
  }, 60_000);
});
