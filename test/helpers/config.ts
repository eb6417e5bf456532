import { resolve } from '../../build/config/resolve.js';
import type { Config } from '../../build/config/keys.js';
import type { Finding } from '../../build/config/report.js';

/** A public key whose parts fit together; nobody has the other half. */
export const PUBLIC_KEY =
  'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBERERERERERERERERERERERERERERERERERERERERER operator@example';

/** A SHA-512 hash as openssl passwd -6 makes them. */
export const HASH = `$6$saltsalt$${'a'.repeat(86)}`;

export function findingsOf(text: string): readonly Finding[] {
  return resolve({ file: { name: 'build.cfg', text }, environment: {}, commandLine: {} }).findings;
}

/** The configuration of the given keys, with a key to log in by. */
export function configOf(values: Readonly<Record<string, string>> = {}): Config {
  const { resolved, findings } = resolve({
    file: { name: 'build.cfg', text: '' },
    environment: {},
    commandLine: { SSH_AUTHORIZED_KEYS: PUBLIC_KEY, ...values },
  });
  if (!resolved) throw new Error(findings.map(({ message }) => message).join('\n'));
  return resolved.config;
}
