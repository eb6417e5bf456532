import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { sha256 } from '../../build/host/hash.js';
import { FakeRoot } from '../helpers/shell.js';
import type { ScriptResult } from '../helpers/shell.js';

const TOOL = 'overlays/firstboot/usr/local/sbin/clawdie-jail';
const GUARD = 'overlays/firstboot/usr/local/libexec/clawdie/devfs-guard';

let fake: FakeRoot;

/** Rule sets as devfs(8) prints them: "number rule". */
const SETS =
  'case "$3" in 1) echo "100 hide" ;; 4 | 13 | 14) printf "100 include 1\\n200 include 2\\n" ;; esac';

beforeEach(async () => {
  fake = (await FakeRoot.make())
    .configure({
      JAIL_RELEASE: '15.1-RELEASE',
      JAIL_LIMITS: "'25% 200 50 1073741824'",
      TENANT_LIMITS: "'- 500 - -'",
    })
    .withTurns()
    .stub('id', 'echo 0')
    .stub('devfs', SETS)
    .stub('mount', '[ "$1" != -p ] || echo "/dev/md0 / ufs rw 0 0"')
    .stub('umount')
    .stub('mdconfig')
    .stub('rctl')
    .stub('ifconfig', 'echo "	inet 192.168.100.1 netmask 0xffffff00"')
    .stub('sysctl', 'echo 1073741824')
    .stub('jls', `[ -e "$FAKE/running.$2" ]`)
    .stub('jail')
    .stub('jexec')
    .stub('zfs')
    .stub('jail')
    .stub('jexec')
    .file('usr/local/bastille/releases/15.1-RELEASE/bin/sh', '', 0o755)
    .file('usr/local/libexec/clawdie/devfs-guard', '#!/bin/sh\nexit 0\n', 0o755)
    .file(
      'etc/clawdie/jails',
      '# the plan\nworker natasha plain 192.168.100.10 clawdie/worker 25% 200 50 1073741824\n',
    )
    .file('var/db/clawdie/x', '')
    .file('var/run/x', '');
  // What Bastille does of it: the folder and its jail.conf, and a jail that runs.
  fake.stub(
    'bastille',
    `case "$1" in
create) shift; while [ $# -gt 0 ]; do case "$1" in -B) shift ;; -g | -n) shift 2 ;; *) break ;; esac; done
  mkdir -p "$FAKE/usr/local/bastille/jails/$1"; [ ! -d "$FAKE/base" ] || cp -R "$FAKE/base/." "$FAKE/usr/local/bastille/jails/$1/root"; printf "%s {\\n  exec.consolelog = /var/log/bastille/$1/console.log;\\n  exec.start = '/bin/sh /etc/rc';\\n  exec.stop = '/bin/sh /etc/rc.shutdown';\\n  path = x;\\n}\\n" "$1" > "$FAKE/usr/local/bastille/jails/$1/jail.conf"; : > "$FAKE/running.$1" ;;
start) : > "$FAKE/running.$2" ;;
stop) rm -f "$FAKE/running.$2" ;;
destroy) rm -rf "$FAKE/usr/local/bastille/jails/$3" ;;
esac`,
  );
  // sed -i of FreeBSD takes the suffix as a word of its own.
  fake.stub('sed', '[ "$1" != -i ] || { shift 2; exec /usr/bin/sed -i "$@"; }; exec /usr/bin/sed "$@"');
});

const run = (...args: readonly string[]): ScriptResult =>
  fake.run(TOOL, args, { FAKE: fake.root, CLAWDIE_JAILS_ALONE: 'yes' });
const calls = (result: ScriptResult, of: string): readonly string[] =>
  result.calls.map((call) => call.replaceAll(fake.root, '')).filter((call) => call.startsWith(of));

const FOLDER = 'var/db/clawdie/packages';
const ROOT = '/usr/local/bastille/jails/two/root';
const IN = `${ROOT}/var/cache/clawdie-packages`;

/** An installed instance with a lock, of which clawdie/pi-worker installs a package. */
function lockPackages(): void {
  const line = (kind: string, body: string, file: string): string =>
    `${kind} ${sha256(body)} ${body.length} 0 ${file} ${file.includes('/') ? 'node24 1.0' : '- -'}\n`;
  fake
    .file('etc/clawdie/installed', '')
    .stub('df', 'echo head; echo "/dev/x 9000 1 8000 1% /"')
    .stub('dd', ': > "${2#of=}"')
    .stub('mdconfig', '[ "$1" != -a ] || echo md7')
    .stub('newfs')
    .stub('fsck_ffs')
    .file(`${FOLDER}/meta.conf`, 'meta')
    .file(`${FOLDER}/data.pkg`, 'data')
    .file(`${FOLDER}/All/node24-1.0.pkg`, 'node')
    .file(
      'var/db/clawdie/packages.list',
      `${line('catalogue', 'meta', 'meta.conf')}${line('catalogue', 'data', 'data.pkg')}${line('other', 'node', 'All/node24-1.0.pkg')}`,
    )
    .file(
      'usr/local/bastille/templates/clawdie/pi-worker/Bastillefile',
      '# lock: pkg node24\nINCLUDE clawdie/worker\n',
    )
    .file('usr/local/bastille/templates/clawdie/worker/Bastillefile', 'CMD true\n')
    .file(`${ROOT.slice(1)}/etc/pkg/FreeBSD.conf`, 'FreeBSD-ports: {\n}\nFreeBSD-ports-kmods: {\n}\n')
    .stub('sha256', '[ "$1" = -q ] && sha256sum "$2" | cut -d " " -f 1')
    .stub(
      'mount',
      `case "$1" in
-p) echo "/dev/md0 / ufs rw 0 0"; [ ! -e "$FAKE/mounted" ] || echo "x $FAKE${IN} nullfs ro 0 0" ;;
-t) : > "$FAKE/mounted" ;;
esac`,
    )
    .stub('umount', 'rm -f "$FAKE/mounted"');
}

