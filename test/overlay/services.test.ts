import { execFileSync, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { createServer, get as httpGet } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { get as httpsGet } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { find } from '../../build/host/tools.js';
import { configOf } from '../helpers/config.js';
import { bodyOf, overlayOf } from '../helpers/deployment.js';
import { FakeRoot } from '../helpers/shell.js';
import type { ScriptResult } from '../helpers/shell.js';

const NGINX = find('nginx', '/usr/sbin:/usr/local/sbin:/usr/bin');

describe('clawdie_web', () => {
  const SCRIPT = 'overlays/firstboot/etc/rc.d/clawdie_web';
  let fake: FakeRoot;
  const start = (): ScriptResult => fake.run(SCRIPT, ['start']);

  beforeEach(async () => {
    fake = (await FakeRoot.make())
      .withRcSubr()
      .stub('install')
      .stub('hostname', 'echo agent.example.org')
      .file('usr/local/libexec/clawdie/addresses.sh', '#!/bin/sh\necho 127.0.0.1; echo 2001:db8::1\n', 0o755)
      .file('usr/local/sbin/nginx', '#!/bin/sh\necho "$*" >> "$CLAWDIE_ROOT/nginx"\n', 0o755);
  });

  it("makes a key of the instance's own, once, for root alone, and listens on the host's addresses", () => {
    expect(start()).toMatchObject({ code: 0, stderr: '' });
    const key = join(fake.root, 'usr/local/etc/clawdie/tls/key.pem');
    expect(statSync(key).mode & 0o777).toBe(0o600);
    const made = readFileSync(key, 'utf8');
    expect(made).toContain('PRIVATE KEY');
    const shown = execFileSync(
      'openssl',
      ['x509', '-noout', '-text', '-in', key.replace('key.pem', 'cert.pem')],
      { encoding: 'utf8' },
    );
    expect(shown).toContain('DNS:agent.example.org');
    expect(fake.read('var/run/clawdie/web-80.conf')).toBe('listen 127.0.0.1:80;\nlisten [2001:db8::1]:80;\n');
    expect(fake.read('var/run/clawdie/web-443.conf')).toBe(
      'listen 127.0.0.1:443 ssl;\nlisten [2001:db8::1]:443 ssl;\n',
    );
    expect(fake.read('nginx').replaceAll(fake.root, '')).toBe(
      '-q -t -c /usr/local/etc/clawdie/nginx.conf\n-c /usr/local/etc/clawdie/nginx.conf\n',
    );
    start();
    expect(readFileSync(key, 'utf8')).toBe(made);
  });

  it('leaves a certificate alone that somebody brought', () => {
    fake.file('usr/local/etc/clawdie/tls/key.pem', 'key').file('usr/local/etc/clawdie/tls/cert.pem', 'cert');
    start();
    expect(fake.read('usr/local/etc/clawdie/tls/key.pem')).toBe('key');
  });

  it('does not start where nginx is not installed, finds a fault, or no key can be made', () => {
    fake.file('usr/local/sbin/nginx', '#!/bin/sh\n[ "$2" != -t ] || exit 1\necho started\n', 0o755);
    expect(start()).toMatchObject({ code: 1, stdout: '' });
    fake.removeFile('usr/local/etc/clawdie/tls/key.pem').removeFile('usr/local/etc/clawdie/tls/cert.pem');
    fake.stub('openssl', 'exit 1');
    expect(start().stderr).toContain('no key could be made');
    fake.removeFile('usr/local/sbin/nginx');
    expect(start().stderr).toContain('nginx is not installed');
  });

  it('is off, and no package of it comes, where no key asks for it', () => {
    const off = overlayOf(configOf({ HTTP: 'no', HTTPS: 'no', JAILS: '' }));
    expect(bodyOf(off, 'etc/rc.conf')).toContain('clawdie_web_enable="NO"\n');
    expect(bodyOf(off, 'etc/clawdie/clawdie.conf')).toMatch(/^PACKAGES=''$/m);
    expect(bodyOf(overlayOf(configOf({ HTTP: 'no' })), 'etc/rc.conf')).toContain(
      'clawdie_web_enable="YES"\n',
    );
  });

  it('never has a key in an image', () => {
    for (const { path, body } of overlayOf(configOf()))
      expect([path, /\/tls\//.test(path), body.includes('PRIVATE KEY')]).toEqual([path, false, false]);
  });

  describe.skipIf(NGINX === undefined)('with nginx (skipped where this machine has none)', () => {
    /** nginx with the configuration of a deployment, on ports of the loopback. */
    const serve = async (
      values: Readonly<Record<string, string>>,
    ): Promise<{ readonly http: number; readonly https: number }> => {
      const ports: number[] = [];
      for (let count = 0; count < 2; count++) {
        const server = createServer().listen(0, '127.0.0.1');
        await once(server, 'listening');
        ports.push((server.address() as AddressInfo).port);
        server.close();
      }
      const [http = 0, https = 0] = ports;
      start();
      fake
        .file('var/run/clawdie/web-80.conf', `listen 127.0.0.1:${http};\n`)
        .file('var/run/clawdie/web-443.conf', `listen 127.0.0.1:${https} ssl;\n`)
        .file('usr/local/etc/nginx/mime.types', 'types { text/html html; }\n')
        .file('var/log/clawdie-web/x', '')
        .file('tmp/x', '')
        .file('usr/local/www/clawdie-acme/.well-known/acme-challenge/token', 'the answer');
      const conf = bodyOf(overlayOf(configOf(values)), 'usr/local/etc/clawdie/nginx.conf')
        .replace(/ (\/(?:usr\/local|var)\/)/g, ` ${fake.root}$1`)
        .replace(/^user www;$/m, process.getuid?.() === 0 ? 'user root;' : '')
        // Where nginx keeps bodies is a matter of how it was built.
        .replace(
          'http {\n',
          `http {\n${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${fake.root}/tmp/${name};\n`).join('')}`,
        );
      fake.file('nginx.conf', conf);
      const server: ChildProcess = spawn(
        NGINX ?? '',
        ['-c', join(fake.root, 'nginx.conf'), '-g', 'daemon off;'],
        { stdio: 'inherit' },
      );
      onTestFinished(async () => {
        server.kill('SIGTERM');
        await once(server, 'exit');
      });
      while (!existsSync(join(fake.root, 'var/run/clawdie/web.pid')))
        await new Promise((resolve) => setTimeout(resolve, 20));
      return { http, https };
    };
    const answer = async (url: string): Promise<IncomingMessage & { body: string }> => {
      const request = url.startsWith('https')
        ? httpsGet(url, { rejectUnauthorized: false, agent: false })
        : httpGet(url, { agent: false });
      const [response] = (await once(request, 'response')) as [IncomingMessage];
      const parts: Buffer[] = [];
      for await (const part of response) parts.push(part as Buffer);
      return Object.assign(response, { body: Buffer.concat(parts).toString() });
    };

    it('gives renewals their answers, sends the rest to HTTPS, and has the agent UI there', async () => {
      const agent = createServer((request, response) => {
        response.end(`${request.url ?? ''} for ${String(request.headers['x-real-ip'])}`);
      }).listen(0, '127.0.0.1');
      await once(agent, 'listening');
      onTestFinished(() => void agent.close());
      const { http, https } = await serve({
        AGENT_UI: `127.0.0.1:${(agent.address() as AddressInfo).port}`,
      });
      expect((await answer(`http://127.0.0.1:${http}/.well-known/acme-challenge/token`)).body).toBe(
        'the answer',
      );
      expect((await answer(`http://127.0.0.1:${http}/.well-known/acme-challenge/none`)).statusCode).toBe(404);
      const moved = await answer(`http://127.0.0.1:${http}/x?y`);
      expect([moved.statusCode, moved.headers.location]).toEqual([301, 'https://127.0.0.1/x?y']);
      expect((await answer(`https://127.0.0.1:${https}/x`)).body).toBe('/x for 127.0.0.1');
    });

    it('says that there is nothing behind HTTPS where build.cfg names nothing', async () => {
      const { https } = await serve({});
      expect((await answer(`https://127.0.0.1:${https}/`)).statusCode).toBe(503);
    });

    it('answers renewals alone where HTTPS is off', async () => {
      const { http } = await serve({ HTTPS: 'no' });
      expect((await answer(`http://127.0.0.1:${http}/`)).statusCode).toBe(404);
      expect((await answer(`http://127.0.0.1:${http}/.well-known/acme-challenge/token`)).statusCode).toBe(
        200,
      );
    });
  });
});

