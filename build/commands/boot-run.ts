import { join } from 'node:path';
import type { CheckName } from '../boot/checks.js';
import type { RecordedValues } from '../boot/expected.js';
import type { FaultName } from '../boot/faults.js';
import type { Firmware, Media, Start } from '../boot/machine.js';
import type { Session } from '../boot/session.js';
import type { Accelerator } from '../host/qemu.js';
import type { Subject } from './subject.js';

export interface BootOptions {
  readonly image: string;
  readonly firmware: readonly Firmware[];
  readonly media: readonly Media[];
  /** Whether the ISO is installed onto a blank disk first, and started from there. */
  readonly installed: boolean;
  readonly memory: string;
  readonly card: string;
  readonly checks: readonly CheckName[];
  /** Faults that are tried, each with one start (BIOS, CD), instead of the usual starts. */
  readonly faults: readonly FaultName[];
  /** Whether a copy is left running for somebody to log in, instead of the usual starts. */
  readonly keep: boolean;
  /** Folder of Bastille's own files, which are put into the copy that tells how it looks from inside. */
  readonly bastille?: string;
  /** How often an instance on a disk is restarted. */
  readonly restarts: number;
  readonly accel: 'auto' | Accelerator;
  /** seconds that a boot may take */
  readonly timeout: number;
  readonly out: string;
  readonly json: boolean;
}

/** What all starts of one run have at hand. */
export interface Run {
  readonly options: BootOptions;
  readonly subject: Subject;
  readonly session: Session;
  /** What the build record beside the image says. */
  readonly recorded: RecordedValues;
  /** Folder of this run, removed with it. */
  readonly work: string;
  readonly tell: (line: string) => void;
}

/** A start of the image in the first way that is asked for, but for what is given. */
export function startOf({ options, subject, work }: Run, given: Partial<Start>): Start {
  const { memory, card, firmware } = options;
  const { image, format, media } = subject;
  return {
    ...{ image, memory, card, cards: 1, screen: join(work, 'screen') },
    // What is named is a copy of the raw image.
    format: given.image === undefined ? format : 'raw',
    firmware: firmware[0] ?? 'bios',
    media: media[0] ?? 'cd',
    ...given,
  };
}
