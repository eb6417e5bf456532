import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { sign } from '../../build/host/ssh-sign.js';
import { filledSlot, headerText, withSignature } from '../../build/image/slot.js';
import type { SlotIdentity } from '../../build/image/slot.js';
import { packOverlay } from '../../build/overlay/pack.js';
import type { OverlayEntry } from '../../build/overlay/render.js';
import { SLOT_NAMESPACE } from '../../build/overlay/signers.js';
import { RELEASE, whole } from './instance.js';

/** A key pair that ssh-keygen(1) has made. */
export interface KeyPair {
  /** Path of the public half; the private one is beside it. */
  readonly path: string;
  readonly line: string;
}

export function makeKey(folder: string, name: string, type = 'ed25519', ...more: readonly string[]): KeyPair {
  const path = join(folder, name);
  execFileSync('ssh-keygen', ['-q', '-t', type, ...more, '-N', '', '-C', name, '-f', path]);
  return { path: `${path}.pub`, line: readFileSync(`${path}.pub`, 'utf8').trim() };
}

/** A whole slot, signed with a key. */
export async function signedSlot(
  entries: readonly OverlayEntry[],
  identity: SlotIdentity,
  key: KeyPair,
  namespace = SLOT_NAMESPACE,
  release = RELEASE,
): Promise<Buffer> {
  const slot = filledSlot(await packOverlay(entries, 0), release, identity);
  return whole(withSignature(slot, await sign(key.path, namespace, headerText(slot))));
}
