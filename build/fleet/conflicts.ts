import { overlaps } from '../config/net.js';
import type { Network4 } from '../config/net.js';

/** What of a deployment others can be in the way of. */
export interface Placed {
  /** As messages call it: its file. */
  readonly file: string;
  readonly assistant: string;
  /** HOST; empty where the instance has a machine of its own. */
  readonly host: string;
  /** AGENT_NET as it is written, and the nets of all tenants. */
  readonly agentNet: string;
  readonly nets: readonly Network4[];
}

export interface Conflicts {
  /** Sentences about deployments that cannot stand beside each other. */
  readonly refused: readonly string[];
  /** Sentences about what may be meant, since the machines differ. */
  readonly warned: readonly string[];
}

/**
 * What deployments of one fleet are in each other's way with: on one machine neither a name nor a net may be there
 * twice, on different ones that is only worth a word. Pure.
 */
export function findConflicts(deployments: readonly Placed[]): Conflicts {
  const refused: string[] = [];
  for (const [host, group] of groups(deployments, ({ host: name }) => name.toLowerCase())) {
    if (host === '') continue;
    for (const [assistant, same] of groups(group, (each) => each.assistant))
      if (same.length > 1)
        refused.push(`HOST ${host}: ${listed(same)} have one ASSISTANT_NAME, ${assistant}.`);
    group.forEach((one, index) => {
      for (const other of group.slice(index + 1))
        if (one.nets.some((net) => other.nets.some((each) => overlaps(net, each))))
          refused.push(`HOST ${host}: the jail nets of ${one.file} and ${other.file} overlap.`);
    });
  }
  const warned: string[] = [];
  // Those of one machine were looked at above.
  const machines = (group: readonly Placed[]): number =>
    new Set(group.map(({ host, file }) => (host === '' ? file : host.toLowerCase()))).size;
  for (const [key, of] of [
    ['ASSISTANT_NAME', (each: Placed) => each.assistant],
    ['AGENT_NET', (each: Placed) => each.agentNet],
  ] as const)
    for (const [value, same] of groups(deployments, of))
      if (machines(same) > 1)
        warned.push(`${listed(same)} have one ${key}, ${value}; they must not share a machine.`);
  return { refused, warned };
}

function groups<T>(all: readonly T[], of: (each: T) => string): ReadonlyMap<string, readonly T[]> {
  const found = new Map<string, T[]>();
  for (const each of all) {
    const group = found.get(of(each));
    if (group) group.push(each);
    else found.set(of(each), [each]);
  }
  return found;
}

function listed(deployments: readonly Placed[]): string {
  const names = deployments.slice(0, 3).map(({ file }) => file);
  const more = deployments.length - names.length;
  return more > 0 ? `${names.join(', ')} and ${more} more` : names.join(' and ');
}
