import { renderOverlay } from '../overlay/render.js';
import type { OverlayEntry } from '../overlay/render.js';
import { readAuthKey } from './configuration.js';
import type { LoadedConfig } from './configuration.js';
import { checkLock } from './lock-subject.js';
import { listOf, packagesOf } from './medium.js';
import { releaseOfConfig } from './release.js';
import { renderInput } from './rules.js';

/**
 * What a deployment renders for an instance that runs: with the packages of the lock beside it, as its image has them.
 *
 * @param note hears that there is no lock where packages are wanted
 * @throws InputError of files that the configuration names, of its release, or of a lock that does not fit.
 */
export async function renderDeployment(
  loaded: LoadedConfig,
  note: (text: string) => void,
): Promise<readonly OverlayEntry[]> {
  const { config, folder } = loaded;
  const release = await releaseOfConfig(config, folder);
  const { lock, warning } = await checkLock(folder, [{ loaded, release }]);
  if (warning !== undefined) note(warning);
  const packages = await packagesOf(loaded, release, lock);
  return renderOverlay(
    await renderInput(loaded, await readAuthKey(config, folder), listOf(config, packages)),
  );
}
