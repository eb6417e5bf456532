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

/** Writes a .txz of entries, just as they are given: good or hostile. */
export async function writeTxz(path: string, entries: readonly TestEntry[]): Promise<void> {
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
  writeFileSync(path, execFileSync('xz', ['-0', '-c'], { input: Buffer.concat(chunks), maxBuffer: 1 << 30 }));
}
