import { execFileSync, spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { createServer } from 'node:net';
import type { AddressInfo, Server } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { onTestFinished } from 'vitest';

/** Listens on a port of the loopback, until the test is over. */
export async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

export async function freePort(): Promise<number> {
  const server = createServer();
  const port = await listen(server);
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/**
 * A certificate that vouches for itself, made anew: for the loopback, where SSL_CERT_FILE=certificate has skopeo believe it, or for
 * another name (subjectAltName).
 */
export function makeCertificate(
  folder: string,
  name = 'IP:127.0.0.1',
): { readonly certificate: string; readonly key: string } {
  const [certificate, key] = [join(folder, 'tls.crt'), join(folder, 'tls.key')];
  const names = ['-subj', `/CN=${name.replace(/^\w+:/, '')}`, '-addext', `subjectAltName=${name}`];
  const args = ['-x509', '-nodes', '-days', '2', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'];
  execFileSync('openssl', ['req', ...args, ...names, '-keyout', key, '-out', certificate], { stdio: 'pipe' });
  return { certificate, key };
}

/**
 * Starts a real registry (docker-registry of Debian) that keeps its blobs in a folder.
 *
 * @param tls its certificate, where it is to speak TLS
 */
export async function startRegistry(
  folder: string,
  tls?: { readonly certificate: string; readonly key: string },
): Promise<{ readonly repository: string; readonly stop: () => Promise<void> }> {
  const port = await freePort();
  writeFileSync(
    join(folder, 'registry.yml'),
    `version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: ${join(folder, 'registry')}}}\nhttp: {addr: 127.0.0.1:${port}${tls ? `, tls: {certificate: ${tls.certificate}, key: ${tls.key}}` : ''}}\n`,
  );
  const child = spawn('docker-registry', ['serve', join(folder, 'registry.yml')], { stdio: 'ignore' });
  const ended = new Promise<void>((resolve) => {
    child.once('exit', () => {
      resolve();
    });
  });
  const stop = async (): Promise<void> => {
    child.kill('SIGKILL');
    await ended;
  };
  onTestFinished(stop);
  for (let waited = 0; waited < 15_000; waited += 100) {
    const answers = await asked(port, tls?.certificate);
    if (answers) return { repository: `127.0.0.1:${port}/team/bases`, stop };
    await sleep(100);
  }
  throw new Error('docker-registry does not answer');
}

/** Whether a registry answers. */
function asked(port: number, certificate: string | undefined): Promise<boolean> {
  const place = { host: '127.0.0.1', port, path: '/v2/' };
  return new Promise((resolve) => {
    const ask =
      certificate === undefined ? http.get(place) : https.get({ ...place, ca: readFileSync(certificate) });
    ask.once('response', ({ statusCode }) => {
      ask.destroy();
      resolve(statusCode === 200);
    });
    ask.once('error', () => {
      resolve(false);
    });
  });
}
