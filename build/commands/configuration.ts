import { existsSync } from 'node:fs';
import { basename, dirname, join, relative, resolve as resolvePath } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Config, KeyName } from '../config/keys.js';
import { mask, report } from '../config/report.js';
import type { Finding } from '../config/report.js';
import { resolve } from '../config/resolve.js';
import type { Layers, Resolved } from '../config/resolve.js';
import { InputError, whyOf } from '../error.js';
import { readText, readTextSync } from '../host/files.js';
import { fromEnvironment } from './environment.js';

/** The folder of the project: what holds package.json, overlays/ and build.cfg.example. */
export const PROJECT = projectFolder(dirname(fileURLToPath(import.meta.url)));

/** The sources are in build/, what is compiled of them in lib/build/: the project is above, at its package.json. */
function projectFolder(from: string): string {
  return existsSync(join(from, 'package.json')) || from === '/' ? from : projectFolder(dirname(from));
}

export interface LoadedConfig extends Resolved {
  /** Path of the file, and the folder in which relative paths of its values begin. */
  readonly path: string;
  readonly folder: string;
  /** Whether there was no build.cfg, and build.cfg.example stands in with the sample release. */
  readonly example: boolean;
}

/** A configuration that cannot be used, with what was found in it. */
export class ConfigError extends InputError {
  constructor(
    message: string,
    readonly findings: readonly Finding[],
  ) {
    super(message);
  }
}

export interface ConfigOptions {
  readonly config?: string;
  /** What it shares with others of its folder. */
  readonly common?: { readonly name: string; readonly text: string };
  readonly set: readonly string[];
}

/**
 * Loads the configuration of a deployment: the file (build.cfg of the working folder by default), what the
 * environment overrides (CLAWDIE_<KEY>, CLAWDIE_<KEY>__<NAME>), what the command line overrides (--set KEY=value). Where no file is named and
 * there is none, build.cfg.example stands in, with the sample release.
 *
 * @throws ConfigError with every problem of every layer; InputError if the file cannot be read.
 */
export async function loadConfig(
  options: ConfigOptions,
  environment: NodeJS.ProcessEnv,
): Promise<LoadedConfig> {
  const named = options.config;
  const wanted = resolvePath(named ?? 'build.cfg');
  const example = named === undefined && !existsSync(wanted);
  const path = example ? join(PROJECT, 'build.cfg.example') : wanted;
  const text = await readOr(path, (why) => [
    `The configuration ${path} cannot be read: ${why}.`,
    named === undefined
      ? 'Copy build.cfg.example to build.cfg.'
      : 'Check the path (--config; make: CONFIG=).',
  ]);
  const name = shownPath(path);
  const folder = dirname(path);
  const { common } = options;
  const { resolved, findings } = resolve({
    ...(common && { common }),
    file: { name, text },
    ...(example && { preset: { from: 'no build.cfg', values: { FREEBSD_DIST: 'sample' } } }),
    ...overrides(options.set, environment, basename(path, '.cfg')),
    expand: (key, value) => expandKeyFiles(key, value, folder),
  });
  if (!resolved) {
    const count = findings.length === 1 ? 'a problem' : `${findings.length} problems`;
    throw new ConfigError(
      `The configuration has ${count}:\n\n${report(findings, { [name]: text, ...(common && { [common.name]: common.text }) })}\n`,
      findings,
    );
  }
  return { ...resolved, path, folder, example };
}

/** A path as messages show it: from the working folder on, where it is in there. */
export function shownPath(path: string): string {
  const from = relative(process.cwd(), path);
  return from.startsWith('..') ? path : from;
}

/**
 * The layers above the files: CLAWDIE_<KEY> and CLAWDIE_<KEY>__<NAME> of the environment, and --set KEY=value.
 *
 * @param name the file of the deployment without `.cfg`
 * @throws InputError if a --set is none.
 */
