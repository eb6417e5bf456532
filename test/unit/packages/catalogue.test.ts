import { generateKeyPairSync, sign } from 'node:crypto';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { sha256 } from '../../../build/host/hash.js';
import { UserError } from '../../../build/error.js';
import { Catalogue, isPath, parseMeta } from '../../../build/packages/catalogue.js';
import { fetchCatalogue, repositoryAt, repositoryUrl } from '../../../build/packages/repository.js';
import type { Repository, VerifiedCatalogue } from '../../../build/packages/repository.js';
import { parseFingerprint } from '../../../build/packages/signature.js';
import type { Trust } from '../../../build/packages/signature.js';
import { makeCatalogue, makePackage, META, PACKERS, rsaKey, zstd } from '../../helpers/repository.js';
import type { RepositoryOptions } from '../../helpers/repository.js';
import { packTar } from '../../helpers/tar.js';
import { never, tmp } from '../../helpers/tmp.js';

const KEY = rsaKey();
const OTHER = rsaKey();
const trust: Trust = { trusted: [KEY.fingerprint], revoked: [], from: 'base.txz' };
const RELEASE = { abi: 'FreeBSD:15:amd64', osversion: 1501000 };

const memory = (files: Readonly<Record<string, Buffer | string>>): Repository => ({
  url: 'https://packages.example',
  key: 'PACKAGES_REPOSITORY',
  isFolder: false,
  small: (name) => Promise.resolve(files[name] === undefined ? undefined : Buffer.from(files[name])),
  bring: () => Promise.reject(new Error('not asked for')),
});

const fetched = (archive: Buffer, to = trust, file = 'data.pkg'): Promise<VerifiedCatalogue> =>
  fetchCatalogue(memory({ 'meta.conf': META, [file]: archive }), to, never);

async function manifest(
  more: Readonly<Record<string, unknown>> = {},
): Promise<Readonly<Record<string, unknown>>> {
  return (await makePackage({ name: 'tmux', more })).manifest;
}

async function catalogueOf(...manifests: readonly unknown[]): Promise<Catalogue> {
  const { body, lines } = await fetched(await makeCatalogue(manifests, { key: KEY }));
  return new Catalogue(body, lines, 'the catalogue', RELEASE);
}

