import { boxesOf } from '../pf/cells.js';
import type { Box, Conditions, Diagram } from '../pf/cells.js';
import { inside } from '../pf/ranges.js';
import { Resolver } from '../pf/resolve.js';
import type { Rule } from '../pf/types.js';
import { mustBeClosed } from './demands.js';
import { describeBox, exampleOf, usualValues } from './describe.js';
import { decideWay } from './journey.js';
import type { Journey, Step } from './journey.js';
import type { Country } from './legs.js';
import { bridgeNets, countryOf } from './matrix.js';
import { waysOf } from './paths.js';
import type { Way } from './paths.js';
import type { Subject } from './prove.js';
import type { Row } from './row.js';
import { conditionsOf, NO_SIGNALS } from './services.js';
import { zonesOf } from './zones.js';
import type { Zone } from './zones.js';

/** A pair of zones that the design wants closed, and a way that lets something through. */
export interface Leak {
  readonly from: Zone;
  readonly to: Zone;
  readonly steps: readonly Step[];
  readonly message: string;
}

/** What was found about the pairs that have to be closed. */
export interface Isolation {
  readonly cells: number;
  readonly ways: number;
  readonly leaks: readonly Leak[];
}

/**
 * Proves that nothing but signals gets from a zone to another where the design wants it so, along whole ways: whatever
 * the rows say of single crossings.
 *
 * @param excepted whether a rule may break a row: what gets through by it alone is no leak
 */
export function proveIsolation(
  subject: Subject,
  excepted: (row: Row, rule: Rule | undefined) => boolean,
): Isolation {
  const { ruleset, world, situation } = subject;
  const all = zonesOf(situation, world);
  const bridges = bridgeNets(subject);
  const resolver = new Resolver(ruleset, world);
  const leaks: Leak[] = [];
  let cells = 0;
  let ways = 0;
  for (const af of ['inet', 'inet6'] as const) {
    const country = countryOf(subject, af, resolver);
    for (const from of all.zones)
      for (const to of all.zones) {
        if (!mustBeClosed(from, to, situation)) continue;
        for (const way of waysOf(all, from, to, bridges)) {
          ways++;
          for (const among of NO_SIGNALS[af].map(conditionsOf))
            for (const { diagram } of decideWay(country, way, false, among)) {
              cells += diagram.cells;
              const open = boxesOf(diagram, (journey) => (journey?.open === true ? 'open' : undefined));
              if (open.length === 0) continue;
              for (const leak of leaksOf(country, way, among, { from, to, excepted })) {
                const known = leaks.some(
                  (other) => other.from === from && other.to === to && sameRules(other, leak),
                );
                if (!known) leaks.push(leak);
              }
            }
        }
      }
  }
  return { cells, ways, leaks };
}

/** Whether two leaks are through the same rules. */
function sameRules({ steps }: Leak, other: Leak): boolean {
  return (
    steps.length === other.steps.length && steps.every(({ rule }, index) => rule === other.steps[index]?.rule)
  );
}

/** The leaks of a way, with what lets them through. */
function leaksOf(
  country: Country,
  way: Way,
  among: Conditions,
  {
    from,
    to,
    excepted,
  }: {
    readonly from: Zone;
    readonly to: Zone;
    readonly excepted: (row: Row, rule: Rule | undefined) => boolean;
  },
): readonly Leak[] {
  const { fields } = country;
  const nameOf = (journey: Journey | undefined): string | undefined => {
    if (journey?.open !== true) return undefined;
    const allowed = journey.steps.some(({ row, rule }) => row?.verdict === 'block' && excepted(row, rule));
    return allowed ? undefined : journey.steps.map(({ rule }) => JSON.stringify(rule?.place)).join(' ');
  };
  return decideWay(country, way, true, among).flatMap(({ diagram, domain }) =>
    boxesOf(diagram, nameOf, usualValues(fields.af)).flatMap(({ fields: found, value }): readonly Leak[] => {
      const [first] = way.crossings;
      if (!value || !first) return [];
      const box = boxWithin(found, diagram.classes, domain);
      const place = { interface: first.interface, direction: first.direction, af: fields.af };
      const packet = exampleOf(box, diagram.classes, fields, place);
      return [
        {
          from,
          to,
          steps: value.steps,
          message: `${from.name} → ${to.name}: has to be closed, but passes: ${describeBox(box, diagram.classes, fields, place, packet)}`,
        },
      ];
    }),
  );
}

/** A box with the classes alone that a domain has. */
function boxWithin(
  box: Box<unknown>['fields'],
  classes: Classes,
  domain: Conditions,
): Box<unknown>['fields'] {
  return classes.map((parts, field) => {
    const allowed = domain[field];
    if (!allowed) return box[field];
    return (box[field] ?? [...parts.keys()]).filter((index) => inside(allowed, parts[index]?.[0] ?? -1));
  });
}

type Classes = Diagram<unknown>['classes'];
