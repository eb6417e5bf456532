import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { blocksOf } from '../../build/boot/documents.js';
import { Deployment, nameOf } from '../helpers/operated.js';
import type { Typing } from '../helpers/operated.js';
import { folderOf, SETS, skipWithout } from '../helpers/real.js';
import { writeNextPatch } from '../helpers/sets.js';

/** What docs/operations.md has the operator type, from its first page to its last. */
const BLOCKS = blocksOf('operations', readFileSync('docs/operations.md', 'utf8')).filter(
  ({ at }) => at === 'operator',
);

/** Where certctl(8) finds an authority of one's own. */
const CERTS = '/usr/local/share/certs';

/** What the document has around a block. */
interface Scene extends Typing {
  /** The next block with these words in it. */
  readonly at: string;
  readonly before?: () => unknown;
  /** Hears what it has said, and looks at what came of it. */
  readonly after?: (said: string) => unknown;
}

/** The story that the document tells. */
function scenesOf(deployment: Deployment, folder: string, installed: string): Scene[] {
  const { desk } = deployment;
  const runs = (serial: number) => async (): Promise<void> => {
    expect(await deployment.inForce()).toEqual([serial]);
  };
  const configure = (): void => {
    deployment.configure();
  };
  const byHand = BLOCKS.find(({ text }) => text.includes('clawdie-update overlay -'));
  let knows = (): void => undefined;
  return [
    {
      at: 'ssh -i KEY',
      before: () => deployment.start(join(folder, 'first'), installed),
      types: 'clawdie-status; exit\n',
      after: async (said) => {
        expect(said).toMatch(/^needs you +nothing$/m);
        await deployment.settle();
      },
    },
    {
      at: 'overlay --config deployments/natasha.cfg --diff',
      before: configure,
      after: (said) => {
        expect(said).toMatch(/^ +\+.*8002/m);
      },
    },
    { at: 'dd if=/tmp/overlay', restarts: true, after: runs(2) },
    { at: 'clawdie-iso push deployments/natasha.cfg', before: configure, after: runs(3) },
    {
      at: 'clawdie-iso push --all',
      after: (said) => {
        expect(said).toContain('It was in force already.');
      },
    },
    { at: 'clawdie-update overlay -', before: configure, restarts: true, after: runs(4) },
    {
      at: 'clawdie-update confirm',
      after: (said) => {
        expect(said).toContain('It stays. In force: ');
      },
    },
    {
      at: 'clawdie-update back',
      before: async () => {
        deployment.configure();
        if (byHand) await (await deployment.type(byHand, { restarts: true })).over;
        await runs(5)();
      },
      restarts: true,
      after: runs(4),
    },
    {
      at: 'clawdie-update status',
      after: (said) => {
        expect(said).toMatch(/^last\.result back$/m);
      },
    },
    {
      at: 'push --rules',
      before: () => {
        deployment.configure(4);
        desk.write('my-rules.conf', 'block in quick proto udp from 198.51.100.76 to port 53\n');
      },
      after: async (said) => {
        expect(said).toContain('has these rules in force: clawdie-pf: the rules stay');
        expect(await desk.asks('pfctl -s rules')).toContain('198.51.100.76');
      },
    },
    {
      at: 'clawdie-pf try',
      before: () => {
        desk.write('my-rules.conf', 'block in quick proto udp from 198.51.100.77\n');
      },
      waits: 'on trial',
      after: async () => {
        expect(await desk.asks('pfctl -s rules')).toContain('198.51.100.77');
      },
    },
    { at: 'clawdie-pf confirm' },
    {
      at: 'clawdie-update release',
      before: async () => {
        deployment.sets = join(folder, 'sets');
        deployment.configure();
        await desk.asks('echo mine > /usr/local/etc/mine');
      },
      restarts: true,
    },
    {
      at: 'clawdie-update confirm',
      after: async (said) => {
        expect(said).toMatch(/It stays\..* in the root b\./);
        expect(await desk.asks('cat /usr/local/etc/mine')).toBe('mine\n');
      },
    },
    {
      at: 'clawdie-bootcode status',
      after: (said) => {
        expect(said).toContain('The boot code is that of this root.');
      },
    },
    {
      at: 'ssh root@ADDRESS clawdie-status',
      after: (said) => {
        expect(said).toMatch(/^needs you +nothing$/m);
      },
    },
    {
      at: 'clawdie-notify test',
      before: async () => {
        await desk.asks(
          `mkdir -p ${CERTS} && echo 10.0.2.100 hooks.example.org >> /etc/hosts && cat > ${CERTS}/hooks.pem && certctl rehash`,
          readFileSync(join(folder, 'tls.crt'), 'utf8'),
        );
      },
      after: (said) => {
        expect(said).toContain('webhook: taken');
        expect(deployment.told.join('')).toContain('natasha: test');
      },
    },
    {
      at: 'clawdie-state export',
      after: () => {
        const state = join(folder, 'natasha.state');
        expect(statSync(state).mode & 0o777).toBe(0o600);
        expect(execFileSync('tar', ['-tf', state], { encoding: 'utf8' })).toContain(
          '/ssh_host_ed25519_key\n',
        );
      },
    },
    {
      at: 'clawdie-state import',
      // The old one is off the network; another disk has what its image has, and host keys that nobody knows.
      before: async () => {
        knows = desk.forgetHosts();
        await deployment.start(join(folder, 'second'), installed);
        await deployment.settle();
      },
      restarts: true,
      after: async () => {
        // Host keys are those of before, or nobody is let in.
        knows();
        expect(await desk.asks('sysrc -n node_exporter_textfile_dir')).toBe('/var/run/clawdie/metrics\n');
        expect(await deployment.inForce()).toEqual([1]);
      },
    },
  ];
}