describe('clawdie_dns', () => {
  const SCRIPT = 'overlays/firstboot/etc/rc.d/clawdie_dns';
  let fake: FakeRoot;
  const begin = (): ScriptResult => fake.run(SCRIPT, ['begin']);
  const started = (): number => fake.read('started').split('\n').length - 1;

  beforeEach(async () => {
    fake = (await FakeRoot.make())
      .withRcSubr()
      .file('started', '')
      .file('var/run/clawdie/cards', '')
      .file('usr/local/libexec/clawdie/jail-dns', '#!/bin/sh\necho "jail-dns: wrote $1"\n', 0o755)
      .stub(
        'local-unbound',
        'echo "$*" >> "$CLAWDIE_ROOT/started"\nsleep 20 > /dev/null 2>&1 &\necho $! > "$CLAWDIE_ROOT/var/run/clawdie_dns.pid"',
      );
  });

  it('begins once, whoever asks for it, and is sure that it runs', () => {
    expect(begin()).toMatchObject({ code: 0, stdout: '', stderr: '' });
    expect(begin()).toMatchObject({ code: 0, stdout: '', stderr: '' });
    expect(started()).toBe(1);
    process.kill(Number(fake.read('var/run/clawdie_dns.pid')));
  });

  it('fails where it ends at once, or has no configuration', () => {
    fake.stub('local-unbound', 'echo >> "$CLAWDIE_ROOT/started"');
    expect(begin().code).toBe(1);
    fake.file('usr/local/libexec/clawdie/jail-dns', '#!/bin/sh\nexit 1\n', 0o755);
    expect(begin().code).toBe(1);
    expect(started()).toBe(1);
  });

  it('is begun by one at a time', () => {
    const { code, calls } = fake.stub('lockf').stub('service').run(SCRIPT, ['start']);
    expect(code).toBe(0);
    expect(calls.filter((call) => call.startsWith('lockf '))).toEqual([
      expect.stringMatching(/^lockf -k \S+\/clawdie_dns\.lock \S*service clawdie_dns onebegin$/) as string,
    ]);
  });
});

