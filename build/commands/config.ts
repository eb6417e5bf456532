import { basename } from 'node:path';
import { SECRET_KEYS } from '../config/keys.js';
import type { KeyName } from '../config/keys.js';
import { mask } from '../config/report.js';
import type { Finding } from '../config/report.js';
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
    if (options.json && error instanceof ConfigError)
      print(asJson({ problems: error.findings.map(problemOf) }));
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
  const lines = rows.map(
    ({ key, value, origin, line }) =>
      [
        `${key}=${quoted(value)}`,
        `  # ${line === undefined ? origin : `${names.get(key) ?? origin}, line ${line}`}`,
      ] as const,
  );
  // A comment stands behind the last line of a value.
  const last = (setting: string): number => setting.length - setting.lastIndexOf('\n') - 1;
  const room = columns - Math.max(...lines.map(([, comment]) => comment.length));
  const width = Math.max(...lines.map(([setting]) => Math.min(60, room, last(setting))));
  for (const [setting, comment] of lines)
    print(setting.padEnd(setting.length - last(setting) + width) + comment);
}

/** A finding for programs: line and column from 1, where there is a text to show. */
const problemOf = ({ origin, place, message, fix }: Finding): object => ({
  ...{ origin, ...(place && { line: place.line, column: place.column }), message: mask(message), fix },
});

const asJson = (value: unknown): string => JSON.stringify(value, null, 2);

function quoted(value: string): string {
  return /['$`\\"]/.test(value) ? `'${value}'` : `"${value}"`;
}
