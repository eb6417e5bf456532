/**
 * Secrets of a CI engine as variables of single deployments: reads a JSON object on standard input, and writes what is named
 * CLAWDIE_<KEY>__<NAME> as GitHub's file of variables (GITHUB_ENV) takes it. With names of deployments, divided by
 * commas, those of these alone. TAILSCALE_AUTHKEY_FILE names a file: its secret is put into one, readable by its owner alone,
 * below RUNNER_TEMP.
 */
import { randomBytes } from 'node:crypto';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { addressOf } from '../build/commands/environment.js';
import { parseJson } from '../build/json.js';

const [list] = process.argv.slice(2);
const wanted = list === undefined ? undefined : new Set(list.split(',').map(addressOf));
const secrets = parseJson(await text(process.stdin));
if (typeof secrets !== 'object' || secrets === null) {
  process.stderr.write('ci-secrets: standard input is no JSON object: hand it toJSON(secrets).\n');
  process.exit(2);
}
const folder = join(process.env['RUNNER_TEMP'] ?? tmpdir(), 'clawdie-secrets');
for (const [name, value] of Object.entries(secrets as Record<string, unknown>)) {
  const [, key = '', address = ''] = /^CLAWDIE_([A-Z0-9_]+?)__([A-Z0-9_]+)$/.exec(name) ?? [];
  if (key === '' || typeof value !== 'string' || (wanted && !wanted.has(address))) continue;
  let shown = value;
  if (key.endsWith('_FILE')) {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    shown = join(folder, name);
    rmSync(shown, { force: true });
    writeFileSync(shown, `${value.trim()}\n`, { mode: 0o600, flag: 'wx' });
  }
  // What ends the value must not be in it.
  const end = `end-${randomBytes(16).toString('hex')}`;
  process.stdout.write(`${name}<<${end}\n${shown}\n${end}\n`);
}
