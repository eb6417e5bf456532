import { execFileSync, spawnSync } from 'node:child_process';
import { generateKeyPairSync, sign } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { beforeAll, describe, expect, it } from 'vitest';
import type { TestContext } from 'vitest';
import { UserError } from '../../../build/error.js';
import { sha256 } from '../../../build/host/hash.js';
import { Catalogue } from '../../../build/packages/catalogue.js';
import { checkFile } from '../../../build/packages/checked-file.js';
import { fetchCatalogue, repositoryAt } from '../../../build/packages/repository.js';
import type { VerifiedCatalogue } from '../../../build/packages/repository.js';
import { resolvePackages } from '../../../build/packages/solver.js';
import { parseSum } from '../../../build/packages/sums.js';
import { compareVersions } from '../../../build/packages/version.js';
import { PKG as REAL_PKG, skipWithout } from '../../helpers/real.js';
import { fingerprintFile, rsaKey, zstd } from '../../helpers/repository.js';
import type { RepositoryKey } from '../../helpers/repository.js';
import { packTar } from '../../helpers/tar.js';
import { never } from '../../helpers/tmp.js';

/** The real pkg(8). */
const PKG = join(REAL_PKG.folder ?? '', 'pkg');

function real({ skip }: TestContext): void {
  skipWithout([REAL_PKG], skip);
}

const ABI = 'FreeBSD:15:amd64';
const GRAPHS = 200;

/** The same numbers every time. */
function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 8) % below;
  };
}

interface Made {
  readonly name: string;
  readonly deps: readonly string[];
  readonly needs: readonly string[];
  readonly has: readonly string[];
  readonly conflicts: readonly string[];
}

/** A graph of packages with what is rare in it: circles, libraries of others, what is missing, conflicts. */
function graph(index: number): { readonly packages: readonly Made[]; readonly wanted: readonly string[] } {
  const random = generator(index + 1);
  const count = 2 + random(8);
  const name = (number: number): string => `g${index}p${number}`;
  const packages = Array.from({ length: count }, (_, number): Made => {
    const some = (most: number): readonly number[] =>
      Array.from({ length: random(most + 1) }, () => random(count));
    const deps = [...new Set(some(3))].filter(
      (other) => other !== number && (other > number || random(10) === 0),
    );
    return {
      name: name(number),
      deps: [...deps.map(name), ...(random(40) === 0 ? [`g${index}gone`] : [])],
      needs: random(4) === 0 ? [`libg${index}p${random(count)}.so.1`] : [],
      has: random(30) === 0 ? [] : [`libg${index}p${number}.so.1`],
      conflicts: random(30) === 0 ? [name(random(count))].filter((other) => other !== name(number)) : [],
    };
  });
  return { packages, wanted: [...new Set([name(0), name(random(count))])] };
}

