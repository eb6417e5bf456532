import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import type { BootReport } from '../../build/boot/report.js';
import { sha256 } from '../../build/host/hash.js';
import { cli } from '../helpers/cli.js';
import { PUBLIC_KEY } from '../helpers/config.js';
import { BASTILLE, folderOf, SETS } from '../helpers/real.js';
import type { Real } from '../helpers/real.js';

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

/** Makes the image, and gives what boots it. */
async function withImage(
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

/** Installs it, looks from inside, and looks again after a restart. */
const lives = (...more: readonly string[]): Promise<void> =>
  withImage(async (boot) => {
    const lived = await boot('inside', '--installed', '--check', 'inside', '--restarts', '1', ...more);
    expect(lived.starts.map(({ fault }) => fault)).toEqual(['inside', 'restart-1']);
  });

const skipWithout = (needed: readonly Real[], skip: (why: string) => void): void => {
  const missing = needed.flatMap(({ skipped }) => skipped ?? []);
  if (missing.length > 0) skip(missing.join('; '));
};

describe('an instance of a real release', () => {
  beforeEach(({ skip }) => {
    skipWithout([SETS], skip);
  });

  it('decides packets as the proof says', () =>
    withImage(async (boot) => {
      await boot('cells', '--check', 'cells', '--media', 'disk', '--timeout', '1500');
    }));

  // Where Bastille is, the next one looks at all of it.
  if (BASTILLE.skipped !== undefined) it('is installed, and is as it was after a restart', () => lives());
});

describe('an instance of a real release, with Bastille itself', () => {
  beforeEach(({ skip }) => {
    skipWithout([SETS, BASTILLE], skip);
  });

  it('is installed, lives as the documents say, and lives on after a restart', () =>
    lives('--bastille', folderOf(BASTILLE)));
});
