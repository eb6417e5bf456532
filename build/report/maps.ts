import type { View } from '../overlay/view.js';
import { readRules } from '../policy/image.js';
import type { RuleFiles } from '../policy/image.js';
import { mapZones } from '../policy/matrix.js';
import { subjectOf } from '../policy/prove.js';
import type { Situation } from '../policy/world.js';
import { compactMap } from './compact.js';
import type { ReportMap } from './facts.js';

/** The maps of an image: as it starts, and, where it has Tailscale, as it is once that is in force. Pure. */
export function mapsOf(files: RuleFiles, view: View): readonly ReportMap[] {
  const kinds = view.tailscale ? [false, true] : [false];
  return kinds.map((tailscaleActive) => {
    const situation: Situation = { view, tailscaleActive, fallback: false, egressKnown: true };
    const subject = subjectOf(readRules(files, situation).ruleset, situation);
    const name = tailscaleActive ? 'Tailscale active' : 'Tailscale off';
    return compactMap(mapZones(subject), subject.rows, name);
  });
}
