import { beforeEach, describe, expect, it } from 'vitest';
import { FakeRoot } from '../helpers/shell.js';
import type { ScriptResult } from '../helpers/shell.js';

const TOOL = 'overlays/firstboot/usr/local/libexec/clawdie/socket-guard';

let fake: FakeRoot;

/** procstat(1) as it prints in JSON what files the processes of a jail have. */
const files = (command: string, ...sockets: readonly object[]): string =>
  JSON.stringify({
    procstat: {
      files: {
        '700': {
          process_id: 700,
          command,
          files: [
            { fd: 0, fd_type: 'vnode', path: '/dev/null' },
            ...sockets.map((one) => ({ fd_type: 'socket', protocol: 'UDS', ...one, path: '-' })),
          ],
        },
      },
    },
  });

/** Jails by their numbers: what each has open, and what share of the memory it takes. */
function jails(
  them: Readonly<Record<string, { name: string; files: string; share: number }>>,
  other = 0,
): void {
  for (const [jid, { name, files, share }] of Object.entries(them)) {
    fake.file(`jails/${jid}`, `${name}\n`).file(`files/${jid}`, files).file(`share/${jid}`, `${share}\n`);
  }
  fake.file('share/host', `${other}\n`);
}

const run = (): ScriptResult => fake.run(TOOL, [], { FAKE: fake.root });
const ended = (result: ScriptResult): readonly string[] =>
  result.calls.filter((call) => call.startsWith('pkill')).map((call) => call.replace(/.*-j /, ''));

beforeEach(async () => {
  fake = (await FakeRoot.make())
    .stub('logger')
    .stub('date', 'echo 1767225600')
    .stub('jls', 'cd "$FAKE/jails" && for f in *; do echo "$f $(cat $f)"; done')
    // The processes of a jail: its own number stands for them.
    .stub('ps', 'echo "  $2"')
    .stub('procstat', 'shift 3; [ $# -eq 0 ] || cat "$FAKE/files/$1"')
    .stub('sysctl', 'case "$*" in *maxsockbuf) echo 2097152 ;; "-n "*) echo 1000 ;; esac')
    .stub(
      'vmstat',
      `printf 'ITEM                   SIZE   LIMIT     USED     FREE\\n\\n'
printf 'mbuf:                    256,  400000, %7d,       0,\\n' "$(cat "$FAKE/small" 2>/dev/null || echo 1200)"
printf 'mbuf_packet:             256,       0,       0,     200,\\n'
printf 'mbuf_cluster:           2048,    1000, %7d,       0,\\n' "$(cat "$FAKE"/share/* | awk '{ all += $1 * 10 } END { print all + 200 }')"
printf 'mbuf_jumbo_16k:        16384,       0,       9,       0,\\n'`,
    )
    // What it had is free once it is gone.
    .stub('pkill', '[ -e "$FAKE/share/$3" ] || exit 1; rm "$FAKE/share/$3"')
    // One look, and the end.
    .stub('sleep', 'case $1 in 3) [ ! -e "$FAKE/slept" ] && : > "$FAKE/slept" ;; esac')
    .file('dev/console', '');
});

describe('socket-guard', () => {
  it('leaves jails alone as long as there is room', () => {
    jails({ 1: { name: 'worker', files: files('node', { sendq: 9_000_000, recvq: 0 }), share: 70 } }, 9);
    expect(ended(run())).toEqual([]);
    expect(fake.has('var/run/clawdie/ended.worker')).toBe(false);
  });

  it('ends the processes of the jail that holds most, and no others; it is on the console, in the log, and on record', () => {
    jails({
      1: { name: 'worker', files: files('node', { sendq: 10_000, recvq: 500 }), share: 3 },
      2: { name: 'greedy', files: files('fill', { sendq: 70_000_000, recvq: 9_000_000 }), share: 90 },
    });
    const result = run();
    expect(new Set(ended(result))).toEqual(new Set(['2']));
    expect(fake.read('var/run/clawdie/ended.greedy')).toBe('1767225600 had nearly all memory for sockets\n');
    const words =
      'greedy lost its processes: 93% of the memory for sockets was taken, and nobody would have got in.';
    expect(fake.read('dev/console')).toBe(`${words}\n`);
    expect(result.calls).toContain(`logger -t clawdie -p daemon.err -- ${words}`);
  });

  it('counts sockets that do not say what they hold as full', () => {
    jails({
      1: { name: 'worker', files: files('node', { sendq: 9_000_000, recvq: 0 }), share: 10 },
      2: { name: 'greedy', files: files('fill', ...Array<object>(64).fill({})), share: 85 },
    });
    expect(new Set(ended(run()))).toEqual(new Set(['2']));
  });

  it('sees small ones as well, which take more of what is about data than of the data', () => {
    jails({ 1: { name: 'greedy', files: files('fill', {}), share: 1 } });
    fake.file('small', '399000\n').stub('pkill', 'rm "$FAKE/small"');
    const result = run();
    expect(new Set(ended(result))).toEqual(new Set(['1']));
    expect(fake.has('var/run/clawdie/ended.greedy')).toBe(true);
  });

  it('is not told something else by the name of a process or of a socket', () => {
    const lies = '{"sendq": 90000000},"sendq": 90000000,\n"sendq": 90000000';
    jails({
      1: { name: 'worker', files: files('node', { sendq: 100, recvq: 0 }), share: 1 },
      2: { name: 'framed', files: files(lies, { sendq: 2, recvq: 0, path: lies }), share: 5 },
      3: { name: 'greedy', files: files('","fd_type":"vnode', { sendq: 50_000_000, recvq: 0 }), share: 88 },
    });
    expect(new Set(ended(run()))).toEqual(new Set(['3']));
  });

  it('goes on until there is room, where those that hold it are not to be seen', () => {
    jails(
      {
        1: { name: 'worker', files: files('node', { sendq: 100, recvq: 0 }), share: 1 },
        2: { name: 'hidden', files: files('fill'), share: 89 },
      },
      5,
    );
    const result = run();
    expect([...new Set(ended(result))]).toEqual(['1', '2']);
    expect(fake.has('share/2')).toBe(false);
  });

  it('gives a process that waits for memory some, but not without end', () => {
    jails({ 1: { name: 'greedy', files: files('fill', {}), share: 99 } });
    fake
      .stub('pkill')
      .stub(
        'sysctl',
        'case "$*" in *maxsockbuf) echo 2097152 ;; "-n "*) echo "$(cat "$FAKE/limit" 2>/dev/null || echo 1000)" ;; *nmbclusters=*) echo "${2##*=}" > "$FAKE/limit" ;; esac',
      );
    const grown = run().calls.filter((call) => call.startsWith('sysctl -q kern.ipc.nmbclusters='));
    expect(grown.map((call) => call.replace(/.*=/, ''))).toEqual(['1125', '1250', '1375', '1500']);
  });
});
