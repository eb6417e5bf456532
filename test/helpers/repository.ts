import { execFileSync } from 'node:child_process';
import { createHash, generateKeyPairSync, sign } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { onTestFinished } from 'vitest';
import { sha256 } from '../../build/host/hash.js';
import { encodeBase32 } from '../../build/packages/sums.js';
import { packTar, xz } from './tar.js';
import type { TestEntry } from './tar.js';

/** A package of a test's repository, as little of it as matters. */
export interface TestPackage {
  readonly name: string;
  readonly version?: string;
  readonly deps?: readonly string[];
  /** Paths of files that the manifest in it names. */
  readonly files?: readonly string[];
  /** Whatever else its manifest says. */
  readonly more?: Readonly<Record<string, unknown>>;
}

export interface RepositoryKey {
  readonly pem: string;
  readonly fingerprint: string;
  readonly sign: (data: Buffer) => Buffer;
}

/** Bytes as zstd(1) packs them. */
export function zstd(bytes: Buffer): Buffer {
  return execFileSync('zstd', ['-qc'], { input: bytes, maxBuffer: 1 << 30 });
}

/** A key that signs as FreeBSD's does: the digits of the SHA-256, with RSA and SHA-256. */
export function rsaKey(bits = 2048): RepositoryKey {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: bits });
  const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString();
  return {
    pem,
    fingerprint: sha256(pem),
    sign: (data) => sign('sha256', Buffer.from(sha256(data)), privateKey),
  };
}

/** A fingerprint as base.txz has it. */
export function fingerprintFile(fingerprint: string): string {
  return `function: "sha256"\nfingerprint: "${fingerprint}"\n`;
}

/** Entries for base.txz: keys that are trusted, libraries, the version. */
export function baseEntries(
  trusted: readonly string[],
  revoked: readonly string[] = [],
): readonly TestEntry[] {
  const keys = (kind: string, all: readonly string[]): TestEntry[] =>
    all.map((each, index) => ({
      name: `./usr/share/keys/pkg/${kind}/key${index}`,
      body: fingerprintFile(each),
    }));
  return [
    ...keys('trusted', trusted),
    ...keys('revoked', revoked),
    { name: './lib/libc.so.7', body: 'libc' },
    { name: './usr/lib/libssl.so.35', body: 'libssl' },
    { name: './usr/include/sys/param.h', body: '#define __FreeBSD_version 1501000\n' },
  ];
}

/** A package file, and what a catalogue says of it. */
export async function makePackage(
  { name, version = '1.0', deps = [], files, more = {} }: TestPackage,
  form: 'sha256' | 'blake2' = 'sha256',
): Promise<{ readonly file: Buffer; readonly manifest: Readonly<Record<string, unknown>> }> {
  const about = {
    name,
    origin: `test/${name}`,
    version,
    comment: `The package ${name}`,
    maintainer: 'nobody@example.org',
    www: 'https://example.org',
    abi: 'FreeBSD:15:amd64',
    arch: 'freebsd:15:x86:64',
    prefix: '/usr/local',
    flatsize: 1000,
    desc: 'For tests.',
    categories: ['test'],
    ...(deps.length > 0 && {
      deps: Object.fromEntries(deps.map((dep) => [dep, { origin: `test/${dep}`, version: '1.0' }])),
    }),
  };
  const file = zstd(
    await packTar([
      { name: '+COMPACT_MANIFEST', body: JSON.stringify(about) },
      {
        name: '+MANIFEST',
        body: JSON.stringify({
          ...about,
          ...(files && { files: Object.fromEntries(files.map((path) => [path, '1$00'])) }),
        }),
      },
      { name: `/usr/local/share/${name}`, body: `${name} ${version}\n` },
    ]),
  );
  const sum =
    form === 'sha256' ? sha256(file) : `2$${encodeBase32(createHash('blake2b512').update(file).digest())}`;
  const path =
    form === 'sha256'
      ? `All/${name}-${version}.pkg`
      : `All/Hashed/${name}-${version}~${sum.slice(0, 10)}.pkg`;
  return { file, manifest: { ...about, sum, pkgsize: file.length, path, repopath: path, ...more } };
}

