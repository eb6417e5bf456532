import { describe, expect, it } from 'vitest';
import { checkInstalled, diskPackages, toldPackages } from '../../../build/disk/packages.js';
import { mediumOf } from '../../../build/packages/medium.js';
import { diskKey } from '../../../build/pipeline/plan.js';
import { lockOf } from '../../helpers/lock.js';

describe('packages of a base disk', () => {
  it('are those that its instances ask for and what these need, held against the lock by the list', async () => {
    const { lock } = await lockOf([
      { name: 'pkg', asked: ['pkg(8)'] },
      { name: 'libevent' },
      { name: 'tmux', deps: ['libevent'], asked: ['PACKAGES'] },
      { name: 'node24', asked: ['clawdie/pi-worker'] },
    ]);
    const medium = await mediumOf(lock);
    const made = diskPackages(medium, ['tmux', 'pkg'], (name) => `# ${name}\n`);
    expect(made.locked.map(({ name }) => name)).toEqual(['libevent', 'pkg', 'tmux']);
    const body = (path: string): string => made.entries.find((each) => each.path === path)?.body ?? '';
    expect(body('etc/clawdie/clawdie.conf')).toBe("PACKAGES='tmux pkg'\n");
    expect(body('usr/local/libexec/clawdie/medium.sh')).toBe('# medium.sh\n');
    expect(body('var/db/clawdie/packages.list')).toMatch(
      /^asked [0-9a-f]{64} \d+ \d+ All\/tmux-1\.0\.pkg tmux 1\.0$/m,
    );
    // Another list, another script: another disk.
    const keys = [
      made,
      diskPackages(medium, ['pkg'], (name) => `# ${name}\n`),
      diskPackages(medium, ['tmux', 'pkg'], () => ''),
      undefined,
    ].map((each) => diskKey('base', 'ufs', '1.5', each?.entries));
    expect(new Set(keys).size).toBe(4);
  });

  it('are what pkg(8) says that it has, or there is no disk', () => {
    const told = toldPackages(
      'XXX\r\nclawdie-install: package tmux 3.5_1\r\nclawdie-install: package pkg 2.8,1\r\nclawdie-install: packages ...\r\n',
    );
    expect(told).toEqual([
      { name: 'pkg', version: '2.8,1' },
      { name: 'tmux', version: '3.5_1' },
    ]);
    expect(() => {
      checkInstalled(told, told);
    }).not.toThrow();
    expect(() => {
      checkInstalled(told, [
        { name: 'pkg', version: '2.8,1' },
        { name: 'tmux', version: '3.6' },
      ]);
    }).toThrow('not there: tmux 3.6; not in the lock: tmux 3.5_1');
  });
});