/** What changes a jail or what it sees, in order. */
const steps = (result: ScriptResult): readonly (string | undefined)[] =>
  result.calls
    .map((call) => call.replaceAll(fake.root, ''))
    .filter((call) => /nullfs|^bastille (?:start|stop|template)|^umount|^jexec two sh|^jail /.test(call))
    .map((call) => call.split('\n')[0]?.trim());

describe('devfs-guard', () => {
  const guard = (): ScriptResult => fake.run(GUARD);

  it('lets jails start where the rules for their /dev are in the kernel', () => {
    expect(guard()).toMatchObject({ code: 0, stdout: '', stderr: '' });
  });

  it.each([
    ['1', 'case "$3" in 1) ;; *) echo "100 include 1" ;; esac'],
    ['13', 'case "$3" in 1) echo "100 hide" ;; 13) ;; *) echo "100 include 1" ;; esac'],
    [
      '14',
      'case "$3" in 1) echo "100 hide" ;; 14) echo "100 path tun unhide" ;; *) echo "100 include 1" ;; esac',
    ],
  ])('lets none start without rule set %s', (set, body) => {
    fake.stub('devfs', body);
    const result = guard();
    expect(result.code).toBe(1);
    expect(result.stderr).toContain(`(rule sets ${set}): no jail is started`);
  });
});

describe('jail-dns', () => {
  const write = (servers: string): ScriptResult =>
    fake
      .file('etc/resolv.conf', servers)
      .run('overlays/firstboot/usr/local/libexec/clawdie/jail-dns', ['/var/unbound/clawdie.conf']);

  it('answers each tenant at its own bridge, nobody else, by the name servers of the host', () => {
    const result = write(
      'search example.org\nnameserver 10.0.0.2\nnameserver 2001:db8::53\nnameserver 127.0.0.1\n',
    );
    expect(result).toMatchObject({
      code: 0,
      stdout: 'jail-dns: wrote /var/unbound/clawdie.conf\n',
      stderr: '',
    });
    const lines = fake.read('var/unbound/clawdie.conf').split('\n');
    expect(lines.filter((line) => /^ {2}(?:interface|access-control|forward-addr):/.test(line))).toEqual([
      '  access-control: 0.0.0.0/0 refuse',
      '  access-control: ::/0 refuse',
      '  interface: 192.168.100.1',
      '  access-control: 192.168.100.0/24 allow',
      '  interface: 192.168.101.1',
      '  access-control: 192.168.101.0/24 allow',
      '  forward-addr: 10.0.0.2',
      '  forward-addr: 2001:db8::53',
    ]);
  });

  it('says nothing where nothing differs, and takes no word of a name server that is no address', () => {
    write('nameserver 10.0.0.2\n');
    expect(write('nameserver 10.0.0.2\n').stdout).toBe('');
    write('nameserver 9.9.9.9"\\nserver:\nnameserver $(reboot)\nnameserver ::1\n');
    expect(fake.read('var/unbound/clawdie.conf')).not.toContain('forward-zone');
  });
});