describe('the glasspane', () => {
  const SCRIPT = 'overlays/firstboot/usr/local/etc/rc.d/clawdie_glasspane';
  let fake: FakeRoot;
  const run = (command: string): ScriptResult => fake.run(SCRIPT, [command]);
  /** What daemon(8) was told to keep running, as which user: by its pid file. */
  const kept = (result: ScriptResult): Readonly<Record<string, string>> =>
    Object.fromEntries(
      result.calls
        .filter((call) => call.startsWith('daemon '))
        .map((call) => {
          const match = /-u (\S+) -P \S*glasspane-(\w+)\.pid env -i (?:\S+=\S+ )+(.*)$/.exec(
            call.replaceAll(fake.root, ''),
          );
          return [match?.[2] ?? call, `${match?.[1] ?? ''}: ${match?.[3] ?? ''}`];
        }),
    );
  const tailnet = (address: string): void =>
    void fake.stub('ifconfig', address === '' ? 'exit 1' : `printf '\\tinet ${address} --> x\\n'`);

  beforeEach(async () => {
    fake = (await FakeRoot.make())
      .withRcSubr()
      .stub('install')
      .stub('daemon', 'while [ "$1" != -P ]; do shift; done; echo 99999 > "$2"')
      .stub('pw', '[ "$1" != usershow ]')
      // Of rc.subr(8).
      .stub('check_pidfile', 'cat "$1" 2> /dev/null')
      .stub('wait_for_pids')
      .stub('kill', 'exit 0');
    for (const name of ['cage', 'wayvnc', 'chrome']) fake.file(`usr/local/bin/${name}`, '', 0o755);
    tailnet('100.64.0.7');
  });

  it("shows Chromium on a screen of its own, on the tailnet's address alone, as a user of its own", () => {
    const result = run('start');
    expect(result).toMatchObject({ code: 0, stdout: 'The glasspane is at 100.64.0.7, port 5900.\n' });
    expect(kept(result)).toEqual({
      desktop:
        'glasspane: cage -- chrome --ozone-platform=wayland --no-first-run --user-data-dir=/var/db/glasspane/chromium about:blank',
      vnc: 'glasspane: wayvnc -C /usr/local/etc/clawdie/wayvnc.conf 100.64.0.7 5900',
    });
    expect(result.calls.join('\n')).toMatch(/^pw useradd glasspane .* -s \/usr\/sbin\/nologin -w no$/m);
    expect(result.calls.join('\n').replaceAll(fake.root, '')).toContain(
      'install -d -o glasspane -g glasspane -m 700 /var/db/glasspane /var/run/glasspane',
    );
    expect(kept(run('start'))).toEqual({});
  });

  it('shows nothing while there is no tailnet, and never on the wildcard', () => {
    tailnet('');
    const result = run('start');
    expect(result.stdout).toBe('The glasspane waits for the tailnet.\n');
    expect(Object.keys(kept(result))).toEqual(['desktop']);
    expect(fake.read('var/run/clawdie/glasspane.address')).toBe('\n');
    tailnet('100.64.0.9');
    expect(kept(run('vnc'))).toEqual({
      vnc: 'glasspane: wayvnc -C /usr/local/etc/clawdie/wayvnc.conf 100.64.0.9 5900',
    });
  });

  it.each(['cage', 'wayvnc', 'chrome'])('says so where %s is not installed', (name) => {
    fake.removeFile(`usr/local/bin/${name}`);
    const result = run('start');
    expect(result.code).toBe(1);
    expect(result.stderr).toContain(`${name} is not installed`);
    expect(kept(result)).toEqual({});
  });

  it('comes with its packages, and only where it is asked for', () => {
    const on = overlayOf(configOf({ GLASSPANE: 'yes', TAILSCALE: 'host', PACKAGES: 'tmux jq', JAILS: '' }));
    expect(bodyOf(on, 'etc/clawdie/clawdie.conf')).toMatch(
      /^PACKAGES='nginx tailscale tmux wayvnc cage chromium jq'$/m,
    );
    expect(bodyOf(on, 'etc/rc.conf')).toContain('clawdie_glasspane_enable="YES"\n');
    const off = overlayOf(configOf());
    expect(bodyOf(off, 'etc/clawdie/clawdie.conf')).not.toMatch(/wayvnc|chromium/);
    expect(bodyOf(off, 'etc/rc.conf')).toContain('clawdie_glasspane_enable="NO"\n');
  });
});

