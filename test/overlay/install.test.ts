import { closeSync, ftruncateSync, openSync, readFileSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { toldPackages } from '../../build/disk/packages.js';
import { emptySlot, filledSlot, SLOT_SIZE } from '../../build/image/slot.js';
import { sha256 } from '../../build/host/hash.js';
import { packOverlay } from '../../build/overlay/pack.js';
import type { OverlayEntry } from '../../build/overlay/render.js';
import { ENVIRONMENT_FILES } from '../helpers/instance.js';
import { FakeRoot } from '../helpers/shell.js';
import type { ScriptResult } from '../helpers/shell.js';

const TOOL = 'overlays/base/usr/local/sbin/clawdie-install';
const RELEASE = '15.1-RELEASE-amd64';
const MB = 1024 * 1024;

/** gpart(8) of a fake system: the table of a disk is a file of lines `first size index label type attribute`. */
const GPART = `
table() { echo "$CLAWDIE_TEST_ROOT/tables/$1"; }
last() { for last_; do :; done; echo "$last_"; }
disk=$(last "$@")
case $1 in
show)
	[ -e "$(table "$disk")" ] || exit 1
	echo "=>      40  8388528  $disk  GPT  (4.0G)"
	if [ "$2" = -l ]; then awk '{ print "   ", $1, $2, $3, $4, ($6 == "bootme" ? "[bootme]" : ""), "(1M)" }' "$(table "$disk")"
	else awk '{ print "   ", $1, $2, $3, $5, ($6 == "bootme" ? "[bootme]" : ""), "(1M)" }' "$(table "$disk")"; fi
	;;
create) mkdir -p "$CLAWDIE_TEST_ROOT/tables"; : > "$(table "$disk")" ;;
destroy) rm "$(table "$disk")" ;;
add)
	label= type=
	while [ $# -gt 0 ]; do [ "$1" != -l ] || label=$2; [ "$1" != -t ] || type=$2; shift; done
	echo "0 1 $(($(wc -l < "$(table "$disk")") + 1)) $label $type" >> "$(table "$disk")"
	mkdir -p "$CLAWDIE_TEST_ROOT/dev/gpt"; : > "$CLAWDIE_TEST_ROOT/dev/gpt/$label"
	;;
modify) sed "s/clawdie-new/clawdie-root/" "$(table "$disk")" > "$(table "$disk").n" && mv "$(table "$disk").n" "$(table "$disk")" ;;
set) sed "/ clawdie-root /s/$/ bootme/" "$(table "$disk")" > "$(table "$disk").n" && mv "$(table "$disk").n" "$(table "$disk")" ;;
esac`;

describe('clawdie-install', () => {
  let fake: FakeRoot;
  const slot = filledSlot(Buffer.from('the archive'), RELEASE);

  beforeEach(async () => {
    fake = (await FakeRoot.make())
      .stub('sysctl', 'echo "cd0 vtbd0 md1"')
      .stub('diskinfo', 'set -- "$1" $(wc -c < "$1"); echo "$1 512 $2 0"')
      .stub('id', 'echo 0')
      .stub('gpart', GPART)
      .stub('newfs')
      .stub('newfs_msdos')
      .stub('sync')
      .stub('umount')
      // What a mount shows is there already; where it is comes last.
      .stub('mount')
      .stub('df', 'echo head; echo "/dev/md0 100000 1024 9 9% /"')
      .stub('tar', 'case $1 in -cf) echo archive ;; -xpf) cat > /dev/null ;; esac')
      .stub('gunzip', 'echo kernel')
      .file('dev/md1', Buffer.concat([slot], SLOT_SIZE))
      .file('etc/clawdie/release', `${RELEASE}\n`)
      .file('etc/clawdie/applied', `${sha256('the archive')}\n`)
      .file('media/overlay', Buffer.concat([slot], SLOT_SIZE))
      .file('mnt/boot/kernel/pf.ko', '')
      .files(ENVIRONMENT_FILES)
      .file('mnt/etc/clawdie/applied', '')
      .file('var/run/x', '');
    disk('vtbd0', 600);
    for (const name of ['pmbr', 'gptboot', 'loader.efi', 'loader', 'loader.conf'])
      fake.file(`boot/${name}`, name);
  });

  /** A disk of so many megabytes, zero but for some bytes. */
  const disk = (name: string, megabytes: number, ...marks: readonly (readonly [number, string])[]): void => {
    fake.file(`dev/${name}`, '');
    const file = openSync(join(fake.root, 'dev', name), 'r+');
    ftruncateSync(file, megabytes * MB);
    for (const [at, text] of marks) writeSync(file, text, at, 'latin1');
    closeSync(file);
  };

  const steps = (result: ScriptResult): readonly string[] =>
    result.calls
      .map((call) => call.replaceAll(fake.root, '').trim())
      .filter((call) => !/^(?:sysctl|diskinfo|id|df|lockf|gpart show|mount -p)/.test(call));

  it('makes partitions, file systems, copies, and only then what boots: in that order', () => {
    const result = fake.run(TOOL, ['--yes']);
    expect(result).toMatchObject({ code: 0, stderr: '' });
    expect(steps(result)).toEqual([
      'gpart create -s gpt vtbd0',
      'gpart add -t freebsd-boot -a 4k -s 512k -l clawdie-boot vtbd0',
      'gpart add -t efi -a 1m -s 64m -l clawdie-efi vtbd0',
      'gpart add -t !5d1f7a4e-0c6b-4b7a-9a53-2f1c6e0d9c11 -a 1m -s 4m -l clawdie-slot vtbd0',
      'gpart add -t freebsd-swap -a 1m -s 128m -l clawdie-swap vtbd0',
      'gpart add -t freebsd-ufs -a 1m -l clawdie-new vtbd0',
      'newfs_msdos -F 32 -c 1 -L CLAWDIE /dev/gpt/clawdie-efi',
      'newfs -U -j -L clawdiedisk /dev/gpt/clawdie-new',
      'mount /dev/gpt/clawdie-new /mnt',
      expect.stringMatching(/^tar -(?:cf|xpf) /),
      expect.stringMatching(/^tar -(?:cf|xpf) /),
      'mount -t cd9660 -o ro /dev/iso9660/CLAWDIE /media',
      'gunzip -c /media/boot/kernel/kernel.gz',
      'sync',
      'umount /media',
      'umount /mnt',
      'gpart modify -i 5 -l clawdie-root vtbd0',
      'mount -t msdosfs /dev/gpt/clawdie-efi /media',
      'umount /media',
      'gpart bootcode -b /boot/pmbr -p /boot/gptboot -i 1 vtbd0',
      'gpart set -a bootme -i 5 vtbd0',
      'sync',
    ]);
    expect(fake.read('mnt/etc/fstab')).toMatch(/^\/dev\/gpt\/clawdie-root\t\/\t\tufs\trw\t\t\t1\t1$/m);
    expect(fake.read('mnt/etc/clawdie/installed')).toBe(`installed ${RELEASE}\n`);
    expect(fake.read('mnt/boot/kernel/kernel')).toBe('kernel\n');
    expect(fake.read('media/EFI/BOOT/BOOTX64.EFI')).toBe('loader.efi');
    expect(fake.read('dev/gpt/clawdie-slot').slice(0, 17)).toBe('clawdie-overlay 1');
    expect(fake.run(TOOL, ['--status']).stdout).toBe('vtbd0 installed 600\n');
  });

  describe('with packages, for a disk image', () => {
    const ARCHIVE = 'var/run/clawdie-packages.tar';
    const INSTALLER = 'usr/local/libexec/clawdie/shell-packages.sh';
    beforeEach(async () => {
      const entry = (path: string): OverlayEntry => ({
        ...{ path, type: 'file', uid: 0, gid: 0, mode: 0o600, body: 'x' },
      });
      fake
        .removeFile('etc/clawdie/applied')
        .file(ARCHIVE, await packOverlay([entry(INSTALLER), entry('var/db/clawdie/packages.list')], 0))
        .stub(
          'tar',
          'case $1 in -cf) echo archive ;; -tf) /usr/bin/tar -tf "$2" ;; -xpf) [ "$2" = - ] && cat > /dev/null || /usr/bin/tar -xf "$2" -C "$4" ;; esac',
        )
        .stub('chroot', 'case "$*" in *query*) printf "pkg 2.8\\ntmux 1.0_1,1\\n" ;; esac')
        .stub('sleep', 'exec /bin/sleep 1');
    });
    const PACKED = ['--image', '--packages'];
    const go = (): ScriptResult => fake.run(TOOL, [...PACKED, join(fake.root, ARCHIVE)]);

    it('has pkg(8) install them in the new system, says what is there, and leaves nothing of what did it', () => {
      const result = go();
      expect(result).toMatchObject({ code: 0, stderr: '' });
      expect(toldPackages(result.stdout)).toEqual([
        { name: 'pkg', version: '2.8' },
        { name: 'tmux', version: '1.0_1,1' },
      ]);
      const calls = steps(result);
      expect(calls.filter((call) => /^(?:chroot|mount -t devfs|umount \/mnt)/.test(call))).toEqual([
        'mount -t devfs devfs /mnt/dev',
        'chroot /mnt ldconfig /lib /usr/lib /usr/local/lib',
        `chroot /mnt sh /${INSTALLER}`,
        'chroot /mnt pkg -N query %n %v',
        'umount /mnt/dev',
        'umount /mnt',
      ]);
      expect(fake.has(`mnt/${INSTALLER}`)).toBe(false);
      expect(fake.has('mnt/var/db/clawdie/packages.list')).toBe(false);
    });

    it('boots nothing where that fails, and says what pkg(8) said', () => {
      fake.stub('chroot', 'case "$*" in *shell-packages*) echo "tmux is not there"; exit 1 ;; esac');
      const result = go();
      expect(result.code).toBe(1);
      expect(result.stderr).toMatch(/^tmux is not there\nclawdie-install: the packages cannot be installed/);
      expect(steps(result).join('\n')).not.toMatch(/bootcode|clawdie-root|bootme/);
    });

    it('is for images alone', () => {
      const result = fake.run(TOOL, ['--yes', '--packages', join(fake.root, ARCHIVE)]);
      expect(result.code).toBe(1);
      expect(result.stderr).toContain('--packages is for disk images');
      expect(fake.run(TOOL, [...PACKED, '/nowhere']).code).toBe(2);
    });
  });

  const refused = (message: string | RegExp, ...args: readonly string[]): void => {
    const result = fake.run(TOOL, ['--yes', ...args]);
    expect(result.code).toBe(1);
    expect(result.stderr).toMatch(message);
    expect(steps(result)).toEqual([]);
  };

  it.each([
    ['at its beginning', 0],
    ['behind its first megabytes', 7 * MB],
    ['in its middle', 9 * (Math.floor(600 / 17) + 1) * MB + 1],
    ['at its end', 600 * MB - 1],
  ])('refuses a disk that carries something %s; takes it with --wipe', (_, at) => {
    disk('vtbd0', 600, [at, 'x']);
    refused(/there is no disk to install to: vtbd0 carries something\.\n {2}If nothing on it is wanted/);
    refused('vtbd0 carries something', '--disk', 'vtbd0');
    expect(fake.run(TOOL, ['--yes', '--wipe']).code).toBe(0);
  });

  it('never overwrites an installed instance, whatever it is told', () => {
    expect(fake.run(TOOL, ['--yes']).code).toBe(0);
    refused('holds an installed instance, which is never overwritten', '--wipe');
    refused('holds an installed instance', '--disk', 'vtbd0', '--wipe');
  });

  it('refuses to guess between two disks; takes the one that is named, or the only empty one', () => {
    fake.stub('sysctl', 'echo "vtbd1 vtbd0"');
    disk('vtbd1', 600);
    refused('more than one disk could be meant: vtbd0 vtbd1');
    disk('vtbd1', 600, [65536, 'x']);
    refused('more than one disk', '--wipe');
    refused('vtbd1 carries something', '--disk', 'vtbd1');
    const result = fake.run(TOOL, ['--yes']);
    expect(result.code).toBe(0);
    expect(steps(result)[0]).toBe('gpart create -s gpt vtbd0');
  });

  it('refuses its own medium, a disk that is too small, one that is not there, and what is no name', () => {
    disk('vtbd0', 600, [32768, '\u0001CD001']);
    refused('vtbd0 is the medium that this system was booted from', '--wipe');
    disk('vtbd0', 100);
    refused('vtbd0 is too small: it has 100 MB of');
    refused('there is no disk vtbd7; there are: vtbd0', '--disk', 'vtbd7');
    for (const args of [['--disk'], ['--disk', '../x'], ['--disk', '$(reboot)'], ['--nonsense']]) {
      const result = fake.run(TOOL, args);
      expect(result.code).toBe(2);
      expect(result.stderr).toContain('usage: clawdie-install');
      expect(steps(result)).toEqual([]);
    }
  });

  it('asks before it does anything, and takes everything but yes for no', () => {
    const result = fake.run(TOOL, []);
    expect(result.code).toBe(1);
    expect(result.stdout).toContain('everything on vtbd0 (600 MB) is replaced. Go on? [y/N]');
    expect(result.stderr).toContain('nothing was done');
    expect(steps(result)).toEqual([]);
  });

  it('refuses on an installed instance, without root, and where parts of it are missing', () => {
    fake.removeFile('boot/gptboot');
    refused('this system has no /boot/gptboot');
    fake.file('boot/gptboot', 'x').file('etc/clawdie/applied', `${'0'.repeat(64)}\n`);
    refused('the overlay of this instance is not there any more');
    fake.file('etc/clawdie/installed', '');
    refused('this instance runs from its disk already');
    fake.stub('id', 'echo 1001');
    refused('only root may do this');
  });

  it.each<[string, string, string]>([
    ['newfs', 'exit 1', 'the file systems on vtbd0 cannot be made'],
    ['newfs_msdos', 'exit 1', 'the file systems on vtbd0 cannot be made'],
    ['mount', 'exit 1', 'the file systems on vtbd0 cannot be made'],
    [
      'mount',
      'case "$*" in *cd9660*) exit 1 ;; esac',
      'the medium that this system was booted from cannot be read',
    ],
    [
      'tar',
      'case $1 in -cf) exit 1 ;; -xpf) cat > /dev/null ;; esac',
      'the system cannot be copied to vtbd0',
    ],
    ['tar', 'case $1 in -xpf) cat > /dev/null; exit 1 ;; esac', 'the system cannot be copied to vtbd0'],
    ['gunzip', 'exit 1', 'the kernel on the medium cannot be read'],
  ])(
    'where %s fails (%s) nothing boots, nothing stays mounted, and it can be begun again',
    (name, body, message) => {
      fake.stub(name, body);
      const result = fake.run(TOOL, ['--yes']);
      expect(result.code).toBe(1);
      expect(result.stderr).toContain(message);
      const calls = steps(result);
      expect(calls.join('\n')).not.toMatch(/bootcode|clawdie-root|bootme/);
      const mounts = calls.filter((call) => /^mount (?!-p)/.test(call)).length;
      const failed = name === 'mount' ? 1 : 0; // the one that was tried
      expect(calls.filter((call) => /^umount/.test(call))).toHaveLength(mounts - failed);
      expect(fake.run(TOOL, ['--status']).stdout).toBe('vtbd0 begun 600\n');
      fake
        .stub('newfs')
        .stub('newfs_msdos')
        .stub('mount')
        .stub('gunzip', 'echo kernel')
        .stub('tar', 'case $1 in -cf) echo archive ;; -xpf) cat > /dev/null ;; esac');
      expect(fake.run(TOOL, ['--yes']).code).toBe(0);
    },
  );

  it('never puts a second instance beside one: both would have the same labels', () => {
    expect(fake.run(TOOL, ['--yes']).code).toBe(0);
    fake.stub('sysctl', 'echo "vtbd1 vtbd0"');
    disk('vtbd1', 600);
    refused('vtbd0 holds an installed instance, which is never overwritten', '--disk', 'vtbd1');
    refused('vtbd0 holds an installed instance');
  });

  it('takes the packages of the medium along, wherever it is mounted, and counts them in the room that it needs', () => {
    const list = (size: number): string => `asked ${'a'.repeat(64)} ${size} ${size} All/x-1.pkg x 1\n`;
    fake
      .file('medium/overlay', Buffer.concat([slot], SLOT_SIZE))
      .file('medium/packages/meta.conf', '{}')
      .file('medium/packages/All/x-1.pkg', 'package')
      .file('var/db/clawdie/packages.list', list(200 * MB))
      .stub('mount', `[ "$1" != -p ] || echo "/dev/iso9660/CLAWDIE ${fake.root}/medium cd9660 ro 0 0"`);
    refused('vtbd0 is too small');
    fake.file('var/db/clawdie/packages.list', list(MB));
    const result = fake.run(TOOL, ['--yes']);
    expect(result).toMatchObject({ code: 0, stderr: '' });
    expect(fake.read('mnt/var/db/clawdie/packages/All/x-1.pkg')).toBe('package');
    expect(steps(result).filter((call) => call.includes('cd9660'))).toEqual([]);
    // It is not the installer's to unmount.
    expect(steps(result)).not.toContain('umount /medium');
  });

  it('copies nothing while packages are being installed', () => {
    fake.file('var/run/clawdie-packages.lock', '').stub('lockf', 'exit 75');
    refused('packages are being installed');
    fake.stub('lockf');
    expect(fake.run(TOOL, ['--yes'])).toMatchObject({ code: 0, stderr: '' });
  });

  it('says how far it is as a gauge of bsddialog reads it', () => {
    const result = fake.run(TOOL, ['--yes', '--gauge']);
    expect(result.code).toBe(0);
    const gauges = result.stdout.split('XXX\n').filter((each) => each.trim() !== '');
    expect(gauges[1]).toBe('0\npartitions of vtbd0 ...\n');
    expect(gauges.at(-1)).toMatch(/^100\n/);
    const percents = gauges.map((each) => Number(each.split('\n')[0]));
    expect(percents).toEqual([...percents].sort((a, b) => a - b));
  });

  it('makes a pool of ZFS where it is asked for, exported before anything boots', () => {
    const result = fake.run(TOOL, ['--yes', '--fs', 'zfs']);
    expect(result).toMatchObject({ code: 1 });
    expect(result.stderr).toContain('this system has no ZFS.');
    expect(steps(result)).toEqual([]);

    fake.file('sbin/zpool', '', 0o755).file('boot/gptzfsboot', 'x').stub('kldload').stub('zpool').stub('zfs');
    const made = fake.run(TOOL, ['--yes', '--fs', 'zfs']);
    expect(made).toMatchObject({ code: 0, stderr: '' });
    const calls = steps(made);
    expect(calls).toContain('gpart add -t freebsd-zfs -a 1m -l clawdie-new vtbd0');
    expect(calls.filter((call) => /^(?:zpool|zfs|kldload|gpart (?:modify|bootcode|set))/.test(call))).toEqual(
      [
        'kldload -n zfs',
        'zpool create -f -R /mnt -O compression=lz4 -O atime=off -O mountpoint=none clawdie /dev/gpt/clawdie-new',
        'zfs create -o mountpoint=none clawdie/ROOT',
        'zfs create -o mountpoint=/ -o canmount=noauto clawdie/ROOT/default',
        'zpool set bootfs=clawdie/ROOT/default clawdie',
        'zfs mount clawdie/ROOT/default',
        'zfs create -o mountpoint=/home clawdie/home',
        'zfs create -o mountpoint=/var/log clawdie/log',
        'zfs snapshot clawdie/ROOT/default@base',
        'zpool export clawdie',
        'gpart modify -i 7 -l clawdie-root vtbd0',
        'gpart bootcode -p /boot/gptzfsboot -i 2 vtbd0',
        'gpart bootcode -b /boot/pmbr -p /boot/gptzfsboot -i 1 vtbd0',
        'gpart set -a bootme -i 7 vtbd0',
      ],
    );
    // What the installer itself writes is the instance's, and not of the release.
    const marked = calls.indexOf('zfs snapshot clawdie/ROOT/default@base');
    expect(marked).toBeGreaterThan(calls.findLastIndex((call) => call.startsWith('tar')));
    expect(marked).toBeLessThan(calls.findIndex((call) => call.startsWith('gunzip')));
    expect(calls.some((call) => call.startsWith('newfs -U'))).toBe(false);
    expect(fake.read('mnt/etc/fstab')).not.toMatch(/\t\/\t/);
    expect(fake.read('mnt/boot/loader.conf.local')).toBe(
      'zfs_load="YES"\nvfs.root.mountfrom="zfs:clawdie/ROOT/default"\n',
    );
    expect(fake.read('mnt/etc/rc.conf.local')).toBe('zfs_enable="YES"\n');
  });

  it.each(['create', 'set'])('exports a pool that it could not finish (zpool %s)', (step) => {
    fake.file('sbin/zpool', '', 0o755).file('boot/gptzfsboot', 'x').stub('kldload').stub('zfs');
    fake.stub('zpool', `case $1 in ${step}) exit 1 ;; esac`);
    const result = fake.run(TOOL, ['--yes', '--fs', 'zfs']);
    expect(result.code).toBe(1);
    const calls = steps(result);
    expect(calls.join('\n')).not.toMatch(/bootcode|clawdie-root|bootme/);
    expect(calls.includes('zpool export clawdie')).toBe(step !== 'create');
  });

  describe('as a disk image', () => {
    beforeEach(() => fake.removeFile('etc/clawdie/applied'));

    it('has an empty slot, and nothing of an instance', () => {
      const result = fake.run(TOOL, ['--image']);
      expect(result).toMatchObject({ code: 0, stderr: '' });
      expect(result.stdout).toMatch(/: the disk image is complete\.\n$/);
      const slot = readFileSync(join(fake.root, 'dev/gpt/clawdie-slot'));
      expect(slot).toEqual(emptySlot(RELEASE).subarray(0, 512));
      expect(fake.run(TOOL, ['--status']).stdout).toBe('vtbd0 installed 600\n');
    });

    it('can become two roots at its first boot, which decides: has all of what these need, and one root', () => {
      fake
        .file('boot/gptboot.efi', 'gptboot.efi')
        .stub(
          'tar',
          'case "$*" in *--format*) echo "./a type=file" ;; *-cf*) echo archive ;; *-xpf*) cat > /dev/null ;; esac',
        );
      const result = fake.run(TOOL, ['--image']);
      expect(result).toMatchObject({ code: 0, stderr: '' });
      const calls = steps(result);
      expect(calls.filter((call) => call.startsWith('gpart add'))).toEqual([
        'gpart add -t freebsd-boot -a 4k -s 512k -l clawdie-boot vtbd0',
        'gpart add -t freebsd-boot -a 4k -s 512k -l clawdie-boot-b vtbd0',
        'gpart add -t efi -a 1m -s 64m -l clawdie-efi vtbd0',
        'gpart add -t efi -a 1m -s 64m -l clawdie-efi-b vtbd0',
        'gpart add -t !5d1f7a4e-0c6b-4b7a-9a53-2f1c6e0d9c11 -a 1m -s 4m -l clawdie-slot vtbd0',
        'gpart add -t freebsd-swap -a 1m -s 128m -l clawdie-swap vtbd0',
        'gpart add -t freebsd-ufs -a 1m -l clawdie-new vtbd0',
      ]);
      expect(calls.filter((call) => call.startsWith('gpart bootcode'))).toEqual([
        'gpart bootcode -p /boot/gptboot -i 2 vtbd0',
        'gpart bootcode -b /boot/pmbr -p /boot/gptboot -i 1 vtbd0',
      ]);
      expect(fake.read('media/EFI/BOOT/BOOTX64.EFI')).toBe('gptboot.efi');
      expect(fake.has('mnt/etc/clawdie/image')).toBe(true);
      expect(fake.has('mnt/var/db/clawdie/base.mtree.gz')).toBe(true);
      expect(fake.read('mnt/boot/loader.conf.local')).toBe(
        'vfs.root.mountfrom="ufs:/dev/gpt/clawdie-root"\n',
      );
      expect(fake.read('mnt/etc/fstab')).not.toContain('/data');
    });

    it('stays with one root where the release cannot choose between two, and where it is a pool', () => {
      expect(fake.run(TOOL, ['--image'])).toMatchObject({ code: 0, stderr: '' });
      expect(fake.read('media/EFI/BOOT/BOOTX64.EFI')).toBe('loader.efi');
      expect(fake.has('mnt/etc/clawdie/image')).toBe(false);
      fake
        .file('boot/gptboot.efi', 'gptboot.efi')
        .file('sbin/zpool', '', 0o755)
        .file('boot/gptzfsboot', 'x')
        .stub('kldload')
        .stub('zpool')
        .stub('zfs')
        .file('tables/vtbd0', '');
      disk('vtbd0', 600);
      expect(fake.run(TOOL, ['--image', '--fs', 'zfs'])).toMatchObject({ code: 0, stderr: '' });
      expect(fake.read('media/EFI/BOOT/BOOTX64.EFI')).toBe('loader.efi');
      expect(fake.has('mnt/etc/clawdie/image')).toBe(false);
    });

    it.each(['etc/ssh/ssh_host_ed25519_key', 'etc/hostid', 'boot/entropy', 'var/db/entropy/saved-entropy.1'])(
      'is not made of a system that has %s',
      (path) => {
        fake.file(path, 'x');
        const result = fake.run(TOOL, ['--image']);
        expect(result.code).toBe(1);
        expect(result.stderr).toContain(
          `this system has /${path}, which every instance of an image would have`,
        );
        expect(steps(result)).toEqual([]);
      },
    );

    it('is not made of a system that has an overlay', () => {
      fake.file('etc/clawdie/applied', 'x');
      expect(fake.run(TOOL, ['--image']).stderr).toContain('an overlay was applied to this system');
    });
  });

  describe('with two roots', () => {
    const roots = (): FakeRoot =>
      fake
        .stub('kldload')
        .stub('newfs', ': > "$CLAWDIE_TEST_ROOT/made.$(echo "$*" | tr " /" "__")"')
        .stub(
          'tar',
          'case "$*" in *--format*) echo "./a type=file" ;; *-cf*) echo archive ;; *-xpf*) cat > /dev/null ;; esac',
        )
        .file('boot/gptboot.efi', 'gptboot.efi');

    it('makes them where the disk has the room, a partition of data for both, and what boots either', () => {
      disk('vtbd0', 8192);
      const result = roots().run(TOOL, ['--yes']);
      expect(result).toMatchObject({ code: 0, stderr: '' });
      const calls = steps(result);
      expect(calls.filter((call) => call.startsWith('gpart add -t freebsd-ufs'))).toEqual([
        'gpart add -t freebsd-ufs -a 1m -s 2048m -l clawdie-new vtbd0',
        'gpart add -t freebsd-ufs -a 1m -s 2048m -l clawdie-root-b vtbd0',
        'gpart add -t freebsd-ufs -a 1m -l clawdie-data vtbd0',
      ]);
      // Data is there before anything is copied, so that homes and logs lie on it.
      expect(calls.filter((call) => /^(?:newfs |mount|tar -xpf)/.test(call))).toEqual([
        'newfs -U -j -L clawdiedisk /dev/gpt/clawdie-new',
        'mount /dev/gpt/clawdie-new /mnt',
        'newfs -U -j -L clawdiedata /dev/gpt/clawdie-data',
        'mount /dev/gpt/clawdie-data /mnt/data',
        'mount -t nullfs /mnt/data/home /mnt/home',
        'mount -t nullfs /mnt/data/log /mnt/var/log',
        'mount -t nullfs /mnt/data/jails /mnt/usr/local/bastille/jails',
        'mount -t nullfs /mnt/data/backups /mnt/usr/local/bastille/backups',
        'mount -t nullfs /mnt/data/jaildisks /mnt/var/db/clawdie/jaildisks',
        'tar -xpf - -C /mnt',
        'mount -t cd9660 -o ro /dev/iso9660/CLAWDIE /media',
        'mount -t msdosfs /dev/gpt/clawdie-efi /media',
        'mount -t msdosfs /dev/gpt/clawdie-efi-b /media',
      ]);
      expect(calls.filter((call) => /^umount/.test(call))).toHaveLength(10);
      // What the firmware starts is there twice.
      expect(calls.filter((call) => call.includes('-b vtbd0') || call.includes('-efi-b'))).toEqual([
        'gpart add -t freebsd-boot -a 4k -s 512k -l clawdie-boot-b vtbd0',
        'gpart add -t efi -a 1m -s 64m -l clawdie-efi-b vtbd0',
        'gpart add -t freebsd-ufs -a 1m -s 2048m -l clawdie-root-b vtbd0',
        'newfs_msdos -F 32 -c 1 -L CLAWDIE /dev/gpt/clawdie-efi-b',
        'mount -t msdosfs /dev/gpt/clawdie-efi-b /media',
      ]);
      expect(calls.slice(-4)).toEqual([
        'gpart bootcode -p /boot/gptboot -i 2 vtbd0',
        'gpart bootcode -b /boot/pmbr -p /boot/gptboot -i 1 vtbd0',
        'gpart set -a bootme -i 7 vtbd0',
        'sync',
      ]);
      expect(fake.read('mnt/etc/fstab')).toMatch(
        /^\/data\/jails\t\/usr\/local\/bastille\/jails\tnullfs\trw\t/m,
      );
      expect(fake.read('mnt/etc/fstab').indexOf('clawdie-data')).toBeLessThan(
        fake.read('mnt/etc/fstab').indexOf('nullfs'),
      );
      expect(fake.read('mnt/boot/loader.conf.local')).toBe(
        'vfs.root.mountfrom="ufs:/dev/gpt/clawdie-root"\n',
      );
      expect(fake.read('media/EFI/BOOT/BOOTX64.EFI')).toBe('gptboot.efi');
      expect(fake.has('mnt/var/db/clawdie/base.mtree.gz')).toBe(true);
      expect(statSync(join(fake.root, 'mnt/data')).mode & 0o777).toBe(0o700);
      expect(fake.run(TOOL, ['--status']).stdout).toBe('vtbd0 installed 8192\n');
    });

    it('makes one, and says so, where the disk has no room; refuses where two were asked for', () => {
      disk('vtbd0', 8191);
      const result = roots().run(TOOL, ['--yes']);
      expect(result.code).toBe(0);
      expect(result.stdout).toContain('one root: vtbd0 has no room for two (8191 MB).');
      expect(steps(result).join('\n')).not.toMatch(/clawdie-root-b|clawdie-data|nullfs/);
      expect(fake.read('media/EFI/BOOT/BOOTX64.EFI')).toBe('loader.efi');
      disk('vtbd0', 600);
      fake.file('tables/vtbd0', '');
      refused('vtbd0 is too small: it has 600 MB of', '--layout', 'ab');
      // What was asked for on a smaller disk that has the room: no root is smaller than it has to be.
      fake.stub('df', 'echo head; echo "/dev/md0 1000000 512000 9 9% /"');
      disk('vtbd0', 4096);
      const asked = fake.run(TOOL, ['--yes', '--layout', 'ab', '--wipe']);
      expect(asked).toMatchObject({ code: 0, stderr: '' });
      expect(steps(asked)).toContain('gpart add -t freebsd-ufs -a 1m -s 1256m -l clawdie-new vtbd0');
    });

    it('leaves it at one where it is told to, where a release would not fit, and on a pool', () => {
      disk('vtbd0', 8192);
      const single = roots().run(TOOL, ['--yes', '--layout', 'single']);
      expect(steps(single).join('\n')).not.toContain('clawdie-root-b');
      expect(single.stdout).not.toContain('one root');
      disk('vtbd0', 8192);
      fake.file('tables/vtbd0', '').stub('df', 'echo head; echo "/dev/md0 3000000 2000000 9 9% /"');
      const large = fake.run(TOOL, ['--yes', '--wipe']);
      expect(large.stdout).toContain('one root: vtbd0 has no room for two (8192 MB).');
      fake.file('tables/vtbd0', '');
      refused('two roots are for UFS on a disk that is there', '--layout', 'ab', '--fs', 'zfs', '--wipe');
      fake.removeFile('boot/gptboot.efi').stub('df', 'echo head; echo "/dev/md0 100000 1024 9 9% /"');
      refused('no /boot/gptboot.efi or no nullfs(5)', '--layout', 'ab', '--wipe');
      expect(fake.run(TOOL, ['--layout', 'three']).code).toBe(2);
    });
  });

  it('refuses a medium of another release', () => {
    const other = filledSlot(Buffer.from('x'), '14.3-RELEASE-amd64');
    fake.file('media/overlay', Buffer.concat([other], SLOT_SIZE));
    const result = fake.run(TOOL, ['--yes']);
    expect(result.code).toBe(1);
    expect(result.stderr).toContain('the medium is of another release than this system (15.1-RELEASE-amd64)');
  });

  it.each([
    ['bootcode', 'case $1 in bootcode) exit 1 ;; esac'],
    ['set', 'case $1 in set) exit 1 ;; esac'],
  ])('cut off at its end (%s), is finished without being copied again', (_, body) => {
    fake.stub('gpart', `${body}\n${GPART}`);
    expect(fake.run(TOOL, ['--yes']).code).toBe(1);
    expect(fake.run(TOOL, ['--status']).stdout).toBe('vtbd0 unfinished 600\n');
    fake.stub('gpart', GPART);
    const result = fake.run(TOOL, ['--finish', 'vtbd0']);
    expect(result.code).toBe(0);
    expect(steps(result)).toEqual([
      'mount -t msdosfs /dev/gpt/clawdie-efi /media',
      'umount /media',
      'gpart bootcode -b /boot/pmbr -p /boot/gptboot -i 1 vtbd0',
      'gpart set -a bootme -i 5 vtbd0',
    ]);
    expect(fake.run(TOOL, ['--finish', 'vtbd0']).stderr).toContain('nothing is to be finished on vtbd0');
  });
});

describe('clawdie_grow', () => {
  const SCRIPT = 'overlays/base/etc/rc.d/clawdie_grow';
  const table = (free: number): string =>
    `echo "=> 40 8388528 vtbd0 GPT (4.0G)"; echo "  665600 7720960 5 clawdie-root [bootme] (3.7G)"; echo "  8386560 ${free} - free - (1M)"`;
  let fake: FakeRoot;

  beforeEach(async () => {
    fake = (await FakeRoot.make())
      .withRcSubr()
      .file('etc/clawdie/installed', '')
      .stub('mount', 'echo "/dev/gpt/clawdie-root / ufs ro 1 1"')
      .stub('gpart', `case $1 in show) ${table(4194304)} ;; esac`)
      .stub('growfs');
  });

  const run = (on: FakeRoot = fake): ScriptResult => on.run(SCRIPT, ['start'], { clawdie_grow_at: on.root });
  const changes = (result: ScriptResult): readonly string[] =>
    result.calls.filter((call) => /^(?:growfs|gpart (?!show))/.test(call));

  it('gives the room that the disk has gained to the root', () => {
    const result = run();
    expect(result).toMatchObject({ code: 0, stderr: '' });
    expect(changes(result)).toEqual(['gpart resize -i 5 vtbd0', 'growfs -y /dev/gpt/clawdie-root']);
  });

  it('finds the second copy of the table again first', () => {
    fake.stub('gpart', `case $1 in show) ${table(4194304)}; echo CORRUPT ;; esac`);
    expect(changes(run())[0]).toBe('gpart recover vtbd0');
  });

  it.each<[string, (fake: FakeRoot) => FakeRoot]>([
    ['there is no room', (each) => each.stub('gpart', `case $1 in show) ${table(2008)} ;; esac`)],
    ['the root is in use', (each) => each.stub('mount', 'echo "/dev/gpt/clawdie-root / ufs rw 1 1"')],
    ['nothing is installed', (each) => each.removeFile('etc/clawdie/installed')],
    ['the root is no partition of its own', (each) => each.stub('gpart')],
  ])('changes nothing where %s', (_, change) => {
    const result = run(change(fake));
    expect(result.code).toBe(0);
    expect(changes(result)).toEqual([]);
  });

  it('gives the room to the data, where there are two roots', () => {
    const roots = `echo "=> 40 16777136 vtbd0 GPT (8.0G)"; echo "  9 9 5 clawdie-root [bootme] (2.0G)"; echo "  9 9 6 clawdie-root-b (2.0G)"; echo "  9 9 7 clawdie-data (3.3G)"; echo "  8386560 4194304 - free - (2G)"`;
    fake.stub('gpart', `case $1 in show) ${roots} ;; esac`);
    expect(changes(run())).toEqual(['gpart resize -i 7 vtbd0', 'growfs -y /dev/gpt/clawdie-data']);
  });

  it('grows a pool, whether its root is in use or not', () => {
    fake
      .stub('mount', 'echo "clawdie/ROOT/default / zfs rw 0 0"')
      .stub('zpool', 'case $1 in list) echo "clawdie 4G"; echo "/dev/gpt/clawdie-root 4G" ;; esac');
    const result = run();
    expect(changes(result)).toEqual(['gpart resize -i 5 vtbd0']);
    expect(result.calls).toContain('zpool online -e clawdie /dev/gpt/clawdie-root');
  });

  it('does not grow a file system whose partition could not be', () => {
    fake.stub('gpart', `case $1 in show) ${table(4194304)} ;; resize) exit 1 ;; esac`);
    expect(changes(run())).toEqual(['gpart resize -i 5 vtbd0']);
  });
});

describe('rc.d/clawdie_install', () => {
  const SCRIPT = 'overlays/base/etc/rc.d/clawdie_install';
  let fake: FakeRoot;

  /** clawdie-install of the fake system: says this of its disks, and calls itself by that name. */
  const disks = (status: string, body = ''): void => {
    fake.stub(
      'clawdie-install',
      `case $1 in --status) printf '%s\\n' '${status}'; [ ! -e "$CLAWDIE_TEST_ROOT/done" ] || echo 'vtbd0 installed 600' ;; esac\n${body}`,
    );
  };

  beforeEach(async () => {
    fake = (await FakeRoot.make())
      .withRcSubr()
      .configure({ INSTALL: 'auto', INSTALL_DISK: 'auto', INSTALL_FS: 'ufs', INSTALL_WIPE: 'no' })
      .file('etc/clawdie/release', `${RELEASE}\n`)
      .file('var/run/x', '')
      .file('mnt/etc/clawdie/release', `${RELEASE}\n`)
      .stub('mount')
      .stub('umount')
      .stub('gpart', 'echo "665600 7720960 5 freebsd-ufs [bootme]"')
      .stub('kenv')
      .stub('reboot')
      .stub('sleep');
    disks('vtbd0 blank 600');
  });

  const run = (environment: Readonly<Record<string, string>> = {}, input = ''): ScriptResult =>
    fake.run(SCRIPT, ['start'], { clawdie_install_tool: 'clawdie-install', ...environment }, input);
  const acts = (result: ScriptResult): readonly string[] =>
    result.calls.filter((call) => /^(?:clawdie-install (?!--status)|reboot|kenv|bsddialog)/.test(call));

  it('installs where the deployment says so, and restarts', () => {
    const result = run();
    expect(result).toMatchObject({ code: 0, stderr: '' });
    expect(acts(result)).toEqual(['clawdie-install --disk auto --fs ufs --layout auto --yes', 'reboot ']);
  });

  it('hands on which disk, which file system, and whether it may be wiped, as they are written', () => {
    fake.configure({
      ...{ INSTALL: 'auto', INSTALL_DISK: 'vtbd1', INSTALL_FS: 'zfs', INSTALL_LAYOUT: 'single' },
      INSTALL_WIPE: 'yes',
    });
    expect(acts(run())[0]).toBe('clawdie-install --disk vtbd1 --fs zfs --layout single --wipe --yes');
  });

  it.each([
    ['the deployment says never', () => fake.configure({ INSTALL: 'never' })],
    ['the deployment says nothing', () => fake.configure()],
    ['there is no configuration', () => fake],
    ['it is an installed instance', () => fake.file('etc/clawdie/installed', '')],
  ])('does nothing where %s', (what, change) => {
    change();
    if (what === 'there is no configuration') fake.removeFile('etc/clawdie/clawdie.conf');
    expect(run()).toMatchObject({ code: 0, calls: [] });
  });

  it('says what went wrong, and lets the boot go on from memory', () => {
    disks('vtbd0 used 600', 'case $1 in --disk) exit 1 ;; esac');
    const result = run();
    expect(result.code).toBe(1);
    expect(result.stderr).toContain('nothing is installed: this instance runs from memory');
    expect(acts(result)).not.toContain('reboot ');
  });

  it('goes on from the instance that is on a disk, and never installs over it', () => {
    disks('vtbd0 installed 600');
    const result = run();
    expect(acts(result)).toEqual([
      'kenv vfs.root.mountfrom=ufs:/dev/gpt/clawdie-root',
      'kenv init_script=/sbin/clawdie-init',
      'reboot -r',
    ]);
  });

  it('goes on from that of two roots that boots, and from none that is on trial', () => {
    disks('vtbd0 installed 8192');
    const table = (a: string, b: string): string =>
      `[ "$2" != -l ] || { echo "  9 9 5 clawdie-root ${a} (2G)"; echo "  9 9 6 clawdie-root-b ${b} (2G)"; }`;
    for (const [a, b, label] of [
      ['', '[bootme]', 'clawdie-root-b'],
      ['[bootme]', '[bootonce,bootme]', 'clawdie-root'],
      ['[bootonce,bootme]', '[bootme]', 'clawdie-root-b'],
    ] as const) {
      fake.stub('gpart', table(a, b));
      const result = run();
      expect(acts(result)[0]).toBe(`kenv vfs.root.mountfrom=ufs:/dev/gpt/${label}`);
      expect(result.calls).toContain(`mount -o ro /dev/gpt/${label} ${fake.root}/mnt`);
    }
  });

  it('goes on from a pool likewise, read and exported before', () => {
    disks('vtbd0 installed 600');
    fake
      .stub('gpart', 'echo "665600 7720960 5 freebsd-zfs [bootme] "')
      .stub('kldload')
      .stub('zpool', '[ "$1" != get ] || echo clawdie/ROOT/newer');
    const result = run();
    // The boot environment that boots, which need not be the one that was installed.
    expect(acts(result)[0]).toBe('kenv vfs.root.mountfrom=zfs:clawdie/ROOT/newer');
    expect(result.calls.filter((call) => /^(?:zpool|mount -t zfs)/.test(call))).toEqual([
      `zpool import -N -f -o readonly=on -R ${fake.root}/mnt clawdie`,
      'zpool get -H -o value bootfs clawdie',
      `mount -t zfs -o ro clawdie/ROOT/newer ${fake.root}/mnt`,
      'zpool export clawdie',
    ]);
  });

  it('does not go on from an instance of another release: says so, and boots from memory', () => {
    disks('vtbd0 installed 600');
    fake.file('mnt/etc/clawdie/release', '14.3-RELEASE-amd64\n');
    const result = run();
    expect(result.code).toBe(0);
    expect(acts(result)).toEqual([]);
    expect(result.stderr).toContain(
      `vtbd0 holds an installed instance (14.3-RELEASE-amd64); this medium is ${RELEASE}`,
    );
  });

  it('finishes an installation that was cut off at its end', () => {
    disks('vtbd0 unfinished 600');
    expect(acts(run())).toEqual(['clawdie-install --finish vtbd0', 'reboot ']);
    disks('vtbd0 unfinished 600', 'case $1 in --finish) exit 1 ;; esac');
    const result = run();
    expect(result.code).toBe(1);
    expect(result.stderr).toContain('vtbd0 cannot be finished');
    expect(acts(result)).toEqual(['clawdie-install --finish vtbd0']);
  });

  describe('where it is to ask', () => {
    beforeEach(() =>
      fake.configure({ INSTALL: 'ask', INSTALL_DISK: 'auto', INSTALL_FS: 'ufs', INSTALL_WIPE: 'no' }),
    );

    it('boots from memory where nobody answers', () => {
      const result = run();
      expect(result.code).toBe(0);
      expect(result.stdout).toContain('Press Enter within 60 seconds');
      expect(acts(result)).toEqual([]);
    });

    it('offers the disks, says what they carry, and installs on the one that is chosen', () => {
      fake.stub('bsddialog', 'case "$*" in *--menu*) echo vtbd0 >&2 ;; *) cat > /dev/null ;; esac');
      disks('vtbd0 used 600', '[ "$1" != --disk ] || : > "$CLAWDIE_TEST_ROOT/done"');
      const result = run({}, '\n');
      expect(result.code).toBe(0);
      const calls = acts(result);
      expect(calls[0]).toMatch(/^bsddialog .*--menu .* vtbd0 600 MB, CARRIES DATA that will be lost$/);
      expect(calls).toContain('clawdie-install --disk vtbd0 --fs ufs --layout auto --wipe --yes --gauge');
      expect(calls.at(-1)).toBe('reboot ');
    });

    it('does nothing where the dialog is left', () => {
      fake.stub('bsddialog', 'exit 1');
      const result = run({}, '\n');
      expect(result.code).toBe(0);
      expect(acts(result)).toHaveLength(1);
    });

    it('says why where it fails, and boots from memory', () => {
      fake.stub('bsddialog', 'case "$*" in *--menu*) echo vtbd0 >&2 ;; *) cat > /dev/null ;; esac');
      disks('vtbd0 blank 600', 'case $1 in --disk) echo "it is on fire" >&2; exit 1 ;; esac');
      const result = run({}, '\n');
      expect(result.code).toBe(1);
      expect(result.stderr).toContain('it is on fire');
      expect(acts(result)).not.toContain('reboot ');
    });
  });
});
