import { SECRET_KEYS } from '../config/keys.js';
import type { KeyName } from '../config/keys.js';
import { loadConfig } from './configuration.js';
import type { ConfigOptions } from './configuration.js';

/** `clawdie-iso config`: prints the configuration that results of all layers, and where each value came from. */
export async function showConfig(
  options: ConfigOptions & { readonly json: boolean },
  environment: NodeJS.ProcessEnv,
  print: (line: string) => void,
): Promise<void> {
  const { settings, path } = await loadConfig(options, environment);
  const rows = Object.values(settings).map(({ key, value, origin, from, place }) => ({
    key,
    value: SECRET_KEYS.includes(key as KeyName) && value !== '' ? '(hidden)' : value,
    origin: origin === 'preset' ? from : origin,
    ...(place && { line: place.line }),
  }));
  if (options.json) {
    print(JSON.stringify({ file: path, settings: rows }, null, 2));
    return;
  }
  const width = Math.max(
    ...rows.map(({ key, value }) => Math.min(60, key.length + 1 + quoted(value).length)),
  );
  for (const { key, value, origin, line } of rows) {
    print(
      `${`${key}=${quoted(value)}`.padEnd(width)}  # ${origin}${line === undefined ? '' : `, line ${line}`}`,
    );
  }
}

function quoted(value: string): string {
  return /['$`\\"]/.test(value) ? `'${value}'` : `"${value}"`;
}
