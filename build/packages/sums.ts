/**
 * Sums of packages as catalogues have them (libpkg/pkg_checksum.c): 64 hexadecimal digits of SHA-256, or, since pkg 2.8,
 * `<type>$<hash>` with the type as a number.
 */
export interface Sum {
  readonly algorithm: 'sha256' | 'blake2b512' | 'blake2s256';
  /** What the hash comes to, in hexadecimal. */
  readonly hex: string;
  /** As the catalogue has it. */
  readonly text: string;
}

/** https://philzimmermann.com/docs/human-oriented-base-32-encoding.txt; here the bits are taken lowest first. */
const ALPHABET = 'ybndrfg8ejkmcpqxot1uwisza345h769';

/** Bytes in pkg's base 32. */
export function encodeBase32(bytes: Uint8Array): string {
  let text = '';
  let held = 0;
  let bits = 0;
  for (const byte of bytes) {
    held |= byte << bits;
    bits += 8;
    for (; bits >= 5; bits -= 5, held >>>= 5) text += ALPHABET.charAt(held & 31);
  }
  return bits > 0 ? text + ALPHABET.charAt(held) : text;
}

/** Bytes of pkg's base 32; undefined if it is none, or not as encodeBase32() writes that many bytes. */
export function decodeBase32(text: string, length: number): Buffer | undefined {
  const bytes: number[] = [];
  let held = 0;
  let bits = 0;
  for (const letter of text) {
    const value = ALPHABET.indexOf(letter);
    if (value < 0) return undefined;
    held |= value << bits;
    bits += 5;
    if (bits < 8) continue;
    bytes.push(held & 0xff);
    held >>>= 8;
    bits -= 8;
  }
  const result = Buffer.from(bytes);
  return result.length === length && encodeBase32(result) === text ? result : undefined;
}

/** Forms by the number before the `$` (pkg_checksum_type_t); 3, 4 and 6 are raw bytes, which no catalogue can have. */
const FORMS: Readonly<
  Record<string, { readonly algorithm: Sum['algorithm']; readonly base32: boolean; readonly bytes: number }>
> = {
  '0': { algorithm: 'sha256', base32: true, bytes: 32 },
  '1': { algorithm: 'sha256', base32: false, bytes: 32 },
  '2': { algorithm: 'blake2b512', base32: true, bytes: 64 },
  '5': { algorithm: 'blake2s256', base32: true, bytes: 32 },
};

/** Reads a sum; undefined where it is of no form that is known. */
export function parseSum(text: string): Sum | undefined {
  const [, kind = '1', hash = ''] = /^(?:([0-9])\$)?([0-9a-z]{1,128})$/.exec(text) ?? [];
  const form = FORMS[kind];
  if (!form || hash === '') return undefined;
  const { algorithm, base32, bytes } = form;
  if (!base32)
    return new RegExp(`^[0-9a-f]{${bytes * 2}}$`).test(hash) ? { algorithm, hex: hash, text } : undefined;
  const decoded = decodeBase32(hash, bytes);
  return decoded && { algorithm, hex: decoded.toString('hex'), text };
}
