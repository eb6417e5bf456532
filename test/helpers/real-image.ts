import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { BootReport } from '../../build/boot/report.js';
import { sha256 } from '../../build/host/hash.js';
import { cli } from './cli.js';
import { PUBLIC_KEY } from './config.js';
import { folderOf, SETS } from './real.js';

/**
 * Two tenants with jails of both kinds, small enough for 1 GiB of memory and a disk of 4 GiB. Blocks of the documents that name
 * addresses of AGENT_NET's default are left out: the same is typed for jails by hand, and each takes minutes.
 */
const DEPLOYMENT = `ASSISTANT_NAME="clawdie"
AGENT_NET="192.168.120.0/24"
SSH_AUTHORIZED_KEYS="${PUBLIC_KEY}"
TENANTS="igor"
JAILS="worker
  vworker vnet
  igor/iworker
  igor/ivworker vnet"
JAIL_DISK="64M"
JAIL_MEMORY="15%"
JAIL_PROCESSES="100"
JAIL_CPU="100"
JAIL_HOST_PORTS="8053/tcp"
SSH_ALLOW="198.51.100.7"
OPEN_PORTS="8443/tcp"
FORWARD_PORTS="2222/tcp=worker:22 2223/tcp=vworker:22"
HTTP="no"
HTTPS="no"
`;

/** What did not hold, in words; without Bastille nothing is known of jails. */
function flaws({ starts }: BootReport, bastille: boolean): readonly string[] {
  return starts.flatMap(({ fault, stopped, checks }) => [
    ...(stopped === undefined ? [] : [`${fault ?? ''}: stopped: ${stopped}`]),
    ...checks
      .filter(({ state }) => state !== 'held' && (bastille || state !== 'not looked at'))
      .map(({ id, state, detail, packets }) =>
        [`${fault ?? ''}: ${id} ${state}: ${detail}`, ...packets].join('\n    '),
      ),
  ]);
}

/** Makes the image of a real release, and gives what boots it: each start is one that holds, or it throws what did not. */
export async function withImage(
  use: (boot: (name: string, ...args: string[]) => Promise<BootReport>) => Promise<void>,
): Promise<void> {
  const folder = mkdtempSync('/tmp/clawdie-real-');
  try {
    const sets = folderOf(SETS);
    const cache = process.env['CLAWDIE_CACHE'] ?? join(folder, 'cache');
    writeFileSync(
      join(folder, 'build.cfg'),
      `${DEPLOYMENT}FREEBSD_DIST="${sets}"\nFREEBSD_MANIFEST_SHA256="${sha256(readFileSync(join(sets, 'MANIFEST')))}"\n`,
    );
    mkdirSync(cache, { recursive: true });
    const out = join(folder, 'dist');
    const iso = await cli(['iso', '--config', join(folder, 'build.cfg'), '--cache', cache, '--out', out]);
    // There is no lock for it: nothing of its packages is had here.
    expect(iso.stderr).toMatch(/^(?:Warning: There is no clawdie\.lock\.json.*\n)?$/);
    expect(iso.code).toBe(0);
    const image = readdirSync(out).find((name) => name.endsWith('.iso')) ?? '';
    await use(async (name, ...args) => {
      const reports = join(folder, name);
      const result = await cli([
        ...['boot', join(out, image), ...args, '--accel', 'tcg', '--firmware', 'bios', '--out', reports],
      ]);
      const report = JSON.parse(readFileSync(join(reports, 'report.json'), 'utf8')) as BootReport;
      // What took long is worth knowing where the log is all that is left.
      for (const { fault, checks } of report.starts)
        for (const { id, seconds } of checks.filter(({ seconds }) => seconds >= 20))
          console.info(`${name}, ${fault ?? 'a start'}: ${id}: ${seconds.toFixed(0)} s`);
      const found = flaws(report, args.includes('--bastille'));
      // All of it: what an assertion shows of a text is its beginning.
      if (found.length > 0) throw new Error(found.join('\n'));
      expect(result.code).toBe(0);
      return report;
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
