import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { explain } from '../../../build/commands/explain.js';
import type { Explanation } from '../../../build/commands/explain.js';
import { ruleFiles } from '../../../build/commands/rules.js';
import { makeView } from '../../../build/overlay/view.js';
import { printRule } from '../../../build/pf/print.js';
import { proveImage, readRules } from '../../../build/policy/image.js';
import type { RuleFiles } from '../../../build/policy/image.js';
import type { Situation } from '../../../build/policy/world.js';
import { configOf, PUBLIC_KEY } from '../../helpers/config.js';
import { overlayOf } from '../../helpers/deployment.js';
import { tmp } from '../../helpers/tmp.js';

interface Asked {
  readonly lines: readonly string[];
  readonly holds: boolean;
}

async function ask(
  values: Readonly<Record<string, string>>,
  {
    rules,
    json = false,
    tailscale = false,
    live,
    columns = 200,
  }: { rules?: string; json?: boolean; tailscale?: boolean; live?: string; columns?: number } = {},
): Promise<Asked> {
  const folder = await tmp();
  if (rules !== undefined) writeFileSync(join(folder, 'own.conf'), rules);
  const all = {
    SSH_AUTHORIZED_KEYS: PUBLIC_KEY,
    ...(rules !== undefined && { PF_RULES_FILE: 'own.conf' }),
    ...values,
  };
  const config = join(folder, 'build.cfg');
  writeFileSync(
    config,
    Object.entries(all)
      .map(([key, value]) => `${key}="${value}"\n`)
      .join(''),
  );
  const lines: string[] = [];
  const file = join(folder, 'pfctl.txt');
  if (live !== undefined) writeFileSync(file, live);
  const holds = await explain(
    { config, set: [], tailscale, fallback: false, json, ...(live !== undefined && { live: file }) },
    {},
    (line) => lines.push(line),
    columns,
  );
  return { lines, holds };
}

function situationOf(values: Readonly<Record<string, string>>): Situation {
  return { view: makeView(configOf(values)), tailscaleActive: false, fallback: false, egressKnown: true };
}

function filesOf(values: Readonly<Record<string, string>>): RuleFiles {
  return ruleFiles(overlayOf(configOf(values)));
}

const readAll = ({ lines }: Asked): Explanation => JSON.parse(lines.join('\n')) as Explanation;
const rowsOf = (asked: Asked): Explanation['rows'] => readAll(asked).rows;

