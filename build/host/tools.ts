import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { UserError } from '../error.js';
import { shellQuote } from '../quote.js';
import { attempt, run } from './process.js';

export type Purpose = 'build' | 'pkgbase' | 'disk' | 'store' | 'test' | 'bench';

/** A program of the host that the project calls. */
export interface Tool {
  readonly name: string;
  readonly need: string;
  /**
   * `build` is needed for an image, `pkgbase` for one of base packages, `disk` with it for disk images, `store` for base images in a registry, `test` and `bench`
   * only by the project's own.
   */
  readonly for: Purpose;
  /** Packages that bring it, by package manager; none where the base system has it. */
  readonly apt?: string;
  readonly pkg?: string;
  /** FreeBSD has it under another name in its base system. */
  readonly elsewhere?: true;
  /** Prints the version. */
  readonly version: readonly string[] | 'package';
}

export const TOOLS: readonly Tool[] = [
  {
    name: 'xz',
    need: 'unpacks the release sets',
    for: 'build',
    apt: 'xz-utils',
    version: ['xz', '--version'],
  },
  {
    name: 'pigz',
    need: 'compresses the root image',
    for: 'build',
    apt: 'pigz',
    pkg: 'pigz',
    version: ['pigz', '--version'],
  },
  {
    name: 'mformat',
    need: 'makes the EFI system partition',
    for: 'build',
    apt: 'mtools',
    pkg: 'mtools',
    version: ['mformat', '--version'],
  },
  {
    name: 'mcopy',
    need: 'fills the EFI system partition',
    for: 'build',
    apt: 'mtools',
    pkg: 'mtools',
    version: ['mcopy', '--version'],
  },
  {
    name: 'xorriso',
    need: 'makes the hybrid ISO',
    for: 'build',
    apt: 'xorriso',
    pkg: 'xorriso',
    version: ['xorriso', '--version'],
  },
  {
    name: 'flock',
    need: 'has the kernel hold locks',
    for: 'build',
    apt: 'util-linux',
    elsewhere: true,
    version: ['flock', '--version'],
  },
  {
    name: 'skopeo',
    need: 'brings base images to a registry and back',
    for: 'store',
    apt: 'skopeo',
    pkg: 'skopeo',
    version: ['skopeo', '--version'],
  },
  {
    name: 'docker-registry',
    need: 'is the registry of tests',
    for: 'test',
    apt: 'docker-registry',
    pkg: 'docker-registry',
    version: ['docker-registry', '--version'],
  },
  {
    name: 'ssh-keygen',
    need: 'makes a key to log in to an image with',
    for: 'test',
    apt: 'openssh-client',
    elsewhere: true,
    version: 'package',
  },
  {
    name: '/usr/sbin/sshd',
    need: 'lets the runtime’s account take turns, in tests',
    for: 'test',
    apt: 'openssh-server',
    elsewhere: true,
    version: 'package',
  },
  {
    name: 'qemu-system-x86_64',
    need: 'runs the installer for disk images, and boots images in tests',
    for: 'disk',
    apt: 'qemu-system-x86',
    pkg: 'qemu-nox11',
    version: ['qemu-system-x86_64', '--version'],
  },
  {
    name: 'qemu-img',
    need: 'converts disk images',
    for: 'disk',
    apt: 'qemu-utils',
    pkg: 'qemu-tools',
    version: ['qemu-img', '--version'],
  },
  {
    name: 'zstd',
    need: 'unpacks base packages, compresses disk images',
    for: 'pkgbase',
    apt: 'zstd',
    elsewhere: true,
    version: ['zstd', '--version'],
  },
  {
    name: 'makefs',
    need: 'is a step of what the bench measures against',
    for: 'bench',
    apt: 'makefs',
    version: 'package',
  },
  {
    name: 'shellcheck',
    need: 'checks the shell scripts',
    for: 'test',
    apt: 'shellcheck',
    pkg: 'hs-ShellCheck',
    version: ['shellcheck', '--version'],
  },
  {
    name: 'bmake',
    need: 'checks the Makefile with the other make',
    for: 'test',
    apt: 'bmake',
    version: 'package',
  },
  {
    name: 'tcpdump',
    need: 'reads what the firewall of an instance has blocked, in tests',
    for: 'test',
    apt: 'tcpdump',
    elsewhere: true,
    version: ['tcpdump', '--version'],
  },
  {
    name: 'rsync',
    need: 'lets the pipeline of GitLab run in tests',
    for: 'test',
    apt: 'rsync',
    pkg: 'rsync',
    version: ['rsync', '--version'],
  },
  {
    name: 'bash',
    need: 'runs the scripts of CI engines in tests, as these do',
    for: 'test',
    apt: 'bash',
    pkg: 'bash',
    version: ['bash', '--version'],
  },
  {
    name: 'openssl',
    need: 'makes keys in tests',
    for: 'test',
    apt: 'openssl',
    elsewhere: true,
    version: ['openssl', 'version'],
  },
  {
    name: 'as',
    need: 'assembles what sends packets from jails, in tests',
    for: 'test',
    apt: 'binutils',
    elsewhere: true,
    version: ['as', '--version'],
  },
  {
    name: 'chromium',
    need: 'shows reports, in tests',
    for: 'test',
    apt: 'chromium',
    elsewhere: true,
    version: 'package',
  },
  {
    name: 'original-awk',
    need: 'runs the awk of scripts as FreeBSD does',
    for: 'test',
    apt: 'original-awk',
    elsewhere: true,
    version: 'package',
  },
];

/** Firmware files that tests need beside the tools: found where one of the paths exists. */
export const OVMF_PATHS = [
  '/usr/share/OVMF/OVMF_CODE.fd',
  '/usr/share/OVMF/OVMF_CODE_4M.fd',
  '/usr/local/share/uefi-firmware/BHYVE_UEFI.fd',
  '/usr/local/share/edk2-qemu/QEMU_UEFI_CODE-x86_64.fd',
];

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
