import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { overlay } from '../../../build/commands/overlay.js';
import type { OverlayOptions } from '../../../build/commands/overlay.js';
import { ownerOf } from '../../../build/overlay/owners.js';
import { configOf, HASH, PUBLIC_KEY } from '../../helpers/config.js';
import { extraFiles, inputOf, overlayOf } from '../../helpers/deployment.js';
import { tmp } from '../../helpers/tmp.js';

const sources = inputOf(configOf());

/** Runs the command on a configuration in a folder of its own; gives what it printed and returned. */
async function run(text: string, more: Partial<OverlayOptions> = {}, folder?: string) {
  const config = join(folder ?? (await tmp()), 'build.cfg');
  writeFileSync(config, `SSH_AUTHORIZED_KEYS="${PUBLIC_KEY}"\n${text}`);
  const lines: string[] = [];
  const notes: string[] = [];
  const same = await overlay(
    { config, set: [], patch: false, json: false, ...more },
    {},
    (line) => {
      lines.push(line);
    },
    (note) => {
      notes.push(note);
    },
  );
  return { same, text: lines.join('\n'), notes };
}

it('lists what a configuration renders, with owners and modes; a secret as such', async () => {
  const { text } = await run(`ROOT_PASSWORD_HASH='${HASH}'\n`);
  expect(text).toMatch(/^file {2}0600 {2}0:0 {4} +\d+ {2}\/etc\/pf\.conf$/m);
  expect(text).toMatch(/^link .* \/etc\/localtime -> \/usr\/share\/zoneinfo\/UTC$/m);
  expect(text).toMatch(/root\.hash \(secret\)$/m);
  expect(text).not.toContain('$6$');
});

it('prints one file, but no secret', async () => {
  expect((await run('', { file: '/etc/clawdie/clawdie.conf' })).text).toContain('ASSISTANT_NAME=clawdie');
  await expect(run('', { file: '/etc/nothing' })).rejects.toThrow('The overlay has no file /etc/nothing');
  await expect(run(`ROOT_PASSWORD_HASH='${HASH}'\n`, { file: 'var/db/clawdie/root.hash' })).rejects.toThrow(
    'is a secret',
  );
});

it('unpacks into a new folder that nobody else looks into', async () => {
  const folder = await tmp();
  const target = join(folder, 'out');
  await run(`ROOT_PASSWORD_HASH='${HASH}'\n`, { unpack: target });
  expect(readFileSync(join(target, 'etc/rc.conf'), 'utf8')).toContain('clawdie_lockdown_enable="YES"');
  expect(statSync(target).mode & 0o777).toBe(0o700);
  expect(statSync(join(target, 'var/db/clawdie/root.hash')).mode & 0o777).toBe(0o600);
  expect(statSync(join(target, 'usr/local/sbin/clawdie-state')).mode & 0o777).toBe(0o555);
  await expect(run('', { unpack: target })).rejects.toThrow('is not empty');
});

it('writes a slot, and says how another configuration would change it', async () => {
  const folder = await tmp();
  const slot = join(folder, 'slot');
  await run('', { slot }, folder);
  expect(statSync(slot)).toMatchObject({ size: 4 * 1024 * 1024 });
  expect(statSync(slot).mode & 0o777).toBe(0o600);
  expect(await run('', { diff: slot }, folder)).toEqual({
    same: true,
    text: 'The overlays are the same.',
    notes: [expect.stringContaining('There is no clawdie.lock.json')],
  });
  const other = join(folder, 'other.cfg');
  writeFileSync(other, `SSH_AUTHORIZED_KEYS="${PUBLIC_KEY}"\n`);
  expect((await run('', { diff: other, set: ['HTTP=no'] }, folder)).notes).toContain(
    `--set goes for ${other}, too.`,
  );
  const changed = await run('HTTP="no"\nDNS="9.9.9.9"\n', { diff: slot, patch: true }, folder);
  expect(changed.same).toBe(false);
  expect(changed.text).toContain('is new: /etc/resolv.conf  (file)');
  expect(changed.text).toMatch(/^\/etc\/pf\.conf {2}\(lines -\d+ \+\d+\)$/m);
  expect(changed.text).toContain('    -#   80/tcp     HTTP, certificate renewals');
  await expect(run('', { slot, diff: slot })).rejects.toThrow('one can be given');
  await expect(run('', { diff: join(folder, 'build.cfg.not') })).rejects.toThrow('cannot be read');
});

it('no overlay brings what is the instance’s or the operator’s', () => {
  expect(ownerOf('etc/pf.conf')).toBe('overlay');
  expect(ownerOf('etc/rc.conf.local')).toBe('operator');
  expect(ownerOf('var/db/clawdie/state/tailnet')).toBe('instance');
  for (const path of ['etc/ssh/ssh_host_rsa_key', 'etc/rc.conf.local'])
    expect(() => overlayOf(configOf(), { extra: extraFiles({ [path]: 'x' }) })).toThrow('EXTRA_FILES');
  const templates = [{ path: 'etc/rc.conf.local', text: 'x' }];
  expect(() =>
    overlayOf(configOf(), {
      templates: [...templates, ...sources.templates],
      spec: new Map([
        ...sources.spec,
        ['etc/rc.conf.local', { path: 'etc/rc.conf.local', type: 'file', uid: 0, gid: 0, mode: 0o644 }],
      ]),
    }),
  ).toThrow('is the operator’s and which no overlay replaces');
});
