import { createPublicKey, verify } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { UserError } from '../error.js';
import { sha256 } from '../host/hash.js';
import { AGAIN } from './archive.js';

/** Whom a catalogue is believed. */
export interface Trust {
  /** SHA-256 of the keys that may sign, in hexadecimal, and of those that may no longer. */
  readonly trusted: readonly string[];
  readonly revoked: readonly string[];
  /** A key whose bytes are known beforehand: it may sign without being in the archive. */
  readonly key?: Buffer;
  /** Where the trust comes from, for messages. */
  readonly from: string;
  /** The key of a configuration that names the key of a repository of one's own, for messages. */
  readonly own?: 'PACKAGES_KEY_FILE' | 'FREEBSD_KEY_FILE';
}

/** What a signature begins with where it names its kind (libpkg/private/pkgsign.h). */
const HEAD = '$PKGSIGN:';

/** Bits of an RSA key at least. */
const LEAST_BITS = 2048;

interface Signed {
  readonly kind: string;
  readonly bytes: Buffer;
}

/** Takes the head off a signature or a key. Where the head does not end, it is none. */
function headless(bytes: Buffer): Signed {
  if (bytes.toString('latin1', 0, HEAD.length) !== HEAD) return { kind: 'rsa', bytes };
  const end = bytes.indexOf('$', HEAD.length, 'latin1');
  if (end < 0) return { kind: 'rsa', bytes };
  return { kind: bytes.toString('latin1', HEAD.length, end), bytes: bytes.subarray(end + 1) };
}

/**
 * Finds out who signed a catalogue (libpkg/pkg_repo.c, pkgsign_ossl.c): what is signed is the SHA-256 of the catalogue, as 64
 * hexadecimal digits, with RSA (PKCS#1 v1.5, SHA-256). A key comes with the archive and counts by its fingerprint (`data.sig`,
 * `data.pub`), or is known beforehand (`signature`).
 *
 * @param where what messages call the archive
 * @returns the fingerprint of the key: the SHA-256 of its bytes
 * @throws UserError if nobody who is trusted did, or one of the keys was revoked.
 */
export function verifyCatalogue(
  body: Buffer,
  signatures: ReadonlyMap<string, Buffer>,
  trust: Trust,
  where: string,
): string {
  const refuse = (what: string, fix = AGAIN): UserError =>
    new UserError(`${where} ${what}. It is not used.`, fix);
  const digest = Buffer.from(sha256(body));
  const pairs: { readonly name: string; readonly signature: Signed; readonly key: Signed }[] = [];
  for (const [name, bytes] of signatures) {
    if (name === 'signature') {
      if (trust.key) pairs.push({ name, signature: headless(bytes), key: headless(trust.key) });
      continue;
    }
    const stem = name.slice(0, -4);
    const [key, signature] = [signatures.get(`${stem}.pub`), signatures.get(`${stem}.sig`)];
    if (!signature) throw refuse(`holds the key ${name}, and no signature of it`);
    if (!key) throw refuse(`holds the signature ${name}, and not the key that it is of`);
    if (name.endsWith('.sig')) pairs.push({ name: stem, signature: headless(signature), key: headless(key) });
  }
  if (pairs.length === 0)
    throw signatures.has('signature')
      ? refuse(
          'is signed with a key that does not come with it, and no such key is known',
          `Name the file of that key, as you got it from whoever makes the repository: ${trust.own ?? 'PACKAGES_KEY_FILE'}.`,
        )
      : refuse('is not signed');
  const fingerprints = pairs.map(({ key }) => sha256(key.bytes));
  const revoked = fingerprints.find((sum) => trust.revoked.includes(sum));
  if (revoked !== undefined)
    throw refuse(`is signed with the key ${revoked}, which ${trust.from} has as revoked`);

  const known = pairs.filter((_, index) => isTrusted(fingerprints[index] ?? '', trust));
  if (known.length === 0)
    throw refuse(
      `is signed with the key ${fingerprints.join(', ')}, which is not one of ${trust.from}: ${allTrusted(trust).join(', ') || 'none'}`,
    );
  const flaws: string[] = [];
  for (const { signature, key } of known) {
    const flaw = flawOf(digest, signature, key);
    if (flaw === undefined) return sha256(key.bytes);
    flaws.push(flaw);
  }
  throw refuse(flaws.join('; '));
}

function allTrusted(trust: Trust): readonly string[] {
  return [...trust.trusted, ...(trust.key ? [fingerprintOf(trust.key)] : [])];
}

/** The fingerprint of a key as its file has it: the SHA-256 of its bytes, in hexadecimal digits. */
export function fingerprintOf(key: Buffer): string {
  return sha256(headless(key).bytes);
}

function isTrusted(fingerprint: string, trust: Trust): boolean {
  return allTrusted(trust).includes(fingerprint);
}

/** Why a signature is not one of the digest; undefined if it is. */
function flawOf(digest: Buffer, signature: Signed, key: Signed): string | undefined {
  const kind = [signature.kind, key.kind].find((each) => each !== 'rsa');
  if (kind !== undefined)
    return `is signed with a key of the kind ${JSON.stringify(kind)}; RSA alone is verified here`;
  let parsed: KeyObject;
  try {
    parsed = createPublicKey(key.bytes);
  } catch {
    return 'comes with a key that cannot be read';
  }
  if (parsed.asymmetricKeyType !== 'rsa')
    return `is signed with a key of the kind ${JSON.stringify(parsed.asymmetricKeyType)}; RSA alone is verified here`;
  const bits = parsed.asymmetricKeyDetails?.modulusLength ?? 0;
  if (bits < LEAST_BITS) return `is signed with an RSA key of ${bits} bits, which is too short`;
  // pkg has room for one byte more than a signature has, and may write it (ossl_sign_data()).
  const length = Math.ceil(bits / 8);
  const bytes =
    signature.bytes.length === length + 1 && signature.bytes[length] === 0
      ? signature.bytes.subarray(0, length)
      : signature.bytes;
  return verify('sha256', digest, parsed, bytes)
    ? undefined
    : 'has a signature that is wrong: it was altered';
}

/**
 * Reads a fingerprint as base.txz has them (usr/share/keys/pkg/trusted/*): `function: "sha256"` and `fingerprint: "…"`.
 *
 * @throws UserError if it is none, or of another function.
 */
export function parseFingerprint(text: string, where: string): string {
  const values = new Map<string, string>();
  for (const line of text.split('\n')) {
    if (/^\s*(?:#.*)?$/.test(line)) continue;
    const [, key = '', value = ''] =
      /^\s*"?(function|fingerprint)"?\s*[:=\s]\s*"?([A-Za-z0-9]+)"?\s*[;,]?\s*$/.exec(line) ?? [];
    if (key === '' || values.has(key))
      throw new UserError(
        `${where} is no fingerprint of a key: ${JSON.stringify(line)}.`,
        'Check FREEBSD_DIST.',
      );
    values.set(key, value);
  }
  const [kind = 'nothing', fingerprint = ''] = [values.get('function'), values.get('fingerprint')];
  if (kind !== 'sha256' || !/^[0-9a-f]{64}$/.test(fingerprint))
    throw new UserError(
      `${where} is no fingerprint of a key by SHA-256 (function: ${kind}).`,
      'Check FREEBSD_DIST.',
    );
  return fingerprint;
}
