import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { SECTOR, signatureIn, withSignature } from '../../build/image/slot.js';
import type { OverlayEntry } from '../../build/overlay/render.js';
import { allowedSigners, IMAGE_NAMESPACE } from '../../build/overlay/signers.js';
import { bootWith, file, installedInstance, slotOf, whole } from '../helpers/instance.js';
import type { FakeRoot, ScriptResult } from '../helpers/shell.js';
import { makeKey, signedSlot } from '../helpers/signing.js';
import type { KeyPair } from '../helpers/signing.js';
import { tmp } from '../helpers/tmp.js';

const TRUST = 'overlays/base/sbin/clawdie-trust';

let fake: FakeRoot;
let ours: KeyPair;
let others: KeyPair;

/** The files of an overlay that says which one it is, and whose overlays come after it. */
const files = (name: string, signers: readonly KeyPair[] = [ours]): readonly OverlayEntry[] => [
  ...(signers.length > 0
    ? [file('etc/clawdie/allowed_signers', allowedSigners(signers.map(({ line }) => line)))]
    : []),
  file('etc/name', name),
];
const natasha = (serial: number) => ({ deployment: 'natasha', serial });
const applied = (): string => fake.read('etc/name');
const boot = (slot: Buffer): ScriptResult => bootWith(fake, slot);

beforeEach(async () => {
  const folder = await tmp();
  [ours, others] = [makeKey(folder, 'ours'), makeKey(folder, 'others')];
  fake = await installedInstance();
});

/** An overlay that is not taken: the one before stays in force, and the console says why. */
const refused = (slot: Buffer, why: string): void => {
  const before = applied();
  const result = boot(slot);
  expect(result).toMatchObject({ code: 0, stderr: '' });
  expect(result.stdout).toContain(`clawdie-init: the overlay in the slot is refused: ${why}`);
  expect(result.stdout).toMatch(/it is not applied\.\nclawdie-init: overlay [0-9a-f]{64} stands\.\n$/);
  expect(applied()).toBe(before);
};

describe('an instance without signers', () => {
  it('takes what it gets, and says so', async () => {
    for (const name of ['one', 'two']) {
      const result = boot(await slotOf(files(name, [])));
      expect(result).toMatchObject({ code: 0 });
      expect(result.stdout).toContain('this instance has no signers: its next overlay needs no signature.');
      expect(applied()).toBe(name);
    }
    expect(fake.run(TRUST, ['status']).stdout).toBe(
      'This instance has no signers: any overlay for its release is taken.\n',
    );
    expect(fake.has('var/db/clawdie/trust')).toBe(false);
  });
});

