import { beforeEach, describe, expect, it } from 'vitest';
import { FakeRoot } from '../helpers/shell.js';
import type { ScriptResult } from '../helpers/shell.js';

const TOOL = 'overlays/firstboot/usr/local/libexec/clawdie/memory-guard';
const MIB = 1024 ** 2;
const JAILS = '/usr/local/bastille/jails';

let fake: FakeRoot;

/** kern.ipc.posix_shm_list: records of sys/user.h's kinfo_file, of the length that each has. */
function shared(...objects: readonly (readonly [path: string, bytes: number])[]): void {
  const records = objects.map(([path, bytes]) => {
    const record = Buffer.alloc(Math.ceil((368 + Buffer.byteLength(path) + 1) / 8) * 8);
    record.writeInt32LE(record.length, 0);
    record.writeBigUInt64LE(BigInt(bytes), 312);
    record.write(path, 368);
    return record;
  });
  fake.file('shm', Buffer.concat(records));
}

/** Of 2 GiB of memory and 512 MiB of swap, what is promised, in bytes. */
const promised = (bytes: number): void => void fake.file('promised', `${bytes}\n`);

const run = (looks = 1): ScriptResult => fake.run(TOOL, [], { FAKE: fake.root, LOOKS: String(looks) });
const calls = (result: ScriptResult, name: string): readonly string[] =>
  result.calls.filter((call) => call.startsWith(`${name} `)).map((call) => call.slice(name.length + 1));
const why = (name: string): string => fake.read(`var/run/clawdie/ended.${name}`);

beforeEach(async () => {
  fake = (await FakeRoot.make())
    .stub('logger', 'cat >> "$FAKE/logged"')
    .stub('date', 'echo 1767225600')
    .stub('jls', `echo "1 worker ${JAILS}/worker/root"; echo "2 side ${JAILS}/side/root"`)
    .stub('rctl', `echo 'jail:side:swapuse:deny=9'; echo 'jail:side:memoryuse:deny=${512 * MIB}'`)
    .stub('ps', 'cat "$FAKE/processes.$2" 2> /dev/null')
    .stub('pkill', '[ ! -e "$FAKE/gone.$3" ] && : > "$FAKE/gone.$3"')
    .stub(
      'procstat',
      `shift 3; for pid; do printf '{"process_id":%s,"command":"x","files":[{"fd":0,"fd_type":"vnode"}' "$pid"
[ ! -e "$FAKE/open.$pid" ] || printf ',{"fd":3,"fd_type":"shm"},{"fd":4,"fd_type":"shm"}'; printf ']}'; done`,
    )
    .stub(
      'fstat',
      `printf 'USER     CMD          PID   FD MOUNT      INUM MODE         SZ|DV R/W\\n'
printf 'root     a b "fd_type":"shm" %5s   wd /usr/local/x 25174 drwxr-xr-x  84024099999  r\\n' "$2"; cat "$FAKE/open.$2"`,
    )
    .stub('posixshmcontrol', 'printf "%s|" "$2" >> "$FAKE/removed"')
    .stub(
      'sysctl',
      `for name; do case "$name" in *posix_shm_list) cat "$FAKE/shm" ;; *hw.physmem) echo ${2048 * MIB} ;;
*swap_reserved) cat "$FAKE/promised" ;; *swap_total) echo ${512 * MIB} ;; *v_page_count) echo 524288 ;; *v_page_size) echo 4096 ;; esac; done`,
    )
    .stub('sleep', 'case $1 in 2) echo >> "$FAKE/slept"; [ "$(wc -l < "$FAKE/slept")" -le "$LOOKS" ] ;; esac')
    .file('dev/console', '')
    .file('removed', '');
  shared();
  promised(500 * MIB);
});

describe('memory-guard', () => {
  it('leaves alone what has no more than it may have', () => {
    shared(
      [`${JAILS}/side/root/PostgreSQL.1`, 511 * MIB],
      [`${JAILS}/worker/root/x`, 500 * MIB],
      ['/host', 900 * MIB],
    );
    const result = run(2);
    expect([calls(result, 'pkill'), result.stderr]).toEqual([[], '']);
  });

  it('ends a jail whose processes leave more behind than it may have, and takes that away, whatever it is called', () => {
    shared(
      [`${JAILS}/side/root/a`, 300 * MIB],
      ['/host', 900 * MIB],
      // A line that would blame another one, and what a shell would take for more than a name.
      [
        `${JAILS}/side/root/b\n900000000000 \\0057${JAILS.slice(1)}/worker/root/c;$(reboot)\\0101\n`,
        300 * MIB,
      ],
    );
    const result = run();
    expect(result.stderr).toBe('');
    expect(calls(result, 'pkill')).toEqual(['-9 -j 2', '-9 -j 2']);
    expect(fake.read('removed')).toBe(
      `${JAILS}/side/root/a|${JAILS}/side/root/b\n900000000000 \\0057${JAILS.slice(1)}/worker/root/c;$(reboot)\\0101\n|`,
    );
    expect(why('side')).toBe('1767225600 had more shared memory than it may have memory\n');
    const said = 'side lost its processes: it had more shared memory than it may have memory.\n';
    expect([fake.read('dev/console'), fake.read('logged')]).toEqual([said, said]);
    expect(fake.has('var/run/clawdie/ended.worker')).toBe(false);
  });

  it('counts objects too, which the kernel has to keep, and goes by a quarter of all where a jail has no limit', () => {
    shared(...Array.from({ length: 1001 }, (_, each) => [`${JAILS}/side/root/${each}`, 0] as const), [
      `${JAILS}/worker/root/x`,
      513 * MIB,
    ]);
    expect(calls(run(), 'pkill')).toEqual(['-9 -j 1', '-9 -j 1', '-9 -j 2', '-9 -j 2']);
  });

  describe('what has no name', () => {
    beforeEach(() => {
      // Two processes of a jail, each with two objects, handed on by others that have ended.
      for (const pid of [700, 701])
        fake.file(
          `open.${pid}`,
          [3, 4]
            .map((fd) => `root     n          ${pid}    ${fd} -               -rw-------  ${200 * MIB} rw\n`)
            .join(''),
        );
      fake.file('processes.2', '  700\n  701\n').file('processes.1', '  600\n');
    });

    it('is looked at once memory is short, before it is gone', () => {
      promised(2040 * MIB);
      expect(calls(run(3), 'procstat')).toEqual([]);
      fake.removeFile('slept');
      promised(2060 * MIB);
      const result = run();
      expect([calls(result, 'pkill'), result.stderr]).toEqual([['-9 -j 2', '-9 -j 2'], '']);
      expect(calls(result, 'fstat')).toEqual(['-p 700', '-p 701']);
      expect(why('side')).toBe('1767225600 had more shared memory than it may have memory\n');
    });

    it('is left alone where it is no more than the jail may have, however short memory is', () => {
      promised(9000 * MIB);
      fake.removeFile('open.701');
      expect(calls(run(3), 'pkill')).toEqual([]);
    });
  });
});
