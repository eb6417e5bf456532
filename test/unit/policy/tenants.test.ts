import { describe, expect, it } from 'vitest';
import { makeView } from '../../../build/overlay/view.js';
import { Evaluator } from '../../../build/pf/evaluate.js';
import type { Packet } from '../../../build/pf/evaluate.js';
import { PROTO } from '../../../build/pf/names.js';
import { readRules } from '../../../build/policy/image.js';
import { ip, jailAddress, makeWorld } from '../../../build/policy/world.js';
import type { Situation } from '../../../build/policy/world.js';
import { configOf } from '../../helpers/config.js';
import { bodyOf, overlayOf } from '../../helpers/deployment.js';

const config = configOf({
  TENANTS: 'igor olga',
  TAILSCALE: 'subnet',
  ICMP_ECHO: 'yes',
  JAIL_HOST_PORTS: '53/udp',
});
const entries = overlayOf(config);
const view = makeView(config);
const files = {
  pf: bodyOf(entries, 'etc/pf.conf'),
  fallback: bodyOf(entries, 'etc/pf-fallback.conf'),
  operator: bodyOf(entries, 'etc/pf.conf.d/operator.conf'),
};

const KINDS = ['plain', 'vnet', 'tap'] as const;
type Kind = (typeof KINDS)[number];
interface Party {
  readonly tenant: (typeof view.tenants)[number];
  readonly kind: Kind;
  readonly address: string;
}
/** Last octets of addresses: a plain jail, a VNET jail, a guest of bhyve(8) on a tap(4) of the bridge. */
const OCTET: Readonly<Record<Kind, number>> = { plain: 200, vnet: 20, tap: 30 };
const party = (tenant: (typeof view.tenants)[number], kind: Kind): Party => ({
  tenant,
  kind,
  address: jailAddress(tenant.net, OCTET[kind]),
});
const parties = view.tenants.flatMap((tenant) => KINDS.map((kind) => party(tenant, kind)));

const SERVICES = [
  ...[1, 22, 80, 443, 5900, 41641, 65535].map((dstPort) => ({ proto: PROTO.tcp, dstPort, icmpType: 0 })),
  ...[53, 123, 51820].map((dstPort) => ({ proto: PROTO.udp, dstPort, icmpType: 0 })),
  { proto: PROTO.icmp, dstPort: 0, icmpType: 8 },
  { proto: 47, dstPort: 0, icmpType: 0 },
];
type Service = (typeof SERVICES)[number];

/**
 * Where a packet crosses the host's interfaces. A plain jail's address is on the loopback of the host's own stack; VNET
 * jails and guests are members of their bridge, on which nothing is filtered.
 */
function way(from: Party, to: Party, service: Service, src = from.address): readonly Packet[] {
  const header = {
    ...service,
    af: 'inet' as const,
    src: ip(src),
    dst: ip(to.address),
    srcPort: 40000,
    icmpCode: 0,
  };
  const own = from.tenant.bridge;
  const crossings: Packet[] = [];
  if (from.kind !== 'plain') crossings.push({ ...header, interface: own, direction: 'in' });
  if (to.kind !== 'plain')
    crossings.push({
      ...header,
      interface: to.tenant.bridge,
      direction: 'out',
      receivedOn: from.kind === 'plain' ? undefined : own,
    });
  if (from.kind === 'plain' && to.kind === 'plain')
    for (const direction of ['out', 'in'] as const)
      crossings.push({ ...header, interface: 'lo0', direction });
  return crossings;
}

