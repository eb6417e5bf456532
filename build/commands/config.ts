import { basename } from 'node:path';
import { SECRET_KEYS } from '../config/keys.js';
import type { KeyName } from '../config/keys.js';
import { loadConfig } from './configuration.js';
import type { ConfigOptions } from './configuration.js';

/** `clawdie-iso config`: prints the configuration that results of all layers, and where each value came from. */
export async function showConfig(
  options: ConfigOptions & { readonly json: boolean },
  environment: NodeJS.ProcessEnv,
  print: (line: string) => void,
  columns: number,
): Promise<void> {
  const { settings, path } = await loadConfig(options, environment);
  const rows = Object.values(settings).map(({ key, value, origin, from, place }) => ({
    key,
    value: SECRET_KEYS.includes(key as KeyName) && value !== '' ? '(hidden)' : value,
    origin: origin === 'preset' ? from : origin,
    ...(place && { line: place.line }),
  }));
  const names = new Map(Object.values(settings).map(({ key, from }) => [key, basename(from)]));
  if (options.json) {
    print(JSON.stringify({ file: path, settings: rows }, null, 2));
    return;
  }
  const lines = rows.map(
    ({ key, value, origin, line }) =>
      [
        `${key}=${quoted(value)}`,
        `  # ${line === undefined ? origin : `${names.get(key) ?? origin}, line ${line}`}`,
      ] as const,
  );
  const room = columns - Math.max(...lines.map(([, comment]) => comment.length));
  const width = Math.max(...lines.map(([setting]) => Math.min(60, room, setting.length)));
  for (const [setting, comment] of lines) print(setting.padEnd(width) + comment);
}

function quoted(value: string): string {
  return /['$`\\"]/.test(value) ? `'${value}'` : `"${value}"`;
}