describe('the catalogue of a repository', () => {
  const forms = Object.keys(PACKERS).flatMap((pack) =>
    (['data', 'packagesite'] as const).flatMap((catalogue) =>
      (['fingerprints', 'pubkey'] as const).map((signature) => ({ pack, catalogue, signature })),
    ),
  );
  it.each(forms)(
    'is read as $catalogue, signed as $signature, packed with $pack',
    async ({ pack, ...form }) => {
      const options: RepositoryOptions = { key: KEY, ...form, pack: PACKERS[pack] ?? zstd };
      const archive = await makeCatalogue([await manifest()], options);
      const found = await fetched(
        archive,
        form.signature === 'pubkey' ? { ...trust, trusted: [], key: Buffer.from(KEY.pem) } : trust,
        form.catalogue === 'data' ? 'data.pkg' : 'packagesite.pkg',
      );
      expect(found.key).toBe(KEY.fingerprint);
      expect(new Catalogue(found.body, found.lines, 'it', RELEASE).get('tmux')).toMatchObject({
        version: '1.0',
        origin: 'test/tmux',
      });
    },
  );

  it.each([
    [{}, undefined],
    [{ licenses: ['BSD3CLAUSE'], licenselogic: 'single' }, 'BSD3CLAUSE'],
    [{ licenses: ['GPLv2+', 'MIT'], licenselogic: 'dual' }, 'GPLv2+ or MIT'],
    [{ licenses: ['GPLv2+', 'MIT'], licenselogic: 'and' }, 'GPLv2+ and MIT'],
  ])('says of licences, %j, what they are: %s', async (more, license) => {
    expect((await catalogueOf(await manifest(more))).get('tmux')?.license).toBe(license);
  });

  it('has no licence that is more than a line', async () => {
    const hostile = await catalogueOf(await manifest({ licenses: ['MIT\u001b[2J'] }));
    expect(() => hostile.get('tmux')).toThrow('is no name of a licence');
  });

  it('tells who is not trusted, revoked, or not there', async () => {
    const archive = await makeCatalogue([], { key: OTHER });
    await expect(fetched(archive)).rejects.toThrow(
      `data.pkg is signed with the key ${OTHER.fingerprint}, which is not one of base.txz: ${KEY.fingerprint}`,
    );
    const own = await makeCatalogue([], { key: KEY });
    await expect(fetched(own, { ...trust, revoked: [KEY.fingerprint] })).rejects.toThrow(
      'which base.txz has as revoked',
    );
    const known = await makeCatalogue([], { key: KEY, signature: 'pubkey' });
    await expect(fetched(known)).rejects.toThrow('signed with a key that does not come with it');
    await expect(
      fetched(await makeCatalogue([], { key: KEY, members: (all) => all.slice(2) })),
    ).rejects.toThrow('is not signed');
    await expect(
      fetched(await makeCatalogue([], { key: KEY, members: (all) => all.slice(1) })),
    ).rejects.toThrow('holds the key data.pub, and no signature of it');
    const [first] = [
      await makeCatalogue([], { key: KEY, members: ([sig, , ...rest]) => (sig ? [sig, ...rest] : []) }),
    ];
    await expect(fetched(first)).rejects.toThrow(
      'holds the signature data.sig, and not the key that it is of',
    );
  });

  it('takes no key but RSA of a decent length', async () => {
    const ec = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
    const pem = ec.publicKey.export({ type: 'spki', format: 'pem' }).toString();
    const elliptic = {
      pem,
      fingerprint: sha256(pem),
      sign: (data: Buffer) => sign('sha256', Buffer.from(sha256(data)), ec.privateKey),
    };
    const trusting = { ...trust, trusted: [elliptic.fingerprint] };
    await expect(fetched(await makeCatalogue([], { key: elliptic }), trusting)).rejects.toThrow(
      'a key of the kind "ec"; RSA alone is verified here',
    );
    const named = await makeCatalogue([], {
      key: { ...KEY, sign: (data) => Buffer.concat([Buffer.from('$PKGSIGN:ecdsa$'), KEY.sign(data)]) },
    });
    await expect(fetched(named)).rejects.toThrow('a key of the kind "ecdsa"; RSA alone is verified here');
    const said = await makeCatalogue([], {
      key: { ...KEY, sign: (data) => Buffer.concat([Buffer.from('$PKGSIGN:rsa$'), KEY.sign(data)]) },
    });
    expect((await fetched(said)).key).toBe(KEY.fingerprint);
    const short = rsaKey(1024);
    await expect(
      fetched(await makeCatalogue([], { key: short }), { ...trust, trusted: [short.fingerprint] }),
    ).rejects.toThrow('an RSA key of 1024 bits, which is too short');
  });

  it('is taken from meta.conf by its names alone', async () => {
    const old = 'version = 2;\npacking_format = "txz";\nmanifests = "packagesite.yaml";\ndata = "data";\n';
    expect(parseMeta(old, 'meta.conf')).toEqual(parseMeta(META, 'meta.conf'));
    expect(() => parseMeta('{"version":3}', 'meta.conf')).toThrow('is of version "3"');
    expect(() => parseMeta('{"version":2,"data_archive":"../../x"}', 'meta.conf')).toThrow(
      'names "../../x" as data_archive',
    );
    expect(() => parseMeta('<html>', 'meta.conf')).toThrow('is of version "none"');
    await expect(fetchCatalogue(memory({}), trust, never)).rejects.toThrow('has no meta.conf');
    await expect(fetchCatalogue(memory({ 'meta.conf': META }), trust, never)).rejects.toThrow(
      'neither data.pkg nor packagesite.pkg is there',
    );
  });

  it.each([
    [{ name: '$(reboot)' }, 'is no name of a package'],
    [{ name: '../../etc' }, 'is no name of a package'],
    [{ version: '1 0' }, 'is no version'],
    [{ path: '../../../etc/passwd' }, 'is no path below the repository'],
    [{ path: '/etc/passwd' }, 'is no path below the repository'],
    [{ path: 'All//x.pkg' }, 'is no path below the repository'],
    [{ path: 'All/.hidden' }, 'is no path below the repository'],
    [{ path: 'All/x?y' }, 'is no path below the repository'],
    [{ path: undefined, repopath: 'All/../x' }, 'is no path below the repository'],
    [{ pkgsize: -1 }, 'pkgsize -1'],
    [{ pkgsize: 1e15 }, 'pkgsize 1000000000000000'],
    [{ pkgsize: '10' }, 'pkgsize "10"'],
    [{ flatsize: 1e20 }, 'flatsize 100000000000000000000'],
    [{ sum: '2$abc' }, 'is no sum of a kind that is known here'],
    [{ deps: { '../x': {} } }, 'is no name of a package'],
    [{ deps: 'all' }, 'deps "all"'],
    [{ shlibs_required: [1] }, 'shlibs_required.0 1'],
    [{ abi: 'FreeBSD:14:amd64' }, 'is a package for "FreeBSD:14:amd64", and the image is FreeBSD:15:amd64'],
    [{ abi: 'FreeBSD:15:aarch64' }, 'is a package for "FreeBSD:15:aarch64"'],
    [
      { annotations: { FreeBSD_version: '1502000' } },
      'was built on a newer FreeBSD (1502000) than the image is (1501000)',
    ],
    [{ annotations: { FreeBSD_version: 'x' } }, 'was built on FreeBSD "x"'],
    [{ dep_formula: 'a | b' }, 'as a formula (dep_formula: a | b), which is not resolved here'],
  ])('refuses a package with %j', async (more, message) => {
    const made = await manifest(more);
    const catalogue = await catalogueOf(made);
    const look = (): unknown => catalogue.get(String(made['name']));
    expect(look).toThrow(UserError);
    expect(look).toThrow(message);
  });

  it.each([
    { abi: 'FreeBSD:15:*' },
    { abi: undefined, arch: 'FreeBSD:15:amd64' },
    { path: 'All/Hashed/tmux-3.5_1,2~2$kgygnaah.pkg' },
    { path: undefined },
    { annotations: { FreeBSD_version: '1500068' } },
    { deps: [{ a: {} }, { b: {} }] },
  ])('takes a package with %j', async (more) => {
    expect((await catalogueOf(await manifest(more))).get('tmux')?.name).toBe('tmux');
  });

  it('refuses a package that is there twice, and what is no catalogue', async () => {
    const twice = await catalogueOf(await manifest(), await manifest({ version: '2' }));
    expect(() => twice.get('tmux')).toThrow('has tmux twice');
    expect(twice.get('other')).toBeUndefined();
    for (const text of [
      '',
      '[]',
      '{}',
      '{"packages":{}}',
      'null',
      '{"packages":[{}]}',
      '{"packages":[null]}',
    ])
      expect(() => new Catalogue(Buffer.from(text), false, 'it', RELEASE)).toThrow(UserError);
    for (const text of ['x', '1', '{"a":1}', 'null'])
      expect(() => new Catalogue(Buffer.from(text), true, 'it', RELEASE)).toThrow(UserError);
  });
});