describe.each([false, true])('jails of all tenants and kinds, Tailscale active: %s', (tailscaleActive) => {
  const situation: Situation = { view, tailscaleActive, fallback: false, egressKnown: true };
  const evaluator = new Evaluator(readRules(files, situation).ruleset, makeWorld(situation));
  const passes = (crossings: readonly Packet[]): boolean =>
    crossings.every((packet) => evaluator.decide(packet).action === 'pass');
  const pairs = parties.flatMap((from) =>
    parties.map((to) => [from.tenant.name, from.kind, to.tenant.name, to.kind, from, to] as const),
  );

  it.each(pairs)('%s %s → %s %s', (_, _kind, _other, _otherKind, from, to) => {
    expect(SERVICES.map((service) => passes(way(from, to, service)))).toEqual(
      SERVICES.map(() => from.tenant === to.tenant),
    );
  });

  it('a jail that claims the address of another tenant reaches nobody', () => {
    for (const from of parties.filter(({ kind }) => kind !== 'plain'))
      for (const to of parties)
        for (const forged of parties.filter(({ tenant }) => tenant !== from.tenant))
          for (const service of SERVICES) expect(passes(way(from, to, service, forged.address))).toBe(false);
  });

  it('nobody reaches tailscaled at the address of a plain jail', () => {
    const tunnel = { proto: PROTO.udp, dstPort: 41641, icmpType: 0 };
    for (const from of parties)
      for (const to of parties.filter(({ kind }) => kind === 'plain'))
        expect(passes(way(from, to, tunnel))).toBe(false);
  });

  it('no jail reaches the host by broadcast, or the metadata of a cloud', () => {
    for (const { tenant, address } of parties.filter(({ kind }) => kind !== 'plain'))
      for (const dst of [
        jailAddress(tenant.net, 255),
        '168.63.129.16',
        '169.254.169.254',
        '100.100.100.200',
        '192.0.0.192',
      ])
        for (const service of SERVICES) {
          const header = { ...service, af: 'inet' as const, srcPort: 40000, icmpCode: 0 };
          expect(
            passes([
              { ...header, interface: tenant.bridge, direction: 'in', src: ip(address), dst: ip(dst) },
            ]),
          ).toBe(false);
        }
  });

  it('the host reaches every jail, and no other address of its own does', () => {
    for (const { tenant, address, kind } of parties) {
      const device = kind === 'plain' ? 'lo0' : tenant.bridge;
      for (const service of SERVICES) {
        const out = (src: string): Packet => ({
          ...service,
          af: 'inet',
          interface: device,
          direction: 'out',
          src: ip(src),
          dst: ip(address),
          srcPort: 40000,
          icmpCode: 0,
        });
        expect(passes([out(tenant.gateway)])).toBe(true);
        if (kind !== 'plain') expect(passes([out('203.0.113.10')])).toBe(false);
      }
    }
  });

  it('towards jails goes what came in from the internet, and from the tailnet to those of AGENT_NET alone', () => {
    const [service] = SERVICES;
    for (const { bridge, net } of view.tenants) {
      const out = (src: string, receivedOn: string): boolean =>
        passes([
          {
            ...(service as Service),
            af: 'inet',
            interface: bridge,
            direction: 'out',
            src: ip(src),
            dst: ip(jailAddress(net, 20)),
            srcPort: 40000,
            icmpCode: 0,
            receivedOn,
          },
        ]);
      expect(out('198.51.100.20', 'vtnet0')).toBe(true);
      expect(out('198.51.100.20', 'em1')).toBe(false);
      expect(out('100.100.100.20', 'tailscale0')).toBe(tailscaleActive && net === view.agentNet);
    }
  });

  it('the tailnet reaches jails, and not the host at its gateways', () => {
    const into = (dst: string): boolean =>
      passes([
        {
          ...(SERVICES[1] as Service),
          af: 'inet',
          interface: 'tailscale0',
          direction: 'in',
          src: ip('100.100.100.20'),
          dst: ip(dst),
          srcPort: 40000,
          icmpCode: 0,
        },
      ]);
    expect(into(jailAddress(view.agentNet, 20))).toBe(tailscaleActive);
    for (const { gateway } of view.tenants) expect(into(gateway)).toBe(false);
  });
});
