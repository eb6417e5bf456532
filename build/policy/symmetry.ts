import { bare, bounds, parseNet } from '../pf/address.js';
import { readHostsFile, RELEASE_HOSTS } from '../pf/hosts-file.js';
import { proveImage, withTailscale } from './image.js';
import type { ImageProof, RuleFiles } from './image.js';
import { externalName, POLICY_VIEW, TAILSCALE } from './world.js';
import type { PolicyView } from './world.js';

/**
 * Proves images, and those that differ in names and in where their nets lie by one proof.
 *
 * Where the nets of a deployment are moved as a block past no other address that anything speaks of, each packet of the one
 * image has its like in the other, of which every rule, row and interface says the same: what holds for one holds for both
 * (Plotkin and others, "Scaling network verification using symmetry and surgery", POPL 2016). Images of which this is not plain
 * to see are proved one by one; so is what is wrong.
 */
export class Prover {
  private readonly known = new Map<string, { readonly proof: ImageProof; readonly jailTable: string }>();

  /** As {@link proveImage}, and with what it throws. */
  prove(files: RuleFiles, view: PolicyView, exceptions: readonly string[]): ImageProof {
    const shape = exceptions.length === 0 ? shapeOf(files, view) : undefined;
    const alike = shape === undefined ? undefined : this.known.get(shape);
    if (alike) return renamed(alike.proof, alike.jailTable, view.jailTable);
    const proof = proveImage(files, view, exceptions);
    if (shape !== undefined) this.known.set(shape, { proof, jailTable: view.jailTable });
    return proof;
  }
}

/** A proof says the name of the table of jails, where it says what it takes for granted. */
function renamed(proof: ImageProof, from: string, to: string): ImageProof {
  return { ...proof, assumed: proof.assumed.map((text) => text.replaceAll(`<${from}>`, `<${to}>`)) };
}

/** In texts: what is taken out. It is in no file of rules. */
const MARK = '\0';

/** Where nets of jails are moved: the policy itself names no address within them. RFC 1918. */
export const MOVABLE = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16'];

/**
 * All that a proof depends on, without the names of the deployment, and with its nets counted from the first of them. Two images of
 * one shape are the same but for these.
 *
 * @returns undefined where names or nets may be more than that to the rules
 */
export function shapeOf({ pf, fallback, operator, hosts }: RuleFiles, view: PolicyView): string | undefined {
  const { loopback, jailTable, tenants, bridges } = view;
  const own = tenants[0]?.name ?? '';
  // Their first lines say whose they are.
  const rules = [pf, withTailscale(pf), fallback].map((each) => each.replace(`# ${own}: `, '# : '));
  const text = rules.join('\n');
  // Rules of one's own may be about anything.
  if (/^[ \t]*[^#\s]|\\$/m.test(operator) || text.includes(MARK)) return undefined;
  const others = [externalName(view), 'lo0', TAILSCALE, ...bridges.map(({ bridge }) => bridge)];
  if (others.includes(loopback) || text.includes(loopback)) return undefined;
  // The first tenant is the assistant, by its name.
  const unnamed = <T>(list: readonly T[]): readonly T[] =>
    list.map((each, index) => (index === 0 ? { ...each, name: '' } : each));
  const names = hosts === undefined ? RELEASE_HOSTS : readHostsFile(hosts);
  return moved(
    JSON.stringify([
      rules.map((each) => each.replaceAll(`<${jailTable}>`, `<${MARK}>`)),
      {
        ...Object.fromEntries(POLICY_VIEW.map((key) => [key, view[key]])),
        ...{ loopback: '', jailTable: '', tenants: unnamed(tenants), bridges: unnamed(bridges) },
      },
      [...names].filter(([name]) => text.includes(name)),
    ]),
    view,
  );
}

/** First and last address of a network, as numbers; undefined if it is none of IPv4. */
function range4(text: string): readonly [number, number] | undefined {
  const net = parseNet(text);
  if (net?.af !== 'inet') return undefined;
  const [low, high] = bounds('inet', net.base, net.prefix);
  return [Number(low), Number(high)];
}

/** A text with addresses of a deployment's nets as they are counted from the first of these. */
function moved(text: string, { tenants, bridges, supernet }: PolicyView): string | undefined {
  const pool = range4(supernet);
  const nets = [...tenants, ...bridges].map(({ net }) => (net.endsWith('.0/24') ? range4(net) : undefined));
  const starts = nets.flatMap((net) => (net ? [net[0]] : []));
  const movable = MOVABLE.map(range4).some(
    (area) => pool && area && pool[0] >= area[0] && pool[1] <= area[1],
  );
  if (!movable || starts.length < nets.length) return undefined;
  const low = Math.min(...starts);
  const high = Math.max(...starts) + 255;
  const below = new Set<number>();
  const mixed: string[] = [];
  const result = text.replace(/(?<![\d.:])\d+\.\d+\.\d+\.\d+(?:\/\d+)?(?![\d.])/g, (literal) => {
    const address = range4(bare(literal))?.[0];
    const covered = range4(literal);
    if (address === undefined || !covered) return literal;
    const [first, last] = covered;
    const own = starts.some((start) => start <= first && last <= start + 255);
    if (own) return `${MARK}${address - low}${literal.replace(/^[^/]*/, '')}`;
    // What ends or begins within them, or right beside them, is something else after a move.
    const touches = (first >= low && first <= high + 1) || (last >= low - 1 && last <= high);
    if (touches || (address >= low && address <= high)) mixed.push(literal);
    if (first < low) below.add(first);
    if (last < low) below.add(last + 1);
    return literal;
  });
  return mixed.length > 0 ? undefined : `${below.size} ${result}`;
}