describe('clawdie-jail create', () => {
  it('gives a plain jail the next free address, a file system and limits, and a guard of its own', () => {
    const result = run('create', 'two');
    expect(result).toMatchObject({ code: 0, stderr: '' });
    expect(result.stdout).toContain('two runs at 192.168.100.11, a jail of natasha');
    // A live image: in memory, and a sixteenth of that at most.
    expect(calls(result, 'mount -t')).toEqual([
      'mount -t tmpfs -o rw,mode=755,size=67108864 tmpfs /usr/local/bastille/jails/two/root',
    ]);
    expect(calls(result, 'bastille')).toEqual([
      'bastille create -n 192.168.100.1 two 15.1-RELEASE 192.168.100.11',
      'bastille template two clawdie/worker',
    ]);
    expect(fake.read('usr/local/bastille/jails/two/jail.conf').replace(fake.root, '')).toContain(
      [
        '  persist;',
        '  exec.prestart += "/usr/local/libexec/clawdie/devfs-guard";',
        '  exec.poststart += "/usr/local/libexec/clawdie/jail-rc start";',
        '  exec.prestop += "/usr/local/libexec/clawdie/jail-rc stop";\n}\n',
      ].join('\n'),
    );
    expect(result.calls).toContain('jail -m name=two persist');
    // What Bastille would have jail(8) run there, with the caller's terminal and a file of the host.
    expect(fake.read('usr/local/bastille/jails/two/jail.conf')).not.toMatch(
      /exec\.(?:start|stop|consolelog)/,
    );
    const rules = fake.read('usr/local/bastille/jails/two/rctl.conf').trimEnd().split('\n');
    expect(rules).toContain('jail:two:memoryuse:deny=268435450/jail');
    expect(rules).toContain('jail:two:swapuse:deny=536870900/jail');
    expect(rules).toContain('jail:two:maxproc:deny=200/jail');
    expect(rules).toContain('jail:two:pcpu:deny=50/jail');
    expect(calls(result, 'rctl -a')).toEqual(rules.map((rule) => `rctl -a ${rule}`));
    expect(fake.read('var/db/clawdie/jails.added')).toBe(
      'two natasha plain 192.168.100.11 clawdie/worker 25% 200 50 1073741824\n',
    );
  });

  describe('with packages of the lock', () => {
    beforeEach(() => {
      lockPackages();
      // Of its release, once Bastille has made it.
      renameSync(join(fake.root, ROOT), join(fake.root, 'base'));
    });

    it('shows them to the jail while a template that installs some is applied, and takes them away again', () => {
      const result = run('create', 'two', '--template', 'clawdie/pi-worker');
      expect(result).toMatchObject({ code: 0, stderr: '' });
      expect(steps(result)).toEqual([
        'jail -m name=two persist',
        `mount -t nullfs -o ro,nosuid /${FOLDER} ${IN}`,
        'bastille template two clawdie/pi-worker',
        `umount ${IN}`,
        'jexec two sh -c rmdir /var/cache/clawdie-packages',
      ]);
      expect(fake.read(`${ROOT.slice(1)}/usr/local/etc/pkg/repos/clawdie.conf`)).toBe(
        'FreeBSD-ports-kmods: { enabled: no }\n' +
          'FreeBSD-ports: { url: "file:///var/cache/clawdie-packages", mirror_type: "none", signature_type: "none", enabled: yes }\n',
      );
    });

    it('says what installs bastille, with a lock that has it and without', () => {
      const says = (): string => run('create', 'two').stderr;
      fake.remove('bastille');
      expect(says()).toContain('or: pkg install bastille');
      const list = 'var/db/clawdie/packages.list';
      fake.file(list, `${fake.read(list)}asked x 1 1 All/bastille-1.0.pkg bastille 1.0\n`);
      expect(says()).toContain('or: service clawdie_packages install');
      fake.file(`${FOLDER}/data.pkg`, 'of another lock');
      expect(says()).toContain('or: pkg install bastille');
    });

    it('applies a template that names what the lock does not have as without a lock, and says so', () => {
      fake
        .file('usr/local/bastille/templates/clawdie/tailscale/Bastillefile', 'PKG tailscale\n')
        .file(
          'usr/local/bastille/templates/clawdie/half/Bastillefile',
          '# lock: pkg node24\nINCLUDE clawdie/tailscale\n',
        )
        .file('usr/local/bastille/templates/clawdie/npm/Bastillefile', '# lock: npm pi@1.5.2\nPKG node24\n');
      const apply = (template: string): ScriptResult => run('create', 'two', '--template', template);
      for (const template of ['clawdie/tailscale', 'clawdie/half']) {
        const result = apply(template);
        expect(result).toMatchObject({ code: 0, stderr: '' });
        expect(result.stdout).toContain(
          `the lock does not have tailscale, which ${template} installs: that comes from FreeBSD's repositories, and needs the network now; to have it in the image, name ${template} in JAILS of build.cfg and lock anew`,
        );
        expect(calls(result, 'mount -t nullfs')).toEqual([]);
        expect(calls(result, 'bastille template')).toEqual([`bastille template two ${template}`]);
        run('destroy', 'two');
      }
      // Packages of npm are no matter of pkg(8): the template itself asks for those that are not there.
      const npm = apply('clawdie/npm');
      expect(npm.stdout).not.toContain('the lock does not have');
      expect(calls(npm, 'mount -t nullfs')).toHaveLength(1);
    });

    it('applies no template with packages that were altered, and leaves nothing mounted', () => {
      fake.file(`${FOLDER}/All/node24-1.0.pkg`, 'nude');
      const result = run('create', 'two', '--template', 'clawdie/pi-worker');
      expect(result.code).toBe(1);
      expect(result.stdout).toContain('All/node24-1.0.pkg has not the sum of the lock');
      expect(result.stderr).toContain('the template clawdie/pi-worker could not be applied to two');
      expect(calls(result, 'bastille template')).toEqual([]);
      expect(calls(result, 'mount -t nullfs')).toEqual([]);
      // It is there, and so it is in the plan: it has an address, and runs after a restart.
      expect(fake.has('running.two')).toBe(true);
      expect(fake.read('var/db/clawdie/jails.added')).toBe(
        'two natasha plain 192.168.100.11 clawdie/pi-worker 25% 200 50 1073741824\n',
      );
    });

    it.each(['clawdie/worker', 'own/one'])(
      'asks for no packages where a template installs none, or is somebody else’s: %s',
      (template) => {
        fake
          .removeFile(`${FOLDER}/meta.conf`)
          .file('usr/local/bastille/templates/own/one/Bastillefile', 'PKG x\n');
        const result = run('create', 'two', '--template', template);
        expect(result).toMatchObject({ code: 0, stderr: '' });
        expect(calls(result, 'mount -t nullfs')).toEqual([]);
      },
    );
  });

  it('is done one after the other: two at once have a line and an address each', async () => {
    run('list');
    fake.stub('lockf', '[ "$1" = -k ] || exit 75\nshift && exec flock -o "$@"');
    const bastille = readFileSync(join(fake.bin, 'bastille'), 'utf8');
    writeFileSync(join(fake.bin, 'bastille'), bastille.replace('create) ', 'create) sleep 1; '));
    const ends = ['two', 'three'].map((name) => {
      const child = spawn('sh', [join(fake.root, '.run/clawdie-jail'), 'create', name, '--processes', '20'], {
        env: { PATH: `${fake.bin}:/usr/bin:/bin`, CLAWDIE_ROOT: fake.root, FAKE: fake.root },
        stdio: 'ignore',
      });
      return new Promise((resolve) => child.once('close', resolve));
    });
    expect(await Promise.all(ends)).toEqual([0, 0]);
    const lines = fake.read('var/db/clawdie/jails.added').trimEnd().split('\n');
    expect(lines.map((line) => line.split(' ')[0]).sort()).toEqual(['three', 'two']);
    expect(lines.map((line) => line.split(' ')[3]).sort()).toEqual(['192.168.100.11', '192.168.100.12']);
    const child = fake.run(TOOL, ['destroy', 'two'], { FAKE: fake.root });
    expect(child.stderr).toContain(
      'clawdie-jail: waiting: jails are being made, removed or copied just now (see /var/log/clawdie-jails.log)\n',
    );
    expect(calls(child, 'lockf')).toEqual([
      'lockf -s -k -t 0 /var/run/clawdie-jails.lock true',
      'lockf -k /var/run/clawdie-jails.lock /.run/clawdie-jail destroy two',
    ]);
  });

  it('puts a VNET jail on the bridge of its tenant', () => {
    const result = run(
      'create',
      'v',
      '--tenant',
      'igor',
      '--network',
      'vnet',
      '--memory',
      '512M',
      '--disk',
      '64M',
    );
    expect(result.stderr).toBe('');
    expect(calls(result, 'bastille')).toEqual([
      'bastille create -B -g 192.168.101.1 -n 192.168.101.1 v 15.1-RELEASE 192.168.101.10/24 warden1',
      'bastille template v clawdie/vnet-worker',
    ]);
    expect(fake.read('var/db/clawdie/jails.added')).toContain(' 536870912 200 50 67108864\n');
  });

  it('takes the room of a file system from the disk of an installed instance before it is used', () => {
    fake
      .file('etc/clawdie/installed', '')
      .stub('df', 'echo head; echo "/dev/x 9000 1 8000 1% /"')
      .stub('mdconfig', '[ "$1" != -a ] || echo md7')
      .stub('dd', 'for word in "$@"; do case "$word" in of=*) : > "${word#of=}" ;; esac; done')
      .stub('newfs')
      .stub('fsck_ffs');
    const result = run('create', 'two', '--disk', '64M');
    expect(result).toMatchObject({ code: 0, stderr: '' });
    expect(calls(result, 'dd')[0]).toMatch(/of=\/var\/db\/clawdie\/jaildisks\/two\.img\.new bs=1m count=64$/);
    expect(calls(result, 'mount -o')).toEqual([
      'mount -o rw,noatime /dev/md7 /usr/local/bastille/jails/two/root',
    ]);
    fake.stub('df', 'echo head; echo "/dev/x 9000 1 300 1% /"');
    const full = run('create', 'three', '--disk', '64M', '--processes', '20');
    expect(full.code).toBe(1);
    expect(full.stderr).toContain('there are 300 MB free, and the file system of three would take 64');
    expect(calls(full, 'bastille create')).toEqual([]);
  });

  describe('of which there is a file system and no jail.conf', () => {
    const IMAGE = 'var/db/clawdie/jaildisks/two.img';
    beforeEach(() => {
      lockPackages();
      fake.stub('bastille', 'exit 1');
    });

    it('makes no jail, and leaves that as it is: it is somebody’s', () => {
      fake.file(IMAGE, 'of two');
      const result = run('create', 'two');
      expect(result).toMatchObject({
        code: 1,
        stderr: `clawdie-jail: two is not made: its jail.conf is not there, and a file system of it is, /${IMAGE}, of which nothing was changed.
  Bring its jail.conf back; or put that aside, and it is made anew: clawdie-jail unmount two; mv /${IMAGE} /root/\n`,
      });
      expect(calls(result, 'bastille')).toEqual([]);
      expect(fake.read(IMAGE)).toBe('of two');
      fake.removeFile(IMAGE);
      // A folder, of bastille(8) alone.
      expect(run('create', 'two').stderr).toContain('mv /usr/local/bastille/jails/two /root/');
      expect(fake.has(`${ROOT.slice(1)}/etc/pkg/FreeBSD.conf`)).toBe(true);
      fake
        .stub('mount', '[ "$1" != -p ] || echo "clawdie/ROOT/default / zfs rw 0 0"')
        .stub('zfs', 'echo clawdie/bastille/jails/two');
      const pool = run('create', 'two');
      expect(pool.stderr).toContain('a file system of it is, clawdie/bastille/jails/two, of which');
      expect(calls(pool, 'bastille')).toEqual([]);
    });

    it('makes the jail anew whose making a power cut has cut off', () => {
      rmSync(join(fake.root, ROOT), { recursive: true });
      fake.stub('bastille', 'kill -KILL "$PPID"');
      expect(run('create', 'two', '--disk', '64M').code).toBe(null);
      expect(fake.has(IMAGE)).toBe(true);
      fake.stub('bastille', '[ "$1" != create ] || exit 1').file(IMAGE, 'half');
      const again = run('create', 'two', '--disk', '64M');
      expect(again.stderr).toContain('bastille did not make two');
      expect(calls(again, 'dd')).toHaveLength(1);
      expect(fake.has(IMAGE)).toBe(false);
    });
  });

  it.each<[string, readonly string[], string]>([
    ['a name that is no name', ['create', 'Two'], "a jail's name is of small letters"],
    ['a name that is too long', ['create', 'twelveletter'], 'has 11 letters at most'],
    ['an option without a word', ['create', 'two', '--memory'], '--memory needs a word'],
    ['a size that is none', ['create', 'two', '--memory', '12'], '--memory is a size'],
    ['a template that climbs', ['create', 'two', '--template', '../../etc'], '--template is USER/NAME'],
    ['another network', ['create', 'two', '--network', 'host'], '--network is plain or vnet'],
  ])('refuses %s', (_, args, message) => {
    const result = run(...args);
    expect(result.code).toBe(2);
    expect(result.stderr).toContain(message);
    expect(calls(result, 'bastille')).toEqual([]);
  });

  it.each<[string, readonly string[], string]>([
    ['another tenant', ['create', 'two', '--tenant', 'olga'], 'there is no tenant olga'],
    [
      'an address of another net',
      ['create', 'two', '--address', '192.168.101.9'],
      'is no address for jails of natasha',
    ],
    [
      'the address of the host',
      ['create', 'two', '--address', '192.168.100.1'],
      'is no address for jails of natasha',
    ],
    ['an address that is taken', ['create', 'two', '--address', '192.168.100.10'], '192.168.100.10 is taken'],
    [
      'more than a tenant may have',
      ['create', 'two', '--processes', '400'],
      'processes: 600, and 500 is all',
    ],
  ])('refuses %s, and makes nothing', (_, args, message) => {
    const result = run(...args);
    expect(result.code).toBe(1);
    expect(result.stderr).toContain(message);
    expect(calls(result, 'bastille')).toEqual([]);
  });

  it('makes nothing where the rules for /dev are not loaded', () => {
    fake.file('usr/local/libexec/clawdie/devfs-guard', '#!/bin/sh\necho "no rules" >&2\nexit 1\n', 0o755);
    expect(run('create', 'two')).toMatchObject({ code: 1, stderr: 'no rules\n' });
    expect(existsSync(join(fake.root, 'running.two'))).toBe(false);
  });

  it('leaves no jail behind that Bastille could not make, or that cannot be bounded', () => {
    fake.stub('rctl', '[ "$1" != -a ]');
    const unbounded = run('create', 'two');
    expect(unbounded.code).toBe(1);
    expect(unbounded.stderr).toContain('two cannot be bounded');
    expect(existsSync(join(fake.root, 'running.two'))).toBe(false);
    expect(fake.has('usr/local/bastille/jails/two')).toBe(false);
    fake.stub('bastille', 'exit 1');
    const failed = run('create', 'two');
    expect(failed.code).toBe(1);
    expect(failed.stderr).toContain('bastille did not make two');
    expect(fake.has('usr/local/bastille/jails/two')).toBe(false);
    expect(fake.has('var/db/clawdie/jails.added')).toBe(false);
  });
});

