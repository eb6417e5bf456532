import type { Sums } from './manifest.js';

/**
 * The sums of the release sets of known releases, by architecture and version. The MANIFEST of a mirror is not
 * signed, so these stand in for a signature; they are those of the MANIFEST files of download.freebsd.org.
 */
const PINS: Readonly<Record<string, Sums>> = {
  'amd64/15.1-RELEASE': {
    'base.txz': '3768988b151c20f965679062b065c63a977d6bbb9f47fd83695ec2c40790c18f',
    'kernel.txz': '49fea8ee25d0b1c523a02309efe4711d44a21ed0b36fb4191936a27a09324313',
  },
};

/** The pinned sums of a release, or undefined if the project does not know it. */
export function pinnedSums(arch: string, version: string): Sums | undefined {
  return PINS[`${arch}/${version}`];
}

/** The releases that the project knows, as `arch/version`. */
export function knownReleases(): readonly string[] {
  return Object.keys(PINS);
}
