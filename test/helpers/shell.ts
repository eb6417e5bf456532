import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { tmp } from './tmp.js';

/** Where scripts source from, on the instance. */
const LIBRARY = 'overlays/firstboot/usr/local/libexec/clawdie';

/** What /etc/clawdie/clawdie.conf says, unless a test says otherwise: words of sh. */
const CONFIG: Readonly<Record<string, string>> = {
  ASSISTANT_NAME: 'natasha',
  AGENT_NET: '192.168.100.0/24',
  JAIL_SUPERNET: '192.168.0.0/16',
  LOOPBACK: 'natasha0',
  JAIL_NETWORK: 'plain',
  TENANTS: "'natasha:warden0:192.168.100.0/24:192.168.100.1 igor:warden1:192.168.101.0/24:192.168.101.1'",
  BRIDGES:
    "'warden0:192.168.100.0/24:192.168.100.1 warden1:192.168.101.0/24:192.168.101.1 warden2:192.168.102.0/24:192.168.102.1'",
  JAIL_RELEASE: '15.1-RELEASE',
  EXT_IF: 'auto',
  WAN_IPV4: 'dhcp',
  WAN_IPV6: 'slaac',
  HTTP: 'NO',
  HTTPS: 'NO',
  GLASSPANE: 'NO',
  TIME: 'YES',
  SYSLOG_HOST: "''",
  SYSLOG_PORT: "''",
  TAILSCALE: 'off',
  CONSOLE: 'both',
  PACKAGES: "''",
  TIMEZONE: 'UTC',
};

/** Descriptors of whoever started the tests, which every program here has (proc(5): flags without O_CLOEXEC). */
function inherited(): readonly string[] {
  return readdirSync('/proc/self/fd').filter((fd) => {
    const info = Number(fd) > 2 ? attempt(() => readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8')) : undefined;
    return info !== undefined && (parseInt(/^flags:\s*(\d+)/m.exec(info)?.[1] ?? '0', 8) & 0o2000000) === 0;
  });
}

function attempt<T>(what: () => T): T | undefined {
  try {
    return what();
  } catch {
    return undefined;
  }
}

/** How a script ended, and what it called. */
export interface ScriptResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** Calls of stubs in order, as `name argument argument`. */
  readonly calls: readonly string[];
}

/**
 * A tree of files and a folder of stub executables for scripts that run on FreeBSD: every stub logs its arguments and
 * then does what the test says.
 */
export class FakeRoot {
  /** What runs scripts: `setsid -w` for those that are killed with all that they have started. */
  through: readonly string[] = [];
  /** Folders of commands that come before those of the fake system. */
  before: readonly string[] = [];

  private constructor(
    readonly root: string,
    readonly bin: string,
    private readonly log: string,
  ) {}

  static async make(): Promise<FakeRoot> {
    const folder = await tmp();
    const fake = new FakeRoot(join(folder, 'root'), join(folder, 'bin'), join(folder, 'calls'));
    mkdirSync(fake.root);
    mkdirSync(fake.bin);
    // The awk that FreeBSD has; this machine's may take what that does not.
    if (existsSync('/usr/bin/original-awk')) symlinkSync('/usr/bin/original-awk', join(fake.bin, 'awk'));
    return fake;
  }

  /** A command of the fake system; `body` is sh, with its arguments in "$@". */
  stub(name: string, body = 'exit 0'): this {
    const path = join(this.bin, name);
    writeFileSync(path, `#!/bin/sh\necho "${name} $*" >> '${this.log}'\n${body}\n`);
    chmodSync(path, 0o755);
    return this;
  }

  removeFile(path: string): this {
    rmSync(join(this.root, path));
    return this;
  }

  /** Takes a command away again. */
  remove(name: string): this {
    rmSync(join(this.bin, name), { force: true });
    return this;
  }

  file(path: string, content: string | Buffer, mode = 0o644): this {
    const full = join(this.root, path);
    mkdirSync(dirname(full), { recursive: true });
    writeFileSync(full, content, { mode });
    return this;
  }

  /** Programs and what they source, by their paths. */
  files(all: Readonly<Record<string, string>>): this {
    for (const [path, text] of Object.entries(all)) this.file(path, text, 0o755);
    return this;
  }

  /** /etc/clawdie/clawdie.conf, with other values where a test wants them. */
  configure(values: Readonly<Record<string, string>> = {}): this {
    const lines = Object.entries({ ...CONFIG, ...values }).map(([key, value]) => `${key}=${value}\n`);
    return this.file('etc/clawdie/clawdie.conf', lines.join(''));
  }

