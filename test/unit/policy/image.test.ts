import { spawnSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { resolve } from '../../../build/config/resolve.js';
import { makeView } from '../../../build/overlay/view.js';
import { proveImage } from '../../../build/policy/image.js';
import { OPERATOR_RULES } from '../../../build/overlay/render.js';
import { configOf, PUBLIC_KEY } from '../../helpers/config.js';
import { bodyOf, overlayOf } from '../../helpers/deployment.js';
import type { ImageProof } from '../../../build/policy/image.js';

type Values = Readonly<Record<string, string>>;

function proofOf(values: Values = {}, operatorRules = ''): ImageProof {
  const config = configOf(values);
  const entries = overlayOf(config, { operatorRules });
  const files = {
    pf: bodyOf(entries, 'etc/pf.conf'),
    fallback: bodyOf(entries, 'etc/pf-fallback.conf'),
    operator: bodyOf(entries, OPERATOR_RULES),
  };
  return proveImage(files, makeView(config), config.POLICY_EXCEPTIONS);
}

describe('every image is proved', () => {
  const MODES = ['off', 'host', 'subnet', 'jail'];
  it.each(
    MODES.flatMap((mode) =>
      ['', 'igor', 'igor olga vera nina mila lena dasha sonja'].map((tenants) => [mode, tenants]),
    ),
  )('TAILSCALE=%s, TENANTS="%s"', (TAILSCALE, TENANTS) => {
    const proof = proofOf({ TAILSCALE, TENANTS });
    expect(proof.exceptions).toEqual([]);
    for (const row of [
      'ssh',
      'ssh-closed',
      'wireguard',
      'spoofed',
      'offender',
      'jail-host',
      'jail-other',
      'tailnet-ssh',
    ])
      expect([row, proof.rows.includes(row)]).toEqual([row, true]);
    expect(proof.rows.includes('tailnet-jails')).toBe(TAILSCALE === 'subnet');
    expect(proof.situations).toHaveLength(6);
  });

  it.each([
    ['512M', 100_000, 150_000],
    ['1G', 100_000, 150_000],
    ['4G', 400_000, 600_000],
    ['64G', 1_600_000, 2_400_000],
  ])('has room for connections by the memory: %s', (MEMORY, states, sources) => {
    const body = bodyOf(overlayOf(configOf({ MEMORY })), 'etc/pf.conf');
    expect(body).toContain(`set limit { states ${states}, src-nodes ${sources} }`);
    // HTTP and HTTPS have a fifth together.
    expect(body).toContain(`port 443 flags S/SA keep state (max ${states / 10})`);
    expect(proofOf({ MEMORY }).exceptions).toEqual([]);
  });

  const yesNo = fc.constantFrom('yes', 'no');
  const name = fc.stringMatching(/^[a-z](?:[a-z0-9]{0,12}[a-z])?$/);
  const octet = fc.nat(255);
  /** A pool of /8 to /24 with a net of it: at its beginning, its end, or anywhere. */
  const nets = fc
    .record({
      pool: fc.constantFrom(
        [10, 0, 8],
        [10, 83, 16],
        [172, 16, 12],
        [192, 168, 16],
        [192, 168, 24],
        [10, 200, 24],
      ),
      where: fc.oneof(fc.constant(0), fc.constant(-1), fc.nat(65535)),
    })
    .map(({ pool: [first = 0, second = 0, prefix = 24], where }) => {
      const count = 2 ** (24 - prefix);
      const base = first * 65536 + second * 256;
      const net = base + (where < 0 ? count - 1 : where % count);
      const text = (value: number, length: number): string =>
        `${Math.floor(value / 65536)}.${Math.floor(value / 256) % 256}.${value % 256}.0/${length}`;
      return { JAIL_SUPERNET: text(base, prefix), AGENT_NET: text(net, 24) };
    });
  const wan = fc.oneof(
    fc.constant({}),
    fc.constant({
      WAN_IPV4: '203.0.113.9/29 203.0.113.14',
      WAN_IPV6: '2001:db8::10/64 fe80::1',
      EXT_IF: 'vtnet0',
      DNS: '9.9.9.9 2620:fe::fe',
    }),
    fc.constant({ WAN_IPV6: 'off', EXT_IF: 'em0' }),
  );
  const config = fc
    .record({
      ASSISTANT_NAME: name,
      TENANTS: fc.uniqueArray(name, { maxLength: 9 }).map((names) => names.join(' ')),
      nets,
      wan,
      HTTP: yesNo,
      HTTPS: yesNo,
      ICMP_ECHO: yesNo,
      JAIL_NETWORK: fc.constantFrom('plain', 'vnet'),
      JAIL_HOST_PORTS: fc
        .uniqueArray(
          fc.tuple(
            fc.oneof(fc.constantFrom(1, 22, 53, 65535), fc.integer({ min: 1, max: 65535 })),
            fc.constantFrom('tcp', 'udp'),
          ),
          { maxLength: 4, selector: ([port, proto]) => `${port}/${proto}` },
        )
        .map((ports) => ports.map(([port, proto]) => `${port}/${proto}`).join(' ')),
      SSH_ALLOW: fc.constantFrom('', '192.0.2.7', '198.51.100.0/24 2001:db8::/48 8.0.0.0/8'),
      OPEN_PORTS: fc.constantFrom('', '8443/tcp', '51820/udp 5899/tcp 65535/tcp'),
      FORWARD_PORTS: fc.constantFrom('', '2222/tcp=worker:22', '8022/udp=worker:8022 1/tcp=worker:65535'),
      TAILSCALE: fc.constantFrom(...MODES),
      BRUTEFORCE_EXPIRE: fc.integer({ min: 10, max: 99_999_999 }).map(String),
      CONSOLE: fc.constantFrom('serial', 'video', 'both'),
      TIMEZONE: fc.constantFrom('UTC', 'Europe/Ljubljana', 'America/Argentina/Buenos_Aires', 'Etc/GMT+12'),
      HOSTNAME: octet.map((value) => (value === 0 ? '' : `agent-${value}.example.org`)),
      PACKAGES: fc.constantFrom('', 'bastille tailscale', 'py311-pip g++-13_1'),
    })
    .map(({ nets: jails, wan: outside, ...rest }) => ({ ...rest, ...jails, ...outside }));

  it('any valid configuration renders to files that parse, prove and hold no unrendered or unsafe text', () => {
    let valid = 0;
    fc.assert(
      fc.property(config, (values) => {
        const { resolved } = resolve({
          file: { name: 'build.cfg', text: '' },
          environment: {},
          commandLine: { SSH_AUTHORIZED_KEYS: PUBLIC_KEY, ...values },
        });
        if (!resolved) return; // a reserved name, a pool that is too small, …
        valid++;
        const entries = overlayOf(resolved.config);
        for (const { path, body, type } of entries) {
          if (type !== 'file') continue;
          expect([path, /\{\{|\}\}|undefined|\[object/.exec(body)?.[0]]).toEqual([path, undefined]);
        }
        for (const path of [
          'etc/clawdie/clawdie.conf',
          'etc/rc.conf',
          'usr/local/etc/bastille/bastille.conf',
        ]) {
          const read = spawnSync('sh', ['-n'], { input: bodyOf(entries, path), encoding: 'utf8' });
          expect([path, read.status, read.stderr]).toEqual([path, 0, '']);
        }
        const proof = proofOf({ SSH_AUTHORIZED_KEYS: PUBLIC_KEY, ...values });
        expect(proof.cells).toBeGreaterThan(3000);
      }),
      { numRuns: 60, seed: 3 },
    );
    expect(valid).toBeGreaterThan(40);
  }, 300_000);
});

describe('the rules of an operator', () => {
  it('are proved with the rest, and pass where they open nothing that the table closes', () => {
    const plain = proofOf();
    const closing = proofOf({}, 'block in quick on egress proto tcp from 198.51.100.0/24 to any port 8080\n');
    expect(closing.cells).toBeGreaterThan(plain.cells);
    expect(closing.exceptions).toEqual([]);
  });

  it.each([
    ['opens a port', 'pass in quick on egress proto tcp to (egress) port 8080\n', 'closed', 1],
    ['opens jails', '\n\npass in quick on egress from any to 192.168.100.0/24\n', 'jails-closed', 3],
    ['closes SSH', 'block in quick on egress proto tcp to port 22\n', 'ssh', 1],
    ['loosens the limits of SSH', 'pass in quick on egress proto tcp to (egress) port 22\n', 'ssh', 1],
    ['lets VNC in from the internet', 'pass in on egress proto tcp to (egress) port 5900\n', 'closed', 1],
    ['opens everything to one host', 'pass quick from 198.51.100.9\n', 'closed', 1],
    ['opens IPv6 alone', 'pass in on egress inet6 proto tcp to (egress) port 8443\n', 'closed', 1],
  ])('are refused where a rule %s, with row, packet, rule and line', (_, rules, row, line) => {
    expect(() => proofOf({}, rules)).toThrow(
      new RegExp(`${row} \\(Tailscale off\\): .*decided by /etc/pf\\.conf\\.d/operator\\.conf:${line}: `),
    );
  });

  it('are excepted by the row alone that POLICY_EXCEPTIONS names, and the record says so', () => {
    const rules = 'pass in quick on egress proto tcp to (egress) port 8080\n';
    const [exception] = proofOf({ POLICY_EXCEPTIONS: 'closed' }, rules).exceptions;
    expect(exception?.row).toBe('closed');
    expect(exception?.example).toContain('port 8080');
    expect(() => proofOf({ POLICY_EXCEPTIONS: 'jails-closed' }, rules)).toThrow('closed (Tailscale off)');
    expect(() => proofOf({ POLICY_EXCEPTIONS: 'nonsense' })).toThrow(
      'POLICY_EXCEPTIONS names nonsense, which is no row of the policy',
    );
  });

  it.each([
    ['a bare interface name as an address', 'pass in from egress\n', 'operator.conf:1'],
    ['an undefined macro', 'pass in on $nowhere\n', 'operator.conf:1'],
    ['a rule that can never match', 'block in quick\npass in proto tcp to port 8080\n', 'operator.conf:2'],
    ['a table that nobody defines', 'block in from <nobody>\n', 'operator.conf:1'],
    ['what pf.conf(5) does not know', 'allow in\n', 'operator.conf:1'],
    ['an unknown option', 'pass in keep state frobnicate\n', 'operator.conf:1'],
  ])('are refused for %s, with line', (_, rules, place) => {
    expect(() => proofOf({ POLICY_EXCEPTIONS: 'closed' }, rules)).toThrow(place);
  });
});
