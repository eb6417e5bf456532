import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { INIT, installedInstance, RELEASE } from './instance.js';
import { plant, remember, rootTree, UPDATING } from './pool.js';
import type { FakeRoot, ScriptResult } from './shell.js';

const TRIAL = 'overlays/base/sbin/clawdie-trial';

/** gpart(8) of one disk: a table of lines "index label attribute,attribute". */
const GPART = `
table="$CLAWDIE_TEST_ROOT/../disk/.table"
case $1 in
show)
	echo "=>      40  16777136  vtbd0  GPT  (8.0G)"
	while read -r index label attributes; do
		echo "  100 200 $index $label \${attributes:+[$attributes]} (2.0G)"
	done < "$table"
	;;
set | unset)
	awk -v how="$1" -v what="$3" -v index_="$5" '
	$1 != index_ { print; next }
	{
		all = $3
		gsub(what, "", all)
		if (how == "set") all = all "," what
		if (how == "set" && what == "bootonce") { gsub("bootme", "", all); all = all ",bootme" }
		gsub(/,+/, ",", all); sub(/^,/, "", all); sub(/,$/, "", all)
		print $1, $2, all
	}' "$table" > "$table.new" && mv "$table.new" "$table"
	;;
*) exit 99 ;;
esac`;

/** What is mounted is a link to it; which root runs is where the tests run, and /data is a folder of it. */
const MOUNT = `
disk="$CLAWDIE_TEST_ROOT/../disk"
label() { [ "$1" = a ] && echo clawdie-root || echo clawdie-root-b; }
name() { case $1 in */clawdie-root) echo a ;; */clawdie-root-b) echo b ;; *) exit 1 ;; esac; }
case "$1" in
-p)
	echo "/dev/gpt/$(label "$(cat "$disk/.running")") / ufs rw 1 1"
	[ ! -e "$disk/.mounted" ] || echo "/dev/gpt/clawdie-data /data ufs rw 2 2"
	;;
-o)
	case "$3" in
	*md9) rmdir "$4" && ln -s "$disk/../md" "$4" ;;
	*/clawdie-data) [ ! -e "$disk/.mounted" ] && : > "$disk/.mounted" ;;
	esac
	;;
-u) ;;
*) [ "$(name "$1")" != "$(cat "$disk/.running")" ] && rmdir "$2" && ln -s "$disk/$(name "$1")" "$2" ;;
esac`;

const UMOUNT = `
case $1 in
*/data) rm "$CLAWDIE_TEST_ROOT/../disk/.mounted" ;;
*) ${UPDATING.umount ?? ''} ;;
esac`;

const NEWFS = `
disk="$CLAWDIE_TEST_ROOT/../disk"
case $5 in */clawdie-root) name=a ;; */clawdie-root-b) name=b ;; *) exit 1 ;; esac
[ "$name" != "$(cat "$disk/.running")" ] && rm -rf "$disk/$name" && mkdir "$disk/$name"`;

/** An instance that was installed with two roots. What FreeBSD's tar(1) is, is bsdtar here. */
export class RootsInstance {
  private constructor(readonly fake: FakeRoot) {}

  /** Installed, with the root of a release alone; it has not booted. */
  static async make(version: string): Promise<RootsInstance> {
    const fake = (await installedInstance())
      .stub('gpart', GPART)
      .stub('mount', MOUNT)
      .stub('newfs', NEWFS)
      .stub('diskinfo', 'echo "$1 512 2147483648 4194304"')
      .stub('df', 'echo head; echo "/dev/gpt/x 4000000 100000 3900000 3% /"')
      // What is mounted in a root is another file system.
      .stub(
        'tar',
        `case "$*" in *--format*) set -- --exclude './data/*' --exclude './.run' "$@" ;; esac\nexec bsdtar "$@"`,
      )
      .stub(
        'find',
        `[ "$1 $2" != ". -xdev" ] || { shift 2; set -- . -xdev \\( -path './data/*' -o -path ./.run \\) -prune -o "$@"; }\nexec /usr/bin/find "$@"`,
      )
      .withTurns();
    for (const [name, body] of Object.entries(UPDATING)) fake.stub(name, body);
    fake.stub('umount', UMOUNT);
    const instance = new RootsInstance(fake);
    rmSync(join(fake.root, 'etc/clawdie'), { recursive: true });
    for (const name of ['a', 'b']) mkdirSync(join(instance.disk, name), { recursive: true });
    plant(fake.root, rootsTree(version));
    writeFileSync(
      join(instance.disk, '.table'),
      '1 clawdie-boot\n4 clawdie-swap\n5 clawdie-root bootme\n6 clawdie-root-b\n7 clawdie-data\n',
    );
    writeFileSync(join(instance.disk, '.running'), 'a');
    fake.run('overlays/base/sbin/clawdie-environment', ['mark', fake.root]);
    for (const name of ['clawdie-root', 'clawdie-root-b', 'clawdie-data']) fake.file(`dev/gpt/${name}`, '');
    plant(fake.root, {
      'etc/clawdie/installed': `installed ${RELEASE}\n`,
      'boot/loader.conf.local': 'vfs.root.mountfrom="ufs:/dev/gpt/clawdie-root"\n',
      'boot/kernel/kernel': 'a kernel',
      'data/home/igor/own': 'of igor',
      'etc/fstab':
        '# Device\n/dev/gpt/clawdie-root\t/\tufs\trw\t1\t1\n/dev/gpt/clawdie-data\t/data\tufs\trw\t2\t2\n/data/home\t/home\tnullfs\trw\t0\t0\n',
    });
    return instance;
  }

