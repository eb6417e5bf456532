import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../../build/commands/configuration.js';
import { loadFleet } from '../../../build/commands/deployments.js';
import { HASH, PUBLIC_KEY } from '../../helpers/config.js';
import { tmp } from '../../helpers/tmp.js';

/** A folder with two deployments, or with those that are named. */
async function deployments(...names: readonly string[]): Promise<string> {
  const folder = join(await tmp(), 'deployments');
  mkdirSync(folder);
  for (const [index, name] of (names.length === 0 ? ['natasha', 'web-1.eu'] : names).entries())
    writeFileSync(
      join(folder, `${name}.cfg`),
      `FREEBSD_DIST="sample"\nSSH_AUTHORIZED_KEYS="${PUBLIC_KEY}"\nASSISTANT_NAME="agent${'ab'[index] ?? ''}"\nAGENT_NET="192.168.${index}.0/24"\n`,
    );
  return folder;
}

const hashes = async (folder: string, environment: NodeJS.ProcessEnv) =>
  Object.fromEntries(
    (await loadFleet(folder, [], environment)).deployments.map(({ name, loaded }) => [
      name,
      loaded.config.ROOT_PASSWORD_HASH,
    ]),
  );

it('of what tests are given is nothing of a configuration, a misspelt key is', async () => {
  const folder = await deployments('natasha');
  const given = readFileSync('README.md', 'utf8').match(/CLAWDIE_TEST_[A-Z]+/g) ?? [];
  expect(given).toContain('CLAWDIE_TEST_SETS');
  await hashes(folder, Object.fromEntries(given.map((name) => [name, '/some/folder'])));
  await expect(hashes(folder, { CLAWDIE_TEST_SET: '/some/folder' })).rejects.toThrow(
    'there is no key TEST_SET',
  );
});

