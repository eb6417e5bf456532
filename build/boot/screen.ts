import { readFile, rm } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Machine } from './machine.js';
import { isPicture } from './picture.js';
import { openControl } from './qmp.js';
import type { Control } from './qmp.js';

/** How a machine looked at a moment of its boot. */
export interface Frame {
  /** `firmware`: the last before the loader; a stage; or `end`, where the boot came to none that is shown. */
  readonly at: string;
  /** from the start of the machine */
  readonly seconds: number;
  /** File name of the picture of its screen, beside the report; none where there is none to be had. */
  readonly image?: string;
  /** Last lines of the serial console. */
  readonly lines: readonly string[];
}

/** Stages at which a frame is taken, beside the first and the last. */
const SHOWN = ['loader', 'kernel', 'lockdown'] as const;
/** Milliseconds that QEMU may take for a picture. */
const PATIENCE = 10_000;
const LINES = 24;

/** Takes pictures of a screen by QEMU's `screendump`, which writes PNG since 7.1. */
class Camera {
  private control: Control | undefined;
  private blind = false;

  /** @param socket of QEMU's commands */
  constructor(private readonly socket: string) {}

  /** @returns undefined where there is no picture to be had: a QEMU without PNG, or none any more */
  async take(): Promise<Buffer | undefined> {
    if (this.blind) return undefined;
    try {
      return await Promise.race([this.picture(), sleep(PATIENCE, undefined, { ref: false })]);
    } catch {
      this.close();
      return undefined;
    }
  }

  private async picture(): Promise<Buffer | undefined> {
    this.control ??= await openControl(this.socket);
    const file = `${this.socket}.png`;
    try {
      await this.control.ask('screendump', { filename: file, format: 'png' });
      const bytes = await readFile(file);
      return isPicture(bytes) ? bytes : undefined;
    } catch (error) {
      // It was there, and does not do it.
      this.blind = true;
      throw error;
    } finally {
      await rm(file, { force: true });
    }
  }

  close(): void {
    this.control?.close();
    this.control = undefined;
  }
}

/** What is asked of a machine. */
type Watched = Pick<Machine, 'console' | 'seconds' | 'over'>;

/**
 * Takes frames of a boot while it goes on: of the firmware, of some stages, of its end. Nothing fails for want of a picture.
 *
 * @param socket of QEMU's commands, which nobody else uses
 * @param save keeps a picture, and gives its file name
 * @returns what ends it, and gives the frames
 */
export function watchScreen(
  machine: Watched,
  socket: string,
  save: (at: string, png: Buffer) => Promise<string>,
): () => Promise<readonly Frame[]> {
  const camera = new Camera(socket);
  let stopped = false;
  const frames = watch(machine, camera, save, () => stopped).finally(() => {
    camera.close();
  });
  frames.catch(() => undefined); // whoever asks for them hears of it
  return () => {
    stopped = true;
    return frames;
  };
}

async function watch(
  machine: Watched,
  camera: Camera,
  save: (at: string, png: Buffer) => Promise<string>,
  stopped: () => boolean,
): Promise<readonly Frame[]> {
  const { console } = machine;
  const frames: Frame[] = [];
  const look = async (at: string): Promise<readonly [Frame, Buffer | undefined]> => {
    const frame = { at, seconds: machine.seconds(), lines: console.tail(LINES) };
    return [frame, await camera.take()];
  };
  const keep = async ([frame, picture]: readonly [Frame, Buffer | undefined]): Promise<void> => {
    frames.push(picture ? { ...frame, image: await save(frame.at, picture) } : frame);
  };
  const taken = new Set<string>();
  let firmware: readonly [Frame, Buffer | undefined] | undefined;
  for (;;) {
    const ended = console.finished || machine.over || stopped();
    if (console.last === undefined && !ended) {
      // The last one of these is kept: a firmware shows what it starts from at its end.
      if (machine.seconds() - (firmware?.[0].seconds ?? 0) >= 1) firmware = await look('firmware');
    } else if (firmware?.[1]) {
      await keep(firmware);
      firmware = undefined;
    }
    for (const stage of SHOWN)
      if (console.has(stage) && !taken.has(stage)) {
        taken.add(stage);
        await keep(await look(stage));
      }
    if (ended) {
      await keep(await look(console.has('login') ? 'login' : 'end'));
      return frames;
    }
    await sleep(200);
  }
}
