import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { overlay } from '../../../build/commands/overlay.js';
import { fillOf, rootHeader } from '../../../build/image/root-file.js';
import { headerText } from '../../../build/image/slot.js';
import { InputError } from '../../../build/error.js';
import { needPrivateHalf, readSignKey, signingOf } from '../../../build/commands/signing.js';
import { verify } from '../../../build/commands/verify.js';
import { sign } from '../../../build/host/ssh-sign.js';
import { sha256 } from '../../../build/host/hash.js';
import { writeChecksums } from '../../../build/pipeline/deploy.js';
import { provenance } from '../../../build/report/provenance.js';
import { pruneReason } from '../../../build/rootfs/prune.js';
import { configOf, findingsOf, PUBLIC_KEY } from '../../helpers/config.js';
import { bodyOf, overlayOf } from '../../helpers/deployment.js';
import { slotOf } from '../../helpers/instance.js';
import { factsOf } from '../../helpers/report.js';
import { makeKey, signedSlot } from '../../helpers/signing.js';
import type { KeyPair } from '../../helpers/signing.js';
import { tmp } from '../../helpers/tmp.js';

let folder: string;
let dist: string;
let key: KeyPair;
let other: KeyPair;

const configured = (values: Readonly<Record<string, string>> = {}) =>
  configOf({ ASSISTANT_NAME: 'natasha', SIGN_KEY: 'key.pub', SERIAL: '7', ...values });
const signing = async (
  values: Readonly<Record<string, string>> = {},
  environment: NodeJS.ProcessEnv = {},
) => {
  const config = configured(values);
  return signingOf(config, folder, environment, await readSignKey(config, folder));
};
/** Puts slots in the place of images, which are read the same way, with their sums. */
const publish = async (slots: Readonly<Record<string, Buffer>>, signed = true): Promise<void> => {
  const images = Object.entries(slots).map(([name, slot]) => {
    writeFileSync(join(dist, name), slot);
    return { name, sha256: sha256(slot) };
  });
  await writeChecksums(dist, images, undefined, signed ? await signing() : undefined);
};
const verified = async (subject = dist, signers = key.path) => {
  const lines: string[] = [];
  const holds = await verify({ subject, signers, json: false }, (line) => {
    lines.push(line);
  });
  return { holds, text: lines.join('\n') };
};
const good = (serial = 7): Promise<Buffer> =>
  signedSlot(overlayOf(configured(), { signKey: key.line }), { deployment: 'natasha', serial }, key);

beforeEach(async () => {
  folder = await tmp();
  dist = await tmp();
  [key, other] = [makeKey(folder, 'key'), makeKey(folder, 'other')];
});

