/** A part of a release: a set, or a package of the base system. */
export interface ReleasePart {
  /** Below the place that the release is from. */
  readonly path: string;
  readonly sha256: string;
  readonly kind: 'set' | 'base';
  readonly name: string;
  /** Of a package. */
  readonly version?: string;
}

/** What a release was made of, by the paths and sums of its record; a package's path may have a part of its sum in it. Pure. */
export function releaseParts(sums: Readonly<Record<string, string>>): readonly ReleasePart[] {
  return Object.entries(sums).map(([path, sha256]) => {
    const [, name, version] = /(?:^|\/)([^/]+)-([^-/~]+)(?:~[^/]*)?\.pkg$/.exec(path) ?? [];
    return name === undefined || version === undefined
      ? { path, sha256, kind: 'set', name: path }
      : { path, sha256, kind: 'base', name, version };
  });
}
