import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { filledSlot, SLOT_SIZE } from '../../build/image/slot.js';
import { sha256 } from '../../build/host/hash.js';
import { FakeRoot } from '../helpers/shell.js';
import type { ScriptResult } from '../helpers/shell.js';

const TOOL = 'overlays/base/usr/local/sbin/clawdie-install';
const RELEASE = '15.1-RELEASE-amd64';
const MB = 1024 * 1024;

/** gpart(8) of a fake system: the table of a disk is a file of lines `first size index label attribute`. */
const GPART = `
table() { echo "$CLAWDIE_TEST_ROOT/tables/$1"; }
last() { for last_; do :; done; echo "$last_"; }
disk=$(last "$@")
case $1 in
show)
	[ -e "$(table "$disk")" ] || exit 1
	echo "=>      40  8388528  $disk  GPT  (4.0G)"
	if [ "$2" = -l ]; then awk '{ print "   ", $1, $2, $3, $4, ($5 == "bootme" ? "[bootme]" : ""), "(1M)" }' "$(table "$disk")"
	else awk '{ print "   ", $1, $2, $3, "type", ($5 == "bootme" ? "[bootme]" : ""), "(1M)" }' "$(table "$disk")"; fi
	;;
create) mkdir -p "$CLAWDIE_TEST_ROOT/tables"; : > "$(table "$disk")" ;;
destroy) rm "$(table "$disk")" ;;
add)
	label=
	while [ $# -gt 0 ]; do [ "$1" != -l ] || label=$2; shift; done
	echo "0 1 $(($(wc -l < "$(table "$disk")") + 1)) $label" >> "$(table "$disk")"
	mkdir -p "$CLAWDIE_TEST_ROOT/dev/gpt"; : > "$CLAWDIE_TEST_ROOT/dev/gpt/$label"
	;;
modify) sed "s/clawdie-new/clawdie-root/" "$(table "$disk")" > "$(table "$disk").n" && mv "$(table "$disk").n" "$(table "$disk")" ;;
set) sed "s/clawdie-root.*/clawdie-root bootme/" "$(table "$disk")" > "$(table "$disk").n" && mv "$(table "$disk").n" "$(table "$disk")" ;;
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
      .filter((call) => !/^(?:sysctl|diskinfo|id|df|gpart show)/.test(call));

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
      'newfs -U -j -L clawdiedisk /dev/gpt/clawdie-new',
      'newfs_msdos -F 32 -c 1 -L CLAWDIE /dev/gpt/clawdie-efi',
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

  const refused = (message: string | RegExp, ...args: readonly string[]): void => {
    const result = fake.run(TOOL, ['--yes', ...args]);
    expect(result.code).toBe(1);
    expect(result.stderr).toMatch(message);
    expect(steps(result)).toEqual([]);
  };

  it.each([
    ['at its beginning', 0],
    ['behind its first megabytes', 7 * MB],
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
    ['mount', 'exit 1', 'the new file system cannot be mounted'],
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
      const mounts = calls.filter((call) => /^mount/.test(call)).length;
      const failed = name === 'mount' ? 1 : 0;
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
      .stub('glabel', 'echo "gpt/clawdie-root N/A vtbd0p5"')
      .stub('gpart', `case $1 in show) ${table(4194304)} ;; esac`)
      .stub('growfs');
  });

  const changes = (result: ScriptResult): readonly string[] =>
    result.calls.filter((call) => /^(?:growfs|gpart (?!show))/.test(call));

  it('gives the room that the disk has gained to the root', () => {
    const result = fake.run(SCRIPT, ['start']);
    expect(result).toMatchObject({ code: 0, stderr: '' });
    expect(changes(result)).toEqual(['gpart resize -i 5 vtbd0', 'growfs -y /dev/gpt/clawdie-root']);
  });

  it('finds the second copy of the table again first', () => {
    fake.stub('gpart', `case $1 in show) ${table(4194304)}; echo CORRUPT ;; esac`);
    expect(changes(fake.run(SCRIPT, ['start']))[0]).toBe('gpart recover vtbd0');
  });

  it.each<[string, (fake: FakeRoot) => FakeRoot]>([
    ['there is no room', (each) => each.stub('gpart', `case $1 in show) ${table(2008)} ;; esac`)],
    ['the root is in use', (each) => each.stub('mount', 'echo "/dev/gpt/clawdie-root / ufs rw 1 1"')],
    ['nothing is installed', (each) => each.removeFile('etc/clawdie/installed')],
    ['the root is no partition of its own', (each) => each.stub('glabel')],
  ])('changes nothing where %s', (_, change) => {
    const result = change(fake).run(SCRIPT, ['start']);
    expect(result.code).toBe(0);
    expect(changes(result)).toEqual([]);
  });

  it('does not grow a file system whose partition could not be', () => {
    fake.stub('gpart', `case $1 in show) ${table(4194304)} ;; resize) exit 1 ;; esac`);
    expect(changes(fake.run(SCRIPT, ['start']))).toEqual(['gpart resize -i 5 vtbd0']);
  });
});
