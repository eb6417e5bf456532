import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { FakeRoot } from '../helpers/shell.js';
import type { ScriptResult } from '../helpers/shell.js';

const NOTIFY = 'overlays/firstboot/usr/local/sbin/clawdie-notify';
const FOLDER = 'var/db/clawdie/notify';
/** Seconds from one look to the next. */
const STEP = 300;

/** A server that keeps what it is sent, as lines of JSON, and answers with what its file says; nothing where that is "hang". */
const SERVER = `
const { createServer } = require('node:https');
const { appendFileSync, readFileSync, writeFileSync } = require('node:fs');
const folder = process.argv[1];
createServer({ key: readFileSync(folder + '/key.pem'), cert: readFileSync(folder + '/cert.pem') }, (request, response) => {
  let body = '';
  request.on('data', (chunk) => (body += chunk));
  request.on('end', () => {
    const { method, url, headers } = request;
    appendFileSync(folder + '/got', JSON.stringify({ method, url, headers, body: JSON.parse(body) }) + '\\n');
    const answer = readFileSync(folder + '/answer', 'utf8');
    if (answer === 'endless') {
      const { socket } = request;
      let bytes = 0;
      const more = () => {
        do bytes += 65536;
        while (!socket.destroyed && bytes < 64e6 && socket.write('A'.repeat(65536)));
      };
      socket.on('drain', more).on('error', () => {});
      more();
    } else if (answer !== 'hang') response.writeHead(Number(answer), { location: '/elsewhere' }).end('Q\\n');
  });
}).listen(0, '127.0.0.1', function () { writeFileSync(folder + '/port.new', String(this.address().port)); require('node:fs').renameSync(folder + '/port.new', folder + '/port'); });`;

interface Got {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: { readonly instance: string; readonly subject: string; readonly text: string };
}

let folder: string;
let server: ChildProcess;
let fake: FakeRoot;
let clock: number;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'clawdie-test-'));
  const made = spawnSync(
    'openssl',
    [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'],
      ...['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'],
      ...['-keyout', join(folder, 'key.pem'), '-out', join(folder, 'cert.pem')],
    ],
    { encoding: 'utf8' },
  );
  expect([made.status, made.stderr]).toEqual([0, expect.anything()]);
  server = spawn(process.execPath, ['-e', SERVER, folder], { stdio: 'ignore' });
  await vi.waitUntil(() => existsSync(join(folder, 'port')), { timeout: 20_000 });
});

afterAll(async () => {
  server.kill();
  await rm(folder, { recursive: true, force: true });
});

const got = (): readonly Got[] =>
  existsSync(join(folder, 'got'))
    ? readFileSync(join(folder, 'got'), 'utf8')
        .trimEnd()
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as Got)
    : [];
const hookAt = (host: string): string =>
  `https://${host}:${readFileSync(join(folder, 'port'), 'utf8')}/services/T0/SECRET%2F?a=b&c='"\n`;
/** What needs a person by now: lines as clawdie-status --needs has them. */
const needs = (...lines: readonly string[]): void => {
  const body = lines.map((line) => `printf '%s\\n' '${line}'`).join('\n');
  fake.file('usr/local/sbin/clawdie-status', `#!/bin/sh\n${body}\nexit ${lines.length > 0 ? 1 : 0}\n`, 0o755);
};
const notify = (...args: readonly string[]): ScriptResult =>
  fake.run(NOTIFY, args, { SSL_CERT_FILE: join(folder, 'cert.pem') });
const look = (): ScriptResult => {
  clock += STEP;
  fake.stub('date', `[ "$*" = +%s ] && echo ${clock}`);
  return notify('run');
};
const mails = (): readonly string[] =>
  fake.has('mails')
    ? fake
        .read('mails')
        .split('=====\n')
        .filter((mail) => mail !== '')
    : [];

beforeEach(async () => {
  clock = 1_767_400_000;
  writeFileSync(join(folder, 'got'), '');
  writeFileSync(join(folder, 'answer'), '204');
  fake = (await FakeRoot.make()).stub('id', 'echo 0').stub('logger');
  fake.stub('sendmail', `{ echo "for $2"; cat; echo =====; } >> '${fake.root}/mails'`);
  fake.configure({ NOTIFY_MAIL: 'ops@example.org' });
  needs();
});

