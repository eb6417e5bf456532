import { PROTO, PROXY_PORTS } from '../pf/names.js';
import { addresses } from '../pf/ranges.js';
import type { Ranges } from '../pf/ranges.js';
import { IMPOSSIBLE, or, PRIVATE, TAILNET } from './address-sets.js';
import type { Row, RowBox } from './row.js';
import { DISCOVERY, not, one, otherThan, port, TUNNEL } from './row-parts.js';
import type { Add, Parties } from './row-parts.js';
import { allowed, rateLimited, share } from './state-limits.js';
import { ip } from './world.js';
import type { Situation } from './world.js';

/** Echo requests that are answered at once. */
const ECHOES = 1000;

/** What comes from the internet. */
export function fromInternet(
  row: Add,
  { view, tailscaleActive, fallback, egressKnown }: Situation,
  { external, jails, host }: Parties,
): void {
  const incoming =
    (...boxes: readonly RowBox[]): Row['at'] =>
    (place) =>
      place.direction === 'in' && external.includes(place.interface) ? boxes : [];
  const discovery: Row['at'] = (place) =>
    place.af === 'inet6' ? incoming({ protos: one(PROTO.icmp6), type: DISCOVERY.in })(place) : [];
  const discoveryRow = (): void => {
    row(
      'discovery',
      'internet',
      'host, neighbour discovery',
      'IPv6 does not work without',
      'pass',
      discovery,
    );
  };
  const offenderRow = (): void => {
    row(
      'offender',
      'internet, a host in <bruteforce>',
      'anything',
      'it tried too often',
      'block',
      incoming({ offender: true }),
    );
  };
  if (!egressKnown) {
    offenderRow();
    discoveryRow();
    row(
      'before-egress',
      'anywhere',
      'anything, before it is known what faces the internet',
      'the boot is not done',
      'block',
      incoming({}),
    );
    return;
  }
  row(
    'spoofed',
    'internet, claiming a jail’s, a tailnet or the host’s own address',
    'anything',
    'nobody outside has these addresses',
    'block',
    incoming({ src: or(or(jails, TAILNET), or(IMPOSSIBLE, host)) }),
  );
  if (view.sshAllow !== null)
    row(
      'ssh-allowed',
      'internet, SSH_ALLOW',
      'host tcp 22',
      'SSH without a limit, and without a ban',
      'pass',
      incoming({ src: addresses(...view.sshAllow.split(', ')), dst: host, ...port(PROTO.tcp, 22) }),
      { rule: allowed },
    );
  offenderRow();
  discoveryRow();
  const open = !fallback;
  const proto = (tcp: boolean): number => (tcp ? PROTO.tcp : PROTO.udp);
  // What a redirect lets in goes to a jail, whose ports are no ports of the host.
  for (const { port: number, proto: name, tcp, address, to } of open ? view.forwards : []) {
    const id = `forward-${number}-${name}`;
    const bounded = { rule: share(view.states.service) };
    row(
      id,
      'internet',
      `host ${name} ${number}`,
      `FORWARD_PORTS: to ${address}, port ${to}`,
      'pass',
      incoming({ dst: { inet: host.inet, inet6: [] }, ...port(proto(tcp), number) }),
      { ...bounded, leadsTo: { address: ip(address), port: to } },
    );
    row(
      `${id}-behind`,
      'internet',
      `${address} ${name} ${to}`,
      'FORWARD_PORTS: whoever sends there without the redirect gets the same',
      'pass',
      incoming({ dst: addresses(address), ...port(proto(tcp), to) }),
      bounded,
    );
  }
  if (tailscaleActive && open)
    row(
      'ssh-closed',
      'internet',
      'host tcp 22',
      'SSH is over the tailnet only, now that Tailscale is active',
      'block',
      incoming(port(PROTO.tcp, 22)),
    );
  else
    row(
      'ssh',
      'internet',
      'host tcp 22',
      'SSH, 5 at once, 3 in 60 s',
      'pass',
      incoming({ dst: host, ...port(PROTO.tcp, 22) }),
      { rule: rateLimited },
    );
  const service = (id: string, number: number, why: string): void => {
    row(
      id,
      'internet',
      `host tcp ${number}`,
      why,
      'pass',
      incoming({ dst: host, ...port(PROTO.tcp, number) }),
      { rule: share(view.states.service) },
    );
  };
  if (view.http && open) service('http', 80, 'certificate renewals');
  if (view.https && open) service('https', 443, 'agent UI');
  for (const { port: number, proto: name, tcp } of open ? view.openPorts : [])
    row(
      `open-${number}-${name}`,
      'internet',
      `host ${name} ${number}`,
      'OPEN_PORTS',
      'pass',
      incoming({ dst: host, ...port(proto(tcp), number) }),
      { rule: share(view.states.service) },
    );
  if (tailscaleActive && open)
    row(
      'wireguard',
      'internet',
      'host udp 41641',
      'Tailscale’s tunnel',
      'pass',
      incoming({ dst: host, ...TUNNEL }),
    );
  row(
    'path-mtu',
    'internet',
    'path-MTU messages',
    'connections would hang on a narrower path',
    'pass',
    (place) =>
      incoming(
        place.af === 'inet'
          ? { protos: one(PROTO.icmp), type: one(3), code: one(4) }
          : { protos: one(PROTO.icmp6), type: one(2) },
      )(place),
  );
  if (view.icmpEcho && open)
    row(
      'echo',
      'internet',
      'host, echo requests',
      'ICMP_ECHO is "yes"',
      'pass',
      (place) =>
        incoming(
          place.af === 'inet'
            ? { dst: host, protos: one(PROTO.icmp), type: one(8) }
            : { dst: host, protos: one(PROTO.icmp6), type: one(128) },
        )(place),
      { rule: share(ECHOES) },
    );
  row(
    'jails-closed',
    'internet',
    'jail addresses',
    'only a redirect leads there',
    'block',
    incoming({ dst: jails }),
  );
  row('closed', 'internet', 'everything else, tcp 5900 among it', 'not listed', 'block', incoming({}));
}

