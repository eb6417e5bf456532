import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { OVMF_PATHS } from '../../build/host/tools.js';
import { SAMPLE_MESSAGE } from '../../build/release/sample/stub.js';
import { cli, sampleArgs } from '../helpers/cli.js';

/** Starts an image in QEMU and reads its first serial line until it says what is expected, 60 seconds at most. */
async function boot(
  image: string,
  firmware: 'bios' | 'uefi',
  media: 'cd' | 'disk',
  log: string,
  expected: string,
): Promise<string> {
  const ovmf = OVMF_PATHS.find((path) => existsSync(path)) ?? '';
  const child = spawn(
    'qemu-system-x86_64',
    [
      // TCG: the same on every machine; the sample needs no speed.
      '-accel',
      'tcg',
      '-m',
      '256',
      '-display',
      'none',
      '-net',
      'none',
      '-no-reboot',
      '-serial',
      `file:${log}`,
      ...(firmware === 'uefi' ? ['-drive', `if=pflash,format=raw,readonly=on,file=${ovmf}`] : []),
      ...(media === 'cd' ? ['-cdrom', image] : ['-drive', `file=${image},format=raw,if=virtio,snapshot=on`]),
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const ended = new Promise((resolve) => child.once('close', resolve));
  let text = '';
  for (
    let waited = 0;
    waited < 60_000 && child.exitCode === null && !text.includes(expected);
    waited += 100
  ) {
    await sleep(100);
    text = existsSync(log) ? readFileSync(log, 'latin1') : '';
  }
  child.kill('SIGKILL');
  await ended;
  return text.includes(expected) ? text : `${text}\n${stderr}`;
}

describe('the sample image under QEMU', () => {
  let folder: string;
  beforeAll(async () => {
    const { mkdtempSync, rmSync } = await import('node:fs');
    folder = mkdtempSync('/tmp/clawdie-boot-');
    expect((await cli(sampleArgs(folder))).code).toBe(0);
    return () => {
      rmSync(folder, { recursive: true, force: true });
    };
  });

  it.each([
    ['bios', 'cd'],
    ['bios', 'disk'],
    ['uefi', 'cd'],
    ['uefi', 'disk'],
  ] as const)(
    'says that it is the sample, and how to build a real one: %s, %s',
    async (firmware, media) => {
      const image = join(folder, 'dist', 'clawdie-sample-amd64.iso');
      const [first, second] = SAMPLE_MESSAGE;
      const text = await boot(image, firmware, media, join(folder, `${firmware}-${media}.log`), second);
      expect(text).toContain(first);
      expect(text).toContain(second);
    },
    90_000,
  );
});
