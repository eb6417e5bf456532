import {
  chmodSync,
  createWriteStream,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import type { WriteStream } from 'node:fs';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { BootReport, StartReport } from '../../build/boot/report.js';
import { cli } from '../helpers/cli.js';
import { NETWORK } from '../../build/boot/peer.js';
import { blankIso } from '../helpers/disk.js';
import { DatagramGuest, good } from '../helpers/guest.js';
import type { Behaviour } from '../helpers/guest.js';

const CONSOLE = readFileSync('test/fixtures/console/good.txt', 'latin1');
const SSHD = CONSOLE.indexOf('Starting sshd.');

/** A QEMU that starts nothing: it says to which port its card is connected, and shows a console from a pipe. */
const STUB = `#!/bin/sh
cd "\${0%/*}" || exit 1
printf '%s\\n' "$@" > arguments.new && mv arguments.new arguments
exec cat console
`;

describe('clawdie-iso boot, of a guest that is played over datagrams', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync('/tmp/clawdie-guest-');
    writeFileSync(join(folder, 'image.iso'), blankIso());
    writeFileSync(join(folder, 'qemu-system-x86_64'), STUB);
    chmodSync(join(folder, 'qemu-system-x86_64'), 0o755);
    execFileSync('mkfifo', [join(folder, 'console')]);
  });
  afterAll(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  /** Boots a guest that behaves like this until its sshd starts, and like that from then on. */
  async function bootOf(
    until: Behaviour,
    then: Behaviour,
    checks = 'silence,tcp,udp,echo,spoofed,jails,rate',
  ): Promise<{ code: number | null; start: StartReport }> {
    rmSync(join(folder, 'arguments'), { force: true });
    const out = join(folder, 'boot');
    const way = ['--firmware', 'bios', '--media', 'disk', '--accel', 'tcg'];
    const result = cli(['boot', join(folder, 'image.iso'), ...way, '--check', checks, '--out', out], {
      env: { PATH: `${folder}:${process.env['PATH'] ?? ''}` },
    });
    for (let waited = 0; waited < 20_000 && !existsSync(join(folder, 'arguments')); waited += 50)
      await sleep(50);
    const port = /remote\.port=(\d+)/.exec(readFileSync(join(folder, 'arguments'), 'utf8'))?.[1];
    let booted = false;
    const guest = await DatagramGuest.start(Number(port), (frame, self) =>
      (booted ? then : until)(frame, self),
    );
    const console: WriteStream = createWriteStream(join(folder, 'console'));
    try {
      console.write(CONSOLE.slice(0, SSHD), 'latin1');
      await sleep(1500);
      console.write(CONSOLE.slice(SSHD, CONSOLE.indexOf('login:')), 'latin1');
      // The console is read by then: what answers from now on is a service.
      await sleep(2000);
      booted = true;
      console.write('login: ');
      const { code } = await result;
      const report = JSON.parse(readFileSync(join(out, 'report.json'), 'utf8')) as BootReport;
      const [start] = report.starts;
      if (!start) throw new Error('no start in the report');
      return { code, start };
    } finally {
      guest.stop();
      console.destroy();
    }
  }

  const silent: Behaviour = () => 'silent';
  const failed = ({ checks }: StartReport): Readonly<Record<string, readonly string[]>> =>
    Object.fromEntries(
      checks.filter(({ state }) => state === 'failed').map(({ id, packets }) => [id, packets]),
    );

  it('holds for one that does as the policy says', async () => {
    const { code, start } = await bootOf(silent, good);
    expect(failed(start)).toEqual({});
    expect(start.checks.map(({ id, state }) => `${id} ${state}`)).toEqual([
      'silence held',
      'tcp held',
      'udp held',
      'echo held',
      'spoofed held',
      'jails held',
      'rate held',
    ]);
    expect(start.stages.map(({ name }) => name)).toContain('lockdown');
    expect(code).toBe(0);
  }, 90_000);

  it('fails for one that is wide open, in everything', async () => {
    const { code, start } = await bootOf(
      () => 'open',
      () => 'open',
    );
    expect(code).toBe(1);
    expect(Object.keys(failed(start))).toEqual(['silence', 'tcp', 'udp', 'echo', 'spoofed', 'jails', 'rate']);
    // Every packet is in the report: all ports but those of the policy, over both families.
    expect(failed(start)['tcp']).toHaveLength(2 * (65535 - 3));
    expect(start.checks[1]?.detail).toContain('1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 65525 more');
  }, 90_000);

  it('fails for one that opens port 5900', async () => {
    const { code, start } = await bootOf(
      silent,
      (frame, guest) =>
        frame.dst === NETWORK.guest4 && frame.dstPort === 5900 ? 'open' : good(frame, guest),
      'tcp,jails',
    );
    expect(code).toBe(1);
    expect(failed(start)).toEqual({
      tcp: [expect.stringMatching(/^open: \S+ to 203\.0\.113\.15 5900\/tcp, at/)],
    });
  }, 90_000);

  it('fails for one that answers once, during its boot', async () => {
    let answered = false;
    const { code, start } = await bootOf(
      (frame) => (frame.dstPort === 22 && !answered ? ((answered = true), 'open') : 'silent'),
      good,
      'silence,udp,echo',
    );
    expect(code).toBe(1);
    expect(Object.keys(failed(start))).toEqual(['silence']);
    expect(failed(start)['silence']).toHaveLength(1);
  }, 90_000);
});
