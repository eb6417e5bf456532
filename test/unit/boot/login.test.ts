import { createSocket } from 'node:dgram';
import { connect } from 'node:net';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { arp, udp } from '../../../build/boot/frames.js';
import { makeKey, openLogin } from '../../../build/boot/login.js';
import { GUEST_MAC, NETWORK, PEER_MAC } from '../../../build/boot/peer.js';
import { qmp } from '../../helpers/qmp.js';
import { never, tmp } from '../../helpers/tmp.js';

const serial = (): { output: PassThrough; input: PassThrough } => ({
  output: new PassThrough(),
  input: new PassThrough(),
});
/** A machine whose guest says and hears nothing. */
const silent = { send: () => undefined, tap: () => () => undefined };

describe('logging in to a machine that keeps running', () => {
  it('opens SSH on the loopback alone, and lets the guest out to nowhere', async () => {
    const folder = await tmp();
    const told = await qmp(join(folder, 'control'), () => ({ return: {} }));
    const login = await openLogin({ serial: serial(), ...silent }, NETWORK, folder);
    login.close();
    expect(told.map(({ execute }) => execute)).toEqual([
      'qmp_capabilities',
      ...Array.from({ length: 4 }, () => 'netdev_add'),
    ]);
    const port = / -p (\d+) /.exec(login.lines[0] ?? '')?.[1] ?? '';
    expect(told[1]?.arguments).toMatchObject({
      ...{ type: 'user', net: '203.0.113.0/24', host: NETWORK.login4, restrict: true, ipv6: false },
      hostfwd: [{ str: `tcp:127.0.0.1:${port}-${NETWORK.guest4}:22` }],
    });
    expect(told[2]?.arguments).toMatchObject({ type: 'dgram', id: 'line' });
    expect(told.slice(3).map(({ arguments: { netdev } }) => netdev)).toEqual(['login', 'line']);
    expect(login.lines[0]).toContain(`ssh -i ${join(folder, 'key')} `);
  });

  it('shows the user network what the guest sends to it, and nothing that is the internet’s', async () => {
    const folder = await tmp();
    const told = await qmp(join(folder, 'control'), () => ({ return: {} }));
    const sent: Buffer[] = [];
    let guestSends: (frame: Buffer) => void = () => undefined;
    const login = await openLogin(
      {
        serial: serial(),
        send: (frame) => void sent.push(frame),
        tap: (use) => {
          guestSends = use;
          return () => undefined;
        },
      },
      NETWORK,
      folder,
    );
    onTestFinished(login.close);
    const { remote } = told[2]?.arguments as { readonly remote: { readonly port: string } };
    const network = createSocket('udp4');
    onTestFinished(() => void network.close());
    const heard: string[] = [];
    const arrived = (count: number): Promise<void> =>
      vi.waitFor(() => {
        expect(heard).toHaveLength(count);
      });
    network.on('message', (bytes) => heard.push(bytes.toString('hex')));
    const ends = { from: '52:55:cb:00:71:03', to: 'ff:ff:ff:ff:ff:ff' };
    // It asks for the guest; only then it is known who it is.
    const question = arp(ends, 1, NETWORK.login4, ends.from, NETWORK.guest4);
    network.send(question, Number(remote.port), '127.0.0.1');
    await vi.waitFor(() => {
      expect(sent).toEqual([question]);
    });
    const toLogin = { from: GUEST_MAC, to: ends.from };
    const answer = arp(toLogin, 2, NETWORK.guest4, ends.from, NETWORK.login4);
    const toInternet = { from: GUEST_MAC, to: PEER_MAC };
    guestSends(udp(toInternet, NETWORK.guest4, '198.51.100.80', 1024, 80));
    guestSends(
      arp({ ...toInternet, to: 'ff:ff:ff:ff:ff:ff' }, 1, NETWORK.guest4, GUEST_MAC, NETWORK.router4),
    );
    guestSends(Buffer.from('no frame'));
    guestSends(answer);
    await arrived(1);
    guestSends(udp(toLogin, NETWORK.guest4, NETWORK.login4, 22, 1024));
    await arrived(2);
    expect(heard[0]).toBe(answer.toString('hex'));
  });

  it('gives the serial line to who connects, both ways', async () => {
    const folder = await tmp();
    await qmp(join(folder, 'control'), () => ({ return: {} }));
    const line = serial();
    const login = await openLogin({ serial: line, ...silent }, NETWORK, folder);
    const person = connect(join(folder, 'console'));
    await new Promise((resolve) => person.once('connect', resolve));
    person.write('root\n');
    expect(String((await line.input.iterator().next()).value)).toBe('root\n');
    line.output.write('Password:');
    expect(String((await person.iterator().next()).value)).toBe('Password:');
    login.close();
  });

  it('says so where QEMU cannot', async () => {
    const folder = await tmp();
    await qmp(join(folder, 'control'), ({ execute }) =>
      execute === 'netdev_add' ? { error: { class: 'GenericError', desc: 'no slirp' } } : { return: {} },
    );
    await expect(openLogin({ serial: serial(), ...silent }, NETWORK, folder)).rejects.toThrow(
      'QEMU opens no way in (netdev_add): no slirp.',
    );
    await expect(openLogin({ serial: serial(), ...silent }, NETWORK, await tmp())).rejects.toThrow(/ENOENT/);
  });

  it('makes a key of its own for a run, that nobody else may read', async () => {
    const folder = await tmp();
    const line = await makeKey(folder, never);
    expect(line).toMatch(/^ssh-ed25519 \S+ clawdie-iso boot$/);
    expect(statSync(join(folder, 'key')).mode & 0o077).toBe(0);
    expect(readFileSync(join(folder, 'key'), 'utf8')).toContain('OPENSSH PRIVATE KEY');
  });
});
