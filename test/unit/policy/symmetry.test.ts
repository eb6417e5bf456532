import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { makeView } from '../../../build/overlay/view.js';
import { bare, bounds, parseNet } from '../../../build/pf/address.js';
import { proveImage } from '../../../build/policy/image.js';
import type { ImageProof, RuleFiles } from '../../../build/policy/image.js';
import { MOVABLE, Prover, shapeOf } from '../../../build/policy/symmetry.js';
import { ruleFiles } from '../../../build/commands/rules.js';
import type { PolicyView } from '../../../build/policy/world.js';
import { configOf } from '../../helpers/config.js';
import { overlayOf } from '../../helpers/deployment.js';

type Values = Readonly<Record<string, string>>;

const imageOf = (
  values: Values,
  operatorRules = '',
): { readonly files: RuleFiles; readonly view: PolicyView } => {
  const config = configOf({ JAIL_SUPERNET: '10.0.0.0/8', ...values });
  return { files: ruleFiles(overlayOf(config, { operatorRules })), view: makeView(config) };
};
const shape = (values: Values, operatorRules?: string): string | undefined => {
  const { files, view } = imageOf(values, operatorRules);
  return shapeOf(files, view);
};

const name = fc.stringMatching(/^[a-z](?:[a-z0-9]{0,12}[a-z])?$/);
const net = fc
  .tuple(fc.integer({ min: 0, max: 255 }), fc.integer({ min: 0, max: 255 }))
  .map(([second, third]) => `10.${second}.${third}.0/24`);
const keys = fc.record({
  TENANTS: fc.constantFrom('', 'igor', 'igor olga'),
  JAILS: fc.constantFrom('', 'worker\n  vworker vnet'),
  TAILSCALE: fc.constantFrom('off', 'host', 'subnet'),
  HTTP: fc.constantFrom('yes', 'no'),
  OPEN_PORTS: fc.constantFrom('', '8443/tcp 5000/udp'),
  SSH_ALLOW: fc.constantFrom('', '198.51.100.7', '192.0.2.0/24'),
  EXT_IF: fc.constantFrom('auto', 'em0'),
});

/** What each says: the figures of a proof, or that it has none. */
const judged = (prove: () => ImageProof): ImageProof | 'refused' => {
  try {
    return prove();
  } catch {
    return 'refused';
  }
};

