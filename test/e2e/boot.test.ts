import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { FAULT_NAMES, FAULTS, faultyImage } from '../../build/boot/faults.js';
import { sha256 } from '../../build/host/hash.js';
import { findInRoot } from '../../build/image/iso9660.js';
import { SAMPLE_MESSAGE } from '../../build/release/sample/stub.js';
import { blankIso, SLOT_AT, stubMachine, writeDisk } from '../helpers/disk.js';
import { cli, MAIN, sampleArgs } from '../helpers/cli.js';
import type { BootReport } from '../../build/boot/report.js';

describe('clawdie-iso boot', () => {
  let folder: string;
  beforeAll(async () => {
    folder = mkdtempSync('/tmp/clawdie-boot-');
    expect((await cli(sampleArgs(folder))).code).toBe(0);
    return () => {
      rmSync(folder, { recursive: true, force: true });
    };
  });

  it('starts the sample image in four ways: it says what it is, and nothing of it passes for checked', async () => {
    const image = join(folder, 'dist', 'clawdie-sample-amd64.iso');
    const out = join(folder, 'boot');
    const result = await cli(['boot', image, '--accel', 'tcg', '--memory', '256M', '--out', out]);
    expect(result).toMatchObject({ code: 0, stderr: '' });
    const report = JSON.parse(readFileSync(join(out, 'report.json'), 'utf8')) as BootReport;
    expect(report).toMatchObject({ ok: true, image });
    expect(report.starts.map(({ firmware, media, reached }) => [firmware, media, reached])).toEqual([
      ['bios', 'cd', 'sample'],
      ['bios', 'disk', 'sample'],
      ['uefi', 'cd', 'sample'],
      ['uefi', 'disk', 'sample'],
    ]);
    for (const { checks, firmware, media } of report.starts) {
      expect(checks.length).toBeGreaterThan(5);
      expect(checks.every(({ state }) => state === 'not applicable')).toBe(true);
      const log = readFileSync(join(out, `${firmware}-${media}.log`), 'utf8');
      for (const line of SAMPLE_MESSAGE) expect(log).toContain(line);
    }
    // The last of its frames is a picture, with what the serial console said.
    for (const { frames } of report.starts) {
      const last = frames?.at(-1);
      expect(last).toMatchObject({
        at: 'end',
        lines: expect.arrayContaining([...SAMPLE_MESSAGE]) as unknown,
      });
      expect(readFileSync(join(out, last?.image ?? '')).toString('latin1', 1, 4)).toBe('PNG');
    }
    const shown = await cli([
      'report',
      join(folder, 'dist', 'clawdie-sample-amd64.json'),
      '--boot',
      join(out, 'report.json'),
    ]);
    expect(shown).toMatchObject({ code: 0, stderr: '' });
    const page = readFileSync(join(folder, 'dist', 'clawdie-sample-amd64.html'), 'utf8');
    expect(page.match(/<img src="data:image\/png;base64,/g)?.length).toBeGreaterThanOrEqual(4);
    expect(result.stdout).toContain('This is the sample image');
    expect(result.stdout).not.toMatch(/^ {2}ok /m);
    const junit = readFileSync(join(out, 'report.xml'), 'utf8');
    expect(junit.match(/<skipped /g)).toHaveLength(
      report.starts.reduce((sum, { checks }) => sum + checks.length, 0),
    );
    expect(junit).not.toContain('<failure');
  }, 240_000);

  it('fails for an image that does not boot, says where it stopped, and shows the console', async () => {
    const image = join(folder, 'nothing.iso');
    writeFileSync(image, blankIso());
    const out = join(folder, 'nothing');
    const result = await cli([
      'boot',
      image,
      '--accel',
      'tcg',
      '--memory',
      '64M',
      '--firmware',
      'bios',
      '--media',
      'disk',
      '--timeout',
      '8',
      '--out',
      out,
    ]);
    expect(result.code).toBe(1);
    expect(result.stdout).toContain('bios, disk: FAILED');
    expect(result.stdout).toContain('stopped after nothing: nothing more came within 8 s');
    expect(readFileSync(join(out, 'report.xml'), 'utf8')).toContain(
      '<failure message="stopped after nothing',
    );
  }, 60_000);

  it('leaves no QEMU behind when it is interrupted', async () => {
    const image = join(folder, 'waiting.iso');
    writeFileSync(image, blankIso());
    const child = spawn(
      process.execPath,
      [MAIN, 'boot', image, '--accel', 'tcg', '--memory', '64M', '--out', join(folder, 'waiting')],
      { stdio: 'ignore' },
    );
    const running = (): boolean => spawnSync('pgrep', ['-f', `qemu-system.*${image}`]).status === 0;
    for (let waited = 0; waited < 20_000 && !running(); waited += 200) await sleep(200);
    expect(running()).toBe(true);
    const ended = new Promise((resolve) =>
      child.once('exit', (code) => {
        resolve(code);
      }),
    );
    child.kill('SIGINT');
    expect(await ended).toBe(130);
    expect(running()).toBe(false);
  }, 60_000);

  it.each(FAULT_NAMES.filter((name) => 'slot' in FAULTS[name]))(
    'makes the fault %s in the slot alone',
    async (name) => {
      const image = join(folder, 'dist', 'clawdie-sample-amd64.iso');
      const copy = join(folder, `${name}.iso`);
      await faultyImage(image, copy, FAULTS[name]);
      const slotOf = async (path: string): Promise<{ slot: Buffer; rest: string }> => {
        const bytes = readFileSync(path);
        const at = await findInRoot(
          (offset, length) => Promise.resolve(bytes.subarray(offset, offset + length)),
          'overlay',
          path,
        );
        const slot = Buffer.from(bytes.subarray(at.offset, at.offset + at.length));
        return { slot, rest: sha256(bytes.fill(0, at.offset, at.offset + at.length)) };
      };
      const [before, after] = [await slotOf(image), await slotOf(copy)];
      expect(after.rest).toBe(before.rest);
      const head = after.slot.toString('latin1', 0, 512).replace(/\0+$/, '');
      const value = (key: string): string => new RegExp(`^${key} (\\S+)$`, 'm').exec(head)?.[1] ?? '';
      const sum = sha256(after.slot.subarray(512, 512 + Number(value('length'))));
      switch (name) {
        case 'slot-empty':
          expect(head).toMatch(/^clawdie-slot 1\nrelease \S+\n$/);
          break;
        case 'slot-oversized':
          expect(Number(value('length'))).toBeGreaterThan(after.slot.length);
          break;
        case 'slot-release':
          expect(value('release')).not.toBe('sample-amd64');
          expect(value('sha256')).toBe(sum);
          break;
        case 'slot-damaged':
          expect(value('sha256')).not.toBe(sum);
          break;
        default:
          // An overlay that clawdie-init takes, and pfctl does not.
          expect(value('sha256')).toBe(sum);
          expect(after.slot.toString('latin1')).toContain('pass in this is no rule');
          expect(before.slot.toString('latin1')).not.toContain('pass in this is no rule');
      }
    },
  );

  it('starts a disk image as the disk that it is, in its own format, and leaves it as it was', async () => {
    const [raw, image] = [join(folder, 'raw'), join(folder, 'disk.qcow2')];
    writeDisk(raw, 64 * 1024 * 1024 + 512 * 536576, 'r');
    spawnSync('qemu-img', ['convert', '-O', 'qcow2', raw, image]);
    const sum = sha256(readFileSync(image));
    const bin = stubMachine(folder, raw, 'exec sleep 60');
    const out = join(folder, 'disk');
    const env = { PATH: `${bin}:${process.env['PATH'] ?? ''}` };
    const result = await cli(
      ['boot', image, '--accel', 'tcg', '--timeout', '1', '--check', 'tcp', '--out', out],
      { env },
    );
    expect(result.code).toBe(1);
    const calls = readFileSync(join(bin, 'calls'), 'utf8').trimEnd().split('\n');
    expect(calls).toHaveLength(2);
    for (const call of calls) {
      expect(call).toContain(`-drive if=ide,format=qcow2,snapshot=on,file=${image}`);
      expect(call).not.toContain('media=cdrom');
    }
    expect(sha256(readFileSync(image))).toBe(sum);
    for (const [args, message] of [
      [['--media', 'cd'], 'is a disk image, which is no CD'],
      [['--installed'], 'is a disk image: what is on it is installed already'],
    ] as const)
      expect(await cli(['boot', image, '--accel', 'tcg', '--out', out, ...args], { env })).toMatchObject({
        code: 2,
        stderr: expect.stringContaining(message) as string,
      });
  }, 60_000);

  it('installs an ISO onto a blank disk where it is told to, and starts that', async () => {
    const iso = join(folder, 'dist', 'clawdie-sample-amd64.iso');
    const disk = join(folder, 'installed');
    writeDisk(disk, 4 * 1024 ** 3, 'r');
    // What an installation leaves: the overlay is in its slot.
    writeFileSync(join(folder, 'overlay'), 'clawdie-overlay 1\n');
    spawnSync('dd', [
      `if=${join(folder, 'overlay')}`,
      `of=${disk}`,
      'bs=512',
      `seek=${SLOT_AT}`,
      'conv=notrunc,sync',
    ]);
    const bin = stubMachine(
      folder,
      disk,
      'case "$*" in *if=virtio*) complete "$@" > /dev/null; echo "Installed. Restarting." ;; *) exec sleep 60 ;; esac',
    );
    rmSync(join(bin, 'calls'), { force: true });
    const out = join(folder, 'installed-boot');
    const env = { PATH: `${bin}:${process.env['PATH'] ?? ''}` };
    const args = [
      'boot',
      iso,
      '--installed',
      '--accel',
      'tcg',
      '--timeout',
      '1',
      '--check',
      'tcp',
      '--out',
      out,
    ];
    const result = await cli(args, { env });
    expect(result.stdout).toContain('onto a blank disk');
    expect(result.stdout).toContain('uefi, disk: FAILED');
    const calls = readFileSync(join(bin, 'calls'), 'utf8').trimEnd().split('\n');
    expect(calls.slice(-2).every((call) => /if=ide,format=raw,snapshot=on/.test(call))).toBe(true);
    expect(calls[0]).toMatch(/-nic none .*media=cdrom.*if=virtio/);
    // It says so, and goes on from memory: nobody waits for it.
    const gaveUp = stubMachine(
      folder,
      disk,
      'echo "clawdie-install: the medium cannot be read."; echo "/etc/rc: WARNING: nothing is installed: this instance runs from memory."; exec sleep 60',
    );
    const failed = await cli(args, { env: { PATH: `${gaveUp}:${process.env['PATH'] ?? ''}` } });
    expect(failed.code).toBe(1);
    expect(failed.stderr).toContain('the installer gave up: the medium cannot be read.');
    const sample = await cli(args);
    expect(sample.code).toBe(1);
    expect(sample.stderr).toContain('this is the sample image, which holds no FreeBSD');
    const refused = await cli([...args, '--fault', 'pf-broken'], { env });
    expect(refused).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('leave --fault or --installed out') as string,
    });
  }, 60_000);

  it('refuses what it does not know', async () => {
    const neither = join(folder, 'neither.img');
    writeFileSync(neither, Buffer.alloc(1024 * 1024));
    const nothing = await cli(['boot', neither]);
    expect(nothing).toMatchObject({ code: 2 });
    expect(nothing.stderr).toContain('is no disk image of this project: it has no partition table');
    const missing = await cli(['boot', join(folder, 'absent.iso')]);
    expect(missing).toMatchObject({ code: 2 });
    expect(missing.stderr).toContain('There is no image');
    const wrong = await cli(['boot', 'x.iso', '--check', 'nonsense']);
    expect(wrong.code).toBe(2);
    expect(wrong.stderr).toContain('"nonsense" is none of silence, tcp');
  });
});
