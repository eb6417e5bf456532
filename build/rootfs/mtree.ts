import { UserError } from '../error.js';
import type { Node, Tree } from './tree.js';

/** What an mtree(5) specification says of one path. */
export interface SpecEntry {
  readonly path: string;
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
  readonly type: 'dir' | 'file' | 'link';
}

const KEYWORDS = ['type', 'uid', 'gid', 'mode'] as const;

/**
 * Reads an mtree(5) specification in full-path form, with `/set` defaults: the owners and modes of an overlay.
 *
 * @throws UserError with the line that is wrong.
 */
export function parseMtree(text: string, where: string): ReadonlyMap<string, SpecEntry> {
  const entries = new Map<string, SpecEntry>();
  let defaults: Readonly<Record<string, string>> = {};
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.replace(/#.*/, '').trim();
    if (line === '') continue;
    const fail = (what: string): never => {
      throw new UserError(`${where}, line ${index + 1}: ${what}.`);
    };
    const [first = '', ...words] = line.split(/\s+/);
    const values: Record<string, string> = { ...defaults };
    for (const word of words) {
      const [name = '', value = ''] = word.split('=');
      if (!KEYWORDS.includes(name as (typeof KEYWORDS)[number]) || value === '')
        fail(`"${word}" is not one of ${KEYWORDS.join('=, ')}=`);
      values[name] = value;
    }
    if (first === '/set') {
      defaults = values;
      continue;
    }
    if (first !== '.' && !first.startsWith('./')) fail('a path must begin with "./"');
    const number = (name: string, pattern: RegExp, base: number): number => {
      const value = values[name] ?? '';
      return pattern.test(value) ? parseInt(value, base) : fail(`${first} has no ${name}`);
    };
    const path = first.replace(/^\.\/?/, '');
    const type = values['type'] ?? '';
    if (type !== 'dir' && type !== 'file' && type !== 'link') return fail(`${first} has no type`);
    if (entries.has(path)) fail(`${first} is there twice`);
    entries.set(path, {
      path,
      type,
      uid: number('uid', /^\d+$/, 10),
      gid: number('gid', /^\d+$/, 10),
      mode: number('mode', /^[0-7]{3,4}$/, 8),
    });
  }
  return entries;
}

/**
 * The mtree(5) specification of a tree for `makefs -F`: type, owner, mode and link target of every entry. It has no
 * file flags: makefs then sets none.
 *
 * @param time seconds since the epoch, given to entries that only the specification knows (symbolic links, folders)
 */
export function formatMtree(tree: Tree, time: number): string {
  const lines = ['#mtree'];
  for (const [path, node] of tree.entries()) {
    const name = path === '' ? '.' : `./${encode(path)}`;
    const resolved: Node | undefined = node.type === 'hardlink' ? tree.get(node.target) : node;
    if (!resolved || resolved.type === 'hardlink') throw new Error(`${path} links to nothing`);
    const owner = `uid=${resolved.uid} gid=${resolved.gid} mode=${resolved.mode.toString(8).padStart(4, '0')} time=${time}.0`;
    if (resolved.type === 'symlink') lines.push(`${name} type=link ${owner} link=${encode(resolved.target)}`);
    else lines.push(`${name} type=${resolved.type} ${owner}`);
  }
  return `${lines.join('\n')}\n`;
}

/** A word as vis(3) with VIS_CSTYLE | VIS_OCTAL writes it: what would end or change it, as a backslash and three octal digits. */
function encode(word: string): string {
  let out = '';
  for (const byte of Buffer.from(word)) {
    const plain = byte > 0x20 && byte < 0x7f && !'\\#*?[='.includes(String.fromCharCode(byte));
    out += plain ? String.fromCharCode(byte) : `\\${byte.toString(8).padStart(3, '0')}`;
  }
  return out;
}
