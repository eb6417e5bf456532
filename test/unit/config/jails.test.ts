import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { report } from '../../../build/config/report.js';
import { findingsOf, PUBLIC_KEY } from '../../helpers/config.js';

/** What is said of a build.cfg with these lines. */
function said(...lines: readonly string[]): string {
  const text = [`SSH_AUTHORIZED_KEYS='${PUBLIC_KEY}'`, ...lines, ''].join('\n');
  return report(findingsOf(text), { 'build.cfg': text });
}

describe('JAILS', () => {
  it.each([
    ['JAILS="Worker"', 'must begin each line with "name"'],
    ['JAILS="twelveletter"', 'must begin each line with "name"'],
    ['JAILS="a/b/c"', 'must begin each line with "name"'],
    ['JAILS="all"', 'cannot name a jail "all"'],
    ['JAILS="w bridged"', 'has "bridged" in the line of w, which is not understood'],
    ['JAILS="w plain vnet"', 'says network of w twice'],
    ['JAILS="w memory=512"', 'memory must be a size or a share of the memory, not "512"'],
    ['JAILS="w memory=101%"', 'memory must be a size or a share'],
    ['JAILS="w processes=2"', 'must be a number of processes from 10'],
    ['JAILS="w disk=1M"', 'must be a size of 16M or more'],
    ['JAILS="w address=10.1.1.300"', 'has no IPv4 address'],
    ['JAILS="w address=192.168.100.1"', 'is not for jails of clawdie'],
    ['JAILS="w address=192.168.101.7"', 'is not for jails of clawdie'],
    ['JAILS="igor/w"', 'which is no tenant'],
    ['JAILS="w template=../../etc"', 'names a template'],
    ["JAILS='w template=a/$(reboot)'", 'names a template'],
    ['JAILS="w __proto__=1"', 'which is not understood'],
    ['JAIL_MEMORY="lots"', 'JAIL_MEMORY must be a size or a share'],
    ['TENANT_CPU="0"', 'TENANT_CPU must be per cent'],
  ])('%s is refused', (line, message) => {
    expect(said(line)).toContain(message);
  });

  it('points at the word that is wrong, in its line', () => {
    expect(said('JAILS="', 'one', '  two cpu=many', '"')).toContain(
      [
        'build.cfg:4:7: JAILS cpu must be per cent of one processor, 1 or more, not "many"',
        '  4 |   two cpu=many',
        '    |       ^^^^^^^^',
      ].join('\n'),
    );
    expect(said('JAILS="one', 'two', 'one"')).toContain('build.cfg:4:1: JAILS names the jail one twice');
    expect(said('JAILS="a address=192.168.100.9', 'b address=192.168.100.9"')).toContain(
      'build.cfg:3:1: JAILS gives 192.168.100.9 to a and to b',
    );
  });

  it('holds tenants to what they may have together, where that can be added up', () => {
    const jails = 'JAILS="a\nb\nc"';
    expect(said(jails, 'JAIL_MEMORY="512M"', 'TENANT_MEMORY="1G"')).toContain(
      'the jails of clawdie may take more memory together than TENANT_MEMORY',
    );
    expect(said(jails, 'TENANT_CPU="100"')).toContain('more cpu together than TENANT_CPU');
    expect(said(jails, 'JAIL_MEMORY="25%"', 'TENANT_MEMORY="75%"', 'TENANT_PROCESSES="600"')).toBe('');
    // A share and a size: the machine decides.
    expect(said(jails, 'JAIL_MEMORY="25%"', 'TENANT_MEMORY="1M"')).toBe('');
  });

  it('never takes two jails to one address, whatever it is asked for', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.stringMatching(/^[a-z][a-z0-9]{0,5}$/), { maxLength: 20 }),
        fc.array(fc.option(fc.integer({ min: 0, max: 255 }), { nil: undefined }), { maxLength: 20 }),
        (names, hosts) => {
          const lines = names
            .map(
              (name, index) =>
                `${name}${hosts[index] === undefined ? '' : ` address=192.168.100.${hosts[index]}`}`,
            )
            .join('\n');
          const message = said(`JAILS='${lines}'`);
          const wanted = hosts.slice(0, names.length).filter((host) => host !== undefined);
          const clash =
            new Set(wanted).size < wanted.length ||
            wanted.some((host) => host === 0 || host === 1 || host === 255) ||
            names.includes('all');
          expect(message !== '').toBe(clash);
        },
      ),
    );
  });
});
