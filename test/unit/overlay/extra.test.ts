import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadFleet } from '../../../build/commands/deployments.js';
import { readExtraFiles } from '../../../build/commands/extra.js';
import { compareOverlays } from '../../../build/overlay/compare.js';
import { holdsSecret, isSecret } from '../../../build/overlay/render.js';
import type { OverlayEntry } from '../../../build/overlay/render.js';
import { checkOrder } from '../../../build/rc/check.js';
import { parseHeader } from '../../../build/rc/headers.js';
import type { RcScript } from '../../../build/rc/headers.js';
import { checkOwn } from '../../../build/rc/own.js';
import { rcScripts } from '../../../build/release/sample/rcd.js';
import { configOf, PUBLIC_KEY } from '../../helpers/config.js';
import { bodyOf, extraFiles, overlayOf, spec } from '../../helpers/deployment.js';
import { tmp } from '../../helpers/tmp.js';

const ours = overlayOf(configOf());

/** What the overlay says of files of one's own: that it took them, or why not. */
function said(texts: Readonly<Record<string, string>>, specification?: string): string {
  try {
    overlayOf(configOf(), { extra: extraFiles(texts, specification) });
    return 'taken';
  } catch (error) {
    return (error as Error).message;
  }
}

/** A folder with a configuration, files and their specification. */
async function folderWith(
  texts: Readonly<Record<string, string | Buffer>>,
  specification?: string,
): Promise<string> {
  const folder = await tmp();
  for (const [path, text] of Object.entries(texts)) {
    mkdirSync(dirname(join(folder, 'files', path)), { recursive: true });
    writeFileSync(join(folder, 'files', path), text);
  }
  if (specification !== undefined) writeFileSync(join(folder, 'files.mtree'), specification);
  return folder;
}

const read = (folder: string) => readExtraFiles(configOf({ EXTRA_FILES: 'files' }), folder);

