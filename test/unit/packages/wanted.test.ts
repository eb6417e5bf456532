import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { readTemplate } from '../../../build/commands/lock-subject.js';
import { readNpmLock } from '../../../build/packages/npm.js';
import { templateNeeds, wantedOf } from '../../../build/packages/wanted.js';
import { configOf } from '../../helpers/config.js';

const none = { HTTP: 'no', HTTPS: 'no', JAILS: '' };
const packagesOf = (values: Readonly<Record<string, string>>): Readonly<Record<string, readonly string[]>> =>
  Object.fromEntries(
    wantedOf(configOf({ ...none, ...values }), readTemplate).packages.map(({ name, by }) => [name, by]),
  );

describe('what an instance installs', () => {
  it('is what PACKAGES says, what keys imply, what templates install, and pkg for all of it', () => {
    expect(packagesOf({})).toEqual({});
    expect(packagesOf({ PACKAGES: 'git-lite tmux', HTTPS: 'yes' })).toEqual({
      'git-lite': ['PACKAGES'],
      tmux: ['PACKAGES'],
      nginx: ['HTTPS'],
      pkg: ['pkg(8)'],
    });
    expect(packagesOf({ TAILSCALE: 'host', GLASSPANE: 'yes', PACKAGES: 'tmux' })).toMatchObject({
      tailscale: ['TAILSCALE'],
      tmux: ['GLASSPANE', 'PACKAGES'],
      chromium: ['GLASSPANE'],
    });
    expect(packagesOf({ JAILS: 'one template=clawdie/pi-worker' })).toEqual({
      bastille: ['JAILS'],
      'git-lite': ['clawdie/pi-worker'],
      node24: ['clawdie/pi-worker'],
      'npm-node24': ['clawdie/pi-worker'],
      pkg: ['pkg(8)'],
    });
    expect(packagesOf({ JAILS: 'one vnet template=clawdie/tailscale', TAILSCALE: 'jail' })).toMatchObject({
      tailscale: ['clawdie/tailscale'],
    });
    // Jails that are made later are nodes as well.
    expect(packagesOf({ TAILSCALE: 'jail' })).toEqual({ tailscale: ['clawdie/tailscale'], pkg: ['pkg(8)'] });
    expect(packagesOf({ JAILS: 'one template=clawdie/worker', TAILSCALE: 'host' })).toMatchObject({
      tailscale: ['TAILSCALE'],
    });
  });

  it('names pi at its version, and templates that are somebody else’s', () => {
    const { npm } = wantedOf(configOf({ ...none, JAILS: 'one template=clawdie/pi-worker' }), readTemplate);
    expect(npm.map(({ name }) => name)).toEqual(['@earendil-works/pi-coding-agent@1.5.2']);
    expect(wantedOf(configOf({ ...none, JAILS: 'one template=natasha/own' }), readTemplate).notes).toEqual([
      'JAILS: natasha/own is no template of this project; what it installs is not in the lock, unless PACKAGES names it.',
    ]);
  });

  it('is what the script of the template does install', () => {
    const folder = 'overlays/firstboot/usr/local/bastille/templates/clawdie/pi-worker';
    const script = readFileSync(`${folder}/usr/local/libexec/clawdie-pi.sh`, 'utf8');
    const needs = templateNeeds('clawdie/pi-worker', readTemplate);
    for (const name of needs?.packages ?? [])
      expect(script).toMatch(new RegExp(`(^|[\\s"/])${name}([\\s"]|$)`, 'm'));
    for (const name of needs?.npm ?? []) expect(script).toContain(name.replace(/@[^@]*$/, ''));
  });

  it('refuses templates that say nothing that could be locked', () => {
    const of = (text: string) => () => templateNeeds('a/b', (name) => (name === 'a/b' ? text : undefined));
    expect(of('PKG $(reboot)')).toThrow('has a line that says nothing that could be locked: PKG $(reboot).');
    expect(of('# lock: npm pi')).toThrow('# lock: npm pi.');
    expect(of('# lock: npm pi@latest')).toThrow('# lock: npm pi@latest.');
    expect(of('INCLUDE a/b')).toThrow('The template a/b includes itself.');
    expect(of('INCLUDE x/y\nPKG a b\nARG V=1.2.3\n# lock: npm p@${V}')()).toEqual({
      packages: ['a', 'b'],
      npm: ['p@1.2.3'],
    });
  });
});

describe('a lock of npm', () => {
  const INTEGRITY = `sha512-${Buffer.alloc(64, 1).toString('base64')}`;
  const entry = (more: object = {}): object => ({
    version: '1.0.0',
    resolved: 'https://registry.example/x/-/x-1.0.0.tgz',
    integrity: INTEGRITY,
    ...more,
  });
  const read = (packages: Readonly<Record<string, object>>) =>
    readNpmLock(
      JSON.stringify({ lockfileVersion: 3, packages: { '': {}, ...packages } }),
      [{ name: 'pi@1.0.0', by: ['clawdie/pi-worker'] }],
      'amd64',
    );

  it('has what goes onto FreeBSD, each file once', () => {
    const found = read({
      'node_modules/pi': entry(),
      'node_modules/@scope/dep': entry(),
      'node_modules/pi/node_modules/@scope/dep': entry(),
      'node_modules/linux-only': entry({ os: ['linux'], optional: true }),
      'node_modules/no-windows': entry({ os: ['!win32'], cpu: ['x64', 'arm64'] }),
      'node_modules/arm': entry({ cpu: ['arm64'], optional: true }),
      'node_modules/pi/node_modules/bundled': { version: '1.0.0', inBundle: true },
    });
    expect(found.npm.map(({ name }) => name)).toEqual(['@scope/dep', 'no-windows', 'pi']);
    expect(found.npm[0]?.places).toEqual([
      'node_modules/@scope/dep',
      'node_modules/pi/node_modules/@scope/dep',
    ]);
    expect(found.npm[2]?.asked).toEqual(['clawdie/pi-worker']);
  });

  it('has licences as npm has them, and none where that is no line of text', () => {
    const licensed = (license: unknown) => read({ 'node_modules/pi': entry({ license }) }).npm[0]?.license;
    expect(licensed('(MIT OR Apache-2.0)')).toBe('(MIT OR Apache-2.0)');
    for (const other of [{ type: 'MIT' }, '', 'a\nb', 'x'.repeat(1001)])
      expect(licensed(other)).toBeUndefined();
  });

  it.each([
    [{ 'node_modules/dep': entry() }, 'npm does not find pi@1.0.0'],
    [
      { 'node_modules/pi': entry({ os: ['linux'] }) },
      'pi of npm is not for FreeBSD on amd64 (os: linux; cpu: any)',
    ],
    [
      { 'node_modules/pi': entry({ integrity: 'sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk=' }) },
      'has no SHA-512 of pi 1.0.0',
    ],
    [
      { 'node_modules/pi': entry({ resolved: 'git+ssh://git@example/x.git' }) },
      'which is no package of a registry',
    ],
    [{ 'node_modules/pi': entry({ link: true }) }, 'which is no package of a registry'],
    [
      {
        'node_modules/pi': entry(),
        'node_modules/a/node_modules/pi': entry({ integrity: `sha512-${'A'.repeat(86)}==` }),
      },
      'npm has two sums of pi@1.0.0',
    ],
  ])('refuses %j', (packages, message) => {
    expect(() => read(packages)).toThrow(message);
  });
});