describe('by mail', () => {
  it('tells a thing once, when it is there at two looks, and that it is over', () => {
    needs('host.disk\tthe root file system is 95% full');
    look();
    expect(mails()).toEqual([]);
    expect(look()).toMatchObject({ code: 0, stdout: '', stderr: '' });
    expect(mails()).toEqual([
      [
        'for ops@example.org',
        'To: ops@example.org',
        'Subject: natasha: needs a person',
        'Auto-Submitted: auto-generated',
        '',
        'What needs you:',
        '  the root file system is 95% full',
        'All of it, on the instance: clawdie-status',
        '',
      ].join('\n'),
    ]);
    needs('host.disk\tthe root file system is 97% full');
    for (let i = 0; i < 20; i++) look();
    expect(mails()).toHaveLength(1);
    needs('host.disk\tthe root file system is 97% full', 'jails.worker\tworker does not run');
    look();
    look();
    expect(mails()).toHaveLength(2);
    expect(mails()[1]).toContain('What needs you:\n  worker does not run\nStill, as told before:\n');
    expect(notify('show').stdout).toContain('worker does not run');
    needs('jails.worker\tworker does not run');
    look();
    look();
    expect(mails()[2]).toContain(
      'Subject: natasha: over\nAuto-Submitted: auto-generated\n\nOver:\n  the root file system is 95% full\n',
    );
    needs();
    for (let i = 0; i < 20; i++) look();
    expect(mails()).toHaveLength(4);
  });

  it('says nothing of what comes and goes between two looks', () => {
    for (let i = 0; i < 12; i++) {
      if (i % 2 === 0) needs('jails.worker\tworker does not run');
      else needs();
      look();
    }
    expect(mails()).toEqual([]);
  });

  it('never floods: what comes and goes all day is a few messages', () => {
    // Four hours, with something else in each of them six times.
    for (let i = 0; i < 48; i++) {
      if (i % 4 < 2) needs(`jails.j${i}\tj${i} does not run`, 'host.disk\tfull');
      else needs();
      look();
    }
    expect(mails().length).toBeGreaterThan(8);
    expect(mails().length).toBeLessThanOrEqual(17);
    const day = Array.from({ length: 24 }, (_, i) => `${clock - i * 3500}\n`).join('');
    fake.file(`${FOLDER}/tries.mail`, day).file('mails', '');
    needs('host.route\tthere is no default route');
    look();
    look();
    expect(mails()).toEqual([]);
    clock += 8000;
    look();
    expect(mails()).toHaveLength(1);
  });

  it('is not kept quiet by a clock that was wrong', () => {
    fake.file(`${FOLDER}/tries.mail`, '4000000000\n'.repeat(30));
    needs('host.disk\tfull');
    look();
    look();
    expect(mails()).toHaveLength(1);
  });

  it('takes half an answer for none', () => {
    needs('host.disk\tfull');
    look();
    look();
    fake.file('usr/local/sbin/clawdie-status', '#!/bin/sh\nexit 139\n', 0o755);
    look();
    look();
    expect(mails()[1]).toContain('clawdie-status came to nothing (139)');
    expect(mails()[1]).toContain('Still, as told before:\n  full\n');
    for (let i = 0; i < 5; i++) look();
    needs('host.disk\tfull');
    look();
    look();
    expect(mails()).toHaveLength(3);
    expect(mails()[2]).toContain(
      'Over:\n  clawdie-status came to nothing (139)\nStill, as told before:\n  full\n',
    );
  });

  it('says why it does not work, and tries again', () => {
    fake.stub('sendmail', 'exit 75');
    needs('host.disk\tfull');
    look();
    look();
    expect(fake.read(`${FOLDER}/error.mail`)).toContain('sendmail(8) does not take it');
    fake.stub('sendmail', `{ echo "for $2"; cat; echo =====; } >> '${fake.root}/mails'`);
    look();
    expect(mails()).toHaveLength(1);
    expect(fake.has(`${FOLDER}/error.mail`)).toBe(false);
    expect(statSync(join(fake.root, FOLDER)).mode & 0o777).toBe(0o700);
  });
});

