import { hostLabel } from './readers.js';
import type { Reading } from './reading.js';

const isHost = (host: string): boolean =>
  host.length <= 253 && host.split('.').every((label) => hostLabel.test(label));

/** A mail address as sendmail(8) gets it as an argument: `local@host`, of plain characters alone (RFC 5321, Dot-string). */
export function readMailAddress(input: string): Reading<string> {
  const [local = '', host = '', ...rest] = input.split('@');
  return rest.length === 0 && /^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$/.test(local) && isHost(host)
    ? { value: input }
    : { message: 'must be one mail address', fix: 'write it as "ops@example.org"' };
}

/**
 * A webhook: `https://host[:port]/path?query`, which is POSTed to. The host by name, whose certificate is verified; no user, since
 * nothing reads it; no fragment, which is never sent.
 */
export function readWebhook(input: string): Reading<string> {
  const [, host = '', port = '443'] =
    /^https:\/\/([^/:@?#]+)(?::([1-9][0-9]{0,4}))?(?:\/[\x21\x22\x24-\x7e]*)?$/.exec(input) ?? [];
  return isHost(host) && /[A-Za-z]/.test(host) && Number(port) <= 65535 && input.length <= 2048
    ? { value: input }
    : {
        message: 'must be an https URL of a host with a name, without user or fragment',
        fix: 'write it as "https://hooks.example.org/path"',
      };
}
