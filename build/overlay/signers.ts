/*
 * Signers as ssh-keygen(1) knows them (-Y; PROTOCOL.sshsig of OpenSSH). The namespace keeps what was signed as one thing from
 * being taken for another.
 */

/** What is signed: the first sector of a slot, and the list of sums of a folder of images. */
export const SLOT_NAMESPACE = 'clawdie-slot';
export const IMAGE_NAMESPACE = 'clawdie-image';

/** What every signer is called in the lists that this project makes. */
export const SIGNER = 'clawdie';

/** A list of signers as ssh-keygen(1) reads it (allowed_signers), of public keys. */
export function allowedSigners(keys: readonly string[]): string {
  return keys
    .map(
      (key) => `${SIGNER} namespaces="${SLOT_NAMESPACE},${IMAGE_NAMESPACE}" ${key.split(' ', 2).join(' ')}\n`,
    )
    .join('');
}

/** Why ssh-keygen(1) finds nobody in a text of signers; undefined where it names a public key. */
export function noSigners(text: string): string | undefined {
  if (/^-----BEGIN [A-Z ]*PRIVATE KEY-----/m.test(text)) return 'is a private key';
  return /^[^#\n]*\b(?:ssh-|ecdsa-|sk-)\S+ +AAAA/m.test(text) ? undefined : 'holds no public key';
}

/** The lines of a list in which some may be public keys alone, as ssh-keygen(1) reads them. */
export function asSigners(text: string): string {
  return text
    .split(/\r?\n/)
    .map((line) =>
      /^(?:ssh-|ecdsa-|sk-)\S+ /.test(line.trim()) ? allowedSigners([line.trim()]).trimEnd() : line,
    )
    .join('\n');
}
