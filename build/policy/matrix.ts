import { isIn } from './row.js';
import { bare } from '../pf/address.js';
import { dynamicTables, FIELD } from '../pf/lines.js';
import { printRule } from '../pf/print.js';
import { addresses, intersect, union } from '../pf/ranges.js';
import type { Ranges } from '../pf/ranges.js';
import { Resolver } from '../pf/resolve.js';
import type { Rule } from '../pf/types.js';
import { assumptions } from './anchors.js';
import { mustBeClosed } from './demands.js';
import { printRange } from './describe.js';
import { decideWay } from './journey.js';
import type { Journey, Step } from './journey.js';
import type { Country } from './legs.js';
import type { Closing, Family, MapStep, Opening, Pair, PairVerdict, RuleRef, ZoneMap } from './map.js';
import { redirectedWays, waysOf } from './paths.js';
import type { BroadcastNets, Way } from './paths.js';
import { fieldsOf } from './prove.js';
import type { Subject } from './prove.js';
import { isEverything, isSignals, joinServices, serviceTexts, servicesOf, valuesOf } from './services.js';
import type { ServiceBox } from './services.js';
import { PARTIES } from './world.js';
import { zonesOf } from './zones.js';
import type { Zone } from './zones.js';

const FAMILIES = ['inet', 'inet6'] as const;
const EXTERNAL = addresses(...[PARTIES.host4, PARTIES.host6].map(bare));

/** What decides about journeys in a family. */
export function countryOf(subject: Subject, af: Family, resolver: Resolver): Country {
  const { ruleset, world, rows } = subject;
  return { ruleset, world, resolver, rows, fields: fieldsOf(subject, af), places: new Map(), met: new Map() };
}

/** The nets of tenants by their bridge. */
export function bridgeNets({ situation }: Subject): BroadcastNets {
  return new Map(situation.view.tenants.map(({ bridge, net }) => [bridge, net]));
}

/**
 * What gets from each zone to each, with the rules and the rows that decide: for every packet, along its whole way.
 */
export function mapZones(subject: Subject): ZoneMap {
  const { ruleset, world, situation } = subject;
  const all = zonesOf(situation, world);
  const resolver = new Resolver(ruleset, world);
  const countries = {
    inet: countryOf(subject, 'inet', resolver),
    inet6: countryOf(subject, 'inet6', resolver),
  };
  const bridges = bridgeNets(subject);
  let ways = 0;
  let cells = 0;
  const decide = (from: Zone, list: readonly Way[]): Found => {
    const found = new Collector(from);
    for (const way of list)
      for (const family of FAMILIES) {
        const decisions = decideWay(countries[family], way, true);
        if (decisions.length > 0) ways++;
        for (const decision of decisions) {
          cells += decision.diagram.cells;
          found.add(family, way, decision);
        }
      }
    return found;
  };
  const pairs = all.zones.flatMap((from) =>
    all.zones.map((to): Pair => {
      const found = decide(from, waysOf(all, from, to, bridges));
      const redirected = decide(from, redirectedWays(ruleset, world, from, to));
      const families = { inet: verdictOf('inet', found.boxes), inet6: verdictOf('inet6', found.boxes) };
      const verdicts = FAMILIES.map((family) => families[family]).filter((verdict) => verdict !== 'closed');
      return {
        from: from.id,
        to: to.id,
        verdict:
          verdicts.length === 0
            ? 'closed'
            : verdicts.every((verdict) => verdict === verdicts[0])
              ? (verdicts[0] ?? 'closed')
              : 'services',
        families,
        services: textsOf(found.boxes),
        openings: found.openings,
        closings: found.closings,
        redirects: redirected.openings,
        rows: [...new Set([...found.rows, ...redirected.rows])],
        mustBeClosed: mustBeClosed(from, to, situation),
      };
    }),
  );
  return {
    zones: all.zones.map(({ id, kind, name, tenant, interfaces, sources, addresses: own }) => ({
      id,
      kind,
      name,
      tenant: tenant ?? null,
      interfaces,
      sources: FAMILIES.flatMap((family) => printRanges(family, sources[family])),
      addresses: FAMILIES.flatMap((family) => printRanges(family, own[family])),
    })),
    pairs,
    ways,
    cells,
    assumed: assumptions(ruleset, dynamicTables(ruleset)),
  };
}

type Boxes = Readonly<Record<Family, readonly ServiceBox[]>>;
type Found = Pick<Collector, 'openings' | 'closings' | 'rows' | 'boxes'>;

