import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { cutAtEach } from '../helpers/power.js';
import { FakeRoot } from '../helpers/shell.js';
import type { ScriptResult } from '../helpers/shell.js';
import { baseFiles } from '../helpers/instance.js';
import { remember } from '../helpers/pool.js';

const BOOTCODE = 'overlays/base/sbin/clawdie-bootcode';
const BOOT_TYPE = '83bd6b9d-7f41-11dc-be0b-001560b84f0f';
const COPIES = ['clawdie-boot', 'clawdie-boot-b', 'clawdie-efi', 'clawdie-efi-b'];

/** gpart(8): the table is a file with a line for each partition; boot code is written to devices, which are files. */
const GPART = `
disk="$CLAWDIE_TEST_ROOT/../disk"
last() { for last_; do :; done; echo "$last_"; }
case $1 in
show)
	echo "=>  40 4194224 vtbd0 GPT (2.0G)"
	if [ "$2" = -l ]; then awk '{ print "  40 1024", $1, $2, "(1M)" }' "$disk/table"; else awk '{ print "  40 1024", $1, $3, "(1M)" }' "$disk/table"; fi
	;;
modify)
	type=$3
	[ "$type" != freebsd-boot ] || type=${BOOT_TYPE}
	awk -v "index_=$5" -v "type=\${type#!}" '$1 == index_ { $3 = type } { print }' "$disk/table" > "$disk/table.n"
	command mv "$disk/table.n" "$disk/table"
	;;
bootcode)
	[ ! -e "$disk/broken" ] || exit 1
	if [ "$2" = -b ]; then
		dd if="$3" of="$CLAWDIE_TEST_ROOT/dev/vtbd0" bs=440 count=1 conv=notrunc 2> /dev/null
	else
		label=$(awk -v "index_=$5" '$1 == index_ { print $2 }' "$disk/table")
		# A write that a power cut ends is half one.
		head -c 3000 "$3" > "$disk/half"
		dd if="$disk/half" of="$CLAWDIE_TEST_ROOT/dev/gpt/$label" conv=notrunc 2> /dev/null
		dd=dd
		[ ! -e "$disk/cutting" ] || dd=$disk/../cut/dd
		"$dd" if="$3" of="$CLAWDIE_TEST_ROOT/dev/gpt/$label" conv=notrunc 2> /dev/null
	fi
	;;
esac`;

/** mount(8) of an EFI partition: its files lie in a folder beside the root, and are seen where it is mounted. */
const MOUNT = `
case "$*" in
-p) echo "/dev/gpt/clawdie-root / ufs rw 1 1" ;;
*) for at; do [ "$at" = "\${at#*/dev/gpt/}" ] || device=$at; done; rmdir "$at" && ln -s "$CLAWDIE_TEST_ROOT/../disk/\${device##*/}" "$at" ;;
esac`;
const UMOUNT = `for at; do :; done; [ -L "$at" ] && command rm "$at" && command mkdir "$at"`;

/** fsync(1): the disk empties its cache, so that it has what is there now. */
const FSYNC = `
flushed="$CLAWDIE_TEST_ROOT/../flushed"
rm -rf "$flushed"
command mkdir "$flushed"
command cp -R "$CLAWDIE_TEST_ROOT/../disk" "$CLAWDIE_TEST_ROOT/dev" "$flushed/"`;

const of = (what: string, version: string): string => `${what} of ${version} `.repeat(250);

