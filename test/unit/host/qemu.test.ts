import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { startMachine } from '../../../build/boot/machine.js';
import { Peer } from '../../../build/boot/peer.js';
import { chooseAccelerator } from '../../../build/host/qemu.js';
import { never, tmp } from '../../helpers/tmp.js';

/** Puts a program before QEMU on the PATH until the test is over; gives a device that opens. */
async function insteadOfQemu(body: string): Promise<string> {
  const folder = await tmp();
  writeFileSync(join(folder, 'qemu-system-x86_64'), `#!/bin/sh\n${body}\n`, { mode: 0o755 });
  writeFileSync(join(folder, 'kvm'), '');
  const before = process.env['PATH'];
  process.env['PATH'] = `${folder}:${before ?? ''}`;
  onTestFinished(() => {
    process.env['PATH'] = before;
  });
  return join(folder, 'kvm');
}

describe('hardware virtualisation', () => {
  it('is used where a boot sector runs', async () => {
    expect(await chooseAccelerator(await insteadOfQemu('exit 85'))).toEqual({ accel: 'kvm' });
  });

  it.each([
    ['aborts', "echo 'error: failed to set MSR 0x48f' >&2; kill -ABRT $$", 'error: failed to set MSR 0x48f'],
    ['ends', 'exit 0', 'it ended without having run anything'],
    ['hangs', 'exec sleep 60', 'nothing had run after 0.5 s'],
  ])('is not where QEMU %s, and why is told', async (_, body, why) => {
    expect(await chooseAccelerator(await insteadOfQemu(body), 500)).toEqual({ accel: 'tcg', why });
  });

  it('is not where there is no device', async () => {
    await insteadOfQemu('exit 85');
    expect(await chooseAccelerator('/nowhere/kvm')).toEqual({ accel: 'tcg' });
  });
});

describe('a machine whose QEMU ends', () => {
  const start = {
    image: 'x',
    format: 'raw',
    firmware: 'bios',
    media: 'cd',
    memory: '1G',
    card: 'virtio-net-pci',
    cards: 1,
  } as const;

  it.each([
    ['by a signal', "echo 'last words' >&2; kill -ABRT $$", 'last words'],
    ['by a signal, without a word', 'kill -ABRT $$', 'SIGABRT'],
    ['with an exit code', "echo 'no such device' >&2; exit 1", 'no such device'],
    ['well', 'exit 0', undefined],
  ])('%s is over, and has its last words', async (_, body, failure) => {
    await insteadOfQemu(body);
    const machine = await startMachine(start, new Peer(), 'tcg', never);
    await machine.ended;
    expect([machine.over, machine.failure]).toEqual([true, failure]);
    await machine.stop();
  });
});
