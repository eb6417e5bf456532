import { headerText, SECTOR, sector } from './slot.js';

/**
 * The root of a release as a file, which an installed instance takes into a new boot environment (clawdie-update release). It
 * is laid out as a slot is: the first sector says in lines of text what follows, and behind the body, from the next whole
 * sector on, is the signature of that text.
 *
 *     clawdie-root 1
 *     release 15.1-RELEASE-amd64
 *     length 44816516                 bytes of the body: the kernel, then the root, each as gzip(1) has it
 *     kernel 4231672                  bytes of the kernel in it
 *     sha256 <hex>                    of the body
 *     serial 1767225600               in a signed one
 *
 * The body has no names: the kernel is one file, and the root a file system, as images have it.
 */
const ROOT_MAGIC = 'clawdie-root 1';

export interface RootFile {
  readonly release: string;
  /** of the kernel and of the root, as they lie in the cache, in bytes */
  readonly kernelBytes: number;
  readonly rootBytes: number;
  /** SHA-256 of both, one behind the other */
  readonly sha256: string;
  /** Whole number of at most ten digits: an instance takes none that is lower than its last. */
  readonly serial: number | undefined;
}

/** The first sector of a root. */
export function rootHeader({ release, kernelBytes, rootBytes, sha256, serial }: RootFile): Buffer {
  return sector([
    ...[ROOT_MAGIC, `release ${release}`, `length ${kernelBytes + rootBytes}`],
    ...[`kernel ${kernelBytes}`, `sha256 ${sha256}`],
    ...(serial === undefined ? [] : [`serial ${serial}`]),
  ]);
}

/** What the first sector of a root says; undefined if it is that of none. */
export function readRootHeader(head: Buffer): RootFile | undefined {
  const text = headerText(head);
  const value = (name: string, form: string): string | undefined =>
    new RegExp(`^${name} (${form})$`, 'm').exec(text)?.[1];
  const [release, sha256] = [value('release', '\\S+'), value('sha256', '[0-9a-f]{64}')];
  const [length, kernel] = [value('length', '\\d{1,12}'), value('kernel', '\\d{1,12}')].map(Number);
  if (!text.startsWith(`${ROOT_MAGIC}\n`) || release === undefined || sha256 === undefined) return undefined;
  if (length === undefined || kernel === undefined || !(kernel <= length)) return undefined;
  const serial = value('serial', '\\d{1,10}');
  return {
    ...{ release, sha256, kernelBytes: kernel, rootBytes: length - kernel },
    serial: serial === undefined ? undefined : Number(serial),
  };
}

/** Bytes between the end of a body and its signature. */
export function fillOf({ kernelBytes, rootBytes }: RootFile): number {
  return (SECTOR - ((kernelBytes + rootBytes) % SECTOR)) % SECTOR;
}
