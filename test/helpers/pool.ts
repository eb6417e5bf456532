import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { sha256 } from '../../build/host/hash.js';
import { sign } from '../../build/host/ssh-sign.js';
import { fillOf, rootHeader } from '../../build/image/root-file.js';
import type { RootFile } from '../../build/image/root-file.js';
import { headerText } from '../../build/image/slot.js';
import { IMAGE_NAMESPACE } from '../../build/overlay/signers.js';
import { baseFiles, INIT, installedInstance, RELEASE, TRIAL_FILES } from './instance.js';
import type { FakeRoot, ScriptResult } from './shell.js';
import type { KeyPair } from './signing.js';
import { tmp } from './tmp.js';

const TRIAL = 'overlays/base/sbin/clawdie-trial';

/** What `zfs diff -FH` prints of two trees: made and changed paths with their kinds, odd bytes as "\0ooo". */
const DIFF = `
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
const [a, b] = process.argv.slice(2);
const kind = (at) => at.isDirectory() ? '/' : at.isSymbolicLink() ? '@' : at.isFIFO() ? '|' : 'F';
const shown = (name) => [...Buffer.from(name)].map((c) => c > 32 && c < 127 && c !== 92 ? String.fromCharCode(c) : '\\\\' + c.toString(8).padStart(4, '0')).join('');
const same = (x, y, at) => at.isSymbolicLink() ? readlinkSync(x) === readlinkSync(y) : !at.isFile() || readFileSync(x).equals(readFileSync(y));
const stat = (path) => { try { return lstatSync(path); } catch { return undefined; } };
for (const name of readdirSync(b, { recursive: true })) {
  const [now, before] = [lstatSync(b + '/' + name), stat(a + '/' + name)];
  if (!before || kind(now) !== kind(before)) console.log(['+', kind(now), '/' + shown(name)].join('\\t'));
  else if (!same(a + '/' + name, b + '/' + name, now) || now.mode !== before.mode) console.log(['M', kind(now), '/' + shown(name)].join('\\t'));
}`;

/** zfs(8) of a pool in a folder: file systems and snapshots are folders in it, properties files beside them. */
const ZFS = `
pool="$CLAWDIE_TEST_ROOT/../pool"
at() { echo "$pool/$(echo "$1" | sed 's|^clawdie/ROOT/||; s|/|%|g')"; }
last() { for last_; do :; done; echo "$last_"; }
tree() { if [ "\${1#*@}" = "$1" ] && [ "$(cat "$pool/.running")" = "\${1#clawdie/ROOT/}" ]; then echo "$CLAWDIE_TEST_ROOT"; else at "$1"; fi; }
[ ! -e "$pool/.broken" ] || [ "$(cat "$pool/.broken")" != "$1" ] || exit 1
case $1 in
create) [ ! -e "$(at "$(last "$@")")" ] && mkdir "$(at "$(last "$@")")" && case "$*" in *" clawdie:made=yes "*) echo yes > "$(at "$(last "$@")").made" ;; esac ;;
snapshot) [ ! -e "$(at "$2")" ] && mkdir "$(at "$2").part" && (cd "$(tree "$2" | sed 's|@.*||')" && cd "$(tree "\${2%@*}")" && tar -cf - --exclude ./dev --exclude ./.run --exclude ./var/run . ) | tar -xpf - -C "$(at "$2").part" && mv "$(at "$2").part" "$(at "$2")" ;;
destroy)
	name=$(last "$@")
	[ -e "$(at "$name")" ] && [ ! -e "$(at "$name").clones" ] && rm -rf "$(at "$name")" || exit 1
	case $name in *@*) ;; *) rm -rf "$(at "$name")"@* "$(at "$name")".why "$(at "$name")".made ;; esac
	;;
list)
	case "$*" in
	*clones*) cat "$(at "$(last "$@")").clones" 2> /dev/null || echo - ;;
	*-r*) echo clawdie/ROOT; ls "$pool" | grep -v @ | grep -v '[.]why$' | grep -v '[.]made$' | grep -v '[.]clones$' | sed 's|^|clawdie/ROOT/|' ;;
	*) [ -e "$(at "$(last "$@")")" ] ;;
	esac
	;;
get)
	case "$*" in
	*available*) cat "$pool/.available" ;;
	*referenced*) echo 1000000 ;;
	*used*) echo 1000 ;;
	*clawdie:made*) cat "$(at "$(last "$@")").made" 2> /dev/null || echo - ;;
	*) cat "$(at "$(last "$@")").why" 2> /dev/null || echo - ;;
	esac
	;;
set) echo "\${2#*=}" > "$(at "$3").why" ;;
diff) NODE -- "$(at "$3")" "$(at "$4")" ;;
*) exit 99 ;;
esac`;

/** bectl(8): which environment boots next, and from then on. */
const BECTL = `
pool="$CLAWDIE_TEST_ROOT/../pool"
case "$1 $2" in
"activate -t") [ -d "$pool/$3" ] && echo "$3" > "$pool/.once" ;;
"activate -T") rm -f "$pool/.once" ;;
"activate "*) [ -d "$pool/$2" ] && echo "$2" > "$pool/.boots" ;;
*) exit 99 ;;
esac`;