  read(path: string): string {
    return readFileSync(join(this.root, path), 'utf8');
  }

  has(path: string): boolean {
    return existsSync(join(this.root, path));
  }

  /**
   * Runs a script of overlays/ as sh does on FreeBSD. Paths that the script has fixed (`/etc/rc.subr`, its PATH) are
   * those of the fake root.
   */
  run(
    script: string,
    args: readonly string[] = [],
    environment: Readonly<Record<string, string>> = {},
    input = '',
  ): ScriptResult {
    const path = [...this.before, this.bin, '/usr/bin', '/bin'].join(':');
    const text = readFileSync(script, 'utf8')
      .replace('. /etc/rc.subr', `. '${join(this.root, 'rc.subr')}'`)
      .replaceAll('. /usr/local/libexec/clawdie/', `. ${this.root}/.run/`)
      .replace(/^PATH=.*$/m, `PATH='${path}'`)
      .replaceAll('"/etc/', `"${this.root}/etc/`)
      .replaceAll('"/var/', `"${this.root}/var/`)
      .replaceAll('"/data"', `"${this.root}/data"`)
      .replace(/(?<= )\/(?:etc\/clawdie\/release|var\/run\/clawdie|mnt[/ ])/g, (path) => this.root + path)
      // FreeBSD's sh waits no longer than it is told; this machine's cannot.
      .replace(/read -t \S+ /, 'read ')
      .replaceAll('"/usr/local/', `"${this.root}/usr/local/`)
      .replaceAll('[ ! -x /usr/local/', `[ ! -x ${this.root}/usr/local/`);
    const copy = join(this.root, '.run', script.split('/').pop() ?? '');
    mkdirSync(dirname(copy), { recursive: true });
    writeFileSync(copy, text);
    chmodSync(copy, 0o755);
    for (const { name } of readdirSync(LIBRARY, { withFileTypes: true }).filter((entry) => entry.isFile()))
      if (name !== script.split('/').pop())
        writeFileSync(join(dirname(copy), name), readFileSync(join(LIBRARY, name)), { mode: 0o755 });
    rmSync(this.log, { force: true });
    const [program = 'sh', ...words] = [...this.through, 'sh', copy, ...args];
    const result = spawnSync(program, words, {
      encoding: 'utf8',
      input,
      env: {
        PATH: path,
        CLAWDIE_ROOT: this.root,
        CLAWDIE_TEST_ROOT: this.root,
        ...environment,
      },
    });
    return {
      code: result.status,
      stdout: result.stdout,
      stderr: result.stderr,
      calls: existsSync(this.log) ? readFileSync(this.log, 'utf8').trimEnd().split('\n') : [],
    };
  }

  /** Programs of FreeBSD that a turn needs, on top of what another system has: with real terminals, locks and descriptors. */
  withTurns(): this {
    if (process.platform === 'freebsd') return this;
    return this.stub('lockf', 'exec flock -n "$4"')
      .stub(
        'procstat',
        `for f in /proc/"$2"/fd/*; do case " ${inherited().join(' ')} " in *" \${f##*/} "*) ;; *) echo "$2 sh \${f##*/} v r" ;; esac; done`,
      )
      .stub(
        'script',
        [
          '[ "$1 $2" = "-q /dev/null" ] || exit 99',
          'shift 2',
          `for word in "$@"; do line="$line '$(printf '%s' "$word" | sed "s/'/'\\\\\\\\''/g")'"; done`,
          'exec /usr/bin/script -qec "$line" /dev/null',
        ].join('\n'),
      );
  }

  /** The parts of rc.subr(8) that the scripts use. */
  withRcSubr(): this {
    return this.file(
      'rc.subr',
      [
        'load_rc_config() { :; }',
        'warn() { echo "warning: $*" >&2; }',
        'startmsg() { echo "$*"; }',
        'stop_boot() { echo "STOP BOOT $1"; exit 1; }',
        'checkyesno() { eval _value=\\$$1; case $_value in [Yy][Ee][Ss]) return 0 ;; esac; return 1; }',
        'run_rc_command() {',
        '  _function=',
        '  [ -z "${name-}" ] || eval "_function=\\${$1_cmd-}"',
        '  if [ -n "$_function" ]; then $_function; exit $?; fi',
        '  if [ "$1" = start ]; then',
        '    [ -z "${start_precmd-}" ] || $start_precmd || exit 1',
        // By its name: the fake system has its commands in the path.
        '    ${command##*/} $command_args',
        '  fi',
        '  exit $?',
        '}',
      ].join('\n'),
    );
  }
}
