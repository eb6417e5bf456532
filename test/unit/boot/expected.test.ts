import { describe, expect, it } from 'vitest';
import { expectedOf, networkOf, waysInOf } from '../../../build/boot/expected.js';
import { NETWORK } from '../../../build/boot/peer.js';

const record =
  (values: Readonly<Record<string, string>>) =>
  (key: string, fallback: string): string =>
    values[key] ?? fallback;

describe('what an image is expected to do', () => {
  it('is what an image has by default, where no record says otherwise', () => {
    expect(networkOf(record({}))).toEqual(NETWORK);
    expect(expectedOf(record({}))).toEqual({
      ports: [22, 80, 443],
      icmpEcho: false,
      ipv6: true,
      agentNet: '192.168.100.0/24',
      jailNets: ['192.168.100.0/24'],
      otherJail: '192.168.255.254',
    });
  });

  it('is what the record says', () => {
    const values = record({
      HTTP: 'no',
      ICMP_ECHO: 'yes',
      WAN_IPV6: 'off',
      AGENT_NET: '10.83.0.0/24',
      JAIL_SUPERNET: '10.83.0.0/16',
      TENANTS: 'natasha=10.83.7.0/24 clawd',
    });
    expect(expectedOf(values)).toEqual({
      ports: [22, 443],
      icmpEcho: true,
      ipv6: false,
      agentNet: '10.83.0.0/24',
      jailNets: ['10.83.0.0/24', '10.83.7.0/24'],
      otherJail: '10.83.255.254',
    });
  });

  it('has the addresses that the deployment names, and its gateways', () => {
    expect(
      networkOf(record({ WAN_IPV4: '198.18.5.9/24 198.18.5.3', WAN_IPV6: '2001:db8:7::9/64 fe80::1' })),
    ).toMatchObject({
      guest4: '198.18.5.9',
      router4: '198.18.5.3',
      guest6: '2001:db8:7::9',
      router6: 'fe80::1',
      // Neither the guest's nor its gateway's.
      login4: '198.18.5.4',
    });
  });

  it('knows the ways in that keys name', () => {
    const values: Readonly<Record<string, string>> = {
      OPEN_PORTS: '8443/tcp 51820/udp',
      FORWARD_PORTS: '2222/tcp=worker:22 53/udp=worker:53',
      SSH_ALLOW: '2001:db8::/48 192.0.2.0/24',
    };
    const value = (key: string, fallback: string): string => values[key] ?? fallback;
    expect(waysInOf(value)).toEqual({
      open: [8443],
      forwards: [{ port: 2222, jail: 'worker', to: 22 }],
      allowed: '192.0.2.0',
    });
    expect(expectedOf(value).ports).toEqual([22, 80, 443, 8443, 2222]);
    expect(waysInOf((_, fallback) => fallback)).toEqual({ open: [], forwards: [], allowed: undefined });
  });
});
