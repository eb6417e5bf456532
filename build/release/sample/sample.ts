import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { pack } from 'tar-stream';
import type { Header } from 'tar-stream';
import { exists, partialName, removeTree, writeError } from '../../host/files.js';
import { runBetween } from '../../host/process.js';
import { rcScripts } from './rcd.js';
import { biosStub, pmbrStub, SAMPLE_MESSAGE, uefiStub } from './stub.js';

/** Changes with every change of what the sample holds. */
export const SAMPLE_ID = 'sample-2';

type Entry = Partial<Header> & { readonly name: string; readonly body?: string | Buffer };

const dir = (name: string, mode = 0o755, more: Partial<Header> = {}): Entry => ({
  name: `./${name}`,
  type: 'directory',
  mode,
  ...more,
});
const file = (name: string, body: string | Buffer, mode = 0o644, more: Partial<Header> = {}): Entry => ({
  name: `./${name}`,
  type: 'file',
  mode,
  body,
  ...more,
});
const symlink = (name: string, linkname: string): Entry => ({
  name: `./${name}`,
  type: 'symlink',
  mode: 0o755,
  linkname,
});
const hardlink = (name: string, target: string): Entry => ({
  name: `./${name}`,
  type: 'link',
  linkname: `./${target}`,
});

const note = `${SAMPLE_MESSAGE.join('\n')}\n`;
const script = `#!/bin/sh\n# Stands in the place of a program of FreeBSD; part of the sample release.\nexit 1\n`;

/** What stands in for base.txz: the layout, owners, modes and kinds of entries of the real one, on a small scale. */
function base(): readonly Entry[] {
  return [
    dir(''),
    file('COPYRIGHT', note, 0o444),
    dir('bin'),
    file('bin/sh', script, 0o555),
    file('bin/test', script, 0o555),
    hardlink('bin/[', 'bin/test'),
    dir('boot'),
    file('boot/cdboot', biosStub(), 0o444),
    file('boot/isoboot', Buffer.concat([biosStub(), Buffer.alloc(64 * 1024)]).subarray(0, 64 * 1024), 0o444),
    file('boot/pmbr', pmbrStub(), 0o444),
    file('boot/loader', biosStub(), 0o444),
    file('boot/loader.efi', uefiStub(), 0o444),
    file('boot/device.hints', 'hint.uart.0.at="isa"\n'),
    dir('boot/defaults'),
    file('boot/defaults/loader.conf', '# loader defaults of the sample release\n', 0o444),
    dir('boot/lua'),
    file('boot/lua/loader.lua', '-- the sample release has no loader\n', 0o444),
    dir('boot/modules'),
    dir('dev', 0o555),
    dir('etc'),
    dir('etc/defaults'),
    file('etc/defaults/rc.conf', '# rc.conf defaults of the sample release\n'),
    file('etc/group', 'wheel:*:0:root\nsshd:*:22:\n'),
    file('etc/master.passwd', 'root::0:0::0:0:Charlie &:/root:/bin/sh\n', 0o600),
    dir('etc/rc.d'),
    ...rcScripts().map(({ name, text }) => file(`etc/rc.d/${name}`, text, 0o555)),
    dir('etc/ssh'),
    symlink('etc/os-release', '../var/run/os-release'),
    dir('media'),
    dir('mnt'),
    dir('rescue'),
    file('rescue/sh', script, 0o555),
    hardlink('rescue/tar', 'rescue/sh'),
    dir('root', 0o750),
    dir('sbin'),
    file('sbin/init', script, 0o555, { uid: 0, gid: 0 }),
    file('sbin/shutdown', script, 0o4554, { gid: 5 }),
    dir('tmp', 0o1777),
    dir('usr'),
    dir('usr/bin'),
    file('usr/bin/su', script, 0o4555),
    file('usr/bin/cc', script, 0o555),
    file('usr/bin/wall', script, 0o2555, { gid: 4 }),
    dir('usr/lib'),
    file('usr/lib/libc.a', 'not in an image\n', 0o444),
    dir('usr/lib/debug'),
    file('usr/lib/debug/sh.debug', 'not in an image\n', 0o444),
    dir('usr/local'),
    dir('usr/share'),
    dir('usr/share/man'),
    file('usr/share/man/sh.1.gz', 'not in an image\n', 0o444),
    dir('usr/share/zoneinfo'),
    file('usr/share/zoneinfo/UTC', 'TZif2', 0o444),
    dir(`usr/share/${'deep/'.repeat(24)}with-a-path-that-is-longer-than-the-hundred-bytes-of-a-ustar-name`),
    dir('usr/tests'),
    file('usr/tests/Kyuafile', 'not in an image\n', 0o444),
    dir('var'),
    dir('var/db'),
    dir('var/empty', 0o555),
    dir('var/run'),
    symlink('sys', 'usr/src/sys'),
  ];
}

