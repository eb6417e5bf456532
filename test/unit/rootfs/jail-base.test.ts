import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { addJailBase, copyJailFiles, JAIL_RELEASES } from '../../../build/rootfs/jail-base.js';
import { Tree } from '../../../build/rootfs/tree.js';
import { tmp } from '../../helpers/tmp.js';

const own = { uid: 0, gid: 0 };
const TO = `${JAIL_RELEASES}/15.1-RELEASE`;

function release(): Tree {
  const tree = new Tree('the release');
  tree.add('bin', { type: 'dir', ...own, mode: 0o755 });
  tree.add('bin/test', { type: 'file', ...own, mode: 0o555, size: 4 });
  tree.add('bin/[', { type: 'hardlink', target: 'bin/test' });
  tree.add('boot/loader', { type: 'file', ...own, mode: 0o555, size: 4 });
  tree.add('etc/master.passwd', { type: 'file', ...own, mode: 0o600, size: 6 });
  tree.add('etc/rc.conf', { type: 'file', ...own, mode: 0o644, size: 7 });
  tree.add('usr/bin/su', { type: 'file', ...own, mode: 0o4555, size: 4 });
  tree.add('usr/lib/libc.so', { type: 'symlink', ...own, mode: 0o755, target: '../../lib/libc.so.7' });
  tree.add('usr/local/bin', { type: 'dir', ...own, mode: 0o755 });
  tree.add('var/empty', { type: 'dir', ...own, mode: 0o555 });
  return tree;
}

describe('the release of jails', () => {
  it('shares what jails only read with the host, as further names, and nothing else', () => {
    const tree = release();
    addJailBase(tree, release(), TO);
    expect(tree.get(`${TO}/bin/test`)).toEqual({ type: 'hardlink', target: 'bin/test' });
    expect(tree.get(`${TO}/bin/[`)).toEqual({ type: 'hardlink', target: 'bin/test' });
    expect(tree.get(`${TO}/usr/bin/su`)).toEqual({ type: 'hardlink', target: 'usr/bin/su' });
    expect(tree.get(`${TO}/usr/lib/libc.so`)).toEqual(release().get('usr/lib/libc.so'));
    expect(tree.get(`${TO}/var/empty`)).toMatchObject({ type: 'dir', mode: 0o555 });
    for (const path of ['boot', 'usr/local']) expect(tree.get(`${TO}/${path}`)).toBeUndefined();
    // Bastille wants it closed to all but root: set-user-ID programs of jails are behind it.
    expect(tree.get('usr/local/bastille')).toMatchObject({ type: 'dir', mode: 0o750 });
  });

  it('has its own /etc, as the release brings it', async () => {
    const folder = await tmp();
    for (const [path, text] of [
      ['bin/test', 'test'],
      ['usr/bin/su', 'su__'],
      ['etc/master.passwd', 'locked'],
      ['etc/rc.conf', 'release'],
    ] as const) {
      mkdirSync(join(folder, path, '..'), { recursive: true });
      writeFileSync(join(folder, path), text);
    }
    await copyJailFiles(release(), folder, TO);
    // The host gets its own afterwards.
    writeFileSync(join(folder, 'etc/rc.conf'), 'sshd_enable="YES"');
    const tree = release();
    addJailBase(tree, release(), TO);
    expect(tree.get(`${TO}/etc/rc.conf`)).toEqual({ type: 'file', ...own, mode: 0o644, size: 7 });
    expect(readFileSync(join(folder, TO, 'etc/rc.conf'), 'utf8')).toBe('release');
    expect(tree.get(`${TO}/etc/master.passwd`)).toMatchObject({ mode: 0o600 });
  });
});
