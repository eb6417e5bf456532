import { generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { pack } from 'tar-stream';
import { sha256 } from '../../build/host/hash.js';
import { median, megabytes, program, say, seconds } from './measure.js';
import type { Measured } from './measure.js';
import { makeRelease } from './release.js';

/*
 *   lock   of 300 packages in a folder, none in the cache, against `pkg update -f` and `pkg install -n` of the same folder, and
 *          `cp` and `sha256sum` of it, since a lock has every file: where --pkg names a pkg(8)
 *   image  what one with them costs beyond one without, against `cp` and `sha256sum` of the packages
 *   stamp  the image of another deployment with that lock, against `cp` and `sha256sum` of the image
 */

const LIMITS = { lock: 1, image: 1.5, stamp: 1.5 };
const COUNT = 300;
const SIZE = 1_000_000;
const ABI = 'FreeBSD:15:amd64';

/** A tar archive that is not packed. */
function archive(entries: readonly (readonly [name: string, body: string | Buffer])[]): Promise<Buffer> {
  const tar = pack();
  for (const [name, body] of entries) tar.entry({ name, mtime: new Date(1_780_000_000_000) }, body);
  tar.finalize();
  return buffer(tar);
}

const nameOf = (index: number): string => (index === 0 ? 'pkg' : `package${index}`);

/** A signed repository, in which each package needs the one before it; 300 MB, of bytes that do not compress. */
async function makeRepository(folder: string): Promise<void> {
  mkdirSync(join(folder, 'repository/All'), { recursive: true });
  const manifests: object[] = [];
  for (let index = 0; index < COUNT; index++) {
    const name = nameOf(index);
    const origin = (of: string): string => `bench/${of}`;
    const about = {
      ...{ name, origin: origin(name), version: '1.0', comment: name, desc: name, prefix: '/usr/local' },
      ...{
        maintainer: 'nobody@example.org',
        www: 'https://example.org',
        abi: ABI,
        arch: 'freebsd:15:x86:64',
      },
      ...{ flatsize: SIZE, categories: ['bench'] },
      ...(index > 1 && {
        deps: { [nameOf(index - 1)]: { origin: origin(nameOf(index - 1)), version: '1.0' } },
      }),
    };
    const text = JSON.stringify(about);
    const file = await archive([
      ['+COMPACT_MANIFEST', text],
      ['+MANIFEST', text],
      [`/usr/local/share/${name}`, randomBytes(SIZE)],
    ]);
    const path = `All/${name}-1.0.pkg`;
    writeFileSync(join(folder, 'repository', path), file);
    manifests.push({ ...about, sum: sha256(file), pkgsize: file.length, path, repopath: path });
  }
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString();
  const data = JSON.stringify({ groups: [], expired_packages: [], packages: manifests });
  const signed = sign('sha256', Buffer.from(sha256(data)), privateKey);
  writeFileSync(join(folder, 'key.pub'), pem);
  writeFileSync(
    join(folder, 'repository/data.pkg'),
    await archive([
      ['data.sig', signed],
      ['data.pub', pem],
      ['data', data],
    ]),
  );
  const meta = { version: 2, packing_format: 'tar', data: 'data', data_archive: 'data' };
  writeFileSync(join(folder, 'repository/meta.conf'), JSON.stringify(meta));
  for (const each of ['trusted', 'revoked', 'repos']) mkdirSync(join(folder, each));
  writeFileSync(join(folder, 'trusted/key'), `function: "sha256"\nfingerprint: "${sha256(pem)}"\n`);
  writeFileSync(
    join(folder, 'repos/bench.conf'),
    `bench: { url: "file://${folder}/repository", enabled: true, signature_type: FINGERPRINTS, fingerprints: "${folder}" }\n`,
  );
}

/** What pkg(8) takes for the same: undefined where there is none. */
function ofPkg(folder: string, program: string | undefined): number | undefined {
  if (program === undefined) return undefined;
  rmSync(join(folder, 'db'), { recursive: true, force: true });
  mkdirSync(join(folder, 'db'));
  const settings = [`ABI=${ABI}`, 'OSVERSION=1501000', `REPOS_DIR=${folder}/repos`, `PKG_DBDIR=${folder}/db`]
    .map((setting) => `-o '${setting}'`)
    .join(' ');
  const pkg = `ASSUME_ALWAYS_YES=yes '${program}' ${settings}`;
  // With something to do it ends with 1.
  return seconds(
    `${pkg} update -f > /dev/null && { ${pkg} install -n ${nameOf(COUNT - 1)} > /dev/null || [ $? -eq 1 ]; }`,
  );
}

/** Measures locks and images with packages; `pkg` is a pkg(8), where there is one. */
export async function benchPackages(folder: string, runs: number, pkg?: string): Promise<Measured> {
  const release = join(folder, 'release-2');
  const sum = await makeRelease(release);
  const work = mkdtempSync(join(folder, 'packages-'));
  try {
    await makeRepository(work);
    const common = `FREEBSD_DIST="${release}"\nFREEBSD_MANIFEST_SHA256=${sum}\nROOT_PASSWORD_HASH='$6$bench$${'a'.repeat(86)}'\nJAILS=\nHTTP=no\nHTTPS=no\nINSTALL=auto\n`;
    const own = `PACKAGES="${nameOf(COUNT - 1)}"\nPACKAGES_REPOSITORY=repository\nPACKAGES_KEY_FILE=key.pub\n`;
    writeFileSync(join(work, 'without.cfg'), common);
    writeFileSync(join(work, 'build.cfg'), common + own);
    const cache = join(work, 'cache');
    const args = (name: string): readonly string[] => ['--config', join(work, name), '--cache', cache];
    const iso = (name: string, ...more: readonly string[]): readonly string[] => [
      ...['iso', ...args(name), '--out', join(work, 'dist'), ...more],
    ];
    const image = join(work, 'dist/clawdie-15.1-RELEASE-amd64.iso');
    const copy = (what: string): number => {
      const to = join(work, 'copy');
      const taken = seconds(
        `cp -R '${what}' '${to}' && find '${to}' -type f -exec sha256sum {} + > /dev/null`,
      );
      rmSync(to, { recursive: true });
      return taken;
    };
    const locks: { readonly ours: number; readonly reference: number | undefined }[] = [];
    const images: { readonly more: number; readonly reference: number }[] = [];
    const stamps: { readonly ours: number; readonly reference: number }[] = [];
    // The root, which both images are made of.
    await program(iso('without.cfg'));
    for (let index = 0; index < runs; index++) {
      rmSync(join(cache, 'packages'), { recursive: true, force: true });
      rmSync(join(cache, 'base'), { recursive: true, force: true });
      rmSync(join(work, 'clawdie.lock.json'), { force: true });
      const locked = (await program(['lock', ...args('build.cfg')])).seconds;
      const copied = copy(join(work, 'repository'));
      const resolved = ofPkg(work, pkg);
      locks.push({ ours: locked, reference: resolved === undefined ? undefined : resolved + copied });
      const without = await program(iso('without.cfg'));
      const whole = await program(iso('build.cfg'));
      images.push({ more: whole.seconds - without.seconds, reference: copied });
      const stamp = await program(iso('build.cfg', '--set', 'HOSTNAME=natasha'));
      stamps.push({ ours: stamp.seconds, reference: copy(image) });
      say(
        `packages ${index + 1}/${runs}: lock ${locks.at(-1)?.ours.toFixed(1) ?? ''} s, pkg ${locks.at(-1)?.reference?.toFixed(1) ?? '-'} s; image + ${images.at(-1)?.more.toFixed(1) ?? ''} s, copy ${images.at(-1)?.reference.toFixed(1) ?? ''} s; stamp ${stamps.at(-1)?.ours.toFixed(1) ?? ''} s, copy ${stamps.at(-1)?.reference.toFixed(1) ?? ''} s`,
      );
    }
    const ratio = (all: readonly (readonly [number, number])[]): number =>
      median(all.map(([ours, reference]) => ours / reference));
    const lock = ratio(
      locks.flatMap(({ ours, reference }) => (reference === undefined ? [] : [[ours, reference]])),
    );
    const more = ratio(images.map((each) => [each.more, each.reference]));
    const stamp = ratio(stamps.map((each) => [each.ours, each.reference]));
    return {
      figures: { locks, images, stamps, ratios: { lock, image: more, stamp }, limits: LIMITS },
      exceeded: lock > LIMITS.lock || more > LIMITS.image || stamp > LIMITS.stamp,
      lines: [
        pkg === undefined
          ? 'Lock    not compared: --pkg names no pkg(8)'
          : `Lock    ${lock.toFixed(2)} x pkg update and install -n, cp and sha256sum, for ${COUNT} packages of ${megabytes(COUNT * SIZE)} (limit ${LIMITS.lock})`,
        `Image   ${more.toFixed(2)} x cp and sha256sum of its packages, beyond one without (limit ${LIMITS.image})`,
        `Stamp   ${stamp.toFixed(2)} x cp and sha256sum of the image with them (limit ${LIMITS.stamp}; medians of ${runs})`,
      ],
    };
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