/** What is mounted is a link to it; a kernel's own root is where the tests run. */
const MOUNT = `
pool="$CLAWDIE_TEST_ROOT/../pool"
case "$1 $2" in
"-p "*) echo "clawdie/ROOT/$(cat "$pool/.running") / zfs rw 0 0" ;;
"-t zfs") what=$(echo "$3" | sed 's|^clawdie/ROOT/||; s|/|%|g'); rmdir "$4" && ln -s "$pool/$what" "$4" ;;
"-o ro") rmdir "$4" && ln -s "$pool/../md" "$4" ;;
esac`;

/** Files of the root of a release, as much as an update looks at. */
export type RootTree = Readonly<Record<string, string>>;

export const rootTree = (version: string, more: RootTree = {}): RootTree => ({
  'bin/freebsd-version': `#!/bin/sh\nUSERLAND_VERSION="${version}"\n`,
  'bin/sh': `sh of ${version}`,
  'boot/kernel/pf.ko': version,
  'boot/kernel/zfs.ko': version,
  'boot/loader': version,
  'boot/lua/loader.lua': version,
  'etc/clawdie/release': `${RELEASE}\n`,
  'etc/crontab': 'the same\n',
  'etc/group': '# of the release\nwheel:*:0:root\n',
  'etc/master.passwd': 'root::0:0::0:0:Charlie:/root:/bin/sh\n',
  'etc/login.conf': `login.conf of ${version}\n`,
  'sbin/init': version,
  'usr/share/certs/trusted/an-authority.pem': `trusted by ${version}\n`,
  'usr/local/bastille/releases/15.1-RELEASE/bin/sh': version,
  ...baseFiles(
    'sbin/clawdie-init',
    'sbin/clawdie-trust',
    'sbin/clawdie-environment',
    'sbin/clawdie-bootcode',
  ),
  ...TRIAL_FILES,
  ...more,
});

/** A folder with files. */
export function plant(folder: string, tree: RootTree): void {
  for (const [path, text] of Object.entries(tree)) {
    const full = join(folder, path);
    mkdirSync(join(full, '..'), { recursive: true });
    writeFileSync(full, text, { mode: path.includes('bin/') ? 0o755 : 0o644 });
  }
}

/** Makes one tree the same as another, and writes only what differs: most is the same after a cut, and writing takes longest. */
function mirror(from: string, to: string): void {
  const [want, have] = [lstatSync(from, { throwIfNoEntry: false }), lstatSync(to, { throwIfNoEntry: false })];
  if (want?.isDirectory() && have?.isDirectory()) {
    if (want.mode !== have.mode) chmodSync(to, want.mode);
    for (const name of new Set([...readdirSync(from), ...readdirSync(to)]))
      mirror(join(from, name), join(to, name));
    return;
  }
  if (want?.mode === have?.mode) {
    if (want?.isSymbolicLink() && readlinkSync(from) === readlinkSync(to)) return;
    if (want?.isFile() && want.size === have?.size && readFileSync(from).equals(readFileSync(to))) return;
  }
  rmSync(to, { recursive: true, force: true });
  if (want) cpSync(from, to, { recursive: true, verbatimSymlinks: true });
}

/** What {@link rootFileOf} makes another one of. */
export interface RootChange {
  readonly serial?: number;
  readonly release?: string;
  readonly key?: KeyPair | undefined;
  readonly namespace?: string;
}

/** A root as `clawdie-iso root` writes it, but for its file system, which is an archive here. */
export async function rootFileOf(tree: RootTree, change: RootChange): Promise<Buffer> {
  const folder = await tmp();
  plant(folder, tree);
  const image = execFileSync('tar', ['-cf', '-', '-C', folder, '.'], { maxBuffer: 1 << 28 });
  const [kernel, root] = [gzipSync('a kernel'), gzipSync(image)];
  const body = Buffer.concat([kernel, root]);
  const file: RootFile = {
    ...{ release: change.release ?? RELEASE, kernelBytes: kernel.length, rootBytes: root.length },
    ...{ sha256: sha256(body), serial: change.key && (change.serial ?? 20) },
  };
  const header = rootHeader(file);
  if (!change.key) return Buffer.concat([header, body]);
  const signature = await sign(change.key.path, change.namespace ?? IMAGE_NAMESPACE, headerText(header));
  return Buffer.concat([header, body, Buffer.alloc(fillOf(file)), Buffer.from(signature)]);
}

