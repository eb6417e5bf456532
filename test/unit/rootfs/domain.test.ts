import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseMtree } from '../../../build/rootfs/mtree.js';
import { pruneReason } from '../../../build/rootfs/prune.js';
import { SparseReader } from '../../../build/rootfs/sparse.js';
import { normalPath, Tree } from '../../../build/rootfs/tree.js';

const file = { type: 'file', uid: 0, gid: 0, mode: 0o644, size: 1 } as const;

describe('normalPath', () => {
  it('never leaves the tree', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom('..', '.', '', 'a', 'etc', '...')), (parts) => {
        const raw = parts.join('/');
        try {
          const path = normalPath(raw, 'x');
          expect(path.split('/')).not.toContain('..');
          expect(path.startsWith('/')).toBe(false);
        } catch (error) {
          expect((error as Error).message).toMatch(/absolute|\.\./);
        }
      }),
    );
  });
});

describe('Tree', () => {
  it('follows links to the file that a path means', () => {
    const tree = new Tree('x');
    tree.add('boot/loader_lua', file);
    tree.add('boot/loader', { type: 'hardlink', target: 'boot/loader_lua' });
    tree.add('boot/a', { type: 'symlink', uid: 0, gid: 0, mode: 0o755, target: '../boot/loader' });
    tree.add('boot/abs', { type: 'symlink', uid: 0, gid: 0, mode: 0o755, target: '/boot/a' });
    tree.add('boot/loop', { type: 'symlink', uid: 0, gid: 0, mode: 0o755, target: 'loop' });
    expect(tree.fileAt('boot/abs')).toBe('boot/loader_lua');
    expect(tree.fileAt('boot/loop')).toBeUndefined();
    expect(tree.fileAt('boot')).toBeUndefined();
  });

  it('merges links whose file sorts behind them', () => {
    const other = new Tree('other');
    other.add('bin/test', file);
    other.add('bin/[', { type: 'hardlink', target: 'bin/test' });
    const tree = new Tree('x');
    tree.merge(other, 'kernel.txz');
    expect(tree.get('bin/[')).toEqual({ type: 'hardlink', target: 'bin/test' });
  });

  it('replaces a file, but not a folder, nor a file with other names', () => {
    const tree = new Tree('x');
    tree.add('etc/rc.conf', file);
    tree.replace('etc/rc.conf', { ...file, size: 9 });
    expect(tree.get('etc/rc.conf')).toMatchObject({ size: 9 });
    expect(() => {
      tree.replace('etc', file);
    }).toThrow('is a folder and a file at once');
    tree.add('etc/other', { type: 'hardlink', target: 'etc/rc.conf' });
    expect(() => {
      tree.replace('etc/rc.conf', file);
    }).toThrow('is also known as etc/other');
  });
});

describe('mtree', () => {
  it('reads paths, defaults and overrides', () => {
    const spec = parseMtree(
      '# comment\n/set type=file uid=0 gid=0 mode=0644\n. type=dir mode=0755\n./a # here\n./b uid=5 mode=4555\n',
      'spec',
    );
    expect([...spec.values()]).toEqual([
      { path: '', type: 'dir', uid: 0, gid: 0, mode: 0o755 },
      { path: 'a', type: 'file', uid: 0, gid: 0, mode: 0o644 },
      { path: 'b', type: 'file', uid: 5, gid: 0, mode: 0o4555 },
    ]);
  });

  it.each([
    ['./a', 'has no type'],
    ['a type=file uid=0 gid=0 mode=0644', 'must begin with "./"'],
    ['./a type=file uid=0 gid=0 mode=0899', 'has no mode'],
    ['./a type=file uid=0 gid=0 mode=0644 flags=schg', '"flags=schg" is not one of'],
    [
      './a type=file uid=0 gid=0 mode=0644\n./a type=file uid=0 gid=0 mode=0644',
      'line 2: ./a is there twice',
    ],
  ])('refuses %j', (text, message) => {
    expect(() => parseMtree(text, 'spec')).toThrow(message);
  });
});