describe('verify', () => {
  it('holds where all is signed: the list, the sums, the overlays', async () => {
    await publish({ 'a.iso': await good(), 'b.iso': await good(8) });
    const { holds, text } = await verified();
    expect(text).not.toContain('BROKEN');
    expect(holds).toBe(true);
    expect(text).toMatch(/^holds {3}CHECKSUM\.SHA256: signed by clawdie with ED25519 key SHA256:/m);
    expect(text).toContain('the overlay of b.iso: deployment natasha, serial 8, signed by clawdie');
    expect((await verified(join(dist, 'a.iso'))).holds).toBe(true);
  });

  it('says that signers are none, and not that nothing is signed', async () => {
    await publish({ 'a.iso': await good() });
    writeFileSync(join(folder, 'README.md'), '# None\nssh-keys are elsewhere.\n');
    for (const [file, why] of [
      ['README.md', 'holds no public key'],
      ['key', 'is a private key'],
    ] as const)
      await expect(verified(dist, join(folder, file))).rejects.toSatisfy(
        (error) =>
          error instanceof InputError && error.message === `--signers: ${join(folder, file)} ${why}.`,
      );
    writeFileSync(join(folder, 'allowed'), `me@example.org namespaces="clawdie-*" ${key.line}\n`);
    expect((await verified(dist, join(folder, 'allowed'))).holds).toBe(true);
    await expect(verified(join(folder, 'README.md'))).rejects.toMatchObject({
      message: expect.stringContaining('it has no partition table (GPT)') as string,
      fix: 'Name an image or a slot that this project made.',
    });
  });

  it('is not begun without the private half of the key', async () => {
    const config = configured();
    await expect(needPrivateHalf(config, folder, key.line)).resolves.toBeUndefined();
    renameSync(join(folder, 'key'), join(folder, 'elsewhere'));
    await expect(needPrivateHalf(config, folder, key.line)).rejects.toThrow(
      /key\.pub is neither in the file beside it nor in ssh-agent/,
    );
  });

  it('holds for the root of a release', async () => {
    const body = Buffer.alloc(700, 7);
    const facts = { release: '15.1-RELEASE-amd64', kernelBytes: 300, rootBytes: 400, serial: 42 };
    const file = { ...facts, sha256: sha256(body) };
    const header = rootHeader(file);
    const signature = await sign(key.path, 'clawdie-image', headerText(header));
    const whole = Buffer.concat([header, body, Buffer.alloc(fillOf(file)), Buffer.from(signature)]);
    const path = join(folder, 'a.root');
    writeFileSync(path, whole);
    expect(await verified(path)).toEqual({
      holds: true,
      text: expect.stringMatching(
        /^holds {3}a\.root: root of 15\.1-RELEASE-amd64, serial 42, signed by clawdie/,
      ) as string,
    });
    expect((await verified(path, other.path)).text).toContain('BROKEN  a.root: it is signed by none');
    // In the folder of images as well, which does not list it.
    await publish({ 'a.iso': await good() });
    writeFileSync(join(dist, 'a.root'), whole);
    expect((await verified()).text).toMatch(/^holds {3}a\.root: root of /m);
    writeFileSync(join(dist, 'a.root'), 'none');
    expect(await verified()).toMatchObject({
      holds: false,
      text: expect.stringMatching(/^BROKEN {2}a\.root: it is no root/m) as string,
    });
    writeFileSync(path, whole.fill(8, 600, 601));
    expect((await verified(path)).text).toBe('BROKEN  a.root: it is damaged');
    writeFileSync(path, Buffer.concat([header, body]));
    expect((await verified(path)).text).toBe('BROKEN  a.root: it is not signed');
  });

  it('holds for papers that are listed, and asks whether the provenance is of these images', async () => {
    const image = await good();
    const { facts } = await factsOf({});
    const statementOf = (sum: string): Buffer => {
      const images = [{ format: 'iso', name: 'a.iso', sha256: sum, bytes: 1 }];
      const locked = { packages: [], npm: [] };
      return Buffer.from(
        provenance({
          ...{ facts: { ...facts, images }, locked, catalogue: undefined, time: 0 },
          ...{ secrets: new Map(), files: [] },
        }),
      );
    };
    const [bill, statement] = ['a.cdx.json', 'a.provenance.json'];
    await publish({ 'a.iso': image, [bill]: Buffer.from('{}'), [statement]: statementOf(sha256(image)) });
    const all = await verified();
    expect([all.holds, all.text]).toEqual([
      true,
      expect.stringContaining(`what ${statement} is about: a.iso`) as string,
    ]);
    // Papers have no overlay, and come along with their image.
    expect(all.text).not.toContain('the overlay of a.cdx.json');
    expect((await verified(join(dist, 'a.iso'))).text).toContain(`holds   ${bill}: SHA-256`);
    expect((await verified(join(dist, bill))).text).not.toContain('a.iso');

    writeFileSync(join(dist, bill), '{ }');
    expect((await verified(join(dist, 'a.iso'))).text).toContain(`BROKEN  ${bill}: its SHA-256 is`);
    await publish({ 'a.iso': image, [bill]: Buffer.from('{}'), [statement]: statementOf('a'.repeat(64)) });
    expect(await verified()).toEqual({
      holds: false,
      text: expect.stringContaining(
        `BROKEN  what ${statement} is about: it tells of another a.iso`,
      ) as string,
    });
    await publish({ [statement]: Buffer.from('{}') });
    expect((await verified()).text).toContain('it is no provenance of clawdie-iso');
    writeFileSync(join(dist, 'b.cdx.json'), '{}');
    for (const subject of [dist, join(dist, 'b.cdx.json')])
      expect((await verified(subject)).text).toContain(
        'BROKEN  b.cdx.json: CHECKSUM.SHA256 does not list it',
      );
  });

  it('is done by hand with programs that everybody has', async () => {
    await publish({ 'a.iso': await good() });
    execFileSync('sha256sum', ['--quiet', '--strict', '-c', 'CHECKSUM.SHA256'], { cwd: dist });
    writeFileSync(
      join(folder, 'signers'),
      bodyOf(overlayOf(configured(), { signKey: key.line }), 'etc/clawdie/allowed_signers'),
    );
    const said = execFileSync(
      'ssh-keygen',
      [
        '-Y',
        'verify',
        '-f',
        join(folder, 'signers'),
        '-I',
        'clawdie',
        '-n',
        'clawdie-image',
        '-s',
        join(dist, 'CHECKSUM.SHA256.sig'),
      ],
      { input: readFileSync(join(dist, 'CHECKSUM.SHA256')), encoding: 'utf8' },
    );
    expect(said).toContain('Good "clawdie-image" signature for clawdie');
    expect((await verified(dist, join(folder, 'signers'))).holds).toBe(true);
  });

  it.each([
    [
      'a signer who is none',
      () => verified(dist, other.path),
      'CHECKSUM.SHA256: it is signed by none of the signers',
    ],
    [
      'a changed image',
      () => {
        appendFileSync(join(dist, 'a.iso'), 'x');
        return verified();
      },
      'BROKEN  a.iso: its SHA-256 is',
    ],
    [
      'a changed list',
      () => {
        appendFileSync(join(dist, 'CHECKSUM.SHA256'), '\n');
        return verified();
      },
      'or was changed since',
    ],
    [
      'a missing image',
      () => {
        renameSync(join(dist, 'a.iso'), join(dist, 'old'));
        return verified();
      },
      'a.iso: it is listed, but cannot be read',
    ],
    [
      'an image that is not listed',
      () => {
        writeFileSync(join(dist, 'c.iso'), 'x');
        return verified();
      },
      'c.iso: CHECKSUM.SHA256 does not list it',
    ],
  ] as const)('is broken by %s', async (_, change, message) => {
    await publish({ 'a.iso': await good() });
    const { holds, text } = await change();
    expect(holds).toBe(false);
    expect(text).toContain(message);
  });

  it('is broken by what is not signed', async () => {
    await publish({ 'a.iso': await slotOf(overlayOf(configOf())) }, false);
    const { holds, text } = await verified();
    expect(holds).toBe(false);
    expect(text).toContain('CHECKSUM.SHA256: it is not signed');
    expect(text).toContain('the overlay of a.iso: it is not signed');
  });

  it('needs something to verify', async () => {
    await expect(verified()).rejects.toThrow('has no CHECKSUM.SHA256 with images');
    await expect(verified(join(dist, 'nothing'))).rejects.toThrow('cannot be read');
    await expect(verified(dist, join(dist, 'nobody'))).rejects.toThrow('The signers');
    await expect(verify({ subject: dist, json: false }, () => undefined)).rejects.toMatchObject({
      message: 'verify has to know who may have signed: --signers.',
      fix: expect.stringContaining('`sha256sum -c CHECKSUM.SHA256`') as string,
    });
  });
});