  get disk(): string {
    return join(this.fake.root, '../disk');
  }

  get running(): string {
    return readFileSync(join(this.disk, '.running'), 'utf8').trim();
  }

  /** Attributes of the two roots. */
  get attributes(): Readonly<Record<'a' | 'b', readonly string[]>> {
    const of = (label: string): readonly string[] =>
      (new RegExp(` ${label} (.*)$`, 'm').exec(readFileSync(join(this.disk, '.table'), 'utf8'))?.[1] ?? '')
        .split(',')
        .filter((each) => each !== '')
        .sort();
    return { a: of('clawdie-root'), b: of('clawdie-root-b') };
  }

  private setAttributes(all: Readonly<Record<'a' | 'b', readonly string[]>>): void {
    const path = join(this.disk, '.table');
    const text = readFileSync(path, 'utf8')
      .replace(/ clawdie-root( .*)?$/m, ` clawdie-root ${all.a.join(',')}`)
      .replace(/ clawdie-root-b( .*)?$/m, ` clawdie-root-b ${all.b.join(',')}`);
    writeFileSync(path, text.replace(/ +$/gm, ''));
  }

  /** gptboot(8), as stand/libsa/gpt.c of FreeBSD's source has it; the tree of the root that it takes becomes the root. */
  load(): string {
    const now = this.running;
    const all = { ...this.attributes };
    for (const name of ['a', 'b'] as const) if (all[name].join() === 'bootonce') all[name] = ['bootfailed'];
    const has = (name: 'a' | 'b', attribute: string): boolean => all[name].includes(attribute);
    const once = (['a', 'b'] as const).find((name) => has(name, 'bootme') && has(name, 'bootonce'));
    if (once) all[once] = all[once].filter((each) => each !== 'bootme');
    const next =
      once ?? (['a', 'b'] as const).find((name) => has(name, 'bootme') && !has(name, 'bootonce')) ?? 'a';
    this.setAttributes(all);
    if (next !== now) {
      const move = (from: string, to: string): void => {
        for (const name of readdirSync(from))
          if (!['dev', '.run', 'data'].includes(name)) renameSync(join(from, name), join(to, name));
      };
      rmSync(join(this.disk, now), { recursive: true });
      mkdirSync(join(this.disk, now));
      move(this.fake.root, join(this.disk, now));
      move(join(this.disk, next), this.fake.root);
      writeFileSync(join(this.disk, '.running'), next);
    }
    return next;
  }

  /** A boot that stops behind clawdie-init: no file system but the root was mounted. */
  init(): ScriptResult {
    this.load();
    rmSync(join(this.disk, '.mounted'), { force: true });
    return this.fake.run(INIT);
  }

  /** A boot, as far as clawdie-init, rc.d/clawdie_trial and rc.d/gptboot go. */
  boot(): ScriptResult {
    const result = this.init();
    if (result.code !== 0) return result;
    writeFileSync(join(this.disk, '.mounted'), '');
    const started = this.fake.run(TRIAL, ['start']);
    const { a, b } = this.attributes;
    const booted = (each: readonly string[]): readonly string[] =>
      each.filter((one) => one !== 'bootfailed' && (one !== 'bootonce' || each.includes('bootme')));
    this.setAttributes({ a: booted(a), b: booted(b) });
    return { ...result, stdout: result.stdout + started.stdout, calls: [...result.calls, ...started.calls] };
  }

  /** Remembers all of it; what it returns brings it back. */
  snapshot(): () => void {
    return remember(this.fake, ['root', 'disk', 'md']);
  }
}

/** Files of the root of a release for an instance with two roots. */
export const rootsTree = (version: string): Readonly<Record<string, string>> =>
  rootTree(version, { 'boot/loader.efi': version });