describe('files of one’s own', () => {
  it('are in the overlay with their owners, modes and links, beside what is ours', async () => {
    const folder = await folderWith(
      {
        'usr/local/etc/mine.conf': 'a = 1\n',
        'home/ana/notes': 'č\n',
        'usr/local/etc/rc.d/mine': '#!/bin/sh\n',
      },
      [
        '/set type=file uid=0 gid=0 mode=0644',
        './usr/local/etc/mine.conf mode=0640 gid=80',
        './usr/local/etc/rc.d/mine mode=0555',
        './usr/local/etc/mine.old type=link mode=0777',
        './home/ana type=dir uid=1001 gid=1001 mode=0700',
        './home/ana/notes uid=1001 gid=1001 mode=0600',
      ].join('\n'),
    );
    symlinkSync('mine.conf', join(folder, 'files/usr/local/etc/mine.old'));
    const entries = overlayOf(configOf(), { extra: await read(folder) });
    expect(entries.filter(({ own }) => own)).toEqual([
      { path: 'home/ana', type: 'dir', uid: 1001, gid: 1001, mode: 0o700, body: '', own: true },
      { path: 'home/ana/notes', type: 'file', uid: 1001, gid: 1001, mode: 0o600, body: 'č\n', own: true },
      expect.objectContaining({ path: 'usr/local/etc/mine.conf', gid: 80, mode: 0o640, body: 'a = 1\n' }),
      expect.objectContaining({ path: 'usr/local/etc/mine.old', type: 'link', body: 'mine.conf' }),
      expect.objectContaining({ path: 'usr/local/etc/rc.d/mine', mode: 0o555 }),
    ]);
    expect(entries.filter(({ own }) => !own)).toEqual(ours);
    expect(entries.map(({ path }) => path)).toEqual([...entries.map(({ path }) => path)].sort());
  });

  it('never take the place of a file of the image, whether this deployment has that or not', () => {
    const files = [...spec.values()].filter(({ type }) => type !== 'dir');
    expect(files.length).toBeGreaterThan(60);
    for (const { path } of files) expect([path, said({ [path]: 'x' })]).not.toEqual([path, 'taken']);
    for (const path of ['usr/local/sbin/clawdie-install', 'usr/local/sbin/clawdie-new', 'etc/fstab'])
      expect([path, said({ [path]: 'x' })]).not.toEqual([path, 'taken']);
    // Nor of a folder; and below a file there is none.
    expect(said({ 'usr/local/etc': 'x' })).toContain('the image brings it itself');
    expect(said({ 'usr/local/bin/clawdie-turn/x': 'x' })).toContain('is a file, not a folder');
    expect(
      said(
        { 'opt/a': 'x', 'opt/a/b': 'x' },
        './opt/a type=file uid=0 gid=0 mode=0644\n./opt/a/b type=file uid=0 gid=0 mode=0644',
      ),
    ).toContain('files/opt/a/b: opt/a is a file, not a folder');
  });

  it.each([
    ['etc/pf.conf', 'PF_RULES_FILE'],
    ['etc/pf.conf.d/mine.conf', 'PF_RULES_FILE'],
    ['etc/ssh/sshd_config', 'SSH_AUTHORIZED_KEYS'],
    ['etc/ssh/ssh_host_ed25519_key', 'SSH_AUTHORIZED_KEYS'],
    ['root/.ssh/authorized_keys2', 'SSH_AUTHORIZED_KEYS'],
    ['home/ana/.ssh/authorized_keys', 'SSH_AUTHORIZED_KEYS'],
    ['root/.rhosts', 'SSH_AUTHORIZED_KEYS'],
    ['etc/rc.d/mine', 'usr/local/etc/rc.d'],
    ['etc/rc.conf.local', 'files of your own may be in'],
    ['etc/rc.conf.d/pf', 'there is no usr/local/etc/rc.d/pf'],
    ['usr/local/etc/rc.conf.d/sshd', 'there is no usr/local/etc/rc.d/sshd'],
    ['usr/local/etc/rc.conf', 'override the settings'],
    ['etc/rc.local', 'files of your own may be in'],
    ['etc/sysctl.conf.local', 'files of your own may be in'],
    ['etc/master.passwd', 'files of your own may be in'],
    ['etc/pam.d/sshd', 'files of your own may be in'],
    ['usr/local/etc/pam.d/sshd', 'who may log in'],
    ['usr/local/etc/libmap.d/x.conf', 'other libraries'],
    ['usr/local/etc/devd/x.conf', 'devd(8)'],
    ['usr/local/etc/pkg/repos/x.conf', 'trusted'],
    ['usr/local/bastille/jails/x/jail.conf', 'JAILS'],
    ['boot/loader.conf.local', 'files of your own may be in'],
    ['sbin/pfctl', 'files of your own may be in'],
    ['usr/sbin/sshd', 'files of your own may be in'],
    ['usr/share/keys/pkg/trusted/x', 'files of your own may be in'],
    ['opt/../etc/pf.conf', '. or ..'],
    ['opt/a b', 'letters, digits'],
  ])('%s is refused', (path, why) => {
    const extra = extraFiles({ [path]: 'x' }, '');
    const entry = { path, type: 'file', uid: 0, gid: 0, mode: 0o644 } as const;
    expect(() => overlayOf(configOf(), { extra: { ...extra, spec: new Map([[path, entry]]) } })).toThrow(why);
  });

  it.each([
    ['./opt/x type=file uid=0 gid=0 mode=4755', 'setuid'],
    ['./opt/x type=file uid=0 gid=0 mode=2755', 'setuid, setgid'],
    ['./opt/x type=file uid=0 gid=0 mode=0666', 'everybody could write'],
    ['./usr/local/etc/x type=file uid=1001 gid=0 mode=0644', 'root alone may own it'],
    ['./usr/local/etc/x type=file uid=0 gid=0 mode=0664', 'root alone may own it'],
    ['./usr/local/etc/rc.d/x type=file uid=0 gid=0 mode=0644', 'mode=0555'],
    ['./usr/local/etc/rc.d/a/x type=file uid=0 gid=0 mode=0555', 'looks into no folder below'],
    ['./etc/cron.d/x type=link uid=0 gid=0 mode=0777', 'has to be a file'],
    ['./opt type=dir uid=1001 gid=0 mode=0755', 'stays as it is'],
    ['./root type=dir uid=0 gid=0 mode=0777', 'this folder is the image’s, uid=0 gid=0 mode=0750'],
    ['./var/db type=dir uid=0 gid=0 mode=0777', 'this folder is the image’s'],
    ['./usr/share type=dir uid=0 gid=0 mode=0700', 'files of your own may be in'],
    ['./usr/local/bastille/jails type=dir uid=0 gid=0 mode=0755', 'JAILS'],
  ])('%s is refused', (line, why) => {
    const path = /^\.\/(\S+)/.exec(line)?.[1] ?? '';
    expect(said(line.includes('type=dir') ? {} : { [path]: 'x' }, line)).toContain(why);
  });

  it('all problems are told together, with the place that says more', () => {
    const message = said(
      { 'etc/pf.conf': '', 'sbin/init': '', 'opt/x': '' },
      './opt/y type=file uid=0 gid=0 mode=0644',
    );
    expect(message.split('\n')).toHaveLength(5);
    expect(message).toContain('files/opt/x: files.mtree does not list it with owner and mode.');
    expect(message).toContain('files/opt/y: files.mtree lists it, but it is not there.');
  });

  it('are secret where not all may read them: the image is its owner’s, and no difference shows them', () => {
    const closed = './opt/token type=file uid=0 gid=0 mode=0600';
    const [a, b] = ['one', 'two'].map((body) =>
      overlayOf(configOf(), { extra: extraFiles({ 'opt/token': body }, closed) }),
    ) as [readonly OverlayEntry[], readonly OverlayEntry[]];
    expect(holdsSecret(a)).toBe(true);
    expect(compareOverlays(a, b)).toEqual([
      { path: 'opt/token', change: 'differs', what: ['contents (not shown)'] },
    ]);
    expect(holdsSecret(overlayOf(configOf(), { extra: extraFiles({ 'opt/token': 'x' }) }))).toBe(false);
    // Of ours what is closed is known to be no secret, or to be one.
    expect(ours.filter(isSecret)).toEqual([]);
    expect(ours.filter(({ mode, type }) => type === 'file' && (mode & 4) === 0).length).toBeGreaterThan(4);
    expect(bodyOf(a, 'opt/token')).toBe('one');
  });
});

