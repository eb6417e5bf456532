/** A line of a checksum file in BSD format (sha256(1)). */
export function checksumLine(name: string, sum: string): string {
  return `SHA256 (${name}) = ${sum}`;
}

/**
 * CHECKSUM.SHA256 with sums of images put in: lines of other images stay, sorted by name.
 *
 * @param keep tells whether a line of another image stays
 */
export function withChecksums(
  text: string,
  more: ReadonlyMap<string, string>,
  keep: (name: string) => boolean,
): string {
  const sums = new Map<string, string>();
  for (const line of text.split('\n')) {
    const match = /^SHA256 \((.+)\) = ([0-9a-f]{64})$/.exec(line);
    if (match?.[1] !== undefined && match[2] !== undefined && keep(match[1])) sums.set(match[1], match[2]);
  }
  for (const [name, sum] of more) sums.set(name, sum);
  return [...sums]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([file, value]) => `${checksumLine(file, value)}\n`)
    .join('');
}
