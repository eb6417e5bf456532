import type { Place } from '../pf/lines.js';
import { PROTO } from '../pf/names.js';
import { addresses } from '../pf/ranges.js';
import { TAILNET, without } from './address-sets.js';
import type { Row, RowBox } from './row.js';
import { ANY_DISCOVERY, DISCOVERY, otherThan, partiesOf, port } from './row-parts.js';
import type { Add, Parties } from './row-parts.js';
import { fromInternet, toInternet } from './rows-internet.js';
import { fromJails, onLoopback, toJails } from './rows-jails.js';
import { unlimited } from './state-limits.js';
import { makeWorld, TAILSCALE } from './world.js';
import type { Situation } from './world.js';

/**
 * The policy as data: the first row that is about a packet says what has to happen to it. A packet that no row is about
 * is not the policy's.
 *
 * @param world the host as the rules meet it, with what interfaces it may have besides
 */
export function policyRows(situation: Situation, world = makeWorld(situation)): readonly Row[] {
  const rows: Row[] = [];
  const row: Add = (id, from, to, why, verdict, at, more = {}) =>
    void rows.push({ id, from, to, why, verdict, at, rule: unlimited, ...more });
  const parties = partiesOf(situation, world);
  fromInternet(row, situation, parties);
  toInternet(row, situation, parties);
  fromJails(row, situation, parties);
  onLoopback(row, situation, parties);
  toJails(row, situation, parties);
  withTailnet(row, situation, parties);
  elsewhere(row, situation, parties);
  return rows;
}

function withTailnet(
  row: Add,
  { view, fallback, tailscaleActive }: Situation,
  { tailnet, tailnetHost, gateways }: Parties,
): void {
  if (!tailnet) return;
  const at =
    (direction: Place['direction'], ...boxes: readonly RowBox[]): Row['at'] =>
    (place) =>
      place.direction === direction && place.interface === TAILSCALE ? boxes : [];
  const host = (number: number): Row['at'] =>
    at('in', { dst: tailnetHost, ...port(PROTO.tcp, number), offender: false });
  row('tailnet-ssh', 'tailnet', 'host tcp 22', 'operators', 'pass', host(22));
  if (view.glasspane && tailscaleActive && !fallback)
    row('tailnet-vnc', 'tailnet', 'host tcp 5900', 'glasspane', 'pass', host(5900));
  if (view.tailnetToJails && tailscaleActive && !fallback)
    row(
      'tailnet-jails',
      'tailnet',
      'jails',
      'TAILSCALE is "subnet"',
      'pass',
      at('in', { src: TAILNET, dst: without(addresses(view.agentNet), gateways), offender: false }),
    );
  row('tailnet-closed', 'tailnet', 'everything else', 'not listed', 'block', (place) =>
    at('in', ...otherThan(DISCOVERY.in, place))(place),
  );
  row('host-tailnet', 'host', 'tailnet', 'with state', 'pass', at('out', { src: tailnetHost }));
  row('to-tailnet-closed', 'anybody else', 'tailnet', 'not listed', 'block', (place) =>
    at('out', ...otherThan(DISCOVERY.out, place))(place),
  );
}

/** Interfaces that are none of these: a second card, a tunnel, a bridge without a tenant, whatever it is called. */
function elsewhere(row: Add, _: Situation, { external, loopbacks, bridges, tailnet }: Parties): void {
  const known = new Set([...external, ...loopbacks, ...bridges.keys(), ...(tailnet ? [TAILSCALE] : [])]);
  row('other-closed', 'any other interface', 'anything, both ways', 'nobody is there', 'block', (place) =>
    known.has(place.interface) ? [] : otherThan(ANY_DISCOVERY, place),
  );
}
