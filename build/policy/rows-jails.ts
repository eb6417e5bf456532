import type { Place } from '../pf/lines.js';
import { addresses, others } from '../pf/ranges.js';
import { and, ITSELF, or, PRIVATE, TAILNET, without } from './address-sets.js';
import type { Row, RowBox } from './row.js';
import { TUNNEL } from './row-parts.js';
import type { Add, Parties } from './row-parts.js';
import { share } from './state-limits.js';
import { TAILSCALE } from './world.js';
import type { Situation } from './world.js';

/** Jails with a network stack of their own, and guests, where they come in. */
export function fromJails(
  row: Add,
  { view, fallback }: Situation,
  { bridges, gateways, broadcasts, own, hostPorts }: Parties,
): void {
  type Bridge = NonNullable<ReturnType<typeof bridges.get>>;
  const inward =
    (boxes: (bridge: Bridge, place: Place) => readonly RowBox[]): Row['at'] =>
    (place) => {
      const bridge = place.direction === 'in' ? bridges.get(place.interface) : undefined;
      return bridge ? boxes(bridge, place) : [];
    };
  row(
    'jail-spoofed',
    'jail, claiming another’s address',
    'anything',
    'it is not its own',
    'block',
    inward(({ net }, { af }) => (af === 'inet' ? [{ src: others(net) }] : [])),
  );
  row(
    'jail-v6',
    'jail',
    'anything, IPv6',
    'jails have no IPv6',
    'block',
    inward((_, { af }) => (af === 'inet6' ? [{}] : [])),
  );
  if (fallback) {
    row(
      'jail-nothing',
      'jail',
      'anything',
      'jails reach nothing while the fallback is in force',
      'block',
      inward(() => [{}]),
    );
    return;
  }
  if (hostPorts.length > 0)
    row(
      'jail-host-port',
      'jail',
      'host services in JAIL_HOST_PORTS',
      'listed',
      'pass',
      inward(({ gateway }) => hostPorts.map((box) => ({ ...box, dst: gateway, offender: false }))),
      { rule: share(view.states.bridge) },
    );
  const hosts = [gateways, broadcasts, own].reduce(or);
  row(
    'jail-host',
    'jail',
    'host services',
    'not listed in JAIL_HOST_PORTS',
    'block',
    inward(() => [{ dst: hosts }]),
  );
  row(
    'jail-tunnel',
    'jail',
    'jails of its tenant, udp 41641',
    'the host’s tailscaled would answer for a plain jail',
    'block',
    inward(({ net }) => [{ dst: net, ...TUNNEL }]),
  );
  row(
    'jail-tenant',
    'jail',
    'jails of its tenant',
    'one tenant’s jails are one another’s',
    'pass',
    inward(({ net }) => [{ dst: net, offender: false }]),
    { rule: share(view.states.bridge) },
  );
  row(
    'jail-other',
    'jail',
    'other tenants, private networks, 169.254.0.0/16',
    'not theirs',
    'block',
    inward(({ net }) => [{ dst: without(PRIVATE, net) }]),
  );
  row(
    'jail-internet',
    'jail',
    'internet',
    'with the host’s address, see jail-out',
    'pass',
    inward(({ net }) => [{ dst: others(or(PRIVATE, net)), offender: false }]),
    { rule: share(view.states.bridge) },
  );
}

