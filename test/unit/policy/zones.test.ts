import { beforeAll, describe, expect, it } from 'vitest';
import { makeView } from '../../../build/overlay/view.js';
import { proveImage, readRules } from '../../../build/policy/image.js';
import type { Pair, ZoneMap } from '../../../build/policy/map.js';
import { mapZones } from '../../../build/policy/matrix.js';
import { subjectOf } from '../../../build/policy/prove.js';
import type { Situation } from '../../../build/policy/world.js';
import { configOf } from '../../helpers/config.js';
import { bodyOf, overlayOf } from '../../helpers/deployment.js';

const VALUES = { TENANTS: 'igor', TAILSCALE: 'subnet', GLASSPANE: 'yes', JAIL_HOST_PORTS: '8080/tcp' };
const config = configOf(VALUES);
const entries = overlayOf(config);
const view = makeView(config);

function filesOf(operator: string) {
  return {
    pf: bodyOf(entries, 'etc/pf.conf'),
    fallback: bodyOf(entries, 'etc/pf-fallback.conf'),
    operator,
  };
}

function mapOf(
  is: Partial<Situation> = {},
  {
    operator = '',
    mend = (text: string) => text,
  }: { operator?: string; mend?: (text: string) => string } = {},
): ZoneMap {
  const situation: Situation = {
    view,
    egressKnown: true,
    tailscaleActive: false,
    fallback: false,
    ...is,
  };
  const files = filesOf(operator);
  const { ruleset, flaws } = readRules({ ...files, pf: mend(files.pf) }, situation);
  expect(flaws).toEqual([]);
  return mapZones(subjectOf(ruleset, situation));
}

/** What a pair is in short: open, closed, signals, or the services. */
const short = ({ verdict, services }: Pair): string =>
  verdict === 'services' ? services.filter((text) => !/icmp/.test(text)).join('; ') : verdict;

function table({ zones, pairs }: ZoneMap): Readonly<Record<string, Readonly<Record<string, string>>>> {
  return Object.fromEntries(
    zones.map(({ id }) => [
      id,
      Object.fromEntries(
        pairs.filter(({ from }) => from === id).map((pair) => [pair.to, short(pair)] as const),
      ),
    ]),
  );
}

const pairOf = ({ pairs }: ZoneMap, from: string, to: string): Pair => {
  const pair = pairs.find((candidate) => candidate.from === from && candidate.to === to);
  if (!pair) throw new Error(`no pair ${from} → ${to}`);
  return pair;
};

const JAILS = ['plain:clawdie', 'vnet:clawdie', 'plain:igor', 'vnet:igor'] as const;
const tenantOf = (id: string): string => id.replace(/^.*:/, '');

