import { UserError } from '../error.js';

/**
 * Sparse files as bsdtar writes them: pax format "GNU.sparse" 1.0. The entry's data begins with a map (decimal
 * numbers, a line each: count, then offset and size of every piece), filled up to a multiple of 512 bytes; the pieces
 * follow. https://www.gnu.org/software/tar/manual/html_node/PAX-1.html
 */
export interface SparseHeader {
  readonly name: string;
  /** Size of the file with its holes, in bytes. */
  readonly size: number;
}

const MOST_PIECES = 100_000;

/**
 * What pax attributes say of a sparse file; undefined if the entry is none.
 *
 * @throws UserError if it is of another sparse format than 1.0.
 */
export function sparseHeader(pax: ReadonlyMap<string, string>, where: string): SparseHeader | undefined {
  if (![...pax.keys()].some((key) => key.startsWith('GNU.sparse.'))) return undefined;
  const name = pax.get('GNU.sparse.name');
  const size = pax.get('GNU.sparse.realsize') ?? '';
  if (
    pax.get('GNU.sparse.major') !== '1' ||
    pax.get('GNU.sparse.minor') !== '0' ||
    name === undefined ||
    !/^[0-9]{1,15}$/.test(size)
  ) {
    throw new UserError(
      `${where} holds a sparse file in a format that is not known here.`,
      'Pack the release sets without sparse files (bsdtar --no-read-sparse).',
    );
  }
  return { name, size: Number(size) };
}

/** Turns the data of a sparse entry, chunk by chunk, into writes at positions of the file. */
export class SparseReader {
  private head = Buffer.alloc(0);
  private pieces: (readonly [offset: number, size: number])[] | undefined;
  private index = 0;
  private within = 0;

  constructor(
    private readonly size: number,
    private readonly where: string,
  ) {}

  /** @throws UserError if the map is damaged or leads out of the file. */
  push(chunk: Buffer, write: (bytes: Buffer, position: number) => void): void {
    let data = chunk;
    if (!this.pieces) {
      this.head = Buffer.concat([this.head, chunk]);
      const end = this.readMap();
      if (end === undefined) return;
      data = this.head.subarray(end);
    }
    for (const pieces = this.pieces ?? []; data.length > 0;) {
      const piece = pieces[this.index];
      if (!piece) return; // the rest fills the last block
      const [offset, size] = piece;
      const part = data.subarray(0, size - this.within);
      if (part.length > 0) write(part, offset + this.within);
      this.within += part.length;
      data = data.subarray(part.length);
      if (this.within === size) {
        this.index++;
        this.within = 0;
      }
    }
  }

  /** @throws UserError if data is missing. */
  finish(): void {
    const rest = this.pieces?.slice(this.index) ?? [[0, 1] as const];
    if (rest.some(([, size]) => size > 0)) throw this.damaged();
  }

  private readMap(): number | undefined {
    const numbers: number[] = [];
    let at = 0;
    let wanted = 1;
    while (numbers.length < wanted) {
      const newline = this.head.indexOf(0x0a, at);
      if (newline < 0) {
        if (this.head.length - at > 32) throw this.damaged();
        return undefined;
      }
      const text = this.head.toString('latin1', at, newline);
      if (!/^\d{1,15}$/.test(text)) throw this.damaged();
      numbers.push(Number(text));
      if (numbers.length === 1) wanted = 1 + 2 * Number(text);
      if (wanted > 2 * MOST_PIECES) throw this.damaged();
      at = newline + 1;
    }
    const end = Math.ceil(at / 512) * 512;
    if (this.head.length < end) return undefined;
    const pieces: (readonly [number, number])[] = [];
    for (let i = 1; i < wanted; i += 2) {
      const offset = numbers[i] ?? 0;
      const size = numbers[i + 1] ?? 0;
      if (offset + size > this.size) throw this.damaged();
      pieces.push([offset, size]);
    }
    this.pieces = pieces;
    return end;
  }

  private damaged(): UserError {
    return new UserError(
      `${this.where} holds a sparse file whose map is damaged.`,
      'Fetch the release sets again.',
    );
  }
}
