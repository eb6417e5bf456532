import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { deployedOf } from '../../../build/boot/deployed.js';
import type { Deployed } from '../../../build/boot/deployed.js';
import { jailSteps, restartSteps } from '../../../build/boot/jails.js';
import { castOf } from '../../../build/boot/jails/cast.js';
import { JAIL_CHECKS } from '../../../build/boot/jails/checks.js';
import { FLOODS } from '../../../build/boot/jails/floods.js';
import type { Login } from '../../../build/boot/jails/floods.js';
import { judgeJails } from '../../../build/boot/jails/judge.js';
import type { Passage } from '../../../build/boot/jails/ways.js';
import { stepFlaws } from '../../../build/boot/steps.js';
import type { Step } from '../../../build/boot/steps.js';
import { configOf } from '../../helpers/config.js';
import { overlayOf } from '../../helpers/deployment.js';

const overlay = overlayOf(configOf({ TENANTS: 'igor' })).filter(({ type }) => type === 'file');
const PLAN = `# name tenant network address template memory processes cpu disk
w1 clawdie plain 192.168.100.20 clawdie/worker 512M 200 50 1G
v1 igor vnet 192.168.101.30 clawdie/vnet-worker 512M 200 50 1G
`;
const deployed = (jails = PLAN): Deployed =>
  deployedOf(
    [
      ...overlay.filter(({ path }) => path !== 'etc/clawdie/jails'),
      { path: 'etc/clawdie/jails', type: 'file', uid: 0, gid: 0, mode: 0o644, body: jails },
    ],
    '15.1-RELEASE-amd64',
  );

const stepsOf = (
  given = deployed(),
  hostPorts: readonly string[] = ['53/udp', '8053/tcp'],
): readonly Step[] => {
  const cast = castOf(given);
  if (!cast) throw new Error('no cast');
  return jailSteps(
    {
      ...{ deployed: given, hostPorts, outer: '203.0.113.15', internet: '198.51.100.80' },
      ways: { open: [8443], forwards: [{ port: 2222, jail: 'worker', to: 22 }], allowed: '192.0.2.7' },
    },
    cast,
    [],
  );
};
const named = (steps: readonly Step[], name: string): Step => {
  const step = steps.find((each) => each.name === name);
  if (!step) throw new Error(`no step ${name}`);
  return step;
};
/** What is wrong with a step that showed these lines. */
const flaws = (step: Step, lines: readonly string[], code = 0): readonly string[] =>
  stepFlaws(step, { code, seconds: 1, lines });

describe('what an overlay says of its jails', () => {
  it('is tenants with their bridges, jails, and the release as Bastille calls it', () => {
    expect(deployed()).toEqual({
      tenants: [
        { name: 'clawdie', bridge: 'warden0', net: '192.168.100.0/24', gateway: '192.168.100.1' },
        { name: 'igor', bridge: 'warden1', net: '192.168.101.0/24', gateway: '192.168.101.1' },
      ],
      next: { bridge: 'warden2', net: '192.168.102.0/24', gateway: '192.168.102.1' },
      jails: [
        expect.objectContaining({ name: 'w1', tenant: 'clawdie', network: 'plain' }) as object,
        expect.objectContaining({ name: 'v1', tenant: 'igor', network: 'vnet' }) as object,
      ],
      release: '15.1-RELEASE',
    });
    expect(() => deployedOf([], '15.1-RELEASE')).toThrow('has no etc/clawdie/clawdie.conf');
  });

  it('gives those that are tried: of the plan, and further ones for what it lacks', () => {
    const cast = castOf(deployed());
    expect(cast?.jails.map(({ name, tenant, network }) => `${name} ${tenant} ${network}`)).toEqual([
      'w1 clawdie plain',
      'tryv0 clawdie vnet',
      'tryp1 igor plain',
      'v1 igor vnet',
    ]);
    expect(cast?.made.map(({ name }) => name)).toEqual(['tryv0', 'tryp1']);
  });

  it('makes a second tenant where there is one, and gives up where the firewall has no bridge for it', () => {
    const one = deployed();
    const alone = { ...one, tenants: one.tenants.slice(0, 1), jails: [] };
    expect(castOf({ ...alone, next: one.tenants[1] })?.tenants[1]).toMatchObject({
      name: 'guest',
      bridge: 'warden1',
    });
    expect(castOf({ ...alone, next: undefined })).toBeUndefined();
  });
});