describe('clawdie-jail template', () => {
  const JAIL = 'usr/local/bastille/jails/two';
  const BASTILLEFILE = 'usr/local/bastille/templates/own/one/Bastillefile';
  beforeEach(() => {
    lockPackages();
    fake
      .file(`${JAIL}/jail.conf`, 'two {\n  exec.start = sh;\n  persist;\n}\n')
      .file('running.two', '')
      .file(BASTILLEFILE, 'SYSRC a=b\nCP etc /\n');
  });

  it('applies one with packages of the lock, and has nothing of the jail run while they are mounted into its tree', () => {
    const result = run('template', 'two', 'clawdie/pi-worker');
    expect(result).toMatchObject({ code: 0, stderr: '' });
    expect(result.stdout).toContain('clawdie-jail: clawdie/pi-worker is applied to two\n');
    expect(steps(result)).toEqual([
      'jail -m name=two persist',
      'bastille stop two',
      `mount -t nullfs -o ro,nosuid /${FOLDER} ${IN}`,
      'bastille start two',
      'bastille template two clawdie/pi-worker',
      `umount ${IN}`,
      'jexec two sh -c rmdir /var/cache/clawdie-packages',
    ]);
    // It begins by jail-rc from now on, whoever has made it.
    expect(fake.read(`${JAIL}/jail.conf`)).toContain('/jail-rc start');
    expect(fake.read(`${JAIL}/jail.conf`)).not.toContain('exec.start');
  });

  it('starts a jail that does not run, and stops none for a template without packages of the lock', () => {
    expect(steps(run('template', 'two', 'own/one', '--arg', 'A=1.2', '--arg', 'B=x'))).toEqual([
      'jail -m name=two persist',
      'bastille template two own/one --arg A=1.2 --arg B=x',
    ]);
    fake.removeFile('running.two');
    expect(steps(run('template', 'two', 'own/one'))[0]).toBe('bastille start two');
  });

  it('gives what runs in the jail neither the terminal of the caller nor a file of the host', () => {
    fake.stub(
      'bastille',
      `[ "$1" = template ] || exit 0
tty=$(ps -o tty= -p $$)
(for fd in 0 1 2 3 4 5 6 7 8 9; do [ ! -e /proc/$$/fd/$fd ] || echo "$fd $(readlink /proc/$$/fd/$fd)"; done > "$FAKE/fds")
echo "$tty" > "$FAKE/tty"
printf 'a\\033[2Jb\\n'`,
    );
    fake.through = [
      'sh',
      '-c',
      'exec /usr/bin/script -qec "ps -o tty= -p \\$\\$ > $FAKE/caller; $*" /dev/null',
      'sh',
    ];
    const result = run('template', 'two', 'own/one');
    expect(result.code).toBe(0);
    expect(result.stdout).toContain('a[2Jb\r\n');
    const own = fake.read('tty').trim();
    expect(own).toMatch(/^pts\/\d+$/);
    expect(fake.read('caller').trim()).toMatch(/^pts\/\d+$/);
    expect(own).not.toBe(fake.read('caller').trim());
    expect(fake.read('fds').replace(/pipe:\[\d+\]/, 'pipe')).toBe(`0 pipe\n1 /dev/${own}\n2 /dev/${own}\n`);
  });

  it.each<[string, (host: string) => void]>([
    ['var/cache', (host) => symlinkSync(host, join(fake.root, `${JAIL}/root/var/cache`))],
    ['usr/local', (host) => symlinkSync(host, join(fake.root, `${JAIL}/root/usr/local`))],
  ])('shows packages in no folder that the jail has led elsewhere: %s', (_, lead) => {
    const host = join(fake.root, 'host');
    for (const folder of [host, join(fake.root, `${JAIL}/root/var`), join(fake.root, `${JAIL}/root/usr`)])
      mkdirSync(folder, { recursive: true });
    lead(host);
    const result = run('template', 'two', 'clawdie/pi-worker');
    expect(result.code).toBe(1);
    expect(result.stdout).toContain('packages are shown in none that a jail has led elsewhere');
    expect(result.stderr).toContain('the template clawdie/pi-worker could not be applied to two');
    expect(steps(result)).toEqual([
      'jail -m name=two persist',
      'bastille stop two',
      'bastille start two',
      'jexec two sh -c rmdir /var/cache/clawdie-packages',
    ]);
    expect(existsSync(join(host, 'clawdie-packages'))).toBe(false);
    expect(existsSync(join(host, 'etc'))).toBe(false);
  });

  it('writes to no file of the host that a link of the jail names', () => {
    const host = join(fake.root, 'host');
    writeFileSync(host, 'of the host\n');
    fake.file(`${JAIL}/root/usr/local/etc/pkg/repos/x`, '');
    symlinkSync(host, join(fake.root, `${JAIL}/root/usr/local/etc/pkg/repos/clawdie.conf`));
    expect(run('template', 'two', 'clawdie/pi-worker').code).toBe(0);
    expect(readFileSync(host, 'utf8')).toBe('of the host\n');
  });

  it.each(['etc', 'etc/pkg', 'etc/pkg/FreeBSD.conf'])(
    'reads names of repositories from no file of the host that the jail has led to: %s',
    (path) => {
      const own = join(fake.root, ROOT, 'etc');
      fake.file('host/pkg/FreeBSD.conf', 'FreeBSD-x: {\n}\n');
      rmSync(join(own, '..', path), { recursive: true });
      symlinkSync(join(fake.root, 'host', path.replace('etc', '')), join(own, '..', path));
      expect(run('template', 'two', 'clawdie/pi-worker').code).toBe(0);
      const conf = fake.read(`${ROOT.slice(1)}/usr/local/etc/pkg/repos/clawdie.conf`);
      expect(conf).toMatch(/^FreeBSD-ports: \{ url: [^\n]*\n$/);
    },
  );

  it('reads a piece of what the jail says of its repositories, and not to its end', () => {
    fake.file(
      `${ROOT.slice(1)}/etc/pkg/FreeBSD.conf`,
      `FreeBSD-ports: {\n}\n${'#\n'.repeat(32_768)}FreeBSD-late: {\n}\n`,
    );
    expect(run('template', 'two', 'clawdie/pi-worker').code).toBe(0);
    expect(fake.read(`${ROOT.slice(1)}/usr/local/etc/pkg/repos/clawdie.conf`)).not.toContain('late');
  });

  it('takes away first what somebody who gave up has left mounted', () => {
    fake.file('mounted', '');
    const result = run('template', 'two', 'clawdie/pi-worker');
    expect(result.code).toBe(0);
    expect(steps(result).slice(0, 4)).toEqual([
      'jail -m name=two persist',
      'bastille stop two',
      `umount ${IN}`,
      `mount -t nullfs -o ro,nosuid /${FOLDER} ${IN}`,
    ]);
    expect(existsSync(join(fake.root, 'mounted'))).toBe(false);
  });

  it('stops no jail for packages that were altered, and applies nothing', () => {
    fake.file(`${FOLDER}/All/node24-1.0.pkg`, 'nude');
    const result = run('template', 'two', 'clawdie/pi-worker');
    expect(result.code).toBe(1);
    expect(result.stdout).toContain('All/node24-1.0.pkg has not the sum of the lock');
    expect(calls(result, 'bastille')).toEqual([]);
  });

  it.each(['RENDER /etc', 'LIF x /etc/y', 'MOUNT /home home', 'render /etc', 'HPKG x'])(
    'applies none that writes by paths which the jail can lead: %s',
    (line) => {
      fake.file(BASTILLEFILE, `CMD true\n# RENDER not\n\n${line}\n`);
      fake.file('usr/local/bastille/templates/own/two/Bastillefile', 'INCLUDE own/one\n');
      const result = run('template', 'two', 'own/two');
      expect(result.code).toBe(1);
      expect(result.stderr).toContain(`${line.split(' ')[0] ?? ''} would write where its root can lead it`);
      expect(calls(result, 'bastille')).toEqual([]);
    },
  );

  it.each<[string, readonly string[], number, string]>([
    ['no name', [], 2, 'template needs the name of a jail'],
    ['an option for a name', ['-a', 'own/one'], 2, 'template needs the name of a jail'],
    ['all jails', ['ALL', 'own/one'], 2, 'template needs the name of a jail'],
    ['a number', ['3', 'own/one'], 2, 'template needs the name of a jail, not a number'],
    ['a name that climbs', ['../two', 'own/one'], 2, 'template needs the name of a jail'],
    ['a name of two words', ['two three', 'own/one'], 2, 'template needs the name of a jail'],
    ['a name that sh would run', ['$(reboot)', 'own/one'], 2, 'template needs the name of a jail'],
    ['no template', ['two'], 2, 'template needs the name of a template'],
    ['none', ['two', 'none'], 2, 'template needs the name of a template'],
    ['a template that climbs', ['two', '../../etc'], 2, 'template needs the name of a template'],
    ['a template of the internet', ['two', 'https://x/y'], 2, 'template needs the name of a template'],
    ['an option after it', ['two', 'own/one', '--arg-file', 'x'], 2, '"--arg-file" is not understood'],
    ['two dashes', ['two', 'own/one', '--', 'x'], 2, '"--" is not understood'],
    ['an argument that sh would run', ['two', 'own/one', '--arg', 'A=$(reboot)'], 2, '--arg is NAME=VALUE'],
    ['an argument without a value', ['two', 'own/one', '--arg', 'A'], 2, '--arg is NAME=VALUE'],
    ['an argument that is missing', ['two', 'own/one', '--arg'], 2, '--arg is NAME=VALUE'],
    ['a jail that is not there', ['three', 'own/one'], 1, 'there is no jail three'],
    ['a template that is not there', ['two', 'own/three'], 1, 'there is no template own/three'],
  ])('refuses %s', (_, args, code, message) => {
    const result = run('template', ...args);
    expect(result.code).toBe(code);
    expect(result.stderr).toContain(message);
    expect(calls(result, 'bastille')).toEqual([]);
  });

  it('refuses a template whose INCLUDE is not on the instance, where bastille(8) would fetch it', () => {
    fake.file(BASTILLEFILE, 'INCLUDE https://example.org/own/far\n');
    const result = run('template', 'two', 'own/one');
    expect(result).toMatchObject({ code: 1 });
    expect(result.stderr).toContain('or one that it includes is not here');
    expect(calls(result, 'bastille')).toEqual([]);
  });

  it('waits for no turn, and cuts none off', () => {
    fake.stub('lockf', 'exit 75');
    const result = run('template', 'two', 'clawdie/pi-worker');
    expect(result.code).toBe(1);
    expect(result.stderr).toContain('a turn is going on in two');
    expect(calls(result, 'bastille')).toEqual([]);
  });

  it('shows no packages while others are brought in their place', () => {
    fake.stub('lockf', '[ "$3" != 60 ] || exit 75');
    const result = run('template', 'two', 'clawdie/pi-worker');
    expect(result.code).toBe(1);
    expect(result.stdout).toContain('other packages are being brought just now');
    expect(calls(result, 'lockf')).toEqual(['lockf -s -t 0 9', 'lockf -s -t 60 8']);
    expect(calls(result, 'mount -t nullfs')).toEqual([]);
    expect(calls(result, 'bastille template')).toEqual([]);
  });

  it('says so where the template fails, and takes the packages away again', () => {
    fake.stub(
      'bastille',
      'case "$1" in start) : > "$FAKE/running.two" ;; stop) rm "$FAKE/running.two" ;; *) exit 1 ;; esac',
    );
    const result = run('template', 'two', 'clawdie/pi-worker');
    expect(result.code).toBe(1);
    expect(result.stderr).toContain('then: clawdie-jail template two clawdie/pi-worker');
    expect(calls(result, 'umount')).toEqual([`umount ${IN}`]);
  });
});

describe('clawdie-jail plan, list, destroy', () => {
  it('makes the jails that are not there, and gives the others the limits of the plan', () => {
    const first = run('plan');
    expect(first).toMatchObject({ code: 0, stderr: '' });
    expect(calls(first, 'bastille create')).toEqual([
      'bastille create -n 192.168.100.1 worker 15.1-RELEASE 192.168.100.10',
    ]);
    fake.file(
      'etc/clawdie/jails',
      'worker natasha plain 192.168.100.10 clawdie/worker 25% 77 50 1073741824\n',
    );
    const second = run('plan');
    expect(calls(second, 'bastille')).toEqual([]);
    expect(calls(second, 'rctl -a')).toContain('rctl -a jail:worker:maxproc:deny=77/jail');
  });

  it('leaves a jail the limits that it has where those of the plan cannot be written', () => {
    run('plan');
    const [limits, conf] = ['rctl', 'jail'].map((name) => `usr/local/bastille/jails/worker/${name}.conf`);
    const before = [fake.read(limits ?? ''), fake.read(conf ?? '')];
    fake
      .file('etc/clawdie/jails', 'worker natasha plain 192.168.100.10 none 25% 77 50 1073741824\n')
      // What calls are written to has no room, either.
      .stub('rctl', 'mkdir -p "$FAKE/rctl$1"');
    // No byte can be written to any file.
    fake.through = ['sh', '-c', `trap '' XFSZ; ulimit -f 0; exec "$0" "$@"`];
    const result = run('plan');
    expect(result.code).toBe(1);
    expect(result.stderr).toContain(
      'clawdie-jail: the limits of worker cannot be written to /usr/local/bastille/jails/worker/rctl.conf; those that it has stay',
    );
    expect([fake.read(limits ?? ''), fake.read(conf ?? '')]).toEqual(before);
    expect(fake.has('rctl-r')).toBe(false);
    fake.through = [];
    expect(run('plan').code).toBe(0);
    expect(fake.has('rctl-r')).toBe(true);
    expect(fake.read(limits ?? '')).toContain('maxproc:deny=77');
  });

  it('bounds in a pool what the jail writes, and not what is kept of it beside that', () => {
    fake.stub('mount', '[ "$1" != -p ] || echo "clawdie/ROOT/default / zfs rw 0 0"');
    const set = [
      'zfs set quota=1073741824 clawdie/bastille/jails/worker/root',
      'zfs set quota=none clawdie/bastille/jails/worker',
    ];
    expect(calls(run('plan'), 'zfs set')).toEqual(set);
    // One that was bounded as a whole before.
    expect(calls(run('plan'), 'zfs set')).toEqual(set);
  });

  it('goes on with the next jail where one cannot be made', () => {
    fake.file(
      'etc/clawdie/jails',
      'bad olga plain 192.168.109.10 none 25% 20 50 1073741824\ngood natasha plain 192.168.100.11 none 25% 20 50 1073741824\n',
    );
    const result = run('plan');
    expect(result.code).toBe(1);
    expect(result.stderr).toContain('there is no tenant olga');
    expect(calls(result, 'bastille create')).toEqual([
      'bastille create -n 192.168.100.1 good 15.1-RELEASE 192.168.100.11',
    ]);
  });

  it('takes a jail of build.cfg away for good, until it is made again', () => {
    run('plan');
    const gone = run('destroy', 'worker');
    expect(gone).toMatchObject({ code: 0, stdout: 'clawdie-jail: worker is gone\n', stderr: '' });
    expect(calls(run('plan'), 'bastille')).toEqual([]);
    expect(run('list').stdout).not.toContain('worker ');
    run('create', 'worker');
    expect(run('list').stdout).toMatch(/^worker +natasha +plain +192\.168\.100\.10 +running /m);
  });

  it('tells of each jail as JSON', () => {
    expect(JSON.parse(run('list', '--json').stdout)).toEqual([
      {
        name: 'worker',
        tenant: 'natasha',
        network: 'plain',
        address: '192.168.100.10',
        state: 'missing',
        template: 'clawdie/worker',
        memory: '25%',
        processes: '200',
        cpu: '50',
        disk: '1073741824',
      },
    ]);
  });
});
