import { UserError } from '../error.js';

/**
 * tar archives as bsdtar(1) writes release sets: ustar and pax (POSIX.1-2017, pax(1)), and GNU tar's long names and large
 * numbers. What is not exactly that is refused: an archive that two programs read differently is nobody's release set.
 */

/** Kinds of entries by the flag of their header; the names are those of messages. */
const TYPES: Readonly<Record<string, string>> = {
  '\0': 'file',
  '0': 'file',
  '1': 'link',
  '2': 'symlink',
  '3': 'character-device',
  '4': 'block-device',
  '5': 'directory',
  '6': 'fifo',
  '7': 'file', // contiguous: what it means is up to the system, and none has it
};

/** An entry's header. */
export interface TarEntry {
  /** As the archive has it. */
  readonly name: string;
  /** `file`, `directory`, `symlink`, `link`, or another kind by its name. */
  readonly type: string;
  /** Where a link leads. */
  readonly target: string;
  readonly uid: number;
  readonly gid: number;
  /** Names of owner and group, where the archive has them. */
  readonly uname: string;
  readonly gname: string;
  /** The twelve permission bits. */
  readonly mode: number;
  /** Bytes of contents that follow in the archive. */
  readonly size: number;
  /** When it was changed, in whole seconds since 1970, by the word of the header. @throws UserError if that is no number. */
  readonly mtime: () => number;
  /** The attributes of its pax header. */
  readonly pax: ReadonlyMap<string, string>;
}

const BLOCK = 512;

/** Largest pax header or long name, in bytes: names have 1,024 bytes at most, flags and times a few more. */
const MOST_EXTENDED = 64 * 1024;

/** The largest number that a user or a group can have: uid_t has 32 bits, and all of them set means none. */
const MAX_ID = 0xffff_fffe;

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** What an archive that is refused is to who reads it. */
export function refuse(where: string, what: string): UserError {
  return new UserError(
    `${where} ${what}. The archive is damaged or hostile and is not used.`,
    'Fetch the release sets again, from a source that you trust.',
  );
}

/** Reads an archive entry by entry; what is not read of an entry's contents is passed over. */
export class TarReader {
  private chunk: Buffer = Buffer.alloc(0);
  private at = 0;
  /** Bytes of the current entry's contents that are still to come, and of what fills up their last block. */
  private contents = 0;
  private filling = 0;

  /**
   * @param where what messages call the archive
   * @param account hears of bytes before they are read, and throws if they are too many
   */
  constructor(
    private readonly source: AsyncIterator<Buffer>,
    private readonly where: string,
    private readonly account: (bytes: number) => void = () => undefined,
  ) {}

  /**
   * The next entry; undefined at the end of the archive, which has to be there, with nothing behind it.
   *
   * @throws UserError if the archive is damaged.
   */
  async next(): Promise<TarEntry | undefined> {
    await this.passOver();
    let pax: ReadonlyMap<string, string> = new Map();
    let name: string | undefined;
    let target: string | undefined;
    let extended = false;
    for (;;) {
      this.account(BLOCK);
      const block = await this.take(BLOCK);
      if (isZero(block)) {
        if (extended) throw this.refuse('ends behind a header that announces an entry');
        await this.end();
        return undefined;
      }
      const header = this.header(block);
      const flag = header.flag;
      if (flag !== 'x' && flag !== 'L' && flag !== 'K') {
        return this.entry(header, pax, name, target);
      }
      if (header.size > MOST_EXTENDED) throw this.refuse('has a header of more than 64 KiB');
      extended = true;
      this.begin(header.size);
      const bytes = await this.take(this.contents);
      this.contents = 0;
      await this.passOver();
      if (flag === 'x') pax = this.paxRecords(bytes);
      else {
        const text = this.text(bytes.subarray(0, bytes.indexOf(0) < 0 ? bytes.length : bytes.indexOf(0)));
        if (flag === 'L') name = text;
        else target = text;
      }
    }
  }

  /** The contents of the current entry, as far as they were not read, in pieces that are gone with the next. */
  async *data(): AsyncGenerator<Buffer, void> {
    while (this.contents > 0) {
      const piece = await this.some(this.contents);
      this.contents -= piece.length;
      yield piece;
    }
  }

