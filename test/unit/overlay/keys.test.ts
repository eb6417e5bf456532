import { describe, expect, it } from 'vitest';
import type { Config, KeyName } from '../../../build/config/keys.js';
import { KEY_NAMES } from '../../../build/config/keys.js';
import { unlockedRelease } from '../../../build/commands/lock-base.js';
import { baseSubject } from '../../../build/commands/release.js';
import { signingOf } from '../../../build/commands/signing.js';
import { baseRequest, diskOf } from '../../../build/commands/request.js';
import { findConflicts } from '../../../build/fleet/conflicts.js';
import { repositoryUrl } from '../../../build/packages/repository.js';
import { releaseOf } from '../../../build/pipeline/base.js';
import { resolveRelease } from '../../../build/release/source.js';
import { configOf, HASH, PUBLIC_KEY } from '../../helpers/config.js';
import { extraFiles, overlayOf } from '../../helpers/deployment.js';

/**
 * For each key another value than it has, in a configuration where it counts; and what is known to change with it. A key
 * of build.cfg that changes nothing is a defect.
 */
const CHANGES: Readonly<
  Record<KeyName, readonly [value: string, within?: Readonly<Record<string, string>>]>
> = {
  ASSISTANT_NAME: ['natasha'],
  HOSTNAME: ['agent.example.org'],
  HOST: ['rack1'],
  TIMEZONE: ['Europe/Ljubljana'],
  FREEBSD_VERSION: ['14.3-RELEASE'],
  ARCH: ['amd64'],
  FREEBSD_DIST: ['sample'],
  FREEBSD_BASE_PACKAGES: ['FreeBSD-set-minimal FreeBSD-kernel-generic', { FREEBSD_DIST: 'pkgbase' }],
  FREEBSD_KEY_FILE: ['base.pub', { FREEBSD_DIST: 'pkgbase' }],
  FREEBSD_MIRROR: ['https://mirror.example'],
  FREEBSD_MANIFEST_SHA256: ['0'.repeat(64)],
  PROFILE: ['full'],
  SSH_AUTHORIZED_KEYS: [PUBLIC_KEY.replace('operator', 'another')],
  SIGN_KEY: ['key.pub'],
  SIGNERS: [PUBLIC_KEY, { SIGN_KEY: 'key.pub' }],
  SERIAL: ['7', { SIGN_KEY: 'key.pub' }],
  PUSH_TO: ['root@198.51.100.7'],
  SSH_PASSWORD_AUTH: ['yes', { ROOT_PASSWORD_HASH: HASH }],
  ROOT_PASSWORD_HASH: [HASH],
  EXT_IF: ['vtnet0'],
  WAN_IPV4: ['203.0.113.10/24 203.0.113.1', { EXT_IF: 'vtnet0', DNS: '9.9.9.9' }],
  WAN_IPV6: ['off'],
  DNS: ['9.9.9.9'],
  HTTP: ['no'],
  HTTPS: ['no'],
  AGENT_UI: ['192.168.100.10:3000'],
  NTP: ['time.example.org'],
  SYSLOG: ['log.example.org:514'],
  ICMP_ECHO: ['yes'],
  SSH_ALLOW: ['192.0.2.7 2001:db8::/48'],
  OPEN_PORTS: ['8443/tcp'],
  FORWARD_PORTS: ['8443/tcp=worker:443'],
  PF_RULES_FILE: ['rules.conf'],
  POLICY_EXCEPTIONS: ['closed'],
  BRUTEFORCE_EXPIRE: ['3600'],
  AGENT_NET: ['192.168.77.0/24'],
  JAIL_SUPERNET: ['192.168.64.0/18'],
  TENANTS: ['natasha'],
  JAIL_NETWORK: ['vnet'],
  JAILS: ['worker\nsecond'],
  JAIL_MEMORY: ['512M'],
  JAIL_PROCESSES: ['100'],
  JAIL_CPU: ['25'],
  JAIL_DISK: ['2G'],
  TENANT_MEMORY: ['50%'],
  TENANT_PROCESSES: ['400'],
  TENANT_CPU: ['100'],
  TENANT_DISK: ['4G'],
  JAIL_HOST_PORTS: ['8080/tcp'],
  PACKAGES: ['git-lite'],
  PACKAGES_REPOSITORY: ['latest'],
  PACKAGES_KEY_FILE: ['repository.pub'],
  MEMORY: ['2G'],
  FORMATS: ['iso qcow2'],
  INSTALL: ['auto'],
  INSTALL_DISK: ['vtbd0'],
  INSTALL_FS: ['zfs'],
  INSTALL_LAYOUT: ['single'],
  INSTALL_WIPE: ['yes'],
  TAILSCALE: ['host'],
  TAILSCALE_AUTHKEY_FILE: ['key', { TAILSCALE: 'host' }],
  GLASSPANE: ['yes', { TAILSCALE: 'host' }],
  CONSOLE: ['serial'],
  NOTIFY_MAIL: ['ops@example.org'],
  NOTIFY_WEBHOOK: ['https://hooks.example.org/x?token=1'],
  METRICS: ['yes'],
  EXTRA_FILES: ['files'],
};