/** Types all of it. */
async function tell(deployment: Deployment, scenes: Scene[]): Promise<void> {
  const waiting: (() => Promise<void>)[] = [];
  for (const block of BLOCKS.filter(({ needs }) => needs.length === 0)) {
    const [next] = scenes;
    const scene = next !== undefined && block.text.includes(next.at) ? scenes.shift() : undefined;
    await scene?.before?.();
    const { over } = await deployment.type(block, scene);
    const end = async (): Promise<void> => {
      const said = await over;
      await scene?.after?.(said);
    };
    if (scene?.waits !== undefined) waiting.push(end);
    else {
      await end();
      for (const ends of waiting.splice(0)) await ends();
    }
  }
  expect(scenes.map(({ at }) => at)).toEqual([]);
}

describe('an instance that lives for years, as docs/operations.md has it', () => {
  beforeEach(({ skip }) => {
    skipWithout([SETS], skip);
  });

  it('is what its operator types, from the image to a backup on a blank disk', async () => {
    const folder = mkdtempSync('/tmp/clawdie-real-');
    const deployment = await Deployment.make(folder, folderOf(SETS));
    try {
      writeNextPatch(folderOf(SETS), join(folder, 'sets'));
      deployment.configure();
      const built = await deployment.desk.type('clawdie-iso iso --config deployments/natasha.cfg').ended;
      expect(built.code, built.stderr).toBe(0);
      const installed = join(folder, 'installed');
      await deployment.install(join(folder, 'dist/natasha-15.1-RELEASE-amd64.iso'), installed);
      await tell(deployment, scenesOf(deployment, folder, installed));
    } finally {
      await deployment.stop();
      rmSync(folder, { recursive: true, force: true });
    }
  });

  // Said of each: nothing is known of it.
  for (const block of BLOCKS.filter(({ needs }) => needs.length > 0))
    it(`is what is typed at ${nameOf(block)}`, ({ skip }) => {
      skip(`it needs ${block.needs.join(', ')}`);
    });
});