describe('steps of an instance with Bastille', () => {
  const steps = stepsOf();

  it('cover every check but that of the documents, by names of their own, in sh that parses', () => {
    expect([...new Set(steps.map(({ check }) => check)), 'documents'].sort()).toEqual(
      Object.keys(JAIL_CHECKS).sort(),
    );
    expect(new Set(steps.map(({ name }) => name)).size).toBe(steps.length);
    const again = restartSteps(deployed(), castOf(deployed()) ?? raise());
    expect(again.length).toBeGreaterThan(10);
    expect(new Set(again.map(({ name }) => name)).size).toBe(again.length);
    for (const { name, typed } of [...steps, ...again]) {
      expect([name, name]).toEqual([name, expect.stringMatching(/^[a-z0-9-]+$/)]);
      const parsed = spawnSync('sh', ['-n'], { input: typed, encoding: 'utf8' });
      expect([name, parsed.stderr]).toEqual([name, '']);
    }
  });

  it('type what a person would, by name, release, address and bridge', () => {
    const typed = steps.map((step) => step.typed);
    expect(typed).toContain('bastille create byhand 15.1-RELEASE 192.168.100.251');
    expect(typed).toContain(
      'bastille create -B -g 192.168.100.1 byhandv 15.1-RELEASE 192.168.100.252/24 warden0',
    );
    for (const template of ['worker', 'pi-worker', 'vnet-worker', 'tailscale'])
      expect(typed.some((text) => text.endsWith(` clawdie/${template}`))).toBe(true);
  });

  const LIST = ` JID  Name   Boot  Prio  State  Type  IP Address      Published Ports  Release       Tags
 1    w1     on    99    Up     thin  192.168.100.20  -                15.1-RELEASE  -
 2    v1     on    99    Up     thin  192.168.101.30  -                15.1-RELEASE  -`.split('\n');

  it.each<[string, string, readonly string[], readonly string[], string]>([
    [
      'a jail is down',
      'list',
      LIST,
      LIST.map((line) => line.replace('2    v1     on    99    Up  ', '-    v1     on    99    Down')),
      'does not show',
    ],
    [
      'a jail has another address',
      'list',
      LIST,
      LIST.map((line) => line.replace('100.20', '100.201')),
      'does not show',
    ],
    [
      'a jail sees the memory of the host',
      'devices-v1',
      ['fd', 'null', 'pts', 'zero'],
      ['fd', 'mem', 'null'],
      'shows: mem',
    ],
    ['a jail sees a disk of the host', 'devices-v1', ['null'], ['null', 'md0'], 'shows: md0'],
    ['a jail has no /dev at all', 'devices-v1', ['null'], [], 'does not show'],
    [
      'a jail opens a device',
      'devices-open-w1',
      ['tried'],
      ['opened /dev/pf', 'tried'],
      'shows: opened /dev/pf',
    ],
    [
      'dhclient asks on a jail',
      'dhclient-processes',
      ['dhclient: vtnet0'],
      ['dhclient: vtnet0', 'dhclient: e0a_v1'],
      'shows: dhclient: e0a_v1',
    ],
    [
      'the host’s sshd answers at 127.0.0.1',
      'host-closed-w1',
      ['closed 192.168.100.20 22', 'closed 127.0.0.1 22'],
      ['closed 192.168.100.20 22', 'reached 127.0.0.1 22'],
      'shows: reached 127.0.0.1 22',
    ],
    [
      'there are no limits on processes',
      'limits-rules',
      ['w1', 'v1'].flatMap((jail) => [
        `jail:${jail}:memoryuse:deny=512M`,
        `jail:${jail}:maxproc:deny=200`,
        `jail:${jail}:pcpu:deny=50`,
      ]),
      ['w1', 'v1'].flatMap((jail) => [`jail:${jail}:memoryuse:deny=512M`, `jail:${jail}:pcpu:deny=50`]),
      'maxproc',
    ],
    ['a turn runs as root', 'turn-user', ['worker'], ['root'], 'does not show ^worker$'],
    [
      'a turn has the terminal of its caller',
      'turn-terminal',
      ['host:  0', 'turn:  1', 'looked'],
      ['host:  0', 'turn:  0', 'the same terminal', 'looked'],
      'shows: the same terminal',
    ],
    [
      'a turn writes to the terminal of its caller',
      'turn-terminal',
      ['host: pts/0', 'turn: pts/1', 'looked'],
      ['host: pts/0', 'turn: pts/1', 'from the turn', 'looked'],
      'shows: from the turn',
    ],
    [
      'a service of the host listens on the wildcard',
      'host-wildcards',
      ['root     sshd  800 4 tcp4 203.0.113.15:22 *:*', 'root  dhclient 500 6 udp4 *:68 *:*'],
      ['root     sshd  800 4 tcp4 *:22 *:*', 'root  dhclient 500 6 udp4 *:68 *:*'],
      'shows: root     sshd  800 4 tcp4 *:22',
    ],
    [
      'a turn leaves something',
      'turn-left',
      ['started', 'nothing is left'],
      ['started', '77 sleep 300'],
      'nothing is left',
    ],
  ])('fail where %s', (_, name, good, bad, flaw) => {
    const step = named(steps, name);
    expect(flaws(step, good)).toEqual([]);
    expect(flaws(step, bad).join('\n')).toContain(flaw);
  });

  it('try all pairs, and want those of one tenant alone to reach each other', () => {
    const step = named(steps, 'pairs-pairs');
    const lines = step.typed.split('\n').map((line) => /echo '([^']*) yes'/.exec(line)?.[1] ?? '');
    expect(lines).toHaveLength(36);
    const tenant = (words: string): string => words.replace(/^.*of (\w+)\).*$/, '$1');
    const wanted = lines.map((line) => {
      const [from = '', to = ''] = line.split(' to ');
      return `${line} ${tenant(from) === tenant(to) ? 'yes' : 'no'}`;
    });
    expect(wanted.filter((line) => line.endsWith('yes'))).toHaveLength(18);
    expect(flaws(step, wanted)).toEqual([]);
    const joined = wanted.map((line) =>
      line.startsWith('w1 (plain of clawdie) to v1') ? line.replace(/no$/, 'yes') : line,
    );
    expect(flaws(step, joined)).toHaveLength(1);
    const apart = wanted.map((line) =>
      line.startsWith('w1 (plain of clawdie) to tryv0') ? line.replace(/yes$/, 'no') : line,
    );
    expect(flaws(step, apart)).toHaveLength(1);
  });

  it('look at JAIL_HOST_PORTS where it names a port of TCP', () => {
    expect(named(steps, 'host-ports').typed).toContain('nc -n -k -l 192.168.100.1 8053');
    expect(stepsOf(deployed(), ['53/udp']).some(({ check }) => check === 'host-ports')).toBe(false);
  });
});

