import { headerOf, SLOT_SIZE } from '../image/slot.js';
import type { OverlayEntry } from '../overlay/render.js';
import { makeView } from '../overlay/view.js';
import { releaseOf } from '../pipeline/base.js';
import { packedOverlay } from '../pipeline/deploy.js';
import type { Signing } from '../pipeline/deploy.js';
import { proveImage } from '../policy/image.js';
import type { ImageProof } from '../policy/image.js';
import type { LoadedConfig } from './configuration.js';
import { imageTime } from './request.js';
import { ruleFiles } from './rules.js';
import { readSignKey, signingOf } from './signing.js';

/** A slot for an instance, whole: proved, and signed where SIGN_KEY says so. */
export interface ProvedSlot {
  readonly bytes: Buffer;
  /** SHA-256 of the overlay's archive. */
  readonly sum: string;
  readonly release: string;
  readonly signing: Signing | undefined;
  readonly proof: ImageProof;
}

/**
 * The slot of a deployment's overlay. Nothing is signed before its rules are proved.
 *
 * @param note hears what the key waits for
 * @throws UserError of a proof; InputError of SIGN_KEY.
 */
export async function proveSlot(
  { config, folder }: LoadedConfig,
  entries: readonly OverlayEntry[],
  environment: NodeJS.ProcessEnv,
  note: (text: string) => void,
): Promise<ProvedSlot> {
  const proof = proveImage(ruleFiles(entries), makeView(config), config.POLICY_EXCEPTIONS);
  const release = slotRelease(config);
  const signing = signingOf(config, folder, environment, await readSignKey(config, folder), note);
  const { slot } = await packedOverlay(entries, release, imageTime(environment), signing);
  return {
    ...{ release, signing, proof },
    bytes: Buffer.concat([slot], SLOT_SIZE),
    sum: headerOf(slot, 'sha256'),
  };
}

/** SHA-256 of the archive of a deployment's overlay: what an instance that runs it has as applied. */
export async function overlaySum(
  { config }: LoadedConfig,
  entries: readonly OverlayEntry[],
  environment: NodeJS.ProcessEnv,
): Promise<string> {
  const { slot } = await packedOverlay(entries, slotRelease(config), imageTime(environment));
  return headerOf(slot, 'sha256');
}

function slotRelease(config: LoadedConfig['config']): string {
  return releaseOf({ version: config.FREEBSD_VERSION, arch: config.ARCH });
}