/** What stands in for kernel.txz. */
function kernel(): readonly Entry[] {
  return [
    dir(''),
    dir('boot'),
    dir('boot/kernel'),
    file('boot/kernel/kernel', `${note}${'kernel of the sample release\n'.repeat(2000)}`, 0o555),
    file('boot/kernel/pf.ko', note, 0o555),
    file('boot/kernel/if_bridge.ko', note, 0o555),
    file('boot/kernel/snd_hda.ko', note, 0o555),
    file('boot/kernel/linker.hints', note),
  ];
}

/**
 * Writes the sample release to a folder, unless it is there: `base.txz`, `kernel.txz` and `MANIFEST` as a mirror
 * carries them, the same bytes every time. It exercises every stage of a build without FreeBSD or a network.
 *
 * @throws UserError if the folder cannot be written.
 */
export async function writeSample(folder: string, signal?: AbortSignal): Promise<void> {
  if (await exists(join(folder, 'MANIFEST'))) return;
  const work = partialName(folder);
  try {
    await mkdir(work, { recursive: true, mode: 0o700 });
    const lines: string[] = [];
    for (const [set, title, entries] of [
      ['base', 'Base system', base()],
      ['kernel', 'Kernel', kernel()],
    ] as const) {
      const path = join(work, `${set}.txz`);
      await writeArchive(path, entries, signal);
      const hash = createHash('sha256');
      await pipeline(createReadStream(path), hash);
      lines.push([`${set}.txz`, hash.digest('hex'), entries.length, set, `"${title}"`, 'on'].join('\t'));
    }
    const manifest = await open(join(work, 'MANIFEST'), 'wx', 0o644);
    await manifest.writeFile(`${lines.join('\n')}\n`);
    await manifest.close();
    await mkdir(dirname(folder), { recursive: true });
    await rename(work, folder).catch(async (error: unknown) => {
      if (!(await exists(join(folder, 'MANIFEST')))) throw error; // another process was faster: the same bytes
    });
  } catch (error) {
    throw writeError(folder, error);
  } finally {
    await removeTree(work);
  }
}

/** Packs entries as a .txz: owners by number, every time the epoch, so that two archives are the same bytes. */
async function writeArchive(path: string, entries: readonly Entry[], signal?: AbortSignal): Promise<void> {
  const tarPath = `${path}.tar`;
  const tar = pack();
  const written = pipeline(tar, createWriteStream(tarPath, { flags: 'wx' }), { ...(signal && { signal }) });
  for (const { body, ...header } of entries) {
    tar.entry({ uid: 0, gid: 0, uname: '', gname: '', mtime: new Date(0), ...header }, body ?? '');
  }
  tar.finalize();
  await written;
  const input = await open(tarPath, 'r');
  const output = await open(path, 'wx', 0o644);
  try {
    await runBetween(
      'Packing the sample release',
      ['xz', '-6', '-T1', '-c'],
      { stdin: input.fd, stdout: output.fd },
      { ...(signal && { signal }) },
    );
  } finally {
    await input.close();
    await output.close();
    await rm(tarPath, { force: true });
  }
}