/** The same numbers every time. */
function* numbers(seed: number): Generator<number, never> {
  for (let state = seed; ;) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    yield state;
  }
}

describe('hostile repositories', () => {
  let plain: Buffer;
  beforeAll(async () => {
    plain = await makeCatalogue([await manifest()], { key: KEY, pack: (bytes) => bytes });
  });

  /** Whether an altered archive is refused with a sentence, or what it fills up with was altered, and no word of it. */
  async function harmless(archive: Buffer, original: VerifiedCatalogue): Promise<string | undefined> {
    try {
      const { body, key, time } = await fetched(archive);
      if (!body.equals(original.body) || key !== original.key || time !== original.time)
        return 'it was believed';
    } catch (error) {
      if (!(error instanceof UserError)) return String(error);
      // What a tool said stands below its sentence: the last bytes are a sum, which zstd(1) finds wrong when all has been read.
      if (!/\.$|failed with exit code 1\. It said:\n/.test(error.message))
        return `this is no sentence: ${error.message}`;
    }
    return undefined;
  }

  it('change nothing by any byte of catalogue, signature and key', async () => {
    const original = await fetched(plain);
    const random = numbers(1);
    const flaws: string[] = [];
    let refused = 0;
    for (let at = 0; at < plain.length; at++) {
      const altered = Buffer.from(plain);
      altered[at] = (altered[at] ?? 0) ^ (1 + (random.next().value % 255));
      const flaw = await harmless(altered, original);
      if (flaw !== undefined) flaws.push(`byte ${at}: ${flaw}`);
      refused++;
    }
    expect(flaws).toEqual([]);
    expect(refused).toBe(plain.length);
  });

  it('change nothing by 300 bytes of a packed catalogue, and by cutting it off', async () => {
    const packed = zstd(plain);
    const original = await fetched(packed);
    const random = numbers(2);
    const flaws: string[] = [];
    for (let round = 0; round < 300; round++) {
      const at = random.next().value % packed.length;
      const altered = Buffer.from(packed);
      altered[at] = (altered[at] ?? 0) ^ (1 + (random.next().value % 255));
      const flaw = await harmless(round % 10 === 0 ? packed.subarray(0, at) : altered, original);
      if (flaw !== undefined) flaws.push(`byte ${at}: ${flaw}`);
    }
    expect(flaws).toEqual([]);
  });

  it('do not get a package in by any byte of it, longer or shorter', async () => {
    const folder = await tmp();
    const { file, manifest: about } = await makePackage({ name: 'tmux' });
    const repository = repositoryAt(folder, RELEASE.abi, folder, { signal: never });
    const sums = { sums: [{ algorithm: 'sha256', hex: String(about['sum']) }] };
    const target = join(folder, 'out', 'x');
    const tries = [...file.keys()].map((at) => {
      const altered = Buffer.from(file);
      altered[at] = (altered[at] ?? 0) ^ 0x20;
      return altered;
    });
    for (const bytes of [
      ...tries,
      Buffer.concat([file, Buffer.from([0])]),
      file.subarray(0, -1),
      Buffer.alloc(0),
    ]) {
      writeFileSync(join(folder, 'x'), bytes);
      await expect(repository.bring('x', target, sums, file.length)).rejects.toThrow(
        'It was altered or damaged, and is not used',
      );
    }
    expect(readdirSync(join(folder, 'out'))).toEqual([]);
    writeFileSync(join(folder, 'x'), file);
    await repository.bring('x', target, sums, file.length);
    expect(readdirSync(join(folder, 'out'))).toEqual(['x']);
  });

  const entry = (name: string, body: Buffer | string, more: object = {}) => ({
    name,
    body,
    mtime: new Date(0),
    ...more,
  });
  it.each([
    ['members of other names', [entry('../../data.sig', 'x')], 'which no catalogue has'],
    ['members with a path', [entry('a/data.pub', 'x')], 'which no catalogue has'],
    ['links', [entry('data', '', { type: 'symlink', linkname: '/etc/passwd' })], 'a symlink'],
    ['a second catalogue', [entry('data', '{}')], 'holds "data" twice'],
    ['a second key', [entry('data.pub', 'x')], 'holds "data.pub" twice'],
    ['large signatures', [entry('x.sig', Buffer.alloc(1024 ** 2 + 1))], 'of 1048577 bytes'],
    ['empty signatures', [entry('x.sig', '')], 'of 0 bytes'],
    [
      'many signatures',
      Array.from({ length: 9 }, (_, index) => entry(`k${index}.sig`, 'x')),
      'more than 8 signatures and keys',
    ],
  ])('are refused with %s', async (_, more, message) => {
    const archive = await makeCatalogue([], { key: KEY, members: (all) => [...all, ...more] });
    await expect(fetched(archive)).rejects.toThrow(message);
  });

  it('are refused with bombs, before they are unpacked', async () => {
    const header = (await packTar([{ name: 'data', body: 'x' }])).subarray(0, 512);
    header.write('37777777777\0', 124, 'latin1');
    header.write('        ', 148, 'latin1');
    const sum = header.reduce((total, byte) => total + byte, 0);
    header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
    await expect(fetched(zstd(header))).rejects.toThrow(
      /holds "data" of 8589934591 bytes|unpacks to more than/,
    );
    // What follows the end of an archive counts as well.
    const zeros = zstd(Buffer.concat([plain, Buffer.alloc(440 * 1024 ** 2)]));
    expect(zeros.length).toBeLessThan(100_000);
    await expect(fetched(zeros)).rejects.toThrow('unpacks to more than');
  });

  it('have no path that leads out of a folder or means something to a server', () => {
    for (const path of [
      '..',
      'a/..',
      '../a',
      '/a',
      'a//b',
      './a',
      'a/./b',
      'a\\b',
      'a b',
      'a%2e',
      'a#b',
      'a?b',
      '',
      'a/\u0000',
    ])
      expect(isPath(path)).toBe(false);
    for (const path of ['All/a-1.0,1.pkg', 'All/Hashed/a-1.0_2~2$kgygnaah.pkg', 'a@b/c+d'])
      expect(isPath(path)).toBe(true);
  });
});