describe('clawdie-bootcode', () => {
  let fake: FakeRoot;
  const disk = (): string => join(fake.root, '../disk');
  const run = (...args: readonly string[]): ScriptResult => fake.run(BOOTCODE, args);
  const table = (): readonly (readonly string[])[] =>
    readFileSync(join(disk(), 'table'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => line.split(' '));
  const write = (lines: readonly string[]): void => {
    writeFileSync(join(disk(), 'table'), lines.map((line) => `${line}\n`).join(''));
  };
  const usual = [
    `1 clawdie-boot ${BOOT_TYPE}`,
    `2 clawdie-boot-b ${BOOT_TYPE}`,
    '3 clawdie-efi c12a7328-f81f-11d2-ba4b-00a0c93ec93b',
    '4 clawdie-efi-b c12a7328-f81f-11d2-ba4b-00a0c93ec93b',
    '7 clawdie-root 516e7cb6-6ecf-11d6-8ff8-00022d09712b',
    '8 clawdie-root-b 516e7cb6-6ecf-11d6-8ff8-00022d09712b',
  ];
  const loader = (label: string): string | undefined => {
    const path = join(disk(), label, 'EFI/BOOT/BOOTX64.EFI');
    return existsSync(path) ? readFileSync(path, 'utf8') : undefined;
  };
  /** What pmbr starts: of the first partition of boot code; its release, if it is whole. */
  const bios = (
    lines = table(),
    codeOf = (label: string): string => fake.read(`dev/gpt/${label}`),
  ): string | undefined => {
    const [, label = ''] = lines.find(([, , type]) => type === BOOT_TYPE) ?? [];
    const code = codeOf(label);
    return ['old', 'new'].find((version) => code.startsWith(of('gptboot', version)));
  };
  /** What firmware starts: the first loader that there is, whole or not. */
  const uefi = (loaders = COPIES.slice(2).map(loader)): string | undefined => {
    const found = loaders.find((text) => text !== undefined);
    return ['old', 'new'].find((version) => found === of('gptboot.efi', version));
  };
  /** Files of the loader's folder of an EFI partition, by their names, below a copy of the disk. */
  const names = (at: string, label: string): ReadonlyMap<string, string> => {
    const folder = join(at, label, 'EFI/BOOT');
    return new Map(readdirSync(folder).map((name) => [name, readFileSync(join(folder, name), 'utf8')]));
  };
  /**
   * What a disk with a cache may start after a power cut, under BIOS and under UEFI: each place has what was written last, or
   * what was there when the cache was emptied last, or half; folder and table of a FAT are two places.
   */
  const starts = (): readonly (string | undefined)[] => {
    const flushed = join(fake.root, '../flushed');
    const places = (path: string, flushedPath: string): readonly string[] => {
      const [now, then] = [path, flushedPath].map((each) => readFileSync(each, 'latin1')) as [string, string];
      return now === then ? [now] : [now, then, now.slice(0, 3000) + then.slice(3000)];
    };
    const tables = [disk(), join(flushed, 'disk')].map((at) =>
      readFileSync(join(at, 'table'), 'utf8')
        .trim()
        .split('\n')
        .map((line) => line.split(' ')),
    );
    const codes = COPIES.slice(0, 2).map((label) =>
      places(join(fake.root, 'dev/gpt', label), join(flushed, 'dev/gpt', label)),
    );
    const found = tables.flatMap((lines) =>
      (codes[0] ?? []).flatMap((a) =>
        (codes[1] ?? []).map((b) => bios(lines, (label) => (label === 'clawdie-boot' ? a : b))),
      ),
    );
    const loaders = COPIES.slice(2).map((label) => {
      const [now, then] = [disk(), join(flushed, 'disk')].map((at) => names(at, label)) as [
        ReadonlyMap<string, string>,
        ReadonlyMap<string, string>,
      ];
      const named = (folder: typeof now, files: typeof now): string | undefined => {
        const text = folder.get('BOOTX64.EFI');
        return text === undefined || [...files.values()].includes(text) ? text : 'half';
      };
      return [named(now, now), named(then, then), named(now, then), named(then, now)];
    });
    return [...found, ...(loaders[0] ?? []).flatMap((a) => (loaders[1] ?? []).map((b) => uefi([a, b])))];
  };
  const whole = (version: string): unknown => ({
    table: usual.map((line) => line.split(' ')),
    codes: COPIES.slice(0, 2).map((label) => [label, version]),
    loaders: [of('gptboot.efi', version), of('gptboot.efi', version)],
    first: of('pmbr', version).slice(0, 440),
    mark: false,
  });
  const found = (): unknown => ({
    table: table(),
    codes: COPIES.slice(0, 2).map((label) => [
      label,
      ['old', 'new'].find((version) => fake.read(`dev/gpt/${label}`).startsWith(of('gptboot', version))),
    ]),
    loaders: COPIES.slice(2).map(loader),
    first: fake.read('dev/vtbd0').slice(0, 440),
    mark: fake.has('var/db/clawdie/bootcode'),
  });

  beforeEach(async () => {
    fake = (await FakeRoot.make())
      .stub('gpart', GPART)
      .stub('mount', MOUNT)
      .stub('umount', UMOUNT)
      .stub('fsck_msdosfs')
      .stub('fsync', FSYNC)
      .stub('sysctl', 'echo 1')
      .files(baseFiles('libexec/clawdie/disk-cache.sh'))
      .files({
        'sbin/clawdie-environment': '#!/bin/sh\necho ab\n',
        'sbin/clawdie-trial': '#!/bin/sh\nexit 1\n',
      })
      .file('dev/vtbd0', of('pmbr', 'old').padEnd(8192, '\0'))
      .file('var/db/clawdie/x', '')
      .file('var/run/x', '');
    for (const name of ['pmbr', 'gptboot', 'gptboot.efi']) fake.file(`boot/${name}`, of(name, 'new'));
    for (const label of COPIES.slice(0, 2))
      fake.file(`dev/gpt/${label}`, of('gptboot', 'old').padEnd(65536, '\0'));
    for (const label of COPIES.slice(2)) {
      mkdirSync(join(disk(), label, 'EFI/BOOT'), { recursive: true });
      writeFileSync(join(disk(), label, 'EFI/BOOT/BOOTX64.EFI'), of('gptboot.efi', 'old'));
      fake.file(`dev/gpt/${label}`, '');
    }
    write(usual);
    for (const [from, to] of [
      [disk(), 'disk'],
      [join(fake.root, 'dev'), 'dev'],
    ] as const)
      cpSync(from, join(fake.root, '../flushed', to), { recursive: true });
  });

  it('makes both copies those of the root, and says so', () => {
    expect(run('status')).toMatchObject({
      code: 1,
      stdout: 'The boot code is another one than that of this root.\n',
    });
    expect(found()).toEqual(whole('old'));
    expect(run('update')).toMatchObject({
      code: 0,
      stderr: '',
      stdout: 'The boot code is now that of this root.\n',
    });
    expect(found()).toEqual(whole('new'));
    expect(run('status')).toMatchObject({ code: 0, stdout: 'The boot code is that of this root.\n' });
    const again = run('update');
    expect(again.stdout).toBe('The boot code is that of this root already.\n');
    expect(again.calls.filter((call) => /^gpart (?:modify|bootcode)/.test(call))).toEqual([]);
  });

  it('has something whole to start at each moment of a power cut, and goes on at the next start', () => {
    const seen = new Set<string>();
    const moments = cutAtEach(
      { fake, snapshot: () => remember(fake, ['root', 'disk']) },
      ['gpart', 'dd', 'head'],
      1,
      () => {
        writeFileSync(join(disk(), 'cutting'), '');
        return run('update');
      },
      (n) => {
        rmSync(join(disk(), 'cutting'));
        const starts = [bios(), uefi()];
        expect([n, ...starts.map((each) => each !== undefined)]).toEqual([n, true, true]);
        seen.add(starts.join());
        // A boot unmounts what was mounted, and takes away what is in /var/run.
        rmSync(join(fake.root, 'var/run'), { recursive: true });
        mkdirSync(join(fake.root, 'var/run'));
        const resumed = run('resume');
        expect([n, resumed.code, resumed.stderr]).toEqual([n, 0, '']);
        // Before the mark nothing was begun.
        expect([n, found()]).toEqual([
          n,
          whole(starts.join() === 'old,old' && resumed.stdout === '' ? 'old' : 'new'),
        ]);
      },
    );
    expect(moments).toBeGreaterThan(30);
    expect([...seen].sort()).toEqual(['new,new', 'new,old', 'old,old']);
  }, 600_000);

  it('has something whole to start whatever of it a cache of the disk loses', () => {
    const seen = new Set<string>();
    cutAtEach(
      { fake, snapshot: () => remember(fake, ['root', 'disk', 'flushed']) },
      ['gpart', 'dd', 'head'],
      1,
      () => {
        writeFileSync(join(disk(), 'cutting'), '');
        return run('update');
      },
      (n) => {
        const all = starts();
        expect([n, all.filter((each) => each === undefined)]).toEqual([n, []]);
        for (const each of all) seen.add(each ?? '');
      },
    );
    expect([...seen].sort()).toEqual(['new', 'old']);
  }, 600_000);

  it('has a virtio disk write through while both copies of the table change, and do as before behind it', () => {
    const calls = run('update').calls.filter((call) => /^(?:sysctl|gpart modify)/.test(call));
    const mode = 'dev.vtblk.0.writecache_mode';
    const change: readonly unknown[] = [
      `sysctl -n ${mode}`,
      `sysctl -q ${mode}=0`,
      expect.stringMatching(/^gpart modify .* vtbd0$/),
      `sysctl -q ${mode}=1`,
    ];
    expect(calls).toEqual([...change, ...change]);
  });

  it('is done at the next start where that was said', () => {
    expect(run('resume')).toMatchObject({ code: 0, stdout: '' });
    expect(found()).toEqual(whole('old'));
    expect(run('later').code).toBe(0);
    expect(run('resume').stdout).toBe('The boot code is now that of this root.\n');
    expect(found()).toEqual(whole('new'));
  });

  it('waits until what is on trial is confirmed', () => {
    fake.files({ 'sbin/clawdie-trial': '#!/bin/sh\n[ "$1" = waits ]\n' });
    run('later');
    expect(run('resume')).toMatchObject({ code: 0, stdout: '', stderr: '' });
    const refused = run('update');
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain('a change is on trial');
    expect(found()).toEqual({ ...(whole('old') as object), mark: true });
  });

  it('leaves a disk with one copy alone, and says so', () => {
    write(usual.filter((line) => !/ clawdie-(?:boot|efi)-b /.test(line)));
    run('later');
    expect(run('resume')).toMatchObject({
      code: 0,
      stdout: 'The boot code stays as installed: this disk has one copy of it.\n',
    });
    expect(bios()).toBe('old');
    expect(fake.has('var/db/clawdie/bootcode')).toBe(false);
  });

  it('leaves that of one root alone, which no newer one comes to', () => {
    fake.files({ 'sbin/clawdie-environment': '#!/bin/sh\n' });
    expect(run('update')).toMatchObject({
      code: 0,
      stdout: 'The boot code stays as installed: there is one root.\n',
    });
    expect(bios()).toBe('old');
  });

  it.each([
    [
      'a copy that is there twice',
      () => [...usual, `9 clawdie-boot-b ${BOOT_TYPE}`],
      /clawdie-boot-b is not there once/,
    ],
    ['a root without boot code', () => usual, /this root has no \/boot\/gptboot;/],
  ])('refuses %s, and changes nothing', (_, lines, said) => {
    write(lines());
    if (lines().length === usual.length) fake.removeFile('boot/gptboot');
    const result = run('update');
    expect(result.code).toBe(1);
    expect(result.stderr).toMatch(said);
    expect(bios()).toBe('old');
    expect(uefi()).toBe('old');
  });

  it('says which copy starts where the disk does not take the other one, and tries again', () => {
    writeFileSync(join(disk(), 'broken'), '');
    const result = run('update');
    expect(result.code).toBe(1);
    expect(result.stderr).toContain(
      'the boot code on clawdie-boot-b cannot be written; the one on clawdie-boot is whole',
    );
    expect(bios()).toBe('old');
    rmSync(join(disk(), 'broken'));
    expect(run('resume').code).toBe(0);
    expect(found()).toEqual(whole('new'));
  });

  it('takes the boot code of pools where the root is one', () => {
    fake
      .files({ 'sbin/clawdie-environment': '#!/bin/sh\necho zfs\n' })
      .file('boot/gptzfsboot', of('gptzfsboot', 'new'))
      .file('boot/loader.efi', of('loader.efi', 'new'));
    expect(run('update').code).toBe(0);
    expect(fake.read('dev/gpt/clawdie-boot').startsWith(of('gptzfsboot', 'new'))).toBe(true);
    expect(loader('clawdie-efi')).toBe(of('loader.efi', 'new'));
  });
});
