import { createTwoFilesPatch } from 'diff';
import { isSecret } from './render.js';
import type { OverlayEntry } from './render.js';

/** How one path differs between two overlays. */
export interface Difference {
  readonly path: string;
  readonly change: 'only in A' | 'only in B' | 'differs';
  /** What differs, for people: `mode 0644 -> 0600`, `3 lines`. */
  readonly what: readonly string[];
  /** A unified diff of the contents; undefined where they are the same, or secret. */
  readonly patch?: string;
}

/** In which files two overlays differ, sorted by path. Pure. */
export function compareOverlays(
  a: readonly OverlayEntry[],
  b: readonly OverlayEntry[],
): readonly Difference[] {
  const [left, right] = [byPath(a), byPath(b)];
  return [...new Set([...left.keys(), ...right.keys()])].sort().flatMap((path): readonly Difference[] => {
    const [one, other] = [left.get(path), right.get(path)];
    if (!one || !other) {
      const change = one ? 'only in A' : 'only in B';
      return [{ path, change, what: [(one ?? other)?.type ?? ''] }];
    }
    const what = [
      ...(one.type === other.type ? [] : [`type ${one.type} -> ${other.type}`]),
      ...(one.uid === other.uid && one.gid === other.gid
        ? []
        : [`owner ${one.uid}:${one.gid} -> ${other.uid}:${other.gid}`]),
      ...(one.mode === other.mode ? [] : [`mode ${octal(one.mode)} -> ${octal(other.mode)}`]),
      ...(one.body === other.body || one.type !== 'link' ? [] : [`target ${one.body} -> ${other.body}`]),
    ];
    if (one.body === other.body || one.type === 'link' || other.type === 'link')
      return what.length === 0 ? [] : [{ path, change: 'differs', what }];
    if (isSecret(one) || isSecret(other))
      return [{ path, change: 'differs', what: [...what, 'contents (not shown)'] }];
    const patch = createTwoFilesPatch(`A/${path}`, `B/${path}`, one.body, other.body, '', '', { context: 1 });
    const [out, into] = [count(patch, '-'), count(patch, '+')];
    return [{ path, change: 'differs', what: [...what, `lines -${out} +${into}`], patch }];
  });
}

function byPath(entries: readonly OverlayEntry[]): ReadonlyMap<string, OverlayEntry> {
  return new Map(entries.map((entry) => [entry.path, entry]));
}

function octal(mode: number): string {
  return mode.toString(8).padStart(4, '0');
}

/** Lines of a unified diff that begin with a sign; its two lines of names do not count. */
function count(patch: string, sign: '-' | '+'): number {
  return patch.split('\n').filter((line) => line.startsWith(sign) && !line.startsWith(sign.repeat(3))).length;
}