/** Plain jails, whose packets to this host take the loopback, and the host itself. */
export function onLoopback(
  row: Add,
  _: Situation,
  { loopbacks, jails, gateways, nets, hostPorts }: Parties,
): void {
  const plain = without(jails, gateways);
  const looped =
    (...boxes: readonly RowBox[]): Row['at'] =>
    (place) =>
      loopbacks.includes(place.interface) ? boxes : [];
  // What is blocked where it comes in again is blocked: there fragments are put together.
  const arriving =
    (...boxes: readonly RowBox[]): Row['at'] =>
    (place) =>
      looped(...(place.direction === 'in' ? boxes : boxes.map((box) => ({ ...box, whole: true }))))(place);
  const tenants = (more: RowBox): readonly RowBox[] =>
    nets.map((net) => ({ src: and(net, plain), dst: net, ...more }));
  const stateless = true;
  if (hostPorts.length > 0)
    row(
      'plain-host-port',
      'plain jail',
      'host services in JAIL_HOST_PORTS',
      'listed',
      'pass',
      looped(...hostPorts.map((box) => ({ ...box, src: plain, dst: gateways, stateless }))),
    );
  if (hostPorts.length > 0)
    row(
      'plain-host-answer',
      'host services in JAIL_HOST_PORTS',
      'plain jail',
      'the answer comes by another loopback than the question',
      'pass',
      looped(
        ...hostPorts.map(({ protos, dstPort }) => ({
          ...{ protos, srcPort: dstPort, src: gateways, dst: plain, stateless },
        })),
      ),
    );
  row(
    'plain-host',
    'plain jail',
    'host services',
    'not listed in JAIL_HOST_PORTS',
    'block',
    arriving({ src: plain, dst: gateways }),
  );
  if (!_.fallback) {
    row(
      'plain-tunnel',
      'plain jail',
      'plain jails, udp 41641',
      'the host’s tailscaled would answer for them',
      'block',
      arriving(...tenants(TUNNEL)),
    );
    row(
      'plain-tenant',
      'plain jail',
      'plain jails of its tenant',
      'one tenant’s jails are one another’s',
      'pass',
      looped(...tenants({ stateless })),
    );
  }
  row(
    'plain-other',
    'plain jail',
    'anybody else on this host',
    'not theirs',
    'block',
    arriving({ src: plain }),
  );
  row(
    'loopback',
    'host',
    'itself',
    'its own services',
    'pass',
    looped({ src: ITSELF, dst: ITSELF, stateless }),
  );
}

/** Towards jails with a network stack of their own, where it leaves the host. */
export function toJails(
  row: Add,
  { view, fallback, tailscaleActive, egressKnown }: Situation,
  { bridges, external, jails, gateways }: Parties,
): void {
  type Bridge = NonNullable<ReturnType<typeof bridges.get>>;
  const outward =
    (boxes: (bridge: Bridge, place: Place) => readonly RowBox[]): Row['at'] =>
    (place) => {
      const bridge = place.direction === 'out' ? bridges.get(place.interface) : undefined;
      return bridge ? boxes(bridge, place) : [];
    };
  if (!fallback) {
    row(
      'host-jail',
      'host',
      'jails',
      'with state',
      'pass',
      outward(({ net, gateway }) => [{ src: gateway, dst: net, receivedOn: [undefined] }]),
    );
    row(
      'tenant-jail',
      'plain jail, jail',
      'jails of its tenant',
      'one tenant’s jails are one another’s',
      'pass',
      outward(({ net }, place) => [{ src: net, dst: net, receivedOn: [undefined, place.interface] }]),
    );
    if (egressKnown)
      row(
        'redirected',
        'internet, through a redirect',
        'jails',
        'it was let in there',
        'pass',
        outward(({ net }) => [{ src: others(jails), dst: net, receivedOn: external }]),
      );
    if (tailscaleActive && view.tailnetToJails) {
      const agent = addresses(view.agentNet);
      row(
        'tailnet-jail',
        'tailnet',
        'jails, out of the host',
        'TAILSCALE is "subnet"',
        'pass',
        outward(({ net }) => [{ src: TAILNET, dst: and(net, agent), receivedOn: [TAILSCALE] }]),
      );
    }
    row(
      'tenant-other',
      'plain jail, jail',
      'jails of other tenants',
      'not theirs',
      'block',
      outward(({ net }) => [{ src: without(jails, or(net, gateways)) }]),
    );
  }
  row(
    'to-jail-closed',
    'everything else',
    'jails',
    'not listed',
    'block',
    // An address of its own that came from elsewhere was refused where it came in.
    outward(({ net }) => (fallback ? [{}] : [{ src: others(net) }, { dst: others(net) }])),
  );
}