describe('profiles', () => {
  it.each([
    ['usr/lib/debug/bin/sh.debug', 'full'],
    ['usr/tests/Kyuafile', 'full'],
    ['usr/bin/clang', 'standard'],
    ['usr/include/stdio.h', 'standard'],
    ['usr/lib/libc.a', 'standard'],
    ['usr/share/man/man1/ls.1.gz', 'standard'],
    ['boot/kernel/snd_hda.ko', 'standard'],
    ['rescue/sh', 'minimal'],
    ['boot/kernel/if_bxe.ko', 'minimal'],
  ] as const)('leave %s out of %s', (path, profile) => {
    expect(pruneReason(profile, path)).toBeDefined();
  });

  it.each([
    'bin/sh',
    'sbin/init',
    'sbin/pfctl',
    'usr/sbin/sshd',
    'usr/bin/ssh',
    'usr/lib/libc.so',
    'lib/libc.so.7',
    'usr/bin/tar',
    'usr/sbin/pw',
    'sbin/sha256',
    'bin/kenv',
    'boot/loader',
    'boot/loader.efi',
    'boot/cdboot',
    'boot/kernel/kernel',
    'boot/kernel/pf.ko',
    'boot/kernel/if_bridge.ko',
    'boot/kernel/if_epair.ko',
    'boot/kernel/bridgestp.ko',
    'etc/rc',
    'etc/rc.d/pf',
    'usr/share/zoneinfo/UTC',
    // for an installation
    'sbin/gpart',
    'sbin/newfs',
    'sbin/newfs_msdos',
    'sbin/growfs',
    'sbin/fsck_ffs',
    'sbin/mount_msdosfs',
    'sbin/mount_cd9660',
    'usr/bin/bsddialog',
    'usr/bin/gunzip',
    'boot/gptboot',
    'boot/pmbr',
    'boot/kernel/msdosfs.ko',
    'boot/kernel/cd9660.ko',
    'usr/share/locale/C.UTF-8/LC_CTYPE',
    'usr/sbin/jail',
    'usr/sbin/jls',
    'usr/bin/fetch',
    'usr/sbin/pkg',
    'sbin/dhclient',
    'usr/sbin/rtsold',
    'usr/share/vt/keymaps/us.kbd',
  ])('all keep %s', (path) => {
    for (const profile of ['minimal', 'standard', 'full'] as const)
      expect(pruneReason(profile, path)).toBeUndefined();
  });

  it('each leave out all that a larger one leaves out', () => {
    for (const path of ['usr/lib/debug/x', 'usr/tests/x', 'usr/bin/cc', 'usr/share/doc/x']) {
      if (pruneReason('full', path) !== undefined) expect(pruneReason('standard', path)).toBeDefined();
      if (pruneReason('standard', path) !== undefined) expect(pruneReason('minimal', path)).toBeDefined();
    }
  });
});

describe('SparseReader', () => {
  it('gives the same writes however the data is cut', () => {
    const map = Buffer.alloc(512);
    map.write('3\n0\n3\n10\n5\n20\n0\n');
    const data = Buffer.concat([map, Buffer.from('abcDEFGH'), Buffer.alloc(504)]);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: data.length }), { maxLength: 6 }), (cuts) => {
        const file = Buffer.alloc(20);
        const reader = new SparseReader(20, 'x');
        const at = [0, ...cuts.sort((a, b) => a - b), data.length];
        for (const [index, from] of at.slice(0, -1).entries())
          reader.push(
            data.subarray(from, at[index + 1]),
            (bytes, position) => void bytes.copy(file, position),
          );
        reader.finish();
        expect(file.toString('latin1')).toBe('abc\0\0\0\0\0\0\0DEFGH\0\0\0\0\0');
      }),
    );
  });
});
