import { describe, expect, it } from 'vitest';
import { makeView } from '../../../build/overlay/view.js';
import { proveImage } from '../../../build/policy/image.js';
import { configOf } from '../../helpers/config.js';
import { bodyOf, overlayOf } from '../../helpers/deployment.js';

const config = configOf({ TENANTS: 'igor' });
const entries = overlayOf(config);
const prove = (operator: string): unknown =>
  proveImage(
    {
      pf: bodyOf(entries, 'etc/pf.conf'),
      fallback: bodyOf(entries, 'etc/pf-fallback.conf'),
      hosts: bodyOf(entries, 'etc/hosts'),
      operator,
    },
    makeView(config),
    [],
  );

describe('rules of an operator', () => {
  it('may use the names of /etc/hosts that the image has, and no others', () => {
    expect(() =>
      prove('block in quick on egress proto tcp from any to { localhost, warden0.host } port 8080\n'),
    ).not.toThrow();
    expect(() => prove('block in quick on egress from any to warden9.example\n')).toThrow(
      /operator\.conf:1:\d+: "warden9\.example" is a host name/,
    );
  });

  it('count as the kernel takes them: of two that are equal the first alone', () => {
    const rule = 'block in on egress proto tcp to port 25\n';
    expect(() => prove(`${rule}pass in on egress proto tcp to port 25\n${rule}`)).toThrow(/operator\.conf:2/);
    expect(() => prove(`${rule}${rule}`)).not.toThrow();
  });

  it('have no table with counters: where a later file takes them away, the kernel may stop', () => {
    const rule = 'block in quick on egress inet proto tcp from <own> to any port 8080\n';
    expect(() => prove(`table <own> { 198.51.100.0/24 }\n${rule}`)).not.toThrow();
    expect(() => prove(`table <own> counters { 198.51.100.0/24 }\n${rule}`)).toThrow(
      /operator\.conf:1:\d+: the table <own> has counters/,
    );
  });

  it('are bounded where lists multiply, with the line', () => {
    const list = (prefix: string): string =>
      `{ ${Array.from({ length: 20 }, (_, index) => `${prefix}${index + 1}`).join(' ')} }`;
    expect(() =>
      prove(`# many\nblock in proto tcp from ${list('10.0.0.')} to ${list('10.0.1.')} port ${list('10')}\n`),
    ).toThrow(/operator\.conf:2:1: the lists of this rule make 8000 rules of it, with \d+ before it/);
  });
});
