import { UserError } from '../error.js';

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