export function overrides(
  set: readonly string[],
  environment: NodeJS.ProcessEnv,
  name: string,
): Pick<Layers, 'environment' | 'addressed' | 'commandLine'> {
  const commandLine: Record<string, string> = {};
  for (const setting of set) {
    const at = setting.indexOf('=');
    if (at <= 0)
      throw new InputError(
        `--set ${mask(setting)} is not KEY=value.`,
        'Write it as --set ASSISTANT_NAME=natasha.',
      );
    commandLine[setting.slice(0, at)] = setting.slice(at + 1);
  }
  return { ...fromEnvironment(environment, name), commandLine };
}

/** Keys of build.cfg that hold public keys. */
const KEY_LISTS: readonly KeyName[] = ['SSH_AUTHORIZED_KEYS', 'SIGNERS'];

/** Keys of build.cfg that name what lies beside it and is no secret, which would not be on every machine. */
const NAMED: readonly KeyName[] = [
  'EXTRA_FILES',
  'PF_RULES_FILE',
  'SIGN_KEY',
  'PACKAGES_KEY_FILE',
  'FREEBSD_KEY_FILE',
];

/** What keys name has to be there. Lines "@file" of SSH_AUTHORIZED_KEYS and SIGNERS become the lines of the file. */
export function expandKeyFiles(
  key: KeyName,
  value: string,
  folder: string,
): { value: string } | { message: string; fix: string } {
  const named = value.trim();
  if (NAMED.includes(key) && named !== '' && !existsSync(resolvePath(folder, named)))
    return {
      message: `the ${key === 'EXTRA_FILES' ? 'folder' : 'file'} ${shownPath(resolvePath(folder, named))} cannot be read: it is not there`,
      fix: 'check the path; relative ones begin at the folder of the configuration',
    };
  if (!KEY_LISTS.includes(key) || !value.includes('@')) return { value };
  const lines: string[] = [];
  for (const line of value.split('\n').map((part) => part.trim())) {
    if (!line.startsWith('@')) lines.push(line);
    else {
      const path = resolvePath(folder, line.slice(1));
      try {
        lines.push(readTextSync(path).replace(/\r\n/g, '\n'));
      } catch (error) {
        return {
          message: `the file ${path} cannot be read: ${whyOf(error)}`,
          fix: line.startsWith('@~')
            ? 'write the path whole: nothing expands ~ here'
            : 'check the path behind the @; relative ones begin at the folder of the configuration',
        };
      }
    }
  }
  return { value: lines.join('\n') };
}

/**
 * The rules that PF_RULES_FILE names.
 *
 * @throws InputError if the file cannot be read.
 */
export async function readOperatorRules(config: Config, folder: string): Promise<string | undefined> {
  const file = config.PF_RULES_FILE;
  if (file === undefined) return undefined;
  return (await readNamed('PF_RULES_FILE', file, folder)).text;
}

/** The file that a key names. */
async function readNamed(
  key: KeyName,
  file: string,
  folder: string,
): Promise<{ readonly path: string; readonly text: string }> {
  const path = resolvePath(folder, file);
  const text = await readOr(path, (why) => [
    `${key}: ${path} cannot be read: ${why}.`,
    'Check the path; relative ones begin at the folder of the configuration.',
  ]);
  return { path, text };
}

/** A text that somebody names. @throws InputError with the sentences that say why it cannot be read. */
export async function readOr(
  path: string,
  sentences: (why: string) => readonly [message: string, fix?: string],
  most?: number,
): Promise<string> {
  try {
    return await readText(path, most);
  } catch (error) {
    throw new InputError(...sentences(whyOf(error)));
  }
}

/**
 * The auth key that TAILSCALE_AUTHKEY_FILE names.
 *
 * @throws InputError if the file cannot be read, or is not one line of printable characters. Never shows the key.
 */
export async function readAuthKey(config: Config, folder: string): Promise<string | undefined> {
  const file = config.TAILSCALE_AUTHKEY_FILE;
  if (file === undefined) return undefined;
  const { path, text } = await readNamed('TAILSCALE_AUTHKEY_FILE', file, folder);
  const key = text.trim();
  if (!/^[A-Za-z0-9_.:-]{8,512}$/.test(key)) {
    throw new InputError(
      `TAILSCALE_AUTHKEY_FILE: ${path} does not hold one auth key.`,
      'Put the key into it, on one line, and nothing else.',
    );
  }
  return key;
}