describe('the real pkg(8)', () => {
  let folder = '';
  let key: RepositoryKey;
  let verified: VerifiedCatalogue;
  const graphs = Array.from({ length: GRAPHS }, (_, index) => graph(index));

  const settings = (): readonly string[] =>
    Object.entries({
      ABI,
      OSVERSION: '1501000',
      REPOS_DIR: join(folder, 'repos'),
      PKG_DBDIR: join(folder, 'db'),
      PKG_CACHEDIR: join(folder, 'cache'),
    }).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
  const pkg = (...args: readonly string[]): string =>
    execFileSync(PKG, [...settings(), ...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });

  beforeAll(async () => {
    if (REAL_PKG.skipped !== undefined) return undefined;
    folder = mkdtempSync(join(tmpdir(), 'clawdie-test-'));
    const repository = join(folder, 'repository');
    for (const each of ['repository/All', 'repos', 'db', 'cache', 'keys/trusted', 'keys/revoked'])
      mkdirSync(join(folder, each), { recursive: true });
    for (const [index, { packages }] of graphs.entries())
      for (const { name, deps, needs, has, conflicts } of packages) {
        const manifest = JSON.stringify({
          ...{ name, origin: `test/${name}`, version: '1.0_1,1', comment: name, desc: name },
          ...{ maintainer: 'nobody@example.org', www: 'https://example.org', prefix: '/usr/local', abi: ABI },
          ...{ arch: 'freebsd:15:x86:64', flatsize: 0, categories: ['test'] },
          deps: Object.fromEntries(deps.map((dep) => [dep, { origin: `test/${dep}`, version: '1.0_1,1' }])),
          ...(needs.length > 0 && { shlibs_required: needs }),
          ...(has.length > 0 && { shlibs_provided: has }),
          ...(conflicts.length > 0 && { conflicts }),
        });
        // pkg takes a third of a second for each: some will do, and the catalogue is its own for all.
        if (index < 3) {
          writeFileSync(join(folder, 'manifest.ucl'), manifest);
          pkg('create', '-M', join(folder, 'manifest.ucl'), '-o', join(repository, 'All'));
          continue;
        }
        const members = ['+COMPACT_MANIFEST', '+MANIFEST'].map((member) => ({
          name: member,
          body: manifest,
        }));
        writeFileSync(join(repository, 'All', `${name}-1.0_1,1.pkg`), gzipSync(await packTar(members)));
      }
    const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    writeFileSync(join(folder, 'key'), privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
    const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString();
    key = {
      pem,
      fingerprint: sha256(pem),
      sign: (data) => sign('sha256', Buffer.from(sha256(data)), privateKey),
    };
    pkg('repo', repository, `rsa:${join(folder, 'key')}`);
    verified = await fetchCatalogue(
      repositoryAt(repository, ABI, folder, {}),
      { trusted: [], revoked: [], key: Buffer.from(pem), from: 'the test' },
      never,
    );
    // pkg of that revision dies of a signing command on Linux: the archive with both parts is put together here, and read by it.
    const mtime = new Date(1_780_000_000_000);
    writeFileSync(
      join(repository, 'data.pkg'),
      zstd(
        await packTar([
          ...[
            { name: 'data.sig', body: key.sign(verified.body) },
            { name: 'data.pub', body: pem },
            { name: 'data', body: verified.body },
          ].map((entry) => ({ ...entry, mtime })),
        ]),
      ),
    );
    writeFileSync(join(folder, 'keys/trusted/key'), fingerprintFile(key.fingerprint));
    writeFileSync(
      join(folder, 'repos/test.conf'),
      `test: { url: "file://${repository}", enabled: true, signature_type: FINGERPRINTS, fingerprints: "${join(folder, 'keys')}" }\n`,
    );
    return () => {
      rmSync(folder, { recursive: true, force: true });
    };
  }, 300_000);

  it('signs as it is verified here, and verifies as it is signed here', async (context) => {
    real(context);
    const count = graphs.flatMap(({ packages }) => packages).length;
    expect(pkg('update', '-f')).toContain(`${count} packages processed`);
    const both = await fetchCatalogue(
      repositoryAt(join(folder, 'repository'), ABI, folder, {}),
      { trusted: [key.fingerprint], revoked: [], from: 'the test' },
      never,
    );
    expect(both.body).toEqual(verified.body);
    expect(both.key).toBe(key.fingerprint);
    const stranger = { trusted: [rsaKey().fingerprint], revoked: [], from: 'the test' };
    await expect(
      fetchCatalogue(repositoryAt(join(folder, 'repository'), ABI, folder, {}), stranger, never),
    ).rejects.toThrow('which is not one of the test');
  });

  it('makes catalogues, in both forms, whose packages are read with their sums', async (context) => {
    real(context);
    const release = { abi: ABI, osversion: 1501000 };
    const data = new Catalogue(verified.body, false, 'data', release);
    const packed = readFileSync(join(folder, 'repository/packagesite.pkg'));
    const site = await fetchCatalogue(
      {
        url: 'the test',
        key: 'PACKAGES_REPOSITORY',
        isFolder: false,
        small: (name) =>
          Promise.resolve(
            name === 'meta.conf'
              ? readFileSync(join(folder, 'repository/meta.conf'))
              : name === 'packagesite.pkg'
                ? packed
                : undefined,
          ),
        bring: () => Promise.reject(new Error('not asked for')),
      },
      { trusted: [], revoked: [], key: Buffer.from(key.pem), from: 'the test' },
      never,
    );
    const lines = new Catalogue(site.body, site.lines, 'packagesite', release);
    expect(lines.size).toBe(data.size);
    for (const { name, deps } of graphs.slice(0, 20).flatMap(({ packages }) => packages)) {
      const found = data.get(name);
      expect(found).toEqual(lines.get(name));
      expect(found?.deps).toEqual([...deps].sort());
      const sum = parseSum(found?.sum ?? '');
      expect(sum?.algorithm).toBe('blake2b512');
      const path = join(folder, 'repository', found?.path ?? '');
      expect(
        await checkFile(
          path,
          { sums: [{ algorithm: sum?.algorithm ?? '', hex: sum?.hex ?? '' }] },
          found?.size,
        ),
      ).toEqual({ sha256: sha256(readFileSync(path)) });
    }
  });

  it(`installs what is resolved here, of ${GRAPHS} graphs; refused here is no less than there`, (context) => {
    real(context);
    const catalogue = new Catalogue(verified.body, false, 'data', { abi: ABI });
    // With -U it ends without a word where its database is not there yet; this makes it.
    pkg('install', '-n', '-y', graphs[0]?.wanted[0] ?? '');
    const differing: string[] = [];
    let [same, refused] = [0, 0];
    for (const { wanted } of graphs) {
      const { status, stdout, stderr } = spawnSync(
        PKG,
        [...settings(), 'install', '-n', '-y', '-U', ...wanted],
        {
          encoding: 'utf8',
          stdio: ['ignore', 'pipe', 'pipe'],
        },
      );
      const theirs = [...stdout.matchAll(/^\s+(g\d+p\d+): /gm)].map(([, name]) => name ?? '').sort();
      try {
        const { packages } = resolvePackages(
          wanted.map((name) => ({ name, by: ['test'] })),
          catalogue,
          new Set(),
        );
        const ours = packages.map(({ name }) => name).sort();
        if (ours.join(' ') === theirs.join(' ')) same++;
        else
          differing.push(
            `${wanted.join(' ')}: here ${ours.join(' ')}, there ${theirs.join(' ')} (${status ?? ''}: ${stderr.slice(0, 300)} ${stdout.slice(-200)})`,
          );
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        refused++;
        // pkg installs beside each other what names a conflict (it compares files), and what needs a library that is nowhere.
        const stricter = /are in conflict|needs the shared library/.test(error.message);
        if (!stricter && wanted.every((name) => theirs.includes(name)))
          differing.push(`${wanted.join(' ')}: ${error.message} there ${theirs.join(' ')}`);
      }
    }
    expect(differing).toEqual([]);
    expect(same + refused).toBe(GRAPHS);
    expect(same).toBeGreaterThan(GRAPHS / 2);
    expect(refused).toBeGreaterThan(5);
  });

  it('orders versions as they are ordered here', (context) => {
    real(context);
    const random = generator(7);
    const pieces = [
      '0',
      '1',
      '2',
      '10',
      '.',
      '.',
      '_',
      ',',
      'a',
      'b',
      'pl',
      'alpha',
      'beta',
      'pre',
      'rc',
      'snap',
      '+',
      '*',
    ];
    const version = (): string =>
      `1${Array.from({ length: random(6) }, () => pieces[random(pieces.length)] ?? '').join('')}`;
    const WORDS = ['<', '=', '>'];
    for (let round = 0; round < 300; round++) {
      const [one, two] = [version(), version()];
      const said = pkg('version', '-t', one, two).trim();
      expect(`${one} ${WORDS[compareVersions(one, two) + 1] ?? ''} ${two}`).toBe(`${one} ${said} ${two}`);
    }
  });
});