/** Protocols with ports that nat changes. */
const PORTED: Ranges = [PROTO.tcp, PROTO.udp].flatMap(one);
/** Ports that nat gives to connections of jails, and that the host does not use for its own (sysctl.conf). */
const TRANSLATED: Ranges = [[PROXY_PORTS.low, PROXY_PORTS.high]];

/** What leaves towards the internet, of the host and of jails. */
export function toInternet(
  row: Add,
  { view, fallback, egressKnown }: Situation,
  { external, jails, host }: Parties,
): void {
  const outgoing =
    (...boxes: readonly RowBox[]): Row['at'] =>
    (place) =>
      place.direction === 'out' && external.includes(place.interface) ? boxes : [];
  if (egressKnown && !fallback)
    row(
      'translated-out',
      'host, by a port that nat gives to jails',
      'anywhere',
      'jails have their share of connections',
      'pass',
      outgoing({ src: { inet: host.inet, inet6: [] }, protos: PORTED, srcPort: TRANSLATED }),
      { rule: share(view.states.out) },
    );
  if (egressKnown) row('host-out', 'host', 'anywhere', 'with state', 'pass', outgoing({ src: host }));
  if (fallback)
    row(
      'jail-leak',
      'jail',
      'internet',
      'jails reach nothing while the fallback is in force',
      'block',
      outgoing({ src: jails }),
    );
  else if (egressKnown) {
    row(
      'jail-private',
      'jail',
      'other tenants, private networks, 169.254.0.0/16',
      'not theirs',
      'block',
      outgoing({ src: jails, dst: PRIVATE }),
    );
    row(
      'jail-out',
      'jail, plain or not',
      'internet',
      'with the host’s address',
      'pass',
      outgoing({ src: jails, protos: PORTED }),
      { translated: true, rule: share(view.states.out) },
    );
    row(
      'jail-out-other',
      'jail',
      'internet, neither TCP nor UDP',
      'with the host’s address',
      'pass',
      outgoing({ src: jails, protos: not(PORTED) }),
      { translated: true },
    );
  }
  row('out-closed', 'anybody else', 'internet', 'nobody has another address', 'block', (place) =>
    outgoing(...otherThan(DISCOVERY.out, place))(place),
  );
}
