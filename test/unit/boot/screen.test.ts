import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { watchScreen } from '../../../build/boot/screen.js';
import type { Frame } from '../../../build/boot/screen.js';
import { ConsoleReader } from '../../../build/boot/stages.js';
import { qmp } from '../../helpers/qmp.js';
import type { QmpCommand } from '../../helpers/qmp.js';
import { tmp } from '../../helpers/tmp.js';

const PNG = Buffer.concat([Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]), Buffer.alloc(50)]);
const draws = ({ execute, arguments: { filename } }: QmpCommand, bytes = PNG): object => {
  if (execute === 'screendump') writeFileSync(String(filename), bytes);
  return { return: {} };
};

/** Watches a boot whose console says this, a second after the one before. */
async function watched(
  answer: ((command: QmpCommand) => object) | undefined,
  ...said: readonly string[]
): Promise<{ readonly frames: readonly Frame[]; readonly saved: readonly string[] }> {
  const socket = join(await tmp(), 'screen');
  if (answer) await qmp(socket, answer);
  const console = new ConsoleReader();
  let seconds = 1;
  const saved: string[] = [];
  const machine = { console, over: false, seconds: () => seconds };
  const finish = watchScreen(machine, socket, (at, png) => {
    saved.push(`${at} ${png.length}`);
    return Promise.resolve(`x-${at}.png`);
  });
  for (const text of said) {
    await sleep(500);
    console.add(text, ++seconds);
  }
  await sleep(300);
  return { frames: await finish(), saved };
}

describe('frames of a boot', () => {
  it('are of the firmware, of stages and of the login, with what the console had said', async () => {
    const { frames, saved } = await watched(
      draws,
      'BTX loader\n',
      '---<<BOOT>>---\n',
      'Firewall up before the network, rules from /etc/pf.conf.\n',
      'FreeBSD/amd64\n\nlogin: ',
    );
    expect(frames.map(({ at, image }) => [at, image])).toEqual(
      ['firmware', 'loader', 'kernel', 'lockdown', 'login'].map((at) => [at, `x-${at}.png`]),
    );
    expect(saved).toContain(`login ${PNG.length}`);
    expect(frames.at(-1)?.lines.at(-1)).toBe('login: ');
    expect(frames[1]?.lines).toEqual(['BTX loader']);
    expect(frames.map(({ seconds }) => seconds)).toEqual([...frames.map(({ seconds }) => seconds)].sort());
  });

  it.each([
    ['without commands', undefined],
    [
      'that knows no PNG',
      ({ execute }: QmpCommand) => (execute === 'screendump' ? { error: { desc: 'no' } } : { return: {} }),
    ],
    ['that writes something else', (command: QmpCommand) => draws(command, Buffer.from('P6 1 1 255 x'))],
    [
      'that writes very much',
      (command: QmpCommand) => draws(command, Buffer.concat([PNG, Buffer.alloc(600_000)])),
    ],
  ])('have the console alone with a QEMU %s', async (_, answer) => {
    const { frames, saved } = await watched(answer, 'BTX loader\n', 'panic: x\n');
    expect(saved).toEqual([]);
    expect(frames.map(({ at, image }) => [at, image])).toEqual([
      ['loader', undefined],
      ['end', undefined],
    ]);
    expect(frames.at(-1)?.lines).toEqual(['BTX loader', 'panic: x']);
  });
});