describe('the judgement', () => {
  const flood: Step = { name: 'flood-fork', check: 'flood-fork', typed: 'x' };
  const console = '===step 001.flood-fork begun\n===step 001.flood-fork ended 0 9\n';
  const judge = (logins: readonly Login[], emulated = false): string => {
    const result = judgeJails({ console, steps: [flood], logins, passages: [], left: [], emulated }).find(
      ({ id }) => id === 'flood-fork',
    );
    return `${result?.state ?? ''}: ${result?.detail ?? ''} ${result?.packets.join() ?? ''}`;
  };
  const login = (seconds: number, failure?: string): Login => ({ flood: 'flood-fork', seconds, failure });

  it('wants the operator logged in within five seconds of each flood', () => {
    const quiet: Login = { flood: undefined, seconds: 1.2, failure: undefined };
    expect(judge([quiet, login(3)])).toContain('held: 1 step typed; logged in after 3.0 s (1.2 s without)');
    expect(judge([login(6)])).toMatch(/^failed.*logged in after 6.0 s, not within 5/);
    expect(judge([login(6)], true)).toContain('held');
    expect(judge([login(16)], true)).toMatch(/^failed.*logged in after 16.0 s, not within 15/);
    expect(judge([login(4, 'Connection refused')])).toMatch(/^failed.*Connection refused/);
    expect(judge([])).toMatch(/^failed.*nobody tried to log in/);
    expect(FLOODS).toHaveLength(5);
  });

  it('wants every way in tried, and open', () => {
    const step = named(
      stepsOf(deployed('worker clawdie plain 192.168.100.10 clawdie/worker 1 1 1 1\n')),
      'ways-in',
    );
    const told = '===step 001.ways-in begun\n| banned: \n===step 001.ways-in ended 0 46\n';
    const judge = (passages: readonly Passage[], text = told): string => {
      const [result] = judgeJails({
        console: text,
        steps: [step],
        logins: [],
        passages,
        left: [],
        emulated: false,
      });
      return `${result?.state ?? ''} ${result?.packets.join('; ') ?? ''}`;
    };
    const way = (open: boolean): Passage => ({ what: 'port 8443 of the host', open });
    expect(judge([way(true)])).toBe('held ');
    expect(judge([way(true), way(false)])).toBe('failed no connection: port 8443 of the host');
    expect(judge([])).toBe('failed nobody outside tried them');
    expect(judge([way(true)], told.replace('banned: ', 'banned: 192.0.2.7 '))).toMatch(
      /^failed .*192\.0\.2\.7/,
    );
    expect(step.typed).toContain('daemon -f nc -n -k -l 203.0.113.15 8443');
    expect(step.typed).toMatch(/daemon -f jexec worker nc -n -k -l 192\.168\.100\.\d+ 22/);
  });

  it('says of what was not typed that it was not looked at', () => {
    const results = judgeJails({
      console,
      steps: [flood],
      logins: [login(1)],
      passages: [],
      left: [],
      emulated: false,
    });
    expect(results.find(({ id }) => id === 'host-ports')).toMatchObject({ state: 'not looked at' });
    expect(results.map(({ id }) => id).sort()).toEqual(Object.keys(JAIL_CHECKS).sort());
  });

  it('fails what was to be typed and never came', () => {
    const results = judgeJails({
      console: '',
      steps: stepsOf(),
      logins: [],
      passages: [],
      left: [],
      emulated: false,
    });
    expect(results.filter(({ state }) => state === 'held')).toEqual([]);
  });

  it('names the blocks of the documents that could not be typed', () => {
    const doc: Step = { name: 'doc-network-3', check: 'documents', typed: 'x' };
    const [result] = judgeJails({
      console: '===step 001.doc-network-3 begun\n===step 001.doc-network-3 ended 0 1\n',
      ...{ steps: [doc], logins: [], passages: [], emulated: false },
      left: [{ at: 'instance', document: 'network', line: 9, text: '', needs: ['tailscale'], ends: 0 }],
    });
    expect(result).toMatchObject({
      state: 'held',
      detail: '1 step typed; not looked at: docs/network.md:9 (needs tailscale)',
    });
  });
});

function raise(): never {
  throw new Error('there is no cast');
}
