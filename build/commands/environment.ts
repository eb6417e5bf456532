import { SECRET_KEYS } from '../config/keys.js';
import type { Layers } from '../config/resolve.js';
import { InputError } from '../error.js';

/** Variables that mean something else than a key: the cache, and what tests of the real thing are given. */
const OTHER_VARIABLES = /^CLAWDIE_(?:CACHE|TEST_(?:SETS|BASTILLE|PKG|PFCTL))$/;

const PREFIX = 'CLAWDIE_';

/** What stands between a key and the deployment that alone gets the value: CLAWDIE_<KEY>__<NAME>. */
const ADDRESS = '__';

/** How variables name a deployment: its file without `.cfg`, in capitals, with _ for what is no letter or digit. */
export function addressOf(name: string): string {
  return name.toUpperCase().replace(/[^A-Z0-9]/g, '_');
}

interface Variable {
  readonly key: string;
  /** Undefined where the value is for every deployment. */
  readonly address: string | undefined;
  readonly value: string;
}

function variables(environment: NodeJS.ProcessEnv): readonly Variable[] {
  return Object.entries(environment).flatMap(([name, value]): Variable[] => {
    if (!name.startsWith(PREFIX) || OTHER_VARIABLES.test(name) || value === undefined) return [];
    const rest = name.slice(PREFIX.length);
    const at = rest.indexOf(ADDRESS);
    if (at <= 0) return [{ key: rest, address: undefined, value }];
    // CI engines make an empty variable of a secret that is not there.
    return value === '' ? [] : [{ key: rest.slice(0, at), address: rest.slice(at + ADDRESS.length), value }];
  });
}

/**
 * What the environment says of one deployment: CLAWDIE_<KEY> of all, CLAWDIE_<KEY>__<NAME> of this one alone.
 *
 * @param name the file of the deployment without `.cfg`
 */
export function fromEnvironment(
  environment: NodeJS.ProcessEnv,
  name: string,
): Pick<Layers, 'environment' | 'addressed'> {
  const own = addressOf(name);
  const all = variables(environment);
  const values = (address: string | undefined): Record<string, string> =>
    Object.fromEntries(
      all.flatMap((each) => (each.address === address ? [[each.key, each.value] as const] : [])),
    );
  return { environment: values(undefined), addressed: { name: own, values: values(own) } };
}

/**
 * Refuses variables that would not reach the one deployment that they are meant for.
 *
 * @param names of all deployments of a folder
 * @throws InputError if one names no deployment or two of them, or a secret would reach all. Never shows a value.
 */
export function checkAddresses(
  environment: NodeJS.ProcessEnv,
  names: readonly string[],
  folder: string,
): void {
  for (const { key, address } of variables(environment)) {
    if (address === undefined) {
      if (names.length > 1 && SECRET_KEYS.some((secret) => secret === key))
        throw new InputError(
          `${PREFIX}${key} would put one secret into all ${names.length} deployments of ${folder}.`,
          `Name the one that it is for, as in ${PREFIX}${key}${ADDRESS}${addressOf(names[0] ?? '')}; what all may have belongs into common.cfg.`,
        );
      continue;
    }
    const meant = names.filter((name) => addressOf(name) === address);
    if (meant.length === 1) continue;
    const variable = `${PREFIX}${key}${ADDRESS}${address}`;
    throw meant.length === 0
      ? new InputError(
          `${variable} is for no deployment of ${folder}.`,
          'What stands behind __ is the name of a file without .cfg, in capitals, with _ for . and -.',
        )
      : new InputError(
          `${variable} could be for ${meant.join(' or ')}.`,
          'Rename one of them, so that capitals and _ tell them apart.',
        );
  }
}
