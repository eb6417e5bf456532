import { execFile } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { removeTree } from './files.js';

export type Accelerator = 'kvm' | 'tcg';

const QEMU = 'qemu-system-x86_64';

/** What a boot sector does that only tells that it runs: `out 0xf4, 0x2a`, which ends QEMU, and then nothing. */
const PROBE = Buffer.from([0xba, 0xf4, 0x00, 0xb0, 0x2a, 0xee, 0xf4, 0xeb, 0xfd]);
/** The exit code that isa-debug-exit makes of 0x2a: twice that, and one. */
const RAN = 0x2a * 2 + 1;

/**
 * Finds out whether hardware virtualisation works: a device that opens may still not run a guest, as within a machine that
 * is virtual itself. TCG does without, some ten times slower.
 *
 * @param device of the kernel's
 * @param patience milliseconds that a boot sector may take
 * @returns what to use; where there is the device and it does not work, why not
 */
export async function chooseAccelerator(
  device = '/dev/kvm',
  patience = 30_000,
): Promise<{ readonly accel: Accelerator; readonly why?: string }> {
  try {
    accessSync(device, constants.R_OK | constants.W_OK);
  } catch {
    return { accel: 'tcg' };
  }
  const folder = await mkdtemp(join(tmpdir(), 'clawdie-kvm-'));
  try {
    const disk = join(folder, 'sector');
    const sector = Buffer.alloc(512);
    PROBE.copy(sector);
    sector.writeUInt16LE(0xaa55, 510);
    await writeFile(disk, sector);
    const args = [
      ...['-accel', 'kvm', '-cpu', 'host', '-m', '16M', '-display', 'none', '-no-reboot', '-nic', 'none'],
      ...['-serial', 'none', '-monitor', 'none', '-device', 'isa-debug-exit,iobase=0xf4,iosize=0x04'],
      ...['-drive', `if=ide,format=raw,file=${qemuPath(disk)}`],
    ];
    const why = await promisify(execFile)(QEMU, args, { timeout: patience, killSignal: 'SIGKILL' }).then(
      () => 'it ended without having run anything',
      (error: unknown) => {
        const { code, killed, stderr } = error as { code?: unknown; killed?: boolean; stderr?: string };
        if (code === RAN) return undefined;
        if (killed === true) return `nothing had run after ${patience / 1000} s`;
        return stderr?.trim().split('\n').at(-1) ?? 'QEMU cannot be started';
      },
    );
    return why === undefined ? { accel: 'kvm' } : { accel: 'tcg', why };
  } finally {
    await removeTree(folder);
  }
}

/**
 * The machine that images run in: two processors, no display, the serial line as standard output, an end instead of a
 * restart.
 *
 * @param memory as QEMU writes it: `1G`
 */
export function machineCommand(accel: Accelerator, memory: string): readonly string[] {
  return [
    QEMU,
    ...['-accel', accel === 'kvm' ? 'kvm' : 'tcg,thread=multi'],
    ...['-cpu', accel === 'kvm' ? 'host' : 'qemu64,+rdrand'],
    ...['-smp', '2', '-m', memory, '-display', 'none', '-no-reboot'],
    ...['-serial', 'stdio', '-monitor', 'none'],
  ];
}

/** A path in an option of QEMU: a comma ends a value there, two stand for one. */
export function qemuPath(path: string): string {
  return path.replaceAll(',', ',,');
}