  /** The contents of the current entry, whole. */
  async whole(): Promise<Buffer> {
    const pieces: Buffer[] = [];
    for await (const piece of this.data()) pieces.push(Buffer.from(piece));
    return Buffer.concat(pieces);
  }

  private entry(
    header: Fields,
    pax: ReadonlyMap<string, string>,
    longName: string | undefined,
    longTarget: string | undefined,
  ): TarEntry {
    const name = pax.get('path') ?? longName ?? header.name();
    const number = (key: string, other: () => number): number => {
      const text = pax.get(key);
      if (text === undefined) return other();
      if (!/^[0-9]{1,15}$/.test(text))
        throw this.refuse(`holds ${JSON.stringify(name)}, whose ${key} is no number`);
      return Number(text);
    };
    const [uid, gid] = [number('uid', header.uid), number('gid', header.gid)];
    if (uid > MAX_ID || gid > MAX_ID)
      throw this.refuse(`holds ${JSON.stringify(name)}, owned by ${uid}:${gid}, which no system can have`);
    const size = number('size', () => header.size);
    // Before POSIX, a folder was a file whose name ends so.
    const folder = TYPES[header.flag] === 'file' && name.endsWith('/');
    const type = folder
      ? 'directory'
      : (TYPES[header.flag] ?? `thing of the kind ${JSON.stringify(header.flag)}`);
    if (type !== 'file' && size > 0)
      throw this.refuse(`holds ${JSON.stringify(name)}, a ${type} with contents`);
    this.begin(size);
    const target = pax.get('linkpath') ?? longTarget ?? header.target();
    const uname = pax.get('uname') ?? header.uname();
    const gname = pax.get('gname') ?? header.gname();
    const mode = header.mode() & 0o7777;
    return { name, type, target, uid, gid, uname, gname, mode, size, mtime: header.mtime, pax };
  }

  private begin(size: number): void {
    this.account(size);
    this.contents = size;
    this.filling = (BLOCK - (size % BLOCK)) % BLOCK;
  }

  private async passOver(): Promise<void> {
    for (let rest = this.contents + this.filling; rest > 0;) rest -= (await this.some(rest)).length;
    this.contents = 0;
    this.filling = 0;
  }

  /** Behind the first block of zeros stand another one and what fills up a record, which is nothing else. */
  private async end(): Promise<void> {
    const behind = await this.take(BLOCK);
    if (!isZero(behind)) throw this.refuse('goes on behind its end');
    for (;;) {
      const more = await this.pull();
      if (!more) return;
      this.account(more.length);
      if (!isZero(more)) throw this.refuse('goes on behind its end');
    }
  }

  private header(block: Buffer): Fields {
    // The sum of the header's bytes, with the sum itself as blanks.
    let sum = 8 * 0x20;
    for (const [index, byte] of block.entries()) if (index < 148 || index >= 156) sum += byte;
    if (sum !== this.number(block, 148, 8)) throw this.refuse('has a header whose sum is wrong');
    const magic = block.toString('latin1', 257, 265);
    const posix = magic === 'ustar\u000000';
    if (!posix && magic !== 'ustar  \0')
      throw this.refuse('is of a kind of tar archive that is not known here');
    const string = (from: number, length: number): string => {
      const field = block.subarray(from, from + length);
      const end = field.indexOf(0);
      return this.text(end < 0 ? field : field.subarray(0, end));
    };
    // Asked for once the block is gone.
    const changed = Buffer.from(block.subarray(136, 148));
    return {
      flag: block.toString('latin1', 156, 157),
      size: this.number(block, 124, 12),
      name: () => {
        const prefix = posix ? string(345, 155) : '';
        return prefix === '' ? string(0, 100) : `${prefix}/${string(0, 100)}`;
      },
      target: () => string(157, 100),
      mode: () => this.number(block, 100, 8),
      uid: () => this.number(block, 108, 8),
      gid: () => this.number(block, 116, 8),
      uname: () => string(265, 32),
      gname: () => string(297, 32),
      mtime: () => this.number(changed, 0, 12),
    };
  }

