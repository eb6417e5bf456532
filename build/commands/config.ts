import { basename } from 'node:path';
import { SECRET_KEYS } from '../config/keys.js';
import type { KeyName } from '../config/keys.js';
import { ConfigError, loadConfig } from './configuration.js';
import type { ConfigOptions } from './configuration.js';

/**
 * `clawdie-iso config`: prints the configuration that results of all layers, and where each value came from; as JSON its problems,
 * where it has some.
 *
 * @throws InputError if it cannot be used.
 */
export async function showConfig(
  options: ConfigOptions & { readonly json: boolean },
  environment: NodeJS.ProcessEnv,
  print: (line: string) => void,
  columns: number,
): Promise<void> {
  const { settings, path } = await loadConfig(options, environment).catch((error: unknown) => {
    if (options.json && error instanceof ConfigError) print(asJson({ problems: error.problems }));
    throw error;
  });
  const rows = Object.values(settings).map(({ key, value, origin, from, place }) => ({
    key,
    value: SECRET_KEYS.includes(key as KeyName) && value !== '' ? '(hidden)' : value,
    origin: origin === 'preset' ? from : origin,
    ...(place && { line: place.line }),
  }));
  const names = new Map(Object.values(settings).map(({ key, from }) => [key, basename(from)]));
  if (options.json) {
    print(asJson({ file: path, settings: rows }));
    return;
  }
  const shown = rows.map(({ key, value, origin, line }) => ({
    lines: `${key}=${quoted(value)}`.split('\n'),
    comment: `  # ${line === undefined ? origin : `${names.get(key) ?? origin}, line ${line}`}`,
  }));
  const room = columns - Math.max(...shown.map(({ comment }) => comment.length));
  // Behind the last line of each.
  const width = Math.max(...shown.map(({ lines }) => Math.min(60, room, lines.at(-1)?.length ?? 0)));
  for (const { lines, comment } of shown) {
    for (const line of lines.slice(0, -1)) print(line);
    print((lines.at(-1) ?? '').padEnd(width) + comment);
  }
}

const asJson = (value: unknown): string => JSON.stringify(value, null, 2);

function quoted(value: string): string {
  return /['$`\\"]/.test(value) ? `'${value}'` : `"${value}"`;
}