describe('what EXTRA_FILES names', () => {
  it('has its specification beside it, and holds text and links alone', async () => {
    await expect(read(await folderWith({ 'opt/x': 'x' }))).rejects.toThrow(/files\.mtree, which says owners/);
    await expect(read(await folderWith({}, ''))).rejects.toThrow(/files cannot be read/);
    await expect(read(await folderWith({ 'opt/x': Buffer.from([0xff, 0xfe]) }, ''))).rejects.toThrow(
      /opt\/x cannot be taken: it is not UTF-8 text/,
    );
    const fifo = await folderWith({ 'opt/x': '' }, '');
    execFileSync('mkfifo', [join(fifo, 'files/opt/fifo')]);
    await expect(read(fifo)).rejects.toThrow(/opt\/fifo cannot be taken: it is a FIFO/);
    const link = await folderWith({ 'opt/x': '' }, '');
    symlinkSync('a\nb', join(link, 'files/opt/link'));
    await expect(read(link)).rejects.toThrow(/symbolic link to "a\\nb", which cannot be taken/);
    const large = await folderWith({ 'opt/x': '', 'opt/a': 'a'.repeat(1024 ** 2 + 1) }, '');
    await expect(read(large)).rejects.toThrow(/larger than 1 MiB/);
  });

  it('is taken as it is: a link is not followed, its target is not read', async () => {
    const folder = await folderWith({ 'opt/x': '' }, './opt/x type=file uid=0 gid=0 mode=0644');
    symlinkSync('/etc/passwd', join(folder, 'files/opt/passwd'));
    const extra = await read(folder);
    expect(extra?.bodies.get('opt/passwd')).toEqual({ type: 'link', body: '/etc/passwd' });
    expect(readFileSync('/etc/passwd', 'utf8')).not.toBe('');
  });
});