describe('the signature of sums', () => {
  it('is made anew with the list, kept with an old one, and gone where nothing is signed', async () => {
    await publish({ 'a.iso': await good() });
    const signature = join(dist, 'CHECKSUM.SHA256.sig');
    const before = statSync(signature).ino;
    await writeChecksums(dist, [], undefined, await signing());
    expect(statSync(signature).ino).toBe(before);
    await publish({ 'a.iso': await good(), 'b.iso': await good(8) });
    expect((await verified()).holds).toBe(true);
    await publish({ 'c.iso': await good() }, false);
    expect(existsSync(signature)).toBe(false);
    expect(readdirSync(dist).filter((name) => name.startsWith('.'))).toEqual([]);
  });
});

describe('signing', () => {
  it('gives the same bytes each time with Ed25519', async () => {
    expect((await good()).equals(await good())).toBe(true);
  });

  it('writes a slot that verifies by itself', async () => {
    const slot = join(folder, 'slot');
    writeFileSync(join(folder, 'build.cfg'), `SSH_AUTHORIZED_KEYS="${PUBLIC_KEY}"\nSIGN_KEY="key.pub"\n`);
    const make = (environment: NodeJS.ProcessEnv): Promise<unknown> =>
      overlay(
        { config: join(folder, 'build.cfg'), set: [], slot, patch: false, json: false },
        environment,
        () => undefined,
        () => undefined,
      );
    await expect(make({})).rejects.toThrow('SIGN_KEY needs a serial');
    await make({ SOURCE_DATE_EPOCH: '1767225600' });
    const { holds, text } = await verified(slot);
    expect([holds, text]).toEqual([
      true,
      expect.stringContaining('deployment clawdie, serial 1767225600, signed by'),
    ]);
  });

  it('names the key where its other half is not there, and takes no private one', async () => {
    renameSync(join(folder, 'key'), join(folder, 'away'));
    const made = await signing();
    await expect(made?.sign('clawdie-slot', 'x')).rejects.toThrow(/Signing with .*key\.pub failed/);
    await expect(readSignKey(configured({ SIGN_KEY: 'away' }), folder)).rejects.toThrow(
      'holds a private key',
    );
    await expect(readSignKey(configured({ SIGN_KEY: 'none' }), folder)).rejects.toThrow('cannot be read');
  });

  it('takes a key of ssh-agent, of which there is only the public half', async () => {
    const agent = execFileSync('ssh-agent', ['-s'], { encoding: 'utf8' });
    const [socket = '', pid = ''] = [/SSH_AUTH_SOCK=([^;]+)/, /SSH_AGENT_PID=(\d+)/].map(
      (each) => each.exec(agent)?.[1] ?? '',
    );
    const before = process.env['SSH_AUTH_SOCK'];
    try {
      process.env['SSH_AUTH_SOCK'] = socket;
      execFileSync('ssh-add', ['-q', join(folder, 'key')], { stdio: 'ignore' });
      renameSync(join(folder, 'key'), join(folder, 'away'));
      expect(await sign(key.path, 'clawdie-slot', 'x')).toContain('BEGIN SSH SIGNATURE');
    } finally {
      process.kill(Number(pid));
      if (before === undefined) delete process.env['SSH_AUTH_SOCK'];
      else process.env['SSH_AUTH_SOCK'] = before;
    }
  });

  it('knows the deployment by its name and its machine', async () => {
    expect((await signing({ HOST: 'rack1_7' }))?.identity).toEqual({
      deployment: 'natasha.rack1_7',
      serial: 7,
    });
    expect(await signing({ SIGN_KEY: '' })).toBeUndefined();
  });
});

describe('SIGNERS', () => {
  it('are those of the next overlay; the key of SIGN_KEY by itself', () => {
    const of = (values: Readonly<Record<string, string>>): string =>
      bodyOf(overlayOf(configured(values), { signKey: key.line }), 'etc/clawdie/allowed_signers');
    const line = ({ line: text }: KeyPair): string =>
      `clawdie namespaces="clawdie-slot,clawdie-image" ${text.split(' ').slice(0, 2).join(' ')}\n`;
    expect(of({})).toBe(line(key));
    expect(of({ SIGNERS: `${other.line}\n${key.line}` })).toBe(line(other) + line(key));
    expect(findingsOf(`SSH_AUTHORIZED_KEYS="${PUBLIC_KEY}"\nSIGNERS="${key.line}"\n`)[0]?.message).toContain(
      'SIGNERS is set, but there is no SIGN_KEY',
    );
  });
});

it('a minimal image has what verifies signatures', () => {
  for (const path of [
    'usr/bin/ssh-keygen',
    'usr/lib/libprivatessh.so.5',
    'lib/libcrypto.so.35',
    'sbin/sha256',
    'usr/bin/tty',
    'bin/dd',
  ])
    expect([path, pruneReason('minimal', path)]).toEqual([path, undefined]);
});