describe('one proof for images that differ in names and nets', () => {
  it('says of each what its own proof says, whatever they are called and wherever their nets lie', () => {
    let shared = 0;
    fc.assert(
      fc.property(keys, name, net, name, net, (values, first, here, second, there) => {
        const more = {
          ...(values.JAILS !== '' && { FORWARD_PORTS: '2222/tcp=worker:22' }),
          ...(values.TAILSCALE === 'host' && { GLASSPANE: 'yes' }),
        };
        const base: Values = { ...values, ...more };
        const one = imageOf({ ...base, ASSISTANT_NAME: first, AGENT_NET: here });
        const two = imageOf({ ...base, ASSISTANT_NAME: second, AGENT_NET: there });
        const prover = new Prover();
        expect(prover.prove(one.files, one.view, [])).toEqual(proveImage(one.files, one.view, []));
        expect(prover.prove(two.files, two.view, [])).toEqual(proveImage(two.files, two.view, []));
        if (shapeOf(one.files, one.view) === shapeOf(two.files, two.view)) shared++;
      }),
      { numRuns: 25, seed: 7 },
    );
    // Otherwise nothing was looked at.
    expect(shared).toBeGreaterThan(12);
  });

  it('is refused for both or for none, whichever line is gone', () => {
    const one = imageOf({ ASSISTANT_NAME: 'natasha', AGENT_NET: '10.7.3.0/24', TENANTS: 'igor' });
    const two = imageOf({ ASSISTANT_NAME: 'boris', AGENT_NET: '10.200.41.0/24', TENANTS: 'igor' });
    const without = ({ files, view }: typeof one, line: number): typeof one => ({
      files: {
        ...files,
        pf: files.pf
          .split('\n')
          .filter((_, index) => index !== line)
          .join('\n'),
      },
      view,
    });
    const prover = new Prover();
    prover.prove(one.files, one.view, []);
    const refused = one.files.pf.split('\n').flatMap((text, line) => {
      if (!/^(?:pass|block|set skip|table|rdr|nat)/.test(text) || line % 3 !== 0) return [];
      const [left, right] = [without(one, line), without(two, line)];
      expect(shapeOf(left.files, left.view)).toBe(shapeOf(right.files, right.view));
      const own = judged(() => proveImage(right.files, right.view, []));
      expect(judged(() => proveImage(left.files, left.view, [])) === 'refused').toBe(own === 'refused');
      expect(judged(() => prover.prove(right.files, right.view, []))).toEqual(own);
      return own === 'refused' ? [text] : [];
    });
    expect(refused.length).toBeGreaterThan(5);
  }, 240_000);

  it('says whose table of jails may be filled at run time', () => {
    const prover = new Prover();
    const assumed = ['natasha', 'boris'].map((ASSISTANT_NAME, index) => {
      const { files, view } = imageOf({ ASSISTANT_NAME, AGENT_NET: `10.7.${index + 1}.0/24` });
      return prover.prove(files, view, []).assumed.join('\n');
    });
    expect(assumed[0]).toContain('<natasha_jails>');
    expect(assumed[1]).toContain('<boris_jails>');
    expect(assumed[1]).not.toContain('natasha');
  });

  const usual = { ASSISTANT_NAME: 'natasha', AGENT_NET: '10.7.3.0/24' };
  const boris = { ASSISTANT_NAME: 'boris', AGENT_NET: '10.200.41.0/24' };

  it('is one for these', () => {
    expect(shape(usual)).toBeDefined();
    expect(shape(usual)).toBe(shape(boris));
    expect(shape({ ...usual, HOSTNAME: 'web1', TIMEZONE: 'Europe/Ljubljana' })).toBe(shape(usual));
  });

  it.each<[string, Values, Values]>([
    ['another port', { OPEN_PORTS: '8443/tcp' }, {}],
    ['another service', { HTTP: 'no' }, {}],
    ['one tenant more', { TENANTS: 'igor' }, {}],
    ['another memory', { MEMORY: '8G' }, {}],
    ['another card', { EXT_IF: 'em0' }, {}],
    ['another pool', { JAIL_SUPERNET: '10.0.0.0/9' }, { JAIL_SUPERNET: '10.128.0.0/9' }],
    ['nets at other distances', { TENANTS: 'igor=10.9.0.0/24' }, { TENANTS: 'igor=10.9.0.0/24' }],
  ])('is not one for %s', (_, left, right) => {
    expect(shape({ ...usual, ...left }) ?? 'one').not.toBe(shape({ ...boris, ...right }) ?? 'another');
  });

  const ruled = (values: Values, line: string): string | undefined => {
    const { files, view } = imageOf(values);
    return shapeOf({ ...files, pf: `${files.pf}${line}\n` }, view);
  };

  it('is one whatever else rules speak of, unless that lies between both', () => {
    for (const address of ['192.0.2.7', '10.2.0.0/16', '10.201.0.1'])
      expect([address, ruled(usual, `block in from ${address}`)]).toEqual([
        address,
        ruled(boris, `block in from ${address}`) ?? 'none',
      ]);
    expect(ruled(usual, 'block in from 10.99.0.0/16')).not.toBe(ruled(boris, 'block in from 10.99.0.0/16'));
    expect(ruled(usual, 'block in from 10.7.3.9')).toBe(ruled(boris, 'block in from 10.200.41.9'));
    expect(ruled(usual, 'block in from 10.7.3.9')).not.toBe(ruled(boris, 'block in from 10.200.41.8'));
  });

  it.each([
    ['right before the nets', '10.7.2.255'],
    ['right behind the nets', '10.7.11.0'],
    ['a network with a part of the nets', '10.7.0.0/21'],
    ['a network that ends with the nets', '10.7.8.0/22'],
    ['an address of the nets with a network around them', '10.7.3.9/16'],
  ])('is none with %s', (_, address) => {
    expect(ruled(usual, `block in from ${address}`)).toBeUndefined();
  });

  it.each<[string, Values, string?]>([
    ['rules of one’s own', {}, 'pass in on egress proto tcp to port 8443\n'],
    ['rules behind a comment that goes on', {}, '# \\\npass in all\n'],
    ['nets at the beginning of the pool', { AGENT_NET: '10.0.0.0/24' }],
    ['nets at the end of the pool', { AGENT_NET: '10.255.255.0/24' }],
    ['a pool that is not private', { JAIL_SUPERNET: '100.64.0.0/10', AGENT_NET: '100.64.3.0/24' }],
    ['a name that the rules have', { ASSISTANT_NAME: 'warden' }],
    ['a name of a card', { ASSISTANT_NAME: 'vtnet' }],
  ])('is none where it is not plain to see: %s', (_, values, operator) => {
    let found: string | undefined;
    try {
      found = shape({ ...usual, ...values }, operator);
    } catch (error) {
      // What a configuration cannot say is not to be looked at.
      expect(String(error)).toMatch(/ASSISTANT_NAME|JAIL_SUPERNET|AGENT_NET/);
    }
    expect(found).toBeUndefined();
  });

  it('moves nets past no address that the policy itself knows', () => {
    const areas = MOVABLE.map(parseNet).flatMap((area) =>
      area ? [bounds('inet', area.base, area.prefix)] : [],
    );
    const sources = ['build/policy', 'build/pf', 'build/pf/read'].flatMap((folder) =>
      readdirSync(folder)
        .filter((file) => file.endsWith('.ts'))
        .map((file) => readFileSync(join(folder, file), 'utf8')),
    );
    const literals = sources.flatMap((text) => text.match(/\d+\.\d+\.\d+\.\d+(?:\/\d+)?/g) ?? []);
    expect(literals).toContain('168.63.129.16/32');
    const within = literals.filter((literal) => {
      const address = parseNet(bare(literal))?.base ?? -1n;
      return areas.some(([low, high]) => address >= low && address <= high) && !MOVABLE.includes(literal);
    });
    expect(within).toEqual([]);
  });
});
