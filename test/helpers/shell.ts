import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { tmp } from './tmp.js';

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
  private constructor(
    readonly root: string,
    private readonly bin: string,
    private readonly log: string,
  ) {}

  static async make(): Promise<FakeRoot> {
    const folder = await tmp();
    const fake = new FakeRoot(join(folder, 'root'), join(folder, 'bin'), join(folder, 'calls'));
    mkdirSync(fake.root);
    mkdirSync(fake.bin);
    return fake;
  }

  /** A command of the fake system; `body` is sh, with its arguments in "$@". */
  stub(name: string, body = 'exit 0'): this {
    const path = join(this.bin, name);
    writeFileSync(path, `#!/bin/sh\necho "${name} $*" >> '${this.log}'\n${body}\n`);
    chmodSync(path, 0o755);
    return this;
  }

  file(path: string, content: string | Buffer, mode = 0o644): this {
    const full = join(this.root, path);
    mkdirSync(dirname(full), { recursive: true });
    writeFileSync(full, content, { mode });
    return this;
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
  ): ScriptResult {
    const text = readFileSync(script, 'utf8')
      .replace('. /etc/rc.subr', `. '${join(this.root, 'rc.subr')}'`)
      .replace(/^PATH=.*$/m, `PATH='${this.bin}':/usr/bin:/bin`)
      .replaceAll('"/etc/', `"${this.root}/etc/`)
      .replaceAll('"/var/', `"${this.root}/var/`)
      .replaceAll('"/usr/local/', `"${this.root}/usr/local/`)
      .replaceAll('[ ! -x /usr/local/', `[ ! -x ${this.root}/usr/local/`);
    const copy = join(this.root, '.run', script.split('/').pop() ?? '');
    mkdirSync(dirname(copy), { recursive: true });
    writeFileSync(copy, text);
    const common = join(dirname(script), 'common.sh');
    if (existsSync(common)) writeFileSync(join(dirname(copy), 'common.sh'), readFileSync(common));
    rmSync(this.log, { force: true });
    const result = spawnSync('sh', [copy, ...args], {
      encoding: 'utf8',
      env: {
        PATH: `${this.bin}:/usr/bin:/bin`,
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
        'run_rc_command() { eval "_command=\\$$1_cmd"; $_command; exit $?; }',
      ].join('\n'),
    );
  }
}
