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
