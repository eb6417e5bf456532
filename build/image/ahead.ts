import { rm } from 'node:fs/promises';
import { partialName } from '../host/files.js';
import { copyBase } from './stamp.js';

/**
 * The copy of a base image that an image is made of, begun while the base image is still looked at: who stamps it looks at whether
 * it is one of the file that was looked at. Nothing of a deployment is in it.
 */
export class CopyAhead {
  /** Where it is. */
  readonly path: string;
  private copying: Promise<string | undefined> = Promise.resolve(undefined);
  private ended = false;

  /** @param image what the image will be called; the copy stands beside it */
  constructor(image: string) {
    this.path = partialName(image);
  }

  /** Begins the copy, anew where there is one. */
  begin(base: string): void {
    if (this.ended) return;
    this.copying = this.copying.then(() => this.copy(base));
  }

  private async copy(base: string): Promise<string | undefined> {
    try {
      await rm(this.path, { force: true });
      const copied = await copyBase(base, this.path);
      if (copied !== undefined) return copied;
    } catch {
      // Whoever stamps tries it again, and says what is wrong then.
    }
    await rm(this.path, { force: true });
    return undefined;
  }

  /** Which file was copied, as CheckedBase has it, once it is; undefined where none was: nothing stands there then. */
  copied(): Promise<string | undefined> {
    return this.copying;
  }

  /** Removes it, unless it has become the image. */
  async end(): Promise<void> {
    this.ended = true;
    await this.copying;
    await rm(this.path, { force: true });
  }
}