describe('an instance with signers', () => {
  beforeEach(async () => {
    // The first overlay is trusted with the image that it came in.
    const result = boot(await signedSlot(files('first'), natasha(10), ours));
    expect(result.code).toBe(0);
    expect(result.stdout).not.toContain('no signers');
  });

  it('verifies two at once, neither with what is of the other', async () => {
    const slot = join(fake.root, 'new');
    writeFileSync(slot, await signedSlot(files('second'), natasha(11), ours));
    // The other one comes to its end in between.
    fake.stub(
      'ssh-keygen',
      `rm -f '${fake.root}'/var/db/clawdie/trust/header '${fake.root}'/var/db/clawdie/trust/signature\nexec /usr/bin/ssh-keygen "$@"`,
    );
    expect(fake.run(TRUST, ['check', slot])).toMatchObject({ code: 0, stdout: '', stderr: '' });
    writeFileSync(slot, await signedSlot(files('second'), natasha(11), others));
    expect(fake.run(TRUST, ['check', slot]).stdout).toContain('it is signed by none of the signers');
    expect(readdirSync(join(fake.root, 'var/db/clawdie/trust')).sort()).toEqual([
      'deployment',
      'serial',
      'signers',
    ]);
  });

  it('takes the next overlay of theirs, of the same or a later serial', async () => {
    for (const serial of [10, 11, 4000000000]) {
      expect(boot(await signedSlot(files(`of ${serial}`), natasha(serial), ours))).toMatchObject({
        code: 0,
        stderr: '',
      });
      expect(applied()).toBe(`of ${serial}`);
    }
    expect(fake.run(TRUST, ['status']).stdout).toMatch(
      /signed by one of:\n {4}ssh-ed25519 \S+\ndeployment {2}natasha\nserial {6}4000000000, or a later one\n$/,
    );
  });

  it('refuses what is not signed, or signed as something else', async () => {
    refused(await slotOf(files('new')), 'it is not signed');
    refused(await signedSlot(files('new'), natasha(11), others), 'it is signed by none of the signers');
    refused(
      await signedSlot(files('new'), natasha(11), ours, IMAGE_NAMESPACE),
      'it is signed by none of the signers',
    );
  });

  it('refuses another deployment, and what is older than the last', async () => {
    refused(
      await signedSlot(files('new'), { deployment: 'igor', serial: 11 }, ours),
      'it is of the deployment "igor", this is natasha',
    );
    refused(
      await signedSlot(files('new'), natasha(9), ours),
      'it is older (serial 9) than the last one (10)',
    );
    boot(await signedSlot(files('later'), natasha(20), ours));
    refused(
      await signedSlot(files('new'), natasha(11), ours),
      'it is older (serial 11) than the last one (20)',
    );
  });

  it('refuses a header that was changed after it was signed, and a signature that was moved', async () => {
    const good = await signedSlot(files('new'), natasha(11), ours);
    const other = await signedSlot(files('old'), natasha(9), ours);
    const withText = (from: string, to: string): Buffer => {
      const slot = Buffer.from(good);
      slot.fill(0, 0, SECTOR);
      slot.write(good.toString('latin1', 0, SECTOR).replace(/\0+$/, '').replace(from, to), 'latin1');
      return slot;
    };
    for (const [from, to] of [
      ['serial 11', 'serial 12'],
      ['deployment natasha', 'deployment igor'],
      ['serial 11', 'serial 11\nserial 99'],
      ['\nserial 11', ''],
    ] as const)
      refused(withText(from, to), 'it is signed by none of the signers');
    refused(whole(withSignature(good, signatureIn(other) ?? '')), 'it is signed by none of the signers');
    expect(boot(good).code).toBe(0);
    expect(applied()).toBe('new');
  });

  it('knows the signers of the overlay in force, so that keys change hands', async () => {
    boot(await signedSlot(files('both', [ours, others]), natasha(11), ours));
    boot(await signedSlot(files('theirs', [others]), natasha(12), others));
    expect(applied()).toBe('theirs');
    refused(await signedSlot(files('new'), natasha(13), ours), 'it is signed by none of the signers');
    // One that names nobody ends it, and is told.
    const last = boot(await signedSlot(files('free', []), natasha(13), others));
    expect(last.stdout).toContain('this instance has no signers');
    boot(await slotOf(files('anything', [])));
    expect(applied()).toBe('anything');
  });

  it('goes on after a power cut in the middle, with other signers in place or not; with nothing else', async () => {
    const next = await signedSlot(files('theirs', [others]), natasha(11), ours);
    for (const [command, back] of [
      ['tar', () => fake.remove('tar')],
      ['pw', () => fake.stub('pw')],
    ] as const) {
      fake.stub(
        command,
        command === 'pw' ? 'exit 1' : 'case $1 in -tf) exec /usr/bin/tar "$@" ;; esac; exit 1',
      );
      expect(boot(next)).toMatchObject({ code: 1 });
      expect(fake.has('etc/clawdie/applied')).toBe(false);
      const stranger = boot(
        await signedSlot(files('strange'), natasha(12), makeKey(await tmp(), 'stranger')),
      );
      expect(stranger.code).toBe(1);
      expect(stranger.stdout).toContain('this instance stays closed');
      back();
    }
    expect(boot(next).code).toBe(0);
    expect(applied()).toBe('theirs');
  });

  it('is closed where it cannot verify', async () => {
    fake.stub('ssh-keygen', 'exit 127');
    refused(await signedSlot(files('new'), natasha(11), ours), 'it is signed by none of the signers');
  });

  it.each([
    ['rsa', ['-b', '4096']],
    ['ecdsa', ['-b', '521']],
  ] as const)('takes signatures of %s keys, which are longer', async (type, more) => {
    const key = makeKey(await tmp(), 'long', type, ...more);
    boot(await signedSlot(files('both', [ours, key]), natasha(11), ours));
    expect(boot(await signedSlot(files(type), natasha(12), key))).toMatchObject({ code: 0 });
    expect(applied()).toBe(type);
  });

  it('takes an older one if somebody at the console wants it: that one, once', async () => {
    const old = await signedSlot(files('older'), natasha(5), ours);
    refused(old, 'it is older');
    fake.stub('tty', 'echo /dev/pts/0');
    const remote = fake.run(TRUST, ['check', '--allow-downgrade']);
    expect(remote).toMatchObject({
      code: 1,
      stdout: 'an older overlay is taken at the console alone: log in there\n',
    });
    refused(old, 'it is older');
    fake.stub('tty', 'echo /dev/ttyu0');
    expect(fake.run(TRUST, ['check', '--allow-downgrade'])).toMatchObject({ code: 0, stdout: '' });
    refused(await signedSlot(files('another'), natasha(4), ours), 'it is older');
    expect(boot(old).code).toBe(0);
    expect(applied()).toBe('older');
    boot(await signedSlot(files('later'), natasha(30), ours));
    refused(old, 'it is older');
    // Nor does the console take what nobody signed.
    fake.file('dev/gpt/clawdie-slot', await slotOf(files('x')));
    expect(fake.run(TRUST, ['check', '--allow-downgrade']).stdout).toBe('it is not signed\n');
  });

  it('says beforehand whether it would take one', async () => {
    fake.file('new', await signedSlot(files('x'), natasha(11), others));
    expect(fake.run(TRUST, ['check', join(fake.root, 'new')])).toMatchObject({
      code: 1,
      stdout: 'it is signed by none of the signers of this instance\n',
    });
    expect(fake.run(TRUST, ['nonsense']).code).toBe(2);
  });
});
