import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { UserError } from '../error.js';
import { shellQuote } from '../quote.js';
import { attempt, run } from './process.js';
import { OVMF_PATHS, TOOLS } from './tool-list.js';
import type { Purpose, Tool } from './tool-list.js';

/** Where a program is: on the PATH, or where its own name says; undefined if it is not there. */
export function find(name: string, path = process.env['PATH'] ?? ''): string | undefined {
  const places = name.startsWith('/')
    ? [name]
    : path
        .split(delimiter)
        .filter((folder) => folder.startsWith('/'))
        .map((folder) => join(folder, name));
  return places.find((file) => {
    try {
      accessSync(file, constants.X_OK);
      return statSync(file).isFile();
    } catch {
      return false;
    }
  });
}

/** The tools that are not there. */
export function missing(purpose: Purpose, path?: string): readonly Tool[] {
  return TOOLS.filter(
    (tool) =>
      (tool.for === purpose ||
        (purpose === 'disk' && tool.for === 'pkgbase') ||
        (purpose === 'test' && tool.for !== 'bench')) &&
      !(tool.elsewhere === true && process.platform === 'freebsd') &&
      find(tool.name, path) === undefined,
  );
}

/** The version of a tool that is there: its number, or `unknown`. */
export async function versionOf(tool: Tool): Promise<string> {
  if (tool.version === 'package') {
    const dpkg = tool.apt === undefined ? undefined : find('dpkg-query');
    if (dpkg === undefined) {
      const release = await attempt(['uname', '-rs']);
      return release.stdout.trim() || 'unknown';
    }
    const outcome = await attempt([dpkg, '-W', '-f', '${Version}', tool.apt ?? '']);
    return outcome.stdout.trim() || 'unknown';
  }
  const outcome = await attempt(tool.version);
  return /(?:^|[\s(v])(\d+\.\d+[\w.+-]*)/.exec(outcome.stdout || outcome.stderr)?.[1] ?? 'unknown';
}

/** The versions of all tools that an image is made with, by name. */
export async function buildVersions(): Promise<Readonly<Record<string, string>>> {
  const tools = TOOLS.filter((tool) => tool.for === 'build' && !['mcopy', 'flock'].includes(tool.name));
  return Object.fromEntries(
    await Promise.all(tools.map(async (tool) => [tool.name, await versionOf(tool)] as const)),
  );
}

/** How packages get onto this host. */
interface Manager {
  readonly key: 'apt' | 'pkg';
  readonly commands: (packages: readonly string[]) => readonly (readonly string[])[];
}

const APT: Manager = {
  key: 'apt',
  commands: (packages) => [
    ['apt-get', 'update'],
    ['apt-get', 'install', '-y', '--no-install-recommends', ...packages],
  ],
};
const PKG: Manager = { key: 'pkg', commands: (packages) => [['pkg', 'install', '-y', ...packages]] };

function manager(): Manager | undefined {
  if (find('apt-get') !== undefined) return APT;
  return find('pkg') !== undefined ? PKG : undefined;
}

/** Packages that the tests need and that bring files instead of a program. */
function firmwareMissing(purpose: Purpose): boolean {
  return (
    purpose === 'test' &&
    !OVMF_PATHS.some((path) => {
      try {
        return statSync(path).isFile();
      } catch {
        return false;
      }
    })
  );
}

/** What to run for the missing tools: commands for this host's package manager, or none where it has neither. */
export function installCommands(purpose: Purpose): {
  readonly names: readonly string[];
  readonly commands: readonly (readonly string[])[];
} {
  const lacking = missing(purpose);
  const names = lacking.map((tool) => tool.name);
  if (firmwareMissing(purpose)) names.push('OVMF firmware');
  const host = manager();
  if (names.length === 0 || !host) return { names, commands: [] };
  const packages = new Set(lacking.flatMap((tool) => tool[host.key] ?? []));
  if (firmwareMissing(purpose)) packages.add(host.key === 'apt' ? 'ovmf' : 'edk2-qemu-x64');
  return { names, commands: packages.size === 0 ? [] : host.commands([...packages]) };
}

/**
 * Sees to it that the tools are there: installs what is missing where `install` is set and this user may (root, or
 * sudo without a password), and otherwise says the one command to run.
 *
 * @throws UserError with that command.
 */
export async function ensureTools(
  purpose: Purpose,
  options: {
    readonly install: boolean;
    readonly note: (text: string) => void;
    readonly signal?: AbortSignal;
  },
): Promise<void> {
  const { names, commands } = installCommands(purpose);
  if (names.length === 0) return;
  const root = process.getuid?.() === 0;
  const line = commands
    .map((command) => `${root ? '' : 'sudo '}${command.map(shellQuote).join(' ')}`)
    .join(' && ');
  const fail = (why: string): UserError =>
    new UserError(
      `${names.join(', ')} ${names.length === 1 ? 'is' : 'are'} not on this machine${why}.`,
      line === ''
        ? 'Install what `clawdie-iso doctor` lists with the package manager of this machine.'
        : `Run: ${line}`,
    );
  if (!options.install || commands.length === 0) throw fail('');
  const sudo = root ? [] : ['sudo', '-n'];
  if (!root && (find('sudo') === undefined || (await attempt(['sudo', '-n', 'true'])).code !== 0)) {
    throw fail(', and this user may not install packages');
  }
  options.note(`Installing ${names.join(', ')}: ${line}`);
  for (const command of commands) {
    await run('Installing the host tools', [...sudo, 'env', 'DEBIAN_FRONTEND=noninteractive', ...command], {
      ...(options.signal && { signal: options.signal }),
    });
  }
  const still = installCommands(purpose).names;
  if (still.length > 0)
    throw new UserError(
      `${still.join(', ')} ${still.length === 1 ? 'is' : 'are'} still not there after: ${line}.`,
    );
}
