import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { showConfig } from '../../../build/commands/config.js';
import { doctor } from '../../../build/commands/doctor.js';
import { PUBLIC_KEY } from '../../helpers/config.js';
import { tmp } from '../../helpers/tmp.js';

describe('in a terminal of 60 columns', () => {
  it('config has a line for each key that is short enough, and names the file of its value', async () => {
    const config = join(await tmp(), 'natasha.cfg');
    writeFileSync(config, `SSH_AUTHORIZED_KEYS="${PUBLIC_KEY}"\nTIMEZONE="UTC"\n`);
    const lines: string[] = [];
    await showConfig({ config, set: ['HTTP=no'], json: false }, {}, (line) => lines.push(line), 60);
    const long = lines.filter((line) => line.length > 60);
    expect(long.map((line) => line.replace(/=.*/, ''))).toEqual([
      'FREEBSD_BASE_PACKAGES',
      'SSH_AUTHORIZED_KEYS',
    ]);
    expect(lines.join('\n')).toMatch(
      /^TIMEZONE="UTC" +# natasha\.cfg, line 2\n[^]*^HTTP="no" +# command line$/m,
    );
  });

  it('doctor says beside each tool what it is for', async () => {
    const lines: string[] = [];
    await doctor({ json: false, colour: false, columns: 60 }, (line) => lines.push(line));
    const table = lines.slice(0, lines.includes('') ? lines.indexOf('') : undefined);
    expect(table.filter((line) => line.length > 60)).toEqual([]);
    expect(table.join('\n').replace(/\n +/g, ' ')).toContain(
      'runs the installer for disk images, and boots images in tests',
    );
  });
});
