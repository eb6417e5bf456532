import { linesAt, seesFragments } from '../pf/lines.js';
import type { Fields, Line, Place } from '../pf/lines.js';
import { isCalled } from '../pf/resolve.js';
import type { Resolver, World } from '../pf/resolve.js';
import { variantsOf } from '../pf/translate.js';
import type { Variant } from '../pf/translate.js';
import type { Ruleset } from '../pf/types.js';

/** A rule set as packets of a family meet it. */
export interface Rules {
  readonly ruleset: Ruleset;
  readonly world: World;
  readonly resolver: Resolver;
  readonly fields: Fields;
}

/** What a place does to packets. */
export interface Station {
  readonly translations: readonly Line[];
  readonly filters: readonly Line[];
  /** Each combination of translations that packets may meet. */
  readonly variants: readonly Variant[];
  /** Whether the interface is skipped. */
  readonly skipped: boolean;
  /** Whether rules see fragments; those that are put together are whole packets to every rule. */
  readonly fragments: boolean;
}

/** What the rules have for packets of a place. */
export function stationAt({ ruleset, world, resolver, fields }: Rules, place: Place): Station {
  const device = world.interfaces.find(({ name }) => name === place.interface);
  const skipped = device !== undefined && ruleset.skip.some((name) => isCalled(device, name));
  const { translations, filters } = skipped
    ? { translations: [], filters: [] }
    : linesAt(ruleset, world, resolver, fields, place);
  return {
    translations,
    filters,
    variants: variantsOf(translations, filters, resolver, place),
    skipped,
    fragments: seesFragments(ruleset, world, place),
  };
}
