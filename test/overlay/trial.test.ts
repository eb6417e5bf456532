import {
  cpSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { SECTOR } from '../../build/image/slot.js';
import { allowedSigners } from '../../build/overlay/signers.js';
import { bootWith, file, INIT, installedInstance } from '../helpers/instance.js';
import { settle } from '../helpers/power.js';
import type { FakeRoot, ScriptResult } from '../helpers/shell.js';
import { makeKey, signedSlot } from '../helpers/signing.js';
import type { KeyPair } from '../helpers/signing.js';
import { tmp } from '../helpers/tmp.js';

const TRIAL = 'overlays/base/sbin/clawdie-trial';
const STATE = 'var/db/clawdie/trial';
const NEW_LOGIN = { SSH_CONNECTION: '198.51.100.20 40001 203.0.113.10 22' };

let fake: FakeRoot;
let ours: KeyPair;
let before: Buffer;
let next: Buffer;

const slot = (serial: number, key = ours, deployment = 'natasha'): Promise<Buffer> =>
  signedSlot(
    [
      file('etc/clawdie/allowed_signers', allowedSigners([ours.line])),
      file(`etc/only.${serial}`, 'x'),
      file('etc/serial', `${serial}`),
    ],
    { deployment, serial },
    key,
  );
const sumOf = (each: Buffer): string =>
  /^sha256 (\S+)$/m.exec(each.toString('latin1', 0, SECTOR))?.[1] ?? 'none';

const trial = (...args: readonly string[]): ScriptResult => fake.run(TRIAL, args);
const put = (each: Buffer): ScriptResult => {
  writeFileSync(join(fake.root, 'new'), each);
  return trial('overlay', 'the overlay of the test', join(fake.root, 'new'));
};
/** As far as clawdie-init and rc.d/clawdie_trial go. */
const boot = (): ScriptResult => {
  const result = fake.run(INIT);
  if (result.code !== 0) return result;
  return { ...result, stdout: result.stdout + trial('start').stdout };
};
const waits = (): boolean => trial('waits').code === 0;
const says = (name: string): string | undefined =>
  new RegExp(`^${name.replace('.', '\\.')} (.*)$`, 'm').exec(trial('status').stdout)?.[1];
/** The overlay that is in force, whole, and what is known of it. */
const inForce = (): unknown => ({
  serial: fake.has('etc/serial') && fake.read('etc/serial'),
  files: readdirSync(join(fake.root, 'etc')).filter((name) => name.startsWith('only.')),
  applied: fake.has('etc/clawdie/applied') && fake.read('etc/clawdie/applied').trim(),
  slot: sumOf(readFileSync(join(fake.root, 'dev/gpt/clawdie-slot'))),
  last: fake.read('var/db/clawdie/trust/serial').trim(),
});
const force = (serial: number, each: Buffer): unknown => ({
  serial: `${serial}`,
  files: [`only.${serial}`],
  applied: sumOf(each),
  slot: sumOf(each),
  last: `${serial}`,
});

/** Seconds that a turn of who watches takes, which asks ps(1) how long it has been running. */
function turnsTake(seconds: number): void {
  const turns = join(fake.root, '..', 'turns');
  rmSync(turns, { force: true });
  fake
    .stub('sleep', `[ "$1" != 1 ] || echo >> '${turns}'`)
    .stub('ps', `[ "$1 $2 $3" = '-o etimes= -p' ] && echo "   $(($(wc -l < '${turns}') * ${seconds}))"`);
}

/** What the trial is known by to those who began it. */
const tokenOf = (): string => /^token (.*)$/m.exec(fake.read(`${STATE}/pending`))?.[1] ?? '';

/** Who watches over what is on trial, to its end. */
const watch = (): ScriptResult => trial('watch', tokenOf());

const turnsOf = ({ calls }: ScriptResult): number => calls.filter((call) => call === 'sleep 1').length;

beforeEach(async () => {
  ours = makeKey(await tmp(), 'ours');
  fake = (await installedInstance())
    .stub('daemon')
    .stub('logger')
    .stub('shutdown')
    .stub('reboot')
    .stub('jls', '[ "$*" != name ] || echo worker')
    .stub('sockstat', 'echo "root sshd 7 4 tcp4 203.0.113.10:22 198.51.100.20:40000"')
    .stub('pfctl')
    .stub('nc', 'exit 1');
  turnsTake(1);
  [before, next] = [await slot(10), await slot(11)];
  expect(bootWith(fake, before).code).toBe(0);
});

describe('an overlay on trial', () => {
  it('is tried by the next boot, and stays if somebody confirms it in a login', () => {
    expect(put(next)).toMatchObject({ code: 0, stdout: '', stderr: '' });
    expect(inForce()).toMatchObject({ serial: '10', applied: sumOf(before), slot: sumOf(next) });
    expect(fake.run(TRIAL, ['login'], NEW_LOGIN)).toMatchObject({ code: 75 });
    const result = boot();
    expect(result.stdout).toContain(`overlay ${sumOf(next)} applied.`);
    expect(result.stdout).toContain('an overlay is on trial');
    expect(says('phase')).toBe('tried');
    expect(trial('login').stdout).toBe('this is no SSH connection, so it proves nothing\n');
    expect(fake.run(TRIAL, ['login'], NEW_LOGIN)).toMatchObject({ code: 0, stdout: '198.51.100.20\n' });
    expect(trial('keep').code).toBe(0);
    expect(trial('end').code).toBe(0);
    expect([waits(), says('last.result'), says('last.new')]).toEqual([false, 'kept', sumOf(next)]);
    boot();
    expect(inForce()).toEqual(force(11, next));
    // Nothing of the one before is kept: it may hold secrets.
    expect(readdirSync(join(fake.root, STATE))).toEqual(['last']);
    expect(statSync(join(fake.root, STATE)).mode & 0o777).toBe(0o700);
  });

  it('has a watchdog of the hardware, where there is one, until it is confirmed: a kernel may hang', () => {
    fake.stub('kldload', '[ "$2" = amdsbwd ]').stub('watchdog');
    put(next);
    const dogs = ({ calls }: ScriptResult): readonly string[] =>
      calls.filter((call) => /^(?:kldload|watchdog) /.test(call));
    expect(dogs(boot())).toEqual(['kldload -nq ichwd', 'kldload -nq amdsbwd', 'watchdog -t 512']);
    fake.run(TRIAL, ['login'], NEW_LOGIN);
    expect(dogs(trial('keep'))).toEqual(['watchdog -t 0']);
    trial('end');
    expect(dogs(boot())).toEqual([]);
  });

  it('is taken back by the boot after it, with its serial, so that it can be tried again', () => {
    put(next);
    boot();
    const result = boot();
    expect(result.stdout).toContain('taken back: the instance was restarted before it was confirmed');
    // A power cut right then does not take the reason.
    expect(result.calls).toContain(`fsync ${join(fake.root, STATE, 'why')}`);
    expect(inForce()).toEqual(force(10, before));
    expect([waits(), says('last.result')]).toEqual([false, 'back']);
    expect(put(next).code).toBe(0);
    boot();
    fake.run(TRIAL, ['login'], NEW_LOGIN);
    trial('keep');
    trial('end');
    expect(inForce()).toEqual(force(11, next));
  });

  it('is taken back if nobody logs in, once sshd listens: the instance restarts, and says why', () => {
    put(next);
    boot();
    expect(trial('watch', 'another')).toMatchObject({ code: 0, calls: [] });
    const result = watch();
    expect(turnsOf(result)).toBe(60);
    expect(result.calls).toContain('shutdown -r now');
    // A shutdown that hangs is no way out.
    expect(result.calls.at(-1)).toBe('reboot -q');
    expect(fake.run(TRIAL, ['login'], NEW_LOGIN).stdout).toContain('too late');
    expect(trial('keep').code).toBe(1);
    boot();
    expect(inForce()).toEqual(force(10, before));
    expect(says('last.why')).toBe('nobody has logged in to confirm it within 60 s');
  });

  it('has 300 seconds for a boot in which sshd never listens, or for what somebody who logged in waits for', () => {
    put(next);
    boot();
    fake.stub('sockstat');
    expect(turnsOf(watch())).toBe(300);
    expect(says('against')).toBe('it was not confirmed within 300 s of its boot');
  });

  it('has these seconds, not turns of a loop, where a machine is slow', () => {
    put(next);
    boot();
    turnsTake(7);
    expect(turnsOf(watch())).toBe(9);
    expect(says('against')).toBe('nobody has logged in to confirm it within 60 s');
  });

  it('counts turns where ps(1) says nothing', () => {
    put(next);
    boot();
    fake.stub('ps', 'exit 1');
    expect(turnsOf(watch())).toBe(60);
  });

  it('is taken back by a restart where clawdie-init cannot put it in place', () => {
    put(next);
    fake.stub('pw', 'exit 1');
    const result = boot();
    expect(result).toMatchObject({ code: 1 });
    expect(result.stdout).toContain('the overlay was on trial: restarting with the one before');
    expect(result.calls).toContain('reboot -q');
    fake.stub('pw');
    boot();
    expect(inForce()).toEqual(force(10, before));
  });

  it('is not applied where a folder of it is a link here, and that is what is said of it then', () => {
    put(next);
    mkdirSync(join(fake.root, 'disk2'));
    cpSync(join(fake.root, 'etc'), join(fake.root, 'disk2/etc'), { recursive: true });
    rmSync(join(fake.root, 'etc'), { recursive: true });
    symlinkSync(join(fake.root, 'disk2/etc'), join(fake.root, 'etc'));
    expect(boot().code).toBe(0);
    expect(inForce()).toEqual(force(10, before));
    expect([waits(), says('last.result')]).toEqual([false, 'back']);
    expect(says('last.why')).toContain('the overlay has a folder /etc, which is a link here;');
    rmSync(join(fake.root, 'etc'));
    cpSync(join(fake.root, 'disk2/etc'), join(fake.root, 'etc'), { recursive: true });
    // It was not accepted, either: it can come again.
    expect(put(next).code).toBe(0);
    boot();
    expect(inForce()).toMatchObject({ serial: '11' });
  });

  it('is taken back on a disk that is full by then: room was kept for the overlay before', () => {
    put(next);
    // A disk that has no room but for what is given up.
    fake.stub(
      'tar',
      `case "$*" in *-x*) [ ! -e '${fake.root}/${STATE}/room' ] || exit 1 ;; esac\nexec /usr/bin/tar "$@"`,
    );
    const result = boot();
    expect(result.stdout).toContain('the overlay cannot be unpacked');
    expect(result.calls).toContain('reboot -q');
    expect(boot().code).toBe(0);
    expect(inForce()).toEqual(force(10, before));
    expect(readdirSync(join(fake.root, STATE))).toEqual(['last']);
  });

  it('is taken back where the disk is so full that its boot cannot even be noted', () => {
    put(next);
    fake.stub(
      'mv',
      `case "$*" in */pending.new\\ *) [ ! -e '${fake.root}/${STATE}/room' ] || exit 1 ;; esac\nexec /bin/mv "$@"`,
    );
    const why = 'the root file system could not be written when it was to be tried';
    expect(boot().stdout).toContain(`the overlay on trial is taken back: ${why}.`);
    expect(inForce()).toEqual(force(10, before));
    expect([waits(), says('last.result'), says('last.why')]).toEqual([false, 'back', why]);
  });

  it('is taken back on a file system that a power cut has damaged, once all of that was looked at', () => {
    put(next);
    boot();
    // A name whose file is gone, until fsck(8) has looked at more than the journal.
    fake
      .file('damaged', '')
      .stub('fsck', `[ "$1" != -fy ] || rm -f '${fake.root}/damaged'`)
      .stub(
        'tar',
        `case "$*" in *-x*) [ ! -e '${fake.root}/damaged' ] || exit 1 ;; esac\nexec /usr/bin/tar "$@"`,
      );
    const result = boot();
    expect(result.code).toBe(1);
    expect(result.stdout).toContain('the overlay cannot be unpacked');
    expect(result.calls.slice(-2)).toEqual(['fsck -fy /', 'reboot -q']);
    expect(boot().stdout).toContain('taken back: the instance was restarted before it was confirmed');
    expect(inForce()).toEqual(force(10, before));
    expect([waits(), says('last.result')]).toEqual([false, 'back']);
  });

  it.each([
    ['in force', false],
    ['half unpacked', true],
  ])('stays, %s, where what was kept of the one before is damaged, and that is said', (_, half) => {
    put(next);
    boot();
    if (half) fake.removeFile('etc/clawdie/applied');
    const kept = readFileSync(join(fake.root, STATE, 'slot')).fill(0, 2 * SECTOR);
    fake.file(`${STATE}/slot`, kept);
    const result = boot();
    expect(result.code).toBe(0);
    expect(result.stdout).toContain('what was kept of it is damaged: the one that was on trial stays');
    expect(inForce()).toEqual(force(11, next));
    expect([waits(), says('last.result')]).toEqual([false, 'lost']);
    expect(says('last.why')).toBe('what was kept of the overlay before is damaged');
    // And the next one can come.
    expect(trial('back').stdout).toBe('nothing is on trial\n');
  });

  it('is taken back where the one before is in the slot already, and what was kept of it is damaged by then', () => {
    put(next);
    boot();
    fake.stub('pw', 'exit 1');
    boot();
    expect(inForce()).toMatchObject({ applied: false, slot: sumOf(before) });
    fake.stub('pw').file(`${STATE}/slot`, Buffer.alloc(next.length));
    expect(boot().code).toBe(0);
    expect(inForce()).toEqual(force(10, before));
    expect([waits(), says('last.result')]).toEqual([false, 'back']);
  });

  it('is refused where it would not be taken, or there is no way back: nothing is changed', async () => {
    const others = makeKey(await tmp(), 'others');
    const untouched = force(10, before);
    for (const [each, why] of [
      [await slot(11, others), 'it is signed by none of the signers'],
      [await slot(9), 'it is older (serial 9) than the last one (10)'],
      [await slot(11, ours, 'igor'), 'it is of the deployment "igor"'],
      [next.subarray(0, next.length - 512), 'bytes, the slot'],
      [Buffer.concat([next.subarray(0, SECTOR), Buffer.alloc(next.length - SECTOR)]), 'it is damaged'],
    ] as const) {
      const result = put(each);
      expect(result.code).toBe(1);
      expect(result.stdout).toContain(why);
      expect([inForce(), waits()]).toEqual([untouched, false]);
    }
    const release = fake.read('etc/clawdie/release');
    fake.file('etc/clawdie/release', '15.2-RELEASE-amd64\n');
    expect(put(next).stdout).toContain('it is for release "15.1-RELEASE-amd64", this is 15.2-RELEASE-amd64');
    fake.file('etc/clawdie/release', release);
    expect(put(before).code).toBe(3);
    fake.file('dev/gpt/clawdie-slot', await slot(8));
    expect(put(next).stdout).toContain('no way back');
    fake.file('dev/gpt/clawdie-slot', before);
    expect(put(next).code).toBe(0);
    expect(put(await slot(12)).stdout).toContain('a change waits');
    fake.removeFile('etc/clawdie/installed');
    expect(put(next).stdout).toContain('live image');
  });

  it('goes back at once as long as it waits for its boot', () => {
    put(next);
    expect(trial('back', 'I was wrong').code).toBe(0);
    expect(inForce()).toEqual(force(10, before));
    expect(says('last.why')).toBe('I was wrong');
    expect(trial('back').code).toBe(1);
  });

  it('goes back once who puts it on trial is done with that: the slot has no two that write it', () => {
    put(next);
    const beginner = (turns: number): void => {
      const left = join(fake.root, '..', 'left');
      writeFileSync(left, 'x'.repeat(turns));
      fake
        .stub(
          'ps',
          `[ "$*" = "-o command= -p ${tokenOf().split('.')[0] ?? ''}" ] && [ -s '${left}' ] && echo "sh /sbin/clawdie-trial overlay"`,
        )
        .stub('sleep', `truncate -s -1 '${left}'`);
    };
    beginner(99);
    expect(trial('back')).toMatchObject({
      code: 1,
      stdout: expect.stringContaining('it is being put on trial by process') as string,
    });
    expect([says('phase'), inForce()]).toEqual([
      'new',
      { ...(force(10, before) as object), slot: sumOf(next) },
    ]);
    beginner(3);
    const result = trial('back');
    expect([result.code, result.calls.filter((call) => call === 'sleep 1').length]).toEqual([0, 3]);
    expect(inForce()).toEqual(force(10, before));
  });

  it('does not begin on a disk that has no room for what is to take it back', () => {
    // No byte can be written to any file.
    fake.through = ['sh', '-c', `trap '' XFSZ; ulimit -f 0; exec "$0" "$@"`];
    expect(trial('rules', 'x', join(fake.root, 'etc/serial'))).toMatchObject({
      code: 1,
      stdout: 'the root file system cannot be written\n',
    });
    fake.through = [];
    expect([waits(), inForce()]).toEqual([false, force(10, before)]);
    expect(
      readdirSync(join(fake.root, 'var/db/clawdie')).filter((name) => name.startsWith('trial.')),
    ).toEqual([]);
  });

  it.each(['file', 'rules'])('is kept only where what was confirmed has got its place: %s', (name) => {
    const kept = (): unknown =>
      fake.file(`${STATE}/kept`, 'kind rules\nwhat some rules\ntoken x\nphase new\n');
    kept();
    fake.file(`${STATE}/${name}`, 'pass\n');
    const result = boot();
    expect(result.code).toBe(0);
    expect([waits(), says('last.result'), says('last.what')]).toEqual([false, 'back', 'some rules']);
    expect(says('last.why')).toBe('the instance was restarted before what was confirmed was on the disk');
    expect(result.calls).toContain(`fsync ${join(fake.root, STATE, 'why')}`);
    expect(readdirSync(join(fake.root, STATE))).toEqual(['last']);
    // A power cut can leave a file both names that mv(1) has given it.
    kept();
    linkSync(join(fake.file(`${STATE}/${name}`, 'pass\n').root, STATE, name), join(fake.root, 'etc/x.conf'));
    boot();
    expect(says('last.result')).toBe('kept');
  });

  it('has its files to itself: nobody begins another one before those of the last are gone', () => {
    const seen = join(fake.root, '..', 'seen');
    put(next);
    fake.stub('find', `ls '${join(fake.root, STATE)}' >> '${seen}'\nexec /usr/bin/find "$@"`);
    expect(trial('back').code).toBe(0);
    expect(readFileSync(seen, 'utf8').split('\n')).toContain('back');
    fake.remove('find').file(`${STATE}/kept`, 'kind rules\nwhat x\ntoken x\nphase new\n');
    expect(put(next).stdout).toContain('a change waits');
    expect(readdirSync(join(fake.root, STATE)).sort()).toEqual(['kept', 'last']);
  });

  it('takes back an overlay whose key in the slot was overwritten since it was signed', () => {
    // As forget_member() leaves it: other contents, their sum in the header, and the signature of before.
    const spoilt = Buffer.from(before);
    const sum = sumOf(before);
    const other = 'e'.repeat(64);
    spoilt.write(spoilt.toString('latin1', 0, SECTOR).replace(sum, other), 'latin1');
    fake.stub('sha256', `s=$(sha256sum | cut -d ' ' -f 1); [ $s != ${sum} ] || s=${other}; echo $s`);
    fake
      .file('dev/gpt/clawdie-slot', spoilt)
      .file('etc/clawdie/applied', `${other}\n`)
      .file('var/db/clawdie/overlay.came', `${other} ${sum}\n`);
    // It is the one that it was.
    fake.stub('sha256', `sha256sum | cut -d ' ' -f 1`);
    expect(put(before).code).toBe(3);
    fake.stub('sha256', `s=$(sha256sum | cut -d ' ' -f 1); [ $s != ${sum} ] || s=${other}; echo $s`);
    expect(put(next)).toMatchObject({ code: 0, stdout: '' });
    boot();
    expect(fake.read('etc/serial')).toBe('11');
    expect(boot().code).toBe(0);
    expect([fake.read('etc/serial'), fake.read('etc/clawdie/applied')]).toEqual(['10', `${other}\n`]);
  });
});

/** Programs that change something on the disk. */
const CHANGING = ['dd', 'mv', 'rm', 'cp', 'ln', 'tar', 'fsync', 'mkdir', 'pw', 'cat'];

describe('a power cut', () => {
  /** Runs a script whose power fails at the n-th program that changes something; true if it came to its end before. */
  const cutAt = (n: number, script: string, args: readonly string[] = []): boolean => {
    const count = join(fake.root, '../count');
    rmSync(count, { force: true });
    const folder = join(fake.root, '../cut');
    rmSync(folder, { recursive: true, force: true });
    cpSync(fake.bin, folder, { recursive: true, verbatimSymlinks: true });
    for (const name of CHANGING) {
      const real = ['/usr/bin', '/bin'].find((each) => readdirSync(each).includes(name));
      const then = readdirSync(fake.bin).includes(name)
        ? `exec '${fake.bin}/${name}' "$@"`
        : `exec ${real ?? '/usr/bin'}/${name} "$@"`;
      writeFileSync(
        join(folder, name),
        `#!/bin/sh\necho >> '${count}'\n[ "$(wc -l < '${count}')" -lt ${n} ] || kill -9 0\n${then}\n`,
        { mode: 0o755 },
      );
    }
    const text = readFileSync(script, 'utf8').replace(/^PATH=.*$/m, `PATH='${folder}':/usr/bin:/bin`);
    writeFileSync(join(fake.root, '../script'), text);
    const result = spawnSync('setsid', ['-w', 'sh', join(fake.root, '../script'), ...args], {
      env: { PATH: `${folder}:/usr/bin:/bin`, CLAWDIE_TEST_ROOT: fake.root, CLAWDIE_ROOT: fake.root },
    });
    return result.signal === null && result.status === 0;
  };
  const snapshot = (): (() => void) => {
    const kept = join(fake.root, '../kept');
    rmSync(kept, { recursive: true, force: true });
    cpSync(fake.root, kept, { recursive: true, verbatimSymlinks: true });
    return () => {
      rmSync(fake.root, { recursive: true });
      cpSync(kept, fake.root, { recursive: true, verbatimSymlinks: true });
    };
  };

  it.each([
    ['while it is put on trial', (): void => undefined, TRIAL, ['overlay', 'x', 'new']],
    ['while it is tried', (): void => void put(next), INIT, []],
    [
      'while it is taken back',
      (): void => {
        put(next);
        boot();
      },
      INIT,
      [],
    ],
  ] as const)(
    'at every moment %s ends with the overlay before, whole',
    (_, prepare, script, args) => {
      writeFileSync(join(fake.root, 'new'), next);
      prepare();
      const back = snapshot();
      let n = 1;
      for (let done = false; !done; n += 1) {
        back();
        done = cutAt(
          n,
          script,
          args.map((arg) => (arg === 'new' ? join(fake.root, 'new') : arg)),
        );
        settle(boot, waits);
        expect([n, inForce(), waits()]).toEqual([n, force(10, before), false]);
      }
      expect(n).toBeGreaterThan(12);
    },
    600_000,
  );

  it('at every moment of the confirmation ends with one of the two, whole', () => {
    put(next);
    boot();
    fake.run(TRIAL, ['login'], NEW_LOGIN);
    const back = snapshot();
    const seen = new Set<string>();
    for (let n = 1, done = false; !done; n += 1) {
      back();
      done = cutAt(n, TRIAL, ['keep']);
      settle(boot, waits);
      const serial = fake.read('etc/serial');
      seen.add(serial);
      expect([n, inForce()]).toEqual([n, serial === '11' ? force(11, next) : force(10, before)]);
      expect(says('last.result')).toBe(serial === '11' ? 'kept' : 'back');
    }
    expect([...seen].sort()).toEqual(['10', '11']);
  }, 600_000);
});
