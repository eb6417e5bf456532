import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { baseFiles } from '../helpers/instance.js';
import { remember } from '../helpers/pool.js';
import { cutAtEach } from '../helpers/power.js';
import { FakeRoot } from '../helpers/shell.js';
import type { ScriptResult } from '../helpers/shell.js';

const SCRIPT = 'overlays/base/etc/rc.d/clawdie_grow';
const SECTORS = 2048;
/** Where the root of a disk image begins, in megabytes. */
const ROOT = 262;

/**
 * gpart(8) of one disk: lines "index first sectors label", the last of which is behind all others. A partition that overlaps
 * another one, or lies beyond the end of the disk, is refused.
 */
const GPART = `
disk="$CLAWDIE_TEST_ROOT/../disk"
table="$disk/table"
size=$(cat "$disk/megabytes")
how=$1; index= first= size_= label= align=
shift
[ "$how" != show ] || set --
while [ $# -gt 1 ]; do
	case $1 in
	-a) align=$2 ;;
	-i) index=$2 ;;
	-b) first=\${2%m} ;;
	-s) size_=\${2%m} ;;
	-l) label=$2 ;;
	esac
	shift 2
done
# What it was told of is then no more than a wish (gpart_autofill in geom_part.c).
[ -z "$align" ] || [ -z "$size_" ] || exit 98
end() { awk -v at="$1" -v end="$size" '$2 / 2048 >= at && $2 / 2048 < end { end = $2 / 2048 } END { print end }' "$table"; }
case $how in
show)
	echo "=>      40  $((size * 2048 - 80))  vtbd0  GPT  (10G)"
	sort -n -k 2 "$table" | awk -v "disk=$((size * 2048))" '
	{ if (last && $2 > last) print "  " last, $2 - last, "- free - (1G)"; print "  " $2, $3, $1, $4, ($4 == "clawdie-root" ? "[bootme]" : ""), "(1G)"; last = $2 + $3 }
	END { if (disk > last) print "  " last, disk - last, "- free - (1G)" }'
	;;
add)
	to=$((first + \${size_:-$(($(end "$first") - first))}))
	awk -v first="$first" -v to="$to" -v index_="$index" -v label="$label" '
	$1 == index_ || $4 == label || ($2 / 2048 < to && first < ($2 + $3) / 2048) { exit 1 }' "$table" || exit 1
	[ "$to" -le "$size" ] || exit 1
	echo "$index $((first * 2048)) $(((to - first) * 2048)) $label" >> "$table"
	: > "$CLAWDIE_TEST_ROOT/dev/gpt/$label"
	;;
resize)
	first=$(awk -v index_="$index" '$1 == index_ { print $2 / 2048 }' "$table")
	size_=\${size_:-$(($(end $((first + 1))) - first))}
	[ $((first + size_)) -le "$(end $((first + 1)))" ] || exit 1
	awk -v index_="$index" -v to="$((size_ * 2048))" '$1 == index_ { $3 = to } { print }' "$table" > "$table.n"
	/bin/mv "$table.n" "$table"
	;;
modify)
	old=$(awk -v index_="$index" '$1 == index_ { print $4 }' "$table")
	awk -v index_="$index" -v to="$label" '$1 == index_ { $4 = to } { print }' "$table" > "$table.n"
	/bin/mv "$table.n" "$table"
	/bin/mv "$CLAWDIE_TEST_ROOT/dev/gpt/$old" "$CLAWDIE_TEST_ROOT/dev/gpt/$label"
	;;
*) exit 99 ;;
esac`;

/** What is mounted on /mnt is a link to it; whether the root can be written to is a file. */
const MOUNT = `
disk="$CLAWDIE_TEST_ROOT/../disk"
case "$1 $2 $3" in
"-p  ") echo "/dev/gpt/clawdie-root / ufs $(cat "$disk/mode") 1 1" ;;
"-u -w "* | "-u -o "*) mode=\${3#/}; echo "\${mode:-rw}" > "$disk/mode" ;;
*) [ -e "$1" ] && rmdir "$2" && ln -s "$disk/data" "$2" ;;
esac`;

/** Grows to what the partition has; half done (the file is there) it is to be looked at before it is done again. */
const GROWFS = `
disk="$CLAWDIE_TEST_ROOT/../disk"
[ ! -e "$disk/half" ] || { echo "counts what it has counted" >&2; exit 1; }
[ ! -e "$disk/cut" ] || { rm "$disk/cut"; : > "$disk/half"; kill -9 0; }
awk '$4 == "clawdie-root" { print $3 / 2048 }' "$disk/table" > "$disk/grown"`;