/** How a repository is made; what is not said is as FreeBSD's. */
export interface RepositoryOptions {
  readonly key: RepositoryKey;
  readonly sums?: 'sha256' | 'blake2';
  readonly catalogue?: 'data' | 'packagesite';
  /** `data.sig` and `data.pub`, or `signature` alone. */
  readonly signature?: 'fingerprints' | 'pubkey';
  readonly pack?: (bytes: Buffer) => Buffer;
  /** Seconds since 1970. */
  readonly time?: number;
  /** Changes what the archive of the catalogue holds. */
  readonly members?: (
    entries: readonly (TestEntry & { mtime: Date })[],
  ) => readonly (TestEntry & { mtime: Date })[];
}

export const MADE = 1_780_000_000;

/** The archive of a catalogue. */
export async function makeCatalogue(
  manifests: readonly unknown[],
  {
    key,
    catalogue = 'data',
    signature = 'fingerprints',
    pack = zstd,
    time = MADE,
    members,
  }: RepositoryOptions,
): Promise<Buffer> {
  const member = catalogue === 'data' ? 'data' : 'packagesite.yaml';
  const body = Buffer.from(
    catalogue === 'data'
      ? JSON.stringify({ groups: [], expired_packages: [], packages: manifests })
      : manifests.map((each) => `${JSON.stringify(each)}\n`).join(''),
  );
  const mtime = new Date(time * 1000);
  const signed = key.sign(body);
  const entries = [
    ...(signature === 'fingerprints'
      ? [
          { name: `${member}.sig`, body: signed, mtime },
          { name: `${member}.pub`, body: key.pem, mtime },
        ]
      : [{ name: 'signature', body: Buffer.concat([signed, Buffer.from([0])]), mtime }]),
    { name: member, body, mtime },
  ];
  return pack(await packTar(members?.(entries) ?? entries));
}

/** Writes a repository to a folder. */
export async function writeRepository(
  folder: string,
  packages: readonly TestPackage[],
  options: RepositoryOptions,
): Promise<readonly Readonly<Record<string, unknown>>[]> {
  const manifests: Readonly<Record<string, unknown>>[] = [];
  mkdirSync(folder, { recursive: true });
  for (const each of packages) {
    const { file, manifest } = await makePackage(each, options.sums);
    manifests.push(manifest);
    const path = join(folder, String(manifest['path']));
    if (!path.startsWith(folder)) continue;
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, file);
  }
  writeFileSync(join(folder, 'meta.conf'), META);
  const name = options.catalogue === 'packagesite' ? 'packagesite.pkg' : 'data.pkg';
  writeFileSync(join(folder, name), await makeCatalogue(manifests, options));
  return manifests;
}

/** meta.conf as pkg writes it. */
export const META = JSON.stringify({
  version: 2,
  packing_format: 'tzst',
  manifests: 'packagesite.yaml',
  data: 'data',
  filesite: 'filesite.yaml',
  manifests_archive: 'packagesite',
  data_archive: 'data',
  filesite_archive: 'filesite',
});

/** Ways in which an archive may be packed. */
export const PACKERS: Readonly<Record<string, (bytes: Buffer) => Buffer>> = {
  zstd,
  xz,
  gzip: gzipSync,
  nothing: (bytes) => bytes,
};

/** What a server was asked for, and what it does with it. */
export interface Served {
  readonly url: string;
  readonly requests: string[];
  /** Instead of what lies in the folder, by path. */
  readonly instead: Map<string, Buffer | number>;
}

/** Serves a folder on the loopback until the test is over; ranges are served, too. */
export async function serveFolder(folder: string): Promise<Served> {
  const requests: string[] = [];
  const instead = new Map<string, Buffer | number>();
  const server = createServer((request, response) => {
    const path = decodeURIComponent((request.url ?? '').slice(1));
    requests.push(path);
    const other = instead.get(path);
    if (typeof other === 'number') {
      response.writeHead(other).end();
      return;
    }
    try {
      const bytes = other ?? readFileSync(join(folder, path));
      const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
      if (from > 0)
        response.writeHead(206, {
          'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}`,
          'content-length': bytes.length - from,
        });
      else response.writeHead(200, { 'content-length': bytes.length });
      response.end(bytes.subarray(from));
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, requests, instead };
}
