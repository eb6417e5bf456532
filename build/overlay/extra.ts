import { UserError } from '../error.js';
import type { SpecEntry } from '../rootfs/mtree.js';
import { refusal } from './extra-places.js';
import type { OverlayEntry } from './render.js';

/** Files of an operator's own: what EXTRA_FILES names, as it was read. */
export interface ExtraFiles {
  /** The folder, and the file with owners and modes, as messages call them. */
  readonly folder: string;
  readonly specPath: string;
  /** Text of files, target of links, by path. */
  readonly bodies: ReadonlyMap<string, { readonly type: 'file' | 'link'; readonly body: string }>;
  readonly spec: ReadonlyMap<string, SpecEntry>;
}

const RC_SCRIPT = /^usr\/local\/etc\/rc\.d\/([^/]+)$/;

/** Problems that a message shows. */
const SHOWN = 12;

/**
 * The entries that files of one's own add to an overlay. Pure.
 *
 * @param ours owners and modes of what the image brings itself, whether this deployment has it or not
 * @throws UserError that names each file which is not listed, would replace what the image brings, is in a place that is
 *   closed, or has rights that it must not have.
 */
export function extraEntries(
  { folder, specPath, bodies, spec }: ExtraFiles,
  ours: ReadonlyMap<string, SpecEntry>,
): readonly OverlayEntry[] {
  const problems: string[] = [];
  const scripts = new Set([...spec.keys()].flatMap((path) => RC_SCRIPT.exec(path)?.[1] ?? []));
  const entries: OverlayEntry[] = [];
  for (const path of bodies.keys())
    if (!spec.has(path)) problems.push(`${folder}/${path}: ${specPath} does not list it with owner and mode`);
  for (const entry of spec.values()) {
    const refuse = (why: string): void => {
      problems.push(`${folder}/${entry.path}: ${why}`);
    };
    const mine = ours.get(entry.path);
    const body = bodies.get(entry.path);
    const why = refusal(entry, scripts);
    if (entry.path === '' || (mine?.type === 'dir' && entry.type === 'dir')) {
      if (mine && (mine.uid !== entry.uid || mine.gid !== entry.gid || mine.mode !== entry.mode))
        refuse(`this folder is the image’s, ${mode(mine)}; leave it out`);
    } else if (mine || why !== undefined) refuse(why ?? 'the image brings it itself');
    else if (entry.type === 'dir') entries.push({ ...entry, body: '', own: true });
    else if (body?.type !== entry.type)
      refuse(
        body ? `${specPath} says that it is a ${entry.type}` : `${specPath} lists it, but it is not there`,
      );
    else entries.push({ ...entry, body: body.body, own: true });
    for (const parent of parents(entry.path)) {
      const above = ours.get(parent) ?? spec.get(parent);
      if (above && above.type !== 'dir') refuse(`${parent} is a ${above.type}, not a folder`);
    }
  }
  if (problems.length > 0) {
    const more = problems.length > SHOWN ? [`  … and ${problems.length - SHOWN} more`] : [];
    throw new UserError(
      `EXTRA_FILES has what cannot be in an image:\n${[...problems.slice(0, SHOWN).map((line) => `  ${line}.`), ...more].join('\n')}`,
      'docs/extra-files.md says where files of your own may be.',
    );
  }
  return entries;
}

function mode({ uid, gid, mode: bits }: SpecEntry): string {
  return `uid=${uid} gid=${gid} mode=${bits.toString(8).padStart(4, '0')}`;
}

function parents(path: string): readonly string[] {
  const names = path.split('/');
  return names.slice(1).map((_, index) => names.slice(0, index + 1).join('/'));
}
