import { parseIp } from '../pf/address.js';
import { allRules } from '../pf/expand.js';
import { addresses } from '../pf/ranges.js';
import type { Addresses, Ip } from '../pf/ranges.js';
import type { World, WorldInterface } from '../pf/resolve.js';
import type { Ruleset } from '../pf/types.js';
import type { View } from '../overlay/view.js';

/** What the policy looks at of a deployment; whatever else is in its configuration has no say in a proof. */
export type PolicyView = Pick<View, (typeof POLICY_VIEW)[number]>;

export const POLICY_VIEW = [
  ...['external', 'loopback', 'jailTable', 'tenants', 'bridges', 'supernet', 'agentNet'],
  ...['hostPorts', 'sshAllow', 'openPorts', 'forwards', 'states', 'http', 'https', 'icmpEcho'],
  ...['glasspane', 'tailnetToJails'],
] as const satisfies readonly (keyof View)[];

/** What the policy has to know of a deployment, and in which situation it is looked at. */
export interface Situation {
  readonly view: PolicyView;
  /** Whether the Tailscale block of pf.conf is in force, and tailscale0 there. */
  readonly tailscaleActive: boolean;
  /** Whether pf-fallback.conf is in force. */
  readonly fallback: boolean;
  /** Whether clawdie_egress has found out what faces the internet; before, nothing but neighbour discovery passes. */
  readonly egressKnown: boolean;
}

/** Addresses that stand for the parties of the policy. Those of the internet are of documentation networks (RFC 5737, RFC 3849). */
export const PARTIES = {
  host4: '203.0.113.10/24',
  host6: '2001:db8:0:1::10/64',
  hostLocal6: 'fe80::10/64',
  stranger4: '198.51.100.20',
  stranger6: '2001:db8:ffff::20',
  offender4: '198.51.100.66',
  offender6: '2001:db8:ffff::66',
  tailnetHost4: '100.100.100.10/32',
  tailnetHost6: 'fd7a:115c:a1e0::10/128',
  tailnetPeer4: '100.100.100.20',
  tailnetPeer6: 'fd7a:115c:a1e0::20',
} as const;

export const TAILSCALE = 'tailscale0';

/** The interface that faces the internet: the one that build.cfg names, or a name that stands for any. */
export function externalName(view: Pick<PolicyView, 'external'>): string {
  return view.external ?? 'vtnet0';
}

/** The host's own addresses on what faces the internet. */
export function outerAddresses({ view }: Situation, { interfaces }: World): Addresses {
  const device = interfaces.find(({ name }) => name === externalName(view));
  return addresses(...(device?.addresses ?? []).map((text) => text.replace(/\/.*/, '')));
}

/** An address of a tenant's net that a jail has, by its last octet. */
export function jailAddress(net: string, last: number): string {
  return net.replace(/\.0\/24$/, `.${last}`);
}

/** The host as the rules meet it. */
export function makeWorld(situation: Situation): World {
  const { view, tailscaleActive, fallback, egressKnown } = situation;
  const interfaces: WorldInterface[] = [
    {
      name: externalName(view),
      groups: egressKnown ? ['egress'] : [],
      addresses: [PARTIES.host4, PARTIES.host6, PARTIES.hostLocal6],
    },
    { name: 'lo0', groups: ['lo'], addresses: ['127.0.0.1/8', '::1/128', 'fe80::1/64'] },
    {
      name: view.loopback,
      groups: ['lo'],
      addresses: view.tenants.map(({ net }) => `${jailAddress(net, 200)}/32`),
    },
    ...view.bridges.map(({ bridge, gateway }) => ({
      name: bridge,
      groups: ['bridge', 'wardens'],
      addresses: [`${gateway}/24`],
    })),
    // The fallback lets SSH in over the tailnet, whether Tailscale is active or not.
    ...(tailscaleActive || fallback
      ? [{ name: TAILSCALE, groups: ['tun'], addresses: [PARTIES.tailnetHost4, PARTIES.tailnetHost6] }]
      : []),
  ];
  return {
    interfaces,
    tables: {
      bruteforce: [PARTIES.offender4, PARTIES.offender6],
      [view.jailTable]: view.tenants.map(({ net }) => jailAddress(net, 200)),
    },
    defaultDrop: true,
  };
}

/** The name that stands for a further member of a group. */
export function another(group: string): string {
  return `another ${group}`;
}

/**
 * The world with what else there may be: an interface that no rule names, each that a rule names and nobody has, and a
 * further member of each group that a rule names.
 */
export function withOthers(world: World, ruleset: Ruleset): World {
  const names = new Set(
    allRules(ruleset.rules).flatMap(({ interface: device, options, from, to }) => [
      ...(device ? [device.name] : []),
      ...(options.receivedOn ? [options.receivedOn.name] : []),
      ...[from, to].flatMap(({ address }) =>
        (address.kind === 'dynamic' || address.kind === 'interface') && address.name !== 'self'
          ? [address.name]
          : [],
      ),
    ]),
  );
  for (const name of ruleset.skip) names.add(name);
  names.delete('all');
  const groups = new Set(world.interfaces.flatMap((device) => device.groups));
  for (const { name } of world.interfaces) names.delete(name);
  const unknown = [...names].filter((name) => !groups.has(name));
  const members = [...names].filter((name) => groups.has(name));
  const at = (index: number): readonly string[] => [
    `192.0.2.${index + 1}/32`,
    `2001:db8:2::${index + 1}/128`,
  ];
  return {
    ...world,
    interfaces: [
      ...world.interfaces,
      { name: 'any other', groups: [], addresses: at(0) },
      // Before it is known what faces the internet, nothing is in its group, whatever it is called.
      ...unknown
        .filter((name) => name !== 'egress')
        .map((name, index): WorldInterface => ({ name, groups: [], addresses: at(index + 1) })),
      ...members.map((group): WorldInterface => ({ name: another(group), groups: [group], addresses: [] })),
    ],
  };
}

/** An address as the evaluator has it. */
export function ip(text: string): Ip {
  const parsed = parseIp(text.replace(/\/.*$/, ''));
  if (!parsed) throw new Error(`no address: ${text}`);
  return parsed.af === 'inet' ? Number(parsed.value) : parsed.value;
}
