import { planCells } from '../boot/cell-plan.js';
import type { CellPlan } from '../boot/cell-plan.js';
import type { RecordedValues } from '../boot/expected.js';
import type { Network } from '../boot/peer.js';
import { KEY_NAMES } from '../config/keys.js';
import type { KeyName } from '../config/keys.js';
import { resolve } from '../config/resolve.js';
import { UserError } from '../error.js';
import { makeView } from '../overlay/view.js';
import type { OverlayEntry } from '../overlay/render.js';
import { readRules } from '../policy/image.js';
import { ruleFiles } from './rules.js';

/** Keys whose values name files of whoever built the image, or are nobody's business: the rules do not depend on them. */
const ASIDE = new Set<KeyName>([
  'SSH_AUTHORIZED_KEYS',
  'ROOT_PASSWORD_HASH',
  'SIGN_KEY',
  'SIGNERS',
  'SERIAL',
  'TAILSCALE_AUTHKEY_FILE',
  'PACKAGES',
  'PACKAGES_KEY_FILE',
  'PF_RULES_FILE',
  'EXTRA_FILES',
]);

/** A key to log in by, which every configuration has to have. */
const SOMEBODY =
  'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBERERERERERERERERERERERERERERERERERERERERER nobody@example';

/**
 * Packets of the cells of an image: of its own rules, and of the configuration that its build record tells.
 *
 * @throws UserError if the record tells none that this version understands.
 */
export function cellsOf(
  recorded: RecordedValues,
  overlay: readonly OverlayEntry[],
  network: Network,
): CellPlan {
  const values = KEY_NAMES.flatMap((key): readonly (readonly [string, string])[] => {
    const value = ASIDE.has(key) ? '' : recorded(key, '');
    return value === '' ? [] : [[key, value]];
  });
  const { resolved, findings } = resolve({
    file: { name: 'the build record', text: '' },
    environment: {},
    commandLine: { ...Object.fromEntries(values), SSH_AUTHORIZED_KEYS: SOMEBODY },
  });
  if (!resolved)
    throw new UserError(
      `The build record tells no configuration of the image: ${findings[0]?.message ?? 'nothing is in it'}.`,
      'Build the image again with this version, or leave out the check "cells".',
    );
  const view = makeView(resolved.config);
  const situation = { view, tailscaleActive: false, fallback: false, egressKnown: true };
  return planCells(readRules(ruleFiles(overlay), situation).ruleset, situation, network);
}