describe.each([false, true])('the zones of two tenants, Tailscale active: %s', (tailscaleActive) => {
  let map: ZoneMap;
  beforeAll(() => {
    map = mapOf({ tailscaleActive });
  });

  it('there is one pair for any two of them', () => {
    const ids = map.zones.map(({ id }) => id);
    expect(ids).toEqual([
      ...['internet', 'card', 'host', 'loopback', ...JAILS],
      ...(tailscaleActive ? ['tailnet'] : []),
      'other',
    ]);
    expect(map.pairs.map(({ from, to }) => `${from} ${to}`)).toEqual(
      ids.flatMap((from) => ids.map((to) => `${from} ${to}`)),
    );
  });

  it('says of each pair what the design wants', () => {
    const outside = tailscaleActive ? ['card', 'tailnet', 'other'] : ['card', 'other'];
    const expected: Record<string, Record<string, string>> = {};
    const say = (from: string, to: string, what: string): void => {
      (expected[from] ??= {})[to] = what;
    };
    for (const from of map.zones.map(({ id }) => id))
      for (const to of map.zones.map(({ id }) => id)) say(from, to, 'closed');
    // Neighbour discovery and path-MTU messages cross whatever is no jail's.
    for (const from of ['internet', ...outside])
      for (const to of ['internet', 'host', 'loopback', ...outside]) say(from, to, 'signals');
    for (const jail of JAILS) say('internet', jail, 'signals');
    for (const to of outside) {
      say('host', to, 'signals');
      say('loopback', to, 'signals');
    }
    say('loopback', 'internet', 'signals');
    // The internet reaches the host's services, and the host everything.
    say('internet', 'host', tailscaleActive ? 'tcp 80, 443; udp 41641' : 'tcp 22, 80, 443');
    for (const to of ['internet', 'host', 'loopback']) say('host', to, 'open');
    for (const to of ['host', 'loopback']) say('loopback', to, 'open');
    for (const jail of JAILS) {
      say('host', jail, 'everything but udp 41641 (IPv4)');
      say('host', jail, 'open');
      if (jail.startsWith('plain')) say('loopback', jail, 'open');
      // Jails reach the internet, the host's names and the port that is listed, and those of their own tenant.
      say(jail, 'internet', 'open');
      say(jail, 'host', 'tcp 53, 8080 (IPv4); udp 53 (IPv4)');
      for (const other of JAILS)
        if (tenantOf(jail) === tenantOf(other))
          say(jail, other, other.startsWith('vnet') ? 'open' : 'everything but udp 41641 (IPv4)');
    }
    if (tailscaleActive) {
      say('host', 'tailnet', 'open');
      say('tailnet', 'host', 'tcp 22, 5900');
      for (const jail of ['plain:clawdie', 'vnet:clawdie']) say('tailnet', jail, 'open');
    }
    expect(table(map)).toEqual(expected);
  });

  it('nothing but signals gets where the design wants nothing to', () => {
    const kept = map.pairs.filter(({ mustBeClosed }) => mustBeClosed);
    expect(kept.length).toBeGreaterThan(35);
    for (const { from, to, verdict } of kept)
      expect([from, to, ['closed', 'signals'].includes(verdict)]).toEqual([from, to, true]);
    for (const from of JAILS)
      for (const to of JAILS)
        expect(pairOf(map, from, to).mustBeClosed).toBe(tenantOf(from) !== tenantOf(to));
  });

  it('jails reach the internet with the host’s address only, and no private network', () => {
    for (const jail of JAILS) {
      const { openings } = pairOf(map, jail, 'internet');
      expect(openings.length).toBeGreaterThan(0);
      for (const { arrivesWith, destinations, sources, steps, family } of openings) {
        expect([jail, arrivesWith, family]).toEqual([jail, 'host', 'inet']);
        expect(destinations).toContain('1.0.0.0–9.255.255.255');
        expect(
          destinations?.filter((text) => /^(?:10|192\.168|169\.254|168\.63\.129\.16)[./]/.test(text)),
        ).toEqual([]);
        expect(steps.at(-1)).toMatchObject({
          direction: 'out',
          row: expect.stringMatching(/^jail-out/) as string,
          translation: { file: '/etc/pf.conf', text: expect.stringMatching(/^nat on egress/) as string },
        });
        if (jail.startsWith('vnet'))
          expect(
            sources?.every((text) => text.startsWith(jail === 'vnet:igor' ? '192.168.101.' : '192.168.100.')),
          ).toBe(true);
      }
    }
  });

  it('names the rule, its line and the row at each crossing', () => {
    const { openings } = pairOf(map, 'internet', 'host');
    const web = openings.find(({ services }) => services.some(({ text }) => text === 'tcp 443'));
    expect(web?.steps).toMatchObject([
      {
        interface: 'vtnet0',
        direction: 'in',
        receivedOn: null,
        verdict: 'pass',
        rule: { file: '/etc/pf.conf', text: expect.stringContaining('port = https') as string },
        row: 'https',
      },
    ]);
    for (const { steps } of pairOf(map, 'vnet:igor', 'vnet:clawdie').closings)
      expect(steps.at(-1)).toMatchObject({ verdict: 'block' });
  });

  it('tells what redirects of rdr/* may open, apart from what is open', () => {
    for (const jail of JAILS) {
      const { redirects, verdict } = pairOf(map, 'internet', jail);
      expect([jail, verdict, redirects.map(({ services }) => services.map(({ text }) => text))]).toEqual([
        jail,
        'signals',
        expect.arrayContaining([['tcp, udp']]),
      ]);
      for (const { steps } of redirects)
        expect(steps[0]).toMatchObject({
          assumed: true,
          rule: { text: expect.stringMatching(/^rdr-anchor/) as string },
        });
    }
    expect(map.assumed.join('\n')).toMatch(/rdr\/\*.*bastille rdr[\s\S]*bastille\/\*[\s\S]*tailscale\/\*/);
  });

  it('is plain data', () => {
    expect(JSON.parse(JSON.stringify(map))).toEqual(map);
  });
});

describe('a rule that is added', () => {
  const before = table(mapOf());
  /** The pairs that are other than before. */
  const changes = (operator: string): readonly string[] => {
    const after = table(mapOf({}, { operator }));
    return Object.keys(after).flatMap((from) =>
      Object.keys(after[from] ?? {}).flatMap((to) => {
        const [was, is] = [before[from]?.[to], after[from]?.[to]];
        return was === is ? [] : [`${from} → ${to}: ${is}`];
      }),
    );
  };

  it.each([
    ['pass in quick on egress proto tcp to (egress) port 8443', ['internet → host: tcp 22, 80, 443, 8443']],
    [
      'pass in quick on warden1 inet proto tcp from 192.168.101.0/24 to 192.168.100.0/24 port 80',
      // The image's own rules have decided about it before.
      [],
    ],
    [
      'pass out quick on warden0 inet proto tcp from 192.168.101.0/24 to any port 80',
      ['plain:igor → vnet:clawdie: tcp 80 (IPv4)'],
    ],
    ['pass in quick on em1 inet proto udp to (egress) port 514', ['card → host: udp 514 (IPv4)']],
    ['block in quick on egress proto tcp to any port 80', ['internet → host: tcp 22, 443']],
    ['block in quick on egress proto tcp to any port 8080', []],
  ])('changes the pairs that it opens or closes, and no other: %s', (rule, expected) => {
    expect(changes(`${rule}\n`)).toEqual(expected);
  });
});