/** What these decide is how the image is made. */
const OF_THE_IMAGE: readonly KeyName[] = [
  'ARCH',
  'FREEBSD_DIST',
  'FREEBSD_MANIFEST_SHA256',
  'FREEBSD_BASE_PACKAGES',
  'FREEBSD_KEY_FILE',
  'PROFILE',
  'FORMATS',
  'HOST',
  'POLICY_EXCEPTIONS',
  'PACKAGES_REPOSITORY',
  'PACKAGES_KEY_FILE',
  'SERIAL',
  'MEMORY',
];

/** What says where an instance is, and changes nothing of its image. */
const OF_NEITHER: readonly KeyName[] = ['PUSH_TO'];

/** Another public key than that of SSH_AUTHORIZED_KEYS. */
const OTHER_KEY = PUBLIC_KEY.replaceAll('ERERER', 'EREREB');

/** What a build takes of them: keys of the cache, disk images, rows that may be broken. */
async function build(config: Config): Promise<string> {
  const { request } = await baseRequest(config, await unlockedRelease(config, '/deployments'), 0);
  const { refused } = findConflicts(
    ['a.cfg', 'b.cfg'].map((file) => ({
      ...{
        file,
        assistant: config.ASSISTANT_NAME,
        host: config.HOST,
        agentNet: 'x',
        nets: [config.AGENT_NET],
      },
    })),
  );
  const disk = diskOf(request, config, '1.5')?.key;
  const packages = [repositoryUrl(config.PACKAGES_REPOSITORY, 'x'), config.PACKAGES_KEY_FILE, config.MEMORY];
  return JSON.stringify([
    request.release.id,
    request.keys,
    disk,
    refused,
    config.POLICY_EXCEPTIONS,
    packages,
    [baseSubject(config), config.FREEBSD_KEY_FILE],
    signingOf(config, '/deployments', { SOURCE_DATE_EPOCH: '1' }, config.SIGN_KEY && OTHER_KEY)?.identity,
  ]);
}

const rendered = (config: Config): string =>
  JSON.stringify(
    overlayOf(config, {
      ...(config.PF_RULES_FILE !== undefined && { operatorRules: 'block in quick from 192.0.2.1\n' }),
      ...(config.TAILSCALE_AUTHKEY_FILE !== undefined && { authKey: 'tskey-x' }),
      ...(config.SIGN_KEY !== undefined && { signKey: OTHER_KEY }),
      ...(config.EXTRA_FILES !== undefined && { extra: extraFiles({ 'opt/mine': 'mine\n' }) }),
    }),
  );

describe('every key of build.cfg', () => {
  it('is tried with another value', () => {
    expect(Object.keys(CHANGES).sort()).toEqual([...KEY_NAMES].sort());
  });

  it.each(KEY_NAMES.filter((key) => ![...OF_THE_IMAGE, ...OF_NEITHER].includes(key)))(
    '%s changes the overlay',
    (key) => {
      const [value, within = {}] = CHANGES[key];
      const before = configOf(within);
      const after = configOf({ ...within, [key]: value });
      expect(after[key]).not.toEqual(before[key]);
      expect(rendered(after)).not.toBe(rendered(before));
    },
  );

  it.each(OF_THE_IMAGE.filter((key) => key !== 'ARCH'))('%s changes how the image is made', async (key) => {
    const [value, within = {}] = CHANGES[key];
    expect(await build(configOf({ ...within, [key]: value }))).not.toBe(await build(configOf(within)));
  });

  it.each(OF_NEITHER)('%s changes nothing of the image', async (key) => {
    const after = configOf({ [key]: CHANGES[key][0] });
    expect(rendered(after)).toBe(rendered(configOf()));
    expect(await build(after)).toBe(await build(configOf()));
  });

  it('ARCH has one value so far, which is in the name of the image’s release', async () => {
    const { request } = await baseRequest(configOf(), resolveRelease(configOf(), '/deployments'), 0);
    expect(releaseOf(request)).toBe('15.1-RELEASE-amd64');
  });
});