/** What is found about one pair. */
class Collector {
  readonly openings: Opening[] = [];
  readonly closings: Closing[] = [];
  readonly rows = new Set<string>();
  readonly boxes: Record<Family, ServiceBox[]> = { inet: [], inet6: [] };
  private readonly known = new Set<string>();

  constructor(private readonly from: Zone) {}

  add(family: Family, way: Way, { diagram, domain }: ReturnType<typeof decideWay>[number]): void {
    const services = servicesOf(diagram);
    const sources = valuesOf(diagram, FIELD.src, domain);
    const destinations = valuesOf(diagram, FIELD.dst, domain);
    const anchor = way.anchor && [anchorStep(way.anchor)];
    for (const [journey, boxes] of services) {
      if (!journey) continue;
      const own = boxes.map((box) => withProtocols(box, domain[FIELD.proto]));
      const steps = [...(anchor ?? []), ...journey.steps.map(mapStep)];
      for (const { row } of journey.steps) if (row) this.rows.add(row.id);
      if (!journey.open) {
        if (this.isNew({ family, last: steps.at(-1) })) this.closings.push({ family, steps });
        continue;
      }
      this.boxes[family].push(...own);
      const opening: Opening = {
        family,
        services: joinServices(family, own),
        sources: limits(family, sources.get(journey), way.sources[family]),
        destinations: limits(family, destinations.get(journey), domain[FIELD.dst]),
        arrivesWith: this.arrival(journey, sources.get(journey)),
        steps,
      };
      if (this.isNew(opening)) this.openings.push(opening);
    }
  }

  private isNew(what: unknown): boolean {
    const key = JSON.stringify(what);
    if (this.known.has(key)) return false;
    this.known.add(key);
    return true;
  }

  /** Whose address packets have in the end: of the host's own, each is the host's. */
  private arrival({ source }: Journey, sources: Ranges | undefined): Opening['arrivesWith'] {
    if (source !== undefined) return isIn(EXTERNAL, source) ? 'host' : 'other';
    return this.from.kind === 'host' && sources !== undefined ? 'host' : 'own';
  }
}

function withProtocols(box: ServiceBox, among: Ranges | undefined): ServiceBox {
  return among ? { ...box, protos: box.protos ? intersect(box.protos, among) : among } : box;
}

function verdictOf(family: Family, boxes: Boxes): PairVerdict {
  if (boxes[family].length === 0) return 'closed';
  const services = joinServices(family, boxes[family]);
  return isEverything(services) ? 'open' : isSignals(family, boxes[family]) ? 'signals' : 'services';
}

/** Services of both families for people: what one of them lacks is said of tcp, udp and the like. */
function textsOf(boxes: Boxes): readonly string[] {
  const texts = {
    inet: serviceTexts(joinServices('inet', boxes.inet)),
    inet6: serviceTexts(joinServices('inet6', boxes.inet6)),
  };
  const both = texts.inet.filter((text) => texts.inet6.includes(text));
  const marked = (family: Family, mark: string): readonly string[] =>
    texts[family]
      .filter((text) => !both.includes(text))
      .map((text) => (/^(?:ipv6-)?icmp /.test(text) ? text : `${text} (${mark})`));
  return [...both, ...marked('inet', 'IPv4'), ...marked('inet6', 'IPv6')];
}

function limits(
  family: Family,
  found: Ranges | undefined,
  all: Ranges | undefined,
): readonly string[] | null {
  if (!found) return null;
  const ranges = all ? intersect(found, all) : found;
  const whole = all ? union(all) : undefined;
  const same =
    whole?.length === ranges.length &&
    whole.every(([low, high], index) => low === ranges[index]?.[0] && high === ranges[index][1]);
  return same ? null : printRanges(family, union(ranges));
}

function printRanges(family: Family, ranges: Ranges): readonly string[] {
  return ranges.map((range): string => printRange(family, range));
}

/** A rule with its place. */
export function ruleRef(rule: Rule): RuleRef {
  return { file: rule.place.file, line: rule.place.line, text: printRule(rule) };
}

function mapStep({ crossing, passes, rule, translation, row }: Step): MapStep {
  return {
    interface: crossing.interface,
    direction: crossing.direction,
    receivedOn: crossing.receivedOn ?? null,
    verdict: passes ? 'pass' : 'block',
    rule: rule ? ruleRef(rule) : null,
    translation: translation ? ruleRef(translation) : null,
    row: row?.id ?? null,
    assumed: false,
  };
}

function anchorStep({ rule, crossing }: NonNullable<Way['anchor']>): MapStep {
  return { ...mapStep({ crossing, passes: true, rule, translation: rule }), assumed: true };
}