describe('packages that keys imply', () => {
  it.each([
    [{ JAILS: '', HTTP: 'no', HTTPS: 'no' }, ''],
    [{ HTTP: 'no', HTTPS: 'no', JAILS: 'w1' }, 'bastille'],
    [{ JAILS: '', HTTP: 'no', HTTPS: 'no', TAILSCALE: 'host' }, 'tailscale'],
    [{ JAILS: '', HTTP: 'no', HTTPS: 'no', TAILSCALE: 'jail' }, ''],
    [{ JAILS: '', HTTPS: 'no' }, 'nginx'],
  ])('%j: %s', (values, packages) => {
    const conf = bodyOf(overlayOf(configOf(values)), 'etc/clawdie/clawdie.conf');
    expect(/^PACKAGES='?(.*?)'?$/m.exec(conf)?.[1]).toBe(packages);
  });

  it('the host is no node of the tailnet where its jails are', () => {
    expect(bodyOf(overlayOf(configOf({ TAILSCALE: 'jail' })), 'etc/rc.conf')).not.toContain(
      'tailscaled_enable',
    );
    expect(bodyOf(overlayOf(configOf({ TAILSCALE: 'subnet' })), 'etc/rc.conf')).toContain(
      'tailscaled_enable="YES"\n',
    );
  });
});
