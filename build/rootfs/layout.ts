import { parentOf } from './tree.js';
import type { Tree } from './tree.js';
import {
  BLOCK,
  blockFragments,
  dataBlock,
  DIRECT,
  directorySize,
  FIRST_BLOCKS,
  FRAGMENTS,
  groupBytes,
  INLINE_LINK,
  INODES_PER_BLOCK,
  META_AT,
  metaBlocks,
  POINTERS,
  ROOT_INODE,
} from './ffs.js';
import type { Entry, Geometry, Layout, Placed } from './ffs.js';

/** Space for what comes later: bytes of contents, and inodes. */
export interface Spare {
  readonly bytes: number;
  readonly inodes: number;
}

/** Blocks of one group at most: 128 MiB, whose maps fit into the one block that describes a group. */
const MOST_BLOCKS = 8192;
/** Bytes of that block that newfs fills at most (CGSIZEFUDGE). */
const MOST_DESCRIPTION = BLOCK - 8;

/**
 * Where everything of a tree comes to lie in a UFS2 file system: inodes in the order of the paths' bytes, contents one
 * after the other in the same order, so that the same tree gives the same file system wherever it is made.
 */
export function plan(tree: Tree, spare: Spare): Layout {
  const packer = new Packer();
  const drafts = draftInodes(tree).map((draft) => ({ ...draft, ...packer.place(contentBytes(draft)) }));
  const geometry = shape(packer.blocks, drafts.length + ROOT_INODE, spare);
  const address = addresses(geometry);
  return {
    geometry,
    inodes: drafts.map((draft) => ({
      ...draft,
      data: draft.data.map(address),
      pointers: draft.pointers.map(address),
    })),
  };
}

type Draft = Omit<Placed, 'data' | 'pointers' | 'fragments'>;

function draftInodes(tree: Tree): readonly Draft[] {
  const all = tree.entries();
  const numbers = new Map<string, number>();
  for (const [path, node] of all) if (node.type !== 'hardlink') numbers.set(path, ROOT_INODE + numbers.size);
  const links = new Map<number, number>();
  const children = new Map<string, Entry[]>();
  for (const [path, node] of all) {
    if (path === '') continue;
    const inode = numbers.get(node.type === 'hardlink' ? node.target : path);
    if (inode === undefined) throw new Error(`${path} links to nothing`);
    const folder = parentOf(path);
    const type = node.type === 'hardlink' ? 'file' : node.type;
    const inside = children.get(folder) ?? [];
    inside.push({ name: path.slice(folder === '' ? 0 : folder.length + 1), inode, type });
    children.set(folder, inside);
    links.set(inode, (links.get(inode) ?? 0) + 1);
  }
  return all.flatMap(([path, node]): readonly Draft[] => {
    const inode = numbers.get(path);
    if (node.type === 'hardlink' || inode === undefined) return [];
    const { type, uid, gid, mode } = node;
    const common = { inode, path, type, attributes: { uid, gid, mode }, entries: [], target: '' };
    const depth = path === '' ? 0 : path.split('/').length;
    if (node.type === 'file') return [{ ...common, size: node.size, links: links.get(inode) ?? 1, depth }];
    if (node.type === 'symlink')
      return [{ ...common, size: Buffer.byteLength(node.target), links: 1, depth, target: node.target }];
    const parent = numbers.get(parentOf(path)) ?? ROOT_INODE;
    const inside = children.get(path) ?? [];
    const entries: readonly Entry[] = [
      { name: '.', inode, type: 'dir' },
      { name: '..', inode: parent, type: 'dir' },
      ...inside,
    ];
    const below = inside.filter((entry) => entry.type === 'dir').length;
    return [{ ...common, entries, size: directorySize(entries), links: 2 + below, depth }];
  });
}

/** What of an inode's contents is outside of the inode, in bytes. */
function contentBytes({ type, size }: Draft): number {
  return type === 'symlink' && size < INLINE_LINK ? 0 : size;
}

/** Hands out fragments of blocks numbered from 0, as if there were nothing but contents. */
class Packer {
  blocks = 0;
  /** Blocks of which as many fragments as the index are free: the first of these. */
  private readonly open: number[][] = Array.from({ length: FRAGMENTS }, () => []);

  /** Places contents of a size; addresses are in fragments. */
  place(bytes: number): Pick<Placed, 'data' | 'pointers' | 'fragments'> {
    const count = Math.ceil(bytes / BLOCK);
    const data: number[] = [];
    const pointers: number[] = [];
    let fragments = 0;
    for (let index = 0; index < count; index++) {
      const rest = index - DIRECT;
      // A block of pointers stands before what it points to.
      if (rest === 0) pointers.push(this.take(FRAGMENTS));
      if (rest === POINTERS) pointers.push(this.take(FRAGMENTS));
      if (rest >= POINTERS && rest % POINTERS === 0) pointers.push(this.take(FRAGMENTS));
      const used = blockFragments(bytes, index);
      data.push(this.take(used));
      fragments += used;
    }
    return { data, pointers, fragments: fragments + pointers.length * FRAGMENTS };
  }

  private take(fragments: number): number {
    for (let free = fragments; free < FRAGMENTS; free++) {
      const at = this.open[free]?.shift();
      if (at === undefined) continue;
      if (free > fragments) this.open[free - fragments]?.push(at + fragments);
      return at;
    }
    const at = this.blocks++ * FRAGMENTS;
    if (fragments < FRAGMENTS) this.open[FRAGMENTS - fragments]?.push(at + fragments);
    return at;
  }
}

function shape(contents: number, inodes: number, spare: Spare): Geometry {
  for (let groups = 1; ; groups++) {
    const inodesPerGroup = Math.ceil((inodes + spare.inodes) / groups / INODES_PER_BLOCK) * INODES_PER_BLOCK;
    const meta = groups * metaBlocks({ inodesPerGroup }) + FIRST_BLOCKS;
    const blocksPerGroup = Math.ceil((contents + Math.ceil(spare.bytes / BLOCK) + meta) / groups);
    const geometry = { groups, blocksPerGroup, inodesPerGroup };
    if (blocksPerGroup <= MOST_BLOCKS && groupBytes(geometry) <= MOST_DESCRIPTION) return geometry;
  }
}

/** From addresses as the packer hands them out to those of the file system, which has its own blocks in between. */
function addresses(geometry: Geometry): (packed: number) => number {
  const { groups, blocksPerGroup } = geometry;
  const free: number[] = [];
  for (let group = 0; group < groups; group++) {
    const start = group * blocksPerGroup;
    for (let block = 0; group > 0 && block < META_AT; block++) free.push(start + block);
    for (let block = dataBlock(geometry) + (group === 0 ? 1 : 0); block < blocksPerGroup; block++)
      free.push(start + block);
  }
  return (packed) => {
    const block = free[Math.floor(packed / FRAGMENTS)];
    if (block === undefined) throw new Error('the file system is too small for its contents');
    return block * FRAGMENTS + (packed % FRAGMENTS);
  };
}