  /** A number of a header: octal digits, or as GNU tar has large ones, binary behind a byte of 0x80. */
  private number(block: Buffer, from: number, length: number): number {
    if (block[from] === 0x80) {
      const value = BigInt(`0x${block.toString('hex', from + 1, from + length)}`);
      if (value > Number.MAX_SAFE_INTEGER) throw this.refuse('has a header with a number that is too large');
      return Number(value);
    }
    const text = block.toString('latin1', from, from + length);
    const digits = /^ *([0-7]*)[ \0]*$/.exec(text)?.[1];
    if (digits === undefined) throw this.refuse('has a header with a number that is none');
    return digits === '' ? 0 : parseInt(digits, 8);
  }

  /** Records `length key=value\n`; the length is that of all of it, in bytes. */
  private paxRecords(bytes: Buffer): ReadonlyMap<string, string> {
    const records = new Map<string, string>();
    for (let at = 0; at < bytes.length;) {
      const blank = bytes.indexOf(0x20, at);
      const length = blank < 0 ? '' : bytes.toString('latin1', at, blank);
      const end = at + Number(length);
      const equals = bytes.indexOf(0x3d, blank);
      if (
        !/^[1-9][0-9]{0,5}$/.test(length) ||
        end > bytes.length ||
        bytes[end - 1] !== 0x0a ||
        equals < 0 ||
        equals >= end
      )
        throw this.refuse('has a pax header that is damaged');
      const key = bytes.toString('latin1', blank + 1, equals);
      const value = bytes.subarray(equals + 1, end - 1);
      // Other values may be binary, as those of extended attributes are, and nobody reads them.
      if (/^(?:path|linkpath|size|uid|gid|uname|gname|GNU\.sparse\..*)$/.test(key))
        records.set(key, this.text(value));
      at = end;
    }
    return records;
  }

  private text(bytes: Buffer): string {
    try {
      return UTF8.decode(bytes);
    } catch {
      const shown = bytes.toString('latin1').replace(/[^ -~]/g, '?');
      throw this.refuse(`holds a name that is not UTF-8 (${JSON.stringify(shown)})`);
    }
  }

  /** So many bytes. @throws UserError if the archive ends before. */
  private async take(length: number): Promise<Buffer> {
    if (this.chunk.length - this.at >= length) {
      this.at += length;
      return this.chunk.subarray(this.at - length, this.at);
    }
    const pieces: Buffer[] = [];
    for (let rest = length; rest > 0;) {
      const piece = await this.some(rest);
      pieces.push(piece);
      rest -= piece.length;
    }
    return Buffer.concat(pieces);
  }

  /** Some bytes, one at least and so many at most. @throws UserError if the archive ends. */
  private async some(most: number): Promise<Buffer> {
    if (this.at === this.chunk.length) {
      const more = await this.pull();
      if (!more) throw this.refuse('ends in the middle');
      this.chunk = more;
      this.at = 0;
    }
    const piece = this.chunk.subarray(this.at, this.at + most);
    this.at += piece.length;
    return piece;
  }

  /** What is there, or comes next, whole; undefined at the end. */
  private async pull(): Promise<Buffer | undefined> {
    if (this.at < this.chunk.length) {
      const rest = this.chunk.subarray(this.at);
      this.at = this.chunk.length;
      return rest;
    }
    for (;;) {
      const result = await this.source.next();
      if (result.done === true) return undefined;
      if (result.value.length > 0) return result.value;
    }
  }

  private refuse(what: string): UserError {
    return refuse(this.where, what);
  }
}

const ZEROS = Buffer.alloc(64 * 1024);

/** Whether bytes are zeros alone; there may be hundreds of millions. */
function isZero(bytes: Buffer): boolean {
  for (let at = 0; at < bytes.length; at += ZEROS.length) {
    const piece = bytes.subarray(at, at + ZEROS.length);
    if (!ZEROS.subarray(0, piece.length).equals(piece)) return false;
  }
  return true;
}

/** What is read of a header's block; strings and numbers only where they count. */
interface Fields {
  readonly flag: string;
  readonly size: number;
  readonly name: () => string;
  readonly target: () => string;
  readonly mode: () => number;
  readonly uid: () => number;
  readonly gid: () => number;
  readonly uname: () => string;
  readonly gname: () => string;
  readonly mtime: () => number;
}
