import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { explain, ruleFiles } from '../../../build/commands/rules.js';
import { makeView } from '../../../build/overlay/view.js';
import { proveImage } from '../../../build/policy/image.js';
import { configOf, PUBLIC_KEY } from '../../helpers/config.js';
import { overlayOf } from '../../helpers/deployment.js';
import { tmp } from '../../helpers/tmp.js';

interface Explained {
  readonly id: string;
  readonly verdict: string;
  readonly rules: readonly {
    readonly state: string;
    readonly file: string | null;
    readonly line: number | null;
    readonly rule: string;
    readonly example: string;
  }[];
}

interface Asked {
  readonly lines: readonly string[];
  readonly holds: boolean;
}

async function ask(
  values: Readonly<Record<string, string>>,
  { rules, json = false, tailscale = false }: { rules?: string; json?: boolean; tailscale?: boolean } = {},
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
  const holds = await explain(
    { config, set: [], tailscale, fallback: false, json },
    {},
    (line) => lines.push(line),
    200,
  );
  return { lines, holds };
}

const rowsOf = ({ lines }: Asked): readonly Explained[] => JSON.parse(lines.join('\n')) as Explained[];

describe('clawdie-iso explain', () => {
  it('names for every row rules, each with its line', async () => {
    const { lines, holds } = await ask({ TENANTS: 'igor', JAIL_HOST_PORTS: '53/udp' }, { json: true });
    expect(holds).toBe(true);
    const explained = JSON.parse(lines.join('\n')) as Explained[];
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
});
