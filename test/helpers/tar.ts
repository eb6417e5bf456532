import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { pack } from 'tar-stream';

export interface TestEntry {
  readonly name: string;
  readonly type?: 'file' | 'link' | 'symlink' | 'directory' | 'character-device' | 'fifo';
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly linkname?: string;
  readonly uname?: string;
  readonly gname?: string;
  readonly body?: string | Buffer;
  readonly pax?: Readonly<Record<string, string>>;
}

/** A tar archive of entries, just as they are given: good or hostile. */
export async function packTar(entries: readonly TestEntry[]): Promise<Buffer> {
  const tar = pack();
  const chunks: Buffer[] = [];
  const done = new Promise<void>((resolve, reject) => {
    tar.on('data', (chunk: unknown) => chunks.push(chunk as Buffer));
    tar.on('end', resolve);
    tar.on('error', reject);
  });
  for (const { body, ...header } of entries) {
    const entry = { type: 'file' as const, mode: 0o644, uid: 0, gid: 0, mtime: new Date(0), ...header };
    tar.entry(entry, body ?? '');
  }
  tar.finalize();
  await done;
  return Buffer.concat(chunks);
}

/** Bytes as xz(1) packs them. */
export function xz(bytes: Buffer): Buffer {
  return execFileSync('xz', ['-0', '-c'], { input: bytes, maxBuffer: 1 << 30 });
}

/** Writes a .txz of entries. */
export async function writeTxz(path: string, entries: readonly TestEntry[]): Promise<void> {
  writeFileSync(path, xz(await packTar(entries)));
}

/** Two blocks of zeros, which end an archive. */
const END = 1024;

/** Puts more entries behind those of a .txz. */
export async function addToTxz(path: string, entries: readonly TestEntry[]): Promise<void> {
  const old = execFileSync('xz', ['-dc', path], { maxBuffer: 1 << 30 });
  writeFileSync(path, xz(Buffer.concat([old.subarray(0, -END), await packTar(entries)])));
}

/** A header as it stands in an archive, with whatever in it: numbers as they are given, the name as bytes. */
export interface RawHeader {
  readonly name: string | Buffer;
  readonly flag?: string;
  readonly link?: string | Buffer;
  /** Text of the field; its sum is right whatever it says. */
  readonly size?: string;
  readonly uid?: string;
  readonly magic?: string;
}

/** A header block. */
export function rawHeader({
  name,
  flag = '0',
  link = '',
  size = '0',
  uid = '0',
  magic = 'ustar\x0000',
}: RawHeader): Buffer {
  const block = Buffer.alloc(512);
  const put = (text: string | Buffer, at: number): void => void Buffer.from(text).copy(block, at);
  put(name, 0);
  put('0000644', 100);
  put(uid, 108);
  put('0', 116);
  put(size, 124);
  put('0', 136);
  put('        ', 148);
  put(flag, 156);
  put(link, 157);
  put(magic, 257);
  const sum = block.reduce((total, byte) => total + byte, 0);
  put(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return block;
}

/** Bytes filled up to whole blocks. */
export function blocks(body: string | Buffer): Buffer {
  const bytes = Buffer.from(body);
  return Buffer.concat([bytes], Math.ceil(bytes.length / 512) * 512);
}

/** A pax header with these attributes. */
export function rawPax(values: Readonly<Record<string, string | Buffer>>): Buffer {
  const records = Object.entries(values).map(([key, value]) => {
    const rest = Buffer.concat([Buffer.from(` ${key}=`), Buffer.from(value), Buffer.from('\n')]);
    let length = rest.length;
    while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
    return Buffer.concat([Buffer.from(String(length)), rest]);
  });
  const body = Buffer.concat(records);
  return Buffer.concat([rawHeader({ name: 'pax', flag: 'x', size: body.length.toString(8) }), blocks(body)]);
}
