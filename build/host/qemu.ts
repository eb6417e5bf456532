import { accessSync, constants } from 'node:fs';

export type Accelerator = 'kvm' | 'tcg';

/** Whether this user may use hardware virtualisation; TCG does without, some ten times slower. */
export function accelerator(): Accelerator {
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK);
    return 'kvm';
  } catch {
    return 'tcg';
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
    'qemu-system-x86_64',
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