describe('by a webhook', () => {
  const hook = (url: string): void => {
    fake.file('var/db/clawdie/webhook', url, 0o600).configure();
  };

  it('posts JSON to the URL, over TLS, and shows the URL to nobody', () => {
    hook(hookAt('localhost'));
    const programs = ['timeout', 'openssl', 'awk', 'sed', 'cat', 'wc'];
    for (const name of programs.filter((each) => each !== 'awk')) {
      const path = ['/usr/bin', '/bin'].map((at) => join(at, name)).find((each) => existsSync(each)) ?? '';
      fake.stub(name, `exec ${path} "$@"`);
    }
    needs('access.rules\t/etc/pf.conf does not load: "x" \\ y', 'jails.worker\tworker does not run');
    look();
    const result = look();
    expect(got()).toEqual([
      expect.objectContaining({
        method: 'POST',
        url: `/services/T0/SECRET%2F?a=b&c='"`,
        body: {
          instance: 'natasha',
          subject: 'natasha: needs a person',
          text: 'natasha: needs a person\nWhat needs you:\n  /etc/pf.conf does not load: "x" \\ y\n  worker does not run\nAll of it, on the instance: clawdie-status',
        },
      }),
    ]);
    expect(got()[0]?.headers['host']).toBe(`localhost:${readFileSync(join(folder, 'port'), 'utf8')}`);
    expect(JSON.stringify(result)).not.toContain('SECRET');
    expect(result.calls.some((call) => call.startsWith('openssl s_client'))).toBe(true);
    const left = spawnSync('grep', ['-rl', 'SECRET', fake.root], { encoding: 'utf8' }).stdout;
    expect(left.trim()).toBe(join(fake.root, 'var/db/clawdie/webhook'));
  });

  it('sends nothing to whom the certificate is not for, or whom nobody trusts', () => {
    // Another name of the same machine: the certificate is for localhost alone.
    hook(hookAt('ip6-localhost.invalid').replace('ip6-localhost.invalid', '127.0.0.1'));
    expect(notify('test')).toMatchObject({ code: 1 });
    expect(notify('test').stdout).toContain('webhook: its certificate is not trusted, or not for its name');
    hook(hookAt('localhost'));
    const untrusted = fake.run(NOTIFY, ['test'], { SSL_CERT_FILE: '/dev/null', SSL_CERT_DIR: '/nowhere' });
    expect(untrusted.stdout).toContain('webhook: its certificate is not trusted');
    expect(got()).toEqual([]);
  });

  it.each([
    ['404', 'webhook: it answers 404'],
    ['302', 'webhook: it answers 302'],
    ['500', 'webhook: it answers 500'],
  ])('takes an answer %s for none, and says it', (answer, said) => {
    writeFileSync(join(folder, 'answer'), answer);
    hook(hookAt('localhost'));
    expect(notify('test')).toMatchObject({ code: 1, stdout: `${said}\n` });
    expect(got()).toHaveLength(1);
  });

  it('holds up nothing where it hangs: mail goes on, and it is tried a few times a day', () => {
    writeFileSync(join(folder, 'answer'), 'hang');
    hook(hookAt('localhost'));
    fake.configure({ NOTIFY_MAIL: 'ops@example.org' });
    // The time that it is given is shortened, not taken away.
    fake.stub(
      'timeout',
      'case "$*" in *openssl*) shift 3; exec /usr/bin/timeout 0.3 "$@" ;; esac\nexec /usr/bin/timeout "$@"',
    );
    needs('host.disk\tfull');
    look();
    look();
    expect(mails()).toHaveLength(1);
    expect(fake.read(`${FOLDER}/error.webhook`)).toBe('it does not answer\n');
    for (let i = 0; i < 30; i++) look();
    expect(mails()).toHaveLength(1);
    expect(got().length).toBeLessThanOrEqual(12);
    writeFileSync(join(folder, 'answer'), '200');
    for (let i = 0; i < 12; i++) look();
    expect(got().at(-1)?.body.text).toContain('\n  full\n');
    expect(fake.has(`${FOLDER}/error.webhook`)).toBe(false);
  });

  it('reads no more than the beginning of an answer that has no end', () => {
    writeFileSync(join(folder, 'answer'), 'endless');
    hook(hookAt('localhost'));
    fake.stub(
      'timeout',
      'case "$*" in *openssl*) shift 3; exec /usr/bin/timeout 3 "$@" ;; esac\nexec /usr/bin/timeout "$@"',
    );
    fake.stub('tr', `tee '${fake.root}/read' | /usr/bin/tr "$@"`);
    expect(notify('test').stdout).toBe('webhook: it does not answer\n');
    expect(fake.read('read')).toBe('A'.repeat(12));
  });

  it('says where nobody listens', () => {
    hook('https://localhost:1/x\n');
    expect(notify('test').stdout).toBe('webhook: it does not answer\n');
  });
});

it('is for root, and for instances that name somebody', () => {
  fake.configure();
  expect(notify('test').stderr).toContain('nobody is to be told');
  expect(look()).toMatchObject({ code: 0, stdout: '' });
  expect(fake.has(FOLDER)).toBe(false);
  expect(notify('--help').stdout).toMatch(/^usage: clawdie-notify /);
  expect(notify('say').code).toBe(2);
  fake.stub('id', 'echo 1001');
  expect(notify('run')).toMatchObject({ code: 1, calls: ['id -u'] });
});

describe('metrics', () => {
  const METRICS = 'overlays/firstboot/usr/local/libexec/clawdie/metrics';
  const file = 'var/run/clawdie/metrics/clawdie.prom';
  const metrics = (status: string): ScriptResult =>
    fake
      .configure()
      .stub('install', 'shift 7; mkdir -p "$1"')
      .stub('chgrp')
      .file('usr/local/sbin/clawdie-status', `#!/bin/sh\n${status}\n`, 0o755)
      .run(METRICS);

  it('are written whole, for the group of node_exporter', () => {
    expect(metrics('[ "$1" = --prometheus ] && echo "clawdie_firewall_on 1"')).toMatchObject({
      code: 0,
      stderr: '',
    });
    expect(fake.read(file)).toBe('clawdie_firewall_on 1\n');
    expect(statSync(join(fake.root, file)).mode & 0o777).toBe(0o640);
    const result = metrics('echo half; exit 1');
    expect(result.code).toBe(1);
    expect(fake.read(file)).toBe('clawdie_firewall_on 1\n');
    expect(result.calls[0]).toContain('install -d -o root -g nobody -m 0750');
  });
});
