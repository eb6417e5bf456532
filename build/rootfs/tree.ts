import { UserError } from '../error.js';

/** Owner and mode of an entry: numbers as FreeBSD has them; mode is the twelve permission bits. */
export interface Attributes {
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
}

export type Node =
  | (Attributes & { readonly type: 'dir' })
  | (Attributes & { readonly type: 'file'; /** bytes */ readonly size: number })
  | (Attributes & { readonly type: 'symlink'; readonly target: string })
  /** Another name of the file at `target`, a path of the tree. */
  | { readonly type: 'hardlink'; readonly target: string };

/** Links that an inode can have, less a few (UFS_LINK_MAX, sys/ufs/ufs/dinode.h); a folder has one of each in it. */
const MOST_LINKS = 65_000;

const DEFAULT_DIR: Node = { type: 'dir', uid: 0, gid: 0, mode: 0o755 };

/**
 * The path of an archive entry in normal form: no leading `./` or trailing `/`, the root as an empty string.
 *
 * @throws UserError if it is absolute, climbs with `..`, or holds a control character.
 */
export function normalPath(raw: string, where: string): string {
  const fail = (what: string): never => {
    throw new UserError(
      `${where} holds an entry ${JSON.stringify(raw)}, which ${what}. The archive is damaged or hostile and is not used.`,
      'Fetch the release sets again, from a source that you trust.',
    );
  };
  if (raw.startsWith('/')) fail('is an absolute path');
  const parts = raw.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..')) fail('leads out of the tree with ".."');
  if (/[\u0000-\u001f\u007f]/.test(raw)) fail('holds a control character');
  if (parts.some((part) => Buffer.byteLength(part) > 255) || Buffer.byteLength(raw) > 1024)
    fail('is too long');
  return parts.join('/');
}

/** Whether nothing says what a folder is to be: something stands in it, and that is all. */
function supposed(node: Node): boolean {
  return node === DEFAULT_DIR;
}

/** The folder that a path of the tree stands in; the root's is the root. */
export function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')));
}

/**
 * A file tree as data: what there is, whose it is, and with which mode. Contents are elsewhere. Every entry stands in
 * a folder of the tree, never behind a symbolic link.
 */
export class Tree {
  private readonly nodes = new Map<string, Node>([['', DEFAULT_DIR]]);
  /** How many other names a file has, and how many folders a folder has in it, by path. */
  private readonly links = new Map<string, number>();
  private readonly folders = new Map<string, number>();

  constructor(private readonly where: string) {}

  get(path: string): Node | undefined {
    return this.nodes.get(path);
  }

  /** Paths and nodes, sorted by the bytes of the path, folders before what is in them. */
  entries(): readonly (readonly [string, Node])[] {
    return [...this.nodes].sort(([a], [b]) => compareBytes(a, b));
  }

  /**
   * Adds an entry; a folder may come again, with other attributes.
   *
   * @throws UserError if it would replace an entry, stand behind something that is no folder, or link to nothing.
   */
  add(path: string, node: Node, where = this.where): void {
    const fail = (what: string): never => this.fail(path, what, where);
    const present = this.nodes.get(path);
    if (present && !(present.type === 'dir' && node.type === 'dir')) {
      fail(present.type === 'dir' ? `is a folder and a ${node.type} at once` : 'is there twice');
    }
    if (path !== '') this.ensureFolder(parentOf(path), path, where);
    if (node.type === 'hardlink') {
      const target = this.nodes.get(node.target);
      if (target?.type === 'hardlink') {
        this.add(path, target, where);
        return;
      }
      if (target?.type !== 'file') fail(`is a hard link to ${node.target}, which is no file before it`);
      this.count(this.links, node.target, () => fail('is one of too many hard links to a file'));
    }
    if (node.type === 'dir' && !present)
      this.count(this.folders, parentOf(path), () => fail('is one of too many folders in a folder'));
    this.nodes.set(path, node);
  }

  private count(counts: Map<string, number>, path: string, fail: () => never): void {
    const next = (counts.get(path) ?? 0) + 1;
    if (next > MOST_LINKS) fail();
    counts.set(path, next);
  }

  /** Puts an entry of the project's own in place of whatever stands there, unless that is a folder. */
  replace(path: string, node: Node): void {
    const present = this.nodes.get(path);
    if (present && present.type !== 'dir' && node.type !== 'dir') {
      for (const [name, other] of this.nodes) {
        if (other.type === 'hardlink' && other.target === path)
          this.fail(path, `is also known as ${name} and cannot be replaced`);
      }
      this.nodes.delete(path);
    }
    this.add(path, node);
  }

  /**
   * Adds what another tree has and `keep` wants. Folders in both keep what this tree says of them, unless it only supposes
   * them, because something stands in them.
   *
   * @param where what messages call the other tree
   * @throws UserError as add() does.
   */
  merge(other: Tree, where: string, keep: (path: string) => boolean = () => true): void {
    const entries = other.entries().filter(([path]) => keep(path));
    for (const [path, node] of entries) {
      const present = this.nodes.get(path);
      if (node.type === 'dir' && present?.type === 'dir') {
        if (supposed(node) || (path !== '' && !supposed(present))) continue;
      }
      if (node.type !== 'hardlink') this.add(path, node, where);
    }
    // A link may sort before the file that it links to.
    for (const [path, node] of entries) if (node.type === 'hardlink') this.add(path, node, where);
  }

  /** The path of the file that a path means, symbolic and hard links followed; undefined if there is none. */
  fileAt(path: string): string | undefined {
    let at = path;
    for (let hops = 0; hops < 16; hops++) {
      const node = this.nodes.get(at);
      if (node?.type === 'file') return at;
      if (node?.type === 'hardlink') return node.target;
      if (node?.type !== 'symlink') return undefined;
      const parts = node.target.startsWith('/') ? [] : parentOf(at).split('/');
      for (const part of node.target.split('/')) {
        if (part === '..') parts.pop();
        else if (part !== '' && part !== '.') parts.push(part);
      }
      at = parts.filter((part) => part !== '').join('/');
    }
    return undefined;
  }

  /** Paths of files at or below a folder, hard links included, sorted. */
  filesBelow(folder: string): readonly string[] {
    return this.entries()
      .filter(
        ([path, node]) => path.startsWith(`${folder}/`) && (node.type === 'file' || node.type === 'hardlink'),
      )
      .map(([path]) => path);
  }

  private ensureFolder(path: string, child: string, where: string): void {
    const present = this.nodes.get(path);
    if (present?.type === 'dir') return;
    if (present) this.fail(child, `would stand behind ${path}, which is a ${present.type}`, where);
    this.add(path, DEFAULT_DIR, where);
  }

  private fail(path: string, what: string, where = this.where): never {
    throw new UserError(
      `${where} holds an entry ${JSON.stringify(path)}, which ${what}. The archive is damaged or hostile and is not used.`,
      'Fetch the release sets again, from a source that you trust.',
    );
  }
}

/** Orders text by its UTF-8 bytes: the same in every locale. */
export function compareBytes(a: string, b: string): number {
  return a === b ? 0 : Buffer.compare(Buffer.from(a), Buffer.from(b));
}
