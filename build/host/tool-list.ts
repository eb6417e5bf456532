/** What programs are needed for. */
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
