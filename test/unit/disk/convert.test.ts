import { execFileSync } from 'node:child_process';
import { chmodSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { convert } from '../../../build/disk/convert.js';
import { tmp } from '../../helpers/tmp.js';

const ID = Buffer.from('0123456789abcdef0123456789abcdef', 'hex');

/** A qemu-img in the PATH: the real one, that draws this content id. */
async function drawing(cid: string): Promise<void> {
  const bin = await tmp();
  const real = execFileSync('sh', ['-c', 'command -v qemu-img'], { encoding: 'utf8' }).trim();
  const draw = `const { readFileSync, writeFileSync } = require('node:fs');
const file = process.argv.at(-1);
const image = readFileSync(file, 'latin1');
const drawn = image.replace(/^CID=[0-9a-f]+$/m, 'CID=${cid}');
const end = drawn.indexOf('\\0', drawn.indexOf('CID='));
const grown = drawn.length - image.length;
const text = drawn.slice(0, end) + '\\0'.repeat(Math.max(0, -grown)) + drawn.slice(end + Math.max(0, grown));
writeFileSync(file, text, 'latin1');`;
  const stub = join(bin, 'qemu-img');
  writeFileSync(
    stub,
    `#!/bin/sh\n'${real}' "$@" || exit\n'${process.execPath}' -e "$(cat <<'END'\n${draw}\nEND\n)" -- "$@"\n`,
  );
  chmodSync(stub, 0o755);
  vi.stubEnv('PATH', `${bin}:${process.env['PATH'] ?? ''}`);
}

describe('a VMDK', () => {
  afterEach(() => {
    vi.unstubAllEnvs();
  });

  it.each(['a', 'abcdef0', '12345678'])(
    'is the same bytes, and whole, where qemu-img draws %s',
    async (cid) => {
      const folder = await tmp();
      const raw = join(folder, 'raw');
      writeFileSync(raw, 'a boot sector');
      truncateSync(raw, 1 << 20);
      const { signal } = new AbortController();
      const made: Buffer[] = [];
      for (const [index, drawn] of [cid, 'fedcba98'].entries()) {
        await drawing(drawn);
        const target = join(folder, 'disk.vmdk');
        await convert(raw, target, 'vmdk', ID, 0, signal);
        vi.unstubAllEnvs();
        execFileSync('qemu-img', ['compare', '-f', 'raw', '-F', 'vmdk', raw, target]);
        made[index] = readFileSync(target);
      }
      expect(made[0]?.toString('latin1', 512, 1024)).toMatch(
        /^version=1\nCID=01234567\nparentCID=ffffffff$/m,
      );
      expect(made[0]?.equals(made[1] ?? Buffer.alloc(0))).toBe(true);
    },
  );
});
