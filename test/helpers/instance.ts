import { readdirSync, readFileSync } from 'node:fs';
import { SLOT_SIZE, filledSlot } from '../../build/image/slot.js';
import { packOverlay } from '../../build/overlay/pack.js';
import type { OverlayEntry } from '../../build/overlay/render.js';
import { FakeRoot } from './shell.js';
import type { ScriptResult } from './shell.js';

export const INIT = 'overlays/base/sbin/clawdie-init';
export const RELEASE = '15.1-RELEASE-amd64';

/** Files of overlays/base as they lie on an instance. */
export const baseFiles = (...paths: readonly string[]): Readonly<Record<string, string>> =>
  Object.fromEntries(paths.map((path) => [path, readFileSync(`overlays/base/${path}`, 'utf8')]));

/** What is below a folder of overlays/base, by its path on an instance. */
const below = (folder: string): readonly string[] =>
  readdirSync(`overlays/base/${folder}`).map((name) => `${folder}/${name}`);

/** clawdie-trial and clawdie-environment, with what they source. */
export const TRIAL_FILES = baseFiles('sbin/clawdie-trial', ...below('libexec/clawdie'));
export const ENVIRONMENT_FILES = baseFiles(
  'sbin/clawdie-environment',
  'sbin/clawdie-bootcode',
  ...below('libexec/clawdie'),
);

/** A root with the programs of FreeBSD that clawdie-init runs. */
async function root(): Promise<FakeRoot> {
  return (
    (await FakeRoot.make())
      .stub('mount')
      .stub('fsck')
      .stub('sync')
      .stub('fsync')
      .stub('sysctl')
      .stub('kenv')
      .stub('pw')
      // FreeBSD's sha256 -q, on top of what this machine has.
      .stub('sha256', `sha256sum | cut -d ' ' -f 1`)
      .file('etc/clawdie/release', `${RELEASE}\n`)
  );
}

/** An instance that runs from memory, before its boot: its root is a memory disk. */
export async function liveInstance(): Promise<FakeRoot> {
  return (await root()).file(
    'dev/md1',
    Buffer.concat([Buffer.from('a root file system'), Buffer.alloc(4096)]),
  );
}

/** An installed instance before its first boot: its disk. */
export async function installedInstance(): Promise<FakeRoot> {
  return (await root())
    .stub('mount', '[ "$1" != -p ] || echo "/dev/gpt/clawdie-root / ufs ro 1 1"')
    .file('sbin/clawdie-trust', readFileSync('overlays/base/sbin/clawdie-trust'), 0o755)
    .file('etc/clawdie/installed', 'installed\n')
    .files(TRIAL_FILES);
}

/** A file of an overlay, of root, that all may read. */
export const file = (path: string, body = path): OverlayEntry => ({
  ...{ path, type: 'file', uid: 0, gid: 0, mode: 0o644, body },
});

/** A slot as a disk has it: whole. */
export const whole = (slot: Buffer): Buffer => Buffer.concat([slot], SLOT_SIZE);

export const slotOf = async (entries: readonly OverlayEntry[]): Promise<Buffer> =>
  whole(filledSlot(await packOverlay(entries, 0), RELEASE));

/** Boots with what is in the slot, as far as clawdie-init goes. */
export function bootWith(fake: FakeRoot, slot: Buffer): ScriptResult {
  return fake.file('dev/gpt/clawdie-slot', slot).run(INIT);
}