describe('clawdie-iso explain', () => {
  it('names for every row rules, each with its line', async () => {
    const { lines, holds } = await ask({ TENANTS: 'igor', JAIL_HOST_PORTS: '53/udp' }, { json: true });
    expect(holds).toBe(true);
    const explained = rowsOf({ lines, holds });
    expect(explained.map(({ id }) => id)).toEqual(
      expect.arrayContaining(['ssh', 'tenant-other', 'jail-host']),
    );
    for (const { id, verdict, rules } of explained) {
      expect([id, rules.length > 0]).toEqual([id, true]);
      for (const { rule, file, line, state, example } of rules) {
        expect([id, state, file]).toEqual([id, 'holds', '/etc/pf.conf']);
        expect(line).toBeGreaterThan(0);
        expect(rule).toMatch(verdict === 'pass' ? /^pass / : /^block /);
        expect(example).toMatch(/^(?:in|out) on /);
      }
    }
    const [ssh] = explained.filter(({ id }) => id === 'ssh');
    expect(ssh?.rules).toMatchObject([
      {
        rule: expect.stringContaining('port = ssh') as string,
        example: expect.stringContaining('port 22') as string,
      },
    ]);
  });

  it('prints rows, and beneath each the rule with file and line', async () => {
    const { lines } = await ask({});
    const at = lines.findIndex((line) => line.startsWith('pass   ssh '));
    expect(lines[at + 1]).toMatch(
      /^ +\/etc\/pf\.conf:\d+: pass in on egress proto tcp from any to \(egress\) port = ssh flags S\/SA keep state \(source-track rule, max-src-conn 5, /,
    );
  });

  it('takes in the rules of PF_RULES_FILE, by their own lines', async () => {
    const rules = '\nblock in quick on egress proto tcp from 198.51.100.0/24 to any port 8080\n';
    const closed = rowsOf(await ask({}, { rules, json: true })).find(({ id }) => id === 'closed');
    expect(closed?.rules).toContainEqual(
      expect.objectContaining({ state: 'holds', file: '/etc/pf.conf.d/operator.conf', line: 2 }) as unknown,
    );
  });

  it('has a row for each port of OPEN_PORTS and FORWARD_PORTS, and for SSH_ALLOW', async () => {
    const asked = await ask(
      { SSH_ALLOW: '192.0.2.0/24', OPEN_PORTS: '8443/tcp', FORWARD_PORTS: '2222/tcp=worker:22' },
      { json: true },
    );
    expect(asked.holds).toBe(true);
    const rule = (id: string): string => rowsOf(asked).find((row) => row.id === id)?.rules[0]?.rule ?? '';
    expect(rule('ssh-allowed')).toMatch(
      /^pass in quick on egress proto tcp from <ssh_allow> to \(egress\) port = ssh/,
    );
    expect(rule('ssh-allowed')).not.toContain('max-src');
    expect(rule('open-8443-tcp')).toMatch(
      /^pass in on egress .* port = 8443 flags S\/SA keep state \(max 4000, /,
    );
    expect(rule('forward-2222-tcp')).toMatch(
      /^pass in quick on egress inet proto tcp from any to 192\.168\.100\.10 port = ssh/,
    );
    // None of them is open where no key says so.
    expect(
      rowsOf(await ask({}, { json: true }))
        .map(({ id }) => id)
        .join(),
    ).not.toMatch(/allowed|open-|forward-/);
  });

  it('refuses another destination of a redirect, and one on another port', () => {
    const config = configOf({ FORWARD_PORTS: '2222/tcp=worker:22' });
    const entries = overlayOf(config);
    const files = ruleFiles(entries);
    const changed = (from: RegExp, to: string): (() => unknown) => {
      expect(files.pf).toMatch(from);
      return () => proveImage({ ...files, pf: files.pf.replace(from, to) }, makeView(config), []);
    };
    expect(changed(/(rdr on .*) -> 192\.168\.100\.10/, '$1 -> 192.168.100.11')).toThrow(
      /forward-2222-tcp .*: has to pass, but is blocked|not sent to where/,
    );
    expect(changed(/(rdr on .*) port 2222 ->/, '$1 port 2223 ->')).toThrow(
      /closed .* has to be blocked, but passes/,
    );
  });

  it('says which row a rule breaks, and whether POLICY_EXCEPTIONS allows it', async () => {
    const rules = 'pass in quick on egress proto tcp to (egress) port 8080\n';
    const broken = await ask({}, { rules });
    expect(broken.holds).toBe(false);
    expect(broken.lines.join('\n')).toMatch(
      /operator\.conf:1: pass in quick on egress .*\n +BREAKS THE ROW: has to be blocked, but passes: all packets from .*, to 203\.0\.113\.10, port 8080, protocol tcp, .*as in on vtnet0, tcp from /,
    );
    const excepted = await ask({ POLICY_EXCEPTIONS: 'closed' }, { rules });
    expect(excepted.holds).toBe(true);
    expect(excepted.lines.join('\n')).toMatch(
      /operator\.conf:1: .*\n +breaks the row, as POLICY_EXCEPTIONS allows: /,
    );
    const states = rowsOf(await ask({ POLICY_EXCEPTIONS: 'closed' }, { rules, json: true }))
      .find(({ id }) => id === 'closed')
      ?.rules.map(({ state }) => state);
    expect(new Set(states)).toEqual(new Set(['holds', 'excepted']));
  });

  it('opens 80, 443 and 5900 only where their services are asked for', async () => {
    const of = async (values: Readonly<Record<string, string>>): Promise<readonly string[]> =>
      rowsOf(await ask(values, { json: true, tailscale: true })).map(({ id }) => id);
    const off = await of({ HTTP: 'no', HTTPS: 'no', TAILSCALE: 'host' });
    const on = await of({ HTTP: 'yes', HTTPS: 'yes', TAILSCALE: 'host', GLASSPANE: 'yes' });
    for (const id of ['http', 'https', 'tailnet-vnc']) {
      expect([id, off.includes(id), on.includes(id)]).toEqual([id, false, true]);
    }
  });

  it('prints the zones as a matrix that fits 60 columns, with what its letters stand for', async () => {
    const { lines } = await ask({ TENANTS: 'igor' }, { columns: 60, tailscale: true });
    const end = lines.findIndex((line) => line.startsWith('The rows behind it'));
    const page = lines.slice(0, end);
    for (const line of page) expect(line.length).toBeLessThanOrEqual(60);
    const row = (name: string): readonly string[] =>
      page
        .find((line) => line.includes(` ${name} `))
        ?.replace(/^ *\d+ /, '')
        .replace(name, '')
        .trim()
        .split(/ +/) ?? [];
    expect(row('igor, VNET')).toEqual(['all', '.', 'b', '.', '.', '.', 'c', 'all', '.', '.']);
    expect(row('internet').slice(0, 5)).toEqual(['~', '~', 'a', '~', '~+']);
    expect(page.join('\n')).toMatch(
      /^a {4}tcp 80, 443; udp 41641; icmp unreach code needfrag;\n {5}ipv6-icmp/m,
    );
    expect(page.join('\n')).toMatch(/^\+ {4}and what somebody redirects on the instance/m);
  });

  it('prints rows in 60 columns, and each rule in one line', async () => {
    const { lines } = await ask({}, { columns: 60 });
    expect(lines.filter((line) => line.length > 60 && !/^ +\/etc\/pf\.conf:\d+: /.test(line))).toEqual([]);
    expect(lines.join('\n')).toMatch(
      /^block {2}spoofed {12}internet, claiming a jail’s, a\n {26}tailnet or the host’s own/m,
    );
  });

  it('splits the matrix where there are more zones than fit', async () => {
    const { lines } = await ask({ TENANTS: 'igor olga vera nina' }, { columns: 60 });
    const end = lines.findIndex((line) => line.startsWith('The rows behind it'));
    for (const line of lines.slice(0, end)) expect(line.length).toBeLessThanOrEqual(60);
    expect(lines.filter((line) => / internet {2}/.test(line))).toHaveLength(2);
  });

  it('has for machines zones, pairs, rows, and what was taken for granted', async () => {
    const { zones, pairs, rows, assumed, cells, ways, holds, live } = readAll(
      await ask({ TENANTS: 'igor' }, { json: true }),
    );
    expect([holds, live]).toEqual([true, null]);
    expect(pairs).toHaveLength(zones.length ** 2);
    const ids = new Set(rows.map(({ id }) => id));
    for (const { rows: named, openings } of pairs) {
      for (const id of named) expect(ids).toContain(id);
      for (const { steps } of openings)
        for (const { rule, verdict } of steps) {
          expect(verdict).toBe('pass');
          expect(rule?.line).toBeGreaterThan(0);
        }
    }
    expect(assumed.join('\n')).toContain('rdr/*');
    expect([cells > 1000, ways > 100]).toEqual([true, true]);
  });

  it('shows the way of a packet that breaks a row, crossing by crossing', async () => {
    const rules = 'pass in quick on egress inet proto tcp to 192.168.100.20 port 80\n';
    const { lines, holds } = await ask({}, { rules });
    expect(holds).toBe(false);
    expect(lines.join('\n')).toMatch(
      /BREAKS THE ROW: .*\n +1\. in on vtnet0: passes by \S+operator\.conf:1: pass in quick .*\n +2\. out on warden0: passes by \/etc\/pf\.conf:\d+: pass out on warden0/,
    );
  });

  it('marks what gets where nothing may, with its way', async () => {
    const rules = 'pass out quick on warden0 inet from 192.168.101.0/24 to 192.168.100.0/24\n';
    const { lines, holds } = await ask({ TENANTS: 'igor' }, { rules });
    expect(holds).toBe(false);
    const page = lines.join('\n');
    expect(page).toMatch(/^ *7 igor, plain .* !!! /m);
    expect(page).toMatch(
      /igor, plain → clawdie, VNET: has to be closed, but passes: [^]*1\. out on warden0: passes by/,
    );
  });

  it('holds the rules of a running instance against the policy', async () => {
    const own = readAll(await ask({}, { json: true }));
    expect(own.holds).toBe(true);
    const live = 'block drop log all\npass quick on lo all\n';
    const { holds, lines } = await ask({}, { live, json: true });
    expect(holds).toBe(false);
    const { rows, live: file } = readAll({ lines, holds });
    expect(file).toMatch(/pfctl\.txt$/);
    expect(rows.find(({ id }) => id === 'ssh')?.rules).toMatchObject([
      { state: 'broken', file: expect.stringMatching(/pfctl\.txt$/) as string, line: 1 },
    ]);
    await expect(ask({}, { live: 'hello there\n' })).rejects.toThrow(
      /pfctl\.txt:1: "hello there" is no rule/,
    );
  });

  it('takes redirects of a running instance for what rdr/* may hold: in the matrix, and against no row', async () => {
    const { ruleset } = readRules(filesOf({}), situationOf({}));
    const printed = ruleset.rules.map(printRule);
    const redirect =
      'rdr pass on egress inet proto tcp from any to any port = 8080 -> 192.168.100.200 port 80';
    const { holds, pairs, assumed } = readAll(
      await ask({}, { json: true, live: [redirect, ...printed, ''].join('\n') }),
    );
    expect(holds).toBe(true);
    expect(pairs.find(({ from, to }) => from === 'internet' && to === 'plain:clawdie')?.services).toContain(
      'tcp 8080 (IPv4)',
    );
    expect(assumed.join('\n')).toContain(`pfctl.txt:1 is a redirect of rdr/*`);
    // To another place it is not what Bastille makes.
    const elsewhere = redirect.replace('192.168.100.200', '198.51.100.7');
    expect((await ask({}, { live: [elsewhere, ...printed, ''].join('\n') })).holds).toBe(false);
  });
});