describe('keys of repositories', () => {
  it('are those of base.txz, by their SHA-256', () => {
    const sum = 'b0170035af3acc5f3f3ae1859dc717101b4e6c1d0a794ad554928ca0cbb2f438';
    expect(parseFingerprint(`function: "sha256"\nfingerprint: "${sum}"\n`, 'x')).toBe(sum);
    expect(parseFingerprint(`# $FreeBSD$\n\nfunction: sha256;\nfingerprint = ${sum}\n`, 'x')).toBe(sum);
    for (const text of [
      '',
      `fingerprint: "${sum}"`,
      `function: "md5"\nfingerprint: "${sum}"`,
      'function: "sha256"\nfingerprint: "ab"',
    ])
      expect(() => parseFingerprint(text, 'the file')).toThrow('the file is no fingerprint');
    expect(() => parseFingerprint(`.include "/etc/x"\n`, 'the file')).toThrow('the file is no fingerprint');
  });

  it('and repositories are FreeBSD’s, where nobody names another', () => {
    expect(repositoryUrl('quarterly', 'FreeBSD:15:amd64')).toBe(
      'https://pkg.FreeBSD.org/FreeBSD:15:amd64/quarterly',
    );
    expect(repositoryUrl('https://mirror.example/${ABI}/x/', 'FreeBSD:15:amd64')).toBe(
      'https://mirror.example/FreeBSD:15:amd64/x',
    );
    expect(repositoryUrl('packages', 'FreeBSD:15:amd64')).toBe('packages');
  });
});