describe('translation', () => {
  const redirect =
    (rule: string, filter = '') =>
    (text: string): string =>
      text
        .replace('rdr-anchor "rdr/*"', `${rule}\nrdr-anchor "rdr/*"`)
        .replace('# Services for the internet.', filter);

  it('comes first: what a redirect lets in is judged by where it goes then', () => {
    const map = mapOf(
      {},
      {
        mend: redirect(
          'rdr on egress inet proto tcp from any to (egress) port 8080 -> 192.168.101.20 port 80',
          'pass in quick on egress inet proto tcp from any to 192.168.101.20 port 80',
        ),
      },
    );
    const { verdict, openings } = pairOf(map, 'internet', 'vnet:igor');
    expect(verdict).toBe('services');
    const opening = openings.find(({ steps: [step] }) => step?.translation);
    expect(opening).toMatchObject({
      services: [{ text: 'tcp 8080' }],
      steps: [
        {
          direction: 'in',
          verdict: 'pass',
          translation: { text: expect.stringMatching(/^rdr on/) as string },
        },
        {
          direction: 'out',
          interface: 'warden1',
          receivedOn: 'vtnet0',
          verdict: 'pass',
          row: 'redirected',
        },
      ],
    });
    expect(short(pairOf(map, 'internet', 'vnet:clawdie'))).toBe('signals');
    expect(short(pairOf(map, 'internet', 'host'))).toBe('tcp 22, 80, 443');
  });

  it('alone opens nothing: the crossing in is still to be passed', () => {
    const map = mapOf(
      {},
      {
        mend: redirect(
          'rdr on egress inet proto tcp from any to (egress) port 8080 -> 192.168.101.20 port 80',
        ),
      },
    );
    expect(pairOf(map, 'internet', 'vnet:igor').verdict).toBe('signals');
  });

  it('of binat works both ways: what comes to the new address goes to the old one', () => {
    const map = mapOf(
      {},
      {
        mend: redirect(
          'binat on egress inet from 192.168.100.20 to any -> 203.0.113.10',
          'pass in quick on egress inet proto tcp from any to 192.168.100.20 port 80',
        ),
      },
    );
    const opening = pairOf(map, 'internet', 'vnet:clawdie').openings.find(
      ({ steps: [step], services }) => step?.translation && services.some(({ text }) => text === 'tcp 80'),
    );
    expect(opening).toMatchObject({ destinations: ['203.0.113.10'], arrivesWith: 'own' });
    // Nothing of IPv4 is left for the host at that address.
    expect(short(pairOf(map, 'internet', 'host'))).toBe('tcp 22, 80, 443 (IPv6)');
    expect(pairOf(map, 'vnet:clawdie', 'internet').openings.map(({ arrivesWith }) => arrivesWith)).toContain(
      'host',
    );
  });
});

describe('the fallback', () => {
  it('lets operators in, and no jail out', () => {
    const map = mapOf({ fallback: true });
    expect(short(pairOf(map, 'internet', 'host'))).toBe('tcp 22');
    for (const from of JAILS)
      for (const { to, verdict } of map.pairs.filter((pair) => pair.from === from))
        // Members of one bridge reach each other on it, whatever the rules.
        expect([from, to, verdict]).toEqual([
          from,
          to,
          from === to && from.startsWith('vnet') ? 'open' : 'closed',
        ]);
  });
});

describe('the proof of an image', () => {
  const prove = (operator: string, exceptions: readonly string[] = []) =>
    proveImage(filesOf(operator), view, exceptions);

  it('counts ways, and says what it takes for granted', () => {
    const { ways, assumed } = prove('');
    expect(ways).toBeGreaterThan(500);
    expect(assumed.join('\n')).toMatch(/rdr\/\*/);
  });

  it('shows the way of a packet that breaks a row, with the rule at each crossing', () => {
    expect(() =>
      prove('pass out quick on warden0 inet proto tcp from 192.168.101.0/24 to any port 80\n'),
    ).toThrow(/tenant-other \(Tailscale off\): .*\n {4}1\. .*on .*: (?:passes|is blocked) by /);
    expect(() =>
      prove('pass in quick on egress inet proto tcp from any to 192.168.100.20 port 80\n'),
    ).toThrow(
      /jails-closed .*\n {4}1\. in on vtnet0: passes by \/etc\/pf\.conf\.d\/operator\.conf:1: pass in quick on egress .*\n {4}2\. out on warden0: passes by \/etc\/pf\.conf:\d+: pass out on warden0 /,
    );
  });

  it('takes what POLICY_EXCEPTIONS names on a whole way, too', () => {
    const rules = 'pass out quick on warden0 inet from 192.168.101.0/24 to 192.168.100.0/24\n';
    expect(() => prove(rules)).toThrow('tenant-other');
    const { exceptions } = prove(rules, ['tenant-other', 'to-jail-closed']);
    expect(exceptions.map(({ row }) => row)).toEqual(['tenant-other', 'to-jail-closed']);
  });
});
