/** A line of a checksum file in BSD format (sha256(1)). */
export function checksumLine(name: string, sum: string): string {
  return `SHA256 (${name}) = ${sum}`;
}

/** The sums in a checksum file by name; a name that leads out of its folder is none, and whatever else stands there is passed over. */
export function readChecksums(text: string): Map<string, string> {
  const sums = new Map<string, string>();
  for (const line of text.split('\n')) {
    const match = /^SHA256 \(([^/]+)\) = ([0-9a-f]{64})$/.exec(line);
    if (match?.[1] !== undefined && match[2] !== undefined) sums.set(match[1], match[2]);
  }
  return sums;
}

/**
 * CHECKSUM.SHA256 with sums of files put in: lines of others stay, sorted by name.
 *
 * @param keep tells whether a line of another file stays
 */
export function withChecksums(
  text: string,
  more: ReadonlyMap<string, string>,
  keep: (name: string) => boolean,
): string {
  const sums = new Map([...readChecksums(text)].filter(([name]) => keep(name)));
  for (const [name, sum] of more) sums.set(name, sum);
  return [...sums]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([file, value]) => `${checksumLine(file, value)}\n`)
    .join('');
}
