import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readBastille } from '../../../build/boot/bastille.js';
import { tmp } from '../../helpers/tmp.js';

async function tree(): Promise<string> {
  const folder = await tmp();
  for (const [path, body] of [
    ['usr/local/bin/bastille', '#!/bin/sh\nexport BASTILLE_VERSION=1.4.4\n'],
    ['usr/local/share/bastille/common.sh', ': ${PREFIX}\n'],
    ['usr/local/share/bastille/lib/log.sh', '# log\n'],
    ['usr/local/share/man/man8/bastille.8', 'manual'],
    ['usr/local/etc/bastille/bastille.conf.sample', 'a=b\n'],
    ['usr/local/etc/rc.d/bastille', '#!/bin/sh\n'],
    ['README.md', 'readme'],
  ] as const) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), body);
  }
  chmodSync(join(folder, 'usr/local/bin/bastille'), 0o777);
  chmodSync(join(folder, 'usr/local/etc/rc.d/bastille'), 0o700);
  return folder;
}

describe('Bastille for a copy of an image', () => {
  it('is the program, with modes of its own and nothing else', async () => {
    const { version, files } = await readBastille(await tree());
    expect(version).toBe('1.4.4');
    expect(files.map(({ path, mode }) => `${path} ${mode.toString(8)}`)).toEqual([
      'usr/local/bin/bastille 555',
      'usr/local/share/bastille/common.sh 444',
      'usr/local/share/bastille/lib/log.sh 444',
      'usr/local/etc/bastille/bastille.conf.sample 444',
      'usr/local/etc/rc.d/bastille 555',
    ]);
  });

  it.each<[string, (folder: string) => void]>([
    [
      'there is no usr/local/bin/bastille',
      (folder) => {
        symlinkSync(folder, join(folder, 'elsewhere'));
      },
    ],
    [
      'usr/local/share/bastille/link.sh is neither a file nor a folder',
      (folder) => {
        symlinkSync('/etc/passwd', join(folder, 'usr/local/share/bastille/link.sh'));
      },
    ],
    [
      'usr/local/share/bastille/binary is no text',
      (folder) => {
        writeFileSync(join(folder, 'usr/local/share/bastille/binary'), Buffer.from([0x7f, 0xff, 0xfe]));
      },
    ],
    [
      'it is larger than',
      (folder) => {
        writeFileSync(join(folder, 'usr/local/share/bastille/large'), Buffer.alloc(3 * 1024 * 1024, 'x'));
      },
    ],
    [
      'usr/local/bin/bastille does not say which version it is',
      (folder) => {
        writeFileSync(join(folder, 'usr/local/bin/bastille'), '#!/bin/sh\n');
      },
    ],
  ])('is refused where %s', async (message, change) => {
    const folder = await tree();
    change(folder);
    const named = message.startsWith('there is no') ? join(folder, 'elsewhere', 'usr') : folder;
    await expect(readBastille(named)).rejects.toThrow(message);
  });
});