describe('CLAWDIE_<KEY>__<NAME>', () => {
  it('reaches the deployment that it names, and no other', async () => {
    const folder = await deployments();
    expect(await hashes(folder, { CLAWDIE_ROOT_PASSWORD_HASH__NATASHA: HASH })).toEqual({
      natasha: HASH,
      'web-1.eu': undefined,
    });
    expect(await hashes(folder, { CLAWDIE_ROOT_PASSWORD_HASH__WEB_1_EU: HASH })).toEqual({
      natasha: undefined,
      'web-1.eu': HASH,
    });
  });

  it('changes what the image of that deployment is made of, and of no other', async () => {
    const folder = await deployments();
    const inputs = async (environment: NodeJS.ProcessEnv) =>
      (await loadFleet(folder, [], environment)).deployments.map((each) => each.inputs);
    const [natasha, web] = await inputs({});
    const [other, same] = await inputs({ CLAWDIE_ROOT_PASSWORD_HASH__NATASHA: HASH });
    expect(other).not.toBe(natasha);
    expect(same).toBe(web);
  });

  it('wins over CLAWDIE_<KEY>, and says where its value came from', async () => {
    const folder = await deployments();
    const { deployments: all } = await loadFleet(folder, [], {
      CLAWDIE_HTTP: 'no',
      CLAWDIE_HTTP__NATASHA: 'yes',
    });
    expect(all.map(({ loaded }) => loaded.config.HTTP)).toEqual([true, false]);
    await expect(loadFleet(folder, [], { CLAWDIE_HTTP__NATASHA: 'perhaps' })).rejects.toThrow(
      'environment, CLAWDIE_HTTP__NATASHA: HTTP must be "yes" or "no"',
    );
    await expect(loadFleet(folder, [], { CLAWDIE_HTPT__NATASHA: 'no' })).rejects.toThrow(
      'environment, CLAWDIE_HTPT__NATASHA: there is no key HTPT',
    );
  });

  it('is nothing where it is empty, as CI engines make it of a secret that is not there', async () => {
    const folder = await deployments('natasha');
    const empty = { CLAWDIE_SSH_AUTHORIZED_KEYS__NATASHA: '', CLAWDIE_ROOT_PASSWORD_HASH__GONE: '' };
    const { deployments: all } = await loadFleet(folder, [], empty);
    expect(all[0]?.loaded.config.SSH_AUTHORIZED_KEYS).toEqual([PUBLIC_KEY]);
  });

  it('is refused where it names nobody, or two; a secret for all is refused, too, and none is shown', async () => {
    const folder = await deployments();
    const refused = async (where: string, environment: NodeJS.ProcessEnv): Promise<string> =>
      loadFleet(where, [], environment).then(
        () => 'taken',
        (error: unknown) => (error as Error).message,
      );
    const messages = [
      await refused(folder, { CLAWDIE_ROOT_PASSWORD_HASH__NATASCHA: HASH }),
      await refused(await deployments('web-1', 'web.1'), { CLAWDIE_ROOT_PASSWORD_HASH__WEB_1: HASH }),
      await refused(folder, { CLAWDIE_ROOT_PASSWORD_HASH: HASH }),
    ];
    expect(messages[0]).toContain('CLAWDIE_ROOT_PASSWORD_HASH__NATASCHA is for no deployment of');
    expect(messages[1]).toContain('CLAWDIE_ROOT_PASSWORD_HASH__WEB_1 could be for web-1 or web.1');
    expect(messages[2]).toContain('CLAWDIE_ROOT_PASSWORD_HASH would put one secret into all 2 deployments');
    expect(messages.join()).not.toContain(HASH);
    expect(await refused(await deployments('natasha'), { CLAWDIE_ROOT_PASSWORD_HASH: HASH })).toBe('taken');
  });

  it('says of all that is named and not there, with its line', async () => {
    const config = join(await tmp(), 'build.cfg');
    writeFileSync(
      config,
      `SSH_AUTHORIZED_KEYS="${PUBLIC_KEY}"\nEXTRA_FILES="nope"\nPF_RULES_FILE="nope.conf"\nSIGN_KEY="nope.pub"\nTAILSCALE_AUTHKEY_FILE=""\n`,
    );
    await expect(loadConfig({ config, set: [] }, {})).rejects.toThrow(
      /has 3 problems:\n\n.*:2:13: EXTRA_FILES: the folder .*nope cannot be read: it is not there[^]*:3:15: PF_RULES_FILE: the file [^]*:4:10: SIGN_KEY: the file /,
    );
  });

  it.each([
    [
      'nope.pub',
      /the file \S+nope\.pub cannot be read: no such file or directory\n[^]*check the path behind the @/,
    ],
    [
      '~/.ssh/id.pub',
      /the file \S+~\/\.ssh\/id\.pub cannot be read: no such [^]*write the path whole: nothing expands ~/,
    ],
  ])('says of the file of keys %s that it is not there', async (name, message) => {
    const config = join(await tmp(), 'build.cfg');
    writeFileSync(config, `SSH_AUTHORIZED_KEYS="@${name}"\n`);
    await expect(loadConfig({ config, set: [] }, {})).rejects.toThrow(message);
  });

  it('says of a folder of deployments that it is not there', async () => {
    const folder = join(await tmp(), 'nope');
    await expect(loadFleet(folder, [], {})).rejects.toThrow(
      `The folder of deployments ${folder} cannot be read: no such file or directory.`,
    );
  });

  it('counts for a configuration that stands alone, too, by the name of its file', async () => {
    const folder = await deployments();
    const environment = {
      CLAWDIE_ROOT_PASSWORD_HASH__NATASHA: HASH,
      CLAWDIE_HTTP__WEB_1_EU: 'no',
    };
    const { config, settings } = await loadConfig(
      { config: join(folder, 'natasha.cfg'), set: [] },
      environment,
    );
    expect(config).toMatchObject({ ROOT_PASSWORD_HASH: HASH, HTTP: true });
    expect(settings.ROOT_PASSWORD_HASH.origin).toBe('environment');
  });
});
