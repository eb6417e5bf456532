import { HTTP_URL, isSource } from '../readers.js';
import { oneOf, path, text } from '../schema.js';
import { keysOf } from './key.js';

const key = keysOf('Release');

/** What FreeBSD the image is made of. */
export const RELEASE_KEYS = {
  FREEBSD_VERSION: key(
    '15.1-RELEASE',
    text<string>((input) =>
      /^[1-9][0-9]\.[0-9](?:-(?:RELEASE|BETA[1-9]|RC[1-9]|STABLE|CURRENT))(?:-p[0-9]{1,2})?$/.test(input)
        ? { value: input }
        : { message: 'must be the name of a FreeBSD release', fix: 'write it as "15.1-RELEASE"' },
    ),
    'FreeBSD release that the image is made of.',
  ),
  ARCH: key('amd64', oneOf('amd64'), 'Architecture of the image. Only amd64 so far.'),
  FREEBSD_DIST: key(
    'mirror',
    text<string>((input) =>
      isSource(input.replace(/^pkgbase:/, ''))
        ? { value: input }
        : {
            message:
              'must be "mirror", "pkgbase", "sample", a folder, or an http(s) URL without user, query or fragment',
            fix: 'write "mirror", or the folder or URL that holds MANIFEST, base.txz and kernel.txz',
          },
    ),
    'Where FreeBSD comes from. Release sets (MANIFEST, base.txz, kernel.txz): "mirror" (FREEBSD_MIRROR), a folder',
    '(relative to this file), or a URL. Packages of the base system: "pkgbase", the base repository of FreeBSD for this',
    'release, or "pkgbase:" and the folder or URL of one; they are in the lock (docs/pkgbase.md).',
    '"sample": the stand-in that the project makes itself, which boots to a message and holds no FreeBSD.',
  ),
  FREEBSD_BASE_PACKAGES: key(
    'FreeBSD-set-base FreeBSD-kernel-generic',
    text<readonly string[]>((input) => {
      const names = input.split(/\s+/).filter((name) => name !== '');
      const wrong = names.find((name) => !/^[A-Za-z0-9][A-Za-z0-9._+-]{0,127}$/.test(name));
      return names.length > 0 && wrong === undefined
        ? { value: [...new Set(names)] }
        : {
            message:
              wrong === undefined ? 'names no package' : `names ${wrong}, which is no name of a package`,
            fix: 'write it as "FreeBSD-set-base FreeBSD-kernel-generic"',
          };
    }),
    'Packages of the base system that the image is made of, with FREEBSD_DIST="pkgbase"; what they need comes by itself.',
  ),
  FREEBSD_KEY_FILE: key(
    '',
    path,
    'File of the public key of a base repository of your own (relative to this file). Empty: those of FreeBSD.',
  ),
  FREEBSD_MIRROR: key(
    'https://download.freebsd.org',
    text<string>((input) =>
      HTTP_URL.test(input) && URL.canParse(input)
        ? { value: input.replace(/\/+$/, '') }
        : {
            message: 'must be an http(s) URL without user, query or fragment',
            fix: 'write it as "https://download.freebsd.org"',
          },
    ),
    'Mirror for FREEBSD_DIST="mirror"; the sets are under <mirror>/releases/<arch>/<arch>/<version>/.',
  ),
  FREEBSD_MANIFEST_SHA256: key(
    '',
    text<string | undefined>((input) =>
      input === '' || /^[0-9a-f]{64}$/i.test(input)
        ? { value: input === '' ? undefined : input.toLowerCase() }
        : {
            message: 'must be a SHA-256 sum: 64 hexadecimal digits',
            fix: 'take it from "sha256sum MANIFEST" on a copy that you trust',
          },
    ),
    'SHA-256 of the MANIFEST of a release whose sums the project does not know: one that you built, or a new one.',
    'Empty: the release has to be one that the project knows.',
  ),
  PROFILE: key(
    'standard',
    oneOf('minimal', 'standard', 'full'),
    'How much of the base system the image holds: "minimal" (what the instance runs on),',
    '"standard" (with rescue, ZFS tools and bhyve) or "full" (with manual pages and compiler).',
  ),
};