describe('a fleet with files of one’s own', () => {
  it('makes the image anew whose files, owners or modes change, and no other', async () => {
    const folder = await folderWith({ 'opt/x': 'x\n' }, './opt/x type=file uid=0 gid=0 mode=0644\n');
    const common = `FREEBSD_DIST="sample"\nSSH_AUTHORIZED_KEYS="${PUBLIC_KEY}"\n`;
    writeFileSync(join(folder, 'one.cfg'), `${common}ASSISTANT_NAME="one"\nEXTRA_FILES="files"\n`);
    writeFileSync(join(folder, 'two.cfg'), `${common}ASSISTANT_NAME="two"\n`);
    const inputs = async () => (await loadFleet(folder, [], {})).deployments.map((each) => each.inputs);
    const first = await inputs();
    writeFileSync(join(folder, 'files/opt/x'), 'y\n');
    const second = await inputs();
    writeFileSync(join(folder, 'files.mtree'), './opt/x type=file uid=0 gid=0 mode=0444\n');
    const third = await inputs();
    expect(new Set([first[0], second[0], third[0]]).size).toBe(3);
    expect(new Set([first[1], second[1], third[1]]).size).toBe(1);
  });
});

describe('rc.d scripts of one’s own', () => {
  const header = (path: string, text: string): RcScript[] => {
    const found = parseHeader(path, text);
    return found ? [found] : [];
  };
  const image = [
    ...rcScripts().flatMap(({ name, text }) => header(`etc/rc.d/${name}`, text)),
    ...[...overlayOf(configOf())].flatMap(({ path, body }) =>
      /(?:^|\/)etc\/rc\.d\/[^/]+$/.test(path) ? header(path, body) : [],
    ),
    ...['clawdie_lockdown', 'clawdie_install', 'clawdie_grow'].flatMap((name) =>
      header(`etc/rc.d/${name}`, readFileSync(`overlays/base/etc/rc.d/${name}`, 'utf8')),
    ),
  ];
  const PATH = 'usr/local/etc/rc.d/mine';
  const own = (text: string, path = PATH) => checkOwn(image, [[path, parseHeader(path, text)]]);

  it('are taken where they run after the firewall', () => {
    expect(checkOrder(image)).toEqual([]);
    expect(own('# PROVIDE: mine\n# REQUIRE: LOGIN pf\n')).toEqual([]);
    expect(own('# PROVIDE: mine\n# REQUIRE: sshd\n')).toEqual([]);
  });

  it.each([
    ['without a header', '#!/bin/sh\n', 'has no header'],
    ['before the firewall', '# PROVIDE: mine\n# REQUIRE: FILESYSTEMS\n', 'Nothing makes'],
    ['before the network', '# PROVIDE: mine\n# BEFORE: netif\n', 'Nothing makes'],
    [
      'in the name of another',
      '# PROVIDE: pf\n# REQUIRE: LOGIN pf\n',
      'provides pf, which etc/rc.d/pf provides',
    ],
    ['in the name of a stage', '# PROVIDE: mine LOGIN\n# REQUIRE: pf\n', 'provides LOGIN'],
  ])('are refused %s', (_, text, why) => {
    expect(own(text).join('\n')).toContain(why);
  });

  it('are refused under the name of another, and where two provide one name', () => {
    expect(own('# PROVIDE: mine\n# REQUIRE: pf\n', 'usr/local/etc/rc.d/netif').join()).toContain(
      'has the name of etc/rc.d/netif',
    );
    const text = '# PROVIDE: mine\n# REQUIRE: pf\n';
    const two = checkOwn(image, [
      [PATH, parseHeader(PATH, text)],
      [`${PATH}2`, parseHeader(`${PATH}2`, text)],
    ]);
    expect(two).toEqual([`${PATH}2 provides mine, which ${PATH} provides.`]);
  });

  it('that force what is ours after them are a circle, which is refused as it is for ours', () => {
    const [mine] = header(PATH, '# PROVIDE: mine\n# REQUIRE: pf\n# BEFORE: clawdie_lockdown\n');
    expect(checkOrder([...image, ...(mine ? [mine] : [])]).join()).toContain('wait for each other');
  });
});
