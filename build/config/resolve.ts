import { closest, distance } from 'fastest-levenshtein';
import { KEY_NAMES, KEYS } from './keys.js';
import type { Config, KeyName } from './keys.js';
import { parse } from './parse.js';
import type { Place } from './parse.js';
import { partOf } from './part.js';
import type { Span } from './reading.js';
import type { Finding } from './report.js';
import { crossCheck } from './rules.js';

/** Where a value came from. */
export type Origin = 'default' | 'common file' | 'preset' | 'file' | 'environment' | 'command line';

/** One value as text, with where it stands. */
export interface Setting {
  readonly key: string;
  readonly value: string;
  readonly origin: Origin;
  /** What a message calls the origin: the file's name, `environment`, `command line`. */
  readonly from: string;
  readonly place?: Place;
  readonly keyPlace?: Place;
  /** The value as the file has it, with its quotes. */
  readonly written?: string;
}

export interface Resolved {
  readonly config: Config;
  /** The text and the origin of every key. */
  readonly settings: Readonly<Record<KeyName, Setting>>;
}

/**
 * The layers a configuration is made of; later ones win: common file, file, preset, environment, what of it
 * names this deployment, command line.
 */
export interface Layers {
  /** What a set of deployments has in common (common.cfg). */
  readonly common?: { readonly name: string; readonly text: string };
  /** What the program itself sets, and what a message calls that. */
  readonly preset?: { readonly from: string; readonly values: Readonly<Record<string, string>> };
  readonly file: { readonly name: string; readonly text: string };
  /** Only variables that begin with `CLAWDIE_`; the prefix is not part of the key. */
  readonly environment: Readonly<Record<string, string>>;
  /** Likewise, variables that name this deployment, as they do, behind the key: CLAWDIE_<KEY>__<NAME>. */
  readonly addressed?: { readonly name: string; readonly values: Readonly<Record<string, string>> };
  readonly commandLine: Readonly<Record<string, string>>;
  /** Turns a value that names files (`@file`) into their content; adapters supply it. */
  readonly expand?: (
    key: KeyName,
    value: string,
  ) => { readonly value: string } | { readonly message: string; readonly fix: string };
}

/**
 * Makes a configuration of its layers. Every problem of every layer is found in one go; with any, there is no
 * configuration. Never throws.
 */
export function resolve(layers: Layers): {
  readonly resolved?: Resolved;
  readonly findings: readonly Finding[];
} {
  const findings: Finding[] = [];
  const ofFile = ({ name, text }: Layers['file'], origin: 'common file' | 'file'): readonly Setting[] => {
    const parsed = parse(text);
    findings.push(...parsed.flaws.map((flaw) => ({ ...flaw, origin: name })));
    return parsed.entries.map((entry) => ({
      key: entry.key,
      value: entry.value,
      origin,
      from: name,
      place: entry.place,
      keyPlace: entry.keyPlace,
      written: entry.written,
    }));
  };

  const given: Setting[] = [
    ...(layers.common ? ofFile(layers.common, 'common file') : []),
    ...ofFile(layers.file, 'file'),
    ...Object.entries(layers.preset?.values ?? {}).map(([key, value]) => ({
      key,
      value,
      origin: 'preset' as const,
      from: layers.preset?.from ?? '',
    })),
    ...Object.entries(layers.environment).map(([key, value]) => ({
      key,
      value,
      origin: 'environment' as const,
      from: `environment, CLAWDIE_${key}`,
    })),
    ...Object.entries(layers.addressed?.values ?? {}).map(([key, value]) => ({
      key,
      value,
      origin: 'environment' as const,
      from: `environment, CLAWDIE_${key}__${layers.addressed?.name ?? ''}`,
    })),
    ...Object.entries(layers.commandLine).map(([key, value]) => ({
      key,
      value,
      origin: 'command line' as const,
      from: `command line, --set ${key}`,
    })),
  ];

  const settings = Object.fromEntries(
    KEY_NAMES.map((key) => [key, { key, value: KEYS[key].fallback, origin: 'default', from: 'default' }]),
  ) as unknown as Record<KeyName, Setting>;
  for (const setting of given) {
    if (isKey(setting.key)) settings[setting.key] = setting;
    else findings.push(unknownKey(setting));
  }

  const values: Partial<Record<KeyName, unknown>> = {};
  for (const key of KEY_NAMES) {
    const setting = settings[key];
    const where = { origin: setting.from, ...(setting.place && { place: setting.place }) };
    const expanded = layers.expand?.(key, setting.value) ?? { value: setting.value };
    if (!('value' in expanded)) {
      findings.push({ ...where, message: `${key}: ${expanded.message}`, fix: expanded.fix });
      continue;
    }
    const control = CONTROL.exec(expanded.value)?.[0];
    if (control !== undefined) {
      const code = control.charCodeAt(0).toString(16).padStart(2, '0');
      findings.push({
        ...where,
        message: `${key} contains the control character 0x${code}`,
        fix: 'remove it',
      });
      continue;
    }
    const result = KEYS[key].schema.safeParse(expanded.value);
    if (result.success) values[key] = result.data;
    else {
      for (const issue of result.error.issues) {
        const params = issue.code === 'custom' ? issue.params : undefined;
        const span = params?.['span'] as Span | undefined;
        findings.push({
          ...where,
          message: `${key} ${issue.message}`,
          fix: String(params?.['fix'] ?? ''),
          // What stands in another file has no place in this one.
          ...(span && expanded.value === setting.value && placeOf(setting, span)),
        });
      }
    }
  }

  for (const breach of crossCheck(values as Partial<Config>)) {
    const setting = settings[breach.key];
    findings.push({
      origin: setting.from === 'default' ? layers.file.name : setting.from,
      message: breach.message,
      fix: breach.fix,
      ...placeOf(setting, breach.span),
    });
  }
  findings.sort(
    ({ place: a }, { place: b }) =>
      (a?.line ?? Infinity) - (b?.line ?? Infinity) || (a?.column ?? 0) - (b?.column ?? 0) || 0,
  );
  if (findings.length > 0) return { findings };
  return { resolved: { config: values as Config, settings }, findings };
}

/** The place of a value, or of a part of it; nothing where it stands in no file. */
function placeOf({ place, written }: Setting, span: Span | undefined): { readonly place?: Place } {
  if (!place) return {};
  return { place: span && written !== undefined ? partOf({ written, place }, span) : place };
}

/**
 * What no value has, whichever layer it comes from: what ends lines or turns them round for one reader and not for another,
 * and what terminals obey. A value may have tabs and lines.
 */
const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/;

function isKey(key: string): key is KeyName {
  return Object.hasOwn(KEYS, key);
}

function unknownKey(setting: Setting): Finding {
  const near = closest(setting.key.toUpperCase(), [...KEY_NAMES]);
  const close = distance(setting.key.toUpperCase(), near) <= Math.max(2, Math.floor(near.length / 3));
  return {
    origin: setting.from,
    message: `there is no key ${setting.key}`,
    fix: close ? `did you mean ${near}?` : 'see build.cfg.example for the keys that there are',
    ...(setting.keyPlace && { place: setting.keyPlace }),
  };
}