describe('the first boot of a disk image', () => {
  let fake: FakeRoot;
  const disk = (name: string): string => join(fake.root, '../disk', name);
  const table = (): readonly string[] =>
    readFileSync(disk('table'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => line.split(' '))
      .sort((a, b) => Number(a[1]) - Number(b[1]))
      .map(([index, first, size, label]) =>
        [index, Number(first) / SECTORS, Number(size) / SECTORS, label].join(' '),
      )
      .slice(-3);
  const mounts = (): readonly string[] =>
    fake
      .read('etc/fstab')
      .trim()
      .split('\n')
      .map((line) => line.split(/\s+/).slice(0, 3).join(' '));
  /** A disk of so many megabytes with an image of 2 GiB on it. */
  const put = (megabytes: number): void => {
    writeFileSync(disk('megabytes'), String(megabytes));
    writeFileSync(
      disk('table'),
      [
        '1 40 1024 clawdie-boot',
        '2 1064 1024 clawdie-boot-b',
        '3 4096 131072 clawdie-efi',
        '4 135168 131072 clawdie-efi-b',
        '5 266240 8192 clawdie-slot',
        '6 274432 262144 clawdie-swap',
        `7 ${ROOT * SECTORS} ${1785 * SECTORS} clawdie-root`,
      ].join('\n') + '\n',
    );
  };
  /** What comes before this script on an instance: the loader, and rc.d/fsck, which stops where a device is not there. */
  const boot = (): ScriptResult => {
    writeFileSync(disk('mode'), 'ro');
    if (existsSync(join(fake.root, 'mnt'))) rmSync(join(fake.root, 'mnt'), { recursive: true });
    mkdirSync(join(fake.root, 'mnt'));
    for (const device of mounts().map((line) => line.split(' ')[0] ?? ''))
      if (device.startsWith('/dev/gpt/')) expect([device, fake.has(device.slice(1))]).toEqual([device, true]);
    return fake.run(SCRIPT, ['start'], { clawdie_grow_at: fake.root });
  };
  const changes = (result: ScriptResult): readonly string[] =>
    result.calls.filter((call) => /^(?:growfs|newfs|gpart (?!show))/.test(call));

  beforeEach(async () => {
    fake = (await FakeRoot.make())
      .withRcSubr()
      .files(baseFiles('libexec/clawdie/layout-ab.sh'))
      .configure({ INSTALL_LAYOUT: 'auto' })
      .file('etc/clawdie/installed', 'installed\n')
      .file('etc/clawdie/image', '')
      .file(
        'etc/fstab',
        '# Device\n/dev/gpt/clawdie-root\t/\t\tufs\trw\t1\t1\n/dev/gpt/clawdie-swap\tnone\t\tswap\tsw\t0\t0\n',
      )
      .file('home/igor/own', 'of the overlay', 0o600)
      .file('var/log/messages', 'a log', 0o640)
      .stub('gpart', GPART)
      .stub('mount', MOUNT)
      .stub('umount', '[ -L "$1" ] && rm "$1" && mkdir "$1"')
      .stub('newfs', 'rm -rf "$CLAWDIE_TEST_ROOT/../disk/data" && mkdir "$CLAWDIE_TEST_ROOT/../disk/data"')
      .stub('growfs', GROWFS)
      .stub('fsck', '[ "$*" = "-fy /" ] && rm -f "$CLAWDIE_TEST_ROOT/../disk/half"')
      .stub('fsync')
      .stub('kldload')
      .stub(
        'diskinfo',
        'echo "$1 512 $(($(cat "$CLAWDIE_TEST_ROOT/../disk/megabytes") * 1048576)) 20971520"',
      );
    for (const name of ['root', 'swap']) fake.file(`dev/gpt/clawdie-${name}`, '');
    mkdirSync(disk(''));
    put(10_240);
  });

  const TWO = ['7 262 2560 clawdie-root', '8 2822 2560 clawdie-root-b', '9 5382 4858 clawdie-data'];
  const DATA = [
    '/dev/gpt/clawdie-root / ufs',
    '/dev/gpt/clawdie-data /data ufs',
    '/data/home /home nullfs',
    '/data/log /var/log nullfs',
    '/data/jails /usr/local/bastille/jails nullfs',
    '/data/backups /usr/local/bastille/backups nullfs',
    '/data/jaildisks /var/db/clawdie/jaildisks nullfs',
    '/dev/gpt/clawdie-swap none swap',
  ];

  /** What an instance with two roots is, with all that was in its one root. */
  const expectTwo = (what: unknown): void => {
    const read = (path: string): string => readFileSync(disk(`data/${path}`), 'utf8');
    expect([what, table(), mounts().slice(1)]).toEqual([what, TWO, DATA]);
    expect([what, read('home/igor/own'), read('log/messages')]).toEqual([what, 'of the overlay', 'a log']);
    expect([what, readFileSync(disk('grown'), 'utf8').trim(), fake.has('etc/clawdie/image')]).toEqual([
      what,
      '2560',
      false,
    ]);
    for (const [, point] of mounts()
      .map((line) => line.split(' '))
      .filter(([, each]) => each?.startsWith('/')))
      expect([what, point, existsSync(join(fake.root, point ?? ''))]).toEqual([what, point, true]);
    // As rc.d/root expects it.
    expect([what, readFileSync(disk('mode'), 'utf8').trim()]).toEqual([what, 'ro']);
  };

  it('makes two roots and the data, as the installer does, where the disk has the room', () => {
    const result = boot();
    expect(result).toMatchObject({ code: 0, stderr: '' });
    expect(result.stdout).toBe(
      'The disk vtbd0 has the room: it gets two roots of 2560 MB and a partition of data.\n',
    );
    expectTwo('first');
    // And is grown as any other from then on.
    expect(changes(boot())).toEqual([]);
    writeFileSync(disk('megabytes'), '20480');
    expect(changes(boot())).toEqual(['gpart resize -i 9 vtbd0', 'growfs -y /dev/gpt/clawdie-data']);
  });

  it.each<[string, number, string, number]>([
    ['the disk has less than 8 GiB', 8191, 'auto', 8191 - ROOT],
    ['one is asked for', 10_240, 'single', 10_240 - ROOT],
    ['two are asked for, and have no room', 4096, 'ab', 4096 - ROOT],
    ['it has no room at all', 2047, 'auto', 1785],
  ])('leaves it at one root where %s', (_, megabytes, layout, root) => {
    put(megabytes);
    fake.configure({ INSTALL_LAYOUT: layout });
    const result = boot();
    expect(result).toMatchObject({ code: 0, stderr: '' });
    expect(result.stdout.includes(`One root: vtbd0 has no room for two (${megabytes} MB).`)).toBe(
      layout !== 'single',
    );
    expect(table().at(-1)).toBe(`7 262 ${root} clawdie-root`);
    expect(mounts().join()).not.toContain('/data');
    // It was decided, however large the disk becomes.
    expect(fake.has('etc/clawdie/image')).toBe(false);
    writeFileSync(disk('megabytes'), '20480');
    boot();
    expect(table().at(-1)).toBe(`7 262 ${20_480 - ROOT} clawdie-root`);
  });

  it('makes no root smaller than that of the image, and two on less than 8 GiB where they are asked for', () => {
    put(6144);
    fake.configure({ INSTALL_LAYOUT: 'ab' });
    expect(boot()).toMatchObject({ code: 0, stderr: '' });
    expect(table()).toEqual([
      '7 262 1785 clawdie-root',
      '8 2047 1785 clawdie-root-b',
      '9 3832 2312 clawdie-data',
    ]);
  });

  it('leaves it at one where there is no nullfs', () => {
    fake.stub('kldload', 'exit 1');
    const result = boot();
    expect(result.stdout).toContain('One root: this system has no nullfs(5).');
    expect(table().at(-1)).toBe(`7 262 ${10_240 - ROOT} clawdie-root`);
  });

  it('after a power cut at any moment goes on with it, and boots each time', () => {
    cutAtEach(
      { fake, snapshot: () => remember(fake, ['root', 'disk']) },
      ['gpart', 'newfs', 'growfs', 'fsck', 'chmod', 'awk'],
      1,
      boot,
      (n) => {
        expect([n, boot()]).toMatchObject([n, { code: 0, stderr: '' }]);
        expectTwo(n);
      },
    );
  }, 300_000);

  it('after a power cut while the root grows looks at all of it first', () => {
    writeFileSync(disk('cut'), '');
    fake.through = ['setsid', '-w'];
    expect(boot().code).not.toBe(0);
    fake.through = [];
    const result = boot();
    expect(result).toMatchObject({ code: 0, stderr: '' });
    expect(result.stdout).toContain('Two roots of 2560 MB and a partition of data on vtbd0: going on');
    expectTwo('grown');
  });

  it('keeps to what it began with when the disk is enlarged in between', () => {
    fake.stub('newfs', 'exit 1');
    expect(boot().code).toBe(1);
    writeFileSync(disk('megabytes'), '40960');
    fake.configure({ INSTALL_LAYOUT: 'single' });
    fake.stub('newfs', 'mkdir "$CLAWDIE_TEST_ROOT/../disk/data"');
    expect(boot()).toMatchObject({ code: 0, stderr: '' });
    expectTwo('enlarged');
    boot();
    expect(table().at(-1)).toBe(`9 5382 ${40_960 - 5382} clawdie-data`);
  });

  it.each([
    ['gpart', `case $1 in add) exit 1 ;; esac\n${GPART}`],
    ['newfs', 'exit 1'],
    ['growfs', 'exit 1'],
    ['tar', 'case $1 in -cf) exit 1 ;; esac\ncat > /dev/null'],
    ['tar', 'case $1 in -xpf) cat > /dev/null; exit 1 ;; esac'],
  ])('goes on with one root where %s fails, says so, and tries again', (name, body) => {
    const before = existsSync(join(fake.bin, name)) && readFileSync(join(fake.bin, name), 'utf8');
    fake.stub(name, body);
    const result = boot();
    expect(result.code).toBe(1);
    expect(result.stderr).toContain(
      'the second root of vtbd0 cannot be made, see above and dmesg(8). This boot goes on with one; the next tries again.',
    );
    expect(mounts().join()).not.toContain('/data');
    if (before === false) fake.remove(name);
    else writeFileSync(join(fake.bin, name), before);
    expect(boot()).toMatchObject({ code: 0, stderr: '' });
    expectTwo(name);
  });
});