/** What an update of the release calls on any instance, and what of it is done where tests run. */
export const UPDATING: Readonly<Record<string, string>> = {
  mdconfig:
    'case $1 in -a) mkdir -p "$CLAWDIE_TEST_ROOT/../md" && tar -xpf "$7" -C "$CLAWDIE_TEST_ROOT/../md" && echo md9 ;; -d) chmod -R u+w "$CLAWDIE_TEST_ROOT/../md"; rm -rf "$CLAWDIE_TEST_ROOT/../md" ;; esac',
  umount: '[ -L "$1" ] && rm "$1" && mkdir "$1"',
  pwd_mkdb: 'echo made > "$3/spwd.db"',
  cap_mkdb: '[ -e "$1" ] && echo "of $(cat "$1")" > "$1.db"',
  certctl:
    '[ "$1 $3" = "-D rehash" ] && mkdir -p "$2/etc/ssl/certs" && cat "$2"/usr/share/certs/trusted/* > "$2/etc/ssl/cert.pem"',
  id: 'echo 0',
  ...Object.fromEntries(
    [
      ...['daemon', 'logger', 'shutdown', 'reboot', 'jls', 'sockstat', 'sleep', 'pfctl', 'sysrc', 'chown'],
      // Who watches counts turns where this says nothing: seconds are those of this machine, which sleeps for none.
      'ps',
    ].map((name) => [name, 'exit 0']),
  ),
};

/** Remembers folders beside a fake root; what it returns brings them back. */
export function remember(fake: FakeRoot, names: readonly string[]): () => void {
  const folder = join(fake.root, '..');
  const kept = join(folder, 'kept');
  const copy = (from: string, to: string): void => {
    for (const name of names) mirror(join(from, name), join(to, name));
  };
  mkdirSync(kept, { recursive: true });
  copy(folder, kept);
  return () => {
    copy(kept, folder);
  };
}

/** An instance whose root is a pool of boot environments. */
export class PoolInstance {
  private constructor(readonly fake: FakeRoot) {}

  /** Installed, with the root of a release alone; it has not booted. */
  static async make(version: string): Promise<PoolInstance> {
    const fake = await installedInstance();
    const instance = new PoolInstance(fake);
    mkdirSync(instance.pool);
    const script = join(fake.root, '../diff.mjs');
    writeFileSync(script, DIFF);
    fake
      .stub('zfs', ZFS.replace('NODE --', `'${process.execPath}' '${script}'`))
      .stub('zpool', 'echo "clawdie/ROOT/$(cat "$CLAWDIE_TEST_ROOT/../pool/.boots")"')
      .stub('bectl', BECTL)
      .stub('mount', MOUNT)
      // A disk of before there were second copies of the boot code.
      .stub('gpart')
      .withTurns();
    for (const [name, body] of Object.entries(UPDATING)) fake.stub(name, body);
    rmSync(join(fake.root, 'etc/clawdie'), { recursive: true });
    plant(fake.root, rootTree(version));
    mkdirSync(join(instance.pool, 'default'));
    for (const [name, text] of [
      ['.running', 'default'],
      ['.boots', 'default'],
      ['.available', '1000000000'],
    ] as const)
      writeFileSync(join(instance.pool, name), text);
    fake.run(TRIAL, ['status']);
    execFileSync('sh', [join(fake.bin, 'zfs'), 'snapshot', 'clawdie/ROOT/default@base'], {
      env: { ...process.env, CLAWDIE_TEST_ROOT: fake.root },
    });
    plant(fake.root, {
      'etc/clawdie/installed': `installed ${RELEASE}\n`,
      'boot/loader.conf.local': 'zfs_load="YES"\nvfs.root.mountfrom="zfs:clawdie/ROOT/default"\n',
      'boot/kernel/kernel': 'a kernel',
      'etc/fstab': 'tmpfs /tmp tmpfs rw 0 0\n',
    });
    return instance;
  }

  get pool(): string {
    return join(this.fake.root, '../pool');
  }

  property(name: string): string | undefined {
    const path = join(this.pool, `.${name}`);
    return existsSync(path) ? readFileSync(path, 'utf8').trim() : undefined;
  }

  get environments(): readonly string[] {
    return readdirSync(this.pool).filter((name) => !/^\.|[@%]|\.(?:why|made|clones)$/.test(name));
  }

  get snapshots(): readonly string[] {
    return readdirSync(this.pool).filter((name) => name.includes('@'));
  }

  /** The loader: the environment that is to boot once, or the one that boots; its tree becomes the root. */
  load(): string {
    const now = this.property('running') ?? '';
    const next = this.property('once') ?? this.property('boots') ?? '';
    rmSync(join(this.pool, '.once'), { force: true });
    if (next !== now) {
      const kept = join(this.pool, now);
      rmSync(kept, { recursive: true });
      mkdirSync(kept, { recursive: true });
      for (const name of readdirSync(this.fake.root))
        if (name !== 'dev' && name !== '.run') renameSync(join(this.fake.root, name), join(kept, name));
      for (const name of readdirSync(join(this.pool, next)))
        renameSync(join(this.pool, next, name), join(this.fake.root, name));
      writeFileSync(join(this.pool, '.running'), next);
    }
    return next;
  }

  /** A boot, as far as clawdie-init and rc.d/clawdie_trial go. */
  boot(): ScriptResult {
    this.load();
    const result = this.fake.run(INIT);
    if (result.code !== 0) return result;
    const started = this.fake.run(TRIAL, ['start']);
    return { ...result, stdout: result.stdout + started.stdout, calls: [...result.calls, ...started.calls] };
  }

  /** Remembers all of it; what it returns brings it back. */
  snapshot(): () => void {
    return remember(this.fake, ['root', 'pool', 'md']);
  }
}
